"""Who is served next, who is turned away, and what becomes of those that nobody waits for."""

import asyncio
import gc
import sys
import threading
import weakref

import pytest

from app.errors import DeadlineExceeded, NotReady, QueueFull
from app.scheduler import Scheduler
from model.errors import Cancelled, NoSurface
from model.runtime.turns import AtOnce


class NoEngine:
    """Calls are made where they are asked for, until it has ended."""

    has_ended = False

    def turns(self, cancelled):
        return AtOnce(lambda: self.has_ended or cancelled())

    def close(self):
        self.has_ended = True


class Gate:
    """Work that has begun when `begun` is set, and ends when `open` is, or when nobody waits for it."""

    def __init__(self, name="", order=None):
        self.name = name
        self.order = [] if order is None else order
        self.begun = threading.Event()
        self.open = threading.Event()
        self.stopped = threading.Event()

    def __call__(self, turns):
        self.order.append(self.name)
        self.begun.set()
        while not self.open.wait(0.002):
            try:
                turns.check()
            except Cancelled:
                self.stopped.set()
                raise
        return self.name


async def forever():
    await asyncio.Event().wait()


def after(begun):
    """A client that stays for ever, and holds up the loop, and with it every deadline, until its work has begun."""

    async def gone():
        assert begun.wait(5)
        await forever()

    return gone


async def reached(condition):
    """Waits until the condition holds, without a fixed sleep."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def run(scenario, **settings):
    """Run `scenario(scheduler)` in an event loop with a scheduler of its own."""

    async def main():
        settings.setdefault("engine", NoEngine())
        scheduler = Scheduler(**{"slots": 1, "queue_size": 2, "deadline_seconds": 5.0, **settings})
        try:
            await scenario(scheduler)
        finally:
            scheduler.close()

    asyncio.run(main())


def begin(scheduler, work, **named):
    return asyncio.ensure_future(scheduler.run(work, gone=forever, **named))


def test_the_result_of_work_comes_back():
    async def scenario(scheduler):
        assert await scheduler.run(lambda turns: 42, gone=forever) == 42

    run(scenario)


def test_an_error_of_work_comes_back_and_the_next_one_is_served():
    async def scenario(scheduler):
        def fail(turns):
            raise NoSurface("nothing")

        with pytest.raises(NoSurface):
            await scheduler.run(fail, gone=forever)
        assert await scheduler.run(lambda turns: 42, gone=forever) == 42

    run(scenario)


def test_as_many_are_in_hand_as_there_are_slots_and_the_others_follow_in_order():
    async def scenario(scheduler):
        order = []
        gates = [Gate(number, order) for number in range(4)]
        tasks = [begin(scheduler, gate) for gate in gates]
        for gate in gates[:2]:
            await reached(gate.begun.is_set)
        assert (scheduler.in_hand, scheduler.depth) == (2, 2)
        assert not gates[2].begun.is_set()
        for gate, next_one in zip(gates[:2], gates[2:], strict=True):
            gate.open.set()
            await reached(next_one.begun.is_set)
        for gate in gates[2:]:
            gate.open.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3]
        assert sorted(order[:2]) == [0, 1]
        assert order[2:] == [2, 3]

    run(scenario, slots=2)


def test_the_depth_may_be_read_from_another_thread_while_the_queue_changes():
    """As the metrics do: what is counted must not change under the count."""
    interval = sys.getswitchinterval()

    async def scenario(scheduler):
        stop = threading.Event()

        def read():
            depths = set()
            while not stop.is_set():
                depths.add(scheduler.depth)
            return depths

        reading = asyncio.get_running_loop().run_in_executor(None, read)
        held = [begin(scheduler, Gate()) for _ in range(40)]
        for _ in range(300):
            passing = begin(scheduler, Gate())
            await asyncio.sleep(0)
            passing.cancel()
            await asyncio.wait([passing])
            if reading.done():
                break
        stop.set()
        assert await reading <= set(range(41))
        for task in held:
            task.cancel()
        await asyncio.wait(held)

    sys.setswitchinterval(1e-6)
    try:
        run(scenario, queue_size=100)
    finally:
        sys.setswitchinterval(interval)


def test_a_full_queue_turns_away_and_says_when_to_come_back():
    async def scenario(scheduler):
        gates = [Gate() for _ in range(3)]
        tasks = [begin(scheduler, gate) for gate in gates]
        await reached(lambda: scheduler.depth == 2)
        assert scheduler.is_full
        with pytest.raises(QueueFull) as refused:
            scheduler.check_free()
        assert refused.value.retry_after_seconds >= 1
        with pytest.raises(QueueFull):
            await scheduler.run(lambda turns: None, gone=forever)
        for gate in gates:
            gate.open.set()
        await asyncio.gather(*tasks)
        scheduler.check_free()

    run(scenario)


def test_of_many_who_come_at_the_same_moment_only_so_many_may_wait():
    async def scenario(scheduler):
        gate = Gate()
        answers = [begin(scheduler, gate) for _ in range(20)]
        await reached(lambda: sum(answer.done() for answer in answers) == 17)
        gate.open.set()
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert sum(isinstance(answer, QueueFull) for answer in found) == 17  # one in hand, two waiting

    run(scenario)


def test_who_is_cancelled_before_the_first_step_leaves_no_trace():
    async def scenario(scheduler):
        gate = Gate()
        task = begin(scheduler, gate)
        await reached(gate.begun.is_set)
        waiting = begin(scheduler, Gate())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert scheduler.depth == 0
        gate.open.set()
        await task
        await asyncio.wait_for(scheduler.idle(), 5)

    run(scenario)


def test_retry_after_follows_the_measured_seconds_and_the_slots():
    now = [0.0]

    async def scenario(scheduler):
        def take_a_minute(turns):
            now[0] += 60.0

        for _ in range(30):
            await scheduler.run(take_a_minute, gone=forever)
            await scheduler.idle()
        assert scheduler.retry_after_seconds == 20  # a minute each, three at once
        for _ in range(60):
            await scheduler.run(lambda turns: None, gone=forever)
            await scheduler.idle()
        assert scheduler.retry_after_seconds == 1

    run(scenario, slots=3, clock=lambda: now[0])


def test_a_large_one_does_not_take_the_last_slot_and_does_not_hold_up_small_ones():
    async def scenario(scheduler):
        order = []
        large = [Gate(f"large {number}", order) for number in range(2)]
        small = Gate("small", order)
        tasks = [begin(scheduler, gate, large=True) for gate in large]
        tasks.append(begin(scheduler, small))
        await reached(small.begun.is_set)
        assert not large[1].begun.is_set()
        small.open.set()
        await tasks[2]
        assert not large[1].begun.is_set()  # a slot is free, but not for another large one
        large[0].open.set()
        await reached(large[1].begun.is_set)
        large[1].open.set()
        await asyncio.gather(*tasks)
        assert (sorted(order[:2]), order[2:]) == (
            ["large 0", "small"],
            ["large 1"],
        )  # the first two began in threads of their own

    run(scenario, slots=2)


def test_large_ones_leave_places_in_the_queue_to_small_ones():
    async def scenario(scheduler):
        gates = [Gate(number) for number in range(4)]
        tasks = [begin(scheduler, gate, large=True) for gate in gates[:3]]
        await reached(lambda: scheduler.depth == 2)  # of eight places
        with pytest.raises(QueueFull, match="fewer than 2"):
            await scheduler.run(lambda turns: None, gone=forever, large=True)
        tasks.append(begin(scheduler, gates[3]))
        for gate in gates:
            gate.open.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3]

    run(scenario, queue_size=8)


def test_retry_after_tells_of_one_in_hand_that_takes_longer_than_those_before():
    now = [0.0]

    async def scenario(scheduler):
        gate = Gate()
        task = begin(scheduler, gate)
        await reached(gate.begun.is_set)
        found = []
        for now[0] in (0.5, 7.0, 1000.0):
            found.append(scheduler.retry_after_seconds)
        assert found == [1, 7, 10]  # no longer than the deadline, should it never end
        gate.open.set()
        await task

    run(scenario, clock=lambda: now[0], deadline_seconds=10.0)


def test_a_thread_that_cannot_be_started_costs_no_slot(monkeypatch):
    async def scenario(scheduler):
        def refuse(*work):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(scheduler._pool, "submit", refuse)
            for begun in (begin(scheduler, Gate()), scheduler.run_job(Gate(), cancelled=lambda: False)):
                with pytest.raises(RuntimeError, match="new thread"):
                    await begun
        assert await asyncio.wait_for(begin(scheduler, lambda turns: 42), 5) == 42

    run(scenario)


class Plane:
    """Something large."""


def test_an_error_that_is_kept_keeps_nothing_of_its_picture():
    """As in a ring of frames, which is found only now and then."""
    held = []

    def fail(turns):
        plane = Plane()
        held.append(weakref.ref(plane))
        raise NoSurface("nothing")

    async def scenario(scheduler):
        with pytest.raises(NoSurface) as kept:
            await scheduler.run(fail, gone=forever)
        assert (kept.value.args, held[0]()) == (("nothing",), None)

    gc.disable()
    try:
        run(scenario)
    finally:
        gc.enable()


@pytest.mark.parametrize("asked", [0.02, 100.0])
def test_the_deadline_ends_the_wait_and_stops_the_work(asked):
    async def scenario(scheduler):
        gate = Gate()
        with pytest.raises(DeadlineExceeded, match=r"0\.02 s"):
            await scheduler.run(gate, gone=after(gate.begun), seconds=asked)
        assert gate.stopped.wait(5)
        await scheduler.idle()
        assert await scheduler.run_job(lambda turns: 42, cancelled=lambda: False) == 42

    run(scenario, deadline_seconds=0.02 if asked > 1 else 5.0)


def test_a_client_that_leaves_stops_its_work():
    async def scenario(scheduler):
        gate, left = Gate(), asyncio.Event()
        task = asyncio.ensure_future(scheduler.run(gate, gone=left.wait))
        await reached(gate.begun.is_set)
        left.set()
        with pytest.raises(Cancelled, match="found it gone"):
            await task
        assert gate.stopped.wait(5)
        await scheduler.idle()
        assert scheduler.in_hand == 0

    run(scenario)


def test_a_client_that_leaves_the_queue_makes_room_and_is_never_begun():
    async def scenario(scheduler):
        first, second, left = Gate(), Gate(), asyncio.Event()
        task = begin(scheduler, first)
        waiting = asyncio.ensure_future(scheduler.run(second, gone=left.wait))
        await reached(lambda: scheduler.depth == 1)
        left.set()
        with pytest.raises(Cancelled):
            await waiting
        assert scheduler.depth == 0
        first.open.set()
        await task
        await scheduler.idle()
        assert not second.begun.is_set()

    run(scenario)


def test_a_slot_stays_taken_until_its_thread_is_done():
    async def scenario(scheduler):
        begun, deaf, next_one = threading.Event(), threading.Event(), Gate()

        def work(turns):
            begun.set()
            deaf.wait(5)

        with pytest.raises(DeadlineExceeded):
            await scheduler.run(work, gone=after(begun), seconds=0.02)
        task = begin(scheduler, next_one)
        await asyncio.sleep(0)
        assert scheduler.in_hand == 1
        assert not next_one.begun.is_set()
        deaf.set()
        await reached(next_one.begun.is_set)
        next_one.open.set()
        await task

    run(scenario)


def test_jobs_wait_for_a_slot_without_filling_the_queue():
    async def scenario(scheduler):
        gate = Gate("request")
        task = begin(scheduler, gate)
        await reached(gate.begun.is_set)
        jobs = [asyncio.ensure_future(scheduler.run_job(Gate.__call__.__get__(gate), cancelled=lambda: False)) for _ in range(5)]
        await asyncio.sleep(0)
        assert scheduler.depth == 0
        assert not scheduler.is_full
        gate.open.set()
        assert await asyncio.gather(task, *jobs) == ["request"] * 6

    run(scenario)


def test_a_job_that_is_cancelled_stops():
    async def scenario(scheduler):
        gate, cancelled = Gate(), threading.Event()
        task = asyncio.ensure_future(scheduler.run_job(gate, cancelled=cancelled.is_set))
        await reached(gate.begun.is_set)
        cancelled.set()
        with pytest.raises(Cancelled):
            await task

    run(scenario)


def test_draining_finishes_what_waits_and_takes_nothing_new():
    async def scenario(scheduler):
        gates = [Gate(number) for number in range(3)]
        tasks = [begin(scheduler, gate) for gate in gates]
        await reached(lambda: scheduler.depth == 2)
        scheduler.drain()
        with pytest.raises(NotReady, match="draining") as refused:
            await scheduler.run(lambda turns: None, gone=forever)
        assert refused.value.state == "draining"
        assert int(refused.value.headers()["Retry-After"]) >= 1
        idle = asyncio.ensure_future(scheduler.idle())
        await asyncio.sleep(0)
        assert not idle.done()
        for gate in gates:
            gate.open.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2]
        await asyncio.wait_for(idle, 5)

    run(scenario)


def test_who_waits_when_a_drain_is_given_up_is_told_and_all_work_for_clients_stops():
    async def scenario(scheduler):
        gates = [Gate() for _ in range(3)]
        tasks = [begin(scheduler, gate) for gate in gates]
        await reached(gates[0].begun.is_set)
        scheduler.give_up()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(found, NotReady)
            assert found.state == "draining"
        assert gates[0].stopped.wait(5)
        await asyncio.wait_for(scheduler.idle(), 5)
        assert not gates[1].begun.is_set()

    run(scenario)


def test_without_an_engine_everybody_is_told_that_the_service_has_failed():
    engine = NoEngine()

    async def scenario(scheduler):
        gates = [Gate(), Gate()]
        request = begin(scheduler, gates[0])
        job = asyncio.ensure_future(scheduler.run_job(gates[1], cancelled=lambda: False))
        await reached(lambda: all(gate.begun.is_set() for gate in gates))
        assert not scheduler.has_failed
        engine.has_ended = True
        for asked in (request, begin(scheduler, Gate())):
            with pytest.raises(NotReady, match="engine has ended") as told:
                await asked
            assert (told.value.state, told.value.headers()) == ("failed", {})
        with pytest.raises(Cancelled):
            await job
        assert scheduler.has_failed
        scheduler.drain()
        assert not scheduler.has_failed

    run(scenario, engine=engine, slots=2)

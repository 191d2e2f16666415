"""The engine with calls that only move a clock, in exact order; then with a network, bit for bit."""

import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from model.errors import Cancelled
from model.field import QueryGrid, query_densely
from model.hierarchy import query_hierarchically
from model.runtime import engine as engine_module
from model.runtime.bundle import read_bundle
from model.runtime.engine import Engine
from model.runtime.onnx_field import OnnxNetwork
from model.runtime.turns import AT_ONCE, Call, Turns

PATIENCE = 20.0  # seconds after which a test that hangs fails


class Device:
    """A clock that calls move; `made` names them in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[str] = []
        self.threads: set[int] = set()

    def clock(self) -> float:
        return self.now

    def call(self, name: str, seconds: float = 1.0, also: Callable[[], object] = lambda: None) -> Call:
        def run() -> None:
            self.made.append(name)
            self.threads.add(threading.get_ident())
            self.now += seconds
            also()

        return Call(run, points=10)

    def calls(self, name: str, count: int, seconds: float = 1.0) -> list[Call]:
        return [self.call(f"{name}{number}", seconds) for number in range(count)]


class Network:
    """Encodes pictures of one pixel: the plane is the pixel's value. One below zero cannot be encoded."""

    def __init__(self, device: Device, most: int, seconds: float = 1.0) -> None:
        self.device, self.most, self.seconds = device, most, seconds
        self.batches: list[tuple[list[float], int]] = []

    def batch_size(self, grid: QueryGrid) -> int:
        return self.most

    def planes(self, images: np.ndarray, grid: QueryGrid) -> list[float]:
        pixels = images.reshape(-1).tolist()
        self.device.now += self.seconds
        self.device.threads.add(threading.get_ident())
        if min(pixels) < 0:
            raise ArithmeticError(f"{min(pixels)} is no colour")
        self.batches.append((pixels, grid.resolution))
        return pixels


def picture(value: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), value, np.float32)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def engine(device) -> Iterator[Engine]:
    """Not started yet."""
    made = Engine(clock=device.clock)
    yield made
    made.close()


@pytest.fixture
def pool(engine) -> Iterator[ThreadPoolExecutor]:
    """Ends after the engine is closed, so that a test that fails leaves nobody waiting."""
    threads = ThreadPoolExecutor(16)
    yield threads
    engine.close()
    threads.shutdown()


def until(condition: Callable[[], bool]) -> None:
    """Nothing tells that a thread has begun to wait, so it is looked at now and then."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def ask(engine: Engine, pool: ThreadPoolExecutor, request: Callable[..., object], *arguments: object) -> Future:
    """Asks from a thread; comes back when the engine has the request."""
    waiting = engine.waiting
    future = pool.submit(request, *arguments)
    until(lambda: engine.waiting > waiting)
    return future


def finish(engine: Engine, *futures: Future) -> list[object]:
    engine.start()
    return [future.result(PATIENCE) for future in futures]


# Whose turn it is


def test_flows_have_the_device_for_equal_times_whatever_their_calls_take(engine, device, pool):
    long = ask(engine, pool, engine.turns().decode, device.calls("L", 3, seconds=3.0))
    short = ask(engine, pool, engine.turns().decode, device.calls("s", 9, seconds=1.0))
    finish(engine, long, short)
    assert device.made == ["L0", "s0", "s1", "s2", "L1", "s3", "s4", "s5", "L2", "s6", "s7", "s8"]


def served(flows: list[list[float]]) -> list[str]:
    """The slow, obvious twin: flows of calls of so many seconds, all there from the start."""
    used, number, order = [0.0] * len(flows), [0] * len(flows), []
    while any(n < len(calls) for n, calls in zip(number, flows, strict=True)):
        waiting = [flow for flow, calls in enumerate(flows) if number[flow] < len(calls)]
        least = next(flow for flow in waiting if all(used[flow] <= used[other] for other in waiting))
        order.append(f"{least}:{number[least]}")
        used[least] += flows[least][number[least]]
        number[least] += 1
    return order


@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_that_of_the_twin(engine, device, pool, seed):
    chance = random.Random(seed)
    flows = [[chance.choice([0.25, 0.5, 1.0, 4.0]) for _ in range(chance.randint(1, 20))] for _ in range(5)]
    futures = []
    for flow, seconds in enumerate(flows):
        calls = [device.call(f"{flow}:{number}", taken) for number, taken in enumerate(seconds)]
        futures.append(ask(engine, pool, engine.turns().decode, calls))
    finish(engine, *futures)
    assert device.made == served(flows)


def test_a_newcomer_starts_where_the_others_stand(engine, device, pool):
    """It comes during a3: that call began when a had had 3 s, so b is one call behind and not four."""
    late: list[Future] = []
    calls = device.calls("a", 8)
    calls[3] = device.call("a3", also=lambda: late.append(ask(engine, pool, engine.turns().decode, device.calls("b", 4))))
    finish(engine, ask(engine, pool, engine.turns().decode, calls))
    late[0].result(PATIENCE)
    assert device.made == ["a0", "a1", "a2", "a3", "b0", "a4", "b1", "a5", "b2", "a6", "b3", "a7"]


def test_who_was_away_has_saved_nothing_up(engine, device, pool):
    turns, back = engine.turns(), []
    calls = device.calls("a", 8)
    calls[4] = device.call("a4", also=lambda: back.append(ask(engine, pool, turns.decode, device.calls("c", 3))))
    first = ask(engine, pool, turns.decode, device.calls("b", 1))
    finish(engine, first, ask(engine, pool, engine.turns().decode, calls))
    back[0].result(PATIENCE)
    assert device.made == ["b0", "a0", "a1", "a2", "a3", "a4", "c0", "a5", "c1", "a6", "c2", "a7"]


def test_who_had_the_idle_device_for_long_does_not_owe_for_it(engine, device, pool):
    """The newcomer's first call waits until the other one has come back."""
    turns, back = engine.turns(), []
    engine.start()
    turns.decode(device.calls("a", 100))
    device.made.clear()
    first = device.call("b0", also=lambda: back.append(ask(engine, pool, turns.decode, device.calls("c", 3))))
    engine.turns().decode([first, *device.calls("b", 4)[1:]])
    back[0].result(PATIENCE)
    assert device.made == ["b0", "b1", "c0", "b2", "c1", "b3", "c2"]


def test_small_pictures_are_not_starved_by_a_large_one_nor_starve_it(engine, device, pool):
    """A stream of small ones, of 4 calls each, beside one of 40, whose calls wait for the next small one to come."""
    large_calls = [device.call(f"L{number}", also=lambda: until(lambda: engine.waiting == 2)) for number in range(40)]

    def stream() -> None:
        for number in range(11):
            engine.turns().decode(device.calls(f"s{number}:", 4))

    large = ask(engine, pool, engine.turns().decode, large_calls)
    small = ask(engine, pool, stream)
    finish(engine, large, small)
    assert device.made[:80:2] == [f"L{number}" for number in range(40)]
    assert device.made[1:80:2] == [f"s{number}:{call}" for number in range(10) for call in range(4)]


def test_who_is_done_is_woken_at_once(engine, device, pool):
    """The other's last call would wait for ever if it were a turn later."""
    short = ask(engine, pool, engine.turns().decode, device.calls("s", 1))
    waits = device.call("waits", also=lambda: short.result(PATIENCE))
    finish(engine, short, ask(engine, pool, engine.turns().decode, [waits]))
    assert device.made == ["s0", "waits"]


def test_without_calls_nobody_waits(engine):
    engine.turns().decode([])  # it is not even started


def test_everything_is_done_in_one_thread_that_is_the_engines(engine, device, pool):
    futures = [ask(engine, pool, engine.turns().decode, device.calls("a", 2)) for _ in range(3)]
    futures += [ask(engine, pool, engine.turns().encode, Network(device, 1), picture(1), QueryGrid(32)) for _ in range(3)]
    finish(engine, *futures)
    assert len(device.threads) == 1
    assert threading.get_ident() not in device.threads


def test_points_and_batches_are_told(device, pool):
    points, sizes = [], []
    engine = Engine(observe_batch=sizes.append, observe_points=points.append, clock=device.clock)
    encodings = [ask(engine, pool, engine.turns().encode, Network(device, 1), picture(1), QueryGrid(32)) for _ in range(2)]
    finish(engine, *encodings, ask(engine, pool, engine.turns().decode, device.calls("a", 3)))
    engine.close()
    assert (points, sizes) == ([10, 10, 10], [1, 1])


# Batches


def test_what_waits_for_the_same_network_and_grid_is_encoded_together(engine, device, pool):
    network, another = Network(device, 4), Network(device, 4)
    coarse, fine = QueryGrid(32), QueryGrid(64)
    wanted = [
        (network, 1, coarse), (network, 2, coarse), (network, 3, fine), (another, 4, coarse),
        (network, 5, coarse), (network, 6, coarse), (network, 7, coarse), (network, 8, fine),
    ]  # fmt: skip
    futures = [ask(engine, pool, engine.turns().encode, asked, picture(value), grid) for asked, value, grid in wanted]
    assert finish(engine, *futures) == [value for _, value, _ in wanted]
    assert network.batches == [([1, 2, 5, 6], 32), ([3, 8], 64), ([7], 32)]
    assert another.batches == [([4], 32)]


def test_batches_form_while_the_device_is_busy_and_wait_for_nobody(engine, device, pool):
    network = Network(device, 8)
    late: list[Future] = []

    def come() -> None:
        late.extend(ask(engine, pool, engine.turns().encode, network, picture(value), QueryGrid(32)) for value in (2, 3))

    first = ask(engine, pool, engine.turns().encode, network, picture(1), QueryGrid(32))
    busy = ask(engine, pool, engine.turns().decode, [device.call("busy", also=come)])
    finish(engine, first, busy)
    assert [future.result(PATIENCE) for future in late] == [2, 3]
    assert network.batches == [([1], 32), ([2, 3], 32)]


def test_the_seconds_of_a_batch_are_shared_by_its_pictures(engine, device, pool):
    """Each of two has had 3 of 6 s; the third one, whose first call waits for them to come back, asked before they did."""
    network = Network(device, 2, seconds=6.0)

    def encode_then(name: str, value: float) -> None:
        turns = engine.turns()
        turns.encode(network, picture(value), QueryGrid(32))
        turns.decode(device.calls(name, 1))

    both = [ask(engine, pool, encode_then, name, value) for name, value in (("a", 1), ("b", 2))]
    calls = [device.call("c0", also=lambda: until(lambda: engine.waiting == 3)), *device.calls("c", 5)[1:]]
    finish(engine, *both, ask(engine, pool, engine.turns().decode, calls))
    assert device.made[:4] == ["c0", "c1", "c2", "c3"]
    assert set(device.made[4:6]) == {"a0", "b0"}


# What goes wrong


def failing(name: str = "fault") -> Call:
    def run() -> None:
        raise ArithmeticError(name)

    return Call(run, points=1)


def test_a_fault_reaches_its_caller_alone(engine, device, pool):
    bad = ask(engine, pool, engine.turns().decode, [*device.calls("a", 2), failing(), device.call("never")])
    good = ask(engine, pool, engine.turns().decode, device.calls("b", 4))
    finish(engine, good)
    with pytest.raises(ArithmeticError, match="fault"):
        bad.result(PATIENCE)
    assert not engine.has_ended
    assert device.made == ["a0", "b0", "a1", "b1", "b2", "b3"]


def test_a_fault_of_what_makes_the_calls_reaches_its_caller(engine, device):
    def calls() -> Iterator[Call]:
        yield device.call("a0")
        raise ArithmeticError("no second call")

    engine.start()
    with pytest.raises(ArithmeticError, match="no second call"):
        engine.turns().decode(calls())
    engine.turns().decode(device.calls("b", 1))
    assert device.made == ["a0", "b0"]


def test_a_picture_that_cannot_be_encoded_spoils_no_batch(engine, device, pool):
    network = Network(device, 4)
    futures = [ask(engine, pool, engine.turns().encode, network, picture(value), QueryGrid(32)) for value in (1, -2, 3)]
    assert finish(engine, futures[0], futures[2]) == [1, 3]
    with pytest.raises(ArithmeticError, match=r"-2\.0 is no colour"):
        futures[1].result(PATIENCE)


def test_a_query_that_nobody_waits_for_ends_between_two_calls(engine, device, pool):
    gone = threading.Event()
    calls = [device.call("a0"), device.call("a1", also=gone.set), device.call("never")]
    left = ask(engine, pool, engine.turns(gone.is_set).decode, calls)
    stays = ask(engine, pool, engine.turns().decode, device.calls("b", 3))
    finish(engine, stays)
    with pytest.raises(Cancelled, match="nobody waits"):
        left.result(PATIENCE)
    assert device.made == ["a0", "b0", "a1", "b1", "b2"]


def test_a_picture_that_nobody_waits_for_is_not_encoded(engine, device, pool):
    network = Network(device, 4)
    left = ask(engine, pool, engine.turns(lambda: True).encode, network, picture(1), QueryGrid(32))
    stays = ask(engine, pool, engine.turns().encode, network, picture(2), QueryGrid(32))
    assert finish(engine, stays) == [2]
    with pytest.raises(Cancelled, match="nobody waits"):
        left.result(PATIENCE)
    assert network.batches == [([2], 32)]


def test_turns_can_be_checked_between_calls(engine):
    engine.turns().check()
    with pytest.raises(Cancelled, match="nobody waits"):
        engine.turns(lambda: True).check()


def assert_closed(request: Callable[[], object]) -> None:
    with pytest.raises(Cancelled, match="engine is closed"):
        request()


@pytest.mark.parametrize("started", [False, True])
def test_closing_wakes_everybody_and_finishes_no_more_than_one_call(engine, device, pool, started):
    network = Network(device, 4)
    closer: list[Future] = []

    def close() -> None:
        closing = pool.submit(engine.close)
        until(lambda: engine._closed)
        closer.append(closing)

    decoding = ask(engine, pool, engine.turns().decode, [device.call("a0", also=close), device.call("never")])
    encoding = ask(engine, pool, engine.turns().encode, network, picture(1), QueryGrid(32))
    if started:
        engine.start()
    else:
        engine.close()
    for future in (decoding, encoding):
        assert_closed(lambda future=future: future.result(PATIENCE))
    for future in closer:
        future.result(PATIENCE)
    assert device.made == ["a0"] * started
    assert not network.batches
    assert_closed(lambda: engine.turns().decode(device.calls("later", 1)))
    assert_closed(lambda: engine.turns().encode(network, picture(1), QueryGrid(32)))
    engine.close()  # again, as a service that stops twice


def test_a_device_that_hangs_keeps_nobody_waiting_at_the_end(engine, device, pool, monkeypatch):
    monkeypatch.setattr(engine_module, "LAST_CALL_SECONDS", 0.01)
    hangs, released = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        released.wait(PATIENCE)

    decoding = pool.submit(engine.turns().decode, [device.call("hangs", also=hang)])
    engine.start()
    assert hangs.wait(PATIENCE)
    engine.close()
    assert_closed(lambda: decoding.result(0.5 * PATIENCE))
    released.set()
    engine._thread.join(PATIENCE)  # without a complaint about what was given up


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_leaves_nobody_waiting(engine, device, pool):
    def die() -> None:
        raise SystemExit

    dying = ask(engine, pool, engine.turns().decode, [device.call("dies", also=die)])
    other = ask(engine, pool, engine.turns().decode, device.calls("b", 1))
    engine.start()
    for future in (dying, other):
        assert_closed(lambda future=future: future.result(PATIENCE))
    assert_closed(lambda: engine.turns().decode(device.calls("later", 1)))
    assert engine.has_ended


class Plane:
    """Something large."""


def use(plane: Plane, *, fails: bool) -> Call:
    def run() -> None:
        assert isinstance(plane, Plane)
        assert not fails, "a fault"

    return Call(run, points=1)


@pytest.mark.parametrize("fails", [False, True])
def test_an_idle_engine_holds_nothing_of_the_last_picture(engine, fails):
    """Nor does a fault hold itself."""

    def decode(plane: Plane) -> None:
        if fails:
            with pytest.raises(AssertionError, match="a fault"):
                engine.turns().decode([use(plane, fails=True)])
        else:
            engine.turns().decode([use(plane, fails=False)])

    engine.start()
    plane = Plane()
    held = weakref.ref(plane)
    gc.disable()
    try:
        decode(plane)
        del plane
        until(lambda: held() is None)
    finally:
        gc.enable()


# A network


@pytest.fixture(scope="module")
def network(tiny_bundle) -> OnnxNetwork:
    return OnnxNetwork.load(read_bundle(tiny_bundle), "cpu", threads=1, chunk=700)


def samples_of(network: OnnxNetwork, image: np.ndarray, turns: Turns) -> list[np.ndarray]:
    """What a picture's field is on a coarse grid, everywhere, and on a finer one near its surface."""
    coarse, fine = QueryGrid(32), QueryGrid(64)
    lateral = fine.lateral
    dense = query_densely(network.encode(image, coarse, np.ones(coarse.shape[:2], np.bool_), turns))
    field = network.encode(image, fine, np.hypot(lateral[:, None], lateral[None]) < 0.4, turns)
    return [dense, query_hierarchically(field, 0.5).values]


@pytest.mark.parametrize("pictures", [1, 4])
def test_through_the_engine_each_picture_is_what_it_is_alone_bit_for_bit(network, rng, pictures):
    images = rng.standard_normal((pictures, 1, 3, 64, 64), dtype=np.float32) * np.float32(3)
    alone = [samples_of(network, image, AT_ONCE) for image in images]
    sizes: list[int] = []
    engine = Engine(observe_batch=sizes.append)
    with ThreadPoolExecutor(4) as threads:
        futures = [ask(engine, threads, samples_of, network, image, engine.turns()) for image in images]
        engine.start()
        together = [future.result(PATIENCE) for future in futures]
        engine.close()
    assert sizes[0] == pictures
    for found, expected in zip(together, alone, strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len({each[0].tobytes() for each in alone}) == pictures

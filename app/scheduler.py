"""Who is served next: a bounded queue, a few reconstructions in hand, each in a thread of its own, one engine for the device.

Everything here but `Work` itself runs in the event loop, so there are no locks.
"""

import asyncio
import math
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from app.errors import DeadlineExceeded, NotReady, QueueFull
from model.errors import Cancelled
from model.runtime.engine import Engine
from model.runtime.turns import Turns

Result = TypeVar("Result")
Work = Callable[[Turns], Result]  # computes in a thread; its turns end it when nobody waits any more

SMOOTHING = 0.8  # weight of the past in the mean seconds of a reconstruction
LARGE_SHARE = 4  # large reconstructions may take one of so many slots, and of so many places in the queue, and one at least
MAX_SLOTS = 64


@dataclass(eq=False)
class _Ticket:
    """A place in the queue; `called` is done when a slot is free for it."""

    called: asyncio.Future[None]
    large: bool
    is_job: bool
    begun: float | None = None  # when a thread began to work on it, which gives its slot back when it is done


class Scheduler:
    """Calls tickets oldest first; a large one is passed over while as many are in hand as may be.

    slots: reconstructions in hand at once; they share the device fairly, however large they are, so a small one need not wait
    for a large one to end. queue_size: how many may wait for a slot; jobs wait in the database and do not count.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        slots: int,
        queue_size: int,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self.slots = slots
        self._queue_size = queue_size
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._pool = ThreadPoolExecutor(MAX_SLOTS, thread_name_prefix="reconstruction")  # `slots` bounds its use
        self._waiting: tuple[_Ticket, ...] = ()  # in order; replaced and never changed, since metrics are read in another thread
        self._in_hand: set[_Ticket] = set()
        self._awaited: set[asyncio.Task[Any]] = set()  # by clients
        self._mean_seconds = 1.0  # a guess before the first measurement
        self._idle = asyncio.Event()
        self._idle.set()
        self.draining = False

    @property
    def depth(self) -> int:
        """Requests that wait for a slot; jobs and those in hand are not among them."""
        return sum(not ticket.is_job for ticket in self._waiting)

    @property
    def in_hand(self) -> int:
        """Reconstructions that are being worked on."""
        return len(self._in_hand)

    @property
    def is_full(self) -> bool:
        """Whether the next request would be turned away."""
        return self.depth >= self._queue_size

    def check_free(self) -> None:
        """Raises NotReady or QueueFull when work handed over now would be refused, so that nobody uploads for nothing."""
        self.check_open()
        if self.is_full:
            raise QueueFull(f"queue: expected fewer than {self._queue_size} waiting requests", self.retry_after_seconds)

    def _check_free_for_large(self) -> None:
        """Else those would fill the queue, since they are called more rarely, and small ones would find slots but no places."""
        places = max(1, self._queue_size // LARGE_SHARE)
        if sum(ticket.large and not ticket.is_job for ticket in self._waiting) >= places:
            raise QueueFull(f"queue: expected fewer than {places} waiting requests of this size", self.retry_after_seconds)

    def check_open(self) -> None:
        """Raises NotReady when nothing is taken any more, not even as a job."""
        if self.draining or self.has_failed:
            raise self._not_ready()

    def _not_ready(self) -> NotReady:
        if self.draining:
            return NotReady("state: expected ready, found draining", "draining", self.retry_after_seconds)
        return NotReady("state: expected ready, found failed: the device's engine has ended", "failed")

    @property
    def has_failed(self) -> bool:
        """Whether nothing can be computed any more, though nobody said so: only another process helps."""
        return self._engine.has_ended and not self.draining

    @property
    def retry_after_seconds(self) -> int:
        """Whole seconds until a slot is likely to be free: the mean time of a reconstruction, shared among the slots.

        One in hand that takes longer than the mean counts with its own time so far.
        """
        now = self._clock()
        taken = [now - ticket.begun for ticket in self._in_hand if ticket.begun is not None]
        expected = [min(max(self._mean_seconds, seconds), self._deadline_seconds) for seconds in taken] or [self._mean_seconds]
        return max(1, math.ceil(sum(expected) / len(expected) / self.slots))

    async def run(
        self,
        work: Work[Result],
        *,
        gone: Callable[[], Awaitable[object]],
        seconds: float = math.inf,
        large: bool = False,
    ) -> Result:
        """The result of `work`, or DeadlineExceeded after `seconds`, at most the deadline, or Cancelled when `gone()` ends.

        Raises NotReady or QueueFull at once, NotReady also when the service ends before, and whatever `work` raises.
        """
        self.check_free()
        if large:
            self._check_free_for_large()
        seconds = min(seconds, self._deadline_seconds)
        abandoned = threading.Event()
        ticket = self._queue(large=large, is_job=False)  # at once: of two who come together, the second may find the queue full
        performed = asyncio.ensure_future(self._perform(ticket, work, abandoned.is_set))
        self._awaited.add(performed)
        watch = asyncio.ensure_future(gone())
        try:
            await asyncio.wait({performed, watch}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if performed.done():
                if performed.cancelled() or isinstance(performed.exception(), Cancelled):  # and not by this client
                    raise self._not_ready()
                return performed.result()
            if watch.done():
                raise Cancelled("client: expected it to wait for its mesh, found it gone")
            raise DeadlineExceeded(f"deadline: expected the mesh within {seconds:g} s")
        finally:
            abandoned.set()
            watch.cancel()
            performed.cancel()
            self._awaited.discard(performed)
            if ticket.begun is None:  # as when it was cancelled before its first step
                self._leave(ticket)

    async def run_job(self, work: Work[Result], *, cancelled: Callable[[], bool], large: bool = False) -> Result:
        """The result of `work`, however long it waits for a slot; raises what `work` raises, Cancelled among it."""
        ticket = self._queue(large=large, is_job=True)
        try:
            return await self._perform(ticket, work, cancelled)
        finally:
            if ticket.begun is None:
                self._leave(ticket)

    def _queue(self, *, large: bool, is_job: bool) -> _Ticket:
        ticket = _Ticket(asyncio.get_running_loop().create_future(), large, is_job)
        self._waiting = (*self._waiting, ticket)
        self._idle.clear()
        self._call()
        return ticket

    async def _perform(self, ticket: _Ticket, work: Work[Result], cancelled: Callable[[], bool]) -> Result:
        loop = asyncio.get_running_loop()
        await ticket.called
        # With the context, in which logs find the request's id.
        future = self._pool.submit(copy_context().run, _worked, work, self._engine.turns(cancelled))
        ticket.begun = self._clock()
        # The slot is free when the thread is, which may be a while after its client was given up.
        future.add_done_callback(lambda _: _tell(loop, partial(self._leave, ticket)))
        return await asyncio.wrap_future(future)

    def _call(self) -> None:
        """Give free slots to those who may have them."""
        large_slots = max(1, self.slots // LARGE_SHARE)
        for ticket in self._waiting:
            if len(self._in_hand) >= self.slots:
                return
            if ticket.called.cancelled():
                continue  # it is about to leave
            if ticket.large and sum(other.large for other in self._in_hand) >= large_slots:
                continue
            self._stop_waiting(ticket)
            self._in_hand.add(ticket)
            ticket.called.set_result(None)

    def _stop_waiting(self, ticket: _Ticket) -> None:
        self._waiting = tuple(other for other in self._waiting if other is not ticket)

    def _leave(self, ticket: _Ticket) -> None:
        """Take a ticket out, from the queue or from its slot, and learn how long its work took."""
        if ticket.begun is not None:
            seconds = self._clock() - ticket.begun
            self._mean_seconds = SMOOTHING * self._mean_seconds + (1 - SMOOTHING) * seconds
        self._stop_waiting(ticket)
        self._in_hand.discard(ticket)
        self._call()
        if not self._waiting and not self._in_hand:
            self._idle.set()

    def drain(self) -> None:
        """Take nothing new; what waits and what is in hand is finished."""
        self.draining = True

    async def idle(self) -> None:
        """Ends when nothing waits and nothing is in hand."""
        await self._idle.wait()

    def give_up(self) -> None:
        """Drain no longer: clients that still wait are told so, and their work stops."""
        self.draining = True
        for performed in self._awaited:
            performed.cancel()

    def close(self) -> None:
        """End the engine, and with it all that still asks it; does not wait for threads that compute."""
        self.give_up()
        self._engine.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _worked(work: Work[Result], turns: Turns) -> Result:
    try:
        return work(turns)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # who keeps the error, and be it a ring of frames, keeps no photo or plane
        raise


def _tell(loop: asyncio.AbstractEventLoop, message: Callable[[], None]) -> None:
    """Run `message` in the loop, from another thread; a loop that has ended needs no messages."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(message)

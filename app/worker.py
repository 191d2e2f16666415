"""The one owner of the reconstructor: a thread with a short queue, so that the event loop never computes."""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import structlog

from app.errors import DeadlineExceeded, NotReady, QueueFull
from model.errors import Cancelled, MonotwinError
from model.reconstructor import Reconstructor

Result = TypeVar("Result")
Work = Callable[[Reconstructor, Callable[[], bool]], Result]  # (reconstructor, cancelled) -> result

SMOOTHING = 0.8  # weight of the past in the mean seconds of a reconstruction

log = structlog.stdlib.get_logger("monotwin.worker")


class ServiceState(Enum):
    """starting -> ready | failed; ready <-> busy; each of them -> draining."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"  # as many wait as may wait: the next one is turned away
    FAILED = "failed"
    DRAINING = "draining"


@dataclass(eq=False)
class Task:
    """One piece of work, where its result goes, and whether anyone still waits for it."""

    work: Work[Any]
    result: Future[Any] = field(default_factory=Future)
    abandoned: threading.Event = field(default_factory=threading.Event)


class Worker:
    """Loads the reconstructor in its thread, then runs one task after the other, oldest first."""

    def __init__(
        self,
        load: Callable[[], Reconstructor],
        *,
        queue_size: int,
        deadline_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._queue_size = queue_size
        self._deadline_seconds = deadline_seconds
        self._clock = clock
        self._changed = threading.Condition()  # guards everything below
        self._waiting: deque[Task] = deque()
        self._mean_seconds = 1.0
        self._closing = False
        self._failure: str | None = None
        self._reconstructor: Reconstructor | None = None
        self._thread = threading.Thread(target=self._run, name="reconstructor", daemon=True)

    @property
    def depth(self) -> int:
        """Tasks that wait; the running one is not among them."""
        return len(self._waiting)

    @property
    def reconstructor(self) -> Reconstructor | None:
        """What is served, once it is loaded and warm."""
        return self._reconstructor

    @property
    def failure(self) -> str | None:
        """Why loading failed."""
        return self._failure

    @property
    def state(self) -> ServiceState:
        with self._changed:
            return self._state()

    def _state(self) -> ServiceState:
        """For those who hold the lock."""
        if self._closing:
            return ServiceState.DRAINING
        if self._failure is not None:
            return ServiceState.FAILED
        if self._reconstructor is None:
            return ServiceState.STARTING
        return ServiceState.BUSY if len(self._waiting) >= self._queue_size else ServiceState.READY

    def check_free(self) -> None:
        """Raises NotReady or QueueFull when work handed over now would be refused, so that nobody uploads for nothing."""
        with self._changed:
            self._check_free()

    def _check_free(self) -> None:
        state = self._state()
        if state is ServiceState.FAILED:
            raise NotReady("state: expected ready, found failed; /health/ready says why", state.value)
        if state in (ServiceState.STARTING, ServiceState.DRAINING):
            raise NotReady(f"state: expected ready, found {state.value}", state.value, self._retry_after_seconds())
        if state is ServiceState.BUSY:
            raise QueueFull(f"queue: expected fewer than {self._queue_size} waiting requests", self._retry_after_seconds())

    def start(self) -> None:
        """Begin to load, in the worker's own thread; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Take nothing new, finish what waits, end the thread. A load or a run that hangs is left behind at the deadline."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=self._deadline_seconds)

    async def run(self, work: Work[Result], gone: Callable[[], Awaitable[object]]) -> Result:
        """The result of `work`, computed in the worker's thread; `gone()` ends when the client has left.

        Raises NotReady or QueueFull at once, DeadlineExceeded or Cancelled while waiting, and whatever `work` raises.
        """
        task = self._enqueue(work)
        answer: asyncio.Future[Result] = asyncio.wrap_future(task.result)
        watch = asyncio.ensure_future(gone())
        try:
            ends: set[asyncio.Future[Any]] = {answer, watch}
            await asyncio.wait(ends, timeout=self._deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if watch.done():
                raise Cancelled("client: expected it to wait for its mesh, found it gone")
            raise DeadlineExceeded(f"deadline: expected the mesh within {self._deadline_seconds:g} s")
        finally:
            watch.cancel()
            self._abandon(task)
            answer.cancel()

    def _enqueue(self, work: Work[Any]) -> Task:
        task = Task(work)
        with self._changed:
            self._check_free()
            self._waiting.append(task)
            self._changed.notify()
        return task

    def _abandon(self, task: Task) -> None:
        """Stop a running task at its next look, and give a waiting one's place to somebody else."""
        task.abandoned.set()
        with self._changed:
            if task in self._waiting:
                self._waiting.remove(task)

    def _retry_after_seconds(self) -> int:
        """Whole seconds until a place is likely to be free: one reconstruction's mean."""
        return max(1, math.ceil(self._mean_seconds))

    def _run(self) -> None:
        reconstructor = self._start()
        if reconstructor is None:
            return
        while (task := self._next()) is not None:
            if task.result.set_running_or_notify_cancel():
                self._perform(task, reconstructor)
            del task  # its upload and its mesh are not kept until the next one comes

    def _start(self) -> Reconstructor | None:
        """The loaded, warm reconstructor, or None with the reason in `failure`."""
        start = self._clock()
        try:
            reconstructor = self._load()
        except Exception as error:
            log.exception("loading failed")
            # A message of ours is meant to be read; any other may tell too much to whoever can reach /health/ready.
            self._failure = str(error) if isinstance(error, MonotwinError) else "an unexpected error; the log has it"
            return None
        with self._changed:
            self._mean_seconds = self._clock() - start  # the best guess before the first measurement
            self._reconstructor = reconstructor
        return reconstructor

    def _next(self) -> Task | None:
        """The oldest waiting task; None when none waits and none will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return self._waiting.popleft() if self._waiting else None

    def _perform(self, task: Task, reconstructor: Reconstructor) -> None:
        start = self._clock()
        try:
            result = task.work(reconstructor, task.abandoned.is_set)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            task.result.set_exception(error)
            return
        task.result.set_result(result)
        seconds = self._clock() - start
        with self._changed:
            self._mean_seconds = SMOOTHING * self._mean_seconds + (1 - SMOOTHING) * seconds

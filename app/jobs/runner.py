"""Carries accepted jobs out: takes one from the store, has each of its photos reconstructed, keeps the results.

All of it runs in the event loop but the store, the files and the reconstruction, which block and get threads. While a job is in
hand its lease is renewed; when a service dies the lease runs out, and another service, or the next start, begins the job anew.
"""

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from app import products
from app.errors import NotReady, ServiceError
from app.jobs.files import JobFiles
from app.jobs.job import ImageReport, Job, JobState
from app.jobs.store import MAX_ATTEMPTS, JobStore
from app.library import Library
from app.problems import INTERNAL_ERROR, PROBLEMS, REQUEST_PREFIX, TYPE_PREFIX, Problem, problem_for
from app.scheduler import Scheduler
from app.settings import Settings
from app.telemetry import StageSeconds
from app.tracing import NO_TRACING, Tracing
from model.errors import Cancelled, MonotwinError, ReconstructionError
from model.runtime.turns import Turns

Told = TypeVar("Told")

log = structlog.stdlib.get_logger("monotwin.jobs")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds between what a runner does; the lease is many heartbeats long, so that a late one loses no job."""

    lease: float = 15.0
    heartbeat: float = 1.0
    poll: float = 1.0  # other services that share the database add jobs too
    tidy: float = 60.0
    stop: float = 5.0  # for a job that is told to stop to notice it
    retries: Sequence[float] = (
        1.0,
        2.0,
        4.0,
        8.0,
        *[15.0] * 40,
    )  # pauses for a database that is away, or a full disk, while a job ends


@dataclass(eq=False)
class _Hand:
    """A claim that is being carried out."""

    claim: Job
    images: list[ImageReport]
    stages: StageSeconds = field(default_factory=StageSeconds)
    share: float = 0.0  # of the image at work, 0 to 1
    stop: threading.Event = field(default_factory=threading.Event)  # seen by the thread that reconstructs
    lost: bool = False  # the job is this claim's no more

    @property
    def progress(self) -> float:
        done = sum(image.state != "waiting" for image in self.images)
        return min((done + self.share) / len(self.images), 1.0)

    def watch(self, share: float) -> None:
        """Note how far the image at work is."""
        self.share = share


class JobRunner:
    """`settings.job_slots` jobs in hand at once, oldest first, once the library is loaded.

    observe_job: told each job that ended here, by its state then, and its seconds from claim to end; observe_stages: the stages
    of all its images; tracing: around each. make: of `app.products`. Nothing that goes wrong in a job, the store or the files
    ends a runner.
    """

    def __init__(
        self,
        store: JobStore,
        files: JobFiles,
        library: Library,
        scheduler: Scheduler,
        settings: Settings,
        *,
        observe_job: Callable[[JobState, float], None] = lambda state, seconds: None,
        observe_stages: Callable[[StageSeconds], None] = lambda stages: None,
        tracing: Tracing = NO_TRACING,
        make: Callable[..., products.Product] = products.make,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._files = files
        self._library = library
        self._scheduler = scheduler
        self._settings = settings
        self._observe_job = observe_job
        self._observe_stages = observe_stages
        self._tracing = tracing
        self._make = make
        self._pace = pace or Pace()
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._draining = False
        self._wake = asyncio.Event()
        self._in_hand: set[_Hand] = set()
        self._slots: list[asyncio.Task[None]] = []
        self._housekeeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take jobs; within a running event loop."""
        self._slots = [asyncio.create_task(self._slot()) for _ in range(self._settings.job_slots)]
        self._housekeeping = asyncio.create_task(self._keep_house())

    def poke(self) -> None:
        """A job was added: take it now and not at the next poll. From the event loop."""
        self._wake.set()

    async def drain(self, seconds: float | None = None) -> None:
        """Take nothing new, finish what is in hand within `seconds` (by default the settings'), hand the rest back, end."""
        self._draining = True
        self._wake.set()
        await self._slots_end(self._settings.drain_seconds if seconds is None else seconds)
        for hand in self._in_hand:
            hand.stop.set()
        await self._slots_end(self._pace.stop)
        for hand in list(self._in_hand):  # did not notice; what it may still say is of no consequence once it is released
            await self._hand_back(hand)
        tasks = [*self._slots, *([self._housekeeping] if self._housekeeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _slots_end(self, seconds: float) -> None:
        if self._slots:
            await asyncio.wait(self._slots, timeout=seconds)

    async def _slot(self) -> None:
        """One job after the other."""
        pause = self._pace.poll
        while not self._draining:
            self._wake.clear()
            carried_out = False
            try:
                claim = await self._take()
                if claim is not None:
                    carried_out = await self._carry_out(claim)
                pause = self._pace.poll
            except Exception:
                log.exception("the runner of jobs met an error and goes on")
                pause = min(2 * pause, self._pace.retries[-1])
            if not carried_out and not self._draining:
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        """Until somebody pokes, at most so long."""
        await asyncio.wait([waiting := asyncio.ensure_future(self._wake.wait())], timeout=seconds)
        waiting.cancel()

    async def _take(self) -> Job | None:
        """A new claim, and the end of jobs under which too many claims have died."""
        for dead in await asyncio.to_thread(self._store.fail_dead, _died):
            await asyncio.to_thread(self._files.remove, dead.id)
            assert dead.started_at is not None
            assert dead.finished_at is not None
            self._tell(_Hand(dead, list(dead.images)), JobState.FAILED, dead.finished_at - dead.started_at, INTERNAL_ERROR.slug)
        if self._library.default is None or self._scheduler.has_failed:
            return None
        return await asyncio.to_thread(self._store.claim, self._worker, self._pace.lease)

    async def _carry_out(self, claim: Job) -> bool:
        """The whole way of one job. False: it went back to the queue."""
        begin = time.perf_counter()
        hand = _Hand(claim, list(claim.images))
        self._in_hand.add(hand)
        heartbeat = asyncio.create_task(self._beat(hand))
        try:
            with (
                self._tracing.job(claim.kind, claim.request_id, hand.stages),
                structlog.contextvars.bound_contextvars(request_id=claim.request_id, job_id=claim.id),
            ):
                state, problem = await self._outcome(hand)
        finally:
            heartbeat.cancel()
            self._in_hand.discard(hand)
        if state.is_final:
            self._tell(hand, state, time.perf_counter() - begin, problem)
        return state is not JobState.QUEUED

    async def _beat(self, hand: _Hand) -> None:
        """Renew the lease until the job is lost."""
        while not hand.lost:
            await asyncio.sleep(self._pace.heartbeat)
            try:
                renewed = await asyncio.to_thread(
                    self._store.renew, hand.claim, self._pace.lease, hand.progress, tuple(hand.images)
                )
            except Exception:  # work goes on: if the lease runs out meanwhile, the fence decides whose result counts
                log.exception("a lease could not be renewed", job_id=hand.claim.id)
                continue
            hand.lost = not renewed
        hand.stop.set()

    async def _outcome(self, hand: _Hand) -> tuple[JobState, str | None]:
        """The state that the job has after all, and the type of its problem; running: it is another worker's."""
        try:
            if self._draining:
                raise NotReady("state: expected ready, found draining", "draining")  # claimed at the last moment
            problem = await self._reconstruct_all(hand)
        except (Cancelled, NotReady):
            if hand.lost:
                return await self._leave(hand), None
            await self._hand_back(hand)
            return JobState.QUEUED, None
        if problem is None:
            if not await self._surely(lambda: self._store.succeed(hand.claim, hand.images)):
                return await self._leave(hand), None
            await asyncio.to_thread(self._files.keep_results, hand.claim)
            return JobState.SUCCEEDED, None
        if not await self._surely(lambda: self._store.fail(hand.claim, problem, hand.images)):
            return await self._leave(hand), None
        await asyncio.to_thread(self._files.remove, hand.claim.id)
        return JobState.FAILED, str(problem["type"]).removeprefix(TYPE_PREFIX)

    async def _reconstruct_all(self, hand: _Hand) -> dict[str, Any] | None:
        """Each image of a job; the problem of the job where no image has a mesh."""
        try:
            order = products.Order.from_json(hand.claim.order)
        except Exception as error:  # noqa: BLE001 - logged there; written by another version of the service
            return _problem(hand.claim, error)
        for index in range(hand.claim.image_count):
            hand.images[index] = await self._reconstruct(hand, order, index)
            hand.share = 0.0
        problems = [image.problem for image in hand.images]
        if None in problems:
            return None
        if len({problem["type"] for problem in problems if problem is not None}) == 1:
            return problems[0]
        detail = f"images: expected a mesh of one at least, found none of {len(problems)}; each image has its own problem"
        return _document(hand.claim, PROBLEMS[ReconstructionError], detail)

    async def _reconstruct(self, hand: _Hand, order: products.Order, index: int) -> ImageReport:
        """One image, with its problem if it has one; raises only Cancelled and NotReady."""
        try:
            upload = await asyncio.to_thread(self._files.read_upload, hand.claim.id, index)
            reconstructor = self._library.select(order.form.bundle)

            def work(turns: Turns) -> products.Product:
                return self._make(
                    reconstructor,
                    upload.image,
                    upload.mask,
                    order,
                    self._settings.max_pixels,
                    stages=hand.stages,
                    turns=turns,
                    progress=hand.watch,
                )

            product = await self._scheduler.run_job(work, cancelled=hand.stop.is_set, large=order.is_large)
            json.dumps(product.facts, allow_nan=False)  # what the store cannot keep is this image's problem, not the job's
            files = await self._surely(lambda: self._files.write_results(hand.claim, index, product), hand.stop.is_set)
        except (Cancelled, NotReady):
            raise
        except Exception as error:
            if hand.stop.is_set():
                raise Cancelled("job: taken away while it ran") from error  # and its files, perhaps
            return ImageReport(index, "failed", problem=_problem(hand.claim, error))
        return ImageReport(index, "succeeded", facts=product.facts, files=files)

    async def _leave(self, hand: _Hand) -> JobState:
        """The job was cancelled, or is another's: what was made here is of no use."""
        await asyncio.to_thread(self._files.remove_results, hand.claim)
        job = await asyncio.to_thread(self._store.get, hand.claim.id, hand.claim.owner)
        if job is not None and job.state is JobState.CANCELLED:
            return JobState.CANCELLED
        log.warning("a job was lost to another worker", job_id=hand.claim.id, attempt=hand.claim.attempts)
        return JobState.RUNNING

    async def _hand_back(self, hand: _Hand) -> None:
        """Back to the queue; where the database fails the lease runs out instead, and the attempt counts."""
        try:
            if await asyncio.to_thread(self._store.release, hand.claim):
                await asyncio.to_thread(self._files.remove_results, hand.claim)
        except Exception:
            log.exception("a job could not be handed back", job_id=hand.claim.id)

    async def _surely(self, change: Callable[[], Told], given_up: Callable[[], bool] = lambda: False) -> Told:
        """What a claim has come to, written again while the database is away or the disk full: much work may depend on it."""
        for pause in self._pace.retries:
            try:
                return await asyncio.to_thread(change)
            except FileNotFoundError:
                raise  # the folder was deleted with its job
            except (sa.exc.DBAPIError, sa.exc.TimeoutError, OSError):
                if given_up():
                    raise
                log.exception("what a job has come to could not be written, will try again", seconds=pause)
            await asyncio.sleep(pause)
        return await asyncio.to_thread(change)

    def _tell(self, hand: _Hand, state: JobState, seconds: float, problem: str | None) -> None:
        """Count a job that has ended, and log its one line."""
        self._observe_job(state, seconds)
        self._observe_stages(hand.stages)
        job = hand.claim
        log.info(
            "job",
            job_id=job.id,
            request_id=job.request_id,
            kind=job.kind,
            images=job.image_count,
            attempt=job.attempts,
            outcome=problem or state.value,
            seconds=round(seconds, 4),
            stages={stage: round(value, 4) for stage, value in hand.stages.seconds().items()},
        )

    async def _keep_house(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._store.expire)
                await asyncio.to_thread(self._files.sweep, self._store.keeps_files)
            except Exception:
                log.exception("keeping house failed")
            await asyncio.sleep(self._pace.tidy)


def _document(job: Job, problem: Problem, detail: str) -> dict[str, Any]:
    """The problem document that the request itself would have been answered."""
    return {
        "type": TYPE_PREFIX + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": REQUEST_PREFIX + job.request_id,
    }


def _problem(job: Job, error: Exception) -> dict[str, Any]:
    """Of whatever was raised; what is not meant to be read goes to the log instead."""
    if isinstance(error, MonotwinError) and (problem := problem_for(error)) is not INTERNAL_ERROR:
        members = error.members() if isinstance(error, ServiceError) else {}
        return _document(job, problem, str(error)) | members
    log.error("unexpected error in a job", job_id=job.id, request_id=job.request_id, exc_info=error)
    return _document(job, INTERNAL_ERROR, "An unexpected error; the log has it under this request id.")


def _died(job: Job) -> dict[str, Any]:
    return _document(job, INTERNAL_ERROR, f"The service ended {MAX_ATTEMPTS} times while it worked on this job.")

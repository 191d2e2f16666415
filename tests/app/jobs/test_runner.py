import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.errors import FieldError, InvalidFields, NotReady
from app.jobs.files import JobFiles, Upload
from app.jobs.job import Job, JobState, NewJob, new_job_id
from app.jobs.runner import JobRunner, Pace
from app.jobs.store import JobStore
from app.products import Product
from app.settings import Settings
from model.errors import NoForeground, NoSurface
from model.formats import FORMATS
from model.runtime.turns import AtOnce
from tests.app.jobs.conftest import Clock

OWNER = "line-3"
PATIENCE_SECONDS = 20.0  # of a test for something that ought to happen at once
QUICK = Pace(heartbeat=0.01, poll=0.01, tidy=0.01, stop=PATIENCE_SECONDS, retries=(0.0,) * 5)
PROBLEM_TYPE = "urn:monotwin:problem:"


class Library:
    """Serves one bundle, once it is loaded."""

    def __init__(self) -> None:
        self.default: object | None = object()

    def select(self, name: str | None) -> object:
        if name is not None:
            raise InvalidFields(FieldError("bundle", f"expected default, found {name}"))
        return self.default


class Scheduler:
    """Runs everything at once, in a thread."""

    has_failed = False

    def __init__(self) -> None:
        self.refusals = 0
        self.large: list[bool] = []
        self.cancelled: Callable[[], bool] = lambda: False  # of the newest job

    async def run_job(self, work: Callable[[AtOnce], Product], *, cancelled: Callable[[], bool], large: bool) -> Product:
        self.large.append(large)
        self.cancelled = cancelled
        if self.refusals:
            self.refusals -= 1
            raise NotReady("state: expected ready, found draining", "draining")
        return await asyncio.to_thread(work, AtOnce(cancelled))


class Maker:
    """`make` by what the photo says: `no surface`, `crash`, `wait` for the gate, `deaf` to being stopped; else a mesh of it."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.waiting = threading.Event()
        self.calls: list[tuple[Any, ...]] = []

    def __call__(
        self,
        reconstructor: Any,
        image: bytes,
        mask: bytes | None,
        order: Any,
        max_pixels: int,
        *,
        stages: Any,
        turns: Any,
        progress: Any,
    ) -> Product:
        self.calls.append((reconstructor, image, mask, order.form.resolution, max_pixels))
        with stages("query"):
            progress(0.5)
            self._obey(image, turns)
        return Product(b"mesh of " + image, FORMATS["glb"], {"faces": {1} if image == b"no json" else 12}, mask=mask)

    def _obey(self, image: bytes, turns: AtOnce) -> None:
        if image in (b"wait", b"deaf"):
            self.waiting.set()
            while not self.gate.wait(0.002):
                if image == b"wait":
                    turns.check()
        if image == b"no surface":
            raise NoSurface("level: expected a surface, found none")
        if image == b"no foreground":
            raise NoForeground("alpha: expected an opaque pixel, found none")
        if image == b"crash":
            raise RuntimeError("a mistake of ours")


class FailingStore(JobStore):
    """The database is away for the next calls of a method: `failures["claim"] = 2`; with `after`, once the change is made."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.failures: dict[str, int] = {}
        self.after = False

    def _perhaps(self, name: str, change: Callable[..., Any], *arguments: Any) -> Any:
        fails = self.failures.get(name, 0) > 0
        if fails:
            self.failures[name] -= 1
        if fails and self.after:
            change(*arguments)
        if fails:
            raise sa.exc.OperationalError(name, {}, Exception("the database is away"))
        return change(*arguments)

    def claim(self, *arguments: Any) -> Any:
        return self._perhaps("claim", super().claim, *arguments)

    def renew(self, *arguments: Any) -> Any:
        return self._perhaps("renew", super().renew, *arguments)

    def succeed(self, *arguments: Any) -> Any:
        return self._perhaps("succeed", super().succeed, *arguments)

    def fail(self, *arguments: Any) -> Any:
        return self._perhaps("fail", super().fail, *arguments)

    def release(self, *arguments: Any) -> Any:
        return self._perhaps("release", super().release, *arguments)


class Service:
    """A runner with all that it needs."""

    def __init__(self, folder: Path, settings: Settings, clock: Clock) -> None:
        self.folder = folder / "jobs"
        self.settings = settings
        self.store = FailingStore(f"sqlite:///{folder / 'jobs.sqlite'}", result_seconds=100.0, clock=clock)
        self.files = JobFiles(folder, clock=clock)
        self.library = Library()
        self.scheduler = Scheduler()
        self.maker = Maker()
        self.clock = clock
        self.ended: list[JobState] = []

    def runner(self, pace: Pace = QUICK) -> JobRunner:
        """Within the event loop."""
        return JobRunner(
            self.store,
            self.files,
            self.library,  # type: ignore[arg-type]
            self.scheduler,  # type: ignore[arg-type]
            self.settings,
            observe_job=lambda state, seconds: self.ended.append(state),
            make=self.maker,
            pace=pace,
        )

    def add(self, *images: bytes, fields: dict[str, Any] | None = None, masks: bool = False) -> str:
        """A job for these photos."""
        job_id = new_job_id()
        self.files.add(job_id, [Upload(image, b"mask" if masks else None) for image in images])
        kind = "single" if len(images) == 1 else "batch"
        order = {"fields": {"resolution": 64} if fields is None else fields, "format": "glb"}
        self.store.add(
            NewJob(job_id, OWNER, kind, order, len(images), "request-1"), idempotency_key=None, fingerprint="", max_waiting=99
        )
        self.clock.now += 1.0  # so that jobs are claimed in the order in which they are added
        return job_id

    def job(self, job_id: str) -> Job:
        job = self.store.get(job_id, OWNER)
        assert job is not None
        return job

    def left(self, job_id: str) -> set[str]:
        """Files of a job."""
        folder = self.folder / job_id
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    async def until(self, holds: Callable[[], object]) -> None:
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.002)

    async def until_final(self, *job_ids: str) -> None:
        """Until these jobs have ended, and the runner is done with what follows."""
        await self.until(lambda: all(self.job(job_id).state.is_final for job_id in job_ids) and len(self.ended) >= len(job_ids))

    def run(self, test: Callable[[JobRunner], Awaitable[None]], pace: Pace = QUICK) -> None:
        """Start a runner, do this beside it, drain it."""

        async def main() -> None:
            runner = self.runner(pace)
            runner.start()
            try:
                await test(runner)
            finally:
                self.maker.gate.set()
                await runner.drain()

        within(main())

    def carry_out(self, *job_ids: str) -> list[Job]:
        """Run until these jobs have ended; as they are then."""
        self.run(lambda _: self.until_final(*job_ids))
        return [self.job(job_id) for job_id in job_ids]


def within(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_SECONDS))


@pytest.fixture
def service(tmp_path: Path, settings: Settings, clock: Clock) -> Any:
    service = Service(tmp_path, settings, clock)
    yield service
    service.maker.gate.set()
    service.store.close()


def types(job: Job) -> list[str | None]:
    """The problem of each image."""
    return [image.problem and image.problem["type"].removeprefix(PROBLEM_TYPE) for image in job.images]


def test_a_job_succeeds_and_has_its_results(service: Service) -> None:
    [job] = service.carry_out(service.add(b"photo", masks=True))
    assert (job.state, job.progress, job.attempts, job.problem) == (JobState.SUCCEEDED, 1.0, 1, None)
    [image] = job.images
    assert (image.state, image.facts, image.problem) == ("succeeded", {"faces": 12}, None)
    assert image.files is not None
    assert {kind: service.files.result_path(job, file).read_bytes() for kind, file in image.files.items()} == {
        "mesh": b"mesh of photo",
        "mask": b"mask",
    }
    assert service.left(job.id) == {"results-1/000.glb", "results-1/000-mask.png"}
    assert service.maker.calls == [(service.library.default, b"photo", b"mask", 64, service.settings.max_pixels)]
    assert service.ended == [JobState.SUCCEEDED]


def test_large_orders_are_scheduled_as_such(service: Service) -> None:
    service.carry_out(service.add(b"a", fields={"resolution": 256}), service.add(b"b", fields={"resolution": 512}))
    assert service.scheduler.large == [False, True]


def test_a_job_that_another_service_added_is_found_without_a_poke(service: Service) -> None:
    async def test(_: JobRunner) -> None:
        await service.until_final(service.add(b"early"))
        await service.until_final(service.add(b"late"))

    service.run(test)


def test_a_poke_wakes_a_runner_that_sleeps(service: Service) -> None:
    async def test(runner: JobRunner) -> None:
        asked = threading.Event()
        claim, service.store.claim = service.store.claim, lambda *_: asked.set()  # type: ignore[method-assign, assignment]
        runner.poke()
        await asyncio.to_thread(asked.wait, PATIENCE_SECONDS)
        service.store.claim = claim  # type: ignore[method-assign]
        for number in range(3):
            job_id = service.add(b"%d" % number)
            runner.poke()
            await service.until_final(job_id)

    service.run(test, Pace(poll=1e6))


def test_all_slots_work_at_once(service: Service) -> None:
    service.settings = service.settings.model_copy(update={"job_slots": 2})
    ids = [service.add(b"wait") for _ in range(3)]

    async def test(_: JobRunner) -> None:
        await service.until(lambda: len(service.maker.calls) == 2)
        assert [service.job(job_id).state for job_id in ids] == [JobState.RUNNING, JobState.RUNNING, JobState.QUEUED]
        service.maker.gate.set()
        await service.until_final(*ids)

    service.run(test)


def test_a_reconstructors_refusal_is_the_jobs_problem(service: Service) -> None:
    [job] = service.carry_out(service.add(b"no surface"))
    problem = {
        "type": "urn:monotwin:problem:no-surface",
        "title": "No surface was found at this level",
        "status": 422,
        "detail": "level: expected a surface, found none",
        "instance": "urn:monotwin:request:request-1",
    }
    assert (job.state, job.problem, job.images[0].state, job.images[0].problem) == (JobState.FAILED, problem, "failed", problem)
    assert service.left(job.id) == set()
    assert service.ended == [JobState.FAILED]


def test_a_mistake_of_ours_is_an_internal_error_and_the_next_job_succeeds(service: Service) -> None:
    with capture_logs() as lines:
        broken, whole = service.carry_out(service.add(b"crash"), service.add(b"photo"))
    assert broken.problem is not None
    assert broken.problem["type"] == PROBLEM_TYPE + "internal-error"
    assert "mistake" not in str(broken.problem)
    assert whole.state is JobState.SUCCEEDED
    [error] = [line for line in lines if line["log_level"] == "error"]
    assert (error["job_id"], error["request_id"], str(error["exc_info"])) == (broken.id, "request-1", "a mistake of ours")


def test_a_finished_job_is_one_line_in_the_log(service: Service) -> None:
    with capture_logs() as lines:
        made, failed = service.carry_out(service.add(b"a", b"b"), service.add(b"no surface"))
    shown = [line for line in lines if line["event"] == "job"]
    for line in shown:
        assert line.pop("seconds") >= line["stages"]["query"] >= 0
    common = {"event": "job", "log_level": "info", "request_id": "request-1", "attempt": 1}
    assert [{**line, "stages": set(line["stages"])} for line in shown] == [
        {**common, "job_id": made.id, "kind": "batch", "images": 2, "outcome": "succeeded", "stages": {"query"}},
        {**common, "job_id": failed.id, "kind": "single", "images": 1, "outcome": "no-surface", "stages": {"query"}},
    ]


def test_a_batch_goes_on_after_an_image_that_fails(service: Service) -> None:
    [job] = service.carry_out(service.add(b"no surface", b"photo", b"crash", b"no json", b"other"))
    assert (job.state, job.problem) == (JobState.SUCCEEDED, None)
    assert types(job) == ["no-surface", None, "internal-error", "internal-error", None]
    assert [image.state for image in job.images] == ["failed", "succeeded", "failed", "failed", "succeeded"]
    assert service.left(job.id) == {"results-1/001.glb", "results-1/004.glb"}


@pytest.mark.parametrize(
    ("images", "kind"),
    [((b"no surface", b"no surface"), "no-surface"), ((b"no surface", b"no foreground"), "not-reconstructible")],
)
def test_a_batch_without_a_mesh_fails(service: Service, images: tuple[bytes, ...], kind: str) -> None:
    [job] = service.carry_out(service.add(*images))
    assert job.state is JobState.FAILED
    assert job.problem is not None
    assert (job.problem["type"], job.problem["status"]) == (PROBLEM_TYPE + kind, 422)


def test_a_bundle_that_is_gone_is_a_problem_with_its_field(service: Service) -> None:
    [job] = service.carry_out(service.add(b"photo", fields={"bundle": "old"}))
    assert job.problem is not None
    assert job.problem["type"] == PROBLEM_TYPE + "invalid-fields"
    assert job.problem["errors"] == [{"field": "bundle", "message": "expected default, found old"}]


def test_an_order_that_this_version_cannot_read_is_an_internal_error(service: Service) -> None:
    [job] = service.carry_out(service.add(b"photo", fields={"of": "a later version"}))
    assert job.problem is not None
    assert job.problem["type"] == PROBLEM_TYPE + "internal-error"
    assert job.images[0].state == "waiting"


def test_progress_counts_images_and_the_share_of_the_one_at_work(service: Service) -> None:
    async def test(_: JobRunner) -> None:
        job_id = service.add(b"photo", b"no surface", b"wait", b"photo")
        await service.until(lambda: service.job(job_id).progress == 2.5 / 4)
        assert [image.state for image in service.job(job_id).images] == ["succeeded", "failed", "waiting", "waiting"]

    service.run(test)


def test_a_job_that_is_cancelled_under_way_stops_and_leaves_nothing(service: Service) -> None:
    async def test(_: JobRunner) -> None:
        job_id = service.add(b"photo", b"wait", b"photo")
        await asyncio.to_thread(service.maker.waiting.wait, PATIENCE_SECONDS)
        service.store.delete(job_id, OWNER)
        await service.until(lambda: service.ended)
        assert service.ended == [JobState.CANCELLED]
        assert service.job(job_id).state is JobState.CANCELLED
        assert len(service.maker.calls) == 2
        await service.until(lambda: not service.left(job_id))
        await service.until(lambda: not (service.folder / job_id).exists())

    service.run(test)


def test_files_that_vanish_with_a_cancelled_job_are_no_mistake_of_ours(service: Service) -> None:
    async def test(_: JobRunner) -> None:
        job_id = service.add(b"deaf")
        await asyncio.to_thread(service.maker.waiting.wait, PATIENCE_SECONDS)
        service.store.delete(job_id, OWNER)
        service.files.remove(job_id)
        await service.until(lambda: service.scheduler.cancelled())
        service.maker.gate.set()
        await service.until(lambda: service.ended)

    with capture_logs() as lines:
        service.run(test)
    assert service.ended == [JobState.CANCELLED]
    assert [line for line in lines if line["log_level"] == "error"] == []


def test_a_job_that_was_lost_to_another_worker_has_only_the_others_result(service: Service) -> None:
    left = threading.Event()
    remove_results = service.files.remove_results

    def note(claim: Job) -> None:
        remove_results(claim)
        left.set()

    service.files.remove_results = note  # type: ignore[method-assign]

    async def test(_: JobRunner) -> None:
        job_id = service.add(b"wait")
        await asyncio.to_thread(service.maker.waiting.wait, PATIENCE_SECONDS)
        service.clock.now += 100.0
        other = service.store.claim("other", 15.0)
        assert other is not None
        assert (other.id, other.attempts) == (job_id, 2)
        service.files.write_results(other, 0, Product(b"the other's", FORMATS["glb"], {}))
        service.maker.gate.set()
        await asyncio.to_thread(left.wait, PATIENCE_SECONDS)
        assert service.left(job_id) == {"image-000", "results-2/000.glb"}
        assert service.job(job_id) == other

    service.run(test, Pace(heartbeat=1e6, poll=0.01))
    assert service.ended == []


def test_a_database_that_is_away_is_waited_for(service: Service) -> None:
    service.store.failures = {"claim": 3}
    [job] = service.carry_out(service.add(b"photo"))
    assert job.state is JobState.SUCCEEDED


@pytest.mark.parametrize("after", [False, True], ids=["before the change", "after the change"])
@pytest.mark.parametrize(("image", "method", "state"), [(b"photo", "succeed", "succeeded"), (b"no surface", "fail", "failed")])
def test_the_end_of_a_job_is_not_lost_with_the_database(
    service: Service, image: bytes, method: str, state: str, after: bool
) -> None:
    service.store.failures = {method: 3}
    service.store.after = after
    [job] = service.carry_out(service.add(image))
    assert (job.state, job.attempts) == (state, 1)
    assert service.left(job.id) == ({"results-1/000.glb"} if state == "succeeded" else set())
    assert service.ended == [state]


def test_a_full_disk_is_waited_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that finds no room fails no job while there may be room soon."""
    refusals = iter(range(3))
    write_results = service.files.write_results

    def write(*arguments: Any) -> Any:
        if next(refusals, None) is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_results(*arguments)

    monkeypatch.setattr(service.files, "write_results", write)
    (job,) = service.carry_out(service.add(b"photo"))
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
    assert len(service.maker.calls) == 1


def test_a_disk_that_stays_full_fails_the_job(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(service.files, "write_results", write)
    (job,) = service.carry_out(service.add(b"photo"))
    assert job.state is JobState.FAILED
    assert types(job) == ["internal-error"]


def test_a_job_whose_photo_cannot_be_deleted_has_ended_like_any_other(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with capture_logs() as lines:
        [job] = service.carry_out(service.add(b"photo"))
    assert (job.state, service.left(job.id)) == (JobState.SUCCEEDED, {"image-000", "results-1/000.glb"})
    assert [line["event"] for line in lines] == ["job"]


def test_heartbeats_that_fail_do_not_stop_a_job(service: Service) -> None:
    async def test(_: JobRunner) -> None:
        service.store.failures = {"renew": 3}
        job_id = service.add(b"wait")
        await service.until(lambda: service.job(job_id).progress == 0.5)
        service.maker.gate.set()
        await service.until_final(job_id)

    service.run(test)
    assert service.ended == [JobState.SUCCEEDED]


def test_nothing_is_claimed_before_the_library_is_loaded(service: Service) -> None:
    async def test(_: JobRunner) -> None:
        asked = 0
        fail_dead = service.store.fail_dead

        def count(problem: Any) -> Any:
            nonlocal asked
            asked += 1
            return fail_dead(problem)

        service.store.fail_dead = count  # type: ignore[method-assign]
        await service.until(lambda: asked >= 3)
        assert service.job(job_id).state is JobState.QUEUED
        service.library.default = object()
        await service.until_final(job_id)

    service.library.default = None
    job_id = service.add(b"photo")
    service.run(test)


def test_a_scheduler_that_refuses_gets_the_job_again_later(service: Service) -> None:
    service.scheduler.refusals = 5  # more than attempts may die
    [job] = service.carry_out(service.add(b"photo"))
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 6)


def test_a_job_that_kills_its_service_is_given_up(service: Service) -> None:
    job_id = service.add(b"photo")
    for _ in range(3):
        assert service.store.claim("dead", 15.0) is not None
        service.clock.now += 16.0
    [job] = service.carry_out(job_id)
    assert job.problem is not None
    assert (job.state, job.problem["type"]) == (JobState.FAILED, PROBLEM_TYPE + "internal-error")
    assert (service.maker.calls, service.left(job_id), service.ended) == ([], set(), [JobState.FAILED])


def test_expired_results_are_deleted(service: Service) -> None:
    async def test(_: JobRunner) -> None:
        job_id = service.add(b"photo")
        await service.until_final(job_id)
        assert service.left(job_id)
        service.clock.now += 100.0
        await service.until(lambda: not (service.folder / job_id).exists())
        assert service.job(job_id).removed

    service.run(test)


def test_a_runner_that_drains_finishes_what_it_has_and_takes_nothing_new(service: Service) -> None:
    first, second = service.add(b"wait"), service.add(b"photo")

    async def main() -> None:
        runner = service.runner()
        runner.start()
        await asyncio.to_thread(service.maker.waiting.wait, PATIENCE_SECONDS)
        draining = asyncio.create_task(runner.drain(PATIENCE_SECONDS))
        await asyncio.sleep(0)  # it has begun
        service.maker.gate.set()
        await draining
        await runner.drain(0.0)  # as at the end of the life span

    within(main())
    assert [service.job(job_id).state for job_id in (first, second)] == [JobState.SUCCEEDED, JobState.QUEUED]
    assert service.job(second).attempts == 0


@pytest.mark.parametrize("image", [b"wait", b"deaf"])
def test_what_a_draining_runner_cannot_finish_goes_back(service: Service, image: bytes) -> None:
    job_id = service.add(b"photo", image)

    async def main() -> None:
        runner = service.runner(Pace(heartbeat=0.01, poll=0.01, stop=PATIENCE_SECONDS if image == b"wait" else 0.02))
        runner.start()
        await asyncio.to_thread(service.maker.waiting.wait, PATIENCE_SECONDS)
        try:
            await asyncio.wait_for(runner.drain(0.0), PATIENCE_SECONDS / 2)
            assert service.job(job_id).state is JobState.QUEUED
        finally:
            service.maker.gate.set()

    within(main())
    job = service.job(job_id)
    assert (job.state, job.attempts, job.progress) == (JobState.QUEUED, 1, 0.0)
    assert service.left(job_id) == {"image-000", "image-001"}
    assert service.ended == []
    [again] = service.carry_out(job_id)
    assert (again.state, again.attempts) == (JobState.SUCCEEDED, 2)


def test_a_job_that_is_claimed_while_draining_begins_goes_back(service: Service) -> None:
    job_id = service.add(b"photo")
    claiming, go_on = threading.Event(), threading.Event()
    claim = service.store.claim

    def slow_claim(*arguments: Any) -> Any:
        claiming.set()
        go_on.wait(PATIENCE_SECONDS)
        return claim(*arguments)

    service.store.claim = slow_claim  # type: ignore[method-assign]

    async def main() -> None:
        runner = service.runner()
        runner.start()
        await asyncio.to_thread(claiming.wait, PATIENCE_SECONDS)
        draining = asyncio.create_task(runner.drain(PATIENCE_SECONDS))
        await asyncio.sleep(0)  # it has begun
        go_on.set()
        await draining

    within(main())
    assert (service.job(job_id).state, service.job(job_id).attempts) == (JobState.QUEUED, 1)
    assert service.maker.calls == []


def test_a_runner_that_never_started_drains_at_once(service: Service) -> None:
    async def main() -> None:
        await service.runner().drain()

    within(main())

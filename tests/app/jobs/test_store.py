"""The laws of the store, each on SQLite and on PostgreSQL."""

import gc
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.errors import IdempotencyConflict, JobsFull
from app.jobs.job import ImageReport, Job, JobState, NewJob, ResultFile
from app.jobs.store import GUESSED_SECONDS, MAX_ATTEMPTS, MAX_RETRY_SECONDS, RECENT_SECONDS, ROW_FACTOR, JobStore
from tests.app.jobs.conftest import RESULT_SECONDS, Clock

LEASE = 15.0
PROBLEM = {"type": "urn:monotwin:problem:no-surface", "title": "t", "status": 422, "detail": "ü \x00 \ud800", "instance": "i"}
MADE = ImageReport(
    0,
    "succeeded",
    facts={"faces": 12, "units": "metre"},
    files={"mesh": ResultFile("000.glb", "model/gltf-binary", "ab" * 32, 7)},
)
Make = Callable[..., NewJob]


@pytest.fixture
def add(store: JobStore, new_job: Make) -> Callable[..., Job]:
    """Add one job without a key."""

    def add_one(**fields: object) -> Job:
        job, created = store.add(new_job(**fields), idempotency_key=None, fingerprint="f", max_waiting=1000)
        assert created
        return job

    return add_one


def claimed(store: JobStore, worker: str = "one") -> Job:
    job = store.claim(worker, LEASE)
    assert job is not None
    return job


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """The result of each call, or what it raised; all begin at the same moment, each in a thread of its own."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_a_job_comes_back_as_it_was_added(store: JobStore, new_job: Make, clock: Clock) -> None:
    new = new_job(kind="batch", image_count=2, order={"fields": {"size": 0.12, "bundle": "ü\ud800"}, "format": "stl"})
    job, _ = store.add(new, idempotency_key=None, fingerprint="f", max_waiting=1)
    assert job == Job(
        id=new.id,
        owner="line-3",
        kind="batch",
        order=new.order,
        image_count=2,
        request_id="request-1",
        state=JobState.QUEUED,
        progress=0.0,
        created_at=clock.now,
        started_at=None,
        finished_at=None,
        expires_at=None,
        attempts=0,
        problem=None,
        images=(ImageReport(0), ImageReport(1)),
        removed=False,
    )
    assert store.get(new.id, "line-3") == job


def test_a_job_survives_a_new_start(store: JobStore, open_store: Callable[[], JobStore], add: Callable[..., Job]) -> None:
    job = add()
    store.close()
    assert open_store().get(job.id, job.owner) == job


def test_services_that_start_at_once_make_one_table(open_store: Callable[[], JobStore]) -> None:
    assert all(isinstance(store, JobStore) for store in at_once([open_store] * 4))


def test_a_service_that_starts_while_another_one_makes_the_file_waits_for_it(tmp_path: Path) -> None:
    file = tmp_path / "jobs.sqlite"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE others (x)")  # a file without a write-ahead log
    other.execute("BEGIN IMMEDIATE")  # SQLite refuses to switch to one now
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(JobStore, f"sqlite:///{file}")
        with pytest.raises(TimeoutError):
            opening.result(timeout=0.3)
        other.execute("COMMIT")
        opening.result(timeout=20).close()
    other.close()
    with closing(sqlite3.connect(file)) as fresh:
        assert fresh.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_owners_job_is_none(store: JobStore, add: Callable[..., Job]) -> None:
    job = add(owner="line-3")
    assert store.get(job.id, "line-4") is None
    assert store.delete(job.id, "line-4") is None
    assert store.get(job.id, "line-3") == job


@pytest.mark.parametrize("job_id", ["", "x", "0" * 32, "\x00" * 32, "ü" * 32, "0" * 5000, "A" * 32])
def test_what_is_no_id_is_no_job(store: JobStore, job_id: str) -> None:
    assert store.get(job_id, "line-3") is None
    assert store.delete(job_id, "line-3") is None


def test_each_of_fifty_jobs_is_claimed_once_by_eight_threads(store: JobStore, add: Callable[..., Job]) -> None:
    ids = {add().id for _ in range(50)}

    def claim_all() -> list[Job]:
        return list(iter(lambda: store.claim("w", LEASE), None))

    claims = [job for jobs in at_once([claim_all] * 8) for job in jobs]
    assert Counter(job.id for job in claims) == Counter(ids)
    assert {(job.state, job.attempts) for job in claims} == {(JobState.RUNNING, 1)}


def test_claims_are_oldest_first_and_then_by_id(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    together = sorted(add().id for _ in range(3))
    clock.now -= 5
    older = add().id
    assert [claimed(store).id for _ in range(4)] == [older, *together]
    assert store.claim("one", LEASE) is None


def test_a_claim_says_when_it_began(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    job = add()
    clock.now += 3
    claim = claimed(store)
    assert claim == replace(job, state=JobState.RUNNING, attempts=1, started_at=clock.now)
    assert store.get(job.id, job.owner) == claim


def test_a_claim_whose_lease_ran_out_can_neither_renew_nor_end_the_job(
    store: JobStore, add: Callable[..., Job], clock: Clock
) -> None:
    add()
    dead = claimed(store, "one")
    clock.now += LEASE + 1
    alive = claimed(store, "two")
    assert (alive.id, alive.attempts) == (dead.id, 2)
    assert not store.renew(dead, LEASE, 0.9, [MADE])
    assert not store.succeed(dead, [MADE])
    assert not store.fail(dead, PROBLEM, [ImageReport(0)])
    assert not store.release(dead)
    assert store.get(alive.id, alive.owner) == alive
    assert store.succeed(alive, [MADE])
    assert not store.succeed(dead, [MADE])
    finished = store.get(alive.id, alive.owner)
    assert finished is not None
    assert (finished.state, finished.attempts) == (JobState.SUCCEEDED, 2)


def test_a_late_claim_that_nobody_took_over_still_counts(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    add()
    claim = claimed(store)
    clock.now += 10 * LEASE
    assert store.succeed(claim, [MADE])


def test_of_two_claims_that_end_at_once_one_counts(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    for _ in range(5):
        add()
        old = claimed(store)
        clock.now += LEASE + 1
        new = claimed(store)
        calls = [lambda old=old: store.succeed(old, [MADE]), lambda new=new: store.fail(new, PROBLEM, [ImageReport(0)])]
        assert at_once(calls) == [False, True]


def test_a_renewed_lease_holds_and_shows_progress(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    add(kind="batch", image_count=2)
    claim = claimed(store)
    for _ in range(10):
        clock.now += LEASE - 1
        assert store.renew(claim, LEASE, 0.75, [MADE, ImageReport(1)])
    assert store.claim("two", LEASE) is None
    assert store.get(claim.id, claim.owner) == replace(claim, progress=0.75, images=(MADE, ImageReport(1)))


def test_a_lease_is_reckoned_from_when_the_database_may_be_written_to(
    store: JobStore, add: Callable[..., Job], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for others longer than a lease has not lost the job when it gets it."""
    transaction = JobStore._transaction

    @contextmanager
    def late(store: JobStore, *, writes: bool = False) -> Iterator[sa.Connection]:
        with transaction(store, writes=writes) as connection:
            clock.now += LEASE + 1 if writes else 0
            yield connection

    def waited(change: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(JobStore, "_transaction", late)
            return change()

    add()
    claim = waited(lambda: claimed(store))
    assert store.claim("two", LEASE) is None
    assert waited(lambda: store.renew(claim, LEASE, 0.5, [MADE]))
    assert store.claim("two", LEASE) is None
    assert waited(lambda: store.succeed(claim, [MADE]))
    finished = store.get(claim.id, claim.owner)
    assert finished is not None
    assert (finished.attempts, finished.finished_at) == (1, clock.now)


def test_a_new_attempt_begins_at_nothing(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    add(kind="batch", image_count=2)
    store.renew(claimed(store), LEASE, 0.75, [MADE, ImageReport(1)])
    clock.now += LEASE + 1
    claim = claimed(store)
    assert (claim.progress, claim.images) == (0.0, (ImageReport(0), ImageReport(1)))


def test_a_succeeded_job_has_its_results_until_they_expire(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    add()
    claim = claimed(store)
    clock.now += 2
    assert store.succeed(claim, [MADE])
    assert store.get(claim.id, claim.owner) == replace(
        claim,
        state=JobState.SUCCEEDED,
        progress=1.0,
        finished_at=clock.now,
        expires_at=clock.now + RESULT_SECONDS,
        images=(MADE,),
    )


def test_a_failed_job_keeps_its_problem(store: JobStore, add: Callable[..., Job]) -> None:
    add()
    claim = claimed(store)
    assert store.fail(claim, PROBLEM, [ImageReport(0, "failed", problem=PROBLEM)])
    job = store.get(claim.id, claim.owner)
    assert job is not None
    assert (job.state, job.problem, job.images[0].problem) == (JobState.FAILED, PROBLEM, PROBLEM)


def test_an_end_that_is_said_twice_is_one_end(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    add()
    claim = claimed(store)
    assert store.succeed(claim, [MADE])
    first = store.get(claim.id, claim.owner)
    clock.now += 5
    assert store.succeed(claim, [])
    assert not store.fail(claim, PROBLEM, [])
    assert not store.renew(claim, LEASE, 0.5, [])
    assert store.get(claim.id, claim.owner) == first


def test_the_same_key_and_request_is_the_same_job(store: JobStore, new_job: Make) -> None:
    first, created = store.add(new_job(), idempotency_key="k", fingerprint="f", max_waiting=1)
    assert created
    assert store.add(new_job(), idempotency_key="k", fingerprint="f", max_waiting=1) == (first, False)  # though it is full


def test_the_same_key_with_another_request_is_a_conflict(store: JobStore, new_job: Make) -> None:
    store.add(new_job(), idempotency_key="k", fingerprint="f", max_waiting=9)
    with pytest.raises(IdempotencyConflict, match="k"):
        store.add(new_job(), idempotency_key="k", fingerprint="g", max_waiting=9)


def test_keys_belong_to_their_owner_and_no_key_is_no_key(store: JobStore, new_job: Make) -> None:
    for fields in ({"owner": "a"}, {"owner": "b"}):
        assert store.add(new_job(**fields), idempotency_key="k", fingerprint="f", max_waiting=9)[1]
    for _ in range(2):
        assert store.add(new_job(owner="a"), idempotency_key=None, fingerprint="f", max_waiting=9)[1]


def test_the_same_key_twice_at_once_is_one_job(store: JobStore, new_job: Make) -> None:
    for key in map(str, range(10)):
        call = lambda key=key: store.add(new_job(), idempotency_key=key, fingerprint="f", max_waiting=99)  # noqa: E731
        (one, made_one), (two, made_two) = at_once([call, call])
        assert one == two
        assert {made_one, made_two} == {True, False}
    assert store.counts()[JobState.QUEUED] == 10


def test_a_key_with_two_requests_at_once_is_one_job_and_one_conflict(store: JobStore, new_job: Make) -> None:
    calls = [
        lambda print_=print_: store.add(new_job(), idempotency_key="k", fingerprint=print_, max_waiting=99) for print_ in "fg"
    ]
    kinds = {type(result) for result in at_once(calls)}
    assert kinds == {tuple, IdempotencyConflict}


def test_no_more_jobs_wait_than_may(store: JobStore, new_job: Make) -> None:
    def add() -> tuple[Job, bool]:
        return store.add(new_job(), idempotency_key=None, fingerprint="f", max_waiting=2)

    add()
    add()
    with pytest.raises(JobsFull) as raised:
        add()
    assert raised.value.retry_after_seconds == GUESSED_SECONDS
    claimed(store)
    add()  # one that runs does not wait


def test_retry_after_is_the_mean_time_between_the_newest_ends(
    store: JobStore, add: Callable[..., Job], new_job: Make, clock: Clock
) -> None:
    def retry_after() -> int:
        with pytest.raises(JobsFull) as raised:
            store.add(new_job(), idempotency_key=None, fingerprint="f", max_waiting=0)
        return raised.value.retry_after_seconds

    for seconds in (1000.0, 10.0, 10.0, 10.0):
        add()
        claim = claimed(store)
        clock.now += seconds
        store.succeed(claim, [MADE])
    assert retry_after() == 8  # four ends, the oldest 30 s ago
    clock.now += 6
    assert retry_after() == 9
    clock.now += 0.5 * RECENT_SECONDS
    assert retry_after() == 84  # 336 s
    clock.now += RECENT_SECONDS
    assert retry_after() == GUESSED_SECONDS
    assert GUESSED_SECONDS <= MAX_RETRY_SECONDS


def test_a_queued_job_that_is_deleted_is_cancelled_and_never_claimed(
    store: JobStore, add: Callable[..., Job], clock: Clock
) -> None:
    job = add()
    cancelled = store.delete(job.id, job.owner)
    assert cancelled == replace(job, state=JobState.CANCELLED, finished_at=clock.now, expires_at=clock.now + RESULT_SECONDS)
    assert store.get(job.id, job.owner) == cancelled
    assert store.claim("one", LEASE) is None


def test_a_running_job_that_is_deleted_is_lost_for_its_claim(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    add()
    claim = claimed(store)
    cancelled = store.delete(claim.id, claim.owner)
    assert cancelled is not None
    assert cancelled.state is JobState.CANCELLED
    assert not store.renew(claim, LEASE, 0.5, [MADE])
    assert not store.succeed(claim, [MADE])
    clock.now += LEASE + 1
    assert store.claim("two", LEASE) is None
    assert store.get(claim.id, claim.owner) == cancelled


def test_a_finished_job_that_is_deleted_is_removed(store: JobStore, add: Callable[..., Job]) -> None:
    add()
    claim = claimed(store)
    store.succeed(claim, [MADE])
    removed = store.delete(claim.id, claim.owner)
    assert removed is not None
    assert (removed.state, removed.removed) == (JobState.SUCCEEDED, True)
    assert store.get(claim.id, claim.owner) == removed
    assert store.keeps_files([claim.id]) == {claim.id: False}


def test_a_job_under_which_three_claims_died_fails(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    job = add()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert store.fail_dead(lambda _: PROBLEM) == []
        assert claimed(store).attempts == attempt
        assert store.fail_dead(lambda _: PROBLEM) == []  # it may be well
        clock.now += LEASE + 1
    assert store.claim("four", LEASE) is None
    [failed] = store.fail_dead(lambda dead: {**PROBLEM, "detail": dead.id})
    assert (failed.state, failed.problem, failed.attempts) == (JobState.FAILED, {**PROBLEM, "detail": job.id}, MAX_ATTEMPTS)
    assert store.get(job.id, job.owner) == failed
    assert store.fail_dead(lambda _: PROBLEM) == []


def test_a_job_that_is_handed_back_is_next_and_the_attempt_does_not_count(
    store: JobStore, add: Callable[..., Job], clock: Clock
) -> None:
    job = add()
    clock.now += 1
    add()
    for attempt in range(1, 2 * MAX_ATTEMPTS):
        claim = claimed(store)
        assert (claim.id, claim.attempts) == (job.id, attempt)
        assert store.release(claim)
        assert not store.succeed(claim, [MADE])
    for _ in range(MAX_ATTEMPTS):
        assert claimed(store).id == job.id
        clock.now += LEASE + 1
    assert [dead.id for dead in store.fail_dead(lambda _: PROBLEM)] == [job.id]


def test_a_claim_that_handed_its_job_back_is_fenced_off_from_the_next_one(store: JobStore, add: Callable[..., Job]) -> None:
    add()
    old = claimed(store)
    store.release(old)
    new = claimed(store)
    assert not store.renew(old, LEASE, 0.5, [MADE])
    assert not store.succeed(old, [MADE])
    assert store.succeed(new, [MADE])


def test_results_expire_and_later_the_row_goes(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    add()
    claim = claimed(store)
    waiting = add()
    store.succeed(claim, [MADE])
    clock.now += RESULT_SECONDS - 1
    assert store.expire() == 0
    clock.now += 1
    assert store.expire() == 1
    assert store.expire() == 0
    job = store.get(claim.id, claim.owner)
    assert job is not None
    assert (job.removed, job.state) == (True, JobState.SUCCEEDED)
    clock.now += ROW_FACTOR * RESULT_SECONDS - 1
    store.expire()
    assert store.get(claim.id, claim.owner) is not None
    clock.now += 1
    store.expire()
    assert store.get(claim.id, claim.owner) is None
    assert store.keeps_files([claim.id, waiting.id]) == {waiting.id: True}  # what waits never expires


def test_files_are_kept_for_jobs_that_need_them(store: JobStore, add: Callable[..., Job]) -> None:
    jobs = [add() for _ in range(5)]
    claims = sorted((claimed(store) for _ in range(4)), key=lambda claim: [job.id for job in jobs].index(claim.id))
    running, succeeded, failed, cancelled = claims
    store.succeed(succeeded, [MADE])
    store.fail(failed, PROBLEM, [ImageReport(0)])
    store.delete(cancelled.id, cancelled.owner)
    [queued] = {job.id for job in jobs} - {claim.id for claim in claims}
    unknown = [f"{number:032x}" for number in range(1200)]  # more than one question to the database
    assert store.keeps_files([*unknown, *(job.id for job in jobs)]) == {
        queued: True,
        running.id: True,
        succeeded.id: True,
        failed.id: False,
        cancelled.id: False,
    }
    assert store.keeps_files([]) == {}


def test_lists_are_newest_first_own_limited_and_by_state(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    mine = []
    for _ in range(4):
        mine.insert(0, add().id)
        add(owner="line-4")
        clock.now += 1
    assert [job.id for job in store.list("line-3", limit=100)] == mine
    assert [job.id for job in store.list("line-3", limit=2)] == mine[:2]
    store.delete(mine[1], "line-3")
    assert [job.id for job in store.list("line-3", limit=100, state=JobState.QUEUED)] == [mine[0], *mine[2:]]
    assert [job.id for job in store.list("line-3", limit=100, state=JobState.CANCELLED)] == [mine[1]]
    store.delete(mine[1], "line-3")
    assert [job.id for job in store.list("line-3", limit=100)] == [mine[0], *mine[2:]]
    assert store.list("nobody", limit=100) == []


def test_counts_are_of_unfinished_jobs_of_all_owners(store: JobStore, add: Callable[..., Job]) -> None:
    assert store.counts() == {JobState.QUEUED: 0, JobState.RUNNING: 0}
    for owner in ("a", "b", "c", "d", "e", "f"):
        add(owner=owner)
    store.succeed(claimed(store), [MADE])
    store.fail(claimed(store), PROBLEM, [])
    claimed(store)
    assert store.counts() == {JobState.QUEUED: 3, JobState.RUNNING: 1}


def test_a_stamp_changes_with_whatever_is_written(store: JobStore, add: Callable[..., Job], clock: Clock) -> None:
    job, other = add(), add()
    seen: list[Any] = []

    def changed() -> bool:
        seen.append(store.stamps([job.id, "unknown"]))
        assert list(seen[-1]) == [job.id]
        return seen[-1] not in seen[:-1]

    assert changed()
    assert not changed()
    claim = claimed(store)
    if claim.id != job.id:
        claim, other = claimed(store), claim
    assert claim.id == job.id
    assert changed()
    assert not changed()
    clock.now += 1
    assert store.renew(claim, LEASE, 0.0, [MADE])
    assert changed()
    store.delete(other.id, "line-3")
    assert not changed()
    assert store.release(claim)
    assert changed()
    claim = claimed(store)
    assert changed()
    assert store.succeed(claim, [MADE])
    assert changed()
    store.delete(job.id, "line-3")
    assert changed()


def test_what_would_be_said_of_a_job_is_known_before_it_is_added(store: JobStore, new_job: Make) -> None:
    def check(fingerprint: str = "f", max_waiting: int = 1) -> Job | None:
        return store.check("line-3", idempotency_key="k", fingerprint=fingerprint, max_waiting=max_waiting)

    assert check() is None
    job, _ = store.add(new_job(), idempotency_key="k", fingerprint="f", max_waiting=1)
    assert check() == job
    with pytest.raises(IdempotencyConflict):
        check("another")
    with pytest.raises(JobsFull):
        store.check("line-3", idempotency_key=None, fingerprint="f", max_waiting=1)


def test_what_is_asked_often_reads_no_ended_jobs(tmp_path: Any, new_job: Make) -> None:
    """Of which there are as many as a week brings: no question scans the table, and each names an index that leaves them out."""
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}", result_seconds=RESULT_SECONDS)
    plans: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *others: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            lines = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.extend(line[-1] for line in lines if line[-1].startswith(("SCAN", "SEARCH")))

    job, _ = store.add(new_job(), idempotency_key="k", fingerprint="f", max_waiting=9)
    sa.event.listen(store._engine, "before_cursor_execute", explain)
    claim = claimed(store)
    store.renew(claim, LEASE, 0.5, [])
    store.get(job.id, job.owner)
    store.stamps([job.id])
    store.keeps_files([job.id])
    store.check(job.owner, idempotency_key="k", fingerprint="f", max_waiting=9)
    store.fail_dead(lambda _: PROBLEM)
    store.counts()
    store.expire()
    with pytest.raises(JobsFull):
        store.check(job.owner, idempotency_key=None, fingerprint="f", max_waiting=0)
    store.close()
    assert len(plans) >= 12
    assert [plan for plan in plans if plan.startswith("SCAN")] == []
    assert {"(state=? AND finished_at>?)", "(expires_at<?)", "(state=?)", "(id=?)"} <= {plan[plan.index("(") :] for plan in plans}


def test_sqlite_keeps_what_it_has_accepted(tmp_path: Any) -> None:
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    store.close()


def test_a_database_that_was_restarted_is_used_again(postgresql: str, new_job: Make) -> None:
    store = JobStore(postgresql)
    new = new_job()
    store.add(new, idempotency_key=None, fingerprint="f", max_waiting=9)
    engine = sa.create_engine(postgresql)
    with engine.connect() as connection:  # what a restart does to the store's connections
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type LIKE 'client%'"
        )
        assert len(connection.exec_driver_sql(others.replace("%", "%%")).all()) >= 1
    engine.dispose()
    assert store.get(new.id, new.owner) is not None
    assert store.delete(new.id, new.owner) is not None
    with store._transaction(writes=True) as connection:
        connection.exec_driver_sql("DELETE FROM monotwin_jobs")
    store.close()


def test_a_connection_that_was_reset_counts_as_lost_and_not_as_a_fault(postgresql: str) -> None:
    """pg8000 passes some of the socket's errors on as they are."""

    class Reset:
        autocommit = True

        def cursor(self) -> Any:
            raise ConnectionResetError(104, "Connection reset by peer")

    store = JobStore(postgresql)
    dialect = store._engine.dialect
    with pytest.raises(dialect.loaded_dbapi.InterfaceError) as told:
        dialect.do_ping(Reset())
    assert dialect.is_disconnect(told.value, None, None)
    store.close()


def test_an_address_need_not_name_the_driver(postgresql: str) -> None:
    store = JobStore(postgresql.replace("+pg8000", ""))
    assert store._engine.driver == "pg8000"
    store.close()


def test_a_database_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(sa.exc.SQLAlchemyError):
        JobStore("postgresql+pg8000://nobody@127.0.0.1:1/none")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pg8000 leaves a broken socket to the collector
def test_a_database_that_does_not_answer_in_time_is_a_database_error(
    postgresql: str, new_job: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver passes on what the socket says; the connection is of no use afterwards, and another one is taken."""
    monkeypatch.setattr("app.jobs.store.SOCKET_SECONDS", 1.0)  # long for what does answer, on a machine with much else to do
    store, other = JobStore(postgresql), sa.create_engine(postgresql)
    try:
        job, _ = store.add(new_job(), idempotency_key=None, fingerprint="f", max_waiting=99)
        with other.begin() as connection:
            connection.execute(sa.text("LOCK TABLE monotwin_jobs IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(sa.exc.SQLAlchemyError):
                store.get(job.id, job.owner)
            with pytest.raises(sa.exc.DBAPIError) as told:
                store.claim("one", LEASE)
            assert told.value.connection_invalidated  # so that nobody takes it for an answer
        assert store.get(job.id, job.owner) == job
    finally:
        store.close()
        with other.begin() as connection:
            connection.execute(sa.text("DROP TABLE monotwin_jobs"))
        other.dispose()
        gc.collect()  # here and not in another test, which would be told

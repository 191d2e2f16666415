"""The database of jobs: one code for SQLite, where one host suffices, and PostgreSQL, which several services can share.

Every change is one short transaction. A job is taken by a *claim*, which holds for a lease and is fenced by (id, attempts): what
a claim writes is `UPDATE ... WHERE id AND attempts AND state = running`, so of two workers who think that they have a job only
the newer one can finish it, and a job that was cancelled under a worker stays cancelled.
"""

import math
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from app.errors import IdempotencyConflict, JobsFull
from app.jobs.job import ImageReport, Job, JobState, NewJob

MAX_ATTEMPTS = 3  # claims that may die under a job: it is probably what kills them
ROW_FACTOR = 7  # a job answers that it is gone for so many times as long as its results were kept
RECENT = 20  # finished jobs that tell how long one takes
RECENT_SECONDS = 600.0  # older ones say nothing about now
GUESSED_SECONDS = 60  # Retry-After before any job was finished
MAX_RETRY_SECONDS = 600
LOCK_SECONDS = 30.0  # SQLite's writers wait for each other so long
SOCKET_SECONDS = 30.0  # a database that does not answer is an error, not a hanging thread
CREATION_LOCK = 0x6D6F6E6F  # PostgreSQL's advisory lock while tables are made
IDS_AT_ONCE = 500
UNFINISHED = (JobState.QUEUED, JobState.RUNNING)
JOB_ID = re.compile(r"[0-9a-f]{32}")

_metadata = sa.MetaData()
_jobs = sa.Table(
    "monotwin_jobs",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("order", sa.JSON, nullable=False),
    sa.Column("image_count", sa.Integer, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("state", sa.Enum(JobState, native_enum=False, length=16, values_callable=list), nullable=False),
    sa.Column("progress", sa.Double, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("finished_at", sa.Double),
    sa.Column("expires_at", sa.Double),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("problem", sa.JSON(none_as_null=True)),
    sa.Column("images", sa.JSON, nullable=False),
    sa.Column("removed", sa.Boolean, nullable=False),
    # What nobody but the store needs to know.
    sa.Column("idempotency_key", sa.Text),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("lease_until", sa.Double),
    sa.Column("released", sa.Integer, nullable=False),  # attempts that were handed back, and so do not count
    sa.UniqueConstraint("owner", "idempotency_key"),
    sa.Index("monotwin_jobs_by_state", "state", "created_at"),
    sa.Index("monotwin_jobs_by_owner", "owner", "created_at"),
    sa.Index("monotwin_jobs_by_end", "state", "finished_at"),
    sa.Index("monotwin_jobs_by_expiry", "expires_at"),
)
_PUBLIC = [_jobs.c[name] for name in Job.__dataclass_fields__]


class JobStore:
    """All methods block, may be called from any thread, and raise `sqlalchemy.exc.SQLAlchemyError` when the database fails.

    address: of SQLAlchemy, `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`; the table is made where it is
    missing. result_seconds: how long a finished job keeps its files. clock: unix seconds; services that share a database need
    clocks that agree to a small part of a lease.
    """

    def __init__(self, address: str, *, result_seconds: float = 86_400.0, clock: Callable[[], float] = time.time) -> None:
        self._result_seconds = result_seconds
        self._clock = clock
        self._engine = _engine(address)
        with self._transaction(writes=True) as connection:
            if connection.dialect.name == "postgresql":  # where two services that start at once would both make the table
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATION_LOCK)))
            _metadata.create_all(connection)

    def close(self) -> None:
        """Give back the connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(monotwin_writes=writes) as connection, connection.begin():
                yield connection
        except OSError as error:  # pg8000 passes on what the socket says of a server that takes too long
            raise sa.exc.OperationalError(None, None, error, connection_invalidated=True) from error

    # What clients ask for.

    def add(self, job: NewJob, *, idempotency_key: str | None, fingerprint: str, max_waiting: int) -> tuple[Job, bool]:
        """The job and True; or, for a key that this owner has sent before, the job that it made then and False.

        fingerprint: equal for equal requests. Its files have to be on disk already; unless the answer is True, they are not
        needed. Raises IdempotencyConflict for a key that came with another fingerprint, JobsFull where `max_waiting` are queued.
        """
        try:
            with self._transaction(writes=True) as connection:
                earlier = self._check(connection, job.owner, idempotency_key, fingerprint, max_waiting)
                return (earlier, False) if earlier else (self._insert(connection, job, idempotency_key, fingerprint), True)
        except sa.exc.IntegrityError:  # the same key, at the same moment
            with self._transaction() as connection:
                earlier = self._earlier(connection, job.owner, idempotency_key, fingerprint)
            if earlier is None:
                raise
            return earlier, False

    def check(self, owner: str, *, idempotency_key: str | None, fingerprint: str, max_waiting: int) -> Job | None:
        """What `add` would say now, before anybody writes files for nothing: the earlier job, or None; raises what it does."""
        with self._transaction() as connection:
            return self._check(connection, owner, idempotency_key, fingerprint, max_waiting)

    def _check(self, connection: sa.Connection, owner: str, key: str | None, fingerprint: str, max_waiting: int) -> Job | None:
        earlier = self._earlier(connection, owner, key, fingerprint)
        if earlier is None:
            waiting = connection.scalar(sa.select(sa.func.count()).select_from(_jobs).where(_jobs.c.state == JobState.QUEUED))
            if (waiting or 0) >= max_waiting:
                raise JobsFull(f"jobs: expected fewer than {max_waiting} to wait", self._retry_after(connection))
        return earlier

    def _earlier(self, connection: sa.Connection, owner: str, key: str | None, fingerprint: str) -> Job | None:
        if key is None:
            return None
        query = sa.select(*_PUBLIC, _jobs.c.fingerprint).where(_jobs.c.owner == owner, _jobs.c.idempotency_key == key)
        row = connection.execute(query).mappings().first()
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            raise IdempotencyConflict(f"Idempotency-Key: expected the request that it came with first, got another: {key}")
        return _job(row)

    def _insert(self, connection: sa.Connection, job: NewJob, key: str | None, fingerprint: str) -> Job:
        values = {
            "id": job.id,
            "owner": job.owner,
            "kind": job.kind,
            "order": job.order,
            "image_count": job.image_count,
            "request_id": job.request_id,
            "state": JobState.QUEUED,
            "progress": 0.0,
            "created_at": self._clock(),
            "attempts": 0,
            "images": [ImageReport(index).to_json() for index in range(job.image_count)],
            "removed": False,
            "idempotency_key": key,
            "fingerprint": fingerprint,
            "released": 0,
        }
        row = connection.execute(sa.insert(_jobs).values(values).returning(*_PUBLIC)).mappings().one()
        return _job(row)

    def _retry_after(self, connection: sa.Connection) -> int:
        """Whole seconds in which, as things went lately, one job is finished."""
        now = self._clock()
        newest = (
            sa.select(_jobs.c.finished_at)
            .where(_jobs.c.state.in_([JobState.SUCCEEDED, JobState.FAILED]), _jobs.c.finished_at > now - RECENT_SECONDS)
            .order_by(_jobs.c.finished_at.desc())
            .limit(RECENT)
        )
        finished: Sequence[float] = connection.scalars(newest).all()
        if not finished:
            return GUESSED_SECONDS
        return min(max(1, math.ceil((now - finished[-1]) / len(finished))), MAX_RETRY_SECONDS)

    def get(self, job_id: str, owner: str) -> Job | None:
        """The job; None where there is none, or where it is another owner's. It may be `removed`."""
        if not JOB_ID.fullmatch(job_id):  # what a client wrote need not even be text for PostgreSQL
            return None
        query = sa.select(*_PUBLIC).where(_jobs.c.id == job_id, _jobs.c.owner == owner)
        with self._transaction() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _job(row)

    def list(self, owner: str, *, limit: int, state: JobState | None = None) -> Sequence[Job]:
        """The owner's newest jobs, newest first, without those that are removed."""
        query = sa.select(*_PUBLIC).where(_jobs.c.owner == owner, _jobs.c.removed.is_(False))
        if state is not None:
            query = query.where(_jobs.c.state == state)
        query = query.order_by(_jobs.c.created_at.desc(), _jobs.c.id.desc()).limit(limit)
        with self._transaction() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def stamps(self, job_ids: Collection[str]) -> dict[str, Hashable]:
        """For each of these jobs something that differs from before when the job was written to; unknown ones are left out."""
        stamp = (_jobs.c.state, _jobs.c.attempts, _jobs.c.lease_until, _jobs.c.removed)  # each heartbeat moves the lease
        return {row.id: tuple(row)[1:] for row in self._rows(job_ids, *stamp)}

    def delete(self, job_id: str, owner: str) -> Job | None:
        """Cancel a job that waits or runs, and mark a finished one as removed; the job as it is then, None as for `get`.

        Whoever works on it learns of it at the next `renew`. Its files go with the next sweep.
        """
        if not JOB_ID.fullmatch(job_id):
            return None
        mine = (_jobs.c.id == job_id) & (_jobs.c.owner == owner)
        unfinished = _jobs.c.state.in_(UNFINISHED)
        with self._transaction(writes=True) as connection:
            cancel = sa.update(_jobs).where(mine, unfinished).values(self._finished(JobState.CANCELLED))
            if connection.execute(cancel).rowcount == 0:
                connection.execute(sa.update(_jobs).where(mine).values(removed=True))
            row = connection.execute(sa.select(*_PUBLIC).where(mine)).mappings().first()
        return None if row is None else _job(row)

    # What workers ask for.

    def claim(self, worker: str, lease_seconds: float) -> Job | None:
        """The oldest job that is queued, or whose claim has died, now running for this worker; None where there is none."""
        with self._transaction(writes=True) as connection:
            now = self._clock()  # only here: to begin may have taken longer than a lease
            died = (_jobs.c.state == JobState.RUNNING) & (_jobs.c.lease_until < now)
            may_run = (_jobs.c.state == JobState.QUEUED) | (died & (_jobs.c.attempts - _jobs.c.released < MAX_ATTEMPTS))
            oldest = sa.select(_jobs.c.id, _jobs.c.image_count).where(may_run).order_by(_jobs.c.created_at, _jobs.c.id).limit(1)
            found = connection.execute(oldest.with_for_update(skip_locked=True)).first()  # SQLite's writers are alone anyway
            if found is None:
                return None
            values = {
                "state": JobState.RUNNING,
                "progress": 0.0,
                "images": [ImageReport(index).to_json() for index in range(found.image_count)],
                "started_at": now,
                "worker": worker,
                "lease_until": now + lease_seconds,
                "attempts": _jobs.c.attempts + 1,
            }
            change = sa.update(_jobs).where(_jobs.c.id == found.id).values(values).returning(*_PUBLIC)
            return _job(connection.execute(change).mappings().one())

    def fail_dead(self, problem: Callable[[Job], dict[str, Any]]) -> Sequence[Job]:
        """Give up jobs under which `MAX_ATTEMPTS` claims have died: they fail with `problem(job)` and are returned."""
        dead = (
            (_jobs.c.state == JobState.RUNNING)
            & (_jobs.c.lease_until < self._clock())
            & (_jobs.c.attempts - _jobs.c.released >= MAX_ATTEMPTS)
        )
        failed = []
        with self._transaction(writes=True) as connection:
            rows = connection.execute(sa.select(*_PUBLIC).where(dead).with_for_update(skip_locked=True)).mappings().all()
            for row in rows:
                values = {**self._finished(JobState.FAILED), "problem": problem(_job(row))}
                change = sa.update(_jobs).where(_jobs.c.id == row["id"]).values(values).returning(*_PUBLIC)
                failed.append(_job(connection.execute(change).mappings().one()))
        return failed

    def renew(self, claim: Job, lease_seconds: float, progress: float, images: Sequence[ImageReport]) -> bool:
        """Heartbeat. False: the job is this claim's no more, being cancelled or claimed anew, and work on it should stop."""
        values = {"progress": progress, "images": _stored(images)}
        return self._write(claim, lambda: {**values, "lease_until": self._clock() + lease_seconds})

    def succeed(self, claim: Job, images: Sequence[ImageReport]) -> bool:
        """Done, and the files of this claim are the results. False: they are not, the job is this claim's no more.

        Saying it again after it was so is True again: after an error nobody knows whether the first time counted.
        """
        values = {"progress": 1.0, "images": _stored(images)}
        written = self._write(claim, lambda: {**values, **self._finished(JobState.SUCCEEDED)})
        return written or self._is(claim, JobState.SUCCEEDED)

    def fail(self, claim: Job, problem: dict[str, Any], images: Sequence[ImageReport]) -> bool:
        """Done without a result; as `succeed`."""
        values = {"problem": problem, "images": _stored(images)}
        written = self._write(claim, lambda: {**values, **self._finished(JobState.FAILED)})
        return written or self._is(claim, JobState.FAILED)

    def release(self, claim: Job) -> bool:
        """Back to the queue, at its old place; the attempt does not count."""
        values = {"state": JobState.QUEUED, "progress": 0.0, "released": _jobs.c.released + 1, "lease_until": None}
        return self._write(claim, lambda: values)

    def _finished(self, state: JobState) -> dict[str, Any]:
        now = self._clock()
        return {"state": state, "finished_at": now, "expires_at": now + self._result_seconds, "lease_until": None}

    def _write(self, claim: Job, values: Callable[[], dict[str, Any]]) -> bool:
        """The one place where a claim changes its job; the values are those of the moment at which it may."""
        held = (_jobs.c.id == claim.id) & (_jobs.c.attempts == claim.attempts) & (_jobs.c.state == JobState.RUNNING)
        with self._transaction(writes=True) as connection:
            return connection.execute(sa.update(_jobs).where(held).values(values())).rowcount == 1

    def _is(self, claim: Job, state: JobState) -> bool:
        """Whether this claim has brought its job there."""
        job = self.get(claim.id, claim.owner)
        return job is not None and (job.state, job.attempts) == (state, claim.attempts)

    # What keeping house needs.

    def expire(self) -> int:
        """Mark jobs as removed whose results have been kept long enough, and forget those that were removed long ago.

        Returns how many it marked. Their files go with the next sweep.
        """
        now = self._clock()
        forgotten = _jobs.c.expires_at <= now - ROW_FACTOR * self._result_seconds
        with self._transaction(writes=True) as connection:
            connection.execute(sa.delete(_jobs).where(forgotten))
            due = sa.update(_jobs).where(_jobs.c.expires_at <= now, _jobs.c.removed.is_(False)).values(removed=True)
            return int(connection.execute(due).rowcount)

    def keeps_files(self, job_ids: Collection[str]) -> dict[str, bool]:
        """Whether each of these jobs still needs its files; jobs that are unknown here are left out."""
        # A failed batch has no results, and a cancelled job's may be half made.
        needed = sa.not_(_jobs.c.removed) & _jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED])
        return {row.id: bool(row.needed) for row in self._rows(job_ids, needed.label("needed"))}

    def _rows(self, job_ids: Collection[str], *columns: sa.ColumnElement[Any]) -> Iterator[sa.Row[Any]]:
        """The id and these columns of each of these jobs that there is."""
        ids = list(job_ids)
        with self._transaction() as connection:
            for begin in range(0, len(ids), IDS_AT_ONCE):
                yield from connection.execute(
                    sa.select(_jobs.c.id, *columns).where(_jobs.c.id.in_(ids[begin : begin + IDS_AT_ONCE]))
                )

    def counts(self) -> dict[JobState, int]:
        """Jobs of all owners that wait, and that run. Ended ones are not counted: there may be very many."""
        unfinished = _jobs.c.state.in_(UNFINISHED)
        query = sa.select(_jobs.c.state, sa.func.count().label("jobs")).where(unfinished).group_by(_jobs.c.state)
        with self._transaction() as connection:
            counted = {row.state: row.jobs for row in connection.execute(query)}
        return {state: counted.get(state, 0) for state in UNFINISHED}


def _stored(images: Sequence[ImageReport]) -> list[dict[str, Any]]:
    return [image.to_json() for image in images]


def _job(row: sa.RowMapping) -> Job:
    values = {name: row[name] for name in Job.__dataclass_fields__}
    images = tuple(ImageReport.from_json(image) for image in values["images"])
    return Job(**{**values, "images": images})


def _engine(address: str) -> sa.Engine:
    url = make_url(address)
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+pg8000")  # the driver that is installed, whatever SQLAlchemy's own choice is
    if url.get_backend_name() != "sqlite":
        if not url.username:  # of which the driver would make a TypeError
            raise sa.exc.ArgumentError(f"{url.render_as_string()}: expected a user, found none")
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args={"timeout": SOCKET_SECONDS})
        ping = engine.dialect.do_ping

        def do_ping(connection: Any) -> bool:
            """Finds out a connection that died with a database's restart, before it is used."""
            try:
                return ping(connection)
            except OSError as error:  # pg8000 passes on some of what the socket says, which SQLAlchemy does not know
                raise engine.dialect.loaded_dbapi.InterfaceError("network error") from error

        engine.dialect.do_ping = do_ping  # type: ignore[method-assign, assignment]  # of this engine alone
        return engine
    if url.database is not None:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": LOCK_SECONDS, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver would begin transactions by rules of its own
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")  # an accepted job survives a power cut

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first and writes later fails at once when another one wrote in between; this one waits before.
        writes = connection.get_execution_options().get("monotwin_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(connection: Any) -> None:
    """Keep a write-ahead log, so that readers and the writer do not wait for each other.

    Only the first switch of a database changes anything, and SQLite refuses that one at once, whatever the connection's timeout,
    while another connection has begun to write: so this waits until nobody does, and asks again.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # the low byte; the others tell of what kind
                raise
        connection.execute("BEGIN IMMEDIATE")  # raises after `LOCK_SECONDS`
        connection.execute("COMMIT")

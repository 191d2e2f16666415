"""Both databases for real: a PostgreSQL server of our own for the session, where its programs are installed."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.jobs.job import NewJob, new_job_id
from app.jobs.store import JobStore

RESULT_SECONDS = 100.0


class Clock:
    """Unix seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def programs_of_postgresql() -> Path | None:
    """Where initdb and pg_ctl lie: in the package `pgserver`, else on the path."""
    package = importlib.util.find_spec("pgserver")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall" / "bin"
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a fresh server that listens on a socket file only; a test that needs it fails where none starts."""
    programs = programs_of_postgresql()
    if programs is None:
        pytest.fail("PostgreSQL: expected the package pgserver, of the extra dev, or initdb on the path; found neither")
    folder = Path(tempfile.mkdtemp(prefix="monotwin-"))  # not pytest's: a socket's path has to be short
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    if user is not None:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        with (folder / "output").open("ab") as output:  # not a pipe, which the server would keep open
            subprocess.run(
                [programs / program, "-D", folder / "data", *arguments],
                user=user,
                cwd=folder,
                stdout=output,
                stderr=output,
                check=True,
            )

    try:
        try:
            run("initdb", "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync")
            run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", f"-c listen_addresses= -c fsync=off -k {folder}", "start")
        except (OSError, subprocess.SubprocessError) as error:
            output = (folder / "output").read_text() if (folder / "output").exists() else ""
            pytest.fail(f"PostgreSQL: expected a server to start, {error}; {output[-500:]}")
        yield f"postgresql+pg8000://postgres@/postgres?unix_sock={folder}/.s.PGSQL.5432"
        run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / 'jobs.sqlite'}"
        return
    address = request.getfixturevalue("postgresql")
    yield address
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS monotwin_jobs"))
    engine.dispose()


@pytest.fixture
def open_store(address: str, clock: Clock) -> Iterator[Callable[[], JobStore]]:
    """Opens the same database again, as another service would."""
    opened: list[JobStore] = []

    def open_another() -> JobStore:
        opened.append(JobStore(address, result_seconds=RESULT_SECONDS, clock=clock))
        return opened[-1]

    yield open_another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], JobStore]) -> JobStore:
    return open_store()


@pytest.fixture
def new_job() -> Callable[..., NewJob]:
    """A job with these fields, and others that do not matter."""

    def make(**fields: object) -> NewJob:
        order = {"fields": {"resolution": 64}, "format": "glb"}
        defaults = {"owner": "line-3", "kind": "single", "order": order, "image_count": 1, "request_id": "request-1"}
        return NewJob(**{"id": new_job_id(), **defaults, **fields})

    return make

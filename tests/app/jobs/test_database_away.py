"""A database of jobs that fails under a running service: a problem for who needs it, nothing for the others, and an end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.jobs.store import JobStore
from tests.app.service import Client, assert_problem

PATIENCE_SECONDS = 20.0


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set: no transaction begins any more."""
    away = threading.Event()
    transaction = JobStore._transaction

    @contextmanager
    def perhaps(store: JobStore, *, writes: bool = False) -> Iterator[sa.Connection]:
        if away.is_set():
            raise sa.exc.OperationalError("statement", {}, Exception("the database is away"))
        with transaction(store, writes=writes) as connection:
            yield connection

    monkeypatch.setattr(JobStore, "_transaction", perhaps)
    return away


def unfinished(client: Client) -> list[str]:
    lines = client.get("/metrics").text.splitlines()
    return [line.split()[-1] for line in lines if line.startswith("monotwin_jobs_unfinished{")]


def test_a_database_that_is_away_is_a_503_and_work_goes_on_when_it_is_back(
    away: threading.Event, client: Client, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.telemetry.COUNTS_KEPT_SECONDS", 0.0)
    later = {"Prefer": "respond-async"}
    job = client.reconstruct(photo, later, resolution="32").headers["Location"]
    finished(client, job)
    assert unfinished(client) == ["0.0", "0.0"]

    away.set()
    paths = ["", "/events", "/mesh", "/archive", "/images/0/mesh"]
    answers = [client.get("/jobs"), *(client.get(job + path) for path in paths), client.request("DELETE", job)]
    answers += [
        client.reconstruct(photo, later),
        client.reconstruct(photo, {**later, "Idempotency-Key": "k"}),
        client.post("/reconstruct/batch", files=[("image", photo)]),
    ]
    for answer in answers:
        assert_problem(answer, 503, "jobs-unavailable")
        assert answer.headers["Retry-After"] == "5"
    assert client.reconstruct(photo, resolution="32").status_code == 200
    assert client.get("/health/ready").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert unfinished(client) == ["NaN", "NaN"]

    away.clear()
    again = client.reconstruct(photo, {**later, "Idempotency-Key": "k"}, resolution="32")
    assert again.status_code == 202
    finished(client, again.headers["Location"])
    assert client.get(f"{job}/mesh").content == client.get(f"{again.headers['Location']}/mesh").content
    assert {entry["state"] for entry in client.get("/jobs").json()["jobs"]} == {"succeeded"}
    assert unfinished(client) == ["0.0", "0.0"]


def finished(client: Client, job: str) -> dict[str, Any]:
    """The job, when it has succeeded."""
    text = client.begin("GET", f"{job}/events").result(PATIENCE_SECONDS).text
    assert "event: succeeded\n" in text
    found: dict[str, Any] = client.get(job).json()
    return found

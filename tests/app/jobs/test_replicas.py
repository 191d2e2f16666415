"""Two services as an operator starts them: one PostgreSQL, one data folder, one bundle, a port each."""

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.app.test_signals import SERVE, free_port

JOBS = 8  # and two in hand: enough that the one who is killed leaves some
PATIENCE_SECONDS = 120.0


@dataclass
class Replica:
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def accept(self, photo: bytes, key: str | None = None, resolution: int = 32) -> dict[str, Any]:
        """A job."""
        headers = {"Prefer": "respond-async", **({} if key is None else {"Idempotency-Key": key})}
        answer = self.client.post("/reconstruct", files={"image": photo}, data={"resolution": str(resolution)}, headers=headers)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def is_ready(self) -> bool:
        assert self.process.poll() is None
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.client.get(f"/jobs/{job_id}").json()
        return job


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # other processes: nothing to wait for


@contextmanager
def replica(folder: Path, settings: dict[str, str]) -> Iterator[Replica]:
    port = free_port()
    with (folder / f"service-{port}.log").open("wb") as log:
        process = subprocess.Popen([*SERVE, "--port", str(port)], env=os.environ | settings, stdout=log, stderr=log)
    with process, httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_SECONDS) as client:
        try:
            yield Replica(process, client)
        finally:
            process.kill()


@pytest.fixture
def pair(postgresql: str, tiny_bundle: Path, tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    settings = {
        "MONOTWIN_JOBS_URL": postgresql,
        "MONOTWIN_DATA_DIR": str(tmp_path / "data"),
        "MONOTWIN_BUNDLE": str(tiny_bundle),
        "MONOTWIN_DEVICE": "cpu",
        "MONOTWIN_THREADS": "1",
        "MONOTWIN_JOB_SLOTS": "2",
    }
    with replica(tmp_path, settings) as one, replica(tmp_path, settings) as two:
        until(one.is_ready)
        until(two.is_ready)
        yield one, two
    engine = sa.create_engine(postgresql)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE monotwin_jobs"))
    engine.dispose()


def test_what_one_service_accepted_is_followed_and_fetched_through_the_other(pair: tuple[Replica, Replica], photo: bytes) -> None:
    one, two = pair
    job = one.accept(photo)["id"]
    with two.client.stream("GET", f"/jobs/{job}/events") as events:
        lines = [line.partition(": ")[::2] for line in events.iter_lines()]
    last = {name: value for name, value in lines[lines.index(("event", "succeeded")) :] if name}
    assert json.loads(last["data"]) == two.job(job) == one.job(job)
    meshes = [service.client.get(f"/jobs/{job}/mesh") for service in (one, two)]
    assert meshes[0].content == meshes[1].content
    assert meshes[0].content[:4] == b"glTF"
    archives = [service.client.get(f"/jobs/{job}/archive") for service in (one, two)]
    assert archives[0].content == archives[1].content


def test_a_key_that_comes_to_both_at_once_is_one_job(pair: tuple[Replica, Replica], photo: bytes) -> None:
    one, two = pair
    with ThreadPoolExecutor(2) as pool:
        for number in range(5):
            twins = list(pool.map(lambda service, key=str(number): service.accept(photo, key)["id"], (one, two)))
            assert twins[0] == twins[1]
    assert len(two.client.get("/jobs", params={"limit": 100}).json()["jobs"]) == 5


@pytest.mark.slow  # a lease has to run out
def test_one_service_finishes_what_the_other_died_of(
    pair: tuple[Replica, Replica], postgresql: str, photo: bytes, tmp_path: Path
) -> None:
    one, two = pair
    accepted = {one.accept(photo, resolution=128)["id"] for _ in range(JOBS)}
    engine = sa.create_engine(postgresql)

    def in_hand_of(process: subprocess.Popen[bytes]) -> set[str]:
        query = sa.text("SELECT id FROM monotwin_jobs WHERE state = 'running' AND worker LIKE :worker")
        with engine.connect() as connection:
            return set(connection.scalars(query, {"worker": f"%:{process.pid}"}))

    until(lambda: in_hand_of(one.process))
    one.process.kill()
    one.process.wait()
    orphaned = in_hand_of(one.process)
    engine.dispose()
    assert orphaned
    until(lambda: all(two.job(job_id)["state"] == "succeeded" for job_id in accepted))

    found = two.client.get("/jobs", params={"limit": 100}).json()["jobs"]
    assert Counter(entry["id"] for entry in found) == Counter(accepted)
    for job_id in accepted:
        results = sorted((tmp_path / "data" / "jobs" / job_id).glob("results-*"))
        assert [folder.name for folder in results] == [f"results-{2 if job_id in orphaned else 1}"]
        assert (results[0] / "000.glb").read_bytes() == two.client.get(f"/jobs/{job_id}/mesh").content
    ended = [
        line["job_id"]
        for log in tmp_path.glob("service-*.log")
        for line in map(json.loads, log.read_text().splitlines())
        if line["event"] == "job"
    ]
    assert set(Counter(ended).values()) == {1}
    assert set(ended) >= orphaned

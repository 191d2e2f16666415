"""A service is killed in the midst of its jobs, as by a power cut or for want of memory: every job is still done, and once."""

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.jobs.files import JobFiles, Upload
from app.jobs.job import JobState, NewJob, new_job_id
from app.jobs.store import JobStore
from tests.app.jobs.runner_process import SLOTS

JOBS = 50
MADE_BEFORE = 10
PATIENCE_SECONDS = 120.0
ROOT = Path(__file__).parents[3]


def start(address: str, folder: Path, meshes: int = JOBS) -> subprocess.Popen[bytes]:
    arguments = [address, str(folder), str(meshes)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.app.jobs.runner_process", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL
    )


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)  # another process: nothing to wait for


def test_after_a_kill_fifty_jobs_are_done_once_each(address: str, tmp_path: Path) -> None:
    store, files = JobStore(address), JobFiles(tmp_path)
    photos = {new_job_id(): b"photo %d" % number for number in range(JOBS)}
    for job_id, photo in photos.items():
        files.add(job_id, [Upload(photo)])
        new = NewJob(job_id, "line-3", "single", {"fields": {}, "format": "glb"}, 1, "request-1")
        store.add(new, idempotency_key=job_id, fingerprint="f", max_waiting=JOBS)

    killed = start(address, tmp_path, MADE_BEFORE)
    until(lambda: len(store.list("line-3", limit=JOBS, state=JobState.SUCCEEDED)) == MADE_BEFORE)
    until(lambda: store.counts()[JobState.RUNNING] == SLOTS)
    killed.kill()
    killed.wait()
    in_hand = {job.id for job in store.list("line-3", limit=JOBS, state=JobState.RUNNING)}
    assert len(in_hand) == SLOTS
    with store._transaction(writes=True) as connection:  # a lease later
        connection.exec_driver_sql("UPDATE monotwin_jobs SET lease_until = 0 WHERE state = 'running'")

    followers = [start(address, tmp_path) for _ in range(2)]  # the start after, and another service beside it
    assert [follower.wait(PATIENCE_SECONDS) for follower in followers] == [0, 0]

    jobs = store.list("line-3", limit=2 * JOBS)
    store.close()
    assert {job.id for job in jobs} == set(photos)
    assert Counter(job.state for job in jobs) == {JobState.SUCCEEDED: JOBS}
    assert {job.id: job.attempts for job in jobs} == {job_id: 2 if job_id in in_hand else 1 for job_id in photos}
    for job in jobs:
        folder = tmp_path / "jobs" / job.id
        left = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert left == {f"results-{job.attempts}/000.glb": b"mesh of " + photos[job.id]}


@pytest.mark.slow
def test_the_service_itself_does_what_it_accepted_though_it_is_killed(tmp_path: Path, photo: bytes) -> None:
    """`monotwin serve` with the default bundle, asked over HTTP alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"MONOTWIN_DATA_DIR": str(tmp_path), "MONOTWIN_PORT": str(port), "MONOTWIN_DEVICE": "cpu", "MONOTWIN_THREADS": "1"}
    command = [sys.executable, "-c", "from app.cli import main; main()", "serve"]

    def serve() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stderr=log)

    output = tmp_path / "log"
    with output.open("ab") as log, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:

        def answers() -> bool:
            try:
                return client.get("/health/ready").status_code == 200
            except httpx.TransportError:
                return False

        def succeeded() -> list[dict[str, Any]]:
            jobs: list[dict[str, Any]] = client.get("/jobs", params={"limit": 100, "state": "succeeded"}).json()["jobs"]
            return jobs

        service = serve()
        try:
            until(answers)
            accepted = set()
            for number in range(JOBS):
                headers = {"Prefer": "respond-async", "Idempotency-Key": str(number)}
                answer = client.post("/reconstruct", files={"image": photo}, data={"resolution": "32"}, headers=headers)
                assert answer.status_code == 202, answer.text
                accepted.add(answer.json()["id"])
            assert len(accepted) == JOBS
            before = len(succeeded())
            until(lambda: len(succeeded()) >= min(before + 5, JOBS - 5))
            service.kill()
            service.wait()
            service = serve()
            until(answers)
            until(lambda: len(succeeded()) == JOBS)
            jobs = succeeded()
            meshes = {job["id"]: client.get(f"/jobs/{job['id']}/mesh").content for job in jobs}
        finally:
            service.kill()
            service.wait()
    assert Counter(job["id"] for job in jobs) == Counter(accepted)
    assert len(set(meshes.values())) == 1  # the same photo, the same bytes, before and after
    for job_id, mesh in meshes.items():
        left = [path for path in (tmp_path / "jobs" / job_id).rglob("*") if path.is_file() and path.name != "image-000"]
        assert [(path.name, path.read_bytes()) for path in left] == [("000.glb", mesh)]
    ended = Counter(line["job_id"] for line in map(json.loads, output.read_text().splitlines()) if line["event"] == "job")
    assert set(ended.values()) == {1}
    assert len(ended) >= JOBS - 1  # one at most ended in the moment before the kill, with no time for its line

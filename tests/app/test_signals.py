"""What signals do to the service, as a process of its own."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import structlog
import uvicorn

from app.jobs.job import JobState
from app.jobs.store import JobStore
from app.server import Server
from tests.app.service import assert_problem

SERVE = [str(Path(sys.executable).with_name("monotwin")), "serve"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(condition, process):
    for _ in range(1500):
        try:
            if condition():
                return
        except httpx.TransportError:
            assert process.poll() is None
        time.sleep(0.02)
    raise AssertionError("the condition did not become true")


@contextmanager
def serving(bundle, data_dir):
    """A service that is ready: its process and a client."""
    port = free_port()
    environment = os.environ | {"MONOTWIN_BUNDLE": str(bundle), "MONOTWIN_DATA_DIR": str(data_dir), "MONOTWIN_DEVICE": "cpu"}
    command = [*SERVE, "--port", str(port)]
    with (data_dir.parent / f"service-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    with process, httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        try:
            wait_for(lambda: client.get("/health/ready").status_code == 200, process)
            yield process, client
        finally:
            process.kill()


def metric(client, line):
    return next(float(found.split()[-1]) for found in client.get("/metrics").text.splitlines() if found.startswith(line + " "))


def test_sigterm_finishes_what_is_in_hand_refuses_what_is_new_and_ends_with_zero(tiny_bundle, photo, tmp_path):
    with serving(tiny_bundle, tmp_path) as (process, client):
        answers = []

        def ask_for_something_large():
            with httpx.Client(base_url=client.base_url, trust_env=False, timeout=60) as other:
                answers.append(other.post("/reconstruct", files={"image": photo}, data={"resolution": "512"}))

        asking = threading.Thread(target=ask_for_something_large)
        asking.start()
        wait_for(lambda: metric(client, "monotwin_batch_size_count") == 1, process)  # its encoder has run
        process.send_signal(signal.SIGTERM)
        refused = []

        def is_refused():
            refused.append(client.post("/reconstruct", files={"image": photo}, data={"resolution": "32"}))
            return refused[-1].status_code == 503

        wait_for(is_refused, process)
        assert assert_problem(refused[-1], 503, "not-ready")["state"] == "draining"
        assert_problem(client.get("/health/ready"), 503, "not-ready")
        asking.join(60)
        assert [(answer.status_code, answer.content[:4]) for answer in answers] == [(200, b"glTF")]
        assert process.wait(20) == 0


def test_sighup_reads_the_bundle_anew_and_a_bad_one_leaves_the_old_one_serving(tiny_bundle, photo, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, bundle)
    manifest = bundle / "manifest.json"
    read = json.loads(manifest.read_text())
    with serving(bundle, tmp_path / "data") as (process, client):

        def versions():
            return [entry["version"] for entry in client.get("/bundles").json()]

        assert versions() == [read["version"]]
        manifest.write_text(json.dumps({**read, "version": "next"}))
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: versions() == ["next"], process)
        manifest.write_text("{")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: metric(client, 'monotwin_reloads_total{outcome="failed"}') == 1, process)
        assert versions() == ["next"]
        assert client.post("/reconstruct", files={"image": photo}, data={"resolution": "32"}).status_code == 200


def test_a_job_that_was_accepted_before_the_end_is_done_after_the_next_start(tiny_bundle, photo, tmp_path):
    with serving(tiny_bundle, tmp_path) as (process, client):
        fields = {"files": {"image": photo}, "data": {"resolution": "128"}, "headers": {"Prefer": "respond-async"}}
        accepted = [client.post("/reconstruct", **fields) for _ in range(5)]
        assert {answer.status_code for answer in accepted} == {202}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    with serving(tiny_bundle, tmp_path) as (process, client):
        for answer in accepted:
            wait_for(lambda job=answer.headers["Location"]: client.get(job).json()["state"] == "succeeded", process)
            assert client.get(f"{answer.headers['Location']}/mesh").content[:4] == b"glTF"


def test_a_second_signal_ends_the_wait_and_hands_the_job_back(tiny_bundle, photo, tmp_path):
    with serving(tiny_bundle, tmp_path) as (process, client):
        accepted = client.post("/reconstruct/batch", files=[("image", photo)] * 64, data={"resolution": "256"})
        wait_for(lambda: client.get(accepted.headers["Location"]).json()["state"] == "running", process)
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: client.get("/health/ready").json().get("state") == "draining", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    store = JobStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    job = store.get(accepted.json()["id"], "anonymous")
    assert job.state is JobState.QUEUED
    store.close()


def after_signals(count):
    """Signals at one moment, while a request is answered: the log contexts in which drains began, and whether the server ends."""
    found = []

    class Operations:
        async def drain(self):
            found.append(structlog.contextvars.get_contextvars())

    async def main():
        server = Server(uvicorn.Config(app="", log_config=None), Operations(), drain_seconds=10.0)
        server._loop = asyncio.get_running_loop()
        with structlog.contextvars.bound_contextvars(request_id="interrupted"):
            for _ in range(count):
                server.handle_exit(signal.SIGTERM, None)
        async with asyncio.timeout(5):
            while not server.should_exit:
                await asyncio.sleep(0.001)

    asyncio.run(main())
    return found


def test_a_drain_is_none_of_the_request_that_its_signal_interrupts():
    assert after_signals(1) == [{}]


def test_two_signals_at_one_moment_end_the_server():
    assert after_signals(2) in ([], [{}])

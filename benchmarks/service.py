"""A service of the benchmarks' own: the real one, in a process of its own, on a free loopback port."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from docs.examples.demo import SERVE, free_port, last_lines, stop

READY_SECONDS = 60
POLL_SECONDS = 0.01
DEADLINE_SECONDS = 600  # of the service and its clients: a slow machine shall show as a long time, not as a 504


class ServiceFailed(Exception):
    """The service ended or was not ready in time; the message says why."""


@dataclass(frozen=True)
class Service:
    """A service that is ready."""

    url: str
    process_id: int
    ready_seconds: float
    """From the start of the process until /health/ready was 200, seen every POLL_SECONDS."""


@contextmanager
def running_service(bundle: Path, settings: Mapping[str, str] = {}) -> Iterator[Service]:
    """Starts `monotwin serve`, waits until it is ready, stops it on leaving. settings: further environment variables."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "service.log"
        ours = {"BUNDLE": str(bundle), "DATA_DIR": folder, "DEADLINE_SECONDS": str(DEADLINE_SECONDS)}
        environment = os.environ | {f"MONOTWIN_{name}": value for name, value in ours.items()} | dict(settings)
        started = time.monotonic()
        with log.open("wb") as output:
            command = [*SERVE, "--host", "127.0.0.1", "--port", str(port)]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(process, url, log)
            yield Service(url, process.pid, time.monotonic() - started)
        finally:
            stop(process)


def client_of(url: str, seconds: float = DEADLINE_SECONDS) -> httpx.Client:
    """A client of the service; a proxy of the environment cannot reach this machine's loopback."""
    return httpx.Client(base_url=url, timeout=seconds, trust_env=False)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with client_of(url) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServiceFailed(f"the service ended with exit code {process.returncode}:\n{last_lines(log)}")
            try:
                answer = client.get("/health/ready")
                if answer.status_code == httpx.codes.OK:
                    return
                if answer.json().get("state") == "failed":
                    raise ServiceFailed(f"the service cannot start: {answer.json().get('detail')}")
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(POLL_SECONDS)
    raise ServiceFailed(f"the service was not ready within {READY_SECONDS} s:\n{last_lines(log)}")

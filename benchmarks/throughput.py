"""Requests per second that the real service answers to several clients at once.

    python -m benchmarks.throughput [--bundle DIR] [--photo PNG] [--resolution R] [--clients C ...] [--seconds S] [--out JSON]

Starts `monotwin serve` on a free loopback port. For each number of clients, that many threads post the photo, each again as
soon as it has its mesh, until the seconds are over; what was begun is finished and counted. A 503 is a refusal: the client
waits as long as `Retry-After` says, but not past the end. Prints meshes per second (meshes / seconds until the last one
came), the median and the 95th percentile of the seconds from request to mesh, the share of refusals among all requests, and
the rate as a multiple of one client's.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.measure import DEFAULT_BUNDLE, SAMPLE, machine, table, write_json
from benchmarks.service import client_of, running_service

CLIENTS = (1, 2, 4, 8)
RESOLUTION = 128
SECONDS = 10.0


@dataclass
class Answers:
    """What a client, or several, got: seconds of each mesh, when it came (seconds since the start), and the refusals."""

    seconds: list[float] = field(default_factory=list)
    came: list[float] = field(default_factory=list)
    refusals: int = 0


@dataclass(frozen=True)
class Load:
    """What a number of clients got together."""

    clients: int
    meshes: int
    refusals: int
    per_second: float
    p50: float
    p95: float

    @classmethod
    def of(cls, answers: Sequence[Answers]) -> Load:
        """answers: one for each client; there is at least one mesh."""
        seconds = [value for answer in answers for value in answer.seconds]
        last = max(value for answer in answers for value in answer.came)
        p50, p95 = np.percentile(seconds, [50, 95]).tolist()
        return cls(len(answers), len(seconds), sum(answer.refusals for answer in answers), len(seconds) / last, p50, p95)

    @property
    def refused_share(self) -> float:
        """Refusals among all requests."""
        return self.refusals / (self.refusals + self.meshes)


class Clock:
    """Time of a load: when it began and how to wait; tests bring their own."""

    def __init__(
        self, seconds: float, now: Callable[[], float] = time.perf_counter, wait: Callable[[float], object] | None = None
    ) -> None:
        self._now = now
        self._wait = wait or threading.Event().wait
        self._began = now()
        self._seconds = seconds

    def elapsed(self) -> float:
        return self._now() - self._began

    def left(self) -> float:
        """Seconds until nothing new is begun; not below zero."""
        return max(0.0, self._seconds - self.elapsed())

    def wait(self, seconds: float) -> None:
        """Waits, but not past the end."""
        self._wait(min(seconds, self.left()))


def ask_repeatedly(client: httpx.Client, photo: bytes, resolution: int, clock: Clock) -> Answers:
    """One client, once at least, until the clock has run out; any other answer than 200 and 503 is an error."""
    answers = Answers()
    while True:
        began = clock.elapsed()
        answer = client.post("/reconstruct", files={"image": ("photo", photo)}, data={"resolution": str(resolution)})
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            answers.refusals += 1
            clock.wait(float(answer.headers["Retry-After"]))
        else:
            answer.raise_for_status()
            answers.came.append(clock.elapsed())
            answers.seconds.append(answers.came[-1] - began)
        if clock.left() <= 0:
            return answers


def load(url: str, photo: bytes, resolution: int, clients: int, seconds: float) -> Load:
    """`clients` threads at once, each with a connection of its own."""
    with ExitStack() as stack:
        connections = [stack.enter_context(client_of(url)) for _ in range(clients)]
        clock = Clock(seconds)
        with ThreadPoolExecutor(clients) as pool:
            return Load.of(list(pool.map(lambda client: ask_repeatedly(client, photo, resolution, clock), connections)))


def load_table(loads: Sequence[Load]) -> str:
    """A row for each number of clients; ratios are to the first row."""
    header = ["clients", "meshes", "meshes/s", "p50 s", "p95 s", "refused", f"times {loads[0].clients} client's rate"]
    rows = [
        (
            one.clients,
            one.meshes,
            f"{one.per_second:.3f}",
            f"{one.p50:.3f}",
            f"{one.p95:.3f}",
            f"{one.refused_share:.1%}",
            f"{one.per_second / loads[0].per_second:.3f}",
        )
        for one in loads
    ]
    return table(header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Requests per second of the real service.")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--photo", type=Path, default=SAMPLE)
    parser.add_argument("--resolution", type=int, default=RESOLUTION)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for each number of clients")
    parser.add_argument("--queue-size", type=int, help="requests that may wait; default: the service's")
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    wanted = parser.parse_args(arguments)
    photo = wanted.photo.read_bytes()
    settings = {} if wanted.queue_size is None else {"MONOTWIN_QUEUE_SIZE": str(wanted.queue_size)}
    with running_service(wanted.bundle, settings) as service:
        load(service.url, photo, wanted.resolution, 1, 0.1)  # not counted: the first photo sets up memory
        loads = [load(service.url, photo, wanted.resolution, clients, wanted.seconds) for clients in wanted.clients]
    print(f"{os.cpu_count()} cores, resolution {wanted.resolution}, {wanted.seconds:g} s for each number of clients\n")
    print(load_table(loads))
    measured: dict[str, Any] = machine() | {"resolution": wanted.resolution, "seconds": wanted.seconds}
    loaded = [asdict(one) | {"refused_share": one.refused_share, "ratio": one.per_second / loads[0].per_second} for one in loads]
    write_json(wanted.out, measured | {"ready_seconds": service.ready_seconds, "loads": loaded})


if __name__ == "__main__":
    main()

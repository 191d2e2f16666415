"""How the service behaves at several times its capacity, for minutes.

    python -m benchmarks.load [--minutes M] [--factor F] [--resolution R] [--deadline SECONDS] [--out JSON]

Starts `monotwin serve` on a free loopback port. First its capacity: as many clients as it has places, each posting again as soon
as it has its mesh, for some seconds. Then locust sends `factor` times as many requests a second, steadily, one in twenty of them
at 512; nobody heeds Retry-After. Prints what was accepted and how long it took, what was refused, what failed, and the
service's memory (resident, all its processes) at the start, its peak in each fifth of the time, and after a rest at the end.
Exit code 1 unless nothing failed, the 95th percentile of accepted requests is within the deadline, and memory stayed flat.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from benchmarks.measure import DEFAULT_BUNDLE, SAMPLE, machine, table, write_json
from benchmarks.service import Service, client_of, running_service

CAPACITY_SECONDS = 20.0
CLOSED_CLIENTS = 4  # keep two slots and a short queue busy
CLIENTS = 60  # of the open load; more than can wait in the service, so that the rate holds
PARTS = 5
GROWTH = 1.10  # of the peak memory from the second part to the last: more is no longer flat
REST_SECONDS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--photo", type=Path, default=SAMPLE)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--factor", type=float, default=4.0)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--deadline", type=float, default=30.0, help="of the service, in seconds")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    with running_service(arguments.bundle, {"MONOTWIN_DEADLINE_SECONDS": str(arguments.deadline)}) as service:
        capacity = measure_capacity(service, arguments.photo, arguments.resolution)
        print(f"capacity: {capacity:.2f} meshes/s at {arguments.resolution}")
        with Memory(service.process_id) as memory:
            rows = open_load(service, arguments.photo, arguments.resolution, arguments.factor * capacity, arguments.minutes * 60)
        time.sleep(REST_SECONDS)
        at_rest = memory.now()
    print(table(("answers", "count", "a second", "p50 s", "p95 s", "p99 s", "longest s"), [shown(row) for row in rows]))
    peaks = memory.peaks(PARTS)
    print(f"memory, MB: {memory.first / 1e6:.0f} at the start; peaks {', '.join(f'{peak / 1e6:.0f}' for peak in peaks)};"
          f" {at_rest / 1e6:.0f} at rest")  # fmt: skip
    failures = sum(int(row["Failure Count"]) for row in rows)
    accepted = [row for row in rows if row["Name"].startswith("mesh")]
    within = all(float(row["95%"]) / 1000 <= arguments.deadline for row in accepted)
    flat = peaks[-1] <= GROWTH * peaks[1]
    print(f"failures: {failures}; p95 within {arguments.deadline:g} s: {within}; memory flat: {flat}")
    answers = [{"name": row["Name"], "count": int(row["Request Count"]), "p95_ms": float(row["95%"])} for row in rows]
    found = {"machine": machine(), "capacity": capacity, "factor": arguments.factor, "minutes": arguments.minutes}
    write_json(arguments.out, {**found, "answers": answers, "failures": failures, "memory_peaks": peaks})
    sys.exit(not (accepted and not failures and within and flat))


def measure_capacity(service: Service, photo: Path, resolution: int) -> float:
    """Meshes a second of clients that each wait for their mesh."""
    content, fields = photo.read_bytes(), {"resolution": str(resolution)}
    until = time.monotonic() + CAPACITY_SECONDS

    def post_again_and_again(_: int) -> int:
        meshes = 0
        with client_of(service.url) as client:
            while time.monotonic() < until:
                client.post("/reconstruct", files={"image": content}, data=fields).raise_for_status()
                meshes += 1
        return meshes

    started = time.monotonic()
    with ThreadPoolExecutor(CLOSED_CLIENTS) as pool:
        meshes = sum(pool.map(post_again_and_again, range(CLOSED_CLIENTS)))
    return meshes / (time.monotonic() - started)


def open_load(service: Service, photo: Path, resolution: int, rate: float, seconds: float) -> list[dict[str, str]]:
    """Locust's statistics of the answers, a row for each name."""
    load = {
        "LOAD_PHOTO": str(photo),
        "LOAD_RESOLUTION": str(resolution),
        "LOAD_RATE": str(rate / CLIENTS),
        "NO_PROXY": "127.0.0.1",
    }
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--host", service.url]
        command += ["-f", str(Path(__file__).with_name("locustfile.py")), "--csv", str(Path(folder) / "load")]
        command += [
            "-u",
            str(CLIENTS),
            "-r",
            str(CLIENTS),
            "-t",
            f"{seconds:.0f}s",
            "--stop-timeout",
            "60",
            "--exit-code-on-error",
            "0",
        ]
        subprocess.run(command, env=os.environ | load, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with (Path(folder) / "load_failures.csv").open(newline="") as file:
            for failure in csv.DictReader(file):
                print(f"{failure['Occurrences']} x {failure['Name']}: {failure['Error']}")
        with (Path(folder) / "load_stats.csv").open(newline="") as file:
            return [row for row in csv.DictReader(file) if row["Name"] != "Aggregated"]


def shown(row: dict[str, str]) -> list[str]:
    times = [f"{float(row[column]) / 1000:.2f}" for column in ("50%", "95%", "99%", "100%")]
    return [row["Name"], row["Request Count"], f"{float(row['Requests/s']):.2f}", *times]


class Memory:
    """Resident bytes of a process and its children, sampled while it is entered."""

    def __init__(self, process_id: int, interval_seconds: float = 0.25) -> None:
        self._process = psutil.Process(process_id)
        self._interval_seconds = interval_seconds
        self._samples: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def now(self) -> int:
        return sum(process.memory_info().rss for process in (self._process, *self._process.children(recursive=True)))

    @property
    def first(self) -> int:
        return self._samples[0]

    def peaks(self, parts: int) -> list[int]:
        """The highest sample of each of `parts` equal stretches of the time."""
        size = len(self._samples) / parts
        return [max(self._samples[int(part * size) : max(int((part + 1) * size), int(part * size) + 1)]) for part in range(parts)]

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self._samples.append(self.now())
            if self._ended.wait(self._interval_seconds):
                return


if __name__ == "__main__":
    main()

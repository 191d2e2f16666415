"""Peak resident memory of a reconstruction, step by step, each in a process of its own; and how soon the service is ready.

    python -m benchmarks.memory [--bundle DIR] [--photo PNG] [--resolutions R ...] [--repeats N] [--out FILE.json]

Prints, for a bare Python, for torch alone (what its absence saves), for the service's imports, for the loaded bundle and for
one photo to GLB bytes at each resolution: the peak of the process, the peak of the largest of its children (0 where it
started none), their sum as a multiple of the imports', whether torch was imported, and the seconds of the whole process;
medians over repeats. Then the peak during each stage of a reconstruction; and the service: the seconds from the start of its
process until /health/ready is 200, and its peak after one request at the largest resolution.

A peak never falls, so each figure takes a fresh process. On Linux it is VmHWM, which begins anew when a process is replaced
by another program; `ru_maxrss` does not, and would give a small child the peak of its large parent. For the same reason the
children's figure, which has no other source than `ru_maxrss`, is an upper bound. Elsewhere all are `ru_maxrss`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import DEFAULT_BUNDLE, ROOT, SAMPLE, machine, seconds_of, table, write_json
from benchmarks.peak import tree_peak
from benchmarks.service import client_of, running_service

RESOLUTIONS = (64, 128, 256, 512)
CHILD_SECONDS = 300
BASELINE = "imports"


@dataclass(frozen=True)
class Peak:
    """What a fresh process took for one step. Bytes and seconds are medians; stages: the peak during each, where it has any."""

    step: str
    own: int
    largest_child: int
    torch: bool
    seconds: float
    stages: dict[str, int]

    @property
    def total(self) -> int:
        """The process and the largest of its children."""
        return self.own + self.largest_child


def measure_step(step: str, *arguments: object, repeats: int = 1) -> Peak:
    """Runs a step of `benchmarks.peak` in fresh processes; CalledProcessError when one fails."""
    command = [sys.executable, "-m", "benchmarks.peak", step, *map(str, arguments)]
    outputs: list[str] = []

    def child() -> None:
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=CHILD_SECONDS)
        outputs.append(run.stdout)

    seconds = [seconds_of(child) for _ in range(repeats)]
    peaks = [json.loads(output) for output in outputs]
    own, largest_child = (round(statistics.median(peak[name] for peak in peaks)) for name in ("own", "largest_child"))
    name = step if step != "reconstructed" else f"photo to GLB at {arguments[-1]}"
    torch = any(peak["torch"] for peak in peaks)
    stages = {stage: round(statistics.median(peak["stages"][stage] for peak in peaks)) for stage in peaks[0]["stages"]}
    return Peak(name, own, largest_child, torch, statistics.median(seconds), stages)


def measure_steps(bundle: Path, photo: Path, resolutions: Sequence[int], repeats: int) -> list[Peak]:
    """All steps, from nothing to the largest resolution."""
    bundle, photo = bundle.resolve(), photo.resolve()
    return [
        measure_step("bare", repeats=repeats),
        measure_step("torch", repeats=repeats),
        measure_step(BASELINE, repeats=repeats),
        measure_step("loaded", bundle, repeats=repeats),
        *(measure_step("reconstructed", bundle, photo, resolution, repeats=repeats) for resolution in resolutions),
    ]


def peak_table(peaks: Sequence[Peak]) -> str:
    """A row for each step."""
    baseline = next(peak.total for peak in peaks if peak.step == BASELINE)
    header = ["fresh process", "peak MB", "largest child MB", f"times {BASELINE}", "torch imported", "seconds"]
    rows = [
        (
            peak.step,
            f"{peak.own / 1e6:.0f}",
            f"{peak.largest_child / 1e6:.0f}",
            f"{peak.total / baseline:.2f}",
            "yes" if peak.torch else "no",
            f"{peak.seconds:.2f}",
        )
        for peak in peaks
    ]
    return table(header, rows)


def stage_table(peaks: Sequence[Peak]) -> str:
    """A row for each resolution: the peak during each stage, with what was resident before it."""
    staged = [peak for peak in peaks if peak.stages]
    if not staged:
        return "no peaks of stages: they take Linux's /proc"
    stages = list(staged[0].stages)
    rows = [(peak.step, *(f"{peak.stages[stage] / 1e6:.0f}" for stage in stages)) for peak in staged]
    return table(["peak MB", *stages], rows)


@dataclass(frozen=True)
class ServicePeak:
    """The service's start, and its memory after one request; bytes are None where /proc is not there to tell."""

    ready_seconds: float
    resolution: int
    ready_bytes: int | None
    answered_bytes: int | None


def measure_service(bundle: Path, photo: Path, resolution: int, repeats: int) -> ServicePeak:
    """Starts the service `repeats` times; the last one answers a request."""
    ready = []
    for number in range(repeats):
        with running_service(bundle.resolve()) as service:
            ready.append(service.ready_seconds)
            if number == repeats - 1:
                before = peak_of(service.process_id)
                with client_of(service.url) as client:
                    files = {"image": ("photo", photo.read_bytes())}
                    client.post("/reconstruct", files=files, data={"resolution": str(resolution)}).raise_for_status()
                after = peak_of(service.process_id)
    return ServicePeak(statistics.median(ready), resolution, before, after)


def peak_of(process_id: int) -> int | None:
    """`tree_peak` where there is a /proc."""
    return tree_peak(process_id) if Path("/proc/self/status").exists() else None


def service_table(service: ServicePeak) -> str:
    """One row."""
    megabytes = ("unknown" if size is None else f"{size / 1e6:.0f}" for size in (service.ready_bytes, service.answered_bytes))
    header = ["start to ready s", "peak MB when ready", f"peak MB after a mesh at {service.resolution}"]
    return table(header, [(f"{service.ready_seconds:.2f}", *megabytes)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Peak memory, step by step, and the service's start.")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--photo", type=Path, default=SAMPLE)
    parser.add_argument("--resolutions", type=int, nargs="+", default=RESOLUTIONS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    wanted = parser.parse_args(arguments)
    peaks = measure_steps(wanted.bundle, wanted.photo, wanted.resolutions, wanted.repeats)
    service = measure_service(wanted.bundle, wanted.photo, max(wanted.resolutions), wanted.repeats)
    print("\n\n".join([peak_table(peaks), stage_table(peaks), service_table(service)]))
    steps = [asdict(peak) | {"total": peak.total} for peak in peaks]
    write_json(wanted.out, machine() | {"steps": steps, "service": asdict(service)})


if __name__ == "__main__":
    main()

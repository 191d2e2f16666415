"""What the benchmarks share: work timed in turns, the spread of the seconds, tables, and the one file that may be written.

On a shared machine a stretch of time tells little. So what is compared is timed in turns (A B A B ...) in one run, and
medians are divided.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from model import Reconstructor

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_BUNDLE = ROOT / "model" / "bundles" / "default"
SAMPLE = ROOT / "docs" / "sample.png"


@dataclass(frozen=True)
class Spread:
    """Median and the 10th and 90th percentile of some measurements, linear between them."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, middle, high = np.percentile(values, [10, 50, 90]).tolist()
        return cls(middle, low, high)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(works: Mapping[str, Callable[[], object]], rounds: int, *, uncounted: int = 1) -> dict[str, list[float]]:
    """Calls all works once a round -> the seconds of each, by name; the first `uncounted` rounds warm up and are left out."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(uncounted + rounds):
        for name, work in works.items():
            taken = seconds_of(work)
            if number >= uncounted:
                seconds[name].append(taken)
    return seconds


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each list."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; cells are shown as str() shows them."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine() -> dict[str, object]:
    """What the figures depend on and this process can tell."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "onnxruntime": version("onnxruntime"),
    }


def introduce(reconstructor: Reconstructor) -> dict[str, object]:
    """Prints, and returns, which bundle is measured and where it runs."""
    bundle, here = reconstructor.bundle, machine()
    print(f"bundle {bundle.name} {bundle.version} ({bundle.sha256[:12]})")
    print(
        f"{here['cores']} cores {here['architecture']}, Python {here['python']}, onnxruntime {here['onnxruntime']},"
        f" {reconstructor.provider}\n"
    )
    return {
        "bundle": f"{bundle.name} {bundle.version}",
        "bundle_sha256": bundle.sha256,
        "provider": reconstructor.provider,
    } | here


def write_json(path: Path | None, measured: Mapping[str, Any]) -> None:
    """Writes all figures to `path`, or nothing without one."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measured, indent=1) + "\n")

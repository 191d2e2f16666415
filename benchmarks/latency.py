"""Seconds of each stage of a reconstruction, and what the coarse-to-fine query saves against the dense one.

    python -m benchmarks.latency [--bundle DIR] [--photo PNG] [--repeats N]

Prints medians over the repeats, after one run that is not counted; the ratio dense / hierarchical comes from the same run.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from model import Options, Photo, Reconstructor
from model.field import QueryGrid, query_densely
from model.hierarchy import query_hierarchically
from model.image import read_photo

ROOT = Path(__file__).resolve().parents[1]
RESOLUTIONS = (64, 128, 256)
DENSE_RESOLUTIONS = (64, 128)
STAGES = ("prepare", "encode", "query", "extract", "refine")


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of a reconstruction, stage by stage.")
    parser.add_argument("--bundle", type=Path, default=ROOT / "model" / "bundles" / "default")
    parser.add_argument("--photo", type=Path, default=ROOT / "docs" / "sample.png")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    reconstructor = Reconstructor.load(arguments.bundle)
    photo = read_photo(arguments.photo.read_bytes())
    print(f"bundle {reconstructor.bundle.name} {reconstructor.bundle.version} ({reconstructor.bundle.sha256[:12]})")
    print(f"{os.cpu_count()} cores {platform.machine()}, onnxruntime {version('onnxruntime')}, {reconstructor.provider}\n")
    print("| resolution | total s | " + " | ".join(STAGES) + " | faces |")
    print("|---|---|" + "---|" * (len(STAGES) + 1))
    for resolution in RESOLUTIONS:
        print(stage_row(reconstructor, photo, resolution, arguments.repeats))
    print("\n| resolution | dense query s | hierarchical s | ratio |\n|---|---|---|---|")
    for resolution in DENSE_RESOLUTIONS:
        print(query_row(reconstructor, photo, resolution))


def stage_row(reconstructor: Reconstructor, photo: Photo, resolution: int, repeats: int) -> str:
    """A table row of median seconds, for one resolution."""
    seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name].append(time.perf_counter() - started)

    faces = 0
    for _ in range(repeats + 1):
        with stage("total"):
            faces = len(reconstructor.reconstruct(photo, Options(resolution=resolution), stage=stage).faces)
    medians = [statistics.median(seconds[name][1:]) for name in ("total", *STAGES)]
    return f"| {resolution} | " + " | ".join(f"{value:.3f}" for value in medians) + f" | {faces} |"


def query_row(reconstructor: Reconstructor, photo: Photo, resolution: int) -> str:
    """A table row that compares the two queries on one field."""
    field = reconstructor.encode(reconstructor.prepare(photo, Options(), None), QueryGrid(resolution))
    started = time.perf_counter()
    query_densely(field)
    dense = time.perf_counter() - started
    started = time.perf_counter()
    query_hierarchically(field, 0.5)
    hierarchical = time.perf_counter() - started
    return f"| {resolution} | {dense:.3f} | {hierarchical:.3f} | {dense / hierarchical:.1f} |"


if __name__ == "__main__":
    main()

"""Seconds of each stage from a photo to the bytes of a GLB file, and what the coarse-to-fine query saves against the dense one.

    python -m benchmarks.latency [--bundle DIR] [--photo PNG]... [--resolutions R ...] [--repeats N] [--out FILE.json]

Prints a row for each number of faces asked for (as many as there are, 20,000), photo and resolution: the median of the whole,
its 10th and 90th percentile, the median of each stage. Photos, with and without a bound on faces, are repeated in turns after
one round that is not counted; rounds end early, after three at least, when a resolution has taken `--seconds`. With several
photos a further row pools their runs. A second table gives the ratio dense / hierarchical of the query alone, medians of
turns on one field.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import DEFAULT_BUNDLE, SAMPLE, Spread, in_turns, introduce, medians, table, write_json
from model import Options, Photo, Reconstructor
from model.carving import carve, column_coverage
from model.field import QueryGrid, query_densely
from model.formats import FORMATS
from model.image import read_photo

RESOLUTIONS = (64, 128, 256, 512)
DENSE_RESOLUTIONS = (64, 128)
TARGET_FACES = (None, 20_000)
STAGES = ("prepare", "encode", "query", "extract", "refine", "write")
LEAST_ROUNDS = 3
POOLED = "all"


@dataclass
class Runs:
    """What one photo took at one resolution, run by run, in seconds; "total" beside the stages."""

    photo: str
    resolution: int
    target_faces: int | None
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faces: int = 0
    file_bytes: int = 0

    def spread(self, name: str) -> Spread:
        return Spread.of(self.seconds[name])


def one_run(reconstructor: Reconstructor, photo: Photo, runs: Runs) -> dict[str, float]:
    """Photo -> GLB once; returns the seconds and leaves the mesh's size in `runs`."""
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started

    options = Options(resolution=runs.resolution, target_faces=runs.target_faces)
    with stage("total"):
        mesh = reconstructor.reconstruct(photo, options, stage=stage)
        with stage("write"):
            content = FORMATS["glb"].write(mesh)
    runs.faces, runs.file_bytes = len(mesh.faces), len(content)
    return seconds


def measure(
    reconstructor: Reconstructor,
    photos: Mapping[str, Photo],
    resolution: int,
    repeats: int,
    longest: float,
    targets: Sequence[int | None] = TARGET_FACES,
) -> list[Runs]:
    """All photos and targets in turns at one resolution, until `repeats` rounds or `longest` seconds are over."""
    measured = [Runs(name, resolution, target) for target in targets for name in photos]
    started = time.perf_counter()
    for number in range(repeats + 1):
        if number > LEAST_ROUNDS and time.perf_counter() - started > longest:
            break
        for runs in measured:
            for name, seconds in one_run(reconstructor, photos[runs.photo], runs).items():
                if number:  # the first round warms up
                    runs.seconds[name].append(seconds)
    return measured


def pooled(measured: Sequence[Runs]) -> list[Runs]:
    """One `Runs` of all photos for each resolution and target that several photos share; faces and bytes are means."""
    groups: dict[tuple[int, int | None], list[Runs]] = defaultdict(list)
    for runs in measured:
        groups[runs.resolution, runs.target_faces].append(runs)
    found = []
    for (resolution, target), group in groups.items():
        if len(group) > 1:
            names = group[0].seconds
            seconds = {name: [value for runs in group for value in runs.seconds[name]] for name in names}
            faces, size = (
                round(sum(values) / len(group)) for values in zip(*((r.faces, r.file_bytes) for r in group), strict=True)
            )
            found.append(Runs(POOLED, resolution, target, seconds, faces, size))
    return found


def stage_table(measured: Sequence[Runs]) -> str:
    """A row for each of `measured`: seconds, and the size of what came out."""
    header = ["faces wanted", "photo", "resolution", "total s", "p10 to p90", *STAGES, "faces", "MB", "runs"]
    rows = []
    for runs in sorted(measured, key=lambda runs: (runs.target_faces is not None, runs.photo == POOLED, runs.photo)):
        total = runs.spread("total")
        rows.append(
            [
                "all" if runs.target_faces is None else runs.target_faces,
                runs.photo,
                runs.resolution,
                f"{total.median:.3f}",
                f"{total.p10:.3f} to {total.p90:.3f}",
                *(f"{runs.spread(stage).median:.4f}" for stage in STAGES),
                runs.faces,
                f"{runs.file_bytes / 1e6:.2f}",
                len(runs.seconds["total"]),
            ]
        )
    return table(header, rows)


@dataclass(frozen=True)
class Queries:
    """Median seconds of the two queries, cut to the silhouette, on one field."""

    resolution: int
    dense: float
    hierarchical: float

    @property
    def ratio(self) -> float:
        return self.dense / self.hierarchical


def compare_queries(reconstructor: Reconstructor, photo: Photo, resolution: int, rounds: int) -> Queries:
    """The engine's query and its slow twin in turns."""
    prepared = reconstructor.prepare(photo, Options(), None)
    encoded = reconstructor.encode(prepared, QueryGrid(resolution))
    level = reconstructor.bundle.manifest.level
    coverage = column_coverage(prepared.silhouette, encoded.grid)
    seconds = medians(
        in_turns(
            {
                "dense": lambda: carve(query_densely(encoded), coverage, level),
                "hierarchical": lambda: reconstructor.query(encoded, prepared, level),
            },
            rounds,
        )
    )
    return Queries(resolution, seconds["dense"], seconds["hierarchical"])


def query_table(queries: Sequence[Queries]) -> str:
    """A row for each resolution."""
    rows = [(q.resolution, f"{q.dense:.3f}", f"{q.hierarchical:.4f}", f"{q.ratio:.1f}") for q in queries]
    return table(["resolution", "dense query s", "hierarchical s", "ratio"], rows)


def as_json(measured: Sequence[Runs], queries: Sequence[Queries]) -> dict[str, Any]:
    """All runs, with the spread of each stage beside the seconds of every run."""
    return {
        "runs": [
            {
                "photo": runs.photo,
                "resolution": runs.resolution,
                "target_faces": runs.target_faces,
                "faces": runs.faces,
                "file_bytes": runs.file_bytes,
                "seconds": {name: asdict(runs.spread(name)) | {"all": values} for name, values in runs.seconds.items()},
            }
            for runs in measured
        ],
        "queries": [asdict(query) | {"ratio": query.ratio} for query in queries],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Latency of a reconstruction, stage by stage.")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--photo", type=Path, action="append", help="may be given several times; default: docs/sample.png")
    parser.add_argument("--resolutions", type=int, nargs="+", default=RESOLUTIONS)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=30, help="after which a resolution gets no further round")
    parser.add_argument("--threads", type=int, help="of one operator; default: ONNX Runtime's choice")
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    wanted = parser.parse_args(arguments)
    reconstructor = Reconstructor.load(wanted.bundle, threads=wanted.threads)
    photos = {path.name: read_photo(path.read_bytes()) for path in wanted.photo or [SAMPLE]}
    reconstructor.warm_up()
    about = introduce(reconstructor)
    measured = [
        runs
        for resolution in wanted.resolutions
        for runs in measure(reconstructor, photos, resolution, wanted.repeats, wanted.seconds)
    ]
    measured += pooled(measured)
    print(stage_table(measured) + "\n")
    first = next(iter(photos.values()))
    resolutions = [resolution for resolution in wanted.resolutions if resolution in DENSE_RESOLUTIONS]
    queries = [compare_queries(reconstructor, first, resolution, min(wanted.repeats, 5)) for resolution in resolutions]
    print(query_table(queries))
    write_json(wanted.out, about | as_json(measured, queries))


if __name__ == "__main__":
    main()

"""What the coarse-to-fine query loses of the dense grid, photo by photo; it should lose nothing.

    python -m benchmarks.agreement [--bundle DIR] [--data DIR ...] [--split S] [--views N] [--thin] [--resolution R] [--out FILE]

Asks one network for the same photo twice: `Reconstructor.query`, as served, and every node of the grid, cut to the silhouette
afterwards. --data: the first view of N shapes of prepared sets, families in turn; --thin: two views of each thin part of
`training.thin_parts`. Prints the worst ten and the figures over all; exits with 1 when an IoU is below 0.999.
--out: one JSON line for each view as it is done; views that the file holds already, of the same bundle and resolution, are not
asked again. Begin a new file when the query has changed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from benchmarks.measure import DEFAULT_BUNDLE, introduce, table
from model import Options, Photo, Reconstructor
from model.carving import carve, column_coverage
from model.field import Float32, OccupancyField, QueryGrid, SampledBox, query_densely
from model.image import PreparedImage
from training.data.index import DataIndex
from training.data.shapes import PreparedShape
from training.evaluation.evaluate import shape_photo
from training.thin_parts import thin_shapes

REQUIRED_IOU = 0.999
WORST = 10

Query = Callable[[Any, PreparedImage, float], SampledBox]
"""`Reconstructor.query`, or what a test puts in its place."""


@dataclass(frozen=True)
class Agreement:
    """One view, asked both ways. iou: of the nodes inside. asked_*: share of all nodes of the grid, those asked twice twice."""

    set: str
    name: str
    family: str
    view: int
    bundle: str
    resolution: int
    iou: float
    nodes_inside: int
    nodes_differing: int
    components: int
    components_lost: int
    asked: float
    asked_densely: float
    seconds: float
    seconds_densely: float

    @property
    def key(self) -> tuple[object, ...]:
        """What makes it the same measurement."""
        return self.set, self.name, self.view, self.bundle, self.resolution


@dataclass(frozen=True)
class Candidate:
    """A view to be asked; `photo` is made when it is needed."""

    set: str
    name: str
    family: str
    view: int
    photo: Callable[[], Photo]


class CountingField:
    """Counts the points that a field is asked."""

    def __init__(self, field: OccupancyField) -> None:
        self._field = field
        self.asked = 0

    @property
    def grid(self) -> QueryGrid:
        return self._field.grid

    @property
    def observed(self) -> npt.NDArray[np.bool_]:
        return self._field.observed

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        """Asks the field behind it."""
        self.asked += len(columns)
        return self._field.query(columns, depths)


def main() -> int:
    parser = argparse.ArgumentParser(description="The coarse-to-fine query beside the dense grid.")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--data", type=Path, nargs="+", default=[])
    parser.add_argument("--split", default="test")
    parser.add_argument("--views", type=int, default=100)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--thin", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not (arguments.data or arguments.thin):
        parser.error("expected --data, --thin or both: there is nothing to compare on")
    reconstructor = Reconstructor.load(arguments.bundle)
    introduce(reconstructor)
    chosen = of_sets([DataIndex.read(directory) for directory in arguments.data], arguments.split)
    candidates: Iterable[Candidate] = itertools.islice(chosen, arguments.views)
    if arguments.thin:
        candidates = itertools.chain(candidates, of_thin_parts())
    found = measured(reconstructor, candidates, arguments.resolution, arguments.out)
    if not found:
        parser.error(f"expected views in split {arguments.split!r}, found none")
    print(summary(found))
    return int(any(agreement.iou < REQUIRED_IOU for agreement in found))


def of_sets(sets: Sequence[DataIndex], split: str) -> Iterator[Candidate]:
    """The first view of each shape: one of each family, then the second of each, ..."""
    families: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for index in sets:
        where = str(index.directory)
        for entry in index.shapes(split):
            photo = partial(read_photo, index.path(entry))
            families[where, entry.family].append(Candidate(where, entry.name, entry.family, 0, photo))
    for turn in itertools.zip_longest(*families.values()):
        yield from (candidate for candidate in turn if candidate is not None)


def read_photo(file: Path, view: int = 0) -> Photo:
    """One view of a prepared shape."""
    return shape_photo(PreparedShape.read(file), view)


def of_thin_parts() -> Iterator[Candidate]:
    """All views of all thin parts."""
    for thin in thin_shapes():
        family = thin.name.rsplit(" ", 1)[0]
        for view in range(thin.shape.view_count):
            yield Candidate("thin parts", thin.name, family, view, partial(shape_photo, thin.shape, view))


def measured(reconstructor: Reconstructor, candidates: Iterable[Candidate], resolution: int, out: Path | None) -> list[Agreement]:
    """Every candidate's agreement, from `out` where it stands there, else asked now and added to it."""
    known = {agreement.key: agreement for agreement in read(out)}
    found = []
    for candidate in candidates:
        key = (candidate.set, candidate.name, candidate.view, reconstructor.bundle.sha256, resolution)
        if key not in known:
            known[key] = compare(reconstructor, candidate, resolution, reconstructor.query)
            if out is not None:
                out.parent.mkdir(parents=True, exist_ok=True)
                with out.open("a") as file:
                    file.write(json.dumps(asdict(known[key])) + "\n")
        found.append(known[key])
    return found


def read(out: Path | None) -> list[Agreement]:
    """What an earlier run wrote; half a line, in which it was stopped, is cut off, so that the next one can follow."""
    if out is None or not out.exists():
        return []
    text = out.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole)
    return [Agreement(**json.loads(line)) for line in whole.splitlines()]


def compare(reconstructor: Reconstructor, candidate: Candidate, resolution: int, query: Query) -> Agreement:
    """Asks for one view both ways."""
    options = Options(resolution=resolution, background="alpha")
    level = reconstructor.bundle.manifest.level
    prepared = reconstructor.prepare(candidate.photo(), options, None)
    grid = QueryGrid(resolution)
    field = reconstructor.encode(prepared, grid)
    served, dense = CountingField(field), CountingField(field)

    started = time.perf_counter()
    found = query(served, prepared, level)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    expected = carve(query_densely(dense), column_coverage(prepared.silhouette, grid), level)
    seconds_densely = time.perf_counter() - started

    inside, inside_densely = found.on_whole_grid() >= level, expected >= level
    components, lost = lost_components(inside, inside_densely)
    return Agreement(
        set=candidate.set,
        name=candidate.name,
        family=candidate.family,
        view=candidate.view,
        bundle=reconstructor.bundle.sha256,
        resolution=resolution,
        iou=iou(inside, inside_densely),
        nodes_inside=int(inside_densely.sum()),
        nodes_differing=int((inside != inside_densely).sum()),
        components=components,
        components_lost=lost,
        asked=served.asked / expected.size,
        asked_densely=dense.asked / expected.size,
        seconds=seconds,
        seconds_densely=seconds_densely,
    )


def iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """1 for two empty grids: both say the same."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0


def lost_components(found: npt.NDArray[np.bool_], expected: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """(how many components of nodes that touch along edges there should be, how many of them have no node left)."""
    numbers, count = ndimage.label(expected)
    return count, count - len(np.setdiff1d(numbers[found], 0))


def summary(found: Sequence[Agreement]) -> str:
    """The worst views, then the figures over all."""
    worst = sorted(found, key=lambda agreement: (agreement.iou, -agreement.nodes_differing))[:WORST]
    header = ("set", "shape", "view", "IoU", "nodes inside", "differ", "components", "lost", "asked")
    rows = [
        (
            a.set,
            a.name,
            a.view,
            f"{a.iou:.6f}",
            a.nodes_inside,
            a.nodes_differing,
            a.components,
            a.components_lost,
            f"{a.asked:.3%}",
        )
        for a in worst
    ]
    ious = [agreement.iou for agreement in found]
    exact = sum(agreement.nodes_differing == 0 for agreement in found)
    ratio = median(agreement.seconds_densely / agreement.seconds for agreement in found)
    figures = [
        f"{len(found)} views, IoU {min(ious):.6f} at least, {median(ious):.6f} in the median; {exact} agree at every node"
        f" ({exact / len(found):.1%})",
        f"{sum(agreement.components_lost for agreement in found)} of {sum(agreement.components for agreement in found)}"
        f" components lost",
        f"asked: {median(a.asked for a in found):.3%} of all nodes in the median, {max(a.asked for a in found):.3%} at most;"
        f" densely {median(a.asked_densely for a in found):.3%}",
        f"seconds: {median(a.seconds for a in found):.3f} in the median, densely {median(a.seconds_densely for a in found):.3f};"
        f" median ratio {ratio:.1f}",
    ]
    return "\n".join([table(header, rows), "", *figures])


if __name__ == "__main__":
    sys.exit(main())

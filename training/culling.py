"""Calibrates how far the coarse-to-fine query has to look for what hides between its coarse nodes (`model.culling`).

Both rules are tried, each with the strengths of a ladder for every size of cells, on fields that were recorded at all of their
nodes; the cheapest that sees every view as the dense grid does is taken. Views of thin parts are among them, since those are the
first to be lost.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from model.camera import HALF_DEPTH
from model.carving import carve, column_coverage
from model.culling import Culling
from model.field import Float32, OccupancyField, QueryGrid, query_densely
from model.hierarchy import coarsest_step, query_hierarchically
from model.image import Photo
from model.reconstructor import Options, Reconstructor
from model.runtime.bundle import CullingStrengths
from training.data.index import DataIndex
from training.data.sets import SetConfig
from training.data.shapes import PreparedShape
from training.evaluation.evaluate import shape_photo
from training.thin_parts import PICTURES, thin_shapes

Rule = Literal["slopes", "factors"]
LADDERS: dict[Rule, tuple[float, ...]] = {
    "slopes": (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
    "factors": (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0),
}
REQUIRED_IOU = 0.999  # of the nodes inside, with the dense grid, in every view


@dataclass
class RecordedField:
    """A field that was asked at all nodes of its grid once, and answers from memory. Counts what it is asked.

    rows: (columns,) int64, the row of `values` that holds a column; values: (rows, n_z) float32.
    """

    grid: QueryGrid
    observed: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.int64]
    values: Float32
    asked: int = 0

    @classmethod
    def of(cls, field: OccupancyField) -> RecordedField:
        """Also asks the columns beside observed ones that coarse nodes lie in, but no layers behind the volume: ValueError for
        a grid whose coarse nodes lie there."""
        if (field.grid.shape[2] - 1) % coarsest_step(field.grid):
            raise ValueError(f"resolution: expected coarse nodes that end with the volume, got {field.grid.resolution}")
        everywhere = np.flatnonzero(_grown(field.observed, coarsest_step(field.grid) - 1))
        depths = field.grid.depths
        answers = field.query(np.repeat(everywhere, len(depths)), np.tile(depths, len(everywhere)))
        rows = np.full(field.observed.size, -1)
        rows[everywhere] = np.arange(len(everywhere))
        return cls(field.grid, field.observed, rows, answers.reshape(-1, len(depths)))

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        """As `OccupancyField.query`, at nodes of the grid alone."""
        self.asked += len(columns)
        answers: Float32 = self.values[self.rows[columns], np.rint((depths + HALF_DEPTH) * self.grid.resolution).astype(np.int64)]
        return answers


@dataclass(frozen=True)
class RecordedView:
    """A photo's field, what the dense grid makes of it, and the culling that it would be asked with."""

    field: RecordedField
    coverage: Float32
    level: float
    inside: npt.NDArray[np.bool_]
    culling: Culling

    def ask(self, strengths: CullingStrengths) -> tuple[float, int]:
        """(IoU with the dense grid's nodes inside, nodes asked) of a query with these strengths."""
        culling = replace(self.culling, factors=strengths.factors, slopes=strengths.slopes)
        self.field.asked = 0
        found = query_hierarchically(self.field, self.level, self.coverage, culling).on_whole_grid() >= self.level
        either = int((found | self.inside).sum())
        return int((found & self.inside).sum()) / either if either else 1.0, self.field.asked


def calibrate_culling(reconstructor: Reconstructor, photos: Sequence[Photo], views: Mapping[int, int]) -> CullingStrengths:
    """The cheapest strengths that lose nothing of the photos; where none of a ladder is enough, its strongest.

    views: resolution -> how many of the photos, the first ones, are recorded at it; a finer one only adds smaller cells.
    """
    strengths = CullingStrengths()
    for resolution, count in sorted(views.items()):
        recorded = [record(reconstructor, photo, resolution) for photo in photos[:count]]
        if recorded:
            strengths = _cheapest(recorded, strengths)
    return strengths


def record(reconstructor: Reconstructor, photo: Photo, resolution: int) -> RecordedView:
    """Asks a photo's field at every node."""
    grid, level = QueryGrid(resolution), reconstructor.bundle.manifest.level
    prepared = reconstructor.prepare(photo, Options(resolution=resolution, background="alpha"), None)
    field = RecordedField.of(reconstructor.encode(prepared, grid))
    coverage = column_coverage(prepared.silhouette, grid)
    inside = carve(query_densely(field), coverage, level) >= level
    return RecordedView(field, coverage, level, inside, reconstructor.culling(prepared))


def calibration_photos(sets: Sequence[DataIndex], count: int, pictures: SetConfig = PICTURES) -> list[Photo]:
    """`count` views: of validation shapes, families in turn, and of thin parts, alternating as long as there are thin parts."""
    parts = list(thin_shapes(pictures))
    order = np.random.default_rng(pictures.seed).permutation(len(parts))
    thin = [shape_photo(parts[number].shape, int(number) % pictures.views) for number in order]
    pairs = itertools.zip_longest(itertools.islice(_families_in_turn(sets), count), thin)
    return [photo for pair in pairs for photo in pair if photo is not None][:count]


def _families_in_turn(sets: Sequence[DataIndex]) -> Iterator[Photo]:
    """One view of the first shape of each family, then of the second, ...; another view each time."""
    families = defaultdict(list)
    for index in sets:
        for entry in index.shapes("val"):
            families[index.directory, entry.family].append(index.path(entry))
    turns = itertools.zip_longest(*families.values())
    for number, file in enumerate(file for turn in turns for file in turn if file is not None):
        shape = PreparedShape.read(file)
        yield shape_photo(shape, number % shape.view_count)


def _cheapest(recorded: list[RecordedView], known: CullingStrengths) -> CullingStrengths:
    """`known`, with strengths for the cells that it has none for."""
    grid = recorded[0].field.grid
    step = coarsest_step(grid)
    sizes = [grid.resolution // coarse for coarse in _halved(step) if grid.resolution // coarse not in known.sizes]
    if not sizes:
        return known
    rules: list[Rule] = ["slopes"] if recorded[0].culling.label is None else ["slopes", "factors"]
    enough: list[tuple[int, CullingStrengths]] = []
    strongest = known
    for rule in (rule for rule in rules if not known.sizes or getattr(known, rule)):
        passed: list[tuple[float, ...]] = []
        for numbers in itertools.product(LADDERS[rule], repeat=len(sizes)):
            strongest = known.model_copy(update={rule: getattr(known, rule) | dict(zip(sizes, numbers, strict=True))})
            if any(np.greater_equal(numbers, fewer).all() for fewer in passed):
                continue  # costs more than one that is enough
            asked = _asked(recorded, strongest)
            if asked is not None:
                passed.append(numbers)
                enough.append((asked, strongest))
    return min(enough, key=lambda entry: entry[0])[1] if enough else strongest


def _asked(recorded: list[RecordedView], strengths: CullingStrengths) -> int | None:
    """How many nodes are asked for all views; None as soon as one is not seen right, which is then the first of the next time."""
    total = 0
    for number, view in enumerate(recorded):
        iou, asked = view.ask(strengths)
        if iou < REQUIRED_IOU:
            recorded.insert(0, recorded.pop(number))
            return None
        total += asked
    return total


def _halved(step: int) -> Iterator[int]:
    """step, step / 2, ... down to 2."""
    while step > 1:
        yield step
        step //= 2


def _grown(observed: npt.NDArray[np.bool_], reach: int) -> npt.NDArray[np.bool_]:
    """The columns within `reach` of an observed one, both ways."""
    padded = np.pad(observed, reach)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    grown: npt.NDArray[np.bool_] = windows.any(axis=(2, 3))
    return grown

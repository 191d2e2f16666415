"""The coarse-to-fine occupancy query: the decoder is asked where the surface is, and nowhere else.

A coarse grid is asked wherever the silhouette allows. Every finer one starts as its prediction: cubic interpolation of the one
before. It is then asked at the ends of all edges along which the predicted sign changes, and where an answer contradicts the
prediction, at the neighbours that now lie across a sign change, until none is left. So each surface of which the prediction
shows any part is followed to its end, and what marching cubes interpolates between was asked, not predicted. The idea of tracing
is that of continuation methods for implicit surfaces (Bloomenthal, An Implicit Surface Polygonizer, 1994); the coarse-to-fine
frame is Occupancy Networks' MISE (autonomousvision/occupancy_networks:im2mesh/utils/libmise/mise.pyx).

A part that shows in no prediction would be lost. `model.culling` says which cells may hide one: there, every node is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model.carving import ceiling_of
from model.culling import SIGNS_ALONE, Culling
from model.field import Float32, OccupancyField, QueryGrid, SampledBox

Bool = npt.NDArray[np.bool_]
Progress = Callable[[float], None]  # told the share of a query that is done, rising from 0 to 1
Indices = npt.NDArray[np.int64]

COARSEST_CELLS = 32  # cells along the image's side below which a grid is not halved any more
PIECE = 2**18  # points asked between two words of progress, where nothing else is said
NODES_AT_ONCE = 2**17  # predicted or compared: what is computed of them stays in the cache
MARGIN = 2  # coarse nodes kept around what may be inside: what interpolation reaches to


def coarsest_step(grid: QueryGrid) -> int:
    """The largest power of two that divides the cells along the image's side and leaves COARSEST_CELLS or more.

    Along z it need not divide them: the last coarse nodes may lie behind the grid, and what is found there is left out.
    """
    step = 1
    while grid.resolution % (2 * step) == 0 and grid.resolution // (2 * step) >= COARSEST_CELLS:
        step *= 2
    return step


def query_hierarchically(
    field: OccupancyField,
    level: float,
    coverage: Float32 | None = None,
    culling: Culling = SIGNS_ALONE,
    progress: Progress = lambda share: None,
    piece: int = PIECE,
) -> SampledBox:
    """The field on its grid, cut to the silhouette: its own values at both ends of every edge that crosses the level.

    coverage: (n_u, n_v) silhouette coverage of the columns, None for no cut (`model.carving`). Elsewhere values are predicted,
    on the side of the level on which `carve(query_densely(field), coverage, level)` has them, but for parts and cavities that
    no prediction showed and culling did not suspect: those are missing as a whole.

    progress: told the share that is done, from 0, never falling, to 1 at the end, at least after each `piece` points; the same
    share again during longer work between the calls. What it raises stops the query.
    """
    progress(0.0)
    watched = _WatchedField(field, progress, piece)
    margin = MARGIN
    while (samples := _descend(watched, level, culling, margin)) is None:
        margin *= 4
    np.clip(samples.values, 0, 1, out=samples.values)  # predictions overshoot
    if coverage is not None and (samples.values >= level).any():
        _cut(watched, samples, level, coverage)
    progress(1.0)
    layers = field.grid.shape[2] - samples.first[2]
    return SampledBox(field.grid, samples.first, samples.values[..., :layers])


class _WatchedField:
    """A field that tells how much of a query it has answered.

    Each level is taken to have four times the points of the one before, so that the one at step s ends at 1 / s^2 of them all.
    A query that begins anew repeats what it told until it is further than it was.
    """

    def __init__(self, field: OccupancyField, progress: Progress, piece: int) -> None:
        self.grid, self.observed = field.grid, field.observed
        self._field, self._progress, self._piece = field, progress, piece
        self._told = 0.0

    def begin(self, step: int, wanted: int) -> None:
        """A level, of whose points so many are known to be wanted; surfaces that are followed may add to them."""
        self._start, self._end = 1 / (2 * step) ** 2, 1 / step**2
        self._wanted, self._asked = wanted, 0
        self.tell()

    def query(self, columns: Indices, depths: Float32) -> Float32:
        """As `OccupancyField.query`."""
        answers = np.empty(len(columns), np.float32)
        for first in range(0, len(columns), self._piece):
            piece = slice(first, first + self._piece)
            answers[piece] = self._field.query(columns[piece], depths[piece])
            self._asked += len(columns[piece])
            share = self._start + (self._end - self._start) * min(1.0, self._asked / self._wanted)
            self._told = max(self._told, share)
            self.tell()
        return answers

    def tell(self) -> None:
        """Says how far the query is, be it once more: who listens may want to stop it."""
        self._progress(self._told)


@dataclass(frozen=True)
class _Samples:
    """A box of every `step`-th node of a grid. `first`: node (0, 0, 0) of the box among those nodes.

    values: (a, b, c) float32, asked or predicted; known: (a, b, c), True where there is nothing left to ask.
    """

    step: int
    first: tuple[int, int, int]
    values: Float32
    known: Bool

    @property
    def columns(self) -> tuple[slice, slice]:
        """Where the box's columns are among every `step`-th column of the grid."""
        (u, v, _), (a, b, _) = self.first, self.values.shape
        return slice(u, u + a), slice(v, v + b)

    def part(self, box: tuple[slice, ...]) -> _Samples:
        """Those in a smaller box."""
        u, v, z = (start + within.start for start, within in zip(self.first, box, strict=True))
        return replace(self, first=(u, v, z), values=self.values[box], known=self.known[box])


def _descend(field: _WatchedField, level: float, culling: Culling, margin: int) -> _Samples | None:
    """From the coarsest grid to the field's own, in boxes that leave `margin` nodes around what may be inside; None where a
    traced surface went beyond its box."""
    grid = field.grid
    samples = _coarsest(field, coarsest_step(grid))
    while samples.step > 1:
        suspicious = culling.suspicious(samples.values, grid.resolution // samples.step, level)
        box = _bounding_box(samples.values >= level, suspicious, margin)
        if box is None:
            empty = np.full((1, 1, 1), samples.values.max(), np.float32)
            return _Samples(1, (0, 0, 0), empty, np.ones_like(empty, np.bool_))
        cells = tuple(slice(nodes.start, nodes.stop - 1) for nodes in box)
        samples = _refined(field, samples.part(box), level, suspicious[cells])
        if _leaks(samples, grid, level):
            return None
    return samples


def _coarsest(field: _WatchedField, step: int) -> _Samples:
    """The grid's every `step`-th node, asked wherever its column may meet the object."""
    across, _, deep = (1 - (1 - nodes) // step for nodes in field.grid.shape)  # rounded up
    shape = (across, across, deep)
    values = np.zeros(shape, np.float32)
    samples = _Samples(step, (0, 0, 0), values, np.ones(shape, np.bool_))
    nodes = np.flatnonzero(np.broadcast_to(_columns(field, step)[..., None], shape))
    field.begin(step, len(nodes))
    values.reshape(-1)[nodes] = _ask(field, samples, np.unravel_index(nodes, shape))
    return samples


def _bounding_box(inside: Bool, suspicious: Bool, margin: int) -> tuple[slice, ...] | None:
    """Of the nodes inside and the first corners of suspicious cells, `margin` nodes wider; None where there are no such nodes."""
    found = inside.copy()
    found[:-1, :-1, :-1] |= suspicious
    box = []
    for axis in range(3):
        nodes = np.flatnonzero(found.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(nodes):
            return None
        box.append(slice(max(int(nodes[0]) - margin, 0), min(int(nodes[-1]) + 1 + margin, found.shape[axis])))
    return tuple(box)


def _refined(field: _WatchedField, coarse: _Samples, level: float, suspicious: Bool) -> _Samples:
    """The same box at half the step: predicted, then asked along the surface and in suspicious cells."""
    values = _predicted(coarse.values, field.tell)
    known = np.zeros(values.shape, np.bool_)
    known[::2, ::2, ::2] = coarse.known
    u, v, z = (2 * start for start in coarse.first)
    fine = _Samples(coarse.step // 2, (u, v, z), values, known)
    empty = ~_columns(field, fine.step)[fine.columns]
    values[empty] = 0.0
    known[empty] = True
    wanted = _change_ends(values, level)
    _mark_nodes_of(suspicious, wanted)
    _trace(field, fine, wanted, level)
    return fine


def _cut(field: _WatchedField, samples: _Samples, level: float, coverage: Float32) -> None:
    """Cuts the grid's own nodes to the silhouette, and asks along the walls that come to light.

    Only now: the uncut surface holds together where a thin silhouette cuts it into pieces, each too small to be followed to.
    """
    ceiling = ceiling_of(coverage, level)
    np.minimum(samples.values, ceiling[samples.columns][..., None], out=samples.values)
    _trace(field, samples, _change_ends(samples.values, level), level, ceiling)


def _trace(field: _WatchedField, samples: _Samples, wanted: Bool, level: float, ceiling: Float32 | None = None) -> None:
    """Asks those wanted nodes that are not known, then whatever lies unknown across a change of sign from an answer, into
    `samples`; wanted serves as memory; ceiling: (n_u, n_v), above which no answer counts."""
    shape = samples.values.shape
    strides = (shape[1] * shape[2], shape[2], 1)
    values, known = samples.values.reshape(-1), samples.known.reshape(-1)  # views: no box that is traced is part of another
    nodes = np.flatnonzero(np.greater(wanted, samples.known, out=wanted))
    field.begin(samples.step, len(nodes))
    while len(nodes):
        place = np.unravel_index(nodes, shape)
        answers = _ask(field, samples, place, ceiling)
        values[nodes], known[nodes] = answers, True
        sign = answers >= level
        neighbours = [  # where there is none, the node itself: it is known
            beside
            for index, size, stride in zip(place, shape, strides, strict=True)
            for beside in (nodes - stride * (index > 0), nodes + stride * (index < size - 1))
        ]
        across = [beside[((values[beside] >= level) != sign) & ~known[beside]] for beside in neighbours]
        nodes = np.unique(np.concatenate(across))


def _ask(field: _WatchedField, samples: _Samples, place: tuple[Indices, ...], ceiling: Float32 | None = None) -> Float32:
    """The field at nodes (u, v, z) of the box, no higher than the ceiling of their columns."""
    step, (first_u, first_v, first_z) = samples.step, samples.first
    columns = (place[0] + first_u) * step * field.grid.shape[1] + (place[1] + first_v) * step
    answers = field.query(columns, field.grid.depth_of((place[2] + first_z) * step))
    if ceiling is None:
        return answers
    capped: Float32 = np.minimum(answers, ceiling.reshape(-1)[columns])
    return capped


def _leaks(samples: _Samples, grid: QueryGrid, level: float) -> bool:
    """Whether the inside reaches a face of the box that is no wall of the grid."""
    for axis in range(3):
        start, size = samples.first[axis], samples.values.shape[axis]
        if start > 0 and (samples.values.take(0, axis) >= level).any():
            return True
        if (start + size - 1) * samples.step < grid.shape[axis] - 1 and (samples.values.take(-1, axis) >= level).any():
            return True
    return False


def _predicted(values: Float32, tell: Callable[[], None]) -> Float32:
    """(a, b, c) nodes -> (2a - 1, 2b - 1, 2c - 1): the nodes between them by cubic interpolation along each axis in turn."""
    halved = _halved(values, 0)
    fine = np.empty([2 * count - 1 for count in values.shape], np.float32)
    layers = max(1, NODES_AT_ONCE // fine[0].size)
    for first in range(0, len(fine), layers):
        part = slice(first, first + layers)
        fine[part] = _halved(_halved(halved[part], 1), 2)
        tell()
    return fine


def _halved(values: Float32, axis: int) -> Float32:
    """Values at half the distance along an axis: the given ones, and between each two the cubic through the nearest four."""
    coarse = np.moveaxis(values, axis, 0)
    fine = np.empty([2 * count - 1 if k == axis else count for k, count in enumerate(values.shape)], np.float32)
    along = np.moveaxis(fine, axis, 0)
    along[::2] = coarse
    between = along[1::2]
    np.add(coarse[:-1], coarse[1:], out=between)
    between *= np.float32(0.5)
    if len(coarse) >= 4:
        inner = coarse[1:-2] + coarse[2:-1]
        inner *= np.float32(9 / 16)
        inner -= (coarse[:-3] + coarse[3:]) * np.float32(1 / 16)
        between[1:-1] = inner
    return fine


def _change_ends(values: Float32, level: float) -> Bool:
    """The nodes at the ends of edges that cross the surface."""
    ends = np.zeros(values.shape, np.bool_)
    layers = max(1, NODES_AT_ONCE // values[0].size)
    for first in range(0, len(values) - 1, layers):
        part = slice(first, first + layers + 1)  # its last layer is the first of the next
        inside = values[part] >= level
        for axis in range(3):
            low, high = _ends_along(axis)
            crossing = inside[low] != inside[high]
            ends[part][low] |= crossing
            ends[part][high] |= crossing
    return ends


def _mark_nodes_of(cells: Bool, nodes: Bool) -> None:
    """Sets the nodes at half the cells' step that lie in or on them."""
    u, v, z = (2 * index for index in np.nonzero(cells))
    for du in range(3):
        for dv in range(3):
            for dz in range(3):
                nodes[u + du, v + dv, z + dz] = True


def _ends_along(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index of all edges' lower and upper ends along one of three axes."""
    low, high = [slice(None)] * 3, [slice(None)] * 3
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return tuple(low), tuple(high)


def _columns(field: _WatchedField, step: int) -> Bool:
    """Every `step`-th column along both sides: those less than a step from an observed one, which its prediction may need."""
    observed = field.observed
    for _ in range(step - 1):
        grown = observed.copy()
        grown[1:] |= observed[:-1]
        grown[:-1] |= observed[1:]
        observed = grown.copy()
        observed[:, 1:] |= grown[:, :-1]
        observed[:, :-1] |= grown[:, 1:]
    return observed[::step, ::step]

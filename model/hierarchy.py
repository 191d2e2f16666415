"""The coarse-to-fine occupancy query: the decoder is asked where the surface is, and nowhere else.

A coarse grid is asked wherever the silhouette allows. Every finer one starts as its prediction: cubic interpolation of the one
before. It is then asked at the ends of all edges along which the predicted sign changes, and where an answer contradicts the
prediction, at the neighbours that now lie across a sign change, until none is left. So each surface of which the prediction
shows any part is followed to its end, and what marching cubes interpolates between was asked, not predicted. The idea of tracing
is that of continuation methods for implicit surfaces (Bloomenthal, An Implicit Surface Polygonizer, 1994); the coarse-to-fine
frame is Occupancy Networks' MISE (autonomousvision/occupancy_networks:im2mesh/utils/libmise/mise.pyx).

A part that shows in no prediction would be lost. `Culling` says which cells may hide one: there, every node is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from model.camera import HALF_DEPTH
from model.field import Float32, OccupancyField, QueryGrid, SampledBox
from model.soft_label import SoftLabel

Bool = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

COARSEST_CELLS = 32  # cells along the image's side below which a grid is not halved any more
MARGIN = 2  # coarse nodes kept around what may be inside: what interpolation reaches to


@dataclass(frozen=True)
class Culling:
    """Which coarse cells may hold a part that none of their corners lies in.

    An ideal network says v(d, s) at the distance d from the solid. So a part in a cell announces itself: some corner of the cell
    is no farther from it than half the cell's diagonal, and says at least v of that distance. `factors` is the share of this
    distance that is taken, by cells along the image's side: 1 loses nothing of an ideal field, 0 asks for no more than a change
    of sign. A real network blurs its labels, so export calibrates the factors on validation views (`training.culling`).

    stretch: how much longer a cell's diagonal may be in view-frame units than in (u, v, z): 1 for the orthographic camera.
    """

    label: SoftLabel | None = None
    factors: Mapping[int, float] = field(default_factory=dict)
    stretch: float = 1.0

    @classmethod
    def uniform(cls, label: SoftLabel, factor: float) -> Culling:
        """The same factor for cells of every size."""
        return cls(label, {COARSEST_CELLS: factor})

    def suspicious(self, cells: int, level: float) -> float:
        """The value from which on a corner of a cell of side 1 / `cells` makes it suspicious; `level` when none does."""
        factor = self._factor(cells)
        if self.label is None or factor == 0:
            return level
        half_diagonal = math.sqrt(3) / 2 / cells * self.stretch
        return float(self.label.value(self.label.distance(level) + factor * half_diagonal))

    def _factor(self, cells: int) -> float:
        """The factor for the nearest larger cells that there is one for, else for the largest cells."""
        listed = sorted(self.factors)
        if not listed:
            return 0.0
        return self.factors[max((known for known in listed if known <= cells), default=listed[0])]


SIGNS_ALONE = Culling()


def pinhole_stretch(distance: float) -> float:
    """`Culling.stretch` of a pinhole camera `distance` crop sides away: cells at the back of the volume are the widest."""
    return (distance + HALF_DEPTH) / distance


def coarsest_step(grid: QueryGrid) -> int:
    """The largest power of two that divides the grid's cells along each axis and leaves COARSEST_CELLS or more along the side."""
    step = 1
    while grid.resolution // (2 * step) >= COARSEST_CELLS and all((nodes - 1) % (2 * step) == 0 for nodes in grid.shape):
        step *= 2
    return step


def query_hierarchically(
    field: OccupancyField, level: float, coverage: Float32 | None = None, culling: Culling = SIGNS_ALONE
) -> SampledBox:
    """The field on its grid, cut to the silhouette: its own values at both ends of every edge that crosses the level.

    coverage: (n_u, n_v) silhouette coverage of the columns, None for no cut (`model.carving`). Elsewhere values are predicted,
    on the right side of the level: the signs are those of `carve(query_densely(field), coverage, level)`.
    """
    ceiling = None if coverage is None else np.clip(coverage + np.float32(level - 0.5), 0, 1)
    margin = MARGIN
    while (samples := _descend(field, level, ceiling, culling, margin)) is None:
        margin *= 4
    return SampledBox(field.grid, samples.first, samples.values)


@dataclass(frozen=True)
class _Samples:
    """A box of every `step`-th node of a grid. `first`: node (0, 0, 0) of the box among those nodes.

    values: (a, b, c) float32, asked or predicted; known: (a, b, c), True where there is nothing left to ask.
    """

    step: int
    first: tuple[int, int, int]
    values: Float32
    known: Bool


def _descend(field: OccupancyField, level: float, ceiling: Float32 | None, culling: Culling, margin: int) -> _Samples | None:
    """From the coarsest grid to the field's own, in boxes that leave `margin` nodes around what may be inside; None where a
    traced surface went beyond its box."""
    grid = field.grid
    samples = _coarsest(field, coarsest_step(grid), ceiling)
    while samples.step > 1:
        suspicious = culling.suspicious(grid.resolution // samples.step, level)
        part = _bounding_part(samples, suspicious, margin)
        if part is None:
            return replace(samples, step=1, values=np.full((1, 1, 1), samples.values.max(), np.float32))
        samples = _refined(field, part, level, suspicious, ceiling)
        if _leaks(samples, grid, level):
            return None
    return samples


def _coarsest(field: OccupancyField, step: int, ceiling: Float32 | None) -> _Samples:
    """The grid's every `step`-th node, asked wherever its column may meet the object."""
    shape = tuple((nodes - 1) // step + 1 for nodes in field.grid.shape)
    values = np.zeros(shape, np.float32)
    samples = _Samples(step, (0, 0, 0), values, np.ones(shape, np.bool_))
    nodes = np.flatnonzero(np.broadcast_to(_columns(field, step)[..., None], shape))
    values.reshape(-1)[nodes] = _ask(field, samples, np.unravel_index(nodes, shape), ceiling)
    return samples


def _bounding_part(samples: _Samples, lowest: float, margin: int) -> _Samples | None:
    """The box around all nodes with values from `lowest` on, `margin` nodes wider; None where there are no such nodes."""
    found = samples.values >= lowest
    part, first = [], []
    for axis in range(3):
        nodes = np.flatnonzero(found.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(nodes):
            return None
        start = max(int(nodes[0]) - margin, 0)
        part.append(slice(start, int(nodes[-1]) + 1 + margin))
        first.append(samples.first[axis] + start)
    u, v, z = first
    box = tuple(part)
    return replace(samples, first=(u, v, z), values=samples.values[box], known=samples.known[box])


def _refined(field: OccupancyField, coarse: _Samples, level: float, suspicious: float, ceiling: Float32 | None) -> _Samples:
    """The same box at half the step: predicted, then asked along the surface and in suspicious cells."""
    values = _predicted(coarse.values)
    known = np.zeros(values.shape, np.bool_)
    known[::2, ::2, ::2] = coarse.known
    u, v, z = (2 * start for start in coarse.first)
    fine = _Samples(coarse.step // 2, (u, v, z), values, known)
    here = slice(u, u + values.shape[0]), slice(v, v + values.shape[1])
    empty = ~_columns(field, fine.step)[here]
    values[empty] = 0.0
    known[empty] = True
    if ceiling is not None and fine.step == 1:
        np.minimum(values, ceiling[here][..., None], out=values)
    wanted = _change_ends(values >= level)
    if suspicious < level:
        _mark_nodes_of(_suspicious_cells(coarse.values, suspicious, level), wanted)
    wanted &= ~known
    _trace(field, fine, wanted, level, ceiling)
    return fine


def _trace(field: OccupancyField, samples: _Samples, wanted: Bool, level: float, ceiling: Float32 | None) -> None:
    """Asks the wanted nodes, then whatever lies unknown across a change of sign from an answer, into `samples`."""
    shape = samples.values.shape
    ring = tuple(size + 2 for size in shape)  # a border of known nodes, so that every node has all its neighbours
    known = np.pad(samples.known, 1, constant_values=True).reshape(-1)
    inside = np.pad(samples.values >= level, 1).reshape(-1)
    strides = (ring[1] * ring[2], ring[2], 1)
    nodes = np.flatnonzero(np.pad(wanted, 1))
    while len(nodes):
        u, v, z = np.unravel_index(nodes, ring)
        place = (u - 1, v - 1, z - 1)
        answers = _ask(field, samples, place, ceiling)
        samples.values[place] = answers
        known[nodes] = True
        sign = answers >= level
        inside[nodes] = sign
        neighbours = [nodes + step for stride in strides for step in (-stride, stride)]
        across = [beside[(inside[beside] != sign) & ~known[beside]] for beside in neighbours]
        nodes = np.unique(np.concatenate(across))
    samples.known[...] = known.reshape(ring)[1:-1, 1:-1, 1:-1]


def _ask(field: OccupancyField, samples: _Samples, place: tuple[Indices, ...], ceiling: Float32 | None) -> Float32:
    """The field at nodes (u, v, z) of the box, under the ceiling where the box's nodes are the grid's own."""
    step, (first_u, first_v, first_z) = samples.step, samples.first
    columns = (place[0] + first_u) * step * field.grid.shape[1] + (place[1] + first_v) * step
    answers = field.query(columns, field.grid.depths[::step][place[2] + first_z])
    if ceiling is None or step > 1:
        return answers
    capped: Float32 = np.minimum(answers, ceiling.reshape(-1)[columns])
    return capped


def _leaks(samples: _Samples, grid: QueryGrid, level: float) -> bool:
    """Whether the inside reaches a face of the box that is no wall of the grid."""
    for axis in range(3):
        start, size = samples.first[axis], samples.values.shape[axis]
        if start > 0 and (samples.values.take(0, axis) >= level).any():
            return True
        if start + size <= (grid.shape[axis] - 1) // samples.step and (samples.values.take(-1, axis) >= level).any():
            return True
    return False


def _predicted(values: Float32) -> Float32:
    """(a, b, c) nodes -> (2a - 1, 2b - 1, 2c - 1): the nodes between them by cubic interpolation along each axis in turn."""
    for axis in range(3):
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
        values = fine
    return values


def _change_ends(inside: Bool) -> Bool:
    """The nodes at the ends of edges that cross the surface."""
    ends = np.zeros_like(inside)
    for axis in range(3):
        low, high = _ends_along(axis)
        crossing = inside[low] != inside[high]
        ends[low] |= crossing
        ends[high] |= crossing
    return ends


def _suspicious_cells(values: Float32, suspicious: float, level: float) -> Bool:
    """Nodes -> cells, one fewer along each axis: those with a corner from `suspicious` on, but for those wholly inside."""
    lowest, highest = values, values
    for axis in range(3):
        low, high = _ends_along(axis)
        lowest, highest = np.minimum(lowest[low], lowest[high]), np.maximum(highest[low], highest[high])
    return (highest >= suspicious) & (lowest < level)


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


def _columns(field: OccupancyField, step: int) -> Bool:
    """Every `step`-th column along both sides: those within a step of an observed one, whose predictions it helps to make."""
    observed = field.observed
    for _ in range(step - 1):
        grown = observed.copy()
        grown[1:] |= observed[:-1]
        grown[:-1] |= observed[1:]
        observed = grown.copy()
        observed[:, 1:] |= grown[:, :-1]
        observed[:, :-1] |= grown[:, 1:]
    return observed[::step, ::step]

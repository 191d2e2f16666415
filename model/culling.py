"""Which coarse cells may hide a part that none of their corners lies in: there the query asks every node.

Two rules look at the values at a cell's corners; a cell that either one suspects is not skipped.

*Factor*, the inverted label. An ideal network says v(d, s) at the distance d from the solid, so a part in a cell announces
itself: some corner is no farther from it than half the cell's diagonal, and says at least v of that distance. The factor is the
share of that distance that is taken; 1 loses nothing of an ideal field.

*Slope*. The field of a network that is unsure lies just below the level over wide regions, and an inverted label suspects them
all. A part hidden there shows as a rise towards it: what a cell may reach is its highest corner, plus `slope` times what the
field rises to that corner from the lowest one of the cell and its neighbours.

Both are 0 by default: a change of sign is then all that counts. Export calibrates them on validation views, by cells along the
image's side and for the bundle's level, to the cheapest that loses nothing (`training.culling`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model.camera import HALF_DEPTH, Camera, PinholeCamera
from model.field import Float32
from model.soft_label import SoftLabel

Bool = npt.NDArray[np.bool_]
ByCells = Mapping[int, float]
"""Cells along the image's side -> a number for cells of that size, and for smaller ones down to the next entry."""


UNCALIBRATED_SLOPES: ByCells = {32: 1.0, 64: 0.1}
"""For fields that nothing was calibrated on: what lost nothing of the 48 recorded fields in decision 0013, at the least cost."""


@dataclass(frozen=True)
class Culling:
    """The two rules' strengths. Without a label there is nothing to invert, and factors count for nothing.

    stretch: how much longer a cell's diagonal may be in view-frame units than in (u, v, z); 1 for the orthographic camera.
    """

    label: SoftLabel | None = None
    factors: ByCells = field(default_factory=dict)
    slopes: ByCells = field(default_factory=dict)
    stretch: float = 1.0

    @classmethod
    def uniform(cls, label: SoftLabel, factor: float) -> Culling:
        """The same factor for cells of every size."""
        return cls(label, {1: factor})

    def suspicious(self, values: Float32, cells: int, level: float) -> Bool:
        """(a, b, c) values at nodes 1 / `cells` apart -> (a - 1, b - 1, c - 1): the cells that may hide a part.

        Cells wholly inside are never among them: inside, the label is 1 and tells no distance.
        """
        announced, slope = self._announced(cells, level), _of_size(self.slopes, cells)
        if announced >= level and slope == 0:
            return np.zeros([count - 1 for count in values.shape], np.bool_)
        highest, lowest = over_corners(values, np.maximum), over_corners(values, np.minimum)
        found: Bool = (highest >= announced) & (lowest < level) if announced < level else np.zeros_like(highest, np.bool_)
        if slope > 0:
            rise = highest - _lowest_around(lowest)
            found |= (highest < level) & (highest + np.float32(slope) * rise >= level)
        return found

    def _announced(self, cells: int, level: float) -> float:
        """The least that some corner of a cell says when a part hides in it; `level` where the label is not asked."""
        factor = _of_size(self.factors, cells)
        if self.label is None or factor == 0:
            return level
        half_diagonal = math.sqrt(3) / 2 / cells * self.stretch
        return self.label.value(self.label.distance(level) + factor * half_diagonal)


SIGNS_ALONE = Culling()


def stretch_of(camera: Camera) -> float:
    """`Culling.stretch` of a camera: the longest diagonal of a cell un-projected, over that of a cube as large.

    A pinhole's cells are widest at the back of the volume, and sheared the more the farther they are from its axis.
    """
    if not isinstance(camera, PinholeCamera):
        return 1.0
    width = (camera.distance + HALF_DEPTH) / camera.distance
    shear = ((0.5 + abs(offset)) / camera.distance for offset in (camera.offset_x, camera.offset_y))
    return math.hypot(*(width + lean for lean in shear), 1.0) / math.sqrt(3)


def over_corners(values: Float32, combine: np.ufunc) -> Float32:
    """Nodes -> cells, one fewer along each axis: the values at a cell's eight corners combined, for instance by np.maximum."""
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        values = combine(values[tuple(low)], values[tuple(high)])
    return values


def _lowest_around(cells: Float32) -> Float32:
    """The lowest of each cell and its 26 neighbours."""
    padded = np.pad(cells, 1, mode="edge")
    return over_corners(over_corners(padded, np.minimum), np.minimum)


def _of_size(numbers: ByCells, cells: int) -> float:
    """The number for cells of this size: of the nearest larger size that is listed, or of the largest."""
    if not numbers:
        return 0.0
    return numbers[max((listed for listed in numbers if listed <= cells), default=min(numbers))]

"""What a procedural family is, and the part that it makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from manifold3d import Manifold

Kind = Literal["component", "machine", "structure", "other"]


@dataclass(frozen=True)
class Family:
    """One procedural family: parameters are drawn, then built; `build` knows no randomness.

    draw: generator -> a frozen dataclass of numbers, strings and tuples, which is recorded with the part. Floats are millimetres,
    except where a name ends in `_ratio`, `_degrees` or `_turns`; ints are counts; strings name variants and standard sizes.
    build: those parameters -> a solid in millimetres, z up as in use.
    description: one line for a catalogue.
    thinnest_wall: voxels, of 256 along the longest side, that the walls keep (`conditions.wall_thickness`); three of them are
    sure to show in the labels, and a family that goes below says why. None: not asked.
    loose_bodies: bodies may stand free of each other, as the balls of a bearing do.
    """

    name: str
    kind: Kind
    draw: Callable[[np.random.Generator], Any]
    build: Callable[[Any], Manifold]
    description: str
    thinnest_wall: float | None = 3.0
    loose_bodies: bool = False


@dataclass(frozen=True)
class Part:
    """A solid of a family, in the object frame.

    vertices: (n, 3) float32, z up, bounding box centred on the origin, farthest vertex at 0.5 from it.
    faces: (m, 3) int32, counter-clockwise seen from outside.
    parameters: what `Family.draw` drew, JSON values only.
    """

    family: str
    kind: str
    seed: int
    parameters: dict[str, Any]
    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]

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

    draw: generator -> a frozen dataclass of numbers, strings and tuples, which is recorded with the part.
    build: those parameters -> a solid in millimetre-like units, z up as in use.
    """

    name: str
    kind: Kind
    draw: Callable[[np.random.Generator], Any]
    build: Callable[[Any], Manifold]


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

"""Thin industrial parts as exact distances, and the field that an ideal network would make of them.

Frame: (u, v, z) under the orthographic camera. Distances are to the *solid*: 0 inside, Euclidean outside. Each solid lies about
the origin of a frame of its own, and `Placed` takes it elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.field import Float32, QueryGrid
from model.soft_label import SoftLabel

Float64 = npt.NDArray[np.float64]

IDEAL = SoftLabel(s=0.13, d_star_voxels=5 * math.sqrt(3), voxels_per_side=256)
SIZE = 0.9  # longest extent of every part, so that it fits into the picture whichever way it is turned
THICKNESSES = (1 / 200, 1 / 100, 1 / 50, 1 / 25)  # of SIZE


class Solid(Protocol):
    """A solid in a frame of its own."""

    @property
    def half(self) -> Float64:
        """(3,): half the sides of a centred box around it."""

    def distance(self, points: Float64) -> Float64:
        """(n, 3) -> (n,) >= 0: exact distance to the solid."""


@dataclass(frozen=True)
class Box:
    """A centred box; `sides` are halves."""

    sides: tuple[float, float, float]

    @property
    def half(self) -> Float64:
        return np.array(self.sides)

    def distance(self, points: Float64) -> Float64:
        return _norm(np.maximum(np.abs(points) - self.half, 0.0))


@dataclass(frozen=True)
class Cylinder:
    """Along x, with flat ends."""

    radius: float
    half_length: float

    @property
    def half(self) -> Float64:
        return np.array([self.half_length, self.radius, self.radius])

    def distance(self, points: Float64) -> Float64:
        beside = np.maximum(np.hypot(points[:, 1], points[:, 2]) - self.radius, 0.0)
        return np.hypot(beside, np.maximum(np.abs(points[:, 0]) - self.half_length, 0.0))


@dataclass(frozen=True)
class Capsule:
    """All points within `radius` of a segment along x: a wire with round ends, which joins others without a gap."""

    radius: float
    half_length: float

    @property
    def half(self) -> Float64:
        return np.array([self.half_length, 0.0, 0.0]) + self.radius

    def distance(self, points: Float64) -> Float64:
        along = np.maximum(np.abs(points[:, 0]) - self.half_length, 0.0)
        return np.maximum(np.sqrt(along**2 + points[:, 1] ** 2 + points[:, 2] ** 2) - self.radius, 0.0)


@dataclass(frozen=True)
class Ring:
    """A torus about z."""

    radius: float
    tube: float

    @property
    def half(self) -> Float64:
        return np.array([self.radius, self.radius, 0.0]) + self.tube

    def distance(self, points: Float64) -> Float64:
        return np.maximum(np.hypot(np.hypot(points[:, 0], points[:, 1]) - self.radius, points[:, 2]) - self.tube, 0.0)


@dataclass(frozen=True)
class PerforatedSheet:
    """A plate across z of `across` x `down` square cells of side `pitch`, a round hole in the middle of each."""

    across: int
    down: int
    pitch: float
    hole_radius: float
    half_thickness: float

    def __post_init__(self) -> None:
        assert self.hole_radius < self.pitch / 2, "holes that touch leave no sheet, and `distance` would be wrong"

    @property
    def half(self) -> Float64:
        return np.array([self.across * self.pitch / 2, self.down * self.pitch / 2, self.half_thickness])

    def distance(self, points: Float64) -> Float64:
        """In the plane the maximum of both distances is exact, as one of them is 0 wherever the other is not: a hole lies
        within the outline. Across the plane the sheet is a prism, whose distance is the hypotenuse."""
        flat = points[:, :2]
        outline = _norm(np.maximum(np.abs(flat) - self.half[:2], 0.0))
        cells = np.array([self.across, self.down])
        nearest = np.clip(np.floor(flat / self.pitch + cells / 2), 0, cells - 1)
        centres = (nearest + 0.5 - cells / 2) * self.pitch
        in_plane = np.maximum(outline, self.hole_radius - _norm(flat - centres))
        return np.hypot(np.maximum(in_plane, 0.0), np.maximum(np.abs(points[:, 2]) - self.half_thickness, 0.0))


@dataclass(frozen=True, eq=False)
class Placed:
    """A solid turned, then moved: point = rotation @ its own + centre."""

    solid: Solid
    centre: Float64
    rotation: Float64

    @property
    def bounds(self) -> Float64:
        """(2, 3): a box around it."""
        reach = np.abs(self.rotation) @ self.solid.half
        return np.array([self.centre - reach, self.centre + reach])

    def distance(self, points: Float64) -> Float64:
        return self.solid.distance((points - self.centre) @ self.rotation)

    def turned_and_moved(self, rotation: Float64, offset: Float64) -> Placed:
        return Placed(self.solid, rotation @ self.centre + offset, rotation @ self.rotation)


@dataclass(frozen=True, eq=False)
class ThinPart:
    """The union of its pieces; the distance to it is the least of theirs."""

    name: str
    pieces: tuple[Placed, ...]

    def distance(self, points: Float64) -> Float64:
        """(n, 3) -> (n,) >= 0."""
        least: Float64 = np.min([piece.distance(points) for piece in self.pieces], axis=0)
        return least

    def placed(self, name: str, rotation: Float64, offset: Float64) -> ThinPart:
        return ThinPart(name, tuple(piece.turned_and_moved(rotation, offset) for piece in self.pieces))


class SoftField:
    """An `OccupancyField` that says v(d, s) of a part at every node of its grid, and counts what it was asked.

    All nodes are worked out at the first question, each piece's only where its label reaches: many tests ask one field twice.
    """

    def __init__(self, part: ThinPart, resolution: int, label: SoftLabel = IDEAL) -> None:
        self.part = part
        self.grid = QueryGrid(resolution)
        self.observed = np.ones(self.grid.shape[:2], np.bool_)
        self.label = label
        self.asked = 0

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        self.asked += len(columns)
        assert self.asked < 10 * math.prod(self.grid.shape), "asked again and again: a query that never ends"
        layers = np.rint((depths - np.float32(self.grid.origin[2])) * np.float32(self.grid.resolution)).astype(np.int64)
        answers: Float32 = self._values.reshape(-1)[columns * self.grid.shape[2] + layers]
        return answers

    @cached_property
    def _values(self) -> Float32:
        """(n_u, n_v, n_z)"""
        values = np.zeros(self.grid.shape, np.float32)
        axes = [
            start + np.arange(count) / self.grid.resolution for start, count in zip(self.grid.origin, values.shape, strict=True)
        ]
        for piece in self.part.pieces:
            low, high = piece.bounds + np.array([[-1.0], [1.0]]) * self.label.reach
            near = [slice(*np.searchsorted(nodes, ends)) for nodes, ends in zip(axes, zip(low, high, strict=True), strict=True)]
            box = tuple(near)
            points = np.stack(np.meshgrid(*(nodes[part] for nodes, part in zip(axes, box, strict=True)), indexing="ij"), axis=-1)
            answers = self.label.value(piece.distance(points.reshape(-1, 3))).reshape(points.shape[:-1])
            np.maximum(values[box], answers, out=values[box], casting="same_kind")
        return values


# The parts, each about the origin, its thickness t in view-frame units


def plate(t: float) -> ThinPart:
    return ThinPart("plate", (_at(Box((0.36, 0.26, t / 2))),))


def rod(t: float) -> ThinPart:
    return ThinPart("rod", (_at(Cylinder(t / 2, SIZE / 2)),))


def ring(t: float) -> ThinPart:
    return ThinPart("ring", (_at(Ring(SIZE / 2 - t / 2, t / 2)),))


def helix(t: float, turns: int = 3, segments: int = 36) -> ThinPart:
    """A spring along x, drawn as a polyline."""
    angle = np.linspace(0, 2 * math.pi * turns, segments + 1)
    return ThinPart(
        "helix", _wires(np.stack([np.linspace(-0.35, 0.35, len(angle)), 0.22 * np.cos(angle), 0.22 * np.sin(angle)], 1), t)
    )


def wire_frame(t: float) -> ThinPart:
    """The twelve edges of a box."""
    half = np.array([0.3, 0.25, 0.2])
    pieces: list[Placed] = []
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for signs in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            ends = np.zeros((2, 3))
            ends[:, others] = half[others] * signs
            ends[:, axis] = -half[axis], half[axis]
            pieces += _wires(ends, t)
    return ThinPart("wire frame", tuple(pieces))


def perforated_sheet(t: float) -> ThinPart:
    return ThinPart("perforated sheet", (_at(PerforatedSheet(9, 6, 0.08, 0.026, t / 2)),))


def fins(t: float, count: int = 8) -> ThinPart:
    """A heat sink: fins on a base as thin as they are."""
    base = _at(Box((0.32, 0.24, t / 2)))
    upright = [_at(Box((t / 2, 0.24, 0.1)), (x, 0.0, 0.1)) for x in np.linspace(-0.3, 0.3, count)]
    return ThinPart("fins", (base, *upright))


def bracket(t: float) -> ThinPart:
    """An L of sheet metal."""
    return ThinPart("bracket", (_at(Box((0.28, 0.22, t / 2))), _at(Box((t / 2, 0.22, 0.14)), (-0.28, 0.0, 0.14))))


KINDS = (plate, rod, ring, helix, wire_frame, perforated_sheet, fins, bracket)
_AXES = ("x", "y", "z")


def thin_parts(seed: int, tilts: int = 2) -> Iterator[ThinPart]:
    """Every kind in every thickness: its own x along each axis of the picture, and tilted at random; each somewhere else."""
    rng = np.random.default_rng(seed)
    for kind in KINDS:
        for thickness in THICKNESSES:
            part = kind(thickness * SIZE)
            poses = [(f"along {_AXES[k]}", np.roll(np.eye(3), k, axis=0)) for k in range(3)]
            poses += [(f"tilted {k}", random_rotation(rng)) for k in range(tilts)]
            for pose, rotation in poses:
                offset = rng.uniform((-0.03, -0.03, -0.2), (0.03, 0.03, 0.2))
                yield part.placed(f"{part.name} 1/{round(1 / thickness)} {pose}", rotation, offset)


def random_rotation(rng: np.random.Generator) -> Float64:
    """(3, 3), uniform over all rotations: from a random unit quaternion."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _at(solid: Solid, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Placed:
    return Placed(solid, np.array(centre), np.eye(3))


def _wires(corners: Float64, t: float) -> tuple[Placed, ...]:
    """A polyline (k, 3) of capsules."""
    pieces = []
    for start, end in pairwise(corners):
        length = float(np.linalg.norm(end - start))
        x = (end - start) / length
        y = np.cross(x, np.eye(3)[np.argmin(np.abs(x))])
        y /= np.linalg.norm(y)
        pieces.append(Placed(Capsule(t / 2, length / 2), (start + end) / 2, np.stack([x, y, np.cross(x, y)], axis=1)))
    return tuple(pieces)


def _norm(vectors: Float64) -> Float64:
    length: Float64 = np.sqrt((vectors**2).sum(axis=1))
    return length

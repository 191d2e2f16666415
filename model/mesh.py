"""A triangle mesh and what holds of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCK = 16_384  # faces worked on at once: what is computed of them stays in the cache


@dataclass(frozen=True)
class Mesh:
    """A closed triangle mesh: indexed, wound counter-clockwise seen from outside.

    vertices: (n, 3) float32, finite; faces: (m, 3) int32, each row three different vertices.
    metadata: what a file says about its content (bundle, units, scale source, ...), JSON values only.
    vertex_attributes: further numbers of each vertex, (n,) float32, finite, by names of small letters.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    metadata: dict[str, Any] = field(default_factory=dict)
    vertex_attributes: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3 or self.vertices.dtype != np.float32:
            raise ValueError(f"vertices: expected (n, 3) float32, got {self.vertices.shape} {self.vertices.dtype}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or self.faces.dtype != np.int32:
            raise ValueError(f"faces: expected (m, 3) int32, got {self.faces.shape} {self.faces.dtype}")
        if not np.isfinite(self.vertices).all():
            raise ValueError("vertices: expected finite numbers, found NaN or infinity")
        if len(self.faces) and not (0 <= self.faces.min() and self.faces.max() < len(self.vertices)):
            raise ValueError(f"faces: expected vertex numbers in [0, {len(self.vertices)}), found others")
        for name, values in self.vertex_attributes.items():
            if not re.fullmatch("[a-z]{2,}", name):  # a word in every file format, and no coordinate
                raise ValueError(f"vertex_attributes: expected names of two small letters or more, got {name!r}")
            if values.shape != self.vertices.shape[:1] or values.dtype != np.float32 or not np.isfinite(values).all():
                raise ValueError(
                    f"vertex_attributes: expected finite ({len(self.vertices)},) float32 as {name},"
                    f" got {values.shape} {values.dtype}"
                )

    @property
    def corners(self) -> npt.NDArray[np.float32]:
        """(m, 3, 3) float32: the three corners of each face."""
        return self.vertices[self.faces]

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        """The faces in blocks: which, their (3, k) vertex numbers, and the (3, 3, k) float64 coordinates by axis and corner."""
        axes = np.ascontiguousarray(self.vertices.T, np.float64)
        for first in range(0, len(self.faces), BLOCK):
            block = slice(first, first + BLOCK)
            corners = np.ascontiguousarray(self.faces[block].T, np.int64)
            yield block, corners, axes.take(corners, axis=1)

    @property
    def volumes(self) -> npt.NDArray[np.float64]:
        """(m,) float64: the signed volume between each face and the origin, in cubed mesh units."""
        volumes = np.empty(len(self.faces))
        for block, _, ((ax, bx, cx), (ay, by, cy), (az, bz, cz)) in self.blocks():
            volumes[block] = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
        return volumes / 6.0

    @property
    def volume(self) -> float:
        """Enclosed volume in cubed mesh units, positive when the winding is outward (divergence theorem)."""
        return float(self.volumes.sum())

    @property
    def bounds(self) -> npt.NDArray[np.float32]:
        """(2, 3) float32: lowest and highest corner of the axis-aligned box."""
        return np.array([[axis.min() for axis in self.vertices.T], [axis.max() for axis in self.vertices.T]], np.float32)

    @property
    def is_watertight(self) -> bool:
        """Whether every edge belongs to exactly two faces that run along it in opposite directions.

        The edges that run to higher vertex numbers must be those that run to lower ones, turned round, each of them once.
        """
        start = np.ascontiguousarray(self.faces, np.int64).ravel()
        end = np.ascontiguousarray(self.faces[:, [1, 2, 0]], np.int64).ravel()
        rising = start < end
        there, back = (start << 32 | end)[rising], (end << 32 | start)[~rising]
        if not 0 < len(there) == len(back):
            return False
        for edges in (there, back):
            edges.sort(kind="stable")  # merges runs, of which an extracted surface is full
        return np.array_equal(there, back) and bool((there[1:] != there[:-1]).all())

    @property
    def euler_characteristic(self) -> int:
        """V - E + F over the vertices that faces use: 2 for a sphere, 0 for a torus."""
        edges = np.sort(np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]), axis=1)
        return len(np.unique(self.faces)) - len(np.unique(edges, axis=0)) + len(self.faces)

    def scaled(self, factor: float) -> Mesh:
        """The same mesh, `factor` times as large about the origin."""
        return replace(self, vertices=(self.vertices * np.float32(factor)))

    def rotated(self, rotation: npt.NDArray[np.float64]) -> Mesh:
        """The same mesh, turned about the origin by a rotation matrix, (3, 3)."""
        return replace(self, vertices=(self.vertices @ rotation.T).astype(np.float32))

    def with_metadata(self, **entries: Any) -> Mesh:
        """The same mesh, with `entries` added to its metadata."""
        return replace(self, metadata={**self.metadata, **entries})

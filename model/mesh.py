"""A triangle mesh and what holds of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Mesh:
    """A closed triangle mesh: indexed, wound counter-clockwise seen from outside.

    vertices: (n, 3) float32, finite; faces: (m, 3) int32, each row three different vertices.
    metadata: what a file says about its content (bundle, units, scale source, ...), JSON values only.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3 or self.vertices.dtype != np.float32:
            raise ValueError(f"vertices: expected (n, 3) float32, got {self.vertices.shape} {self.vertices.dtype}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or self.faces.dtype != np.int32:
            raise ValueError(f"faces: expected (m, 3) int32, got {self.faces.shape} {self.faces.dtype}")
        if not np.isfinite(self.vertices).all():
            raise ValueError("vertices: expected finite numbers, found NaN or infinity")
        if len(self.faces) and not (0 <= self.faces.min() and self.faces.max() < len(self.vertices)):
            raise ValueError(f"faces: expected vertex numbers in [0, {len(self.vertices)}), found others")

    @property
    def corners(self) -> npt.NDArray[np.float32]:
        """(m, 3, 3) float32: the three corners of each face."""
        return self.vertices[self.faces]

    @property
    def volume(self) -> float:
        """Enclosed volume in cubed mesh units, positive when the winding is outward (divergence theorem)."""
        corners = self.corners.astype(np.float64)
        return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6.0)

    @property
    def bounds(self) -> npt.NDArray[np.float32]:
        """(2, 3) float32: lowest and highest corner of the axis-aligned box."""
        return np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)])

    @property
    def is_watertight(self) -> bool:
        """Whether every edge belongs to exactly two faces that run along it in opposite directions."""
        if not len(self.faces):
            return False
        start = self.faces.astype(np.int64)
        end = np.roll(start, -1, axis=1)
        n = len(self.vertices)
        forward, backward = (start * n + end).ravel(), (end * n + start).ravel()
        forward.sort()
        backward.sort()
        return bool((forward[1:] != forward[:-1]).all() and (forward == backward).all())

    @property
    def euler_characteristic(self) -> int:
        """V - E + F over the vertices that faces use: 2 for a sphere, 0 for a torus."""
        edges = np.sort(np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]), axis=1)
        return len(np.unique(self.faces)) - len(np.unique(edges, axis=0)) + len(self.faces)

    def scaled(self, factor: float) -> Mesh:
        """The same mesh, `factor` times as large about the origin."""
        return replace(self, vertices=(self.vertices * np.float32(factor)))

    def with_metadata(self, **entries: Any) -> Mesh:
        """The same mesh, with `entries` added to its metadata."""
        return replace(self, metadata={**self.metadata, **entries})

"""A solid given as points on its surface with their outward normals: signed distance, and triangles.

A label frame here is any frame of the points' own; lengths are in its units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from model.isosurface import extract_surface
from model.mesh import Mesh
from training.sampling.voxels import with_few_faces

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.floating[Any]]

VOTERS = 4  # nearest points that say on which side a point is
SPARSE_STEP = 16  # every so-manieth point measures what is far away, where the others would cost much and add little
FAR = 4.0  # far: in spacings of the sparse points
SPACING_POINTS = 2000  # points that the spacing is measured at
MAX_CELLS = 128  # of the grid for the triangles, along the longest side
POINTS_PER_CELL = 2.5  # that fall on a cell's side at the least: with 22 around each node, none is left without by chance


@dataclass(frozen=True, eq=False)
class PointCloudSolid:
    """What an evenly sampled, closed surface encloses.

    points, normals: (n, 3) float32, label frame; normals of unit length, outward; in random order.
    ValueError with fewer than 100 points, or when they enclose nothing that a grid fit for them can resolve.
    """

    points: Float32Array
    normals: Float32Array

    def __post_init__(self) -> None:
        if (
            self.points.ndim != 2
            or self.points.shape[1] != 3
            or self.points.shape != self.normals.shape
            or len(self.points) < 100
        ):
            found = f"{self.points.shape} and {self.normals.shape}"
            raise ValueError(f"point cloud: expected at least 100 points (n, 3) and as many normals, found {found}")

    @property
    def vertices(self) -> Float32Array:
        """(n, 3) float32, label frame."""
        return self._surface.vertices

    @property
    def faces(self) -> Int32Array:
        """(m, 3) int32, at most about 30,000, counter-clockwise seen from outside."""
        return self._surface.faces

    def signed_distance(self, points: FloatArray) -> Float64Array:
        """(n, 3) label frame -> (n,) float64, its units, negative inside."""
        queries = np.asarray(points, np.float64)
        sparse, dense = self._samples
        distance = sparse.signed_distance(queries)
        close = np.abs(distance) < FAR * sparse.spacing
        distance[close] = dense.signed_distance(queries[close])
        side = self._grid.side_of(queries)  # far points have thin edges too far apart to vote
        return np.where(side == 0, distance, np.abs(distance) * side)

    @cached_property
    def _samples(self) -> tuple[_Samples, _Samples]:
        """A part of the points, and all of them."""
        return _Samples(self.points[::SPARSE_STEP], self.normals[::SPARSE_STEP]), _Samples(self.points, self.normals)

    @cached_property
    def _grid(self) -> _Grid:
        """Which nodes lie inside and outside: the outer region is outside, and in each other one look decides for all of it."""
        low, high = self.points.min(axis=0).astype(np.float64), self.points.max(axis=0).astype(np.float64)
        step = max(float((high - low).max()) / MAX_CELLS, (POINTS_PER_CELL / self._samples[1].density) ** 0.5)
        if not step > 0:
            raise ValueError("point cloud: expected points some way apart, found them in one place")
        origin = low - 3 * step
        near = np.zeros(np.ceil((high - low) / step).astype(int) + 7, np.bool_)
        near[tuple(np.round((self.points - origin) / step).astype(int).T)] = True
        near = ndimage.binary_dilation(near, np.ones((3, 3, 3), np.bool_))
        regions, count = ndimage.label(~near)
        first = np.zeros(count + 1, np.int64)
        first[regions.ravel()[::-1]] = np.arange(regions.size)[::-1]  # the last one written is the first of its region
        nodes = np.stack(np.unravel_index(first, regions.shape), axis=1)  # beside a near node, but for the outer region's
        sides = np.where(self._samples[1].signed_distance(origin + nodes * step) < 0, -1, 1).astype(np.int8)
        sides[0], sides[regions[0, 0, 0]] = 0, 1
        return _Grid(origin, step, sides[regions])

    @cached_property
    def _surface(self) -> Mesh:
        """Marching cubes on the signed distance of the nodes near the points; the others only need the right side."""
        grid = self._grid
        near = grid.sides == 0
        distance = grid.sides.astype(np.float32) * np.float32(3 * grid.step)
        distance[near] = self._samples[1].signed_distance(grid.origin + np.argwhere(near) * grid.step)
        return with_few_faces(extract_surface(-distance, 0.0, grid.origin, grid.step), grid.step)

    def __getstate__(self) -> dict[str, Any]:
        """Only the points: the search trees are built again where they are wanted."""
        return {"points": self.points, "normals": self.normals}


@dataclass(frozen=True, eq=False)
class _Grid:
    """sides: (nx, ny, nz) int8 at the nodes `origin + index * step`: -1 inside, 1 outside, 0 near the surface."""

    origin: Float64Array
    step: float
    sides: npt.NDArray[np.int8]

    def side_of(self, queries: Float64Array) -> npt.NDArray[np.int8]:
        """The side of the nearest node for each point, (n, 3) -> (n,); 1 beyond the grid, whose walls are outside."""
        nodes = np.clip(np.round((queries - self.origin) / self.step), 0, np.array(self.sides.shape) - 1).astype(int)
        return np.asarray(self.sides[tuple(nodes.T)])


class _Samples:
    """Points to search, and what they say about distances."""

    def __init__(self, points: Float32Array, normals: Float32Array) -> None:
        self.points, self.normals = points.astype(np.float64), normals.astype(np.float64)
        self.tree = cKDTree(self.points)
        to_next, _ = self.tree.query(self.points[:SPACING_POINTS], 2)
        nearest = float(np.median(to_next[:, 1]))
        self.spacing = 2 * nearest
        # Of points strewn over a plane, half have their neighbour within the circle in which ln 2 points are expected.
        self.density = np.log(2) / (np.pi * nearest**2) if nearest > 0 else np.inf

    def signed_distance(self, queries: Float64Array) -> Float64Array:
        """Along the nearest point's normal, and across it what the points' spacing does not explain.

        The nearest sample of a wall is some way off the foot of the perpendicular, by chance; off an edge it is the wall that
        ends. Near an edge, a point is behind one wall and before the other, so the nearest points vote, each by the solid angle
        that its piece of the surface takes up.
        """
        distance, index = self.tree.query(queries, VOTERS)
        offset = queries[:, None] - self.points[index]
        height = np.einsum("nki,nki->nk", offset, self.normals[index])
        side = (height / np.maximum(distance, 1e-9 * self.spacing + 1e-30) ** 3).sum(axis=1)
        aside = np.maximum(distance[:, 0] ** 2 - height[:, 0] ** 2 - self.spacing**2, 0)
        return np.asarray(np.copysign(np.sqrt(height[:, 0] ** 2 + aside), side), np.float64)

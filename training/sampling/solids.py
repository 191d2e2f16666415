"""Solids as training sees them: triangles to photograph, and a signed distance to label points with.

Object frame: bounding box centred on the origin, farthest vertex at 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import igl
import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.floating[Any]]

INSIDE = 0.5  # winding number above which a point is inside


class Solid(Protocol):
    """A closed region of space, bounded by triangles.

    vertices: (n, 3) float32, object frame; faces: (m, 3) int32, counter-clockwise seen from outside. They are its surface:
    what is photographed, sampled, and compared in evaluation.
    """

    @property
    def vertices(self) -> Float32Array: ...

    @property
    def faces(self) -> Int32Array: ...

    def signed_distance(self, points: FloatArray) -> Float64Array:
        """(n, 3) object frame -> (n,) float64, object units, negative inside."""
        ...


@dataclass(frozen=True, eq=False)
class ClosedMesh:
    """A watertight mesh, wound outward, that does not run through itself: the sign comes from the nearest triangle's side.

    vertices: (n, 3) float32, object frame; faces: (m, 3) int32.
    """

    vertices: Float32Array
    faces: Int32Array

    def signed_distance(self, points: FloatArray) -> Float64Array:
        """(n, 3) -> (n,) float64, negative inside; ValueError when a distance is not finite."""
        return signed_distance(points, self.vertices, self.faces)


@dataclass(frozen=True, eq=False)
class WindingMesh:
    """Triangles wound outward that may leave holes, overlap or run through each other: inside is where they wind around a point.

    vertices: (n, 3) float32, object frame; faces: (m, 3) int32, the surface.
    hidden: (k, 3) int32, faces wholly inside the solid. They count for the winding number and are no surface.
    """

    vertices: Float32Array
    faces: Int32Array
    hidden: Int32Array = field(default_factory=lambda: np.zeros((0, 3), np.int32))

    def signed_distance(self, points: FloatArray) -> Float64Array:
        """(n, 3) -> (n,) float64, negative inside; ValueError when a distance is not finite."""
        queries = np.ascontiguousarray(points, np.float64)
        squared = self._tree.squared_distance(self._vertices, self._faces, queries)[0]
        distance = np.sqrt(_finite(squared))
        return np.where(self.winding_number(queries) > INSIDE, -distance, distance)

    def winding_number(self, points: FloatArray) -> Float64Array:
        """How often the triangles wind around each point: (n, 3) -> (n,) float64, a whole number where they leave no hole."""
        winding: Float64Array = self._hierarchy.winding_number(np.ascontiguousarray(points, np.float64))
        return winding

    @cached_property
    def _vertices(self) -> Float64Array:
        return np.ascontiguousarray(self.vertices, np.float64)

    @cached_property
    def _faces(self) -> npt.NDArray[np.int64]:
        return np.ascontiguousarray(self.faces, np.int64)

    @cached_property
    def _tree(self) -> Any:
        tree = igl.AABB()
        tree.init(self._vertices, self._faces)
        return tree

    @cached_property
    def _hierarchy(self) -> Any:
        hierarchy = igl.FastWindingNumberBVH()
        hierarchy.init(self._vertices, np.concatenate([self._faces, self.hidden]).astype(np.int64))
        return hierarchy

    def __getstate__(self) -> dict[str, Any]:
        """Only the triangles: the search trees cannot be pickled, and are built again where they are wanted."""
        return {"vertices": self.vertices, "faces": self.faces, "hidden": self.hidden}


def signed_distance(points: FloatArray, vertices: FloatArray, faces: npt.NDArray[np.integer[Any]]) -> Float64Array:
    """Distance to a watertight, outward-wound mesh, negative inside: (n, 3) -> (n,) float64, units of the vertices."""
    distance = igl.signed_distance(
        np.ascontiguousarray(points, np.float64),
        np.ascontiguousarray(vertices, np.float64),
        np.ascontiguousarray(faces, np.int64),
        sign_type=igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL,
    )[0]
    return _finite(distance)


def object_frame(vertices: FloatArray) -> tuple[Float32Array, float, Float64Array]:
    """Brings vertices into the object frame: x_object = (x - centre) * scale.

    (n, 3), any unit -> (n, 3) float32, scale, centre (3,) float64. ValueError where there is no extent to scale.
    """
    centre = (vertices.min(axis=0).astype(np.float64) + vertices.max(axis=0)) / 2
    centred = vertices - centre
    radius = float(np.linalg.norm(centred, axis=1).max())
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"object frame: expected vertices some finite way apart, found a radius of {radius}")
    return (centred * (0.5 / radius)).astype(np.float32), 0.5 / radius, centre


def _finite(distance: Float64Array) -> Float64Array:
    if not np.isfinite(distance).all():
        raise ValueError(f"signed distance: expected finite numbers, found {(~np.isfinite(distance)).sum()} others")
    return distance

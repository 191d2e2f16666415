"""Points on a triangle mesh."""

import numpy as np
import numpy.typing as npt

from training.rendering.normals import face_normals

Float64Array = npt.NDArray[np.float64]


def sample_surface(
    vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer], count: int, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """`count` points spread evenly over the area, and the unit normal of the face below each: (count, 3) float64 twice."""
    corners = vertices[faces].astype(np.float64)
    across, along = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    cumulative = np.cumsum(np.linalg.norm(np.cross(across, along), axis=1))
    face = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    first, second = rng.random((2, count, 1))
    beyond = first + second > 1  # fold the parallelogram's far half back onto the triangle
    first, second = np.where(beyond, 1 - first, first), np.where(beyond, 1 - second, second)
    points = corners[face, 0] + first * across[face] + second * along[face]
    return points, face_normals(vertices, faces)[face]

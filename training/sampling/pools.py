"""Labelled points for training: near the surface and all over the volume, with their distance to the solid.

Object frame: the solid lies in the sphere of radius 0.5. A voxel is 1/256 of the sphere's diameter.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.sampling.solids import Solid
from training.sampling.surface import sample_surface

VOXEL = 1 / 256
POINT_STEPS = 32767  # a stored point is a whole number of 1/32767
BALL_RADIUS = 0.87  # holds most of any query volume; about a twentieth, its corners far from the object, lies beyond


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """How many points, and how far from the surface: offsets are normal, their sigmas (voxels) drawn by weight."""

    near_points: int = 24_000
    uniform_points: int = 8_000
    sigmas: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 20.0)
    weights: tuple[float, ...] = (0.25, 0.25, 0.20, 0.15, 0.15)


@dataclass(frozen=True)
class Pool:
    """points: (N, 3) int16, object coordinate = value / 32767; distance: (N,) float32, object units, negative inside.

    The first `near_count` points lie near the surface, the others are uniform in a ball; each part is in random order.
    """

    points: npt.NDArray[np.int16]
    distance: npt.NDArray[np.float32]
    near_count: int


def draw_pool(solid: Solid, config: PoolConfig, rng: np.random.Generator) -> Pool:
    """A pool around a solid. Points are rounded to what is stored before they are measured, so labels fit exactly."""
    near = near_surface_points(solid, config, rng)
    points = quantise(np.concatenate([near, uniform_points(config.uniform_points, rng)]))
    return Pool(points, solid.signed_distance(dequantise(points)).astype(np.float32), config.near_points)


def near_surface_points(solid: Solid, config: PoolConfig, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(near_points, 3): surface samples, moved by a normal offset on each axis."""
    points, _ = sample_surface(solid.vertices, solid.faces, config.near_points, rng)
    weights = np.array(config.weights) / sum(config.weights)
    sigma = rng.choice(np.array(config.sigmas) * VOXEL, config.near_points, p=weights)
    return points + rng.normal(size=points.shape) * sigma[:, None]


def uniform_points(count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(count, 3), uniform in the ball of `BALL_RADIUS`."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return direction * BALL_RADIUS * rng.random((count, 1)) ** (1 / 3)


def quantise(points: npt.NDArray[np.floating]) -> npt.NDArray[np.int16]:
    """Object coordinates, kept to [-1, 1] -> stored whole numbers."""
    return np.round(np.clip(points, -1, 1) * POINT_STEPS).astype(np.int16)


def dequantise(points: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """Stored whole numbers -> object coordinates."""
    return points / POINT_STEPS

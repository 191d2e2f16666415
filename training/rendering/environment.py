"""Procedural surroundings that light a part: a gradient, a busy horizon, a few soft boxes, and what shading needs of them.

Directions are unit vectors of the object frame, z up. Maps are latitude-longitude, row 0 at +z:
(HEIGHT, 2 * HEIGHT, 3) float32 radiance.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

HEIGHT = 64
BLUR_HEIGHT = 32  # blurred levels hold no detail that needs more rows
LEVEL_ROUGHNESS = (0.0, 0.25, 0.5, 0.75, 1.0)
CUBE_SIDE = 24  # cells along a side of the direction cube


@dataclass(frozen=True)
class Environment:
    """Light that comes from infinitely far.

    levels: (5, HEIGHT, 2 * HEIGHT, 3) radiance, blurred as a surface of `LEVEL_ROUGHNESS` would see it.
    harmonics: (9, 3), spherical harmonics of the light that a white diffuse surface sends back.
    soft_luminance: (CUBE_SIDE,) * 3, luminance of a blurred level by direction; a cheap weight for shadow rays.
    exposure: factor that brings a white card to radiance 1 when it is turned between its mean and its brightest position,
        as an incident light meter would find it: independent of what the part looks like.
    """

    levels: npt.NDArray[np.float32]
    harmonics: npt.NDArray[np.float32]
    soft_luminance: npt.NDArray[np.float32]
    exposure: float

    def reflected(self, directions: FloatArray, roughness: float) -> npt.NDArray[np.float32]:
        """Radiance that a surface of `roughness` in [0, 1] mirrors from `directions`: (n, 3) -> (n, 3) float32."""
        level = min(roughness, 0.999) * (len(LEVEL_ROUGHNESS) - 1)
        below, share = int(level), np.float32(level % 1.0)
        radiance = self.levels[below] * (1 - share) + self.levels[below + 1] * share
        return _sample(radiance, directions)

    def diffuse(self, normals: FloatArray) -> npt.NDArray[np.float32]:
        """Radiance of a white, unshadowed diffuse surface: (n, 3) -> (n, 3) float32."""
        return np.maximum(_harmonic_basis(normals) @ self.harmonics, 0.0)

    def soft_weight(self, directions: FloatArray) -> npt.NDArray[np.float32]:
        """Blurred luminance, (..., 3) -> (...) float32: which shadow rays matter."""
        cell = (directions * np.float32(CUBE_SIDE / 2 - 0.01) + np.float32(CUBE_SIDE / 2)).astype(np.int32)
        return self.soft_luminance.ravel()[(cell[..., 0] * CUBE_SIDE + cell[..., 1]) * CUBE_SIDE + cell[..., 2]]

    def above_ground(self, albedo: float) -> "Environment":
        """The same surroundings with a level diffuse ground below, grey of `albedo`, that ends a little under the horizon."""
        descent = np.clip((-_directions(HEIGHT)[..., 2:] - 0.05) / 0.2, 0, 1)
        share = descent**2 * (3 - 2 * descent)
        sent = np.float32(albedo) * self.diffuse(np.array([[0, 0, 1]], np.float32))
        return environment_from_map(self.levels[0] * (1 - share) + sent * share)


def draw_environment(rng: np.random.Generator) -> Environment:
    """Random surroundings, somewhere between an overcast yard and a photographer's studio."""
    return environment_from_map(_draw_map(rng))


def environment_from_map(radiance: npt.NDArray[np.float32]) -> Environment:
    """Prepares a (HEIGHT, 2 * HEIGHT, 3) radiance map for shading."""
    blurred = _blurred_levels(radiance)
    directions = _directions(HEIGHT).reshape(-1, 3)
    basis = _harmonic_basis(directions)
    lobe = np.array([1.0] + [2 / 3] * 3 + [1 / 4] * 5, np.float32)  # a clamped cosine's coefficients, divided by pi
    harmonics = (basis * _solid_angles(HEIGHT).reshape(-1, 1)).T @ radiance.reshape(-1, 3) * lobe[:, None]
    harmonics = harmonics.astype(np.float32)
    card = np.maximum(_harmonic_basis(_directions(8).reshape(-1, 3)) @ harmonics, 0.0).mean(axis=1)
    return Environment(
        levels=np.stack([radiance, *blurred]),
        harmonics=harmonics,
        soft_luminance=_sample(blurred[1], _cube_directions()).mean(axis=1).reshape((CUBE_SIDE,) * 3),
        exposure=2.0 / float(card.mean() + card.max()),
    )


def _draw_map(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    directions = _directions(HEIGHT)
    up = directions[..., 2:]
    sky, horizon, ground = rng.uniform(0.3, 1.2), rng.uniform(0.3, 1.0), rng.uniform(0.1, 0.7)
    above = horizon * _tint(rng) + (sky * _tint(rng) - horizon) * np.abs(up) ** 0.7
    below = 0.7 * horizon + (ground * _tint(rng) - 0.7 * horizon) * np.abs(up) ** 0.5
    radiance = np.where(up > 0, above, below)
    # Walls, shelves and people near the horizon: what polished metal shows most.
    columns = rng.integers(6, 25)
    clutter = np.repeat(rng.uniform(0.25, 1.6, columns), -(-2 * HEIGHT // columns))[: 2 * HEIGHT]
    band = np.exp(-(((up[..., 0] - rng.uniform(-0.1, 0.15)) / rng.uniform(0.1, 0.4)) ** 4))
    radiance = radiance * (1 + band * (np.roll(clutter, rng.integers(2 * HEIGHT)) - 1))[..., None]
    for _ in range(rng.integers(2, 7)):
        radiance = radiance + _draw_soft_box(rng, directions)
    return np.maximum(radiance, 0.01).astype(np.float32)


def _draw_soft_box(rng: np.random.Generator, directions: FloatArray) -> FloatArray:
    """A lamp, window or reflector: a rounded rectangle of light on the sphere."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 1.4)
    axis = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    side = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    ahead = directions @ axis
    across = directions @ side / np.maximum(ahead, 1e-3)
    along = directions @ np.cross(axis, side) / np.maximum(ahead, 1e-3)
    width, height = rng.uniform(0.08, 0.6, 2)
    inside = (ahead > 0) * np.exp(-(np.minimum(np.abs(across / width), 9.0) ** 6 + np.minimum(np.abs(along / height), 9.0) ** 6))
    return inside[..., None] * _tint(rng, 0.2) * rng.uniform(2, 14)


def _tint(rng: np.random.Generator, strength: float = 0.12) -> FloatArray:
    colour = 1 + rng.uniform(-strength, strength, 3)
    return colour / colour.mean()


def _blurred_levels(radiance: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    small = cv2.resize(radiance, (2 * BLUR_HEIGHT, BLUR_HEIGHT), interpolation=cv2.INTER_AREA).reshape(-1, 3)
    blurred = []
    for kernel in _blur_kernels():
        level = (kernel @ small).reshape(BLUR_HEIGHT, 2 * BLUR_HEIGHT, 3)
        padded = np.concatenate([level[:, -1:], level, level[:, :1]], axis=1)  # longitude wraps
        wide = cv2.resize(padded, (2 * HEIGHT + 4, HEIGHT), interpolation=cv2.INTER_LINEAR)
        blurred.append(wide[:, 2:-2])
    return blurred


@cache
def _blur_kernels() -> list[npt.NDArray[np.float32]]:
    """One (texels, texels) matrix per rough level: a lobe exp(k (cos - 1)) around each direction, k = 2 / roughness^4."""
    directions = _directions(BLUR_HEIGHT).reshape(-1, 3)
    cosines = directions @ directions.T
    weights = _solid_angles(BLUR_HEIGHT).ravel()
    kernels = []
    for roughness in LEVEL_ROUGHNESS[1:]:
        kernel = np.exp(np.float32(2 / roughness**4) * (cosines - 1)) * weights
        kernels.append(kernel / kernel.sum(axis=1, keepdims=True))
    return kernels


@cache
def _directions(height: int) -> npt.NDArray[np.float32]:
    """Direction of each texel's centre, (height, 2 * height, 3)."""
    polar, azimuth = np.meshgrid(
        (np.arange(height) + 0.5) / height * np.pi, (np.arange(2 * height) + 0.5) / height * np.pi, indexing="ij"
    )
    return np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1, dtype=np.float32)


@cache
def _solid_angles(height: int) -> npt.NDArray[np.float32]:
    """Steradians of each texel, (height, 2 * height)."""
    polar = (np.arange(height) + 0.5) / height * np.pi
    return np.repeat(np.sin(polar)[:, None] * (np.pi / height) ** 2, 2 * height, axis=1).astype(np.float32)


@cache
def _cube_directions() -> npt.NDArray[np.float32]:
    """Unit direction through the centre of each cell of the direction cube, (CUBE_SIDE ** 3, 3)."""
    axis = (np.arange(CUBE_SIDE) + 0.5) / CUBE_SIDE * 2 - 1
    cells = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return (cells / np.linalg.norm(cells, axis=1, keepdims=True)).astype(np.float32)


def _sample(radiance: npt.NDArray[np.float32], directions: FloatArray) -> npt.NDArray[np.float32]:
    """Bilinear look-up in a latitude-longitude map: (H, 2H, 3), (n, 3) -> (n, 3)."""
    height, width = radiance.shape[:2]
    column = np.arctan2(directions[:, 1], directions[:, 0]) * np.float32(width / (2 * np.pi)) - np.float32(0.5)
    row = np.arccos(np.clip(directions[:, 2], -1, 1)) * np.float32(height / np.pi) - np.float32(0.5)
    row = np.clip(row, 0, height - 1.001)
    left, top = np.floor(column).astype(np.int32), row.astype(np.int32)
    right_share, bottom_share = (column - left)[:, None], (row - top)[:, None]
    left, right = left % width, (left + 1) % width
    upper = radiance[top, left] * (1 - right_share) + radiance[top, right] * right_share
    lower = radiance[top + 1, left] * (1 - right_share) + radiance[top + 1, right] * right_share
    return upper * (1 - bottom_share) + lower * bottom_share


def _harmonic_basis(directions: FloatArray) -> npt.NDArray[np.float32]:
    """The first nine real spherical harmonics: (n, 3) -> (n, 9)."""
    x, y, z = np.asarray(directions, np.float32).T
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        axis=1,
    )

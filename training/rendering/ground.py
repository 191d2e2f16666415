"""The ground that a part stands on: how the part shades it, and what it sends back to the part.

It is the horizontal plane through the part's lowest vertex, and not drawn itself. Object frame, z up.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from embreex.rtcore_scene import EmbreeScene

from training.rendering.cameras import CropCamera
from training.rendering.environment import Environment

Float32Array = npt.NDArray[np.float32]

TILE = 3  # neighbouring cells cast different rays; the mean over a tile has them all, so that it is smooth without many rays
TILES = 42
CELLS = TILE * TILES  # along a side of the light map
RAYS = 20  # a cell
CANDIDATES = 10  # directions offered for each one chosen; no Fibonacci number, whose multiples line up on a golden spiral
LAMP_BLUR = 0.25  # roughness that mirrors lamps as wide as the rays resolve them
GAMMA = 2.2
LIFT = 1e-3
ROWS = 4  # of rays through each row of pixels: seen at a grazing angle, the ground changes much within one
CLEARANCE = 0.02  # an eye nearer to the plane sees no ground worth shading


@dataclass(frozen=True)
class Ground:
    """A plane z = `height` under open sky and a part.

    environment: the surroundings, the ground in their lower half. light: (CELLS, CELLS) float32 in [0, 1], what the part leaves
    of the sky's light, row along y, column along x, in the square of `half_side` around `centre` (2,). It is 1 at the border.
    """

    environment: Environment
    height: float
    centre: npt.NDArray[np.float64]
    half_side: float
    light: Float32Array

    def seen_by(self, camera: CropCamera) -> bool:
        """Whether the camera stands above the plane."""
        return float(camera.eye[2]) > self.height + CLEARANCE

    def shadow(self, camera: CropCamera, size: int) -> npt.NDArray[np.uint8]:
        """The factor that darkens the sRGB values of whatever lies behind the part, (size, size) uint8; 255 is no shadow.

        It is 255 above the horizon, far from the part and for a camera that the plane hides.
        """
        if not self.seen_by(camera):
            return np.full((size, size), 255, np.uint8)
        rows, columns = np.divmod(np.arange(ROWS * size * size), size)
        rays = camera.directions(np.stack([columns, rows / ROWS], axis=1) + np.array([0.5, 0.5 / ROWS]), size)
        fall = np.minimum(rays[:, 2], np.float32(-1e-6))
        reach = np.float32(self.height - camera.eye[2]) / fall
        cell = self._cells(camera.eye[:2].astype(np.float32) + rays[:, :2] * reach[:, None])
        nowhere = (rays[:, 2:] > -1e-4) | (np.abs(cell) > 2 * CELLS)
        across, along = np.where(nowhere, np.float32(-10), cell - np.float32(0.5)).T.reshape(2, ROWS * size, size)
        light = cv2.remap(self._display_light, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=1.0)
        return np.asarray(light.reshape(size, ROWS, size).mean(axis=1) * 255 + 0.5).astype(np.uint8)

    def light_at(self, places: Float32Array) -> Float32Array:
        """The map's value at (..., 2) positions x, y -> (...)."""
        cell = np.clip(self._cells(places), 0, CELLS - 1).astype(np.int32)
        values: Float32Array = self.light.ravel()[cell[..., 1] * CELLS + cell[..., 0]]
        return values

    def light_along(self, origins: Float32Array, rays: Float32Array) -> Float32Array:
        """The map's value where rays (..., 3) from `origins`, same shape, meet the plane; 1 for those that rise -> (...)."""
        falling = rays[..., 2] < -1e-3
        fall = np.where(falling, rays[..., 2], np.float32(-1))
        reach = np.maximum(origins[..., 2] - np.float32(self.height), 0) / -fall
        return np.where(falling, self.light_at(origins[..., :2] + rays[..., :2] * reach[..., None]), np.float32(1))

    @cached_property
    def _display_light(self) -> Float32Array:
        return self.light ** np.float32(1 / GAMMA)

    def _cells(self, places: npt.NDArray[np.floating]) -> Float32Array:
        """Positions (..., 2) in cells of the map; a cell's centre lies at half."""
        across = places.astype(np.float32) - self.centre.astype(np.float32)
        return across * np.float32(CELLS / 2 / self.half_side) + np.float32(CELLS / 2)


def cast_ground(scene: EmbreeScene, vertices: npt.NDArray[np.floating], environment: Environment, albedo: float) -> Ground:
    """The ground of a diffuse grey `albedo` under vertices (n, 3), whose triangles are in the scene."""
    low, high = vertices.min(axis=0).astype(np.float64), vertices.max(axis=0).astype(np.float64)
    centre = (low + high)[:2] / 2
    radius = float(np.linalg.norm(vertices[:, :2] - centre, axis=1).max())
    half_side = radius + 0.25 + 0.6 * float(high[2] - low[2])
    across = ((np.arange(CELLS) + 0.5) / CELLS * 2 - 1) * half_side
    places = np.stack(np.meshgrid(across, across), axis=-1)
    light = _sky_share(
        scene, np.dstack([places + centre, np.full((CELLS, CELLS), low[2] - LIFT)]).astype(np.float32), environment
    )
    light = _without_bands(np.asarray(cv2.blur(light, (TILE, TILE)), np.float32))
    outside = np.clip((np.linalg.norm(places, axis=2) - radius - 0.1) / (half_side - radius - 0.1) * 1.03, 0, 1)
    fade = (1 - outside**2 * (3 - 2 * outside)).astype(np.float32)
    return Ground(environment.above_ground(albedo), float(low[2]), centre, half_side, 1 - fade * (1 - light))


def _sky_share(scene: EmbreeScene, places: Float32Array, environment: Environment) -> Float32Array:
    """Share of the sky's light that reaches each of (CELLS, CELLS, 3) places, (CELLS, CELLS), to be averaged over tiles."""
    directions = _light_directions(environment, TILE * TILE * RAYS)
    share = np.empty(places.shape[:2], np.float32)
    for row, column in np.ndindex(TILE, TILE):
        origins = places[row::TILE, column::TILE].reshape(-1, 3)
        rays = directions[row * TILE + column :: TILE * TILE]
        met = scene.run(np.repeat(origins, len(rays), axis=0), np.tile(rays, (len(origins), 1)), query="OCCLUDED")
        share[row::TILE, column::TILE] = (met < 0).reshape(TILES, TILES, -1).mean(axis=2)
    return share


def _without_bands(light: Float32Array) -> Float32Array:
    """The map blurred, more where it is light: there, far from where the part touches the ground, shadows are wide."""
    narrow, wide = (np.asarray(cv2.GaussianBlur(light, (0, 0), cells), np.float32) for cells in (0.8, 3.0))
    share = np.clip((wide - np.float32(0.4)) / np.float32(0.4), 0, 1)
    smooth: Float32Array = narrow + share * (wide - narrow)
    return smooth


def _light_directions(environment: Environment, count: int) -> Float32Array:
    """(count, 3) unit directions, as dense as the light on a level plane comes from them."""
    rank = (np.arange(count * CANDIDATES) + 0.5) / (count * CANDIDATES)
    angle = np.arange(len(rank)) * (math.pi * (3 - math.sqrt(5)))
    radius = np.sqrt(rank)  # a spiral over the disc, lifted to the hemisphere: dense as the cosine of a level plane
    offered = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - rank)], axis=1).astype(np.float32)
    total = np.cumsum(environment.reflected(offered, LAMP_BLUR).mean(axis=1), dtype=np.float64)
    chosen: Float32Array = offered[np.searchsorted(total, (np.arange(count) + 0.5) / count * total[-1])]
    return chosen

"""Where a label frame lies among the pictures, and a solid that is moved from one frame to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from scipy.optimize import least_squares
from scipy.spatial import ConvexHull, QhullError

from training.data.readers.labels import Placement
from training.data.readers.r2n2 import ExternalCamera, Picture
from training.errors import UnreadableModel
from training.sampling.solids import Solid

Float64Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]

LEAST_EDGES = 8  # for four unknowns
REFINEMENTS = 2
SAMPLES = 4  # along a pixel's side
RIM_PX = 3.0  # on either side of an edge of a box
OUTLIER_PX = 1.0  # an edge of a box that is further off counts less: something was cut off or stands apart


@dataclass(frozen=True, eq=False)
class Similarity:
    """From one frame to another: x' = scale * rotation @ x + shift, with a rotation (3, 3), no mirror, and shift (3,)."""

    rotation: Float64Array
    scale: float
    shift: Float64Array

    def place(self, points: FloatArray) -> Float64Array:
        """(..., 3) -> (..., 3) float64."""
        placed: Float64Array = self.scale * points.astype(np.float64) @ self.rotation.T + self.shift
        return placed

    def undo(self, points: FloatArray) -> Float64Array:
        """The inverse of `place`."""
        original: Float64Array = (points.astype(np.float64) - self.shift) @ self.rotation / self.scale
        return original


@dataclass(frozen=True, eq=False)
class MovedSolid:
    """A solid as it is in another frame."""

    solid: Solid
    to_frame: Similarity

    @cached_property
    def vertices(self) -> npt.NDArray[np.float32]:
        return self.to_frame.place(self.solid.vertices).astype(np.float32)

    @property
    def faces(self) -> npt.NDArray[np.int32]:
        return self.solid.faces

    def signed_distance(self, points: FloatArray) -> Float64Array:
        """(n, 3) -> (n,) float64, units of this frame, negative inside."""
        return self.to_frame.scale * self.solid.signed_distance(self.to_frame.undo(points))


def fit_placement(solid: Solid, pictures: Sequence[Picture]) -> Placement:
    """Scale and location of a label frame with which the solid's boxes in all pictures come nearest to those of alpha.

    Edges at a picture's border are left out, since the object may go on beyond. UnreadableModel when too few edges remain, or no
    placement before the cameras was found. Whether the fit is good is for `check_silhouettes` to judge.
    """
    corners = _extreme_points(solid.vertices)
    cameras = [picture.camera for picture in pictures]
    edges = np.stack([_alpha_edges(np.asarray(picture.rgba[..., 3] / 255, np.float32)) for picture in pictures])
    sizes = np.array([picture.rgba.shape[1::-1] for picture in pictures])
    seen = np.concatenate([edges[:, :2] > 0, edges[:, 2:] < sizes], axis=1)
    if seen.sum() < LEAST_EDGES:
        raise UnreadableModel(
            f"pictures: expected at least {LEAST_EDGES} edges of silhouettes inside them to place a model, found {seen.sum()}"
        )
    # ShapeNet's models have a box with a diagonal of about 1, about the origin.
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = 1 / float(np.linalg.norm(high - low))
    unknowns = _fit_edges(corners, cameras, edges, seen, np.array([scale, *(-scale * (low + high) / 2)]))
    mesh = _Mesh(solid)
    for _ in range(REFINEMENTS):
        # Alpha shows less of a pointed corner than there is: as much as it would hide of this solid is added to what is sought.
        hidden = _projected_edges(corners, cameras, unknowns) - mesh.alpha_edges(pictures, unknowns)
        unknowns = _fit_edges(corners, cameras, edges + hidden, seen, unknowns)
    return Placement(float(unknowns[0]), unknowns[1:])


def _fit_edges(
    corners: Float64Array,
    cameras: Sequence[ExternalCamera],
    edges: Float64Array,
    seen: npt.NDArray[np.bool_],
    start: Float64Array,
) -> Float64Array:
    """Scale and location (4,) that bring the corners' boxes nearest to `edges` (V, 4) where these are `seen`."""

    def misses(unknowns: Float64Array) -> Float64Array:
        difference: Float64Array = (_projected_edges(corners, cameras, unknowns) - edges)[seen]
        return difference

    def slopes(unknowns: Float64Array) -> Float64Array:
        return _edge_slopes(corners, cameras, unknowns)[seen]

    try:
        fit = least_squares(misses, start, slopes, loss="soft_l1", f_scale=OUTLIER_PX, x_scale="jac", xtol=1e-10)
    except ValueError as error:
        raise UnreadableModel(f"pictures: expected a placement of the model before their cameras, found none: {error}") from error
    found: Float64Array = fit.x
    return found


def _projected_edges(corners: Float64Array, cameras: Sequence[ExternalCamera], unknowns: Float64Array) -> Float64Array:
    """(V, 4): left, top, right and bottom of the corners in each picture; unknowns: scale and location (4,)."""
    placed = unknowns[0] * corners + unknowns[1:]
    pixels = np.stack([camera.project(placed) for camera in cameras])
    return np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)


def _edge_slopes(corners: Float64Array, cameras: Sequence[ExternalCamera], unknowns: Float64Array) -> Float64Array:
    """(V, 4, 4): derivative of each edge by each unknown, which is that of the corner that makes the edge."""
    placed = unknowns[0] * corners + unknowns[1:]
    slopes = np.zeros((len(cameras), 4, 4))
    for view, camera in enumerate(cameras):
        pixels = camera.project(placed)
        makers = np.concatenate([pixels.argmin(axis=0), pixels.argmax(axis=0)])
        for edge, corner in enumerate(makers):
            axis = edge % 2
            x = camera.rotation @ (placed[corner] - camera.eye)
            across = camera.rotation[axis] / -x[2] + camera.rotation[2] * x[axis] / x[2] ** 2
            by_place = camera.focal_px * (1, -1)[axis] * across
            slopes[view, edge] = [by_place @ corners[corner], *by_place]
    return slopes


class _Mesh:
    """A solid's triangles, photographed as alpha alone, and only where the edges of its box are."""

    def __init__(self, solid: Solid) -> None:
        self._vertices = np.ascontiguousarray(solid.vertices, np.float32)
        self._device = EmbreeDevice()
        self._scene = EmbreeScene(self._device)
        self._mesh = TriangleMesh(self._scene, self._vertices, np.ascontiguousarray(solid.faces, np.int32))

    def alpha_edges(self, pictures: Sequence[Picture], unknowns: Float64Array) -> Float64Array:
        """(V, 4): edges of the box that alpha would have, with the solid placed by scale and location (4,)."""
        return np.stack([_alpha_edges(self._alpha(picture, unknowns)) for picture in pictures])

    def _alpha(self, picture: Picture, unknowns: Float64Array) -> npt.NDArray[np.float32]:
        """(H, W) float32: coverage of the pixels near the edges of the box, 0 elsewhere."""
        camera, (height, width) = picture.camera, picture.rgba.shape[:2]
        alpha = np.zeros((height, width), np.float32)
        projected = camera.project(unknowns[0] * self._vertices + unknowns[1:])
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        near = np.zeros((height, width), np.bool_)
        for edge in (projected.min(axis=0), projected.max(axis=0)):
            near = near | (np.abs(columns + 0.5 - edge[0]) < RIM_PX) | (np.abs(rows + 0.5 - edge[1]) < RIM_PX)
        offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
        corners = np.stack([columns[near], rows[near]], axis=1)[:, None]
        pixels = (corners + np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(1, -1, 2)).reshape(-1, 2)
        across = (pixels - camera.principal) / camera.focal_px * [1, -1]
        rays = np.column_stack([across, -np.ones(len(across))]) @ camera.rotation
        eye = np.tile((camera.eye - unknowns[1:]) / unknowns[0], (len(rays), 1))
        face = self._scene.run(eye.astype(np.float32), rays.astype(np.float32))
        alpha[near] = (face >= 0).reshape(-1, SAMPLES**2).mean(axis=1)
        return alpha


def _alpha_edges(alpha: npt.NDArray[np.float32]) -> Float64Array:
    """(H, W) in [0, 1] -> left, top, right and bottom of the object (4,), pixels; at a picture's border 0 or its size."""
    if not (alpha > 0.5).any():
        raise UnreadableModel("picture: expected an object in it, found it transparent")
    across, along = alpha.max(axis=0), alpha.max(axis=1)
    return np.array([_rise(across), _rise(along), len(across) - _rise(across[::-1]), len(along) - _rise(along[::-1])], np.float64)


def _rise(profile: npt.NDArray[np.float32]) -> float:
    """Where (n,) pixel values first rise to half of the highest: a place that a renderer's smoothing hardly moves."""
    half = profile.max() / 2
    first = int(np.argmax(profile >= half))
    if first == 0:
        return 0.0
    before, after = profile[first - 1 : first + 1]
    return float(first - 0.5 + (half - before) / (after - before))


def _extreme_points(points: FloatArray) -> Float64Array:
    """The points that can be the outermost of a picture: the corners of the convex hull, if there is one."""
    unique: Float64Array = np.unique(points.astype(np.float64), axis=0)
    if not len(unique):
        raise UnreadableModel("surface: expected points to place, found none")
    try:
        return np.asarray(unique[ConvexHull(unique).vertices])
    except QhullError:  # flat
        return unique

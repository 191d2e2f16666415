"""Two predictors that learn nothing of the picture's inside; a network that is no better than these has learned nothing either.

(a) the silhouette, extruded to the training set's mean depth; (b) the training set's mean shape, whatever the picture shows.
Both make a surface in columns (u, v, z) with the marching cubes of the served path; `predictors` does the rest of that path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.camera import HALF_DEPTH, CameraKind
from model.carving import column_coverage
from model.field import QueryGrid
from model.image import PreparedImage
from model.isosurface import extract_surface
from model.mesh import Mesh
from training.data.shapes import PreparedShape

GRID = QueryGrid(64)
_BINS = (24, 24, 36)

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class UnlearnedPredictors:
    """What there is to know of a training set without looking at a picture.

    mean_depth: mean extent along z over all views, view-frame units; mean_shape: (n_u, n_v, n_z) float32, 1 inside.
    """

    mean_depth: float
    mean_shape: Float32

    def extruded_silhouette(self, prepared: PreparedImage) -> Mesh:
        """The silhouette's columns, filled over the mean depth, (u, v, z)."""
        columns = column_coverage(prepared.silhouette, GRID)
        # A soft wall a cell thick puts the surface at the mean depth exactly, between the nodes.
        depth = np.clip(0.5 + (self.mean_depth / 2 - np.abs(GRID.depths)) / GRID.spacing, 0, 1)
        return _surface(np.minimum(columns[..., None], depth).astype(np.float32))

    def mean_training_shape(self) -> Mesh:
        """The same solid for every picture, (u, v, z)."""
        return _surface(self.mean_shape)


def learn_nothing(shapes: list[PreparedShape], camera_kind: CameraKind) -> UnlearnedPredictors:
    """Mean depth and mean shape over all views of a training set."""
    depths: list[float] = []
    occupied, seen = np.zeros(_BINS), np.zeros(_BINS)
    edges = [np.linspace(-limit, limit, bins + 1) for limit, bins in zip((0.5, 0.5, HALF_DEPTH), _BINS, strict=True)]
    for shape in shapes:
        uniform = shape.points_object[shape.near_count :].astype(np.float64)
        inside = shape.distance[shape.near_count :] < 0
        for view in range(shape.view_count):
            frame, camera = shape.frame(view, camera_kind), shape.camera(view, camera_kind)
            depths.append(float(np.ptp(frame.from_object(shape.vertices)[:, 2])))
            xyz = frame.from_object(uniform)
            nearby = np.abs(xyz[:, 2]) < HALF_DEPTH  # beyond lies the camera, where projection means nothing
            points = camera.project(xyz[nearby])
            seen += np.histogramdd(points, bins=edges)[0]
            occupied += np.histogramdd(points[inside[nearby]], bins=edges)[0]
    probability = occupied / np.maximum(seen, 1)
    level = _best_level(probability)
    n_u, n_v, n_z = GRID.shape
    nodes = [np.clip(np.arange(n) * bins // (n - 1), 0, bins - 1) for n, bins in zip((n_u, n_v, n_z), _BINS, strict=True)]
    return UnlearnedPredictors(float(np.mean(depths)), (probability[np.ix_(*nodes)] >= level).astype(np.float32))


def _best_level(probability: npt.NDArray[np.float64]) -> float:
    """The level at which the solid {probability >= level} has the highest expected IoU with a training view."""

    def expected_iou(level: float) -> float:
        solid = probability >= level
        shared = probability[solid].sum()
        return float(shared / (solid.sum() + probability.sum() - shared))

    return max(np.quantile(probability[probability > 0], np.linspace(0.5, 0.999, 100)).tolist(), key=expected_iou)


def _surface(values: Float32) -> Mesh:
    return extract_surface(values, 0.5, GRID.origin, GRID.spacing)

"""What the photo shows to be empty is empty: a field is cut to the object's silhouette.

In columns (u, v, z) a silhouette is a set of columns for either camera, so the mesh keeps within the outline of the
photo, holes included, to a fraction of a pixel, where the network alone knows it to a few.
"""

from __future__ import annotations

import cv2
import numpy as np

from model.field import Float32, QueryGrid


def column_coverage(silhouette: Float32, grid: QueryGrid) -> Float32:
    """(S, S) coverage in [0, 1], row 0 at the top -> (n_u, n_v) float32: the same at the grid's columns, bilinear."""
    size = len(silhouette)
    pixel = ((grid.lateral + 0.5) * size - 0.5).astype(np.float32)
    across, down = np.meshgrid(pixel, pixel[::-1])
    seen = cv2.remap(silhouette, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return seen.T.astype(np.float32, copy=False)


def ceiling_of(coverage: Float32, level: float) -> Float32:
    """(n_u, n_v) coverage -> the highest occupancy that a column may hold: `level` where half of it is covered."""
    ceiling: Float32 = np.clip((coverage - np.float32(0.5)) + np.float32(level), 0, 1)  # exact at one half, for every level
    return ceiling


def carve(values: Float32, coverage: Float32, level: float) -> Float32:
    """(n_u, n_v, n_z) occupancy, (n_u, n_v) coverage -> occupancy that is below `level` wherever coverage is below one half."""
    carved: Float32 = np.minimum(values, ceiling_of(coverage, level)[..., None])
    return carved

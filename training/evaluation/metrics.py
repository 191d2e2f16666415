"""How near a predicted mesh is to the true one: IoU and Chamfer-L1, both in one view frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import igl
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from model.mesh import Mesh
from training.sampling.surface import sample_surface

IOU_POINTS = 20_000
CHAMFER_POINTS = 10_000
BOX_MARGIN = 1.05  # the box in which IoU is measured, as a multiple of the box around both meshes


@dataclass(frozen=True)
class Score:
    """One prediction's figures. chamfer_l1: view-frame units (the silhouette's longer side is 0.9)."""

    iou: float
    chamfer_l1: float


EMPTY = Score(iou=0.0, chamfer_l1=math.sqrt(3))
"""What a prediction without a surface scores: Occupancy Networks' convention (im2mesh/eval.py) for the distance."""


def score(predicted: Mesh, truth: Mesh, rng: np.random.Generator) -> Score:
    """IoU and Chamfer-L1 of two closed meshes in the same frame."""
    return Score(iou(predicted, truth, rng), chamfer_l1(predicted, truth, rng))


def iou(a: Mesh, b: Mesh, rng: np.random.Generator, points: int = IOU_POINTS) -> float:
    """Volumetric intersection over union, from uniform points in the box around both meshes; inside by winding number > 0.5."""
    bounds = np.stack([a.bounds, b.bounds]).astype(np.float64)
    low, high = bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2 * BOX_MARGIN
    queries = centre + half * rng.uniform(-1, 1, (points, 3))
    in_a, in_b = is_inside(a, queries), is_inside(b, queries)
    union = int((in_a | in_b).sum())
    return int((in_a & in_b).sum()) / union if union else 0.0


def chamfer_l1(a: Mesh, b: Mesh, rng: np.random.Generator, points: int = CHAMFER_POINTS) -> float:
    """Half the sum of the two mean nearest-neighbour distances between surface samples (Occupancy Networks, im2mesh/eval.py)."""
    on_a, on_b = (sample_surface(mesh.vertices, mesh.faces, points, rng)[0] for mesh in (a, b))
    a_to_b, b_to_a = cKDTree(on_b).query(on_a)[0], cKDTree(on_a).query(on_b)[0]
    return 0.5 * (float(a_to_b.mean()) + float(b_to_a.mean()))


def is_inside(mesh: Mesh, points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(n, 3) -> (n,): whether the mesh winds around each point."""
    inside: npt.NDArray[np.bool_] = (
        igl.fast_winding_number(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), points) > 0.5
    )
    return inside

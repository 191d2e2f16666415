"""How near a predicted mesh is to the true one: the figures of an evaluation. docs/evaluation.md has their formulas and sources.

All lengths are in units of the view frame, in which the silhouette's longer side is 0.9 and the crop fills the unit cube.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import igl
import numpy as np
import numpy.typing as npt

from model.camera import FILL
from model.mesh import Mesh
from training.evaluation import keypoints
from training.evaluation.sharp_edges import NMC, PAPER, EdgeRule, edge_chamfer, nmc_edge_scores, on_sharp_edge
from training.evaluation.surfaces import SURFACE_POINTS, Correspondence, SampledSurface, chamfer_l1, f_score, normal_consistency

IOU_POINTS = 20_000
VOLUME_POINTS = 10_000  # uniform in the box around prediction and truth, from which both volumes are taken
BOX_MARGIN = 1.05  # the box in which IoU is measured, as a multiple of the box around both meshes
F_THRESHOLD = 0.01 * FILL  # one per cent of the silhouette's longer side


@dataclass(frozen=True)
class Score:
    """One prediction's figures, or the means of many. Lengths in view-frame units; NaN where a figure is not defined.

    edge_share: share of the prediction's samples that lie on a sharp edge by the paper's rule;
    edgeless: 1 when the prediction has none of them, so that a mean counts these. ecd and edgeless are NaN for a truth without
    sharp edges. kfs: the KFS-like keypoint difference, 0 for equal looks.
    """

    iou: float
    chamfer_l1: float
    f_score: float
    normal_consistency: float
    ecd: float
    edge_share: float
    edgeless: float
    ecd_nmc: float
    ef1: float
    kfs: float


TITLES = {
    "iou": "IoU",
    "chamfer_l1": "Chamfer-L1",
    "f_score": "F-score",
    "normal_consistency": "normals",
    "ecd": "ECD",
    "edge_share": "edge share",
    "edgeless": "edgeless",
    "ecd_nmc": "ECD (NMC)",
    "ef1": "EF1",
    "kfs": "KFS-like",
}


class Truth:
    """A true mesh with what all predictions are compared with; made once for all of them."""

    def __init__(self, mesh: Mesh, rng: np.random.Generator, points: int = SURFACE_POINTS) -> None:
        self.mesh = mesh
        self.surface = SampledSurface.of(mesh, rng, points)
        self.stage = keypoints.Stage.around(mesh)

    @cached_property
    def edges(self) -> npt.NDArray[np.float64]:
        """(n, 3): the samples on sharp edges by the paper's rule."""
        return _edges(self.surface, PAPER)

    @cached_property
    def nmc_edges(self) -> npt.NDArray[np.float64]:
        """(n, 3): those by Neural Marching Cubes' rule."""
        return _edges(self.surface, NMC)

    @cached_property
    def pictures(self) -> keypoints.Picture:
        return keypoints.take_pictures(self.mesh, self.stage)


def score(predicted: Mesh | None, truth: Truth, rng: np.random.Generator) -> Score:
    """All figures of a prediction in the truth's frame, from as many samples; None, or a mesh without area, has no surface."""
    if predicted is None or not _has_area(predicted):
        return _score_of_nothing(truth)
    surface = SampledSurface.of(predicted, rng, len(truth.surface.points))
    to, fro = Correspondence.between(surface, truth.surface), Correspondence.between(truth.surface, surface)
    edges = _edges(surface, PAPER)
    ecd_nmc, ef1 = nmc_edge_scores(_edges(surface, NMC), truth.nmc_edges)
    return Score(
        iou=iou(predicted, truth.mesh, rng),
        chamfer_l1=chamfer_l1(to, fro),
        f_score=f_score(to.distance, fro.distance, F_THRESHOLD),
        normal_consistency=normal_consistency(to, fro),
        ecd=edge_chamfer(edges, truth.edges),
        edge_share=len(edges) / len(surface.points),
        edgeless=float(not len(edges)) if len(truth.edges) else math.nan,
        ecd_nmc=ecd_nmc,
        ef1=ef1,
        kfs=keypoints.keypoint_difference(keypoints.take_pictures(predicted, truth.stage), truth.pictures),
    )


def _score_of_nothing(truth: Truth) -> Score:
    """What a prediction without a surface scores: the worst of each figure, for the distance Occupancy Networks' convention
    (im2mesh/eval.py), for its edges that of a prediction without any.
    """
    none = np.zeros((0, 3))
    ecd_nmc, ef1 = nmc_edge_scores(none, truth.nmc_edges)
    return Score(
        iou=0.0,
        chamfer_l1=math.sqrt(3),
        f_score=0.0,
        normal_consistency=0.0,
        ecd=edge_chamfer(none, truth.edges),
        edge_share=0.0,
        edgeless=1.0 if len(truth.edges) else math.nan,
        ecd_nmc=ecd_nmc,
        ef1=ef1,
        kfs=1.0,
    )


def mean_score(scores: Sequence[Score]) -> Score:
    """Figure by figure the mean of those that are defined, NaN where none is."""
    table = np.array([dataclasses.astuple(score) for score in scores])
    defined = ~np.isnan(table)
    counts = defined.sum(axis=0)
    means = np.where(defined, table, 0).sum(axis=0) / np.where(counts, counts, np.nan)
    return Score(*means.tolist())


def iou(a: Mesh, b: Mesh, rng: np.random.Generator, points: int = IOU_POINTS) -> float:
    """Volumetric intersection over union, from uniform points in the box around both meshes; inside by winding number > 0.5."""
    bounds = np.stack([a.bounds, b.bounds]).astype(np.float64)
    low, high = bounds[:, 0].min(axis=0), bounds[:, 1].max(axis=0)
    centre, half = (low + high) / 2, (high - low) / 2 * BOX_MARGIN
    queries = centre + half * rng.uniform(-1, 1, (points, 3))
    in_a, in_b = is_inside(a, queries), is_inside(b, queries)
    union = int((in_a | in_b).sum())
    return int((in_a & in_b).sum()) / union if union else 0.0


def is_inside(mesh: Mesh, points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(n, 3) -> (n,): whether the mesh winds around each point."""
    inside: npt.NDArray[np.bool_] = (
        igl.fast_winding_number(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), points) > 0.5
    )
    return inside


def _edges(surface: SampledSurface, rule: EdgeRule) -> npt.NDArray[np.float64]:
    return surface.points[on_sharp_edge(surface.points, surface.normals, rule)]


def _has_area(mesh: Mesh) -> bool:
    corners = mesh.corners.astype(np.float64)
    return bool(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).any())


def volume_ratio(predicted: Mesh, truth: Mesh, rng: np.random.Generator) -> float:
    """Predicted / true volume, from uniform points in the box around both; inside by winding number, which bears overlaps."""
    bounds = np.concatenate([predicted.bounds, truth.bounds]).astype(np.float64)
    low, high = bounds.min(axis=0), bounds.max(axis=0)
    points = (low + high) / 2 + BOX_MARGIN * (high - low) * rng.uniform(-0.5, 0.5, (VOLUME_POINTS, 3))
    return int(is_inside(predicted, points).sum()) / max(int(is_inside(truth, points).sum()), 1)

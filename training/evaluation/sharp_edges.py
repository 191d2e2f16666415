"""Edge Chamfer distance (ECD): how well the sharp edges of a part are met, in two variants.

A surface sample lies on a sharp edge when a sample near it has a normal about square to its own: sigma(p) < t, where
sigma(p) = min |n_p . n_q| over the q within a radius of p. ECD is a Chamfer distance between the samples so found.

`PAPER` is the paper's equation 13 (after BSP-Net): radius 0.01, t = 0.1, distances "in the same way as Chamfer-L1". `NMC` is that
of the one public program, Neural Marching Cubes' eval_cd_nc_f1_ecd_ef1.py: radius 0.004, t = 0.2, squared distances, both means
added up. Radii are in sides of the unit cube, which is the view frame's unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from training.evaluation.surfaces import f_score

SLAB_POINTS = 20_000  # bounds the memory: on a thin rod each point has hundreds of neighbours
NMC_EF1_THRESHOLD = 0.005  # view-frame units

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EdgeRule:
    """What makes a sample a sharp one: a sample within `radius` whose normal has |n . n'| < `cosine` with its own."""

    radius: float
    cosine: float


PAPER = EdgeRule(radius=0.01, cosine=0.1)
NMC = EdgeRule(radius=0.004, cosine=0.2)

# Stands in for the edges of a prediction that has none, as in Neural Marching Cubes' program: the middle of the volume.
NO_EDGES = np.zeros((1, 3))


def on_sharp_edge(points: Float64, normals: Float64, rule: EdgeRule) -> npt.NDArray[np.bool_]:
    """(n, 3) samples and unit normals -> (n,): which of them are sharp.

    Sorted along the longest axis and cut into slabs, each pair is found in the slab of its first point.
    """
    axis = int(np.ptp(points, axis=0).argmax())
    order = np.argsort(points[:, axis])
    points, normals = points[order], normals[order]
    sharp = np.zeros(len(points), np.bool_)
    for first in range(0, len(points), SLAB_POINTS):
        last = min(first + SLAB_POINTS, len(points)) - 1
        end = int(np.searchsorted(points[:, axis], points[last, axis] + rule.radius, side="right"))
        one, other = first + cKDTree(points[first:end]).query_pairs(rule.radius, output_type="ndarray").T
        square = np.abs(np.einsum("ij,ij->i", normals[one], normals[other])) < rule.cosine
        sharp[one[square]] = sharp[other[square]] = True
    found = np.zeros_like(sharp)
    found[order] = sharp
    return found


def edge_chamfer(predicted: Float64, truth: Float64) -> float:
    """The paper's ECD of two edge sets, (n, 3) and (m, 3): half the sum of the mean Euclidean distances.

    NaN where the truth has no edges; a prediction without any counts as one point in the middle of the volume.
    """
    if not len(truth):
        return float("nan")
    to, fro = _distances(predicted, truth)
    return 0.5 * float(to.mean() + fro.mean())


def nmc_edge_scores(predicted: Float64, truth: Float64) -> tuple[float, float]:
    """Neural Marching Cubes' ECD and EF1 of two edge sets; 0 and 1 where the truth has no edges, as its program has it."""
    if not len(truth):
        return 0.0, 1.0
    to, fro = _distances(predicted, truth)
    return float((to**2).mean() + (fro**2).mean()), f_score(to, fro, NMC_EF1_THRESHOLD)


def _distances(predicted: Float64, truth: Float64) -> tuple[Float64, Float64]:
    """From each edge point of the prediction to the truth's nearest, and back."""
    predicted = predicted if len(predicted) else NO_EDGES
    to, fro = cKDTree(truth).query(predicted)[0], cKDTree(predicted).query(truth)[0]
    return to, fro

"""A mesh's surface as the distances see it: one set of samples that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from model.mesh import Mesh
from training.sampling.surface import sample_surface

SURFACE_POINTS = 100_000
ASKED_POINTS = (
    20_000  # of them, from which distances are measured: the mean of 20,000 is sure enough, but its floor needs them all
)
DENSEST = 3e6  # samples for each unit of area: on a prediction that is but a speck, more would be neighbours of all the others

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SampledSurface:
    """Points spread evenly over a surface and the unit normals of the faces below them, both (n, 3) float64, and their tree."""

    points: Float64
    normals: Float64
    tree: cKDTree

    @classmethod
    def of(cls, mesh: Mesh, rng: np.random.Generator, count: int = SURFACE_POINTS) -> Self:
        corners = mesh.vertices[mesh.faces].astype(np.float64)
        area = 0.5 * float(np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum())
        points, normals = sample_surface(mesh.vertices, mesh.faces, max(1, min(count, int(DENSEST * area))), rng)
        return cls(points, normals, cKDTree(points, leafsize=32))  # half the time of 16 where the surfaces are far apart


@dataclass(frozen=True)
class Correspondence:
    """From the first samples of one surface to the nearest of all of another's: distance and alignment |n . n'|, both (n,)."""

    distance: Float64
    alignment: Float64

    @classmethod
    def between(cls, one: SampledSurface, other: SampledSurface) -> Self:
        distance, nearest = other.tree.query(one.points[:ASKED_POINTS])
        return cls(distance, np.abs(np.einsum("ij,ij->i", one.normals[:ASKED_POINTS], other.normals[nearest])))


def chamfer_l1(to: Correspondence, fro: Correspondence) -> float:
    """Half the sum of the two mean Euclidean distances (Occupancy Networks, im2mesh/eval.py)."""
    return 0.5 * float(to.distance.mean() + fro.distance.mean())


def normal_consistency(to: Correspondence, fro: Correspondence) -> float:
    """Half the sum of the two mean |n . n'| (Occupancy Networks, im2mesh/eval.py)."""
    return 0.5 * float(to.alignment.mean() + fro.alignment.mean())


def f_score(to: Float64, fro: Float64, threshold: float) -> float:
    """Harmonic mean of the shares of both sets' distances that lie below the threshold (Tatarchenko et al. 2019)."""
    precision, recall = float((to < threshold).mean()), float((fro < threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

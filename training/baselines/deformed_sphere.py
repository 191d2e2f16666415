"""Surfaces that are a deformed sphere, as AtlasNet's and Pixel2Mesh's are: closed by construction, of one piece, without holes.

The spheres are icospheres: an icosahedron whose triangles are split in four, level by level; level L has 10 · 4^L + 2 vertices.
B batch, N vertices, E edges, F faces, S image side.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.camera import HALF_DEPTH
from model.errors import NoSurface
from model.field import QueryGrid
from model.mesh import Mesh
from training.method import Method

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

HALF_AXES = (0.4, 0.4, 0.8 * HALF_DEPTH)  # of the ellipsoid to start from: 0.8 of the query volume's
MIN_VOLUME = 1e-6  # of a surface, cubed crop sides: less is a collapsed one


def icosahedron() -> tuple[Float64Array, Int64Array]:
    """Its 12 vertices on the unit sphere, (12, 3), and its 20 outward faces, (20, 3)."""
    golden = (1 + 5**0.5) / 2
    signs = [(a, b) for a in (-1, 1) for b in (-1, 1)]
    vertices = np.array([np.roll((0, a, b * golden), axis) for axis in range(3) for a, b in signs])  # edges of length 2
    triples = [
        c for c in combinations(range(12), 3) if all(np.linalg.norm(vertices[i] - vertices[j]) < 2.1 for i, j in _sides(c))
    ]
    faces = np.array([c if np.linalg.det(vertices[list(c)]) > 0 else c[::-1] for c in triples], np.int64)
    return vertices / np.linalg.norm(vertices[0]), faces


def subdivide(faces: Int64Array) -> tuple[Int64Array, Int64Array]:
    """(F, 3) faces over N vertices, all in use -> the edges (E, 2), each once, and (4 F, 3) faces; vertex N + e halves edge e."""
    sides = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1), axis=-1)  # (F, 3, 2): from corners 0, 1, 2
    edges, number = np.unique(sides.reshape(-1, 2), axis=0, return_inverse=True)
    a, b, c = faces.T
    ab, bc, ca = (faces.max() + 1 + number.reshape(-1, 3)).T
    split = [np.stack(corners, axis=1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return edges, np.concatenate(split)


def icosphere(level: int) -> tuple[Float64Array, Int64Array]:
    """Vertices on the unit sphere and outward faces."""
    vertices, faces = icosahedron()
    for _ in range(level):
        edges, faces = subdivide(faces)
        vertices = np.concatenate([vertices, vertices[edges].mean(axis=1)])
        vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    return vertices, faces


class DeformedSphere(Method):
    """A method that moves a sphere's vertices. faces: (F, 3), those of its result."""

    def __init__(self, faces: Int64Array) -> None:
        super().__init__()
        self.faces = faces

    @abstractmethod
    def vertices(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B, N, 3) float32, the result's vertices as (u, v, z)."""

    def surface(self, image: Tensor, grid: QueryGrid, observed: npt.NDArray[np.bool_]) -> Mesh:
        """The deformed sphere, held inside the query volume and turned outward; it may cut itself. Ignores the grid."""
        with torch.inference_mode():
            vertices = self.vertices(image)[0].cpu().numpy()
        limits = np.array([0.5, 0.5, HALF_DEPTH], np.float32)
        mesh = Mesh(vertices.clip(-limits, limits), self.faces.astype(np.int32))
        if abs(mesh.volume) < MIN_VOLUME:
            raise NoSurface(f"surface: expected a volume of {MIN_VOLUME:g} or more, found {mesh.volume:.3g}")
        return mesh if mesh.volume > 0 else Mesh(mesh.vertices, np.ascontiguousarray(mesh.faces[:, ::-1]))


def _sides(corners: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(combinations(corners, 2))

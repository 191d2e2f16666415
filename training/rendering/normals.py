"""Corner normals that are smooth across a cylinder's facets and sharp at a machined edge."""

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


def face_normals(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Unit normals: (n, 3), (m, 3) -> (m, 3) float64; zero for a face without area."""
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def corner_normals(vertices: FloatArray, faces: npt.NDArray[np.integer], crease_degrees: float = 35.0) -> npt.NDArray[np.float32]:
    """Shading normals per face corner, (m, 3, 3) float32, unit length.

    A corner averages the faces around its vertex that turn less than `crease_degrees` from its own face, weighted by their
    angle at the vertex. Without this, reflections on a turned part show its facets.
    """
    normals = face_normals(vertices, faces)
    order = np.argsort(faces.ravel(), kind="stable")  # corners, grouped by vertex
    vertex = faces.ravel()[order]
    face = order // 3

    # Every ordered pair of corners that share a vertex: corner k meets all `valence` corners of its group.
    starts = np.flatnonzero(np.r_[True, vertex[1:] != vertex[:-1]])
    sizes = np.diff(np.r_[starts, len(vertex)])
    valence = np.repeat(sizes, sizes)
    first = np.repeat(np.arange(len(vertex)), valence)
    rank = np.arange(len(first)) - np.repeat(np.cumsum(valence) - valence, valence)
    second = np.repeat(np.repeat(starts, sizes), valence) + rank
    smooth = np.einsum("ij,ij->i", normals[face[first]], normals[face[second]]) > math.cos(math.radians(crease_degrees))
    first, second = first[smooth], second[smooth]

    weighted = normals[face] * _corner_angles(vertices, faces).ravel()[order, None]
    total = np.stack([np.bincount(first, weighted[second, k], len(vertex)) for k in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    total = np.where(length > 1e-9, total / np.maximum(length, 1e-9), normals[face])
    result = np.empty((len(vertex), 3), np.float32)
    result[order] = total
    return result.reshape(-1, 3, 3)


def _corner_angles(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """The angle in radians at each corner of each face, (m, 3)."""
    corners = vertices[faces].astype(np.float64)
    ahead = np.roll(corners, -1, axis=1) - corners
    behind = np.roll(corners, 1, axis=1) - corners
    return np.arctan2(np.linalg.norm(np.cross(ahead, behind), axis=2), np.einsum("ijk,ijk->ij", ahead, behind))

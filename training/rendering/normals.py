"""Corner normals that are smooth across a cylinder's facets and sharp at a machined edge."""

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

PAIRS_AT_A_TIME = 2_000_000  # of corners that share a vertex; bounds the memory
CROWD = 256  # corners at one vertex, beyond which directions are sorted into bins instead of compared pair by pair
BINS = 8  # to the unit length: directions in one bin differ by 12 degrees at most


def face_normals(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Unit normals: (n, 3), (m, 3) -> (m, 3) float64; zero for a face without area."""
    corners = vertices[faces].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals: npt.NDArray[np.float64] = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
    return normals


def corner_normals(vertices: FloatArray, faces: npt.NDArray[np.integer], crease_degrees: float = 35.0) -> npt.NDArray[np.float32]:
    """Shading normals per face corner, (m, 3, 3) float32, unit length.

    A corner averages the faces around its vertex that turn less than `crease_degrees` from its own face, weighted by their
    angle at the vertex. Without this, reflections on a turned part show its facets. Zero where there is nothing to average:
    at a face without area.
    """
    crease = math.cos(math.radians(crease_degrees))
    order = np.argsort(faces.ravel(), kind="stable")  # corners, grouped by vertex
    vertex = faces.ravel()[order]
    normals = face_normals(vertices, faces)[order // 3]
    weighted = normals * _corner_angles(vertices, faces).ravel()[order, None]
    starts = np.flatnonzero(np.r_[True, vertex[1:] != vertex[:-1]])
    sizes = np.diff(np.r_[starts, len(vertex)])

    total = np.zeros_like(weighted)
    for start, size in zip(starts[sizes > CROWD], sizes[sizes > CROWD], strict=True):
        group = slice(start, start + size)
        total[group] = _binned_sums(normals[group], weighted[group], crease)
    few = np.flatnonzero(sizes <= CROWD)
    block = np.cumsum(sizes[few] ** 2) // PAIRS_AT_A_TIME
    for groups in np.split(few, np.flatnonzero(np.diff(block)) + 1):
        first, second = _pairs(starts[groups], sizes[groups])
        smooth = np.einsum("ij,ij->i", normals[first], normals[second]) > crease
        first, second = first[smooth], second[smooth]
        for k in range(3):
            total[:, k] += np.bincount(first, weighted[second, k], len(total))

    length = np.linalg.norm(total, axis=1, keepdims=True)
    result = np.empty((len(vertex), 3), np.float32)
    result[order] = np.where(length > 1e-9, total / np.maximum(length, 1e-9), normals)
    return result.reshape(-1, 3, 3)


def _pairs(starts: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Every ordered pair of numbers within each of the runs start, start + 1, ..., start + size - 1."""
    valence = np.repeat(sizes, sizes)
    member = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(valence))
    first = np.repeat(member, valence)
    rank = np.arange(len(first)) - np.repeat(np.cumsum(valence) - valence, valence)
    return first, np.repeat(np.repeat(starts, sizes), valence) + rank


def _binned_sums(normals: FloatArray, weighted: FloatArray, crease: float) -> FloatArray:
    """For each of (k, 3) unit normals the sum of the `weighted` ones near it, to the width of a bin; k may be 100,000."""
    _, group = np.unique(np.round(normals * BINS), axis=0, return_inverse=True)
    sums: FloatArray = np.stack([np.bincount(group, weighted[:, k]) for k in range(3)], axis=1)
    totals: FloatArray = np.stack([np.bincount(group, normals[:, k]) for k in range(3)], axis=1)
    directions = totals / np.maximum(np.linalg.norm(totals, axis=1, keepdims=True), 1e-30)
    near: FloatArray = ((directions @ directions.T > crease) @ sums)[group]
    return near


def _corner_angles(vertices: FloatArray, faces: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """The angle in radians at each corner of each face, (m, 3)."""
    corners = vertices[faces].astype(np.float64)
    ahead = np.roll(corners, -1, axis=1) - corners
    behind = np.roll(corners, 1, axis=1) - corners
    sine = np.linalg.norm(np.cross(ahead, behind), axis=2)
    angles: npt.NDArray[np.float64] = np.arctan2(sine, np.einsum("ijk,ijk->ij", ahead, behind))
    return angles

"""What is done to a mesh after extraction: one body, fewer faces. Both keep it closed and wound outward."""

import math
from typing import Any

import fast_simplification
import manifold3d
import numpy as np
import numpy.typing as npt

from model.mesh import Mesh

IntArray = npt.NDArray[np.int64]

ROUNDS = 8  # bisections for the smallest sound mesh
TOLERANCE_RANGE = (1e-4, 0.1)  # of Manifold's simplification, shares of the mesh's diagonal
VOLUME_RANGE = (0.5, 1.5)  # of a simplified mesh, shares of the volume before; beyond, another object would be returned


def keep_largest(mesh: Mesh) -> Mesh:
    """The connected body that encloses the most volume, alone: also without the cavities inside it, which are bodies of
    negative volume."""
    if not len(mesh.faces):
        return mesh
    body_of_vertex = _connected_bodies(len(mesh.vertices), mesh.faces)
    body_of_face = body_of_vertex[mesh.faces[:, 0]]
    corners = mesh.corners.astype(np.float64)
    share_of_face = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    largest = np.argmax(np.bincount(body_of_face, weights=share_of_face, minlength=len(mesh.vertices)))
    return _without_unused_vertices(mesh.vertices, mesh.faces[body_of_face == largest], mesh.metadata)


def limit_faces(mesh: Mesh, target_faces: int) -> Mesh:
    """At most `target_faces` faces, by quadric edge collapse; a mesh that has no more is returned as it is.

    Where the collapse tears the surface (openings a few faces wide), it goes only as far as the surface stays closed, and
    Manifold's simplification, which never tears, goes on. When the target stays out of reach, the smallest sound mesh is
    returned, and its metadata say so under `face_limit`.
    """
    if len(mesh.faces) <= target_faces:
        return mesh
    collapsed = _collapse(mesh, target_faces)
    if _is_sound(collapsed, mesh.volume):
        return collapsed
    smallest = _simplify_soundly(_collapse_soundly(mesh, target_faces), target_faces, mesh.volume)
    if len(smallest.faces) <= target_faces:
        return smallest
    reason = "fewer faces would open the surface or lose the shape"
    return smallest.with_metadata(face_limit={"target_faces": target_faces, "faces": len(smallest.faces), "reason": reason})


def _is_sound(mesh: Mesh, volume: float) -> bool:
    """Whether a simplified mesh is closed and still encloses about the volume that it had."""
    return mesh.is_watertight and VOLUME_RANGE[0] * volume <= mesh.volume <= VOLUME_RANGE[1] * volume


def _collapse(mesh: Mesh, target_faces: int) -> Mesh:
    """Quadric edge collapse: fast and faithful, but free to pinch or tear the surface."""
    vertices, faces = fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=target_faces)
    return _without_unused_vertices(vertices.astype(np.float32), faces.astype(np.int32), mesh.metadata)


def _collapse_soundly(mesh: Mesh, target_faces: int) -> Mesh:
    """The smallest sound mesh above `target_faces` that edge collapse reaches, found by bisection; else the mesh itself."""
    smallest, torn, sound = mesh, target_faces, len(mesh.faces)
    for _ in range(ROUNDS):
        middle = round(math.sqrt(torn * sound))
        candidate = _collapse(mesh, middle)
        if _is_sound(candidate, mesh.volume):
            smallest, sound = candidate, middle
        else:
            torn = middle
    return smallest


def _simplify_soundly(mesh: Mesh, target_faces: int, volume: float) -> Mesh:
    """Manifold's simplification with the lowest tolerance that reaches `target_faces`, else the smallest sound mesh met."""
    solid = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices, mesh.faces.astype(np.uint32)))
    if solid.status() != manifold3d.Error.NoError:
        return mesh
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    low, high = (share * diagonal for share in TOLERANCE_RANGE)
    smallest = mesh
    for _ in range(ROUNDS):
        middle = math.sqrt(low * high)
        candidate = _from_manifold(solid.simplify(middle), mesh.metadata)
        reached = len(candidate.faces) <= target_faces
        if _is_sound(candidate, volume) and (reached or len(candidate.faces) < len(smallest.faces)):
            smallest = candidate
        low, high = (low, middle) if reached else (middle, high)
    return smallest


def _from_manifold(solid: manifold3d.Manifold, metadata: dict[str, Any]) -> Mesh:
    """Manifold's solid as a mesh."""
    parts = solid.to_mesh()
    vertices = np.asarray(parts.vert_properties, np.float32)[:, :3]
    return _without_unused_vertices(vertices, np.asarray(parts.tri_verts).astype(np.int32), metadata)


def _connected_bodies(vertex_count: int, faces: npt.NDArray[np.int32]) -> IntArray:
    """(vertex_count,) int64: for each vertex the lowest vertex that faces join it to (union-find, all edges at once)."""
    root: IntArray = np.arange(vertex_count)
    start: IntArray = faces[:, [0, 1]].ravel().astype(np.int64)
    end: IntArray = faces[:, [1, 2]].ravel().astype(np.int64)
    while True:
        start, end = root[start], root[end]
        open_edges = start != end
        if not open_edges.any():
            return root
        start, end = start[open_edges], end[open_edges]
        np.minimum.at(root, np.maximum(start, end), np.minimum(start, end))
        while (root[root] != root).any():
            root = root[root]


def _without_unused_vertices(vertices: npt.NDArray[np.float32], faces: npt.NDArray[np.int32], metadata: dict[str, Any]) -> Mesh:
    """A mesh of those vertices that faces use, in their order."""
    used = np.zeros(len(vertices), np.bool_)
    used[faces] = True
    number = np.cumsum(used) - 1
    return Mesh(vertices[used], number[faces].astype(np.int32), metadata)

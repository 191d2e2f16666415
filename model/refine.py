"""What is done to a mesh after extraction: one body, fewer faces. Both keep it closed and wound outward."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fast_simplification
import manifold3d
import numpy as np
import numpy.typing as npt

from model.mesh import Mesh

IntArray = npt.NDArray[np.int64]
Check = Callable[[], None]  # may raise to stop the work

NEARLY = 0.98  # share of the face limit that a simplified mesh has at least, where that can be had
ATTEMPTS = 4  # collapses until the mended mesh has nearly as many faces as it may
ROUNDS = 8  # of a bisection
TOLERANCE_RANGE = (1e-4, 0.1)  # of Manifold's simplification, shares of the mesh's diagonal
VOLUME_RANGE = (0.5, 1.5)  # of a simplified mesh, shares of the volume before; beyond, another object would be returned
FAITHFUL_RANGE = (0.9, 1.1)  # the same of a mesh that is to be simplified further


def keep_largest(mesh: Mesh) -> Mesh:
    """The connected body that encloses the most volume, alone: also without the cavities inside it, which are bodies of
    negative volume."""
    if not len(mesh.faces):
        return mesh
    body_of_vertex = _connected_bodies(len(mesh.vertices), mesh.faces)
    body_of_face = body_of_vertex[mesh.faces[:, 0]]
    if (body_of_face == body_of_face[0]).all():
        return _without_unused_vertices(mesh)
    largest = np.argmax(np.bincount(body_of_face, weights=mesh.volumes, minlength=len(mesh.vertices)))
    return _without_unused_vertices(replace(mesh, faces=mesh.faces[body_of_face == largest]))


def limit_faces(mesh: Mesh, target_faces: int, check: Check = lambda: None) -> Mesh:
    """At most `target_faces` faces, by quadric edge collapse; a mesh that has no more is returned as it is.

    The collapse pinches the surface now and then, which `_mended` undoes at the price of a few faces; then it is aimed higher,
    until the mesh has at least `NEARLY` as many faces as it may. Where that fails or costs too much volume, collapse goes only
    as far as the mesh stays faithful, Manifold's simplification, which never tears, goes on, and the better of both is taken.
    When the target stays out of reach, the smallest sound mesh is returned, and its metadata say so under `face_limit`.

    check: called before each attempt, of which there may be many.
    """
    if len(mesh.faces) <= target_faces:
        return mesh
    volume = mesh.volume
    limited = _collapse_mended(mesh, target_faces, volume, check)
    if limited is None or len(limited.faces) < NEARLY * target_faces or not _is_sound(limited, volume, FAITHFUL_RANGE):
        collapsed = _collapse_soundly(mesh, target_faces, volume, check)
        simplified = _simplify_soundly(collapsed, target_faces, volume, check)
        limited = max(limited or simplified, simplified, key=lambda mesh: _merit(mesh, target_faces, volume))
    if len(limited.faces) <= target_faces:
        return limited
    reason = "fewer faces would open the surface or lose the shape"
    return limited.with_metadata(face_limit={"target_faces": target_faces, "faces": len(limited.faces), "reason": reason})


def _is_sound(mesh: Mesh, volume: float, shares: tuple[float, float] = VOLUME_RANGE) -> bool:
    """Whether a simplified mesh is closed and still encloses about the volume that it had."""
    return shares[0] * volume <= mesh.volume <= shares[1] * volume and mesh.is_watertight


def _collapse(mesh: Mesh, target_faces: int) -> Mesh:
    """Quadric edge collapse: fast and faithful, but free to pinch or tear the surface."""
    vertices, faces = fast_simplification.simplify(mesh.vertices, mesh.faces, target_count=target_faces)
    return _without_unused_vertices(Mesh(vertices.astype(np.float32), faces.astype(np.int32), mesh.metadata))


def _collapse_mended(mesh: Mesh, target_faces: int, volume: float, check: Check) -> Mesh | None:
    """The sound mesh of at most `target_faces` faces that edge collapse and mending give, the largest of some attempts."""
    largest, aim = None, target_faces
    for _ in range(ATTEMPTS):
        check()
        candidate = _mended(_collapse(mesh, aim))
        faces = len(candidate.faces)
        if not _is_sound(candidate, volume) or faces > aim:  # ruined, or as far as it goes
            break
        if faces <= target_faces and (largest is None or faces > len(largest.faces)):
            largest = candidate
        if largest is not None and len(largest.faces) >= NEARLY * target_faces:
            break
        aim = min(aim + target_faces - faces, len(mesh.faces))
    return largest


def _collapse_soundly(mesh: Mesh, target_faces: int, volume: float, check: Check) -> Mesh:
    """The smallest sound mesh above `target_faces` that edge collapse and mending reach, found by bisection; else the mesh."""
    smallest, ruined = mesh, target_faces
    for _ in range(ROUNDS):
        check()
        middle = round(math.sqrt(ruined * len(smallest.faces)))
        candidate = _mended(_collapse(smallest, middle))
        if len(candidate.faces) < len(smallest.faces) and _is_sound(candidate, volume, FAITHFUL_RANGE):
            smallest = candidate
        else:
            ruined = middle
    return smallest


def _simplify_soundly(mesh: Mesh, target_faces: int, volume: float, check: Check) -> Mesh:
    """Manifold's simplification with the lowest tolerance that reaches `target_faces`, else the smallest sound mesh met.

    A tolerance may skip many numbers of faces; so what is left above the target is collapsed where that is sound.
    """
    solid = _solid(mesh)
    if solid is None or len(mesh.faces) <= target_faces:
        return mesh
    diagonal = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    low, high = (share * diagonal for share in TOLERANCE_RANGE)
    best = mesh
    for _ in range(ROUNDS):
        check()
        middle = math.sqrt(low * high)
        candidate = _from_manifold(solid.simplify(middle), mesh.metadata)
        reached = len(candidate.faces) <= target_faces
        if _is_sound(candidate, volume):
            collapsed = None if reached else _collapse_mended(candidate, target_faces, volume, check)
            best = max(best, candidate, collapsed or candidate, key=lambda mesh: _rank(mesh, target_faces))
            if NEARLY * target_faces <= len(best.faces) <= target_faces:
                break
        low, high = (low, middle) if reached else (middle, high)
    return best


def _rank(mesh: Mesh, target_faces: int) -> tuple[bool, int]:
    """Orders meshes by how near they come to a face limit: within it first, then the nearest to it."""
    within = len(mesh.faces) <= target_faces
    return within, len(mesh.faces) if within else -len(mesh.faces)


def _merit(mesh: Mesh, target_faces: int, volume: float) -> tuple[bool, bool, float]:
    """Orders meshes by what is left of them: within a face limit first, using most of it next, then the nearest in volume."""
    within = len(mesh.faces) <= target_faces
    return within, within and len(mesh.faces) >= NEARLY * target_faces, -abs(mesh.volume - volume)


def _mended(mesh: Mesh) -> Mesh:
    """The mesh with its pinches undone: itself when closed, and as little changed as can be when it cannot be closed.

    Nearly always the collapse has laid two faces back to back. What else there is, surfaces joined along an edge, Manifold
    parts on import.
    """
    if mesh.is_watertight:
        return mesh
    parted = _without_back_to_back_faces(mesh)
    if parted.is_watertight:
        return parted
    solid = _solid(parted)
    return parted if solid is None else _from_manifold(solid, mesh.metadata)


def _without_back_to_back_faces(mesh: Mesh) -> Mesh:
    """The mesh without the pairs of faces that have the same corners and opposite windings: they enclose nothing."""
    low, middle, high = np.sort(mesh.faces, axis=1).T
    a, b, c = mesh.faces.T
    order = np.lexsort(((a < b) ^ (b < c) ^ (c < a), high, middle, low))  # pairs side by side; the windings differ in the first
    corners, winding = np.stack([low, middle, high])[:, order], ((a < b) ^ (b < c) ^ (c < a))[order]
    first = (corners[:, 1:] == corners[:, :-1]).all(axis=0) & (winding[1:] != winding[:-1])
    keep = np.ones(len(mesh.faces), np.bool_)
    keep[order[:-1][first]] = keep[order[1:][first]] = False
    return _without_unused_vertices(replace(mesh, faces=mesh.faces[keep]))


def _solid(mesh: Mesh) -> manifold3d.Manifold | None:
    """The mesh as Manifold's solid, None when its edges do not match up."""
    solid = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices, mesh.faces.astype(np.uint32)))
    return solid if solid.status() == manifold3d.Error.NoError else None


def _from_manifold(solid: manifold3d.Manifold, metadata: dict[str, Any]) -> Mesh:
    """Manifold's solid as a mesh."""
    parts = solid.to_mesh()
    vertices = np.array(parts.vert_properties[:, :3], np.float32, order="C")
    return _without_unused_vertices(Mesh(vertices, np.array(parts.tri_verts, np.int32, order="C"), metadata))


def _connected_bodies(vertex_count: int, faces: npt.NDArray[np.int32]) -> IntArray:
    """(vertex_count,) int64: a number for each vertex, the same for those that faces join (union-find, all edges at once)."""
    root: IntArray = np.arange(vertex_count)
    a, b, c = np.ascontiguousarray(faces.T, np.int64)
    start, end = np.concatenate([a, b]), np.concatenate([b, c])
    upwards = False
    while True:
        # All roots that move, move to lower ones, so no circle forms; which of its neighbours a root follows does not matter.
        # Then to higher ones: of a root with many neighbours, one round or the other moves all but one.
        low, high = np.minimum(start, end), np.maximum(start, end)
        if upwards:
            root[low] = high
        else:
            root[high] = low
        upwards = not upwards
        while True:
            further = root[root]
            if np.array_equal(further, root):
                break
            root = further
        start, end = root[start], root[end]
        apart = start != end
        if not apart.any():
            return root
        start, end = start[apart], end[apart]


def _without_unused_vertices(mesh: Mesh) -> Mesh:
    """The mesh with those vertices alone that faces use, in their order; itself when it uses all."""
    used = np.zeros(len(mesh.vertices), np.bool_)
    for corner in mesh.faces.T:
        used[corner] = True
    if used.all():
        return mesh
    number = np.cumsum(used, dtype=np.int32) - np.int32(1)
    attributes = {name: values[used] for name, values in mesh.vertex_attributes.items()}
    return replace(mesh, vertices=mesh.vertices[used], faces=number[mesh.faces], vertex_attributes=attributes)

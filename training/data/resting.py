"""Parts as they lie about: a bolt is rarely photographed standing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import trimesh

from training.sampling.solids import object_frame

UPRIGHT_KINDS = frozenset({"machine", "structure"})  # these stand as they were built
LYING_SHARE = 0.5
HULL_DIRECTIONS = 400  # a finer hull is kept where it reaches farthest in one of these: poses cost the square of its faces
INNER = 1e-3  # how far within the hull the centre of mass must lie, object units


def lay_down(
    vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer], kind: str, rng: np.random.Generator
) -> npt.NDArray[np.floating]:
    """The vertices (n, 3), z up, as they are or, for half of the parts that are no machine or building, on another side.

    The side is one on which the part would lie still, drawn by how likely it is to come to rest there (Goldberg et al. 1999, as
    `trimesh.poses` has it), and turned about z at random.
    """
    if kind in UPRIGHT_KINDS or rng.random() >= LYING_SHARE:
        return vertices
    centred = object_frame(vertices)[0].astype(np.float64)
    hull = _hull(centred)
    transforms, shares = trimesh.poses.compute_stable_poses(hull, center_mass=_centre_of_mass(centred, faces, hull))
    if not len(transforms):
        return vertices
    rotation = transforms[rng.choice(len(transforms), p=shares / shares.sum())][:3, :3]
    turn = rng.uniform(0, 2 * np.pi)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    return vertices @ (about_z @ rotation).T.astype(vertices.dtype)


def _hull(points: npt.NDArray[np.float64]) -> trimesh.Trimesh:
    """The convex hull of (n, 3) points; where it has very many corners, of those that are farthest in some direction."""
    hull: trimesh.Trimesh = trimesh.convex.convex_hull(points)
    if len(hull.vertices) <= HULL_DIRECTIONS:
        return hull
    height = 1 - (2 * np.arange(HULL_DIRECTIONS) + 1) / HULL_DIRECTIONS
    angle = np.arange(HULL_DIRECTIONS) * np.pi * (3 - np.sqrt(5))
    across = np.sqrt(1 - height**2)
    directions = np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)
    farthest = np.unique([(hull.vertices @ direction).argmax() for direction in directions])
    coarse: trimesh.Trimesh = trimesh.convex.convex_hull(hull.vertices[farthest])
    return coarse


def _centre_of_mass(
    vertices: npt.NDArray[np.float64], faces: npt.NDArray[np.integer], hull: trimesh.Trimesh
) -> npt.NDArray[np.float64]:
    """Of the solid, or of its hull where the faces leave holes through which the sum over them goes astray."""
    centre = np.asarray(trimesh.Trimesh(vertices, faces, process=False).center_mass)
    within = np.einsum("ij,ij->i", centre - hull.triangles_center, hull.face_normals) < -INNER
    return centre if within.all() else np.asarray(hull.center_mass)

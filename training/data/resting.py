"""Parts as they lie about: a bolt is rarely photographed standing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import trimesh

UPRIGHT_KINDS = frozenset({"machine", "structure"})  # these stand as they were built
LYING_SHARE = 0.5


def lay_down(
    vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer], kind: str, rng: np.random.Generator
) -> npt.NDArray[np.floating]:
    """The vertices (n, 3), z up, as they are or, for half of the parts that are no machine or building, on another side.

    The side is one on which the part would lie still, drawn by how likely it is to come to rest there (Goldberg et al. 1999, as
    `trimesh.poses` has it), and turned about z at random.
    """
    if kind in UPRIGHT_KINDS or rng.random() >= LYING_SHARE:
        return vertices
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    transforms, shares = trimesh.poses.compute_stable_poses(mesh)
    if not len(transforms):
        return vertices
    rotation = transforms[rng.choice(len(transforms), p=shares / shares.sum())][:3, :3]
    turn = rng.uniform(0, 2 * np.pi)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    return vertices @ (about_z @ rotation).T.astype(vertices.dtype)

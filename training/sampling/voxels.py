"""A solid given as voxels: a distance finer than the voxels are, and a surface without their stairs.

A label frame here is any right-handed frame in which the voxels are cubes along the axes; lengths are in its units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import manifold3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from model.isosurface import extract_surface
from model.mesh import Mesh
from model.refine import limit_faces

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]

MAX_FACES = 30_000
TOLERANCES = (
    0.1,
    0.2,
    0.4,
    0.8,
)  # by which simplification may move the surface, in steps: the first that leaves few enough faces

# In voxels. The stairs of a slanted wall go with SMOOTHING; LEAST_DEPTH is what keeps a plate of one voxel in spite of it.
SMOOTHING = 0.7
LEAST_DEPTH = 0.2
SMOOTHED_BAND = 1.0  # distances up to here are the smoothed ones, those beyond one more voxel are measured to where these end
LEAST_MARGIN = 4  # voxels kept around the solid
MARGIN_SHARE = 1 / 16  # the same as a share of the grid


@dataclass(frozen=True, eq=False)
class VoxelSolid:
    """The union of occupied voxels, with smooth walls.

    occupied: (nx, ny, nz) bool, indexed [x, y, z]; index i lies at `origin + i * step`, the voxel's centre, in the label frame.
    Each centre is on the side of the surface that `occupied` says.
    inset: voxels by which the surface lies inside the voxels' own, 0 to below 0.5; for occupancies that were pooled by their
    maximum from finer voxels, and so reach too far out.
    ValueError when no voxel is occupied.
    """

    occupied: BoolArray
    origin: Float64Array
    step: float
    inset: float = 0.0

    def __post_init__(self) -> None:
        if not self.occupied.any():
            raise ValueError(f"voxels: expected at least one that is occupied, found none of {self.occupied.shape}")

    @property
    def vertices(self) -> Float32Array:
        """(n, 3) float32, label frame."""
        return self._surface.vertices

    @property
    def faces(self) -> Int32Array:
        """(m, 3) int32, at most 30,000 but for sponges, counter-clockwise seen from outside."""
        return self._surface.faces

    def signed_distance(self, points: npt.NDArray[np.floating[Any]]) -> Float64Array:
        """(n, 3) label frame -> (n,) float64, its units, negative inside.

        Good to a fraction of a voxel up to a sixteenth of the grid outside the solid's box; beyond, an upper bound.
        """
        first, distance = self._distance
        nodes = (np.asarray(points, np.float64) - self.origin) / self.step - first
        kept = np.clip(nodes, 0, np.array(distance.shape) - 1)
        to_grid = np.linalg.norm(nodes - kept, axis=1)
        within = ndimage.map_coordinates(distance, kept.T, np.float64, order=1, mode="nearest")
        return np.asarray((within + to_grid) * self.step, np.float64)

    @cached_property
    def _distance(self) -> tuple[npt.NDArray[np.int64], Float32Array]:
        """(3,) index of the first node, and (..., 3-d) float32 signed distances of the nodes in voxels."""
        first, occupied = _with_margin(self.occupied, max(LEAST_MARGIN, round(MARGIN_SHARE * max(self.occupied.shape))))
        return first, _smooth_distance(occupied, self.inset)

    @cached_property
    def _surface(self) -> Mesh:
        first, distance = self._distance
        return with_few_faces(extract_surface(-distance, 0.0, self.origin + first * self.step, self.step), self.step)

    def __getstate__(self) -> dict[str, Any]:
        """Only the voxels: what is derived from them is large, and made again where it is wanted."""
        return {name: getattr(self, name) for name in ("occupied", "origin", "step", "inset")}


def with_few_faces(mesh: Mesh, step: float) -> Mesh:
    """A closed mesh from a grid of this step with `MAX_FACES` faces at most, still closed, moved by less than a step.

    What keeps more faces than that even so, a sponge of a solid, is returned with them.
    """
    if len(mesh.faces) <= MAX_FACES:
        return mesh
    solid = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices, mesh.faces.astype(np.uint32)))
    if solid.status() != manifold3d.Error.NoError:
        return limit_faces(mesh, MAX_FACES)
    for tolerance in TOLERANCES:
        simplified = solid.simplify(tolerance * step)
        if simplified.num_tri() <= MAX_FACES:
            break
    parts = simplified.to_mesh()
    return Mesh(np.asarray(parts.vert_properties, np.float32)[:, :3], np.asarray(parts.tri_verts).astype(np.int32))


def _with_margin(occupied: BoolArray, margin: int) -> tuple[npt.NDArray[np.int64], BoolArray]:
    """The occupied box with `margin` empty voxels on each side, wherever the grid ended: (index of its first voxel, voxels)."""
    bounds = []
    for axis in range(3):
        indices = np.flatnonzero(occupied.any(axis=tuple({0, 1, 2} - {axis})))
        bounds.append((int(indices[0]), int(indices[-1]) + 1))
    box = occupied[tuple(slice(low, high) for low, high in bounds)]
    return np.array([low - margin for low, _ in bounds]), np.pad(box, margin)


def _smooth_distance(occupied: BoolArray, inset: float) -> Float32Array:
    """Signed distance of each voxel's centre to the smoothed surface, in voxels.

    Near the surface, the distance to the voxels' walls is smoothed, each centre kept on its side. Farther away, it is the
    distance to the nearest centre across the surface, less that centre's own distance to it: half a voxel on average, but
    known better than that.
    """
    outward, across_outward = ndimage.distance_transform_edt(~occupied, return_indices=True)
    inward, across_inward = ndimage.distance_transform_edt(occupied, return_indices=True)
    to_centre = np.where(occupied, -inward, outward).astype(np.float32)
    across = np.where(occupied, across_inward, across_outward)
    del outward, inward, across_outward, across_inward
    to_walls = to_centre - np.copysign(np.float32(0.5), to_centre)
    near = _keep_sides(ndimage.gaussian_filter(np.clip(to_walls, -4, 4), SMOOTHING), occupied, LEAST_DEPTH)
    far = to_centre - np.copysign(np.abs(near[tuple(across)]), to_centre)
    share = np.clip(np.abs(to_walls) - SMOOTHED_BAND, 0, 1)
    distance = _keep_sides(near + share * (far - near), occupied, LEAST_DEPTH)
    return _keep_sides(distance + np.float32(inset), occupied, min(LEAST_DEPTH, 0.5 - inset))


def _keep_sides(distance: Float32Array, occupied: BoolArray, depth: float) -> Float32Array:
    """The distances, at least `depth` deep on the side that is known."""
    return np.where(occupied, np.minimum(distance, -depth), np.maximum(distance, depth)).astype(np.float32)

"""Marching cubes: node values on a regular grid -> a closed mesh."""

import mcubes
import numpy as np
import numpy.typing as npt

from model.errors import NoSurface
from model.field import SampledBox
from model.mesh import Mesh

FloatArray = npt.NDArray[np.floating]

# A node that (almost) lies on the surface would put up to six vertices in one place; so no node comes nearer to the level
# than this share of the values' range, which moves the surface by far less than a hundredth of a voxel where it is steep.
NUDGE = 1e-3


def surface_of(samples: SampledBox, level: float) -> Mesh:
    """The surface of a sampled field in columns (u, v, z), as `extract_surface` makes it."""
    return extract_surface(samples.values, level, samples.origin, samples.grid.spacing)


def extract_surface(
    values: npt.NDArray[np.float32], level: float, origin: tuple[float, float, float] | FloatArray, spacing: float
) -> Mesh:
    """The surface of `values >= level`, closed and wound outward, also where the inside reaches a wall of the grid.

    values: (nu, nv, nz) float32 at the nodes `origin + index * spacing`; the mesh's vertices are in the same coordinates.
    Beyond the walls the lowest value holds, so a cut object ends within one voxel outside the wall.
    PyMCubes resolves ambiguous faces alike from both sides: its meshes of random fields are watertight (tests).
    """
    lowest, highest = float(values.min()), float(values.max())
    if not lowest < level <= highest:  # true for NaN as well
        raise NoSurface(f"occupancy: expected values on both sides of the level {level:g}, got {lowest:.3g} to {highest:.3g}")
    active, first_node = _active_box(values, level, outside=lowest)
    _keep_off_level(active, level, NUDGE * (highest - lowest))
    vertices, faces = mcubes.marching_cubes(active, level)
    vertices = np.asarray(origin, np.float64) + (vertices + first_node) * spacing
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def _active_box(
    values: npt.NDArray[np.float32], level: float, outside: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A copy of the part of the grid that holds the surface, one node around the inside: (values, (3,) its first node)."""
    inside = values >= level
    slices, padding, first_node = [], [], []
    for axis in range(3):
        indices = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        first, end = int(indices[0]) - 1, int(indices[-1]) + 2
        size = values.shape[axis]
        slices.append(slice(max(first, 0), min(end, size)))
        padding.append((max(-first, 0), max(end - size, 0)))
        first_node.append(first)
    return np.pad(values[tuple(slices)], padding, constant_values=outside), np.array(first_node)


def _keep_off_level(values: npt.NDArray[np.float32], level: float, margin: float) -> None:
    """Moves the values nearer than `margin` to the level away from it, in place, to the side on which they are."""
    for layer in values:  # a layer at a time stays in the cache
        above = layer >= level
        near = above & (layer < level + margin)
        layer[near] = level + margin
        near = ~above & (layer > level - margin)
        layer[near] = level - margin

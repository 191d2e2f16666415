"""Analytic solids as occupancy grids: (n, n, n) float32 over [-0.5, 0.5]^3, 0.5 on the surface, soft over a few voxels."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from model.isosurface import extract_surface
from model.mesh import Mesh

Distance = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def sphere(radius: float = 0.35) -> Distance:
    """Signed distance, positive inside."""
    return lambda x, y, z: radius - np.sqrt(x * x + y * y + z * z)


def torus(ring: float = 0.3, tube: float = 0.1) -> Distance:
    """About the z axis."""
    return lambda x, y, z: tube - np.hypot(np.hypot(x, y) - ring, z)


def box(half_x: float, half_y: float, half_z: float) -> Distance:
    """Axis-aligned, centred."""
    return lambda x, y, z: np.minimum(np.minimum(half_x - np.abs(x), half_y - np.abs(y)), half_z - np.abs(z))


def union(*solids: Distance) -> Distance:
    return lambda x, y, z: np.maximum.reduce([solid(x, y, z) for solid in solids])


def moved(solid: Distance, dx: float, dy: float, dz: float) -> Distance:
    return lambda x, y, z: solid(x - dx, y - dy, z - dz)


def hollow(solid: Distance, cavity: Distance) -> Distance:
    return lambda x, y, z: np.minimum(solid(x, y, z), -cavity(x, y, z))


def occupancy(solid: Distance, n: int = 64) -> npt.NDArray[np.float32]:
    """Occupancy at n nodes a side: the distance in voxels, put through a steep logistic curve about 0."""
    x, y, z = np.meshgrid(*[np.linspace(-0.5, 0.5, n)] * 3, indexing="ij")
    return (1 / (1 + np.exp(-2 * np.clip(solid(x, y, z) * (n - 1), -20, 20)))).astype(np.float32)


def mesh_of(solid: Distance, n: int = 64) -> Mesh:
    return extract_surface(occupancy(solid, n), 0.5, (-0.5, -0.5, -0.5), 1 / (n - 1))

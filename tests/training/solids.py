"""Small solids for tests, in the object frame: z up, inside the sphere of radius 0.5."""

import numpy as np
import numpy.typing as npt
from manifold3d import Manifold

Solid = tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]


def sphere(radius: float = 0.4, segments: int = 160) -> Solid:
    mesh = Manifold.sphere(radius, segments).to_mesh()
    return mesh.vert_properties[:, :3].astype(np.float32), mesh.tri_verts.astype(np.int32)


def box(x: float = 0.5, y: float = 0.4, z: float = 0.3) -> Solid:
    mesh = Manifold.cube([x, y, z], True).to_mesh()
    return mesh.vert_properties[:, :3].astype(np.float32), mesh.tri_verts.astype(np.int32)


def angle_bracket() -> Solid:
    """An L with three holes: no symmetry that could hide a swapped axis."""
    solid = Manifold.cube([1, 0.6, 0.1]) + Manifold.cube([0.1, 0.6, 0.8])
    for x in (0.35, 0.75):
        solid -= Manifold.cylinder(1, 0.1, 0.1, 48).translate([x, 0.2, -0.4])
    solid -= Manifold.cylinder(1, 0.15, 0.15, 48).rotate([0, 90, 0]).translate([-0.5, 0.4, 0.5])
    return _in_object_frame(solid)


def flanged_pipe() -> Solid:
    """A turned part: smooth walls, sharp rims, a bore."""
    solid = Manifold.cylinder(0.15, 0.5, 0.5, 96) + Manifold.cylinder(0.6, 0.25, 0.22, 96)
    return _in_object_frame(solid - Manifold.cylinder(2, 0.15, 0.15, 96).translate([0, 0, -0.5]))


def rod(radius: float = 0.02) -> Solid:
    mesh = Manifold.cylinder(0.98, radius, radius, 32, True).to_mesh()
    return mesh.vert_properties[:, :3].astype(np.float32), mesh.tri_verts.astype(np.int32)


def _in_object_frame(solid: Manifold) -> Solid:
    mesh = solid.to_mesh()
    vertices = mesh.vert_properties[:, :3].astype(np.float64)
    vertices -= (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    vertices *= 0.499 / np.linalg.norm(vertices, axis=1).max()
    return vertices.astype(np.float32), mesh.tri_verts.astype(np.int32)

"""What holds of every part, whatever its family: closed, in one piece, neither too few nor too many faces, walls that show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from manifold3d import Error, Manifold

from training.data.families.part import Family

FACES = range(500, 30_001)
VOXELS = 256  # of the longest side: the unit of wall thicknesses
# Half a voxel: a narrower gap between two bodies cannot be seen in the labels.
LARGEST_GAP = 0.5 / VOXELS
# Faces that move the surface by less than this fraction of the size are merged away.
SIMPLIFICATION = 2e-5
# Bodies and cavities of less than this fraction of the volume are rounding, not design.
SLIVER = 1e-6
WALL_RAYS = 4096
WALL_QUANTILE = 0.02
# Rays start this fraction of the size below the surface, so that they do not meet the face they leave.
BELOW_SURFACE = 1e-5


def finished(solid: Manifold) -> Manifold:
    """Without faces that no label can show, without slivers between nearly coincident surfaces, and with enough faces.

    Plain prisms get their long edges divided: their few faces would starve whatever works per face or per vertex.
    """
    if solid.status() != Error.NoError or solid.is_empty():
        return solid
    size = longest_side(solid)
    solid = solid.simplify(SIMPLIFICATION * size)
    bodies = solid.decompose()
    visible = [body for body in bodies if abs(body.volume()) > SLIVER * solid.volume()]
    if len(visible) < len(bodies):
        solid = Manifold.compose(visible)
    length = size / 8
    while solid.num_tri() < FACES.start:
        solid, length = solid.refine_to_length(length), length / 2
    return solid


def longest_side(solid: Manifold) -> float:
    """Longest side of the bounding box."""
    box = np.array(solid.bounding_box())
    return float((box[3:] - box[:3]).max())


def fault(solid: Manifold, family: Family) -> str | None:
    """Which post-condition the solid violates, in words; None for a good part of the family."""
    if solid.status() != Error.NoError:
        return f"not a manifold: {solid.status()}"
    if solid.is_empty() or solid.volume() <= 0:
        return "no volume"
    if solid.num_tri() not in FACES:
        return f"{solid.num_tri()} faces"
    return _fault_between_bodies(solid, family.loose_bodies) or _fault_of_walls(solid, family.thinnest_wall)


def _fault_between_bodies(solid: Manifold, loose_bodies: bool) -> str | None:
    bodies = solid.decompose()
    if any(body.volume() <= 0 for body in bodies):
        return "a hidden cavity"
    if len(bodies) == 1 or loose_bodies:
        return None
    reach = LARGEST_GAP * longest_side(solid)
    for k, body in enumerate(bodies):
        rest = Manifold.compose(bodies[:k] + bodies[k + 1 :])
        if body.min_gap(rest, 2 * reach) > reach:
            return f"a loose body, one of {len(bodies)}"
    return None


def _fault_of_walls(solid: Manifold, thinnest_wall: float | None) -> str | None:
    if thinnest_wall is None:
        return None
    mesh = solid.to_mesh()
    wall = wall_thickness(mesh.vert_properties[:, :3], mesh.tri_verts)
    return f"a wall of {wall:.1f} voxels" if wall < thinnest_wall else None


def wall_thickness(vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> float:
    """The thickness that all but the thinnest fiftieth of a closed surface has, in voxels of 1/256 of its longest side.

    From `WALL_RAYS` points, spread evenly over the area, a ray runs inward along the face's normal to the opposite wall; the
    answer is the `WALL_QUANTILE` quantile of the lengths. Edges thin out to nothing, but over little area, so they do not count;
    nor does a thin feature that makes up less than that share of the surface.
    vertices: (n, 3); faces: (m, 3), outward, of a closed mesh.
    """
    low = vertices.min(axis=0)
    size = float((vertices.max(axis=0) - low).max())
    vertices = np.ascontiguousarray((vertices - low) / size, np.float32)
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1)
    cumulative = np.cumsum(areas)
    levels = (np.arange(WALL_RAYS) + 0.5) / WALL_RAYS
    face = np.minimum(np.searchsorted(cumulative, levels * cumulative[-1]), len(faces) - 1)
    # Where in its triangle a point lies is given by an additive recurrence: as even as chance is not, and the same every time.
    first, second = (np.arange(WALL_RAYS) * step % 1 for step in (0.7548776662466927, 0.5698402909980532))
    outside = first + second > 1
    first, second = np.where(outside, 1 - first, first), np.where(outside, 1 - second, second)
    a, b, c = corners[face].swapaxes(0, 1)
    points = a + first[:, None] * (b - a) + second[:, None] * (c - a)
    inward = -normals[face] / areas[face, None]
    origins = (points + BELOW_SURFACE * inward).astype(np.float32)
    scene = EmbreeScene()
    TriangleMesh(scene, vertices, np.ascontiguousarray(faces, np.int32))
    met = scene.run(origins, inward.astype(np.float32), output=True)
    # A ray that slips between two faces counts as one through the whole part.
    lengths = np.where(met["primID"] >= 0, met["tfar"], 1.0) + BELOW_SURFACE
    return float(np.quantile(lengths, WALL_QUANTILE)) * VOXELS

"""How far each vertex of a mesh can be trusted: how sure the network was of it, and whether the photo shows it.

`confidence`, in [0, 1], is how steeply the field falls across the surface, beside how steeply the label falls that it was taught:

    confidence = clip((v(p - h n) - v(p + h n)) / (l(d - h) - l(d + h)), 0, 1)

p, n: the vertex and its outward normal in the view frame; h: a voxel; v: the field's samples, trilinear between nodes;
l: the soft label of the training's last hardness s, d: the distance from the solid at which it says the level of the surface.
Why: trained on an object of which a photo leaves several shapes open, a network says their mean, which changes slowly from inside
to outside; one that knows the place repeats the label's own slope. Both slopes are differences over two voxels, so that a label
that falls within less is not asked of samples that cannot show it; of binary labels, l(d - h) - l(d + h) = 1. What the silhouette
cuts is as sharp as the photo, and where the volume's wall cuts the object the samples end, do not fall, and say 0.

`observed` is 1 where the surface faces the camera and is the first along its column, to within 1.5 voxels: the photo shows it.
The rest, 0, is inferred: back sides, what parts in front hide, walls along the rays.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from model.camera import Camera
from model.field import Float32, SampledBox
from model.formats.glb import vertex_normals
from model.mesh import Mesh
from model.preview import nearest_depth
from model.soft_label import SoftLabel

BEHIND = 1.5  # voxels by which a vertex may lie behind the first surface of its column and count as that surface


def with_confidence(mesh: Mesh, samples: SampledBox, camera: Camera, level: float, label: SoftLabel | None) -> Mesh:
    """The mesh, in the view frame, with the vertex attributes `confidence` and `observed`.

    samples: the field whose surface at `level` the mesh is; label: what the field was taught, None for binary labels.
    """
    attributes = {
        "confidence": confidence(mesh, samples, camera, level, label),
        "observed": observed(mesh, camera, samples.grid.resolution).astype(np.float32),
    }
    return replace(mesh, vertex_attributes=attributes)


def confidence(mesh: Mesh, samples: SampledBox, camera: Camera, level: float, label: SoftLabel | None) -> Float32:
    """(n,) float32 in [0, 1], as the module's head says."""
    voxel = samples.grid.spacing
    across = np.float32(voxel) * vertex_normals(mesh)
    inner, outer = (sampled(samples, camera.project(mesh.vertices + side)) for side in (-across, across))
    fall: Float32 = (inner - outer) / np.float32(_label_fall(label, level, voxel))
    return np.clip(fall, 0, 1, out=fall)


def observed(mesh: Mesh, camera: Camera, resolution: int) -> npt.NDArray[np.bool_]:
    """(n,) bool: the vertices that the photo shows, judged by the mesh itself, drawn with a pixel for each of the grid's columns.

    Of the four pixels around a vertex the farthest counts: a slope falls by voxels between two pixels, and to nothing at the
    outline.
    """
    columns = camera.project(mesh.vertices)
    facing = vertex_normals(Mesh(columns, mesh.faces))[:, 2] > 0
    depth = np.pad(nearest_depth(columns, mesh.faces, resolution), 1, constant_values=-np.inf)
    column = np.clip(np.floor((columns[:, 0] + 0.5) * resolution + 0.5), 0, resolution).astype(np.int64)
    row = np.clip(np.floor((0.5 - columns[:, 1]) * resolution + 0.5), 0, resolution).astype(np.int64)
    farthest = np.minimum(depth[:-1], depth[1:])
    farthest = np.minimum(farthest[:, :-1], farthest[:, 1:])[row, column]
    seen: npt.NDArray[np.bool_] = facing & (columns[:, 2] >= farthest - BEHIND / resolution)
    return seen


def sampled(samples: SampledBox, points_column: npt.NDArray[np.floating]) -> Float32:
    """(n, 3) (u, v, z) -> (n,) float32: trilinear between the nodes; beyond the box, what its wall says."""
    values = samples.values
    last = np.asarray(values.shape) - 1
    flat, strides = values.ravel(), np.array([values.shape[1] * values.shape[2], values.shape[2], 1])
    node = np.zeros(len(points_column), np.int64)
    shares = []
    for axis in range(3):
        place = np.clip((points_column[:, axis] - samples.origin[axis]) * samples.grid.resolution, 0, last[axis])
        low = np.minimum(place.astype(np.int64), last[axis] - 1)
        node += low * strides[axis]
        shares.append((place - low).astype(np.float32))
    corners = [flat[node + corner @ strides] for corner in np.ndindex(2, 2, 2)]
    for share in shares:
        half = len(corners) // 2
        corners = [low + share * (high - low) for low, high in zip(corners[:half], corners[half:], strict=True)]
    answer: Float32 = corners[0]
    return answer


def _label_fall(label: SoftLabel | None, level: float, voxel: float) -> float:
    """What the label falls by from a voxel before its own `level` to a voxel behind it."""
    if label is None:
        return 1.0
    distance = label.distance(level)
    return label.value(distance - voxel) - label.value(distance + voxel)

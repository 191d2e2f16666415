"""Binary PLY, little-endian: vertices with their attributes, and faces; units in its comments."""

import numpy as np

from model.formats.origin import origin_lines
from model.mesh import Mesh

FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write_ply(mesh: Mesh) -> bytes:
    """Float32 vertices, their attributes as further properties, and int32 faces, as the mesh holds them."""
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {line}" for line in origin_lines(mesh)),
        f"element vertex {len(mesh.vertices)}",
        *(f"property float {name}" for name in ("x", "y", "z", *mesh.vertex_attributes)),
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    faces = np.empty(len(mesh.faces), FACE)
    faces["count"] = 3
    faces["corners"] = mesh.faces
    vertices = np.column_stack([mesh.vertices, *mesh.vertex_attributes.values()]).astype("<f4")
    return "\n".join(header).encode("ascii") + vertices.tobytes() + faces.tobytes()

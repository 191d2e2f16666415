"""Binary PLY, little-endian: vertices and faces, units in its comments."""

import numpy as np

from model.formats.origin import origin_lines
from model.mesh import Mesh

FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])


def write_ply(mesh: Mesh) -> bytes:
    """Float32 vertices and int32 faces, as the mesh holds them."""
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {line}" for line in origin_lines(mesh)),
        f"element vertex {len(mesh.vertices)}",
        *(f"property float {axis}" for axis in "xyz"),
        f"element face {len(mesh.faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    faces = np.empty(len(mesh.faces), FACE)
    faces["count"] = 3
    faces["corners"] = mesh.faces
    return "\n".join(header).encode("ascii") + mesh.vertices.astype("<f4").tobytes() + faces.tobytes()

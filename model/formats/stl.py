"""Binary STL: a header of 80 bytes, then each face with its normal and its three corners."""

import struct

import numpy as np

from model.formats.origin import origin_lines
from model.mesh import Mesh

HEADER_BYTES = 80
FACE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_stl(mesh: Mesh) -> bytes:
    """The header names generator, units and scale source as far as they fit; it must not begin with "solid", as text STL does."""
    header = "; ".join(origin_lines(mesh)).encode("ascii")[:HEADER_BYTES].ljust(HEADER_BYTES, b" ")
    corners = mesh.corners
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(across, axis=1, keepdims=True)
    faces = np.zeros(len(corners), FACE)
    faces["normal"] = across / np.where(lengths > 0, lengths, 1)
    faces["corners"] = corners
    return header + struct.pack("<I", len(faces)) + faces.tobytes()

"""Binary glTF 2.0: one named node, smooth normals, metadata in `asset.extras`. Equal meshes give equal bytes."""

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from model.formats.origin import GENERATOR
from model.mesh import Mesh

NAME = "part"  # scene editors refer to nodes and meshes by name, so it stays the same
UNSIGNED_SHORT, UNSIGNED_INT, FLOAT = 5123, 5125, 5126
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
RESTART_INDEX_16 = 65535  # the largest 16-bit index is reserved


def write_glb(mesh: Mesh) -> bytes:
    """Positions as they are: glTF's frame is the view frame (x right, y up, z towards the viewer), its unit the metre."""
    small = len(mesh.vertices) < RESTART_INDEX_16
    indices = mesh.faces.astype("<u2" if small else "<u4").tobytes()
    positions, normals = mesh.vertices.astype("<f4"), vertex_normals(mesh).astype("<f4")
    vertex_bytes = positions.nbytes
    low, high = mesh.bounds.tolist() if len(mesh.vertices) else ([0.0] * 3, [0.0] * 3)
    vector = {"componentType": FLOAT, "count": len(positions), "type": "VEC3"}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": GENERATOR, "extras": mesh.metadata},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": NAME, "mesh": 0}],
        "meshes": [{"name": NAME, "primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1}, "indices": 2, "material": 0}]}],
        # Without a material glTF assumes polished metal, which shows black where nothing is reflected.
        "materials": [
            {
                "name": NAME,
                "pbrMetallicRoughness": {"baseColorFactor": [0.7, 0.7, 0.72, 1], "metallicFactor": 0, "roughnessFactor": 0.6},
            }
        ],
        "accessors": [
            {"bufferView": 0, **vector, "min": low, "max": high},
            {"bufferView": 1, **vector},
            {
                "bufferView": 2,
                "componentType": UNSIGNED_SHORT if small else UNSIGNED_INT,
                "count": mesh.faces.size,
                "type": "SCALAR",
            },
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": vertex_bytes, "target": ARRAY_BUFFER},
            {"buffer": 0, "byteOffset": vertex_bytes, "byteLength": vertex_bytes, "target": ARRAY_BUFFER},
            {"buffer": 0, "byteOffset": 2 * vertex_bytes, "byteLength": len(indices), "target": ELEMENT_ARRAY_BUFFER},
        ],
        "buffers": [{"byteLength": 2 * vertex_bytes + len(indices)}],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    chunks = _chunk(b"JSON", text, b" ") + _chunk(b"BIN\0", positions.tobytes() + normals.tobytes() + indices, b"\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def vertex_normals(mesh: Mesh) -> npt.NDArray[np.float32]:
    """(n, 3) float32 unit normals: the face normals around each vertex, weighted by the faces' angles there."""
    corners = mesh.corners.astype(np.float64)
    ahead, behind = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    angles = np.arctan2(np.linalg.norm(np.cross(ahead, behind), axis=2), np.einsum("ijk,ijk->ij", ahead, behind))
    across = np.cross(ahead[:, 0], behind[:, 0])
    weighted = angles[..., None] * _unit(across)[:, None]
    sums = [np.bincount(mesh.faces.ravel(), weighted[..., axis].ravel(), len(mesh.vertices)) for axis in range(3)]
    return _unit(np.stack(sums, axis=1)).astype(np.float32)


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 3) scaled to length 1; where there is no direction, z, since glTF demands one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 0, vectors / np.where(lengths > 0, lengths, 1), [0.0, 0.0, 1.0])


def _chunk(kind: bytes, content: bytes, padding: bytes) -> bytes:
    """A GLB chunk: length, kind, content filled up to a multiple of four bytes."""
    content += padding * (-len(content) % 4)
    return struct.pack("<I4s", len(content), kind) + content

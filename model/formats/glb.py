"""Binary glTF 2.0: one named node, smooth normals, metadata in `asset.extras`. Equal meshes give equal bytes.

A vertex attribute `name` is written as `_NAME`: glTF keeps names that begin with an underscore for applications.
"""

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
    positions, normals = (array.astype("<f4").tobytes() for array in (mesh.vertices, vertex_normals(mesh)))
    attributes = {f"_{name.upper()}": values.astype("<f4") for name, values in mesh.vertex_attributes.items()}
    vertex_bytes, attribute_bytes = len(positions), 4 * len(mesh.vertices)
    index_offset = 2 * vertex_bytes + attribute_bytes * len(attributes)  # last, since two bytes an index may end unaligned
    low, high = mesh.bounds.tolist() if len(mesh.vertices) else ([0.0] * 3, [0.0] * 3)
    vector = {"componentType": FLOAT, "count": len(mesh.vertices), "type": "VEC3"}
    scalar = {"componentType": FLOAT, "count": len(mesh.vertices), "type": "SCALAR"}
    numbers = {"POSITION": 0, "NORMAL": 1, **{name: 3 + place for place, name in enumerate(attributes)}}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": GENERATOR, "extras": mesh.metadata},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": NAME, "mesh": 0}],
        "meshes": [{"name": NAME, "primitives": [{"attributes": numbers, "indices": 2, "material": 0}]}],
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
            *(
                {"bufferView": numbers[name], **scalar, "min": [float(values.min())], "max": [float(values.max())]}
                for name, values in attributes.items()
            ),
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": vertex_bytes, "target": ARRAY_BUFFER},
            {"buffer": 0, "byteOffset": vertex_bytes, "byteLength": vertex_bytes, "target": ARRAY_BUFFER},
            {"buffer": 0, "byteOffset": index_offset, "byteLength": len(indices), "target": ELEMENT_ARRAY_BUFFER},
            *(
                {
                    "buffer": 0,
                    "byteOffset": 2 * vertex_bytes + place * attribute_bytes,
                    "byteLength": attribute_bytes,
                    "target": ARRAY_BUFFER,
                }
                for place in range(len(attributes))
            ),
        ],
        "buffers": [{"byteLength": index_offset + len(indices)}],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    binary = [positions, normals, *(values.tobytes() for values in attributes.values()), indices]
    chunks = _chunk(b"JSON", [text], b" ") + _chunk(b"BIN\0", binary, b"\0")
    return b"".join([struct.pack("<4sII", b"glTF", 2, 12 + sum(map(len, chunks))), *chunks])


def vertex_normals(mesh: Mesh) -> npt.NDArray[np.float32]:
    """(n, 3) float32 unit normals: the face normals around each vertex, weighted by the faces' angles there.

    A face without area has no say; a vertex without direction gets z, since glTF demands one.
    """
    sums = np.zeros((3, len(mesh.vertices)))
    for _, vertices, corners in mesh.blocks():
        ab, bc, ca = (corners[:, (i + 1) % 3] - corners[:, i] for i in range(3))
        across = np.stack([ab[j] * bc[k] - ab[k] * bc[j] for j, k in ((1, 2), (2, 0), (0, 1))])
        doubled_area = np.sqrt(_dot(across, across))
        at_a, at_b = np.arctan2(doubled_area, -_dot(ab, ca)), np.arctan2(doubled_area, -_dot(bc, ab))
        direction = across / np.where(doubled_area > 0, doubled_area, 1)
        for corner, angle in zip(vertices, (at_a, at_b, np.pi - at_a - at_b), strict=True):
            for axis in range(3):
                np.add.at(sums[axis], corner, direction[axis] * angle)
    lengths = np.sqrt(_dot(sums, sums))
    normals = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), [[0.0], [0.0], [1.0]])
    return np.ascontiguousarray(normals.T, np.float32)


def _dot(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3, k) with (3, k) -> (k,)."""
    products: npt.NDArray[np.float64] = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return products


def _chunk(kind: bytes, parts: list[bytes], padding: bytes) -> list[bytes]:
    """A GLB chunk, to be joined: length, kind, the parts of its content, filled up to a multiple of four bytes."""
    length = sum(map(len, parts))
    filling = padding * (-length % 4)
    return [struct.pack("<I4s", length + len(filling), kind), *parts, filling]

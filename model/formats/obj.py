"""Wavefront OBJ: text, vertices and faces, units in its comments."""

from model.formats.glb import NAME
from model.formats.origin import origin_lines
from model.mesh import Mesh


def write_obj(mesh: Mesh) -> bytes:
    """Nine significant digits, so that reading gives back the same float32."""
    comments = "".join(f"# {line}\n" for line in origin_lines(mesh))
    vertices = "v %.9g %.9g %.9g\n" * len(mesh.vertices) % tuple(mesh.vertices.ravel().tolist())
    faces = "f %d %d %d\n" * len(mesh.faces) % tuple((mesh.faces + 1).ravel().tolist())  # OBJ counts from 1
    return f"{comments}o {NAME}\n{vertices}{faces}".encode("ascii")

"""Mesh -> file. One writer a module; the one table of formats is here."""

from collections.abc import Callable
from dataclasses import dataclass

from model.formats.glb import write_glb
from model.formats.obj import write_obj
from model.formats.ply import write_ply
from model.formats.stl import write_stl
from model.mesh import Mesh


@dataclass(frozen=True)
class Format:
    """A file format for meshes."""

    name: str
    media_type: str
    extension: str  # with its dot
    write: Callable[[Mesh], bytes]
    holds_vertex_attributes: bool  # else the writer leaves them out


FORMATS: dict[str, Format] = {
    "glb": Format("glb", "model/gltf-binary", ".glb", write_glb, True),
    "obj": Format("obj", "model/obj", ".obj", write_obj, False),
    "stl": Format("stl", "model/stl", ".stl", write_stl, False),
    "ply": Format("ply", "application/x-ply", ".ply", write_ply, True),  # IANA lists no type for PLY
}


def format_for(media_type: str) -> Format | None:
    """The format of a media type (without parameters, any case), or None when it is not written here."""
    wanted = media_type.strip().lower()
    return next((entry for entry in FORMATS.values() if entry.media_type == wanted), None)


__all__ = ["FORMATS", "Format", "format_for", "write_glb", "write_obj", "write_ply", "write_stl"]

"""CAD and mesh files -> triangles in metres, z up.

A file is read as what its content says it is, whatever its name says. Materials and textures are not read, nothing is fetched,
and no file outside a model's own folder is opened. The parsers beneath are not hardened against every hostile file: read files
of unknown origin in a process of their own, under a time limit.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Literal

import cascadio
import manifold3d
import numpy as np
import numpy.typing as npt
import trimesh

from training.data.readers.ply import read_ply
from training.errors import TrainingError

Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

Unit = Literal["um", "mm", "cm", "m", "in", "ft"]
UpAxis = Literal["y", "z"]

METRES: dict[str, float] = {"um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254, "ft": 0.3048}
UNITS_3MF: dict[str, Unit] = {
    "micron": "um",
    "millimeter": "mm",
    "millimeters": "mm",
    "centimeter": "cm",
    "meter": "m",
    "inch": "in",
    "foot": "ft",
}
UNITS_STEP: dict[bytes, Unit] = {b".MILLI.": "mm", b".CENTI.": "cm", b".MICRO.": "um", b"$": "m"}

MAX_BYTES = 2 * 1024**3  # of a file, and of what an archive unpacks to
HEAD_BYTES = 65536  # what is looked at to tell a format
STEP_CHORD = 5e-4  # how far a chord may leave a curved face, as a share of the longest side
STEP_ANGLE = 0.35  # rad between neighbouring facets
STEP_COARSE_CHORD = 1e3  # mm: the first look, for the size alone


class FileKind(Enum):
    """The formats that can be read."""

    STEP = "STEP"
    STL = "STL"
    OBJ = "OBJ"
    GLB = "GLB"
    GLTF = "glTF"
    PLY = "PLY"
    OFF = "OFF"
    THREE_MF = "3MF"


SUFFIXES: dict[str, FileKind] = {
    ".step": FileKind.STEP,
    ".stp": FileKind.STEP,
    ".stl": FileKind.STL,
    ".obj": FileKind.OBJ,
    ".glb": FileKind.GLB,
    ".gltf": FileKind.GLTF,
    ".ply": FileKind.PLY,
    ".off": FileKind.OFF,
    ".3mf": FileKind.THREE_MF,
}

# Beginnings of files that turn up under wrong names, for the message.
STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"Kaydara FBX", "an FBX file"),
    (b"PK\x03\x04", "a ZIP archive without a 3MF model"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"AC10", "a DWG drawing"),
    (b"\xd0\xcf\x11\xe0", "a compound file, as SolidWorks and old Office write them"),
    (b"DBRep_DrawableShape", "a BREP file"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file it stands for"),
)


class UnreadableCad(TrainingError):
    """A file holds no triangles that could be read; the message names it, what was expected and what was found."""


@dataclass(frozen=True)
class CadMesh:
    """A file's triangles, all bodies in their places.

    vertices: (n, 3) float64, z up, in metres where `unit` is known, in the file's own numbers where it is None.
    faces: (m, 3) int32, wound as found. unit: what the file counts in, as it says or as was declared. up: the file's upward axis.
    bodies: placed instances of meshes. notes: short phrases for a report.
    """

    vertices: Float64Array
    faces: Int32Array
    unit: Unit | None
    up: UpAxis
    bodies: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Triangles:
    """What a parser returns. metres_per_number: where the parser has already left the file's own `unit`."""

    vertices: Float64Array
    faces: Int64Array
    bodies: int = 1
    unit: Unit | None = None
    metres_per_number: float | None = None
    up: UpAxis | None = None
    notes: tuple[str, ...] = ()


def read_cad(path: Path, unit: Unit | None = None, up: UpAxis | None = None) -> CadMesh:
    """Reads a CAD or mesh file. unit, up: what its numbers and axes mean where it does not say so itself (up: z if not given).

    `UnreadableCad` names the file, what was expected and what was found.
    """
    try:
        kind = _recognise(path)
        read = READERS[kind](path)
        _check(path, kind, read)
    except UnreadableCad:
        raise
    except Exception as error:  # parsers raise whatever a broken file leads them to
        kind_name = SUFFIXES[path.suffix.lower()].value if path.suffix.lower() in SUFFIXES else "CAD"
        raise UnreadableCad(
            f"{path}: expected {_a(kind_name)} file, found it damaged: {error or type(error).__name__}"
        ) from error
    named = SUFFIXES.get(path.suffix.lower())
    notes = read.notes if named == kind else (f"named {path.suffix or 'without a suffix'}, is {kind.value}", *read.notes)
    found_unit = read.unit or unit
    scale = read.metres_per_number or (METRES[found_unit] if found_unit else 1.0)
    axis = read.up or up or "z"
    vertices = read.vertices * scale
    if axis == "y":
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=1)
    return CadMesh(vertices, read.faces.astype(np.int32), found_unit, axis, read.bodies, notes)


def _a(name: str) -> str:
    """A format's name with its article, as it is spoken."""
    return f"{'an' if name in ('STL', 'OBJ', 'OFF') else 'a'} {name}"


def _recognise(path: Path) -> FileKind:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise UnreadableCad(f"{path}: expected a readable file, found: {error.strerror or error}") from error
    if size == 0:
        raise UnreadableCad(f"{path}: expected a CAD or mesh file, found it empty")
    if size > MAX_BYTES:
        raise UnreadableCad(f"{path}: expected at most {MAX_BYTES / 1e9:.1f} GB, found {size / 1e9:.1f} GB")
    kind = _kind_of(path, head, size)
    if kind is None:
        expected = SUFFIXES[path.suffix.lower()].value if path.suffix.lower() in SUFFIXES else "CAD or mesh"
        raise UnreadableCad(f"{path}: expected {_a(expected)} file, found {_stranger(path, head)}")
    return kind


def _kind_of(path: Path, head: bytes, size: int) -> FileKind | None:
    """What the content says. The size of a binary STL goes before its header, which may be any text."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if len(head) >= 84 and size == 84 + 50 * int.from_bytes(head[80:84], "little"):
        return FileKind.STL
    if head.startswith(b"glTF"):
        return FileKind.GLB
    if re.match(rb"ply\s", head):
        return FileKind.PLY
    if re.match(rb"(ST)?C?N?OFF[\s\d]", text):
        return FileKind.OFF
    if b"ISO-10303-21" in text[:1024]:
        return FileKind.STEP
    if text.startswith(b"{") and b'"asset"' in _all_of(path, head, size):
        return FileKind.GLTF
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        return FileKind.THREE_MF if _model_names(path) else None
    if re.match(rb"solid\b", text, re.IGNORECASE) and _is_text(head):
        return FileKind.STL
    if _is_text(head) and re.search(rb"^[ \t]*v[ \t]+[-+.\d]+", text, re.MULTILINE):
        return FileKind.OBJ
    if _may_be_cut_stl(path, head, size):
        return FileKind.STL
    return None


def _all_of(path: Path, head: bytes, size: int) -> bytes:
    """A glTF file's text may name its asset after long buffers."""
    return head if size <= len(head) else path.read_bytes()


def _is_text(head: bytes) -> bool:
    return b"\0" not in head


def _may_be_cut_stl(path: Path, head: bytes, size: int) -> bool:
    """A binary STL whose count does not fit its size is told by its name alone."""
    known = any(head.lstrip().startswith(start) for start, _ in STRANGERS)
    return path.suffix.lower() == ".stl" and size >= 84 and not _is_text(head) and not known


def _stranger(path: Path, head: bytes) -> str:
    start = head.lstrip()
    for beginning, name in STRANGERS:
        if start.startswith(beginning):
            return name
    if _is_text(head):
        return f"text that begins {start[:24].decode('utf-8', 'replace')!r}"
    return f"binary content that begins {head[:8].hex(' ')}"


def _check(path: Path, kind: FileKind, read: _Triangles) -> None:
    count = len(read.vertices)
    if not len(read.faces):
        found = f"{count:,} points without faces" if count else "no triangles"
        raise UnreadableCad(f"{path}: expected {_a(kind.value)} file with a surface, found {found}")
    low, high = int(read.faces.min()), int(read.faces.max())
    if low < 0 or high >= count:
        raise UnreadableCad(f"{path}: expected vertex numbers from 0 to {count - 1}, found {low if low < 0 else high}")
    finite = np.asarray(np.isfinite(read.vertices).all(axis=1))
    if not finite[read.faces.ravel()].all():
        raise UnreadableCad(f"{path}: expected finite vertices, found {(~finite).sum():,} of {count:,} that are not")


# One reader per format.


def _read_stl(path: Path) -> _Triangles:
    data = path.read_bytes()
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:5].lower() == b"solid" and _is_text(data[:HEAD_BYTES])
    promised = int.from_bytes(data[80:84], "little")
    if text and len(data) != 84 + 50 * promised:
        return _read_text_stl(path, data)
    held = (len(data) - 84) // 50
    if promised > held:
        raise UnreadableCad(f"{path}: expected {promised:,} triangles as its header says, found room for {held:,}: truncated?")
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(data, record, promised, 84)["corners"].reshape(-1, 3).astype(np.float64)
    spare = len(data) - 84 - 50 * promised
    notes = (f"ignored {spare:,} bytes after the last triangle",) if spare else ()
    return _Triangles(corners, np.arange(len(corners)).reshape(-1, 3), notes=notes)


def _read_text_stl(path: Path, data: bytes) -> _Triangles:
    if b"endsolid" not in data[-4096:].lower():
        raise UnreadableCad(f"{path}: expected `endsolid` at the end of a text STL, found none: truncated?")
    numbers = re.findall(rb"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)", data, re.IGNORECASE)
    corners = np.array(numbers, dtype=np.bytes_).astype(np.float64).reshape(-1, 3)
    if len(corners) % 3:
        raise UnreadableCad(f"{path}: expected three vertices a facet, found {len(corners):,} in all")
    return _Triangles(corners, np.arange(len(corners)).reshape(-1, 3), bodies=max(1, len(re.findall(rb"(?i)\bendsolid", data))))


def _read_obj(path: Path) -> _Triangles:
    """Vertices and faces alone, polygons cut up. Negative numbers count back from the vertices read so far."""
    vertices: list[list[float]] = []
    polygons: list[list[int]] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in _joined_lines(file):
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                vertices.append([float(word) for word in words[1:4]])
            elif words[0] == "f":
                polygons.append([_obj_index(word, len(vertices)) for word in words[1:]])
    points = np.array(vertices, np.float64).reshape(-1, 3)
    return _Triangles(points, _cut_up(polygons, points))


def _joined_lines(file: Any) -> Iterator[str]:
    """Lines without comments; a backslash at the end goes on on the next line."""
    pending = ""
    for raw in file:
        line = pending + raw.partition("#")[0].rstrip()
        pending = line[:-1] + " " if line.endswith("\\") else ""
        if not pending:
            yield line


def _obj_index(word: str, vertex_count: int) -> int:
    number = int(word.partition("/")[0])
    return number - 1 if number > 0 else vertex_count + number if number < 0 else -1


def _read_off(path: Path) -> _Triangles:
    """A line a vertex and a line a polygon, which is cut up; what follows the coordinates (colours, normals) is skipped.

    The counts may follow the keyword in its line, even without a space, as in ModelNet's files.
    """
    text = re.sub(r"^\s*(ST)?C?N?OFF", "", path.read_text("utf-8-sig", errors="replace"))
    counts, *lines = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
    vertex_count, face_count = int(counts[0]), int(counts[1])
    held = len(lines)
    if held < vertex_count + face_count:
        raise UnreadableCad(
            f"{path}: expected {vertex_count:,} vertices and {face_count:,} faces, found {held:,} lines: truncated?"
        )
    vertices = np.array([words[:3] for words in lines[:vertex_count]], np.float64).reshape(-1, 3)
    polygons: list[list[int]] = []
    for words in lines[vertex_count : vertex_count + face_count]:
        size = int(words[0])
        if len(words) <= size:
            raise UnreadableCad(f"{path}: expected {size} corners in a face, found {len(words) - 1}: truncated?")
        polygons.append([int(word) for word in words[1 : size + 1]])
    return _Triangles(vertices, _cut_up(polygons, vertices))


def _cut_up(polygons: list[list[int]], vertices: Float64Array) -> Int64Array:
    """Triangles (m, 3) of polygons (vertex numbers, which need not be there): fans, but where a dent would let a fan leave it."""
    fans = [(corners[0], corners[k], corners[k + 1]) for corners in polygons for k in range(1, len(corners) - 1)]
    faces = np.array(fans, np.int64).reshape(-1, 3)
    counts = np.maximum([len(corners) - 2 for corners in polygons], 0)
    if len(faces) == counts.astype(bool).sum() or faces.min() < 0 or faces.max() >= len(vertices):
        return faces
    owner = np.repeat(np.arange(len(polygons)), counts)
    points = vertices[faces]
    normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    total = np.stack([np.bincount(owner, normals[:, k], len(polygons)) for k in range(3)], axis=1)
    backward = np.einsum("ij,ij->i", normals, total[owner]) < 0
    starts = np.cumsum(counts) - counts
    for number in np.unique(owner[backward]):
        corners = np.array(polygons[number])
        ears = _ears(vertices[corners], total[number])
        if len(ears) == counts[number]:
            faces[starts[number] : starts[number] + len(ears)] = corners[ears]
    return faces


def _ears(outline: Float64Array, normal: Float64Array) -> npt.NDArray[np.integer[Any]]:
    """Triangles (k, 3) of corner numbers within an outline (n, 3) that runs counter-clockwise around a normal (3,)."""
    across = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    axes = np.stack([across, np.cross(normal, across)])
    flat = (outline - outline.mean(axis=0)) @ (axes / np.linalg.norm(axes, axis=1, keepdims=True)).T
    return np.asarray(manifold3d.triangulate([flat]))


def _read_ply(path: Path) -> _Triangles:
    vertices, polygons = read_ply(path)
    if isinstance(polygons, list):
        return _Triangles(vertices, _cut_up(polygons, vertices))
    if polygons.shape[1] == 3:
        return _Triangles(vertices, polygons)
    return _Triangles(vertices, _cut_up(polygons.tolist(), vertices))


def _read_glb(path: Path) -> _Triangles:
    with path.open("rb") as file:
        header = np.frombuffer(file.read(20), "<u4")
        size = path.stat().st_size
        if len(header) < 5 or header[2] > size:
            promised = f"{header[2]:,} bytes as its header says" if len(header) == 5 else "a header"
            raise UnreadableCad(f"{path}: expected {promised}, found {size:,} bytes: truncated?")
        tree = json.loads(file.read(int(header[3])))
        _check_gltf(path, tree)
        file.seek(0)
        scene = _load(file, "glb", resolver=_OwnFolder(path), skip_materials=True)
    return _merged(scene, unit="m", metres_per_number=1.0, up="y")


def _read_gltf(path: Path) -> _Triangles:
    _check_gltf(path, json.loads(path.read_bytes()))
    with path.open("rb") as file:
        scene = _load(file, "gltf", resolver=_OwnFolder(path), skip_materials=True)
    return _merged(scene, unit="m", metres_per_number=1.0, up="y")


def _check_gltf(path: Path, tree: Any) -> None:
    if not isinstance(tree, dict) or not isinstance(tree.get("asset"), dict):
        raise UnreadableCad(f"{path}: expected a glTF asset, found other JSON")
    compressed = {"KHR_draco_mesh_compression", "EXT_meshopt_compression"} & set(tree.get("extensionsRequired", ()))
    if compressed:
        raise UnreadableCad(f"{path}: expected uncompressed meshes, found {', '.join(sorted(compressed))}: export without it")
    if "EXT_mesh_gpu_instancing" in tree.get("extensionsUsed", ()):  # the parser would show each mesh once
        raise UnreadableCad(f"{path}: expected a node for each instance, found EXT_mesh_gpu_instancing: export without it")
    positions = {part.get("attributes", {}).get("POSITION") for mesh in tree.get("meshes", ()) for part in mesh["primitives"]}
    accessors = tree.get("accessors", ())
    if any(accessors[number].get("normalized") for number in positions - {None}):  # the parser would misplace them
        raise UnreadableCad(f"{path}: expected positions as they are, found normalised ones: export without quantisation")
    _buffers_beside(path, tree)


def external_buffers(path: Path) -> tuple[Path, ...]:
    """The files beside a .gltf that hold its numbers; none where they cannot be found."""
    if path.suffix.lower() != ".gltf":
        return ()
    try:
        return _buffers_beside(path, json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError, UnreadableCad):
        return ()


def _buffers_beside(path: Path, tree: dict[str, Any]) -> tuple[Path, ...]:
    folder = _OwnFolder(path)
    uris = [buffer["uri"] for buffer in tree.get("buffers", ()) if "uri" in buffer]
    return tuple(folder.locate(uri) for uri in uris if not uri.startswith("data:"))


class _OwnFolder:
    """Gives trimesh the buffers beside a .gltf file, and nothing from elsewhere."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, uri: str) -> bytes:
        return self.locate(uri).read_bytes()

    def locate(self, uri: str) -> Path:
        parts = urllib.parse.urlsplit(uri)
        folder = self._path.parent.resolve()
        target = (folder / urllib.parse.unquote(parts.path)).resolve()
        if parts.scheme or parts.netloc or not target.is_relative_to(folder):
            raise UnreadableCad(f"{self._path}: expected its buffers in its own folder, found {uri[:80]!r}")
        if not target.is_file() or target.stat().st_size > MAX_BYTES:
            raise UnreadableCad(f"{self._path}: expected the buffer {target.name} beside it, found none of a readable size")
        return target


def _read_3mf(path: Path) -> _Triangles:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_BYTES:
            raise UnreadableCad(f"{path}: expected to unpack to at most {MAX_BYTES / 1e9:.1f} GB, found {unpacked / 1e9:.1f} GB")
        models = [name for name in archive.namelist() if name.lower().endswith(".model")]
        texts = [archive.read(name) for name in models]
        if any(b"<!DOCTYPE" in text for text in texts):
            raise UnreadableCad(f"{path}: expected a 3MF model, found a document type definition in it, which 3MF forbids")
        if not any(re.search(rb"<(\w+:)?item\b", text) for text in texts):
            raise UnreadableCad(f"{path}: expected a 3MF model that builds something, found no triangles in its build")
    with path.open("rb") as file:
        scene = _load(file, "3mf")
    word = str(scene.metadata.get("units", "millimeter")).lower()
    if word not in UNITS_3MF:
        raise UnreadableCad(f"{path}: expected a unit among {', '.join(UNITS_3MF)}, found {word!r}")
    return _merged(scene, unit=UNITS_3MF[word])


def _model_names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [name for name in archive.namelist() if name.lower().endswith("3dmodel.model")]


def _read_step(path: Path) -> _Triangles:
    """Tessellated twice: coarsely for the size, then with a chord error that fits it. The converter answers in metres."""
    data = path.read_bytes()
    if b"END-ISO-10303-21" not in data[-65536:]:
        raise UnreadableCad(f"{path}: expected END-ISO-10303-21 at the end of a STEP file, found none: truncated?")
    coarse = _tessellate(path, STEP_COARSE_CHORD)
    if not len(coarse.faces):
        raise UnreadableCad(f"{path}: expected a STEP file with solids or shells, found none that could be tessellated")
    size_mm = 1e3 * float(np.ptp(coarse.vertices, axis=0).max())
    fine = _tessellate(path, STEP_CHORD * size_mm)
    return _Triangles(fine.vertices, fine.faces, fine.bodies, _step_unit(data), 1.0)


def _tessellate(path: Path, chord_mm: float) -> _Triangles:
    with tempfile.TemporaryDirectory() as folder:
        glb = Path(folder) / "part.glb"
        with _silence():
            status = cascadio.step_to_glb(str(path), str(glb), chord_mm, STEP_ANGLE, use_parallel=False)
        if status != 0 or not glb.is_file():
            raise UnreadableCad(f"{path}: expected a STEP file, found one that could not be converted (status {status})")
        with glb.open("rb") as file:
            return _merged(_load(file, "glb", skip_materials=True))


def _step_unit(data: bytes) -> Unit:
    """The unit of length that the file's text names; the first where there are several, as in an assembly of imports."""
    inch = re.search(rb"CONVERSION_BASED_UNIT\s*\(\s*'(INCH|FOOT)", data, re.IGNORECASE)
    if inch:
        return "in" if inch[1].upper() == b"INCH" else "ft"
    prefix = re.search(rb"SI_UNIT\s*\(\s*(\.\w+\.|\$)\s*,\s*\.METRE\.\s*\)", data)
    return UNITS_STEP.get(prefix[1], "mm") if prefix else "mm"


@contextmanager
def _silence() -> Iterator[None]:
    """Sends what native code prints to nowhere: the converter warns on the standard output, which may be a caller's data."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


def _load(file: BinaryIO, kind: str, **options: Any) -> trimesh.Scene:
    return trimesh.load_scene(file, file_type=kind, process=False, **options)


def _merged(
    scene: trimesh.Scene, unit: Unit | None = None, metres_per_number: float | None = None, up: UpAxis | None = None
) -> _Triangles:
    """All of a scene's triangles in one array, every instance in its place; a mirrored one keeps its faces wound outward."""
    vertices, faces, start, points = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0, 0
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        part = scene.geometry[name]
        if not isinstance(part, trimesh.Trimesh):
            points += len(part.vertices)
            continue
        linear = transform[:3, :3]
        vertices.append(np.asarray(part.vertices, np.float64) @ linear.T + transform[:3, 3])
        own = np.asarray(part.faces, np.int64)
        if len(own) and (own.min() < 0 or own.max() >= len(part.vertices)):
            raise ValueError(f"vertex numbers from {own.min()} to {own.max()}, with {len(part.vertices)} vertices")
        faces.append((own[:, ::-1] if np.linalg.det(linear) < 0 else own) + start)
        start += len(part.vertices)
    placed = np.concatenate(vertices)
    if not len(placed) and points:
        placed = np.zeros((points, 3))  # for the message: points or lines alone
    notes = (f"ignored {points:,} vertices of points and lines",) if points and start else ()
    return _Triangles(placed, np.concatenate(faces), len(faces) - 1, unit, metres_per_number, up, notes)


READERS: dict[FileKind, Callable[[Path], _Triangles]] = {
    FileKind.STEP: _read_step,
    FileKind.STL: _read_stl,
    FileKind.OBJ: _read_obj,
    FileKind.GLB: _read_glb,
    FileKind.GLTF: _read_gltf,
    FileKind.PLY: _read_ply,
    FileKind.OFF: _read_off,
    FileKind.THREE_MF: _read_3mf,
}

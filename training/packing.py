"""Prepared sets in a few kilobytes a shape: what they were made from, to be labelled and photographed anew elsewhere.

A procedural part is packed as its family and seed, any other shape as its stored mesh, rounded to 1/65535 of its box, in the
shards that `training.data.readers.industrial` describes. Points and pictures are left behind: they are most of a set, hardly
compress, and follow from the rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.index import DataIndex, ShapeEntry
from training.data.preparation import photograph_mesh
from training.data.procedural import ProceduralParts, catalogue_digest
from training.data.readers.industrial import STEPS, read_shape
from training.data.resting import UPRIGHT_KINDS
from training.data.sets import RECIPE, Item, Listing, SetConfig
from training.data.shapes import PreparedShape
from training.errors import TrainingError

PACK = "pack.json"
PACK_VERSION = 1
CATALOGUE = "catalogue"  # stands for the part's name where the catalogue makes the shape
PICTURED = frozenset({"ShapeNetModels"})  # sources with pictures of their own, which no renderer can replace
AS_IT_STANDS = sorted(UPRIGHT_KINDS)[0]  # a packed mesh has been laid down already


@dataclass(frozen=True)
class Packed:
    """What was written. shapes: all of them; seeds: those of which only the seed was. files: the parts and their list."""

    shapes: int
    seeds: int
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.stat().st_size for file in self.files)


def pack(directories: Sequence[Path], out: Path, part_bytes: int) -> Packed:
    """Writes the shapes of prepared sets to `out`: pack.json, and meshes in parts of at most `part_bytes`."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise TrainingError(f"{out}: expected an empty folder, found files in it")
    indices = [DataIndex.read(directory) for directory in directories]
    rows: list[dict[str, Any]] = []
    part: list[_Rows] = []
    parts: dict[str, str] = {}

    def close_part() -> None:
        name = _part_name(len(parts))
        parts[name] = _write_part(out / name, part, part_bytes)
        part.clear()

    size = 0
    for entry, shape in _shapes(indices):
        row: dict[str, Any] = {**asdict(entry), "part": CATALOGUE, "number": 0}
        if shape.origin[RECIPE].get("fingerprint") != catalogue_digest():
            rounded = _rounded(entry.name, shape)
            if part and size + rounded.size > part_bytes:
                close_part()
                size = 0
            row |= {"part": _part_name(len(parts)), "number": len(part)}
            part.append(rounded)
            size += rounded.size
        rows.append(row)
    if part:
        close_part()
    names = [row["name"] for row in rows]
    if len(set(names)) != len(names):
        raise TrainingError(f"names: expected each once in all sets, found {next(n for n in names if names.count(n) > 1)} twice")
    content = {"version": PACK_VERSION, "catalogue": catalogue_digest(), "parts": parts, "shapes": rows}
    (out / PACK).write_text(json.dumps(content) + "\n")
    seeds = sum(row["part"] == CATALOGUE for row in rows)
    return Packed(len(rows), seeds, (out / PACK, *(out / name for name in parts)))


@dataclass(frozen=True, kw_only=True)
class PackedShapes:
    """A source of shapes: what `pack` wrote to `directory`."""

    directory: Path

    def listing(self) -> Listing:
        """All shapes, once every part was found whole."""
        content = self._content()
        for name, expected in content["parts"].items():
            found = _sha256(self.directory / name)
            if found != expected:
                raise TrainingError(f"{self.directory / name}: expected sha256 {expected}, found {found}; carry the part again")
        rows, catalogue = content["shapes"], content["catalogue"]
        if catalogue != catalogue_digest() and any(row["part"] == CATALOGUE for row in rows):
            raise TrainingError(
                f"{self.directory}: expected the catalogue that it was packed with ({catalogue[:12]}),"
                f" found another ({catalogue_digest()[:12]}), which makes other parts of the same seeds"
            )
        return Listing([_item(row, {**content["parts"], CATALOGUE: catalogue}) for row in rows])

    def prepare(self, item: Item, config: SetConfig) -> PreparedShape:
        if item.source["part"] == CATALOGUE:
            return ProceduralParts(shapes=1).prepare(item, config)
        vertices, faces = read_shape(self.directory / item.source["part"], item.source["number"])
        seed = zlib.crc32(item.name.encode(), config.seed)
        return photograph_mesh(vertices, faces, AS_IT_STANDS, config, seed, {})

    def _content(self) -> dict[str, Any]:
        path = self.directory / PACK
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            if content["version"] != PACK_VERSION:
                raise ValueError(f"version {content['version']}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path}: expected the list of a packed set, version {PACK_VERSION}, found: {error!r}") from error
        return content


@dataclass(frozen=True)
class _Rows:
    """One mesh as a shard holds it: differences (n, 3) and (m, 3) uint16, box (2, 3) float32; size: bytes, compressed."""

    vertices: npt.NDArray[np.uint16]
    faces: npt.NDArray[np.uint16]
    box: npt.NDArray[np.float32]

    @property
    def size(self) -> int:
        return len(zlib.compress(self.vertices.tobytes())) + len(zlib.compress(self.faces.tobytes())) + self.box.nbytes


def _shapes(indices: Sequence[DataIndex]) -> Iterator[tuple[ShapeEntry, PreparedShape]]:
    for index in indices:
        for entry in index.entries:
            shape = PreparedShape.read(index.path(entry))
            source = shape.origin.setdefault(RECIPE, {}).get("source")
            if source in PICTURED:
                raise TrainingError(
                    f"{index.path(entry)}: expected pictures that can be rendered anew, found those of a data set"
                )
            yield entry, shape


def _rounded(name: str, shape: PreparedShape) -> _Rows:
    if len(shape.vertices) > STEPS + 1:
        raise TrainingError(f"{name}: expected at most {STEPS + 1} vertices, found {len(shape.vertices)}")
    low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
    steps = np.round((shape.vertices - low) / np.maximum(high - low, np.finfo(np.float32).tiny) * STEPS)
    return _Rows(_differences(steps), _differences(shape.faces), np.stack([low, high]))


def _differences(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """(n, 3) whole numbers -> (n, 3), each less the one above, modulo 65536."""
    differences = rows.astype(np.uint16)
    differences[1:] -= differences[:-1].copy()
    return differences


def _part_name(number: int) -> str:
    return f"meshes-{number:03d}.npz"


def _write_part(path: Path, part: Sequence[_Rows], part_bytes: int) -> str:
    """Writes one shard; returns its sha256."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        verts=np.concatenate([rows.vertices for rows in part]),
        faces=np.concatenate([rows.faces for rows in part]),
        voff=np.cumsum([0, *(len(rows.vertices) for rows in part)]),
        foff=np.cumsum([0, *(len(rows.faces) for rows in part)]),
        box=np.stack([rows.box for rows in part]),
    )
    content = file.getvalue()
    if len(content) > part_bytes:
        raise TrainingError(f"{path}: expected room for {len(content)} bytes, found parts of {part_bytes}")
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError(f"{path}: expected a part of the packed set, found: {error}") from error


def _item(row: dict[str, Any], fingerprints: dict[str, str]) -> Item:
    return Item(
        name=row["name"],
        family=row["family"],
        kind=row["kind"],
        split=row["split"],
        source={**row["source"], "part": row["part"], "number": row["number"]},
        fingerprint=fingerprints[row["part"]],
        licence=row["licence"],
        attribution=row["attribution"],
    )

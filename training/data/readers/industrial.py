"""Sharded archives of licensed triangle meshes: `manifest.csv` with one row a shape, and compressed `.npz` shards beside it.

A shard holds the shapes' vertices (uint16, steps of 1/65535 of the shape's box) and faces (uint16), both as differences to
the row before, modulo 65536; `voff` and `foff` (n + 1,) say where a shape starts, `box` (n, 2, 3) float32 where it lies.
"""

from __future__ import annotations

import csv
import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data.index import Refusal
from training.data.preparation import photograph_mesh
from training.data.sets import Item, Listing, SetConfig
from training.data.shapes import PreparedShape
from training.errors import TrainingError, UnreadableModel

MANIFEST = "manifest.csv"
LICENCES = "LICENCES.md"
COLUMNS = ("id", "split", "shard", "index", "category", "family", "repository", "path", "licence")
SHARD_ARRAYS = ("verts", "faces", "voff", "foff", "box")
KINDS = {"building": "structure"}  # the manifest's categories, where ours have another name
SPLITS = ("train", "val", "test")
STEPS = 65535


@dataclass(frozen=True, kw_only=True)
class IndustrialShards:
    """The archive in `directory`; shapes under one of `without_licences` (SPDX identifiers) are ignored."""

    directory: Path
    without_licences: tuple[str, ...] = ()

    def listing(self) -> Listing:
        rows = _read_rows(self.directory / MANIFEST)
        names = _attributions(self.directory / LICENCES)
        digests = {shard: _digest(self.directory / shard) for shard in sorted({row["shard"] for row in rows})}
        kept = [row for row in rows if row["licence"] not in self.without_licences]
        ignored = [
            Refusal(name=row["id"], reason=f"licence {row['licence']}") for row in rows if row["licence"] in self.without_licences
        ]
        return Listing([_item(row, names, digests) for row in kept], ignored)

    def prepare(self, item: Item, config: SetConfig) -> PreparedShape:
        vertices, faces = read_shape(self.directory / item.source["shard"], item.source["index"])
        return photograph_mesh(vertices, faces, item.kind, config, zlib.crc32(item.name.encode(), config.seed), {})


def is_industrial(directory: Path) -> bool:
    """Whether a folder holds such an archive."""
    try:
        with (directory / MANIFEST).open(newline="", encoding="utf-8") as file:
            return {"shard", "index"} <= set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read_shape(shard: Path, index: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Shape `index` of a shard: vertices (n, 3) float64, its longest side 1, and faces (m, 3) int32."""
    arrays = _read_shard(shard)
    count = len(arrays["box"])
    if not 0 <= index < count:
        raise UnreadableModel(f"{shard}: expected at least {index + 1} shapes, found {count}")
    steps, faces = (
        np.cumsum(arrays[name][arrays[offsets][index] : arrays[offsets][index + 1]], axis=0, dtype=np.uint16)
        for name, offsets in (("verts", "voff"), ("faces", "foff"))
    )
    low, high = arrays["box"][index].astype(np.float64)
    if not len(faces) or faces.max(initial=0) >= len(steps):
        raise UnreadableModel(f"{shard}, shape {index}: expected faces of its {len(steps)} vertices, found others or none")
    return low + steps / STEPS * (high - low), faces.astype(np.int32)


@lru_cache(maxsize=2)
def _read_shard(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in SHARD_ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableModel(f"{path}: expected a shard with {', '.join(SHARD_ARRAYS)}, found: {error}") from error


def _item(row: dict[str, str], attributions: dict[str, str], digests: dict[str, str]) -> Item:
    repository = row["repository"]
    return Item(
        name=row["id"],
        family=row["family"],
        kind=KINDS.get(row["category"], row["category"]),
        split=row["split"],
        source={"shard": row["shard"], "index": int(row["index"]), "repository": repository, "path": row["path"]},
        fingerprint=digests[row["shard"]],
        licence=row["licence"],
        attribution=attributions.get(repository, repository),
    )


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = sorted(set(COLUMNS) - set(reader.fieldnames or ()))
            if missing:
                raise TrainingError(f"{path}: expected the columns {', '.join(COLUMNS)}, found none named {', '.join(missing)}")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path}: expected a CSV file, found: {error}") from error
    for number, row in enumerate(rows, start=2):
        if row["split"] not in SPLITS or not str(row["index"]).isdecimal():
            found = f"{row['split']!r} and {row['index']!r}"
            raise TrainingError(f"{path}, line {number}: expected split {', '.join(SPLITS)} and a whole index, found {found}")
    return rows


def _attributions(path: Path) -> dict[str, str]:
    """Repository -> repository and copyright line, from the rows `| [owner/name](url) | licence | count | copyright |`."""
    if not path.is_file():
        return {}
    rows = re.findall(r"^\| \[([^\]]+)\]\([^)]*\) \|[^|]*\|[^|]*\| (.*?) \|$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {repository: f"{repository}: {notice}" for repository, notice in rows}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableModel(f"{path}: expected a shard that the manifest names, found: {error}") from error

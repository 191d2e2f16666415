"""A folder of CAD and mesh files as a source of shapes."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.index import Refusal
from training.data.preparation import photograph_mesh
from training.data.readers.cad import METRES, SUFFIXES, Unit, UpAxis, external_buffers, read_cad
from training.data.sets import Item, Listing, SetConfig
from training.data.shapes import PreparedShape
from training.data.splitting import split_families
from training.errors import TrainingError

MANIFEST_COLUMNS = ("file", "family", "kind", "split", "unit", "up", "licence", "attribution")
SPLITS = ("train", "val", "test")
KINDS = ("component", "machine", "structure", "other")
RESOURCE_FORK = b"\x00\x05\x16\x07"  # how a Mac's `._part.stl` begins, which archives put beside each file
SUFFIX_LIST = ", ".join(sorted(SUFFIXES))


@dataclass(frozen=True, kw_only=True)
class CadFolder:
    """Every CAD and mesh file below `directory`.

    unit, up: what files mean that do not say it themselves. manifest: a CSV file with a column `file` (relative to the folder)
    and any of family, kind, split, unit, up, licence, attribution; where it is given, files that it does not name are ignored.
    Files under one of `without_licences` are ignored too. set_folder: where the set itself goes, in case that lies within.
    Without a manifest, a file's family is its first folder, or its own name up to the first digit; `seed` draws the splits.
    """

    directory: Path
    unit: Unit | None = None
    up: UpAxis | None = None
    manifest: Path | None = None
    seed: int = 0
    without_licences: tuple[str, ...] = ()
    set_folder: Path | None = None

    def listing(self) -> Listing:
        if not self.directory.is_dir():
            raise TrainingError(f"{self.directory}: expected a folder of CAD files, found none")
        if self.set_folder is not None and self.set_folder.resolve() == self.directory.resolve():
            raise TrainingError(f"{self.set_folder}: expected the set in a folder of its own, found the one that it is made from")
        paths, ignored, rejected = self._walk()
        rows = None if self.manifest is None else read_manifest(self.manifest)
        wanted: list[tuple[str, dict[str, str]]] = []
        for path in paths:
            name = path.relative_to(self.directory).as_posix()
            if path.suffix.lower() not in SUFFIXES and name not in (rows or ()):
                ignored.append(Refusal(name=name, reason=f"expected one of {SUFFIX_LIST}, found {path.suffix or 'no suffix'}"))
            elif rows is not None and name not in rows:
                ignored.append(Refusal(name=name, reason="not in the manifest"))
            elif _is_resource_fork(path):
                ignored.append(Refusal(name=name, reason="what a Mac notes about the file of that name, no mesh"))
            elif rows is not None and rows[name].get("licence") in self.without_licences:
                ignored.append(Refusal(name=name, reason=f"licence {rows[name]['licence']}"))
            else:
                wanted.append((name, {} if rows is None else rows[name]))
        found = {path.relative_to(self.directory).as_posix() for path in paths} | {refusal.name for refusal in rejected}
        missing = set(rows or ()) - found
        rejected += [Refusal(name=name, reason="named in the manifest, but there is no such file") for name in sorted(missing)]
        families = [row.get("family") or family_of(name) for name, row in wanted]
        splits = split_families(families, self.seed)
        items = [
            self._item(name, row, family, split) for (name, row), family, split in zip(wanted, families, splits, strict=True)
        ]
        return Listing(items, ignored, rejected)

    def _walk(self) -> tuple[list[Path], list[Refusal], list[Refusal]]:
        """The files below the folder, sorted; what is left aside; what should have been read and cannot."""
        files: list[Path] = []
        ignored: list[Refusal] = []
        rejected: list[Refusal] = []
        unreadable: list[OSError] = []
        for place, folders, names in os.walk(self.directory, onerror=unreadable.append):
            for folder in [Path(place, name) for name in folders]:
                reason = self._reason_to_stay_out(folder)
                if reason:
                    folders.remove(folder.name)
                    ignored.append(self._refusal(folder, reason))
            for path in (Path(place, name) for name in names):
                if _is_file(path):
                    files.append(path)
                else:
                    aside = rejected if path.suffix.lower() in SUFFIXES else ignored
                    aside.append(self._refusal(path, "expected a file, found a broken link, a pipe or a device"))
        rejected += [self._refusal(Path(e.filename), f"expected a readable folder, found: {e.strerror}") for e in unreadable]
        own = None if self.manifest is None else self.manifest.absolute()
        files = [path for path in files if path.absolute() != own]
        return sorted(files), sorted(ignored, key=lambda r: r.name), sorted(rejected, key=lambda r: r.name)

    def _reason_to_stay_out(self, folder: Path) -> str | None:
        if folder.is_symlink():
            return "a link to a folder, which is not followed"
        own = self.set_folder is not None and folder.resolve() == self.set_folder.resolve()
        return "the set that is being made" if own else None

    def _refusal(self, path: Path, reason: str) -> Refusal:
        return Refusal(name=path.relative_to(self.directory).as_posix(), reason=reason)

    def prepare(self, item: Item, config: SetConfig) -> PreparedShape:
        mesh = read_cad(self.directory / item.source["file"], item.source["unit"], item.source["up"])
        seed = zlib.crc32(item.name.encode(), config.seed)
        return photograph_mesh(
            mesh.vertices, mesh.faces, item.kind, config, seed, {"unit": mesh.unit, "bodies": mesh.bodies}, mesh.notes
        )

    def _item(self, name: str, row: dict[str, str], family: str, split: str) -> Item:
        return Item(
            name=file_name(name),
            family=family,
            kind=row.get("kind") or "part",
            split=row.get("split") or split,
            source={"file": name, "unit": row.get("unit") or self.unit, "up": row.get("up") or self.up},
            fingerprint=_fingerprint(self.directory / name, row, self.unit, self.up),
            licence=row.get("licence") or None,
            attribution=row.get("attribution") or None,
        )


def family_of(name: str) -> str:
    """`gears/spur/m2.step` -> "gears"; `bolt_M8x30.step` -> "bolt_M"; a name that begins with a digit stands for itself."""
    folder, _, rest = name.partition("/")
    if rest:
        return folder
    stem = Path(name).stem
    return re.split(r"\d", stem)[0].rstrip(" ._-") or stem


def file_name(name: str) -> str:
    """A file's relative path as one readable file name that no other path shares."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80]
    return f"{readable}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def read_manifest(path: Path) -> dict[str, dict[str, str]]:
    """The manifest's rows by file; TrainingError says what is wrong with it."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            unknown = sorted(set(columns) - set(MANIFEST_COLUMNS))
            if "file" not in columns or unknown:
                wrong = f"unknown {', '.join(unknown)}" if unknown else "no column `file`"
                raise TrainingError(f"{path}: expected columns among {', '.join(MANIFEST_COLUMNS)}, found {wrong}")
            rows: dict[str, dict[str, str]] = {}
            for number, row in enumerate(reader, start=2):
                _check_row(f"{path}, line {number}", row, rows)
                rows[row["file"]] = {column: (value or "").strip() for column, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path}: expected a CSV file, found: {error}") from error
    return rows


def _check_row(where: str, row: dict[str, Any], rows: dict[str, dict[str, str]]) -> None:
    if None in row:
        raise TrainingError(f"{where}: expected as many fields as columns, found more")
    if not row["file"]:
        raise TrainingError(f"{where}: expected the name of a file, found none")
    if row["file"] in rows:
        raise TrainingError(f"{where}: expected each file once, found {row['file']} again")
    for column, allowed in (("kind", KINDS), ("split", SPLITS), ("up", ("y", "z")), ("unit", tuple(METRES))):
        value = (row.get(column) or "").strip()
        if value and value not in allowed:
            raise TrainingError(f"{where}: expected {column} to be one of {', '.join(allowed)}, found {value!r}")


def _fingerprint(path: Path, row: dict[str, str], unit: str | None, up: str | None) -> str:
    """Of all that a shape is made from; what cannot be read is left to the reader, whose words go into the report."""
    content = hashlib.sha256()
    try:
        for part in (path, *external_buffers(path)):
            with part.open("rb") as file:
                content.update(hashlib.file_digest(file, "sha256").digest())
    except OSError:
        return "unreadable"
    content.update(f"{row.get('unit') or unit} {row.get('up') or up} {row.get('kind')}".encode())
    return content.hexdigest()


def _is_resource_fork(path: Path) -> bool:
    if not path.name.startswith("._"):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(RESOURCE_FORK)) == RESOURCE_FORK
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    """False also where the system does not say: then there is nothing to read."""
    try:
        return path.is_file()
    except OSError:
        return False

"""`index.json`: what a folder of prepared shapes holds, and what was refused on the way."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from training.data.shapes import ShapeFileError

INDEX_VERSION = 2
INDEX_NAME = "index.json"
REPORT_NAME = "report.csv"


@dataclass(frozen=True, kw_only=True)
class ShapeEntry:
    """A line of the index: one prepared shape.

    name: unique in the set. file: relative to the set's folder. split: train, val or test.
    repairs: what was unusual about the source's triangles, and what had to be done to them, in words.
    source: where the shape comes from, JSON values; licence: SPDX identifier, with the names to attribute the shape to.
    """

    name: str
    file: str
    family: str
    kind: str
    split: str
    sha256: str
    repairs: tuple[str, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    licence: str | None = None
    attribution: str | None = None

    @property
    def title(self) -> str:
        return title_of(self.name, self.source)


def title_of(name: str, source: dict[str, Any]) -> str:
    """What people know a shape by: the file that it is made from, or else its name."""
    return str(source.get("file", name))


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Something of the source that did not become a shape, and why. name: as people know it."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DataIndex:
    """What a folder of prepared shapes holds.

    rejected: what should have become a shape and did not. ignored: what lay beside it and is no shape (notes, pictures).
    """

    directory: Path
    arguments: dict[str, Any]
    entries: tuple[ShapeEntry, ...]
    rejected: tuple[Refusal, ...] = ()
    ignored: tuple[Refusal, ...] = ()

    def shapes(self, split: str) -> list[ShapeEntry]:
        """The entries of one split, in the order in which they were asked for."""
        return [entry for entry in self.entries if entry.split == split]

    def path(self, entry: ShapeEntry) -> Path:
        return self.directory / entry.file

    def files(self, split: str) -> list[Path]:
        """The prepared-shape files of one split."""
        return [self.path(entry) for entry in self.shapes(split)]

    def attribution(self, split: str) -> list[str]:
        """Whom the shapes of a split are to be attributed to, each with the licence: sorted, without repetition."""
        licensed = {(entry.attribution, entry.licence) for entry in self.shapes(split) if entry.attribution or entry.licence}
        return sorted(f"{names or 'unnamed'} ({licence or 'no licence stated'})" for names, licence in licensed)

    @property
    def digest(self) -> str:
        """sha256 over the files' hashes: the identity of the set."""
        return hashlib.sha256("".join(entry.sha256 for entry in self.entries).encode()).hexdigest()

    @property
    def rejected_share(self) -> float:
        """Of all that should have become shapes; 1 where there was nothing."""
        wanted = len(self.entries) + len(self.rejected)
        return len(self.rejected) / wanted if wanted else 1.0

    def write(self) -> None:
        """Writes `index.json`, and for people `report.csv` with one line for each thing that the source held."""
        content = {
            "version": INDEX_VERSION,
            "arguments": self.arguments,
            "shapes": [asdict(entry) for entry in self.entries],
            "rejected": [asdict(refusal) for refusal in self.rejected],
            "ignored": [asdict(refusal) for refusal in self.ignored],
        }
        self._replace(REPORT_NAME, self._write_report)
        self._replace(INDEX_NAME, lambda path: path.write_text(json.dumps(content, indent=1) + "\n"))

    def _write_report(self, path: Path) -> None:
        # Names of files need not be text; what is none is spelt out.
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            rows = csv.writer(file)
            rows.writerow(("name", "outcome", "split", "family", "remarks", "shape"))
            for entry in self.entries:
                outcome = "kept with remarks" if entry.repairs else "kept"
                rows.writerow((entry.title, outcome, entry.split, entry.family, "; ".join(entry.repairs), entry.file))
            rows.writerows((refusal.name, "rejected", "", "", refusal.reason, "") for refusal in self.rejected)
            rows.writerows((refusal.name, "ignored", "", "", refusal.reason, "") for refusal in self.ignored)

    def _replace(self, name: str, write: Any) -> None:
        partial = self.directory / f".{name}.{os.getpid()}.tmp"
        try:
            write(partial)
            partial.replace(self.directory / name)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, directory: Path) -> Self:
        path = directory / INDEX_NAME
        try:
            content = json.loads(path.read_text())
            if content["version"] != INDEX_VERSION:
                raise ValueError(f"expected version {INDEX_VERSION}, found {content['version']}; prepare the set again")
            return cls(
                directory=directory,
                arguments=content["arguments"],
                entries=tuple(ShapeEntry(**{**entry, "repairs": tuple(entry["repairs"])}) for entry in content["shapes"]),
                rejected=tuple(Refusal(**refusal) for refusal in content["rejected"]),
                ignored=tuple(Refusal(**refusal) for refusal in content["ignored"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ShapeFileError(f"{path}: expected the index of a prepared set, found: {error!r}") from error

"""A large file in parts that a small door lets through, and back. A checkpoint is four times its weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from training.errors import TrainingError

LIST_SUFFIX = ".parts.json"


def split_file(path: Path, directory: Path, part_bytes: int) -> Path:
    """Writes NAME.000, NAME.001, ... of at most `part_bytes` each; returns their list, NAME.parts.json, which is written last."""
    directory.mkdir(parents=True, exist_ok=True)
    parts: dict[str, str] = {}
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(part_bytes):
            name = f"{path.name}.{len(parts):03d}"
            (directory / name).write_bytes(content)
            parts[name] = hashlib.sha256(content).hexdigest()
            whole.update(content)
    listed = directory / f"{path.name}{LIST_SUFFIX}"
    listed.write_text(json.dumps({"file": path.name, "sha256": whole.hexdigest(), "parts": parts}, indent=1) + "\n")
    return listed


def join_file(listed: Path, path: Path) -> None:
    """The inverse of `split_file`: `path` is there whole or not at all; TrainingError names a part that is missing or damaged."""
    try:
        content = json.loads(listed.read_text())
        parts, expected = dict(content["parts"]), content["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{listed}: expected a list of parts ({LIST_SUFFIX}), found: {error!r}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    whole = hashlib.sha256()
    try:
        with partial.open("wb") as file:
            for name, sha256 in parts.items():
                part = _read_part(listed.parent / name, sha256)
                whole.update(part)
                file.write(part)
        if whole.hexdigest() != expected:
            raise TrainingError(f"{listed}: expected parts of a file with sha256 {expected}, found {whole.hexdigest()}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read_part(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path}: expected a part, found: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise TrainingError(f"{path}: expected sha256 {sha256}, found {found}; carry the part again")
    return content

"""Voxels as binvox files: the 32³ ones that come with the R2N2 pictures (ShapeNetVox32), or any other cube.

A file is five lines of text (`#binvox 1`, `dim`, `translate`, `scale`, `data`), then pairs of bytes: value and run length, up to
255. The voxels run along y fastest, then z, then x (occupancy_networks:im2mesh/utils/binvox_rw.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data.readers.labels import LabelledModel, ModelId
from training.errors import UnreadableModel
from training.sampling.voxels import VoxelSolid

MAX_SIDE = 1024  # binvox's own limit
HEADER_LINES = 5
MODEL_FILE = "model.binvox"


@dataclass(frozen=True, eq=False)
class Binvox:
    """occupied: (side, side, side) bool, indexed [x, y, z]; the centre of voxel i is at translate + scale * (i + 0.5) / side."""

    occupied: npt.NDArray[np.bool_]
    translate: npt.NDArray[np.float64]
    scale: float

    @property
    def step(self) -> float:
        """A voxel's side, in the units of the model that was voxelised."""
        return self.scale / len(self.occupied)


@dataclass(frozen=True)
class BinvoxLabels:
    """`<folder>/<synset>/<model>/model.binvox`.

    Label frame: the one that the file's header names. Where it lies in ShapeNet's is left to the pictures, because headers are
    found that do not say it (a scale of 1 for every model).
    """

    folder: Path

    def models(self) -> Sequence[ModelId]:
        """Every model that has a file, sorted."""
        return sorted(ModelId(path.parts[-3], path.parts[-2]) for path in self.folder.glob(f"*/*/{MODEL_FILE}"))

    def files(self, model: ModelId) -> Sequence[Path]:
        """The model's one file."""
        return [self.folder / model.synset / model.model / MODEL_FILE]

    def read(self, model: ModelId) -> LabelledModel:
        """The voxels as a solid; `UnreadableModel` when the file is missing, damaged or empty of voxels."""
        [path] = self.files(model)
        voxels = read_binvox(path)
        if not voxels.occupied.any():
            raise UnreadableModel(f"{path}: expected occupied voxels, found none")
        return LabelledModel(VoxelSolid(voxels.occupied, voxels.translate + voxels.step / 2, voxels.step))


def read_binvox(path: Path) -> Binvox:
    """A binvox file; `UnreadableModel` when it is not one, or its runs do not fill the cube that the header declares."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableModel(f"{path}: expected a binvox file, found that it cannot be read ({error.strerror})") from error
    lines = content.split(b"\n", HEADER_LINES)
    if len(lines) <= HEADER_LINES or not lines[0].startswith(b"#binvox") or lines[4].strip() != b"data":
        raise UnreadableModel(f"{path}: expected a binvox header of {HEADER_LINES} lines, found {content[:32]!r}")
    dimensions = _numbers(path, lines[1], b"dim", 3)
    side = int(dimensions[0])
    if (dimensions != side).any() or not 1 <= side <= MAX_SIDE:
        raise UnreadableModel(f"{path}: expected the dimensions of a cube up to {MAX_SIDE}, found {lines[1]!r}")
    scale = float(_numbers(path, lines[3], b"scale", 1)[0])
    if scale <= 0:
        raise UnreadableModel(f"{path}: expected a positive scale, found {scale}")
    return Binvox(_voxels(path, lines[HEADER_LINES], side), _numbers(path, lines[2], b"translate", 3), scale)


def _numbers(path: Path, line: bytes, name: bytes, count: int) -> npt.NDArray[np.float64]:
    """The finite numbers of one line of the header."""
    words = line.split()
    try:
        values = np.array([float(word) for word in words[1:]])
    except ValueError:
        values = np.zeros(0)
    if words[:1] != [name] or len(values) != count or not np.isfinite(values).all():
        raise UnreadableModel(f"{path}: expected {name.decode()!r} and {count} finite numbers, found {line[:64]!r}")
    return values


def _voxels(path: Path, runs: bytes, side: int) -> npt.NDArray[np.bool_]:
    """Run lengths -> (side, side, side) bool, [x, y, z]."""
    values, lengths = np.frombuffer(runs[: len(runs) // 2 * 2], np.uint8).reshape(-1, 2).T
    total = int(lengths.sum(dtype=np.int64))
    if len(runs) % 2 or total != side**3 or values.max() > 1:
        found = f"{total} voxels in {len(runs)} bytes, values up to {values.max(initial=0)}"
        raise UnreadableModel(f"{path}: expected runs of 0 and 1 for {side**3} voxels, found {found}")
    return np.repeat(values.astype(np.bool_), lengths).reshape(side, side, side).transpose(0, 2, 1)

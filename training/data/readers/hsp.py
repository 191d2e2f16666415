"""Voxels at 256³ in blocks, as hierarchical surface prediction published them (hsp:utils/hierarchicalShapenetDataLoader.lua).

`modelBlockedVoxels256/<synset>/<model>.mat` (MATLAB 5): `b` (n, 16, 16, 16), the different blocks, and `bi` (16, 16, 16), which
of them is where, counted from 1 (hsp:trainNetworkHierarchical.lua; IM-NET:point_sampling/2_gather_256vox_16_32_64.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from training.data.readers.labels import LabelledModel, ModelId
from training.errors import UnreadableModel
from training.sampling.voxels import VoxelSolid

BLOCK = 16
BLOCKS = 16
SIDE = BLOCK * BLOCKS

# IM-NET:point_sampling/README.md names this file as damaged.
DROPPED = (ModelId("04090263", "4a32519f44dc84aabafe26e2eb69ebf4"),)

# What scipy lets out of a file that is cut short or is none.
READ_ERRORS = (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError, MatReadError, zlib.error)


@dataclass(frozen=True)
class HspLabels:
    """`<folder>/<synset>/<model>.mat`, the folder being `modelBlockedVoxels256`.

    Label frame: ShapeNet v1 axes, centred, bounding box's diagonal 1, the grid from -0.5 to 0.5. Where that lies in ShapeNet's
    own coordinates is not said in the files.
    """

    folder: Path

    def models(self) -> Sequence[ModelId]:
        """Every model that has a file, sorted, without those in `DROPPED`."""
        found = (ModelId(path.parent.name, path.stem) for path in self.folder.glob("*/*.mat"))
        return sorted(set(found) - set(DROPPED))

    def files(self, model: ModelId) -> Sequence[Path]:
        """The model's one file."""
        return [self.folder / model.synset / f"{model.model}.mat"]

    def read(self, model: ModelId) -> LabelledModel:
        """The voxels as a solid; `UnreadableModel` when the file is missing, damaged or empty of voxels."""
        [path] = self.files(model)
        occupied = read_blocked_voxels(path)
        if not occupied.any():
            raise UnreadableModel(f"{path}: expected occupied voxels, found none")
        return LabelledModel(VoxelSolid(occupied, np.full(3, 0.5 / SIDE - 0.5), 1 / SIDE))


def read_blocked_voxels(path: Path) -> npt.NDArray[np.bool_]:
    """(256, 256, 256) bool, indexed [x, y, z]; `UnreadableModel` names the file and what is wrong with it."""
    try:
        arrays = loadmat(path, variable_names=["b", "bi"])
    except READ_ERRORS as error:
        raise UnreadableModel(f"{path}: expected a MATLAB 5 file, found one that cannot be read ({error})") from error
    missing = {"b", "bi"} - arrays.keys()
    if missing:
        raise UnreadableModel(f"{path}: expected the arrays b and bi, found no {' and no '.join(sorted(missing))}")
    blocks, index = _whole_numbers(path, "b", arrays["b"]), _whole_numbers(path, "bi", arrays["bi"])
    if blocks.shape == (BLOCK, BLOCK, BLOCK):  # a single block, written without an axis for its number
        blocks = blocks[None]
    if blocks.shape[1:] != (BLOCK, BLOCK, BLOCK) or index.shape != (BLOCKS, BLOCKS, BLOCKS):
        raise UnreadableModel(f"{path}: expected b (n, 16, 16, 16) and bi (16, 16, 16), found {blocks.shape} and {index.shape}")
    if blocks.min() < 0 or blocks.max() > 1:
        raise UnreadableModel(f"{path}: expected b of 0 and 1, found {blocks.min()} to {blocks.max()}")
    if index.min() < 1 or index.max() > len(blocks):
        found = f"{index.min()} to {index.max()}"
        raise UnreadableModel(f"{path}: expected bi from 1 to the number of blocks, {len(blocks)}, found {found}")
    placed = blocks.astype(np.bool_)[index - 1]  # block x, y, z, then voxel x, y, z within it
    return np.ascontiguousarray(placed.transpose(0, 3, 1, 4, 2, 5).reshape(SIDE, SIDE, SIDE))


def _whole_numbers(path: Path, name: str, array: Any) -> npt.NDArray[np.int64]:
    """The array as int64; MATLAB's usual doubles are taken when they are whole."""
    values = np.asarray(array)
    if not np.issubdtype(values.dtype, np.number) and values.dtype != np.bool_:
        raise UnreadableModel(f"{path}: expected numbers in {name}, found {values.dtype}")
    if values.size == 0 or not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise UnreadableModel(f"{path}: expected whole numbers in {name}, found others or none")
    return values.astype(np.int64)

"""IM-NET's labels: HDF5 files of 64³ voxels, labelled points at three levels, and gray pictures.

`<synset>_vox256_img_{train,test}.hdf5` or `all_vox256_img_{train,test}.hdf5`, each with a list of its models beside it (`.txt`,
one `<synset>/<model>` a line), as IM-NET:point_sampling/4_gather_vox_img_train.py and 4_gather_all_vox_img_train.py wrote them.

Two variants share all names. The later one (IM-NET) counts points in voxels of 256³, of which each is a random one with its
cell's value; the first one (implicit-decoder) counts them in cells of their own level. Both got their voxels from HSP's, turned
(IM-NET:point_sampling/2_gather_256vox_16_32_64.py, implicit-decoder:point_sampling/vox2pointvaluepair_from_hsp.py), and a cell
is occupied if any of its voxels is; the later one also filled what was open to no side.

Read time: HDF5 stored these arrays in chunks that run across hundreds to thousands of models, so a model costs the unpacking of
many others, the more the longer the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from training.data.readers.labels import LabelledModel, ModelId
from training.errors import UnreadableModel
from training.sampling.voxels import VoxelSolid

FILE_PATTERNS = ("*_img_train.hdf5", "*_img_test.hdf5")
LEVELS = (16, 32, 64)
SIDE = 64  # of the voxels
FINE_SIDE = 256  # of the voxels behind them
PICTURE = 137
VIEWS = (24, 20)  # R2N2's pictures, HSP's pictures

# A wall of pooled voxels lies 0 to 3 of their fine voxels outside the fine wall, all alike often.
POOLING_INSET = 1.5 / (FINE_SIDE / SIDE)


@dataclass(frozen=True)
class Variant:
    """counts: points at levels 16, 32 and 64; levels_used: those whose labels are those of the points themselves."""

    name: str
    counts: tuple[int, int, int]
    levels_used: tuple[int, ...]


# The first variant's labels at 16 and 32 say whether anything is in a cell 4 and 2 times as wide as the voxels: those of other
# solids, so they are left out.
ORIGINAL = Variant("original", (4096, 8192, 32768), (64,))
IMPROVED = Variant("improved", (4096, 4096, 16384), (64, 32, 16))


@dataclass(frozen=True)
class ImNetLabels:
    """All such files in a folder and the folders in it. A model that is listed twice is read from the first file by name.

    Label frame: HSP's (ShapeNet v1 axes, bounding box's diagonal 1, the grid from -0.5 to 0.5), the turn to v2 axes undone.
    """

    folder: Path

    def models(self) -> Sequence[ModelId]:
        """Every listed model, sorted; `UnreadableModel` when a list is missing or has a line that names no model."""
        return sorted(self._rows)

    def files(self, model: ModelId) -> Sequence[Path]:
        """The HDF5 file that holds the model among others."""
        return [self._rows[model][0]]

    def read(self, model: ModelId) -> LabelledModel:
        """The voxels as a solid, and the labelled points; `UnreadableModel` names the file and what is wrong with it.

        Only the points' labels are at the precision of 256³; the solid is at that of 64³, its walls moved in by 1.5/256 because
        pooling by the maximum moved them out by as much on average.
        """
        with self._open(model) as (path, row, arrays):
            variant = _variant(path, arrays, row)
            occupied = to_v1(_flags(path, "voxels", _row(path, arrays, "voxels", row, (SIDE, SIDE, SIDE, 1)))[..., 0])
            points, labels = zip(*(_level(path, arrays, row, variant, level) for level in variant.levels_used), strict=True)
        if not occupied.any():
            raise UnreadableModel(f"{path}: expected occupied voxels in row {row} ({model}), found none")
        solid = VoxelSolid(occupied, np.full(3, 0.5 / SIDE - 0.5), 1 / SIDE, POOLING_INSET)
        return LabelledModel(solid, exact_points=np.concatenate(points), exact_occupancy=np.concatenate(labels))

    def pictures(self, model: ModelId) -> npt.NDArray[np.uint8]:
        """The gray pictures on white, in the order of their views: (24, 137, 137) uint8, or (20, 137, 137) with HSP's."""
        with self._open(model) as (path, row, arrays):
            views = arrays["pixels"].shape[1:2]
            if views not in [(count,) for count in VIEWS]:
                raise UnreadableModel(f"{path}: expected pixels (models, 24 or 20, 137, 137), found {arrays['pixels'].shape}")
            return _row(path, arrays, "pixels", row, (*views, PICTURE, PICTURE))

    @cached_property
    def _rows(self) -> dict[ModelId, tuple[Path, int, int]]:
        """Where each model is: the file, its row, and the length of the file's list."""
        rows: dict[ModelId, tuple[Path, int, int]] = {}
        for path in sorted(path for pattern in FILE_PATTERNS for path in self.folder.rglob(pattern)):
            listed = _read_list(path)
            for row, model in enumerate(listed):
                rows.setdefault(model, (path, row, len(listed)))
        return rows

    @contextmanager
    def _open(self, model: ModelId) -> Iterator[tuple[Path, int, h5py.File]]:
        """The model's file, opened for this read alone, and its row. What HDF5 raises becomes `UnreadableModel`."""
        if model not in self._rows:
            raise UnreadableModel(f"{self.folder}: expected {model} in one of its lists, found it in none")
        path, row, listed = self._rows[model]
        try:
            with h5py.File(path, "r") as arrays:
                _check_keys(path, arrays, listed)
                yield path, row, arrays
        except (OSError, RuntimeError, KeyError, zlib.error) as error:
            raise UnreadableModel(f"{path}: expected an HDF5 file, found one that cannot be read ({error})") from error

    def __getstate__(self) -> dict[str, Any]:
        """Only the folder: the lists are read again where they are wanted."""
        return {"folder": self.folder}


def to_v1(voxels: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Voxels in v2 axes -> in v1 axes, [x, y, z]: x1 = -z2, y1 = y2, z1 = x2."""
    return voxels[:, :, ::-1].transpose(2, 1, 0)


def indices_to_v1(indices: npt.NDArray[np.integer[Any]], side: int) -> npt.NDArray[np.float32]:
    """(n, 3) voxel indices in v2 axes, of a grid of `side` -> their centres (n, 3) float32 in v1 axes, label frame."""
    x2, y2, z2 = (indices.T + 0.5) / side - 0.5
    return np.stack([-z2, y2, x2], axis=1).astype(np.float32)


def _read_list(path: Path) -> list[ModelId]:
    """The models of an HDF5 file in the order of its rows, from the list beside it."""
    text = path.with_suffix(".txt")
    try:
        lines = text.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableModel(f"{text}: expected the list of models in {path.name}, found none to read ({error})") from error
    for line in lines:
        if line.count("/") != 1 or "" in line.split("/"):
            raise UnreadableModel(f"{text}: expected <synset>/<model> on each line, found {line!r}")
    return [ModelId(*line.split("/")) for line in lines]


def _check_keys(path: Path, arrays: h5py.File, listed: int) -> None:
    """Every array there, with as many rows as the list."""
    names = ["pixels", "voxels", *(f"{kind}_{level}" for level in LEVELS for kind in ("points", "values"))]
    missing = [name for name in names if not isinstance(arrays.get(name), h5py.Dataset)]
    if missing:
        raise UnreadableModel(f"{path}: expected the arrays {', '.join(names)}, found no {', no '.join(missing)}")
    lengths = {name: arrays[name].shape[0] if arrays[name].shape else 0 for name in names}
    odd = {name: length for name, length in lengths.items() if length != listed}
    if odd:
        raise UnreadableModel(f"{path}: expected {listed} rows, as many as its list has lines, found {odd}")


def _variant(path: Path, arrays: h5py.File, row: int) -> Variant:
    """Which of the two it is, by how many points there are and how large their indices get.

    Level 16 lists every cell once. So its largest index is 15 when cells are counted, and at least 240 when voxels are.
    """
    counts = tuple(int((*arrays[f"points_{level}"].shape, 0, 0)[1]) for level in LEVELS)
    largest = {
        level: int(_row(path, arrays, f"points_{level}", row, (count, 3)).max(initial=0))
        for level, count in zip(LEVELS, counts, strict=True)
    }
    if counts == ORIGINAL.counts and all(largest[level] < level for level in LEVELS):
        return ORIGINAL
    if counts == IMPROVED.counts and largest[16] >= FINE_SIDE - FINE_SIDE // 16:
        return IMPROVED
    known = " or ".join(f"{variant.counts} ({variant.name})" for variant in (ORIGINAL, IMPROVED))
    found = f"{counts}, largest {tuple(largest.values())}"
    raise UnreadableModel(
        f"{path}: expected {known} points at levels {LEVELS}, indices below the level or up to 255, found {found} in row {row}"
    )


def _level(
    path: Path, arrays: h5py.File, row: int, variant: Variant, level: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """One level's points (n, 3) float32 in the label frame, and their labels (n,) bool."""
    count = variant.counts[LEVELS.index(level)]
    indices = _row(path, arrays, f"points_{level}", row, (count, 3))
    labels = _flags(path, f"values_{level}", _row(path, arrays, f"values_{level}", row, (count, 1)))
    return indices_to_v1(indices, FINE_SIDE if variant is IMPROVED else level), labels[:, 0]


def _row(path: Path, arrays: h5py.File, name: str, row: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """One model's part of an array, of the expected shape, uint8."""
    array = arrays[name]
    if array.shape[1:] != shape or array.dtype != np.uint8:
        raise UnreadableModel(f"{path}: expected {name} (models, {str(shape)[1:-1]}) uint8, found {array.shape} {array.dtype}")
    part: npt.NDArray[np.uint8] = array[row]
    return part


def _flags(path: Path, name: str, values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """0 and 1 as bool."""
    if values.max() > 1:
        raise UnreadableModel(f"{path}: expected {name} of 0 and 1, found {values.max()}")
    return values.astype(np.bool_)

"""The labels of occupancy networks: `<root>/<synset>/<model>/points.npz` and `pointcloud.npz`.

points.npz: `points` (n, 3) in a cube of 1.1, `occupancies` as bits of bytes or one value each; pointcloud.npz: `points` and
`normals` (m, 3) on the surface. Both may say `loc` (3,) and `scale`, the box's centre and longest side in ShapeNet v1 coordinates
before both were normalised away (occupancy_networks:im2mesh/data/fields.py, external/mesh-fusion/1_scale.py).

Points come as float16, whose step is 1/4096 at most below 0.5 and 1/2048 up to 1: an eighth of a voxel of 256³. The original
reader adds noise of 1e-4 to them; this one adds none, so that labels stay the same from read to read.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from model.errors import NoSurface
from training.data.readers.labels import LabelledModel, ModelId, Placement
from training.errors import UnreadableModel
from training.sampling.point_clouds import PointCloudSolid

POINTS_FILE = "points.npz"
CLOUD_FILE = "pointcloud.npz"

READ_ERRORS = (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error, NotImplementedError)

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class OccNetLabels:
    """`<folder>/<synset>/<model>/` with both files.

    Label frame: ShapeNet v1 axes, bounding box centred, its longest side 1. The placement is the files' own.
    """

    folder: Path

    def models(self) -> Sequence[ModelId]:
        """Every model that has a point cloud, sorted."""
        return sorted(ModelId(path.parts[-3], path.parts[-2]) for path in self.folder.glob(f"*/*/{CLOUD_FILE}"))

    def files(self, model: ModelId) -> Sequence[Path]:
        """The model's points and its point cloud."""
        return [self.folder / model.synset / model.model / name for name in (POINTS_FILE, CLOUD_FILE)]

    def read(self, model: ModelId) -> LabelledModel:
        """The point cloud as a solid, and the labelled points; `UnreadableModel` names the file and what is wrong with it."""
        folder = self.folder / model.synset / model.model
        labelled, cloud = _load(folder / POINTS_FILE, "occupancies"), _load(folder / CLOUD_FILE, "normals")
        placement = _placement(folder, labelled, cloud)
        points = _vectors(folder / POINTS_FILE, labelled, "points")
        return LabelledModel(
            _solid(folder / CLOUD_FILE, cloud),
            placement,
            points,
            read_occupancies(folder / POINTS_FILE, labelled["occupancies"], len(points)),
        )


def read_occupancies(path: Path, stored: npt.NDArray[Any], count: int) -> npt.NDArray[np.bool_]:
    """(count,) bool, from as many values of 0 and 1, or from their bits, eight a byte, the last byte filled up."""
    if stored.shape == (count,):
        if not np.isin(stored, (0, 1)).all():
            raise UnreadableModel(f"{path}: expected occupancies of 0 and 1, found others")
        return stored.astype(np.bool_)
    if stored.shape == (-(-count // 8),) and stored.dtype == np.uint8:
        return np.unpackbits(stored, count=count).astype(np.bool_)
    expected = f"{count} occupancies, or their bits in {-(-count // 8)} uint8"
    raise UnreadableModel(f"{path}: expected {expected}, found {stored.shape} {stored.dtype}")


def _load(path: Path, needed: str) -> Arrays:
    """The arrays of a file that has points and what is needed of each."""
    try:
        with path.open("rb") as file, np.load(file) as archive:  # np.load leaves a damaged file open
            arrays = {name: archive[name] for name in ("points", needed, "loc", "scale") if name in archive}
    except READ_ERRORS as error:
        raise UnreadableModel(f"{path}: expected arrays in npz format, found a file that cannot be read ({error})") from error
    missing = {"points", needed} - arrays.keys()
    if missing:
        raise UnreadableModel(f"{path}: expected the arrays points and {needed}, found no {' and no '.join(sorted(missing))}")
    return arrays


def _placement(folder: Path, labelled: Arrays, cloud: Arrays) -> Placement:
    """From either file; 0 and 1 where neither says, which older files meant. Two that differ would put labels in two places."""
    known = {**cloud, **labelled}
    placements = []
    for path, arrays in ((folder / POINTS_FILE, labelled), (folder / CLOUD_FILE, cloud)):
        location = np.asarray(arrays.get("loc", known.get("loc", np.zeros(3))))
        scale = np.asarray(arrays.get("scale", known.get("scale", 1.0)))
        if (
            location.shape != (3,)
            or scale.size != 1
            or not (np.isfinite(location).all() and np.isfinite(scale).all() and scale > 0)
        ):
            raise UnreadableModel(f"{path}: expected loc (3,) and a positive scale, finite, found {location} and {scale}")
        placements.append(np.array([*location, scale.item()], np.float64))
    if not np.allclose(placements[0], placements[1], rtol=1e-5, atol=1e-6):
        raise UnreadableModel(f"{folder}: expected one loc and scale in both files, found {placements[0]} and {placements[1]}")
    return Placement(float(placements[0][3]), placements[0][:3])


def _vectors(path: Path, arrays: Arrays, name: str) -> npt.NDArray[np.float32]:
    """(n, 3) float32, finite."""
    vectors = arrays[name]
    if vectors.ndim != 2 or vectors.shape[1] != 3 or not np.issubdtype(vectors.dtype, np.floating):
        raise UnreadableModel(f"{path}: expected {name} (n, 3) of floating point, found {vectors.shape} {vectors.dtype}")
    if not np.isfinite(vectors).all():
        raise UnreadableModel(f"{path}: expected finite {name}, found {(~np.isfinite(vectors)).any(axis=1).sum()} others")
    return vectors.astype(np.float32)


def _solid(path: Path, cloud: Arrays) -> PointCloudSolid:
    """What the oriented points enclose, its triangles made, so that a cloud without an inside is found out here."""
    points, normals = _vectors(path, cloud, "points"), _vectors(path, cloud, "normals")
    try:
        solid = PointCloudSolid(points, normals)
        solid.vertices  # noqa: B018
    except (ValueError, NoSurface) as error:
        raise UnreadableModel(f"{path}: expected points of a closed surface with normals, found none ({error})") from error
    return solid

"""Pictures of ShapeNet models with the cameras that took them: 3D-R2N2's renderings, and OccNet's copy of them.

Coordinates are ShapeNet v1's: y up, the model as its `model.obj` has it. Pixels are measured from the picture's top left corner,
x to the right and y downwards, so that pixel centres lie at halves.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data.readers.labels import ModelId
from training.errors import UnreadableModel
from training.rendering.cameras import CropCamera

Float64Array = npt.NDArray[np.float64]

SIZE = 137
FOCAL_PX = 35 * SIZE / 32  # Blender's 35 mm lens on its 32 mm sensor
FARTHEST = 1.75  # the camera's distance, in model units, where the metadata's distance ratio is 1
ELEVATIONS = (25.0, 30.0)  # degrees, as the archive was rendered; others are legal
COLUMNS = ("azimuth", "elevation", "in-plane rotation", "distance ratio", "field of view")
BACKGROUND = 245  # from here on every channel of a JPEG's white may lie

SYNSET = re.compile(r"\d{8}")


@dataclass(frozen=True)
class ExternalCamera:
    """The pinhole of a picture that was not made here.

    focal_px: pixels. principal: (2,) float64, pixels.
    rotation: (3, 3) float64, camera axes (right, up, towards the viewer) as rows; eye: (3,) float64; both in v1 coordinates.
    """

    focal_px: float
    principal: Float64Array
    rotation: Float64Array
    eye: Float64Array

    def project(self, points_v1: npt.NDArray[np.floating[Any]]) -> Float64Array:
        """(n, 3) v1 coordinates, in front of the camera -> (n, 2) pixels."""
        seen = (points_v1 - self.eye) @ self.rotation.T
        image: Float64Array = self.principal + self.focal_px * seen[:, :2] * [1, -1] / -seen[:, 2:]
        return image


@dataclass(frozen=True)
class Picture:
    """rgba: (H, W, 4) uint8, straight alpha, row 0 at the top. remark: what is unusual about it, in a few words, or ""."""

    rgba: npt.NDArray[np.uint8]
    camera: ExternalCamera
    remark: str = ""


class PictureSource(Protocol):
    """One data set's pictures; sent to worker processes, so it holds paths, not arrays."""

    def models(self) -> Sequence[ModelId]:
        """What there is, sorted."""
        ...

    def views(self, model: ModelId) -> list[Picture]:
        """All pictures of a model, in the data set's order; `UnreadableModel` names the file that is not as expected."""
        ...

    def fingerprint(self, model: ModelId) -> str:
        """Changes when the pictures' record does."""
        ...


@dataclass(frozen=True)
class Renderings:
    """3D-R2N2's archive: `<folder>/<synset>/<id>/rendering/` with PNG files, `renderings.txt` and `rendering_metadata.txt`."""

    folder: Path

    def models(self) -> list[ModelId]:
        return models_below(self.folder, "rendering")

    def views(self, model: ModelId) -> list[Picture]:
        """Each 137 x 137 RGBA picture that `renderings.txt` names, with the camera of the same line of the metadata."""
        folder = self._rendering(model)
        names = [line.strip() for line in _lines(folder / "renderings.txt")]
        rows = read_metadata(folder / "rendering_metadata.txt")
        if len(rows) != len(names):
            raise UnreadableModel(
                f"{folder / 'rendering_metadata.txt'}: expected a row for each of the {len(names)} pictures in renderings.txt,"
                f" found {len(rows)}"
            )
        files = len(list(folder.glob("*.png")))
        if files != len(names):
            raise UnreadableModel(f"{folder}: expected the {len(names)} PNG files that renderings.txt names, found {files}")
        return [_rendering(folder / name, row) for name, row in zip(names, rows, strict=True)]

    def fingerprint(self, model: ModelId) -> str:
        return stamp(self._rendering(model) / "rendering_metadata.txt")

    def _rendering(self, model: ModelId) -> Path:
        folder: Path = self.folder / model.synset / model.model / "rendering"
        return folder


@dataclass(frozen=True)
class OccNetPictures:
    """OccNet's preprocessed copy: `<folder>/<synset>/<id>/img_choy2016/` with 000.jpg, 001.jpg, ... on white and `cameras.npz`.

    JPEG knows no transparency, so what is near white and connected to the border counts as background. That also takes
    white parts of the object at its outline, and leaves the white that shows through its holes.
    """

    folder: Path

    def models(self) -> list[ModelId]:
        return models_below(self.folder, "img_choy2016")

    def views(self, model: ModelId) -> list[Picture]:
        """Each JPEG in the order of its number, with `world_mat_<n>` (3, 4) and `camera_mat_<n>` (3, 3) of `cameras.npz`."""
        folder = self.folder / model.synset / model.model / "img_choy2016"
        paths = sorted(folder.glob("*.jpg"))
        if not paths:
            raise UnreadableModel(f"{folder}: expected pictures 000.jpg, 001.jpg, ..., found none")
        cameras = _camera_matrices(folder / "cameras.npz", len(paths))
        pictures = []
        for path, (world, intrinsic) in zip(paths, cameras, strict=True):
            rgb = np.array(_opened(path, "JPEG").convert("RGB"))
            alpha = _foreground(rgb)
            if not alpha.any():
                raise UnreadableModel(f"{path}: expected an object on white, found white alone")
            pictures.append(Picture(np.dstack([rgb, alpha]), _camera_from_matrices(world, intrinsic, rgb.shape[1])))
        return pictures

    def fingerprint(self, model: ModelId) -> str:
        return stamp(self.folder / model.synset / model.model / "img_choy2016" / "cameras.npz")


def models_below(folder: Path, part: str) -> list[ModelId]:
    """The `<synset>/<id>` folders below `folder` that hold `part`, sorted; UnreadableModel when there is no such folder."""
    if not folder.is_dir():
        raise UnreadableModel(f"{folder}: expected a folder with one folder a synset (8 digits), found none")
    synsets = sorted(path for path in folder.iterdir() if SYNSET.fullmatch(path.name) and path.is_dir())
    return [ModelId(synset.name, path.name) for synset in synsets for path in sorted(synset.iterdir()) if (path / part).exists()]


def stamp(path: Path) -> str:
    """A file's size and time of change; "" where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}@{status.st_mtime_ns}"


def read_metadata(path: Path) -> Float64Array:
    """(n, 5) float64, one row a picture: azimuth, elevation, in-plane rotation (degrees), distance ratio, field of view."""
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        if len(row) != len(COLUMNS) or not np.isfinite(row).all():
            expected = f"{len(COLUMNS)} finite numbers ({', '.join(COLUMNS)})"
            raise UnreadableModel(f"{path}, row {number}: expected {expected}, found {line.strip()!r}")
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def rendering_camera(azimuth: float, elevation: float, distance_ratio: float) -> ExternalCamera:
    """The camera of one row of metadata; angles in degrees.

    It looks at the origin from its place on a sphere, y up. That is what the matrices of
    OccNet:scripts/dataset_shapenet/get_r2n2_cameras.py come to once the turn of Blender's import is multiplied in; the eye is
    also Pixel2Mesh's (GenerateData/3_camera_transform.py). The field of view in the metadata plays no part.
    """
    around, above = np.radians([azimuth, elevation])
    towards = np.array([np.cos(above) * np.cos(around), np.sin(above), np.cos(above) * np.sin(around)])
    right = np.array([np.sin(around), 0.0, -np.cos(around)])
    rotation = np.stack([right, np.cross(towards, right), towards])
    return ExternalCamera(FOCAL_PX, np.full(2, SIZE / 2), rotation, FARTHEST * distance_ratio * towards)


def crop_picture(picture: Picture, crop: CropCamera, size: int) -> npt.NDArray[np.uint8]:
    """What the crop's square holds of a picture by the same pinhole: (size, size, 4) uint8, straight alpha, row 0 at the top.

    Resampled as the serving does (Hamming), with colours weighted by alpha, since what lies under alpha 0 is arbitrary.
    Transparent where the square reaches beyond the picture.
    """
    camera, rgba = picture.camera, picture.rgba.astype(np.float32) / 255
    side = camera.focal_px * crop.side
    left, top = camera.principal + camera.focal_px * crop.centre * [1, -1] - side / 2
    rgba[..., :3] *= rgba[..., 3:]
    margin = int(np.ceil(max(-left, -top, left + side - rgba.shape[1], top + side - rgba.shape[0], 0))) + 1
    padded = np.pad(rgba, ((margin, margin), (margin, margin), (0, 0)))
    box = (left + margin, top + margin, left + margin + side, top + margin + side)
    channels = [
        np.asarray(Image.fromarray(padded[..., k]).resize((size, size), Image.Resampling.HAMMING, box=box)) for k in range(4)
    ]
    colour, alpha = np.stack(channels[:3], axis=-1), np.clip(channels[3], 0, 1)[..., None]
    straight = np.clip(colour / np.maximum(alpha, 1e-6), 0, 1)
    resampled = np.concatenate([straight, alpha], axis=-1) * 255 + 0.5
    return np.where(alpha < 0.5 / 255, 0, resampled).astype(np.uint8)


def _rendering(path: Path, row: Float64Array) -> Picture:
    azimuth, elevation, roll, distance_ratio, _ = row.tolist()
    if roll != 0 or distance_ratio <= 0:
        raise UnreadableModel(
            f"{path}: expected an in-plane rotation of 0 and a positive distance ratio in its metadata, found {roll:g} and"
            f" {distance_ratio:g}"
        )
    image = _opened(path, "PNG")
    if image.mode != "RGBA" or image.size != (SIZE, SIZE):
        width, height = image.size
        raise UnreadableModel(f"{path}: expected {SIZE}x{SIZE} pixels with RGBA channels, found {width}x{height} {image.mode}")
    rgba = np.array(image)
    if not (rgba[..., 3] > 127).any():
        raise UnreadableModel(f"{path}: expected an object in the picture, found it transparent")
    low, high = ELEVATIONS
    remark = "" if low <= elevation <= high else f"elevation outside {low:g} to {high:g} degrees"
    return Picture(rgba, rendering_camera(azimuth, elevation, distance_ratio), remark)


def _opened(path: Path, form: str) -> Image.Image:
    """A picture with all its pixels; UnreadableModel when it is missing, damaged or of another format."""
    try:
        with Image.open(path, formats=[form]) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for a broken chunk
        raise UnreadableModel(f"{path}: expected a complete {form} file, found: {error}") from error


def _lines(path: Path) -> list[str]:
    """The lines that hold something, of either line ending."""
    try:
        return [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableModel(f"{path}: expected a text file, found: {error}") from error


def _camera_matrices(path: Path, count: int) -> list[tuple[Float64Array, Float64Array]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            pairs = [
                (file[f"world_mat_{n}"].astype(np.float64), file[f"camera_mat_{n}"].astype(np.float64)) for n in range(count)
            ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableModel(
            f"{path}: expected world_mat_<n> and camera_mat_<n> for {count} pictures, found: {error}"
        ) from error
    for number, (world, intrinsic) in enumerate(pairs):
        fits = world.shape == (3, 4) and intrinsic.shape == (3, 3)
        rigid = fits and np.allclose(world[:, :3] @ world[:, :3].T, np.eye(3), atol=1e-4) and np.linalg.det(world[:, :3]) > 0
        if not (rigid and np.isfinite(world).all() and intrinsic[0, 0] > 0):
            raise UnreadableModel(
                f"{path}: expected world_mat_{number} (3, 4) to turn and move and camera_mat_{number} (3, 3) to have a focal"
                f" length, found {world.tolist()} and {intrinsic.tolist()}"
            )
    return pairs


def _camera_from_matrices(world: Float64Array, intrinsic: Float64Array, width: int) -> ExternalCamera:
    """x right, y down, z forward (OccNet:im2mesh/common.py) -> right, up, towards the viewer.

    The intrinsics are those of pictures twice their principal point wide, whatever size the files have by now.
    """
    scale = width / (2 * intrinsic[0, 2])
    rotation, translation = world[:, :3], world[:, 3]
    axes = np.diag([1.0, -1, -1]) @ rotation
    return ExternalCamera(float(intrinsic[0, 0] * scale), intrinsic[:2, 2] * scale, axes, -rotation.T @ translation)


def _foreground(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) -> (H, W) uint8, 0 for what is near white and connected to the border, 255 for the rest."""
    white = (rgb.min(axis=2) >= BACKGROUND).astype(np.uint8)
    framed = np.pad(white, 1, constant_values=1)
    _, pieces = cv2.connectedComponents(framed, connectivity=4)
    return np.where(pieces[1:-1, 1:-1] == pieces[0, 0], 0, 255).astype(np.uint8)

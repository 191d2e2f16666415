"""The prepared-shape file: one object, its labelled points and its photographs, in one uncompressed `.npz`."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from model.camera import Camera, CameraKind, OrthographicCamera, PinholeCamera, ViewFrame
from training.errors import TrainingError
from training.rendering.cameras import Pose
from training.rendering.views import View
from training.sampling.pools import POINT_STEPS

# Array -> kind and item size, and shape; a letter is a length that must agree wherever it stands, None any length.
LAYOUT: dict[str, tuple[str, tuple[int | str | None, ...]]] = {
    "vertices": ("f4", (None, 3)),
    "faces": ("i4", (None, 3)),
    "points": ("i2", ("N", 3)),
    "distance": ("f4", ("N",)),
    "near_count": ("i8", ()),
    "image_bytes": ("u1", (None,)),
    "image_offsets": ("i8", ("V+1",)),
    "shadow_bytes": ("u1", (None,)),
    "shadow_offsets": ("i8", ("V+1",)),
    "rotation": ("f4", ("V", 3, 3)),
    "pinhole_scale": ("f4", ("V",)),
    "pinhole_translation": ("f4", ("V", 3)),
    "camera_distance": ("f4", ("V",)),
    "camera_offset": ("f4", ("V", 2)),
    "orthographic_scale": ("f4", ("V",)),
    "orthographic_translation": ("f4", ("V", 3)),
    "pose": ("f4", ("V", 5)),
}
POSE = tuple(column.name for column in fields(Pose))
ORIGIN = "origin"  # the one entry beside the layout: where the shape comes from, JSON text as bytes


class ShapeFileError(TrainingError):
    """A prepared-shape file is missing, damaged or of another layout; the message names the file."""


@dataclass(frozen=True)
class PreparedShape:
    """An object with V views and N labelled points. view = scale * rotation @ object + translation, for either camera.

    vertices: (n, 3) float32, object frame, in the sphere of radius 0.5. faces: (m, 3) int32.
    points: (N, 3) int16, object coordinate = value / 32767. distance: (N,) float32, object units, negative inside the solid.
    near_count: the first points lie near the surface, the rest are uniform; each part is in random order.
    image_bytes: uint8, V PNG files (RGBA, straight alpha, square) one after the other; image_offsets: (V + 1,) int64.
    shadow_bytes, shadow_offsets: in the same way V grey PNG files, how the object's shadow darkens what lies behind it.
    rotation: (V, 3, 3) float32, camera axes as rows.
    pinhole_scale (V,), pinhole_translation (V, 3), camera_distance (V,), camera_offset (V, 2): float32, exact.
    orthographic_scale (V,), orthographic_translation (V, 3): float32, least squares over the surface.
    pose: (V, 5) float32, the fields of `Pose` in their order: for people and statistics, nothing is computed from it.
    origin: what the shape was made from (name, family, recipe, ...), JSON values.
    """

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    points: npt.NDArray[np.int16]
    distance: npt.NDArray[np.float32]
    near_count: int
    image_bytes: npt.NDArray[np.uint8]
    image_offsets: npt.NDArray[np.int64]
    shadow_bytes: npt.NDArray[np.uint8]
    shadow_offsets: npt.NDArray[np.int64]
    rotation: npt.NDArray[np.float32]
    pinhole_scale: npt.NDArray[np.float32]
    pinhole_translation: npt.NDArray[np.float32]
    camera_distance: npt.NDArray[np.float32]
    camera_offset: npt.NDArray[np.float32]
    orthographic_scale: npt.NDArray[np.float32]
    orthographic_translation: npt.NDArray[np.float32]
    pose: npt.NDArray[np.float32]
    origin: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths: dict[str, int] = {}
        for name, (dtype, shape) in LAYOUT.items():
            _check_array(name, np.asarray(getattr(self, name)), dtype, shape, lengths)
        if not 0 <= self.near_count <= len(self.points):
            raise ShapeFileError(f"near_count: expected 0 to {len(self.points)} (points), found {self.near_count}")
        for name, ends, size in (
            ("image_offsets", self.image_offsets, len(self.image_bytes)),
            ("shadow_offsets", self.shadow_offsets, len(self.shadow_bytes)),
        ):
            if not (ends[0] == 0 and ends[-1] == size and (np.diff(ends) > 0).all()):
                raise ShapeFileError(f"{name}: expected to rise from 0 to {size}, found {ends.tolist()}")

    @property
    def view_count(self) -> int:
        return len(self.rotation)

    @property
    def points_object(self) -> npt.NDArray[np.float32]:
        """The labelled points, (N, 3) float32, object frame."""
        return self.points.astype(np.float32) / np.float32(POINT_STEPS)

    def image(self, view: int) -> npt.NDArray[np.uint8]:
        """(S, S, 4) uint8, straight alpha, row 0 at the top."""
        start, end = self.image_offsets[view : view + 2]
        return _picture(self.image_bytes[start:end], "RGBA")

    def shadow(self, view: int) -> npt.NDArray[np.uint8]:
        """(S, S) uint8: the factor that darkens a background behind the object, 255 for none; row 0 at the top."""
        start, end = self.shadow_offsets[view : view + 2]
        return _picture(self.shadow_bytes[start:end], "L")

    def frame(self, view: int, camera_kind: CameraKind) -> ViewFrame:
        """The view frame of one picture, as that camera sees it."""
        if camera_kind == "pinhole":
            scale, translation = self.pinhole_scale[view], self.pinhole_translation[view]
        else:
            scale, translation = self.orthographic_scale[view], self.orthographic_translation[view]
        return ViewFrame(self.rotation[view], float(scale), translation)

    def camera(self, view: int, camera_kind: CameraKind) -> Camera:
        """The camera of one picture; an orthographic one is the same everywhere."""
        if camera_kind == "orthographic":
            return OrthographicCamera()
        x, y = self.camera_offset[view]
        return PinholeCamera(float(self.camera_distance[view]), float(x), float(y))

    def with_origin(self, origin: dict[str, Any]) -> Self:
        """The same shape with another account of where it comes from."""
        return replace(self, origin=origin)

    def write(self, path: Path) -> None:
        """Writes the file in one step: it is there completely or not at all. Same content, same bytes."""
        arrays = {name: np.asarray(getattr(self, name)) for name in LAYOUT}
        arrays[ORIGIN] = np.frombuffer(json.dumps(self.origin, sort_keys=True).encode(), np.uint8)
        partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and checks a file."""
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                missing = sorted(set(LAYOUT) - set(file.files))
                if missing:
                    raise ShapeFileError(f"expected the arrays {', '.join(LAYOUT)}, found none named {', '.join(missing)}")
                origin = json.loads(file[ORIGIN].tobytes()) if ORIGIN in file.files else {}
                arrays = {name: file[name] for name in LAYOUT}
                _check_array("near_count", arrays["near_count"], "i8", (), {})
                return cls(**{**arrays, "near_count": int(arrays["near_count"])}, origin=origin)
        except ShapeFileError as error:
            raise ShapeFileError(f"{path}: {error}") from error
        except Exception as error:  # the readers beneath raise whatever a damaged file leads them to
            raise ShapeFileError(f"{path}: expected a prepared shape (.npz), found: {error}") from error


def view_arrays(views: Sequence[View]) -> dict[str, npt.NDArray[Any]]:
    """The image and camera arrays of a `PreparedShape`."""
    images, shadows = [_png(view.image) for view in views], [_png(view.shadow) for view in views]
    cameras = [view.camera for view in views]
    return {
        "image_bytes": np.frombuffer(b"".join(images), np.uint8),
        "image_offsets": np.cumsum([0, *map(len, images)], dtype=np.int64),
        "shadow_bytes": np.frombuffer(b"".join(shadows), np.uint8),
        "shadow_offsets": np.cumsum([0, *map(len, shadows)], dtype=np.int64),
        "rotation": np.array([c.crop.rotation for c in cameras], np.float32),
        "pinhole_scale": np.array([c.pinhole_frame.scale for c in cameras], np.float32),
        "pinhole_translation": np.array([c.pinhole_frame.translation for c in cameras], np.float32),
        "camera_distance": np.array([c.pinhole.distance for c in cameras], np.float32),
        "camera_offset": np.array([(c.pinhole.offset_x, c.pinhole.offset_y) for c in cameras], np.float32),
        "orthographic_scale": np.array([c.orthographic_frame.scale for c in cameras], np.float32),
        "orthographic_translation": np.array([c.orthographic_frame.translation for c in cameras], np.float32),
        "pose": np.array([astuple(view.pose) for view in views], np.float32),
    }


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=4)
    return file.getvalue()


def _picture(content: npt.NDArray[np.uint8], mode: str) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(content.tobytes())) as image:
        return np.array(image.convert(mode))


def _check_array(
    name: str, array: npt.NDArray[Any], dtype: str, shape: tuple[int | str | None, ...], lengths: dict[str, int]
) -> None:
    """Compares one array with its line of `LAYOUT`; `lengths` collects what the letters stand for."""
    expected = f"{name}: expected ({', '.join('any' if n is None else str(n) for n in shape)}) {dtype}"
    found = f"found {array.shape} {array.dtype.str[1:]}"
    if array.dtype != np.dtype(dtype) or array.ndim != len(shape):
        raise ShapeFileError(f"{expected}, {found}")
    for length, wanted in zip(array.shape, shape, strict=True):
        if isinstance(wanted, str):
            letter, extra = wanted[0], wanted.count("+1")
            wanted = lengths.setdefault(letter, length - extra) + extra
        if wanted is not None and length != wanted:
            meaning = ", ".join(f"{letter} = {n}" for letter, n in lengths.items())
            raise ShapeFileError(f"{expected} with {meaning}, {found}")


assert set(LAYOUT) | {ORIGIN} == {f.name for f in fields(PreparedShape)}

"""Bytes -> photo -> what the network sees: orientation, mask, square crop on white, and the camera that belongs to it.

Pixels of the upright image: x to the right and y downwards from its top left corner, so that pixel centres lie at halves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from io import BytesIO
from typing import Literal, cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from model.camera import FILL, MIN_DISTANCE, Camera, CameraKind, OrthographicCamera, PinholeCamera
from model.errors import CameraTooClose, ImageTooLarge, InvalidMask, UnreadableImage, UnsupportedImage

FloatImage = npt.NDArray[np.float32]
CameraSource = Literal["request", "photo", "bundle"]

MAX_PIXELS = 50_000_000
PLAUSIBLE_DISTANCE = 1.0  # crop sides; a focal length that puts the camera nearer is that of a larger picture, cropped since
OUTLINE_SIZE = 256  # pixels along the side of a prepared silhouette
VISIBLE_COVERAGE = 8 / 255  # a pixel with less of the object in it does not count for the silhouette box
LONGEST_35MM = 10_000.0  # millimetres; no lens is longer, and what claims to be is damaged
FULL_FRAME_DIAGONAL = 43.2666  # millimetres, to which EXIF's FocalLengthIn35mmFilm refers


def _heic(data: BytesIO) -> ImageFile.ImageFile:
    """The class of pi-heif, which is an extra. It obeys the container's own rotation and says so by an EXIF orientation of 1."""
    image: ImageFile.ImageFile = import_module("pi_heif").HeifImageFile(data)
    return image


# Classes of Pillow's kind, chosen by signature: `Image.open` would judge the size by its own limit, with a warning, before ours.
DECODERS: tuple[tuple[Callable[[bytes], bool], Callable[[BytesIO], ImageFile.ImageFile]], ...] = (
    (lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    (lambda head: head.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    (lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    (lambda head: head.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
    (lambda head: head[:4] in (b"II*\x00", b"MM\x00*"), TiffImagePlugin.TiffImageFile),
    (lambda head: head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1"), _heic),
)
ACCEPTED = "PNG, JPEG, WebP, BMP, TIFF or HEIC"
HEIC_HINT = "reading HEIC takes the extra heic (pip install pi-heif)"

EXIF_ORIENTATION, EXIF_IFD, EXIF_FOCAL_LENGTH_35MM = 0x0112, 0x8769, 0xA405
UPRIGHT_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Photo:
    """An upright image and what it knows of its camera.

    rgb: (H, W, 3) uint8, not premultiplied; alpha: (H, W) uint8, 255 opaque, or None without an alpha channel.
    focal_length_px: pixels of the upright image, or None; principal_point: its (x, y) in pixels, None for the image's centre.
    """

    rgb: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    focal_length_px: float | None = None
    principal_point: tuple[float, float] | None = None


@dataclass(frozen=True)
class Box:
    """The edges of a silhouette in pixels from the left and the top edge of the image, to a fraction of a pixel."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True)
class Crop:
    """A square of the upright image, in its pixels; it may reach outside the image."""

    centre_x: float
    centre_y: float
    side: float


@dataclass(frozen=True)
class PreparedImage:
    """What the network sees, and from where.

    pixels: (3, S, S) float32 RGB in [0, 1] on white, not yet normalised; silhouette: (T, T) float32 coverage in [0, 1], T at
    least OUTLINE_SIZE, so that a mesh's outline need not be as coarse as the network's picture; row 0 is the top of the crop.
    foreground: (H, W) uint8 coverage of the upright photo, 255 where a pixel shows nothing but the object.
    """

    pixels: FloatImage
    silhouette: FloatImage
    foreground: npt.NDArray[np.uint8]
    crop: Crop
    camera: Camera
    camera_source: CameraSource
    """What tells the pinhole's distance: the request's focal length, the photo's, or else the bundle's default."""


def read_photo(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """A PNG, JPEG, WebP, BMP, TIFF or HEIC file, turned upright; of an animation, the first frame."""
    return _decode(data, max_pixels, what="image")


def read_mask(data: bytes, photo: Photo, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.bool_]:
    """(H, W) bool, as large as the photo: True where the mask is white, or opaque if it has transparent pixels."""
    mask = _decode(data, max_pixels, what="mask")
    rgb, alpha = mask.rgb, mask.alpha
    height, width = photo.rgb.shape[:2]
    if rgb.shape[:2] != (height, width):
        raise InvalidMask(f"mask: expected {width}x{height} pixels as the upright image, got {rgb.shape[1]}x{rgb.shape[0]}")
    if alpha is not None and alpha.min() < 255:
        return alpha > 127
    return cast(npt.NDArray[np.bool_], rgb.mean(axis=2) > 127)


def silhouette_box(coverage: FloatImage) -> Box | None:
    """The box around the visible part of (H, W) coverage in [0, 1], or None when nothing is visible.

    An outermost pixel counts by its coverage, so that the box of an anti-aliased silhouette is that of the object itself.
    """
    across, along = coverage.max(axis=0), coverage.max(axis=1)
    columns, rows = np.flatnonzero(across > VISIBLE_COVERAGE), np.flatnonzero(along > VISIBLE_COVERAGE)
    if not len(columns):
        return None
    left, right, top, bottom = int(columns[0]), int(columns[-1]), int(rows[0]), int(rows[-1])
    return Box(
        left=left + 1 - float(across[left]),
        top=top + 1 - float(along[top]),
        right=right + float(across[right]),
        bottom=bottom + float(along[bottom]),
    )


def prepare(
    photo: Photo,
    foreground: FloatImage,
    size: int,
    camera_kind: CameraKind,
    default_distance: float,
    focal_length_px: float | None = None,
) -> PreparedImage:
    """The object's square crop, `size` pixels wide, composited on white, and its camera.

    foreground: (H, W) float32 coverage in [0, 1] with something visible in it (`find_foreground`).
    default_distance: the pinhole's distance in crop sides when the photo's focal length is unknown or not plausible.
    focal_length_px: pixels of the upright photo, before the photo's own; raises CameraTooClose when it is not plausible.
    """
    box = silhouette_box(foreground)
    if box is None:
        raise ValueError("foreground: expected coverage with an object in it, got none")
    crop = Crop((box.left + box.right) / 2, (box.top + box.bottom) / 2, max(box.width, box.height) / FILL)
    window, seen = _window(crop, size)
    covered = foreground[window]
    # Colour counts where it is both part of the object and opaque: what an image holds under alpha 0 is arbitrary, often black.
    opacity = covered if photo.alpha is None else np.minimum(covered, photo.alpha[window] * np.float32(1 / 255))
    white = 1 - _resample(opacity, seen, size)
    colours = np.moveaxis(photo.rgb[window], 2, 0)
    channels = [_resample(colour * np.float32(1 / 255) * opacity, seen, size) + white for colour in colours]
    camera, camera_source = _camera(photo, crop, camera_kind, default_distance, focal_length_px)
    return PreparedImage(
        pixels=np.clip(np.stack(channels), 0, 1),
        silhouette=np.clip(_resample(covered, seen, max(size, OUTLINE_SIZE)), 0, 1),
        foreground=cast(npt.NDArray[np.uint8], cv2.convertScaleAbs(foreground, alpha=255)),
        crop=crop,
        camera=camera,
        camera_source=camera_source,
    )


def _camera(
    photo: Photo, crop: Crop, kind: CameraKind, default_distance: float, focal_length_px: float | None
) -> tuple[Camera, CameraSource]:
    """The camera in the crop's units: distance = focal length / side, offset = (crop centre - principal point) / side, y up."""
    if kind == "orthographic":
        return OrthographicCamera(), "bundle"
    distance, source = _distance(photo, crop, default_distance, focal_length_px)
    height, width = photo.rgb.shape[:2]
    principal_x, principal_y = photo.principal_point or (width / 2, height / 2)
    return PinholeCamera(distance, (crop.centre_x - principal_x) / crop.side, (principal_y - crop.centre_y) / crop.side), source


def _distance(photo: Photo, crop: Crop, default_distance: float, focal_length_px: float | None) -> tuple[float, CameraSource]:
    """The pinhole's distance in crop sides, and what tells it. Of another picture is only the photo's own focal length: what a
    caller says of this one has to fit it."""
    if focal_length_px is not None:
        if not focal_length_px > MIN_DISTANCE * crop.side:
            raise CameraTooClose(
                f"focal_length_px: expected more than {MIN_DISTANCE * crop.side:.4g} pixels of the upright image, {MIN_DISTANCE}"
                f" sides of the object's crop (a nearer camera would stand inside the object's volume), got {focal_length_px:g}"
            )
        return focal_length_px / crop.side, "request"
    distance = (photo.focal_length_px or 0.0) / crop.side
    return (distance, "photo") if distance > PLAUSIBLE_DISTANCE else (default_distance, "bundle")


def _window(crop: Crop, size: int) -> tuple[tuple[slice, slice], Crop]:
    """The rows and columns of a photo that a crop of `size` pixels or more is resampled from, and the crop within them.

    The rest of a large photo need not be computed with.
    """
    half = crop.side / 2 + _reach(crop.side / size)
    top, left = max(0, math.floor(crop.centre_y - half)), max(0, math.floor(crop.centre_x - half))
    rows, columns = slice(top, math.ceil(crop.centre_y + half)), slice(left, math.ceil(crop.centre_x + half))
    return (rows, columns), replace(crop, centre_x=crop.centre_x - left, centre_y=crop.centre_y - top)


def _reach(step: float) -> int:
    """Pixels of the photo beside a place that its resampling looks at, when pixels of the result are `step` of them apart."""
    return math.ceil(max(step, 1.0)) + 1


def _resample(channel: FloatImage, crop: Crop, size: int) -> FloatImage:
    """(H, W) -> (size, size): the crop at its exact place, anti-aliased, 0 outside the image."""
    left, top = crop.centre_x - crop.side / 2, crop.centre_y - crop.side / 2
    across = _resample_rows(channel, left, crop.side, size)
    return _resample_rows(across.T, top, crop.side, size).T


def _resample_rows(channel: FloatImage, start: float, length: float, size: int) -> FloatImage:
    """(h, w) -> (h, size): each row's pixels from `start` to `start + length`, 0 outside.

    Only the part that meets the image is padded, so a narrow image costs no square of its length.
    """
    step = length / size
    reach = _reach(step)
    first = max(0, math.floor((-reach - start) / step))
    end = min(size, math.ceil((channel.shape[1] + reach - start) / step))
    low, high = math.floor(start + first * step) - reach, math.ceil(start + end * step) + reach
    window = np.pad(
        channel[:, max(low, 0) : min(high, channel.shape[1])], ((0, 0), (max(-low, 0), max(high - channel.shape[1], 0)))
    )
    box = (start + first * step - low, 0, start + end * step - low, len(window))
    # Hamming: as sharp as an area average, exact at sub-pixel places, the identity at scale 1, and never below 0.
    part = Image.fromarray(window).resize((end - first, len(window)), Image.Resampling.HAMMING, box=box, reducing_gap=3.0)
    resampled = np.zeros((len(channel), size), np.float32)
    resampled[:, first:end] = np.asarray(part)
    return resampled


def _decode(data: bytes, max_pixels: int, what: str) -> Photo:
    """The upright image. The size is judged by the header, before any pixel is decoded."""
    if not data:
        raise UnreadableImage(f"{what}: expected a {ACCEPTED} file, got 0 bytes")
    decoder = next((decoder for is_ours, decoder in DECODERS if is_ours(data[:12])), None)
    if decoder is None:
        raise UnsupportedImage(f"{what}: expected a {ACCEPTED} file, got {_describe(data)}")
    try:
        image = decoder(BytesIO(data))
        _check_size(image, max_pixels, what)
        image.load()
        _check_size(image, max_pixels, what)  # HEIC's header may tell another size than the picture in it
        upright, focal_length_px = _upright(image)
        return Photo(*_colour_and_alpha(upright), focal_length_px)
    except UnreadableImage:
        raise
    except ModuleNotFoundError as error:
        raise UnsupportedImage(f"{what}: expected a {ACCEPTED} file, got {_describe(data)}; {HEIC_HINT}") from error
    except Image.DecompressionBombError as error:  # WebP's decoder and TIFF tiles, before their size is known here
        raise ImageTooLarge(f"{what}: expected at most {max_pixels:,} pixels, got more: {error}") from error
    except Exception as error:  # decoders raise whatever their parsing trips over: hostile bytes are no fault of ours
        raise UnreadableImage(f"{what}: expected a complete {ACCEPTED} file, got {len(data):,} bytes: {error}") from error


def _check_size(image: Image.Image, max_pixels: int, what: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLarge(f"{what}: expected at most {max_pixels:,} pixels, got {width}x{height} = {width * height:,}")


def _describe(data: bytes) -> str:
    """What bytes that are no accepted image seem to be."""
    head = data[:256].lstrip()
    if data[4:8] == b"ftyp":
        return "an HEIC, AVIF or video file"
    if data.startswith(b"GIF8"):
        return "a GIF file"
    if data.startswith(b"%PDF"):
        return "a PDF file"
    if b"<svg" in data[:1024] or head.startswith(b"<?xml"):
        return "an SVG or XML file"
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head) and head.isascii():
        return "text"
    return f"bytes that start with {data[:8].hex(' ')}"


def _upright(image: Image.Image) -> tuple[Image.Image, float | None]:
    """The image as its EXIF orientation wants it seen, and EXIF's focal length in pixels; damaged EXIF counts as none."""
    try:
        exif = image.getexif()
        turn = UPRIGHT_BY_ORIENTATION.get(exif.get(EXIF_ORIENTATION, 1))
        focal_length_35mm = float(exif.get_ifd(EXIF_IFD).get(EXIF_FOCAL_LENGTH_35MM, 0))
    except Exception:  # noqa: BLE001 - EXIF is hostile input too, and a photo is usable without it
        return image, None
    diagonal_px = math.hypot(*image.size)
    known = 0 < focal_length_35mm <= LONGEST_35MM
    focal_length_px = focal_length_35mm * diagonal_px / FULL_FRAME_DIAGONAL if known else None
    return (image if turn is None else image.transpose(turn)), focal_length_px


def _colour_and_alpha(image: Image.Image) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]:
    """(H, W, 3) and (H, W) uint8 of any mode; alpha is None for an image without transparency."""
    if image.mode[0] in "IF":  # 16 and 32 bits a pixel, grey
        grey = _to_8_bits(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2), None
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        return np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB")), None


def _to_8_bits(grey: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Grey values of 16-bit integers, or of numbers whose white is taken as 1, 255 or 65535, whichever holds the largest."""
    values = np.nan_to_num(grey.astype(np.float32))
    if grey.dtype.itemsize == 2 and grey.dtype.kind == "u":
        white = 65535.0
    else:
        white = next(white for white in (1.0, 255.0, max(65535.0, float(values.max()))) if values.max() <= white)
    return cast(npt.NDArray[np.uint8], np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8))

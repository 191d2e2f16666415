"""Which pixels of a photo show the object: by alpha, by a given mask, by a uniform border, else by GrabCut."""

from typing import Literal, cast

import cv2
import numpy as np
import numpy.typing as npt

from model.errors import InvalidOption, NoForeground
from model.image import VISIBLE_COVERAGE, Photo, silhouette_box

Background = Literal["auto", "alpha", "mask", "none"]
Coverage = npt.NDArray[np.float32]  # (H, W) share of each pixel that the object covers, in [0, 1]
Mask = npt.NDArray[np.bool_]  # (H, W)
Model = npt.NDArray[np.float64]  # (1, 65) OpenCV's mixture of five Gaussian colours

TRANSPARENT_SHARE = 0.01  # of the pixels of an image whose alpha channel tells the background
SMALLEST_BOX = 4  # pixels: a silhouette box with a shorter longer side says nothing about a shape
SPECK = 0.01  # components below this share of the largest one's pixels are dust
UNIFORM_SHARE = 0.9  # share of the border's pixels that must have the border's colour
BORDER_TOLERANCE = 12.0  # CIELAB units between two pixels of one background: sensor noise, JPEG, soft shading
SHADOW_DARKENING = 35.0  # CIELAB lightness that a soft shadow takes from the background
SHADOW_CHROMA = 6.0  # CIELAB units by which it changes the background's hue
SHADOW_SLOPE = 3.0  # CIELAB lightness per pixel by which it changes at most
SHADOW_KEEPS = 0.6  # share of the object that must remain without its shadow
WHITE_LIGHTNESS = 95.0  # CIELAB lightness of a background that is white in the crop as well
OPENING_TOLERANCE = 6.0  # CIELAB units between the border and what is seen of it through the object
OPENING_SHARE = 5e-4  # share of the image that such an opening has at least
UNIFORM_SIDE = 1024  # pixels of the longer side on which colours are compared with the border's
GRABCUT_SIDES = 192, 384  # pixels of the longer side on which GrabCut runs, coarse and fine
GRABCUT_MARGIN = 0.04  # share of each side outside the initial rectangle
GRABCUT_ROUNDS = 4  # on the coarse copy; one on the fine
EDGE_SIGMA = 0.6  # pixels of the segmented copy


def find_foreground(photo: Photo, mask: Mask | None = None, background: Background = "auto") -> Coverage:
    """Coverage of the object, (H, W) float32 in [0, 1], specks removed.

    auto: the given mask, else alpha that is not opaque nearly everywhere, else a border of one colour, else GrabCut.
    alpha, mask: that source and no other. none: the whole image is the object.
    """
    coverage = _coverage(photo, mask, background)
    box = silhouette_box(coverage)
    if box is None or max(box.width, box.height) < SMALLEST_BOX:
        found = "nothing" if box is None else f"{box.width:.3g}x{box.height:.3g} pixels"
        height, width = coverage.shape
        raise NoForeground(f"object: expected at least {SMALLEST_BOX} pixels across in the {width}x{height} image, found {found}")
    return coverage


def _coverage(photo: Photo, mask: Mask | None, background: Background) -> Coverage:
    """The chosen source's coverage, without specks."""
    if background == "none":
        return np.ones(photo.rgb.shape[:2], np.float32)
    if background == "mask" or (background == "auto" and mask is not None):
        if mask is None:
            raise InvalidOption("background: 'mask' expects a mask beside the image, got none")
        return _without_specks(mask.astype(np.float32))
    if background == "alpha" or (background == "auto" and _tells_background(photo.alpha)):
        if photo.alpha is None:
            raise InvalidOption("background: 'alpha' expects an image with an alpha channel, got one without")
        return _without_specks(photo.alpha.astype(np.float32) / np.float32(255))
    if background != "auto":
        raise InvalidOption(f"background: expected auto, alpha, mask or none, got {background!r}")
    differs = _by_uniform_border(photo.rgb)
    return _by_grabcut(photo.rgb) if differs is None else differs


def _tells_background(alpha: npt.NDArray[np.uint8] | None) -> bool:
    """Whether an alpha channel cuts something out; rounded corners of a screenshot do not."""
    return alpha is not None and float((alpha < 128).mean()) >= TRANSPARENT_SHARE


def _by_uniform_border(rgb: npt.NDArray[np.uint8]) -> Coverage | None:
    """What differs from a border of (nearly) one colour, or None when the border has several.

    Background is what has the border's colour and is joined to it, so that highlights and parts of that colour stay with the
    object; a soft shadow is background too.
    """
    small = _shrunk(rgb, UNIFORM_SIDE).astype(np.float32) / np.float32(255)
    lab = cast(npt.NDArray[np.float32], cv2.cvtColor(small, cv2.COLOR_RGB2LAB))
    border = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    colour = np.median(border, axis=0)
    if np.mean(np.linalg.norm(border - colour, axis=1) < BORDER_TOLERANCE) < UNIFORM_SHARE:
        return None
    difference = np.linalg.norm(lab - colour, axis=2)
    alike = difference < BORDER_TOLERANCE
    background = _joined_to_border(alike) | _openings(difference, colour)
    with_shadow = background | _joined_to_border(alike | _is_shadow(lab, colour))
    # A soft-edged grey part looks like a shadow: what would take most of the object is none.
    shadow_is_small = np.mean(~with_shadow) > SHADOW_KEEPS * np.mean(~background)
    return _enlarged(~(with_shadow if shadow_is_small else background), rgb)


def _openings(difference: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]) -> Mask:
    """Enclosed patches of the border's own colour, as seen through a ring; none on white, where they could be highlights
    and where taking them for the object costs nothing: the crop is composited on white."""
    if colour[0] > WHITE_LIGHTNESS:
        return np.zeros(difference.shape, np.bool_)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((difference < OPENING_TOLERANCE).astype(np.uint8), connectivity=4)
    large = statistics[:, cv2.CC_STAT_AREA] > OPENING_SHARE * difference.size
    large[0] = False  # label 0: everything of another colour
    return cast(Mask, large[labels])


def _is_shadow(lab: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]) -> Mask:
    """Somewhat darker than the background, of its hue, and changing slowly, unlike an object's edge."""
    darker = colour[0] - lab[..., 0]
    dimmed = lab[..., :1] / max(float(colour[0]), 1.0) * colour[1:]  # colour fades with the light
    chroma = np.linalg.norm(lab[..., 1:] - dimmed, axis=2)
    smooth = cv2.GaussianBlur(lab[..., 0], (0, 0), 1.0)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8))
    return cast(Mask, (darker > 0) & (darker < SHADOW_DARKENING) & (chroma < SHADOW_CHROMA) & (slope < SHADOW_SLOPE))


def _joined_to_border(mask: Mask) -> Mask:
    """The parts of a mask that touch the image's border."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    at_border = np.zeros(labels.max() + 1, np.bool_)
    at_border[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    at_border[0] = False
    return cast(Mask, at_border[labels])


def _by_grabcut(rgb: npt.NDArray[np.uint8]) -> Coverage:
    """GrabCut, started from a centred rectangle on a coarse copy; on a finer one it starts from what was found.

    C. Rother et al., "GrabCut": interactive foreground extraction using iterated graph cuts, SIGGRAPH 2004. The finer copy alone
    takes five times as long, and keeps more of a background that has a texture.
    """
    coarse, fine = (np.ascontiguousarray(_shrunk(rgb, side)[..., ::-1]) for side in GRABCUT_SIDES)  # OpenCV's BGR
    labels, models = _cut_from_rectangle(coarse)
    if fine.shape != coarse.shape:
        if _is_object(labels).any():
            labels = np.asarray(cv2.resize(labels, fine.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
            cv2.grabCut(fine, labels, (0, 0, 0, 0), *models, 1, cv2.GC_EVAL)
        else:  # too thin for the coarse copy, or before a pattern of its own width
            labels, _ = _cut_from_rectangle(fine)
    return _enlarged(_is_object(labels), rgb)


def _cut_from_rectangle(bgr: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], tuple[Model, Model]]:
    """OpenCV's labels (h, w), all background where there is no room for a rectangle, and its two mixtures of colours."""
    height, width = bgr.shape[:2]
    left, top = max(1, round(width * GRABCUT_MARGIN)), max(1, round(height * GRABCUT_MARGIN))
    labels, models = np.full((height, width), cv2.GC_BGD, np.uint8), (np.zeros((1, 65)), np.zeros((1, 65)))
    box = left, top, width - 2 * left, height - 2 * top
    if min(box[2:]) >= SMALLEST_BOX:
        cv2.setRNGSeed(0)  # the mixtures start from random clusters
        cv2.grabCut(bgr, labels, box, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_RECT)
    return labels, models


def _is_object(labels: npt.NDArray[np.uint8]) -> Mask:
    return cast(Mask, (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def _shrunk(rgb: npt.NDArray[np.uint8], longest: int) -> npt.NDArray[np.uint8]:
    """The image with a longer side of at most `longest` pixels."""
    height, width = rgb.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cast(npt.NDArray[np.uint8], cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def _enlarged(mask: Mask, rgb: npt.NDArray[np.uint8]) -> Coverage:
    """A (shrunk) image's mask, without its specks, as coverage of the image's own pixels; its edge is smoothed over about a
    pixel of the mask."""
    soft = cv2.GaussianBlur(_without_specks(mask.astype(np.float32)), (0, 0), EDGE_SIGMA)
    height, width = rgb.shape[:2]
    return cast(Coverage, cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR))


def _without_specks(coverage: Coverage) -> Coverage:
    """Coverage without the components that are small beside the largest one."""
    visible = (coverage > VISIBLE_COVERAGE).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(visible, connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA]
    if len(areas) <= 2:
        return coverage
    kept = areas >= SPECK * areas[1:].max()
    kept[0] = False
    return np.where(kept[labels], coverage, np.float32(0))

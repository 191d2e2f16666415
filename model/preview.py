"""Pictures of a mesh without a graphics driver: a scanline z-buffer in NumPy.

Pixels: x to the right, y downwards, centres at halves. A pixel belongs to a triangle when its centre lies inside.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from model.formats.glb import vertex_normals
from model.mesh import Mesh

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PICTURE_FILL = 0.9  # share of the picture that the object's longer side takes
SUPERSAMPLING = 2  # pixels rendered along each pixel of the picture
CREASE_COSINE = 0.77  # a corner whose smooth normal turns by more than 40 degrees from its face is shaded flat
PIXELS_AT_ONCE = 1_000_000  # bounds the memory
EDGE_SLACK = 1e-6  # pixels by which spans overlap, so that rounding leaves no cracks between triangles

# Directions towards the lights in the camera's frame, and their strengths: a key from above left, a fill from the right.
LIGHTS = ((np.array([-0.45, 0.65, 0.62]), 0.62), (np.array([0.75, 0.1, 0.65]), 0.22))
AMBIENT = 0.26
ALBEDO = np.array([0.80, 0.84, 0.90])
OCCLUSION_RADIUS = 0.02  # share of the picture within which a nearer surface takes ambient light away
OCCLUSION_DEPTH = 0.04  # by how much nearer, in pictures, for the full effect
OCCLUSION = 0.45


@dataclass(frozen=True)
class _Spans:
    """Runs of pixels: triangle `face` covers the columns [first, end) of `row`; each (k,) int64."""

    face: IntArray
    row: IntArray
    first: IntArray
    end: IntArray


def render_preview(mesh: Mesh, azimuth_degrees: float, elevation_degrees: float, size: int = 384) -> npt.NDArray[np.uint8]:
    """(size, size, 3) uint8: the mesh in soft light on white, by a parallel projection that fits it into the picture.

    Azimuth 0, elevation 0 looks along -z, as the photo did; the camera goes to the right (+x) with azimuth and up with elevation.
    """
    canvas = np.ones((size * SUPERSAMPLING, size * SUPERSAMPLING, 3))
    if len(mesh.faces):
        camera_axes = _camera_axes(azimuth_degrees, elevation_degrees)
        _paint(canvas, _in_picture(mesh.vertices @ camera_axes.T, len(canvas)), mesh.faces, vertex_normals(mesh) @ camera_axes.T)
    picture = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def silhouette(vertices_uv: npt.NDArray[np.floating], faces: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.bool_]:
    """(size, size) bool: pixels that any triangle covers; (n, 2) u right and v up in [-0.5, 0.5], row 0 at v = 0.5."""
    x, y = (np.ascontiguousarray(axis, np.float64) for axis in vertices_uv.T)
    x, y = (x + 0.5) * size, (0.5 - y) * size
    corners = np.ascontiguousarray(faces.T, np.int64)
    corners = corners[:, _may_cover(x, y, corners, size)]
    spans = _spans(x[corners], y[corners], size)
    starts, ends = (
        np.bincount(spans.row * (size + 1) + column, minlength=size * (size + 1)).reshape(size, size + 1)
        for column in (spans.first, spans.end)
    )
    return np.cumsum(starts - ends, axis=1)[:, :size] > 0


def nearest_depth(vertices_column: npt.NDArray[np.floating], faces: npt.NDArray[np.int32], size: int) -> FloatArray:
    """(size, size) float64: the highest z at each pixel's centre of a closed surface in columns, (n, 3) (u, v, z), -inf for none.

    Row 0 is at v = 0.5. Only what faces the camera can be the nearest.
    """
    u, v, z = np.asarray(vertices_column, np.float64).T
    x, y = (u + 0.5) * size, (0.5 - v) * size
    corners = np.ascontiguousarray(faces.T, np.int64)
    (ax, bx, cx), (ay, by, cy) = x[corners], y[corners]
    facing = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) < 0  # y points down
    corners = corners[:, facing & _may_cover(x, y, corners, size)]
    return _nearest(np.stack([x, y, z], axis=1)[corners.T], size)[0]


def _may_cover(x: FloatArray, y: FloatArray, corners: IntArray, size: int) -> npt.NDArray[np.bool_]:
    """(m,) bool: False for triangles between whose extremes in x or in y no pixel's centre lies.

    x, y: (n,) in pixels; corners: (3, m) into them. In a fine mesh that spares most triangles the exact test. Corners are
    compared by the first centre after them, along both axes in one integer; a corner on (almost) a centre is marked, for it
    may cover that centre alone.
    """
    code_x, code_y = (_centre_after(axis, size) for axis in (x, y))
    a, b, c = (code_x << 32 | code_y)[corners]
    differing = (a ^ b) | (a ^ c) | (a & (1 << 32 | 1))
    may: npt.NDArray[np.bool_] = ((differing >> 32) != 0) & ((differing & 0xFFFFFFFF) != 0)
    return may


def _centre_after(pixels: FloatArray, size: int) -> IntArray:
    """(n,) coordinates in pixels -> twice the index of the first centre after each, odd where a centre is (almost) met."""
    after = np.ceil(pixels - (0.5 + 2 * EDGE_SLACK))
    met = after - pixels < 2 * EDGE_SLACK - 0.5
    return 2 * np.clip(after, 0, size).astype(np.int64) + met


def _camera_axes(azimuth_degrees: float, elevation_degrees: float) -> FloatArray:
    """(3, 3): the camera's right, up and towards-the-viewer axes as rows."""
    azimuth, elevation = np.radians([azimuth_degrees, elevation_degrees])
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    towards = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    return np.stack([right, np.cross(towards, right), towards])


def _in_picture(points_camera: FloatArray, size: int) -> FloatArray:
    """(n, 3) camera frame -> (n, 3) pixels (x right, y down, z towards the viewer), centred and scaled to fit."""
    low, high = points_camera.min(axis=0), points_camera.max(axis=0)
    scale = PICTURE_FILL * size / max((high - low)[:2].max(), 1e-12)
    return cast(FloatArray, (points_camera - (low + high) / 2) * scale * (1, -1, 1) + (size / 2, size / 2, 0))


def _paint(canvas: FloatArray, points: FloatArray, faces: npt.NDArray[np.int32], normals: FloatArray) -> None:
    """Shades what is seen of the faces into the canvas, (s, s, 3); points (n, 3) in its pixels, normals (n, 3) of the camera."""
    size = len(canvas)
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * (-1, 1, -1)  # y points down in pixels
    front = np.flatnonzero(across[:, 2] > 0)
    corners, across = corners[front], across[front]
    depth, face = _nearest(corners, size)
    rows, columns = np.nonzero(face >= 0)
    seen = face[rows, columns]
    flat = across / np.linalg.norm(across, axis=1, keepdims=True)
    smooth = normals[faces[front]]
    creased = np.einsum("fck,fk->fc", smooth, flat) < CREASE_COSINE
    corner_normals = np.where(creased[..., None], flat[:, None], smooth)
    weights = _barycentric(corners[seen], np.stack([columns, rows], axis=1) + 0.5)
    pixel_normals = np.einsum("pc,pck->pk", weights, corner_normals[seen])
    pixel_normals /= np.maximum(np.linalg.norm(pixel_normals, axis=1, keepdims=True), 1e-12)
    # What turns away from the viewer lies behind its surroundings anyway: that is no hollow.
    hollow = _occlusion(depth)[rows, columns] * np.clip(pixel_normals[:, 2], 0, 1)
    canvas[rows, columns] = np.clip(_light(pixel_normals) - OCCLUSION * hollow, 0.05, 1)[:, None] * ALBEDO


def _light(normals: FloatArray) -> FloatArray:
    """(p, 3) unit normals -> (p,) brightness under the two lights."""
    strengths = [strength * np.clip(normals @ (direction / np.linalg.norm(direction)), 0, None) for direction, strength in LIGHTS]
    return cast(FloatArray, AMBIENT + np.sum(strengths, axis=0))


def _occlusion(depth: FloatArray) -> FloatArray:
    """(s, s) in [0, 1]: how far the surroundings rise above each pixel; depth is -inf where nothing is seen."""
    size = len(depth)
    visible = np.isfinite(depth)
    filled = np.where(visible, depth, 0.0)
    sigma = OCCLUSION_RADIUS * size
    weight = cv2.GaussianBlur(visible.astype(np.float64), (0, 0), sigma)
    around = cv2.GaussianBlur(filled, (0, 0), sigma) / np.maximum(weight, 1e-6)
    return np.clip((around - filled) / (OCCLUSION_DEPTH * size), 0, 1)


def _nearest(corners: FloatArray, size: int) -> tuple[FloatArray, IntArray]:
    """(m, 3, 3) triangles in pixels -> (size, size) depth of the nearest, -inf for none, and its number, -1 for none."""
    depth, face = np.full(size * size, -np.inf), np.full(size * size, -1)
    origin, slope = _planes(corners)
    farthest, nearest = corners[..., 2].min(axis=1), corners[..., 2].max(axis=1)
    x, y = (np.ascontiguousarray(corners[..., axis].T) for axis in range(2))
    for spans in _portions(_spans(x, y, size)):
        length = spans.end - spans.first
        owner, row = np.repeat(spans.face, length), np.repeat(spans.row, length)
        column = _counted_up(spans.first, length)
        offset = np.stack([column + 0.5, row + 0.5], axis=1) - origin[owner, :2]
        z = origin[owner, 2] + np.einsum("pk,pk->p", offset, slope[owner])
        z = np.clip(z, farthest[owner], nearest[owner])  # steep planes overshoot at the triangle's edge
        pixel = row * size + column
        np.maximum.at(depth, pixel, z)
        wins = z == depth[pixel]
        face[pixel[wins]] = owner[wins]
    return depth.reshape(size, size), face.reshape(size, size)


def _planes(corners: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(m, 3) a point of each triangle's plane and (m, 2) its slope dz/dx, dz/dy; no triangle stands on edge."""
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return corners[:, 0], -normal[:, :2] / normal[:, 2:]


def _barycentric(corners: FloatArray, points: npt.NDArray[np.floating]) -> FloatArray:
    """(p, 3) weights of each triangle's corners at the (p, 2) points, kept within the triangle."""
    x, y = points.T
    weights = []
    for corner in range(3):
        ahead, behind = corners[:, (corner + 1) % 3], corners[:, (corner + 2) % 3]
        weights.append((behind[:, 0] - ahead[:, 0]) * (y - ahead[:, 1]) - (behind[:, 1] - ahead[:, 1]) * (x - ahead[:, 0]))
    areas = np.stack(weights, axis=1)
    clipped = np.clip(areas / areas.sum(axis=1, keepdims=True), 0, 1)
    return cast(FloatArray, clipped / clipped.sum(axis=1, keepdims=True))


def _spans(x: FloatArray, y: FloatArray, size: int) -> _Spans:
    """(3, m) triangles in pixels, each corner a row -> the runs of pixels that they cover in a picture of (size, size)."""
    first_row = np.clip(np.ceil(y.min(axis=0) - 0.5), 0, size).astype(np.int64)
    end_row = np.clip(np.floor(y.max(axis=0) - 0.5) + 1, 0, size).astype(np.int64)
    rows = np.maximum(end_row - first_row, 0)
    face, row = np.repeat(np.arange(x.shape[1]), rows), _counted_up(first_row, rows)
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for corner, following in ((0, 1), (1, 2), (2, 0)):
        start, below = x[corner][face], (row + 0.5) - y[corner][face]
        rise = (y[following] - y[corner])[face]
        share = below / np.where(rise == 0, 1, rise)
        crossed = (rise != 0) & (share >= 0) & (share <= 1)
        here = start + share * (x[following][face] - start)
        np.minimum(left, here, out=left, where=crossed)
        np.maximum(right, here, out=right, where=crossed)
    first = np.clip(np.ceil(left - 0.5 - EDGE_SLACK), 0, size)
    end = np.clip(np.floor(right - 0.5 + EDGE_SLACK) + 1, 0, size)
    covered = end > first
    return _Spans(face[covered], row[covered], first[covered].astype(np.int64), end[covered].astype(np.int64))


def _portions(spans: _Spans) -> Iterator[_Spans]:
    """The spans in portions of about `PIXELS_AT_ONCE` pixels."""
    portion = np.cumsum(spans.end - spans.first) // PIXELS_AT_ONCE
    bounds = np.flatnonzero(np.diff(portion, prepend=-1, append=-1))
    for low, high in pairwise(bounds):
        part = slice(low, high)
        yield _Spans(spans.face[part], spans.row[part], spans.first[part], spans.end[part])


def _counted_up(first: IntArray, count: IntArray) -> IntArray:
    """first[0], first[0] + 1, ... `count[0]` numbers, then those of the next."""
    return cast(IntArray, np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count))

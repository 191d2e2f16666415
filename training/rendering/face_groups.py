"""Which faces of a mesh are made of the same stuff: a painted casting and its bare shaft, a lid and its box."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.rendering.normals import face_normals

CREASE_DEGREES = 35.0
WELD = 2**20  # steps across the mesh; corners that fall into one are one, as user files list each corner anew
SMALLEST_SHARE = 0.08  # of the area; less is not worth a second material


@dataclass(frozen=True)
class SmoothRegions:
    """A mesh in pieces that end at sharp edges. R pieces.

    region: (m,) int, the piece of each face. area: (R,). centre: (R, 3), object frame. normal: (R, 3), mean over the piece:
    of length 1 where it is flat.
    """

    region: npt.NDArray[np.intp]
    area: npt.NDArray[np.float64]
    centre: npt.NDArray[np.float64]
    normal: npt.NDArray[np.float64]


def smooth_regions(vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> SmoothRegions:
    """Splits a mesh, (n, 3) and (m, 3), along edges that turn by more than `CREASE_DEGREES`."""
    normals = face_normals(vertices, faces)
    corners = vertices[faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    welded = _welded(vertices)[faces]
    edges = np.sort(np.stack([welded, np.roll(welded, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    key = edges[:, 0] * (len(vertices) + 1) + edges[:, 1]
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    one, other = order[same] // 3, order[same + 1] // 3
    smooth = np.einsum("ij,ij->i", normals[one], normals[other]) > math.cos(math.radians(CREASE_DEGREES))
    one, other = one[smooth], other[smooth]
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(faces), len(faces)))
    count, region = connected_components(links, directed=False)

    total = np.bincount(region, area, count).astype(np.float64)
    weight = area / np.maximum(total, 1e-30)[region]
    return SmoothRegions(
        region, total, _sums(region, weight[:, None] * corners.mean(axis=1)), _sums(region, weight[:, None] * normals)
    )


def draw_face_groups(regions: SmoothRegions, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Two or three groups of faces, (m,) uint8 from 0; all zero where the mesh offers no fair split."""
    group = _draw_split(regions, rng).astype(np.uint8)
    if rng.random() < 0.3:
        group += 2 * (_draw_split(regions, rng) & (group == 0)).astype(np.uint8)
    return np.unique(group, return_inverse=True)[1].astype(np.uint8)[regions.region]


def _sums(region: npt.NDArray[np.intp], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sum of (m, 3) values over each piece, (R, 3)."""
    return np.stack([np.bincount(region, values[:, k]) for k in range(3)], axis=1).astype(np.float64)


def _draw_split(regions: SmoothRegions, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Some of the pieces, (R,): those beyond a height along an axis, near an axis, or flat and square to one (machined)."""
    axis = int(rng.choice(3, p=[0.25, 0.25, 0.5]))
    across = np.delete(regions.centre, axis, axis=1)
    middle = np.average(across, axis=0, weights=regions.area)
    rules = (
        lambda: _beyond(regions.centre[:, axis], regions.area, rng),
        lambda: ~_beyond(np.linalg.norm(across - middle, axis=1), regions.area, rng),
        lambda: np.abs(regions.normal[:, axis]) > 0.98,
    )
    split: npt.NDArray[np.bool_] = rules[rng.integers(3)]()
    share = regions.area[split].sum() / regions.area.sum()
    return split if SMALLEST_SHARE < share < 1 - SMALLEST_SHARE else np.zeros_like(split)


def _beyond(values: npt.NDArray[np.float64], area: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """The pieces above the widest gap between values near a drawn share of the area, so that like pieces stay together."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(area[order]) / area.sum()
    low, high = np.searchsorted(below, rng.uniform(0.15, 0.6) + np.array([0.0, 0.25]))
    steps = np.diff(values[order[low : high + 2]])
    if len(steps) == 0:
        return np.zeros(len(values), bool)
    split = low + int(np.argmax(steps))
    beyond: npt.NDArray[np.bool_] = values > (values[order[split]] + values[order[split + 1]]) / 2
    return beyond


def _welded(vertices: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """A number for each vertex, (n,), the same for those at one place."""
    low = vertices.min(axis=0)
    steps = np.round((vertices - low).astype(np.float64) * (WELD / max(float(np.ptp(vertices, axis=0).max()), 1e-30)))
    cells = steps.astype(np.int64)
    place = (cells[:, 0] * (WELD + 1) + cells[:, 1]) * (WELD + 1) + cells[:, 2]
    return np.unique(place, return_inverse=True)[1].astype(np.int64)

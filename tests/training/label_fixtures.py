"""Public label files, written as their makers did from one solid that no exchange of axes leaves alike."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from manifold3d import Manifold
from scipy.io import savemat

from training.data.readers.labels import ModelId
from training.sampling.surface import sample_surface

BoolArray = npt.NDArray[np.bool_]
MODEL = ModelId("03001627", "1a6f615e8b1b5ae4dbbc9440457e303e")

# The bracket in ShapeNet's coordinates: an L with a hole in its foot, y up, off the origin.
FOOT = np.array([0.9, 0.2, 0.55])
WALL = np.array([0.2, 0.7, 0.55])
HOLE_CENTRE, HOLE_RADIUS = (0.62, 0.2), 0.11  # x and z
CORNER = np.array([-0.31, -0.22, -0.18])
EXTENT = np.maximum(FOOT, WALL)
CENTRE = CORNER + EXTENT / 2
DIAGONAL = float(np.linalg.norm(EXTENT))


def inside(points: npt.NDArray[np.floating[Any]]) -> BoolArray:
    """Whether points (..., 3) in ShapeNet's coordinates are in the bracket."""
    local = points - CORNER
    foot = ((local >= 0) & (local <= FOOT)).all(axis=-1)
    wall = ((local >= 0) & (local <= WALL)).all(axis=-1)
    hole = (local[..., 0] - HOLE_CENTRE[0]) ** 2 + (local[..., 2] - HOLE_CENTRE[1]) ** 2 < HOLE_RADIUS**2
    return np.asarray((foot & ~hole) | wall)


def mesh() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """The bracket's triangles in ShapeNet's coordinates."""
    hole = Manifold.cylinder(2, HOLE_RADIUS, HOLE_RADIUS, 96).rotate([90, 0, 0]).translate([HOLE_CENTRE[0], 1, HOLE_CENTRE[1]])
    parts = ((Manifold.cube(FOOT.tolist()) - hole) + Manifold.cube(WALL.tolist())).translate(CORNER.tolist()).to_mesh()
    return np.asarray(parts.vert_properties, np.float32)[:, :3], np.asarray(parts.tri_verts).astype(np.int32)


@cache
def voxels(side: int) -> BoolArray:
    """(side, side, side) bool, [x, y, z]: the bracket centred with a diagonal of 1, in the unit cube, as HSP has it."""
    centres = ((np.arange(side) + 0.5) / side - 0.5) * DIAGONAL
    occupied = np.empty((side, side, side), np.bool_)
    for x, plane in zip(centres, occupied, strict=True):
        y, z = np.meshgrid(centres, centres, indexing="ij")
        plane[:] = inside(np.stack([np.full_like(y, x), y, z], axis=-1) + CENTRE)
    return occupied


def write_hsp(folder: Path, model: ModelId, occupied: BoolArray) -> Path:
    """A 256³ grid as different blocks and an index from 1."""
    blocks = occupied.reshape(16, 16, 16, 16, 16, 16).transpose(0, 2, 4, 1, 3, 5).reshape(4096, 16, 16, 16).astype(np.uint8)
    number: dict[bytes, int] = {}
    index = [number.setdefault(block.tobytes(), len(number) + 1) for block in blocks]
    distinct = np.frombuffer(b"".join(number), np.uint8).reshape(-1, 16, 16, 16)
    return write_mat(folder, model, b=distinct, bi=np.array(index, np.uint16).reshape(16, 16, 16))


def write_mat(folder: Path, model: ModelId, **arrays: Any) -> Path:
    """Any arrays where a model's are."""
    path = folder / model.synset / f"{model.model}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays, do_compression=True)
    return path


def write_binvox(path: Path, occupied: BoolArray, translate: tuple[float, float, float], scale: float) -> None:
    """Runs of at most 255, y fastest, then z, then x."""
    header = (
        f"#binvox 1\ndim {' '.join(map(str, occupied.shape))}\ntranslate {' '.join(map(str, translate))}\nscale {scale}\ndata\n"
    )
    runs = bytearray()
    flat = occupied.transpose(0, 2, 1).ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [len(flat)]])
    for start, end in pairwise(starts):
        for first in range(start, end, 255):
            runs += bytes([int(flat[start]), min(255, end - first)])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + bytes(runs))


def write_occnet(folder: Path, model: ModelId, count: int = 100_000, cloud_count: int = 100_000, dtype: Any = np.float16) -> Path:
    """Both files of the bracket, its bounding box centred and its longest side 1, occupancies packed; returns their folder."""
    rng = np.random.default_rng(5)
    path = folder / model.synset / model.model
    path.mkdir(parents=True, exist_ok=True)
    place = {"loc": CENTRE, "scale": np.float64(EXTENT.max())}
    points = rng.uniform(-0.55, 0.55, (count, 3)).astype(dtype)
    occupied = inside(points.astype(np.float64) * EXTENT.max() + CENTRE)
    np.savez(path / "points.npz", points=points, occupancies=np.packbits(occupied), **place)
    surface, normals = sample_surface(*mesh(), cloud_count, rng)
    surface = (surface - CENTRE) / EXTENT.max()
    np.savez(path / "pointcloud.npz", points=surface.astype(dtype), normals=normals.astype(dtype), **place)
    return path


def rewrite(path: Path, without: tuple[str, ...] = (), **arrays: Any) -> None:
    """An npz file with some arrays replaced or left out."""
    with np.load(path) as archive:
        kept = {name: archive[name] for name in archive if name not in without}
    np.savez(path, **{**kept, **arrays})


def write_imnet(folder: Path, name: str, models: list[ModelId], grids: list[BoolArray], improved: bool) -> Path:
    """`<name>.hdf5` and its list; grids (256, 256, 256) in v1 axes. Pictures hold 100 * row + view in every pixel, modulo 256."""
    rng = np.random.default_rng(3)
    rows = [_imnet_row(grid, improved, rng) for grid in grids]
    views = 24 if improved else 20
    gray = np.arange(views, dtype=np.uint8)[None] + (100 * np.arange(len(grids), dtype=np.uint8))[:, None]
    path = folder / f"{name}.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        pixels = np.broadcast_to(gray[:, :, None, None], (len(grids), views, 137, 137))
        file.create_dataset("pixels", data=pixels, compression=1)
        for key in rows[0]:
            file.create_dataset(key, data=np.stack([row[key] for row in rows]), compression=1)
    path.with_suffix(".txt").write_text("".join(f"{model}\n" for model in models))
    return path


def pooled(grid: BoolArray, side: int) -> BoolArray:
    """Cells of which any voxel is occupied, by a loop over a cell's voxels."""
    factor = len(grid) // side
    result = np.zeros((side, side, side), np.bool_)
    for x, y, z in np.ndindex(factor, factor, factor):
        result |= grid[x::factor, y::factor, z::factor]
    return result


def _imnet_row(grid: BoolArray, improved: bool, rng: np.random.Generator) -> dict[str, npt.NDArray[np.uint8]]:
    """One model's arrays."""
    turned = np.flip(np.transpose(grid, (2, 1, 0)), 2)
    row: dict[str, Any] = {"voxels": pooled(turned, 64)[..., None].astype(np.uint8)}
    counts = {16: 4096, 32: 4096, 64: 16384} if improved else {16: 4096, 32: 8192, 64: 32768}
    for level, count in counts.items():
        cells = pooled(turned, level)
        order = np.arange(level**3) if count == level**3 else rng.permutation(level**3)[:count]
        index = np.stack(np.unravel_index(order, cells.shape), axis=1)
        values = cells[tuple(index.T)]
        row[f"points_{level}"] = (_voxel_of_value(turned, level, index, values, rng) if improved else index).astype(np.uint8)
        row[f"values_{level}"] = values[:, None].astype(np.uint8)
    return row


def _voxel_of_value(turned: BoolArray, level: int, cells: Any, values: BoolArray, rng: np.random.Generator) -> npt.NDArray[Any]:
    """A random voxel in each cell that has the cell's value."""
    width = 256 // level
    voxel = cells * width
    wanting = np.ones(len(cells), np.bool_)
    for _ in range(200):
        drawn = cells * width + rng.integers(0, width, cells.shape)
        hit = wanting & (turned[tuple(drawn.T)] == values)
        voxel[hit] = drawn[hit]
        wanting &= ~hit
    for number in np.flatnonzero(wanting):
        first = cells[number] * width
        block = turned[tuple(slice(low, low + width) for low in first)]
        voxel[number] = first + np.argwhere(block == values[number])[0]
    return voxel

"""Contact sheets: what a set looks like, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.data.index import DataIndex
from training.data.shapes import PreparedShape
from training.errors import TrainingError

BACKDROP = 225  # grey level behind the parts, light enough for every material


def photograph_on_backdrop(rgba: npt.NDArray[np.uint8], shadow: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A view, (S, S, 4) straight alpha, on a light ground that its shadow (S, S), 255 for none, darkens: (S, S, 3)."""
    alpha = rgba[..., 3:] / 255
    ground = BACKDROP * (shadow[..., None] / 255)
    return np.round(rgba[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)


def tile(pictures: Sequence[npt.NDArray[np.uint8]], columns: int) -> Image.Image:
    """Pictures of one size (S, S, 3), in rows of `columns`; what is left of the last row stays backdrop."""
    side = len(pictures[0])
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * side, columns * side, 3), BACKDROP, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = side * (number // columns), side * (number % columns)
        sheet[top : top + side, left : left + side] = picture
    return Image.fromarray(sheet)


def sheet_of_set(directory: Path, shapes: int, views: int, split: str | None = None) -> Image.Image:
    """One row a shape, its first views side by side; shapes are spread evenly over the set or one of its splits."""
    index = DataIndex.read(directory)
    entries = index.entries if split is None else index.shapes(split)
    if not entries:
        raise TrainingError(f"{directory}: expected shapes{'' if split is None else f' in the split {split}'}, found none")
    chosen = np.unique(np.linspace(0, len(entries) - 1, min(shapes, len(entries))).round().astype(int))
    rows = [PreparedShape.read(index.path(entries[number])) for number in chosen]
    columns = min(views, min(shape.view_count for shape in rows))
    pictures = [photograph_on_backdrop(shape.image(view), shape.shadow(view)) for shape in rows for view in range(columns)]
    return tile(pictures, columns)

"""One or several prepared sets, taken together: a run draws uniformly from the shapes of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Self

import torch

from model.camera import CameraKind
from training.configs import RunConfig
from training.data.dataset import ShapeSet, ViewTable
from training.data.index import DataIndex
from training.errors import TrainingError

SURFACE_POINTS = 4096  # held for each shape where a run learns from the surface


@dataclass(frozen=True)
class PreparedSets:
    """The sets by the names of their folders."""

    indices: dict[str, DataIndex]

    @classmethod
    def read(cls, directories: Sequence[Path]) -> Self:
        indices = {directory.resolve().name: DataIndex.read(directory) for directory in directories}
        if not indices or len(indices) != len(directories):
            names = ", ".join(map(str, directories)) or "none"
            raise TrainingError(f"prepared sets: expected one or several, in folders of different names, found {names}")
        return cls(indices)

    def shapes(self, split: str, config: RunConfig, device: torch.device) -> ShapeSet:
        """The shapes of one split, set by set; of those to train on only the views that the run asks for."""
        files = tuple(file for index in self.indices.values() for file in index.files(split))
        held = max(SURFACE_POINTS, config.points.surface) if config.points.surface else 0
        cells = config.auxiliary.depth_cells if config.auxiliary.depth_weight and split == "train" else 0
        views = config.views if split == "train" else None
        return _read(files, config.camera, device, held, cells, views)

    def titles(self, split: str) -> list[str]:
        """What people know each shape of `shapes` by."""
        return [entry.title for index in self.indices.values() for entry in index.shapes(split)]

    def owners(self, split: str) -> list[str]:
        """The set that each shape of `shapes` comes from."""
        return [name for name, index in self.indices.items() for _ in index.shapes(split)]

    def attribution(self, split: str) -> list[str]:
        """Whom the shapes of a split are to be attributed to: sorted, without repetition."""
        return sorted({names for index in self.indices.values() for names in index.attribution(split)})

    @property
    def digests(self) -> dict[str, str]:
        return {name: index.digest for name, index in self.indices.items()}

    @property
    def digest(self) -> str:
        """The identity of all together: a single set's own."""
        digests = list(self.digests.values())
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


@lru_cache(maxsize=2)  # a report trains one run after another on the same shapes
def _read(
    files: tuple[Path, ...],
    camera: CameraKind,
    device: torch.device,
    surface_points: int,
    depth_cells: int,
    views: tuple[int, int] | None,
) -> ShapeSet:
    shapes = ShapeSet(files, camera, device, surface_points, depth_cells)
    if views is not None:
        _keep_views(shapes, *views)
    return shapes


def _keep_views(shapes: ShapeSet, first: int, last: int) -> None:
    """Leaves of each shape the views [first, last)."""
    if last > shapes.view_count:
        raise TrainingError(f"views: expected at least {last} of each shape, found {shapes.view_count}")
    shapes.images, shapes.shadows, shapes.depths = (
        held[:, first:last] for held in (shapes.images, shapes.shadows, shapes.depths)
    )
    shapes.views = ViewTable(**{item.name: getattr(shapes.views, item.name)[:, first:last] for item in fields(ViewTable)})

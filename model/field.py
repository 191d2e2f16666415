"""An occupancy field: something that tells, at points of the query volume, how surely they lie inside the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.camera import HALF_DEPTH

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class QueryGrid:
    """The nodes of the query volume: `resolution` cells along u and v, 1.5 times as many along z, cubes all.

    Node (i, j, k) lies at (u, v, z) = (i, j, k) / resolution - (0.5, 0.5, 0.75). A column is a pair (i, j), with the number
    i * (resolution + 1) + j.
    """

    resolution: int

    def __post_init__(self) -> None:
        if self.resolution < 2 or self.resolution % 2:
            raise ValueError(f"resolution: expected an even number of cells, 2 or more, got {self.resolution}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Nodes along u, v, z."""
        return self.resolution + 1, self.resolution + 1, round(2 * HALF_DEPTH * self.resolution) + 1

    @property
    def spacing(self) -> float:
        """The side of a cell in view-frame units."""
        return 1.0 / self.resolution

    @property
    def origin(self) -> tuple[float, float, float]:
        """(u, v, z) of node (0, 0, 0)."""
        return -0.5, -0.5, -HALF_DEPTH

    @property
    def lateral(self) -> Float32:
        """(resolution + 1,) float32: the nodes' u, and likewise their v."""
        return np.linspace(-0.5, 0.5, self.shape[0], dtype=np.float32)

    @property
    def depths(self) -> Float32:
        """(1.5 resolution + 1,) float32: the nodes' z."""
        return self.depth_of(np.arange(self.shape[2]))

    def depth_of(self, layers: npt.NDArray[np.int64]) -> Float32:
        """z of layers of nodes, also of ones behind the last."""
        return (layers / self.resolution - HALF_DEPTH).astype(np.float32)


@dataclass(frozen=True)
class SampledBox:
    """Occupancy at the nodes of a box of a grid; outside of the box nothing reaches the level it was sampled for.

    first: the grid's node that is node (0, 0, 0) of the box; values: (a, b, c) float32.
    """

    grid: QueryGrid
    first: tuple[int, int, int]
    values: Float32

    @property
    def origin(self) -> npt.NDArray[np.float64]:
        """(3,): (u, v, z) of the box's node (0, 0, 0)."""
        return np.asarray(self.grid.origin) + np.asarray(self.first) * self.grid.spacing

    def on_whole_grid(self) -> Float32:
        """(n_u, n_v, n_z) float32: the same on all of the grid's nodes, zero outside the box."""
        whole = np.zeros(self.grid.shape, np.float32)
        whole[tuple(slice(start, start + size) for start, size in zip(self.first, self.values.shape, strict=True))] = self.values
        return whole


class OccupancyField(Protocol):
    """A field bound to one image and one grid of columns."""

    @property
    def grid(self) -> QueryGrid:
        """The grid whose columns it answers for."""

    @property
    def observed(self) -> npt.NDArray[np.bool_]:
        """(n_u, n_v): the columns that may meet the object; all others are empty and never asked."""

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        """Occupancy at points given by column number (n,) and z (n,) -> (n,) float32 in [0, 1]."""


def query_densely(field: OccupancyField) -> Float32:
    """Occupancy at every node of the field's grid, (n_u, n_v, n_z): the reference for tests, calibration and benchmarks."""
    values = np.zeros(field.grid.shape, np.float32)
    columns = np.flatnonzero(field.observed)
    depths = field.grid.depths
    answers = field.query(np.repeat(columns, len(depths)), np.tile(depths, len(columns)))
    values.reshape(-1, len(depths))[columns] = answers.reshape(-1, len(depths))
    return values

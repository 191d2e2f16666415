"""What a run trains and what is judged: pictures and labelled points in, a loss out; once trained, a picture in, a surface out.

Our network and every baseline are a `Method`, so that one loop trains them and one protocol judges them. All of them live in
column coordinates (u, v, z), where projection drops z for either camera; whoever asked for a mesh un-projects it.

B batch, N points, S image side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.culling import UNCALIBRATED_SLOPES, Culling
from model.field import QueryGrid
from model.hierarchy import query_hierarchically
from model.isosurface import surface_of
from model.mesh import Mesh
from training.data.dataset import Batch
from training.torch_field import TorchField


class Method(nn.Module, ABC):
    """A network with its loss and its way to a surface."""

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and (k,) float32 sums over the batch, which `observe` gets added up over all processes."""

    def observe(self, sums: Tensor) -> None:
        """After each step: what the pairs of all processes looked like."""

    def scalars(self) -> dict[str, float]:
        """What the log should show beside the loss."""
        return {}

    @abstractmethod
    def surface(self, image: Tensor, grid: QueryGrid, observed: npt.NDArray[np.bool_]) -> Mesh:
        """(1, 3, S, S) normalised -> a mesh with vertices (u, v, z); raises NoSurface.

        observed: (n_u, n_v), the grid's columns that may meet the object; who has no field may ignore both.
        """


class FieldMethod(Method):
    """A method that answers for single points: its surface is the level set of a field."""

    level: float = 0.5
    """Of the probability at which the surface lies."""

    @abstractmethod
    def field(self, image: Tensor) -> Callable[[Tensor], Tensor]:
        """(1, 3, S, S) normalised -> a function from (1, N, 3) points (u, v, z) to (1, N) probabilities."""

    def surface(self, image: Tensor, grid: QueryGrid, observed: npt.NDArray[np.bool_]) -> Mesh:
        with torch.inference_mode():
            field = TorchField(self.field(image), grid, observed, image.device)
            return surface_of(query_hierarchically(field, self.level, None, Culling(slopes=UNCALIBRATED_SLOPES)), self.level)

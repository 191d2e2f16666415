"""An `OccupancyField` straight from torch: what training looks at between exports, and the reference for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.field import Float32, QueryGrid

CHUNK = 32_768  # points a call; larger ones only cost memory


@dataclass(frozen=True)
class TorchField:
    """One image's field. probability: (1, N, 3) points (u, v, z) -> (1, N)."""

    probability: Callable[[Tensor], Tensor]
    grid: QueryGrid
    observed: npt.NDArray[np.bool_]
    device: torch.device

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        """Occupancy at points given by column number (n,) and z (n,) -> (n,) float32 in [0, 1]."""
        lateral = self.grid.lateral
        u, v = np.divmod(columns, len(lateral))
        points = torch.from_numpy(np.stack([lateral[u], lateral[v], depths], axis=1))[None].to(self.device)
        with torch.inference_mode():
            values = [self.probability(part)[0] for part in torch.split(points, CHUNK, dim=1)]
        return torch.cat(values).float().cpu().numpy()

"""An `OccupancyField` straight from the torch network: what training looks at between exports, and the reference for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.field import Float32, QueryGrid
from model.networks.occupancy_network import OccupancyNetwork

CHUNK = 32_768  # points a call; larger ones only cost memory


@dataclass(frozen=True)
class TorchField:
    """One image's field. `maps` are the encoder's, each (1, H1, h, w)."""

    network: OccupancyNetwork
    maps: list[Tensor]
    grid: QueryGrid
    observed: npt.NDArray[np.bool_]

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        """Occupancy at points given by column number (n,) and z (n,) -> (n,) float32 in [0, 1]."""
        lateral = self.grid.lateral
        u, v = np.divmod(columns, len(lateral))
        points = torch.from_numpy(np.stack([lateral[u], lateral[v], depths], axis=1))[None].to(self.maps[0].device)
        with torch.inference_mode():
            logits = [self.network.decode(self.maps, part)[0] for part in points.split(CHUNK, dim=1)]
        return torch.sigmoid(torch.cat(logits)).float().cpu().numpy()

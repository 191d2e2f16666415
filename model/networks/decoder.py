"""D: five linear layers on [z, p], leaky ReLU and batch norm after the first four, a logit last.

B batch, N points, H width of a hidden layer. p is (u, v, z), z the point's feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.02


class Decoder(nn.Module):
    """The first layer is kept in two parts, since it is linear and so is sampling: its weights are applied to the maps *before*
    they are sampled (docs/decisions/0006). `first.weight` columns: the features map by map, then u, v, z.
    """

    def __init__(self, map_channels: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"widths: expected 4 hidden widths, got {list(widths)}")
        self.map_channels = tuple(map_channels)
        self.first = nn.Linear(sum(map_channels) + 3, widths[0])
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.rest = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, [*widths[1:], 1], strict=True))

    def project_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, C_l, h, w) -> (B, H1, h, w): what each map adds to the first layer, a 1x1 convolution."""
        weights = torch.split(self.first.weight[:, :-3], list(self.map_channels), dim=1)
        return [F.conv2d(m, w[:, :, None, None]) for m, w in zip(maps, weights, strict=True)]

    @property
    def position_weights(self) -> Tensor:
        """(H1, 3): the first layer's weights of u, v and z."""
        return self.first.weight[:, -3:]

    def forward(self, features: Tensor, points: Tensor) -> Tensor:
        """features (B, N, H1): sampled, summed `project_maps`; points (B, N, 3) as (u, v, z) -> logits (B, N)."""
        with torch.autocast(points.device.type, enabled=False):  # bfloat16 would round u, v and z to half a voxel
            x = (features + F.linear(points, self.position_weights, self.first.bias)).flatten(0, 1)  # (B N, H1)
        for norm, linear in zip(self.norms, self.rest, strict=True):
            x = linear(norm(F.leaky_relu(x, NEGATIVE_SLOPE)))
        return x.view(points.shape[:2])

"""The feature of a query point: bilinear samples of every map at the point's projection, the paper's eq. 5 and Fig. 3.

B batch, N points, C channels, L maps; uv are column coordinates in [-0.5, 0.5], u right and v up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def tent_weights(positions: Tensor, cells: int) -> Tensor:
    """Bilinear interpolation along one axis as a matrix: (n,) positions in [-0.5, 0.5] -> (n, cells) weights, rows sum to 1.

    Cell centres lie at (i + 0.5) / cells - 0.5; beyond the outermost centres the border value holds (align_corners=False).
    """
    cell = ((positions + 0.5) * cells - 0.5).clamp(0, cells - 1)
    return torch.relu(1 - (cell[:, None] - torch.arange(cells, dtype=positions.dtype, device=positions.device)).abs())


def sample_sum(maps: list[Tensor], uv: Tensor) -> Tensor:
    """Samples L maps (B, C, h_l, w_l) at (B, N, 2) and adds the samples up -> (B, N, C).

    One weighted sum of 4 L table rows a point (`embedding_bag`): on a CPU three to six times as fast as L calls of
    `grid_sample`, since a row holds all channels of a pixel side by side.
    """
    batch, count = uv.shape[:2]
    table = torch.cat([m.flatten(2).transpose(1, 2).flatten(0, 1) for m in maps]).float()  # (sum_l B h_l w_l, C)
    image = torch.arange(batch, device=uv.device)[:, None]
    rows, weights, first_row = [], [], 0
    for m in maps:
        height, width = m.shape[-2:]
        x0, x1, right = _neighbours(uv[..., 0], width)
        y0, y1, down = _neighbours(-uv[..., 1], height)  # image rows run downwards
        origin = first_row + image * (height * width)
        for y, x, weight in (
            (y0, x0, (1 - down) * (1 - right)),
            (y0, x1, (1 - down) * right),
            (y1, x0, down * (1 - right)),
            (y1, x1, down * right),
        ):
            rows.append(origin + y * width + x)
            weights.append(weight)
        first_row += batch * height * width
    bags = torch.stack(rows, -1).flatten(0, 1)  # (B N, 4 L)
    bag_weights = torch.stack(weights, -1).flatten(0, 1).to(table.dtype)
    return F.embedding_bag(bags, table, mode="sum", per_sample_weights=bag_weights).view(batch, count, -1)


def _neighbours(positions: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two cells around each position in [-0.5, 0.5] along one axis, and the weight of the second."""
    cell = ((positions + 0.5) * cells - 0.5).clamp(0, cells - 1)
    first = cell.floor().long()
    return first, (first + 1).clamp(max=cells - 1), cell - first

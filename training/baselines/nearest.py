"""Nearest neighbours between two sets of points, differentiable: what Chamfer distances are made of.

B batch, N and M points. All of it in float32, whatever precision surrounds it: in bfloat16 a coordinate has three digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PAIRS = 2**22  # whose distances are held at once, 16 MB


@dataclass(frozen=True)
class Nearest:
    """For each of N points the nearest of M others: `index` (B, N) int64, `squared` (B, N) float32, the distance squared."""

    index: Tensor
    squared: Tensor


def nearest(points: Tensor, others: Tensor) -> Nearest:
    """(B, N, 3), (B, M, 3) -> who is nearest, and how near.

    The search needs no gradient: as long as the nearest stays the same, the squared distance has the gradient of that between
    two given points.
    """
    with torch.autocast(points.device.type, enabled=False):
        points, others = points.float(), others.float()
        index = _search(points.detach(), others.detach())
        squared = (points - pick(others, index)).square().sum(-1)
    return Nearest(index, squared)


def pick(rows: Tensor, index: Tensor) -> Tensor:
    """(B, M, C) and (B, N) row numbers -> (B, N, C)."""
    return rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))


def _search(points: Tensor, others: Tensor) -> Tensor:
    """(B, N) int64. By matrix products where these are exact to 1e-7, a quarter of the time; a GPU may round them to ten bits."""
    mode = "use_mm_for_euclid_dist" if points.device.type == "cpu" else "donot_use_mm_for_euclid_dist"
    parts = torch.split(points, max(1, PAIRS // (len(points) * others.shape[1])), dim=1)
    return torch.cat([torch.cdist(part, others, compute_mode=mode).argmin(-1) for part in parts], dim=1)

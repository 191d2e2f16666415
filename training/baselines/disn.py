"""DISN (Xu et al., NeurIPS 2019): signed distance from a global code and from features sampled where a point projects to.

After Xharlie/DISN: models/sdfnet.py (two streams, each a point MLP 3 -> 64 -> 256 -> 512, joined by the code of 1024 or by the
point's local feature, then 512 -> 256 -> 1; their outputs are summed), models/model_normalization.py (local features from five
layers of the backbone, mean of |10 sdf - prediction| with weight 4 where sdf <= 0.01). Its VGG-16 is our ResNet-18 here, whose
plain maps C2..C5 give the local features: the paper's Fig. 3b. Its estimated camera is the known one.

B batch, N points, S image side, C channels; maps are (B, C, h, w).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.networks.encoder import STAGE_CHANNELS, ResNet18
from model.networks.point_features import sample_sum
from training.baselines.widths import scaled
from training.data.dataset import Batch
from training.labels import VOXELS
from training.method import FieldMethod
from training.normalisation import normalise

CODE = 1024
POINT_WIDTHS = (64, 256, 512)
HEAD_WIDTHS = (512, 256)
SDF_SCALE = 10.0  # the network answers ten times the signed distance, in crop sides
TRUNCATION = 0.1  # crop sides: DISN samples only sdf in [-0.1, 0.1], our points lie everywhere
NEAR, NEAR_WEIGHT = 0.01, 4.0


class Stream(nn.Module):
    """A point's MLP, joined by a feature. The joining layer is linear: the feature comes with its share of it applied."""

    def __init__(self, width: float) -> None:
        super().__init__()
        first, second, third = (scaled(paper, width) for paper in POINT_WIDTHS)
        joined, hidden = (scaled(paper, width) for paper in HEAD_WIDTHS)
        self.first = nn.Linear(3, first)
        self.points = nn.Sequential(nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, third), nn.ReLU())
        self.join = nn.Linear(third, joined)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(joined, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, points: Tensor, feature: Tensor) -> Tensor:
        """(B, N, 3) as (u, v, z) and (B, N or 1, C) -> (B, N)."""
        with torch.autocast(points.device.type, enabled=False):  # bfloat16 would round u, v and z to half a voxel
            x = self.first(points)
        out: Tensor = self.head(self.join(self.points(x)) + feature)
        return out[..., 0]


class DISN(FieldMethod):
    """`width` scales the code and both streams; the ResNet-18 stays whole."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        code, joined = scaled(CODE, width), scaled(HEAD_WIDTHS[0], width)
        self.backbone = ResNet18()
        self.project = nn.Linear(STAGE_CHANNELS[-1], code)
        self.join_code = nn.Linear(code, joined, bias=False)
        self.join_maps = nn.ModuleList(nn.Conv2d(channels, joined, 1, bias=False) for channels in STAGE_CHANNELS)
        self.of_code, self.of_maps = Stream(width), Stream(width)

    def encode(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, S, S) normalised -> code (B, 1, C) and maps (B, C, h_l, w_l), as the two joining layers see them.

        The layer is linear and so is sampling: its weights are applied before a map is sampled (docs/decisions/0006).
        """
        maps = self.backbone(images)
        code: Tensor = self.join_code(self.project(maps[-1].mean(dim=(2, 3))))
        return code[:, None], [join(m) for join, m in zip(self.join_maps, maps, strict=True)]

    def decode(self, code: Tensor, maps: list[Tensor], points: Tensor) -> Tensor:
        """`encode`'s two and (B, N, 3) points (u, v, z) -> (B, N) float32, ten times the signed distance in crop sides."""
        distance: Tensor = self.of_code(points, code) + self.of_maps(points, sample_sum(maps, points[..., :2]))
        return distance.float()

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Weighted mean absolute error of the truncated signed distance; nothing to observe."""
        predicted = self.decode(*self.encode(normalise(batch.images)), batch.points)
        sdf = batch.distance / VOXELS
        weights = torch.where(sdf <= NEAR, NEAR_WEIGHT, 1.0)
        errors = (SDF_SCALE * sdf.clamp(-TRUNCATION, TRUNCATION) - predicted).abs()
        return (errors * weights).mean(), predicted.new_zeros(0)

    def field(self, image: Tensor) -> Callable[[Tensor], Tensor]:
        """Falls from 1 to 0 over the truncated distances, linearly: marching cubes finds 0.5 where it would find their 0."""
        code, maps = self.encode(image)
        steepness = 0.5 / (SDF_SCALE * TRUNCATION)
        return lambda points: (0.5 - steepness * self.decode(code, maps, points)).clamp(0, 1)

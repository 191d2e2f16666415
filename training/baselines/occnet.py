"""Occupancy Networks (Mescheder et al., CVPR 2019), single image: a global code, and a decoder that it conditions.

After autonomousvision/occupancy_networks: configs/img/onet.yaml (c_dim 256, no latent z, threshold 0.2), im2mesh/encoder/conv.py
(ResNet-18, then a linear layer 512 -> 256), im2mesh/onet/models/decoder.py and im2mesh/layers.py (points 3 -> 256, five residual
blocks of two conditional batch norms and two layers of 256, a last norm, 256 -> 1), im2mesh/onet/training.py (the loss). At
width 1 it has their 13,414,465 parameters.

B batch, N points, K channels of the code, C of a point.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.encoder import STAGE_CHANNELS, ResNet18
from training.baselines.widths import scaled
from training.data.dataset import Batch
from training.labels import binary_label
from training.method import FieldMethod
from training.normalisation import normalise

BLOCKS = 5


class ConditionalNorm(nn.Module):
    """Batch norm whose scale and shift are linear in a code; at first they are 1 and 0 for every code."""

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, affine=False)
        self.gamma, self.beta = nn.Linear(code, channels), nn.Linear(code, channels)
        for linear, bias in ((self.gamma, 1.0), (self.beta, 0.0)):
            nn.init.zeros_(linear.weight)
            nn.init.constant_(linear.bias, bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """(B, N, C) and (B, K) -> (B, N, C)."""
        normed: Tensor = self.norm(x.flatten(0, 1)).view(x.shape)
        gamma: Tensor = self.gamma(code)[:, None]
        beta: Tensor = self.beta(code)[:, None]
        return gamma * normed + beta


class ConditionalBlock(nn.Module):
    """Norm, ReLU, layer, twice, and a shortcut; the second layer starts at zero, so that the block starts as the identity."""

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalNorm(code, channels), ConditionalNorm(code, channels)
        self.linear1, self.linear2 = nn.Linear(channels, channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.linear2.weight)
        nn.init.zeros_(self.linear2.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """(B, N, C) and (B, K) -> (B, N, C)."""
        hidden = self.linear1(F.relu(self.norm1(x, code)))
        residual: Tensor = self.linear2(F.relu(self.norm2(hidden, code)))
        return x + residual


class ConditionalDecoder(nn.Module):
    """Points and a code -> occupancy logits."""

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(3, channels)
        self.blocks = nn.ModuleList(ConditionalBlock(code, channels) for _ in range(BLOCKS))
        self.norm = ConditionalNorm(code, channels)
        self.last = nn.Linear(channels, 1)

    def forward(self, points: Tensor, code: Tensor) -> Tensor:
        """(B, N, 3) as (u, v, z) and (B, K) -> logits (B, N)."""
        with torch.autocast(points.device.type, enabled=False):  # bfloat16 would round u, v and z to half a voxel
            x = self.first(points)
        for block in self.blocks:
            x = block(x, code)
        logits: Tensor = self.last(F.relu(self.norm(x, code)))
        return logits[..., 0]


class OccNet(FieldMethod):
    """`width` scales the code and the decoder; the ResNet-18 stays whole."""

    level = 0.2

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled(256, width)
        self.backbone = ResNet18()
        self.project = nn.Linear(STAGE_CHANNELS[-1], channels)
        self.decoder = ConditionalDecoder(channels, channels)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B, K) code."""
        code: Tensor = self.project(self.backbone(images)[-1].mean(dim=(2, 3)))
        return code

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Cross-entropy of binary occupancy, summed over a view's points, mean over views; nothing to observe."""
        logits = self.decoder(batch.points, self.encode(normalise(batch.images))).float()
        loss = F.binary_cross_entropy_with_logits(logits, binary_label(batch.distance), reduction="sum") / len(logits)
        return loss, logits.new_zeros(0)

    def field(self, image: Tensor) -> Callable[[Tensor], Tensor]:
        code = self.encode(image)
        return lambda points: torch.sigmoid(self.decoder(points, code))

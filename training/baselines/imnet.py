"""IM-NET (Chen and Zhang, CVPR 2019), single view: an image code beside every point, through a wide, plain MLP.

After czq142857/IM-NET-pytorch:modelSVR.py, the improved network: a grey view of 128 px, inverted; 7x7 convolution of stride 2 to
64 channels, eight residual blocks of 64, 64, 128, 128, 256, 256, 512, 512, a 4x4 convolution of stride 2, a 4x4 one to the code
of 256, sigmoid; decoder 259 -> 1024, 1024, 1024, 512, 256, 128 -> 1, leaky ReLU of slope 0.02, a leaky clip to [0, 1] at its end,
mean squared error. There the decoder comes out of an auto-encoder of voxels and the image encoder learns its codes afterwards;
here both learn at once, from the points.

B batch, N points, S image side, K channels of the code.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.baselines.widths import scaled
from training.data.dataset import Batch
from training.labels import binary_label
from training.method import FieldMethod
from training.normalisation import MEAN, STD, normalise

NEGATIVE_SLOPE = 0.02
CODE = 256
ENCODER_WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
DECODER_WIDTHS = (1024, 1024, 1024, 512, 256, 128)
WEIGHT_STD = 0.02  # of the decoder's first weights, at width 1
POSITION_STD = 0.25  # of those of u, v and z: a point then moves the first layer as much as the code does
LAST_CELLS = 4  # along the side of the map that the last convolution covers: a picture of 128 px halved five times
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def inverted_grey(images: Tensor) -> Tensor:
    """(B, 3, S, S) normalised RGB -> (B, 1, S, S): 0 where white, 1 where black."""
    mean, std, luma = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD, LUMA))
    return 1 - ((images * std + mean) * luma).sum(dim=1, keepdim=True)


def leaky_clip(x: Tensor) -> Tensor:
    """Clips to [0, 1], but for a hundredth of the slope outside: max(min(x, 0.01 x + 0.99), 0.01 x)."""
    return torch.maximum(torch.minimum(x, 0.01 * x + 0.99), 0.01 * x)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; where the channels change, of stride 2 with a convolution in the shortcut."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = F.leaky_relu(self.norm1(self.conv1(x)), NEGATIVE_SLOPE)
        return F.leaky_relu(self.norm2(self.conv2(residual)) + self.shortcut(x), NEGATIVE_SLOPE)


class ViewEncoder(nn.Module):
    """Inverted grey view -> code in (0, 1).

    Before the last convolution the map is averaged or repeated to 4 cells a side, which changes nothing at the paper's 128 px.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [scaled(paper, width) for paper in ENCODER_WIDTHS]
        strides = [2 if after != before else 1 for before, after in pairwise(ENCODER_WIDTHS)]
        blocks = [ResidualBlock(a, b, s) for (a, b), s in zip(pairwise(channels), strides, strict=True)]
        self.first = nn.Conv2d(1, channels[0], 7, 2, 3, bias=False)
        self.first_norm = nn.BatchNorm2d(channels[0])
        self.blocks = nn.Sequential(ResidualBlock(channels[0], channels[0], 1), *blocks)
        self.halve = nn.Conv2d(channels[-1], channels[-1], 4, 2, 1, bias=False)
        self.halve_norm = nn.BatchNorm2d(channels[-1])
        self.last = nn.Conv2d(channels[-1], scaled(CODE, width), LAST_CELLS)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, views: Tensor) -> Tensor:
        """(B, 1, S, S) -> (B, K)."""
        x = self.blocks(F.leaky_relu(self.first_norm(self.first(views)), NEGATIVE_SLOPE))
        x = F.leaky_relu(self.halve_norm(self.halve(x)), NEGATIVE_SLOPE)
        return torch.sigmoid(self.last(F.adaptive_avg_pool2d(x, LAST_CELLS)).flatten(1))


class PointDecoder(nn.Module):
    """[code, point] -> occupancy. The first layer is kept in two parts, so that the code's is computed once a picture.

    In the paper's start the position weighs less than a tenth of the code, and training has hundreds of epochs to find it.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        widths = [scaled(paper, width) for paper in DECODER_WIDTHS]
        self.of_code = nn.Linear(scaled(CODE, width), widths[0])
        self.of_point = nn.Linear(3, widths[0], bias=False)
        self.rest = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([*widths, 1]))
        for linear in (self.of_code, *self.rest):
            assert isinstance(linear, nn.Linear)
            nn.init.normal_(linear.weight, std=WEIGHT_STD / width**0.5)  # narrow layers hand on as much as the paper's
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.of_point.weight, std=POSITION_STD)

    def forward(self, points: Tensor, code: Tensor) -> Tensor:
        """(B, N, 3) as (u, v, z) and (B, K) -> (B, N), in [0, 1] but for the clip's leaks."""
        with torch.autocast(points.device.type, enabled=False):  # bfloat16 would round u, v and z to half a voxel
            x = self.of_point(points)
        x = x + self.of_code(code)[:, None]
        for linear in self.rest:
            x = linear(F.leaky_relu(x, NEGATIVE_SLOPE))
        return leaky_clip(x[..., 0].float())


class IMNet(FieldMethod):
    """`width` scales encoder, code and decoder."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = ViewEncoder(width)
        self.decoder = PointDecoder(width)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B, K) code."""
        code: Tensor = self.encoder(inverted_grey(images))
        return code

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean squared error of binary occupancy; nothing to observe."""
        values = self.decoder(batch.points, self.encode(normalise(batch.images)))
        return F.mse_loss(values, binary_label(batch.distance)), values.new_zeros(0)

    def field(self, image: Tensor) -> Callable[[Tensor], Tensor]:
        code = self.encode(image)
        return lambda points: self.decoder(points, code).clamp(0, 1)

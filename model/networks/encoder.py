"""E: ResNet-18 and a feature pyramid on top of it, as the paper's Fig. 3 has them.

B batch, S input side, C channels; maps are (B, C, h, w), finest first.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Variant = Literal["global", "backbone", "pyramid"]

STAGE_CHANNELS = (64, 128, 256, 512)  # C2..C5, strides 4, 8, 16, 32


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; parameter names as in torchvision/models/resnet.py."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels_out:
            shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """The backbone without its classifier. State-dict keys are torchvision's, so that public ImageNet weights load."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, stride=1)
        self.layer2 = _stage(64, 128, stride=2)
        self.layer3 = _stage(128, 256, stride=2)
        self.layer4 = _stage(256, 512, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) normalised RGB -> [C2, C3, C4, C5]."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(channels_in, channels_out, stride), BasicBlock(channels_out, channels_out, stride=1))


class FeaturePyramid(nn.Module):
    """[C2..C5] -> [P2..P5] of `channels` each: 1x1 laterals, top-down nearest x2, 3x3 smoothing (Lin et al. 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in STAGE_CHANNELS)
        self.smooth = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1) for _ in STAGE_CHANNELS)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for fine, coarse in ((2, 3), (1, 2), (0, 1)):
            merged[fine] = merged[fine] + F.interpolate(merged[coarse], size=merged[fine].shape[-2:], mode="nearest")
        return [smooth(x) for smooth, x in zip(self.smooth, merged, strict=True)]


class GlobalVector(nn.Module):
    """[C2..C5] -> one (B, channels, 1, 1) map: sampled anywhere, it is the same vector for every point."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(STAGE_CHANNELS[-1], channels, 1)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [self.project(maps[-1].mean(dim=(2, 3), keepdim=True))]


class ImageEncoder(nn.Module):
    """Image -> maps to sample point features from.

    variant: "global" (the paper's Fig. 3a, a vector), "backbone" (3b, C2..C5 as they are), "pyramid" (3c, P2..P5).
    """

    def __init__(self, variant: Variant, channels: int) -> None:
        super().__init__()
        self.backbone = ResNet18()
        self.neck: nn.Module
        self.map_channels: tuple[int, ...]
        if variant == "global":
            self.neck, self.map_channels = GlobalVector(channels), (channels,)
        elif variant == "backbone":
            self.neck, self.map_channels = nn.Identity(), STAGE_CHANNELS
        else:
            self.neck, self.map_channels = FeaturePyramid(channels), (channels,) * len(STAGE_CHANNELS)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) float, normalised -> maps (B, map_channels[l], h_l, w_l)."""
        maps: list[Tensor] = self.neck(self.backbone(images))
        return maps


def load_backbone_weights(encoder: ImageEncoder, state: dict[str, Tensor]) -> None:
    """Loads a torchvision ResNet-18 state dict, without its classifier `fc.*`; raises RuntimeError on other keys or shapes."""
    encoder.backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})

"""The image normalisation that training applies and the manifest tells serving: ImageNet's, which public weights expect."""

from __future__ import annotations

import torch
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """(B, 3, S, S) in [0, 1] -> the same, less the mean and divided by the standard deviation per channel."""
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std

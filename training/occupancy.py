"""Our method: pixel-aligned features, an occupancy decoder, and soft labels that harden with the training status.

B batch, N points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.occupancy_network import OccupancyNetwork
from training.configs import AuxiliaryConfig, LabelConfig
from training.data.dataset import Batch
from training.labels import (
    CalibratedRule,
    HardnessRule,
    HardnessSchedule,
    PaperRule,
    adaptive_label,
    binary_label,
    confusion_counts,
    initial_f1,
    trivial_f1,
)
from training.method import FieldMethod
from training.normalisation import normalise

NO_AUXILIARY = AuxiliaryConfig()
BEND = 0.05  # crop sides: depths farther off than this are outliers, as hidden backs often are


class PixelAlignedOccupancy(FieldMethod):
    """`OccupancyNetwork`, trained on labels v(d, s) whose hardness s follows F1 (paper, eqs. 9 to 12).

    positive_share: of the training pairs that lie inside, from which the first F1 is taken; whoever only asks may leave it out.
    """

    def __init__(
        self,
        network: OccupancyNetwork,
        labels: LabelConfig,
        auxiliary: AuxiliaryConfig = NO_AUXILIARY,
        positive_share: float = 0.5,
    ) -> None:
        super().__init__()
        self.network = network
        self.depth_weight = auxiliary.depth_weight
        # front and back, z: the decoder's first layer may compare them with a point's own z as they are
        self.depth_head = nn.Conv2d(network.encoder.map_channels[0], 2, 1) if self.depth_weight else None
        self.binary = labels.rule == "binary"
        first_f1 = initial_f1(positive_share) if labels.rule == "paper" else trivial_f1(positive_share)
        rule = _rule(labels, positive_share)
        self.schedule = HardnessSchedule(rule, labels.measure_steps, labels.adjust_steps, best_f1=first_f1)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean binary cross-entropy plus the weighted depth loss; and true positives, false positives, false negatives."""
        images = normalise(batch.images).contiguous(memory_format=torch.channels_last)
        maps = self.network.encoder(images)
        logits = self.network.decode(self.network.decoder.project_maps(maps), batch.points).float()
        loss = F.binary_cross_entropy_with_logits(logits, self.labels(batch.distance))
        if self.depth_head is not None:
            loss = loss + self.depth_weight * depth_loss(self.depth_head(maps[0]).float(), batch.depths)
        return loss, confusion_counts(logits, batch.distance)

    def labels(self, distance: Tensor) -> Tensor:
        """Signed distances (B, N) in voxels -> labels (B, N) at the present hardness."""
        if self.binary:
            return binary_label(distance)
        return adaptive_label(distance.clamp(min=0), self.schedule.s)

    def observe(self, sums: Tensor) -> None:
        self.schedule.observe(sums)

    def scalars(self) -> dict[str, float]:
        return {"best_f1": self.schedule.best_f1, "s": self.schedule.s}

    def field(self, image: Tensor) -> Callable[[Tensor], Tensor]:
        maps = self.network.encode(image)
        return lambda points: torch.sigmoid(self.network.decode(maps, points))

    def get_extra_state(self) -> dict[str, Any]:
        """torch: what a state dict holds beside weights."""
        return self.schedule.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.schedule.load_state_dict(state)


def depth_loss(predicted: Tensor, depths: Tensor) -> Tensor:
    """Smooth L1 between maps (B, 2, h, w) and depths (B, 2, C, C) where the object is seen: squares below, lengths above BEND."""
    predicted = F.interpolate(predicted, depths.shape[-2:], mode="bilinear", align_corners=False)
    seen = depths.isfinite()
    return F.smooth_l1_loss(predicted[seen], depths[seen], beta=BEND)


def _rule(labels: LabelConfig, positive_share: float) -> HardnessRule:
    if labels.rule == "paper":
        return PaperRule(labels.factor, labels.s_min, labels.s_max)
    if labels.rule == "calibrated":
        return CalibratedRule(trivial_f1(positive_share), labels.target_f1, labels.s_start, labels.s_min)
    return lambda f1: labels.fixed_s

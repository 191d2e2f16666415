"""Soft occupancy labels v(d, s), their inverse, and how their hardness s follows the training status.

d   distance from a point to the *solid* in voxels, 0 inside (a voxel is 1/256 of the crop's side)
d*  where the label reaches 0: 5 sqrt(3) voxels
s   hardness: near 1 the label falls gently with d, near 0 it is almost binary
v   the label, in [0, 1]; paper eq. 9: v = -s log(m d + n) for d <= d*, else 0, with n = exp(-1/s), m = (1 - n) / d*
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

VOXELS = 256  # voxels along the crop's side
D_STAR = 5 * math.sqrt(3)


def adaptive_label(distance: Tensor, s: float) -> Tensor:
    """v(d, s), eq. 9: distance (...) float in voxels -> (...) float. v(0) = 1, v(d*) = 0, decreasing and convex.

    Computed as -s logaddexp(log(m d), log n), which stays exact in float32 where exp(-1/s) underflows.
    """
    log_md = torch.log(distance.clamp(min=0) / D_STAR) + math.log1p(-math.exp(-1 / s))
    label = -s * torch.logaddexp(log_md, torch.full_like(log_md, -1 / s))
    return torch.where(distance <= D_STAR, label, 0.0).clamp(0, 1)


def label_distance(label: Tensor, s: float) -> Tensor:
    """d(v), the inverse of `adaptive_label` outside the solid: (...) in [0, 1] -> (...) voxels."""
    n = math.exp(-1 / s)
    return (torch.exp(-label / s) - n) * (D_STAR / (1 - n))


def binary_label(distance: Tensor) -> Tensor:
    """1 inside the solid, 0 outside: what v(d, s) tends to as s goes to 0."""
    return (distance <= 0).to(distance.dtype)


def initial_f1(positive_share: float) -> float:
    """The score before any training, eq. 12."""
    return 2 * positive_share / (1 + 2 * positive_share)


def trivial_f1(positive_share: float) -> float:
    """The F1 of "everything is occupied": precision is the share of positives, recall is 1."""
    return 2 * positive_share / (1 + positive_share)


def confusion_counts(logits: Tensor, distance: Tensor) -> Tensor:
    """Logits and signed distances (...) -> (3,) float32: true positives, false positives, false negatives; inside is positive."""
    predicted, positive = logits > 0, distance <= 0
    return torch.stack([(predicted & positive).sum(), (predicted & ~positive).sum(), (~predicted & positive).sum()]).float()


class HardnessRule(Protocol):
    """Best F1 so far -> s."""

    def __call__(self, f1: float) -> float: ...


@dataclass(frozen=True)
class PaperRule:
    """s = clamp(1 - factor * F1, s_min, s_max), eq. 10 with the bounds it needs to stay positive."""

    factor: float = 1.5
    s_min: float = 0.1
    s_max: float = 0.95

    def __call__(self, f1: float) -> float:
        return min(self.s_max, max(self.s_min, 1 - self.factor * f1))


@dataclass(frozen=True)
class CalibratedRule:
    """s falls linearly from `s_start` at the trivial predictor's F1 to `s_min` at `target_f1`.

    With half of the pairs positive the trivial predictor already scores 0.66, where the paper's rule is at its floor and adapts
    nothing.
    """

    trivial: float
    target_f1: float = 0.85
    s_start: float = 0.5
    s_min: float = 0.1

    def __call__(self, f1: float) -> float:
        progress = (f1 - self.trivial) / max(self.target_f1 - self.trivial, 1e-6)
        return self.s_start + (self.s_min - self.s_start) * min(1.0, max(0.0, progress))


@dataclass
class HardnessSchedule:
    """Follows F1 (eq. 11) on the training pairs.

    F1 is measured every `measure_steps` and kept if better than the best; s is set every `adjust_steps`.
    """

    rule: HardnessRule
    measure_steps: int
    adjust_steps: int
    best_f1: float
    s: float = field(init=False)
    step: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)  # true positives, false positives, false negatives since the last measurement

    def __post_init__(self) -> None:
        self.s = self.rule(self.best_f1)

    def observe(self, counts: Tensor) -> None:
        """The `confusion_counts` of one training step's pairs."""
        tp, fp, fn = (before + int(now) for before, now in zip(self.counts, counts.tolist(), strict=True))
        self.counts = (tp, fp, fn)
        self.step += 1
        if self.step % self.measure_steps == 0:
            self.best_f1 = max(self.best_f1, self.f1)
            self.counts = (0, 0, 0)
        if self.step % self.adjust_steps == 0:
            self.s = self.rule(self.best_f1)

    @property
    def f1(self) -> float:
        """F1 of the pairs seen since the last measurement, 0 when there were none."""
        tp, fp, fn = self.counts
        return 2 * tp / (2 * tp + fp + fn) if tp else 0.0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {"best_f1": self.best_f1, "s": self.s, "step": self.step, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up a `state_dict`."""
        self.best_f1, self.s, self.step, self.counts = state["best_f1"], state["s"], state["step"], tuple(state["counts"])

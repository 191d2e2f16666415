"""The soft label v(d, s) that a network learns, and its inverse: how far away the solid is where the field says v.

d   distance to the *solid*, 0 inside, here in view-frame units (u and v of the crop run over one unit)
d*  where the label reaches 0
s   hardness: near 1 the label falls gently with d, near 0 it is almost binary
v   the label, in [0, 1]; paper eq. 9: v = -s log(m d + n) for d <= d*, else 0, with n = exp(-1/s), m = (1 - n) / d*

`training.labels` is the same in torch, in voxels; `model.culling` says what the inverse is for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SoftLabel:
    """v(d, s) with the numbers of one training run.

    s: the hardness at the run's end; d_star_voxels: d* in voxels, of which `voxels_per_side` make one view-frame unit.
    """

    s: float
    d_star_voxels: float
    voxels_per_side: int

    def __post_init__(self) -> None:
        for name in ("s", "d_star_voxels", "voxels_per_side"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}: expected a finite number above 0, got {value}")

    @property
    def reach(self) -> float:
        """d* in view-frame units: how far from the solid the label still says where it is."""
        return self.d_star_voxels / self.voxels_per_side

    @overload
    def value(self, distance: float) -> float: ...
    @overload
    def value(self, distance: npt.NDArray[np.floating]) -> Float64: ...
    def value(self, distance: float | npt.NDArray[np.floating]) -> float | Float64:
        """v(d, s), eq. 9: distances (...) in view-frame units, negative ones as 0 -> (...) float64 in [0, 1], falling.

        As -s logaddexp(log(m d), log n), which needs no n: exp(-1/s) is lost beside m d, or no number at all, where s is small.
        """
        share = np.clip(np.asarray(distance, np.float64) / self.reach, 0.0, 1.0)
        with np.errstate(divide="ignore"):  # log 0 is -inf: on the solid only log n remains
            log_md = np.log(share) + math.log(-math.expm1(-1 / self.s))
        label = np.clip(-self.s * np.logaddexp(log_md, -1 / self.s), 0.0, 1.0) * (share < 1)
        return float(label) if label.ndim == 0 else label

    @overload
    def distance(self, value: float) -> float: ...
    @overload
    def distance(self, value: npt.NDArray[np.floating]) -> Float64: ...
    def distance(self, value: float | npt.NDArray[np.floating]) -> float | Float64:
        """d(v), the inverse of `value`: (...) labels -> (...) float64, view-frame units; 1 and more is 0, 0 and less is d*.

        (e^(-v/s) - n) / m with e^(-v/s) taken out of the difference, so that labels near 1 keep their digits.
        """
        label = np.clip(np.asarray(value, np.float64), 0.0, 1.0)
        share = np.exp(-label / self.s) * (np.expm1((label - 1) / self.s) / math.expm1(-1 / self.s))
        return float(share * self.reach) if share.ndim == 0 else share * self.reach

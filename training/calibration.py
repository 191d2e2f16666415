"""Makes 0.5 the level at which the exported field fits best.

Near-surface pools hold far more points from inside the object than the query volume does, so a network that is unsure of the
depth answers too high: after the CPU recipe the best level on validation views lies near 0.6. Moving the last bias moves that
level to 0.5 and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from model.networks.occupancy_network import OccupancyNetwork
from training.data.dataset import ShapeSet
from training.method import FieldMethod
from training.validation import field_probabilities, validation_logits

SHIFTS: npt.NDArray[np.float64] = np.arange(-80, 81) * 0.05  # logits that are tried


def calibrate(network: OccupancyNetwork, shapes: ShapeSet, image_size: int, views: int) -> float:
    """Subtracts from the last bias the logit at which the field's mean IoU over the views is highest, and returns it.

    The views are those of `validate`; the network is changed in place.
    """
    best = _best_threshold(SHIFTS, validation_logits(network, shapes, image_size, views))
    last = network.decoder.rest[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias -= best
    return best


def best_level(method: FieldMethod, shapes: ShapeSet, image_size: int, views: int) -> float:
    """The probability at which the field's mean IoU over the same views is highest: for methods that have no bias to move."""
    fields = field_probabilities(method, shapes, image_size, views)
    return _best_threshold(1 / (1 + np.exp(-SHIFTS)), ((probability, inside) for _, probability, inside in fields))


def _best_threshold(thresholds: npt.NDArray[np.floating], fields: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Of (values (n,), inside (n,)) of several views: the threshold above which values tell best what lies inside."""
    scores = np.zeros(len(thresholds))
    for values, inside in fields:
        predicted = values[None] > torch.from_numpy(thresholds).to(values)[:, None]
        intersection, union = (predicted & inside).sum(1), (predicted | inside).sum(1)
        scores += (intersection / union.clamp(min=1)).cpu().numpy()
    return float(thresholds[scores.argmax()])

"""0.5 becomes the best level."""

import torch

from training.calibration import calibrate
from training.checkpoints import load_checkpoint, method_of
from training.data.dataset import ShapeSet
from training.validation import validate


def test_a_field_that_answers_too_high_is_brought_down(tiny_checkpoint, tiny_set):
    """A bias added to every answer is found again, and a calibrated field needs no further shift."""
    method, config = method_of(load_checkpoint(tiny_checkpoint))
    network = method.network
    shapes = ShapeSet(tiny_set.files("val"), config.camera)
    calibrate(network, shapes, config.image_size, views=4)
    fitting = validate(method, shapes, config)["iou"]
    with torch.no_grad():
        network.decoder.rest[-1].bias += 1.0
    assert validate(method, shapes, config)["iou"] < fitting
    assert abs(calibrate(network, shapes, config.image_size, views=4) - 1.0) < 1e-6
    assert validate(method, shapes, config)["iou"] == fitting
    assert abs(calibrate(network, shapes, config.image_size, views=4)) < 1e-6

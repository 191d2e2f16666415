"""0.5 becomes the best level."""

import torch

from training.calibration import best_level, calibrate
from training.checkpoints import load_checkpoint, method_of
from training.data.dataset import ShapeSet
from training.method import FieldMethod
from training.validation import POINTS, validate, view_numbers


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


class Known(FieldMethod):
    """A field that knows which points lie inside, and says it too quietly."""

    def __init__(self, answers):
        super().__init__()
        self.answers = iter(answers)

    def forward(self, batch):
        raise AssertionError("it is not trained")

    def field(self, image):
        inside = next(self.answers)
        return lambda points: torch.where(inside, 0.35, 0.1)[None]


def test_the_best_level_of_a_field_lies_between_what_it_says_inside_and_outside(tiny_set):
    shapes = ShapeSet(tiny_set.files("val"), "pinhole")
    answers = [shapes.uniform_points(shape, view, POINTS)[1] for shape, view in view_numbers(shapes, 2)]
    method = Known(answers)
    assert method.level == 0.5
    assert 0.1 <= best_level(method, shapes, 32, 2) < 0.35

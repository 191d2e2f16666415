"""Culling is calibrated to the cheapest strengths that lose nothing of what the dense grid finds."""

import dataclasses

import numpy as np
import pytest

from model.carving import carve
from model.culling import Culling
from model.field import QueryGrid, query_densely
from model.hierarchy import query_hierarchically
from model.reconstructor import Reconstructor
from model.runtime.bundle import CullingStrengths
from model.soft_label import SoftLabel
from tests.reference import AnalyticField
from training import culling
from training.culling import RecordedField, RecordedView, calibrate_culling, calibration_photos, record

LABEL = SoftLabel(0.13, 5 * 3**0.5, 256)
LEVEL = 0.5


def ball(radius=0.3, centre=(0.0, 0.0, 0.0)):
    return lambda p: radius - np.linalg.norm(p - np.array(centre), axis=1)


def ball_and_speck(p):
    """Beside a ball a speck of seven nodes of a grid of 64 cells, in the middle of a cell of twice the size."""
    middle = (25.5 / 32 - 0.5, 25.5 / 32 - 0.5, 27.5 / 32 - 0.75)
    return np.maximum(ball(0.15, (-0.1, -0.1, 0.0))(p), ball(1.2 / 64, middle)(p))


class Labelled(AnalyticField):
    """An ideal network's field: v(d, s) of the distance to the solid."""

    def query(self, columns, depths):
        self.asked += len(columns)
        u, v = np.divmod(columns, self.grid.resolution + 1)
        points = np.stack([u / self.grid.resolution - 0.5, v / self.grid.resolution - 0.5, depths], axis=1)
        return LABEL.value(np.maximum(-self.solid(points), 0)).astype(np.float32)


def recorded(solid, resolution=64, label=LABEL) -> RecordedView:
    field = RecordedField.of(Labelled(solid, resolution))
    coverage = np.ones(field.observed.shape, np.float32)
    return RecordedView(field, coverage, LEVEL, query_densely(field) >= LEVEL, Culling(label))


def chosen_for(*views) -> CullingStrengths:
    return culling._cheapest(list(views), CullingStrengths())


def test_a_recorded_field_answers_as_the_field_does_and_counts():
    observed = np.hypot(*np.meshgrid(*[QueryGrid(128).lateral] * 2)) < 0.2
    field = AnalyticField(ball(), 128, observed)
    memory = RecordedField.of(field)
    found = query_hierarchically(memory, LEVEL)
    assert memory.asked > 10_000
    again = AnalyticField(ball(), 128, observed)
    np.testing.assert_array_equal(found.on_whole_grid(), query_hierarchically(again, LEVEL).on_whole_grid())
    assert memory.asked == again.asked


def test_columns_are_recorded_as_far_from_observed_ones_as_coarse_nodes_lie():
    observed = np.zeros((65, 65), np.bool_)
    observed[20, 30] = True
    expected = np.zeros_like(observed)
    expected[19:22, 29:32] = True
    np.testing.assert_array_equal(culling._grown(observed, 1), expected)
    np.testing.assert_array_equal(culling._grown(observed, 0), observed)


def test_where_signs_are_enough_nothing_is_suspected():
    assert chosen_for(recorded(ball())) == CullingStrengths(slopes={32: 0.0})


@pytest.mark.parametrize("label", [LABEL, None])
def test_a_speck_between_coarse_nodes_is_found_by_what_is_chosen(label):
    view = recorded(ball_and_speck, label=label)
    lost, least = view.ask(CullingStrengths())
    assert lost < culling.REQUIRED_IOU
    chosen = chosen_for(recorded(ball()), view)
    iou, asked = view.ask(chosen)
    assert iou == 1.0
    assert least < asked < view.inside.size / 2
    assert label or not chosen.factors


def test_the_cheapest_of_all_that_are_enough_is_chosen():
    view = recorded(ball_and_speck)
    costs = {}
    for rule, ladder in culling.LADDERS.items():
        for number in ladder:
            strengths = CullingStrengths(**{rule: {32: number}})
            iou, asked = view.ask(strengths)
            if iou >= culling.REQUIRED_IOU:
                costs[rule, number] = asked
    assert len(costs) >= 2
    chosen = chosen_for(view)
    assert view.ask(chosen)[1] == min(costs.values())


def test_where_no_strength_is_enough_the_strongest_is_taken(monkeypatch):
    monkeypatch.setattr(culling, "LADDERS", {"slopes": (0.0, 1e-4), "factors": (0.0, 1e-4)})
    assert chosen_for(recorded(ball_and_speck)) == CullingStrengths(factors={32: 1e-4})


def test_cells_with_a_number_keep_it():
    known = CullingStrengths(slopes={32: 0.7})
    assert culling._cheapest([recorded(ball(), 128)], known) == CullingStrengths(slopes={32: 0.7, 64: 0.0})


def test_a_view_is_compared_as_it_is_served(tiny_bundle, tiny_set):
    """Cut to the silhouette, with the bundle's level and the picture's camera."""
    reconstructor = Reconstructor.load(tiny_bundle, "cpu", threads=1)
    view = record(reconstructor, calibration_photos([tiny_set], 1)[0], 64)
    assert view.inside.any()
    np.testing.assert_array_equal(view.inside, carve(query_densely(view.field), view.coverage, LEVEL) >= LEVEL)
    assert (view.coverage < 0.5).any()
    assert view.culling.stretch > 1
    assert view.culling.label == reconstructor.bundle.manifest.labels.soft_label
    assert view.ask(CullingStrengths())[0] == 1.0


def test_a_bundle_is_calibrated_at_each_resolution_for_its_own_cells(tiny_bundle, tiny_set):
    reconstructor = Reconstructor.load(tiny_bundle, "cpu", threads=1)
    photos = calibration_photos([tiny_set], 2)
    strengths = calibrate_culling(reconstructor, photos, {128: 1, 64: 2})
    assert strengths.sizes == {32, 64}
    assert calibrate_culling(reconstructor, [], {64: 2}) == CullingStrengths()


def test_photos_alternate_between_validation_shapes_and_thin_parts(tiny_set):
    photos = calibration_photos([tiny_set], 8)
    assert len(photos) == 1 + 6  # one validation shape, six kinds of thin part in the one thickness of the tests
    assert len({photo.rgb.tobytes() for photo in photos}) == 7
    doubled = dataclasses.replace(tiny_set, entries=tuple(dataclasses.replace(e, split="val") for e in tiny_set.entries))
    assert len(calibration_photos([doubled], 8)) == 8

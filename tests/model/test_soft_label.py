"""The label in numpy beside the paper's formula and beside the one that training uses."""

import math

import numpy as np
import pytest
import torch

from model.soft_label import SoftLabel
from tests.reference import soft_label
from training.labels import D_STAR, VOXELS, adaptive_label, label_distance

HARDNESSES = [0.02, 0.1, 0.13, 0.5, 0.95]
voxels = np.linspace(0, 1.2 * D_STAR, 1201)


def label(s: float) -> SoftLabel:
    return SoftLabel(s, D_STAR, VOXELS)


@pytest.mark.parametrize("s", HARDNESSES)
def test_values_are_those_of_the_papers_formula(s):
    expected = [soft_label(d, s) for d in voxels]
    np.testing.assert_allclose(label(s).value(voxels / VOXELS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("s", HARDNESSES)
def test_values_and_distances_are_those_of_training(s):
    values = adaptive_label(torch.from_numpy(voxels), s)
    np.testing.assert_allclose(label(s).value(voxels / VOXELS), values, rtol=0, atol=1e-12)
    np.testing.assert_allclose(label(s).distance(values.numpy()) * VOXELS, label_distance(values, s), rtol=0, atol=1e-12)


@pytest.mark.parametrize("s", HARDNESSES)
def test_distance_undoes_value_as_far_as_the_label_reaches(s):
    distances = np.concatenate([[0.0], np.geomspace(1e-6, 1, 200)]) * D_STAR / VOXELS
    np.testing.assert_allclose(label(s).distance(label(s).value(distances)), distances, rtol=1e-6, atol=1e-16)


@pytest.mark.parametrize("s", [0.0005, *HARDNESSES])
def test_value_undoes_distance_even_where_n_is_no_number(s):
    values = np.linspace(0, 1, 101)
    found = label(s).value(label(s).distance(values))
    # At s = 0.0005, exp(-v / s) is no number either from v = 0.37 on: such a distance is 0.
    known = values / s < 700
    np.testing.assert_allclose(found[known], values[known], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found[~known & (values / s > 750)], 1.0)


@pytest.mark.parametrize("s", HARDNESSES)
def test_both_ends_are_exact_and_what_lies_beyond_them_is_held(s):
    reach = D_STAR / VOXELS
    np.testing.assert_allclose(label(s).value(np.array([-0.1, 0.0, reach, 2 * reach])), [1, 1, 0, 0], rtol=0, atol=1e-15)
    assert label(s).value(2 * reach) == 0.0
    np.testing.assert_array_equal(label(s).distance(np.array([1.5, 1.0, 0.0, -0.5])), [0, 0, reach, reach])
    assert label(s).reach == reach


@pytest.mark.parametrize("s", HARDNESSES)
def test_both_fall_strictly_over_the_labels_reach(s):
    assert (np.diff(label(s).value(np.linspace(0, D_STAR / VOXELS, 500))) < 0).all()
    assert (np.diff(label(s).distance(np.linspace(0, 1, 500))) < 0).all()


def test_the_hardest_label_is_known_to_the_digit():
    """s = 0.02, half-way: exp(-25) of d*, and back. The same sum in float32 would be off in the third digit from n alone."""
    half = label(0.02).distance(0.5) * VOXELS
    assert half == pytest.approx((math.exp(-25) - math.exp(-50)) / (1 - math.exp(-50)) * D_STAR, rel=1e-13)
    assert label(0.02).value(half / VOXELS) == pytest.approx(0.5, abs=1e-14)


def test_distances_are_in_view_frame_units_whatever_the_voxels():
    coarse, fine = SoftLabel(0.13, 5.0, 100), SoftLabel(0.13, 25.0, 500)
    distances = np.linspace(0, 0.06, 50)
    np.testing.assert_allclose(coarse.value(distances), fine.value(distances), rtol=0, atol=1e-14)
    assert coarse.distance(0.3) == pytest.approx(fine.distance(0.3), rel=1e-14)


def test_scalars_give_floats_and_arrays_keep_their_shape():
    assert type(label(0.13).value(0.01)) is float
    assert type(label(0.13).distance(0.5)) is float
    grid = np.full((2, 3, 4), 0.5, np.float32)
    for answer in (label(0.13).value(grid), label(0.13).distance(grid)):
        assert (answer.shape, answer.dtype) == ((2, 3, 4), np.float64)


@pytest.mark.parametrize("wrong", [{"s": 0.0}, {"s": -0.1}, {"s": math.nan}, {"d_star_voxels": 0.0}, {"voxels_per_side": 0}])
def test_numbers_that_make_no_label_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=rf"^{next(iter(wrong))}: expected a finite number above 0"):
        SoftLabel(**{"s": 0.13, "d_star_voxels": D_STAR, "voxels_per_side": VOXELS} | wrong)

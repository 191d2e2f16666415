"""The soft label v(d, s), its inverse, the rules for s and the schedule that follows F1."""

import math

import numpy as np
import pytest
import torch

from tests import reference
from training.labels import (
    D_STAR,
    CalibratedRule,
    HardnessSchedule,
    PaperRule,
    adaptive_label,
    binary_label,
    confusion_counts,
    initial_f1,
    label_distance,
    trivial_f1,
)

HARDNESSES = [0.02, 0.05, 0.1, 0.2, 0.5, 0.95]


def distances(count: int = 2000) -> torch.Tensor:
    return torch.linspace(0, D_STAR, count)


@pytest.mark.parametrize("s", HARDNESSES)
def test_the_label_falls_from_one_at_the_solid_to_zero_at_d_star(s):
    at = adaptive_label(torch.tensor([-3.0, 0.0, D_STAR, 9.0, 1e6]), s)
    np.testing.assert_allclose(at, [1, 1, 0, 0, 0], atol=2e-6)


@pytest.mark.parametrize("s", HARDNESSES)
def test_the_label_decreases_and_is_convex(s):
    label = adaptive_label(distances().double(), s)
    slope = label.diff()
    assert (slope < 0).all()
    assert (slope.diff() > -1e-12).all()


@pytest.mark.parametrize("s", HARDNESSES)
def test_single_precision_agrees_with_the_papers_formula_in_double(s):
    """Also where exp(-1/s) is far below what float32 holds: at s = 0.02 it is 2e-22."""
    d = torch.cat([torch.logspace(-6, 0, 50), distances(200)])
    expected = [reference.soft_label(float(value), s) for value in d]
    np.testing.assert_allclose(adaptive_label(d, s), np.clip(expected, 0, 1), atol=2e-6)


@pytest.mark.parametrize("s", [0.005, 0.01])
def test_the_label_stays_finite_where_the_papers_n_underflows(s):
    label = adaptive_label(torch.tensor([0.0, 1e-6, 1.0, 8.0]), s)
    assert torch.isfinite(label).all()
    assert label[0] == 1


@pytest.mark.parametrize("s", [0.1, 0.2, 0.5, 0.95])
def test_the_distance_of_a_label_undoes_the_label(s):
    d = distances(500).double()
    torch.testing.assert_close(label_distance(adaptive_label(d, s), s), d, atol=1e-6, rtol=0)
    v = torch.linspace(0, 1, 500, dtype=torch.float64)
    torch.testing.assert_close(adaptive_label(label_distance(v, s), s), v, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("s", "voxels"), [(0.1, 0.06), (0.2, 0.66), (0.5, 2.3)])
def test_the_half_level_sits_where_the_design_says(s, voxels):
    assert float(label_distance(torch.tensor(0.5), s)) == pytest.approx(voxels, rel=0.05)


def test_a_smaller_s_gives_a_harder_label():
    d = distances()[1:-1]
    labels = torch.stack([adaptive_label(d, s) for s in HARDNESSES])
    assert (labels.diff(dim=0) > 0).all()


def test_the_binary_label_is_one_inside_only():
    assert binary_label(torch.tensor([-2.0, 0.0, 1e-6, 5.0])).tolist() == [1, 1, 0, 0]


def test_the_first_f1_is_the_papers_equation_12():
    assert initial_f1(0.5) == pytest.approx(0.5)
    assert initial_f1(0.1) == pytest.approx(0.2 / 1.2)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_trivial_f1_is_that_of_occupied_everywhere(share):
    distance = torch.where(torch.arange(1000) < share * 1000, -1.0, 1.0)
    schedule = HardnessSchedule(PaperRule(), measure_steps=100, adjust_steps=100, best_f1=0)
    schedule.observe(confusion_counts(torch.ones(1000), distance))
    assert schedule.f1 == pytest.approx(trivial_f1(share))


def test_the_papers_rule_is_clamped_to_its_bounds():
    rule = PaperRule()
    assert [rule(f1) for f1 in (0.0, 0.4, 0.6, 1.0)] == pytest.approx([0.95, 0.4, 0.1, 0.1])


def test_the_papers_rule_is_at_its_floor_where_half_of_the_pairs_are_positive():
    """The trap for which the calibrated rule stands beside it."""
    assert PaperRule()(trivial_f1(0.5)) == 0.1


def test_the_calibrated_rule_falls_from_its_start_at_the_trivial_f1_to_its_floor_at_the_target():
    rule = CalibratedRule(trivial=0.65, target_f1=0.85, s_start=0.5, s_min=0.1)
    assert [rule(f1) for f1 in (0.2, 0.65, 0.75, 0.85, 0.99)] == pytest.approx([0.5, 0.5, 0.3, 0.1, 0.1])


def test_a_target_no_better_than_trivial_still_gives_a_hardness():
    rule = CalibratedRule(trivial=0.9, target_f1=0.85)
    assert (rule(0.9), rule(0.95)) == pytest.approx((0.5, 0.1))


def pairs(true_positives: int, false_positives: int, false_negatives: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and distances with that many of each kind, and one true negative."""
    logits = [1.0] * (true_positives + false_positives) + [-1.0] * (false_negatives + 1)
    distance = [0.0] * true_positives + [1.0] * false_positives + [-1.0] * false_negatives + [1.0]
    return torch.tensor(logits), torch.tensor(distance)


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    schedule = HardnessSchedule(PaperRule(), measure_steps=10, adjust_steps=10, best_f1=0.1)
    schedule.observe(confusion_counts(*pairs(6, 2, 3)))
    precision, recall = 6 / 8, 6 / 9
    assert schedule.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_f1_is_kept_only_if_better_and_s_set_every_adjust_period():
    schedule = HardnessSchedule(lambda f1: 1 - f1, measure_steps=2, adjust_steps=4, best_f1=0.2)
    seen = []
    for true_positives in (1, 1, 9, 9, 0, 0, 0, 0):
        schedule.observe(
            confusion_counts(*pairs(true_positives, 10 - true_positives, 10 - true_positives))
        )  # F1 = true positives / 10
        seen.append((round(schedule.best_f1, 3), round(schedule.s, 3)))
    assert seen == [(0.2, 0.8), (0.2, 0.8), (0.2, 0.8), (0.9, 0.1), (0.9, 0.1), (0.9, 0.1), (0.9, 0.1), (0.9, 0.1)]


def test_counts_start_anew_after_each_measurement():
    schedule = HardnessSchedule(PaperRule(), measure_steps=2, adjust_steps=2, best_f1=0)
    for true_positives in (0, 0, 8, 8):
        schedule.observe(confusion_counts(*pairs(true_positives, 8 - true_positives, 8 - true_positives)))
    assert schedule.best_f1 == 1.0


def test_nothing_predicted_and_nothing_there_scores_zero():
    schedule = HardnessSchedule(PaperRule(), measure_steps=5, adjust_steps=5, best_f1=0)
    assert schedule.f1 == 0.0
    schedule.observe(confusion_counts(torch.tensor([-1.0]), torch.tensor([1.0])))
    assert schedule.f1 == 0.0


def test_a_schedule_goes_on_from_its_state(rng):
    def fresh() -> HardnessSchedule:
        return HardnessSchedule(PaperRule(), measure_steps=3, adjust_steps=5, best_f1=0.1)

    steps = [confusion_counts(*pairs(*map(int, rng.integers(1, 20, 3)))) for _ in range(14)]
    straight, first, second = fresh(), fresh(), fresh()
    for step in steps:
        straight.observe(step)
    for step in steps[:7]:
        first.observe(step)
    second.load_state_dict(first.state_dict())
    for step in steps[7:]:
        second.observe(step)
    assert second.state_dict() == straight.state_dict()
    assert math.isfinite(second.s)

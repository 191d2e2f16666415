"""The benchmark of the search for the object: its pictures are what it says, and its figures add up."""

import numpy as np
import pytest

from benchmarks.foreground import BACKGROUNDS, SEARCHES, Found, found_table, measure, picture
from model import foreground
from training.data.shapes import PreparedShape


@pytest.fixture
def files(tiny_set):
    return sorted((tiny_set.directory / "shapes").glob("*.npz"))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_truth_is_the_shape_and_the_rest_is_background(files, background, rng):
    photo, truth = picture(PreparedShape.read(files[0]), background, 128, rng)
    assert photo.rgb.shape == (128, 128, 3)
    assert photo.alpha is None
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    assert 0.4 * 128 < max(np.ptp(rows), np.ptp(columns)) + 1 <= 0.85 * 128
    assert not (photo.rgb == 255).all(axis=2).mean() > 0.5


def test_each_search_sees_the_same_pictures_and_an_easy_one_is_solved(monkeypatch, files):
    sides = []
    search = foreground.find_foreground
    monkeypatch.setattr(foreground, "find_foreground", lambda photo: sides.append(foreground.GRABCUT_SIDES) or search(photo))
    found = measure(files, 4, 96, seed=1)
    assert sides == 4 * list(SEARCHES.values())
    assert [(one.background, one.search) for one in found] == [(name, search) for name in BACKGROUNDS for search in SEARCHES]
    assert foreground.GRABCUT_SIDES == SEARCHES["as it is"]
    uniform = [one.iou for one in found if one.background == "uniform"]
    assert uniform[0] == uniform[1] > 0.8, "GrabCut has no part in it"
    assert all(one.cpu_seconds > 0 for one in found)


def test_the_table_tells_backgrounds_apart_and_sums_them_up():
    found = [Found("uniform", "a", 0.9, 1.0), Found("uniform", "a", 0.5, 3.0), Found("clutter", "a", 0.7, 8.0)]
    assert found_table(found).splitlines()[2:] == [
        "| uniform | a | 0.700 | 0.700 | 1 of 2 | 2.00 | 3.00 |",
        "| clutter | a | 0.700 | 0.700 | 1 of 1 | 8.00 | 8.00 |",
        "| all | a | 0.700 | 0.700 | 2 of 3 | 3.00 | 8.00 |",
    ]

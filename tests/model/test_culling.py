"""Which cells may hide a part: the two rules beside slow loops over the cells, their laws, and what they find."""

import math
from itertools import pairwise, product

import numpy as np
import pytest

from model.camera import HALF_DEPTH, OrthographicCamera, PinholeCamera
from model.culling import SIGNS_ALONE, Culling, over_corners, stretch_of
from model.field import QueryGrid
from model.hierarchy import coarsest_step, query_hierarchically
from model.soft_label import SoftLabel
from tests.reference import NodeField

LEVEL = 0.5
LABEL = SoftLabel(s=0.2, d_star_voxels=60, voxels_per_side=256)  # it reaches far, so that it tells cells of every size apart


def corners(values, cell) -> list[float]:
    return [float(values[tuple(np.add(cell, corner))]) for corner in product((0, 1), repeat=3)]


def suspicious_by_loops(culling: Culling, values, factor: float, slope: float, cells: int, level: float):
    """Cell by cell, and the label's rule in distances instead of values."""
    shape = tuple(count - 1 for count in values.shape)
    found = np.zeros(shape, np.bool_)
    for cell in np.ndindex(shape):
        at_corners = corners(values, cell)
        if factor > 0 and culling.label is not None and min(at_corners) < level:
            reach = factor * 0.5 * math.sqrt(3) / cells * culling.stretch  # from a corner to the cell's middle
            nearest = min(culling.label.distance(value) for value in at_corners)
            found[cell] |= nearest <= culling.label.distance(level) + reach
        if max(at_corners) < level:
            beside = [[i + step for step in (-1, 0, 1) if 0 <= i + step < count] for i, count in zip(cell, shape, strict=True)]
            lowest = min(min(corners(values, neighbour)) for neighbour in product(*beside))
            found[cell] |= slope > 0 and max(at_corners) + slope * (max(at_corners) - lowest) >= level
    return found


def random_values(rng, shape=(6, 7, 12)):
    """With whole cells below a level of 0.5, whole cells above, and everything between."""
    smooth = rng.random([count + 1 for count in shape], np.float32)
    slanted = np.linspace(0.05, 0.85, shape[2])
    return (slanted + over_corners(smooth, np.add) / 8 - 0.5 + 0.15 * rng.random(shape)).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("level", [0.3, 0.6])
@pytest.mark.parametrize("cells", [32, 128])
@pytest.mark.parametrize(("factor", "slope"), [(0, 0), (0.3, 0), (1.0, 0), (4.0, 0), (0, 0.5), (0, 2.0), (0.1, 0.5), (0.5, 1.0)])
def test_both_rules_suspect_the_cells_that_loops_over_their_corners_do(rng, factor, slope, cells, level):
    values = random_values(rng)
    culling = Culling(LABEL, {1: factor}, {1: slope})
    found = culling.suspicious(values, cells, level)
    assert (found.dtype, found.shape) == (np.bool_, (5, 6, 11))
    np.testing.assert_array_equal(found, suspicious_by_loops(culling, values, factor, slope, cells, level))


def test_the_comparison_with_loops_sees_cells_of_every_kind(rng):
    values = random_values(rng)
    highest, lowest = over_corners(values, np.maximum), over_corners(values, np.minimum)
    kinds = [lowest >= LEVEL, highest < LEVEL, (lowest < LEVEL) & (highest >= LEVEL)]
    assert all(kind.sum() >= 10 for kind in kinds)
    for culling in (Culling(LABEL, {1: 0.5}), Culling(slopes={1: 0.5})):
        found = culling.suspicious(values, 32, LEVEL)
        assert 0 < (found & kinds[1]).sum() < kinds[1].sum()


@pytest.mark.parametrize("combine", [np.minimum, np.maximum])
def test_over_corners_is_what_a_loop_over_the_cells_finds(rng, combine):
    values = rng.random((3, 4, 5), np.float32)
    expected = np.zeros((2, 3, 4), np.float32)
    for cell in np.ndindex(expected.shape):
        expected[cell] = combine.reduce(corners(values, cell))
    np.testing.assert_array_equal(over_corners(values, combine), expected)


@pytest.mark.parametrize("culling", [SIGNS_ALONE, Culling(LABEL), Culling(LABEL, {32: 0.0}, {32: 0.0}), Culling(None, {1: 1.0})])
def test_factor_and_slope_zero_or_a_factor_without_a_label_suspect_nothing(rng, culling):
    assert not culling.suspicious(random_values(rng), 32, LEVEL).any()


@pytest.mark.parametrize("culling", [Culling.uniform(LABEL, 1.0), Culling(slopes={1: 5.0}), Culling(LABEL, {1: 9.0}, {1: 9.0})])
def test_cells_wholly_inside_are_never_suspected(rng, culling):
    values = random_values(rng)
    found = culling.suspicious(values, 32, LEVEL)
    assert found.any()
    assert not (found & (over_corners(values, np.minimum) >= LEVEL)).any()
    assert not culling.suspicious(np.full((4, 4, 4), LEVEL, np.float32), 32, LEVEL).any()


def test_a_single_value_just_below_the_level_is_suspected_by_its_steep_rise():
    """In the eight cells around it, and in no other."""
    values = np.full((8, 8, 8), 0.1, np.float32)
    values[4, 4, 4] = 0.45
    expected = np.zeros((7, 7, 7), np.bool_)
    expected[3:5, 3:5, 3:5] = True
    np.testing.assert_array_equal(Culling(slopes={1: 0.2}).suspicious(values, 32, LEVEL), expected)  # 0.45 + 0.2 * 0.35 = 0.52
    assert not Culling(slopes={1: 0.1}).suspicious(values, 32, LEVEL).any()  # 0.45 + 0.1 * 0.35 < 0.5


def test_the_rise_is_measured_from_the_neighbouring_cells_too_but_no_farther():
    """A step down along the first axis: its foot counts for the cells of the plateau beside it, and not for those behind."""
    values = np.full((8, 4, 4), 0.45, np.float32)
    values[:2] = 0.1
    suspected = Culling(slopes={1: 1.0}).suspicious(values, 32, LEVEL)
    assert suspected.all(axis=(1, 2)).tolist() == suspected.any(axis=(1, 2)).tolist()
    assert suspected.any(axis=(1, 2)).tolist() == [False, True, True, False, False, False, False]


@pytest.mark.parametrize("value", [0.0, 0.3, 0.4999])
def test_a_plateau_below_the_level_is_not_suspected_without_a_rise(value):
    values = np.full((5, 5, 5), value, np.float32)
    assert not Culling(slopes={1: 1e6}).suspicious(values, 32, LEVEL).any()


def test_a_plateau_just_below_the_level_is_what_the_inverted_label_suspects():
    values = np.full((3, 3, 3), 0.4999, np.float32)
    assert Culling.uniform(LABEL, 0.1).suspicious(values, 32, LEVEL).all()


@pytest.mark.parametrize(("cells", "listed"), [(8, 16), (15, 16), (16, 16), (17, 16), (63, 16), (64, 64), (65, 64), (512, 64)])
def test_numbers_are_those_of_the_nearest_larger_cells_that_are_listed_or_of_the_largest(rng, cells, listed):
    values = random_values(rng)
    factors, slopes = {64: 0.9, 16: 0.05}, {16: 0.6, 64: 0.1}
    by_factor = Culling(LABEL, factors).suspicious(values, cells, LEVEL)
    np.testing.assert_array_equal(by_factor, Culling.uniform(LABEL, factors[listed]).suspicious(values, cells, LEVEL))
    by_slope = Culling(slopes=slopes).suspicious(values, cells, LEVEL)
    np.testing.assert_array_equal(by_slope, Culling(slopes={1: slopes[listed]}).suspicious(values, cells, LEVEL))


def test_each_of_the_listed_numbers_suspects_other_cells(rng):
    """So the test above can fail."""
    values = random_values(rng)
    for one, other in [
        (Culling.uniform(LABEL, 0.05), Culling.uniform(LABEL, 0.9)),
        (Culling(slopes={1: 0.1}), Culling(slopes={1: 0.6})),
    ]:
        assert one.suspicious(values, 64, LEVEL).sum() < other.suspicious(values, 64, LEVEL).sum()


def test_a_cell_twice_as_long_in_the_view_frame_is_one_of_half_as_many_cells(rng):
    values = random_values(rng)
    stretched = Culling(LABEL, {1: 0.25}, stretch=2.0).suspicious(values, 64, LEVEL)
    np.testing.assert_array_equal(stretched, Culling.uniform(LABEL, 0.25).suspicious(values, 32, LEVEL))
    assert stretched.sum() > Culling.uniform(LABEL, 0.25).suspicious(values, 64, LEVEL).sum()


@pytest.mark.parametrize("distance", [0.9, 2.0, 50.0])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.3, -0.1), (-0.2, -0.4)])
def test_a_pinhole_cameras_stretch_is_that_of_the_longest_diagonal_in_the_volume(distance, offset):
    """Beside the diagonals of small cells all over the volume, un-projected: the longest is at a corner of the volume's back."""
    camera = PinholeCamera(distance, *offset)
    side = 1e-5
    places = np.array(
        list(product(np.linspace(-0.5, 0.5, 5), np.linspace(-0.5, 0.5, 5), np.linspace(-HALF_DEPTH, HALF_DEPTH, 7)))
    )
    longest = 0.0
    for direction in product((-1, 1), (-1, 1), (1,)):
        half = 0.5 * side * np.array(direction)
        lengths = np.linalg.norm(camera.unproject(places + half) - camera.unproject(places - half), axis=1)
        longest = max(longest, lengths.max() / (math.sqrt(3) * side))
    assert stretch_of(camera) == pytest.approx(longest, rel=1e-6)


def test_the_orthographic_camera_stretches_nothing():
    assert stretch_of(OrthographicCamera()) == 1.0


def test_more_factor_slope_stretch_or_level_band_never_suspects_fewer_cells(rng):
    values = random_values(rng)
    strengths = [0, 0.05, 0.2, 0.5, 1, 3, 10]
    for chain in (
        [Culling.uniform(LABEL, strength) for strength in strengths],
        [Culling(slopes={1: strength}) for strength in strengths],
        [Culling(LABEL, {1: 0.1}, {1: strength}) for strength in strengths],
        [Culling(LABEL, {1: strength}, {1: 0.3}) for strength in strengths],
        [Culling(LABEL, {1: 0.1}, stretch=1 + strength) for strength in strengths],
    ):
        found = [culling.suspicious(values, 32, LEVEL) for culling in chain]
        assert all((more | less == more).all() for less, more in pairwise(found))
        assert found[0].sum() < found[-1].sum()


def test_both_rules_together_suspect_what_either_does(rng):
    values = random_values(rng)
    by_label, by_slope = Culling(LABEL, {1: 0.1}), Culling(slopes={1: 0.5})
    both = Culling(LABEL, {1: 0.1}, {1: 0.5}).suspicious(values, 32, LEVEL)
    one, other = (culling.suspicious(values, 32, LEVEL) for culling in (by_label, by_slope))
    np.testing.assert_array_equal(both, one | other)
    assert (one & ~other).any()
    assert (other & ~one).any()


# What the query finds with them


def unsure_island(resolution: int = 64):
    """0.3 everywhere, but for one soft bump to 0.6 in the middle of a coarse cell: at the cell's corners it is 0.41."""
    grid = QueryGrid(resolution)
    middle = [count // 4 * 2 + 1 for count in grid.shape]
    squares = [(np.arange(count) - at) ** 2 for count, at in zip(grid.shape, middle, strict=True)]
    distance2 = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    return (0.3 + 0.3 * np.exp(-distance2 / (2 * 1.2**2))).astype(np.float32)


@pytest.mark.parametrize(("slope", "found"), [(0.0, False), (0.5, False), (1.0, True), (3.0, True)])
def test_slope_finds_an_island_of_an_unsure_field_that_signs_alone_lose(slope, found):
    values = unsure_island()
    assert coarsest_step(QueryGrid(64)) == 2
    assert (values[::2, ::2, ::2] < 0.41).all()
    assert 7 <= (values >= LEVEL).sum() <= 27
    samples = query_hierarchically(NodeField(64, values), LEVEL, None, Culling(slopes={1: slope})).on_whole_grid()
    np.testing.assert_array_equal(samples >= LEVEL, (values >= LEVEL) & found)


def test_slope_asks_little_more_where_the_inverted_label_asks_the_whole_volume():
    values = unsure_island()
    by_slope, by_label = NodeField(64, values), NodeField(64, values)
    query_hierarchically(by_slope, LEVEL, None, Culling(slopes={1: 1.0}))
    query_hierarchically(by_label, LEVEL, None, Culling.uniform(SoftLabel(0.2, 30, 256), 1.0))
    coarse = values[::2, ::2, ::2].size
    cells_around = 5**3 * 8  # within two cells of the island
    assert coarse < by_slope.asked < coarse + cells_around
    assert by_label.asked == values.size

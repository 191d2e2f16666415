"""The coarse-to-fine query beside the dense grid, on solids whose field is known."""

import numpy as np
import pytest

from model import hierarchy
from model.field import QueryGrid, query_densely
from model.hierarchy import coarsest_step, query_hierarchically
from tests.reference import AnalyticField, node_iou

LEVEL = 0.5
TILT = np.array([[0.8, 0.36, -0.48], [-0.6, 0.48, -0.64], [0.0, 0.8, 0.6]])  # a rotation, no axis of it along the grid's


def ball(radius=0.3, centre=(0.0, 0.0, 0.0)):
    return lambda p: radius - np.linalg.norm(p - np.array(centre), axis=1)


def block(half, centre=(0.0, 0.0, 0.0), rotation=None):
    def distance(p):
        q = p - np.array(centre)
        return (np.array(half) - np.abs(q if rotation is None else q @ rotation.T)).min(axis=1)

    return distance


def torus(ring=0.3, tube=0.08):
    return lambda p: tube - np.hypot(np.hypot(p[:, 0], p[:, 1]) - ring, p[:, 2])


def rod(radius, centre=(0.0, 0.0), half_length=0.4):
    """Along z."""
    return lambda p: np.minimum(radius - np.hypot(p[:, 0] - centre[0], p[:, 1] - centre[1]), half_length - np.abs(p[:, 2]))


def union(*solids):
    return lambda p: np.maximum.reduce([solid(p) for solid in solids])


def difference(solid, hole):
    return lambda p: np.minimum(solid(p), -hole(p))


@pytest.fixture
def coarse(monkeypatch):
    """Lets a small grid of 64 cells begin with a given step, so that four levels cost what one does."""

    def begin_with(step: int) -> None:
        monkeypatch.setattr(hierarchy, "COARSEST_CELLS", 64 // step)
        assert coarsest_step(QueryGrid(64)) == step

    return begin_with


def iou_with_dense(solid, resolution: int = 64, level: float = LEVEL) -> float:
    """IoU of the hierarchical grid's nodes with the dense ones."""
    dense = query_densely(AnalyticField(solid, resolution))
    return node_iou(query_hierarchically(AnalyticField(solid, resolution), level), dense, level)


@pytest.mark.parametrize(
    ("resolution", "step"),
    [(32, 1), (40, 1), (64, 1), (72, 1), (120, 1), (128, 2), (136, 2), (200, 2), (256, 4), (264, 4), (504, 4), (512, 8)],
)
def test_the_coarsest_step_halves_down_to_64_cells_and_divides_every_axis(resolution, step):
    grid = QueryGrid(resolution)
    assert coarsest_step(grid) == step
    assert all((nodes - 1) % step == 0 for nodes in grid.shape)


SMOOTH = {
    "ball": ball(),
    "torus": torus(),
    "two balls": union(ball(0.15, (-0.25, 0.1, -0.4)), ball(0.1, (0.3, -0.2, 0.45))),
    "hollow ball": difference(ball(0.35), ball(0.28)),
    "box": block((0.3, 0.2, 0.4)),
    "tilted box": block((0.3, 0.2, 0.25), rotation=TILT),
}


@pytest.mark.parametrize("solid", SMOOTH.values(), ids=SMOOTH)
@pytest.mark.parametrize("step", [2, 4, 8])
def test_thick_solids_have_every_node_on_the_side_of_the_dense_grid(coarse, solid, step):
    coarse(step)
    assert iou_with_dense(solid) == 1.0


@pytest.mark.parametrize("resolution", [40, 72, 136])
def test_resolutions_that_are_no_power_of_two_agree_with_the_dense_grid(resolution):
    assert iou_with_dense(SMOOTH["tilted box"], resolution) == 1.0


@pytest.mark.parametrize("level", [0.05, 0.3, 0.95])
def test_other_levels_are_followed_as_well(coarse, level):
    coarse(4)
    assert iou_with_dense(SMOOTH["torus"], level=level) == 1.0


def test_nodes_beside_the_surface_have_the_dense_grids_values(coarse):
    """Marching cubes interpolates between them. The few that differ lie on sharp edges, just outside the finest active cells."""
    coarse(4)
    dense = query_densely(AnalyticField(SMOOTH["tilted box"], 64))
    found = query_hierarchically(AnalyticField(SMOOTH["tilted box"], 64), LEVEL)
    inside = dense >= LEVEL
    beside = np.zeros_like(inside)
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        crossing = inside[tuple(low)] != inside[tuple(high)]
        beside[tuple(low)] |= crossing
        beside[tuple(high)] |= crossing
    assert (found[beside] != dense[beside]).mean() < 0.005


def test_far_fewer_points_are_asked_than_the_dense_grid_has():
    field = AnalyticField(ball(0.35), 128)
    assert field.asked < 0.22 * query_hierarchically(field, LEVEL).size


def test_a_small_grid_is_asked_at_every_node_once():
    field = AnalyticField(ball(), 40)
    values = query_hierarchically(field, LEVEL)
    assert field.asked == values.size
    np.testing.assert_array_equal(values, query_densely(AnalyticField(ball(), 40)))


def disc_of_columns(resolution: int, radius: float) -> np.ndarray:
    lateral = QueryGrid(resolution).lateral
    return np.hypot(lateral[:, None], lateral[None]) < radius


@pytest.mark.parametrize("step", [1, 2, 4])
def test_unobserved_columns_are_empty_and_the_others_agree_with_the_dense_grid(coarse, step):
    coarse(step)
    observed = disc_of_columns(64, 0.2)
    field = AnalyticField(ball(0.35), 64, observed)
    found = query_hierarchically(field, LEVEL)
    assert not found[~observed].any()
    assert node_iou(found, query_densely(field), LEVEL) == 1.0


def test_columns_far_from_the_silhouette_are_never_asked(coarse):
    coarse(4)
    observed = disc_of_columns(64, 0.2)
    reach = disc_of_columns(64, 0.2 + 4.5 * 2**0.5 / 64).ravel()

    class Watched(AnalyticField):
        def query(self, columns, depths):
            assert reach[columns].all()
            return super().query(columns, depths)

    assert (query_hierarchically(Watched(ball(0.35), 64, observed), LEVEL) >= LEVEL).any()


@pytest.mark.parametrize("column", range(33, 37))
@pytest.mark.parametrize("axis", [0, 1])
def test_a_silhouette_narrower_than_a_coarse_step_is_kept(coarse, column, axis):
    """One column wide between coarse nodes, inside a block that the field says is much larger."""
    coarse(4)
    observed = np.zeros((65, 65), np.bool_)
    observed[(column, slice(8, 56)) if axis == 0 else (slice(8, 56), column)] = True
    field = AnalyticField(block((0.45, 0.45, 0.3)), 64, observed)
    found = query_hierarchically(field, LEVEL)
    assert found.any()
    np.testing.assert_array_equal(found >= LEVEL, query_densely(field) >= LEVEL)


def test_an_empty_silhouette_gives_an_empty_grid(coarse):
    coarse(4)
    field = AnalyticField(ball(), 64, np.zeros((65, 65), np.bool_))
    assert not query_hierarchically(field, LEVEL).any()


# The limit of the sign change: what no coarse node touches is not seen at all. Steps are 4 at R = 256, 2 at R = 128.


def slab(first: int, layers: int):
    """A plate across z that holds `layers` layers of nodes of the 64 grid, its faces half a voxel beyond them."""
    return block((0.35, 0.3, layers / 2 / 64), (0.0, 0.0, (first + (layers - 1) / 2) / 64 - 0.75))


@pytest.mark.parametrize("first", range(48, 52))
@pytest.mark.parametrize("step", [2, 4])
def test_a_plate_between_coarse_nodes_is_kept_when_it_has_as_many_layers_as_the_step(coarse, first, step):
    coarse(step)
    assert iou_with_dense(slab(first, layers=step)) == 1.0


@pytest.mark.parametrize("step", [2, 4])
def test_a_plate_along_the_grid_that_is_thinner_than_a_coarse_cell_is_lost_between_coarse_nodes(coarse, step):
    """The known limit: one layer less than the step. It is seen again when a coarse node lies in it."""
    coarse(step)
    assert iou_with_dense(slab(49, layers=step - 1)) == 0.0
    assert iou_with_dense(slab(48, layers=step - 1)) == 1.0


@pytest.mark.parametrize("half_thickness", [0.5, 1.0, 2.0])
def test_a_tilted_plate_is_kept_but_for_single_nodes_however_thin(coarse, half_thickness):
    """It crosses coarse nodes here and there, and the neighbourhood follows it from these."""
    coarse(4)
    assert iou_with_dense(block((0.3, 0.3, half_thickness / 64), rotation=TILT)) >= 0.998


@pytest.mark.parametrize("offset", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_a_rod_along_the_grid_is_kept_from_five_voxels_of_thickness_on(coarse, offset):
    coarse(4)
    assert iou_with_dense(rod(2.5 / 64, (offset / 64, (offset + 0.5) / 64))) == 1.0


def test_a_rod_along_the_grid_that_is_thinner_than_a_coarse_cell_is_lost_between_coarse_nodes(coarse):
    coarse(4)
    assert iou_with_dense(rod(1.5 / 64, (2 / 64, 2 / 64))) == 0.0
    assert iou_with_dense(rod(1.5 / 64, (0.0, 0.0))) == 1.0

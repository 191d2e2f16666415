"""The coarse-to-fine query beside the dense grid: on solids whose field is known, and on random fields as a law."""

from functools import cache
from itertools import groupby, product

import numpy as np
import pytest
from scipy.ndimage import label as components

from model import hierarchy
from model.carving import carve
from model.culling import SIGNS_ALONE, Culling
from model.errors import Cancelled, NoSurface
from model.field import QueryGrid, SampledBox, query_densely
from model.hierarchy import coarsest_step, query_hierarchically
from model.isosurface import extract_surface, surface_of
from tests.reference import AnalyticField, NodeField, crossing_ends, node_iou

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
    """Lets a small grid, of 64 cells unless told, begin with a given step, so that four levels cost what one does."""

    def begin_with(step: int, resolution: int = 64) -> None:
        monkeypatch.setattr(hierarchy, "COARSEST_CELLS", resolution // step)
        assert coarsest_step(QueryGrid(resolution)) == step

    return begin_with


@cache
def values_of(solid, resolution: int = 64) -> np.ndarray:
    """A solid's field at every node."""
    return query_densely(AnalyticField(solid, resolution))


def iou_with_dense(solid, resolution: int = 64, level: float = LEVEL) -> float:
    """IoU of the hierarchical grid's nodes with the dense ones."""
    dense = values_of(solid, resolution)
    return node_iou(query_hierarchically(NodeField(resolution, dense), level).on_whole_grid(), dense, level)


@pytest.mark.parametrize(
    ("resolution", "step"),
    [
        (32, 1),
        (40, 1),
        (56, 1),
        (64, 2),
        (72, 2),
        (120, 2),
        (128, 4),
        (136, 4),
        (248, 4),
        (256, 8),
        (264, 8),
        (504, 8),
        (512, 16),
    ],
)
def test_the_coarsest_step_halves_down_to_32_cells_and_divides_the_images_side(resolution, step):
    assert coarsest_step(QueryGrid(resolution)) == step
    assert resolution % step == 0
    assert resolution // step >= 32
    assert resolution // (2 * step) < 32 or resolution // step % 2


# Smooth solids: every node is on the dense grid's side


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


@pytest.mark.parametrize("resolution", [40, 72])
def test_resolutions_that_are_no_power_of_two_agree_with_the_dense_grid(resolution):
    assert iou_with_dense(SMOOTH["tilted box"], resolution) == 1.0


@pytest.mark.parametrize("level", [0.05, 0.3, 0.95])
def test_other_levels_are_followed_as_well(coarse, level):
    coarse(4)
    assert iou_with_dense(SMOOTH["torus"], level=level) == 1.0


@pytest.mark.parametrize("wall", range(6))
def test_solids_that_the_volumes_walls_cut_are_followed_along_them(coarse, wall):
    coarse(4)
    centre = np.zeros(3)
    centre[wall // 2] = (0.5, 0.5, 0.75)[wall // 2] * (-1) ** wall
    dense = values_of(ball(0.3, centre))
    box = query_hierarchically(NodeField(64, dense), LEVEL)
    np.testing.assert_array_equal(box.on_whole_grid() >= LEVEL, dense >= LEVEL)
    of_box, of_dense = surface_of(box, LEVEL), surface_of(SampledBox(box.grid, (0, 0, 0), dense), LEVEL)
    np.testing.assert_array_equal(of_box.faces, of_dense.faces)
    within = (np.abs(of_dense.vertices) <= (0.5, 0.5, 0.75)).all(axis=1)
    np.testing.assert_allclose(of_box.vertices[within], of_dense.vertices[within], rtol=0, atol=1e-6)
    beyond = np.abs(of_box.vertices[~within, wall // 2]) - (0.5, 0.5, 0.75)[wall // 2]
    assert 0 < beyond.min() <= beyond.max() < box.grid.spacing


@pytest.mark.parametrize("solid", SMOOTH.values(), ids=SMOOTH)
def test_the_mesh_is_that_of_the_dense_grid(coarse, solid):
    coarse(4)
    box = query_hierarchically(NodeField(64, values_of(solid)), LEVEL)
    found = surface_of(box, LEVEL)
    expected = extract_surface(values_of(solid), LEVEL, box.grid.origin, box.grid.spacing)
    np.testing.assert_array_equal(found.faces, expected.faces)
    np.testing.assert_allclose(found.vertices, expected.vertices, rtol=0, atol=1e-6)


def test_the_box_keeps_close_to_what_is_in_it(coarse):
    coarse(8)
    values = values_of(ball(0.15, (-0.2, 0.3, 0.4)))
    inside = values >= LEVEL
    box = query_hierarchically(NodeField(64, values), LEVEL)
    for axis in range(3):
        nodes = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        before = nodes[0] - box.first[axis]
        behind = box.first[axis] + box.values.shape[axis] - 1 - nodes[-1]
        assert 1 <= min(before, behind) <= max(before, behind) <= 5  # two nodes of the grid before, and what lies between


# The law, whatever the field: what is found is the field's own, and what is missing is missing as a whole


def random_values(resolution: int, seed: int) -> np.ndarray:
    """Soft bumps and hollows of many sizes for odd seeds, waves in all directions for even ones, through all the walls."""
    rng = np.random.default_rng(seed)
    grid = QueryGrid(resolution)
    axes = (grid.lateral, grid.lateral, grid.depths)
    if seed % 2:
        widths = np.exp(rng.uniform(np.log(0.012), np.log(0.15), (40, 1)))
        centres = rng.uniform(grid.origin, -np.array(grid.origin), (40, 3))
        u, v, z = (np.exp(-(((x - centres[:, [k]]) / widths) ** 2) / 2) for k, x in enumerate(axes))
    else:
        u, v, z = (np.cos(x * rng.uniform(2, 14, (6, 1)) + rng.uniform(0, 6.3, (6, 1))) for x in axes)
    signs = rng.choice([-1, 1, 1], len(u))
    total = (((signs[:, None] * u).T[:, None] * v.T) @ z).astype(np.float32)  # the sum of products along the three axes
    return 1 / (1 + np.exp(-6 * (total - np.float32(0.4))))


def disc_coverage(grid: QueryGrid, radius: float, hole: float = 0.0) -> np.ndarray:
    """(n_u, n_v) coverage of a disc or a ring, soft over a column."""
    distance = np.hypot(grid.lateral[:, None] - 0.05, grid.lateral[None] + 0.03)
    inner = 1.0 if hole == 0 else np.clip(0.5 + (distance - hole) * grid.resolution, 0, 1)
    return (np.clip(0.5 + (radius - distance) * grid.resolution, 0, 1) * inner).astype(np.float32)


def strips_coverage(grid: QueryGrid, every: int, axis: int = 0) -> np.ndarray:
    """Every so many columns one whole row of them, and nothing between."""
    coverage = np.zeros(grid.shape[:2], np.float32)
    np.swapaxes(coverage, 0, axis)[3::every] = 1
    return coverage


COVERAGES = {
    "none": lambda grid: None,
    "disc": lambda grid: disc_coverage(grid, 0.37),
    "ring": lambda grid: disc_coverage(grid, 0.4, 0.17),
    "strips": lambda grid: strips_coverage(grid, 7),
}


def neighbours_too(seen) -> np.ndarray:
    """Columns and those beside them."""
    padded = np.pad(seen, 1)
    return np.logical_or.reduce([np.roll(padded, (du, dv), (0, 1)) for du, dv in product((-1, 0, 1), repeat=2)])[1:-1, 1:-1]


def assert_law(values, level: float, coverage=None, culling: Culling = SIGNS_ALONE) -> tuple[NodeField, int]:
    """The law of the result; returns the field, and the number of the dense grid's parts and cavities that are missing."""
    resolution = len(values) - 1
    observed = None if coverage is None else neighbours_too(coverage > 0)
    field = NodeField(resolution, values, observed)
    dense = values if observed is None else np.where(observed[..., None], values, 0)
    box = query_hierarchically(field, level, coverage, culling)
    dense = dense if coverage is None else carve(dense, coverage, level)
    found = box.on_whole_grid()
    assert box.values.dtype == np.float32

    crossing = crossing_ends(found >= level)
    np.testing.assert_array_equal(found[crossing], dense[crossing])

    missing = 0
    wrong = (found >= level) != (dense >= level)
    for side in (dense >= level, dense < level):
        part, count = components(side)
        sizes, wrong_in_part = (np.bincount(part[nodes], minlength=count + 1)[1:] for nodes in (side, side & wrong))
        assert ((wrong_in_part == 0) | (wrong_in_part == sizes)).all()
        missing += int((wrong_in_part > 0).sum())
    return field, missing


@pytest.mark.parametrize("silhouette", COVERAGES.values(), ids=COVERAGES)
@pytest.mark.parametrize("seed", range(4))
def test_crossing_edges_end_in_the_fields_own_values_and_parts_are_whole_or_absent(silhouette, seed):
    values, grid = random_values(64, seed), QueryGrid(64)
    for level in (0.3, 0.5, 0.8):
        assert_law(values, level, silhouette(grid))


@pytest.mark.parametrize(
    ("resolution", "seed", "silhouette", "level"),
    [(72, 4, "ring", 0.5), (72, 5, "none", 0.2), (128, 6, "disc", 0.5), (128, 7, "strips", 0.4), (136, 8, "none", 0.7)],
)
def test_the_law_holds_at_other_resolutions(resolution, seed, silhouette, level):
    assert_law(random_values(resolution, seed), level, COVERAGES[silhouette](QueryGrid(resolution)))


@pytest.mark.parametrize("level", [0.05, 0.1, 0.95])
def test_the_law_holds_at_extreme_levels(level):
    assert_law(random_values(64, 10), level, disc_coverage(QueryGrid(64), 0.37))


@pytest.mark.parametrize("step", [4, 8])
@pytest.mark.parametrize("seed", [11, 12])
def test_the_law_holds_from_coarser_beginnings(coarse, step, seed):
    coarse(step)
    assert_law(random_values(64, seed), LEVEL, disc_coverage(QueryGrid(64), 0.4, 0.1))


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_the_law_holds_with_culling_and_the_more_is_suspected_the_less_is_missing(coarse, seed):
    """Up to a slope at which every rise at all is suspected; by signs alone something is missing, else nothing were compared."""
    coarse(8)
    values = random_values(64, seed)
    missing = [assert_law(values, LEVEL, None, Culling(slopes={1: slope}))[1] for slope in (0, 0.3, 1, 1e6)]
    assert sorted(missing, reverse=True) == missing
    assert missing[0] > missing[-1] == 0


@pytest.mark.parametrize(("axis", "end"), list(product(range(3), (0, -1))))
def test_random_fields_cross_all_the_walls_of_the_volume(axis, end):
    """So the law is tested there too."""
    for seeds in ((0, 2), (1, 3)):
        walls = [(random_values(64, seed) >= LEVEL).take(end, axis) for seed in seeds]
        assert any(wall.any() and not wall.all() for wall in walls)


@pytest.mark.parametrize(("resolution", "step"), [(40, 8), (72, 8), (72, 4)])
@pytest.mark.parametrize("seed", [13, 14])
def test_a_coarse_grid_may_end_behind_the_volume(coarse, resolution, step, seed):
    """At 40 cells the volume is 60 deep: seven and a half steps of 8."""
    coarse(step, resolution)
    assert_law(random_values(resolution, seed), LEVEL)
    assert_law(random_values(resolution, seed), LEVEL, disc_coverage(QueryGrid(resolution), 0.37))


def test_what_lies_behind_the_volume_alone_is_left_out(coarse):
    coarse(8, 40)
    behind = block((0.2, 0.2, 0.03), (0.0, 0.0, 0.83))  # about the coarse nodes at z = 0.85
    field = AnalyticField(behind, 40)
    box = query_hierarchically(field, LEVEL)
    assert not (box.on_whole_grid() >= LEVEL).any()
    assert box.values.size > 0
    with pytest.raises(NoSurface):
        surface_of(box, LEVEL)


# What is asked


@pytest.mark.parametrize("resolution", [128, 256])
def test_a_ball_is_asked_at_little_more_than_the_ends_of_crossing_edges(resolution):
    field = AnalyticField(ball(0.35), resolution)
    box = query_hierarchically(field, LEVEL)
    first, middle = np.array(box.first), (np.array(field.grid.shape) - 1) // 2
    nodes = np.ogrid[tuple(slice(start, start + count) for start, count in zip(first - middle, box.values.shape, strict=True))]
    inside = sum(node**2 for node in nodes) < (0.35 * resolution) ** 2
    assert inside.sum() == pytest.approx(4 / 3 * np.pi * (0.35 * resolution) ** 3, rel=0.01)  # nothing of it lies beyond the box
    np.testing.assert_array_equal(box.values >= LEVEL, inside)
    least, coarsest = crossing_ends(inside).sum(), 33 * 33 * 49
    assert least <= field.asked <= 1.5 * least + coarsest


def test_a_small_grid_is_asked_at_every_node_once(rng):
    values = rng.random(QueryGrid(40).shape, np.float32)
    field = NodeField(40, values)
    box = query_hierarchically(field, LEVEL)
    assert (field.times_asked == 1).all()
    assert box.first == (0, 0, 0)
    np.testing.assert_array_equal(box.values, values)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("step", [2, 4])
def test_coarse_nodes_are_all_asked_and_no_node_is_asked_twice(coarse, seed, step):
    """Neither on one level, nor on a finer one, nor for the cut."""
    coarse(step)
    field, _ = assert_law(random_values(64, seed), LEVEL, culling=Culling(slopes={1: 0.5}))
    assert (field.times_asked[::step, ::step, ::step] == 1).all()
    assert field.times_asked.max() == 1
    cut, _ = assert_law(random_values(64, seed), LEVEL, disc_coverage(QueryGrid(64), 0.37))
    assert cut.times_asked.max() == 1


@pytest.mark.parametrize("cell", [(0, 0, 0), (13, 20, 30), (31, 31, 47)])
def test_a_suspicious_cell_is_asked_at_all_of_its_nodes_and_no_others_are(cell):
    class Suspecting(Culling):
        def suspicious(self, values, cells, level):
            found = np.zeros([count - 1 for count in values.shape], np.bool_)
            found[cell] = True
            return found

    field = NodeField(64, np.full(QueryGrid(64).shape, 0.1, np.float32))
    query_hierarchically(field, LEVEL, None, Suspecting())
    expected = np.zeros(field.grid.shape, np.int64)
    expected[::2, ::2, ::2] = 1
    expected[tuple(slice(2 * at, 2 * at + 3) for at in cell)] = 1
    np.testing.assert_array_equal(field.times_asked, expected)


def test_finer_levels_ask_nothing_when_all_of_the_volume_is_inside():
    field = NodeField(64, np.ones(QueryGrid(64).shape, np.float32))
    np.testing.assert_array_equal(query_hierarchically(field, LEVEL).on_whole_grid(), field.values)
    assert field.asked == 33 * 33 * 49


# A traced surface that leaves its box


def staircase(resolution: int) -> np.ndarray:
    """A path of single nodes from wall to wall, of which one is a coarse one: a step in v, a step in z, in a plane of odd u."""
    grid = QueryGrid(resolution)
    step = coarsest_step(grid)
    u, v, z = ((count - 1) // 2 // step * step for count in grid.shape)
    values = np.full(grid.shape, 0.05, np.float32)
    values[u, v, z] = 0.95
    across = np.arange(-(min(v, z) // 2), min(v, z) // 2)
    values[u + 1, v + across, z + across] = 0.95
    values[u + 1, v + across, z + across + 1] = 0.95
    return values


@pytest.mark.parametrize("resolution", [64, 72, 128])
def test_a_thin_path_that_leaves_the_box_of_its_one_coarse_node_is_followed_to_its_ends(resolution):
    values = staircase(resolution)
    step = coarsest_step(QueryGrid(resolution))
    inside = values >= LEVEL
    assert inside[::step, ::step, ::step].sum() == 1
    assert components(inside)[1] == 1
    field = NodeField(resolution, values)
    box = query_hierarchically(field, LEVEL)
    np.testing.assert_array_equal(box.on_whole_grid() >= LEVEL, inside)
    ends = crossing_ends(inside)
    np.testing.assert_array_equal(box.on_whole_grid()[ends], values[ends])
    assert 2 <= field.times_asked.max() <= 4  # it did begin anew, and not without end


def test_a_query_that_begins_anew_is_cut_as_any_other():
    values, grid = staircase(64), QueryGrid(64)
    field, missing = assert_law(values, LEVEL, disc_coverage(grid, 0.2))
    assert field.times_asked.max() > 1
    assert missing == 0


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", [0, -1])
def test_leaving_the_box_is_noticed_on_each_of_its_faces(axis, end):
    """A straight line of single nodes from one coarse node out to the wall, beside the coarse nodes."""
    grid = QueryGrid(64)
    values = np.full(grid.shape, 0.05, np.float32)
    start = [32, 32, 48]
    values[tuple(start)] = 0.95
    beside = [at + (other == (axis + 1) % 3) for other, at in enumerate(start)]
    line: list = list(beside)
    line[axis] = slice(start[axis], None) if end else slice(None, start[axis] + 1)
    values[tuple(line)] = 0.95
    _, missing = assert_law(values, LEVEL)
    assert missing == 0


@pytest.mark.parametrize("calls", range(4))
def test_a_cancelled_query_ends_at_once(calls):
    class Cancelling(NodeField):
        def query(self, columns, depths):
            if len(self.calls) == calls:
                self.calls.append(0)
                raise Cancelled("enough")
            return super().query(columns, depths)

    field = Cancelling(64, random_values(64, 1))
    with pytest.raises(Cancelled, match="enough"):
        query_hierarchically(field, LEVEL, disc_coverage(field.grid, 0.37))
    assert len(field.calls) == calls + 1


# What it tells of its progress


def told_by(field, coverage=None, **options) -> list[float]:
    """What is told, without what only says the same again."""
    told: list[float] = []
    query_hierarchically(field, LEVEL, coverage, progress=told.append, **options)
    return [share for share, _ in groupby(told)]


def test_each_level_is_told_as_four_times_the_one_before(coarse):
    """All nodes are inside, so that only the coarsest ones are asked; a ball is asked on every level."""
    coarse(8)
    assert told_by(NodeField(64, np.ones(QueryGrid(64).shape, np.float32))) == [0.0, 1 / 64, 1.0]
    levels = dict.fromkeys(told_by(AnalyticField(ball(0.35), 64)))  # surfaces that are followed say the same again
    assert list(levels) == [0.0, 1 / 64, 1 / 16, 1 / 4, 1.0]


def test_within_a_level_the_share_is_that_of_the_points_first_wanted():
    asked = 33 * 33 * 49
    pieces = [1 / 16 + 3 / 16 * min(1.0, piece * 10_000 / asked) for piece in range(1, 7)]
    assert told_by(NodeField(64, np.ones(QueryGrid(64).shape, np.float32)), piece=10_000) == [0.0, *pieces, 1.0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("radius", [None, 0.37])
def test_progress_never_falls_and_ends_at_one(coarse, seed, radius):
    coarse(4)
    coverage = None if radius is None else disc_coverage(QueryGrid(64), radius)
    told = told_by(NodeField(64, random_values(64, seed)), coverage, piece=500)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(set(told)) > 20


@pytest.mark.parametrize("coverage", [None, 0.0])
def test_progress_of_a_query_that_finds_nothing_ends_at_one(coverage):
    shape = QueryGrid(64).shape
    silhouette = None if coverage is None else np.full(shape[:2], coverage, np.float32)
    assert told_by(NodeField(64, np.zeros(shape, np.float32)), silhouette) == [0.0, 1 / 4, 1.0]
    assert told_by(NodeField(64, np.zeros(shape, np.float32), np.zeros(shape[:2], np.bool_)), silhouette) == [0.0, 1.0]


def test_progress_does_not_fall_when_the_query_begins_anew(coarse):
    coarse(4)
    field = NodeField(64, staircase(64))
    told = told_by(field)
    assert field.times_asked.max() > 1
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("piece", [1, 777])
def test_pieces_are_asked_in_order_and_change_nothing(coarse, piece):
    coarse(4)
    values, coverage = random_values(64, 3) if piece > 1 else staircase(64), disc_coverage(QueryGrid(64), 0.37)
    whole, pieces = NodeField(64, values), NodeField(64, values)
    expected = query_hierarchically(whole, LEVEL, coverage)
    found = query_hierarchically(pieces, LEVEL, coverage, piece=piece)
    assert found.first == expected.first
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(pieces.times_asked, whole.times_asked)
    assert max(pieces.calls) == piece < max(whole.calls)


def test_a_word_comes_with_each_piece_of_the_prediction(coarse, monkeypatch):
    coarse(2)
    monkeypatch.setattr(hierarchy, "NODES_AT_ONCE", 1)
    field = NodeField(64, values_of(SMOOTH["torus"]))
    calls_before: list[int] = []
    box = query_hierarchically(field, LEVEL, progress=lambda share: calls_before.append(len(field.calls)))
    layers = box.values.shape[0]  # of the one grid that is predicted, between the first call and the second
    assert calls_before.count(1) == 1 + layers + 1  # after the call, with each layer, and before the points are asked


def test_what_progress_raises_stops_the_query_there(coarse, monkeypatch):
    coarse(4)
    monkeypatch.setattr(hierarchy, "NODES_AT_ONCE", 20_000)
    values, coverage = values_of(SMOOTH["torus"]), disc_coverage(QueryGrid(64), 0.37)
    told: list[float] = []
    query_hierarchically(NodeField(64, values), LEVEL, coverage, progress=told.append, piece=1_000)
    assert len(told) > 20
    for words in range(1, len(told) + 1):
        heard: list[float] = []

        def listen(share: float, heard=heard, words=words) -> None:
            heard.append(share)
            if len(heard) == words:
                raise Cancelled("enough")

        with pytest.raises(Cancelled, match="enough"):
            query_hierarchically(NodeField(64, values), LEVEL, coverage, progress=listen, piece=1_000)
        assert heard == told[:words]


# What is predicted and compared in pieces, beside the whole


def halved(values: np.ndarray) -> np.ndarray:
    """One row, node by node."""
    fine = np.empty(2 * len(values) - 1, np.float32)
    fine[::2] = values
    for i in range(len(values) - 1):
        if 0 < i < len(values) - 2:
            a, b, c, d = values[i - 1 : i + 3]
            fine[2 * i + 1] = (b + c) * np.float32(9 / 16) - (a + d) * np.float32(1 / 16)
        else:
            fine[2 * i + 1] = (values[i] + values[i + 1]) * np.float32(0.5)
    return fine


@pytest.mark.parametrize("at_once", [1, 700, hierarchy.NODES_AT_ONCE])
@pytest.mark.parametrize("shape", [(2, 5, 3), (4, 2, 6), (9, 7, 8)])
def test_the_prediction_is_cubic_along_each_row(rng, monkeypatch, shape, at_once):
    monkeypatch.setattr(hierarchy, "NODES_AT_ONCE", at_once)
    values = rng.random(shape, dtype=np.float32)
    expected = values
    for axis in range(3):
        expected = np.apply_along_axis(halved, axis, expected)
    found = hierarchy._predicted(values, lambda: None)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("at_once", [1, 700, hierarchy.NODES_AT_ONCE])
def test_the_ends_of_crossing_edges_are_those_of_the_whole(monkeypatch, at_once):
    monkeypatch.setattr(hierarchy, "NODES_AT_ONCE", at_once)
    values = random_values(32, 1)[:, :20]
    np.testing.assert_array_equal(hierarchy._change_ends(values, LEVEL), crossing_ends(values >= LEVEL))


@pytest.mark.parametrize("seed", range(2))
def test_the_size_of_pieces_changes_nothing(coarse, monkeypatch, seed):
    coarse(4)
    values, coverage = random_values(64, seed), disc_coverage(QueryGrid(64), 0.37)
    whole, pieces = NodeField(64, values), NodeField(64, values)
    expected = query_hierarchically(whole, LEVEL, coverage)
    monkeypatch.setattr(hierarchy, "NODES_AT_ONCE", 10_000)
    found = query_hierarchically(pieces, LEVEL, coverage)
    assert found.first == expected.first
    np.testing.assert_array_equal(found.values, expected.values)
    assert pieces.calls == whole.calls


# Columns and the cut


def disc_of_columns(resolution: int, radius: float) -> np.ndarray:
    lateral = QueryGrid(resolution).lateral
    return np.hypot(lateral[:, None], lateral[None]) < radius


@pytest.mark.parametrize("step", [1, 2, 4])
def test_unobserved_columns_are_empty_and_the_others_agree_with_the_dense_grid(coarse, step):
    coarse(step)
    observed = disc_of_columns(64, 0.2)
    field = AnalyticField(ball(0.35), 64, observed)
    found = query_hierarchically(field, LEVEL).on_whole_grid()
    assert not found[~observed].any()
    assert node_iou(found, query_densely(field), LEVEL) == 1.0


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_columns_a_step_or_more_from_the_observed_ones_are_never_asked(coarse, step, rng):
    """Scattered ones; every coarse column that is nearer is asked."""
    coarse(step)
    observed = rng.random((65, 65)) < 0.004
    near = np.zeros((65, 65), np.bool_)
    for u, v in np.argwhere(observed):
        near[max(u - step + 1, 0) : u + step, max(v - step + 1, 0) : v + step] = True
    assert step == 1 or not near.all()
    field = NodeField(64, random_values(64, 2), observed)
    query_hierarchically(field, LEVEL)
    asked = field.times_asked.any(axis=2)
    assert not asked[~near].any()
    assert asked[::step, ::step][near[::step, ::step]].all()


@pytest.mark.parametrize("column", range(33, 37))
@pytest.mark.parametrize("axis", [0, 1])
def test_a_silhouette_narrower_than_a_coarse_step_is_kept(coarse, column, axis):
    """One column wide between coarse nodes, inside a block that the field says is much larger."""
    coarse(4)
    observed = np.zeros((65, 65), np.bool_)
    observed[(column, slice(8, 56)) if axis == 0 else (slice(8, 56), column)] = True
    field = AnalyticField(block((0.45, 0.45, 0.3)), 64, observed)
    found = query_hierarchically(field, LEVEL).on_whole_grid()
    assert found.any()
    np.testing.assert_array_equal(found >= LEVEL, query_densely(field) >= LEVEL)


def test_an_empty_silhouette_gives_an_empty_grid(coarse):
    coarse(4)
    field = AnalyticField(ball(), 64, np.zeros((65, 65), np.bool_))
    assert not query_hierarchically(field, LEVEL).values.any()
    assert field.asked == 0


def assert_cut_as_the_dense_grid(solid, coverage, level: float = LEVEL) -> np.ndarray:
    """Every node; returns those inside."""
    field = NodeField(64, values_of(solid), neighbours_too(coverage > 0))
    carved = carve(query_densely(field), coverage, level) >= level
    np.testing.assert_array_equal(query_hierarchically(field, level, coverage).on_whole_grid() >= level, carved)
    return carved


@pytest.mark.parametrize("level", [0.1, 0.2, 0.5, 0.7])
@pytest.mark.parametrize("hole", [0.0, 0.01, 0.15])
def test_thick_solids_are_cut_to_discs_and_rings_as_the_dense_grid_is(coarse, hole, level):
    coarse(4)
    for solid in (SMOOTH["ball"], SMOOTH["tilted box"]):
        inside = assert_cut_as_the_dense_grid(solid, disc_coverage(QueryGrid(64), 0.2, hole), level)
        assert inside.any()
        assert hole == 0 or not inside[35, 30].any()  # the hole's middle


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("column", range(29, 38))
def test_a_silhouette_one_column_wide_is_cut_out_wherever_it_is(coarse, axis, column):
    coarse(4)
    coverage = np.zeros((65, 65), np.float32)
    np.swapaxes(coverage, 0, axis)[column] = 1
    inside = np.swapaxes(assert_cut_as_the_dense_grid(SMOOTH["ball"], coverage), 0, axis)
    assert np.flatnonzero(inside.any(axis=(1, 2))).tolist() == [column]


@pytest.mark.parametrize("column", range(29, 38))
def test_a_hole_one_column_wide_goes_through_wherever_it_is(coarse, column):
    coarse(4)
    coverage = np.ones((65, 65), np.float32)
    coverage[column, column + 1] = 0
    inside = assert_cut_as_the_dense_grid(SMOOTH["ball"], coverage)
    assert not inside[column, column + 1].any()
    assert inside[column, column].any()


def test_all_pieces_are_kept_into_which_a_silhouette_cuts_a_solid(coarse):
    """A chessboard of columns: no piece has a neighbour beside it, so none could be followed from another."""
    coarse(8)
    chessboard = (np.indices((65, 65)).sum(axis=0) % 2).astype(np.float32)
    inside = assert_cut_as_the_dense_grid(SMOOTH["ball"], chessboard)
    assert components(inside)[1] == inside.any(axis=2).sum() > 500


@pytest.mark.parametrize("every", [2, 3, 5])
def test_strips_of_a_torus_are_all_kept(coarse, every):
    coarse(4)
    for axis in (0, 1):
        inside = assert_cut_as_the_dense_grid(SMOOTH["torus"], strips_coverage(QueryGrid(64), every, axis))
        assert components(inside)[1] > 45 // every


@pytest.mark.parametrize("resolution", [32, 64])
def test_silhouettes_of_everything_and_of_nothing(resolution):
    field = AnalyticField(ball(), resolution)
    uncut = query_hierarchically(field, LEVEL)
    everything = np.ones(field.grid.shape[:2], np.float32)
    cut = query_hierarchically(field, LEVEL, everything)
    assert cut.first == uncut.first
    np.testing.assert_array_equal(cut.values, np.minimum(uncut.values, 1))
    assert not (query_hierarchically(field, LEVEL, 0 * everything).values >= LEVEL).any()


# Nothing to find


@pytest.mark.parametrize("covered", [None, 1.0, "a square"])
@pytest.mark.parametrize("resolution", [64, 128])
def test_a_field_that_never_reaches_the_level_has_no_surface_and_says_how_high_it_is(resolution, covered):
    """Not what its first column may hold."""
    shape = QueryGrid(resolution).shape
    values = np.full(shape, 0.3, np.float32)
    values[32, 32, 48] = 0.4375
    coverage = None if covered is None else np.zeros(shape[:2], np.float32)
    if coverage is not None:
        coverage[slice(None) if covered == 1.0 else slice(20, 45), slice(None) if covered == 1.0 else slice(20, 45)] = 1
    box = query_hierarchically(NodeField(resolution, values), LEVEL, coverage)
    assert not (box.on_whole_grid() >= LEVEL).any()
    with pytest.raises(NoSurface, match=r"both sides of the level 0\.5, got .* to 0\.438"):
        surface_of(box, LEVEL)


def test_a_field_that_is_no_number_has_no_surface():
    shape = QueryGrid(64).shape
    with pytest.raises(NoSurface, match="nan"):
        surface_of(query_hierarchically(NodeField(64, np.full(shape, np.nan, np.float32)), LEVEL), LEVEL)


# The limit of the sign change: what shows on no coarse grid is not seen at all. What shows of itself is followed to its end.


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


@cache
def tilted_plate(half_thickness: float):
    return block((0.3, 0.3, half_thickness / 64), rotation=TILT)


@pytest.mark.parametrize("half_thickness", [0.5, 0.8, 2.0])
@pytest.mark.parametrize("step", [2, 4, 8])
def test_a_tilted_plate_is_whole_however_thin(coarse, half_thickness, step):
    """It crosses coarse nodes here and there, and is followed from these."""
    coarse(step)
    solid = tilted_plate(half_thickness)
    dense = values_of(solid) >= LEVEL
    found = query_hierarchically(NodeField(64, values_of(solid)), LEVEL).on_whole_grid() >= LEVEL
    part, _ = components(dense)
    assert not (found & ~dense).any()
    largest = part == np.bincount(part[dense]).argmax()
    assert found[largest].all()


@pytest.mark.parametrize("offset", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_a_rod_along_the_grid_is_kept_from_a_coarse_cells_diagonal_of_thickness_on(coarse, offset):
    coarse(4)
    radius = 2 * 2**0.5 + 0.01
    assert iou_with_dense(rod(radius / 64, (offset / 64, (offset + 0.5) / 64))) == 1.0


def test_a_rod_along_the_grid_that_is_thinner_than_a_coarse_cell_is_lost_between_coarse_nodes(coarse):
    coarse(4)
    assert iou_with_dense(rod(1.5 / 64, (2 / 64, 2 / 64))) == 0.0
    assert iou_with_dense(rod(1.5 / 64, (0.0, 0.0))) == 1.0

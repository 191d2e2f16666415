"""The coarse-to-fine query keeps what is thinner than its coarse cells, node for node, when the field is an ideal network's.

First the parts themselves: their distances beside points scattered in the solid without any formula for a distance.
"""

from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import label as components
from scipy.spatial import cKDTree

from model.culling import SIGNS_ALONE, Culling
from model.field import query_densely
from model.hierarchy import query_hierarchically
from tests.model import thin_parts as parts
from tests.model.thin_parts import IDEAL, KINDS, SIZE, THICKNESSES, SoftField, ThinPart, thin_parts

LEVEL = 0.5
EVERYTHING = Culling.uniform(IDEAL, 1.0)


def unit_vectors(rng, count, dimensions):
    vectors = rng.normal(size=(count, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scattered(solid, count, rng):
    """(n, 3) points of a solid in its own frame, made from what it is, out to its very surface."""
    edge = 2 * rng.random((count, 3)) - 1
    match solid:
        case parts.Box():
            edge[::2] = np.clip(1.5 * edge[::2], -1, 1)  # more of them on faces and edges
            return edge * solid.sides
        case parts.Cylinder(radius, half_length):
            disc = unit_vectors(rng, count, 2) * radius * rng.random((count, 1)) ** 0.1
            return np.column_stack([np.clip(1.1 * edge[:, 0], -1, 1) * half_length, disc])
        case parts.Capsule(radius, half_length):
            return edge * (half_length, 0, 0) + radius * unit_vectors(rng, count, 3) * rng.random((count, 1)) ** 0.1
        case parts.Ring(radius, tube):
            angle = np.pi * edge[:, :1]
            circle = radius * np.hstack([np.cos(angle), np.sin(angle), np.zeros_like(angle)])
            return circle + tube * unit_vectors(rng, count, 3) * rng.random((count, 1)) ** 0.1
        case parts.PerforatedSheet():
            points = scattered(parts.Box(tuple(solid.half)), count, rng)
            for i in range(solid.across):
                for j in range(solid.down):
                    centre = solid.pitch * (np.array([i, j]) - (np.array([solid.across, solid.down]) - 1) / 2)
                    points = points[np.linalg.norm(points[:, :2] - centre, axis=1) >= solid.hole_radius]
            return points
    raise AssertionError(solid)


@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_those_to_the_nearest_of_many_points_of_the_solid(kind, rng):
    part = kind(SIZE / 50).placed("", parts.random_rotation(rng), rng.uniform(-0.05, 0.05, 3))
    per_piece = 60_000 // len(part.pieces)
    solid = [scattered(piece.solid, per_piece, rng) @ piece.rotation.T + piece.centre for piece in part.pieces]
    cloud = np.concatenate(solid)
    assert part.distance(cloud).max() < 1e-12
    queries = np.concatenate([rng.uniform(-0.6, 0.6, (500, 3)), rng.choice(cloud, 1000) + rng.normal(0, 0.02, (1000, 3))])
    nearest, _ = cKDTree(cloud).query(queries)
    distance = part.distance(queries)
    assert (distance <= nearest + 1e-12).all()  # no point of the solid is nearer than it says
    outside = distance > 0
    assert outside.mean() > 0.5
    # The nearest of the scattered points lies beside the nearest of all: by less than their spacing, and by far less from afar.
    assert (nearest - distance)[outside].max() < 0.02
    assert np.median((nearest - distance)[outside]) < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_as_large_as_they_say_and_stay_in_the_volume_however_they_are_placed(kind):
    part = kind(THICKNESSES[-1] * SIZE)
    corners = np.stack(
        [p.centre + p.rotation @ (signs * p.solid.half) for p in part.pieces for signs in product((-1, 1), repeat=3)]
    )
    assert np.linalg.norm(corners - corners.mean(axis=0), axis=1).max() < 0.75 * SIZE
    assert 0.6 * SIZE < np.ptp(corners, axis=0).max() <= 1.02 * SIZE


@pytest.mark.parametrize("kind", KINDS)
def test_the_field_says_the_label_of_the_distance_at_every_node(kind, rng):
    part = kind(SIZE / 50).placed("", parts.random_rotation(rng), rng.uniform(-0.03, 0.03, 3))
    field = SoftField(part, 32)
    values = query_densely(field)
    assert field.asked == values.size
    nodes = np.stack(np.meshgrid(*(np.arange(count) for count in values.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    expected = IDEAL.value(part.distance(nodes / 32 + np.array(field.grid.origin)))
    np.testing.assert_allclose(values.reshape(-1), expected, rtol=0, atol=1e-6)
    assert (values > 0).mean() > 0.002


# The query


def nodes_on_another_side(part: ThinPart, resolution: int, culling: Culling) -> tuple[int, np.ndarray]:
    """How many nodes the two queries see differently, and the dense one's inside."""
    field = SoftField(part, resolution)
    dense = query_densely(field) >= LEVEL
    found = query_hierarchically(field, LEVEL, None, culling).on_whole_grid() >= LEVEL
    return int((found != dense).sum()), dense


def assert_all_agree(placed, resolution: int) -> None:
    """On every node of every part; and more than half of the parts hold a node at all."""
    wrong, seen = {}, 0
    for part in placed:
        differing, dense = nodes_on_another_side(part, resolution, EVERYTHING)
        seen += dense.any()
        if differing:
            wrong[part.name] = differing
    assert not wrong
    assert seen >= 0.6 * len(placed)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_every_node_is_on_the_dense_grids_side_at_64(kind, seed):
    assert_all_agree(placed_parts(kind, seed, tilts=2), 64)


@pytest.mark.parametrize("kind", KINDS)
def test_every_node_is_on_the_dense_grids_side_at_128(kind):
    placed = placed_parts(kind, 2, tilts=1)
    assert_all_agree([placed[3], placed[6], placed[9]], 128)  # 1/200 tilted, 1/100 along z, 1/50 along y


@pytest.mark.slow
@pytest.mark.parametrize(("resolution", "every"), [(128, 1), (256, 6)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_node_is_on_the_dense_grids_side_at_full_resolution(kind, resolution, every):
    assert_all_agree(placed_parts(kind, 3, tilts=2)[3::every], resolution)


@pytest.mark.parametrize(("resolution", "kinds"), [(72, KINDS), (136, (parts.plate, parts.ring))])
def test_resolutions_that_are_no_power_of_two_lose_nothing_either(resolution, kinds):
    assert_all_agree([placed_parts(kind, 4, tilts=1)[7] for kind in kinds], resolution)


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_is_kept(kind):
    for part in placed_parts(kind, 5, tilts=1)[::3]:
        field = SoftField(part, 64)
        of_dense, dense_count = components(query_densely(field) >= LEVEL)
        found = query_hierarchically(field, LEVEL, None, EVERYTHING).on_whole_grid() >= LEVEL
        assert set(np.unique(of_dense[found])) - {0} == set(range(1, dense_count + 1))


@pytest.mark.parametrize("level", [0.2, 0.8])
@pytest.mark.parametrize("s", [0.05, 0.3])
def test_other_levels_and_hardnesses_lose_nothing_either(level, s):
    """Also where half a coarse cell's diagonal is more than the label reaches beyond the level: then every cell is asked."""
    label = parts.SoftLabel(s, IDEAL.d_star_voxels, IDEAL.voxels_per_side)
    for kind in KINDS:
        field = SoftField(placed_parts(kind, 6, tilts=1)[7], 64, label)
        found = query_hierarchically(field, level, None, Culling.uniform(label, 1.0)).on_whole_grid()
        np.testing.assert_array_equal(found >= level, query_densely(field) >= level)


def test_without_culling_parts_are_lost():
    """So the tests above can fail. What is thinner than a coarse cell and lies along the grid shows in no change of sign."""
    lost = [p.name for p in all_parts(0, tilts=0) if nodes_on_another_side(p, 64, SIGNS_ALONE)[0]]
    assert len(lost) >= 20
    thin = next(part for part in placed_parts(parts.plate, 0, tilts=0) if part.name in lost)
    field = SoftField(thin, 64)
    assert (query_densely(field) >= LEVEL).any()
    assert not (query_hierarchically(field, LEVEL, None, SIGNS_ALONE).on_whole_grid() >= LEVEL).any()


@pytest.mark.parametrize("kind", [parts.fins, parts.wire_frame])
def test_the_query_ends_where_the_inside_reaches_the_box_that_a_coarser_grid_left(kind):
    """At 128 there are two refinements; without culling the first may see so little that the second runs out of its box."""

    class Impatient(SoftField):
        calls = 0

        def query(self, columns, depths):
            self.calls += 1
            assert self.calls < 500, "asked again and again: a query that never ends"
            return super().query(columns, depths)

    for part in placed_parts(kind, 0, tilts=0)[::3]:
        field = Impatient(part, 128)
        found = query_hierarchically(field, LEVEL, None, SIGNS_ALONE).on_whole_grid() >= LEVEL
        assert not (found & ~(query_densely(field) >= LEVEL)).any()


def test_a_quarter_of_the_distance_is_not_enough():
    """The factor counts: with less of it the cells' middles are out of sight."""
    culling = Culling.uniform(IDEAL, 0.25)
    assert any(nodes_on_another_side(part, 64, culling)[0] for part in all_parts(0, tilts=2))


def test_thin_parts_are_asked_at_a_small_part_of_the_nodes():
    shares = []
    for kind in (parts.rod, parts.wire_frame, parts.perforated_sheet):
        field = SoftField(placed_parts(kind, 2, tilts=1)[7], 128)
        query_hierarchically(field, LEVEL, None, EVERYTHING)
        shares.append(field.asked / np.prod(field.grid.shape))
    assert np.median(shares) < 0.06
    assert max(shares) < 0.12


@cache
def all_parts(seed: int, tilts: int) -> tuple[ThinPart, ...]:
    return tuple(thin_parts(seed, tilts))


def placed_parts(kind, seed: int, tilts: int) -> tuple[ThinPart, ...]:
    """Those of one kind: thickness by thickness, its poses along x, y, z and tilted."""
    each = (3 + tilts) * len(THICKNESSES)
    first = KINDS.index(kind) * each
    return all_parts(seed, tilts)[first : first + each]

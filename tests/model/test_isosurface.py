"""Marching cubes on analytic and on random fields."""

import numpy as np
import pytest

from model.errors import NoSurface
from model.isosurface import extract_surface
from tests.model.fields import box, mesh_of, moved, occupancy, sphere, torus

ORIGIN = (-0.5, -0.5, -0.5)


def test_a_sphere_has_its_volume_its_radius_and_no_hole():
    mesh = mesh_of(sphere(0.35), 64)
    assert mesh.is_watertight
    assert mesh.euler_characteristic == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.35**3, rel=0.005)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.35).max() < 0.1 / 63


def test_a_torus_has_one_hole_and_its_volume():
    mesh = mesh_of(torus(0.3, 0.1), 64)
    assert mesh.is_watertight
    assert mesh.euler_characteristic == 0
    assert mesh.volume == pytest.approx(2 * np.pi**2 * 0.3 * 0.1**2, rel=0.01)


def test_a_box_has_its_bounds_in_the_order_of_the_axes():
    mesh = mesh_of(box(0.3, 0.2, 0.1), 101)
    assert mesh.is_watertight
    np.testing.assert_allclose(mesh.bounds, [[-0.3, -0.2, -0.1], [0.3, 0.2, 0.1]], atol=0.1 / 100)


def test_vertices_lie_at_origin_plus_index_times_spacing():
    values = np.zeros((5, 7, 9), np.float32)
    values[2, 4, 6] = 1
    mesh = extract_surface(values, 0.5, (10, 20, 30), 2.0)
    np.testing.assert_allclose(mesh.bounds, [[13, 27, 41], [15, 29, 43]], atol=1e-5)  # half a voxel around node (14, 28, 42)
    assert mesh.euler_characteristic == 2


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", [-0.5, 0.5])
def test_a_sphere_cut_by_a_wall_is_closed_within_a_voxel_outside_it(axis, side):
    centre = [0.0, 0.0, 0.0]
    centre[axis] = side
    mesh = mesh_of(moved(sphere(0.3), *centre), 64)
    assert mesh.is_watertight
    assert mesh.euler_characteristic == 2
    reach = mesh.bounds[1 if side > 0 else 0, axis] * np.sign(side)
    assert 0.5 < reach < 0.5 + 1 / 63


def test_a_field_that_fills_the_grid_to_all_walls_but_one_node_is_closed():
    values = np.ones((4, 5, 6), np.float32)
    values[1, 2, 3] = 0
    mesh = extract_surface(values, 0.5, ORIGIN, 0.1)
    assert mesh.is_watertight
    assert mesh.euler_characteristic == 4  # the block's outside and the cavity
    assert mesh.volume > 0


@pytest.mark.parametrize("seed", range(50))
def test_meshes_of_random_fields_are_watertight(seed):
    """Ambiguous cells in every combination, at several densities, up to the walls."""
    rng = np.random.default_rng(seed)
    values = rng.random(rng.integers(2, 10, 3), dtype=np.float32)
    level = float(np.quantile(values, rng.uniform(0.1, 0.9)))
    mesh = extract_surface(values, level, ORIGIN, 0.1)
    assert mesh.is_watertight
    assert mesh.volume > 0


@pytest.mark.parametrize("seed", range(10))
def test_nodes_on_the_level_make_no_degenerate_faces(seed):
    """Fields of 0, level and 1 would put vertices onto each other, were these not kept off the nodes."""
    values = np.random.default_rng(seed).choice(np.array([0, 0.5, 1], np.float32), (8, 8, 8))
    mesh = extract_surface(values, 0.5, ORIGIN, 1 / 256)
    assert mesh.is_watertight
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)
    edges = np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0])
    assert np.linalg.norm(edges.astype(np.float64), axis=1).min() > 0


def test_a_small_object_in_a_large_grid_is_the_same_as_alone():
    """Cells without surface change nothing, not even the order."""
    small = occupancy(sphere(0.4), 16)
    large = np.full((40, 50, 60), small.min(), np.float32)
    large[5:21, 20:36, 30:46] = small
    alone = extract_surface(small, 0.5, (0, 0, 0), 1.0)
    within = extract_surface(large, 0.5, (-5, -20, -30), 1.0)
    np.testing.assert_array_equal(alone.faces, within.faces)
    np.testing.assert_allclose(alone.vertices, within.vertices, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.2, 0.5, 1.0, np.nan])
def test_a_field_on_one_side_of_the_level_has_no_surface(value):
    with pytest.raises(NoSurface, match=r"level 0\.5"):
        extract_surface(np.full((4, 4, 4), value, np.float32), 0.5, ORIGIN, 0.1)


def test_another_level_moves_the_surface():
    values = occupancy(sphere(0.3), 48)
    assert extract_surface(values, 0.2, ORIGIN, 1 / 47).volume > extract_surface(values, 0.8, ORIGIN, 1 / 47).volume

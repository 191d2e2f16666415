"""Surface samples and labelled points."""

import numpy as np
import pytest

from tests.training import solids
from training.sampling.pools import (
    BALL_RADIUS,
    VOXEL,
    PoolConfig,
    dequantise,
    draw_pool,
    quantise,
)
from training.sampling.solids import ClosedMesh, signed_distance
from training.sampling.surface import sample_surface

SMALL = PoolConfig(near_points=4000, uniform_points=2000)


def test_a_spheres_distances_are_the_analytic_ones():
    vertices, faces = solids.sphere(0.4, 256)
    pool = draw_pool(ClosedMesh(vertices, faces), SMALL, np.random.default_rng(0))
    expected = np.linalg.norm(dequantise(pool.points), axis=1) - 0.4
    np.testing.assert_allclose(pool.distance, expected, atol=2e-4)  # the facets' sagitta


def test_a_boxs_distances_are_negative_inside_and_exact_outside():
    half = np.array([0.25, 0.2, 0.15])
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (3000, 3))
    beyond = np.abs(points) - half
    expected = np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)
    np.testing.assert_allclose(signed_distance(points, *solids.box()), expected, atol=1e-7)


def test_labels_belong_to_the_points_as_they_are_stored():
    solid = solids.angle_bracket()
    pool = draw_pool(ClosedMesh(*solid), SMALL, np.random.default_rng(1))
    np.testing.assert_array_equal(pool.distance, signed_distance(dequantise(pool.points), *solid).astype(np.float32))


def test_the_first_points_lie_near_the_surface_and_the_rest_fill_the_ball_evenly():
    pool = draw_pool(
        ClosedMesh(*solids.angle_bracket()), PoolConfig(near_points=4000, uniform_points=8000), np.random.default_rng(2)
    )
    near, far = pool.distance[: pool.near_count], dequantise(pool.points[pool.near_count :])
    assert np.median(np.abs(near)) < 4 * VOXEL
    assert 0.25 < (near < 0).mean() < 0.55
    radius = np.linalg.norm(far, axis=1)
    assert radius.max() <= BALL_RADIUS + 1e-4
    np.testing.assert_allclose(np.mean(radius < BALL_RADIUS / 2), 1 / 8, atol=0.02)


def test_both_parts_of_a_pool_are_shuffled():
    """The halves of each part have the same distances on average, so that any slice is a fair draw."""
    pool = draw_pool(
        ClosedMesh(*solids.angle_bracket()), PoolConfig(near_points=8000, uniform_points=8000), np.random.default_rng(3)
    )
    for part in np.split(np.abs(pool.distance), [pool.near_count]):
        one, other = np.split(part, 2)
        assert abs(one.mean() - other.mean()) < 4 * part.std() / np.sqrt(len(one))


def test_offsets_follow_the_configured_sigmas():
    narrow = PoolConfig(near_points=4000, uniform_points=0, sigmas=(2.0,), weights=(1.0,))
    pool = draw_pool(ClosedMesh(*solids.sphere(0.4, 256)), narrow, np.random.default_rng(4))
    assert pool.distance.std() == pytest.approx(2 * VOXEL, rel=0.05)


def test_surface_samples_lie_on_the_surface_evenly_with_the_faces_normals():
    solid = solids.box(0.6, 0.4, 0.2)
    points, normals = sample_surface(*solid, 20_000, np.random.default_rng(5))
    assert np.abs(signed_distance(points, *solid)).max() < 1e-7
    np.testing.assert_allclose(np.einsum("ij,ij->i", points, normals), np.abs(normals) @ [0.3, 0.2, 0.1], atol=1e-6)
    areas = np.array([0.4 * 0.2, 0.6 * 0.2, 0.6 * 0.4])
    np.testing.assert_allclose(np.abs(normals).mean(axis=0), areas / areas.sum(), atol=0.015)


def test_rounding_keeps_a_point_within_half_a_step_and_inside_the_range():
    points = np.random.default_rng(6).uniform(-1, 1, (1000, 3))
    assert np.abs(dequantise(quantise(points)) - points).max() <= 0.5 / 32767 + 1e-12
    np.testing.assert_array_equal(quantise(np.array([[-3.0, 0.0, 3.0]])), [[-32767, 0, 32767]])


def test_the_same_seed_draws_the_same_pool():
    one, other = (draw_pool(ClosedMesh(*solids.angle_bracket()), SMALL, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one.points, other.points)
    np.testing.assert_array_equal(one.distance, other.distance)

"""Cutting a field to the silhouette: what the photo shows to be empty is empty, at its place to a fraction of a cell."""

import numpy as np
import pytest

from model.carving import carve, ceiling_of, column_coverage
from model.field import QueryGrid
from model.isosurface import extract_surface


def disc(size: int, radius: float, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """(size, size) coverage of a disc, row 0 at the top; radius and centre (u, v) in crop sides."""
    at = (np.arange(size) + 0.5) / size - 0.5
    distance = radius - np.hypot(at[None] - centre[0], -at[:, None] - centre[1])
    return np.clip(0.5 + distance * size, 0, 1).astype(np.float32)


def test_coverage_at_columns_runs_up_with_v_and_right_with_u():
    coverage = column_coverage(disc(96, 0.1, centre=(0.2, -0.3)), QueryGrid(48))
    u, v = np.unravel_index(coverage.argmax(), coverage.shape)
    lateral = QueryGrid(48).lateral
    assert (lateral[u], lateral[v]) == pytest.approx((0.2, -0.3), abs=0.1)
    assert coverage.sum() / 48**2 == pytest.approx(np.pi * 0.1**2, rel=0.03)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.7])
def test_a_full_field_becomes_the_silhouettes_cylinder(level):
    grid = QueryGrid(64)
    full = np.ones(grid.shape, np.float32)
    full[:, :, :10] = full[:, :, -10:] = 0.0
    mesh = extract_surface(carve(full, column_coverage(disc(128, 0.3), grid), level), level, grid.origin, grid.spacing)
    wall = mesh.vertices[np.abs(mesh.vertices[:, 2]) < 0.5]
    np.testing.assert_allclose(np.hypot(wall[:, 0], wall[:, 1]), 0.3, atol=0.25 * grid.spacing)
    assert mesh.is_watertight


def test_a_hole_of_the_silhouette_goes_through():
    grid = QueryGrid(64)
    ring = disc(128, 0.4) - disc(128, 0.15)
    values = carve(np.ones(grid.shape, np.float32), column_coverage(ring, grid), 0.5)
    mesh = extract_surface(values, 0.5, grid.origin, grid.spacing)
    assert mesh.is_watertight
    assert len(mesh.vertices) - len(mesh.faces) / 2 == 0  # Euler characteristic of a torus


def test_within_the_silhouette_a_field_stays_as_it_is():
    grid = QueryGrid(32)
    field = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    coverage = column_coverage(disc(64, 0.3), grid)
    carved = carve(field, coverage, 0.5)
    assert (carved[coverage == 1] == field[coverage == 1]).all()
    assert (carved[coverage < 0.5] < 0.5).all()


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.95])
def test_a_column_covered_to_a_half_may_just_reach_the_level_and_one_of_less_may_not(level):
    """Exactly: no rounding of the level takes a side."""
    below, half = np.float32(127 / 255), np.float32(0.5)
    ceiling = ceiling_of(np.array([[0, below, half, 1]], np.float32), level)
    assert ceiling[0, 2] == np.float32(level)
    assert (ceiling < level).tolist() == [[True, True, False, False]]
    assert (np.diff(ceiling) > 0).all()
    assert 0 <= ceiling.min() <= ceiling.max() <= 1

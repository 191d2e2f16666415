"""Signed distances of solids, against formulas and against slow twins."""

import pickle

import igl
import numpy as np
import pytest
from manifold3d import Manifold

from tests.training import solids
from training.sampling.solids import ClosedMesh, Solid, WindingMesh, object_frame

POINTS = np.random.default_rng(0).uniform(-0.6, 0.6, (3000, 3))
HALF = np.array([0.25, 0.2, 0.15])


def box_distance(points: np.ndarray, half: np.ndarray = HALF, centre: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    beyond = np.abs(points - centre) - half
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)


def together(*parts: solids.Solid) -> solids.Solid:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [faces + start for (_, faces), start in zip(parts, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces).astype(np.int32)


def moved_box(x: float, size: tuple[float, float, float] = (0.5, 0.4, 0.3)) -> solids.Solid:
    vertices, faces = solids.box(*size)
    return vertices + np.array([x, 0, 0], np.float32), faces


def slow_distance(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """To the nearest point of any triangle: its plane where that meets the triangle, else the nearest of its edges."""
    result = np.full(len(points), np.inf)
    for corners in vertices[faces].astype(np.float64):
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        area = np.linalg.norm(normal)
        height = (points - corners[0]) @ normal / area
        foot = points - height[:, None] * normal / area
        within = np.ones(len(points), bool)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            within &= np.cross(end - start, foot - start) @ normal >= 0
            along = np.clip((points - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
            result = np.minimum(result, np.linalg.norm(points - start - along[:, None] * (end - start), axis=1))
        result = np.where(within, np.minimum(result, np.abs(height)), result)
    return result


@pytest.mark.parametrize("kind", [ClosedMesh, WindingMesh])
def test_a_boxs_distances_are_exact_on_both_sides(kind):
    np.testing.assert_allclose(kind(*solids.box()).signed_distance(POINTS), box_distance(POINTS), atol=1e-7)


@pytest.mark.parametrize("kind", [ClosedMesh, WindingMesh])
def test_a_spheres_distances_are_the_analytic_ones(kind):
    distance = kind(*solids.sphere(0.4, 256)).signed_distance(POINTS)
    np.testing.assert_allclose(distance, np.linalg.norm(POINTS, axis=1) - 0.4, atol=2e-4)  # the facets' sagitta


def test_both_solids_agree_with_the_slow_twins_on_a_watertight_part():
    vertices, faces = solids.angle_bracket()
    points = POINTS[:400] * 0.6
    inside = igl.winding_number(vertices.astype(np.float64), faces.astype(np.int64), points) > 0.5
    expected = slow_distance(vertices, faces, points) * np.where(inside, -1, 1)
    assert 0.02 < inside.mean() < 0.5
    for solid in (ClosedMesh(vertices, faces), WindingMesh(vertices, faces)):
        np.testing.assert_allclose(solid.signed_distance(points), expected, atol=1e-9)


def test_overlapping_solids_are_inside_wherever_one_of_them_is():
    solid = WindingMesh(*together(moved_box(-0.1), moved_box(0.1)))
    expected = np.minimum(*(box_distance(POINTS, centre=(x, 0, 0)) for x in (-0.1, 0.1)))
    distance = solid.signed_distance(POINTS)
    np.testing.assert_array_equal(distance < 0, expected < 0)
    np.testing.assert_allclose(distance[expected > 0], expected[expected > 0], atol=1e-7)


def test_the_nearest_triangles_side_misjudges_overlaps_and_the_winding_number_does_not():
    """Why messy files become a `WindingMesh`."""
    triangles = together(moved_box(-0.1), moved_box(0.1))
    inside = np.minimum(*(box_distance(POINTS, centre=(x, 0, 0)) for x in (-0.1, 0.1))) < 0
    assert ((ClosedMesh(*triangles).signed_distance(POINTS) < 0) != inside).sum() > 20
    assert ((WindingMesh(*triangles).signed_distance(POINTS) < 0) == inside).all()


def test_a_hidden_body_counts_for_the_winding_number_and_is_no_surface():
    vertices, faces = together(solids.box(), moved_box(0, (0.3, 0.2, 0.1)))
    outer, inner = np.split(faces, 2)
    distance = WindingMesh(vertices, outer, inner).signed_distance(POINTS)
    np.testing.assert_allclose(distance, box_distance(POINTS), atol=1e-7)
    cavity = WindingMesh(vertices, outer, inner[:, ::-1])
    np.testing.assert_array_equal(
        cavity.signed_distance(POINTS) < 0, (box_distance(POINTS) < 0) & (box_distance(POINTS, np.array([0.15, 0.1, 0.05])) > 0)
    )


def test_a_small_hole_changes_only_what_is_close_to_it():
    vertices, faces = solids.sphere(0.4, 64)
    middle = vertices[faces].mean(axis=1)
    hole = np.linalg.norm(middle - [0, 0, 0.4], axis=1) < 0.06
    assert 0.001 < hole.mean() < 0.02
    inside = WindingMesh(vertices, faces[~hole]).signed_distance(POINTS) < 0
    expected = ClosedMesh(vertices, faces).signed_distance(POINTS) < 0
    wrong = inside != expected
    assert np.linalg.norm(POINTS[wrong] - [0, 0, 0.4], axis=1).max(initial=0) < 0.1
    assert wrong.mean() < 0.002


def test_the_fast_winding_number_decides_like_the_exact_one_close_to_a_fine_surface():
    mesh = (Manifold.sphere(0.35, 96) - Manifold.cylinder(1, 0.1, 0.1, 64, True)).to_mesh()
    vertices, faces = mesh.vert_properties[:, :3].astype(np.float32), mesh.tri_verts.astype(np.int32)
    rng = np.random.default_rng(1)
    points = vertices[faces].mean(axis=1)[rng.integers(len(faces), size=2000)] + rng.normal(size=(2000, 3)) * 0.004
    exact = igl.winding_number(vertices.astype(np.float64), faces.astype(np.int64), points)
    solid = WindingMesh(vertices, faces)
    np.testing.assert_allclose(solid.winding_number(points), exact, atol=0.05)
    np.testing.assert_array_equal(solid.signed_distance(points) < 0, exact > 0.5)


def test_a_solid_survives_pickling_after_it_was_asked():
    solid = WindingMesh(*together(moved_box(-0.1), moved_box(0.1)))
    expected = solid.signed_distance(POINTS)
    copy: Solid = pickle.loads(pickle.dumps(solid))
    np.testing.assert_array_equal(copy.signed_distance(POINTS), expected)


def test_points_in_single_precision_are_welcome():
    for solid in (ClosedMesh(*solids.box()), WindingMesh(*solids.box())):
        distance = solid.signed_distance(POINTS.astype(np.float32))
        assert distance.dtype == np.float64
        np.testing.assert_allclose(distance, box_distance(POINTS), atol=1e-6)


def test_the_object_frame_centres_the_box_and_reaches_half():
    vertices = np.random.default_rng(2).uniform(-3, 5, (50, 3)) * [1, 2, 3] + [1000, 0, -7]
    inner, scale, centre = object_frame(vertices)
    assert inner.dtype == np.float32
    np.testing.assert_allclose(inner, (vertices - centre) * scale, atol=1e-7)
    np.testing.assert_allclose(inner.min(axis=0), -inner.max(axis=0), atol=1e-7)
    assert np.linalg.norm(inner, axis=1).max() == pytest.approx(0.5, abs=1e-7)


@pytest.mark.parametrize("vertices", [np.zeros((4, 3)), np.array([[0.0, 0, 0], [np.inf, 0, 0]])])
def test_vertices_without_a_finite_extent_have_no_object_frame(vertices):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="expected vertices some finite way apart"):
        object_frame(vertices)

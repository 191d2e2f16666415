"""The rasteriser: what covers what, and where."""

import time

import numpy as np
import pytest
import trimesh

from model.mesh import Mesh
from model.preview import _may_cover, nearest_depth, render_preview, silhouette
from tests.model.fields import box, mesh_of, moved, sphere, union

TRIANGLE = np.array([[0, 1, 2]], np.int32)


def is_object(picture):
    return (picture < 250).any(axis=2)


def test_a_discs_silhouette_has_its_area_and_no_pixel_inside_is_missing():
    mesh = mesh_of(sphere(0.35), 64)
    seen = silhouette(mesh.vertices[:, :2], mesh.faces, 224)
    centres = (np.arange(224) + 0.5) / 224 - 0.5
    distance = np.hypot(centres[None, :], centres[:, None])
    assert seen[distance < 0.35 - 0.003].all()
    assert not seen[distance > 0.35 + 0.003].any()


def test_row_0_is_the_top_and_column_0_the_left():
    corner = np.array([[-0.5, 0.5], [-0.25, 0.5], [-0.5, 0.25]], np.float32)
    seen = silhouette(corner, TRIANGLE, 64)
    assert seen[0, 0]
    assert not seen[:, 32:].any()
    assert not seen[32:].any()


def test_a_silhouette_is_that_of_a_slow_point_in_triangle_test():
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = rng.uniform(-0.7, 0.7, (3, 2))  # also outside the picture
        seen = silhouette(corners, TRIANGLE, 48)
        u, v = np.meshgrid((np.arange(48) + 0.5) / 48 - 0.5, 0.5 - (np.arange(48) + 0.5) / 48)
        sides = []
        for i in range(3):
            (u0, v0), (u1, v1) = corners[i], corners[(i + 1) % 3]
            sides.append((u1 - u0) * (v - v0) - (v1 - v0) * (u - u0))
        inside = np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)
        np.testing.assert_array_equal(seen, inside)


def test_triangles_are_left_out_only_where_they_cover_nothing(monkeypatch):
    """Small triangles, their corners often on pixel centres, on their edges, and outside: the exact test of all says the same."""
    size = 32
    rng = np.random.default_rng(4)
    with_and_without = []
    for spread, step in [(2, 4), (3, 8), (6, 2), (40, 3)]:
        first = rng.integers(-4 * step, (size + 4) * step, (400, 1, 2))
        pixels = (first + rng.integers(-spread * step // 2, spread * step // 2 + 1, (400, 3, 2))) / step + 0.5
        points = ((pixels / size - 0.5) * (1, -1)).reshape(-1, 2)
        faces = np.arange(1200, dtype=np.int32).reshape(400, 3)
        with_and_without.append([[silhouette(points, faces[k : k + 1], size) for k in range(400)]])
        with monkeypatch.context() as patch:
            patch.setattr("model.preview._may_cover", lambda x, y, corners, size: np.ones(corners.shape[1], np.bool_))
            with_and_without[-1].append([silhouette(points, faces[k : k + 1], size) for k in range(400)])
    for quick, slow in with_and_without:
        np.testing.assert_array_equal(quick, slow)
        assert 20 < np.any(slow, axis=(1, 2)).sum() < 400


def test_the_nearest_depth_of_a_sphere_is_its_front_and_nothing_beside_it():
    mesh = mesh_of(sphere(0.35), 64)
    depth = nearest_depth(mesh.vertices, mesh.faces, 96)
    centres = (np.arange(96) + 0.5) / 96 - 0.5
    distance = np.hypot(centres[None, :], centres[:, None])
    within = distance < 0.33
    np.testing.assert_allclose(depth[within], np.sqrt(0.35**2 - distance[within] ** 2), atol=0.002)
    assert np.isneginf(depth[distance > 0.353]).all()


def test_of_two_boxes_the_nearer_ones_front_counts_and_row_0_is_the_top():
    mesh = mesh_of(union(moved(box(0.1, 0.1, 0.1), 0.2, 0.3, 0.2), moved(box(0.4, 0.4, 0.05), 0, 0, -0.3)), 64)
    depth = nearest_depth(mesh.vertices, mesh.faces, 50)
    np.testing.assert_allclose(depth[6:14, 31:39], 0.3, atol=1e-3)
    np.testing.assert_allclose(depth[20:44, 6:44], -0.25, atol=1e-3)


def test_of_a_mesh_as_fine_as_the_picture_most_triangles_are_left_out():
    mesh = mesh_of(sphere(0.4), 128)
    x, y = (mesh.vertices[:, :2].T.astype(np.float64) + 0.5) * 128
    assert _may_cover(x, y, mesh.faces.T.astype(np.int64), 128).mean() < 0.6


def test_winding_does_not_matter_for_a_silhouette_and_nothing_covers_nothing():
    mesh = mesh_of(box(0.3, 0.2, 0.1), 32)
    points = mesh.vertices[:, :2]
    np.testing.assert_array_equal(silhouette(points, mesh.faces, 64), silhouette(points, mesh.faces[:, ::-1], 64))
    assert not silhouette(points, mesh.faces[:0], 64).any()


def test_a_preview_shows_the_object_centred_on_white():
    picture = render_preview(mesh_of(sphere(), 48), 0, 0, size=128)
    assert picture.shape == (128, 128, 3)
    assert picture.dtype == np.uint8
    assert (picture[0] == 255).all()
    covered = is_object(picture)
    assert covered.mean() == pytest.approx(np.pi / 4 * 0.9**2, rel=0.02)
    np.testing.assert_allclose(np.argwhere(covered).mean(axis=0), 63.5, atol=0.5)


def test_the_nearer_of_two_bodies_hides_the_farther():
    """A small ball in front of a plate is seen from the front and hidden from behind."""
    plate, ball = box(0.4, 0.4, 0.05), moved(sphere(0.15), 0, 0, 0.3)
    both, alone = mesh_of(union(plate, ball)), mesh_of(plate)
    centre = np.s_[40:88, 40:88]
    front = render_preview(both, 0, 0, 128)[centre].astype(int) - render_preview(alone, 0, 0, 128)[centre]
    behind = render_preview(both, 180, 0, 128)[centre].astype(int) - render_preview(alone, 180, 0, 128)[centre]
    assert np.abs(front).max() > 40
    assert np.abs(behind).max() <= 2


@pytest.mark.parametrize(
    ("azimuth", "elevation", "expected"),
    [(0, 0, (0.6, 0.4)), (90, 0, (0.2, 0.4)), (180, 0, (0.6, 0.4)), (0, 90, (0.6, 0.2)), (90, 90, (0.2, 0.6))],
)
def test_the_camera_turns_about_the_object(azimuth, elevation, expected):
    """A box of 0.6 x 0.4 x 0.2 shows the two sides that face the camera."""
    covered = np.argwhere(is_object(render_preview(mesh_of(box(0.3, 0.2, 0.1)), azimuth, elevation, 256)))
    height, width = np.ptp(covered, axis=0) + 1
    assert width / height == pytest.approx(expected[0] / expected[1], rel=0.03)


def test_positive_azimuth_shows_the_right_side_and_positive_elevation_the_top():
    """A lug on the +x side comes nearer the middle from the right, and one on top comes into the picture's lower part."""
    right = mesh_of(union(box(0.2, 0.2, 0.2), moved(box(0.05, 0.05, 0.05), 0.25, 0, 0)))
    hidden, shown = render_preview(right, -90, 0, 128), render_preview(right, 90, 0, 128)
    assert np.ptp(shown[44:84, 44:84]) > np.ptp(hidden[44:84, 44:84]) + 10
    top = mesh_of(union(box(0.2, 0.2, 0.2), moved(box(0.05, 0.05, 0.05), 0, 0.25, 0)))
    hidden, shown = render_preview(top, 0, -90, 128), render_preview(top, 0, 90, 128)
    assert np.ptp(shown[44:84, 44:84]) > np.ptp(hidden[44:84, 44:84]) + 10


def test_a_cubes_sides_are_each_of_one_brightness():
    """Sharp edges stay sharp: large faces are not shaded round."""
    cube = trimesh.creation.box()
    picture = render_preview(Mesh(cube.vertices.astype(np.float32), cube.faces.astype(np.int32)), 0, 0, 128)
    assert np.ptp(picture[30:98, 30:98]) <= 40  # the three channels differ by the tint alone
    assert np.ptp(picture[30:98, 30:98, 0]) <= 1


def test_nothing_is_a_white_picture():
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    assert (render_preview(empty, 30, 20, 32) == 255).all()


def test_a_large_mesh_takes_little_time():
    """300,000 faces in well under a second on one core; the bound leaves room for a busy machine."""
    mesh = mesh_of(sphere(0.45), 200)
    assert len(mesh.faces) > 280_000
    started = time.process_time()
    render_preview(mesh, 30, 20)
    assert time.process_time() - started < 3

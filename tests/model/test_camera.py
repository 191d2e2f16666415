"""Cameras and view frames: laws rather than examples."""

import numpy as np
import pytest

from model.camera import HALF_DEPTH, OrthographicCamera, PinholeCamera, ViewFrame, upright
from model.errors import CameraTooClose

PINHOLES = [PinholeCamera(1.01), PinholeCamera(2.5, 0.2, -0.3), PinholeCamera(40.0, -1.5, 0.7)]
CAMERAS = [OrthographicCamera(), *PINHOLES]


@pytest.fixture
def points(rng):
    """(500, 3) float64 in the query volume."""
    return rng.uniform(-1, 1, (500, 3)) * (0.5, 0.5, HALF_DEPTH)


@pytest.mark.parametrize("camera", CAMERAS, ids=str)
def test_unprojecting_undoes_projecting(camera, points):
    np.testing.assert_allclose(camera.unproject(camera.project(points)), points, atol=1e-12)
    np.testing.assert_allclose(camera.project(camera.unproject(points)), points, atol=1e-12)


@pytest.mark.parametrize("camera", CAMERAS, ids=str)
def test_both_maps_keep_single_precision_and_depth(camera, points):
    single = points.astype(np.float32)
    for mapped in (camera.project(single), camera.unproject(single)):
        assert mapped.dtype == np.float32
        np.testing.assert_array_equal(mapped[:, 2], single[:, 2])


def test_moving_a_point_in_depth_does_not_move_its_orthographic_pixel(points):
    moved = points + np.array([0, 0, 0.3])
    np.testing.assert_array_equal(OrthographicCamera().project(moved)[:, :2], OrthographicCamera().project(points)[:, :2])


@pytest.mark.parametrize("camera", PINHOLES, ids=str)
def test_a_pinhole_ray_is_a_column(camera, points, rng):
    """From the pinhole through a point, however far along, (u, v) stays what it is."""
    eye = np.array([-camera.offset_x, -camera.offset_y, camera.distance])
    along = eye + rng.uniform(0.2, 1.5, (len(points), 1)) * (points - eye)
    np.testing.assert_allclose(camera.project(along)[:, :2], camera.project(points)[:, :2], atol=1e-9)


@pytest.mark.parametrize("camera", PINHOLES, ids=str)
def test_a_pinhole_projects_as_pixels_do(camera, points):
    """u and v times the crop's side are pixels from the crop's centre: focal length times slope, less the centre's own offset."""
    focal_length, side = 1000.0, 1000.0 / camera.distance
    eye = np.array([-camera.offset_x, -camera.offset_y, camera.distance])
    from_eye = points - eye
    pixels = focal_length * from_eye[:, :2] / -from_eye[:, 2:]  # from the principal point, y up
    centre = side * np.array([camera.offset_x, camera.offset_y])
    np.testing.assert_allclose(camera.project(points)[:, :2] * side, pixels - centre, atol=1e-8)


def test_a_pinhole_far_away_is_orthographic(points):
    np.testing.assert_allclose(PinholeCamera(1e7).project(points), points, atol=1e-6)


def test_points_nearer_to_a_centred_pinhole_appear_larger():
    near, far = PinholeCamera(2.0).project(np.array([[0.1, 0.2, 0.5], [0.1, 0.2, -0.5]]))
    np.testing.assert_allclose(near[:2], [0.1 * 2 / 1.5, 0.2 * 2 / 1.5])
    np.testing.assert_allclose(far[:2], [0.1 * 2 / 2.5, 0.2 * 2 / 2.5])


@pytest.mark.parametrize("distance", [0.8, 0.3, 0.0, -2.0, float("nan")])
def test_a_pinhole_inside_the_query_volume_is_refused_in_words(distance):
    with pytest.raises(CameraTooClose, match=rf"expected more than 0\.8 crop sides .*got {distance:.3g}"):
        PinholeCamera(distance)


def test_a_pinhole_just_beyond_the_limit_is_accepted():
    assert PinholeCamera(0.801).distance == 0.801


@pytest.mark.parametrize("elevation", [-90.0, -20.0, 0.0, 35.0, 90.0])
def test_setting_upright_takes_the_worlds_up_to_y_and_leaves_right_to_the_right(elevation):
    """A camera that looks down by e sees up at (0, cos e, sin e), and the ground's front towards it at (0, -sin e, cos e)."""
    cosine, sine = np.cos(np.radians(elevation)), np.sin(np.radians(elevation))
    seen = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    np.testing.assert_allclose(upright(elevation) @ seen.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(upright(elevation)) == pytest.approx(1)


def test_each_camera_names_its_kind():
    assert (OrthographicCamera().kind, PinholeCamera(2.0).kind) == ("orthographic", "pinhole")


def test_a_view_frame_comes_back_from_the_object_frame(points, rng):
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    frame = ViewFrame(rotation, 1.7, np.array([0.3, -0.2, 0.1]))
    np.testing.assert_allclose(frame.to_object(frame.from_object(points)), points, atol=1e-12)
    np.testing.assert_allclose(frame.from_object(frame.to_object(points)), points, atol=1e-12)


def test_a_view_frame_is_scale_times_rotation_plus_translation():
    quarter_turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # view x is object y
    frame = ViewFrame(quarter_turn, 2.0, np.array([10.0, 20.0, 30.0]))
    np.testing.assert_allclose(frame.from_object(np.array([[1.0, 2.0, 3.0]])), [[14.0, 18.0, 36.0]])

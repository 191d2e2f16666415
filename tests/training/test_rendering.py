"""Cameras, pictures and what they say about each other."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from tests.training import solids
from training.rendering.cameras import MIN_CAMERA_DISTANCE, ViewCamera, draw_view_camera, frame_silhouette, view_camera
from training.rendering.environment import HEIGHT, draw_environment, environment_from_map
from training.rendering.materials import Material, draw_material
from training.rendering.normals import corner_normals, face_normals
from training.rendering.renderer import Renderer
from training.rendering.views import render_views
from training.sampling.surface import sample_surface

SOLIDS = {"angle_bracket": solids.angle_bracket, "flanged_pipe": solids.flanged_pipe, "rod": solids.rod}
WHITE = Material(colour=(0.8, 0.8, 0.8), metallic=0.0, roughness=0.6)


def draw_cameras(solid: solids.Solid, count: int, seed: int = 0) -> list[ViewCamera]:
    rng = np.random.default_rng(seed)
    points, _ = sample_surface(*solid, 2048, rng)
    return [draw_view_camera(rng, solid[0], points) for _ in range(count)]


def splat(columns: np.ndarray, size: int) -> np.ndarray:
    """The pixels (size, size) bool that points (n, 3), as (u, v, z), fall into."""
    pixels = np.floor(np.stack([0.5 - columns[:, 1], columns[:, 0] + 0.5], axis=1) * size).astype(int)
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    mask = np.zeros((size, size), bool)
    mask[tuple(pixels[inside].T)] = True
    return mask


def silhouette_agreement(mask: np.ndarray, splatted: np.ndarray) -> float:
    """IoU, where a pixel on the rim may belong to either."""
    agreed = mask & binary_dilation(splatted) | splatted & binary_dilation(mask)
    return agreed.sum() / (mask | splatted).sum()


@pytest.mark.parametrize("name", SOLIDS)
def test_the_pinhole_record_projects_the_surface_onto_the_pictures_silhouette(name):
    solid, rng = SOLIDS[name](), np.random.default_rng(1)
    points, _ = sample_surface(*solid, 60_000, rng)
    for view in render_views(*solid, points, 4, 96, rng):
        splatted = splat(view.camera.pinhole.project(view.camera.pinhole_frame.from_object(points)), 96)
        mask = view.image[..., 3] > 8
        assert silhouette_agreement(mask, splatted) > 0.985


def test_a_swapped_axis_fails_the_silhouette_check():
    solid, rng = solids.angle_bracket(), np.random.default_rng(1)
    points, _ = sample_surface(*solid, 60_000, rng)
    scores = [
        silhouette_agreement(
            view.image[..., 3] > 8,
            splat(view.camera.pinhole.project(view.camera.pinhole_frame.from_object(points[:, [1, 0, 2]])), 96),
        )
        for view in render_views(*solid, points, 4, 96, rng)
    ]
    assert max(scores) < 0.9


def test_the_orthographic_record_fits_a_long_lens_and_misses_a_wide_one():
    solid, rng = solids.angle_bracket(), np.random.default_rng(2)
    points, _ = sample_surface(*solid, 60_000, rng)
    towards = np.array([0.7, 0.5, 0.5]) / np.linalg.norm([0.7, 0.5, 0.5])
    rotation = look_rotation(towards)
    renderer, environment = Renderer(*solid), draw_environment(rng)
    scores = []
    for distance in (8.0, 1.6):
        view = view_camera(frame_silhouette(rotation, distance * towards, solid[0]), solid[0], points)
        alpha = renderer.render(view.crop, WHITE, environment, 96, rng)[..., 3]
        scores.append(silhouette_agreement(alpha > 8, splat(view.orthographic_frame.from_object(points), 96)))
    assert scores[0] > 0.95
    assert scores[1] < scores[0]


def look_rotation(towards: np.ndarray) -> np.ndarray:
    right = np.cross([0.0, 0.0, 1.0], towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


@pytest.mark.parametrize("name", SOLIDS)
def test_vertices_fill_nine_tenths_of_the_crop_and_the_query_volumes_depth_holds_them(name):
    solid = SOLIDS[name]()
    for view in draw_cameras(solid, 20):
        columns = view.pinhole.project(view.pinhole_frame.from_object(solid[0].astype(np.float64)))
        low, high = columns.min(axis=0), columns.max(axis=0)
        np.testing.assert_allclose((high - low)[:2].max(), 0.9, atol=1e-9)
        np.testing.assert_allclose((high + low) / 2, 0, atol=1e-9)
        assert high[2] <= 0.75
        assert view.pinhole.distance > MIN_CAMERA_DISTANCE
        np.testing.assert_allclose(view.crop.rotation @ view.crop.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(view.crop.rotation) > 0


def test_cameras_stand_off_the_objects_axis_and_all_around_it():
    views = draw_cameras(solids.angle_bracket(), 60)
    offsets = np.array([(v.pinhole.offset_x, v.pinhole.offset_y) for v in views])
    assert (np.abs(offsets).max(axis=0) > 0.15).all()
    azimuths = np.arctan2([v.crop.eye[1] for v in views], [v.crop.eye[0] for v in views])
    assert (np.histogram(azimuths, 6, (-np.pi, np.pi))[0] > 2).all()


def test_the_pinhole_record_equals_a_projection_by_hand():
    solid = solids.angle_bracket()
    view = draw_cameras(solid, 1)[0]
    q = (solid[0] - view.crop.eye) @ view.crop.rotation.T
    by_hand = (q[:, :2] / -q[:, 2:] - view.crop.centre) / view.crop.side
    np.testing.assert_allclose(view.pinhole.project(view.pinhole_frame.from_object(solid[0]))[:, :2], by_hand, atol=1e-6)


def test_the_orthographic_frame_is_a_least_squares_fit():
    solid = solids.angle_bracket()
    points, _ = sample_surface(*solid, 2048, np.random.default_rng(0))
    view = view_camera(draw_cameras(solid, 1)[0].crop, solid[0], points)
    target = view.pinhole.project(view.pinhole_frame.from_object(points))[:, :2]
    fitted = view.orthographic_frame.from_object(points)[:, :2]
    error = ((fitted - target) ** 2).sum()
    for changed in (1.001 * fitted, 0.999 * fitted, fitted + np.array([1e-3, 0]), fitted - np.array([0, 1e-3])):
        assert ((changed - target) ** 2).sum() > error


def test_a_camera_inside_the_object_is_refused():
    with pytest.raises(ValueError, match="in front"):
        frame_silhouette(np.eye(3), np.array([0.0, 0.0, 0.1]), solids.box()[0])


def test_a_picture_has_straight_alpha_light_and_no_nan(recwarn):
    rng = np.random.default_rng(3)
    solid = solids.flanged_pipe()
    renderer = Renderer(*solid)
    for view in draw_cameras(solid, 6, seed=3):
        image = renderer.render(view.crop, draw_material(rng), draw_environment(rng), 64, rng)
        assert image.shape == (64, 64, 4)
        assert image.dtype == np.uint8
        seen = image[..., 3] == 255
        assert 0.1 < seen.mean() < 0.9
        assert image[image[..., 3] == 0].max() == 0
        assert 4 < image[seen][:, :3].mean() < 250
        assert image[seen][:, :3].std() > 2
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]  # numpy warns when a NaN is made or cast


def test_silhouettes_are_smooth_and_cover_the_true_area():
    """Alpha adds up to the disc's area within half a percent, and has values between none and all."""
    solid = solids.sphere(0.4, 256)
    camera = frame_silhouette(np.eye(3), np.array([0.0, 0.0, 20.0]), solid[0])
    rng = np.random.default_rng(0)
    alpha = Renderer(*solid).render(camera, WHITE, draw_environment(rng), 64, rng)[..., 3]
    assert alpha.sum() / 255 == pytest.approx(np.pi * (0.45 * 64) ** 2, rel=0.005)
    assert len(np.unique(alpha)) > 4


def test_a_hollow_is_darker_than_an_open_face_in_even_light():
    even = environment_from_map(np.ones((HEIGHT, 2 * HEIGHT, 3), np.float32))
    solid = solids.flanged_pipe()
    camera = frame_silhouette(np.eye(3), np.array([0.0, 0.0, 20.0]), solid[0])
    grey = Material(colour=(0.3, 0.3, 0.3), metallic=0.0, roughness=0.9)
    image = Renderer(*solid).render(camera, grey, even, 65, np.random.default_rng(0))
    ring = image[32, 32 + 11, :3].mean()  # the pipe's rim, which nothing shades
    groove = image[32, 32 + 14, :3].mean()  # the flange beside the pipe's wall
    assert groove < ring - 10


def test_even_light_is_diffused_and_mirrored_unchanged():
    even = environment_from_map(np.full((HEIGHT, 2 * HEIGHT, 3), 2.0, np.float32))
    directions = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(even.diffuse(directions), 2.0, rtol=2e-3)
    for roughness in (0.0, 0.4, 1.0):
        np.testing.assert_allclose(even.reflected(directions, roughness), 2.0, rtol=1e-4)
    assert even.exposure == pytest.approx(0.5, rel=1e-3)


def test_light_comes_from_where_the_map_says():
    radiance = np.full((HEIGHT, 2 * HEIGHT, 3), 0.01, np.float32)
    radiance[: HEIGHT // 4] = 5.0  # a lamp around +z
    lamp = environment_from_map(radiance)
    up, down = np.array([[0, 0, 1]], np.float32), np.array([[0, 0, -1]], np.float32)
    for look_up in (lamp.diffuse, lambda d: lamp.reflected(d, 0.1), lamp.soft_weight):
        assert look_up(up).min() > 10 * look_up(down).max()


def test_corner_normals_are_smooth_on_a_sphere_and_sharp_on_a_box():
    vertices, faces = solids.sphere(0.4)
    outward = vertices[faces] / np.linalg.norm(vertices[faces], axis=2, keepdims=True)
    assert np.einsum("ijk,ijk->ij", corner_normals(vertices, faces), outward).min() > 0.999
    vertices, faces = solids.box()
    flat = np.repeat(face_normals(vertices, faces)[:, None], 3, axis=1)
    np.testing.assert_allclose(corner_normals(vertices, faces), flat, atol=1e-6)

"""Cameras, pictures and what they say about each other."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from tests.training import solids
from training.rendering.cameras import (
    FIELD_OF_VIEW_DEGREES,
    FRAME_MM,
    FRAME_SHARE,
    MIN_CAMERA_DISTANCE,
    CropCamera,
    Pose,
    ViewCamera,
    draw_view_camera,
    frame_silhouette,
    place_camera,
    pose_of,
    view_camera,
)
from training.rendering.environment import HEIGHT, Environment, draw_environment, environment_from_map
from training.rendering.face_groups import draw_face_groups, smooth_regions
from training.rendering.ground import CELLS, GAMMA, RAYS, Ground
from training.rendering.materials import Finish, Material, draw_material
from training.rendering.normals import corner_normals, face_normals
from training.rendering.renderer import Renderer
from training.rendering.views import render_views
from training.sampling.surface import sample_surface

SOLIDS = {"angle_bracket": solids.angle_bracket, "flanged_pipe": solids.flanged_pipe, "rod": solids.rod}
WHITE = Material(colour=(0.8, 0.8, 0.8), metallic=0.0, roughness=0.6)


def draw_cameras(solid: solids.Solid, count: int, seed: int = 0) -> list[ViewCamera]:
    rng = np.random.default_rng(seed)
    points, _ = sample_surface(*solid, 2048, rng)
    return [draw_view_camera(rng, solid[0], points)[0] for _ in range(count)]


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


def even_light() -> Environment:
    return environment_from_map(np.ones((HEIGHT, 2 * HEIGHT, 3), np.float32))


def lamp_light(direction: np.ndarray) -> Environment:
    """Darkness but for a lamp of about 20 degrees in one direction."""
    rows, columns = np.mgrid[:HEIGHT, : 2 * HEIGHT] + 0.5
    polar, azimuth = rows / HEIGHT * np.pi, columns / HEIGHT * np.pi
    towards = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)
    lit = towards @ (direction / np.linalg.norm(direction)) > math.cos(math.radians(10))
    return environment_from_map(np.where(lit[..., None], 50.0, 0.01).repeat(3, axis=2).astype(np.float32))


def camera_at(elevation: float, azimuth: float, distance: float, vertices: np.ndarray) -> CropCamera:
    return frame_silhouette(*place_camera(Pose(elevation, azimuth, 0.0, distance), np.zeros(2)), vertices)


def map_places(ground: Ground) -> np.ndarray:
    """Centres x, y of the light map's cells, (CELLS, CELLS, 2)."""
    across = ((np.arange(CELLS) + 0.5) / CELLS * 2 - 1) * ground.half_side
    return np.stack(np.meshgrid(across, across), axis=-1) + ground.centre


def test_a_hollow_is_darker_than_an_open_face_in_even_light():
    even = even_light()
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


def test_corner_normals_equal_their_slow_twin():
    vertices, faces = solids.flanged_pipe()
    flat = face_normals(vertices, faces)
    result = corner_normals(vertices, faces)
    around = [np.argwhere(faces == vertex) for vertex in range(len(vertices))]
    for face in range(0, len(faces), 7):
        for corner in range(3):
            total = np.zeros(3)
            for other, place in around[faces[face, corner]]:
                if flat[other] @ flat[face] > math.cos(math.radians(35)):
                    here, ahead, behind = vertices[np.roll(faces[other], -place)].astype(np.float64)
                    one, two = (ahead - here) / np.linalg.norm(ahead - here), (behind - here) / np.linalg.norm(behind - here)
                    total += flat[other] * math.acos(np.clip(one @ two, -1, 1))
            np.testing.assert_allclose(result[face, corner], total / np.linalg.norm(total), atol=1e-5)


def test_a_vertex_with_ten_thousand_faces_costs_little_memory():
    """A flat cone of 10,000 facets: at the tip each corner sees the faces within the crease, which on this cone are all."""
    count, rise = 10_000, 0.1
    angle = np.arange(count) / count * 2 * np.pi
    rim = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    vertices = np.concatenate([[[0, 0, rise]], rim]).astype(np.float32)
    faces = np.stack([0 * angle, 1 + np.arange(count), 1 + (np.arange(count) + 1) % count], axis=1).astype(np.int32)
    tracemalloc.start()
    normals = corner_normals(vertices, faces)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
    np.testing.assert_allclose(normals[:, 0], np.tile([0, 0, 1], (count, 1)), atol=0.01)
    slope = np.stack([rise * rim[:, 0], rise * rim[:, 1], np.ones(count)], axis=1) / math.hypot(1, rise)
    np.testing.assert_allclose(normals[:, 1], slope, atol=1e-3)


def test_a_damaged_mesh_is_pictured_without_a_nan():
    """Half the faces turned over, some without area, some twice, one vertex of no face: warnings are errors here."""
    vertices, faces = solids.angle_bracket()
    rng = np.random.default_rng(0)
    faces = np.where((rng.random(len(faces)) < 0.5)[:, None], faces[:, ::-1], faces)
    points = np.concatenate([np.repeat(faces[:20, :1], 3, axis=1), faces[:20, [0, 1, 1]]])  # faces that are points and lines
    line = np.array([[len(vertices), len(vertices) + 1, len(vertices) + 2]])
    vertices = np.concatenate([vertices, np.linspace([-0.1, 0, 0], [0.1, 0, 0], 3), [[0, 0, 0]]]).astype(np.float32)
    faces = np.concatenate([faces, points, line, faces[:30]]).astype(np.int32)
    surface, _ = sample_surface(vertices, faces, 500, rng)
    assert np.isfinite(corner_normals(vertices, faces)).all()
    with np.errstate(all="raise", under="ignore"):
        views = render_views(vertices, faces, surface, 8, 48, rng)
    assert all((view.image[..., 3] == 255).mean() > 0.1 for view in views)


def test_an_open_sheet_is_seen_from_both_sides():
    vertices = np.array([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0.3, 0.3, 0], [-0.3, 0.3, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    renderer, even = Renderer(vertices, faces), even_light()
    above, below = (
        renderer.render(camera_at(elevation, 30, 3, vertices), WHITE, even, 48, np.random.default_rng(0))
        for elevation in (50, -50)
    )
    assert (above[..., 3] == 255).mean() > 0.3
    assert abs(above[24, 24, :3].astype(int) - below[24, 24, :3]).max() <= 2


@pytest.mark.parametrize("seed", range(20))
def test_a_pose_and_an_aim_are_a_camera_and_back(seed):
    """Any camera that has the object's centre in front of it, however it is turned."""
    rng = np.random.default_rng(seed)
    pose = Pose(rng.uniform(-89, 89), rng.uniform(-180, 180), rng.uniform(-180, 180), rng.uniform(1, 9), 26.0)
    aim = rng.uniform(-1, 1, 2)
    rotation, eye = place_camera(pose, aim)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    camera = CropCamera(rotation, eye, aim, 0.3)
    found = pose_of(camera, 26.0)
    np.testing.assert_allclose(
        [found.elevation, found.azimuth, found.roll, found.eye_distance, found.focal_length_35mm],
        [pose.elevation, pose.azimuth, pose.roll, pose.eye_distance, 26.0],
        atol=1e-8,
    )
    centre = camera.to_camera(np.zeros((1, 3)))[0]
    np.testing.assert_allclose(centre[:2] / -centre[2], aim, atol=1e-12)


def test_a_camera_straight_above_has_a_pose_that_places_it():
    rotation = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    camera = CropCamera(rotation, np.array([0.0, 0.0, 4.0]), np.zeros(2), 0.3)
    pose = pose_of(camera)
    assert pose.elevation == 90
    assert math.isnan(pose.focal_length_35mm)
    again, eye = place_camera(pose, np.zeros(2))
    np.testing.assert_allclose(again, rotation, atol=1e-12)
    np.testing.assert_allclose(eye, camera.eye, atol=1e-12)


def test_roll_is_the_tilt_of_the_upright_in_the_picture():
    """A camera that looks at the object's centre, rolled 10 degrees: the vertical leans 10 degrees to the right."""
    rotation, _ = place_camera(Pose(30, 40, 10, 3), np.zeros(2))
    up = rotation @ np.array([0, 0, 1])
    assert math.degrees(math.atan2(up[0], up[1])) == pytest.approx(10)


def test_five_hundred_cameras_are_those_of_a_hand_held_phone():
    solid, rng = solids.angle_bracket(), np.random.default_rng(5)
    points, _ = sample_surface(*solid, 2048, rng)
    shares, elevations, focal_lengths, portraits = [], [], [], 0
    for _ in range(500):
        view, pose = draw_view_camera(rng, solid[0], points)
        assert pose == pose_of(view.crop, pose.focal_length_35mm)
        field_of_view = math.degrees(2 * math.atan(view.crop.side / 2))
        assert FIELD_OF_VIEW_DEGREES[0] <= field_of_view <= FIELD_OF_VIEW_DEGREES[1]
        assert view.pinhole.distance > MIN_CAMERA_DISTANCE
        assert 23 < pose.focal_length_35mm <= 120
        assert abs(pose.roll) <= 15
        image = view.crop.to_camera(solid[0])
        image = image[:, :2] / -image[:, 2:]
        landscape = (np.abs(image) <= FRAME_MM / pose.focal_length_35mm / 2).all()
        assert landscape or (np.abs(image) <= FRAME_MM[::-1] / pose.focal_length_35mm / 2).all()
        portraits += not landscape
        frame = FRAME_MM if landscape else FRAME_MM[::-1]
        shares.append((np.ptp(image, axis=0) * pose.focal_length_35mm / frame).max())
        elevations.append(pose.elevation)
        focal_lengths.append(pose.focal_length_35mm)
    # A frame of the other shape may hold the part as well, so a share is known to the ratio of its sides.
    assert FRAME_SHARE[0] * 0.7 < min(shares)
    assert max(shares) <= 1
    assert -40 <= min(elevations) < -5
    assert 80 < max(elevations) <= 88
    assert np.mean(np.array(elevations) < 60) == pytest.approx(0.89, abs=0.05)
    assert 24 < np.percentile(focal_lengths, 10) < 30
    assert 50 < np.percentile(focal_lengths, 90) < 90
    assert portraits > 20


def test_the_ground_beneath_a_ball_is_as_dark_as_the_form_factor_says():
    """In even light a ball of radius r that touches the ground takes r^3 / (r^2 + x^2)^(3/2) of it at a distance x."""
    radius = 0.3
    vertices, faces = solids.sphere(radius, 96)
    ground = Renderer(vertices, faces).ground(even_light(), 0.5)
    assert ground.height == pytest.approx(-radius, abs=1e-6)
    distance = np.linalg.norm(map_places(ground), axis=2)
    expected = 1 - radius**3 / (radius**2 + distance**2) ** 1.5
    before_fading = distance < radius + 0.1
    np.testing.assert_allclose(ground.light[before_fading], expected[before_fading], atol=0.035)
    # Beyond, it is lighter than that and grows to one, so that no border shows where the map ends.
    assert (ground.light >= expected - 0.035).all()
    assert (ground.light[distance > ground.half_side] == 1).all()


def test_the_shadow_lies_on_the_ground_as_the_camera_sees_it():
    vertices, faces = solids.sphere(0.3, 96)
    ground = Renderer(vertices, faces).ground(even_light(), 0.5)
    camera = camera_at(40, 130, 3, vertices)
    shadow = ground.shadow(camera, 128)
    assert shadow.shape == (128, 128)
    assert shadow.dtype == np.uint8
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 2))
    points = camera.to_camera(np.column_stack([places, np.full(4000, ground.height)]))
    plane = (points[:, :2] / -points[:, 2:] - camera.centre) / camera.side
    row, column = np.floor((0.5 - plane[:, 1]) * 128).astype(int), np.floor((plane[:, 0] + 0.5) * 128).astype(int)
    inside = (row >= 0) & (row < 128) & (column >= 0) & (column < 128)
    assert inside.sum() > 1000
    cell = np.floor((places[inside] - ground.centre + ground.half_side) / ground.half_side * CELLS / 2).astype(int)
    light = ground.light[cell[:, 1], cell[:, 0]]
    np.testing.assert_allclose(shadow[row[inside], column[inside]], 255 * light ** (1 / GAMMA), atol=12)


def test_a_shadow_falls_away_from_the_lamp():
    vertices, faces = solids.sphere(0.3, 96)
    ground = Renderer(vertices, faces).ground(lamp_light(np.array([1.0, 0.0, 1.0])), 0.5)
    places = map_places(ground)
    assert ground.light[np.linalg.norm(places - [-0.25, 0], axis=2) < 0.1].max() < 0.25
    assert ground.light[np.linalg.norm(places - [0.4, 0], axis=2) < 0.1].min() > 0.9


def test_above_the_horizon_and_from_below_there_is_no_shadow():
    vertices, faces = solids.angle_bracket()
    ground = Renderer(vertices, faces).ground(even_light(), 0.5)
    low, beneath = camera_at(2, 20, 2.5, vertices), camera_at(-30, 20, 2.5, vertices)
    shadow = ground.shadow(low, 96)
    pixels = np.stack(np.meshgrid(np.arange(96), np.arange(96)), axis=-1).reshape(-1, 2) + 0.5
    rising = low.directions(pixels, 96)[:, 2].reshape(96, 96) >= 0
    assert 0.1 < rising.mean() < 0.9
    assert (shadow[rising] == 255).all()
    assert shadow.min() < 200
    assert not ground.seen_by(beneath)
    assert (ground.shadow(beneath, 96) == 255).all()


@pytest.mark.parametrize("name", SOLIDS)
def test_shadows_have_no_grain_and_no_border(name, monkeypatch):
    """What few rays miss of the shadow that twelve times as many find is little, and changes slowly from cell to cell."""
    renderer, environment = Renderer(*SOLIDS[name]()), draw_environment(np.random.default_rng(4))
    light = renderer.ground(environment, 0.5).light
    monkeypatch.setattr("training.rendering.ground.RAYS", 12 * RAYS)
    error = light - renderer.ground(environment, 0.5).light
    assert error.std() < 0.012
    assert np.abs(error).max() < 0.07
    for axis in (0, 1):
        assert np.percentile(np.abs(np.diff(error, 2, axis=axis)), 99) < 0.012
    assert min(light[[0, -1]].min(), light[:, [0, -1]].min()) == 1


def test_a_light_ground_lights_a_part_from_below():
    """A ball's lower half is brighter above a white floor than above a black one, and darker where it touches the floor."""
    vertices, faces = solids.sphere(0.4, 96)
    renderer = Renderer(vertices, faces)
    camera = camera_at(5, 0, 6, vertices)
    pictures = []
    for albedo in (0.15, 0.8):
        ground = renderer.ground(even_light(), albedo)
        pictures.append(renderer.render(camera, WHITE, ground.environment, 65, np.random.default_rng(0), ground))
    dark, light = (picture[:, 32, :3].mean(axis=1) for picture in pictures)
    relative = light / np.maximum(dark, 1)
    assert relative[50] > 1.15 * relative[10]
    assert light[60] < light[48]


def test_a_ground_leaves_the_sky_as_it_was():
    environment = draw_environment(np.random.default_rng(0))
    above = environment.above_ground(0.3)
    np.testing.assert_array_equal(above.levels[0][: HEIGHT // 2], environment.levels[0][: HEIGHT // 2])
    floor = above.levels[0][-HEIGHT // 4 :]
    np.testing.assert_allclose(floor, np.broadcast_to(floor[-1, 0], floor.shape), rtol=1e-5)


def test_the_same_seed_gives_the_same_bytes():
    solid = solids.angle_bracket()
    points, _ = sample_surface(*solid, 500, np.random.default_rng(0))
    one, other = (render_views(*solid, points, 6, 48, np.random.default_rng(9)) for _ in range(2))
    for first, second in zip(one, other, strict=True):
        assert first.image.tobytes() == second.image.tobytes()
        assert first.shadow.tobytes() == second.shadow.tobytes()
        assert first.pose == second.pose


def test_more_than_half_of_the_views_have_a_shadow():
    solid, rng = solids.box(), np.random.default_rng(0)
    points, _ = sample_surface(*solid, 300, rng)
    views = [view for _ in range(24) for view in render_views(*solid, points, 1, 16, rng)]
    shadowed = np.mean([view.shadow.min() < 255 for view in views])
    assert 0.4 < shadowed < 0.8
    assert not any(view.shadow.min() < 255 for view in views if view.camera.crop.eye[2] < solid[0][:, 2].min())


def test_each_group_of_faces_shows_its_material():
    vertices, faces = solids.box()
    groups = (face_normals(vertices, faces)[:, 2] > 0.5).astype(np.uint8)
    red, blue = (Material(colour=colour, metallic=0.0, roughness=0.8) for colour in ((0.7, 0.05, 0.05), (0.05, 0.05, 0.7)))
    camera = camera_at(40, 20, 4, vertices)
    image = Renderer(vertices, faces).render(camera, Finish((red, blue), groups), even_light(), 65, np.random.default_rng(0))
    top = camera.to_camera(np.array([[0.0, 0.0, 0.15]]))[0]
    row = int((0.5 - (top[1] / -top[2] - camera.centre[1]) / camera.side) * 65)
    assert image[row, 32, 2] > 2 * image[row, 32, 0]
    assert image[50, 32, 0] > 2 * image[50, 32, 2]


def test_smooth_regions_are_the_faces_of_a_turned_part_however_its_corners_are_listed():
    """Two rims, a flange's two faces, three walls; nothing changes when no two triangles share a vertex."""
    vertices, faces = solids.flanged_pipe()
    welded = smooth_regions(vertices, faces)
    soup = smooth_regions(vertices[faces].reshape(-1, 3), np.arange(faces.size, dtype=np.int32).reshape(-1, 3))
    assert len(welded.area) == len(soup.area)
    np.testing.assert_array_equal(welded.region, soup.region)
    flat = np.linalg.norm(welded.normal, axis=1) > 0.999
    assert 3 <= flat.sum() < len(flat) <= 10
    np.testing.assert_allclose(welded.area.sum(), np.linalg.norm(np.cross(*edges_of(vertices, faces)), axis=1).sum() / 2)


def edges_of(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    corners = vertices[faces].astype(np.float64)
    return corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]


def test_groups_of_faces_end_at_sharp_edges_and_each_has_some_area():
    vertices, faces = solids.flanged_pipe()
    regions, rng = smooth_regions(vertices, faces), np.random.default_rng(0)
    counts = set()
    for _ in range(60):
        groups = draw_face_groups(regions, rng)
        assert all(len(np.unique(groups[regions.region == region])) == 1 for region in range(len(regions.area)))
        np.testing.assert_array_equal(np.unique(groups), np.arange(groups.max() + 1))
        counts.add(int(groups.max()) + 1)
    assert counts == {1, 2, 3}
    ball = smooth_regions(*solids.sphere(0.4, 48))
    assert draw_face_groups(ball, rng).max() == 0


def test_a_zinc_coat_shows_crystals_of_one_shade_each():
    """In even light a flat face takes many shades, and most neighbouring pixels are of one crystal and so of one shade."""
    vertices, faces = solids.box()
    camera = camera_at(89, 0, 6, vertices)
    zinc = Material(colour=(0.6, 0.6, 0.6), metallic=1.0, roughness=0.5, spangle=0.3, pattern_seed=3)
    image = Renderer(vertices, faces).render(camera, zinc, even_light(), 200, np.random.default_rng(0))
    face = image[60:140, 60:140, 1].astype(int)
    assert len(np.unique(face)) > 10
    assert np.mean(np.abs(np.diff(face, axis=1)) <= 1) > 0.7

"""Batches: what the network is shown, beside a direct computation through view frame and camera."""

import dataclasses

import numpy as np
import pytest
import torch

from model.camera import HALF_DEPTH
from training.configs import AugmentationConfig, PointsConfig
from training.data.dataset import ShapeSet, on_white
from training.data.shapes import PreparedShape
from training.errors import TrainingError
from training.labels import D_STAR
from training.sampling.pools import BALL_RADIUS
from training.sampling.solids import signed_distance

POINTS = PointsConfig(near=200, uniform=100)
PLAIN = AugmentationConfig()
CAMERAS = ("pinhole", "orthographic")


@pytest.fixture(scope="module", params=CAMERAS)
def camera_kind(request):
    return request.param


@pytest.fixture(scope="module")
def prepared(tiny_set):
    return [PreparedShape.read(file) for file in tiny_set.files("train")]


@pytest.fixture(scope="module")
def shapes(tiny_set, camera_kind):
    return ShapeSet(tiny_set.files("train"), camera_kind)


def batch_of(shapes, *, augmentation=PLAIN, size=6, image_size=64, seed=0, points=POINTS):
    return shapes.batch(size, points, augmentation, image_size, torch.Generator().manual_seed(seed))


def test_a_batch_has_the_promised_shapes(shapes):
    batch = batch_of(shapes)
    assert {(tuple(a.shape), a.dtype) for a in (batch.images, batch.points, batch.distance)} == {
        ((6, 3, 64, 64), torch.float32),
        ((6, 300, 3), torch.float32),
        ((6, 300), torch.float32),
    }
    assert (len(shapes), shapes.view_count) == (3, 2)


def test_the_same_seed_gives_the_same_batch(shapes):
    first, again, other = batch_of(shapes), batch_of(shapes), batch_of(shapes, seed=1)
    assert torch.equal(first.points, again.points)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.points, other.points)


def test_columns_are_those_of_the_views_frame_and_camera(shapes, prepared, camera_kind):
    for number, shape in enumerate(prepared):
        for view in range(shape.view_count):
            points = shape.points_object[:500]
            found, scale = shapes.columns(torch.tensor([number]), torch.tensor([view]), torch.from_numpy(points)[None])
            frame = shape.frame(view, camera_kind)
            expected = shape.camera(view, camera_kind).project(frame.from_object(points.astype(np.float64)))
            np.testing.assert_allclose(found[0], expected, atol=2e-5)
            assert float(scale[0]) == pytest.approx(256 * frame.scale, rel=1e-6)


def test_distances_are_voxels_between_the_point_and_the_solid_in_the_view_frame(tiny_set, prepared, camera_kind):
    """Of each point as the network sees it: un-projected, measured to the solid as it lies in that view."""
    for number, shape in enumerate(prepared):
        for view in range(shape.view_count):
            one_view = single_view(tiny_set, number, view, camera_kind)
            batch = batch_of(one_view, size=1)
            frame, camera = shape.frame(view, camera_kind), shape.camera(view, camera_kind)
            points = camera.unproject(batch.points[0].numpy().astype(np.float64))
            expected = signed_distance(points, frame.from_object(shape.vertices.astype(np.float64)), shape.faces)
            beyond = np.linalg.norm(frame.to_object(points), axis=1) > BALL_RADIUS
            np.testing.assert_allclose(batch.distance[0][~beyond], 256 * expected[~beyond], atol=0.05)
            # Far from the solid nothing is stored: a lower bound, beyond the reach of any label.
            assert (batch.distance[0].numpy()[beyond] <= 256 * expected[beyond] + 0.05).all()
            assert (batch.distance[0].numpy()[beyond] > 5 * D_STAR).all()


def test_uniform_points_fill_the_query_volume_evenly_to_its_corners(tiny_set):
    shapes = ShapeSet(tiny_set.files("train"), "pinhole")
    points = batch_of(shapes, size=512, points=PointsConfig(near=1, uniform=30)).points[:, 1:].flatten(0, 1)
    assert (points.abs() <= torch.tensor([0.5, 0.5, HALF_DEPTH]) + 1e-6).all()
    corners = (points.abs() > torch.tensor([0.4, 0.4, 0.6])).all(1).float().mean()
    assert float(corners) == pytest.approx(0.2**3, rel=0.4)  # 16,000 points: 128 expected


def test_objects_undoes_columns(shapes):
    number, view = torch.tensor([1]), torch.tensor([1])
    points = shapes.points[1, :400].float()[None] / 32767
    columns, _ = shapes.columns(number, view, points)
    torch.testing.assert_close(shapes.objects(number, view, columns), points, atol=2e-5, rtol=0)


def test_surface_points_lie_on_the_solid_and_normals_stand_on_it(tiny_set, prepared, camera_kind):
    """A step along the normal leaves the surface at once; a small one across it stays, to first order, in (u, v, z) as well."""
    shapes = ShapeSet(tiny_set.files("train"), camera_kind, surface_points=300)
    batch = shapes.batch(
        4, PointsConfig(near=1, uniform=1, surface=200), AugmentationConfig(), 64, torch.Generator().manual_seed(3)
    )
    number, view = _drawn(shapes, 4, seed=3)
    for i in range(4):
        one, seen = number[i : i + 1], view[i : i + 1]

        def distance(points, one=one, seen=seen):
            objects = shapes.objects(one, seen, points[None])[0].numpy().astype(np.float64)
            shape = prepared[int(one)]
            return signed_distance(objects, shape.vertices.astype(np.float64), shape.faces)

        surface, normals = batch.surface[i], batch.normals[i]
        assert np.abs(distance(surface)).max() < 2e-5
        torch.testing.assert_close(normals.norm(dim=1), torch.ones(200))
        across = torch.linalg.cross(normals, torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), dim=1)
        across = 1e-3 * torch.nn.functional.normalize(across, dim=1)
        outward, sideways = distance(surface + 1e-3 * normals), np.abs(distance(surface + across))
        assert np.median(outward) > 4e-4
        assert np.median(sideways) < 2e-5


def _drawn(shapes: ShapeSet, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which views `batch` draws first from a generator with that seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(shapes), (size,), generator=generator), torch.randint(
        shapes.view_count, (size,), generator=generator
    )


def single_view(tiny_set, number, view, camera_kind) -> ShapeSet:
    """One view of one training shape."""
    shapes = ShapeSet([tiny_set.files("train")[number]], camera_kind)
    shapes.images = shapes.images[:, view : view + 1]
    shapes.views = type(shapes.views)(
        **{field.name: getattr(shapes.views, field.name)[:, view : view + 1] for field in dataclasses.fields(shapes.views)}
    )
    return shapes


def test_the_spheres_distances_are_analytic(tiny_set):
    shape = PreparedShape.read(tiny_set.files("train")[0])
    shapes = single_view(tiny_set, 0, 0, "pinhole")
    batch = batch_of(shapes, size=1)
    frame = shape.frame(0, "pinhole")
    centre = frame.from_object(np.zeros((1, 3)))
    points = shape.camera(0, "pinhole").unproject(batch.points[0].numpy())
    expected = 256 * (np.linalg.norm(points - centre, axis=1) - 0.4 * frame.scale)
    stored = np.linalg.norm(frame.to_object(points), axis=1) <= BALL_RADIUS
    np.testing.assert_allclose(batch.distance[0][stored], expected[stored], atol=1.0)  # the sphere has 48 segments


def test_mirroring_turns_image_and_points_together(tiny_set):
    """The same seed with and without mirroring: the unmirrored elements are equal, the others the mirror image."""
    shapes = ShapeSet(tiny_set.files("train"), "pinhole")
    plain, flipped = (batch_of(shapes, augmentation=AugmentationConfig(flip=flip), size=16) for flip in (False, True))
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = 0
    for one, other in zip(range(16), range(16), strict=True):
        is_mirrored = not torch.equal(plain.points[one], flipped.points[other])
        mirrored += is_mirrored
        torch.testing.assert_close(flipped.points[other], plain.points[one] * mirror if is_mirrored else plain.points[one])
        image = plain.images[one]
        torch.testing.assert_close(flipped.images[other], image.flip(-1) if is_mirrored else image)
    assert 3 < mirrored < 13
    torch.testing.assert_close(plain.distance, flipped.distance)


def test_points_inside_the_solid_appear_inside_its_silhouette(shapes):
    """Also when mirrored: image and points still fit each other."""
    batch = batch_of(shapes, augmentation=AugmentationConfig(flip=True), size=12)
    images = batch.images
    ground = (images > 0.999).all(1)  # white
    inside = batch.distance < -4
    column = ((batch.points[..., 0] + 0.5) * 64).long().clamp(0, 63)
    row = ((0.5 - batch.points[..., 1]) * 64).long().clamp(0, 63)
    on_ground = ground[torch.arange(12)[:, None], row, column]
    assert inside.sum() > 100
    assert (on_ground & inside).sum() <= 0.01 * inside.sum()  # a highlight may be white as well


def test_images_stand_on_white_and_keep_straight_alpha():
    rgba = torch.tensor([[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51], [255, 0, 0, 255]], dtype=torch.uint8)
    picture = on_white(rgba.view(1, 2, 2, 4), 2)[0].permute(1, 2, 0).reshape(4, 3)
    expected = [[10 / 255, 20 / 255, 30 / 255], [1, 1, 1], [0.8, 0.8, 0.8], [1, 0, 0]]
    torch.testing.assert_close(picture, torch.tensor(expected))


@pytest.mark.parametrize("image_size", [32, 96])
def test_images_are_resized_to_the_networks_side(shapes, image_size):
    images = batch_of(shapes, image_size=image_size).images
    assert images.shape[-2:] == (image_size, image_size)
    torch.testing.assert_close(images.mean(), batch_of(shapes).images.mean(), atol=0.01, rtol=0)


def test_photometric_changes_stay_in_range_and_change_no_geometry(shapes):
    strong = AugmentationConfig(brightness=0.9, colour=0.5, noise=0.3)
    plain, changed = batch_of(shapes), batch_of(shapes, augmentation=strong)
    assert torch.equal(plain.points, changed.points)
    assert float(changed.images.min()) >= 0
    assert float(changed.images.max()) <= 1
    assert float((plain.images - changed.images).abs().mean()) > 0.05


def test_uniform_points_fill_the_query_volume(shapes):
    points, inside = shapes.uniform_points(0, 0, 200)
    assert points.shape == (200, 3)
    assert inside.shape == (200,)
    assert (points.abs() <= torch.tensor([0.5, 0.5, 0.75])).all()
    assert (points.abs().amax(0) > torch.tensor([0.4, 0.4, 0.6])).all()
    assert 0.05 < float(inside.float().mean()) < 0.6


def test_uniform_points_of_a_batch_lie_in_the_query_volume_where_the_pool_allows(tiny_set, camera_kind):
    uniform = batch_of(single_view(tiny_set, 0, 0, camera_kind), size=20).points[:, 200:]
    assert (uniform.abs() <= torch.tensor([0.5, 0.5, 0.75])).all()


def test_a_split_without_shapes_is_refused_in_words():
    with pytest.raises(TrainingError, match="expected at least one in the split, found none"):
        ShapeSet([], "pinhole")


def test_more_points_than_the_pool_has_are_refused_in_words(shapes):
    with pytest.raises(TrainingError, match="expected at least 601 in the pool, found 600"):
        batch_of(shapes, points=PointsConfig(near=601, uniform=1))
    with pytest.raises(TrainingError, match="expected at least 901 in the pool, found 900"):
        batch_of(shapes, points=PointsConfig(near=1, uniform=901))


def test_pools_of_different_sizes_are_refused_in_words(tiny_set, prepared, tmp_path):
    shorter = dataclasses.replace(prepared[0], near_count=599)
    shorter.write(tmp_path / "shorter.npz")
    with pytest.raises(TrainingError, match=r"expected pools of one size, found near-surface counts \[599, 600\]"):
        ShapeSet([tiny_set.files("train")[0], tmp_path / "shorter.npz"], "pinhole")


def test_a_missing_shape_file_is_a_training_error(tmp_path):
    with pytest.raises(TrainingError, match=r"gone\.npz"):
        ShapeSet([tmp_path / "gone.npz"], "pinhole")


def test_depths_hold_every_point_of_the_solid_between_front_and_back(tiny_set, camera_kind):
    """Points inside lie between the two; of the points in front of the one or behind the other none does."""
    shapes = ShapeSet(tiny_set.files("train"), camera_kind, depth_cells=96)
    batch = shapes.batch(
        6, PointsConfig(near=1, uniform=300), AugmentationConfig(flip=True), 64, torch.Generator().manual_seed(0)
    )
    u, v, z = batch.points.unbind(-1)
    row, column = ((0.5 - v) * 96).long().clamp(0, 95), ((u + 0.5) * 96).long().clamp(0, 95)
    element = torch.arange(6)[:, None]
    front, back = batch.depths[element, 0, row, column], batch.depths[element, 1, row, column]
    deep = batch.distance < -4  # voxels: farther from the wall than a column is wide
    assert int(deep.sum()) > 20
    assert ((z < front) & (z > back))[deep].all()
    clear = (batch.distance > 4) & front.isfinite()
    assert int(clear.sum()) > 20
    convex = torch.tensor([number == 0 for number in _drawn(shapes, 6, seed=0)[0]])  # the sphere
    assert not ((z < front) & (z > back))[clear & convex[:, None]].any()


def test_depths_of_a_sphere_are_analytic(tiny_set):
    shape = PreparedShape.read(tiny_set.files("train")[0])
    shapes = ShapeSet(tiny_set.files("train"), "orthographic", depth_cells=32)
    frame, camera = shape.frame(0, "orthographic"), shape.camera(0, "orthographic")
    centre, radius = camera.project(frame.from_object(np.zeros((1, 3))))[0], 0.4 * frame.scale
    at = (np.arange(32) + 0.5) / 32 - 0.5
    height = radius**2 - (at[None] - centre[0]) ** 2 - (-at[:, None] - centre[1]) ** 2
    seen = height > 0.06 * radius**2  # away from the rim
    half = np.sqrt(np.where(seen, height, np.nan))
    front, back = shapes.depths[0, 0].float().numpy()
    np.testing.assert_allclose(front[seen], (centre[2] + half)[seen], atol=0.03 * radius)  # the sphere has 48 segments
    np.testing.assert_allclose(back[seen], (centre[2] - half)[seen], atol=0.03 * radius)
    assert np.isnan(front[height < -0.01 * radius**2]).all()

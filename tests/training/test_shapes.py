"""The prepared-shape file."""

import dataclasses

import numpy as np
import pytest

from model.camera import OrthographicCamera, PinholeCamera
from tests.training import solids
from training.data.shapes import LAYOUT, PreparedShape, ShapeFileError, view_arrays
from training.rendering.views import render_views
from training.sampling.pools import PoolConfig, draw_pool
from training.sampling.solids import ClosedMesh
from training.sampling.surface import sample_surface


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    vertices, faces = solids.angle_bracket()
    return render_views(vertices, faces, sample_surface(vertices, faces, 500, rng)[0], 3, 48, rng)


@pytest.fixture
def shape(views):
    vertices, faces = solids.angle_bracket()
    pool = draw_pool(ClosedMesh(vertices, faces), PoolConfig(near_points=200, uniform_points=100), np.random.default_rng(1))
    return PreparedShape(
        vertices=vertices,
        faces=faces,
        points=pool.points,
        distance=pool.distance,
        near_count=pool.near_count,
        **view_arrays(views),
        origin={"family": "bracket", "seed": 3},
    )


def assert_equal(one: PreparedShape, other: PreparedShape) -> None:
    for name in LAYOUT:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.origin == other.origin


def test_a_shape_comes_back_as_it_was_written(shape, tmp_path):
    shape.write(tmp_path / "a.npz")
    assert_equal(PreparedShape.read(tmp_path / "a.npz"), shape)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_the_same_shape_gives_the_same_bytes(shape, tmp_path):
    for name in ("a.npz", "b.npz"):
        shape.write(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_file_holds_the_documented_arrays(shape, tmp_path):
    shape.write(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        found = {name: file[name].dtype.str[1:] for name in file.files if name != "origin"}
    assert found == {name: dtype for name, (dtype, _) in LAYOUT.items()}


def test_images_frames_and_cameras_are_those_of_the_views(shape, views):
    points = shape.vertices
    for number, view in enumerate(views):
        np.testing.assert_array_equal(shape.image(number), view.image)
        np.testing.assert_array_equal(shape.shadow(number), view.shadow)
        np.testing.assert_allclose(shape.pose[number], dataclasses.astuple(view.pose), rtol=1e-6)
        for kind, camera, frame in (
            ("pinhole", view.camera.pinhole, view.camera.pinhole_frame),
            ("orthographic", OrthographicCamera(), view.camera.orthographic_frame),
        ):
            recorded = shape.camera(number, kind).project(shape.frame(number, kind).from_object(points))
            np.testing.assert_allclose(recorded, camera.project(frame.from_object(points)), atol=2e-6)
    assert isinstance(shape.camera(0, "pinhole"), PinholeCamera)
    assert isinstance(shape.camera(0, "orthographic"), OrthographicCamera)


def test_stored_vertices_touch_the_nine_tenths_of_the_crop(shape):
    for view in range(shape.view_count):
        columns = shape.camera(view, "pinhole").project(shape.frame(view, "pinhole").from_object(shape.vertices))
        assert np.abs(columns[:, :2]).max() == pytest.approx(0.45, abs=1e-5)


def test_a_file_that_is_no_shape_is_named(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(ShapeFileError, match=r"broken\.npz"):
        PreparedShape.read(path)


def test_a_truncated_file_is_named(shape, tmp_path):
    path = tmp_path / "short.npz"
    shape.write(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ShapeFileError, match=r"short\.npz"):
        PreparedShape.read(path)


def test_a_damaged_file_is_named_wherever_the_damage_lies(shape, tmp_path):
    """A few bytes at random: half of them in the archive's directory, which names versions, methods and flags."""
    path, rng = tmp_path / "damaged.npz", np.random.default_rng(0)
    shape.write(path)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    directory = path.read_bytes().find(b"PK\x01\x02")
    refused = 0
    for trial in range(400):
        damaged = content.copy()
        damaged[rng.integers(directory if trial % 2 else 0, len(content), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            PreparedShape.read(path)
        except ShapeFileError as error:
            refused += "damaged.npz" in str(error)
    assert refused > 300


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ShapeFileError, match=r"nowhere\.npz"):
        PreparedShape.read(tmp_path / "nowhere.npz")


def test_a_missing_array_is_named(shape, tmp_path):
    path = tmp_path / "bare.npz"
    np.savez(path, **{name: np.asarray(getattr(shape, name)) for name in LAYOUT if name != "distance"})
    with pytest.raises(ShapeFileError, match=r"bare\.npz: .* found none named distance"):
        PreparedShape.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": np.zeros(7, np.float32)}, r"distance: expected \(N\) f4 with N = 300, found \(7,\) f4"),
        ({"vertices": np.zeros((4, 3))}, r"vertices: expected \(any, 3\) f4, found \(4, 3\) f8"),
        ({"camera_offset": np.zeros((2, 2), np.float32)}, r"camera_offset: expected \(V, 2\) f4 with .*V = 3, found \(2, 2\) f4"),
        ({"near_count": 301}, "near_count: expected 0 to 300"),
        ({"image_offsets": np.array([0, 5, 5, 9])}, "image_offsets: expected to rise"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(shape, changes, message):
    with pytest.raises(ShapeFileError, match=message):
        dataclasses.replace(shape, **changes)


def test_a_failed_write_leaves_nothing_behind(shape, tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("training.data.shapes.np.savez", fail)
    with pytest.raises(OSError, match="disk full"):
        shape.write(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())

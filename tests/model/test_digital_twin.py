"""The options that make a mesh a twin of the real part: what each of them changes, exactly.

With the tiny network, which sees a ball of radius 0.35 (in columns) in every picture, or an analytic field in its place.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from model import Options, Photo, Reconstructor
from model.camera import PinholeCamera, upright
from model.confidence import with_confidence
from model.errors import CameraTooClose, InvalidOption
from model.field import QueryGrid, SampledBox
from model.refine import limit_faces
from model.smoothing import smoothed

SMALL = Options(resolution=64)
DIAMETER, WIDTH = 140, 300  # pixels: of the disc, and of the photo's side
SIDE = 141 / 0.9  # pixels: of the disc's crop


@pytest.fixture(scope="module")
def reconstructor(tiny_bundle) -> Reconstructor:
    return Reconstructor.load(tiny_bundle, "cpu", threads=1)


@pytest.fixture(scope="module")
def parallel(reconstructor) -> Reconstructor:
    """The same network in a bundle that was trained with the orthographic camera."""
    manifest = reconstructor.bundle.manifest.model_copy(update={"camera": "orthographic"})
    return Reconstructor(replace(reconstructor.bundle, manifest=manifest), reconstructor.network)


def disc(focal_length_px: float | None = None) -> Photo:
    """Right of and above the middle."""
    drawn = np.zeros((WIDTH, WIDTH), np.uint8)
    cv2.circle(drawn, (180, 110), DIAMETER // 2, 255, -1)
    return Photo(np.full((WIDTH, WIDTH, 3), 120, np.uint8), drawn, focal_length_px)


def seen_by(mesh):
    return mesh.metadata["camera"], mesh.metadata["camera_source"]


@pytest.fixture(scope="module")
def plain(reconstructor):
    return reconstructor.reconstruct(disc(), SMALL)


def test_each_camera_unprojects_the_same_columns_and_the_file_says_which(reconstructor, parallel, plain):
    columns = reconstructor.prepare(disc(), SMALL, None).camera.project(plain.vertices)
    flat = reconstructor.reconstruct(disc(), replace(SMALL, camera="orthographic"))
    np.testing.assert_allclose(flat.vertices, columns, atol=1e-6)
    np.testing.assert_array_equal(flat.faces, plain.faces)
    np.testing.assert_array_equal(parallel.reconstruct(disc(), SMALL).vertices, flat.vertices)
    deep = parallel.reconstruct(disc(), replace(SMALL, camera="pinhole"))
    np.testing.assert_array_equal(deep.vertices, plain.vertices)
    assert seen_by(plain) == seen_by(deep) == ("pinhole", "bundle")
    assert seen_by(flat) == ("orthographic", "request")
    assert seen_by(parallel.reconstruct(disc(), SMALL)) == ("orthographic", "bundle")


def test_a_focal_length_that_is_sent_does_what_the_photos_does_and_goes_before_it(reconstructor, plain):
    by_photo = reconstructor.reconstruct(disc(400.0), SMALL)
    asked = replace(SMALL, focal_length_px=400.0)
    for photo in (disc(), disc(900.0)):
        by_request = reconstructor.reconstruct(photo, asked)
        np.testing.assert_array_equal(by_request.vertices, by_photo.vertices)
        assert seen_by(by_request) == ("pinhole", "request")
    assert seen_by(by_photo) == ("pinhole", "photo")
    assert not np.array_equal(by_photo.vertices, plain.vertices)
    camera = reconstructor.prepare(disc(), asked, None).camera
    assert isinstance(camera, PinholeCamera)
    assert camera.distance == pytest.approx(400 / SIDE, rel=1e-3)
    assert camera.offset_x == pytest.approx((180.5 - 150) / SIDE, rel=1e-3)


def test_a_focal_length_with_the_camera_inside_the_object_is_refused_if_sent_and_else_left_out(reconstructor, plain):
    with pytest.raises(CameraTooClose, match=r"focal_length_px: expected more than 125.* pixels .* got 100"):
        reconstructor.reconstruct(disc(), replace(SMALL, focal_length_px=100.0))
    np.testing.assert_array_equal(reconstructor.reconstruct(disc(100.0), SMALL).vertices, plain.vertices)


@pytest.mark.parametrize("option", [{"focal_length_px": 400.0}, {"distance": 0.5}, {"focal_length_px": 400.0, "distance": 0.5}])
def test_what_an_orthographic_camera_does_not_have_is_refused_in_words(reconstructor, parallel, option):
    for one, camera in ((reconstructor, "orthographic"), (parallel, "auto"), (parallel, "orthographic")):
        with pytest.raises(InvalidOption, match=rf"^{next(iter(option))}: expected none for an orthographic camera .* got "):
            one.reconstruct(disc(), Options(resolution=64, camera=camera, **option))
    assert parallel.camera_kind(Options(camera="pinhole", **option)) == "pinhole"


@pytest.mark.parametrize(("of_photo", "sent"), [(500.0, None), (None, 500.0), (900.0, 500.0)])
def test_a_distance_measures_the_object_as_similar_triangles_do(reconstructor, of_photo, sent):
    """What spans a number of pixels at that distance is that number over the focal length times the distance wide."""
    options = replace(SMALL, focal_length_px=sent)
    plain = reconstructor.reconstruct(disc(of_photo), options)
    measured = reconstructor.reconstruct(disc(of_photo), replace(options, distance=0.6))
    factor = DIAMETER / 0.9 / 500 * 0.6
    np.testing.assert_allclose(measured.vertices, factor * plain.vertices, rtol=0.01)
    assert (measured.metadata["units"], measured.metadata["scale_source"]) == ("metre", "camera")
    twice = reconstructor.reconstruct(disc(of_photo), replace(options, distance=1.2))
    np.testing.assert_allclose(twice.vertices, 2 * measured.vertices, rtol=1e-6)
    assert twice.metadata["volume"] == pytest.approx(8 * measured.metadata["volume"], rel=1e-5)


@pytest.mark.parametrize("of_photo", [None, 100.0])  # 100 pixels: of another picture
def test_a_distance_without_a_known_focal_length_says_what_to_send_before_the_network_runs(reconstructor, of_photo):
    with pytest.raises(
        InvalidOption, match=r"^distance: expected a known focal length .*got 0.6 alone; send focal_length_px.*EXIF"
    ):
        reconstructor.prepare(disc(of_photo), replace(SMALL, distance=0.6), None)


class Solid:
    """A field in which a box with half sides (0.2, 0.3, 0.1) stands as an orthographic camera that looks down on it sees it."""

    def __init__(self, grid, elevation):
        self.grid, self.observed = grid, np.ones(grid.shape[:2], np.bool_)
        self._upright = upright(elevation)

    def query(self, columns, depths):
        u, v = np.divmod(columns, self.grid.shape[1])
        points = np.stack([self.grid.lateral[u], self.grid.lateral[v], depths], axis=1) @ self._upright.T
        outside = (np.abs(points) - (0.2, 0.3, 0.1)).max(axis=1)
        return (1 / (1 + np.exp(np.clip(outside * 2 * self.grid.resolution, -20, 20)))).astype(np.float32)


@pytest.fixture
def solid(parallel, monkeypatch):
    """Reconstructs the box as seen from an elevation, of a photo that hides nothing of the volume."""

    def reconstruct(seen_from, **options):
        monkeypatch.setattr(parallel, "encode", lambda prepared, grid, turns: Solid(grid, seen_from))
        photo = Photo(np.full((100, 100, 3), 120, np.uint8))
        return parallel.reconstruct(photo, Options(resolution=96, background="none", **options))

    return reconstruct


@pytest.mark.parametrize("elevation", [-30.0, 20.0, 60.0, 90.0])
def test_an_object_seen_from_above_is_set_upright(solid, elevation):
    mesh = solid(elevation, elevation=elevation)
    seen = solid(elevation)
    np.testing.assert_allclose(mesh.bounds, [[-0.2, -0.3, -0.1], [0.2, 0.3, 0.1]], atol=0.003)
    assert not np.allclose(seen.bounds, mesh.bounds, atol=0.01)
    np.testing.assert_allclose(mesh.vertices, seen.vertices @ upright(elevation).T, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, seen.faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(seen.volume, rel=1e-5)
    assert mesh.volume == pytest.approx(0.4 * 0.6 * 0.2, rel=0.02)
    assert (mesh.metadata["elevation"], seen.metadata["elevation"]) == (elevation, 0.0)
    wrong_way = solid(elevation, elevation=-elevation)
    assert elevation == 90.0 or not np.allclose(wrong_way.bounds, mesh.bounds, atol=0.01)  # a box has no top


def test_top_stays_above_bottom_and_the_front_before_the_back(solid):
    """Seen from 20 degrees above, the point of the box that is highest in the picture lies on its back, at its top."""
    seen, mesh = solid(20.0), solid(20.0, elevation=20.0)
    highest, nearest = seen.vertices[:, 1].argmax(), seen.vertices[:, 2].argmax()
    assert mesh.vertices[highest, 1] > 0.28
    assert mesh.vertices[highest, 2] < -0.08
    assert mesh.vertices[nearest, 1] > 0.28
    assert mesh.vertices[nearest, 2] > 0.08


@pytest.mark.parametrize(("axis", "index", "side"), [("width", 0, 0.4), ("height", 1, 0.6), ("depth", 2, 0.2)])
def test_size_measures_the_upright_object(solid, axis, index, side):
    mesh = solid(35.0, elevation=35.0, size=1.5, size_axis=axis)
    extent = np.ptp(mesh.bounds, axis=0)
    assert extent[index] == pytest.approx(1.5, rel=1e-5)
    np.testing.assert_allclose(extent, np.array([0.4, 0.6, 0.2]) * 1.5 / side, rtol=0.03)
    assert (mesh.metadata["units"], mesh.metadata["scale_source"]) == ("metre", "declared")


def test_smoothing_comes_after_the_camera_and_before_the_face_limit(reconstructor, plain):
    smooth = reconstructor.reconstruct(disc(), replace(SMALL, smooth=4))
    np.testing.assert_array_equal(smooth.vertices, smoothed(plain, 4).vertices)
    np.testing.assert_array_equal(smooth.faces, plain.faces)
    assert not np.array_equal(smooth.vertices, plain.vertices)
    limited = reconstructor.reconstruct(disc(), replace(SMALL, smooth=4, target_faces=500))
    expected = limit_faces(smooth, 500)
    np.testing.assert_array_equal(limited.vertices, expected.vertices)
    np.testing.assert_array_equal(limited.faces, expected.faces)


def test_confidence_adds_attributes_and_changes_nothing_else(reconstructor, plain):
    sure = reconstructor.reconstruct(disc(), replace(SMALL, confidence=True))
    assert plain.vertex_attributes == {}
    np.testing.assert_array_equal(sure.vertices, plain.vertices)
    np.testing.assert_array_equal(sure.faces, plain.faces)
    assert sure.metadata == plain.metadata
    confidence, observed = sure.vertex_attributes["confidence"], sure.vertex_attributes["observed"]
    assert 0 <= confidence.min() < confidence.max() <= 1
    assert observed[plain.vertices[:, 2] > 0.1].all()
    assert not observed[plain.vertices[:, 2] < -0.1].any()


def test_confidence_is_that_of_the_final_vertices_before_they_are_turned_and_scaled(reconstructor, monkeypatch):
    fields = []
    query = reconstructor.query
    monkeypatch.setattr(reconstructor, "query", lambda *arguments: fields.append(query(*arguments)) or fields[-1])
    changed = {"smooth": 2, "target_faces": 600}
    seen = reconstructor.reconstruct(disc(400.0), replace(SMALL, **changed))
    sure = reconstructor.reconstruct(disc(400.0), replace(SMALL, **changed, confidence=True, elevation=25.0, distance=0.5))
    assert isinstance(fields[0], SampledBox)
    camera = reconstructor.prepare(disc(400.0), SMALL, None).camera
    label = reconstructor.bundle.manifest.labels.soft_label
    assert label is not None
    expected = with_confidence(seen, fields[0], camera, 0.5, label).vertex_attributes
    assert len(sure.vertices) == len(seen.vertices) < 400
    for name, values in expected.items():
        np.testing.assert_array_equal(sure.vertex_attributes[name], values)


def test_confidence_of_a_bundle_with_binary_labels_is_its_fall_over_two_voxels(reconstructor, plain):
    manifest = reconstructor.bundle.manifest
    labels = manifest.labels.model_copy(update={"final_s": None})
    binary = Reconstructor(
        replace(reconstructor.bundle, manifest=manifest.model_copy(update={"labels": labels})), reconstructor.network
    )
    prepared = binary.prepare(disc(), SMALL, None)
    samples = binary.query(binary.encode(prepared, QueryGrid(64)), prepared, 0.5)
    expected = with_confidence(plain, samples, prepared.camera, 0.5, None).vertex_attributes["confidence"]
    sure = binary.reconstruct(disc(), replace(SMALL, confidence=True)).vertex_attributes["confidence"]
    np.testing.assert_array_equal(sure, expected)
    soft = reconstructor.reconstruct(disc(), replace(SMALL, confidence=True)).vertex_attributes["confidence"]
    assert (soft >= sure).all()
    assert soft.mean() > 1.1 * sure.mean()


def test_threads_that_share_a_reconstructor_get_what_each_would_get_alone(reconstructor):
    orders = [
        (disc(400.0), replace(SMALL, distance=0.6)),
        (disc(), replace(SMALL, camera="orthographic", elevation=30.0)),
        (disc(), replace(SMALL, smooth=3, confidence=True)),
        (disc(700.0), replace(SMALL, size=0.1)),
    ]
    alone = [reconstructor.reconstruct(*order) for order in orders]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda order: reconstructor.reconstruct(*order), orders * 2))
    for mesh, expected in zip(together, alone * 2, strict=True):
        np.testing.assert_array_equal(mesh.vertices, expected.vertices)
        assert mesh.metadata == expected.metadata
        for name, values in expected.vertex_attributes.items():
            np.testing.assert_array_equal(mesh.vertex_attributes[name], values)

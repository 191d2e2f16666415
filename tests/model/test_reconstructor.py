"""The main path, with a tiny network that sees a ball of radius 0.35 (in columns) in every picture."""

from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest

from model import Options, Photo, Reconstructor, hierarchy
from model.camera import OrthographicCamera
from model.errors import Cancelled, InvalidOption, NoForeground, NoSurface
from model.field import QueryGrid
from model.hierarchy import query_hierarchically
from model.image import OUTLINE_SIZE
from model.isosurface import surface_of
from model.preview import silhouette
from model.runtime.turns import AtOnce
from tests.conftest import BALL_RADIUS

SMALL = Options(resolution=64)


@pytest.fixture(scope="module")
def reconstructor(tiny_bundle) -> Reconstructor:
    return Reconstructor.load(tiny_bundle, "cpu", threads=1)


def photo_of(drawn: np.ndarray, focal_length_px: float | None = None) -> Photo:
    """A grey object on transparent ground."""
    return Photo(rgb=np.full((*drawn.shape, 3), 120, np.uint8), alpha=drawn, focal_length_px=focal_length_px)


def disc(size: int = 160, radius: int = 70, squeeze: float = 1.0) -> np.ndarray:
    drawn = np.zeros((size, size), np.uint8)
    cv2.ellipse(drawn, (size // 2, size // 2), (radius, round(radius * squeeze)), 0, 0, 360, 255, -1)
    return drawn


@pytest.fixture
def photo() -> Photo:
    return photo_of(disc())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("resolution", 24),
        ("resolution", 520),
        ("resolution", 100),
        ("level", 0.04),
        ("level", 0.96),
        ("level", float("nan")),
        ("keep", "smallest"),
        ("target_faces", 99),
        ("target_faces", -5),
        ("size", 0.0),
        ("size", -1.0),
        ("size", float("inf")),
        ("size", float("nan")),
        ("size_axis", "diagonal"),
        ("background", "green"),
    ],
)
def test_an_option_out_of_range_is_named(option, value):
    with pytest.raises(InvalidOption, match=f"^{option}: expected .*, got {value}"):
        Options(**{option: value})


def test_the_mesh_is_the_ball_that_the_network_knows(reconstructor, photo):
    """In columns: the mesh is un-projected, so its vertices are projected back before they are measured."""
    mesh = reconstructor.reconstruct(photo, SMALL)
    camera = reconstructor.prepare(photo, SMALL, None).camera
    radii = np.linalg.norm(camera.project(mesh.vertices), axis=1)
    assert mesh.is_watertight
    assert mesh.euler_characteristic == 2
    assert np.percentile(radii, [2, 98]) == pytest.approx(BALL_RADIUS, abs=0.05)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * BALL_RADIUS**3, rel=0.15)


def test_the_same_photo_gives_the_same_mesh(reconstructor, tiny_bundle, photo):
    first = reconstructor.reconstruct(photo, SMALL)
    for again in (reconstructor.reconstruct(photo, SMALL), Reconstructor.load(tiny_bundle, "cpu", 1).reconstruct(photo, SMALL)):
        np.testing.assert_array_equal(again.vertices, first.vertices)
        np.testing.assert_array_equal(again.faces, first.faces)
        assert again.metadata == first.metadata


def test_the_metadata_say_what_the_file_holds(reconstructor, photo):
    mesh = reconstructor.reconstruct(photo, SMALL)
    assert set(mesh.metadata) >= {
        "bundle", "bundle_sha256", "units", "scale_source", "level", "resolution", "watertight", "volume", "silhouette_coverage",
    }  # fmt: skip
    assert mesh.metadata["bundle"] == "tiny 1"
    assert mesh.metadata["bundle_sha256"] == reconstructor.bundle.sha256
    assert (mesh.metadata["units"], mesh.metadata["scale_source"]) == ("silhouette side / 0.9", "none")
    assert (mesh.metadata["level"], mesh.metadata["resolution"], mesh.metadata["watertight"]) == (0.5, 64, True)
    assert mesh.metadata["volume"] == mesh.volume


def test_the_stages_are_entered_in_order(reconstructor, photo):
    seen = []

    @contextmanager
    def stage(name):
        seen.append(name)
        yield

    reconstructor.reconstruct(photo, SMALL, stage=stage)
    assert seen == ["prepare", "encode", "query", "extract", "refine"]


def test_resolution_makes_finer_meshes(reconstructor, photo):
    coarse, fine = (len(reconstructor.reconstruct(photo, Options(resolution=r)).faces) for r in (32, 64))
    assert fine == pytest.approx(4 * coarse, rel=0.2)


def test_a_higher_level_gives_a_smaller_mesh(reconstructor, photo):
    volumes = [reconstructor.reconstruct(photo, Options(resolution=64, level=level)).volume for level in (0.1, 0.5, 0.9)]
    assert volumes == sorted(volumes, reverse=True)
    assert volumes[0] > 1.02 * volumes[2]


def test_target_faces_is_an_upper_bound(reconstructor, photo):
    mesh = reconstructor.reconstruct(photo, Options(resolution=64, target_faces=500))
    assert 300 < len(mesh.faces) <= 500
    assert mesh.is_watertight


def test_keep_all_keeps_what_keep_largest_drops(reconstructor):
    """Two unequal discs cut two bodies out of the ball."""
    drawn = np.zeros((160, 160), np.uint8)
    drawn[50:110, 20:90] = 255
    drawn[60:100, 110:140] = 255
    largest, everything = (
        reconstructor.reconstruct(photo_of(drawn), Options(resolution=64, keep=keep)) for keep in ("largest", "all")
    )
    assert everything.euler_characteristic == largest.euler_characteristic + 2
    assert everything.volume > 1.05 * largest.volume
    assert everything.bounds[1, 0] > largest.bounds[1, 0]


@pytest.mark.parametrize(("axis", "index"), [("width", 0), ("height", 1), ("depth", 2)])
def test_size_is_the_objects_extent_along_its_axis_in_metres(reconstructor, axis, index):
    flat = photo_of(disc(squeeze=0.5))
    plain = reconstructor.reconstruct(flat, SMALL)
    sized = reconstructor.reconstruct(flat, Options(resolution=64, size=2.5, size_axis=axis))
    extent, plain_extent = np.ptp(sized.bounds, axis=0), np.ptp(plain.bounds, axis=0)
    assert extent[index] == pytest.approx(2.5, rel=1e-5)
    np.testing.assert_allclose(extent / plain_extent, 2.5 / plain_extent[index], rtol=1e-5)
    assert len({round(float(e), 2) for e in plain_extent}) == 3  # no axis could stand in for another
    assert (sized.metadata["units"], sized.metadata["scale_source"]) == ("metre", "declared")
    assert sized.metadata["volume"] == pytest.approx(plain.volume * (2.5 / plain_extent[index]) ** 3, rel=1e-4)


def test_a_mask_chooses_the_object(reconstructor):
    drawn = disc()
    mask = drawn > 0
    mask[:, :80] = False
    opaque = Photo(rgb=np.full((160, 160, 3), 120, np.uint8))
    half = reconstructor.prepare(opaque, Options(resolution=64, background="mask"), mask)
    assert half.crop.centre_x == pytest.approx(80 + 71 / 2, abs=1)
    assert half.crop.side == pytest.approx(141 / 0.9, abs=2)


def test_background_alpha_differs_from_background_none(reconstructor, photo):
    by_alpha, whole = (reconstructor.prepare(photo, Options(background=b), None).silhouette for b in ("alpha", "none"))
    assert whole.mean() > 1.1 * by_alpha.mean()


def test_a_near_pinhole_gives_another_mesh_than_a_far_one(reconstructor):
    near = reconstructor.reconstruct(photo_of(disc(), focal_length_px=1.2 * 160), SMALL)
    far = reconstructor.reconstruct(photo_of(disc(), focal_length_px=1000 * 160), SMALL)
    widest = [mesh.vertices[np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 1]).argmax(), 2] for mesh in (near, far)]
    assert widest[0] < -0.02  # a column widens with its distance from the camera
    assert abs(widest[1]) < abs(widest[0])


def test_a_pinhole_mesh_projects_into_the_silhouette(reconstructor):
    """Of an object off the axis, seen from near: un-projected vertices come back onto the picture they stem from."""
    drawn = np.zeros((200, 300), np.uint8)
    cv2.ellipse(drawn, (210, 80), (60, 35), 20, 0, 360, 255, -1)
    photo = photo_of(drawn, focal_length_px=220.0)
    mesh = reconstructor.reconstruct(photo, SMALL)
    focal_length, centre = 220.0, np.array([150.0, 100.0])
    prepared = reconstructor.prepare(photo, SMALL, None)
    eye = np.array([-prepared.camera.offset_x, -prepared.camera.offset_y, prepared.camera.distance])
    from_eye = mesh.vertices - eye
    pixels = centre + focal_length * from_eye[:, :2] / -from_eye[:, 2:] * (1, -1)  # pixel rows run down
    reach = cv2.dilate(drawn, np.ones((17, 17), np.uint8)) > 0  # two of the network's pixels and a cell around it
    column, row = np.floor(pixels).astype(int).T
    assert reach[row, column].all()


def test_orthographic_columns_are_the_mesh(reconstructor, photo, monkeypatch):
    prepared = reconstructor.prepare(photo, SMALL, None)
    field = reconstructor.encode(prepared, QueryGrid(64))
    samples = query_hierarchically(field, 0.5)
    surface = surface_of(samples, 0.5)
    flat = replace(prepared, camera=OrthographicCamera())
    np.testing.assert_array_equal(reconstructor.refine(surface, samples, flat, SMALL).vertices, surface.vertices)
    assert not np.array_equal(reconstructor.refine(surface, samples, prepared, SMALL).vertices, surface.vertices)


def test_the_mesh_stands_as_the_photo_does(reconstructor):
    """An L with its foot to the right, cut out of the ball: up is up and right is right."""
    drawn = np.zeros((160, 160), np.uint8)
    drawn[20:140, 30:70] = 255
    drawn[100:140, 30:130] = 255
    mesh = reconstructor.reconstruct(photo_of(drawn, focal_length_px=1e5), SMALL)
    right = mesh.vertices[mesh.vertices[:, 0] > 0.1]
    assert len(right)
    assert right[:, 1].max() < 0
    assert mesh.bounds[1, 1] > 0.25


def test_the_silhouette_coverage_is_the_iou_with_the_photos(reconstructor, photo):
    mesh = reconstructor.reconstruct(photo, SMALL)
    prepared = reconstructor.prepare(photo, SMALL, None)
    seen = silhouette(prepared.camera.project(mesh.vertices)[:, :2], mesh.faces, OUTLINE_SIZE)
    wanted = prepared.silhouette > 0.5
    assert mesh.metadata["silhouette_coverage"] == pytest.approx((seen & wanted).sum() / (seen | wanted).sum(), abs=0.02)
    assert 0.4 < mesh.metadata["silhouette_coverage"] < 0.9  # a ball of 0.7 in a disc of 0.9


@pytest.mark.parametrize(
    "options",
    [SMALL, replace(SMALL, keep="all", smooth=1, target_faces=2_000, confidence=True, elevation=10.0, size=1.0)],
    ids=["plain", "all steps"],
)
def test_a_cancelled_reconstruction_stops_at_each_of_its_checks(reconstructor, photo, monkeypatch, options):
    """And what was told until then is what an undisturbed one tells: progress never falls, and ends at 1."""
    monkeypatch.setattr(hierarchy, "COARSEST_CELLS", 16)  # three levels
    monkeypatch.setattr(hierarchy, "NODES_AT_ONCE", 2**14)
    prepared = reconstructor.prepare(photo, options, None)

    def checks_and_words(most: int) -> tuple[int, list[float]]:
        """Stops at the check after so many."""
        checks, told = 0, []

        def cancelled() -> bool:
            nonlocal checks
            checks += 1
            return checks > most

        try:
            reconstructor.reconstruct_prepared(prepared, options, turns=AtOnce(cancelled), progress=told.append)
        except Cancelled:
            assert checks == most + 1
        return checks, told

    count, told = checks_and_words(10**9)
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    for most in range(count):
        checks, heard = checks_and_words(most)
        assert checks == most + 1
        assert heard == told[: len(heard)]
        assert len(heard) <= most


def test_a_transparent_photo_has_no_foreground(reconstructor):
    with pytest.raises(NoForeground):
        reconstructor.reconstruct(photo_of(np.zeros((50, 50), np.uint8)), SMALL)


def test_a_field_below_the_level_has_no_surface(reconstructor, photo, monkeypatch):
    class Nothing:
        def __init__(self, grid):
            self.grid, self.observed = grid, np.ones(grid.shape[:2], np.bool_)

        def query(self, columns, depths):
            return np.full(len(columns), 0.2, np.float32)

    monkeypatch.setattr(reconstructor, "encode", lambda prepared, grid, turns: Nothing(grid))
    with pytest.raises(NoSurface):
        reconstructor.reconstruct(photo, SMALL)


def test_progress_is_told_after_a_few_of_the_networks_calls(tiny_bundle, photo):
    reconstructor = Reconstructor.load(tiny_bundle, "cpu", 1)
    reconstructor.network = replace(reconstructor.network, chunk=100)
    told, points = [], 0

    class Counted(AtOnce):
        def decode(self, calls):
            nonlocal points
            for call in calls:
                points += call.points
                call.run()

    prepared = reconstructor.prepare(photo, SMALL, None)
    reconstructor.reconstruct_prepared(prepared, SMALL, turns=Counted(), progress=told.append)
    assert len(told) > points / 1600 > 10
    assert told == sorted(told)


def test_warming_up_changes_no_answer(tiny_bundle, photo):
    cold, warm = (Reconstructor.load(tiny_bundle, "cpu", 1) for _ in range(2))
    warm.warm_up()
    np.testing.assert_array_equal(warm.reconstruct(photo, SMALL).vertices, cold.reconstruct(photo, SMALL).vertices)
    assert (warm.provider, warm.provider_reason) == ("CPUExecutionProvider", "the CPU was asked for")

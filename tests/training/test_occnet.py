"""Occupancy networks' files, and solids from oriented points."""

import pickle

import numpy as np
import pytest

from model.mesh import Mesh
from tests.training import label_fixtures as fixtures
from tests.training import solids
from tests.training.label_fixtures import MODEL
from training.data.readers.hsp import HspLabels
from training.data.readers.occnet import OccNetLabels, read_occupancies
from training.errors import UnreadableModel
from training.sampling.point_clouds import PointCloudSolid
from training.sampling.solids import signed_distance
from training.sampling.surface import sample_surface

SIDE = fixtures.EXTENT.max()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ShapeNet")
    fixtures.write_occnet(root, MODEL)
    return root


@pytest.fixture(scope="module")
def labelled(folder):
    return OccNetLabels(folder).read(MODEL)


@pytest.fixture
def small(tmp_path):
    """A model with few points, to be changed."""
    return fixtures.write_occnet(tmp_path, MODEL, count=1003, cloud_count=3000)


def reread(path):
    return OccNetLabels(path.parents[1]).read(MODEL)


def test_labels_are_those_of_the_bracket(labelled):
    assert labelled.exact_points.dtype == np.float32
    assert labelled.exact_occupancy.dtype == np.bool_
    raw = labelled.exact_points.astype(np.float64) * labelled.placement.scale + labelled.placement.location
    np.testing.assert_array_equal(labelled.exact_occupancy, fixtures.inside(raw))


def test_the_solids_distance_is_the_meshs(labelled):
    """In voxels of 256³: within a tenth up to ten voxels, root mean square."""
    vertices, faces = fixtures.mesh()
    vertices = (vertices - fixtures.CENTRE) / SIDE
    rng = np.random.default_rng(3)
    points = sample_surface(vertices, faces, 4000, rng)[0] + rng.normal(size=(4000, 3)) * 4 / 256
    truth = 256 * signed_distance(points, vertices, faces)
    error = 256 * labelled.solid.signed_distance(points) - truth
    assert np.sqrt((error[np.abs(truth) < 10] ** 2).mean()) < 0.1
    clear = np.abs(truth) > 1
    assert ((truth + error < 0) == (truth < 0))[clear].mean() > 0.9998


def test_the_solids_surface_is_closed_and_on_the_bracket(labelled):
    vertices, faces = labelled.solid.vertices, labelled.solid.faces
    assert (vertices.dtype, faces.dtype) == (np.float32, np.int32)
    assert len(faces) <= 30_000
    surface = Mesh(vertices, faces)
    assert surface.is_watertight
    truth, truth_faces = fixtures.mesh()
    off = 256 * signed_distance(vertices, (truth - fixtures.CENTRE) / SIDE, truth_faces)
    assert np.sqrt((off**2).mean()) < 0.4
    assert surface.volume == pytest.approx(labelled.exact_occupancy.mean() * 1.1**3, rel=0.03)


def test_labels_and_hsps_agree_on_one_solid(labelled, tmp_path):
    """Both brought to ShapeNet's coordinates: one by loc and scale, the other by its centre and a diagonal of 1."""
    fixtures.write_hsp(tmp_path, MODEL, fixtures.voxels(256))
    voxels = HspLabels(tmp_path).read(MODEL).solid
    raw = labelled.exact_points.astype(np.float64) * labelled.placement.scale + labelled.placement.location
    distance = voxels.signed_distance((raw - fixtures.CENTRE) / fixtures.DIAGONAL)
    clear = np.abs(distance) > 2 / 256
    assert ((distance < 0) == labelled.exact_occupancy)[clear].all()
    clouds = labelled.solid.signed_distance(labelled.exact_points[:20_000])
    assert ((clouds < 0) == (distance < 0)[:20_000])[clear[:20_000]].mean() > 0.9999


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_packed_and_plain_labels_are_the_same_whatever_the_points_type(tmp_path, dtype):
    path = fixtures.write_occnet(tmp_path, MODEL, count=1003, cloud_count=3000, dtype=dtype)
    packed = reread(path)
    with np.load(path / "points.npz") as archive:
        plain = np.unpackbits(archive["occupancies"])[:1003]
        np.testing.assert_array_equal(packed.exact_points, archive["points"].astype(np.float32))
    assert len(packed.exact_occupancy) == 1003
    for stored in (plain, plain.astype(bool), plain.astype(np.float32)):
        fixtures.rewrite(path / "points.npz", occupancies=stored)
        np.testing.assert_array_equal(reread(path).exact_occupancy, packed.exact_occupancy)
    np.testing.assert_array_equal(packed.exact_occupancy, plain == 1)


def test_two_reads_give_the_same_points(small):
    np.testing.assert_array_equal(reread(small).exact_points, reread(small).exact_points)


def test_no_loc_and_no_scale_mean_that_nothing_was_moved(small):
    for name in ("points.npz", "pointcloud.npz"):
        fixtures.rewrite(small / name, without=("loc", "scale"))
    placement = reread(small).placement
    assert placement.scale == 1
    np.testing.assert_array_equal(placement.location, np.zeros(3))


@pytest.mark.parametrize("name", ["points.npz", "pointcloud.npz"])
def test_loc_and_scale_in_one_file_hold_for_both(small, name):
    fixtures.rewrite(small / name, without=("loc", "scale"))
    placement = reread(small).placement
    assert placement.scale == SIDE
    np.testing.assert_array_equal(placement.location, fixtures.CENTRE)


@pytest.mark.parametrize(
    ("name", "arrays", "words"),
    [
        ("points.npz", {"occupancies": np.zeros(125, np.uint8)}, "1003 occupancies, or their bits in 126 uint8"),
        ("points.npz", {"occupancies": np.full(1003, 2, np.uint8)}, "0 and 1"),
        ("points.npz", {"points": np.zeros((1003, 2), np.float32)}, r"points \(n, 3\)"),
        ("points.npz", {"scale": np.float64(2)}, "one loc and scale in both"),
        ("points.npz", {"scale": np.float64(0)}, "a positive scale"),
        ("points.npz", {"loc": np.array([0, np.nan, 0])}, "finite"),
        ("pointcloud.npz", {"points": np.full((3000, 3), np.inf, np.float16)}, "finite points, found 3000"),
        ("pointcloud.npz", {"normals": np.zeros((2999, 3), np.float16)}, "as many normals"),
        ("pointcloud.npz", {"points": np.zeros((3000, 3), np.float16)}, "in one place"),
        ("pointcloud.npz", {"points": np.zeros((3000, 3), np.int32)}, "of floating point"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(small, name, arrays, words):
    fixtures.rewrite(small / name, **arrays)
    with pytest.raises(UnreadableModel, match=words) as refusal:
        reread(small)
    assert str(small) in str(refusal.value)


@pytest.mark.parametrize(("name", "array"), [("points.npz", "occupancies"), ("pointcloud.npz", "normals")])
def test_missing_arrays_and_files_are_named(small, name, array):
    fixtures.rewrite(small / name, without=(array,))
    with pytest.raises(UnreadableModel, match=f"{name}: .* found no {array}"):
        reread(small)
    (small / name).unlink()
    with pytest.raises(UnreadableModel, match=f"{name}: .*cannot be read"):
        reread(small)


@pytest.mark.parametrize("share", [0, 0.1, 0.6, 0.99])
@pytest.mark.parametrize("name", ["points.npz", "pointcloud.npz"])
def test_a_file_cut_short_is_refused(small, name, share):
    content = (small / name).read_bytes()
    (small / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnreadableModel, match=f"{name}: .*cannot be read"):
        reread(small)


def test_models_are_the_folders_with_a_point_cloud(folder):
    (folder / MODEL.synset / "empty").mkdir(exist_ok=True)
    (folder / MODEL.synset / "train.lst").write_text("")
    assert OccNetLabels(folder).models() == [MODEL]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100_000])
def test_bits_beyond_the_last_point_are_left_out(tmp_path, count):
    truth = np.random.default_rng(count).random(count) < 0.5
    np.testing.assert_array_equal(read_occupancies(tmp_path, np.packbits(truth), count), truth)


def test_a_thin_plates_inside_and_surroundings_are_told_apart_everywhere():
    """One and a half voxels thick; far away, in its own plane, only its edge tells that a point is outside."""
    plate = solids.box(0.8, 0.6, 1.5 / 256)
    rng = np.random.default_rng(0)
    solid = PointCloudSolid(*(array.astype(np.float32) for array in sample_surface(*plate, 100_000, rng)))
    points = rng.uniform(-0.55, 0.55, (4000, 3)) * [1, 1, 0.05]
    truth = signed_distance(points, *plate)
    clear = np.abs(truth) > 0.3 / 256
    np.testing.assert_array_equal((solid.signed_distance(points) < 0)[clear], (truth < 0)[clear])


def test_many_thin_walls_in_a_sparse_cloud_keep_their_sides():
    """Twelve boards have twenty times the area of a side: the grid gives way, else the inside would leak out between points."""
    board, faces = solids.box(0.9, 0.9, 0.04)
    vertices = np.concatenate([board + np.float32([0, 0, 0.08 * level - 0.44]) for level in range(12)])
    rack = vertices, np.concatenate([faces + level * len(board) for level in range(12)])
    rng = np.random.default_rng(0)
    solid = PointCloudSolid(*(array.astype(np.float32) for array in sample_surface(*rack, 60_000, rng)))
    points = rng.uniform(-0.6, 0.6, (10_000, 3))
    truth = signed_distance(points, *rack)
    wrong = ((solid.signed_distance(points) < 0) != (truth < 0))[np.abs(truth) > 0.01]
    assert wrong.mean() < 0.002  # beside the boards' edges, on which few points lie; with a leak, one in a hundred


def test_a_solid_from_points_can_be_sent_to_workers_after_use(labelled):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 3))
    again = pickle.loads(pickle.dumps(labelled.solid))
    np.testing.assert_array_equal(again.signed_distance(points), labelled.solid.signed_distance(points))

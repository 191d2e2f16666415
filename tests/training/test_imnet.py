"""Both variants of IM-NET's files, written from one solid."""

import pickle

import h5py
import numpy as np
import pytest

from tests.training import label_fixtures as fixtures
from tests.training.label_fixtures import MODEL
from training.data.readers.imnet import ImNetLabels, indices_to_v1, to_v1
from training.data.readers.labels import ModelId
from training.errors import UnreadableModel

OTHER = ModelId("03001627", "2b")
NAME = "03001627_vox256_img_train"


@pytest.fixture(scope="module", params=[True, False], ids=["improved", "original"])
def variant(request, tmp_path_factory):
    """The folder of one variant, the bracket in its second row, and whether it is the improved one."""
    folder = tmp_path_factory.mktemp("imnet")
    grids = [fixtures.voxels(256)[::-1], fixtures.voxels(256)]
    fixtures.write_imnet(folder, NAME, [OTHER, MODEL], grids, request.param)
    return folder, request.param


@pytest.fixture(scope="module")
def labelled(variant):
    return ImNetLabels(variant[0]).read(MODEL)


@pytest.fixture
def copy(variant, tmp_path):
    """The files again, to be damaged."""
    for file in variant[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / f"{NAME}.hdf5"


def test_each_point_has_the_label_of_its_own_voxel(variant, labelled):
    _, improved = variant
    truth = fixtures.voxels(256) if improved else fixtures.pooled(fixtures.voxels(256), 64)
    side = len(truth)
    index = (labelled.exact_points.astype(np.float64) + 0.5) * side - 0.5
    np.testing.assert_allclose(index, np.round(index), atol=1e-4)  # centres of voxels
    np.testing.assert_array_equal(labelled.exact_occupancy, truth[tuple(np.round(index).astype(int).T)])
    assert len(index) == (4096 + 4096 + 16384 if improved else 32768)
    assert 0.02 < labelled.exact_occupancy.mean() < 0.6


def test_the_solid_agrees_with_the_bracket(labelled):
    assert labelled.placement is None
    points = np.random.default_rng(2).uniform(-0.5, 0.5, (20_000, 3))
    distance = labelled.solid.signed_distance(points)
    clear = np.abs(distance) > 1.7 / 64
    truth = fixtures.inside(points * fixtures.DIAGONAL + fixtures.CENTRE)
    np.testing.assert_array_equal((distance < 0)[clear], truth[clear])
    assert clear.mean() > 0.8


def test_walls_that_pooling_moved_out_are_back_on_average(labelled):
    extent = np.ptp(labelled.solid.vertices, axis=0)
    np.testing.assert_allclose(extent, fixtures.EXTENT / fixtures.DIAGONAL, atol=1 / 64)
    solid_volume = (
        np.prod(fixtures.EXTENT)
        * fixtures.inside(fixtures.CORNER + np.random.default_rng(0).random((200_000, 3)) * fixtures.EXTENT).mean()
        / fixtures.DIAGONAL**3
    )
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (200_000, 3))
    assert (labelled.solid.signed_distance(points) < 0).mean() == pytest.approx(solid_volume, rel=0.06)


def test_pictures_come_in_the_order_of_their_views(variant):
    folder, improved = variant
    pictures = ImNetLabels(folder).pictures(MODEL)
    assert (pictures.shape, pictures.dtype) == ((24 if improved else 20, 137, 137), np.uint8)
    np.testing.assert_array_equal(pictures[:, 68, 68], 100 + np.arange(len(pictures)))


def test_models_are_listed_and_the_source_can_be_sent_to_workers(variant):
    labels = ImNetLabels(variant[0])
    assert labels.models() == [MODEL, OTHER]
    again = pickle.loads(pickle.dumps(labels))
    assert again == labels
    assert len(pickle.dumps(labels)) < 500
    assert again.models() == labels.models()


def test_turning_an_index_and_turning_the_grid_are_the_same_turn():
    turned = np.zeros((8, 8, 8), bool)
    turned[1, 2, 4] = True
    x, y, z = (indices_to_v1(np.array([[1, 2, 4]], np.uint8), 8)[0] + 0.5) * 8 - 0.5
    assert np.argwhere(to_v1(turned)).tolist() == [[x, y, z]] == [[3, 2, 1]]


def test_turning_back_undoes_the_original_turn():
    grid = np.random.default_rng(0).random((6, 6, 6)) < 0.5
    np.testing.assert_array_equal(to_v1(np.flip(np.transpose(grid, (2, 1, 0)), 2)), grid)


def refused(path, words):
    with pytest.raises(UnreadableModel, match=words) as refusal:
        ImNetLabels(path.parent).read(MODEL)
    assert str(path) in str(refusal.value)


def replace(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        if values is not None:
            file[name] = values


def test_one_variants_numbers_in_the_others_units_are_no_guess(variant, copy):
    _, improved = variant
    with h5py.File(copy) as file:
        points = file["points_16"][:]
    replace(copy, "points_16", points // 16 if improved else points * 16)
    refused(copy, "points at levels")


def test_other_counts_are_refused(copy):
    with h5py.File(copy) as file:
        points = file["points_64"][:, :1000]
    replace(copy, "points_64", points)
    refused(copy, r"found \(4096, \d+, 1000\)")


@pytest.mark.parametrize("name", ["voxels", "points_32", "values_64", "pixels"])
def test_a_missing_array_is_named(copy, name):
    replace(copy, name, None)
    refused(copy, f"found no {name}")


def test_labels_other_than_0_and_1_are_refused(copy):
    with h5py.File(copy) as file:
        values = file["values_64"][:]
    replace(copy, "values_64", values * 255)
    refused(copy, "values_64 of 0 and 1, found 255")


def test_voxels_of_another_size_are_refused(copy):
    replace(copy, "voxels", np.ones((2, 32, 32, 32, 1), np.uint8))
    refused(copy, r"voxels \(models, 64, 64, 64, 1\)")


def test_a_list_longer_than_the_arrays_is_refused(copy):
    text = copy.with_suffix(".txt")
    text.write_text(text.read_text() + "03001627/3c\n")
    refused(copy, "expected 3 rows")


def test_an_array_shorter_than_the_others_is_refused(copy):
    replace(copy, "pixels", np.zeros((1, 24, 137, 137), np.uint8))
    refused(copy, "'pixels': 1")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_file_cut_short_is_refused(copy, share):
    content = copy.read_bytes()
    copy.write_bytes(content[: int(share * len(content))])
    refused(copy, "cannot be read")


def test_a_missing_or_strange_list_is_refused(copy):
    text = copy.with_suffix(".txt")
    text.write_text("1a6f615e\n")
    with pytest.raises(UnreadableModel, match="<synset>/<model> on each line, found '1a6f615e'"):
        ImNetLabels(copy.parent).models()
    text.unlink()
    with pytest.raises(UnreadableModel, match=str(text)):
        ImNetLabels(copy.parent).models()


def test_an_unlisted_model_is_refused(variant):
    with pytest.raises(UnreadableModel, match="found it in none"):
        ImNetLabels(variant[0]).read(ModelId("02691156", "nowhere"))


def test_codes_beside_the_labels_are_no_labels(variant, copy):
    """`*_train_z.hdf5` holds an autoencoder's codes."""
    (copy.parent / f"{NAME}_z.hdf5").touch()
    assert ImNetLabels(copy.parent).models() == [MODEL, OTHER]

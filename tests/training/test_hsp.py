"""Blocked voxels, from a file written as the data set's are."""

import numpy as np
import pytest

from tests.training import label_fixtures as fixtures
from tests.training.label_fixtures import MODEL
from training.data.readers.hsp import DROPPED, HspLabels, read_blocked_voxels
from training.data.readers.labels import ModelId
from training.errors import UnreadableModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("modelBlockedVoxels256")
    fixtures.write_hsp(root, MODEL, fixtures.voxels(256))
    return root


def write_broken(tmp_path, **arrays):
    blocks = {"b": np.ones((2, 16, 16, 16), np.uint8), "bi": np.full((16, 16, 16), 2, np.uint8)}
    return fixtures.write_mat(tmp_path, MODEL, **{**blocks, **arrays})


def test_the_voxels_come_back_exactly(folder):
    np.testing.assert_array_equal(read_blocked_voxels(folder / MODEL.synset / f"{MODEL.model}.mat"), fixtures.voxels(256))


def test_random_voxels_come_back_exactly(tmp_path):
    """Every block different, so that each number between 1 and 4096 is used."""
    occupied = np.random.default_rng(0).random((256, 256, 256)) < 0.5
    np.testing.assert_array_equal(read_blocked_voxels(fixtures.write_hsp(tmp_path, MODEL, occupied)), occupied)


def test_one_block_everywhere_may_come_without_its_number(tmp_path):
    path = write_broken(tmp_path, b=np.ones((16, 16, 16)), bi=np.ones((16, 16, 16)))
    assert read_blocked_voxels(path).all()


def test_the_solid_is_the_bracket_centred_with_a_diagonal_of_one(folder):
    labelled = HspLabels(folder).read(MODEL)
    assert labelled.placement is None
    assert labelled.exact_points is None
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (20_000, 3))
    distance = labelled.solid.signed_distance(points)
    clear = np.abs(distance) > 1 / 256
    truth = fixtures.inside(points * fixtures.DIAGONAL + fixtures.CENTRE)
    np.testing.assert_array_equal((distance < 0)[clear], truth[clear])
    vertices = labelled.solid.vertices
    np.testing.assert_allclose(vertices.max(axis=0), fixtures.EXTENT / fixtures.DIAGONAL / 2, atol=0.8 / 256)
    np.testing.assert_allclose(vertices.min(axis=0), -fixtures.EXTENT / fixtures.DIAGONAL / 2, atol=0.8 / 256)


def test_models_are_listed_sorted_and_the_damaged_one_is_not(tmp_path):
    others = [ModelId("04090263", "b"), ModelId("02691156", "z"), ModelId("02691156", "a"), *DROPPED]
    for model in others:
        (tmp_path / model.synset).mkdir(exist_ok=True)
        (tmp_path / model.synset / f"{model.model}.mat").touch()
    expected = [ModelId("02691156", "a"), ModelId("02691156", "z"), ModelId("04090263", "b")]
    assert HspLabels(tmp_path).models() == expected


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"bi": np.zeros((16, 16, 16))}, "bi from 1 to the number of blocks, 2, found 0 to 0"),
        ({"bi": np.arange(4096).reshape(16, 16, 16) % 2}, "found 0 to 1"),  # counted from 0
        ({"bi": np.full((16, 16, 16), 3)}, "found 3 to 3"),
        ({"bi": np.full((16, 16, 16), 1.5)}, "whole numbers in bi"),
        ({"bi": np.ones((16, 16))}, r"expected b \(n, 16, 16, 16\) and bi"),
        ({"b": np.ones((2, 8, 8, 8))}, r"found \(2, 8, 8, 8\)"),
        ({"b": np.full((2, 16, 16, 16), 255)}, "b of 0 and 1"),
        ({"b": "block"}, "numbers in b"),
        ({"b": np.zeros((2, 16, 16, 16))}, "occupied voxels"),
    ],
)
def test_arrays_that_are_not_blocked_voxels_are_refused(tmp_path, arrays, words):
    path = write_broken(tmp_path, **arrays)
    with pytest.raises(UnreadableModel, match=words) as refusal:
        HspLabels(tmp_path).read(MODEL)
    assert str(path) in str(refusal.value)


def test_a_missing_array_is_named(tmp_path):
    fixtures.write_mat(tmp_path, MODEL, b1=np.ones((1, 16, 16, 16)), bi=np.ones((16, 16, 16)))
    with pytest.raises(UnreadableModel, match=r"found no b$"):
        HspLabels(tmp_path).read(MODEL)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.7, 0.999])
def test_a_file_cut_short_is_refused(folder, tmp_path, share):
    content = (folder / MODEL.synset / f"{MODEL.model}.mat").read_bytes()
    path = tmp_path / MODEL.synset / f"{MODEL.model}.mat"
    path.parent.mkdir()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnreadableModel, match=str(path)):
        HspLabels(tmp_path).read(MODEL)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UnreadableModel, match="cannot be read"):
        HspLabels(tmp_path).read(MODEL)

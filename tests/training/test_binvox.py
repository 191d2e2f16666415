"""Binvox files."""

import numpy as np
import pytest

from tests.training import label_fixtures as fixtures
from tests.training.label_fixtures import MODEL
from training.data.readers.binvox import BinvoxLabels, read_binvox
from training.errors import UnreadableModel

TRANSLATE, SCALE = (-0.5, -0.25, 0.125), 1.5


@pytest.fixture
def path(tmp_path):
    path = tmp_path / MODEL.synset / MODEL.model / "model.binvox"
    fixtures.write_binvox(path, fixtures.voxels(32), TRANSLATE, SCALE)
    return path


def test_the_voxels_of_a_bracket_keep_their_axes(path):
    voxels = read_binvox(path)
    np.testing.assert_array_equal(voxels.occupied, fixtures.voxels(32))
    np.testing.assert_array_equal(voxels.translate, TRANSLATE)
    assert voxels.step == SCALE / 32


def test_the_second_byte_in_the_stream_is_the_next_voxel_along_y(tmp_path):
    """By hand: 27 voxels, the first of which along each axis is at 1 (y), 3 (z) and 9 (x)."""
    stream = np.zeros(27, np.uint8)
    stream[[1, 6]] = 1
    runs = b"".join(bytes([value, 1]) for value in stream)
    path = tmp_path / "hand.binvox"
    path.write_bytes(b"#binvox 1\ndim 3 3 3\ntranslate 0 0 0\nscale 1\ndata\n" + runs)
    assert np.argwhere(read_binvox(path).occupied).tolist() == [[0, 0, 2], [0, 1, 0]]


@pytest.mark.parametrize("length", [254, 255, 256, 510, 511])
def test_a_run_may_go_on_past_255(tmp_path, length):
    occupied = np.zeros(512, bool)
    occupied[:length] = True
    occupied = occupied.reshape(8, 8, 8).transpose(0, 2, 1)
    path = tmp_path / "runs.binvox"
    fixtures.write_binvox(path, occupied, (0, 0, 0), 1)
    np.testing.assert_array_equal(read_binvox(path).occupied, occupied)


def test_the_solid_lies_where_the_header_says(path):
    labels = BinvoxLabels(path.parents[2])
    assert labels.models() == [MODEL]
    labelled = labels.read(MODEL)
    assert labelled.placement is None
    points = np.random.default_rng(0).uniform(0, 1, (5000, 3))
    truth = fixtures.inside((points - 0.5) * fixtures.DIAGONAL + fixtures.CENTRE)
    distance = labelled.solid.signed_distance(points * SCALE + TRANSLATE)
    clear = np.abs(distance) > 1.3 * SCALE / 32
    np.testing.assert_array_equal((distance < 0)[clear], truth[clear])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"#binvox 1", b"#vinbox 1", "header"),
        (b"data\n", b"dat\n", "header"),
        (b"dim 32 32 32", b"dim 32 32 16", "a cube"),
        (b"dim 32 32 32", b"dim 32 32", "'dim' and 3"),
        (b"dim 32 32 32", b"dim 64 64 64", "262144 voxels, found 32768"),
        (b"dim 32 32 32", b"dim 4096 4096 4096", "a cube"),
        (b"translate -0.5", b"translate nan", "'translate' and 3 finite"),
        (b"scale 1.5", b"scale 0", "positive scale"),
        (b"scale 1.5", b"scale wide", "'scale' and 1"),
    ],
)
def test_a_header_that_is_wrong_is_refused(path, old, new, words):
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(UnreadableModel, match=words) as refusal:
        read_binvox(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("kept", [0, 20, -1, -2, -100])
def test_a_file_cut_short_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UnreadableModel, match=str(path)):
        read_binvox(path)


def test_a_value_other_than_0_and_1_is_refused(path):
    path.write_bytes(path.read_bytes()[:-2] + bytes([2, path.read_bytes()[-1]]))
    with pytest.raises(UnreadableModel, match="runs of 0 and 1"):
        read_binvox(path)


def test_no_voxels_and_no_file_are_refused(path):
    fixtures.write_binvox(path, np.zeros((32, 32, 32), bool), TRANSLATE, SCALE)
    with pytest.raises(UnreadableModel, match="found none"):
        BinvoxLabels(path.parents[2]).read(MODEL)
    path.unlink()
    with pytest.raises(UnreadableModel, match="cannot be read"):
        BinvoxLabels(path.parents[2]).read(MODEL)

"""What a Mesh promises, on solids whose numbers are known."""

import numpy as np
import pytest

from model.mesh import Mesh

TETRAHEDRON = Mesh(
    np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32),
)


def test_a_tetrahedron_has_its_volume_bounds_and_euler_characteristic():
    assert TETRAHEDRON.volume == pytest.approx(1 / 6)
    assert TETRAHEDRON.is_watertight
    assert TETRAHEDRON.euler_characteristic == 2
    np.testing.assert_array_equal(TETRAHEDRON.bounds, [[0, 0, 0], [1, 1, 1]])


def test_turning_the_faces_inside_out_negates_the_volume_and_leaves_it_closed():
    turned = Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces[:, ::-1].copy())
    assert turned.volume == pytest.approx(-1 / 6)
    assert turned.is_watertight


@pytest.mark.parametrize(
    "faces",
    [
        TETRAHEDRON.faces[:3],
        np.vstack([TETRAHEDRON.faces, TETRAHEDRON.faces[:1]]),
        np.vstack([TETRAHEDRON.faces[:3], TETRAHEDRON.faces[3:, ::-1]]),
        np.zeros((0, 3), np.int32),
    ],
    ids=["a face missing", "a face twice", "a face turned", "no face"],
)
def test_what_is_not_closed_is_not_watertight(faces):
    assert not Mesh(TETRAHEDRON.vertices, np.ascontiguousarray(faces)).is_watertight


def test_scaling_scales_the_volume_by_its_cube_and_keeps_the_metadata():
    scaled = TETRAHEDRON.with_metadata(units="metre").scaled(2.0)
    assert scaled.volume == pytest.approx(8 / 6)
    assert scaled.metadata == {"units": "metre"}


def test_metadata_are_added_to_a_copy():
    named = TETRAHEDRON.with_metadata(units="metre").with_metadata(level=0.5)
    assert named.metadata == {"units": "metre", "level": 0.5}
    assert TETRAHEDRON.metadata == {}


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((4, 2), np.float32), np.zeros((0, 3), np.int32), r"vertices: expected \(n, 3\) float32, got \(4, 2\)"),
        (np.zeros((4, 3)), np.zeros((0, 3), np.int32), "got .* float64"),
        (np.zeros((4, 3), np.float32), np.zeros((1, 3), np.int64), "faces: expected .* int32, got .* int64"),
        (np.full((4, 3), np.nan, np.float32), np.zeros((1, 3), np.int32), "finite"),
        (np.zeros((4, 3), np.float32), np.array([[0, 1, 4]], np.int32), r"vertex numbers in \[0, 4\)"),
        (np.zeros((4, 3), np.float32), np.array([[-1, 1, 2]], np.int32), r"vertex numbers in \[0, 4\)"),
    ],
)
def test_arrays_that_are_no_mesh_are_refused_in_words(vertices, faces, message):
    with pytest.raises(ValueError, match=message):
        Mesh(vertices, faces)

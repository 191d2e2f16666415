"""What a Mesh promises, on solids whose numbers are known."""

import numpy as np
import pytest

from model.mesh import Mesh
from tests.model.fields import box, hollow, mesh_of, sphere, torus

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


def closed_by_counting(faces):
    """The slow twin of `is_watertight`: directed edges one by one."""
    edges = [(face[i], face[(i + 1) % 3]) for face in faces.tolist() for i in range(3)]
    distinct = set(edges)
    return 0 < len(distinct) == len(edges) and all((end, start) in distinct for start, end in distinct)


def test_watertight_is_what_counting_the_edges_says_whatever_is_done_to_a_closed_mesh():
    rng = np.random.default_rng(5)
    sound = mesh_of(torus(), 16)
    verdicts = []
    for change in range(40):
        faces = sound.faces[rng.permutation(len(sound.faces))]
        vertex_order = rng.permutation(len(sound.vertices)).astype(np.int32)
        faces = vertex_order[faces]
        k = rng.integers(len(faces) - 1)
        match change % 8:
            case 1:
                faces = np.delete(faces, k, axis=0)
            case 2:
                faces[k] = faces[k, ::-1]
            case 3:
                faces = np.vstack([faces, faces[k], faces[k, ::-1]])  # back to back: each edge four times
            case 4:
                faces[k] = faces[k + 1]
            case 5:
                faces[faces == faces[k, 0]] = faces[k, 1]  # a collapse that leaves two faces without area
            case 6:
                faces[k, 0] = rng.integers(len(sound.vertices))
            case 7:
                faces = np.roll(faces, 1, axis=1)  # the same faces
        verdicts.append(Mesh(sound.vertices, np.ascontiguousarray(faces)).is_watertight)
        assert verdicts[-1] == closed_by_counting(faces) or change % 8 == 5, change
        assert change % 8 != 5 or not verdicts[-1]
    assert any(verdicts)
    assert not all(verdicts)


@pytest.mark.parametrize("block", [1, 7, 100_000])
def test_the_volume_is_the_sum_of_determinants_however_many_faces_are_worked_on_at_once(monkeypatch, block):
    monkeypatch.setattr("model.mesh.BLOCK", block)
    mesh = mesh_of(hollow(box(0.4, 0.3, 0.2), sphere(0.1)), 16)
    determinants = [np.linalg.det(corners.astype(np.float64)) / 6 for corners in mesh.corners]
    np.testing.assert_allclose(mesh.volumes, determinants, atol=1e-12)
    assert mesh.volume == pytest.approx(sum(determinants), rel=1e-9)
    joined = np.concatenate([corners for _, corners, _ in mesh.blocks()], axis=1)
    np.testing.assert_array_equal(joined, mesh.faces.T)
    for where, _, coordinates in mesh.blocks():
        np.testing.assert_array_equal(coordinates.transpose(2, 1, 0), mesh.corners[where])


def test_scaling_scales_the_volume_by_its_cube_and_keeps_the_metadata():
    scaled = TETRAHEDRON.with_metadata(units="metre").scaled(2.0)
    assert scaled.volume == pytest.approx(8 / 6)
    assert scaled.metadata == {"units": "metre"}


def test_a_quarter_turn_about_x_takes_y_to_z_and_keeps_all_but_the_places():
    marked = Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces, {"level": 0.5}, {"mark": np.arange(4, dtype=np.float32)})
    turned = marked.rotated(np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_array_equal(turned.vertices, [[0, 0, 0], [1, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert turned.vertices.dtype == np.float32
    assert turned.volume == pytest.approx(1 / 6)
    for changed in (turned, marked.scaled(2.0), marked.with_metadata(units="metre")):
        assert changed.faces is marked.faces
        assert changed.vertex_attributes is marked.vertex_attributes


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mark", np.zeros(3, np.float32), r"finite \(4,\) float32 as mark, got \(3,\) float32"),
        ("mark", np.zeros((4, 1), np.float32), r"got \(4, 1\)"),
        ("mark", np.zeros(4), "got .* float64"),
        ("mark", np.array([0, 0, np.nan, 0], np.float32), "finite"),
        ("x", np.zeros(4, np.float32), "names of two small letters or more, got 'x'"),
        ("a mark", np.zeros(4, np.float32), "got 'a mark'"),
        ("mark\n", np.zeros(4, np.float32), "names"),
    ],
)
def test_attributes_that_no_file_could_hold_are_refused_in_words(name, values, message):
    with pytest.raises(ValueError, match=f"vertex_attributes: expected .*{message}"):
        Mesh(TETRAHEDRON.vertices, TETRAHEDRON.faces, vertex_attributes={name: values})


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

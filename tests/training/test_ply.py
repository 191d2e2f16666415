"""The PLY reader, on files written here by the format's own words."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from training.data.readers.ply import read_ply

FORMS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
HOUSE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]])  # a pyramid: one square, four triangles
MIXED = [[3, 2, 1, 0], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]
every_form = pytest.mark.parametrize("form", FORMS)


def write_ply(path: Path, form: str, faces: list[list[int]], newline: str = "\n") -> Path:
    """Vertices with a colour after x, y, z as doubles; faces with a quality before and texture coordinates after the corners."""
    header = (
        f"ply|format {form} 1.0|comment end of the header is below|element vertex {len(HOUSE)}|property double x"
        f"|property double y|property double z|property uchar red|element face {len(faces)}|property float quality"
        "|property list uchar int vertex_indices|property list uchar float texcoord|end_header|"
    ).replace("|", newline)
    body = b""
    if form == "ascii":
        rows = [f"{x} {y} {z} 200" for x, y, z in HOUSE]
        rows += [f"0.5 {len(face)} {' '.join(map(str, face))} {len(face)}{' 0.25' * len(face)}" for face in faces]
        body = newline.join([*rows, ""]).encode()
    else:
        order = FORMS[form]
        body += b"".join(struct.pack(f"{order}dddB", *vertex, 200) for vertex in HOUSE)
        for face in faces:
            body += struct.pack(f"{order}fB{len(face)}iB{len(face)}f", 0.5, len(face), *face, len(face), *[0.25] * len(face))
    path.write_bytes(header.encode() + body)
    return path


@every_form
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_faces_of_mixed_sizes_come_back_with_the_columns_around_them_left_out(tmp_path, form, newline):
    vertices, polygons = read_ply(write_ply(tmp_path / "a.ply", form, MIXED, newline))
    np.testing.assert_array_equal(vertices, HOUSE)
    assert polygons == MIXED


@every_form
def test_faces_of_one_size_come_back_as_a_table(tmp_path, form):
    vertices, polygons = read_ply(write_ply(tmp_path / "a.ply", form, MIXED[1:]))
    np.testing.assert_array_equal(vertices, HOUSE)
    np.testing.assert_array_equal(polygons, MIXED[1:])


@every_form
def test_a_file_that_ends_too_early_is_refused_wherever_it_ends(tmp_path, form):
    whole = write_ply(tmp_path / "a.ply", form, MIXED).read_bytes()
    begin = whole.index(b"end_header") + len("end_header")
    for end in np.linspace(begin, len(whole) - 8, 12).astype(int):
        (tmp_path / "cut.ply").write_bytes(whole[:end])
        with pytest.raises(ValueError, match="expected "):
            read_ply(tmp_path / "cut.ply")


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_trimeshs_files_are_read_as_trimesh_has_them(tmp_path, encoding):
    mesh = trimesh.creation.icosphere(2)
    path = tmp_path / "ball.ply"
    path.write_bytes(mesh.export(file_type="ply", encoding=encoding))
    vertices, polygons = read_ply(path)
    np.testing.assert_allclose(vertices, mesh.vertices, atol=1e-6)
    np.testing.assert_array_equal(polygons, mesh.faces)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("ply\nformat ascii 1.0\n", "expected a line end_header, found none"),
        ("ply\nformat ebcdic 1.0\nend_header\n", "expected format ascii or binary_little_endian .*, found ebcdic"),
        (
            "ply\nformat ascii 1.0\nelement vertex 1\nproperty half x\nend_header\n0\n",
            "expected property types among .*, found half",
        ),
        (
            "ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n",
            "vertices with x, y and z",
        ),
        (
            "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
            "element tristrips 1\nproperty list int int vertex_indices\nend_header\n0 0 0\n3 0 0 0\n",
            "found triangle strips",
        ),
    ],
)
def test_what_cannot_be_read_is_told_in_words(tmp_path, header, told):
    (tmp_path / "a.ply").write_text(header)
    with pytest.raises(ValueError, match=told):
        read_ply(tmp_path / "a.ply")

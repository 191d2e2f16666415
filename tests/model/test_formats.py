"""Each writer against an independent reader, and GLB byte by byte."""

import io
import json
import struct

import numpy as np
import pytest
import trimesh

from model.formats import FORMATS, format_for
from model.formats.glb import vertex_normals
from model.mesh import Mesh
from tests.model.fields import box, mesh_of, sphere, torus


@pytest.fixture(scope="module")
def mesh():
    return mesh_of(torus(), 48).with_metadata(bundle="demo", units="metre", scale_source="declared", level=0.5, watertight=True)


def parse_glb(content):
    """(document, binary chunk), every byte accounted for."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    json_length, json_kind = struct.unpack_from("<I4s", content, 12)
    binary_length, binary_kind = struct.unpack_from("<I4s", content, 20 + json_length)
    assert (json_kind, binary_kind) == (b"JSON", b"BIN\0")
    assert json_length % 4 == binary_length % 4 == 0
    assert 28 + json_length + binary_length == len(content)
    return json.loads(content[20 : 20 + json_length]), content[28 + json_length :]


def accessor(document, binary, number):
    """The array of an accessor."""
    entry = document["accessors"][number]
    view = document["bufferViews"][entry["bufferView"]]
    dtype = {5123: "<u2", 5125: "<u4", 5126: "<f4"}[entry["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3}[entry["type"]]
    assert view["byteOffset"] % 4 == 0
    assert view["byteLength"] == entry["count"] * width * np.dtype(dtype).itemsize
    return np.frombuffer(binary, dtype, entry["count"] * width, view["byteOffset"]).reshape(-1, width)


@pytest.mark.parametrize("name", list(FORMATS))
def test_reading_what_was_written_gives_the_same_mesh(mesh, name):
    read = trimesh.load(io.BytesIO(FORMATS[name].write(mesh)), file_type=name, force="mesh", process=name == "stl")
    assert read.is_watertight
    assert read.volume == pytest.approx(mesh.volume, rel=1e-5)
    assert len(read.faces) == len(mesh.faces)
    np.testing.assert_array_equal(read.triangles.astype(np.float32), mesh.corners)


@pytest.mark.parametrize("name", list(FORMATS))
def test_equal_meshes_give_equal_bytes(mesh, name):
    copy = Mesh(mesh.vertices.copy(), mesh.faces.copy(), dict(mesh.metadata))
    assert FORMATS[name].write(copy) == FORMATS[name].write(mesh)


@pytest.mark.parametrize("name", ["obj", "stl", "ply"])
def test_comments_name_units_and_scale_source(mesh, name):
    head = FORMATS[name].write(mesh)[:200]
    assert b"units: metre" in head
    assert b"scale_source: declared" in head
    assert b"monotwin" in head


def test_a_comment_cannot_break_out_of_its_line(mesh):
    sly = mesh.with_metadata(units="metre\nelement vertex 1\nv 0 0 0 é")
    for name in ("obj", "ply"):
        read = trimesh.load(io.BytesIO(FORMATS[name].write(sly)), file_type=name, force="mesh", process=False)
        assert len(read.vertices) == len(mesh.vertices)


def test_a_glb_has_aligned_chunks_names_extremes_and_its_metadata(mesh):
    document, binary = parse_glb(FORMATS["glb"].write(mesh))
    assert document["asset"]["version"] == "2.0"
    assert document["asset"]["generator"].startswith("monotwin ")
    assert document["asset"]["extras"] == mesh.metadata
    assert document["nodes"][0]["name"] == document["meshes"][0]["name"] == "part"
    assert "uri" not in document["buffers"][0]
    assert 0 <= len(binary) - document["buffers"][0]["byteLength"] < 4
    primitive = document["meshes"][0]["primitives"][0]
    positions = accessor(document, binary, primitive["attributes"]["POSITION"])
    indices = accessor(document, binary, primitive["indices"])
    np.testing.assert_array_equal(positions, mesh.vertices)
    np.testing.assert_array_equal(indices.reshape(-1, 3), mesh.faces)
    extremes = document["accessors"][primitive["attributes"]["POSITION"]]
    np.testing.assert_array_equal(np.float32([extremes["min"], extremes["max"]]), mesh.bounds)


@pytest.mark.parametrize(("count", "component"), [(65_534, 5123), (65_535, 5125)])
def test_indices_have_16_bits_below_65535_vertices(count, component):
    vertices = np.random.default_rng(0).random((count, 3), dtype=np.float32)
    faces = np.array([[0, 1, count - 1]], np.int32)
    document, binary = parse_glb(FORMATS["glb"].write(Mesh(vertices, faces)))
    assert document["accessors"][2]["componentType"] == component
    np.testing.assert_array_equal(accessor(document, binary, 2).ravel(), faces.ravel())


@pytest.fixture(scope="module")
def marked(mesh):
    """The mesh with two attributes, an odd number of faces, and indices of two bytes."""
    rng = np.random.default_rng(0)
    attributes = {name: rng.random(len(mesh.vertices), dtype=np.float32) for name in ("confidence", "observed")}
    return Mesh(mesh.vertices, mesh.faces[:-1] if len(mesh.faces) % 2 == 0 else mesh.faces, mesh.metadata, attributes)


def test_a_glb_holds_attributes_as_numbers_of_the_application(marked):
    assert len(marked.vertices) < 65_535
    document, binary = parse_glb(FORMATS["glb"].write(marked))
    primitive = document["meshes"][0]["primitives"][0]
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "_CONFIDENCE", "_OBSERVED"}
    for name, values in marked.vertex_attributes.items():
        number = primitive["attributes"][f"_{name.upper()}"]
        np.testing.assert_array_equal(accessor(document, binary, number).ravel(), values)
        entry = document["accessors"][number]
        assert (entry["componentType"], entry["type"]) == (5126, "SCALAR")
        assert (entry["min"], entry["max"]) == ([float(values.min())], [float(values.max())])
    np.testing.assert_array_equal(accessor(document, binary, primitive["indices"]).reshape(-1, 3), marked.faces)
    np.testing.assert_array_equal(accessor(document, binary, primitive["attributes"]["POSITION"]), marked.vertices)
    ends = sorted((view["byteOffset"], view["byteOffset"] + view["byteLength"]) for view in document["bufferViews"])
    assert [start for start, _ in ends] == [0, *(end for _, end in ends[:-1])]
    assert ends[-1][1] == document["buffers"][0]["byteLength"]


def test_independent_readers_find_the_attributes_of_a_glb_and_of_a_ply(marked):
    glb, ply = (
        trimesh.load(io.BytesIO(FORMATS[name].write(marked)), file_type=name, force="mesh", process=False)
        for name in ("glb", "ply")
    )
    for name, values in marked.vertex_attributes.items():
        np.testing.assert_array_equal(glb.vertex_attributes[f"_{name.upper()}"].ravel(), values)
        np.testing.assert_array_equal(ply.metadata["_ply_raw"]["vertex"]["data"][name].ravel(), values)
    for read in (glb, ply):
        np.testing.assert_array_equal(read.vertices.astype(np.float32), marked.vertices)
        np.testing.assert_array_equal(read.faces, marked.faces)


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_format_says_whether_it_holds_attributes_and_else_leaves_them_out(mesh, marked, name):
    bare = Mesh(marked.vertices, marked.faces, marked.metadata)
    holds = FORMATS[name].write(marked) != FORMATS[name].write(bare)
    assert holds == FORMATS[name].holds_vertex_attributes == (name in ("glb", "ply"))


def test_normals_of_a_sphere_point_from_its_centre():
    mesh = mesh_of(sphere(), 64)
    document, binary = parse_glb(FORMATS["glb"].write(mesh))
    normals = accessor(document, binary, 1)
    outward = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert np.einsum("ij,ij->i", normals, outward).min() > np.cos(np.radians(5))


def test_normals_at_a_cubes_corners_are_its_diagonals_however_its_sides_are_split():
    cube = trimesh.creation.box()
    normals = vertex_normals(Mesh(cube.vertices.astype(np.float32), cube.faces.astype(np.int32)))
    np.testing.assert_allclose(normals, cube.vertices * 2 / np.sqrt(3), atol=1e-6)


def normals_corner_by_corner(mesh):
    """The slow twin of `vertex_normals`."""
    sums = np.zeros((len(mesh.vertices), 3))
    for face in mesh.faces:
        corners = mesh.vertices[face].astype(np.float64)
        across = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        for i in range(3):
            ahead, behind = corners[(i + 1) % 3] - corners[i], corners[(i + 2) % 3] - corners[i]
            cosine = ahead @ behind / np.linalg.norm(ahead) / np.linalg.norm(behind)
            sums[face[i]] += np.arccos(np.clip(cosine, -1, 1)) * across / np.linalg.norm(across)
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


@pytest.mark.parametrize("factor", [1.0, 1e-4, 1e3])  # the sizes that can be asked for
@pytest.mark.parametrize("block", [100, 100_000])
def test_normals_are_the_face_normals_weighted_by_angle(monkeypatch, block, factor):
    monkeypatch.setattr("model.mesh.BLOCK", block)
    mesh = mesh_of(torus(), 24).scaled(factor)
    np.testing.assert_allclose(vertex_normals(mesh), normals_corner_by_corner(mesh), atol=1e-6)


@pytest.mark.parametrize("factor", [1e-4, 1.0])
def test_normals_of_a_torus_point_from_its_ring(factor):
    mesh = mesh_of(torus(0.3, 0.1), 96)
    ring = mesh.vertices * [1, 1, 0]
    outward = mesh.vertices - 0.3 * ring / np.linalg.norm(ring, axis=1, keepdims=True)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    cosines = np.einsum("ij,ij->i", vertex_normals(mesh.scaled(factor)), outward)
    assert cosines.min() > np.cos(np.radians(6))


def test_a_face_without_area_has_no_say_in_the_normals():
    cube = trimesh.creation.box()
    vertices = np.vstack([cube.vertices, (cube.vertices[0] + cube.vertices[1]) / 2]).astype(np.float32)
    thin = np.array([[0, 8, 1]])
    whole, thinned = (Mesh(vertices, np.vstack(faces).astype(np.int32)) for faces in ([cube.faces], [cube.faces, thin]))
    np.testing.assert_array_equal(vertex_normals(thinned), vertex_normals(whole))


def test_a_vertex_without_direction_still_has_a_unit_normal():
    flat = Mesh(np.zeros((4, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    np.testing.assert_array_equal(np.linalg.norm(vertex_normals(flat), axis=1), 1)


def test_an_stl_is_as_long_as_its_faces_say_and_does_not_look_like_text(mesh):
    content = FORMATS["stl"].write(mesh)
    assert len(content) == 84 + 50 * len(mesh.faces)
    assert not content.startswith(b"solid")
    long = mesh.with_metadata(units="x" * 200)
    assert len(FORMATS["stl"].write(long)) == len(content)


def test_stl_normals_are_outward_units():
    mesh = mesh_of(box(0.3, 0.2, 0.1), 32)
    facets = np.frombuffer(FORMATS["stl"].write(mesh)[84:], np.dtype([("n", "<f4", 3), ("c", "<f4", 9), ("a", "<u2")]))
    np.testing.assert_allclose(np.linalg.norm(facets["n"], axis=1), 1, atol=1e-5)
    expected = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).face_normals
    assert np.einsum("ij,ij->i", facets["n"], expected).min() > 0.999


def test_formats_are_found_by_media_type():
    assert {name: entry.media_type for name, entry in FORMATS.items()} == {
        "glb": "model/gltf-binary",
        "obj": "model/obj",
        "stl": "model/stl",
        "ply": "application/x-ply",
    }
    for name, entry in FORMATS.items():
        assert entry.name == name
        assert entry.extension == f".{name}"
        assert format_for(entry.media_type.upper()) is entry
    assert format_for("model/step") is None

"""CAD and mesh files: what is read from each format, and what is refused in words."""

import base64
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from tests.training import solids
from training.data.readers import cad
from training.data.readers.cad import CadMesh, UnreadableCad, read_cad

VERTICES, FACES = solids.angle_bracket()
LOW, HIGH = VERTICES.min(axis=0), VERTICES.max(axis=0)
TO_Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # z up -> y up

CUBOID = np.array([(x, y, z) for x in (0, 10) for y in (0, 20) for z in (0, 40)], np.float64)
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def volume(mesh: CadMesh) -> float:
    corners = mesh.vertices[mesh.faces]
    return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


def size(mesh: CadMesh) -> np.ndarray:
    used = mesh.vertices[np.unique(mesh.faces)]
    return used.max(axis=0) - used.min(axis=0)


def bracket(y_up: bool = False) -> trimesh.Trimesh:
    return trimesh.Trimesh(VERTICES @ TO_Y_UP.T if y_up else VERTICES, FACES, process=False)


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def exported(tmp_path: Path, suffix: str, **options: object) -> Path:
    content = bracket(y_up=suffix in ("glb", "gltf")).export(file_type=suffix, **options)
    if suffix != "gltf":
        return written(tmp_path / f"part.{suffix}", content)
    for name, blob in content.items():
        written(tmp_path / name, blob)
    return tmp_path / "model.gltf"


def text_stl(vertices: np.ndarray, faces: np.ndarray) -> str:
    corners = ("".join(f"  vertex {x} {y} {z}\n" for x, y, z in vertices[face]) for face in faces)
    facets = (f"facet normal 0 0 0\n outer loop\n{three} endloop\nendfacet\n" for three in corners)
    return "solid part\n" + "".join(facets) + "endsolid part\n"


def boundary_step(unit: str) -> str:
    """A cuboid of 10 × 20 × 40 as a manifold solid of plane faces, ISO 10303-214, in millimetres or inches."""
    lines: list[str] = []

    def add(text: str) -> str:
        lines.append(f"#{len(lines) + 1}={text};")
        return f"#{len(lines)}"

    application = add("APPLICATION_CONTEXT('automotive design')")
    add(f"APPLICATION_PROTOCOL_DEFINITION('international standard','automotive_design',2000,{application})")
    product_context = add(f"PRODUCT_CONTEXT('',{application},'mechanical')")
    product = add(f"PRODUCT('part','part','',({product_context}))")
    formation = add(f"PRODUCT_DEFINITION_FORMATION('','',{product})")
    context = add(f"PRODUCT_DEFINITION_CONTEXT('part definition',{application},'design')")
    definition = add(f"PRODUCT_DEFINITION('','',{formation},{context})")
    shape = add(f"PRODUCT_DEFINITION_SHAPE('','',{definition})")
    length = add("(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT(.MILLI.,.METRE.))")
    if unit == "in":
        exponents = add("DIMENSIONAL_EXPONENTS(1.,0.,0.,0.,0.,0.,0.)")
        inch = add(f"LENGTH_MEASURE_WITH_UNIT(LENGTH_MEASURE(25.4),{length})")
        length = add(f"(CONVERSION_BASED_UNIT('INCH',{inch})LENGTH_UNIT()NAMED_UNIT({exponents}))")
    angle = add("(NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.))")
    solid_angle = add("(NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT())")
    space = add(
        f"(GEOMETRIC_REPRESENTATION_CONTEXT(3)GLOBAL_UNIT_ASSIGNED_CONTEXT(({length},{angle},{solid_angle}))"
        "REPRESENTATION_CONTEXT('',''))"
    )

    def triple(kind: str, values: np.ndarray) -> str:
        return add(f"{kind}('',({','.join(f'{value:.6f}' for value in values)}))")

    def frame(origin: np.ndarray, axis: np.ndarray, reference: np.ndarray) -> str:
        point, z, x = triple("CARTESIAN_POINT", origin), triple("DIRECTION", axis), triple("DIRECTION", reference)
        return add(f"AXIS2_PLACEMENT_3D('',{point},{z},{x})")

    world = frame(np.zeros(3), np.array([0, 0, 1]), np.array([1, 0, 0]))
    points = [add(f"VERTEX_POINT('',{triple('CARTESIAN_POINT', point)})") for point in CUBOID]
    edges: dict[tuple[int, int], str] = {}
    faces = []
    for quad in QUADS:
        oriented = []
        for start, end in zip(quad, quad[1:] + quad[:1], strict=True):
            if (end, start) not in edges:
                along = (CUBOID[end] - CUBOID[start]) / np.linalg.norm(CUBOID[end] - CUBOID[start])
                vector = add(f"VECTOR('',{triple('DIRECTION', along)},1.)")
                line = add(f"LINE('',{triple('CARTESIAN_POINT', CUBOID[start])},{vector})")
                edges[start, end] = add(f"EDGE_CURVE('',{points[start]},{points[end]},{line},.T.)")
            forward = (start, end) in edges
            edge = edges[start, end] if forward else edges[end, start]
            oriented.append(add(f"ORIENTED_EDGE('',*,*,{edge},{'.T.' if forward else '.F.'})"))
        across, along = CUBOID[quad[1]] - CUBOID[quad[0]], CUBOID[quad[2]] - CUBOID[quad[0]]
        normal = np.cross(across, along)
        plane = add(f"PLANE('',{frame(CUBOID[quad[0]], normal / np.linalg.norm(normal), across / np.linalg.norm(across))})")
        loop = add(f"EDGE_LOOP('',({','.join(oriented)}))")
        bound = add(f"FACE_OUTER_BOUND('',{loop},.T.)")
        faces.append(add(f"ADVANCED_FACE('',({bound}),{plane},.T.)"))
    shell = add(f"CLOSED_SHELL('',({','.join(faces)}))")
    solid = add(f"MANIFOLD_SOLID_BREP('',{shell})")
    representation = add(f"ADVANCED_BREP_SHAPE_REPRESENTATION('',({world},{solid}),{space})")
    add(f"SHAPE_DEFINITION_REPRESENTATION({shape},{representation})")
    return (
        "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\nFILE_NAME('part','2026-01-01T00:00:00',(''),(''),'','','');\n"
        "FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));\nENDSEC;\nDATA;\n"
        + "\n".join(lines)
        + "\nENDSEC;\nEND-ISO-10303-21;\n"
    )


def model_3mf(unit: str | None, build: str, objects: str | None = None) -> bytes:
    """A 3MF archive with one tetrahedron of edge 10 as object 1, written by hand."""
    corners = "".join(f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in ((0, 0, 0), (10, 0, 0), (0, 10, 0), (0, 0, 10)))
    triangles = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in ((0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2)))
    mesh = f'<object id="1" type="model"><mesh><vertices>{corners}</vertices><triangles>{triangles}</triangles></mesh></object>'
    name = f' unit="{unit}"' if unit else ""
    model = (
        f'<?xml version="1.0"?><model{name} xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">'
        f"<resources>{mesh}{objects or ''}</resources><build>{build}</build></model>"
    )
    return zipped({"3D/3dmodel.model": model})


def zipped(entries: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def gltf_tree(nodes: list[dict], uri: str, mode: int = 4) -> dict:
    """A tetrahedron with legs of one metre, in `uri`, under the given nodes; the first is the scene's root."""
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": mode}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 1]},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteLength": 48}, {"buffer": 0, "byteOffset": 48, "byteLength": 24}],
        "buffers": [{"byteLength": 72, "uri": uri}],
    }


TETRAHEDRON = struct.pack("<12f", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack("<12H", 0, 2, 1, 0, 1, 3, 1, 2, 3, 0, 3, 2)
INLINE = "data:application/octet-stream;base64," + base64.b64encode(TETRAHEDRON).decode()


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply", "off", "3mf", "glb", "gltf"])
def test_each_mesh_format_gives_back_the_same_part(tmp_path, suffix):
    mesh = read_cad(exported(tmp_path, suffix), unit=None if suffix in ("3mf", "glb", "gltf") else "m")
    scale = 1e-3 if suffix == "3mf" else 1.0
    np.testing.assert_allclose(mesh.vertices.min(axis=0), LOW * scale, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(mesh.vertices.max(axis=0), HIGH * scale, rtol=1e-6, atol=1e-9)
    assert volume(mesh) == pytest.approx(bracket().volume * scale**3, rel=1e-6)
    assert (mesh.vertices.dtype, mesh.faces.dtype, len(mesh.faces)) == (np.float64, np.int32, len(FACES))
    assert (mesh.bodies, mesh.notes) == (1, ())


@pytest.mark.parametrize(("suffix", "options"), [("ply", {"encoding": "ascii"}), ("stl_ascii", {})])
def test_text_variants_are_read_like_binary_ones(tmp_path, suffix, options):
    path = written(tmp_path / f"part.{suffix[:3]}", bracket().export(file_type=suffix, **options))
    assert volume(read_cad(path)) == pytest.approx(bracket().volume, rel=1e-6)


@pytest.mark.parametrize(("unit", "metres"), [("mm", 1e-3), ("in", 0.0254)])
def test_a_step_file_is_read_in_metres_whatever_it_counts_in(tmp_path, unit, metres):
    mesh = read_cad(written(tmp_path / "part.STEP", boundary_step(unit)), unit="cm")
    np.testing.assert_allclose(size(mesh), np.array([10, 20, 40]) * metres, rtol=1e-6)
    assert volume(mesh) == pytest.approx(8000 * metres**3, rel=1e-6)
    assert (mesh.unit, mesh.up, mesh.bodies, len(mesh.faces)) == (unit, "z", 1, 12)


def test_the_step_converter_prints_nothing(tmp_path, capfd):
    read_cad(written(tmp_path / "part.step", boundary_step("mm")))
    with pytest.raises(UnreadableCad):
        read_cad(written(tmp_path / "bad.step", boundary_step("mm").replace("MANIFOLD_SOLID_BREP", "NOTHING_OF_THE_KIND")))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("unit", "metres"), [("mm", 1e-3), ("in", 0.0254), (None, 1.0)])
def test_a_unit_is_taken_from_the_user_where_the_format_has_none(tmp_path, unit, metres):
    mesh = read_cad(exported(tmp_path, "stl"), unit=unit)
    np.testing.assert_allclose(size(mesh), (HIGH - LOW) * metres, rtol=1e-6)
    assert mesh.unit == unit


@pytest.mark.parametrize(("word", "unit", "metres"), [(None, "mm", 1e-3), ("inch", "in", 0.0254), ("micron", "um", 1e-6)])
def test_a_3mf_file_means_millimetres_unless_it_names_a_unit(tmp_path, word, unit, metres):
    mesh = read_cad(written(tmp_path / "part.3mf", model_3mf(word, '<item objectid="1"/>')), unit="m")
    assert mesh.unit == unit
    np.testing.assert_allclose(size(mesh), 10 * metres, rtol=1e-6)


def test_y_up_files_are_turned_to_z_up(tmp_path):
    path = written(tmp_path / "part.stl", bracket(y_up=True).export(file_type="stl"))
    np.testing.assert_allclose(read_cad(path, up="y").vertices.max(axis=0), HIGH, atol=1e-6)
    np.testing.assert_allclose(read_cad(path).vertices.max(axis=0), (VERTICES @ TO_Y_UP.T).max(axis=0), atol=1e-6)
    assert read_cad(exported(tmp_path, "glb"), up="z").up == "y"  # glTF says so itself


def test_instances_are_placed_and_mirrored_ones_stay_outward(tmp_path):
    """A root that doubles sizes holds the part once as it is, and once mirrored and moved through a nested node."""
    nodes = [
        {"children": [1, 2], "scale": [2, 2, 2]},
        {"mesh": 0},
        {"children": [3], "translation": [10, 0, 0]},
        {"mesh": 0, "scale": [-1, 1, 1]},
    ]
    mesh = read_cad(written(tmp_path / "part.gltf", json.dumps(gltf_tree(nodes, INLINE))))
    assert volume(mesh) == pytest.approx(2 * 8 / 6)
    np.testing.assert_allclose(size(mesh), [20, 2, 2])
    half = len(mesh.faces) // 2
    for part in (mesh.faces[:half], mesh.faces[half:]):
        assert volume(CadMesh(mesh.vertices, part, "m", "z", 1, ())) == pytest.approx(8 / 6)
    assert mesh.bodies == 2


def test_components_of_a_3mf_assembly_are_placed_and_mirrored_ones_stay_outward(tmp_path):
    pair = (
        '<object id="2" type="model"><components><component objectid="1"/>'
        '<component objectid="1" transform="-1 0 0 0 1 0 0 0 1 50 0 0"/></components></object>'
    )
    build = '<item objectid="2"/><item objectid="2" transform="1 0 0 0 1 0 0 0 1 0 0 100"/>'
    mesh = read_cad(written(tmp_path / "part.3mf", model_3mf("meter", build, pair)))
    assert (mesh.bodies, len(mesh.faces)) == (4, 16)
    np.testing.assert_allclose(size(mesh), [50, 10, 110])
    for part in np.split(mesh.faces, 4):
        assert volume(CadMesh(mesh.vertices, part, "m", "z", 1, ())) == pytest.approx(1000 / 6)


@pytest.mark.parametrize("suffix", ["obj", "off", "ply"])
def test_quads_and_pentagons_become_triangles(tmp_path, suffix):
    """A prism over a pentagon: two pentagons and five quads, 16 triangles."""
    angle = np.arange(5) * 2 * np.pi / 5
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([np.c_[ring, np.zeros(5)], np.c_[ring, np.ones(5)]])
    polygons = [[4, 3, 2, 1, 0], [5, 6, 7, 8, 9], *([k, (k + 1) % 5, (k + 1) % 5 + 5, k + 5] for k in range(5))]
    rows = "\n".join(" ".join(map(str, point)) for point in points)
    counted = "\n".join(f"{len(polygon)} {' '.join(map(str, polygon))}" for polygon in polygons)
    content = {
        "off": f"OFF\n# a prism\n10 7 15\n{rows}\n{counted}\n",
        "ply": "ply\nformat ascii 1.0\nelement vertex 10\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face 7\nproperty list uchar int vertex_indices\nend_header\n{rows}\n{counted}\n",
        "obj": "".join(f"v {row}\n" for row in rows.split("\n"))
        + "".join(f"f {' '.join(f'{corner + 1}//1' for corner in polygon)}\n" for polygon in polygons),
    }
    mesh = read_cad(written(tmp_path / f"prism.{suffix}", content[suffix]))
    assert len(mesh.faces) == 16
    assert volume(mesh) == pytest.approx(2.5 * np.sin(2 * np.pi / 5))


@pytest.mark.parametrize("head", ["OFF\n4 4 6", "OFF 4 4 6", "OFF4 4 6", "\ufeffCOFF # colours\n\n4 4 6"])
def test_the_counts_of_an_off_file_may_stand_in_its_first_line(tmp_path, head):
    body = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"
    assert volume(read_cad(written(tmp_path / "part.off", f"{head}\n{body}"))) == pytest.approx(1 / 6)


@pytest.mark.parametrize("suffix", ["obj", "off", "ply"])
@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("tilt", [0.0, 0.7])
def test_a_dented_polygon_is_cut_up_within_its_outline(tmp_path, suffix, first, tilt):
    """An L profile: from most corners a fan of its ends would reach over the dent, and show a face where none is."""
    outline = np.roll(np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]), first, axis=0)
    points = np.concatenate([np.column_stack([outline, np.full(6, z)]) for z in (0, 3)]).astype(float)
    points = points @ trimesh.transformations.rotation_matrix(tilt, [1, 2, 3])[:3, :3].T
    sides = [[k, (k + 1) % 6, (k + 1) % 6 + 6, k + 6] for k in range(6)]
    polygons = [[5, 4, 3, 2, 1, 0], [6, 7, 8, 9, 10, 11], *sides]
    if suffix == "obj":
        lines = [f"v {x} {y} {z}" for x, y, z in points] + ["f " + " ".join(str(k + 1) for k in corners) for corners in polygons]
    else:
        head = {
            "off": ["OFF", f"12 {len(polygons)} 0"],
            "ply": [
                *("ply", "format ascii 1.0", "element vertex 12", "property float x", "property float y", "property float z"),
                *(f"element face {len(polygons)}", "property list uchar int vertex_indices", "end_header"),
            ],
        }[suffix]
        lines = [*head, *(f"{x} {y} {z}" for x, y, z in points)]
        lines += [" ".join(map(str, [len(corners), *corners])) for corners in polygons]
    mesh = read_cad(written(tmp_path / f"profile.{suffix}", "\n".join(lines) + "\n"))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_volume
    assert solid.area == pytest.approx(2 * 3 + 8 * 3)
    assert volume(mesh) == pytest.approx(9)


def test_an_obj_without_its_materials_counts_back_and_goes_on_over_lines(tmp_path):
    corners = "v {0} 0 0\nv {1} 0 0\nv {0} 1 0\nv {0} 0 1\n"
    faces = "f -4 -2 -3\nf -4 -3 -1\nf -3 -2 \\\n -1\nf -4 -1 -2\n"
    text = "mtllib http://127.0.0.1:9/gone.mtl\nusemtl steel\n" + "".join(corners.format(x, x + 1) + faces for x in (0, 5))
    mesh = read_cad(written(tmp_path / "part.obj", text))
    assert (volume(mesh), len(mesh.faces)) == (pytest.approx(2 / 6), 8)


@pytest.mark.parametrize(
    ("content", "named", "kind"), [("ply", "stl", "PLY"), ("stl", "step", "STL"), ("glb", "obj", "GLB"), ("off", "3mf", "OFF")]
)
def test_a_mislabelled_mesh_is_read_as_what_it_is(tmp_path, content, named, kind):
    path = exported(tmp_path, content)
    path = path.rename(path.with_name(f"wrong.{named}"))
    mesh = read_cad(path)
    assert volume(mesh) == pytest.approx(bracket().volume, rel=1e-6)
    assert mesh.notes == (f"named .{named}, is {kind}",)


def test_a_binary_stl_whose_header_says_solid_is_binary(tmp_path):
    content = bytearray(exported(tmp_path, "stl").read_bytes())
    content[:80] = b"solid exported by some program".ljust(80)
    assert len(read_cad(written(tmp_path / "part.stl", bytes(content))).faces) == len(FACES)


def test_bytes_after_the_last_triangle_are_ignored_with_a_note(tmp_path):
    mesh = read_cad(written(tmp_path / "part.stl", exported(tmp_path, "stl").read_bytes() + b"\0" * 7))
    assert len(mesh.faces) == len(FACES)
    assert mesh.notes == ("ignored 7 bytes after the last triangle",)


def test_points_and_lines_beside_a_mesh_are_left_out(tmp_path):
    tree = gltf_tree([{"children": [1, 2]}, {"mesh": 0}, {"mesh": 1}], INLINE)
    tree["meshes"].append({"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]})
    mesh = read_cad(written(tmp_path / "part.gltf", json.dumps(tree)))
    assert (len(mesh.faces), mesh.bodies, mesh.notes) == (4, 1, ("ignored 4 vertices of points and lines",))


POINTS_PLY = (
    "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nend_header\n0 0 0\n1 1 1\n"
)
TRIANGLE_OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
BOMB = '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><model><resources/>&b;</model>'
ROOT = [{"mesh": 0}]
DRACO = gltf_tree(ROOT, INLINE) | {"extensionsRequired": ["KHR_draco_mesh_compression"]}
QUANTISED = gltf_tree(ROOT, INLINE)
QUANTISED["accessors"][0] |= {"componentType": 5122, "normalized": True}
INSTANCED = gltf_tree(ROOT, INLINE) | {"extensionsUsed": ["EXT_mesh_gpu_instancing"]}
UNREADABLE = {
    "empty.stl": (b"", "found it empty"),
    "text.stl": ("Dear supplier, please find the part attached.", "found text that begins 'Dear supplier"),
    "picture.step": (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "expected a STEP file, found a PNG image"),
    "picture.stl": (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, "expected an STL file, found a PNG image"),
    "pointer.glb": ("version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer"),
    "archive.3mf": (zipped({"readme.txt": "no model"}), "found a ZIP archive without a 3MF model"),
    "facetless.stl": ("solid nothing\nendsolid nothing\n", "found no triangles"),
    "cut_text.stl": (text_stl(VERTICES, FACES)[:5000], "expected `endsolid`"),
    "cut.stl": (
        b"\0" * 80 + struct.pack("<I", 100) + b"\1" * 500,
        "expected 100 triangles as its header says, found room for 10",
    ),
    "cut.step": (boundary_step("mm")[:3000], "expected END-ISO-10303-21"),
    "hollow.step": (boundary_step("mm").replace("CLOSED_SHELL", "OPEN_QUESTION"), "found none that could be tessellated"),
    "points.ply": (POINTS_PLY, "found 2 points without faces"),
    "lines.obj": ("v 0 0 0\nv 1 1 1\nl 1 2\n", "found 2 points without faces"),
    "points.gltf": (json.dumps(gltf_tree(ROOT, INLINE, mode=0)), "without faces"),
    "sceneless.gltf": (json.dumps({"asset": {"version": "2.0"}, "scenes": [{}], "scene": 0}), "found"),
    "beyond.obj": (TRIANGLE_OBJ + "f 1 2 4\n", "expected vertex numbers from 0 to 2, found 3"),
    "zeroth.obj": (TRIANGLE_OBJ + "f 0 1 2\n", "expected vertex numbers from 0 to 2, found -1"),
    "nan.obj": ("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "expected finite vertices, found 1 of 3"),
    "infinite.obj": ("v 0 0 inf\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "expected finite vertices, found 1 of 3"),
    "letters.obj": ("v 0 0 zero\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "damaged"),
    "beyond.off": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "expected vertex numbers from 0 to 2, found 7"),
    "cut.off": ("OFF\n300 1 0\n0 0 0\n1 0 0\n", "expected 300 vertices and 1 faces, found 2 lines"),
    "bomb.3mf": (zipped({"3D/3dmodel.model": BOMB}), "a document type definition"),
    "unit.3mf": (model_3mf("parsec", '<item objectid="1"/>'), "'parsec'"),
    "buildless.3mf": (model_3mf(None, ""), "found no triangles"),
    "draco.gltf": (json.dumps(DRACO), "KHR_draco_mesh_compression"),
    "quantised.gltf": (json.dumps(QUANTISED), "found normalised ones: export without quantisation"),
    "instanced.gltf": (json.dumps(INSTANCED), "found EXT_mesh_gpu_instancing"),
    "above.gltf": (json.dumps(gltf_tree(ROOT, "../secret.bin")), "expected its buffers in its own folder"),
    "escaped.gltf": (json.dumps(gltf_tree(ROOT, "%2e%2e/secret.bin")), "expected its buffers in its own folder"),
    "absolute.gltf": (json.dumps(gltf_tree(ROOT, "/etc/hostname")), "expected its buffers in its own folder"),
    "remote.gltf": (json.dumps(gltf_tree(ROOT, "http://127.0.0.1:9/a.bin")), "expected its buffers in its own folder"),
    "without.gltf": (json.dumps(gltf_tree(ROOT, "gone.bin")), "expected the buffer gone.bin"),
    "other.gltf": ('{"asset": 3}', "found other JSON"),
}


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_cannot_be_read_is_refused_in_words(tmp_path, name):
    (tmp_path / "secret.bin").write_bytes(TETRAHEDRON)
    folder = tmp_path / "inbox"
    folder.mkdir()
    content, reason = UNREADABLE[name]
    path = written(folder / name, content)
    with pytest.raises(UnreadableCad) as caught:
        read_cad(path)
    assert str(caught.value).startswith(f"{path}: expected ")
    assert "found" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("suffix", ["stl", "ply", "off", "3mf", "glb"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = exported(tmp_path, suffix)
    content = path.read_bytes()
    with pytest.raises(UnreadableCad, match=r"expected .* found "):
        read_cad(written(path, content[: int(share * len(content))]))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95, 1])
def test_a_truncated_text_ply_is_refused(tmp_path, share, end):
    """Its parser takes the faces that are there."""
    mesh = trimesh.Trimesh(VERTICES, FACES, process=False)
    lines = mesh.export(file_type="ply", encoding="ascii").splitlines()
    path = written(tmp_path / "part.ply", end.join(lines[: int(share * len(lines))]) + end)
    if share == 1:
        assert len(read_cad(path).faces) == len(FACES)
        return
    with pytest.raises(UnreadableCad, match=r"part\.ply: expected .* found "):
        read_cad(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(UnreadableCad, match=r"gone\.stl: expected a readable file, found: No such file"):
        read_cad(tmp_path / "gone.stl")


def test_huge_files_and_archives_that_unpack_to_huge_ones_are_refused(tmp_path, monkeypatch):
    small = exported(tmp_path, "stl")
    bomb = written(tmp_path / "bomb.3mf", zipped({"3D/3dmodel.model": model_3mf(None, ""), "thumbnail.png": b"\0" * 3_000_000}))
    monkeypatch.setattr(cad, "MAX_BYTES", 20_000)
    assert bomb.stat().st_size < cad.MAX_BYTES < small.stat().st_size
    with pytest.raises(UnreadableCad, match=r"part\.stl: expected at most .* GB, found"):
        read_cad(small)
    with pytest.raises(UnreadableCad, match=r"bomb\.3mf: expected to unpack to at most"):
        read_cad(bomb)


def test_no_textures_are_opened(tmp_path):
    """A GLB whose picture is damaged is read all the same."""
    tree = gltf_tree(ROOT, INLINE)
    tree["images"] = [{"uri": "data:image/png;base64,AAAA"}, {"uri": "http://127.0.0.1:9/steel.png"}]
    tree["textures"] = [{"source": 0}]
    tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    tree["meshes"][0]["primitives"][0]["material"] = 0
    assert volume(read_cad(written(tmp_path / "part.gltf", json.dumps(tree)))) == pytest.approx(1 / 6)

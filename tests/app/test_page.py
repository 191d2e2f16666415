import json
import re
import subprocess
from html.parser import HTMLParser
from typing import get_args
from urllib.parse import urljoin

import numpy as np
import pytest
import trimesh
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import page
from app.protection import content_security_policy
from app.schemas import TEXT_FIELDS, ReconstructionForm
from app.telemetry import StageSeconds
from model.formats import FORMATS
from model.formats.glb import RESTART_INDEX_16, write_glb
from model.mesh import Mesh
from tests.programs import program

OURS = sorted(path for path, file in page.ASSETS.items() if "swagger" not in file.name)
HTML = [path for path in OURS if page.ASSETS[path].name.endswith(".html")]


class Elements(HTMLParser):
    """All elements of a page, as (tag, attributes), each with the tags around it."""

    EMPTY = frozenset({"meta", "link", "img", "input"})

    def __init__(self, text):
        super().__init__()
        self.found, self.texts, self._open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), tuple(name for name, _ in self._open)))
        if tag not in self.EMPTY:
            self._open.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, text):
        self.texts.append((self._open[-1][0] if self._open else "", text.strip()))

    def of(self, *tags):
        return [attributes for tag, attributes, _ in self.found if tag in tags]


def text_of(path):
    return page.ASSETS[path].read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def elements():
    return Elements(text_of("/"))


@pytest.fixture(scope="module")
def controls(elements):
    """The named fields of the form: name -> (tag, attributes, options)."""
    named, last = {}, None
    for tag, attributes, _ in elements.found:
        if tag in ("input", "select") and "name" in attributes:
            last = named[attributes["name"]] = (tag, attributes, [])
        elif tag == "select":
            last = ("select", attributes, [])
        elif tag == "option":
            last[2].append(attributes["value"])
    return named


@pytest.fixture(scope="module")
def http():
    app = FastAPI(docs_url=None, redoc_url=None)
    app.include_router(page.router())
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("path", page.ASSETS)
def test_every_file_comes_with_its_type_and_content(http, path):
    answer = http.get(path)
    assert answer.status_code == 200
    assert answer.content == page.ASSETS[path].read_bytes()
    expected = {"css": "text/css", "js": "text/javascript", "html": "text/html", "svg": "image/svg+xml"}
    assert answer.headers["Content-Type"].split(";")[0] == expected[page.ASSETS[path].name.rpartition(".")[2]]
    head = http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(answer.content))


@pytest.mark.parametrize("path", page.ASSETS)
def test_a_file_that_the_browser_has_is_not_sent_again(http, path):
    first = http.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    etag = first.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):  # a proxy that compresses makes the tag a weak one
        again = http.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_files_have_different_tags(http):
    assert len({http.get(path).headers["ETag"] for path in page.ASSETS}) == len(page.ASSETS)


def test_pages_are_no_part_of_the_interfaces_description(http):
    assert http.get("/openapi.json").json()["paths"] == {}


@pytest.mark.parametrize("path", OURS)
def test_no_file_of_ours_is_large(path):
    assert len(page.ASSETS[path].read_bytes()) < 100_000


def test_every_file_of_ours_is_served():
    assert {file.name for file in page.OURS.iterdir()} == {page.ASSETS[path].name for path in OURS}


@pytest.mark.parametrize("path", page.ASSETS)
def test_the_policy_lets_a_page_load_own_files_alone(path):
    directives = dict(entry.strip().split(" ", 1) for entry in content_security_policy(path).split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert set(directives["img-src"].split()) == {"'self'", "blob:", "data:"}
    assert "'self'" in directives["connect-src"]
    assert "unsafe" not in content_security_policy(path)


@pytest.mark.parametrize("path", HTML)
def test_a_page_has_nothing_inline(path):
    """The policy would refuse it."""
    elements = Elements(text_of(path))
    assert not elements.of("style")
    assert all("src" in script for script in elements.of("script"))
    assert not [text for tag, text in elements.texts if tag == "script" and text]
    for tag, attributes, _ in elements.found:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag


@pytest.mark.parametrize("path", HTML)
def test_a_page_links_to_what_is_served_and_relatively(path):
    elements = Elements(text_of(path))
    links = [attributes[name] for _, attributes, _ in elements.found for name in ("src", "href") if name in attributes]
    assert links
    for link in links:
        assert not link.startswith("/"), "a proxy may serve everything under a prefix"
        assert urljoin(path, link) in {*page.ASSETS, "/openapi.json"}


@pytest.mark.parametrize("path", OURS)
def test_no_file_names_another_host(path):
    names = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text_of(path))
    assert set(names) <= {"http://www.w3.org"}  # SVG's namespace


@pytest.mark.parametrize("path", [path for path in OURS if path.endswith(".js")])
def test_scripts_import_what_is_served_and_write_no_markup(path):
    script = text_of(path)
    for imported in re.findall(r'from "([^"]+)"', script):
        assert urljoin(path, imported) in page.ASSETS
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


def test_the_script_finds_every_element_that_it_asks_for(elements):
    ids = [attributes["id"] for _, attributes, _ in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    script = text_of("/page/page.js")
    asked = set(re.findall(r'at\("([\w-]+)"\)', script))
    assert asked
    assert asked <= set(ids)
    referred = [
        attributes[name] for _, attributes, _ in elements.found for name in ("aria-describedby", "for") if name in attributes
    ]
    assert set(referred) <= set(ids)


def test_every_control_has_a_label(elements):
    for tag, attributes, around in elements.found:
        if tag in ("input", "select"):
            assert "label" in around or attributes.get("aria-label"), attributes
        if tag == "img":
            assert "alt" in attributes
        if tag == "canvas":
            assert attributes["tabindex"] == "0"
            assert attributes["aria-label"]


def test_the_form_has_the_fields_of_the_interface(controls):
    """The format is chosen beside the download; what `include` adds, the page could not show."""
    assert set(controls) == {"mask", *TEXT_FIELDS} - {"format", "include"}


def test_the_forms_bounds_are_those_of_the_interface(controls):
    schema = ReconstructionForm.model_json_schema()["properties"]
    bounded = 0
    for name, (_, attributes, _) in controls.items():
        if attributes.get("type") == "number":
            field = next((entry for entry in schema[name].get("anyOf", []) if entry["type"] != "null"), schema[name])
            unit = float(attributes.get("data-metres", 1))
            for ours, theirs in (("min", "minimum"), ("max", "maximum")):
                if theirs in field:
                    assert float(attributes[ours]) * unit == pytest.approx(field[theirs]), name
                    bounded += 1
            assert attributes["step"] == ("1" if field["type"] == "integer" else "any")
    assert bounded > 10


def test_the_forms_choices_are_those_of_the_interface(controls):
    for name, (tag, _, options) in controls.items():
        if tag == "select" and name != "resolution":
            assert set(options) == set(get_args(ReconstructionForm.model_fields[name].annotation)), name
    for resolution in controls["resolution"][2]:
        ReconstructionForm.parse({"resolution": resolution})


def test_the_page_offers_every_format_by_its_media_type():
    script = text_of("/page/page.js")
    offered = dict(re.findall(r'(\w+): "([\w/+-]+)"', re.search(r"MEDIA_TYPES = \{(.*?)\}", script)[1]))
    assert offered == {name: entry.media_type for name, entry in FORMATS.items()}
    select = text_of("/").split('id="format"')[1].split("</select>")[0]
    assert re.findall(r'value="(\w+)"', select) == list(offered)


def run_module(folder, code):
    """What a module prints as JSON that stands beside the page's own."""
    for name in ("glb", "service", "viewer"):
        # By this ending, every version of node takes a file for a module.
        (folder / f"{name}.mjs").write_bytes(page.ASSETS[f"/page/{name}.js"].read_bytes())
    (folder / "main.mjs").write_text(code, encoding="utf-8")
    done = subprocess.run([program("node"), "main.mjs"], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


READ = """
import { readFileSync } from "node:fs";
import { readGlb } from "./glb.mjs";
const bytes = readFileSync("mesh.glb");
const glb = readGlb(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const plain = (value) => ArrayBuffer.isView(value) ? [...value] : value;
console.log(JSON.stringify({ ...Object.fromEntries(Object.entries(glb).map(([name, value]) => [name, plain(value)])),
  width: glb.indices.BYTES_PER_ELEMENT, attributes: Object.entries(glb.vertexAttributes).map(([k, v]) => [k, [...v]]) }));
"""


@pytest.mark.parametrize("columns", [9, 257])
def test_the_pages_reader_of_glb_agrees_with_another(tmp_path, columns):
    """A wavy sheet, with few vertices for 16-bit indices, or too many for them."""
    grid = np.arange(columns * columns).reshape(columns, columns)
    a, b, c, d = (part.ravel() for part in (grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]))
    x, y = (axis.ravel().astype(np.float32) for axis in np.meshgrid(np.linspace(-1, 1, columns), np.linspace(0, 3, columns)))
    vertices = np.stack([x, y, np.sin(3 * x * y)], axis=1).astype(np.float32)
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    observed = (x > 0).astype(np.float32)
    mesh = Mesh(vertices, faces, {"units": "metre", "watertight": False}, {"observed": observed})
    (tmp_path / "mesh.glb").write_bytes(write_glb(mesh))

    found = run_module(tmp_path, READ)
    expected = trimesh.load_mesh(tmp_path / "mesh.glb", process=False)
    np.testing.assert_array_equal(np.reshape(found["positions"], (-1, 3)), expected.vertices)
    np.testing.assert_array_equal(np.reshape(found["indices"], (-1, 3)), expected.faces)
    np.testing.assert_allclose(np.reshape(found["normals"], (-1, 3)), expected.vertex_normals, atol=1e-6)
    assert found["width"] == (2 if len(vertices) < RESTART_INDEX_16 else 4)
    np.testing.assert_array_equal([found["low"], found["high"]], mesh.bounds)
    assert found["facts"] == mesh.metadata
    assert found["attributes"] == [["observed", observed.tolist()]]


def test_the_pages_reader_of_glb_refuses_what_is_none(tmp_path):
    triangle = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    whole = write_glb(triangle)
    for name, content in {"whole": whole, "cut": whole[:-4], "json": b'{"title": "a problem, no mesh"}', "empty": b""}.items():
        (tmp_path / name).write_bytes(content)
    answers = run_module(
        tmp_path,
        """
        import { readFileSync } from "node:fs";
        import { readGlb } from "./glb.mjs";
        const told = (name) => {
          const { buffer } = new Uint8Array(readFileSync(name));
          try { return readGlb(buffer).indices.length; } catch (error) { return error.message; }
        };
        console.log(JSON.stringify(["whole", "cut", "json", "empty"].map(told)));
        """,
    )
    assert answers == [
        3,
        f"GLB: expected {len(whole)} bytes, found {len(whole) - 4}",
        "GLB: expected a binary glTF 2 file",
        "GLB: expected a binary glTF 2 file",
    ]


def test_the_page_reads_the_services_timing(tmp_path):
    stages = StageSeconds()
    stages.add("prepare", 0.0125)
    stages.add("query", 1.5)
    code = 'import { stagesOf } from "./service.mjs"; console.log(JSON.stringify([[...stagesOf(%s)], [...stagesOf("")]]));'
    found, nothing = run_module(tmp_path, code % json.dumps(stages.server_timing()))
    assert {"prepare": 0.0125, "query": 1.5}.items() <= dict(found).items()
    assert nothing == []


def test_a_cell_of_the_grid_has_a_round_length(tmp_path):
    code = 'import { roundLength } from "./viewer.mjs"; console.log(JSON.stringify([0.0349, 0.02, 1, 99, 0.5].map(roundLength)));'
    assert run_module(tmp_path, code) == pytest.approx([0.02, 0.02, 1, 50, 0.5])


@pytest.mark.parametrize("path", [path for path in OURS if path.endswith(".js")])
def test_every_script_can_be_parsed(tmp_path, path):
    (tmp_path / "script.mjs").write_text(text_of(path), encoding="utf-8")
    done = subprocess.run([program("node"), "--check", "script.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

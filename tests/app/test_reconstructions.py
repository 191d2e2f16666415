import hashlib
import io
import re

import numpy as np
import pytest
import trimesh
from PIL import Image

from app.errors import NotAcceptable
from app.products import acceptable_format
from app.reconstructions import _multipart
from app.telemetry import STAGES
from docs.examples import include
from model.formats import FORMATS
from model.reconstructor import Options
from tests.app.service import assert_problem


def test_a_photo_becomes_a_glb(client, photo):
    answer = client.reconstruct(photo)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "model/gltf-binary"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="part.glb"'
    mesh = trimesh.load(io.BytesIO(answer.content), file_type="glb", force="mesh")
    assert mesh.is_watertight
    assert len(mesh.faces) == 4


def test_the_etag_is_the_files_sha256(client, photo):
    answer = client.reconstruct(photo)
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'


def test_server_timing_names_every_stage_in_milliseconds(client, photo):
    timing = client.reconstruct(photo).headers["Server-Timing"]
    entries = dict(re.fullmatch(r"(\w+);dur=(\d+\.\d)", entry).groups() for entry in timing.split(", "))
    assert set(entries) == {*STAGES, "total"}


@pytest.mark.parametrize("name", ["glb", "obj", "stl", "ply"])
def test_the_format_field_chooses_the_file(client, photo, name):
    answer = client.reconstruct(photo, {"Accept": "image/png"}, format=name)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == FORMATS[name].media_type
    assert f"part.{name}" in answer.headers["Content-Disposition"]
    mesh = trimesh.load(io.BytesIO(answer.content), file_type=name, force="mesh")
    assert len(mesh.faces) == 4


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("*/*", "glb"),
        ("", "glb"),
        ("model/*", "glb"),
        ("model/stl", "stl"),
        ("MODEL/OBJ", "obj"),
        ("model/stl;q=0.4, model/obj;q=0.5", "obj"),
        ("*/*;q=0.1, model/stl", "stl"),
        ("model/gltf-binary;q=0, */*", "obj"),
        ("text/html, */*;q=0.8", "glb"),
    ],
)
def test_accept_chooses_the_format(accept, name):
    assert acceptable_format(accept) is FORMATS[name]


@pytest.mark.parametrize("accept", ["image/png", "model/stl;q=0", "model/stl;q=much", "text/*"])
def test_accept_without_a_mesh_format_is_refused(accept):
    with pytest.raises(NotAcceptable, match="model/gltf-binary"):
        acceptable_format(accept)


def test_of_an_answer_of_several_parts_accept_chooses_the_mesh_and_need_name_none(client, photo):
    """multipart/mixed is what a generated client asks for, since it is what the answer is."""
    for accept, name in (("multipart/mixed", "part.glb"), ("multipart/mixed, model/stl", "part.stl")):
        answer = client.reconstruct(photo, {"Accept": accept}, include="mask")
        assert answer.status_code == 200
        assert list(include.parts(answer.headers["Content-Type"], answer.content)) == [name, "mask.png"]
    assert_problem(client.reconstruct(photo, {"Accept": "multipart/mixed"}), 406, "not-acceptable")


@pytest.mark.parametrize("content", [b"\r\n--\r", b"\n", b"\r", b"\r\n\r\n--a\r\n", bytes(range(256)) * 40])
def test_the_documented_example_gives_every_byte_as_it_was(content):
    body = _multipart([("mesh", "part.glb", "model/gltf-binary", content), ("mask", "mask.png", "image/png", content)], "b")
    assert include.parts("multipart/mixed; boundary=b", body) == {"part.glb": content, "mask.png": content}


def test_every_field_reaches_the_reconstructor(client, photo, reconstructor):
    fields = {
        "resolution": "64",
        "level": "0.4",
        "keep": "all",
        "target_faces": "500",
        "size": "0.25",
        "size_axis": "depth",
        "background": "alpha",
    }
    assert client.reconstruct(photo, **fields).status_code == 200
    assert reconstructor.asked[0].options == Options(
        resolution=64, level=0.4, keep="all", target_faces=500, size=0.25, size_axis="depth", background="alpha"
    )


def test_without_fields_the_options_are_the_defaults(client, photo, reconstructor):
    client.reconstruct(photo)
    assert reconstructor.asked[0].options == Options()
    assert reconstructor.asked[0].mask is None


def test_the_mask_reaches_the_reconstructor(client, photo, reconstructor):
    expected = np.zeros((48, 64), bool)
    expected[10:20, 30:50] = True
    buffer = io.BytesIO()
    Image.fromarray(expected.astype(np.uint8) * 255).save(buffer, "PNG")
    files = {"image": ("photo.png", photo), "mask": ("mask.png", buffer.getvalue())}
    assert client.post("/reconstruct", files=files).status_code == 200
    np.testing.assert_array_equal(reconstructor.asked[0].mask, expected)


def test_an_empty_file_input_of_a_browser_is_no_mask(client, photo, reconstructor):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + photo + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="mask"; filename=""\r\n\r\n\r\n--b--\r\n'
    )
    answer = client.post("/reconstruct", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 200
    assert reconstructor.asked[0].mask is None


def test_everything_that_computes_runs_beside_the_event_loop(client, photo, reconstructor, monkeypatch):
    """The event loop answers health checks while the reconstructor is at work."""
    reconstructor.gate.clear()
    answer = client.begin_reconstruct(photo)
    assert reconstructor.busy.acquire(timeout=5)
    assert client.get("/health/live").status_code == 200
    assert not answer.done()
    reconstructor.gate.set()
    assert answer.result(5).status_code == 200
    assert reconstructor.asked[0].thread.startswith("reconstruction_")


def test_the_clients_file_name_does_not_come_back(client, photo):
    name = 'evil"; filename=x.exe'
    answer = client.post("/reconstruct", files={"image": (name, photo)})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="part.glb"'


def test_the_documented_example_takes_an_answer_of_several_parts_apart(client, photo):
    answer = client.reconstruct(photo, include="mask,preview")
    found = include.parts(answer.headers["Content-Type"], answer.content)
    assert list(found) == ["part.glb", "mask.png", "preview.png"]
    assert found["part.glb"] == client.reconstruct(photo).content
    assert {Image.open(io.BytesIO(found[name])).format for name in ("mask.png", "preview.png")} == {"PNG"}
    assert all(content in answer.content for content in found.values())

"""docs/examples/demo.py against a stand-in service, and against one that cannot start."""

import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import ExifTags, Image

from docs.examples import demo

STAND_IN = """
import http.server, pathlib, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body=b""):
        self.send_response(200)
        self.send_header("Server-Timing", "prepare;dur=12.5, query;dur=80.1")
        self.end_headers()
        self.wfile.write(body)

    do_GET = answer

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/reconstruct" and b'name="image"; filename="photo.png"' in body
        self.answer(pathlib.Path(sys.argv[1]).read_bytes())

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A disc on a transparent ground, given to the demo as its photo; the demo's output goes to `tmp_path / "out"`."""
    v, u = np.mgrid[-1:1:64j, -1:1:64j]
    pixels = np.full((64, 64, 4), 90, np.uint8)
    pixels[..., 3] = 255 * (u**2 + v**2 < 0.5)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    monkeypatch.setattr(sys, "argv", ["demo.py", str(path)])
    monkeypatch.setattr(demo, "OUT", tmp_path / "out")
    return path


def serve_instead(mesh: trimesh.Trimesh, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let the demo start a stand-in that answers every photo with `mesh`; returns that answer."""
    (folder / "stand_in.py").write_text(STAND_IN)
    content: bytes = mesh.export(file_type="glb")
    (folder / "answer.glb").write_bytes(content)
    monkeypatch.setattr(demo, "SERVE", [sys.executable, str(folder / "stand_in.py"), str(folder / "answer.glb")])
    return content


def test_the_demo_writes_the_mesh_and_its_picture(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = serve_instead(trimesh.creation.icosphere(subdivisions=2, radius=0.4), tmp_path, monkeypatch)
    assert demo.main() == 0
    assert (tmp_path / "out" / "part.glb").read_bytes() == content
    with Image.open(tmp_path / "out" / "part.png") as picture:
        assert picture.size == (3 * demo.TILE, demo.TILE)
        tiles = np.split(np.asarray(picture), 3, axis=1)
    assert all(tile.std() > 1 for tile in tiles)  # something is to be seen in each
    printed = capsys.readouterr().out
    assert "query        80.1" in printed
    assert "watertight yes" in printed


def test_a_phones_photo_is_shown_upright_beside_its_mesh(tmp_path: Path) -> None:
    upright = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4) * 10)
    upright.save(tmp_path / "upright.png")
    orientation = Image.Exif()
    orientation[ExifTags.Base.Orientation] = 6  # to be turned clockwise for viewing
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "phone.png", exif=orientation)
    tiles = [np.asarray(demo.photo_tile(tmp_path / name)) for name in ("upright.png", "phone.png")]
    np.testing.assert_array_equal(*tiles)


def test_an_open_mesh_fails_the_demo(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.4)
    serve_instead(trimesh.Trimesh(sphere.vertices, sphere.faces[:-1]), tmp_path, monkeypatch)
    assert demo.main() == 1
    assert "expected watertight" in capsys.readouterr().err


def test_a_service_that_cannot_start_fails_the_demo_with_its_log(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "SERVE", [sys.executable, "-c", "raise SystemExit('no bundle here')"])
    assert demo.main() == 1
    assert "exit code 1:\nno bundle here" in capsys.readouterr().err

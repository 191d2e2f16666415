"""The real path, bundle and all, over HTTP and from the command line."""

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from app.cli import main
from tests.app.service import assert_problem, encoded, running, until_ready


@pytest.fixture(scope="module")
def real(tiny_bundle):
    """One running service for all tests of this file."""
    from app.settings import Settings

    with running(Settings(bundle=tiny_bundle, device="cpu", threads=1, max_upload_bytes=1_000_000), None) as client:
        yield until_ready(client)


def rgba(alpha):
    pixels = np.full((*alpha.shape, 4), 120, np.uint8)
    pixels[..., 3] = alpha
    return encoded(Image.fromarray(pixels))


def test_a_photo_becomes_a_glb_with_its_story(real, photo):
    answer = real.reconstruct(photo, resolution="32", level="0.05")
    if answer.status_code == 422:  # an untrained field may stay on one side of any level
        assert_problem(answer, 422, "no-surface")
        return
    assert answer.status_code == 200, answer.text
    mesh = trimesh.load(io.BytesIO(answer.content), file_type="glb", force="mesh")
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert real.reconstruct(photo, resolution="32", level="0.05").content == answer.content


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"text", 415, "unsupported-image"),
        (b"", 415, "unsupported-image"),
        (rgba(np.full((1, 1), 255, np.uint8)), 422, "no-foreground"),
        (rgba(np.zeros((64, 64), np.uint8)), 422, "no-foreground"),
    ],
    ids=["text", "empty", "1x1", "transparent"],
)
def test_a_bad_photo_is_a_problem_and_the_service_goes_on(real, photo, content, status, slug):
    assert_problem(real.reconstruct(content), status, slug)
    assert real.reconstruct(photo, resolution="32").headers["X-Request-ID"]
    assert real.get("/health/ready").status_code == 200


def test_a_mask_of_another_size_is_a_problem(real, photo):
    mask = encoded(Image.new("L", (10, 10), 255))
    answer = real.post("/reconstruct", files={"image": ("a.png", photo), "mask": ("m.png", mask)})
    assert_problem(answer, 422, "invalid-mask")


def test_the_command_line_writes_what_the_service_answers(real, photo, tiny_bundle, tmp_path, monkeypatch):
    answer = real.reconstruct(photo, resolution="32")
    (tmp_path / "photo.png").write_bytes(photo)
    monkeypatch.setenv("MONOTWIN_THREADS", "1")
    arguments = [str(tmp_path / "photo.png"), "-o", str(tmp_path / "part.glb"), "--resolution", "32"]
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", *arguments, "--bundle", str(tiny_bundle), "--device", "cpu"])
    if answer.status_code == 200:
        assert not stop.value.code
        assert (tmp_path / "part.glb").read_bytes() == answer.content
    else:
        assert stop.value.code == 1

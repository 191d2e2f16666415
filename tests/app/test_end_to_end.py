"""The real path, bundle and all, over HTTP and from the command line."""

import io
import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from app.cli import main
from tests.app.service import assert_problem, encoded, running, until_ready


@pytest.fixture(scope="module")
def real(tiny_bundle, tmp_path_factory):
    """One running service for all tests of this file."""
    from app.settings import Settings

    data_dir = tmp_path_factory.mktemp("data")
    with running(
        Settings(bundle=tiny_bundle, data_dir=data_dir, device="cpu", threads=1, max_upload_bytes=1_000_000), None
    ) as client:
        yield until_ready(client)


def rgba(alpha):
    pixels = np.full((*alpha.shape, 4), 120, np.uint8)
    pixels[..., 3] = alpha
    return encoded(Image.fromarray(pixels))


def test_a_photo_becomes_a_glb_that_tells_its_story(real, photo):
    answer = real.reconstruct(photo, resolution="32", size="0.2")
    assert answer.status_code == 200, answer.text
    scene = trimesh.load(io.BytesIO(answer.content), file_type="glb")
    mesh = scene.to_mesh()
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert mesh.extents[1] == pytest.approx(0.2, rel=1e-5)
    story = json.loads(answer.content[20 : 20 + int.from_bytes(answer.content[12:16], "little")])["asset"]["extras"]
    assert story["scale_source"] == "declared"
    assert story["resolution"] == 32
    assert story["bundle_sha256"] == real.get("/health/ready").json()["bundle"]["sha256"]


def test_the_same_request_gives_the_same_bytes(real, photo):
    first, second = (real.reconstruct(photo, resolution="32") for _ in range(2))
    assert first.headers["ETag"] == second.headers["ETag"]
    assert first.content == second.content


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
    assert real.reconstruct(photo, resolution="32").status_code == 200


def test_a_mask_of_another_size_is_a_problem(real, photo):
    mask = encoded(Image.new("L", (10, 10), 255))
    answer = real.post("/reconstruct", files={"image": ("a.png", photo), "mask": ("m.png", mask)})
    assert_problem(answer, 422, "invalid-mask")


def test_a_focal_length_that_puts_the_camera_into_the_object_is_a_problem_that_tells_the_least(real, photo):
    """The square of 24 pixels takes 0.9 of its crop; the camera must stand 0.8 crop sides away or more."""
    answer = real.reconstruct(photo, resolution="32", camera="pinhole", focal_length_px="21")
    assert "expected more than 21.33 pixels" in assert_problem(answer, 422, "camera-too-close")["detail"]
    assert real.reconstruct(photo, resolution="32", camera="pinhole", focal_length_px="22").status_code == 200


def test_the_command_line_writes_what_the_service_answers(real, photo, tiny_bundle, tmp_path, monkeypatch):
    (tmp_path / "photo.png").write_bytes(photo)
    monkeypatch.setenv("MONOTWIN_THREADS", "1")
    arguments = [str(tmp_path / "photo.png"), "-o", str(tmp_path / "part.glb"), "--resolution", "32"]
    with pytest.raises(SystemExit) as stop:
        main(["reconstruct", *arguments, "--bundle", str(tiny_bundle), "--device", "cpu"])
    assert not stop.value.code
    assert (tmp_path / "part.glb").read_bytes() == real.reconstruct(photo, resolution="32").content

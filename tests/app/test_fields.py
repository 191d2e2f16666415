"""Every field of a request changes what comes back, in the way that docs/api.md says. Real path, tiny bundle."""

import io
import json
import shutil
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from app.schemas import ReconstructionForm
from app.settings import Settings
from tests.app.service import encoded, running, until_ready

SMALL = {"resolution": "32"}


@pytest.fixture(scope="module")
def other_bundle(tiny_bundle, tmp_path_factory):
    """A folder with a second bundle: the same network, whose surface lies elsewhere by default."""
    folder = tmp_path_factory.mktemp("side-by-side")
    shutil.copytree(tiny_bundle, folder / "other")
    manifest = folder / "other" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "name": "other", "level": 0.3}))
    return folder


@pytest.fixture(scope="module")
def service(tiny_bundle, other_bundle, tmp_path_factory):
    settings = Settings(bundle=tiny_bundle, bundles_dir=other_bundle, device="cpu", data_dir=tmp_path_factory.mktemp("data"))
    with running(settings) as client:
        yield until_ready(client)


def disc_photo():
    """RGBA 64 x 64: an opaque disc, left of the middle, on transparent ground."""
    y, x = np.mgrid[:64, :64] + 0.5
    pixels = np.full((64, 64, 4), 120, np.uint8)
    pixels[..., 3] = 255 * ((x - 28) ** 2 + (y - 32) ** 2 < 20**2)
    return encoded(Image.fromarray(pixels, "RGBA"))


def two_bars():
    """A mask of the same size: two bars, one wider, whose gap parts the mesh."""
    mask = np.zeros((64, 64), np.uint8)
    mask[12:52, 10:24] = 255
    mask[12:52, 30:40] = 255
    return encoded(Image.fromarray(mask))


def answer(service, mask=None, headers=None, **fields):
    files = {"image": ("photo.png", disc_photo())} | ({"mask": ("mask.png", mask)} if mask else {})
    found = service.post("/reconstruct", files=files, data={**SMALL, **fields}, headers=headers)
    assert found.status_code == 200, found.text
    return found


def mesh_of(found):
    return trimesh.load(io.BytesIO(found.content), file_type="glb", force="mesh", process=False)


def mesh(service, mask=None, **fields):
    return mesh_of(answer(service, mask, **fields))


def document(found):
    """The JSON of a GLB."""
    length = struct.unpack_from("<I", found.content, 12)[0]
    return json.loads(found.content[20 : 20 + length])


def facts(service, mask=None, **fields):
    return document(answer(service, mask, **fields))["asset"]["extras"]


def resolution(service):
    assert len(mesh(service, resolution="40").faces) > 1.3 * len(mesh(service, resolution="32").faces)


def level(service):
    assert mesh(service, level="0.3").volume > 1.02 * mesh(service, level="0.7").volume


def keep(service):
    parts = {kept: mesh(service, two_bars(), keep=kept).body_count for kept in ("largest", "all")}
    assert parts == {"largest": 1, "all": 2}


def smooth(service):
    rough, smooth = mesh(service, resolution="64"), mesh(service, resolution="64", smooth="10")
    assert len(rough.faces) == len(smooth.faces)
    assert np.abs(rough.vertices - smooth.vertices).max() > 1e-4
    assert smooth.volume == pytest.approx(rough.volume, rel=0.02)


def target_faces(service):
    assert len(mesh(service, target_faces="200").faces) <= 200 < len(mesh(service).faces)


def camera(service):
    assert not np.allclose(mesh(service, camera="orthographic").bounds, mesh(service, camera="pinhole").bounds, atol=1e-3)


def focal_length_px(service):
    near, far = (mesh(service, focal_length_px=pixels).bounds for pixels in ("100", "1000"))
    assert not np.allclose(near, far, atol=1e-3)
    assert facts(service, focal_length_px="100")["camera_source"] == "request"


def elevation(service):
    """The ball's mesh, cut to a disc, is a ball all the same; its vertices turn."""
    level, turned = mesh(service), mesh(service, elevation="30")
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    np.testing.assert_allclose(turned.vertices, level.vertices @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]).T, atol=1e-5)


def size(service):
    assert np.ptp(mesh(service, size="0.12").bounds, axis=0)[1] == pytest.approx(0.12, rel=1e-5)
    assert facts(service, size="0.12")["units"] == "metre"


def size_axis(service):
    assert np.ptp(mesh(service, two_bars(), size="0.12", size_axis="width").bounds, axis=0)[0] == pytest.approx(0.12, rel=1e-5)


def distance(service):
    sizes = [np.ptp(mesh(service, distance=metres, focal_length_px="100").bounds, axis=0) for metres in ("0.5", "1.0")]
    np.testing.assert_allclose(sizes[1], 2 * sizes[0], rtol=1e-5)
    assert facts(service, distance="0.5", focal_length_px="100")["scale_source"] == "camera"


def confidence(service):
    attributes = [
        document(answer(service, confidence=on))["meshes"][0]["primitives"][0]["attributes"] for on in ("false", "true")
    ]
    assert set(attributes[1]) - set(attributes[0]) == {"_CONFIDENCE", "_OBSERVED"}


def background(service):
    """As a whole, the picture is a square: the ball fits into it, and is not cut to the disc."""
    assert facts(service, background="none")["silhouette_coverage"] < facts(service)["silhouette_coverage"]


def include(service):
    found = answer(service, include="mask,preview")
    kind, boundary = found.headers["Content-Type"].split("; boundary=")
    assert kind == "multipart/mixed"
    parts = [part.split(b"\r\n\r\n", 1) for part in found.content.split(f"--{boundary}".encode())[1:-1]]
    assert [head.split(b'name="')[1].split(b'"')[0] for head, _ in parts] == [b"mesh", b"mask", b"preview"]
    bodies = [body.removesuffix(b"\r\n") for _, body in parts]
    assert bodies[0] == answer(service).content
    seen = np.asarray(Image.open(io.BytesIO(bodies[1])))
    assert (seen.shape, seen[32, 28], seen[2, 2]) == ((64, 64), 255, 0)
    assert Image.open(io.BytesIO(bodies[2])).size == (384, 384)


def bundle(service):
    assert facts(service, bundle="other")["bundle"].startswith("other ")
    assert facts(service, bundle="other")["level"] == 0.3


def format(service):  # noqa: A001 - the field's name
    assert [answer(service, format=name).headers["Content-Type"] for name in ("stl", "ply")] == ["model/stl", "application/x-ply"]


EFFECTS = {
    effect.__name__: effect
    for effect in (
        resolution,
        level,
        keep,
        smooth,
        target_faces,
        camera,
        focal_length_px,
        elevation,
        size,
        size_axis,
        distance,
        confidence,
        background,
        include,
        bundle,
        format,
    )
}


@pytest.mark.parametrize("field", ReconstructionForm.model_fields)
def test_a_field_changes_the_result(service, field):
    EFFECTS[field](service)


def test_no_effect_is_tested_of_a_field_that_is_none():
    assert set(EFFECTS) == set(ReconstructionForm.model_fields)


def test_the_mask_changes_the_result(service):
    assert mesh(service, two_bars(), keep="all").body_count == 2


def test_equal_requests_give_equal_bytes_and_say_so(service):
    first, second = (answer(service, smooth="2", size="0.1", include="preview") for _ in range(2))
    assert first.content == second.content
    assert first.headers["ETag"] == second.headers["ETag"]
    assert answer(service).headers["ETag"] != first.headers["ETag"]

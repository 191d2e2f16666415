"""Renderings as 3D-R2N2 and OccNet publish them: pictures, cameras, crops, and files that are not as they should be."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.shapenet_fixtures import CHAIR, armchair, r2n2_matrices, write_metadata, write_occnet_pictures, write_r2n2
from training.data.readers.labels import ModelId
from training.data.readers.r2n2 import ExternalCamera, OccNetPictures, Picture, Renderings, crop_picture, rendering_camera
from training.errors import UnreadableModel
from training.rendering.cameras import CropCamera

MODEL = ModelId(CHAIR, "armchair")
VIEWS = 3


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A folder of renderings with one model of three views, and its metadata."""
    root = tmp_path_factory.mktemp("ShapeNetRendering")
    return root, write_r2n2(root, str(MODEL), *armchair(), views=VIEWS)


@pytest.fixture
def copied(archive, tmp_path) -> tuple[Renderings, Path]:
    """The same, to be damaged: the reader, and the model's rendering folder."""
    root = tmp_path / "renderings"
    shutil.copytree(archive[0], root)
    return Renderings(root), root / str(MODEL) / "rendering"


@pytest.mark.parametrize(("azimuth", "elevation", "ratio"), [(0, 0, 1), (37.3, 27.5, 0.65), (211, -10, 0.9), (359, 88, 0.95)])
def test_the_camera_sees_points_where_the_published_matrices_put_them(azimuth, elevation, ratio):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    k, rotation, translation = r2n2_matrices(azimuth, elevation, ratio)
    seen = (points @ rotation.T + translation) @ k.T
    camera = rendering_camera(azimuth, elevation, ratio)
    np.testing.assert_allclose(camera.project(points), seen[:, :2] / seen[:, 2:], atol=1e-9)
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) > 0


def test_an_azimuth_of_zero_looks_from_the_front_along_x():
    camera = rendering_camera(0, 0, 1)
    np.testing.assert_allclose(camera.eye, [1.75, 0, 0], atol=1e-12)
    np.testing.assert_allclose(camera.rotation[1], [0, 1, 0], atol=1e-12)
    assert camera.focal_px == 149.84375


def test_pictures_come_in_the_files_order_and_show_what_their_cameras_see(archive):
    root, rows = archive
    vertices, _ = armchair()
    pictures = Renderings(root).views(MODEL)
    assert len(pictures) == VIEWS
    for picture, row in zip(pictures, rows, strict=True):
        assert picture.rgba.shape == (137, 137, 4)
        assert picture.remark == ""
        assert math.degrees(math.asin(picture.camera.rotation[2, 1])) == pytest.approx(row[1])
        visible = np.argwhere(picture.rgba[..., 3] > 0)[:, ::-1]
        projected = picture.camera.project(vertices)
        # A pixel's middle lies half a pixel inside.
        assert np.abs(visible.min(axis=0) - projected.min(axis=0)).max() < 1
        assert np.abs(visible.max(axis=0) + 1 - projected.max(axis=0)).max() < 1


def test_models_are_found_by_their_folders(archive):
    assert Renderings(archive[0]).models() == [MODEL]
    with pytest.raises(UnreadableModel, match="expected a folder with one folder a synset"):
        Renderings(archive[0] / "nowhere").models()


def test_other_line_endings_and_an_empty_last_line_do_no_harm(copied, archive):
    reader, folder = copied
    for name in ("renderings.txt", "rendering_metadata.txt"):
        text = (folder / name).read_text()
        (folder / name).write_bytes(text.replace("\n", "\r\n").encode() + b"\r\n")
    expected, found = Renderings(archive[0]).views(MODEL), reader.views(MODEL)
    assert [picture.camera.eye.tolist() for picture in found] == [picture.camera.eye.tolist() for picture in expected]


def test_an_unusual_elevation_is_remarked_on_and_read(copied, archive):
    reader, folder = copied
    rows = archive[1].copy()
    rows[1, 1] = 42
    write_metadata(folder / "rendering_metadata.txt", rows)
    assert [picture.remark for picture in reader.views(MODEL)] == ["", "elevation outside 25 to 30 degrees", ""]


def with_row(values):
    def damage(folder: Path) -> None:
        lines = (folder / "rendering_metadata.txt").read_text().splitlines()
        lines[1] = values
        (folder / "rendering_metadata.txt").write_text("\n".join(lines))

    return damage


def resaved(convert):
    def damage(folder: Path) -> None:
        with Image.open(folder / "01.png") as image:
            changed = convert(image)
        changed.save(folder / "01.png", "PNG")

    return damage


def truncated(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:300])


def without(name):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(truncated("01.png"), r"01\.png: expected a complete PNG file", id="truncated PNG"),
        pytest.param(lambda f: (f / "01.png").write_bytes(b"hello"), r"01\.png: expected a complete PNG file", id="no PNG"),
        pytest.param(resaved(lambda i: i.convert("RGB")), r"01\.png: .*found 137x137 RGB$", id="three channels"),
        pytest.param(resaved(lambda i: i.resize((128, 128))), r"01\.png: .*found 128x128 RGBA$", id="other size"),
        pytest.param(resaved(lambda i: Image.new("RGBA", i.size)), r"01\.png: expected an object", id="nothing in it"),
        pytest.param(without("01.png"), r"rendering: expected the 3 PNG files .*, found 2$", id="missing PNG"),
        pytest.param(lambda f: shutil.copy(f / "01.png", f / "03.png"), r"expected the 3 PNG files .*, found 4$", id="extra PNG"),
        pytest.param(lambda f: (f / "01.png").rename(f / "99.png"), r"01\.png: expected a complete PNG file", id="other name"),
        pytest.param(without("renderings.txt"), r"renderings\.txt: expected a text file", id="no list"),
        pytest.param(without("rendering_metadata.txt"), r"rendering_metadata\.txt: expected a text file", id="no metadata"),
        pytest.param(with_row(""), r"rendering_metadata\.txt: expected a row for each of the 3 pictures .*found 2$", id="rows"),
        pytest.param(with_row("10 nan 0 0.8 25"), r"metadata\.txt, row 2: expected 5 finite numbers", id="NaN"),
        pytest.param(with_row("10 27 0 25"), r"metadata\.txt, row 2: expected 5 finite numbers", id="four numbers"),
        pytest.param(with_row("10 27 0 far 25"), r"metadata\.txt, row 2: expected 5 finite numbers", id="words"),
        pytest.param(with_row("10 27 5 0.8 25"), r"01\.png: expected an in-plane rotation of 0 .*found 5 and 0\.8$", id="roll"),
        pytest.param(with_row("10 27 0 0 25"), r"01\.png: .* positive distance ratio .*found 0 and 0$", id="no distance"),
        pytest.param(lambda f: (f / "renderings.txt").write_bytes(b"\xff\xfe"), r"renderings\.txt: expected a text", id="bytes"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_with_the_files_name(copied, damage, message):
    reader, folder = copied
    damage(folder)
    with pytest.raises(UnreadableModel, match=message):
        reader.views(MODEL)


def test_the_fingerprint_changes_with_the_metadata(copied, archive):
    reader, folder = copied
    before = reader.fingerprint(MODEL)
    assert reader.fingerprint(MODEL) == before != ""
    write_metadata(folder / "rendering_metadata.txt", archive[1][:, ::-1])
    assert reader.fingerprint(MODEL) != before


def picture_of(rgba: np.ndarray) -> Picture:
    """A picture by a camera at (0, 0, 2), 100 pixels of focal length, looking along -z through the picture's middle."""
    height, width = rgba.shape[:2]
    return Picture(rgba, ExternalCamera(100.0, np.array([width / 2, height / 2]), np.eye(3), np.array([0.0, 0, 2])))


def crop_of(left: float, top: float, side: float, picture: Picture) -> CropCamera:
    """The crop camera for a square in the picture's pixels."""
    x, y = (np.array([left, top]) + side / 2 - picture.camera.principal) / picture.camera.focal_px
    return CropCamera(picture.camera.rotation, picture.camera.eye, np.array([x, -y]), side / picture.camera.focal_px)


@pytest.fixture
def speckled() -> Picture:
    return picture_of(
        np.random.default_rng(0).integers(0, 256, (40, 60, 4)).astype(np.uint8) | np.array([0, 0, 0, 128], np.uint8)
    )


def test_a_crop_at_whole_pixels_and_the_same_size_is_a_cut_out(speckled):
    cut = crop_picture(speckled, crop_of(7, 4, 32, speckled), 32)
    difference = cut.astype(int) - speckled.rgba[4:36, 7:39]
    assert np.abs(difference).max() <= 1  # colours are multiplied by alpha and divided again


def test_a_crop_half_a_pixel_off_is_the_mean_of_neighbours(speckled):
    opaque = picture_of(np.concatenate([speckled.rgba[..., :3], np.full((40, 60, 1), 255, np.uint8)], axis=2))
    found = crop_picture(opaque, crop_of(7.5, 4, 32, opaque), 32)[..., :3]
    pixels = opaque.rgba[4:36, :, :3].astype(float)
    assert np.abs(found - (pixels[:, 7:39] + pixels[:, 8:40]) / 2).max() <= 1.01


@pytest.mark.parametrize("size", [16, 64, 200])
def test_a_crop_keeps_places_when_it_shrinks_or_enlarges(size):
    ramp = np.full((40, 60, 4), 255, np.uint8)
    ramp[..., 0], ramp[..., 1] = 4 * np.arange(60), 6 * np.arange(40)[:, None]
    picture = picture_of(ramp)
    found = crop_picture(picture, crop_of(12.3, 5.6, 30.1, picture), size).astype(float)
    middles = (np.arange(size) + 0.5) / size * 30.1 - 0.5
    # In pixels of the picture; interpolation between two of them is no straight line, but on average it goes through the middle.
    across, along = found[..., 0] / 4 - (12.3 + middles), found[..., 1] / 6 - (5.6 + middles)[:, None]
    assert max(np.abs(across).max(), np.abs(along).max()) < 0.3
    assert max(abs(across.mean()), abs(along.mean())) < 0.03


def test_colour_under_alpha_0_does_not_bleed_in():
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[..., 1] = 255
    rgba[10:30, 20:40] = [200, 0, 0, 255]
    picture = picture_of(rgba)
    found = crop_picture(picture, crop_of(9.7, 0.2, 39.3, picture), 97)
    assert set(np.unique(found[..., 3])) > {0, 255}
    visible = found[found[..., 3] > 0]
    assert (np.abs(visible[:, 0].astype(int) - 200) <= 2).all()
    assert (visible[:, 1:3] <= 2).all()
    assert (found[found[..., 3] == 0] == 0).all()


def test_a_crop_beyond_the_picture_is_transparent_there():
    picture = picture_of(np.full((40, 60, 4), 255, np.uint8))
    found = crop_picture(picture, crop_of(-10, -30, 100, picture), 100)
    expected = np.zeros((100, 100), bool)
    expected[30:70, 10:70] = True
    assert (found[..., 3] == np.where(expected, 255, 0)).all()


@pytest.mark.parametrize("size", [137, 224])
def test_occnets_pictures_have_the_same_cameras_and_nearly_the_same_silhouettes(archive, tmp_path, size):
    root, rows = archive
    write_occnet_pictures(tmp_path, str(MODEL), root / str(MODEL) / "rendering", rows, size)
    reader = OccNetPictures(tmp_path)
    assert reader.models() == [MODEL]
    assert reader.fingerprint(MODEL)
    vertices, _ = armchair()
    for original, found in zip(Renderings(root).views(MODEL), reader.views(MODEL), strict=True):
        assert found.rgba.shape == (size, size, 4)
        np.testing.assert_allclose(found.camera.project(vertices), original.camera.project(vertices) * size / 137, atol=1e-6)
        np.testing.assert_allclose(found.camera.rotation, original.camera.rotation, atol=1e-9)
        np.testing.assert_allclose(found.camera.eye, original.camera.eye, atol=1e-9)
        alpha = np.asarray(Image.fromarray(original.rgba[..., 3]).resize((size, size), Image.Resampling.BILINEAR)) > 127
        mask = found.rgba[..., 3] > 127
        # The flood stops at the first tint, so this alpha is wider by part of a pixel.
        assert (mask & alpha).sum() / (mask | alpha).sum() > 0.93


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(without("cameras.npz"), r"cameras\.npz: expected world_mat", id="no cameras"),
        pytest.param(truncated("cameras.npz"), r"cameras\.npz: expected world_mat", id="truncated cameras"),
        pytest.param(truncated("001.jpg"), r"001\.jpg: expected a complete JPEG file", id="truncated JPEG"),
        pytest.param(
            lambda f: np.savez(
                f / "cameras.npz", **{f"{k}_mat_{n}": np.eye(3, 4) for k in ("world", "camera") for n in range(3)}
            ),
            r"cameras\.npz: expected world_mat_0 \(3, 4\) to turn and move and camera_mat_0 \(3, 3\)",
            id="other shapes",
        ),
        pytest.param(
            lambda f: Image.new("RGB", (137, 137), "white").save(f / "001.jpg"), r"001\.jpg: expected an object", id="white"
        ),
        pytest.param(lambda f: [path.unlink() for path in f.glob("*.jpg")], r"img_choy2016: expected pictures", id="no pictures"),
    ],
)
def test_what_is_wrong_with_occnets_pictures_is_said_with_the_files_name(archive, tmp_path, damage, message):
    root, rows = archive
    damage(write_occnet_pictures(tmp_path, str(MODEL), root / str(MODEL) / "rendering", rows))
    with pytest.raises(UnreadableModel, match=message):
        OccNetPictures(tmp_path).views(MODEL)

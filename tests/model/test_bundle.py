"""Bundles: written whole, read with care."""

import json
import shutil
from pathlib import Path

import pytest

from model.errors import BundleError
from model.runtime.bundle import DECODER, ENCODER, MANIFEST, WEIGHTS, read_bundle, verify_file, write_bundle


@pytest.fixture
def copy(tiny_bundle, tmp_path) -> Path:
    """A bundle that a test may harm."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def edit_manifest(directory: Path, **changes) -> None:
    manifest = json.loads((directory / MANIFEST).read_text())
    (directory / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_bundle_comes_back_as_it_was_written(tiny_bundle, tmp_path):
    bundle = read_bundle(tiny_bundle)
    files = {name: bundle.path(name).read_bytes() for name in bundle.manifest.files}
    written = write_bundle(tmp_path / "again", bundle.manifest, files)
    assert written.manifest == bundle.manifest
    assert written.sha256 == bundle.sha256
    assert contents(tmp_path / "again") == contents(tiny_bundle)
    assert (written.name, written.version) == ("tiny", "1")


def test_the_manifest_tells_what_serving_needs(tiny_bundle):
    manifest = read_bundle(tiny_bundle).manifest
    assert (manifest.image_size, manifest.camera, manifest.level) == (64, "pinhole", 0.5)
    assert (manifest.frame.fill, manifest.frame.half_depth) == (0.9, 0.75)
    assert (manifest.labels.final_s, manifest.labels.voxels_per_side) == (0.2, 256)
    assert set(manifest.files) == {ENCODER, DECODER, WEIGHTS, "README.md"}


@pytest.mark.parametrize("file", [ENCODER, DECODER])
def test_a_tampered_graph_is_refused_in_words(copy, file):
    with (copy / file).open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(BundleError, match=rf"{file}: expected sha256 [0-9a-f]{{64}}, found [0-9a-f]{{64}}"):
        read_bundle(copy)


@pytest.mark.parametrize("file", [ENCODER, DECODER])
def test_a_missing_graph_is_refused_in_words(copy, file):
    (copy / file).unlink()
    with pytest.raises(BundleError, match=f"expected {file}, found none"):
        read_bundle(copy)


def test_serving_does_not_read_the_weights(copy):
    (copy / WEIGHTS).unlink()
    bundle = read_bundle(copy)
    with pytest.raises(BundleError, match=f"expected {WEIGHTS}, found none"):
        verify_file(bundle, WEIGHTS)


def test_a_manifest_that_does_not_list_a_graph_is_refused(copy):
    edit_manifest(copy, files={})
    with pytest.raises(BundleError, match=f"expected {ENCODER} in the manifest, found \\[\\]"):
        read_bundle(copy)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"colour": "blue"}, "colour: Extra inputs are not permitted"),
        ({"format": 2}, "format: Input should be 1"),
        ({"camera": "fisheye"}, "camera: "),
        ({"image_size": 8}, "image_size: "),
        ({"frame": {"fill": 0.8, "half_depth": 0.75}}, r"expected the frame fill=0\.9 .*found fill=0\.8"),
        ({"frame": {"fill": 0.9, "half_depth": 0.5}}, r"expected the frame .*found .*half_depth=0\.5"),
    ],
)
def test_a_manifest_of_another_making_is_refused_in_words(copy, changes, told):
    edit_manifest(copy, **changes)
    with pytest.raises(BundleError, match=told):
        read_bundle(copy)


def test_a_manifest_that_is_no_json_is_refused_in_words(copy):
    (copy / MANIFEST).write_bytes(b"\xff{")
    with pytest.raises(BundleError, match=r"manifest\.json: expected a manifest of format 1"):
        read_bundle(copy)


def test_a_folder_without_manifest_and_no_folder_at_all_are_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(BundleError, match=r"expected a bundle folder with manifest\.json, found none"):
            read_bundle(path)


def test_writing_over_a_bundle_replaces_it_whole(copy):
    bundle = read_bundle(copy)
    (copy / "stray.txt").write_text("of the old one")
    files = {name: bundle.path(name).read_bytes() for name in (ENCODER, DECODER)}
    written = write_bundle(copy, bundle.manifest.model_copy(update={"version": "2"}), files)
    assert written.version == "2"
    assert {path.name for path in copy.iterdir()} == {ENCODER, DECODER, MANIFEST}
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_writing_that_fails_half_way_leaves_the_old_bundle(copy, monkeypatch):
    bundle = read_bundle(copy)
    before = contents(copy)
    files = {name: bundle.path(name).read_bytes() for name in bundle.manifest.files}
    write_bytes = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if path.name == DECODER:
            raise OSError("no space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space left"):
        write_bundle(copy, bundle.manifest, files)
    monkeypatch.undo()
    assert contents(copy) == before
    assert write_bundle(copy, bundle.manifest, files).sha256 == bundle.sha256  # what the failed one left is no obstacle

"""Sharded archives of licensed meshes."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import build
from tests.training import solids
from training.data.readers.industrial import COLUMNS, IndustrialShards, is_industrial, read_shape
from training.data.sets import SetConfig, build_set
from training.data.shapes import PreparedShape
from training.errors import TrainingError, UnreadableModel

SMALL = SetConfig(views=1, image_size=16, near_points=50, uniform_points=50)
SOLIDS = (solids.box(0.6, 1.0, 0.4), solids.angle_bracket(), solids.sphere(0.5, 32))


def write_shard(path: Path, shapes: tuple[solids.Solid, ...]) -> None:
    """As the format says: steps of 1/65535 of the box, each row stored as the difference to the one before."""
    arrays: dict[str, list[np.ndarray]] = {"verts": [], "faces": [], "box": []}
    for vertices, faces in shapes:
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        steps = np.round((vertices - low) / (high - low) * 65535).astype(np.uint16)
        for name, rows in (("verts", steps), ("faces", faces.astype(np.uint16))):
            arrays[name].append(np.diff(rows, axis=0, prepend=np.zeros((1, 3), np.uint16)).astype(np.uint16))
        arrays["box"].append(np.stack([low, high]))
    offsets = {
        offset: np.cumsum([0, *(len(rows) for rows in arrays[name])]) for offset, name in (("voff", "verts"), ("foff", "faces"))
    }
    box = np.array(arrays["box"], np.float32)
    np.savez_compressed(path, verts=np.concatenate(arrays["verts"]), faces=np.concatenate(arrays["faces"]), box=box, **offsets)


@pytest.fixture
def archive(tmp_path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    write_shard(folder / "train_00.npz", SOLIDS[:2])
    write_shard(folder / "test_00.npz", SOLIDS[2:])
    rows = [
        ("crate", "train", "train_00.npz", 0, "building", "boxes", "ada/boxes", "crate.stl", "MIT"),
        ("bracket", "train", "train_00.npz", 1, "component", "brackets", "bob/parts", "bracket.step", "CC-BY-SA-4.0"),
        ("ball", "test", "test_00.npz", 0, "component", "balls", "ada/boxes", "ball.stl", "MIT"),
    ]
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (folder / "LICENCES.md").write_text(
        "| source | licence (SPDX) | shapes | copyright |\n| --- | --- | --- | --- |\n"
        "| [ada/boxes](https://example.com/ada/boxes) | MIT | 2 | Copyright (c) 1843 Ada |\n"
    )
    return folder


@pytest.mark.parametrize("number", [0, 1])
def test_shapes_come_back_to_within_half_a_step(archive, number):
    vertices, faces = read_shape(archive / "train_00.npz", number)
    wanted, wanted_faces = SOLIDS[number]
    assert np.abs(vertices - wanted).max() <= 0.5 * np.ptp(wanted, axis=0).max() / 65535 + 1e-7  # float32 boxes
    np.testing.assert_array_equal(faces, wanted_faces)


def test_an_archive_becomes_a_set_with_its_splits_families_and_licences(archive, tmp_path):
    assert is_industrial(archive)
    index = build_set(IndustrialShards(directory=archive), SMALL, tmp_path / "set")
    assert [(e.name, e.split, e.family, e.kind) for e in index.entries] == [
        ("crate", "train", "boxes", "structure"),
        ("bracket", "train", "brackets", "component"),
        ("ball", "test", "balls", "component"),
    ]
    assert [(e.licence, e.attribution) for e in index.entries] == [
        ("MIT", "ada/boxes: Copyright (c) 1843 Ada"),
        ("CC-BY-SA-4.0", "bob/parts"),
        ("MIT", "ada/boxes: Copyright (c) 1843 Ada"),
    ]
    ball = PreparedShape.read(index.path(index.entries[2]))
    np.testing.assert_allclose(ball.distance, np.linalg.norm(ball.points_object, axis=1) - 0.5, atol=0.01)


def test_a_licence_can_be_left_out_and_is_not_forgotten(archive):
    listing = IndustrialShards(directory=archive, without_licences=("CC-BY-SA-4.0",)).listing()
    assert [item.name for item in listing.items] == ["crate", "ball"]
    assert [(refusal.name, refusal.reason) for refusal in listing.ignored] == [("bracket", "licence CC-BY-SA-4.0")]


def test_a_folder_of_cad_files_is_no_archive(tmp_path):
    assert not is_industrial(tmp_path)
    (tmp_path / "manifest.csv").write_text("file,family\na.stl,b\n")
    assert not is_industrial(tmp_path)


def test_a_damaged_shard_is_named(archive):
    shard = archive / "test_00.npz"
    shard.write_bytes(shard.read_bytes()[:300])
    with pytest.raises(UnreadableModel, match=r"test_00\.npz: expected a shard with verts, faces"):
        read_shape(shard, 0)


def test_a_shape_that_the_shard_does_not_hold_is_refused(archive):
    with pytest.raises(UnreadableModel, match=r"train_00\.npz: expected at least 3 shapes, found 2"):
        read_shape(archive / "train_00.npz", 2)


def test_a_missing_shard_and_a_missing_column_are_named(archive):
    (archive / "test_00.npz").unlink()
    with pytest.raises(UnreadableModel, match=r"test_00\.npz: expected a shard that the manifest names"):
        IndustrialShards(directory=archive).listing()
    (archive / "manifest.csv").write_text("id,shard,index\n")
    with pytest.raises(TrainingError, match=r"manifest\.csv: expected the columns .*, found none named category, family"):
        IndustrialShards(directory=archive).listing()


@pytest.mark.parametrize(("good", "bad"), [("test,test_00", "holdout,test_00"), ("npz,1,", "npz,one,")])
def test_a_row_with_an_unknown_split_or_index_is_named(archive, good, bad):
    """A shape in a split of its own would be in the set, and in no training, validation or test."""
    text = (archive / "manifest.csv").read_text()
    assert text.count(good) == 1
    (archive / "manifest.csv").write_text(text.replace(good, bad))
    with pytest.raises(TrainingError, match=r"manifest\.csv, line [34]: expected split train, val, test and a whole index"):
        IndustrialShards(directory=archive).listing()


def test_options_that_an_archive_would_ignore_are_refused(archive, tmp_path):
    result = CliRunner().invoke(build(), ["data", "prepare", str(archive), "--out", str(tmp_path / "set"), "--unit", "mm"])
    assert result.exit_code == 2
    assert "the archive says it all itself" in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())

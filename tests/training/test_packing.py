"""Sets that travel as seeds and meshes, and files that travel in parts."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from training import packing
from training.cli import register
from training.data.index import DataIndex
from training.data.procedural import ProceduralParts
from training.data.sets import RECIPE, SetConfig, build_set
from training.data.shapes import LAYOUT, PreparedShape
from training.errors import TrainingError
from training.packing import PackedShapes, pack
from training.parts import join_file, split_file
from training.sampling.pools import VOXEL
from training.sampling.solids import ClosedMesh, object_frame

SMALL = SetConfig(views=1, image_size=16, near_points=300, uniform_points=200)
ROOM = 1_000_000
ROUNDING_VOXELS = 0.02  # of a label: float32 coordinates, and vertices rounded to 1/65535 of the box


@pytest.fixture
def packed(tiny_set, tmp_path) -> Path:
    pack([tiny_set.directory], tmp_path / "packed", ROOM)
    return tmp_path / "packed"


@pytest.fixture(scope="module")
def catalogue_set(tmp_path_factory) -> DataIndex:
    source = ProceduralParts(shapes=2, seed=3, families=("flange", "pulley"))
    return build_set(source, SMALL, tmp_path_factory.mktemp("catalogue"))


def edited(packed: Path, **changes: object) -> None:
    path = packed / "pack.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_meshes_come_back_with_labels_within_a_fiftieth_of_a_voxel(packed, tiny_set, tmp_path):
    index = build_set(PackedShapes(directory=packed), SMALL, tmp_path / "set")
    assert not index.rejected
    for old, new in zip(tiny_set.entries, index.entries, strict=True):
        truth, found = PreparedShape.read(tiny_set.path(old)), PreparedShape.read(index.path(new))
        expected = ClosedMesh(object_frame(truth.vertices)[0], truth.faces).signed_distance(found.points_object)
        assert np.abs(found.distance - expected).max() < ROUNDING_VOXELS * VOXEL


def test_names_splits_families_kinds_and_licences_come_along(packed, tiny_set, tmp_path):
    licensed = dataclasses.replace(tiny_set.entries[0], licence="CC-BY-4.0", attribution="Ada: 1843")
    directory = tmp_path / "licensed"
    directory.mkdir()
    (directory / "shapes").symlink_to(tiny_set.directory / "shapes")
    dataclasses.replace(tiny_set, directory=directory, entries=(licensed, *tiny_set.entries[1:])).write()
    pack([directory], tmp_path / "again", ROOM)
    index = build_set(PackedShapes(directory=tmp_path / "again"), SMALL, tmp_path / "set")
    kept = ("name", "split", "family", "kind", "licence", "attribution")
    old = [[getattr(entry, name) for name in kept] for entry in DataIndex.read(directory).entries]
    assert [[getattr(entry, name) for name in kept] for entry in index.entries] == old
    assert index.attribution("train") == ["Ada: 1843 (CC-BY-4.0)"]


def test_procedural_parts_travel_as_seeds_and_come_back_the_same_to_the_bit(catalogue_set, tmp_path):
    written = pack([catalogue_set.directory], tmp_path / "packed", ROOM)
    assert (written.shapes, written.seeds, [file.name for file in written.files]) == (2, 2, ["pack.json"])
    index = build_set(PackedShapes(directory=tmp_path / "packed"), SMALL, tmp_path / "set")
    for old, new in zip(catalogue_set.entries, index.entries, strict=True):
        truth, found = PreparedShape.read(catalogue_set.path(old)), PreparedShape.read(index.path(new))
        for name in LAYOUT:
            np.testing.assert_array_equal(getattr(found, name), getattr(truth, name), err_msg=name)


def test_parts_of_another_catalogue_travel_as_meshes(catalogue_set, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "catalogue_digest", lambda: "newer")
    assert pack([catalogue_set.directory], tmp_path / "packed", ROOM).seeds == 0


def test_seeds_are_refused_by_another_catalogue(catalogue_set, tmp_path, monkeypatch):
    pack([catalogue_set.directory], tmp_path / "packed", ROOM)
    monkeypatch.setattr(packing, "catalogue_digest", lambda: "newer")
    with pytest.raises(
        TrainingError, match=r"expected the catalogue that it was packed with \(\w{12}\), found another \(newer\)"
    ):
        PackedShapes(directory=tmp_path / "packed").listing()


def test_several_sets_become_one(tiny_set, catalogue_set, tmp_path):
    assert pack([tiny_set.directory, catalogue_set.directory], tmp_path / "packed", ROOM).shapes == 8
    items = PackedShapes(directory=tmp_path / "packed").listing().items
    assert [item.name for item in items] == [entry.name for entry in (*tiny_set.entries, *catalogue_set.entries)]


def test_the_same_name_in_two_sets_is_refused(tiny_set, tmp_path):
    with pytest.raises(TrainingError, match="names: expected each once in all sets, found train-0 twice"):
        pack([tiny_set.directory, tiny_set.directory], tmp_path / "packed", ROOM)


def test_no_part_is_larger_than_asked(tiny_set, tmp_path):
    largest = 14_000
    written = pack([tiny_set.directory], tmp_path / "packed", largest)
    sizes = [file.stat().st_size for file in written.files if file.suffix == ".npz"]
    assert len(sizes) > 1
    assert max(sizes) <= largest
    index = build_set(PackedShapes(directory=tmp_path / "packed"), SMALL, tmp_path / "set")
    assert len(index.entries) == len(tiny_set.entries)


def test_a_shape_that_no_part_can_hold_is_refused(tiny_set, tmp_path):
    with pytest.raises(TrainingError, match=r"meshes-000\.npz: expected room for \d+ bytes, found parts of 500"):
        pack([tiny_set.directory], tmp_path / "packed", 500)


def test_a_folder_with_files_in_it_is_not_packed_into(packed, tiny_set):
    with pytest.raises(TrainingError, match="expected an empty folder, found files"):
        pack([tiny_set.directory], packed, ROOM)


def test_pictures_of_a_data_set_are_not_left_behind(tmp_path, tiny_set):
    (tmp_path / "set" / "shapes").mkdir(parents=True)
    entry = tiny_set.entries[0]
    shape = PreparedShape.read(tiny_set.path(entry)).with_origin({RECIPE: {"source": "ShapeNetModels"}})
    shape.write(tmp_path / "set" / entry.file)
    dataclasses.replace(tiny_set, directory=tmp_path / "set", entries=(entry,)).write()
    with pytest.raises(TrainingError, match="expected pictures that can be rendered anew, found those of a data set"):
        pack([tmp_path / "set"], tmp_path / "packed", ROOM)


def test_a_damaged_part_is_refused_by_name(packed):
    part = packed / "meshes-000.npz"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(TrainingError, match=r"meshes-000\.npz: expected sha256 [0-9a-f]{64}, found [0-9a-f]{64}; carry the part"):
        PackedShapes(directory=packed).listing()


def test_a_missing_part_is_refused_by_name(packed):
    (packed / "meshes-000.npz").unlink()
    with pytest.raises(TrainingError, match=r"meshes-000\.npz: expected a part of the packed set, found: .*No such file"):
        PackedShapes(directory=packed).listing()


def test_another_version_is_refused(packed):
    edited(packed, version=7)
    with pytest.raises(TrainingError, match=r"expected the list of a packed set, version 1, found: .*version 7"):
        PackedShapes(directory=packed).listing()


def test_the_commands_pack_and_unpack(tiny_set, tmp_path):
    app = typer.Typer()
    register(app)

    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    assert "6 shapes, 0 of them as seeds" in run("data", "pack", tiny_set.directory, "--out", tmp_path / "packed")
    points = ("--near-points", 50, "--uniform-points", 50)
    run(
        "data",
        "unpack",
        tmp_path / "packed",
        "--out",
        tmp_path / "set",
        "--views",
        3,
        "--image-size",
        16,
        *points,
        "--workers",
        1,
    )
    index = DataIndex.read(tmp_path / "set")
    assert {PreparedShape.read(file).view_count for split in ("train", "val", "test") for file in index.files(split)} == {3}
    with (tmp_path / "set" / "report.csv").open() as file:
        assert len(list(csv.reader(file))) == 7


def test_a_file_in_parts_comes_back(tmp_path, rng):
    content = rng.bytes(2500)
    (tmp_path / "weights.pt").write_bytes(content)
    listed = split_file(tmp_path / "weights.pt", tmp_path / "parts", 1000)
    assert sorted((path.name, path.stat().st_size) for path in (tmp_path / "parts").glob("weights.pt.0*")) == [
        ("weights.pt.000", 1000),
        ("weights.pt.001", 1000),
        ("weights.pt.002", 500),
    ]
    join_file(listed, tmp_path / "joined" / "weights.pt")
    assert (tmp_path / "joined" / "weights.pt").read_bytes() == content


@pytest.mark.parametrize("damage", ["change", "cut", "remove", "swap"])
def test_damaged_parts_of_a_file_are_refused_and_nothing_is_left(tmp_path, damage, rng):
    (tmp_path / "file").write_bytes(rng.bytes(250))
    listed = split_file(tmp_path / "file", tmp_path / "parts", 100)
    part, other = tmp_path / "parts" / "file.001", tmp_path / "parts" / "file.000"
    if damage == "change":
        part.write_bytes(bytes(100))
    elif damage == "cut":
        part.write_bytes(part.read_bytes()[:50])
    elif damage == "remove":
        part.unlink()
    else:
        part.write_bytes(other.read_bytes())
    with pytest.raises(TrainingError, match=r"file\.001: expected"):
        join_file(listed, tmp_path / "out" / "file")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_list_of_parts_must_be_one(tmp_path):
    (tmp_path / "a.parts.json").write_text("[]")
    with pytest.raises(TrainingError, match=r"a\.parts\.json: expected a list of parts"):
        join_file(tmp_path / "a.parts.json", tmp_path / "a")

"""A folder of CAD files as a source."""

from __future__ import annotations

import csv
import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

from app.cli import build
from tests.training import solids
from training.data.index import DataIndex, Refusal
from training.data.readers.cad_folder import CadFolder, family_of, file_name, read_manifest
from training.data.sets import Listing, SetConfig, build_set
from training.data.shapes import PreparedShape
from training.data.step import write_step
from training.errors import TrainingError
from training.sampling.pools import dequantise
from training.sampling.solids import object_frame, signed_distance

SMALL = SetConfig(views=1, image_size=16, near_points=200, uniform_points=200)
BRACKET = solids.angle_bracket()


def write_mesh(path: Path, solid: solids.Solid = BRACKET) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.Trimesh(*solid, process=False).export(path)


def outcomes(index: DataIndex) -> dict[str, str]:
    """What became of each file, by its name in the folder."""
    found = {entry.source["file"]: "kept with remarks" if entry.repairs else "kept" for entry in index.entries}
    return found | {refusal.name: "ignored" for refusal in index.ignored}


def test_every_file_of_a_messy_folder_is_accounted_for(tmp_path):
    """Valid, flipped, empty, mislabelled, truncated and foreign files: each is in the report, the good ones are prepared."""
    folder = tmp_path / "cad"
    vertices, faces = BRACKET
    for name in ("brackets/a.stl", "brackets/b.obj", "brackets/c.ply", "brackets/d.off", "brackets/e.3mf"):
        write_mesh(folder / name)
    write_step(folder / "brackets/f.step", vertices * 100, faces)
    write_mesh(folder / "bad/flipped.ply", (vertices, faces[:, ::-1]))
    (folder / "bad/empty.stl").touch()
    (folder / "bad/text.step").write_text("to be drawn\n")
    (folder / "bad/cut.stl").write_bytes((folder / "brackets/a.stl").read_bytes()[:400])
    (folder / "bad/renamed.obj").write_bytes((folder / "brackets/c.ply").read_bytes())
    (folder / "notes.txt").write_text("ask Anna")

    index = build_set(CadFolder(directory=folder), SMALL, tmp_path / "set")
    assert outcomes(index)["notes.txt"] == "ignored"
    assert {entry.source["file"] for entry in index.entries} == {
        *(f"brackets/{name}" for name in ("a.stl", "b.obj", "c.ply", "d.off", "e.3mf", "f.step")),
        "bad/flipped.ply",
        "bad/renamed.obj",
    }
    remarks = {entry.source["file"]: " ".join(entry.repairs) for entry in index.entries}
    assert "turned" in remarks["bad/flipped.ply"]
    assert "is PLY" in remarks["bad/renamed.obj"]
    assert len(index.rejected) == 3
    for name in ("empty.stl", "text.step", "cut.stl"):
        assert sum(name in refusal.reason for refusal in index.rejected) == 1


def test_a_prepared_file_has_the_solids_own_labels(tmp_path):
    write_mesh(tmp_path / "cad" / "machines" / "bracket.ply")
    manifest = tmp_path / "parts.csv"
    manifest.write_text("file,kind\nmachines/bracket.ply,machine\n")  # a machine is not laid on its side
    index = build_set(CadFolder(directory=tmp_path / "cad", manifest=manifest), SMALL, tmp_path / "set")
    shape = PreparedShape.read(index.path(index.entries[0]))
    vertices, faces = BRACKET
    points = dequantise(shape.points)
    np.testing.assert_allclose(shape.distance, signed_distance(points, object_frame(vertices)[0], faces), atol=1e-6)


def test_a_manifest_decides_what_is_read_and_what_it_is(tmp_path):
    folder = tmp_path / "cad"
    for name in ("a.ply", "b.ply", "c.ply", "d.ply"):
        write_mesh(folder / name)
    manifest = tmp_path / "parts.csv"
    manifest.write_text(
        "file,family,kind,split,unit,up,licence,attribution\n"
        "a.ply,clamp,component,test,mm,y,CC-BY-4.0,Ada\n"
        "b.ply,clamp,component,test,,,CC-BY-SA-4.0,Bob\n"
        "gone.ply,clamp,component,train,,,,\n"
        "c.ply,vise,machine,train,,,,\n"
    )
    listing = CadFolder(directory=folder, manifest=manifest, without_licences=("CC-BY-SA-4.0",)).listing()
    one, other = listing.items
    assert (one.family, one.kind, one.split, one.licence, one.attribution) == ("clamp", "component", "test", "CC-BY-4.0", "Ada")
    assert one.source == {"file": "a.ply", "unit": "mm", "up": "y"}
    assert (other.family, other.kind, other.split) == ("vise", "machine", "train")
    assert {refusal.name: refusal.reason for refusal in listing.ignored} == {
        "b.ply": "licence CC-BY-SA-4.0",
        "d.ply": "not in the manifest",
    }
    assert [refusal.name for refusal in listing.rejected] == ["gone.ply"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind,family\na,b\n", "no column `file`"),
        ("file,colour\na,b\n", "unknown colour"),
        ("file,split\na,holdout\n", "line 2: expected split to be one of train, val, test, found 'holdout'"),
        ("file,kind\na,machin\n", "line 2: expected kind to be one of component, machine, structure, other, found 'machin'"),
        ("file,unit\na,mm\nb,furlong\n", "line 3: expected unit to be one of .*, found 'furlong'"),
        ("file,unit\na,mm\na,mm\n", "line 3: expected each file once, found a again"),
        ("file\na,b\n", "line 2: expected as many fields as columns"),
        ("kind,file\nmachine\n", "line 2: expected the name of a file, found none"),
    ],
)
def test_a_wrong_manifest_is_refused_in_words(tmp_path, text, message):
    path = tmp_path / "parts.csv"
    path.write_text(text)
    with pytest.raises(TrainingError, match=f"parts.csv.*{message}"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("gears/spur/m2.step", "gears"),
        ("bolt_M8x30.step", "bolt_M"),
        ("bolt_M10x40.step", "bolt_M"),
        ("housing.stl", "housing"),
        ("0815-flange.stl", "0815-flange"),
    ],
)
def test_a_files_family_is_its_folder_or_the_beginning_of_its_name(name, family):
    assert family_of(name) == family


def test_paths_that_look_alike_get_different_file_names():
    names = ["a/b.stl", "a-b.stl", "a b.stl", "ä/b.stl", "A/b.stl"]
    assert len({file_name(name).lower() for name in names}) == len(names)
    assert all("/" not in file_name(name) and " " not in file_name(name) for name in names)


def test_a_changed_file_is_prepared_again_and_an_unchanged_one_is_not(tmp_path):
    folder, out = tmp_path / "cad", tmp_path / "set"
    write_mesh(folder / "a.ply")
    write_mesh(folder / "b.ply")
    before = build_set(CadFolder(directory=folder), SMALL, out)
    times = {entry.source["file"]: before.path(entry).stat().st_mtime_ns for entry in before.entries}
    write_mesh(folder / "b.ply", solids.box())
    after = build_set(CadFolder(directory=folder), SMALL, out)
    changed = {e.source["file"] for e in after.entries if after.path(e).stat().st_mtime_ns != times[e.source["file"]]}
    assert changed == {"b.ply"}


def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(TrainingError, match=r"nowhere: expected a folder of CAD files, found none"):
        CadFolder(directory=tmp_path / "nowhere").listing()


@pytest.mark.parametrize(("bad", "arguments", "code"), [(False, [], 0), (True, [], 1), (True, ["--max-rejected", "0.5"], 0)])
def test_the_commands_exit_code_tells_whether_a_file_was_rejected(tmp_path, bad, arguments, code):
    write_mesh(tmp_path / "cad" / "a.ply")
    if bad:
        (tmp_path / "cad" / "b.stl").touch()
    sizes = ["--views", "1", "--image-size", "16", "--near-points", "20", "--uniform-points", "20", "--workers", "1"]
    command = ["data", "prepare", str(tmp_path / "cad"), "--out", str(tmp_path / "set"), *sizes, *arguments]
    result = CliRunner().invoke(build(), command)
    assert result.exit_code == code, result.output
    assert ("rejected b.stl" in result.output) == bad


def refusals(listing: Listing) -> dict[str, str]:
    return {refusal.name: refusal.reason for refusal in (*listing.ignored, *listing.rejected)}


def test_links_pipes_and_folders_that_cannot_be_entered_are_in_the_report(tmp_path, monkeypatch):
    folder = tmp_path / "cad"
    write_mesh(folder / "parts.stl" / "a.ply")  # a folder may have any name
    write_mesh(tmp_path / "elsewhere" / "b.ply")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "here").symlink_to(folder)
    (folder / "c.ply").symlink_to(tmp_path / "elsewhere" / "b.ply")
    (folder / "gone.stl").symlink_to("nowhere.stl")
    (folder / "loop.stl").symlink_to("loop.stl")
    (folder / "closed").mkdir()
    os.mkfifo(folder / "pipe.stl")
    scandir = os.scandir

    def refuse(place: str) -> Any:
        if Path(place).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = CadFolder(directory=folder).listing()
    assert [item.source["file"] for item in listing.items] == ["c.ply", "parts.stl/a.ply"]
    found = refusals(listing)
    assert set(found) == {"linked", "here", "gone.stl", "loop.stl", "pipe.stl", "closed"}
    assert found["closed"] == "expected a readable folder, found: Permission denied"
    assert {refusal.name for refusal in listing.ignored} == {"linked", "here"}


def test_what_a_mac_puts_beside_each_file_is_ignored_and_a_part_of_such_a_name_is_not(tmp_path):
    write_mesh(tmp_path / "._a.ply")
    (tmp_path / "._b.ply").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + b"\0" * 100)
    listing = CadFolder(directory=tmp_path).listing()
    assert [item.source["file"] for item in listing.items] == ["._a.ply"]
    assert [refusal.name for refusal in listing.ignored] == ["._b.ply"]


def test_a_file_that_may_not_be_read_costs_only_itself(tmp_path, monkeypatch):
    for name in ("a.ply", "b.ply"):
        write_mesh(tmp_path / "cad" / name)
    open_path = Path.open

    def refuse(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == "a.ply":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_path(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", refuse)
    index = build_set(CadFolder(directory=tmp_path / "cad"), SMALL, tmp_path / "set")
    assert [entry.source["file"] for entry in index.entries] == ["b.ply"]
    [refusal] = index.rejected
    assert refusal.name == "a.ply"
    assert "Permission denied" in refusal.reason


def test_a_file_whose_name_is_no_text_is_prepared_and_reported(tmp_path):
    folder = tmp_path / "cad"
    write_mesh(folder / "a.ply")
    try:
        (folder / "a.ply").rename(folder / os.fsdecode(b"Schraube_\xfc.ply"))
    except OSError:
        pytest.skip("this file system has names of text alone")
    (folder / os.fsdecode(b"M\xfctter.stl")).touch()
    sizes = ["--views", "1", "--image-size", "16", "--near-points", "20", "--uniform-points", "20", "--workers", "1"]
    result = CliRunner().invoke(build(), ["data", "prepare", str(folder), "--out", str(tmp_path / "set"), *sizes])
    assert result.exit_code == 1, result.output
    assert r"M\udcfctter.stl" in result.output
    with (tmp_path / "set" / "report.csv").open(newline="", encoding="utf-8") as file:
        assert {row["name"]: row["outcome"] for row in csv.DictReader(file)} == {
            r"Schraube_\udcfc.ply": "kept",
            r"M\udcfctter.stl": "rejected",
        }
    assert len(DataIndex.read(tmp_path / "set").entries) == 1


def test_the_report_names_the_files_as_they_lie_in_the_folder(tmp_path):
    """Also those that can be read and hold no volume, whose reason names no file."""
    folder = tmp_path / "cad"
    write_mesh(folder / "シャフト" / "軸.ply")
    write_mesh(folder / "flat.ply", (BRACKET[0] * np.float32([1, 1, 0]), BRACKET[1]))
    build_set(CadFolder(directory=folder), SMALL, tmp_path / "set")
    with (tmp_path / "set" / "report.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert {name: row["outcome"] for name, row in rows.items()} == {"flat.ply": "rejected", "シャフト/軸.ply": "kept"}
    assert (tmp_path / "set" / rows["シャフト/軸.ply"]["shape"]).is_file()


def test_a_set_within_its_own_source_is_not_read(tmp_path):
    folder = tmp_path / "cad"
    write_mesh(folder / "a.ply")
    source = CadFolder(directory=folder, set_folder=folder / "set")
    first = build_set(source, SMALL, folder / "set")
    second = build_set(source, SMALL, folder / "set")
    assert second.entries == first.entries
    assert second.ignored == (Refusal(name="set", reason="the set that is being made"),)
    with pytest.raises(TrainingError, match="expected the set in a folder of its own"):
        CadFolder(directory=folder, set_folder=folder / "set" / "..").listing()


def test_a_file_that_the_manifest_names_is_read_whatever_its_name_ends_with(tmp_path):
    folder = tmp_path / "cad"
    write_mesh(folder / "a.ply")
    (folder / "a.ply").rename(folder / "part-17")
    (folder / "drawing.dwg").write_text("a drawing")
    manifest = tmp_path / "parts.csv"
    manifest.write_text("file\npart-17\ndrawing.dwg\n")
    index = build_set(CadFolder(directory=folder, manifest=manifest), SMALL, tmp_path / "set")
    assert [entry.source["file"] for entry in index.entries] == ["part-17"]
    assert [refusal.name for refusal in index.rejected] == ["drawing.dwg"]


def test_a_gltf_is_prepared_again_when_its_buffer_changes_and_a_part_when_its_kind_does(tmp_path):
    folder = tmp_path / "cad"
    folder.mkdir()
    for name, content in trimesh.exchange.gltf.export_gltf(trimesh.Scene(trimesh.Trimesh(*BRACKET, process=False))).items():
        (folder / name).write_bytes(content)
    manifest = tmp_path / "parts.csv"
    manifest.write_text("file,kind\nmodel.gltf,component\n")
    source = CadFolder(directory=folder, manifest=manifest)
    prints = [source.listing().items[0].fingerprint]
    for buffer in folder.glob("*.bin"):
        buffer.write_bytes(buffer.read_bytes()[::-1])
        prints.append(source.listing().items[0].fingerprint)
    manifest.write_text("file,kind\nmodel.gltf,machine\n")
    prints.append(source.listing().items[0].fingerprint)
    assert len(set(prints)) == len(prints) > 2


def test_another_seed_takes_other_pictures(tmp_path):
    write_mesh(tmp_path / "cad" / "a.ply")
    shapes = []
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        config = dataclasses.replace(SMALL, seed=seed)
        index = build_set(CadFolder(directory=tmp_path / "cad", seed=seed), config, tmp_path / name)
        shapes.append(PreparedShape.read(index.path(index.entries[0])))
    np.testing.assert_array_equal(shapes[0].points, shapes[1].points)
    assert not np.array_equal(shapes[0].pose, shapes[2].pose)

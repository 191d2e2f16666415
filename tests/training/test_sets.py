"""Building a set: nothing is lost, nothing is done twice, and one bad thing harms no other."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.training import solids
from training.data.index import DataIndex, Refusal, ShapeEntry
from training.data.preparation import photograph
from training.data.sets import Item, Listing, RejectedShape, SetConfig, build_set
from training.data.shapes import PreparedShape, ShapeFileError
from training.errors import TrainingError
from training.sampling.solids import ClosedMesh

SMALL = SetConfig(views=1, image_size=16, near_points=50, uniform_points=50)


@dataclass(frozen=True)
class Boxes:
    """A source whose items do what their names say."""

    names: tuple[str, ...]
    touched: Path | None = None  # a line for each preparation
    fingerprint: str = "first"

    def listing(self) -> Listing:
        return Listing(
            [Item(name=name, family="box", kind="solid", split="train", fingerprint=self.fingerprint) for name in self.names],
            ignored=[Refusal(name="notes.txt", reason="no mesh")],
        )

    def prepare(self, item: Item, config: SetConfig) -> PreparedShape:
        if self.touched is not None:
            with self.touched.open("a") as file:
                file.write(f"{item.name}\n")
        if item.name == "rejected":
            raise RejectedShape("expected a volume, found none")
        if item.name == "failing":
            raise ZeroDivisionError("by nothing")
        if item.name == "stopped":
            raise KeyboardInterrupt
        if item.name == "crashing":
            os.abort()
        if item.name == "endless":
            time.sleep(600)
        return photograph(ClosedMesh(*solids.box()), config, 0, {"repairs": ["welded"] if item.name == "repaired" else []})


def test_a_set_holds_every_shape_and_its_report_everything_else(tmp_path):
    names = ("plain", "rejected", "repaired", "failing")
    index = build_set(Boxes(names), SMALL, tmp_path)
    assert [entry.name for entry in index.entries] == ["plain", "repaired"]
    assert index.rejected == (
        Refusal(name="rejected", reason="expected a volume, found none"),
        Refusal(name="failing", reason="ZeroDivisionError: by nothing"),
    )
    assert DataIndex.read(tmp_path) == index
    with (tmp_path / "report.csv").open(newline="") as file:
        report = {row["name"]: (row["outcome"], row["remarks"]) for row in csv.DictReader(file)}
    assert report == {
        "plain": ("kept", ""),
        "repaired": ("kept with remarks", "welded"),
        "rejected": ("rejected", "expected a volume, found none"),
        "failing": ("rejected", "ZeroDivisionError: by nothing"),
        "notes.txt": ("ignored", "no mesh"),
    }


def test_one_that_crashes_and_one_that_never_ends_are_rejected_and_the_others_are_there(tmp_path):
    names = ("a", "crashing", "b", "endless", "c", "d")
    index = build_set(Boxes(names), SMALL, tmp_path, workers=2, seconds_per_shape=3)
    assert [entry.name for entry in index.entries] == ["a", "b", "c", "d"]
    assert [refusal.name for refusal in index.rejected] == ["crashing", "endless"]
    for refusal in index.rejected:
        assert "crashed or took more than 3 s" in refusal.reason


def test_workers_end_with_the_process_that_started_them(tmp_path):
    """They hold its standard output, which is at its end when the last of them is gone."""
    touched = tmp_path / "touched"
    script = (
        "from tests.training.test_sets import *\n"
        f"build_set(Boxes(('endless',), Path({str(touched)!r})), SMALL, Path({str(tmp_path)!r}), workers=1)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root) as process:
        while not touched.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=20)


def test_a_second_run_makes_only_what_is_missing_damaged_or_changed(tmp_path):
    touched = tmp_path / "touched"
    first = build_set(Boxes(("a", "b", "c"), touched), SMALL, tmp_path)
    content = first.path(first.entries[0]).read_bytes()
    first.path(first.entries[0]).write_bytes(content[:1000])
    first.path(first.entries[1]).unlink()
    touched.unlink()
    assert build_set(Boxes(("a", "b", "c"), touched), SMALL, tmp_path) == first
    assert touched.read_text().split() == ["a", "b"]

    touched.unlink()
    build_set(Boxes(("a", "b", "c"), touched, fingerprint="second"), SMALL, tmp_path)
    assert touched.read_text().split() == ["a", "b", "c"]

    touched.unlink()
    build_set(Boxes(("a",), touched, fingerprint="second"), dataclasses.replace(SMALL, views=2), tmp_path)
    assert touched.read_text().split() == ["a"]


def test_a_run_with_other_numbers_that_is_stopped_leaves_no_index_of_the_old_ones(tmp_path):
    build_set(Boxes(("a", "b")), SMALL, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        build_set(Boxes(("a", "stopped")), dataclasses.replace(SMALL, views=2), tmp_path)
    with pytest.raises(ShapeFileError, match=r"index\.json"):
        DataIndex.read(tmp_path)


def test_a_longer_run_that_is_stopped_leaves_the_shorter_set(tmp_path):
    before = build_set(Boxes(("a",)), SMALL, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        build_set(Boxes(("a", "stopped")), SMALL, tmp_path)
    assert DataIndex.read(tmp_path) == before


def test_a_shapes_file_says_what_it_is(tmp_path):
    index = build_set(Boxes(("a",)), SMALL, tmp_path)
    origin = PreparedShape.read(index.path(index.entries[0])).origin
    assert (origin["name"], origin["family"], origin["kind"]) == ("a", "box", "solid")


def test_two_things_of_one_name_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="expected each once, found a twice"):
        build_set(Boxes(("a", "b", "a")), SMALL, tmp_path)


@pytest.mark.parametrize("name", ["../a", "a/b", "/a", "..", ""])
def test_a_name_that_would_lie_outside_of_the_set_is_refused(tmp_path, name):
    with pytest.raises(TrainingError, match="expected ones that a file may have"):
        build_set(Boxes(("a", name)), SMALL, tmp_path)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_ends_the_run_and_blames_no_item(tmp_path, workers):
    """Stood in for by a folder where the second shape's file should go."""
    (tmp_path / "shapes" / "b.npz").mkdir(parents=True)
    with pytest.raises(OSError, match=r"b\.npz"):
        build_set(Boxes(("a", "b", "c")), SMALL, tmp_path, workers)
    assert not (tmp_path / "index.json").exists()
    (tmp_path / "shapes" / "b.npz").rmdir()
    assert len(build_set(Boxes(("a", "b", "c")), SMALL, tmp_path).entries) == 3


def test_splits_part_the_entries(tmp_path):
    entry = ShapeEntry(name="a", file="a.npz", family="box", kind="solid", split="train", sha256="0")
    other = dataclasses.replace(entry, name="b", file="b.npz", split="test")
    index = DataIndex(directory=tmp_path, arguments={}, entries=(entry, other))
    assert index.shapes("train") == [entry]
    assert index.files("test") == [tmp_path / "b.npz"]
    assert index.shapes("val") == []


def test_the_rejected_share_counts_what_should_have_become_shapes(tmp_path):
    entry = ShapeEntry(name="a", file="a.npz", family="box", kind="solid", split="train", sha256="0")
    refusal = Refusal(name="b", reason="empty")
    index = DataIndex(directory=tmp_path, arguments={}, entries=(entry,) * 3, rejected=(refusal,), ignored=(refusal,) * 5)
    assert index.rejected_share == 0.25
    assert dataclasses.replace(index, entries=(), rejected=()).rejected_share == 1


def test_an_index_of_another_version_is_refused(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps({"version": 1, "arguments": {}, "shapes": [], "failures": []}))
    with pytest.raises(ShapeFileError, match=r"index\.json.*expected version 2, found 1; prepare the set again"):
        DataIndex.read(tmp_path)

"""Where a bundle comes from, as its manifest tells it."""

import dataclasses
import shlex
from pathlib import Path

import pytest

from model.runtime.bundle import DataSet, Split
from tests.training import solids
from tests.training.conftest import prepared_shape
from training import provenance
from training.configs import RunConfig, read_run, run_to_json
from training.data.families import FAMILIES
from training.data.index import DataIndex, Refusal
from training.data.sets import RECIPE
from training.provenance import RUN_FILES, data_command, data_set, origin_of, run_file, shown, train_command

CONFIG = RunConfig(name="small")
ARGUMENTS = {"views": 2, "image_size": 64}


def state(**recorded) -> dict:
    return {"run": run_to_json(CONFIG), "step": 7, "minutes": 1.26, "provenance": recorded}


@pytest.fixture
def licensed(tiny_set) -> DataIndex:
    """The tiny set, whose three training shapes have three licences, one of them none."""
    licences = iter(("MIT", None, "BSD-3-Clause", "GPL-3.0", "GPL-3.0", "GPL-3.0"))
    return dataclasses.replace(tiny_set, entries=tuple(dataclasses.replace(e, licence=next(licences)) for e in tiny_set.entries))


def set_from(source: str, folder: Path, entry, families: list[str]) -> DataIndex:
    """A set of one file, as a source of that class would have left it, with an entry for each family."""
    shape = prepared_shape(solids.box(), 0)
    shape.with_origin({RECIPE: {"source": source}}).write(folder / "one.npz")
    entries = tuple(dataclasses.replace(entry, file="one.npz", name=name, family=name) for name in families)
    return DataIndex(directory=folder, arguments=ARGUMENTS, entries=entries, rejected=(Refusal(name="a", reason="b"),))


def test_a_set_is_described_by_its_splits_and_the_licences_of_its_training_shapes(licensed):
    described = data_set("mine", licensed)
    assert described == DataSet(
        name="mine",
        digest=licensed.digest,
        source=None,
        arguments={},
        splits={
            "train": Split(shapes=3, families=3),
            "val": Split(shapes=1, families=1),
            "test": Split(shapes=2, families=2),
        },
        licences={"": 1, "BSD-3-Clause": 1, "MIT": 1},
    )


def test_only_sets_that_the_weights_were_trained_on_are_described(tiny_set):
    """By their digests: the names are those of the run, and a set of another digest stays a name."""
    other = dataclasses.replace(tiny_set, entries=tiny_set.entries[:1])
    recorded = state(data_digest="both", data={"then": tiny_set.digest, "lost": "abc"})
    origin = origin_of(recorded, CONFIG, {"now": tiny_set, "other": other}, "monotwin export")
    assert origin.data == (data_set("then", tiny_set), DataSet(name="lost", digest="abc"))
    assert origin.data_digest == "both"


def test_a_checkpoint_that_knows_one_digest_alone_finds_its_set(tiny_set):
    assert [one.name for one in origin_of(state(data_digest=tiny_set.digest), CONFIG, {"a": tiny_set}, "").data] == ["a"]
    assert origin_of(state(data_digest="another"), CONFIG, {"a": tiny_set}, "").data == ()


def test_what_a_checkpoint_does_not_tell_is_not_known():
    origin = origin_of({"run": run_to_json(CONFIG), "step": 1, "minutes": 0}, CONFIG, {}, "monotwin export")
    assert (origin.commit, origin.data_digest) == ("unknown", "unknown")
    assert origin.hardware is origin.torch is origin.processes is origin.uncommitted_changes is None
    assert origin.data == ()
    assert origin.commands == ("monotwin train RUN.toml --data data/SET --out runs/small", "monotwin export")


def test_the_circumstances_of_a_run_are_carried_on():
    recorded = state(commit="c", uncommitted_changes=True, hardware="a GPU", world_size=4, torch="2.1", command="-c")
    origin = origin_of(recorded, CONFIG, {}, "")
    assert (origin.commit, origin.uncommitted_changes, origin.hardware, origin.processes, origin.torch) == (
        "c", True, "a GPU", 4, "2.1",
    )  # fmt: skip
    assert (origin.steps, origin.minutes) == (7, 1.3)


def test_a_procedural_set_is_generated_again_with_its_rejects(tiny_set, tmp_path):
    entry = tiny_set.entries[0]
    few = set_from("ProceduralParts", tmp_path, entry, ["flange", "bolt", "flange"])
    assert data_command("parts", few) == (
        "monotwin data generate --shapes 4 --families flange,bolt --out data/parts --views 2 --image-size 64"
    )
    whole = dataclasses.replace(few, entries=tuple(dataclasses.replace(entry, file="one.npz", family=name) for name in FAMILIES))
    assert "--families" not in data_command("parts", whole)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("CadFolder", "prepare FOLDER"),
        ("IndustrialShards", "prepare FOLDER"),
        ("ShapeNetModels", "import FOLDERS"),
    ],
)
def test_a_set_of_files_does_not_know_its_folder(source, expected, tiny_set, tmp_path):
    index = set_from(source, tmp_path, tiny_set.entries[0], ["a"])
    assert data_command("mine", index) == f"monotwin data {expected} --out data/mine --views 2 --image-size 64"


def test_a_recorded_command_is_told_without_the_machines_folders():
    recorded = shlex.join(
        ["/opt/bin/monotwin", "train", "runs/a.toml", "--data", "/srv/secret/parts", "--out=/srv/secret/run", "--threads", "2"]
    )
    assert train_command(recorded, CONFIG, ["x"]) == "monotwin train runs/a.toml --data parts --out=run --threads 2"


def test_a_run_that_another_program_started_is_told_as_the_command_that_does_the_same():
    recipe = read_run(RUN_FILES / "default.toml")
    for recorded in ("", "-c", "/usr/bin/pytest tests"):
        assert train_command(recorded, recipe, ["a", "b"]) == (
            "monotwin train training/runs/default.toml --data data/a --data data/b --out runs/default"
        )


def test_a_run_file_is_named_only_if_it_says_exactly_this_run():
    for file in RUN_FILES.glob("*.toml"):
        assert read_run(RUN_FILES.parents[1] / run_file(read_run(file))) == read_run(file)
    assert run_file(dataclasses.replace(read_run(RUN_FILES / "default.toml"), seed=4711)) == provenance.UNKNOWN_RUN_FILE


def test_a_path_is_shown_from_the_working_directory_or_by_its_last_name(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shown(Path("a/b")) == shown(tmp_path / "here" / "a" / "b") == "a/b"
    assert shown(tmp_path / "there" / "b") == "b"

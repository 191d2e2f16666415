"""Where a bundle comes from, for its manifest: the run, the machine, the prepared sets, and the commands that make it again.

Nothing of the machine's folders goes into a manifest: a path is told relative to the working directory, or by its last name.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.runtime.bundle import DataSet, Origin, Split
from training.configs import RunConfig, read_run
from training.data.families import FAMILIES
from training.data.index import DataIndex
from training.data.procedural import ProceduralParts
from training.data.readers.cad_folder import CadFolder
from training.data.readers.industrial import IndustrialShards
from training.data.sets import RECIPE
from training.data.shapes import PreparedShape

SPLITS = ("train", "val", "test")
PROCEDURAL = ProceduralParts.__name__
RUN_FILES = Path(__file__).parent / "runs"
UNKNOWN_RUN_FILE = "RUN.toml"


def origin_of(state: Mapping[str, Any], config: RunConfig, sets: Mapping[str, DataIndex], export: str) -> Origin:
    """The origin of a checkpoint's weights. sets: those at hand, by name; export: the command that writes the bundle."""
    provenance = state.get("provenance", {})
    digest = provenance.get("data_digest", "unknown")
    trained_on = provenance.get("data", {})
    if not trained_on:  # older checkpoints know one digest, which is a single set's own
        trained_on = {name: index.digest for name, index in sets.items() if index.digest == digest}
    known = {index.digest: index for index in sets.values()}
    return Origin(
        run=state["run"],
        data_digest=digest,
        commit=provenance.get("commit", "unknown"),
        steps=state["step"],
        minutes=round(state["minutes"], 1),
        uncommitted_changes=provenance.get("uncommitted_changes"),
        hardware=provenance.get("hardware"),
        processes=provenance.get("world_size"),
        torch=provenance.get("torch"),
        data=tuple(
            data_set(name, known[digest]) if digest in known else DataSet(name=name, digest=digest)
            for name, digest in trained_on.items()
        ),
        commands=(
            *(data_command(name, known[digest]) for name, digest in trained_on.items() if digest in known),
            train_command(provenance.get("command", ""), config, list(trained_on)),
            export,
        ),
    )


def data_set(name: str, index: DataIndex) -> DataSet:
    """What a manifest tells of a prepared set."""
    splits = {split: index.shapes(split) for split in SPLITS}
    return DataSet(
        name=name,
        digest=index.digest,
        source=_source(index),
        arguments=index.arguments,
        splits={
            split: Split(shapes=len(entries), families=len({entry.family for entry in entries}))
            for split, entries in splits.items()
        },
        licences=dict(sorted(Counter(entry.licence or "" for entry in splits["train"]).items())),
    )


def data_command(name: str, index: DataIndex) -> str:
    """What prepares a set again. A set knows its numbers, but neither the folder nor the files that it was prepared from."""
    source = _source(index)
    if source == PROCEDURAL:
        families = list(dict.fromkeys(entry.family for entry in index.entries))
        chosen = [] if set(families) == set(FAMILIES) else ["--families", ",".join(families)]
        asked = ["generate", "--shapes", str(len(index.entries) + len(index.rejected)), *chosen]
    elif source in (CadFolder.__name__, IndustrialShards.__name__):
        asked = ["prepare", "FOLDER"]
    else:
        asked = ["import", "FOLDERS"]
    numbers = [text for key, value in index.arguments.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    return shlex.join(["monotwin", "data", *asked, "--out", f"data/{name}", *numbers])


def train_command(recorded: str, config: RunConfig, sets: list[str]) -> str:
    """The command that a run recorded or, where another program called the training, one that does the same."""
    words = shlex.split(recorded)
    if words and Path(words[0]).name == "monotwin":
        return shlex.join(["monotwin", *map(_without_folders, words[1:])])
    data = [text for name in sets or ["SET"] for text in ("--data", f"data/{name}")]
    return shlex.join(["monotwin", "train", run_file(config), *data, "--out", f"runs/{config.name}"])


def run_file(config: RunConfig) -> str:
    """The project's run file that says exactly this run, where there is one."""
    same = (file for file in sorted(RUN_FILES.glob("*.toml")) if read_run(file) == config)
    return next((f"training/runs/{file.name}" for file in same), UNKNOWN_RUN_FILE)


def shown(path: Path) -> str:
    """A path as it may be published."""
    full, here = path.resolve(), Path.cwd()
    return str(full.relative_to(here)) if full.is_relative_to(here) else full.name


def _without_folders(word: str) -> str:
    """A word of a command, whose absolute path, if it is or holds one, is told as it may be published."""
    option, equals, value = word.rpartition("=")
    return f"{option}{equals}{shown(Path(value))}" if Path(value).is_absolute() else word


def _source(index: DataIndex) -> str | None:
    """The class that a set's shapes were prepared by, as their files say."""
    if not index.entries:
        return None
    recipe = PreparedShape.read(index.path(index.entries[0])).origin.get(RECIPE, {})
    source: str | None = recipe.get("source")
    return source

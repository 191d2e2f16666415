"""A run on a machine that is lent for some minutes: train until what is left is needed to export and to judge.

Leases add up: each goes on from the last one's checkpoint, and its budget is what the run has used plus what this lease has
for training. So the cosine, which falls to zero by the end of each lease, starts the next one at the rate of the share that
is done: half the full rate where the second lease is as long as the first. Every lease ends with a model worth exporting.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console

from model.reconstructor import Options
from training.checkpoints import load_checkpoint
from training.configs import RunConfig
from training.data.index import DataIndex
from training.errors import TrainingError
from training.evaluation.evaluate import EvaluationConfig, evaluate_bundle
from training.export import BundleIdentity, export_bundle
from training.parts import LIST_SUFFIX, join_file, split_file
from training.prepared_sets import PreparedSets
from training.run_folder import circumstances
from training.train import CHECKPOINT, StartingWeights, train

LEASES = "leases.json"  # one entry a finished lease: its minutes, and the seconds of each activity
FIGURES = "figures.json"
PARTS = "parts"
PROBED_SHAPES = 8  # read once more, to learn how long all of them take
MARGIN = 1.25  # of time over what was measured before
NOTHING_LEARNT = StartingWeights()


@dataclass(frozen=True, kw_only=True)
class Lease:
    """minutes: of wall time, all in all. reserve_minutes: kept for export and judging until a lease has measured them.

    part_bytes: with it, checkpoint and bundle are left in parts of at most so many bytes as well.
    shapes_per_family, resolution, workers: of the evaluation, of the test split.
    """

    minutes: float
    reserve_minutes: float = 4.0
    part_bytes: int | None = None
    shapes_per_family: int = 4
    resolution: int = 128
    workers: int = 1


def train_bounded(
    config: RunConfig,
    data_dirs: Sequence[Path],
    out: Path,
    fabric: Fabric,
    lease: Lease,
    *,
    resume: Path | None = None,
    start: StartingWeights = NOTHING_LEARNT,
) -> Path:
    """Trains, exports and judges within a lease; returns `out`.

    `out` gets the run folder's files, bundle/, figures.json, leases.json, and with `part_bytes` parts/.
    resume: a checkpoint, or the list of its parts (`training.parts`). One that lies in `out` comes before it, and before starting
    weights: so the same call goes on after a kill. fabric: of one process.
    """
    began = time.monotonic()
    _check(config, data_dirs, lease)
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / CHECKPOINT
    if resume is not None and not checkpoint.exists():
        _take_up(resume, checkpoint)
    going_on = checkpoint.exists()
    used = float(load_checkpoint(checkpoint)["minutes"]) if going_on else 0.0
    leases = _leases(out)
    loading = loading_seconds(data_dirs, config)
    reserve = reserve_seconds(lease, leases)
    training = training_minutes(lease.minutes, time.monotonic() - began, loading, reserve)
    console.print(
        f"{lease.minutes:g} minutes: {loading / 60:.1f} to load, {training:.1f} to train, {reserve / 60:.1f} to export and judge."
        f" Stopped at any moment, the same command goes on from {checkpoint}, saved every {config.intervals.save_minutes:g}"
        f" minutes; on another machine, with --resume and that file."
    )

    optimisation = replace(config.optimisation, max_minutes=used + training)
    started = time.monotonic()
    fresh = NOTHING_LEARNT if going_on else start
    train(replace(config, optimisation=optimisation), data_dirs, out, fabric, fresh)
    trained = 60 * (float(load_checkpoint(checkpoint)["minutes"]) - used)
    seconds = {"loading": time.monotonic() - started - trained, "training": trained}

    started = time.monotonic()
    bundle = export_bundle(
        checkpoint, out / "bundle", BundleIdentity(config.name, "1"), data_dirs=data_dirs, calibrate_query=False
    )
    seconds["export"] = time.monotonic() - started
    _split_large(out, lease.part_bytes)  # before judging, which may be cut short

    started = time.monotonic()
    judging = EvaluationConfig(shapes_per_family=lease.shapes_per_family, resolution=lease.resolution)
    scores = evaluate_bundle(bundle.directory, data_dirs, judging, lease.workers)
    (out / FIGURES).write_text(json.dumps(scores.to_json(), indent=2, allow_nan=False) + "\n")
    seconds["evaluation"] = time.monotonic() - started
    record = {**asdict(lease), "run_minutes": used + trained / 60, "seconds": seconds, **circumstances(fabric.device, 1)}
    (out / LEASES).write_text(json.dumps([*leases, record], indent=1) + "\n")
    spent = (time.monotonic() - began) / 60
    console.print(f"{spent:.1f} of {lease.minutes:g} minutes used, the run has had {used + trained / 60:.1f} of training: {out}")
    return out


def _check(config: RunConfig, data_dirs: Sequence[Path], lease: Lease) -> None:
    """Refuses now what would fail after the training."""
    if config.baseline is not None:
        raise TrainingError(
            f"run {config.name!r}: expected a run that can be exported, found the baseline {config.baseline.name}"
        )
    Options(resolution=lease.resolution)
    if not any(index.shapes("test") for index in PreparedSets.read(data_dirs).indices.values()):
        raise TrainingError(f"{', '.join(map(str, data_dirs))}: expected shapes in split 'test', found none")


def training_minutes(lease: float, elapsed: float, loading: float, reserve: float) -> float:
    """What is left of a lease (minutes) to train in, minutes: less what has gone by, loading and the reserve (seconds)."""
    left = lease - (elapsed + loading + reserve) / 60
    if left <= 0:
        raise TrainingError(
            f"minutes: expected more than {lease - left:.2f}, of which {loading / 60:.2f} to load and {reserve / 60:.2f}"
            f" to export and judge, found {lease:g}"
        )
    return left


def reserve_seconds(lease: Lease, leases: Sequence[dict[str, Any]]) -> float:
    """Kept for export and judging: what they took last time, with a margin, or else what the lease says."""
    if not leases:
        return 60 * lease.reserve_minutes
    last = leases[-1]["seconds"]
    return MARGIN * float(last["export"] + last["evaluation"])


def loading_seconds(data_dirs: Sequence[Path], config: RunConfig) -> float:
    """How long the sets take to be read: a few shapes of each split, times the number of all."""
    sets = PreparedSets.read(data_dirs)
    total = 0.0
    for split in ("train", "val"):
        count = sum(len(index.shapes(split)) for index in sets.indices.values())
        probed = PreparedSets({name: _some(index, split) for name, index in sets.indices.items()})
        started = time.monotonic()
        probed.shapes(split, config, torch.device("cpu"))
        read = sum(len(index.entries) for index in probed.indices.values())
        total += (time.monotonic() - started) * count / read
    return total


def _some(index: DataIndex, split: str) -> DataIndex:
    """A few shapes of one split, evenly spread."""
    entries = index.shapes(split)
    step = -(-len(entries) // PROBED_SHAPES) or 1
    return replace(index, entries=tuple(entries[::step]))


def _take_up(given: Path, checkpoint: Path) -> None:
    if given.name.endswith(LIST_SUFFIX):
        join_file(given, checkpoint)
    else:
        load_checkpoint(given)
        shutil.copyfile(given, checkpoint)


def _leases(out: Path) -> list[dict[str, Any]]:
    path = out / LEASES
    if not path.exists():
        return []
    leases: list[dict[str, Any]] = json.loads(path.read_text())
    return leases


def _split_large(out: Path, part_bytes: int | None) -> None:
    """The checkpoint, and the bundle as one archive, in parts."""
    if part_bytes is None:
        return
    shutil.rmtree(out / PARTS, ignore_errors=True)
    split_file(out / CHECKPOINT, out / PARTS, part_bytes)
    archive = out / "bundle.tar"
    with tarfile.open(archive, "w") as file:
        file.add(out / "bundle", arcname="bundle")
    split_file(archive, out / PARTS, part_bytes)
    archive.unlink()

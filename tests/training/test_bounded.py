"""Runs that end when the machine must go back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from model.errors import InvalidOption
from model.runtime.bundle import read_bundle
from training import bounded
from training import train as training_loop
from training.bounded import Lease, reserve_seconds, train_bounded, training_minutes
from training.checkpoints import load_checkpoint
from training.cli import register
from training.configs import BaselineConfig, read_run
from training.errors import TrainingError
from training.train import fabric_for

RUN = """
name = "small"
image_size = 32
[network]
pyramid_channels = 4
decoder_widths = [8, 8, 8, 8]
[points]
near = 60
uniform = 40
[optimisation]
batch_size = 2
steps = {steps}
decay = "cosine"
[intervals]
log = 1
sample_views = 0
"""


@pytest.fixture
def write_run(tmp_path):
    def write(steps: int) -> Path:
        path = tmp_path / f"run-{steps}.toml"
        path.write_text(RUN.format(steps=steps))
        return path

    return write


def train_bounded_command(run: Path, data: Path, out: Path, *more: object) -> str:
    app = typer.Typer()
    register(app)
    arguments = ["train-bounded", run, "--data", data, "--out", out, "--device", "cpu", "--resolution", 32, "--shapes", 1, *more]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_lease_leaves_its_bundle_its_figures_and_parts_to_go_on_from(write_run, tiny_set, tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    shown = train_bounded_command(write_run(2), tiny_set.directory, first, "--minutes", 9, "--part-size", 0.1)
    assert f"the same command goes on from {first}/checkpoint.pt".replace(" ", "") in shown.replace(" ", "")
    assert load_checkpoint(first / "checkpoint.pt")["step"] == 2
    assert read_bundle(first / "bundle").name == "small"
    figures = json.loads((first / "figures.json").read_text())
    assert figures["samples"] == 2
    parts = [path for path in (first / "parts").iterdir() if path.suffix != ".json"]
    assert {path.name.rsplit(".", 1)[0] for path in parts} == {"checkpoint.pt", "bundle.tar"}
    assert max(path.stat().st_size for path in parts) == 100_000

    replace_export_and_evaluation(monkeypatch)
    listed = first / "parts" / "checkpoint.pt.parts.json"
    shown = train_bounded_command(write_run(5), tiny_set.directory, second, "--minutes", 9, "--resume", listed)
    assert "resumed at step 2" in shown
    state = load_checkpoint(second / "checkpoint.pt")
    assert state["step"] == 5
    (lease,) = json.loads((second / "leases.json").read_text())
    assert lease["run_minutes"] == pytest.approx(state["minutes"])
    assert state["minutes"] > load_checkpoint(first / "checkpoint.pt")["minutes"]
    assert lease["seconds"].keys() == {"loading", "training", "export", "evaluation"}
    assert all(seconds > 0 for seconds in lease["seconds"].values())


@pytest.fixture
def minutes_fly(monkeypatch):
    """On training's clock each look takes twelve seconds, a step a minute, so that leases of minutes end after a few steps."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 12.0
        return now[0]

    monkeypatch.setattr(training_loop, "time", SimpleNamespace(monotonic=monotonic))


@pytest.fixture
def only_training(monkeypatch):
    replace_export_and_evaluation(monkeypatch)


def replace_export_and_evaluation(monkeypatch) -> None:
    """They take seconds, and have tests of their own."""
    monkeypatch.setattr(bounded, "export_bundle", lambda *_, **__: SimpleNamespace(directory=None))
    monkeypatch.setattr(bounded, "evaluate_bundle", lambda *_, **__: SimpleNamespace(to_json=dict))


def rates(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["train/learning_rate"] for line in lines if "train/learning_rate" in line]


@pytest.mark.usefixtures("minutes_fly", "only_training")
def test_each_lease_lets_the_rate_fall_to_nothing_from_the_share_that_is_done(write_run, tiny_set, tmp_path):
    config, out = read_run(write_run(10_000)), tmp_path / "out"
    full = config.optimisation.learning_rate

    def lease() -> list[float]:
        before = len(rates(out)) if (out / "metrics.jsonl").exists() else 0
        fabric = fabric_for(config, "cpu")
        train_bounded(config, [tiny_set.directory], out, fabric, Lease(minutes=12, reserve_minutes=0))
        return rates(out)[before:]

    for start in (1.0, 0.5):
        falling = lease()
        assert len(falling) >= 10
        assert falling == sorted(falling, reverse=True)
        assert falling[0] == pytest.approx(start * full, rel=0.1)
        assert falling[-1] < 0.03 * full
    assert load_checkpoint(out / "checkpoint.pt")["minutes"] == pytest.approx(24, rel=0.1)


@pytest.mark.usefixtures("minutes_fly", "only_training")
def test_a_killed_lease_goes_on_from_its_last_save(write_run, tiny_set, tmp_path, monkeypatch):
    config = read_run(write_run(10_000))
    config = dataclasses.replace(config, intervals=dataclasses.replace(config.intervals, save=3))
    one_step, out, done = training_loop.training_step, tmp_path / "out", []

    def dying(*arguments):
        done.append(None)
        if len(done) == 5:
            raise KeyboardInterrupt
        return one_step(*arguments)

    def lease() -> None:
        train_bounded(config, [tiny_set.directory], out, fabric_for(config, "cpu"), Lease(minutes=6, reserve_minutes=0))

    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "training_step", dying)
        with pytest.raises(KeyboardInterrupt):
            lease()
    saved = load_checkpoint(out / "checkpoint.pt")
    assert saved["step"] == 3
    lease()
    assert load_checkpoint(out / "checkpoint.pt")["minutes"] > saved["minutes"] + 5


def test_what_is_left_of_a_lease_is_trained_in():
    assert training_minutes(30, elapsed=60, loading=120, reserve=240) == pytest.approx(23)


def test_a_lease_too_short_to_train_in_is_refused():
    with pytest.raises(
        TrainingError, match=r"expected more than 7\.00, of which 2\.00 to load and 4\.00 to export and judge, found 7"
    ):
        training_minutes(7, elapsed=60, loading=120, reserve=240)


def test_the_reserve_is_what_export_and_evaluation_took_last_time_and_a_quarter():
    lease = Lease(minutes=30, reserve_minutes=4)
    assert reserve_seconds(lease, []) == 240
    earlier = [{"seconds": {"export": 900.0, "evaluation": 1.0}}, {"seconds": {"export": 40.0, "evaluation": 60.0}}]
    assert reserve_seconds(lease, earlier) == 125


def test_the_time_to_load_all_shapes_is_told_from_a_few(write_run, tiny_set, monkeypatch):
    many = dataclasses.replace(tiny_set, entries=tiny_set.entries * 40)
    monkeypatch.setattr(bounded.DataIndex, "read", lambda _: many)
    read, now = [], [0.0]

    def shapes(sets, split, *_):
        count = sum(len(index.shapes(split)) for index in sets.indices.values())
        read.append(count)
        now[0] += 0.5 * count

    monkeypatch.setattr(bounded.PreparedSets, "shapes", shapes)
    monkeypatch.setattr(bounded, "time", SimpleNamespace(monotonic=lambda: now[0]))
    assert bounded.loading_seconds([tiny_set.directory], read_run(write_run(1))) == pytest.approx(0.5 * (3 + 1) * 40)
    assert max(read) <= 8


def test_what_could_not_be_judged_in_the_end_is_refused_at_the_start(write_run, tiny_set, tmp_path):
    config, fabric = read_run(write_run(1)), fabric_for(read_run(write_run(1)), "cpu")
    with pytest.raises(InvalidOption, match="resolution: expected a multiple of 8 from 32 to 512, got 20"):
        train_bounded(config, [tiny_set.directory], tmp_path / "out", fabric, Lease(minutes=9, resolution=20))
    untested = dataclasses.replace(tiny_set, directory=tmp_path, entries=tiny_set.entries[:4])
    untested.write()
    with pytest.raises(TrainingError, match="expected shapes in split 'test', found none"):
        train_bounded(config, [tmp_path], tmp_path / "out", fabric, Lease(minutes=9))
    assert not (tmp_path / "out").exists()


def test_a_baseline_is_refused_before_anything_is_trained(write_run, tiny_set, tmp_path):
    config = dataclasses.replace(read_run(write_run(1)), baseline=BaselineConfig(name="occnet"))
    with pytest.raises(TrainingError, match="expected a run that can be exported, found the baseline occnet"):
        train_bounded(config, [tiny_set.directory], tmp_path / "out", fabric_for(config, "cpu"), Lease(minutes=1))
    assert not (tmp_path / "out").exists()

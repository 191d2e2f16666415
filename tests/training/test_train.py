"""The training loop on a handful of steps."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from model.networks.occupancy_network import NetworkConfig
from training import train as training_loop
from training.checkpoints import load_checkpoint, network_of, save_checkpoint
from training.configs import (
    AugmentationConfig,
    IntervalConfig,
    LabelConfig,
    OptimisationConfig,
    PointsConfig,
    RunConfig,
    run_to_json,
)
from training.errors import TrainingError
from training.export import BundleIdentity, bundle_weights, export_bundle
from training.train import StartingWeights, fabric_for

NO_WEIGHTS = StartingWeights()
CONFIG = RunConfig(
    name="test",
    image_size=32,
    network=NetworkConfig(pyramid_channels=4, decoder_widths=(8, 8, 8, 8)),
    points=PointsConfig(near=60, uniform=40),
    labels=LabelConfig(rule="calibrated", measure_steps=2, adjust_steps=2),
    optimisation=OptimisationConfig(batch_size=3, steps=6, learning_rate=1e-3, decay="cosine", warmup_steps=2, clip_norm=1.0),
    augmentation=AugmentationConfig(flip=True, brightness=0.2, noise=0.02),
    intervals=IntervalConfig(log=2, evaluate=3, save=3, evaluation_views=2, sample_views=1, sample_resolution=16),
)
QUIET = dataclasses.replace(CONFIG, intervals=dataclasses.replace(CONFIG.intervals, sample_views=0, evaluate=100))


@pytest.fixture(scope="module")
def finished(tiny_set, tmp_path_factory):
    """The run folder of six steps."""
    run_dir = tmp_path_factory.mktemp("run")
    train(CONFIG, tiny_set.directory, run_dir)
    return run_dir


def train(config, directory, run_dir, start=NO_WEIGHTS):
    return training_loop.train(config, [directory], run_dir, fabric_for(config, "cpu"), start)


def weights(checkpoint) -> dict[str, torch.Tensor]:
    return load_checkpoint(checkpoint)["network"]


def assert_same_weights(one, other) -> None:
    expected = weights(other)
    for name, value in weights(one).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-6, msg=name)


def test_a_run_leaves_its_checkpoint_its_record_and_its_pictures(finished, tiny_set):
    network, config = network_of(load_checkpoint(finished / "checkpoint.pt"))
    assert config == CONFIG
    assert not network.training
    record = json.loads((finished / "run.json").read_text())
    assert record["run"] == run_to_json(CONFIG)
    assert record["data_digest"] == tiny_set.digest
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train/loss" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "val/iou" in line] == [3, 6]
    assert all(np.isfinite(value) for line in lines for value in line.values())
    assert sorted(path.name for path in (finished / "samples").iterdir()) == ["0000003.png", "0000006.png"]
    with Image.open(finished / "samples" / "0000006.png") as sheet:
        assert sheet.size == (4 * 192, 192)
    assert list(finished.glob("events.out.tfevents.*"))


def test_the_checkpoint_tells_how_far_the_run_is(finished):
    state = load_checkpoint(finished / "checkpoint.pt")
    assert state["step"] == 6
    assert state["schedule"]["step"] == 6
    assert state["minutes"] > 0


class Killed(Exception):
    """Stands for a kill at any moment."""


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(finished, tiny_set, tmp_path, monkeypatch):
    """Killed in the fifth step, after the save at the third: the steps since are repeated, with the same batches."""
    one_step, done = training_loop.training_step, []

    def die_in_the_fifth(*arguments):
        if len(done) == 4:
            raise Killed
        done.append(None)
        return one_step(*arguments)

    monkeypatch.setattr(training_loop, "training_step", die_in_the_fifth)
    with pytest.raises(Killed):
        train(CONFIG, tiny_set.directory, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 3
    monkeypatch.undo()
    train(CONFIG, tiny_set.directory, tmp_path)
    assert_same_weights(tmp_path / "checkpoint.pt", finished / "checkpoint.pt")
    ended, straight = (load_checkpoint(run / "checkpoint.pt") for run in (tmp_path, finished))
    assert ended["schedule"] == straight["schedule"]


def test_a_finished_run_is_left_as_it_is(finished, tiny_set):
    before = weights(finished / "checkpoint.pt")
    train(CONFIG, tiny_set.directory, finished)
    assert all(torch.equal(value, before[name]) for name, value in weights(finished / "checkpoint.pt").items())


def test_whoever_made_the_shapes_or_the_weights_is_named_to_the_end(tiny_set, tmp_path):
    """Of the training split, of the bundle that a run starts from, and of what an interrupted run had learnt from."""
    entries = [
        dataclasses.replace(entry, licence="MIT", attribution=f"{entry.split} author") if entry.split != "val" else entry
        for entry in tiny_set.entries
    ]
    attributed = dataclasses.replace(tiny_set, entries=tuple(entries))
    try:
        attributed.write()
        start = StartingWeights(attribution=("earlier author (CC0-1.0)",))
        train(QUIET, tiny_set.directory, tmp_path, start)
    finally:
        tiny_set.write()
    longer = dataclasses.replace(QUIET, optimisation=dataclasses.replace(QUIET.optimisation, steps=QUIET.optimisation.steps + 1))
    checkpoint = train(longer, tiny_set.directory, tmp_path)
    bundle = export_bundle(checkpoint, tmp_path / "bundle", BundleIdentity("named", "1", attribution=("me",)))
    assert bundle.manifest.attribution == ("me", "earlier author (CC0-1.0)", "train author (MIT)")
    assert "train author (MIT)" in (tmp_path / "bundle" / "README.md").read_text()


def test_training_lowers_the_loss(tiny_set, tmp_path):
    optimisation = OptimisationConfig(batch_size=2, steps=60, learning_rate=5e-3)
    labels = LabelConfig(rule="binary")
    config = dataclasses.replace(QUIET, optimisation=optimisation, labels=labels)
    train(config, tiny_set.directory, tmp_path)
    losses = [json.loads(line)["train/loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert np.mean(losses[-4:]) < 0.9 * losses[0]


@pytest.mark.parametrize("rule", ["paper", "fixed"])
def test_each_label_rule_trains(tiny_set, tmp_path, rule):
    config = dataclasses.replace(QUIET, labels=LabelConfig(rule=rule, fixed_s=0.3))
    s = load_checkpoint(train(config, tiny_set.directory, tmp_path))["schedule"]["s"]
    assert s == 0.3 if rule == "fixed" else 0.1 <= s <= 0.95


def test_bfloat16_steps_stay_finite(tiny_set, tmp_path):
    config = dataclasses.replace(QUIET, optimisation=dataclasses.replace(QUIET.optimisation, precision="bfloat16", steps=2))
    checkpoint = train(config, tiny_set.directory, tmp_path)
    assert all(torch.isfinite(value).all() and value.dtype != torch.bfloat16 for value in weights(checkpoint).values())


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(tiny_set, tmp_path, monkeypatch):
    one_step, done = training_loop.training_step, []

    def poisoned(*arguments):
        outcome = one_step(*arguments)
        done.append(None)
        return dataclasses.replace(outcome, loss=math.nan, own_loss=math.nan) if len(done) == 5 else outcome

    monkeypatch.setattr(training_loop, "training_step", poisoned)
    told = r"step 4: expected a finite loss, found nan with a gradient of norm [\d.]+; learning_rate \S+, best_f1 \S+, s 0\.\S+; "
    views = r"views: (train-\d view \d, ){2}train-\d view \d; last save: .*checkpoint\.pt"
    with pytest.raises(TrainingError, match=told + views):
        train(QUIET, tiny_set.directory, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 3


def test_a_run_goes_on_from_a_bundles_weights(tiny_bundle, tiny_checkpoint, tiny_set, tmp_path):
    """With a learning rate of next to nothing, what comes out is what went in, but for fp16."""
    network = network_of(load_checkpoint(tiny_checkpoint))[1].network
    optimisation = OptimisationConfig(batch_size=2, steps=1, learning_rate=1e-12)
    config = dataclasses.replace(QUIET, network=network, optimisation=optimisation)
    checkpoint = train(config, tiny_set.directory, tmp_path, StartingWeights(network=bundle_weights(tiny_bundle)))
    found, expected = weights(checkpoint), weights(tiny_checkpoint)
    for name in (name for name in expected if "running" not in name and "batches" not in name):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4, msg=name)


def test_weights_of_another_network_are_refused_in_words(tiny_bundle, tiny_set, tmp_path):
    with pytest.raises(TrainingError, match="expected the network of run 'test', found another: "):
        train(QUIET, tiny_set.directory, tmp_path, StartingWeights(network=bundle_weights(tiny_bundle)))


def test_a_checkpoint_of_another_network_is_refused_in_words(finished, tiny_set):
    other = dataclasses.replace(CONFIG, network=NetworkConfig(pyramid_channels=6, decoder_widths=(8, 8, 8, 8)))
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: expected a checkpoint of this run, found one with other network"):
        train(other, tiny_set.directory, finished)


def test_a_finished_run_goes_on_when_it_is_given_more_steps(finished, tiny_set, tmp_path):
    run_dir = shutil.copytree(finished, tmp_path / "run")
    longer = dataclasses.replace(CONFIG, optimisation=dataclasses.replace(CONFIG.optimisation, steps=8))
    assert load_checkpoint(train(longer, tiny_set.directory, run_dir))["step"] == 8


def test_starting_weights_are_not_silently_ignored_by_a_run_that_has_begun(finished, tiny_set):
    start = StartingWeights(network=weights(finished / "checkpoint.pt"))
    with pytest.raises(TrainingError, match="expected no checkpoint beside starting weights"):
        train(CONFIG, tiny_set.directory, finished, start)


def test_frozen_norms_keep_statistics_that_were_measured_anew(tiny_set, tmp_path):
    """After the freeze no statistic moves, and weights still do."""
    frozen = dataclasses.replace(QUIET, optimisation=dataclasses.replace(QUIET.optimisation, freeze_norms_at=0.5))
    saved = load_checkpoint(train(frozen, tiny_set.directory, tmp_path / "frozen"))
    moving = load_checkpoint(train(QUIET, tiny_set.directory, tmp_path / "moving"))
    assert saved["norms_frozen"]
    assert not moving["norms_frozen"]
    counted = "decoder.norms.0.num_batches_tracked"
    assert saved["network"][counted] == training_loop.SETTLING_BATCHES
    assert moving["network"][counted] == QUIET.optimisation.steps
    longer = dataclasses.replace(frozen, optimisation=dataclasses.replace(frozen.optimisation, steps=7))
    later = load_checkpoint(train(longer, tiny_set.directory, tmp_path / "frozen"))["network"]
    for name in ("running_mean", "running_var"):
        assert torch.equal(later[f"decoder.norms.0.{name}"], saved["network"][f"decoder.norms.0.{name}"])
    assert not torch.equal(later["decoder.first.weight"], saved["network"]["decoder.first.weight"])


def test_a_set_without_training_shapes_is_refused_in_words(empty_split, tmp_path):
    with pytest.raises(TrainingError, match="expected at least one in the split, found none"):
        train(QUIET, empty_split, tmp_path)


def test_a_damaged_checkpoint_is_refused_in_words(finished, tmp_path):
    whole = (finished / "checkpoint.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TrainingError, match=r"cut\.pt: expected a checkpoint, could not read it"):
        load_checkpoint(tmp_path / "cut.pt")
    with pytest.raises(TrainingError, match=r"gone\.pt: expected a checkpoint, found none"):
        load_checkpoint(tmp_path / "gone.pt")
    torch.save({"format": 99}, tmp_path / "future.pt")
    with pytest.raises(TrainingError, match=r"future\.pt: expected checkpoint format 1, found 99"):
        load_checkpoint(tmp_path / "future.pt")


def test_a_save_that_fails_leaves_the_old_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", {"step": 1})
    with pytest.raises(Exception, match=r"lambda|pickle"):
        save_checkpoint(tmp_path / "checkpoint.pt", {"step": 2, "not storable": lambda: None})
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1


def test_the_learning_rate_warms_up_and_falls_as_a_cosine():
    config = OptimisationConfig(learning_rate=1.0, warmup_steps=4, decay="cosine")
    rate = training_loop._learning_rate
    assert [rate(config, step, 0.0) for step in (0, 1, 3, 10)] == pytest.approx([0.25, 0.5, 1.0, 1.0])
    assert [rate(config, 10, used) for used in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert rate(dataclasses.replace(config, decay="constant"), 10, 0.9) == 1.0

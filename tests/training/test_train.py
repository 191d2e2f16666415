"""The training loop on a handful of steps."""

import dataclasses
import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from model.errors import NoSurface
from model.networks.occupancy_network import NetworkConfig
from training import train as training_loop
from training.checkpoints import load_checkpoint, network_of, save_checkpoint
from training.configs import (
    AugmentationConfig,
    BaselineConfig,
    IntervalConfig,
    LabelConfig,
    OptimisationConfig,
    PointsConfig,
    RunConfig,
    run_to_json,
)
from training.data.dataset import ShapeSet, on_white
from training.errors import TrainingError
from training.export import BundleIdentity, bundle_weights, export_bundle
from training.method import Method
from training.prepared_sets import PreparedSets
from training.train import StartingWeights, fabric_for

NO_WEIGHTS = StartingWeights()
CONFIG = RunConfig(
    name="test",
    image_size=32,
    network=NetworkConfig(pyramid_channels=4, decoder_widths=(8, 8, 8, 8)),
    points=PointsConfig(near=60, uniform=40),
    labels=LabelConfig(rule="calibrated", measure_steps=2, adjust_steps=2),
    optimisation=OptimisationConfig(
        batch_size=3, steps=6, learning_rate=1e-3, decay="cosine", warmup_steps=2, clip_norm=1.0, ema_decay=0.5
    ),
    augmentation=AugmentationConfig(flip=True, brightness=0.2, noise=0.02),
    intervals=IntervalConfig(log=2, evaluate=3, save=3, evaluation_views=2, sample_views=1, sample_resolution=16),
)
QUIET = dataclasses.replace(
    CONFIG,
    optimisation=dataclasses.replace(CONFIG.optimisation, ema_decay=None),
    intervals=dataclasses.replace(CONFIG.intervals, sample_views=0, evaluate=100),
)


@pytest.fixture(scope="module", autouse=True)
def few_settling_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "SETTLING_BATCHES", 5)
        yield


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
    assert record["data"] == {tiny_set.directory.name: tiny_set.digest}
    assert record.keys() >= {"seed", "commit", "uncommitted_changes", "command", "torch", "hardware"}
    assert record["world_size"] == 1
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


def die_in_the_fifth_step(monkeypatch) -> None:
    one_step, done = training_loop.training_step, []

    def step(*arguments):
        if len(done) == 4:
            raise Killed
        done.append(None)
        return one_step(*arguments)

    monkeypatch.setattr(training_loop, "training_step", step)


def log_without_times(run_dir) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "train/views_per_second"} for line in lines]


def assert_same_state(one, other, path="") -> None:
    """Of two checkpoints everything but the times and the circumstances."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for name in one.keys() - {"minutes", "seconds", "provenance"}:
            assert_same_state(one[name], other[name], f"{path}/{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same_state(a, b, f"{path}/{number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(finished, tiny_set, tmp_path, monkeypatch):
    """Killed in the fifth step, after the save at the third: the steps since are repeated, with the same batches, bit by bit.

    Weights, their average, the optimiser, the schedule and the generator end alike, and the log has each line once.
    """
    with monkeypatch.context() as patch:
        die_in_the_fifth_step(patch)
        with pytest.raises(Killed):
            train(CONFIG, tiny_set.directory, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 3
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "train/lo')  # the kill cut a line short
    train(CONFIG, tiny_set.directory, tmp_path)
    assert_same_state(*(load_checkpoint(run / "checkpoint.pt") for run in (tmp_path, finished)))
    assert log_without_times(tmp_path) == log_without_times(finished)


def test_a_kill_costs_no_more_than_the_minutes_between_two_saves(tiny_set, tmp_path, monkeypatch):
    die_in_the_fifth_step(monkeypatch)
    config = dataclasses.replace(QUIET, intervals=dataclasses.replace(QUIET.intervals, save=100, save_minutes=1e-6))
    with pytest.raises(Killed):
        train(config, tiny_set.directory, tmp_path)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 4


@pytest.mark.parametrize("freeze_norms_at", [0.5, 1.0])
def test_what_is_shipped_is_the_average_of_the_weights(tiny_set, tmp_path, monkeypatch, freeze_norms_at):
    """The recursion of an exponential average over the weights after each step, and statistics that were settled for it."""
    one_step, passed = training_loop.training_step, []

    def step(state, *arguments):
        outcome = one_step(state, *arguments)
        passed.append({name: value.detach().clone() for name, value in state.method.network.named_parameters()})
        return outcome

    monkeypatch.setattr(training_loop, "training_step", step)
    optimisation = dataclasses.replace(QUIET.optimisation, steps=4, ema_decay=0.75, freeze_norms_at=freeze_norms_at)
    checkpoint = train(dataclasses.replace(QUIET, optimisation=optimisation), tiny_set.directory, tmp_path)
    expected = passed[0]
    for now in passed[1:]:
        expected = {name: 0.75 * value + 0.25 * now[name] for name, value in expected.items()}
    state = load_checkpoint(checkpoint)
    shipped = dict(network_of(state)[0].named_parameters())
    for name, value in expected.items():
        torch.testing.assert_close(shipped[name].detach(), value, rtol=1e-5, atol=1e-7, msg=name)
    assert not torch.equal(shipped["decoder.first.weight"], state["method"]["network.decoder.first.weight"])
    assert state["network"]["decoder.norms.0.num_batches_tracked"] == training_loop.SETTLING_BATCHES
    same = torch.equal(state["network"]["decoder.norms.0.running_mean"], state["method"]["network.decoder.norms.0.running_mean"])
    assert same == (freeze_norms_at == 0.5)  # frozen norms belong to both; otherwise the average's were measured for it


def gradients(method) -> dict[str, torch.Tensor]:
    return {name: value.grad.clone() for name, value in method.named_parameters()}


def worker(fabric, config, data_dir, run_dir) -> None:
    """One of several processes: trains, and writes what it ends with and the gradients of its first step."""
    torch.set_num_threads(1)
    one_step, ended, first = training_loop.training_step, {}, {}

    def step(state, *arguments):
        outcome = one_step(state, *arguments)
        first.update({} if first else gradients(state.method))
        ended.update(state.method.state_dict())
        return outcome

    training_loop.training_step = step
    training_loop.train(config, [data_dir], run_dir, fabric)
    torch.save({"ended": ended, "first": first}, run_dir / f"{fabric.global_rank}.pt")


def flat(values: dict[str, torch.Tensor], names) -> torch.Tensor:
    return torch.cat([values[name].detach().flatten() for name in names])


def test_two_processes_take_the_steps_that_one_takes_with_both_halves(tiny_set, tmp_path):
    """The twin: one process that draws both halves of each batch and descends along the mean of their two losses."""
    optimisation = OptimisationConfig(batch_size=4, steps=3, learning_rate=1e-3, clip_norm=1.0)
    intervals = dataclasses.replace(QUIET.intervals, save=1)
    # Of 32 px the deepest maps would be single pixels, which batch norm over two views makes constant, and their gradients noise.
    config = dataclasses.replace(QUIET, image_size=64, optimisation=optimisation, intervals=intervals)
    fabric_for(config, "cpu", devices=2, strategy="ddp_fork").launch(worker, config, tiny_set.directory, tmp_path)

    shapes = ShapeSet(tiny_set.files("train"), config.camera)
    twin = training_loop.fresh_state(config, shapes, fabric_for(config, "cpu"), NO_WEIGHTS).method
    start = {name: value.detach().clone() for name, value in twin.named_parameters()}
    optimiser = torch.optim.AdamW(twin.parameters(), lr=1e-3, weight_decay=0.0)
    generators = [torch.Generator().manual_seed(training_loop._seed(config.seed, rank)) for rank in (0, 1)]
    first = {}
    for _ in range(optimisation.steps):
        halves = [shapes.batch(2, config.points, config.augmentation, config.image_size, g) for g in generators]
        losses, sums = zip(*(twin.train()(half) for half in halves), strict=True)
        optimiser.zero_grad()
        (sum(losses) / 2).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        first = first or gradients(twin)
        optimiser.step()
        twin.observe(sum(sums))

    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name in start:
        assert torch.equal(one["ended"][name], other["ended"][name]), name
        torch.testing.assert_close(one["first"][name], first[name], rtol=1e-3, atol=1e-5, msg=name)
    begin, end, expected = (flat(values, start) for values in (start, one["ended"], dict(twin.named_parameters())))
    assert (end - expected).norm() < 0.05 * (
        expected - begin
    ).norm()  # Adam takes whole steps on gradients that are next to nothing
    assert one["ended"]["_extra_state"] == other["ended"]["_extra_state"] == twin.get_extra_state()
    assert len(load_checkpoint(tmp_path / "checkpoint.pt")["generators"]) == 2
    assert [line["step"] for line in log_without_times(tmp_path)] == [2]
    assert json.loads((tmp_path / "run.json").read_text())["world_size"] == 2


def test_a_batch_that_cannot_be_shared_out_is_refused_in_words():
    with pytest.raises(TrainingError, match=r"optimisation\.batch_size: expected a multiple of the 2 devices, found 3"):
        fabric_for(CONFIG, "cpu", devices=2)


def test_a_run_goes_on_with_another_number_of_processes(finished, tiny_set, tmp_path):
    """As if two had saved it: the one left draws anew, the same whenever it is asked."""
    state = load_checkpoint(finished / "checkpoint.pt")
    state["generators"] *= 2
    longer = dataclasses.replace(CONFIG, optimisation=dataclasses.replace(CONFIG.optimisation, steps=8))
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        save_checkpoint(tmp_path / name / "checkpoint.pt", {key: value for key, value in state.items() if key != "format"})
        train(longer, tiny_set.directory, tmp_path / name)
    assert_same_state(*(load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("one", "other")))


def test_several_sets_are_trained_on_and_judged_together(finished, tiny_set, tmp_path):
    other = shutil.copytree(tiny_set.directory, tmp_path / "other")
    optimisation = dataclasses.replace(QUIET.optimisation, steps=2)
    intervals = dataclasses.replace(QUIET.intervals, evaluate=2, evaluation_views=4)
    config = dataclasses.replace(QUIET, optimisation=optimisation, intervals=intervals)
    directories = [tiny_set.directory, other]
    training_loop.train(config, directories, tmp_path / "run", fabric_for(config, "cpu"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"] == {tiny_set.directory.name: tiny_set.digest, "other": tiny_set.digest}
    assert record["data_digest"] != tiny_set.digest
    sets = PreparedSets.read(directories)
    assert len(sets.shapes("train", config, torch.device("cpu"))) == 2 * len(tiny_set.files("train"))
    scores = log_without_times(tmp_path / "run")[-1]
    assert scores["val/iou"] == pytest.approx((scores["val/other/iou"] + scores[f"val/{tiny_set.directory.name}/iou"]) / 2)
    with pytest.raises(TrainingError, match=r"expected one or several, in folders of different names, found .*other.*other"):
        PreparedSets.read([other, other])


def test_training_draws_from_the_views_that_the_run_names(tiny_set):
    sets, cpu = PreparedSets.read([tiny_set.directory]), torch.device("cpu")
    everything = sets.shapes("train", QUIET, cpu)
    second = sets.shapes("train", dataclasses.replace(QUIET, views=(1, 2)), cpu)
    assert second.view_count == 1
    assert torch.equal(second.images, everything.images[:, 1:])
    numbers = torch.arange(3)
    points = torch.zeros(3, 1, 3)
    assert torch.equal(second.columns(numbers, 0 * numbers, points)[0], everything.columns(numbers, 0 * numbers + 1, points)[0])
    assert sets.shapes("val", dataclasses.replace(QUIET, views=(1, 2)), cpu).view_count == 2
    with pytest.raises(TrainingError, match="views: expected at least 3 of each shape, found 2"):
        sets.shapes("train", dataclasses.replace(QUIET, views=(0, 3)), cpu)


class Regression(Method):
    """No field and no surface: the mean grey of a picture is to be 0.5. It notes in which precision it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(()))
        self.seen = set()

    def forward(self, batch):
        self.seen.add((batch.points.dtype, torch.is_autocast_enabled("cpu")))
        return (batch.images.mean() + self.bias - 0.5).square(), batch.images.new_zeros(0)

    def surface(self, image, grid, observed):
        raise NoSurface("nothing to see")


def test_a_method_without_a_field_is_judged_by_its_loss(tiny_set, tmp_path, monkeypatch):
    method = Regression()
    monkeypatch.setattr(training_loop, "build_method", lambda *_: method)
    optimisation = OptimisationConfig(batch_size=2, steps=6, learning_rate=0.01, precision="bfloat16")
    baseline = BaselineConfig(name="atlasnet")
    train(dataclasses.replace(CONFIG, baseline=baseline, optimisation=optimisation), tiny_set.directory, tmp_path)
    losses = [line["val/loss"] for line in log_without_times(tmp_path) if "val/loss" in line]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert weights(tmp_path / "checkpoint.pt")["bias"] == method.bias
    assert method.seen == {(torch.float32, True), (torch.float32, False)}  # in training and when judged


def test_a_baseline_takes_no_starting_weights(tiny_set, tmp_path, monkeypatch):
    monkeypatch.setattr(training_loop, "build_method", lambda *_: Regression())
    with pytest.raises(TrainingError, match="expected none for the baseline of run 'test'"):
        train(QUIET, tiny_set.directory, tmp_path, StartingWeights(network={}))


def test_where_the_time_went_is_kept(finished):
    times = json.loads((finished / "timing.json").read_text())
    assert times["views"] == 6 * CONFIG.optimisation.batch_size
    assert times["shares"].keys() == {"data", "step", "other"}
    assert sum(times["shares"].values()) == pytest.approx(1)
    assert min(times["seconds"].values()) >= 0
    minutes = load_checkpoint(finished / "checkpoint.pt")["minutes"]
    assert sum(times["seconds"].values()) == pytest.approx(60 * minutes)


def test_the_views_that_a_failure_names_are_those_of_its_batch(tiny_set, tmp_path, monkeypatch):
    drawn, one_step = [], training_loop.training_step

    def step(state, batch, config):
        drawn.append(batch.images)
        outcome = one_step(state, batch, config)
        return dataclasses.replace(outcome, loss=math.inf) if len(drawn) == 3 else outcome

    monkeypatch.setattr(training_loop, "training_step", step)
    config = dataclasses.replace(QUIET, augmentation=AugmentationConfig(), views=(1, 2))
    with pytest.raises(TrainingError) as failure:
        train(config, tiny_set.directory, tmp_path)
    named = re.findall(r"train-(\d) view (\d)", str(failure.value))
    assert len(named) == len(drawn[-1]) == 3
    shapes = ShapeSet(tiny_set.files("train"), config.camera)
    for (shape, view), image in zip(named, drawn[-1], strict=True):
        torch.testing.assert_close(image, on_white(shapes.images[int(shape), int(view)][None], config.image_size)[0])


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


def test_data_that_have_changed_since_are_pointed_out_and_the_run_goes_on(finished, tiny_set, tmp_path):
    """Further sets may be named when a run is taken up again; a set that changed by mistake is not to go unnoticed."""
    shutil.copytree(finished, tmp_path / "run")
    others = dataclasses.replace(tiny_set, directory=tmp_path / "set", entries=tiny_set.entries[1:])
    shutil.copytree(tiny_set.directory, others.directory)
    others.write()
    longer = dataclasses.replace(CONFIG, optimisation=dataclasses.replace(CONFIG.optimisation, steps=7))
    with pytest.warns(UserWarning, match=f"digest {tiny_set.digest} before, {others.digest} from here on"):
        checkpoint = train(longer, others.directory, tmp_path / "run")
    assert load_checkpoint(checkpoint)["step"] == 7

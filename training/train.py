"""The training loop: batch, labels, loss, step, log, evaluate, save. It reads from top to bottom in `train`."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from model.networks.encoder import load_backbone_weights
from model.networks.occupancy_network import OccupancyNetwork
from training.checkpoints import load_checkpoint, save_checkpoint
from training.configs import LabelConfig, OptimisationConfig, RunConfig, run_from_json, run_to_json
from training.data.dataset import Batch, ShapeSet
from training.data.index import DataIndex
from training.errors import TrainingError
from training.labels import (
    CalibratedRule,
    HardnessRule,
    HardnessSchedule,
    PaperRule,
    adaptive_label,
    binary_label,
    initial_f1,
    trivial_f1,
)
from training.normalisation import normalise
from training.validation import sample_sheet, validate

CHECKPOINT = "checkpoint.pt"
SETTLING_BATCHES = 64  # over which batch norm statistics are measured before they are frozen


@dataclass(frozen=True)
class StartingWeights:
    """Where a fresh run's weights come from, each a state dict: a whole network (a bundle's), or a torchvision ResNet-18.

    attribution: whom the weights' own training data are to be attributed to.
    """

    network: dict[str, Tensor] | None = None
    backbone: dict[str, Tensor] | None = None
    attribution: tuple[str, ...] = ()


@dataclass
class TrainingState:
    """All that changes while a run goes on, and so all that a checkpoint holds.

    attribution: whom every shape that has formed the weights is to be attributed to.
    """

    network: OccupancyNetwork
    optimiser: torch.optim.Optimizer
    schedule: HardnessSchedule
    generator: torch.Generator
    step: int = 0
    minutes: float = 0.0
    norms_frozen: bool = False
    attribution: tuple[str, ...] = ()

    def save(self, path: Path, config: RunConfig, provenance: dict[str, str]) -> None:
        state = {
            "run": run_to_json(config),
            "provenance": provenance,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "minutes": self.minutes,
            "norms_frozen": self.norms_frozen,
            "attribution": list(self.attribution),
        }
        save_checkpoint(path, state)

    def resume(self, path: Path, config: RunConfig) -> None:
        """Takes up a checkpoint of the same run; only its budget and its intervals may have been changed since."""
        state = load_checkpoint(path)
        saved = run_from_json(state["run"])
        budget = {"steps": config.optimisation.steps, "max_minutes": config.optimisation.max_minutes}
        comparable = replace(saved, intervals=config.intervals, optimisation=replace(saved.optimisation, **budget))
        if comparable != config:
            changed = [item.name for item in fields(config) if getattr(comparable, item.name) != getattr(config, item.name)]
            raise TrainingError(
                f"{path}: expected a checkpoint of this run, found one with other {', '.join(changed)}; choose another --out"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.step, self.minutes, self.norms_frozen = state["step"], state["minutes"], state["norms_frozen"]
        self.attribute(state.get("attribution", ()))

    def attribute(self, names: Iterable[str]) -> None:
        """Adds to the attribution."""
        self.attribution = tuple(sorted({*self.attribution, *names}))


def train(
    config: RunConfig, data_dir: Path, run_dir: Path, device: torch.device, start: StartingWeights = StartingWeights()
) -> Path:
    """Trains until the budget is used up; returns the checkpoint's path. A run folder with a checkpoint goes on where it stopped.

    run_dir gets checkpoint.pt, run.json (run, commit, data digest), metrics.jsonl, TensorBoard events and samples/*.png.
    """
    console = Console()
    run_dir.mkdir(parents=True, exist_ok=True)
    index = DataIndex.read(data_dir)
    shapes = ShapeSet(index.files("train"), config.camera, device)
    held_out = ShapeSet(index.files("val"), config.camera, device)
    console.print(f"{len(shapes)} shapes to train on, {len(held_out)} to validate, {shapes.view_count} views each, on {device}")

    state = fresh_state(config, shapes, device, start)
    state.attribute(index.attribution("train"))
    checkpoint = run_dir / CHECKPOINT
    if checkpoint.exists():
        if start != StartingWeights():
            raise TrainingError(f"{checkpoint}: expected no checkpoint beside starting weights, found one; choose another --out")
        state.resume(checkpoint, config)
        console.print(f"resumed at step {state.step}")
    provenance = {"commit": commit(), "data_digest": index.digest, "torch": str(torch.__version__)}
    (run_dir / "run.json").write_text(json.dumps({"run": run_to_json(config), **provenance}, indent=2) + "\n")

    intervals = config.intervals
    losses: list[float] = []
    clock = logged = time.monotonic()
    with SummaryWriter(str(run_dir), purge_step=state.step) as board, _progress(console) as progress:
        task = progress.add_task(config.name, total=1.0, status="")
        while (used := _budget_used(config.optimisation, state)) < 1:
            if used >= config.optimisation.freeze_norms_at and not state.norms_frozen:
                _settle_norms(state, shapes, config)
                console.print(f"step {state.step}: batch norms frozen")
            for group in state.optimiser.param_groups:
                group["lr"] = _learning_rate(config.optimisation, state.step, used)
            batch = _draw(state, shapes, config)
            loss, logits = training_step(state, batch, config)
            if not math.isfinite(loss):
                raise TrainingError(f"step {state.step}: expected a finite loss, found {loss}; last save: {checkpoint}")
            state.schedule.observe(logits, batch.distance)
            losses.append(loss)
            state.step += 1
            state.minutes, clock = state.minutes + (time.monotonic() - clock) / 60, time.monotonic()

            if state.step % intervals.log == 0:
                scalars = {
                    "loss": float(np.mean(losses)),
                    "best_f1": state.schedule.best_f1,
                    "s": state.schedule.s,
                    "learning_rate": state.optimiser.param_groups[0]["lr"],
                    "views_per_second": len(losses) * config.optimisation.batch_size / (clock - logged),
                }
                _log(board, run_dir, state.step, "train", scalars)
                status = "{loss:.4f} loss, {best_f1:.3f} F1, {s:.2f} s, {views_per_second:.0f} views/s".format(**scalars)
                progress.update(task, completed=used, status=f"step {state.step}: {status}")
                losses, logged = [], clock
            if state.step % intervals.evaluate == 0:
                scores = validate(state.network, held_out, config.image_size, intervals.evaluation_views)
                _log(board, run_dir, state.step, "val", scores)
                console.print(f"step {state.step}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
                if intervals.sample_views:
                    _sample(state, held_out, config, run_dir, board)
                logged = time.monotonic()
            if state.step % intervals.save == 0:
                state.save(checkpoint, config, provenance)
    state.save(checkpoint, config, provenance)
    return checkpoint


def training_step(state: TrainingState, batch: Batch, config: RunConfig) -> tuple[float, Tensor]:
    """One step of descent; returns the loss and the logits (B, N)."""
    state.network.train()
    if state.norms_frozen:
        for norm in _norms(state.network):
            norm.eval()
    if config.labels.rule == "binary":
        labels = binary_label(batch.distance)
    else:
        labels = adaptive_label(batch.distance.clamp(min=0), state.schedule.s)
    logits = _forward(state, batch, config)
    loss = F.binary_cross_entropy_with_logits(logits, labels)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    if config.optimisation.clip_norm is not None:
        nn.utils.clip_grad_norm_(state.network.parameters(), config.optimisation.clip_norm)
    state.optimiser.step()
    return loss.item(), logits.detach()


def _settle_norms(state: TrainingState, shapes: ShapeSet, config: RunConfig) -> None:
    """Measures the batch norms' statistics anew, plain means over SETTLING_BATCHES with the weights held still, and freezes them.

    Running means trail behind weights that still move fast; from here on training and serving normalise alike.
    """
    norms = _norms(state.network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a cumulative mean
    state.network.train()
    with torch.no_grad():
        for _ in range(SETTLING_BATCHES):
            _forward(state, _draw(state, shapes, config), config)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    state.norms_frozen = True


def _norms(network: OccupancyNetwork) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]


def _draw(state: TrainingState, shapes: ShapeSet, config: RunConfig) -> Batch:
    size = config.optimisation.batch_size
    return shapes.batch(size, config.points, config.augmentation, config.image_size, state.generator)


def _forward(state: TrainingState, batch: Batch, config: RunConfig) -> Tensor:
    """Logits (B, N) float32 of a batch."""
    images = normalise(batch.images).contiguous(memory_format=torch.channels_last)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=config.optimisation.precision == "bfloat16"):
        logits: Tensor = state.network(images, batch.points)
    return logits.float()


def fresh_state(config: RunConfig, shapes: ShapeSet, device: torch.device, start: StartingWeights) -> TrainingState:
    torch.manual_seed(config.seed)
    network = OccupancyNetwork(config.network)
    try:
        if start.network is not None:
            network.load_state_dict(start.network)
        if start.backbone is not None:
            load_backbone_weights(network.encoder, start.backbone)
    except RuntimeError as error:
        raise TrainingError(f"starting weights: expected the network of run {config.name!r}, found another: {error}") from None
    network = network.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.optimisation.learning_rate, weight_decay=config.optimisation.weight_decay
    )
    generator = torch.Generator(device).manual_seed(config.seed)
    return TrainingState(network, optimiser, _schedule(config, shapes), generator, attribution=start.attribution)


def _schedule(config: RunConfig, shapes: ShapeSet) -> HardnessSchedule:
    """The schedule at its start: the share of positives, and with it the first F1, is taken from one batch."""
    labels = config.labels
    generator = torch.Generator(shapes.device).manual_seed(config.seed)
    probe = shapes.batch(64, config.points, config.augmentation, config.image_size, generator)
    positive_share = float((probe.distance <= 0).float().mean())
    first = initial_f1(positive_share) if labels.rule == "paper" else trivial_f1(positive_share)
    return HardnessSchedule(_rule(labels, positive_share), labels.measure_steps, labels.adjust_steps, best_f1=first)


def _rule(labels: LabelConfig, positive_share: float) -> HardnessRule:
    if labels.rule == "paper":
        return PaperRule(labels.factor, labels.s_min, labels.s_max)
    if labels.rule == "calibrated":
        return CalibratedRule(trivial_f1(positive_share), labels.target_f1, labels.s_start, labels.s_min)
    return lambda f1: labels.fixed_s


def _budget_used(config: OptimisationConfig, state: TrainingState) -> float:
    """Share of the run that is done, by steps or by time, whichever is further."""
    by_time = 0.0 if config.max_minutes is None else state.minutes / config.max_minutes
    return max(state.step / config.steps, by_time)


def _learning_rate(config: OptimisationConfig, step: int, used: float) -> float:
    rate = config.learning_rate * min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return rate * 0.5 * (1 + math.cos(math.pi * used)) if config.decay == "cosine" else rate


def _sample(state: TrainingState, shapes: ShapeSet, config: RunConfig, run_dir: Path, board: SummaryWriter) -> None:
    intervals = config.intervals
    sheet = sample_sheet(state.network, shapes, config.image_size, intervals.sample_views, intervals.sample_resolution)
    samples = run_dir / "samples"
    samples.mkdir(exist_ok=True)
    sheet.save(samples / f"{state.step:07d}.png")
    board.add_image("val/samples", np.asarray(sheet), state.step, dataformats="HWC")


def _log(board: SummaryWriter, run_dir: Path, step: int, group: str, scalars: dict[str, float]) -> None:
    named = {f"{group}/{name}": value for name, value in scalars.items()}
    for name, value in named.items():
        board.add_scalar(name, value, step)
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, **named}) + "\n")


def commit() -> str:
    """The commit this source tree is at, or "unknown" outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def _progress(console: Console) -> Progress:
    percentage = TextColumn("{task.percentage:>3.0f} %")
    status = TextColumn("{task.fields[status]}")
    return Progress(BarColumn(), percentage, TimeElapsedColumn(), TimeRemainingColumn(), status, console=console)

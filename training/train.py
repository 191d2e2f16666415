"""The training loop: batch, step, log, evaluate, save. It reads from top to bottom in `train`.

What is trained is a `Method`; Lightning Fabric carries it from one CPU process to several devices (distributed data parallel).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.networks.encoder import load_backbone_weights
from training.checkpoints import build_method, load_checkpoint, save_checkpoint, shipped_module
from training.configs import OptimisationConfig, RunConfig, run_from_json, run_to_json
from training.data.dataset import Batch, ShapeSet
from training.errors import TrainingError
from training.method import Method
from training.occupancy import PixelAlignedOccupancy
from training.prepared_sets import PreparedSets
from training.run_folder import RunFolder, circumstances, timing
from training.validation import sample_sheet, validate

CHECKPOINT = "checkpoint.pt"
SETTLING_BATCHES = 64  # over which batch norm statistics are measured before they are frozen, or shipped with averaged weights


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

    method: the bare module; module: the same as Fabric runs it (autocast, gradients averaged over the processes).
    average: of the method's weights, where the run keeps one.
    generator: this process's own. minutes: the first process's clock, on which all agree. seconds: by activity, of this process.
    losses: of the steps since the last line of the log.
    attribution: whom every shape that has formed the weights is to be attributed to.
    """

    fabric: Fabric
    method: Method
    module: nn.Module
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None
    generator: torch.Generator
    step: int = 0
    minutes: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: {"data": 0.0, "step": 0.0, "other": 0.0})
    losses: list[float] = field(default_factory=list)
    norms_frozen: bool = False
    attribution: tuple[str, ...] = ()

    @property
    def judged(self) -> Method:
        """What is validated, sampled and shipped."""
        if self.average is None:
            return self.method
        return cast(Method, self.average.module)

    def save(self, path: Path, config: RunConfig, provenance: dict[str, Any]) -> None:
        """Called by all processes; the first one writes."""
        own = self.generator.get_state().to(self.fabric.device)
        generators = own.new_zeros(self.fabric.world_size, len(own))
        generators[self.fabric.global_rank] = own
        generators = _sum_over_processes(self.fabric, generators).cpu()
        if not self.fabric.is_global_zero:
            return
        judged = self.judged
        state = {
            "run": run_to_json(config),
            "provenance": provenance,
            "network": shipped_module(judged).state_dict(),  # shares its memory with one of the next two, in the file too
            "method": self.method.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generators": list(generators),
            "step": self.step,
            "minutes": self.minutes,
            "seconds": self.seconds,
            "losses": self.losses,
            "norms_frozen": self.norms_frozen,
            "attribution": list(self.attribution),
        }
        if isinstance(self.method, PixelAlignedOccupancy):
            state["schedule"] = self.method.schedule.state_dict()
        save_checkpoint(path, state)

    def resume(self, path: Path, config: RunConfig, digest: str) -> None:
        """Takes up a checkpoint of the same run; only its budget, its intervals and, with a warning, its data may have changed.

        digest: of the data that it goes on with. With another number of processes than before, each draws from a fresh generator.
        """
        state = load_checkpoint(path)
        if "method" not in state:
            raise TrainingError(f"{path}: expected a checkpoint to go on from, found weights alone; choose another --out")
        saved = run_from_json(state["run"])
        steps, max_minutes = config.optimisation.steps, config.optimisation.max_minutes
        optimisation = replace(saved.optimisation, steps=steps, max_minutes=max_minutes)
        comparable = replace(saved, intervals=config.intervals, optimisation=optimisation)
        if comparable != config:
            changed = [item.name for item in fields(config) if getattr(comparable, item.name) != getattr(config, item.name)]
            raise TrainingError(
                f"{path}: expected a checkpoint of this run, found one with other {', '.join(changed)}; choose another --out"
            )
        if (learnt := state["provenance"].get("data_digest")) != digest:
            warnings.warn(f"{path}: the data have changed: digest {learnt} before, {digest} from here on", stacklevel=2)
        self.method.load_state_dict(state["method"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        rank, generators = self.fabric.global_rank, state["generators"]
        if len(generators) == self.fabric.world_size:
            self.generator.set_state(generators[rank])
        else:
            self.generator.manual_seed(_seed(config.seed, rank, state["step"]))
        self.step, self.minutes, self.seconds = state["step"], state["minutes"], state["seconds"]
        self.losses, self.norms_frozen = state["losses"], state["norms_frozen"]
        self.attribute(state["attribution"])

    def attribute(self, names: Iterable[str]) -> None:
        """Adds to the attribution."""
        self.attribution = tuple(sorted({*self.attribution, *names}))

    def tick(self, since: float) -> float:
        """Adds what has gone by on the first process's clock since `since`, seconds; returns now."""
        now = time.monotonic()
        self.minutes += _of_the_first(self.fabric, now - since) / 60
        self.seconds["other"] = 60 * self.minutes - self.seconds["data"] - self.seconds["step"]
        return now

    @contextmanager
    def timed(self, activity: str) -> Iterator[None]:
        """Adds the time inside to `seconds`. A GPU is waited for, since it works on when Python has gone ahead."""
        started = time.monotonic()
        yield
        if self.fabric.device.type == "cuda":
            torch.cuda.synchronize(self.fabric.device)
        self.seconds[activity] += time.monotonic() - started


@dataclass(frozen=True)
class StepOutcome:
    """loss: mean over the processes; own_loss: of this one. gradient_norm: before clipping, 0 where nothing is clipped."""

    loss: float
    own_loss: float
    gradient_norm: float

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


def train(
    config: RunConfig, data_dirs: Sequence[Path], run_dir: Path, fabric: Fabric, start: StartingWeights = StartingWeights()
) -> Path:
    """Trains until the budget is used up; returns the checkpoint's path. A run folder with a checkpoint goes on where it stopped.

    data_dirs: prepared sets, whose shapes are drawn from uniformly. fabric: `fabric_for`'s, launched; each process calls this.
    run_dir gets checkpoint.pt and what `RunFolder` writes.
    """
    console = Console(quiet=not fabric.is_global_zero)
    run_dir.mkdir(parents=True, exist_ok=True)
    sets = PreparedSets.read(data_dirs)
    shapes, held_out = (sets.shapes(split, config, fabric.device) for split in ("train", "val"))
    console.print(
        f"{len(shapes)} shapes to train on, {len(held_out)} to validate, {shapes.view_count} views each,"
        f" on {fabric.world_size} x {fabric.device.type}"
    )

    state = fresh_state(config, shapes, fabric, start)
    state.attribute(sets.attribution("train"))
    checkpoint = run_dir / CHECKPOINT
    if checkpoint.exists():
        if start != StartingWeights():
            raise TrainingError(f"{checkpoint}: expected no checkpoint beside starting weights, found one; choose another --out")
        state.resume(checkpoint, config, sets.digest)
        console.print(f"resumed at step {state.step}")
    provenance = {"data_digest": sets.digest, "data": sets.digests, **circumstances(fabric.device, fabric.world_size)}

    intervals, optimisation = config.intervals, config.optimisation
    clock = logged = time.monotonic()
    logged_step, saved = state.step, state.minutes
    with _progress(console) as progress, RunFolder(run_dir, state.step) if fabric.is_global_zero else nullcontext() as folder:
        if folder is not None:
            folder.record({"run": run_to_json(config), "seed": config.seed, **provenance})
        task = progress.add_task(config.name, total=1.0, status="")
        while (used := _budget_used(optimisation, state)) < 1:
            if used >= optimisation.freeze_norms_at and not state.norms_frozen:
                _settle_norms(state.method, shapes, config, fabric, state.generator)
                state.norms_frozen = True
                console.print(f"step {state.step}: batch norms frozen")
            rate = _learning_rate(optimisation, state.step, used)
            for group in state.optimiser.param_groups:
                group["lr"] = rate

            before = state.generator.get_state()
            with state.timed("data"):
                batch = _draw(shapes, config, fabric, state.generator, small=used < optimisation.half_size_until)
            with state.timed("step"):
                outcome = training_step(state, batch, config)
            if not outcome.finite:
                held = _drawn_views(shapes, config, fabric, before, sets.titles("train"))
                raise TrainingError(_divergence(state, outcome, rate, held, checkpoint))
            state.losses.append(outcome.loss)
            state.step += 1
            clock = state.tick(clock)

            if state.step % intervals.log == 0:
                scalars = {
                    "loss": float(np.mean(state.losses)),
                    **state.method.scalars(),
                    "learning_rate": rate,
                    "gradient_norm": outcome.gradient_norm,
                    "views_per_second": (state.step - logged_step) * optimisation.batch_size / (clock - logged),
                }
                state.losses, logged, logged_step = [], clock, state.step
                progress.update(task, completed=used, status=f"step {state.step}: {_status(scalars)}")
                if folder is not None:
                    folder.log(state.step, "train", scalars)
            if folder is not None and state.step % intervals.evaluate == 0:
                paused = time.monotonic()
                scores = validate(state.judged, held_out, config, sets.owners("val"))
                folder.log(state.step, "val", scores)
                console.print(f"step {state.step}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
                if intervals.sample_views:
                    folder.picture(state.step, _sheet(state.judged, held_out, config))
                logged += time.monotonic() - paused
            if state.step % intervals.save == 0 or state.minutes - saved >= intervals.save_minutes:
                state.save(checkpoint, config, provenance)
                saved = state.minutes

        if state.average is not None and not state.norms_frozen:
            own = torch.Generator(fabric.device).manual_seed(_seed(config.seed, fabric.global_rank, state.step))
            _settle_norms(state.judged, shapes, config, fabric, own)
        state.tick(clock)
        state.save(checkpoint, config, provenance)
        if folder is not None:
            views = state.step * optimisation.batch_size
            folder.time(state.seconds, views)
            console.print(_summary(state.seconds, views))
    return checkpoint


def training_step(state: TrainingState, batch: Batch, config: RunConfig) -> StepOutcome:
    """One step of descent by all processes together."""
    state.method.train()
    if state.norms_frozen:
        for norm in _norms(state.method):
            norm.eval()
    loss, sums = state.module(batch)
    state.optimiser.zero_grad(set_to_none=True)
    state.fabric.backward(loss)
    gradient_norm = None
    if config.optimisation.clip_norm is not None:
        longest = config.optimisation.clip_norm
        gradient_norm = state.fabric.clip_gradients(state.module, state.optimiser, max_norm=longest, error_if_nonfinite=False)
    state.optimiser.step()
    if state.average is not None:
        state.average.update_parameters(state.method)
    own = torch.cat([loss.detach()[None], sums])
    totals = _sum_over_processes(state.fabric, own).cpu()
    state.method.observe(totals[1:])
    loss_of_all = float(totals[0]) / state.fabric.world_size
    return StepOutcome(loss_of_all, float(own[0]), 0.0 if gradient_norm is None else float(gradient_norm))


def fresh_state(config: RunConfig, shapes: ShapeSet, fabric: Fabric, start: StartingWeights) -> TrainingState:
    """A run before its first step, the same in all processes but for what each will draw."""
    torch.manual_seed(config.seed)
    method = build_method(config, _positive_share(config, shapes))
    _load(method, start, config)
    method.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    bare = torch.optim.AdamW(
        method.parameters(), lr=config.optimisation.learning_rate, weight_decay=config.optimisation.weight_decay, fused=True
    )
    decay = config.optimisation.ema_decay
    average = None if decay is None else AveragedModel(method, multi_avg_fn=get_ema_multi_avg_fn(decay)).eval()  # type: ignore[no-untyped-call]
    module, optimiser = fabric.setup(method, bare)
    generator = torch.Generator(fabric.device).manual_seed(_seed(config.seed, fabric.global_rank))
    return TrainingState(fabric, method, module, optimiser, average, generator, attribution=start.attribution)


def fabric_for(config: RunConfig, accelerator: str, devices: int = 1, nodes: int = 1, strategy: str = "ddp") -> Fabric:
    """The processes and the precision of a run, not yet launched. strategy: what several devices do, as Fabric names it."""
    size, processes = config.optimisation.batch_size, devices * nodes
    if size % processes:
        raise TrainingError(f"optimisation.batch_size: expected a multiple of the {processes} devices, found {size}")
    mixed = config.optimisation.precision == "bfloat16"
    precision: dict[str, Any] = {"plugins": BatchInFull("bf16-mixed", accelerator)} if mixed else {"precision": "32-true"}
    several = strategy if processes > 1 else "auto"
    return Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=several, **precision)


class BatchInFull(MixedPrecision):
    """Autocast that leaves the batch as it is: in bfloat16, u, v and z would be rounded to half a voxel."""

    def convert_input(self, data: Any) -> Any:
        return data


def _load(method: Method, start: StartingWeights, config: RunConfig) -> None:
    if start.network is None and start.backbone is None:
        return
    if not isinstance(method, PixelAlignedOccupancy):
        raise TrainingError(f"starting weights: expected none for the baseline of run {config.name!r}, found some")
    try:
        if start.network is not None:
            method.network.load_state_dict(start.network)
        if start.backbone is not None:
            load_backbone_weights(method.network.encoder, start.backbone)
    except RuntimeError as error:
        raise TrainingError(f"starting weights: expected the network of run {config.name!r}, found another: {error}") from None


def _positive_share(config: RunConfig, shapes: ShapeSet) -> float:
    """The share of the training pairs that lie inside, from one batch."""
    generator = torch.Generator(shapes.device).manual_seed(config.seed)
    probe = shapes.batch(64, config.points, config.augmentation, config.image_size, generator)
    return float((probe.distance <= 0).float().mean())


def _seed(*numbers: int) -> int:
    """One seed from several, such that no two lists of small numbers share it."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _draw(shapes: ShapeSet, config: RunConfig, fabric: Fabric, generator: torch.Generator, small: bool = False) -> Batch:
    """This process's share of a batch; small: at half the picture size."""
    size = config.optimisation.batch_size // fabric.world_size
    image_size = config.image_size // 2 if small else config.image_size
    return shapes.batch(size, config.points, config.augmentation, image_size, generator)


def _settle_norms(method: Method, shapes: ShapeSet, config: RunConfig, fabric: Fabric, generator: torch.Generator) -> None:
    """Measures the batch norms' statistics anew, plain means over SETTLING_BATCHES with the weights held still.

    Running means trail behind weights that still move fast; frozen from here on, they let training and serving normalise alike.
    Of several processes the first one's are kept: the next step hands its buffers to all.
    """
    norms = _norms(method)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a cumulative mean
    method.train()
    with torch.no_grad(), fabric.autocast():
        for _ in range(SETTLING_BATCHES):
            method(_draw(shapes, config, fabric, generator))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    method.eval()


def _norms(method: Method) -> list[nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d]:
    return [module for module in method.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)]


def _budget_used(config: OptimisationConfig, state: TrainingState) -> float:
    """Share of the run that is done, by steps or by time, whichever is further."""
    by_time = 0.0 if config.max_minutes is None else state.minutes / config.max_minutes
    return max(state.step / config.steps, by_time)


def _learning_rate(config: OptimisationConfig, step: int, used: float) -> float:
    rate = config.learning_rate * min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return rate * 0.5 * (1 + math.cos(math.pi * used)) if config.decay == "cosine" else rate


def _of_the_first(fabric: Fabric, value: float) -> float:
    """The first process's value, in all of them: they must agree on when to stop and when to save."""
    if fabric.world_size == 1:
        return value
    own = torch.tensor([value if fabric.is_global_zero else 0.0], device=fabric.device)
    return float(_sum_over_processes(fabric, own))


def _sum_over_processes(fabric: Fabric, values: Tensor) -> Tensor:
    """A tensor of this process -> one of the same shape, alike in all."""
    return cast(Tensor, fabric.all_reduce(values.clone(), reduce_op="sum"))


def _drawn_views(shapes: ShapeSet, config: RunConfig, fabric: Fabric, before: Tensor, titles: list[str]) -> list[str]:
    """Which views the batch held that was drawn from a generator in the state `before`: `ShapeSet.batch` draws these first."""
    generator = torch.Generator(fabric.device)
    generator.set_state(before)
    size = (config.optimisation.batch_size // fabric.world_size,)
    shape = torch.randint(len(shapes), size, generator=generator, device=fabric.device)
    view = torch.randint(shapes.view_count, size, generator=generator, device=fabric.device)
    first = 0 if config.views is None else config.views[0]
    return [f"{titles[s]} view {first + v}" for s, v in zip(shape.tolist(), view.tolist(), strict=True)]


def _divergence(state: TrainingState, outcome: StepOutcome, rate: float, views: list[str], checkpoint: Path) -> str:
    found = f"{outcome.own_loss} with a gradient of norm {outcome.gradient_norm}"
    process = f" in process {state.fabric.global_rank}" if state.fabric.world_size > 1 else ""
    scalars = ", ".join(f"{name} {value:g}" for name, value in {"learning_rate": rate, **state.method.scalars()}.items())
    return (
        f"step {state.step}: expected a finite loss, found {found}{process}; {scalars};"
        f" views: {', '.join(views)}; last save: {checkpoint}"
    )


def _sheet(method: Method, shapes: ShapeSet, config: RunConfig) -> Any:
    return sample_sheet(method, shapes, config.image_size, config.intervals.sample_views, config.intervals.sample_resolution)


def _status(scalars: dict[str, float]) -> str:
    shown = {name: value for name, value in scalars.items() if name not in ("learning_rate", "gradient_norm", "views_per_second")}
    return ", ".join(f"{name} {value:.4f}" for name, value in shown.items()) + f", {scalars['views_per_second']:.0f} views/s"


def _summary(seconds: dict[str, float], views: int) -> str:
    spent = timing(seconds, views)
    shares = ", ".join(f"{share:.0%} {name}" for name, share in spent["shares"].items())
    return f"{views:,} views in {sum(seconds.values()) / 60:.1f} minutes, {spent['views_per_second']:.0f} views/s: {shares}"


def _progress(console: Console) -> Progress:
    percentage = TextColumn("{task.percentage:>3.0f} %")
    status = TextColumn("{task.fields[status]}")
    return Progress(BarColumn(), percentage, TimeElapsedColumn(), TimeRemainingColumn(), status, console=console)

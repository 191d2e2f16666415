"""What training data cost to make, and how fast they are fed to a training step.

    python -m benchmarks.data [--shapes N] [--views V] [--image-size S] [--run RUN.toml] [--steps N]

Making is timed in one process, in CPU seconds (user and system, all threads), which other work on the machine disturbs least.
Feeding and training are timed in turns in the same run, so their ratio holds on a shared machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from training.configs import PointsConfig, RunConfig, read_run
from training.data.dataset import ShapeSet
from training.data.families import make_part
from training.data.preparation import FIT_POINTS, assemble, pool_config
from training.data.procedural import ProceduralParts
from training.data.sets import SetConfig
from training.rendering.views import render_views
from training.sampling.pools import draw_pool
from training.sampling.solids import ClosedMesh
from training.sampling.surface import sample_surface
from training.train import StartingWeights, fabric_for, fresh_state, training_step

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("solid", "points", "views", "write")
PAPER_POINTS = PointsConfig(near=9872, uniform=128)


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of training data.")
    parser.add_argument("--shapes", type=int, default=48)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--run", type=Path, default=ROOT / "training" / "runs" / "default.toml")
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores {platform.machine()}, torch {version('torch')}, {torch.get_num_threads()} threads\n")
    with tempfile.TemporaryDirectory() as directory:
        config = SetConfig(views=arguments.views, image_size=arguments.image_size)
        files = make(config, arguments.shapes, Path(directory))
        feed(files, read_run(arguments.run), arguments.steps)


def make(config: SetConfig, count: int, directory: Path) -> list[Path]:
    """Prepares procedural parts stage by stage and prints what 1,000 of them would take."""
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        seconds[name].append(time.process_time() - started)

    parts = ProceduralParts(shapes=count)
    items = parts.listing().items
    parts.prepare(items[0], config)  # loads and caches what is made once
    files = []
    for item in items:
        rng = np.random.default_rng(item.source["seed"])
        with stage("solid"):
            part = make_part(item.family, item.source["seed"])
        solid = ClosedMesh(part.vertices, part.faces)
        with stage("points"):
            pool = draw_pool(solid, pool_config(config), rng)
            surface_points, _ = sample_surface(solid.vertices, solid.faces, FIT_POINTS, rng)
        with stage("views"):
            views = render_views(solid.vertices, solid.faces, surface_points, config.views, config.image_size, rng)
        with stage("write"):
            files.append(directory / f"{item.name}.npz")
            assemble(solid, pool, views, {}).write(files[-1])
    megabytes = sum(file.stat().st_size for file in files) / 1e6 / count
    total = sum(map(statistics.fmean, seconds.values()))
    points = config.near_points + config.uniform_points
    families = len({item.family for item in items})
    print(f"{count} shapes of {families} families, {config.views} views of {config.image_size} px, {points} points\n")
    print("| CPU seconds a shape | " + " | ".join(STAGES) + " | all | MB a shape | 1,000 shapes on this machine, alone |")
    print("|---|" + "---|" * (len(STAGES) + 3))
    cells = [f"{statistics.fmean(seconds[stage]):.3f}" for stage in STAGES]
    minutes = 1000 * total / (os.cpu_count() or 1) / 60
    print(f"| mean | {' | '.join(cells)} | {total:.3f} | {megabytes:.2f} | {minutes:.1f} min, {megabytes:.2f} GB |\n")
    return files


def feed(files: list[Path], run: RunConfig, steps: int) -> None:
    """Prints the rates of loader and training step, and how many times faster the loader is."""
    shapes = ShapeSet(files, run.camera)
    generator = torch.Generator().manual_seed(0)
    state = fresh_state(run, shapes, fabric_for(run, "cpu"), StartingWeights())
    size = run.optimisation.batch_size

    def batch(points: PointsConfig) -> None:
        shapes.batch(size, points, run.augmentation, run.image_size, generator)

    loaded = shapes.batch(size, run.points, run.augmentation, run.image_size, generator)
    timed: dict[str, list[float]] = {"batch": [], "batch of the paper's points": [], "training step": []}
    work: dict[str, Callable[[], object]] = {
        "batch": lambda: batch(run.points),
        "batch of the paper's points": lambda: batch(PAPER_POINTS),
        "training step": lambda: training_step(state, loaded, run),
    }
    for number in range(steps + 1):
        for name, do in work.items():
            started = time.perf_counter()
            do()
            if number:  # the first round warms up
                timed[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in timed.items()}
    print(f"run {run.name}: {size} views of {run.image_size} px a step\n")
    print("| | seconds | views/s | points/s | times the training step's rate |\n|---|---|---|---|---|")
    for name, median in medians.items():
        points = PAPER_POINTS if "paper" in name else run.points
        rate = (points.near + points.uniform) * size / median
        print(f"| {name} | {median:.4f} | {size / median:.0f} | {rate / 1e6:.2f} M | {medians['training step'] / median:.1f} |")


if __name__ == "__main__":
    main()

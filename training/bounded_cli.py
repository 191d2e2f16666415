"""The commands for a machine that is lent for some minutes: pack and unpack data, train within the time, split and join files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from training.data.cli import ImageSize, NearPoints, Out, Seed, UniformPoints, Views, Workers, data_app, print_report

console = Console()
MEGABYTE = 1_000_000

PartSize = Annotated[float, typer.Option(min=0.001, help="At most so many megabytes (of 1,000,000 bytes) in a file.")]


def pack_command(
    sets: Annotated[list[Path], typer.Argument(help="Folders of prepared sets.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an empty one, or a new one.")],
    part_size: PartSize = 60.0,
) -> None:
    """Pack sets for a machine with little upload: seeds and meshes, some kilobytes a shape, without points and pictures."""
    from training.packing import pack

    packed = pack(sets, out, int(part_size * MEGABYTE))
    console.print(
        f"{packed.shapes} shapes, {packed.seeds} of them as seeds, {packed.size / 1e6:.1f} MB in {len(packed.files)} files: {out}"
    )


def unpack_command(
    directory: Annotated[Path, typer.Argument(help="Folder that `monotwin data pack` wrote.")],
    out: Out,
    views: Views = 8,
    image_size: ImageSize = 128,
    near_points: NearPoints = 24_000,
    uniform_points: UniformPoints = 8_000,
    seed: Seed = 0,
    workers: Workers = None,
) -> None:
    """Make a set of what was packed: points labelled and pictures rendered anew, as many and as large as asked."""
    from training.data.sets import SetConfig, build_set
    from training.packing import PackedShapes

    config = SetConfig(views=views, image_size=image_size, near_points=near_points, uniform_points=uniform_points, seed=seed)
    index = build_set(PackedShapes(directory=directory), config, out, workers or os.cpu_count() or 1)
    print_report(index)
    if not index.entries or index.rejected:
        raise typer.Exit(1)


data_app.command("pack")(pack_command)
data_app.command("unpack")(unpack_command)


def train_bounded_command(
    run: Annotated[Path, typer.Argument(help="Run file, one of training/runs/*.toml or your own; --minutes is its budget.")],
    data: Annotated[list[Path], typer.Option(help="Folder of a prepared set (monotwin data); repeat for several.")],
    out: Annotated[Path, typer.Option(help="Folder for everything; one with a checkpoint is taken up where it stopped.")],
    minutes: Annotated[float, typer.Option(min=0, help="Wall time from here to the last file.")],
    resume: Annotated[Path | None, typer.Option(help="checkpoint.pt of an earlier lease, or checkpoint.pt.parts.json.")] = None,
    init: Annotated[Path | None, typer.Option(help="Bundle folder whose weights a fresh run starts from.")] = None,
    reserve: Annotated[float, typer.Option(min=0, help="Minutes kept for export and evaluation, until measured.")] = 4.0,
    part_size: Annotated[
        float | None, typer.Option(min=0.001, help="Leave checkpoint and bundle in parts of so many megabytes as well.")
    ] = None,
    shapes: Annotated[int, typer.Option(min=1, help="Of each test family, for the evaluation.")] = 4,
    resolution: Annotated[int, typer.Option(help="Of the evaluation: cells along the image's side.")] = 128,
    workers: Annotated[int, typer.Option(min=1, help="Processes that compute the evaluation's figures.")] = 1,
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where to train.")] = "auto",
) -> None:
    """Train within the minutes that a machine is lent, then export, judge, and leave files that add up over several leases."""
    import torch

    from model.runtime.bundle import read_bundle
    from training.bounded import Lease, train_bounded
    from training.configs import read_run
    from training.export import bundle_weights
    from training.train import StartingWeights, fabric_for

    config = read_run(run)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = fabric_for(config, device)
    fabric.launch()
    start = (
        StartingWeights() if init is None else StartingWeights(bundle_weights(init), None, read_bundle(init).manifest.attribution)
    )
    lease = Lease(
        minutes=minutes,
        reserve_minutes=reserve,
        part_bytes=None if part_size is None else int(part_size * MEGABYTE),
        shapes_per_family=shapes,
        resolution=resolution,
        workers=workers,
    )
    train_bounded(config, data, out, fabric, lease, resume=resume, start=start)


def split_command(
    file: Annotated[Path, typer.Argument(help="The file; it stays.")],
    out: Annotated[Path, typer.Option(help="Folder for the parts and their list, NAME.parts.json.")],
    part_size: PartSize = 16.0,
) -> None:
    """Split a file into parts, with their checksums."""
    from training.parts import split_file

    console.print(f"parts: [bold]{split_file(file, out, int(part_size * MEGABYTE))}[/bold]")


def join_command(
    parts: Annotated[Path, typer.Argument(help="NAME.parts.json, with the parts beside it.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """Join the parts of a file, each checked."""
    from training.parts import join_file

    join_file(parts, out)
    console.print(f"joined: [bold]{out}[/bold]")


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line; pack and unpack stand under `data`."""
    app.command("train-bounded")(train_bounded_command)
    app.command("split")(split_command)
    app.command("join")(join_command)

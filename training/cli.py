"""The training part of the `monotwin` command: data, train, export, evaluate. `app.cli` finds it through an entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from training import bounded_cli
from training.data.cli import data_app
from training.report.cli import report_command

console = Console()


def register(app: typer.Typer) -> None:
    """Adds the training commands to the command line."""
    app.add_typer(data_app)
    app.command("train")(train_command)
    app.command("export")(export_command)
    app.command("evaluate")(evaluate_command)
    bounded_cli.register(app)
    app.command("report")(report_command)


def train_command(
    run: Annotated[Path, typer.Argument(help="Run file, one of training/runs/*.toml or your own.")],
    data: Annotated[
        list[Path], typer.Option(help="Folder of a prepared set (monotwin data); repeat for several, drawn from shape by shape.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder; one with a checkpoint is taken up where it stopped.")],
    init: Annotated[Path | None, typer.Option(help="Bundle folder whose weights to start from.")] = None,
    backbone_weights: Annotated[
        Path | None, typer.Option(help="torchvision ResNet-18 state dict (.pth) for the encoder.")
    ] = None,
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where to train.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or CPU processes, of each machine that share the work.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; the command runs on each.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads a process; all cores when left out.")] = None,
) -> None:
    """Train the network, or the baseline, of a run file."""
    import torch

    from model.runtime.bundle import read_bundle
    from training.configs import read_run
    from training.export import bundle_weights
    from training.train import StartingWeights, fabric_for, train

    config = read_run(run)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = fabric_for(config, device, devices, nodes)
    fabric.launch()
    if threads is not None:
        torch.set_num_threads(threads)
    start = StartingWeights(
        network=None if init is None else bundle_weights(init),
        backbone=None if backbone_weights is None else torch.load(backbone_weights, map_location="cpu", weights_only=True),
        attribution=() if init is None else read_bundle(init).manifest.attribution,
    )
    checkpoint = train(config, data, out, fabric, start)
    if fabric.is_global_zero:
        console.print(f"trained: [bold]{checkpoint}[/bold]")


def export_command(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint.pt of a run folder.")],
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    name: Annotated[str, typer.Option(help="Name in the manifest.")] = "custom",
    version: Annotated[str, typer.Option(help="Version in the manifest.")] = "1",
    licence: Annotated[str, typer.Option(help="SPDX identifier of the weights' licence.")] = "Apache-2.0",
    attribution: Annotated[
        list[str] | None, typer.Option(help="A name to add to those of the training data; repeat for several.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Prepared set on whose validation split 0.5 is made the best level and the query is calibrated, and which the"
            " card describes if it was trained on; repeat for several."
        ),
    ] = None,
    half: Annotated[bool, typer.Option(help="Store the weights as fp16, and add a decoder for GPUs that computes in it.")] = True,
    calibrate_query: Annotated[
        bool, typer.Option(help="Find how far the coarse-to-fine query has to look, on views of --data: takes minutes on a CPU.")
    ] = True,
) -> None:
    """Export a checkpoint to an ONNX bundle, checked against torch."""
    from training.export import BundleIdentity, export_bundle

    identity = BundleIdentity(name, version, licence, tuple(attribution or ()))
    bundle = export_bundle(checkpoint, out, identity, data_dirs=data or (), half=half, calibrate_query=calibrate_query)
    size = sum(file.stat().st_size for file in bundle.directory.iterdir()) / 1e6
    console.print(f"exported: [bold]{bundle.directory}[/bold], {size:.1f} MB, sha256 {bundle.sha256[:16]}")


def evaluate_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    data: Annotated[list[Path], typer.Option(help="Folder of a prepared set (monotwin data); repeat for several.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    views: Annotated[int, typer.Option(min=1, help="Views of each shape, from the first view on.")] = 1,
    first_view: Annotated[int, typer.Option(min=0, help="Where they start; the paper tests on view 23 alone.")] = 0,
    shapes: Annotated[int | None, typer.Option(min=1, help="At most so many shapes of each family.")] = None,
    resolution: Annotated[int, typer.Option(help="Cells along the image's side.")] = 128,
    workers: Annotated[int, typer.Option(min=1, help="Processes that compute the figures.")] = 1,
    record: Annotated[
        bool, typer.Option(help="Write the figures, a picture of samples and the known failures into the bundle and its card.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="JSON file for the figures, those of each sample too.")] = None,
) -> None:
    """Judge a bundle through the path that serves it, beside two predictors that learn nothing."""
    import json

    from model.runtime.bundle import read_bundle
    from training.card import figure, score_rows
    from training.evaluation.evaluate import EvaluationConfig, evaluate_bundle
    from training.evaluation.gallery import make_gallery
    from training.evaluation.metrics import TITLES
    from training.evaluation.predictors import BundlePredictor
    from training.export import update_metrics
    from training.prepared_sets import PreparedSets

    digests = PreparedSets.read(data).digests
    config = EvaluationConfig(split=split, views=views, first_view=first_view, shapes_per_family=shapes, resolution=resolution)
    scores = evaluate_bundle(bundle, data, config, workers)
    metrics = {"data": digests, **scores.to_json()}
    table = Table(title=f"{scores.samples} samples of the {split} split, means over families", box=None)
    table.add_column("", no_wrap=True)
    for title in TITLES.values():
        table.add_column(title, justify="right")
    for name, score in score_rows(metrics):
        table.add_row(name, *(figure(score[key]) for key in TITLES))
    Console(width=max(console.width, 130)).print(table)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        content = {**metrics, "per_sample": scores.samples_to_json()}
        report.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    if record:
        gallery = make_gallery(BundlePredictor.load(bundle), scores)
        update_metrics(read_bundle(bundle), {**metrics, "failures": gallery.failures_to_json()}, gallery.picture)

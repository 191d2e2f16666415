"""`monotwin report`: runs what is missing of a comparison, and writes its tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

console = Console()


def report_command(
    out: Annotated[Path, typer.Option(help="Folder of the page, its figures and its rows; rows that it holds are kept.")],
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder of a prepared set; repeat for several. With --smoke, made when left out.")
    ] = None,
    rows: Annotated[list[str] | None, typer.Option(help="Run only these; repeat for several. All when left out.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with another budget, as training/runs/report/*.toml.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A budget of seconds: every row and table, and no meaning.")] = False,
    write_only: Annotated[
        bool, typer.Option("--write-only", help="Run nothing; write the page from the rows that are there.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Folder of the run folders, one a row.")] = Path("runs/report"),
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where rows are trained and run.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores when left out.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that compute figures.")] = 1,
) -> None:
    """Compare our method with published ones, its ablation included, under one budget."""
    import torch

    from training.data.index import DataIndex
    from training.errors import TrainingError
    from training.report.config import ReportConfig, read_report_config
    from training.report.report import write_report
    from training.report.running import Bench

    if threads is not None:
        torch.set_num_threads(threads)
    if smoke and config is not None:
        raise TrainingError("report: expected either --smoke or --config, found both")
    budget = ReportConfig.smoke() if smoke else ReportConfig() if config is None else read_report_config(config)
    if not data:
        if not smoke:
            raise TrainingError("report: expected --data, the folder of a prepared set, found none")
        data = [smoke_set(runs / "smoke-data")]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    bench = Bench(budget, tuple(map(DataIndex.read, data)), runs, torch.device(device), workers)
    page = write_report(bench, out, () if write_only else tuple(rows) if rows else None)
    console.print(f"written: [bold]{page}[/bold]")


def smoke_set(directory: Path) -> Path:
    """A prepared set of a few parts, small enough for a smoke report: made once, taken up afterwards."""
    from training.data.procedural import ProceduralParts
    from training.data.sets import SetConfig, build_set

    families = ("l_bracket", "flange", "bolt", "clevis", "pulley", "enclosure")  # three to train on, one to validate, two to test
    shapes = SetConfig(views=2, image_size=32, near_points=400, uniform_points=4000)
    build_set(ProceduralParts(shapes=len(families), families=families), shapes, directory)
    return directory

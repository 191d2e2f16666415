"""A whole report: runs the rows that are missing or stale, one after another, and writes the page from all that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console

from training.errors import TrainingError
from training.report import figures
from training.report.page import write_page
from training.report.results import is_current, read_results
from training.report.rows import METHOD_TABLE, OURS, report_rows, row_protocol
from training.report.running import Bench, run_row, tile_path
from training.report.standing import Standing


def write_report(bench: Bench, directory: Path, names: tuple[str, ...] | None = None) -> Path:
    """Runs the named rows, all when None, unless they are finished by this very budget; returns the page's path.

    A row is saved as soon as it is finished, so a stopped report goes on where it was.
    """
    console = Console()
    rows = report_rows(bench.config)
    chosen = tuple(rows) if names is None else names
    unknown = sorted(set(chosen) - set(rows))
    if unknown:
        raise TrainingError(f"rows: expected some of {', '.join(rows)}, found {', '.join(unknown)}")
    for name in chosen:
        protocol = row_protocol(rows[name], bench.config, bench.data_digests)
        if is_current(read_results(directory).get(name), protocol):
            console.print(f"{name}: finished before")
        else:
            console.print(f"{name}: running")
            run_row(rows[name], bench).write(directory)
    standing = Standing.of(bench.config, bench.data_digests, read_results(directory))
    draw_sample_sheet(standing, bench, directory)
    return write_page(directory, standing)


def draw_sample_sheet(standing: Standing, bench: Bench, directory: Path) -> None:
    """Each method's mesh of a few samples between the photo and the truth, from the pictures that current rows have left.

    Those lie in the run folders; a machine that has none of them keeps the sheet that is there.
    """
    folders = {name: bench.folder(standing.rows[name]) for name in METHOD_TABLE if name in standing.results}
    pictured = [name for name in folders if tile_path(folders[name], 0, "prediction").exists()]
    if not pictured:
        return
    reference = folders[OURS if OURS in pictured else pictured[0]]
    count = len(list(reference.glob("sample-*-truth.png")))
    lines = [
        [
            _tile(tile_path(reference, number, "photo")),
            *(_tile(tile_path(folders[name], number, "prediction")) for name in pictured),
            _tile(tile_path(reference, number, "truth")),
        ]
        for number in range(count)
    ]
    titles = ["photo", *(standing.rows[name].title for name in pictured), "truth"]
    directory.mkdir(parents=True, exist_ok=True)
    figures.draw_samples(directory / figures.SAMPLES, titles, lines)


def _tile(path: Path) -> figures.Picture | None:
    return np.asarray(Image.open(path)) if path.exists() else None

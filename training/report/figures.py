"""A report's figures. Plots are SVG, sheets of pictures WebP; a method keeps its colour from plot to plot."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

from training.evaluation.metrics import TITLES
from training.labels import D_STAR, VOXELS, adaptive_label
from training.report.rows import BASELINES, FIXED_S, METHOD_TABLE, OURS, PAPER_METHOD, fixed_row_name
from training.report.standing import CHAMFER, IOU, Metric, Standing
from training.report.tables import arrow

LABELS, SCHEDULE, VOLUME, METHODS, SAMPLES = "labels.svg", "schedule.svg", "volume.svg", "methods.svg", "samples.webp"

# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#8A8A8A"
COLOURS = {OURS: VERMILION, PAPER_METHOD: VERMILION, "paper-rule": BLUE, "pyramid-binary": GREEN, "orthographic": PURPLE}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "monotwin",  # the same plot is the same file
}
SHEET_QUALITY = 82

Picture = npt.NDArray[np.uint8]


def draw_labels(path: Path) -> None:
    """v(d, s), paper eq. 9, for the s of Fig. 6: where it ends, and how far outside the solid it passes one half."""
    distance = torch.linspace(0, 1.4 * D_STAR, 400)
    colours = mpl.colormaps["viridis"](np.linspace(0.05, 0.85, len(FIXED_S)))
    with _plot(path, (5.2, 3.2)) as (axes,):
        for s, colour in zip(FIXED_S, colours, strict=True):
            axes.plot(distance, adaptive_label(distance, s), color=colour, label=f"s = {s}")
        axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate("surface", (1.4 * D_STAR, 0.5), (0, 3), textcoords="offset points", ha="right", color=GREY)
        axes.axvline(D_STAR, color=GREY, linewidth=0.8, linestyle="--")
        axes.annotate("d* = 5√3", (D_STAR, 0.95), (-4, 0), textcoords="offset points", ha="right", color=GREY)
        axes.set(xlabel=f"distance d to the solid, voxels of 1/{VOXELS} crop side", ylabel="label v(d, s)", ylim=(0, 1.02))
        axes.set_xlim(0, 1.4 * D_STAR)
        axes.legend(loc="upper right")


def draw_schedule(path: Path, standing: Standing) -> None:
    """How s follows the best F1 while training, for our rule and the paper's."""
    with _plot(path, (7.2, 2.9), columns=2) as (hardness, score):
        for name in (OURS, "paper-rule", fixed_row_name(0.5)):
            result = standing.results.get(name)
            if result is not None and result.training is not None and result.training.steps:
                effort, colour = result.training, COLOURS.get(name, GREY)
                hardness.plot(effort.steps, effort.s, color=colour, drawstyle="steps-post", label=standing.rows[name].title)
                score.plot(effort.steps, effort.best_f1, color=colour, label=standing.rows[name].title)
        hardness.set(xlabel="training step", ylabel="hardness s", ylim=(0, 1))
        score.set(xlabel="training step", ylabel="best F1 on training points", ylim=(0, 1))
        _legend(hardness)


def draw_volume(path: Path, standing: Standing) -> None:
    """Fig. 6: predicted / true volume over the fixed s, median and quartiles, beside binary labels and the schedule."""
    with _plot(path, (5.2, 3.2)) as (axes,):
        volumes = {s: volume for s in FIXED_S if (volume := standing.volume(fixed_row_name(s))) is not None}
        if volumes:
            s, ratios = list(volumes), list(volumes.values())
            quartiles = [r.lower_quartile for r in ratios], [r.upper_quartile for r in ratios]
            axes.fill_between(s, *quartiles, color=SKY, alpha=0.3, linewidth=0, label="quartiles")
            axes.plot(s, [r.median for r in ratios], color=BLUE, marker="o", label="fixed s, median")
        for name in (PAPER_METHOD, "pyramid-binary"):
            volume = standing.volume(name)
            if volume is not None:
                axes.axhline(volume.median, color=COLOURS[name], linestyle="--", label=f"{standing.rows[name].title}, median")
        axes.axhline(1, color=GREY, linewidth=0.8)
        axes.set(xlabel="hardness s (large: labels fall gently)", ylabel="predicted / true volume", xlim=(0.95, 0.05))
        axes.set_ylim(bottom=0)
        _legend(axes)


def draw_methods(path: Path, standing: Standing) -> None:
    """IoU and Chamfer-L1 of all methods side by side, means over families."""
    names = [name for name in METHOD_TABLE if name in standing.results]
    with _plot(path, (7.2, 0.6 + 0.32 * max(len(names), 2)), columns=2) as panels:
        for axes, metric in zip(panels, (IOU, CHAMFER), strict=True):
            _bars(axes, standing, names, metric)
        panels[1].set_yticklabels([])


def draw_samples(path: Path, titles: Sequence[str], tiles: Sequence[Sequence[Picture | None]]) -> None:
    """A sheet of pictures: one line a sample, one column a title; (s, s, 3) uint8 tiles, None leaves a cell empty."""
    layout = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    figure = Figure(figsize=(1.25 * len(titles), 1.25 * len(tiles) + 0.3), dpi=128, layout=layout)
    FigureCanvasAgg(figure)
    with mpl.rc_context(STYLE):
        panels = figure.subplots(len(tiles), len(titles), squeeze=False)
        for number, line in enumerate(tiles):
            for axes, title, tile in zip(panels[number], titles, line, strict=True):
                axes.set_axis_off()
                if number == 0:
                    axes.set_title(title, fontsize=8)
                axes.imshow(np.full((1, 1, 3), 255, np.uint8) if tile is None else tile)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    Image.open(buffer).convert("RGB").save(path, quality=SHEET_QUALITY, method=6)


def _bars(axes: Axes, standing: Standing, names: Sequence[str], metric: Metric) -> None:
    values = [standing.mean(name, metric) for name in names]
    lengths = [np.nan if value is None else value for value in values]
    colours = [VERMILION if name in (OURS, PAPER_METHOD) else BLUE if name in BASELINES else GREY for name in names]
    axes.barh(range(len(names)), lengths, color=colours, height=0.7)
    for number, value in enumerate(values):
        if value is not None:
            axes.annotate(metric.shown(value), (value, number), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [standing.rows[name].title for name in names])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.15)
    unit = ", silhouette's longer side = 0.9" if metric is CHAMFER else ""
    axes.set_xlabel(f"{TITLES[metric.key]}{arrow(metric)}{unit}")


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)


@contextmanager
def _plot(path: Path, size: tuple[float, float], columns: int = 1) -> Iterator[Sequence[Axes]]:
    """Axes side by side to draw into; an SVG when done. size: inches."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.subplots(1, columns, squeeze=False)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})

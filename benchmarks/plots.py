"""A plot of seconds against resolution, on logarithmic axes, from the figures that `benchmarks.latency` wrote.

    python -m benchmarks.plots LATENCY.json FIGURE [--photo NAME]

A line for each stage and one for the whole, without a bound on faces, medians; the band of the whole spans the 10th to the
90th percentile. Dotted guides rise with the square and with the cube of the resolution: the surface's nodes grow like the
one, all nodes like the other. FIGURE's extension chooses its format: .webp, .png or .svg. Prints the slope of each line
between the two largest resolutions.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot
from matplotlib.figure import Figure

from benchmarks.latency import POOLED, STAGES
from benchmarks.measure import table

LINES = ("total", *STAGES)
GUIDES = {"resolution²": 2, "resolution³": 3}


def runs_to_plot(figures: dict[str, Any], photo: str | None = None) -> list[dict[str, Any]]:
    """The runs without a bound on faces, by resolution: of the named photo, else of all together, else of the first."""
    unbounded = [runs for runs in figures["runs"] if runs["target_faces"] is None]
    names = [runs["photo"] for runs in unbounded]
    name = photo or (POOLED if POOLED in names else names[0])
    chosen = [runs for runs in unbounded if runs["photo"] == name]
    if not chosen:
        raise SystemExit(f"photo: expected one of {', '.join(sorted(set(names)))}, got {name}")
    return sorted(chosen, key=lambda runs: int(runs["resolution"]))


def slope(runs: Sequence[dict[str, Any]], line: str) -> float:
    """The power of the resolution with which a line rises between the two largest resolutions."""
    (small, fast), (large, slow) = ((one["resolution"], one["seconds"][line]["median"]) for one in runs[-2:])
    return math.log(slow / fast) / math.log(large / small)


def draw(runs: Sequence[dict[str, Any]]) -> Figure:
    """Lines, band and guides."""
    resolutions = [one["resolution"] for one in runs]
    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    for line in LINES:
        medians = [one["seconds"][line]["median"] for one in runs]
        whole = line == "total"
        axes.plot(resolutions, medians, marker="o", label=line, color="black" if whole else None, linewidth=2.5 if whole else 1.5)
    low, high = ([one["seconds"]["total"][name] for one in runs] for name in ("p10", "p90"))
    axes.fill_between(resolutions, low, high, color="black", alpha=0.15, linewidth=0)
    end = 1.6 * runs[-1]["seconds"]["total"]["median"]
    for name, power in GUIDES.items():
        guide = [end * (resolution / resolutions[-1]) ** power for resolution in resolutions]
        axes.plot(resolutions, guide, color="grey", linestyle=":", linewidth=1)
        axes.annotate(name, (resolutions[0], guide[0]), color="grey", ha="left", va="bottom")
    axes.set(xscale="log", yscale="log", xlabel="resolution (cells along the image's side)", ylabel="seconds")
    axes.set_xticks(resolutions, [str(resolution) for resolution in resolutions], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes without a date, so that equal figures give equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    quality = {"pil_kwargs": {"quality": 85}} if path.suffix == ".webp" else {}
    with matplotlib.rc_context({"svg.hashsalt": "monotwin"}):
        figure.savefig(path, dpi=120, metadata=metadata, **quality)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Seconds against resolution, drawn.")
    parser.add_argument("latency", type=Path, help="what benchmarks.latency wrote")
    parser.add_argument("figure", type=Path, help="the picture to write")
    parser.add_argument("--photo", help="which photo's runs; default: all together, else the first")
    wanted = parser.parse_args(arguments)
    runs = runs_to_plot(json.loads(wanted.latency.read_text()), wanted.photo)
    save(draw(runs), wanted.figure)
    if len(runs) > 1:
        rows = [(line, f"{slope(runs, line):.2f}") for line in LINES]
        print(table(["", f"slope from {runs[-2]['resolution']} to {runs[-1]['resolution']}"], rows))


if __name__ == "__main__":
    main()

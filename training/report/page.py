"""A report's page: what was compared and how, what came of it in sentences, and the tables and figures behind them."""

from __future__ import annotations

from pathlib import Path

from training.evaluation.metrics import TITLES
from training.evaluation.sharp_edges import PAPER
from training.report import figures, tables
from training.report.config import ReportConfig
from training.report.standing import (
    CHAMFER,
    CLEAR,
    COMPARED,
    FAINT,
    IOU,
    Comparison,
    Standing,
    faint_rows,
    hardness_breaks,
    lead_sentence,
    paper_comparisons,
    unlearned_sentence,
)

PAGE = "README.md"


def write_page(directory: Path, standing: Standing) -> Path:
    """Writes the page and its plots; returns the page's path. A sheet of samples that lies there is shown."""
    directory.mkdir(parents=True, exist_ok=True)
    figures.draw_labels(directory / figures.LABELS)
    figures.draw_schedule(directory / figures.SCHEDULE, standing)
    figures.draw_volume(directory / figures.VOLUME, standing)
    figures.draw_methods(directory / figures.METHODS, standing)
    sections = [
        *_opening(standing),
        "## In short",
        "\n".join(f"- {sentence}" for sentence in sentences(standing)),
        *_methods(standing, (directory / figures.SAMPLES).exists()),
        *_ablation(standing),
        *_rows(standing),
    ]
    page = directory / PAGE
    page.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return page


def sentences(standing: Standing) -> list[str]:
    """What the figures say, computed from them: ours against the best baseline, and where the paper's order does not hold."""
    said = [
        sentence(standing, metric, TITLES[metric.key]) for sentence in (lead_sentence, unlearned_sentence) for metric in COMPARED
    ]
    comparisons = paper_comparisons(standing)
    known = [(comparison, comparison.margin) for comparison in comparisons if comparison.margin is not None]
    held = [comparison for comparison, margin in known if margin.is_clear and margin.value > 0]
    broken = [comparison for comparison, margin in known if margin.is_clear and margin.value <= 0]
    said.append(
        f"The paper's order holds in {len(held)} of {len(known)} comparisons in IoU and Chamfer-L1, not in {len(broken)}, and "
        f"{len(known) - len(held) - len(broken)} are undecided, less than {CLEAR:g} standard errors over families apart."
    )
    for found in broken:
        better, worse = standing.rows[found.better].title, standing.rows[found.worse].title
        order = f"where the paper has {better} before {worse}: {_pair(standing, found)}"
        said.append(f"It does not hold in {TITLES[found.metric.key]}, {order}.")
    if len(known) < len(comparisons):
        said.append(f"{len(comparisons) - len(known)} comparisons wait for rows.")
    said.append(_hardness_sentence(standing))
    if faint := faint_rows(standing):
        names = "; ".join(standing.rows[name].title for name in faint)
        said.append(f"Hardly a surface at the level of 0.5, a median of less than {FAINT:g} of the true volume: {names}.")
    if standing.stale:
        names = ", ".join(standing.rows[name].title for name in standing.stale)
        said.append(f"Stale rows, which another budget made and no table shows: {names}.")
    return said


def _pair(standing: Standing, comparison: Comparison) -> str:
    """Both figures of a comparison, in its order."""
    values = [standing.mean(name, comparison.metric) for name in (comparison.better, comparison.worse)]
    return " against ".join(comparison.metric.shown(value) for value in values if value is not None)


def _hardness_sentence(standing: Standing) -> str:
    """Fig. 6 in a sentence."""
    breaks = hardness_breaks(standing)
    if breaks is None:
        return "Fixed s: all its rows have to be run before it can be said how volume follows s."
    if not breaks:
        return "The median of predicted / true volume falls with each smaller fixed s, as in the paper's Fig. 6."
    pairs = ", ".join(f"from {standing.rows[larger].parts[1]} to {standing.rows[smaller].parts[1]}" for larger, smaller in breaks)
    return f"The median of predicted / true volume does not fall {pairs}, where the paper's Fig. 6 has it fall."


def _opening(standing: Standing) -> list[str]:
    config = standing.config
    optimisation, points = config.optimisation, config.points
    budget = f"{optimisation.steps * optimisation.batch_size:,} views ({optimisation.steps:,} steps of {optimisation.batch_size})"
    limit = "" if optimisation.max_minutes is None else f", at most {optimisation.max_minutes:g} minutes"
    samples = next((f"{result.samples} pictures" for result in standing.results.values()), "the pictures")
    return [
        "# Results: methods compared",
        "Written by `monotwin report`; what is compared, and how to run it, is in [results](../results.md).",
        f"Every trained row saw {budget}{limit} at {config.image_size} px, with {points.near} points near the surface and "
        f"{points.uniform} in the volume of each, or {points.surface} on the surface for the methods that learn from it; "
        f"one seed ({config.seed}), the same data, optimiser and augmentation; errors are over families, none over seeds. "
        f"{_widths(config)} "
        f"Judged on {samples} of the {config.split} split at resolution {config.resolution}, each field at the level that is "
        f"best on {config.level_views} validation views, surfaces by {config.surface_points:,} samples. "
        "Lengths are in units in which the silhouette's longer side is 0.9. "
        "The best figure of a column is bold, however close the others are.",
    ]


def _widths(config: ReportConfig) -> str:
    """How large the networks are, and what ours learns that the baselines do not."""
    network, auxiliary = config.network, config.auxiliary
    decoder = ", ".join(map(str, network.decoder_widths))
    depths = (
        f" and also learns front and back depths in {auxiliary.depth_cells} × {auxiliary.depth_cells} columns of each view; "
        "no baseline does, nor does FPN, v(d, s), the paper's method"
        if auxiliary.depth_weight
        else ""
    )
    return (
        f"Baselines have {config.baseline_width:g} of their papers' channels (a ResNet-18 stays whole); ours has a pyramid of "
        f"{network.pyramid_channels} and a decoder of {decoder}{depths}."
    )


def _floor(config: ReportConfig) -> str:
    """How far the distances and edges may be trusted at this resolution, with so many samples."""
    floor = (
        "An exact prediction is not free of error either: [evaluation](../evaluation.md) has its figures by samples on a surface."
    )
    if config.resolution * PAPER.radius >= 1:
        return floor
    return (
        f"{floor} A cell of the grid, {1 / config.resolution:.3f}, is wider than the {PAPER.radius:g} within which a crease "
        "counts for ECD: a field's surface has next to no sharp edges here, and both ECD, the edge share and EF1 say little."
    )


def _methods(standing: Standing, with_samples: bool) -> list[str]:
    sheet = f"![Photos, each method's mesh turned by 35°, and the true mesh]({figures.SAMPLES})"
    return [
        "## Methods",
        f"![IoU and Chamfer-L1 of each method]({figures.METHODS})",
        *([sheet] if with_samples else []),
        "Chamfer-L1, the paper's Table 1. A category's figure is the mean over its families.",
        tables.method_table(standing, CHAMFER),
        "IoU, the paper's Table 3.",
        tables.method_table(standing, IOU),
        f"All metrics, means over families. {_floor(standing.config)}",
        tables.metrics_table(standing),
        *_folded("IoU of each family", tables.family_table(standing, IOU)),
        *_folded("Chamfer-L1 of each family", tables.family_table(standing, CHAMFER)),
    ]


def _ablation(standing: Standing) -> list[str]:
    return [
        "## Ablation",
        "The paper's Table 2. Its CNN is taken to be the global vector of its Fig. 3a; "
        "the line with the backbone's maps, Fig. 3b, is an addition.",
        tables.ablation_table(standing),
        "The rule by which s follows F1, and the camera.",
        tables.variant_table(standing),
        f"![Labels over distance]({figures.LABELS})",
        f"![s and F1 while training]({figures.SCHEDULE})",
        "## Fixed hardness",
        "The paper's Fig. 6: predicted / true volume, at the level of 0.5 that was trained for; "
        "IoU and Chamfer-L1 at the level that is best on validation views.",
        f"![Volume ratio over s]({figures.VOLUME})",
        tables.hardness_table(standing),
    ]


def _rows(standing: Standing) -> list[str]:
    stale = [f"- {standing.rows[name].title}: {'; '.join(changes)}" for name, changes in standing.stale.items()]
    return [
        "## Rows",
        "Each has its figures, its whole configuration and the digests of its data in `rows/`.",
        tables.effort_table(standing),
        *(["Stale, and how they differ:", "\n".join(stale)] if stale else []),
    ]


def _folded(summary: str, content: str) -> list[str]:
    return [f"<details><summary>{summary}</summary>", content, "</details>"]

"""A report's page: what was compared and how, what came of it in sentences, and the tables and figures behind them."""

from __future__ import annotations

from pathlib import Path

from training.evaluation.metrics import TITLES
from training.report import figures, tables
from training.report.standing import (
    CHAMFER,
    COMPARED,
    IOU,
    Comparison,
    Standing,
    hardness_breaks,
    lead_sentence,
    paper_comparisons,
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
    said = [lead_sentence(standing, metric, TITLES[metric.key]) for metric in COMPARED]
    comparisons = paper_comparisons(standing)
    known = [comparison for comparison in comparisons if comparison.margin is not None]
    broken = [comparison for comparison in known if comparison.margin is not None and comparison.margin <= 0]
    said.append(f"The paper's order holds in {len(known) - len(broken)} of {len(known)} comparisons in IoU and Chamfer-L1.")
    for found in broken:
        better, worse = standing.rows[found.better].title, standing.rows[found.worse].title
        order = f"where the paper has {better} before {worse}: {_pair(standing, found)}"
        said.append(f"It does not hold in {TITLES[found.metric.key]}, {order}.")
    if len(known) < len(comparisons):
        said.append(f"{len(comparisons) - len(known)} comparisons wait for rows.")
    said.append(_hardness_sentence(standing))
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
        f"one seed ({config.seed}), the same data, optimiser and augmentation. "
        f"Baselines have {config.baseline_width:g} of their papers' channels. "
        f"Judged on {samples} of the {config.split} split at resolution {config.resolution}, level 0.5, not calibrated. "
        "Lengths are in units in which the silhouette's longer side is 0.9. The best figure of a column is bold.",
    ]


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
        "All metrics, means over families.",
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
        "The paper's Fig. 6: predicted / true volume.",
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

"""The model card of a bundle: its manifest, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.runtime.bundle import MANIFEST, Manifest
from training.evaluation.metrics import TITLES
from training.evaluation.predictors import BUNDLE


def model_card(manifest: Manifest) -> str:
    """Markdown: what the network is, what made it, under which licence, and the figures of `monotwin evaluate --record`."""
    origin, network, labels = manifest.origin, manifest.network, manifest.labels
    widths = "-".join(map(str, network["decoder_widths"]))
    batch_size = origin.run["optimisation"]["batch_size"]
    attribution = "; ".join(manifest.attribution) or "none needed"
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        f"- Network: {manifest.parameters / 1e6:.1f} M parameters, {network['variant']} features, decoder {widths},",
        f"  {manifest.image_size} px input, {manifest.camera} camera.",
        f"- Made by run `{origin.run['name']}`: {origin.steps:,} steps of {batch_size} views, {origin.minutes:g} minutes,",
        f"  commit `{origin.commit[:12]}`, data digest `{origin.data_digest[:16]}`; the whole run is in `{MANIFEST}`.",
        f"- Hardness of the labels at the end: {labels.final_s}; logits shifted by {-labels.logit_shift:+.2f} at export.",
        f"- Licence: {manifest.licence}. Attribution: {attribution}.",
    ]
    if manifest.metrics:
        lines += ["", *_figures(manifest.metrics)]
    return "\n".join(lines) + "\n"


def _figures(metrics: dict[str, Any]) -> list[str]:
    """The table of a `training.evaluation.evaluate.Scores` as JSON."""
    config = metrics["config"]
    return [
        f"{metrics['samples']} samples of the {config['split']} split, as served at resolution {config['resolution']};",
        "means over families, then those of this bundle in each category and family. Lengths are in units in which the",
        "silhouette's longer side is 0.9; `docs/evaluation.md` of the project defines each figure.",
        f"{metrics['edgeless_truths']} samples have no sharp edges and count for no ECD.",
        "",
        f"| | {' | '.join(TITLES.values())} |",
        f"|---|{'---|' * len(TITLES)}",
        *(f"| {name} | {' | '.join(figure(score[key]) for key in TITLES)} |" for name, score in score_rows(metrics)),
    ]


def score_rows(metrics: dict[str, Any]) -> Iterator[tuple[str, dict[str, float | None]]]:
    """The lines of a table, from a `Scores` as JSON: every method, then each category and family of the bundle."""
    yield from metrics["methods"].items()
    for groups in ("categories", "families"):
        title = {"categories": "category", "families": "family"}[groups]
        for name, score in metrics[groups][BUNDLE].items():
            yield f"{title} {name}", score


def figure(value: float | None) -> str:
    """A figure for a table; a dash where it is not defined."""
    return "–" if value is None else f"{value:.3f}" if value >= 0.1 else f"{value:.4f}"

"""The model card of a bundle: its manifest, for people."""

from __future__ import annotations

from typing import Any

from model.runtime.bundle import MANIFEST, Manifest


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
    rows = {**metrics["methods"], **{f"this bundle, {family}": score for family, score in metrics["families"].items()}}
    return [
        f"{metrics['samples']} samples of the {config['split']} split, as served at resolution {config['resolution']};",
        "means over families. Chamfer-L1 is in units in which the silhouette's longer side is 0.9.",
        "",
        "| | IoU | Chamfer-L1 |",
        "|---|---|---|",
        *(f"| {name} | {score['iou']:.3f} | {score['chamfer_l1']:.4f} |" for name, score in rows.items()),
    ]

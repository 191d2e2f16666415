"""The model card of a bundle: its manifest, for people.

The sections are those of Mitchell et al., "Model Cards for Model Reporting" (2019), as far as a bundle knows them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from model.runtime.bundle import MANIFEST, DataSet, Manifest
from training.evaluation.metrics import TITLES
from training.evaluation.predictors import BUNDLE
from training.provenance import PROCEDURAL, SPLITS

SAMPLES = "samples.webp"
WORST_FAMILIES = 5
LEAST_COVERAGE = 0.8  # of the silhouette
LARGEST_RATIO = 1.5  # of predicted and true volume or depth, either way
THIN = 0.1  # share of its box that a part fills

PURPOSE = """\
One photo of one industrial object (a part, a device, a machine, a structure) that is cut out, by an alpha channel, a mask or a
plain background, becomes one closed mesh. It is meant for previews, digital twins and layouts, where a rough form helps.

It is **not** meant for measuring, manufacturing, or anything where someone relies on a clearance or a dimension:

- What the photo does not show is guessed, and depth is guessed everywhere.
- The size is not in the photo. A mesh is as large as its request says, else in units of its own silhouette.
- Several objects in one picture, objects that the picture cuts off, glass and mirrors are outside of what it was trained on;
  so are people, animals, plants and rooms.
- It was trained and judged on rendered pictures; the figures below say nothing of photos of poor light or with a poor cut."""


def model_card(manifest: Manifest) -> str:
    """Markdown; figures and known failures are those that `monotwin evaluate --record` left in the manifest."""
    sections = {
        "What it is for": [PURPOSE],
        "Data": _data(manifest),
        "Training": _training(manifest),
        "Figures": _figures(manifest.metrics) if manifest.metrics else ["None recorded: `monotwin evaluate --record` does."],
        "Known failures": _failures(manifest.metrics) if "failures" in manifest.metrics else ["None recorded."],
        "How to make it again": _commands(manifest),
    }
    lines = [f"# {manifest.name} {manifest.version}", "", *_summary(manifest)]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"


def _summary(manifest: Manifest) -> list[str]:
    network = manifest.network
    widths = "-".join(map(str, network["decoder_widths"]))
    return [
        "Single-view reconstruction by an occupancy network, exported to ONNX.",
        "",
        f"- Network: {manifest.parameters / 1e6:.1f} M parameters, {network['variant']} features, decoder {widths},",
        f"  {manifest.image_size} px input, {manifest.camera} camera.",
        f"- Licence of the weights: {manifest.licence}.",
    ]


def _data(manifest: Manifest) -> list[str]:
    """The sets with their splits, the licences of the training shapes, and whom they are to be attributed to."""
    lines = []
    sets = manifest.origin.data
    if sets:
        lines += ["Shapes, and families in brackets; splits never share a family.", ""]
        lines += _table(["set", "digest", *SPLITS], ([one.name, f"`{one.digest[:16]}`", *_splits(one)] for one in sets))
    else:
        lines += [f"The sets' digest is `{manifest.origin.data_digest[:16]}`; their names and sizes were not recorded."]
    licensed = [[one.name, _licence(one, name), f"{count:,}"] for one in sets for name, count in one.licences.items()]
    if licensed:
        lines += ["", *_table(["set", "licence", "training shapes"], licensed)]
    if manifest.attribution:
        return [*lines, "", "The shapes are to be attributed to:", "", *(f"- {name}" for name in sorted(manifest.attribution))]
    return [*lines, "", "Attribution: none needed."]


def _splits(one: DataSet) -> list[str]:
    counts = [one.splits.get(split) for split in SPLITS]
    return ["not recorded" if count is None else f"{count.shapes:,} ({count.families:,})" for count in counts]


def _licence(one: DataSet, name: str) -> str:
    if name:
        return name
    return "none needed, made by this project's generators" if one.source == PROCEDURAL else "none stated"


def _training(manifest: Manifest) -> list[str]:
    """The run in a short table."""
    origin = manifest.origin
    optimisation = origin.run["optimisation"]
    views, changed = origin.steps * optimisation["batch_size"], ", with uncommitted changes" if origin.uncommitted_changes else ""
    hardware = "not recorded" if origin.hardware is None else origin.hardware
    several = f", {origin.processes} processes" if (origin.processes or 1) > 1 else ""
    points, labels = origin.run["points"], manifest.labels
    final = (
        "binary" if labels.final_s is None else f"rule `{origin.run['labels']['rule']}`, hardness {labels.final_s:.3f} at the end"
    )
    rows = [
        ["run", f"`{origin.run['name']}`, seed {origin.run['seed']}; all of it is in `{MANIFEST}`, under `origin.run`"],
        ["views seen", f"{views:,} in {origin.steps:,} steps of {optimisation['batch_size']}"],
        ["points of a view", f"{points['near']:,} near the surface, {points['uniform']:,} uniform"],
        ["labels", f"{final}; logits shifted by {-labels.logit_shift:+.2f} at export"],
        ["learning rate", f"{optimisation['learning_rate']:g}, {optimisation['decay']}, {optimisation['precision']}"],
        ["time", f"{origin.minutes:g} minutes"],
        ["hardware", hardware + several],
        ["torch", origin.torch or "not recorded"],
        ["commit", f"`{origin.commit[:12]}`{changed}"],
        ["data digest", f"`{origin.data_digest[:16]}`"],
    ]
    return _table(["", ""], rows)


def _figures(metrics: dict[str, Any]) -> list[str]:
    """The table of a `training.evaluation.evaluate.Scores` as JSON."""
    config = metrics["config"]
    return [
        f"{metrics['samples']} samples of the {config['split']} split, as served at resolution {config['resolution']};",
        "means over families, then those of this bundle in each category and family. Lengths are in units in which the",
        "silhouette's longer side is 0.9; `docs/evaluation.md` of the project defines each figure.",
        f"{metrics['edgeless_truths']} samples have no sharp edges and count for no ECD.",
        "",
        *_table(["", *TITLES.values()], ([name, *(figure(score[key]) for key in TITLES)] for name, score in score_rows(metrics))),
    ]


def _failures(metrics: dict[str, Any]) -> list[str]:
    """The picture, the worst samples with what is measured of them, and the families that are worst on average."""
    families = sorted(metrics["families"][BUNDLE].items(), key=lambda item: item[1]["iou"])
    worst = [f"{name} {figure(score['iou'])}" for name, score in families[:WORST_FAMILIES]]
    return [
        f"![Best, median and worst samples: photo, prediction, prediction turned, truth turned]({SAMPLES})",
        "",
        "The worst samples, at most one of a family:",
        "",
        *(
            f"- `{failure['name']}` ({failure['family']}), IoU {figure(failure['iou'])}, Chamfer-L1"
            f" {figure(failure['chamfer_l1'])}: {failure_words(failure)}."
            for failure in metrics["failures"]
        ),
        "",
        f"The families with the lowest mean IoU: {', '.join(worst)}.",
    ]


def failure_words(failure: dict[str, Any]) -> str:
    """What kind of failure the figures of a `training.evaluation.gallery.Failure` speak of. Each rule that holds adds its words:

    - volume_ratio and coverage 0: no surface at all, and nothing else to say of the prediction;
    - coverage below 0.8: parts of the outline are missing;
    - depth_ratio below 1/1.5 or above 1.5: too shallow or too deep;
    - volume_ratio likewise: too little or too much volume;
    - none of these: outline, depth and volume are about right, so the form between them is wrong;
    - fullness below 0.1, whatever the prediction: the part itself is thin.
    """
    words = list(_deviations(failure)) or ["outline, depth and volume are about right, the form between them is not"]
    if failure["fullness"] < THIN:
        words.append(f"the part is thin and fills {failure['fullness']:.0%} of its box")
    return "; ".join(words)


def _deviations(failure: dict[str, Any]) -> Iterator[str]:
    if failure["coverage"] == failure["volume_ratio"] == 0:
        yield "no surface at all"
        return
    if failure["coverage"] < LEAST_COVERAGE:
        yield f"covers only {failure['coverage']:.0%} of the silhouette"
    for what, little, much in (("depth", "too shallow", "too deep"), ("volume", "too little volume", "too much volume")):
        ratio = failure[f"{what}_ratio"]
        if not 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO:
            yield f"{little}, {ratio:.2f} of the true {what}" if ratio < 1 else f"{much}, {ratio:.1f} times the true {what}"


def _commands(manifest: Manifest) -> list[str]:
    """The commands of the manifest, and the one that its figures come from."""
    origin = manifest.origin
    known = [f"git checkout {origin.commit}"] if origin.commit != "unknown" else []
    commands = [*known, *origin.commands, *_evaluation(manifest.metrics)]
    notes = ["Words in capitals stand for what was not recorded: of a set the folder that it was prepared from, with the options"]
    notes += [
        "of `monotwin data` that say which of its files to take and how to read them; its digest tells whether it is the same."
    ]
    if not origin.commands:
        notes += ["How this bundle was trained and exported was not recorded beyond the run."]
    if origin.uncommitted_changes:
        notes += ["The run was made with changes that the commit does not hold."]
    return ["```sh", *commands, "```", "", *notes]


def _evaluation(metrics: dict[str, Any]) -> list[str]:
    """What to type for these figures."""
    if not metrics:
        return []
    config = metrics["config"]
    data = [word for name in metrics.get("data", ["SET"]) for word in ("--data", f"data/{name}")]
    fewer = [] if config["shapes_per_family"] is None else ["--shapes", str(config["shapes_per_family"])]
    chosen = ["--split", config["split"], "--views", str(config["views"]), *fewer, "--resolution", str(config["resolution"])]
    return [shlex.join(["monotwin", "evaluate", "BUNDLE", *data, *chosen, "--record"])]


def _table(head: list[str], rows: Any) -> list[str]:
    """A Markdown table."""
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]


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

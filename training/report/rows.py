"""The rows of a report: which methods are trained or judged, and which tables they stand in.

The tables are those of the paper: Tables 1 and 3 compare methods, Table 2 is the ablation, Fig. 6 the fixed s. Its Table 2
starts from "CNN"; here that is the global vector of its Fig. 3a, and Fig. 3b, the backbone's maps, has a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from model.networks.encoder import Variant
from training.configs import BaselineConfig, LabelConfig, RunConfig, run_to_json
from training.report.config import ReportConfig

OURS = "ours"
FIXED_S = (0.9, 0.7, 0.5, 0.3, 0.1)  # Fig. 6
Baseline = Literal["atlasnet", "pixel2mesh", "occnet", "imnet", "disn"]
BASELINES: dict[Baseline, str] = {
    "atlasnet": "AtlasNet",
    "pixel2mesh": "Pixel2Mesh",
    "occnet": "OccNet",
    "imnet": "IM-NET",
    "disn": "DISN",
}
SURFACE_BASELINES = ("atlasnet", "pixel2mesh")  # these learn from samples of the surface, the others from labelled points


@dataclass(frozen=True)
class Row:
    """One line of a table. run: how it is trained, None for a predictor that learns nothing. parts: the table's columns of text
    for an ablation, encoder and labels.
    """

    name: str
    title: str
    run: RunConfig | None = None
    parts: tuple[str, str] = ("", "")


UNLEARNED = (Row("extruded-silhouette", "extruded silhouette"), Row("mean-shape", "mean training shape"))


def fixed_row_name(s: float) -> str:
    """The name of the row with that fixed s."""
    return f"fixed-s-{round(100 * s):02d}"


PAPER_METHOD = "adaptive-s"  # ours without what the encoder learns beside occupancy
METHOD_TABLE = (*(row.name for row in UNLEARNED), *BASELINES, PAPER_METHOD, OURS)
ABLATION_TABLE = ("global-binary", "backbone-binary", "pyramid-binary", fixed_row_name(0.5), PAPER_METHOD, OURS)
VARIANT_TABLE = (OURS, "paper-rule", "orthographic")
HARDNESS_TABLE = (*map(fixed_row_name, FIXED_S), "pyramid-binary", PAPER_METHOD)


def report_rows(config: ReportConfig) -> dict[str, Row]:
    """All rows by name, in the order in which they are run: what the paper compares first, then the rest of the ablation."""
    return {row.name: row for row in (*UNLEARNED, *_our_row(config), *_baselines(config), *_ablation(config))}


def row_protocol(row: Row, config: ReportConfig, data_digests: list[str]) -> dict[str, Any]:
    """Everything that a row's figures follow from, as JSON values: two rows of one table differ in "run" alone."""
    return {
        "run": None if row.run is None else run_to_json(row.run),
        "judged": {
            "split": config.split,
            "views": config.views,
            "shapes_per_family": config.shapes_per_family,
            "resolution": config.resolution,
            "surface_points": config.surface_points,
            "level_views": config.level_views,
            "seed": config.seed,
            "camera": config.camera if row.run is None else row.run.camera,
            "image_size": config.image_size,
        },
        "data": data_digests,
    }


def _our_row(config: ReportConfig) -> Iterator[Row]:
    yield Row(OURS, "ours", _with_depths(_run(config, OURS, "pyramid", config.labels), config), ("FPN, depths", "v(d, s)"))
    yield Row(PAPER_METHOD, "FPN, v(d, s)", _run(config, PAPER_METHOD, "pyramid", config.labels), ("FPN", "v(d, s)"))


def _baselines(config: ReportConfig) -> Iterator[Row]:
    for name, title in BASELINES.items():
        run = replace(
            _run(config, name, config.network.variant, config.labels),
            baseline=BaselineConfig(name=name, width=config.baseline_width),
        )
        if name in SURFACE_BASELINES:
            run = replace(run, points=replace(config.points, near=1, uniform=0))
        yield Row(name, title, run)


def _ablation(config: ReportConfig) -> Iterator[Row]:
    binary = replace(config.labels, rule="binary")
    encoders: dict[Variant, str] = {"global": "CNN, global vector", "backbone": "CNN, maps", "pyramid": "FPN"}
    for variant, title in encoders.items():
        name = f"{variant}-binary"
        yield Row(name, f"{title}, binary labels", _run(config, name, variant, binary), (title, "binary"))
    for s in FIXED_S:
        name, fixed = fixed_row_name(s), replace(config.labels, rule="fixed", fixed_s=s)
        yield Row(name, f"FPN, v(d, {s})", _run(config, name, "pyramid", fixed), ("FPN", f"v(d, {s})"))
    paper = replace(config.labels, rule="paper")
    yield Row(
        "paper-rule",
        "ours, s by the paper's rule",
        _with_depths(_run(config, "paper-rule", "pyramid", paper), config),
        ("FPN, depths", "v(d, s), paper's rule"),
    )
    flat = replace(_run(config, "orthographic", "pyramid", config.labels), camera="orthographic")
    yield Row("orthographic", "ours, orthographic camera", _with_depths(flat, config), ("FPN, depths", "v(d, s)"))


def _with_depths(run: RunConfig, config: ReportConfig) -> RunConfig:
    return replace(run, auxiliary=config.auxiliary)


def _run(config: ReportConfig, name: str, variant: Variant, labels: LabelConfig) -> RunConfig:
    """One of our networks within the report's budget."""
    return RunConfig(
        name=name,
        seed=config.seed,
        image_size=config.image_size,
        camera=config.camera,
        network=replace(config.network, variant=variant),
        points=replace(config.points, surface=0),
        labels=labels,
        optimisation=config.optimisation,
        augmentation=config.augmentation,
        intervals=config.intervals,
    )

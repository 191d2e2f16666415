"""What a report may say: the rows that were run by its budget, those that were run by another, and those that were not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from training.report.config import ReportConfig
from training.report.results import RowResult, VolumeRatios, differences, is_current
from training.report.rows import (
    ABLATION_TABLE,
    BASELINES,
    FIXED_S,
    HARDNESS_TABLE,
    METHOD_TABLE,
    OURS,
    PAPER_METHOD,
    UNLEARNED,
    Row,
    fixed_row_name,
    report_rows,
    row_protocol,
)

HIGHER, LOWER = 1, -1


@dataclass(frozen=True)
class Metric:
    """A column of figures. better: HIGHER, LOWER, or 0 where neither is; digits: decimals shown."""

    key: str
    better: int
    digits: int = 3

    def shown(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


IOU, CHAMFER = Metric("iou", HIGHER), Metric("chamfer_l1", LOWER, 4)
METRICS = (
    IOU,
    CHAMFER,
    Metric("f_score", HIGHER),
    Metric("normal_consistency", HIGHER),
    Metric("ecd", LOWER, 4),
    Metric("edge_share", 0),
    Metric("edgeless", LOWER),
    Metric("ecd_nmc", LOWER, 4),
    Metric("ef1", HIGHER),
    Metric("kfs", LOWER),
)
COMPARED = (IOU, CHAMFER)  # what the sentences are about
CLEAR = 2.0  # standard errors: a smaller difference is called none
FAINT = 0.1  # of the true volume: a row whose median is below has hardly a surface


@dataclass(frozen=True)
class Standing:
    """Current results only: `stale` says of the others what differs, "expected" and found, and no table shows their figures."""

    config: ReportConfig
    rows: dict[str, Row]
    results: dict[str, RowResult]
    stale: dict[str, list[str]]

    @classmethod
    def of(cls, config: ReportConfig, data_digests: list[str], stored: dict[str, RowResult]) -> Self:
        rows, current, stale = report_rows(config), {}, {}
        for name, row in rows.items():
            result, protocol = stored.get(name), row_protocol(row, config, data_digests)
            if result is not None and is_current(result, protocol):
                current[name] = result
            elif result is not None:
                stale[name] = differences(result.protocol, protocol)
        return cls(config, rows, current, stale)

    def why_missing(self, name: str) -> str:
        return "stale" if name in self.stale else "not run"

    def mean(self, name: str, metric: Metric) -> float | None:
        """A row's mean over families; None where it was not run or the figure is not defined."""
        result = self.results.get(name)
        return None if result is None else result.family_mean.get(metric.key)

    def volume(self, name: str) -> VolumeRatios | None:
        result = self.results.get(name)
        return None if result is None else result.volume


@dataclass(frozen=True)
class Difference:
    """By how much one row is better than another, negative where it is worse: the difference of their means over families.

    error: its standard error over families, from the differences in each, NaN for fewer than two. It says how much hangs on the
    choice of families, and nothing of the seed.
    """

    value: float
    error: float
    families: int

    @property
    def is_clear(self) -> bool:
        """Whether it is more than its error explains; where that is not known, it counts as it stands."""
        return not abs(self.value) < CLEAR * self.error


def difference(standing: Standing, metric: Metric, one: str, other: str) -> Difference | None:
    """Between two rows; None where one was not run or has no such figure."""
    first, second = standing.mean(one, metric), standing.mean(other, metric)
    if first is None or second is None:
        return None
    families, others = standing.results[one].families, standing.results[other].families
    pairs = [(families[name].get(metric.key), others[name].get(metric.key)) for name in families if name in others]
    gaps = [a - b for a, b in pairs if a is not None and b is not None]
    error = float(np.std(gaps, ddof=1)) / len(gaps) ** 0.5 if len(gaps) > 1 else float("nan")
    return Difference(metric.better * (first - second), error, len(gaps))


def lead_sentence(standing: Standing, metric: Metric, title: str) -> str:
    """Whether our row is ahead of the best of the other methods that were trained, by what, and how sure that is."""
    others = {name: value for name in BASELINES if (value := standing.mean(name, metric)) is not None}
    ours = standing.mean(OURS, metric)
    if ours is None or not others:
        return f"{title}: our row and at least one baseline have to be run before they can be compared."
    best = max(others, key=lambda name: metric.better * others[name])
    lead = difference(standing, metric, OURS, best)
    assert lead is not None
    place = "ahead of" if lead.value > 0 else "behind" if lead.value < 0 else "level with"
    share = abs(lead.value) / max(abs(others[best]), 1e-12)
    spread = f", with a standard error of {metric.shown(lead.error)} over {lead.families} families" if lead.families > 1 else ""
    return (
        f"{title}: ours has {metric.shown(ours)} and is {'' if lead.is_clear else 'not clearly '}{place} the best baseline, "
        f"{BASELINES[best]} ({metric.shown(others[best])}), by {metric.shown(abs(lead.value))} ({share:.0%}){spread}."
    )


def unlearned_sentence(standing: Standing, metric: Metric, title: str) -> str:
    """Which trained methods are no better than the better of the two that learn nothing."""
    means = {name: mean for name in METHOD_TABLE if (mean := standing.mean(name, metric)) is not None}
    unlearned = [row.name for row in UNLEARNED if row.name in means]
    trained = [name for name in means if name not in unlearned]
    if not unlearned or not trained:
        return f"{title}: a trained row and one that learns nothing have to be run before they can be compared."
    best = max(unlearned, key=lambda name: metric.better * means[name])
    behind = [name for name in trained if metric.better * (means[name] - means[best]) <= 0]
    titles = ", ".join(standing.rows[name].title for name in behind)
    found = f"not ahead of it: {titles}" if behind else "all others are ahead of it"
    known = f"{standing.rows[best].title}, has {metric.shown(means[best])}"
    return f"{title}: of the methods that learn nothing the best, {known}; {found}."


def faint_rows(standing: Standing) -> list[str]:
    """Rows beside Fig. 6 whose fields hardly reach their level: their volumes tell of the budget rather than of the labels."""
    volumes = {name: standing.volume(name) for name in HARDNESS_TABLE}
    return [name for name, volume in volumes.items() if volume is not None and volume.median < FAINT]


@dataclass(frozen=True)
class Comparison:
    """The paper has `better` before `worse`. margin: by how much it is so here, None if unknown."""

    metric: Metric
    better: str
    worse: str
    margin: Difference | None


def paper_comparisons(standing: Standing) -> list[Comparison]:
    """What the paper's tables order: its method before each baseline, and each line of the ablation before the one above it.

    The lines for the backbone's maps and for depths are not the paper's, so they are left out: ours, too, has depths.
    """
    chain = [name for name in ABLATION_TABLE if name not in ("backbone-binary", OURS)]
    pairs = [*((PAPER_METHOD, str(name)) for name in BASELINES), *zip(chain[1:], chain[:-1], strict=True)]
    return [
        Comparison(metric, better, worse, difference(standing, metric, better, worse))
        for metric in COMPARED
        for better, worse in pairs
    ]


def hardness_breaks(standing: Standing) -> list[tuple[str, str]] | None:
    """Neighbours among the fixed s, larger first, whose median volume ratio does not fall with s; None with a row missing."""
    fixed = [fixed_row_name(s) for s in FIXED_S]
    ratios = [standing.volume(name) for name in fixed]
    if None in ratios:
        return None
    medians = [ratio.median for ratio in ratios if ratio is not None]
    return [
        (larger, smaller)
        for larger, smaller, above, below in zip(fixed[:-1], fixed[1:], medians[:-1], medians[1:], strict=True)
        if below >= above
    ]

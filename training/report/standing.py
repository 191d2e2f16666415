"""What a report may say: the rows that were run by its budget, those that were run by another, and those that were not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from training.report.config import ReportConfig
from training.report.results import RowResult, VolumeRatios, differences, is_current
from training.report.rows import ABLATION_TABLE, BASELINES, FIXED_S, OURS, Row, fixed_row_name, report_rows, row_protocol

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


def lead_sentence(standing: Standing, metric: Metric, title: str) -> str:
    """Whether our row is ahead of the best of the other methods that were trained, and by what."""
    others = {name: value for name in BASELINES if (value := standing.mean(name, metric)) is not None}
    ours = standing.mean(OURS, metric)
    if ours is None or not others:
        return f"{title}: our row and at least one baseline have to be run before they can be compared."
    best = max(others, key=lambda name: metric.better * others[name])
    lead = metric.better * (ours - others[best])
    place = "ahead of" if lead > 0 else "behind" if lead < 0 else "level with"
    return (
        f"{title}: ours has {metric.shown(ours)} and is {place} the best baseline, {BASELINES[best]} "
        f"({metric.shown(others[best])}), by {metric.shown(abs(lead))} ({abs(lead) / max(abs(others[best]), 1e-12):.0%})."
    )


@dataclass(frozen=True)
class Comparison:
    """The paper has `better` before `worse`. margin: by how much it is so here, negative where it is not, None if unknown."""

    metric: Metric
    better: str
    worse: str
    margin: float | None


def paper_comparisons(standing: Standing) -> list[Comparison]:
    """What the paper's tables order: ours before each baseline, and each line of the ablation before the one above it.

    The lines for the backbone's maps and for depths are not the paper's, so they are left out.
    """
    chain = [name for name in ABLATION_TABLE if name not in ("backbone-binary", OURS)]
    pairs = [*((OURS, str(name)) for name in BASELINES), *zip(chain[1:], chain[:-1], strict=True)]
    return [
        Comparison(metric, better, worse, _margin(standing, metric, better, worse))
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


def _margin(standing: Standing, metric: Metric, better: str, worse: str) -> float | None:
    first, second = standing.mean(better, metric), standing.mean(worse, metric)
    return None if first is None or second is None else metric.better * (first - second)

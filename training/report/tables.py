"""A report's tables in Markdown. The best figure of each column is bold; a row without figures says why in each of its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.evaluation.metrics import TITLES
from training.report.results import RowResult
from training.report.rows import ABLATION_TABLE, HARDNESS_TABLE, METHOD_TABLE, VARIANT_TABLE
from training.report.standing import CHAMFER, HIGHER, IOU, METRICS, Metric, Standing

UNDEFINED = "–"
SHOWN_IN_ABLATIONS = tuple(metric for metric in METRICS if metric.key not in ("edge_share", "edgeless"))

Figure = Callable[[RowResult], float | None]
"""What a column shows of a row."""


@dataclass(frozen=True)
class Column:
    """A column of figures."""

    title: str
    metric: Metric
    figure: Figure


def method_table(standing: Standing, metric: Metric) -> str:
    """The paper's Tables 1 and 3: a metric of each method in each category, then the means over families and over samples."""
    kinds = sorted({kind for result in standing.results.values() for kind in result.categories})
    columns = [Column(kind, metric, _of_category(kind, metric.key)) for kind in kinds]
    columns.append(Column("mean, families", metric, lambda result: result.family_mean.get(metric.key)))
    columns.append(Column("mean, samples", metric, lambda result: result.sample_mean.get(metric.key)))
    return figure_table(standing, METHOD_TABLE, columns)


def metrics_table(standing: Standing, names: Sequence[str] = METHOD_TABLE) -> str:
    """All metrics of some rows, means over families."""
    return figure_table(standing, names, [_mean_column(metric) for metric in METRICS])


def ablation_table(standing: Standing) -> str:
    """The paper's Table 2: from a plain CNN with binary labels to ours."""
    return figure_table(standing, ABLATION_TABLE, [_mean_column(metric) for metric in SHOWN_IN_ABLATIONS], parts=True)


def variant_table(standing: Standing) -> str:
    """Ours, and what else was to be chosen: the rule for s and the camera."""
    return figure_table(standing, VARIANT_TABLE, [_mean_column(metric) for metric in SHOWN_IN_ABLATIONS])


def hardness_table(standing: Standing) -> str:
    """The paper's Fig. 6: predicted volume / true volume with s fixed, beside binary labels and the schedule."""
    plain = Metric("", 0)
    columns = [
        Column("mean", plain, lambda result: result.volume.mean),
        Column("standard deviation", plain, lambda result: result.volume.deviation),
        Column("lower quartile", plain, lambda result: result.volume.lower_quartile),
        Column("median", plain, lambda result: result.volume.median),
        Column("upper quartile", plain, lambda result: result.volume.upper_quartile),
        _mean_column(IOU),
        _mean_column(CHAMFER),
    ]
    return figure_table(standing, HARDNESS_TABLE, columns)


def family_table(standing: Standing, metric: Metric) -> str:
    """A metric of each method in each held-out family; families are lines, as there may be many."""
    families = sorted({family for result in standing.results.values() for family in result.families})
    titles = [standing.rows[name].title for name in METHOD_TABLE]
    results = [standing.results.get(name) for name in METHOD_TABLE]
    missing = [standing.why_missing(name) for name in METHOD_TABLE]
    lines = []
    for family in families:
        values = [None if result is None else result.families.get(family, {}).get(metric.key) for result in results]
        lines.append([family, *_emphasised(metric, values, results, missing)])
    return markdown(["family", *titles], lines)


def effort_table(standing: Standing) -> str:
    """What each trained row took, and where it ran."""
    lines = []
    for name, row in standing.rows.items():
        if row.run is None:
            continue
        result = standing.results.get(name)
        if result is None or result.training is None:
            lines.append([row.title, *[standing.why_missing(name)] * 7])
            continue
        effort, origin = result.training, result.origin
        counts = [
            f"{effort.parameters / 1e6:.2f}",
            f"{effort.views:,}",
            f"{effort.minutes:.1f}",
            f"{effort.views_per_second:.0f}",
        ]
        lines.append([row.title, *counts, origin["hardware"], origin["date"], origin["commit"][:10]])
    return markdown(
        ["row", "parameters, millions", "views seen", "minutes", "views a second", "hardware", "date", "commit"], lines
    )


def figure_table(standing: Standing, names: Sequence[str], columns: Sequence[Column], parts: bool = False) -> str:
    """Rows by columns. parts: encoder and labels in place of the row's title."""
    results = [standing.results.get(name) for name in names]
    missing = [standing.why_missing(name) for name in names]
    cells = [
        _emphasised(column.metric, [None if result is None else column.figure(result) for result in results], results, missing)
        for column in columns
    ]
    heads = [list(standing.rows[name].parts) if parts else [standing.rows[name].title] for name in names]
    header = ["encoder", "labels"] if parts else [""]
    return markdown(
        [*header, *(column.title for column in columns)],
        [[*head, *line] for head, line in zip(heads, zip(*cells, strict=True), strict=True)],
    )


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of cells that are written already."""
    rows = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*rows, *("| " + " | ".join(line) + " |" for line in lines)])


def arrow(metric: Metric) -> str:
    """The direction in which a metric is better."""
    return " ↑" if metric.better == HIGHER else " ↓" if metric.better else ""


def _emphasised(
    metric: Metric, values: Sequence[float | None], results: Sequence[RowResult | None], missing: Sequence[str]
) -> list[str]:
    """A column's cells: the best as it is shown in bold, ties included; where there is no figure, why."""
    defined = [metric.better * float(metric.shown(value)) for value in values if value is not None]
    cells = []
    for value, result, reason in zip(values, results, missing, strict=True):
        if value is None:
            cells.append(reason if result is None else UNDEFINED)
        else:
            best = metric.better != 0 and metric.better * float(metric.shown(value)) == max(defined)
            cells.append(f"**{metric.shown(value)}**" if best else metric.shown(value))
    return cells


def _mean_column(metric: Metric) -> Column:
    return Column(TITLES[metric.key] + arrow(metric), metric, lambda result: result.family_mean.get(metric.key))


def _of_category(kind: str, key: str) -> Figure:
    return lambda result: result.categories.get(kind, {}).get(key)

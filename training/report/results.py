"""A finished row as a small JSON file: its figures, and everything that they follow from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from training.errors import TrainingError

ROWS = "rows"  # folder of the rows, inside the report's

Figures = dict[str, float | None]
"""Metric -> mean, null where it is not defined; the metrics are those of `training.evaluation.metrics.Score`."""


@dataclass(frozen=True, kw_only=True)
class VolumeRatios:
    """Predicted volume / true volume over the judged samples: mean, standard deviation and quartiles."""

    mean: float
    deviation: float
    lower_quartile: float
    median: float
    upper_quartile: float


@dataclass(frozen=True, kw_only=True)
class TrainingEffort:
    """What a row's training took.

    views: pictures seen, repetitions included; minutes: wall time of the loop; parameters: numbers that were learnt.
    steps, s, best_f1: one value each time the run logged, empty for methods without s.
    """

    views: int
    minutes: float
    parameters: int
    steps: list[int]
    s: list[float]
    best_f1: list[float]

    @property
    def views_per_second(self) -> float:
        return self.views / (60 * self.minutes) if self.minutes else 0.0


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """One row. protocol: `rows.row_protocol`, by which a result is known to belong to a budget.

    family_mean is the headline; sample_mean weighs each picture alike; categories are means over their families.
    origin: commit, hardware, torch's version and date.
    """

    name: str
    protocol: dict[str, Any]
    samples: int
    family_mean: Figures
    sample_mean: Figures
    categories: dict[str, Figures]
    families: dict[str, Figures]
    volume: VolumeRatios
    training: TrainingEffort | None
    origin: dict[str, str]

    def write(self, directory: Path) -> None:
        """Writes `rows/<name>.json` under the report's folder: the old file or the new one, never half of it."""
        path = directory / ROWS / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            values = json.loads(path.read_text())
            training = values.pop("training")
            return cls(
                **{**values, "volume": VolumeRatios(**values["volume"])},
                training=None if training is None else TrainingEffort(**training),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"{path}: expected a row of a report, found: {error!r}") from error


def read_results(directory: Path) -> dict[str, RowResult]:
    """The rows that a report's folder holds, by name."""
    results = (RowResult.read(path) for path in sorted((directory / ROWS).glob("*.json")))
    return {result.name: result for result in results}


def is_current(result: RowResult | None, protocol: dict[str, Any]) -> bool:
    """Whether a row was run by just this protocol; otherwise it is missing or stale."""
    return result is not None and result.protocol == protocol


def differences(stored: Any, current: Any, name: str = "") -> list[str]:
    """The paths at which two JSON values differ, with both values: what makes a row stale."""
    if isinstance(stored, dict) and isinstance(current, dict):
        keys = [*stored, *(key for key in current if key not in stored)]
        return [
            line for key in keys for line in differences(stored.get(key), current.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [] if stored == current else [f"{name} {json.dumps(stored)}, now {json.dumps(current)}"]


def protocol_digest(protocol: dict[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for a protocol, so that run folders of different budgets do not meet."""
    return hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:12]

"""A report's budget, as typed data: one for all rows, so that they differ in nothing but what they compare."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from model.camera import CameraKind
from model.networks.occupancy_network import NetworkConfig
from training.configs import (
    AugmentationConfig,
    AuxiliaryConfig,
    IntervalConfig,
    LabelConfig,
    OptimisationConfig,
    PointsConfig,
)
from training.errors import TrainingError
from training.evaluation.evaluate import EvaluationConfig


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ReportConfig:
    """What every row is given: the same pictures, points, steps and seed. Defaults suit two CPU cores and an evening.

    baseline_width: share of its paper's channels that each baseline gets. points.surface counts for the methods that learn from
    the surface alone; the others get none. labels: those of our own row, from which the ablation departs. auxiliary: what our own
    row and its variants learn beside occupancy; the ablation of the paper's parts does without it.
    """

    seed: int = 0
    image_size: int = Field(default=64, ge=32)
    camera: CameraKind = "pinhole"
    network: NetworkConfig = NetworkConfig(pyramid_channels=96, decoder_widths=(256, 256, 128, 64))
    baseline_width: float = Field(default=0.25, gt=0, le=1)
    points: PointsConfig = PointsConfig(near=128, uniform=768, surface=1024)
    labels: LabelConfig = LabelConfig(rule="calibrated", s_start=0.5, s_min=0.1, target_f1=0.6, measure_steps=20, adjust_steps=20)
    auxiliary: AuxiliaryConfig = AuxiliaryConfig(depth_weight=1.0, depth_cells=32)
    optimisation: OptimisationConfig = OptimisationConfig(
        batch_size=16,
        steps=300,
        learning_rate=1e-3,
        decay="cosine",
        warmup_steps=50,
        weight_decay=1e-4,
        clip_norm=1.0,
        precision="bfloat16",
        freeze_norms_at=0.5,
    )
    augmentation: AugmentationConfig = AugmentationConfig(flip=True, brightness=0.3, colour=0.08)
    intervals: IntervalConfig = IntervalConfig(log=25, evaluate=500, save=250, evaluation_views=32, sample_views=0)
    split: str = "test"
    views: int = Field(default=1, ge=1)  # of each shape that is judged, the first ones
    shapes_per_family: int | None = Field(default=1, ge=1)
    resolution: int = Field(default=48, ge=32, multiple_of=8)
    surface_points: int = Field(default=16_000, ge=100)
    level_views: int = Field(default=64, ge=1)  # of the validation split, on which each field's level is chosen

    @classmethod
    def smoke(cls) -> Self:
        """Every row and every page within a minute: what comes out has the form of a report and says nothing."""
        return cls(
            image_size=32,
            network=NetworkConfig(pyramid_channels=8, decoder_widths=(16, 16, 16, 8)),
            baseline_width=0.05,
            points=PointsConfig(near=48, uniform=32, surface=64),
            labels=LabelConfig(rule="calibrated", measure_steps=1, adjust_steps=1),
            optimisation=OptimisationConfig(batch_size=2, steps=4, learning_rate=1e-3),
            augmentation=AugmentationConfig(),
            intervals=IntervalConfig(log=1, evaluate=1000, save=1000, evaluation_views=1, sample_views=0),
            shapes_per_family=1,
            resolution=32,
            surface_points=2000,
            level_views=2,
        )

    @property
    def evaluation(self) -> EvaluationConfig:
        return EvaluationConfig(
            split=self.split,
            views=self.views,
            shapes_per_family=self.shapes_per_family,
            resolution=self.resolution,
            surface_points=self.surface_points,
            seed=self.seed,
        )


def read_report_config(path: Path) -> ReportConfig:
    """Reads a TOML file of a report's budget; what it leaves out has the default."""
    try:
        return TypeAdapter(ReportConfig).validate_python(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected a report's budget, found no file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: expected TOML, {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}, found {e['input']!r}" for e in error.errors())
        raise TrainingError(f"{path}: {faults}") from None

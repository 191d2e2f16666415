"""A run, as typed data: what one TOML file under training/runs/ may say. Defaults are the paper's where it gives a number."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from model.camera import CameraKind
from model.networks.occupancy_network import NetworkConfig
from training.errors import TrainingError

_STRICT = ConfigDict(extra="forbid")  # a misspelt key is an error, not a silent default


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class PointsConfig:
    """Query points of one view: near the surface and uniform in the query volume."""

    near: int = Field(9872, ge=1)
    uniform: int = Field(128, ge=0)
    surface: int = Field(0, ge=0)  # on the surface, with normals: what methods without a field learn from


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class BaselineConfig:
    """A published method in place of ours, its channels scaled by `width` (1: its paper's)."""

    name: Literal["occnet", "imnet", "disn", "atlasnet", "pixel2mesh"]
    width: float = Field(1.0, gt=0, le=1)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class LabelConfig:
    """`rule`: how s follows the best F1. `s_start` and `target_f1` belong to "calibrated", `fixed_s` to "fixed"."""

    rule: Literal["paper", "calibrated", "fixed", "binary"] = "paper"
    factor: float = 1.5
    s_min: float = Field(0.1, ge=0.02, lt=1)
    s_max: float = Field(0.95, gt=0, lt=1)
    s_start: float = Field(0.5, gt=0, lt=1)
    target_f1: float = Field(0.85, gt=0, le=1)
    fixed_s: float = Field(0.5, ge=0.02, lt=1)
    measure_steps: int = Field(100, ge=1)
    adjust_steps: int = Field(200, ge=1)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class AuxiliaryConfig:
    """What the encoder learns beside occupancy: how far the object's front and back lie, off its finest map; not shipped."""

    depth_weight: float = Field(0.0, ge=0)  # of the depths' loss beside that of the points
    depth_cells: int = Field(32, ge=4)  # columns along the picture's side that are asked


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class OptimisationConfig:
    """AdamW. With `max_minutes` the run ends, and the cosine falls, by what is used up first.

    batch_size: views a step, shared out evenly when there are several devices.
    """

    batch_size: int = Field(16, ge=1)
    steps: int = Field(100_000, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    decay: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float | None = Field(None, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    freeze_norms_at: float = Field(1.0, ge=0, le=1)
    """Share of the budget after which batch norms keep their statistics, so that training sees what serving will compute."""
    half_size_until: float = Field(0.0, ge=0, le=1)
    """Share of the budget during which pictures are shown at half their size: a quarter of the encoder's work."""
    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Keeps an exponential moving average of the weights, which forgets 1 - ema_decay a step. It is judged and shipped."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class BackgroundConfig:
    """What the object stands on, and how well it is cut out: serving makes of a photo a cut, the object alone on white."""

    # How often, as weights: the object cut out, or the photo as it is, before one of the others.
    white: float = Field(1.0, ge=0)
    uniform: float = Field(0.0, ge=0)
    gradient: float = Field(0.0, ge=0)
    texture: float = Field(0.0, ge=0)
    clutter: float = Field(0.0, ge=0)
    mask_error: float = Field(0.0, ge=0, le=8)  # by which a cut misses the outline at most, in pixels of the stored view
    shadow_taken: float = Field(0.0, ge=0, le=1)  # share of the cuts that take parts of the cast shadow for the object

    @model_validator(mode="after")
    def _some_weight_is_positive(self) -> Self:
        if not self.white + self.uniform + self.gradient + self.texture + self.clutter:
            raise ValueError(
                "expected a positive weight for at least one of white, uniform, gradient, texture and clutter, found 0"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class PhotometryConfig:
    """A phone camera's effects, before the cut: how strong each is at most, and the share of the photos that have it."""

    exposure: float = Field(0.0, ge=0, le=4)  # stops, either way
    exposure_share: float = Field(1.0, ge=0, le=1)
    white_balance: float = Field(0.0, ge=0, lt=1)  # logarithm of the red to blue gain; a third of it from green to magenta
    white_balance_share: float = Field(1.0, ge=0, le=1)
    defocus: float = Field(0.0, ge=0, le=8)  # radius in pixels of the stored view
    defocus_share: float = Field(0.3, ge=0, le=1)
    motion: float = Field(0.0, ge=0, le=16)  # length of the path in pixels of the stored view
    motion_share: float = Field(0.1, ge=0, le=1)
    noise: float = Field(0.0, ge=0, lt=1)  # standard deviation at middle grey; more in the dark
    noise_share: float = Field(0.7, ge=0, le=1)
    tone: float = Field(0.0, ge=0, le=0.25)  # bend of the tone curve: lighter or darker middle tones, more or less contrast
    tone_share: float = Field(1.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)  # share of the colour that is added or lost
    saturation_share: float = Field(1.0, ge=0, le=1)
    sharpening: float = Field(0.0, ge=0, le=4)  # share of the detail that is added, halo included
    sharpening_share: float = Field(0.2, ge=0, le=1)
    jpeg: float = Field(0.0, ge=0, le=1)  # quality falls from 95 to 95 - 65 times this
    jpeg_share: float = Field(0.5, ge=0, le=1)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class AugmentationConfig:
    """Changes to training views that keep their labels right.

    brightness, colour and noise act on the finished picture, white included; `photometry` on the photo before the cut.
    """

    flip: bool = False  # mirror image and points left to right
    brightness: float = Field(0.0, ge=0, lt=1)  # exposure factor drawn from 1 +- this
    colour: float = Field(0.0, ge=0, lt=1)  # factor per channel, standard deviation
    noise: float = Field(0.0, ge=0, lt=1)  # sensor noise, standard deviation of values in [0, 1]
    background: BackgroundConfig = BackgroundConfig()
    photometry: PhotometryConfig = PhotometryConfig()


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class IntervalConfig:
    """How often the loop stops to look, in steps; it also saves when `save_minutes` have gone by without."""

    log: int = Field(20, ge=1)
    evaluate: int = Field(500, ge=1)
    save: int = Field(250, ge=1)
    save_minutes: float = Field(5.0, gt=0)
    evaluation_views: int = Field(64, ge=1)
    sample_views: int = Field(6, ge=0)
    sample_resolution: int = Field(64, ge=8, multiple_of=2)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class RunConfig:
    """One training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    seed: int = 0
    image_size: int = Field(224, ge=32)
    camera: CameraKind = "pinhole"
    network: NetworkConfig = NetworkConfig()
    baseline: BaselineConfig | None = None
    """Trains that method; `network` and `labels` are then without effect."""
    views: tuple[int, int] | None = None
    """First view of each shape that training draws, and one past the last; all when left out."""
    points: PointsConfig = PointsConfig()
    labels: LabelConfig = LabelConfig()
    auxiliary: AuxiliaryConfig = AuxiliaryConfig()
    optimisation: OptimisationConfig = OptimisationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    intervals: IntervalConfig = IntervalConfig()

    @model_validator(mode="after")
    def _some_view_is_left(self) -> Self:
        if self.views is not None and not 0 <= self.views[0] < self.views[1]:
            raise ValueError(f"expected views [first, last + 1] with 0 <= first <= last, found {list(self.views)}")
        return self


_ADAPTER = TypeAdapter(RunConfig)


def read_run(path: Path) -> RunConfig:
    """Reads a run file; TrainingError says which key was wrong, what was expected and what was found."""
    try:
        return _ADAPTER.validate_python(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected a run file, found none") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: expected TOML, {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors())
        raise TrainingError(f"{path}: {faults}") from None


def run_to_json(config: RunConfig) -> dict[str, object]:
    """The run as JSON values, for checkpoints and manifests."""
    dumped: dict[str, object] = _ADAPTER.dump_python(config, mode="json")
    return dumped


def run_from_json(values: object) -> RunConfig:
    """The inverse of `run_to_json`."""
    return _ADAPTER.validate_python(values)

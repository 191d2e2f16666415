"""What a public data set tells about one model's solid, before pictures are joined to it.

Label frame: ShapeNet v1 axes (y up), at the scale and place of the data set's own files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from training.sampling.solids import Solid


class ModelId(NamedTuple):
    """A ShapeNet model: synset (8 digits) and model name."""

    synset: str
    model: str

    def __str__(self) -> str:
        return f"{self.synset}/{self.model}"


@dataclass(frozen=True)
class Placement:
    """Where a label frame lies in ShapeNet v1 coordinates: x_v1 = scale * x_label + location (3,)."""

    scale: float
    location: npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelledModel:
    """A model's solid in its label frame.

    placement: None when the data set does not say; it is then fitted to the pictures.
    exact_points (n, 3) float32, label frame, and exact_occupancy (n,) bool: points whose labels the data set itself gives.
    They go before distances that were derived from them.
    notes: what had to be done to its triangles, in words.
    """

    solid: Solid
    placement: Placement | None = None
    exact_points: npt.NDArray[np.float32] | None = None
    exact_occupancy: npt.NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()


class LabelSource(Protocol):
    """One data set's labels; sent to worker processes, so it holds paths, not arrays."""

    def models(self) -> Sequence[ModelId]:
        """What there is, sorted."""
        ...

    def files(self, model: ModelId) -> Sequence[Path]:
        """What a model is read from, whether it is there or not."""
        ...

    def read(self, model: ModelId) -> LabelledModel:
        """One model; `UnreadableModel` names the file, what was expected in it and what was found."""
        ...

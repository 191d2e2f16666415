"""Judges what is served: bundle -> `Reconstructor` -> mesh, beside predictors that learn nothing, on whole held-out families."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from model.camera import CameraKind
from model.errors import NoSurface
from model.image import Crop, Photo, PreparedImage
from model.mesh import Mesh
from model.reconstructor import Options, Reconstructor
from training.data.index import DataIndex, ShapeEntry
from training.data.shapes import PreparedShape
from training.errors import TrainingError
from training.evaluation.metrics import EMPTY, Score, score
from training.evaluation.unlearned import UnlearnedPredictors, learn_nothing

BUNDLE = "this bundle"
MEAN_SHAPE_SHAPES = 200  # training shapes behind the mean depth and the mean shape, evenly spread


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is judged; points and seeds of the metrics are stated in `metrics`."""

    split: str = "test"
    views: int = 1
    shapes_per_family: int | None = None
    resolution: int = 128
    seed: int = 0


@dataclass(frozen=True)
class Scores:
    """Means over families (the headline), for the bundle also per family.

    sample_means: the same over samples, in which a large family counts for more.
    """

    config: EvaluationConfig
    samples: int
    methods: dict[str, Score]
    sample_means: dict[str, Score]
    families: dict[str, Score]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def evaluate(bundle_dir: Path, data_dir: Path, config: EvaluationConfig) -> Scores:
    """Runs every sample of a split through the bundle and the unlearned predictors."""
    reconstructor = Reconstructor.load(bundle_dir, "cpu")
    camera = reconstructor.bundle.manifest.camera
    index = DataIndex.read(data_dir)
    entries = _chosen(index.shapes(config.split), config.shapes_per_family)
    if not entries:
        raise TrainingError(f"{data_dir}: expected shapes in split {config.split!r}, found none")
    training = index.files("train")
    spread = training[:: max(1, len(training) // MEAN_SHAPE_SHAPES)]
    unlearned = learn_nothing([PreparedShape.read(file) for file in spread], camera)
    options = Options(resolution=config.resolution, background="alpha", keep="all")

    results: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    rng = np.random.default_rng(config.seed)
    for entry in track(entries, description=f"{config.split} split"):
        shape = PreparedShape.read(index.path(entry))
        for view in range(min(config.views, shape.view_count)):
            photo = shape_photo(shape, view)
            prepared = reconstructor.prepare(photo, options, None)
            truth = true_mesh(shape, view, camera, prepared.crop)
            for method, predict in _predictors(reconstructor, unlearned, photo, prepared, options):
                results[method][entry.family].append(_judged(predict, truth, rng))
    return Scores(
        config=config,
        samples=sum(len(scores) for scores in results[BUNDLE].values()),
        methods={method: _mean([_mean(scores) for scores in families.values()]) for method, families in results.items()},
        sample_means={method: _mean([s for scores in families.values() for s in scores]) for method, families in results.items()},
        families={family: _mean(scores) for family, scores in sorted(results[BUNDLE].items())},
    )


def shape_photo(shape: PreparedShape, view: int) -> Photo:
    """A prepared view as an upload with a known camera: its focal length and principal point in pixels of the stored crop."""
    image = shape.image(view)
    size = len(image)
    offset_x, offset_y = (float(value) for value in shape.camera_offset[view])
    return Photo(
        rgb=image[..., :3],
        alpha=image[..., 3],
        focal_length_px=float(shape.camera_distance[view]) * size,
        principal_point=(size * (0.5 - offset_x), size * (0.5 + offset_y)),
    )


def true_mesh(shape: PreparedShape, view: int, camera: CameraKind, crop: Crop) -> Mesh:
    """The object in the view frame of the served crop: it is found from pixels, so it is not quite the one that was rendered."""
    rendered = len(shape.image(view))
    shift = np.array([rendered / 2 - crop.centre_x, crop.centre_y - rendered / 2, 0]) / crop.side
    vertices = shape.frame(view, camera).from_object(shape.vertices) * (rendered / crop.side) + shift
    return Mesh(vertices.astype(np.float32), shape.faces)


def _predictors(
    reconstructor: Reconstructor, unlearned: UnlearnedPredictors, photo: Photo, prepared: PreparedImage, options: Options
) -> Iterator[tuple[str, Callable[[], Mesh]]]:
    yield BUNDLE, lambda: reconstructor.reconstruct(photo, options)
    yield "extruded silhouette", lambda: unlearned.extruded_silhouette(prepared)
    yield "mean training shape", lambda: unlearned.mean_training_shape(prepared)


def _judged(predict: Callable[[], Mesh], truth: Mesh, rng: np.random.Generator) -> Score:
    try:
        return score(predict(), truth, rng)
    except NoSurface:
        return EMPTY


def _chosen(entries: list[ShapeEntry], per_family: int | None) -> list[ShapeEntry]:
    """At most `per_family` entries of each family, the first ones."""
    taken: dict[str, int] = defaultdict(int)
    chosen = []
    for entry in entries:
        if per_family is None or taken[entry.family] < per_family:
            taken[entry.family] += 1
            chosen.append(entry)
    return chosen


def _mean(scores: list[Score]) -> Score:
    return Score(float(np.mean([s.iou for s in scores])), float(np.mean([s.chamfer_l1 for s in scores])))

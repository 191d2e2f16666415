"""Judges methods on whole held-out families, all by the same pictures, truths and figures: docs/evaluation.md."""

from __future__ import annotations

import math
import multiprocessing
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.progress import track

from model.camera import CameraKind
from model.errors import NoSurface
from model.foreground import find_foreground
from model.image import Crop, Photo, prepare
from model.mesh import Mesh
from model.reconstructor import Options
from training.data.index import DataIndex, ShapeEntry
from training.data.shapes import PreparedShape
from training.errors import TrainingError
from training.evaluation.metrics import Score, Truth, mean_score, score
from training.evaluation.predictors import BundlePredictor, Predictor, unlearned_methods
from training.evaluation.surfaces import SURFACE_POINTS
from training.evaluation.unlearned import learn_nothing

Key = TypeVar("Key", str, tuple[str, str])

MEAN_SHAPE_SHAPES = 200  # training shapes behind the mean depth and the mean shape, evenly spread
ANY_SIZE, ANY_DISTANCE = 64, 2.5  # a served crop depends neither on the size of the prepared picture nor on the camera


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is judged, and how finely.

    shapes_per_family: the first so many. surface_points: samples on each mesh. The random numbers of a sample follow from seed,
    name and view alone.
    """

    split: str = "test"
    views: int = 1
    first_view: int = 0
    shapes_per_family: int | None = None
    resolution: int = 128
    surface_points: int = SURFACE_POINTS
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """One picture to be judged on."""

    entry: ShapeEntry
    file: Path
    view: int


@dataclass(frozen=True)
class JudgedSample:
    """What each method, by its name, scored on a picture."""

    sample: Sample
    scores: dict[str, Score]


@dataclass(frozen=True)
class Scores:
    """Means of each method, by its name.

    methods: over families, the headline, since a few families may hold most shapes; sample_means: over samples;
    categories: over the families of each category (`ShapeEntry.kind`); families: over the samples of each family.
    edgeless_truths: samples whose truth has no sharp edges, which count for no ECD.
    per_sample: what all of it is made from.
    """

    config: EvaluationConfig
    samples: int
    edgeless_truths: int
    methods: dict[str, Score]
    sample_means: dict[str, Score]
    categories: dict[str, dict[str, Score]]
    families: dict[str, dict[str, Score]]
    per_sample: tuple[JudgedSample, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The means as JSON values; null stands for a figure that is not defined."""
        values: dict[str, Any] = _nulls_for_nans(asdict(replace(self, per_sample=())))
        del values["per_sample"]
        return values

    def samples_to_json(self) -> list[dict[str, Any]]:
        """Each sample by name, family, category and view, with the figures of each method; nulls as in `to_json`."""
        return [
            {
                "name": judged.sample.entry.name,
                "family": judged.sample.entry.family,
                "kind": judged.sample.entry.kind,
                "view": judged.sample.view,
                "scores": {method: _nulls_for_nans(asdict(score)) for method, score in judged.scores.items()},
            }
            for judged in self.per_sample
        ]


def evaluate_bundle(bundle: Path, data: Sequence[Path], config: EvaluationConfig, workers: int = 1) -> Scores:
    """A bundle beside the two predictors that learn nothing; without the two where the sets hold no training shapes."""
    sets = [DataIndex.read(directory) for directory in data]
    served = BundlePredictor.load(bundle)
    manifest = served.reconstructor.bundle.manifest
    predictors: list[Predictor] = [served]
    training = [file for index in sets for file in index.files("train")]
    if training:
        spread = training[:: max(1, len(training) // MEAN_SHAPE_SHAPES)]
        knowledge = learn_nothing([PreparedShape.read(file) for file in spread], manifest.camera)
        predictors += unlearned_methods(knowledge, manifest.image_size, manifest.camera, manifest.default_distance)
    return evaluate(predictors, sets, config, workers)


def evaluate(predictors: Sequence[Predictor], sets: Sequence[DataIndex], config: EvaluationConfig, workers: int = 1) -> Scores:
    """Every sample of a split, in the union of the sets, through every method; the figures are computed by `workers` processes.

    The methods run in this process, one sample at a time: they may hold a GPU.
    """
    samples = _samples(sets, config)
    if not samples:
        folders = ", ".join(str(index.directory) for index in sets)
        raise TrainingError(
            f"{folders}: expected views from {config.first_view} on of shapes in split {config.split!r}, found none"
        )
    meshes = (reconstruct_sample(predictors, sample, config) for sample in samples)
    judged = track(_judged(meshes, workers), description=f"{config.split} split", total=len(samples))
    per_sample = tuple(JudgedSample(sample, scores) for sample, scores in zip(samples, judged, strict=True))
    means = summarise(config, [(judged.sample.entry, judged.scores) for judged in per_sample])
    return replace(means, per_sample=per_sample)


def summarise(config: EvaluationConfig, judged: Sequence[tuple[ShapeEntry, dict[str, Score]]]) -> Scores:
    """From the scores of each sample, by method, to means over samples, families and categories."""
    methods = list(judged[0][1])
    sample_means, headline = {}, {}
    categories: dict[str, dict[str, Score]] = {}
    families: dict[str, dict[str, Score]] = {}
    for method in methods:
        samples = [(entry, scores[method]) for entry, scores in judged]
        families[method] = _means(((entry.family, score) for entry, score in samples))
        by_kind = _means((((entry.kind, entry.family), score) for entry, score in samples))
        categories[method] = _means(((kind, score) for (kind, _), score in by_kind.items()))
        headline[method] = mean_score(list(families[method].values()))
        sample_means[method] = mean_score([score for _, score in samples])
    edgeless_truths = sum(math.isnan(scores[methods[0]].ecd) for _, scores in judged)
    return Scores(config, len(judged), edgeless_truths, headline, sample_means, categories, families)


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


@dataclass(frozen=True)
class SampleMeshes:
    """The meshes of one sample, ready to be scored anywhere. truths: in the view frame of each camera that a method uses;
    predictions: method -> its camera and its mesh, None where it found no surface.
    """

    truths: dict[CameraKind, Mesh]
    predictions: dict[str, tuple[CameraKind, Mesh | None]]
    surface_points: int
    seed: tuple[int, ...]


def _samples(sets: Sequence[DataIndex], config: EvaluationConfig) -> list[Sample]:
    """The chosen views of the chosen shapes, set by set."""
    entries = [(index.path(entry), entry) for index in sets for entry in index.shapes(config.split)]
    taken: dict[str, int] = defaultdict(int)
    samples = []
    for file, entry in entries:
        if config.shapes_per_family is None or taken[entry.family] < config.shapes_per_family:
            taken[entry.family] += 1
            last = min(config.first_view + config.views, PreparedShape.read(file).view_count)
            samples += [Sample(entry, file, view) for view in range(config.first_view, last)]
    return samples


def reconstruct_sample(predictors: Sequence[Predictor], sample: Sample, config: EvaluationConfig) -> SampleMeshes:
    """Runs the methods on one sample."""
    shape = PreparedShape.read(sample.file)
    photo = shape_photo(shape, sample.view)
    options = Options(resolution=config.resolution, background="alpha", keep="all")
    crop = prepare(photo, find_foreground(photo, None, options.background), ANY_SIZE, "orthographic", ANY_DISTANCE).crop
    return SampleMeshes(
        truths={camera: true_mesh(shape, sample.view, camera, crop) for camera in {p.camera for p in predictors}},
        predictions={p.name: (p.camera, _mesh_or_none(p, photo, options)) for p in predictors},
        surface_points=config.surface_points,
        seed=(config.seed, sample.view, *sample.entry.name.encode()),
    )


def _mesh_or_none(predictor: Predictor, photo: Photo, options: Options) -> Mesh | None:
    try:
        return predictor.reconstruct(photo, options)
    except NoSurface:
        return None


def _judged(samples: Iterable[SampleMeshes], workers: int) -> Iterator[dict[str, Score]]:
    """The scores of each sample, in their order; no more meshes wait than keep the workers busy."""
    if workers == 1:
        yield from map(_judge, samples)
        return
    # Forking would copy the threads' locks of whatever runs the methods.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        flying: deque[Future[dict[str, Score]]] = deque()
        for meshes in samples:
            flying.append(pool.submit(_judge, meshes))
            if len(flying) > 2 * workers:
                yield flying.popleft().result()
        for future in flying:
            yield future.result()


def _judge(meshes: SampleMeshes) -> dict[str, Score]:
    """Every method with the same random numbers, so that none depends on which others are judged, or in what order."""
    truths = {
        camera: Truth(mesh, np.random.default_rng((*meshes.seed, 0)), meshes.surface_points)
        for camera, mesh in meshes.truths.items()
    }
    return {
        name: score(mesh, truths[camera], np.random.default_rng((*meshes.seed, 1)))
        for name, (camera, mesh) in meshes.predictions.items()
    }


def _means(scores: Iterable[tuple[Key, Score]]) -> dict[Key, Score]:
    """The mean of each key's scores, keys in order."""
    groups: dict[Key, list[Score]] = defaultdict(list)
    for key, value in scores:
        groups[key].append(value)
    return {key: mean_score(groups[key]) for key in sorted(groups)}


def _nulls_for_nans(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nulls_for_nans(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value

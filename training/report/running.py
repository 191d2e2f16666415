"""Runs a row: trains it where it has to be, judges it, looks at its volumes, and pictures a few of its meshes."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from model.errors import NoSurface
from model.field import QueryGrid
from model.image import Photo, PreparedImage, prepare
from model.mesh import Mesh
from model.reconstructor import Options
from training.calibration import best_level
from training.checkpoints import load_checkpoint, method_of
from training.configs import RunConfig
from training.data.index import DataIndex
from training.data.shapes import PreparedShape
from training.evaluation.evaluate import (
    ANY_DISTANCE,
    ANY_SIZE,
    MEAN_SHAPE_SHAPES,
    evaluate,
    shape_photo,
    true_mesh,
)
from training.evaluation.metrics import Score, volume_ratio
from training.evaluation.portraits import TILE, Picture, portrait
from training.evaluation.predictors import Predictor, SurfacePredictor, unlearned_methods
from training.evaluation.unlearned import learn_nothing
from training.export import DEFAULT_DISTANCE
from training.method import FieldMethod, Method
from training.normalisation import normalise
from training.prepared_sets import PreparedSets
from training.report.config import ReportConfig
from training.report.results import Figures, RowResult, TrainingEffort, VolumeRatios, protocol_digest
from training.report.rows import HARDNESS_TABLE, UNLEARNED, Row, row_protocol
from training.run_folder import METRICS, commit, hardware
from training.train import fabric_for, train

CURVE_POINTS = 60  # of a schedule at most, evenly spread


@dataclass(frozen=True)
class Bench:
    """Where rows are run. runs: folder of the run folders; workers: processes that compute figures."""

    config: ReportConfig
    sets: tuple[DataIndex, ...]
    runs: Path
    device: torch.device
    workers: int = 1

    @property
    def data_digests(self) -> list[str]:
        return [index.digest for index in self.sets]

    def folder(self, row: Row) -> Path:
        """A row's checkpoint and pictures; another budget has another folder, another way to judge has not."""
        protocol = row_protocol(row, self.config, self.data_digests)
        return self.runs / f"{row.name}-{protocol_digest({part: protocol[part] for part in ('run', 'data')})}"


class Remembered:
    """A predictor that is asked twice for each photo, by the figures and by the volumes, and works once."""

    def __init__(self, predictor: Predictor) -> None:
        self.name, self.camera = predictor.name, predictor.camera
        self._predictor = predictor
        self._meshes: dict[tuple[bytes, Options], Mesh | None] = {}

    def reconstruct(self, photo: Photo, options: Options) -> Mesh:
        """The predictor's mesh; raises NoSurface as often as it is asked for one that there is not."""
        key = (hashlib.sha256(photo.rgb.tobytes()).digest(), options)
        if key not in self._meshes:
            try:
                self._meshes[key] = self._predictor.reconstruct(photo, options)
            except NoSurface:
                self._meshes[key] = None
        mesh = self._meshes[key]
        if mesh is None:
            raise NoSurface("surface: expected one at this level, found none")
        return mesh


def run_row(row: Row, bench: Bench) -> RowResult:
    """Trains (or takes up, or loads) a row and judges it; its pictures are left in its folder.

    A field is read at the level that is best on validation views, as an exported one is; but volumes that show what labels do
    to a field are those at its own level.
    """
    folder = bench.folder(row)
    folder.mkdir(parents=True, exist_ok=True)
    training = volume_as_trained = None
    if row.run is None:
        predictor = Remembered(_unlearned(row, bench))
    else:
        fabric = fabric_for(row.run, bench.device.type)
        fabric.launch()
        directories = [index.directory for index in bench.sets]
        checkpoint = train(row.run, directories, folder, fabric)
        state = load_checkpoint(checkpoint)
        method, _ = method_of(state)
        method = method.to(bench.device)
        training = _effort(row.run, method, state["step"], state["minutes"], folder)
        predictor = Remembered(method_predictor(row.run, method, bench.device))
        if row.name in HARDNESS_TABLE:
            volume_as_trained = look(predictor, bench, folder)
        if isinstance(method, FieldMethod):
            held_out = PreparedSets.read(directories).shapes("val", row.run, bench.device)
            method.level = best_level(method, held_out, row.run.image_size, bench.config.level_views)
            predictor = Remembered(method_predictor(row.run, method, bench.device))
    scores = evaluate([predictor], bench.sets, bench.config.evaluation, bench.workers)
    volume = look(predictor, bench, folder)
    return RowResult(
        name=row.name,
        protocol=row_protocol(row, bench.config, bench.data_digests),
        samples=scores.samples,
        family_mean=_figures(scores.methods[predictor.name]),
        sample_mean=_figures(scores.sample_means[predictor.name]),
        categories={kind: _figures(score) for kind, score in scores.categories[predictor.name].items()},
        families={family: _figures(score) for family, score in scores.families[predictor.name].items()},
        volume=volume_as_trained or volume,
        training=training,
        origin=_origin(bench.device),
    )


def method_predictor(run: RunConfig, method: Method, device: torch.device) -> SurfacePredictor:
    """A trained method on the path that all rows share."""

    def surface(prepared: PreparedImage, grid: QueryGrid, observed: npt.NDArray[np.bool_]) -> Mesh:
        image = normalise(torch.from_numpy(prepared.pixels)[None].to(device))
        mesh: Mesh = method.surface(image, grid, observed)
        return mesh

    return SurfacePredictor(run.name, surface, run.image_size, run.camera, DEFAULT_DISTANCE)


def look(predictor: Predictor, bench: Bench, folder: Path) -> VolumeRatios:
    """Volume ratios over the first view of each judged shape; of a few, pictures of photo, prediction and truth in `folder`."""
    shapes = _judged_shapes(bench)
    pictured = sample_numbers(len(shapes))
    ratios = []
    for number, file in enumerate(shapes):
        shape = PreparedShape.read(file)
        photo = shape_photo(shape, 0)
        crop = prepare(photo, photo.alpha / np.float32(255), ANY_SIZE, "orthographic", ANY_DISTANCE).crop
        truth = true_mesh(shape, 0, predictor.camera, crop)
        mesh = _mesh_or_none(predictor, shape, bench.config.resolution)
        ratios.append(0.0 if mesh is None else volume_ratio(mesh, truth, np.random.default_rng(number)))
        if number in pictured:
            for name, picture in (
                ("photo", _on_white(shape.image(0))),
                ("prediction", portrait(mesh)),
                ("truth", portrait(truth)),
            ):
                Image.fromarray(picture).save(tile_path(folder, pictured.index(number), name))
    lower, median, upper = np.quantile(ratios, [0.25, 0.5, 0.75]).tolist()
    mean, deviation = float(np.mean(ratios)), float(np.std(ratios))
    return VolumeRatios(mean=mean, deviation=deviation, lower_quartile=lower, median=median, upper_quartile=upper)


def tile_path(folder: Path, number: int, name: str) -> Path:
    """A picture of sample `number`: photo, prediction or truth."""
    return folder / f"sample-{number}-{name}.png"


def sample_numbers(shapes: int, count: int = 5) -> list[int]:
    """Which of the judged shapes are pictured: evenly spread, each once."""
    return sorted({int(number) for number in np.linspace(0, shapes - 1, min(count, shapes)).round()})


def _judged_shapes(bench: Bench) -> list[Path]:
    """The files that `evaluate` judges, in its order."""
    taken: dict[str, int] = {}
    files = []
    for index in bench.sets:
        for entry in index.shapes(bench.config.split):
            taken[entry.family] = taken.get(entry.family, 0) + 1
            if bench.config.shapes_per_family is None or taken[entry.family] <= bench.config.shapes_per_family:
                files.append(index.path(entry))
    return files


def _unlearned(row: Row, bench: Bench) -> Predictor:
    """One of the predictors that know a training set without looking at a picture."""
    training = [file for index in bench.sets for file in index.files("train")]
    spread = training[:: max(1, len(training) // MEAN_SHAPE_SHAPES)]
    knowledge = learn_nothing([PreparedShape.read(file) for file in spread], bench.config.camera)
    both = unlearned_methods(knowledge, bench.config.image_size, bench.config.camera, DEFAULT_DISTANCE)
    return both[UNLEARNED.index(row)]


def _mesh_or_none(predictor: Predictor, shape: PreparedShape, resolution: int) -> Mesh | None:
    options = Options(resolution=resolution, background="alpha", keep="all")
    try:
        mesh: Mesh = predictor.reconstruct(shape_photo(shape, 0), options)
    except NoSurface:
        return None
    return mesh


def _effort(run: RunConfig, method: Method, steps: int, minutes: float, folder: Path) -> TrainingEffort:
    curve = list(_schedule(folder)) if run.baseline is None and run.labels.rule != "binary" else []
    kept = [curve[i] for i in sorted({int(i) for i in np.linspace(0, len(curve) - 1, min(CURVE_POINTS, len(curve))).round()})]
    return TrainingEffort(
        views=steps * run.optimisation.batch_size,
        minutes=round(minutes, 3),
        parameters=sum(parameter.numel() for parameter in method.parameters()),
        steps=[step for step, _, _ in kept],
        s=[round(s, 4) for _, s, _ in kept],
        best_f1=[round(f1, 4) for _, _, f1 in kept],
    )


def _schedule(folder: Path) -> Iterator[tuple[int, float, float]]:
    """(step, s, best F1) each time that the run logged them."""
    for line in (folder / METRICS).read_text().splitlines():
        values = json.loads(line)
        if "train/s" in values:
            yield values["step"], values["train/s"], values["train/best_f1"]


def _figures(score: Score) -> Figures:
    """Six digits, null for what is not defined."""
    return {key: None if math.isnan(value) else float(f"{value:.6g}") for key, value in asdict(score).items()}


def _origin(device: torch.device) -> dict[str, str]:
    return {
        "commit": commit(),
        "hardware": hardware(device),
        "torch": str(torch.__version__),
        "date": datetime.date.today().isoformat(),
    }


def _on_white(image: Picture) -> Picture:
    """(s, s, 4) RGBA -> (TILE, TILE, 3) as the network is shown it."""
    picture = Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS)
    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(white, picture).convert("RGB"))

"""A picture of what a method makes of some samples, the best, the middling and the worst, and what is measured of the worst."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from model.foreground import find_foreground
from model.image import PreparedImage, prepare
from model.mesh import Mesh
from model.preview import render_preview, silhouette
from training.data.shapes import PreparedShape
from training.evaluation.evaluate import ANY_DISTANCE, JudgedSample, Scores, reconstruct_sample, shape_photo
from training.evaluation.metrics import IOU_POINTS, is_inside, volume_ratio
from training.evaluation.portraits import TILE, TILT, TURN
from training.evaluation.predictors import Predictor

WORST, BEST, MEDIAN = 6, 3, 3  # samples in each group
WEBP_QUALITY = 80
DIGITS = 4  # of a failure's figures

CAPTIONS = ("photo", "prediction", "prediction, turned", "truth, turned")
TITLE_HEIGHT, CAPTION_HEIGHT, LABEL_HEIGHT, MARGIN = 40, 20, 22, 12  # pixels
BLACK, GREY, RULE = (20, 24, 28), (110, 116, 122), (222, 226, 230)

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Failure:
    """What is measured of a bad prediction, 0 throughout where it has no surface.

    coverage: share of the photo's silhouette that the prediction covers, seen by the photo's camera;
    volume_ratio, depth_ratio: predicted / true volume, and extent along z;
    fullness: share of the truth's own box that it fills, small for thin parts.
    """

    name: str
    family: str
    view: int
    iou: float
    chamfer_l1: float
    coverage: float
    volume_ratio: float
    depth_ratio: float
    fullness: float


@dataclass(frozen=True)
class Gallery:
    """picture: the sheet, WebP; failures: the worst samples, worst first."""

    picture: bytes
    failures: tuple[Failure, ...]

    def failures_to_json(self) -> list[dict[str, Any]]:
        """JSON values, rounded for reading."""
        return [
            {key: round(value, DIGITS) if isinstance(value, float) else value for key, value in asdict(failure).items()}
            for failure in self.failures
        ]


@dataclass(frozen=True)
class _Exhibit:
    """One sample again, with its meshes, both in the view frame; None where no surface was found."""

    judged: JudgedSample
    iou: float
    chamfer_l1: float
    prepared: PreparedImage
    predicted: Mesh | None
    truth: Mesh


def make_gallery(predictor: Predictor, scores: Scores) -> Gallery:
    """Runs the predictor on a few of the samples that it was judged by."""
    groups = {
        title: [_exhibit(predictor, judged, scores) for judged in chosen]
        for title, chosen in choose(scores.per_sample, predictor.name).items()
    }
    return Gallery(webp(sheet(groups)), tuple(map(_failure, groups["worst"])))


def choose(samples: Sequence[JudgedSample], method: str) -> dict[str, list[JudgedSample]]:
    """Group -> samples by a method's IoU: "best", best first, "median", those nearest the middle, "worst", worst first.

    No two of a group are of one family, and no sample is in two groups; where there are few, the worst have precedence.
    """
    ranked = sorted(samples, key=lambda judged: (-judged.scores[method].iou, judged.sample.entry.name, judged.sample.view))
    ranks = range(len(ranked))
    worst = _of_different_families(ranked, reversed(ranks), WORST)
    best = _of_different_families(ranked, (rank for rank in ranks if rank not in worst), BEST)
    left = [rank for rank in ranks if rank not in worst and rank not in best]
    middle = (len(ranked) - 1) / 2
    median = _of_different_families(ranked, sorted(left, key=lambda rank: abs(rank - middle)), MEDIAN)
    return {
        "best": [ranked[rank] for rank in best],
        "median": [ranked[rank] for rank in sorted(median)],
        "worst": [ranked[rank] for rank in worst],
    }


def _of_different_families(ranked: Sequence[JudgedSample], ranks: Iterable[int], count: int) -> list[int]:
    """The first so many ranks, each of a family of its own."""
    first: dict[str, int] = {}
    for rank in ranks:
        first.setdefault(ranked[rank].sample.entry.family, rank)
    return list(first.values())[:count]


def _exhibit(predictor: Predictor, judged: JudgedSample, scores: Scores) -> _Exhibit:
    sample, score = judged.sample, judged.scores[predictor.name]
    photo = shape_photo(PreparedShape.read(sample.file), sample.view)
    prepared = prepare(photo, find_foreground(photo, None, "alpha"), TILE, predictor.camera, ANY_DISTANCE)
    meshes = reconstruct_sample([predictor], sample, scores.config)
    predicted, truth = meshes.predictions[predictor.name][1], meshes.truths[predictor.camera]
    return _Exhibit(judged, score.iou, score.chamfer_l1, prepared, predicted, truth)


def _failure(exhibit: _Exhibit) -> Failure:
    sample, predicted, truth = exhibit.judged.sample, exhibit.predicted, exhibit.truth
    rng = np.random.default_rng((sample.view, *sample.entry.name.encode()))
    return Failure(
        name=sample.entry.name,
        family=sample.entry.family,
        view=sample.view,
        iou=exhibit.iou,
        chamfer_l1=exhibit.chamfer_l1,
        coverage=0.0 if predicted is None else coverage(predicted, exhibit.prepared),
        volume_ratio=0.0 if predicted is None else volume_ratio(predicted, truth, rng),
        depth_ratio=0.0 if predicted is None else _depth(predicted) / _depth(truth),
        fullness=fullness(truth, rng),
    )


def coverage(mesh: Mesh, prepared: PreparedImage) -> float:
    """Share of the prepared picture's silhouette that a mesh in its view frame covers, seen by its camera."""
    seen = prepared.silhouette > 0.5
    columns = prepared.camera.project(mesh.vertices.astype(np.float64))
    covered = silhouette(columns[:, :2], mesh.faces, len(seen))
    return int((covered & seen).sum()) / int(seen.sum())


def fullness(mesh: Mesh, rng: np.random.Generator) -> float:
    """Share of its own axis-aligned box that a mesh fills, from uniform points; inside by winding number."""
    low, high = mesh.bounds.astype(np.float64)
    return float(is_inside(mesh, rng.uniform(low, high, (IOU_POINTS, 3))).mean())


def _depth(mesh: Mesh) -> float:
    """Extent along z; never 0."""
    return max(float(np.ptp(mesh.vertices[:, 2])), 1e-6)


def webp(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=WEBP_QUALITY, method=6)
    return file.getvalue()


def sheet(groups: dict[str, list[_Exhibit]]) -> Image.Image:
    """The best and the median samples on the left, the worst on the right; an empty group takes no room."""
    panels = {title: _panel(title, exhibits) for title, exhibits in groups.items() if exhibits}
    columns = [[panels[title] for title in titles if title in panels] for titles in (("best", "median"), ("worst",))]
    columns = [column for column in columns if column]
    width, height = len(CAPTIONS) * TILE, max(sum(panel.height for panel in column) for column in columns)
    page = Image.new("RGB", (len(columns) * (width + MARGIN) + MARGIN, height + MARGIN), "white")
    for number, column in enumerate(columns):
        top = 0
        for panel in column:
            page.paste(panel, (MARGIN + number * (width + MARGIN), top))
            top += panel.height
    return page


def _panel(title: str, exhibits: Sequence[_Exhibit]) -> Image.Image:
    """A group under its title and captions, one row a sample."""
    head, row = TITLE_HEIGHT + CAPTION_HEIGHT, LABEL_HEIGHT + TILE
    panel = Image.new("RGB", (len(CAPTIONS) * TILE, head + len(exhibits) * row), "white")
    draw = ImageDraw.Draw(panel)
    draw.text((0, TITLE_HEIGHT - 6), f"{title.capitalize()} IoU", BLACK, ImageFont.load_default(20), anchor="ls")
    for number, caption in enumerate(CAPTIONS):
        draw.text(((number + 0.5) * TILE, head - 6), caption, GREY, ImageFont.load_default(13), anchor="ms")
    for number, exhibit in enumerate(exhibits):
        top = head + number * row
        _label(draw, exhibit, top, panel.width)
        for column, tile in enumerate(_tiles(exhibit)):
            panel.paste(Image.fromarray(tile), (column * TILE, top + LABEL_HEIGHT))
    return panel


def _label(draw: ImageDraw.ImageDraw, exhibit: _Exhibit, top: int, width: int) -> None:
    """A rule, and below it the sample's name and family to the left, its IoU to the right."""
    font, entry, base = ImageFont.load_default(13), exhibit.judged.sample.entry, top + 16
    figure = f"IoU {exhibit.iou:.3f}"
    end = width - draw.textlength(figure, font) - MARGIN
    family_left = MARGIN + draw.textlength(entry.name, font)
    draw.line([(0, top), (width, top)], RULE)
    draw.text((0, base), _cut(draw, entry.name, end), BLACK, font, anchor="ls")
    draw.text((family_left, base), _cut(draw, entry.family, end - family_left), GREY, font, anchor="ls")
    draw.text((width, base), figure, BLACK, font, anchor="rs")


def _cut(draw: ImageDraw.ImageDraw, text: str, room: float) -> str:
    """The text, or as much of its beginning as there is room for, in pixels."""
    font = ImageFont.load_default(13)
    return next(text[:end] for end in range(len(text), -1, -1) if draw.textlength(text[:end], font) <= max(room, 0))


def _tiles(exhibit: _Exhibit) -> list[Picture]:
    """The four pictures of a sample, (TILE, TILE, 3) each; the meshes in one scale, so that they compare."""
    photo = np.round(exhibit.prepared.pixels.transpose(1, 2, 0) * 255).astype(np.uint8)
    if exhibit.predicted is None:
        nothing = _no_surface()
        return [photo, nothing, nothing, render_preview(exhibit.truth, TURN, TILT, TILE)]
    predicted, truth = _framed_by(exhibit.predicted, exhibit.truth), _framed_by(exhibit.truth, exhibit.predicted)
    return [
        photo,
        render_preview(predicted, 0, 0, TILE),
        render_preview(predicted, TURN, TILT, TILE),
        render_preview(truth, TURN, TILT, TILE),
    ]


def _framed_by(mesh: Mesh, other: Mesh) -> Mesh:
    """The mesh with another's vertices, which no face uses: a preview fits all vertices into the picture."""
    return Mesh(np.concatenate([mesh.vertices, other.vertices]), mesh.faces)


def _no_surface() -> Picture:
    tile = Image.new("RGB", (TILE, TILE), "white")
    ImageDraw.Draw(tile).text((TILE / 2, TILE / 2), "no surface", GREY, ImageFont.load_default(13), anchor="mm")
    return np.asarray(tile)

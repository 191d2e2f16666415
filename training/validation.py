"""A look at a method between exports: IoU of its field at uniform points, or its loss, and a sheet of predicted meshes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from model.errors import NoSurface
from model.field import QueryGrid
from model.networks.occupancy_network import OccupancyNetwork
from model.preview import render_preview
from training.configs import AugmentationConfig, RunConfig
from training.data.dataset import ShapeSet, on_white
from training.method import FieldMethod, Method
from training.normalisation import normalise

POINTS = 4096  # a view, from which its IoU is taken
TILE = 192  # pixels, the side of one picture on the sample sheet


def view_numbers(shapes: ShapeSet, count: int) -> list[tuple[int, int]]:
    """`count` (shape, view) pairs spread evenly over a set, always the same ones."""
    total = len(shapes) * shapes.view_count
    return [divmod(int(n), shapes.view_count) for n in np.linspace(0, total - 1, min(count, total)).round()]


def validate(method: Method, shapes: ShapeSet, config: RunConfig, owners: Sequence[str] = ()) -> dict[str, float]:
    """ "iou": mean over `evaluation_views` of the field; "loss" in its place for a method without one.

    owners: the prepared set of each shape. Where there are several, each gets a mean of its own, "<set>/iou".
    """
    if not isinstance(method, FieldMethod):
        return {"loss": validation_loss(method, shapes, config)}
    scores = list(field_ious(method, shapes, config.image_size, config.intervals.evaluation_views))
    means = {"iou": float(np.mean([iou for _, iou in scores]))}
    if len(names := sorted(set(owners))) > 1:
        for name in names:
            own = [iou for shape, iou in scores if owners[shape] == name]
            means |= {f"{name}/iou": float(np.mean(own))} if own else {}
    return means


def field_ious(method: FieldMethod, shapes: ShapeSet, image_size: int, views: int) -> Iterator[tuple[int, float]]:
    """For each of the views its shape's number and the IoU of the field against the solid at uniform points of the volume."""
    for shape, probability, inside in field_probabilities(method, shapes, image_size, views):
        predicted = probability > method.level
        yield shape, float((predicted & inside).sum() / (predicted | inside).sum().clamp(min=1))


def field_probabilities(
    method: FieldMethod, shapes: ShapeSet, image_size: int, views: int
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """For each of the views its shape's number, the field (n,) at uniform points of the volume, and which lie inside (n,)."""
    method.eval()
    for shape, view in view_numbers(shapes, views):
        points, inside = shapes.uniform_points(shape, view, POINTS)
        with torch.inference_mode():
            probability = method.field(_image(shapes, shape, view, image_size))(points[None])[0]
        yield shape, probability, inside


def validation_loss(method: Method, shapes: ShapeSet, config: RunConfig) -> float:
    """The mean training loss over as many views, always the same ones, as they were rendered."""
    method.eval()
    size = config.optimisation.batch_size
    generator = torch.Generator(shapes.device).manual_seed(0)
    losses = []
    for _ in range(math.ceil(config.intervals.evaluation_views / size)):
        batch = shapes.batch(size, config.points, AugmentationConfig(), config.image_size, generator)
        with torch.inference_mode():
            losses.append(float(method(batch)[0]))
    return float(np.mean(losses))


def validation_logits(
    network: OccupancyNetwork, shapes: ShapeSet, image_size: int, views: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """For each of the views, the network's logits (n,) at uniform points of the query volume and whether they lie inside (n,)."""
    network.eval()
    for shape, view in view_numbers(shapes, views):
        points, inside = shapes.uniform_points(shape, view, POINTS)
        with torch.inference_mode():
            maps = network.encode(_image(shapes, shape, view, image_size))
            logits = network.decode(maps, points[None])[0]
        yield logits, inside


def sample_sheet(method: Method, shapes: ShapeSet, image_size: int, views: int, resolution: int) -> Image.Image:
    """One row a view: the input, and its predicted mesh from the front, the side and above."""
    method.eval()
    rows = []
    for shape, view in view_numbers(shapes, views):
        picture = on_white(shapes.images[shape, view][None], TILE)[0].permute(1, 2, 0).cpu().numpy()
        tiles = [(picture * 255).astype(np.uint8), *_pictures(method, _image(shapes, shape, view, image_size), resolution)]
        rows.append(np.concatenate(tiles, axis=1))
    return Image.fromarray(np.concatenate(rows))


def _pictures(method: Method, image: torch.Tensor, resolution: int) -> list[np.ndarray]:
    grid = QueryGrid(resolution)
    try:
        with torch.inference_mode():
            mesh = method.surface(image, grid, np.ones(grid.shape[:2], np.bool_))
    except NoSurface:
        return [np.full((TILE, TILE, 3), 255, np.uint8)] * 3
    return [render_preview(mesh, azimuth, elevation, TILE) for azimuth, elevation in ((0, 0), (60, 20), (0, 70))]


def _image(shapes: ShapeSet, shape: int, view: int, image_size: int) -> torch.Tensor:
    return normalise(on_white(shapes.images[shape, view][None], image_size))

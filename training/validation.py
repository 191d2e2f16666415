"""A look at the network between exports: IoU of the field at uniform points, and a sheet of predicted meshes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image

from model.errors import NoSurface
from model.field import QueryGrid, query_densely
from model.isosurface import extract_surface
from model.networks.occupancy_network import OccupancyNetwork
from model.preview import render_preview
from training.data.dataset import ShapeSet, on_white
from training.normalisation import normalise
from training.torch_field import TorchField

POINTS = 4096  # a view, from which its IoU is taken
TILE = 192  # pixels, the side of one picture on the sample sheet


def view_numbers(shapes: ShapeSet, count: int) -> list[tuple[int, int]]:
    """`count` (shape, view) pairs spread evenly over a set, always the same ones."""
    total = len(shapes) * shapes.view_count
    return [divmod(int(n), shapes.view_count) for n in np.linspace(0, total - 1, min(count, total)).round()]


def validate(network: OccupancyNetwork, shapes: ShapeSet, image_size: int, views: int) -> dict[str, float]:
    """Mean IoU over views of the field against the solid at uniform points of the query volume."""
    scores = []
    for logits, inside in validation_logits(network, shapes, image_size, views):
        predicted = logits > 0
        scores.append(float((predicted & inside).sum() / (predicted | inside).sum().clamp(min=1)))
    return {"iou": float(np.mean(scores))}


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


def sample_sheet(network: OccupancyNetwork, shapes: ShapeSet, image_size: int, views: int, resolution: int) -> Image.Image:
    """One row a view: the input, and its predicted mesh from the front, the side and above."""
    network.eval()
    rows = []
    for shape, view in view_numbers(shapes, views):
        with torch.inference_mode():
            maps = network.encode(_image(shapes, shape, view, image_size))
        picture = on_white(shapes.images[shape, view][None], TILE)[0].permute(1, 2, 0).cpu().numpy()
        tiles = [(picture * 255).astype(np.uint8), *_pictures(network, maps, resolution)]
        rows.append(np.concatenate(tiles, axis=1))
    return Image.fromarray(np.concatenate(rows))


def _pictures(network: OccupancyNetwork, maps: list[torch.Tensor], resolution: int) -> list[np.ndarray]:
    grid = QueryGrid(resolution)
    everywhere = np.ones(grid.shape[:2], np.bool_)
    field = TorchField(lambda p: torch.sigmoid(network.decode(maps, p)), grid, everywhere, maps[0].device)
    try:
        mesh = extract_surface(query_densely(field), 0.5, grid.origin, grid.spacing)
    except NoSurface:
        return [np.full((TILE, TILE, 3), 255, np.uint8)] * 3
    return [render_preview(mesh, azimuth, elevation, TILE) for azimuth, elevation in ((0, 0), (60, 20), (0, 70))]


def _image(shapes: ShapeSet, shape: int, view: int, image_size: int) -> torch.Tensor:
    return normalise(on_white(shapes.images[shape, view][None], image_size))

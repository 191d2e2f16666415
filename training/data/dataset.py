"""Prepared shapes in memory (the device's, so that a GPU is fed without a loader), and training batches cut from them.

B batch, N points, M points on the surface, P points in a shape's pool, V views of a shape, S image side, C columns along a
side of a depth map.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.camera import HALF_DEPTH, CameraKind
from training.configs import AugmentationConfig, PointsConfig
from training.data.composition import compose
from training.data.shapes import PreparedShape
from training.errors import TrainingError
from training.labels import VOXELS
from training.sampling.depths import front_and_back
from training.sampling.pools import BALL_RADIUS, POINT_STEPS
from training.sampling.surface import sample_surface

CPU = torch.device("cpu")
# Uniform points fill a ball about the object; so many are drawn for each that must lie in the query volume. Seen along its length
# a part is magnified, and its volume holds a twelfth of the ball.
UNIFORM_SURPLUS = 16
SOLID_RADIUS = 0.5  # of the sphere that holds every prepared solid, object units


@dataclass(frozen=True)
class Batch:
    """images (B, 3, S, S) float32 in [0, 1] on white; points (B, N, 3) float32 as (u, v, z).

    distance: (B, N) float32 voxels, <= 0 inside.
    surface, normals: (B, M, 3) float32, points on the surface and unit normals outward, both in (u, v, z); M may be 0.
    depths: (B, 2, C, C) float32, z of the object's front and of its back in C by C columns of the picture, row 0 at the top, NaN
    where a column misses it; C may be 0.
    """

    images: Tensor
    points: Tensor
    distance: Tensor
    surface: Tensor
    normals: Tensor
    depths: Tensor


@dataclass(frozen=True)
class ViewTable:
    """One row a view: how the object's frame becomes (u, v, z). Fields are (shapes, V, ...) float32 tensors."""

    rotation: Tensor  # (shapes, V, 3, 3)
    scale: Tensor  # (shapes, V)
    translation: Tensor  # (shapes, V, 3)
    distance: Tensor  # (shapes, V): camera distance D, infinite for the orthographic camera
    offset: Tensor  # (shapes, V, 2)


class ShapeSet:
    """Shapes of one split, all in memory: about 1 MB a shape with 8 views of 128 px and 32,000 points."""

    def __init__(
        self, files: Iterable[Path], camera: CameraKind, device: torch.device = CPU, surface_points: int = 0, depth_cells: int = 0
    ) -> None:
        shapes = [PreparedShape.read(file) for file in files]
        if not shapes:
            raise TrainingError("shapes: expected at least one in the split, found none")
        near = {shape.near_count for shape in shapes}
        if len(near) != 1 or len({shape.points.shape for shape in shapes}) != 1:
            raise TrainingError(f"shapes: expected pools of one size, found near-surface counts {sorted(near)}")
        pictures = {(shape.view_count, *shape.image(0).shape[:2]) for shape in shapes}
        if len(pictures) != 1:
            raise TrainingError(f"shapes: expected as many pictures of one size for each, found {sorted(pictures)}")
        self.device = device
        self.near_count = near.pop()
        self.points = torch.from_numpy(np.stack([shape.points for shape in shapes])).to(device)  # (shapes, P, 3) int16
        # (shapes, P), object units
        self.signed_distance = torch.from_numpy(np.stack([shape.distance for shape in shapes])).to(device)
        images = [np.stack([shape.image(v) for v in range(shape.view_count)]) for shape in shapes]
        shadows = [np.stack([shape.shadow(v) for v in range(shape.view_count)]) for shape in shapes]
        self.images = torch.from_numpy(np.stack(images)).to(device)  # (shapes, V, S, S, 4) uint8
        self.shadows = torch.from_numpy(np.stack(shadows)).to(device)  # (shapes, V, S, S) uint8
        self.views = _view_table(shapes, camera, device)
        rng = np.random.default_rng(0)
        samples = np.array([sample_surface(shape.vertices, shape.faces, surface_points, rng) for shape in shapes], np.float32)
        # (shapes, M, 3) float32, object frame: points on the surface, and the normals there
        self.surface, self.normals = torch.from_numpy(samples).to(device).unbind(1)
        # (shapes, V, 2, C, C) float16: z of front and back, NaN beside the object
        self.depths = self._depths(shapes, depth_cells)

    def __len__(self) -> int:
        return len(self.points)

    @property
    def view_count(self) -> int:
        return self.images.shape[1]

    def columns(self, shape: Tensor, view: Tensor, points_object: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) shape and view numbers, (B, N, 3) object frame -> (B, N, 3) as (u, v, z), and (B,) voxels an object unit."""
        table = self.views
        scale = table.scale[shape, view]
        rotated = torch.bmm(points_object, table.rotation[shape, view].transpose(1, 2))
        xyz = scale[:, None, None] * rotated + table.translation[shape, view][:, None]
        distance, offset = table.distance[shape, view][:, None, None], table.offset[shape, view][:, None]
        nearness = 1 / (1 - xyz[..., 2:] / distance)
        uv = nearness * (xyz[..., :2] + offset) - offset
        return torch.cat([uv, xyz[..., 2:]], dim=-1), scale * VOXELS

    def column_normals(self, shape: Tensor, view: Tensor, uvz: Tensor, normals_object: Tensor) -> Tensor:
        """(B, N, 3) unit normals in the object's frame at points that lie at `uvz` -> unit normals in (u, v, z).

        A normal stays at right angles to the surface, so it goes with the inverse transpose of the projection's derivative.
        """
        table = self.views
        normal = torch.bmm(normals_object, table.rotation[shape, view].transpose(1, 2))
        distance, offset = table.distance[shape, view][:, None, None], table.offset[shape, view][:, None]
        farness = 1 - uvz[..., 2:] / distance
        lateral = normal[..., :2] * farness
        slope = (uvz[..., :2] + offset) / distance / farness  # d(u, v) / dz
        depth = normal[..., 2:] - (slope * lateral).sum(-1, keepdim=True)
        return F.normalize(torch.cat([lateral, depth], dim=-1), dim=-1)

    def objects(self, shape: Tensor, view: Tensor, uvz: Tensor) -> Tensor:
        """The inverse of `columns`: (B, N, 3) as (u, v, z) -> (B, N, 3) object frame."""
        table = self.views
        distance, offset = table.distance[shape, view][:, None, None], table.offset[shape, view][:, None]
        xy = (1 - uvz[..., 2:] / distance) * (uvz[..., :2] + offset) - offset
        moved = torch.cat([xy, uvz[..., 2:]], dim=-1) - table.translation[shape, view][:, None]
        return torch.bmm(moved / table.scale[shape, view][:, None, None], table.rotation[shape, view])

    def _depths(self, shapes: list[PreparedShape], cells: int) -> Tensor:
        depths = np.empty((len(shapes), self.view_count, 2, cells, cells), np.float32)
        if cells:
            centres = (torch.arange(cells, device=self.device) + 0.5) / cells - 0.5
            v, u = torch.meshgrid(-centres, centres, indexing="ij")
            ends = [torch.stack([u, v, torch.full_like(u, z)], dim=-1).view(1, -1, 3) for z in (HALF_DEPTH, -HALF_DEPTH)]
            views = torch.arange(self.view_count, device=self.device)
            for number, shape in enumerate(shapes):
                near, far = (self.objects(views.new_tensor([number]), views, end.expand(len(views), -1, -1)) for end in ends)
                met = front_and_back(shape.vertices, shape.faces, near.cpu().numpy(), far.cpu().numpy())
                depths[number] = HALF_DEPTH * (1 - 2 * met).reshape(2, len(views), cells, cells).swapaxes(0, 1)
        return torch.from_numpy(depths).half().to(self.device)

    def batch(
        self, size: int, points: PointsConfig, augmentation: AugmentationConfig, image_size: int, generator: torch.Generator
    ) -> Batch:
        """A random training batch: each element a random view of a random shape and a fresh slice of its pools."""
        shape = torch.randint(len(self), (size,), generator=generator, device=self.device)
        view = torch.randint(self.view_count, (size,), generator=generator, device=self.device)
        near, near_distance = self._slice(shape, points.near, 0, self.near_count, generator)
        near_uvz, scale = self.columns(shape, view, near)
        uniform_uvz, uniform_distance = self._uniform(shape, view, points.uniform, generator)
        uvz = torch.cat([near_uvz, uniform_uvz], dim=1)
        distance = torch.cat([near_distance, uniform_distance], dim=1) * scale[:, None]
        chosen = torch.randint(max(1, self.surface.shape[1]), (points.surface,), generator=generator, device=self.device)
        surface, _ = self.columns(shape, view, self.surface[shape][:, chosen])
        normals = self.column_normals(shape, view, surface, self.normals[shape][:, chosen])
        depths = self.depths[shape, view].float()
        rgba, shadow = self.images[shape, view], self.shadows[shape, view]
        images = compose(rgba, shadow, augmentation.background, image_size, generator, augmentation.photometry)
        images = augment(images, augmentation, generator)
        if augmentation.flip:
            mirrored = torch.rand(size, generator=generator, device=self.device) < 0.5
            images, depths = (torch.where(mirrored[:, None, None, None], m.flip(-1), m) for m in (images, depths))
            for across in (uvz, surface, normals):
                across[..., 0] = torch.where(mirrored[:, None], -across[..., 0], across[..., 0])
        return Batch(images, uvz, distance, surface, normals, depths)

    def _uniform(self, shape: Tensor, view: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, count, 3) points (u, v, z) all over the query volume, and their signed distances in object units, (B, count).

        The pool fills a ball; where a point drawn from the volume lies outside of it, far from any solid, that one is taken.
        """
        surplus = max(count, min(count * UNIFORM_SURPLUS, self.points.shape[1] - self.near_count))
        pooled, distance = self._slice(shape, surplus, self.near_count, self.points.shape[1], generator)
        uvz, _ = self.columns(shape, view, pooled)
        kept = _first_inside(uvz, count)
        uvz, distance = uvz.gather(1, kept[..., None].expand(-1, -1, 3)), distance.gather(1, kept)
        limits = torch.tensor([0.5, 0.5, HALF_DEPTH], device=self.device)
        drawn = (2 * torch.rand(uvz.shape, generator=generator, device=self.device) - 1) * limits
        radius = self.objects(shape, view, drawn).norm(dim=-1)
        outside = radius > BALL_RADIUS
        return torch.where(outside[..., None], drawn, uvz), torch.where(outside, radius - SOLID_RADIUS, distance)

    def uniform_points(self, shape: int, view: int, count: int) -> tuple[Tensor, Tensor]:
        """The first uniform points of a shape that lie in a view's query volume: (n, 3) as (u, v, z), (n,) inside the solid."""
        number, pool = torch.tensor([shape], device=self.device), slice(self.near_count, None)
        uvz, _ = self.columns(number, torch.tensor([view], device=self.device), self.points[number, pool].float() / POINT_STEPS)
        inside = _in_volume(uvz)[0]
        return uvz[0, inside][:count], (self.signed_distance[shape, pool] < 0)[inside][:count]

    def _slice(self, shape: Tensor, count: int, first: int, last: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` neighbours of each shape's shuffled pool [first, last), from one random start: points, signed distances."""
        if count > last - first:
            raise TrainingError(f"points: expected at least {count} in the pool, found {last - first}")
        start = int(torch.randint(first, last - count + 1, (1,), generator=generator, device=self.device))
        pool = slice(start, start + count)
        return self.points[shape, pool].float() / POINT_STEPS, self.signed_distance[shape, pool]


def on_white(rgba: Tensor, image_size: int) -> Tensor:
    """(B, S, S, 4) uint8 straight alpha -> (B, 3, image_size, image_size) float32 in [0, 1], composed on white."""
    rgba = rgba.permute(0, 3, 1, 2).float() / 255
    image = rgba[:, :3] * rgba[:, 3:] + (1 - rgba[:, 3:])
    if image.shape[-1] != image_size:
        image = F.interpolate(image, (image_size, image_size), mode="bilinear", antialias=True)
    return image


def augment(images: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Photometric changes of finished pictures, white included: (B, 3, S, S) in [0, 1]; the result stays in [0, 1]."""
    batch, device = len(images), images.device
    exposure = 1 + config.brightness * (2 * torch.rand(batch, 1, 1, 1, generator=generator, device=device) - 1)
    balance = 1 + config.colour * torch.randn(batch, 3, 1, 1, generator=generator, device=device)
    images = images * exposure * balance
    if config.noise:
        sigma = config.noise * torch.rand(batch, 1, 1, 1, generator=generator, device=device)
        images = images + sigma * torch.randn(images.shape, generator=generator, device=device)
    return images.clamp(0, 1)


def _view_table(shapes: list[PreparedShape], camera: CameraKind, device: torch.device) -> ViewTable:
    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(shape, name) for shape in shapes])).float().to(device)

    pinhole = camera == "pinhole"
    distance, offset = stack("camera_distance"), stack("camera_offset")
    return ViewTable(
        rotation=stack("rotation"),
        scale=stack(f"{camera}_scale"),
        translation=stack(f"{camera}_translation"),
        distance=distance if pinhole else torch.full_like(distance, torch.inf),
        offset=offset if pinhole else torch.zeros_like(offset),
    )


def _in_volume(uvz: Tensor) -> Tensor:
    """(..., 3) -> (...) bool: whether the point lies in the query volume."""
    return (uvz[..., :2].abs() <= 0.5).all(-1) & (uvz[..., 2].abs() <= HALF_DEPTH)


def _first_inside(uvz: Tensor, count: int) -> Tensor:
    """(B, M, 3) -> (B, count) point numbers: those in the query volume first, then, if they are too few, others."""
    return (~_in_volume(uvz)).to(torch.uint8).argsort(dim=1, stable=True)[:, :count]

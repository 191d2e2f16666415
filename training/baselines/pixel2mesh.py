"""Pixel2Mesh (Wang et al., ECCV 2018): an ellipsoid that graph convolutions deform three times, finer each time.

After nywang16/Pixel2Mesh: p2m/models.py (three blocks of 14 graph convolutions, hidden 256, residual in pairs that are averaged;
the last block tapers over one of 128 more), p2m/layers.py (features where a vertex appears in the picture; edge midpoints),
p2m/losses.py (the losses and their weights).

What differs. The picture's features are our ResNet-18's C2..C5, 64 + 128 + 256 + 512 channels at strides 4 to 32 as in its own
network of 18 layers. A vertex appears at its own (u, v). The ellipsoid is an icosphere's of 162 vertices (642, 2562 when split),
where the paper's has 156 (628, 2466); its half axes are 0.8 of the query volume's. Each block predicts how far its vertices move,
at first not at all, where the paper's predicts where they are; that starts every run from a proper surface.

Here a picture's features and a vertex's coordinates and hidden state go through a block's first layer before they are sampled,
added up and split, not after: all these are linear, so the result is the same and costs a fraction.

B batch, N vertices, E edges, M points on the true surface, C channels, S image side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.encoder import STAGE_CHANNELS, ResNet18
from model.networks.point_features import sample_sum
from training.baselines.deformed_sphere import HALF_AXES, DeformedSphere, Int64Array, icosphere, subdivide
from training.baselines.nearest import nearest, pick
from training.baselines.widths import scaled
from training.data.dataset import Batch
from training.errors import TrainingError
from training.normalisation import normalise

LEVEL = 2  # of the icosphere to start from
CONVOLUTIONS = 14  # in each of three blocks

# The paper's lengths are 0.57 of ShapeNet's, in which a shape's box has the diagonal 1. Here that is about 1.15.
PAPER_LENGTH = 0.5
CHAMFER, TO_SURFACE = 3000.0, 0.55  # the second: weight of the predicted vertices' distances against that of the true points'
EDGE, NORMAL, LAPLACE, MOVE = 300.0, 0.5, 1500.0, 100.0
FIRST_LAPLACE = 0.1  # factor in the first block, which has farthest to go; it also moves freely


Refine = Callable[[Tensor], Tensor]  # values at a mesh's vertices -> at those of the mesh that is split from it


class MeshGraph(nn.Module):
    """A mesh's edges, as graph convolutions and losses need them. Vertices have up to 6 neighbours."""

    edges: Tensor  # (E, 2) int64, each once
    neighbours: Tensor  # (N, 6) int64, filled up with 0
    present: Tensor  # (N, 6) float32: 1 for a neighbour, 0 where filled up

    def __init__(self, edges: Int64Array) -> None:
        super().__init__()
        both = np.concatenate([edges, edges[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        degree = np.bincount(both[:, 0])
        slot = np.arange(len(both)) - np.repeat(np.cumsum(degree) - degree, degree)
        neighbours = np.zeros((len(degree), degree.max()), np.int64)
        neighbours[both[:, 0], slot] = both[:, 1]
        present = np.zeros(neighbours.shape, np.float32)
        present[both[:, 0], slot] = 1
        for name, values in (("edges", edges), ("neighbours", neighbours), ("present", present)):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def split(self, x: Tensor) -> Tensor:
        """Values at the vertices of the mesh with each edge halved: (B, N, C) -> (B, N + E, C), the edges' means last."""
        return torch.cat([x, x[:, self.edges].mean(dim=2)], dim=1)

    def sum(self, x: Tensor) -> Tensor:
        """Over neighbours, each weighted by 1 / sqrt(degree · its degree), as Kipf and Welling (2017): (B, N, C) -> same."""
        root = self.present.sum(1).rsqrt()
        weights = self.present * root[:, None] * root[self.neighbours]
        summed: Tensor = _NeighbourSum.apply(x, self.neighbours, weights.to(x.dtype))  # type: ignore[no-untyped-call]
        return summed

    def laplacian(self, x: Tensor) -> Tensor:
        """Each vertex less the plain mean of its neighbours: (B, N, 3) float32 -> same."""
        return x - (x[:, self.neighbours] * self.present[..., None]).sum(2) / self.present.sum(1)[:, None]


class _NeighbourSum(torch.autograd.Function):
    """A symmetric matrix of weights between neighbours, times x; so its gradient is the same product.

    `embedding_bag` takes a quarter of the time of six gathers, and a CPU's own gradient of it far longer than this.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, neighbours: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(neighbours, weights)
        return _weighted_sum(x, neighbours, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _weighted_sum(gradients[0], *ctx.saved_tensors), None, None


def _weighted_sum(x: Tensor, neighbours: Tensor, weights: Tensor) -> Tensor:
    """(B, N, C), (N, K), (N, K) -> (B, N, C)."""
    batch, count = x.shape[:2]
    rows = neighbours + count * torch.arange(batch, device=x.device)[:, None, None]  # (B, N, K)
    table, bags = x.reshape(batch * count, -1), rows.flatten(0, 1)
    summed = F.embedding_bag(bags, table, mode="sum", per_sample_weights=weights.repeat(batch, 1))
    return summed.view(x.shape)


class GraphConvolution(nn.Module):
    """A linear function of a vertex plus another one of its neighbours' sum."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(glorot(channels_in, channels_out))
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor, graph: MeshGraph) -> Tensor:
        """(B, N, channels_in) -> (B, N, channels_out)."""
        own, others = F.linear(x, self.weight).chunk(2, dim=-1)
        return own + graph.sum(others) + self.bias


def glorot(channels_in: int, channels_out: int) -> Tensor:
    """Weights of two linear functions, one below the other, each as Glorot and Bengio (2010): (2 channels_out, channels_in)."""
    weight = torch.empty(2 * channels_out, channels_in)
    for half in weight.chunk(2):
        nn.init.xavier_uniform_(half)
    return weight


class FirstConvolution(nn.Module):
    """A block's first graph convolution, of a vertex's coordinates, its hidden state and the picture's features."""

    def __init__(self, hidden: int, channels: int) -> None:
        super().__init__()
        widths = (3 + hidden, *STAGE_CHANNELS)
        together = glorot(sum(widths), channels)  # so that all inputs weigh alike
        vertex, *maps = (nn.Parameter(part.contiguous()) for part in torch.split(together, list(widths), dim=1))
        self.vertex, self.maps = vertex, nn.ParameterList(maps)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: list[Tensor], vertices: Tensor, hidden: Tensor, refine: Refine, graph: MeshGraph) -> Tensor:
        """[C2..C5], (B, N, 3), (B, N, C), and how both become values at the N' vertices of `graph` -> (B, N', channels)."""
        with torch.autocast(vertices.device.type, enabled=False):  # bfloat16 would round coordinates to two digits
            x = F.linear(torch.cat([vertices, hidden.float()], dim=-1), self.vertex)
        weighted = [F.conv2d(c, weight[:, :, None, None]) for c, weight in zip(maps, self.maps, strict=True)]
        own, others = refine(x + sample_sum(weighted, vertices[..., :2])).chunk(2, dim=-1)
        return own + graph.sum(others) + self.bias


@dataclass(frozen=True)
class Stage:
    """What a block did: vertices (B, N, 3) float32 (u, v, z) before and after, the hidden state (B, N, C), the mesh."""

    start: Tensor
    vertices: Tensor
    hidden: Tensor
    graph: MeshGraph


class Deformation(nn.Module):
    """One block: moves the vertices of `graph`. hidden: channels of the state that the block before hands on, or 0."""

    graph: MeshGraph

    def __init__(self, graph: MeshGraph, hidden: int, channels: int, convolutions: int, tapers: bool) -> None:
        super().__init__()
        self.graph = graph
        self.first = FirstConvolution(hidden, channels)
        self.inner = nn.ModuleList(GraphConvolution(channels, channels) for _ in range(convolutions - 2))
        self.taper = GraphConvolution(channels, channels // 2) if tapers else None
        self.last = GraphConvolution(channels // 2 if tapers else channels, 3)
        nn.init.zeros_(self.last.weight)

    def forward(self, maps: list[Tensor], vertices: Tensor, hidden: Tensor, refine: Refine) -> Stage:
        """[C2..C5], the block before's (B, N, 3) vertices and (B, N, C) state, and how both are refined for this one."""
        x = F.relu(self.first(maps, vertices, hidden, refine, self.graph))
        for one, other in zip(self.inner[::2], self.inner[1::2], strict=True):
            x = (x + F.relu(other(F.relu(one(x, self.graph)), self.graph))) / 2
        tapered = x if self.taper is None else F.relu(self.taper(x, self.graph))
        with torch.autocast(x.device.type, enabled=False):
            start = refine(vertices)
            return Stage(start, start + self.last(tapered.float(), self.graph), x, self.graph)


class Pixel2Mesh(DeformedSphere):
    """`width` scales the graph convolutions; the ResNet-18 stays whole. convolutions: in each block, even."""

    ellipsoid: Tensor

    def __init__(self, width: float = 1.0, convolutions: int = CONVOLUTIONS) -> None:
        if convolutions < 2 or convolutions % 2:
            raise TrainingError(f"convolutions: expected an even number, 2 or more, found {convolutions}")
        sphere, coarse = icosphere(LEVEL)
        coarse_edges, middle = subdivide(coarse)
        middle_edges, fine = subdivide(middle)
        super().__init__(fine)
        self.register_buffer("ellipsoid", torch.from_numpy(sphere * HALF_AXES).float(), persistent=False)
        self.backbone = ResNet18()
        channels = scaled(256, width)
        edges, hidden = (coarse_edges, middle_edges, subdivide(fine)[0]), (0, channels, channels)
        self.blocks = nn.ModuleList(
            Deformation(MeshGraph(edges[i]), hidden[i], channels, convolutions, tapers=i == 2) for i in range(3)
        )

    def deform(self, images: Tensor) -> list[Stage]:
        """(B, 3, S, S) normalised -> what the three blocks did."""
        maps = self.backbone(images)
        vertices = self.ellipsoid.expand(len(images), -1, -1)
        hidden, refine = vertices[..., :0], _unrefined
        stages: list[Stage] = []
        for block in self.blocks:
            stage = block(maps, vertices, hidden, refine)
            vertices, hidden, refine = stage.vertices, stage.hidden, stage.graph.split
            stages.append(stage)
        return stages

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The paper's loss, summed over the blocks; nothing to observe."""
        loss = batch.surface.new_zeros(())
        stages = self.deform(normalise(batch.images))
        with torch.autocast(loss.device.type, enabled=False):
            for number, stage in enumerate(stages):
                loss = loss + shape_loss(stage.vertices, stage.graph, batch.surface, batch.normals)
                loss = loss + smoothness_loss(stage.vertices - stage.start, stage.graph, first=number == 0)
        return loss, loss.new_zeros(0)

    def vertices(self, images: Tensor) -> Tensor:
        return self.deform(images)[-1].vertices


def shape_loss(vertices: Tensor, graph: MeshGraph, surface: Tensor, normals: Tensor) -> Tensor:
    """Chamfer distance, the edges' lengths, and their angles to the true normals: (B, N, 3), (B, M, 3) twice -> scalar."""
    to_surface = nearest(vertices, surface)
    chamfer = nearest(surface, vertices).squared.mean() + TO_SURFACE * to_surface.squared.mean()
    edges = vertices[:, graph.edges[:, 0]] - vertices[:, graph.edges[:, 1]]  # (B, E, 3)
    squares = CHAMFER * chamfer + EDGE * edges.square().sum(-1).mean()
    return PAPER_LENGTH**2 * squares + NORMAL * normal_loss(edges, pick(normals, to_surface.index[:, graph.edges[:, 0]]))


def normal_loss(edges: Tensor, normals: Tensor) -> Tensor:
    """Mean of the absolute cosines between edges and the unit normals at their starts: (B, E, 3) twice -> scalar."""
    return (F.normalize(edges, dim=-1) * normals).sum(-1).abs().mean()


def smoothness_loss(moves: Tensor, graph: MeshGraph, first: bool) -> Tensor:
    """How a block changes each vertex's place among its neighbours, and how far it moves it: (B, N, 3) -> scalar.

    The difference of two Laplacians is the Laplacian of the difference.
    """
    laplace = LAPLACE * graph.laplacian(moves).square().sum(-1).mean()
    if first:
        return PAPER_LENGTH**2 * FIRST_LAPLACE * laplace
    return PAPER_LENGTH**2 * (laplace + MOVE * moves.square().sum(-1).mean())


def _unrefined(x: Tensor) -> Tensor:
    return x

"""Slow, obvious twins of the clever routines, for tests to compare with."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from model.field import Float32, QueryGrid
from model.networks.occupancy_network import OccupancyNetwork

Float64 = npt.NDArray[np.float64]
Solid = Callable[[Float64], Float64]
"""(n, 3) points (u, v, z) -> (n,) signed distance, positive inside."""


def sample_map(feature_map: Tensor, uv: Tensor) -> Tensor:
    """(B, C, h, w) at (B, N, 2) column coordinates, by torch's own sampler -> (B, N, C)."""
    grid = (uv * torch.tensor([2.0, -2.0]))[:, :, None]  # grid_sample's y runs down, both run over [-1, 1]
    sampled = F.grid_sample(feature_map, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[..., 0].transpose(1, 2)


def point_logits(network: OccupancyNetwork, images: Tensor, points: Tensor) -> Tensor:
    """The paper's path: sample every map at every point, concatenate [z, p], five linear layers. (B, N, 3) -> (B, N)."""
    samples = [sample_map(feature_map, points[..., :2]) for feature_map in network.encoder(images)]
    x = torch.cat([*samples, points], dim=-1)
    x = x @ network.decoder.first.weight.T + network.decoder.first.bias
    for norm, linear in zip(network.decoder.norms, network.decoder.rest, strict=True):
        x = torch.where(x > 0, x, 0.02 * x)
        x = (x - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias
        x = x @ linear.weight.T + linear.bias
    return x[..., 0]


def soft_label(distance: float, s: float) -> float:
    """v(d, s), eq. 9 as the paper prints it, in double precision: usable while exp(-1/s) is a number."""
    d_star = 5 * math.sqrt(3)
    if distance > d_star:
        return 0.0
    n = math.exp(-1 / s)
    return -s * math.log((1 - n) / d_star * distance + n)


class AnalyticField:
    """An `OccupancyField` of a solid: soft over two voxels about its surface, 0.5 on it. Counts what it was asked."""

    def __init__(self, solid: Solid, resolution: int, observed: npt.NDArray[np.bool_] | None = None) -> None:
        self.grid = QueryGrid(resolution)
        self.observed = np.ones(self.grid.shape[:2], np.bool_) if observed is None else observed
        self.solid = solid
        self.asked = 0

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        self.asked += len(columns)
        u, v = np.divmod(columns, self.grid.resolution + 1)
        points = np.stack([u / self.grid.resolution - 0.5, v / self.grid.resolution - 0.5, depths], axis=1)
        steepness = 2 * self.solid(points) * self.grid.resolution
        return (1 / (1 + np.exp(-np.clip(steepness, -30, 30)))).astype(np.float32)


class NodeField:
    """An `OccupancyField` given by its values at the grid's nodes, (n_u, n_v, n_z) float32.

    Behind the last layer it says what it says there; asked between nodes, it fails. times_asked: (n_u, n_v, n_z) int, how often
    each node was asked; calls: how many points each query had, those behind the grid included.
    """

    def __init__(self, resolution: int, values: Float32, observed: npt.NDArray[np.bool_] | None = None) -> None:
        self.grid = QueryGrid(resolution)
        assert values.shape == self.grid.shape
        self.values = values.astype(np.float32, copy=False)
        self.observed = np.ones(self.grid.shape[:2], np.bool_) if observed is None else observed
        self.times_asked = np.zeros(self.grid.shape, np.int64)
        self.calls: list[int] = []

    @property
    def asked(self) -> int:
        return sum(self.calls)

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        layers = np.rint((depths.astype(np.float64) - self.grid.origin[2]) / self.grid.spacing).astype(np.int64)
        np.testing.assert_array_equal(self.grid.depth_of(layers), depths)
        last = self.grid.shape[2] - 1
        nodes = columns * (last + 1) + np.minimum(layers, last)
        np.add.at(self.times_asked.reshape(-1), nodes[layers <= last], 1)
        self.calls.append(len(nodes))
        return self.values.reshape(-1)[nodes]


def crossing_ends(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The nodes beside which, along any axis, one lies on the other side."""
    ends = np.zeros_like(inside)
    for axis in range(3):
        crossing = np.swapaxes(np.diff(inside, axis=axis), 0, axis)
        along = np.swapaxes(ends, 0, axis)  # a view
        along[:-1] |= crossing
        along[1:] |= crossing
    return ends


def node_iou(a: Float32, b: Float32, level: float) -> float:
    """IoU of two grids' nodes at or above the level."""
    in_a, in_b = a >= level, b >= level
    return float((in_a & in_b).sum() / (in_a | in_b).sum())


def chamfer_l1(a: Float64, b: Float64) -> float:
    """Half the sum of the mean distances from each point of one set to the nearest of the other, by all pairs."""
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    return 0.5 * float(distances.min(axis=1).mean() + distances.min(axis=0).mean())

"""Our method: what its loss adds up, and what its auxiliary head learns and leaves alone."""

import math

import pytest
import torch
import torch.nn.functional as F

from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
from training.configs import AugmentationConfig, AuxiliaryConfig, LabelConfig, PointsConfig
from training.data.dataset import ShapeSet
from training.occupancy import BEND, PixelAlignedOccupancy, depth_loss

TINY = NetworkConfig(pyramid_channels=8, decoder_widths=(8, 8, 8, 8))


def method_with(depth_weight: float) -> PixelAlignedOccupancy:
    torch.manual_seed(0)
    return PixelAlignedOccupancy(OccupancyNetwork(TINY), LabelConfig(rule="fixed"), AuxiliaryConfig(depth_weight=depth_weight))


@pytest.fixture(scope="module")
def batch(tiny_set):
    shapes = ShapeSet(tiny_set.files("train"), "pinhole", depth_cells=16)
    points = PointsConfig(near=50, uniform=50)
    return shapes.batch(4, points, AugmentationConfig(), 32, torch.Generator().manual_seed(0))


def test_the_depth_loss_is_smooth_l1_where_the_object_is_seen_and_nothing_elsewhere():
    depths = torch.full((1, 2, 2, 2), math.nan)
    depths[0, 0, 0, 0], depths[0, 1, 0, 0] = 0.3, -0.2
    predicted = torch.full((1, 2, 2, 2), 9.0)
    predicted[0, 0, 0, 0], predicted[0, 1, 0, 0] = 0.3 + 0.02, -0.2 - 0.5
    expected = (0.5 * 0.02**2 / BEND + (0.5 - 0.5 * BEND)) / 2
    assert float(depth_loss(predicted, depths)) == pytest.approx(expected, rel=1e-5)


def test_the_depth_loss_is_added_with_its_weight(batch):
    plain, weighted = (method_with(weight).eval() for weight in (0.0, 2.5))
    weighted.network.load_state_dict(plain.network.state_dict())
    with torch.inference_mode():
        head = weighted.depth_head(weighted.network.encoder((batch.images - _mean()) / _std())[0])
        difference = float(weighted(batch)[0] - plain(batch)[0])
    assert difference == pytest.approx(2.5 * float(depth_loss(head, batch.depths)), rel=1e-4)


def test_descent_on_the_depth_loss_brings_front_and_back_where_they_are(batch):
    method = method_with(1.0)
    optimiser = torch.optim.Adam(method.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        images = (batch.images - _mean()) / _std()
        loss = depth_loss(method.depth_head(method.network.encoder(images)[0]), batch.depths)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]


def test_the_head_is_no_part_of_what_is_shipped():
    assert set(method_with(1.0).network.state_dict()) == set(method_with(0.0).network.state_dict())


def test_labels_follow_the_hardness():
    method = method_with(0.0)
    near = torch.tensor([[-3.0, 0.0, 2.0, 20.0]])
    assert F.l1_loss(method.labels(near)[0, :2], torch.ones(2)) < 1e-6
    assert 0 < float(method.labels(near)[0, 2]) < 1
    assert float(method.labels(near)[0, 3]) == 0


def _mean() -> torch.Tensor:
    return torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)


def _std() -> torch.Tensor:
    return torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

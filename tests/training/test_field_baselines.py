"""OccNet, IM-NET and DISN: their papers' sizes, their laws, and that each can learn one part from one view."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from model.field import QueryGrid
from model.mesh import Mesh
from model.networks.point_features import sample_sum
from training.baselines import NAMES, build_baseline
from training.baselines.disn import DISN, Stream
from training.baselines.imnet import IMNet, PointDecoder, ViewEncoder, inverted_grey, leaky_clip
from training.baselines.occnet import ConditionalDecoder, OccNet
from training.baselines.widths import scaled
from training.configs import AugmentationConfig, BaselineConfig, PointsConfig
from training.data.dataset import Batch, ShapeSet
from training.errors import TrainingError
from training.method import FieldMethod
from training.normalisation import normalise

WIDTH = 0.125
METHODS = [OccNet, IMNet, DISN]
STEPS, RATES = {OccNet: 100, IMNet: 150, DISN: 150}, {OccNet: 3e-3, IMNet: 3e-3, DISN: 4e-3}
RESNET18 = 11_689_512 - 512 * 1000 - 1000  # torchvision's, without its classifier


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def linear(channels_in: int, channels_out: int) -> int:
    return channels_in * channels_out + channels_out


def field_batch(images: torch.Tensor, points: torch.Tensor, distance: torch.Tensor) -> Batch:
    """A batch with nothing but what a field learns from."""
    none = torch.zeros(len(images), 0, 3)
    return Batch(images, points, distance, none, none, depths=torch.zeros(len(images), 2, 0, 0))


def random_batch(size: int = 2, image_size: int = 64, points: int = 12) -> Batch:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(size, 3, image_size, image_size, generator=generator)
    uvz = torch.rand(size, points, 3, generator=generator) - 0.5
    distance = 40 * torch.randn(size, points, generator=generator)
    return field_batch(images, uvz, distance)


def shaken(method: nn.Module) -> nn.Module:
    """The method with no weight at zero, so that nothing is ignored merely because training has not begun; for judging."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return method.eval()


# Sizes.


def test_occnet_at_width_one_has_the_papers_parameters():
    """Norms: a scale and a shift linear in the code of 256 each; 2 of them and 2 layers a block."""
    norm, layer = 2 * linear(256, 256), linear(256, 256)
    decoder = linear(3, 256) + 5 * (2 * norm + 2 * layer) + norm + linear(256, 1)
    assert count(OccNet().decoder) == decoder
    assert count(OccNet()) == RESNET18 + linear(512, 256) + decoder == 13_414_465


def test_imnets_decoder_at_width_one_has_the_papers_parameters():
    widths = [256 + 3, 1024, 1024, 1024, 512, 256, 128, 1]
    assert count(PointDecoder(1.0)) == sum(linear(a, b) for a, b in pairwise(widths))


def test_imnets_encoder_at_width_one_has_the_papers_parameters():
    plain = sum(repeats * 9 * c * c + repeats * 2 * c for c, repeats in ((64, 4), (128, 3), (256, 3), (512, 3)))
    widening = sum(9 * c * (c // 2) + 2 * c + c * (c // 2) + 2 * c for c in (128, 256, 512))
    ends = 49 * 64 + 2 * 64 + 16 * 512 * 512 + 2 * 512 + 16 * 512 * 256 + 256
    assert count(ViewEncoder(1.0)) == plain + widening + ends


def test_disns_streams_at_width_one_have_the_papers_parameters():
    """But for the local feature, which has 960 channels of a ResNet-18 in place of 1472 of a VGG-16."""

    def stream(feature: int) -> int:
        return linear(3, 64) + linear(64, 256) + linear(256, 512) + linear(512 + feature, 512) + linear(512, 256) + linear(256, 1)

    method = DISN()
    assert count(method.of_code) + count(method.join_code) == stream(1024)
    assert count(method.of_maps) + count(method.join_maps) == stream(64 + 128 + 256 + 512)


@pytest.mark.parametrize(("channels", "width", "expected"), [(256, 1, 256), (256, 0.3, 80), (64, 0.01, 8), (1024, 0.5, 512)])
def test_channels_are_scaled_to_multiples_of_eight(channels, width, expected):
    assert scaled(channels, width) == expected


# What goes in, what comes out.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("image_size", [64, 128])
def test_the_field_answers_points_with_probabilities_for_a_picture_of_any_size(method, image_size):
    network = shaken(method(WIDTH))
    batch = random_batch(1, image_size)
    with torch.no_grad():
        values = network.field(normalise(batch.images))(10 * batch.points)
    assert values.shape == (1, 12)
    assert values.dtype == torch.float32
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_a_scalar_that_reaches_every_weight(method):
    network = shaken(method(WIDTH)).train()
    loss, sums = network(random_batch())
    loss.backward()
    assert loss.shape == ()
    assert sums.dtype == torch.float32
    unreached = [name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert unreached == []


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_moves_the_loss_little(method):
    torch.manual_seed(1)
    network, batch = method(WIDTH), random_batch()
    exact, _ = network(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = network(batch)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_a_state_dict_holds_all_there_is(method):
    torch.manual_seed(0)
    one = shaken(method(WIDTH))
    one.train()(random_batch())  # moves the norms' statistics
    other = method(WIDTH)
    other.load_state_dict(one.state_dict())
    image, points = normalise(random_batch(1).images), random_batch(1).points
    with torch.no_grad():
        assert torch.equal(one.eval().field(image)(points), other.eval().field(image)(points))


# Laws.


def test_occnets_loss_is_the_sum_over_points_and_the_mean_over_views():
    torch.manual_seed(2)
    network, batch = OccNet(WIDTH).eval(), random_batch()
    with torch.no_grad():
        loss, _ = network(batch)
        total = 0.0
        for view in range(2):
            inside = network.field(normalise(batch.images[view : view + 1]))(batch.points[view : view + 1])[0].tolist()
            total -= sum(math.log(p if d <= 0 else 1 - p) for p, d in zip(inside, batch.distance[view].tolist(), strict=True))
    assert loss.item() == pytest.approx(total / 2, rel=1e-4)


def test_occnets_blocks_start_as_the_identity_and_its_decoder_deaf_to_the_code():
    torch.manual_seed(2)
    decoder = ConditionalDecoder(8, 16)
    x, points, codes = torch.randn(2, 12, 16), random_batch().points, torch.randn(2, 2, 8)
    assert all(torch.equal(block(x, codes[0]), x) for block in decoder.blocks)
    assert torch.equal(decoder(points, codes[0]), decoder(points, codes[1]))
    shaken(decoder)
    assert not torch.allclose(decoder(points, codes[0]), decoder(points, codes[1]), rtol=0.01)


def test_imnets_clip_is_the_identity_inside_and_leaks_a_hundredth_outside():
    x = torch.tensor([-2.0, 0.0, 0.25, 1.0, 3.0])
    torch.testing.assert_close(leaky_clip(x), torch.tensor([-0.02, 0.0, 0.25, 1.0, 1.02]))


def test_imnet_sees_white_as_nothing_and_black_as_one():
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[..., None, None].expand(-1, -1, 2, 2)
    grey = inverted_grey(normalise(colours))[:, 0, 0, 0]
    torch.testing.assert_close(grey, torch.tensor([0.0, 1, 1 - 0.299, 1 - 0.587, 1 - 0.114]), atol=1e-6, rtol=0)


def test_imnets_code_lies_between_0_and_1_and_its_decoder_is_one_on_code_and_point_together():
    torch.manual_seed(4)
    network, batch = shaken(IMNet(WIDTH)), random_batch(1)
    with torch.no_grad():
        code = network.encode(normalise(batch.images))
        assert code.min() > 0
        assert code.max() < 1
        decoder = network.decoder
        weight = torch.cat([decoder.of_code.weight, decoder.of_point.weight], dim=1)
        x = torch.cat([code.expand(12, -1), batch.points[0]], dim=1) @ weight.T + decoder.of_code.bias
        for layer in decoder.rest:
            x = layer(nn.functional.leaky_relu(x, 0.02))
        torch.testing.assert_close(decoder(batch.points, code)[0], leaky_clip(x[:, 0]), atol=1e-6, rtol=1e-5)


def test_disns_streams_are_the_papers_concatenations():
    """The twin samples the backbone's own maps, joins them with the point's MLP, and applies one layer to both."""
    torch.manual_seed(4)
    network, batch = shaken(DISN(WIDTH)), random_batch(1)
    image, points = normalise(batch.images), batch.points

    def head(stream: Stream, feature: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([stream.points(stream.first(points)), feature.expand(1, 12, -1)], dim=-1)
        both = torch.cat([stream.join.weight, weight], dim=1)
        return stream.head(joined @ both.T + stream.join.bias)[..., 0]

    with torch.no_grad():
        maps = network.backbone(image)
        code = network.project(maps[-1].mean(dim=(2, 3)))[:, None]
        local = torch.cat([sample_sum([m], points[..., :2]) for m in maps], dim=-1)
        weight = torch.cat([join.weight[..., 0, 0] for join in network.join_maps], dim=1)
        expected = head(network.of_code, code, network.join_code.weight) + head(network.of_maps, local, weight)
        torch.testing.assert_close(network.decode(*network.encode(image), points), expected, atol=1e-4, rtol=1e-4)


def test_disns_half_is_where_its_distance_is_zero_and_its_ends_where_it_is_truncated(monkeypatch):
    network = DISN(WIDTH).eval()
    answers = torch.tensor([[-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]])
    monkeypatch.setattr(network, "decode", lambda code, maps, points: answers)
    values = network.field(normalise(random_batch(1).images))(torch.zeros(1, 7, 3))
    torch.testing.assert_close(values, torch.tensor([[1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]]))


def test_disns_loss_weighs_inside_and_near_four_times_and_truncates_far(monkeypatch):
    """Errors of an answer of 0 everywhere: 10 sdf, at most 1; 2.56 voxels are a hundredth of the crop."""
    network, batch = DISN(WIDTH), random_batch(1, points=5)
    distance = torch.tensor([[-128.0, -5.12, 2.0, 5.12, 128.0]])
    monkeypatch.setattr(network, "decode", lambda code, maps, points: torch.zeros(1, 5))
    loss, _ = network(field_batch(batch.images.repeat(2, 1, 1, 1), batch.points, distance))
    assert loss.item() == pytest.approx((4 * 1 + 4 * 0.2 + 4 * 20 / 256 + 0.2 + 1) / 5)


def test_disns_local_feature_follows_the_pixel_and_not_the_depth():
    network, batch = shaken(DISN(WIDTH)), random_batch(1)
    with torch.no_grad():
        _, maps = network.encode(normalise(batch.images))
        here, deeper = batch.points, batch.points + torch.tensor([0, 0, 0.2])
        aside = batch.points + torch.tensor([0.2, 0, 0])
        assert torch.equal(sample_sum(maps, here[..., :2]), sample_sum(maps, deeper[..., :2]))
        assert not torch.allclose(sample_sum(maps, here[..., :2]), sample_sum(maps, aside[..., :2]), rtol=0.01)


class FixedMaps(nn.Module):
    """In place of a backbone: the maps of one picture for every picture."""

    def __init__(self, maps: list[torch.Tensor]) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, images: torch.Tensor) -> Any:
        return [m.repeat_interleave(len(images), dim=0) for m in self.maps]


class FixedCode(FixedMaps):
    """In place of an encoder: the code of one picture for every picture."""

    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images)[0]


def test_moving_what_the_backbone_saw_changes_disns_field_and_not_occnets():
    """A global code does not know where in the picture something was; a sampled feature does."""
    generator = torch.Generator().manual_seed(6)
    maps = [torch.randn(1, c, s, s, generator=generator) for c, s in ((64, 16), (128, 8), (256, 4), (512, 2))]
    moved = [m.roll(1, dims=-1) for m in maps]
    image, points = normalise(random_batch(1).images), random_batch(1).points

    def change(method: FieldMethod) -> float:
        fields = []
        for seen in (maps, moved):
            method.backbone = FixedMaps(seen)
            with torch.no_grad():
                fields.append(method.field(image)(points))
        return float((fields[0] - fields[1]).abs().max())

    torch.manual_seed(0)
    assert change(shaken(OccNet(WIDTH))) < 1e-6
    assert change(shaken(DISN(WIDTH))) > 0.01


# Learning.

CENTRE, HALF_SIDES = torch.tensor([0.05, -0.1, 0.1]), torch.tensor([0.4, 0.3, 0.45])  # a box in (u, v, z), off the middle


def labelled_points(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, count, 3) uniform in the query volume, and their signed distances to the box in voxels, (1, count)."""
    points = (torch.rand(1, count, 3, generator=generator) - 0.5) * torch.tensor([1, 1, 1.5])
    beyond = (points - CENTRE).abs() - HALF_SIDES
    return points, 256 * (beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0))


def volume(mesh: Mesh) -> float:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def is_watertight(mesh: Mesh) -> bool:
    """Each directed edge once, and its opposite too."""
    edges = [(int(face[i]), int(face[(i + 1) % 3])) for face in mesh.faces for i in range(3)]
    return len(edges) == len(set(edges)) and {(b, a) for a, b in edges} == set(edges)


def teach(network: FieldMethod, image: torch.Tensor, steps: int, rate: float) -> None:
    """Adam under a cosine, fresh points each step; what sees the picture, the costly part, stays as it is."""
    with torch.no_grad():
        if isinstance(network, IMNet):
            network.encoder = FixedCode([network.eval().encode(normalise(image))])
        else:
            network.backbone = FixedMaps(network.backbone.eval()(normalise(image)))
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        loss, _ = network(field_batch(image, *labelled_points(1024, generator)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    network.eval()


@pytest.mark.parametrize(("method", "width"), [(OccNet, WIDTH), (IMNet, WIDTH), (DISN, 0.25)])
def test_each_method_learns_a_box_from_one_view(method, width):
    """Judged at points it has not seen, and by its mesh."""
    torch.manual_seed(0)
    network, image = method(width), torch.ones(1, 3, 64, 64)
    image[..., 13:52, 9:61] = 0.5
    teach(network, image, STEPS[method], RATES[method])
    points, distance = labelled_points(4096, torch.Generator().manual_seed(1))
    with torch.no_grad():
        inside, truth = network.field(normalise(image))(points) > network.level, distance <= 0
    assert (inside & truth).sum() > 0.7 * (inside | truth).sum()
    grid = QueryGrid(32)
    mesh = network.surface(normalise(image), grid, np.ones(grid.shape[:2], np.bool_))
    assert is_watertight(mesh)
    assert volume(mesh) == pytest.approx(float(8 * HALF_SIDES.prod()), rel=0.3)
    np.testing.assert_allclose((mesh.vertices.max(0) + mesh.vertices.min(0)) / 2, CENTRE, atol=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_a_prepared_shapes_batch_has_all_that_a_method_needs(method, tiny_set):
    shapes = ShapeSet(tiny_set.files("train"), "pinhole")
    batch = shapes.batch(2, PointsConfig(near=20, uniform=10), AugmentationConfig(), 64, torch.Generator().manual_seed(0))
    loss, _ = method(WIDTH)(batch)
    assert torch.isfinite(loss)


# Building one.


@pytest.mark.parametrize(("name", "method"), [("occnet", OccNet), ("imnet", IMNet), ("disn", DISN)])
def test_a_baseline_is_built_by_its_name_at_its_width(name, method):
    built = build_baseline(BaselineConfig(name=name, width=WIDTH))
    assert type(built) is method
    assert count(built) == count(method(WIDTH))


def test_an_unknown_baseline_is_refused_in_words():
    with pytest.raises(ValidationError):
        BaselineConfig(name="nerf")
    config = BaselineConfig(name="occnet")
    object.__setattr__(config, "name", "nerf")  # as only a caller around the run file could
    with pytest.raises(TrainingError, match=r"expected one of occnet, .*, pixel2mesh, found 'nerf'"):
        build_baseline(config)


def test_the_names_are_those_that_a_run_may_give():
    assert all(BaselineConfig(name=name).name == name for name in NAMES)

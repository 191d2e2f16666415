"""Encoder, point features and decoder, beside torch's own routines and the plain path of the paper."""

import pytest
import torch
import torch.nn.functional as F

from model.networks.decoder import Decoder
from model.networks.encoder import ImageEncoder, ResNet18, load_backbone_weights
from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
from model.networks.point_features import sample_sum, tent_weights
from tests import reference

VARIANTS = ("global", "backbone", "pyramid")

# torchvision's ResNet-18 without its classifier, written out by hand.
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
STAGES = {"layer1": (64, 64), "layer2": (64, 128), "layer3": (128, 256), "layer4": (256, 512)}


def torchvision_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name: str, width: int) -> None:
        shapes.update({f"{name}.{entry}": () if entry == "num_batches_tracked" else (width,) for entry in NORM})

    norm("bn1", 64)
    for stage, (before, width) in STAGES.items():
        for block in (0, 1):
            shapes[f"{stage}.{block}.conv1.weight"] = (width, before if block == 0 else width, 3, 3)
            shapes[f"{stage}.{block}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{stage}.{block}.bn1", width)
            norm(f"{stage}.{block}.bn2", width)
        if stage != "layer1":
            shapes[f"{stage}.0.downsample.0.weight"] = (width, before, 1, 1)
            norm(f"{stage}.0.downsample.1", width)
    return shapes


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def small_network(variant: str) -> OccupancyNetwork:
    """In evaluation mode, with batch norms whose statistics and weights are none of the defaults."""
    network = OccupancyNetwork(NetworkConfig(variant=variant, pyramid_channels=8, decoder_widths=(16, 12, 10, 8)))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    for linear in (network.decoder.first, *network.decoder.rest):
        torch.nn.init.normal_(linear.weight, 0, 2 / linear.in_features**0.5)  # so that points differ
    return network.eval()


def test_the_backbone_has_torchvisions_names_and_shapes():
    found = {name: tuple(value.shape) for name, value in ResNet18().state_dict().items()}
    assert found == torchvision_shapes()
    assert found["layer4.1.bn2.running_var"] == (512,)


def test_public_backbone_weights_load_without_their_classifier():
    encoder = ImageEncoder("pyramid", 8)
    public = {name: torch.full(shape, 0.5) for name, shape in torchvision_shapes().items()}
    load_backbone_weights(encoder, {**public, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)})
    assert encoder.backbone.state_dict()["layer3.0.downsample.0.weight"].unique().tolist() == [0.5]


def test_backbone_weights_of_another_network_are_refused():
    with pytest.raises(RuntimeError, match="layer4"):
        load_backbone_weights(
            ImageEncoder("pyramid", 8), {n: torch.zeros(s) for n, s in torchvision_shapes().items() if "layer4" not in n}
        )


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("global", [(2, 8, 1, 1)]),
        ("backbone", [(2, 64, 16, 16), (2, 128, 8, 8), (2, 256, 4, 4), (2, 512, 2, 2)]),
        ("pyramid", [(2, 8, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4), (2, 8, 2, 2)]),
    ],
)
def test_each_variant_has_its_maps(variant, expected):
    encoder = ImageEncoder(variant, 8).eval()
    with torch.inference_mode():
        assert [tuple(m.shape) for m in encoder(torch.randn(2, 3, 64, 64))] == expected
    assert list(encoder.map_channels) == [shape[1] for shape in expected]


def test_the_pyramid_accepts_sides_that_strides_do_not_divide():
    with torch.inference_mode():
        shapes = [tuple(m.shape[-2:]) for m in ImageEncoder("pyramid", 8).eval()(torch.randn(1, 3, 72, 72))]
    assert shapes == [(18, 18), (9, 9), (5, 5), (3, 3)]


def test_what_the_coarsest_map_sees_reaches_the_finest_one():
    """The top-down path: a change of the last lateral alone changes every level."""
    encoder = ImageEncoder("pyramid", 8).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = encoder(image)
        encoder.neck.lateral[3].bias += 1
        after = encoder(image)
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_global_feature_is_the_same_at_every_point():
    network = small_network("global")
    uv = torch.rand(1, 50, 2) * 1.2 - 0.6
    with torch.inference_mode():
        features = sample_sum(network.encode(torch.randn(1, 3, 64, 64)), uv)
    torch.testing.assert_close(features, features[:, :1].expand_as(features))


@pytest.mark.parametrize("sizes", [[(1, 1)], [(5, 7)], [(16, 16), (8, 8), (4, 4), (2, 2)]])
def test_sample_sum_is_the_sum_of_torchs_bilinear_samples(sizes):
    maps = [torch.randn(3, 6, *size) for size in sizes]
    uv = torch.rand(3, 200, 2) * 1.4 - 0.7  # also outside, where the border value holds
    expected = torch.stack([reference.sample_map(m, uv) for m in maps]).sum(0)
    torch.testing.assert_close(sample_sum(maps, uv), expected, atol=2e-6, rtol=1e-5)


def test_v_points_up_while_image_rows_run_down():
    rows = torch.arange(4.0).view(1, 1, 4, 1).expand(1, 1, 4, 4)
    top, bottom = sample_sum([rows], torch.tensor([[[0.0, 0.5], [0.0, -0.5]]]))[0, :, 0]
    assert (float(top), float(bottom)) == (0.0, 3.0)


@pytest.mark.parametrize("cells", [1, 2, 7, 32])
def test_tent_weights_are_torchs_sampler_along_one_axis(cells):
    positions = torch.rand(100) * 1.4 - 0.7
    weights = tent_weights(positions, cells)
    torch.testing.assert_close(weights.sum(1), torch.ones(100))
    line = torch.randn(1, 3, 1, cells)
    uv = torch.stack([positions, torch.zeros(100)], dim=1)[None]
    torch.testing.assert_close(weights @ line[0, :, 0].T, reference.sample_map(line, uv)[0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_projecting_before_sampling_equals_the_papers_path(variant):
    network = small_network(variant)
    images, points = torch.randn(2, 3, 64, 64), torch.rand(2, 300, 3) * 1.2 - 0.6
    with torch.inference_mode():
        found, expected = network(images, points), reference.point_logits(network, images, points)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_points_of_one_image_do_not_meet_another():
    network = small_network("pyramid")
    images, points = torch.randn(2, 3, 64, 64), torch.rand(2, 40, 3) - 0.5
    with torch.inference_mode():
        together = network(images, points)
        apart = torch.cat([network(images[i : i + 1], points[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)


def test_every_weight_learns():
    network = small_network("pyramid").train()
    logits = network(torch.randn(2, 3, 64, 64), torch.rand(2, 100, 3) - 0.5)
    F.binary_cross_entropy_with_logits(logits, torch.rand(2, 100)).backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().max() > 0]
    assert still == []


def test_a_decoder_of_another_depth_is_refused():
    with pytest.raises(ValueError, match=r"expected 4 hidden widths, got \[8, 8\]"):
        Decoder([8], [8, 8])

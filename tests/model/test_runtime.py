"""The exported graphs, column by column, beside the point-wise network in torch."""

import dataclasses

import numpy as np
import onnxruntime as ort
import pytest
import torch

from model.camera import HALF_DEPTH
from model.errors import BundleError, Cancelled, ProviderError
from model.field import QueryGrid, query_densely
from model.hierarchy import query_hierarchically
from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
from model.runtime import onnx_field, sessions
from model.runtime.bundle import DECODER, ENCODER, read_bundle
from model.runtime.onnx_field import CHUNK, OnnxNetwork
from model.runtime.sessions import open_session
from tests import reference
from training.checkpoints import load_checkpoint, network_of
from training.graphs import decoder_bytes, encoder_bytes

TOLERANCE = 1e-4  # probability


@pytest.fixture(scope="module")
def exported(tiny_bundle) -> OnnxNetwork:
    return OnnxNetwork.load(read_bundle(tiny_bundle), "cpu", threads=1)


@pytest.fixture(scope="module")
def in_torch(tiny_checkpoint) -> OccupancyNetwork:
    return network_of(load_checkpoint(tiny_checkpoint))[0]


@pytest.fixture
def image(rng):
    return rng.standard_normal((1, 3, 64, 64), dtype=np.float32)


def everywhere(grid: QueryGrid) -> np.ndarray:
    return np.ones(grid.shape[:2], np.bool_)


def random_points(grid: QueryGrid, count: int, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, depths, and the same points as (1, n, 3)."""
    columns = rng.integers(0, (grid.resolution + 1) ** 2, count)
    depths = rng.uniform(-HALF_DEPTH, HALF_DEPTH, count).astype(np.float32)
    u, v = np.divmod(columns, grid.resolution + 1)
    points = np.stack([u / grid.resolution - 0.5, v / grid.resolution - 0.5, depths], axis=1)
    return columns, depths, points.astype(np.float32)[None]


def twin(network: OccupancyNetwork, image: np.ndarray, points: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return torch.sigmoid(reference.point_logits(network, torch.from_numpy(image), torch.from_numpy(points)))[0].numpy()


@pytest.mark.parametrize("resolution", [32, 40, 72])
def test_columns_agree_with_the_point_wise_twin(exported, in_torch, image, rng, resolution):
    grid = QueryGrid(resolution)
    columns, depths, points = random_points(grid, 2000, rng)
    expected = twin(in_torch, image, points)
    assert 0.1 < (expected > 0.5).mean() < 0.9
    found = exported.encode(image, grid, everywhere(grid)).query(columns, depths)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def unlike_any_default(variant: str, image: torch.Tensor) -> OccupancyNetwork:
    """A network whose weights and statistics are none of the defaults, with logits of mean 0 and deviation 2 for `image`."""
    torch.manual_seed(0)
    network = OccupancyNetwork(NetworkConfig(variant=variant, pyramid_channels=8, decoder_widths=(16, 12, 10, 8)))
    decoder = network.decoder
    for linear in (decoder.first, *decoder.rest):
        torch.nn.init.normal_(linear.weight, 0, 2 / linear.in_features**0.5)
    for norm in decoder.norms:
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 1.5)
    network.eval()
    with torch.no_grad():
        strongest = max(float(feature_map.abs().max()) for feature_map in network.encode(image))
        decoder.first.weight[:, :-3] *= 5 / strongest
        decoder.first.weight[:, -3:] *= 5
        logits = network(image, torch.rand(1, 1000, 3) - 0.5)
        decoder.rest[-1].weight *= 2 / logits.std()
        decoder.rest[-1].bias += -network(image, torch.rand(1, 1000, 3) - 0.5).mean()
    return network


@pytest.mark.parametrize("variant", ["global", "backbone", "pyramid"])
def test_each_variant_survives_the_export(variant, rng, image, tmp_path):
    """With weights under which the picture, u and v all matter, so that a swapped axis could not hide."""
    network = unlike_any_default(variant, torch.from_numpy(image))
    (tmp_path / ENCODER).write_bytes(encoder_bytes(network, 64, half=False))
    (tmp_path / DECODER).write_bytes(decoder_bytes(network, half=False))
    exported = OnnxNetwork(*(open_session(tmp_path / file, "cpu", threads=1) for file in (ENCODER, DECODER)))
    grid = QueryGrid(40)
    columns, depths, points = random_points(grid, 1500, rng)
    expected = twin(network, image, points)
    assert expected.std() > 0.05
    np.testing.assert_allclose(exported.encode(image, grid, everywhere(grid)).query(columns, depths), expected, atol=TOLERANCE)


def test_pictures_do_not_mix(exported, rng):
    """Two fields open at the same time answer as each alone does."""
    grid = QueryGrid(32)
    columns, depths, _ = random_points(grid, 500, rng)
    images = rng.standard_normal((2, 1, 3, 64, 64), dtype=np.float32) * np.float32(3)
    alone = [exported.encode(one, grid, everywhere(grid)).query(columns, depths) for one in images]
    first, second = (exported.encode(one, grid, everywhere(grid)) for one in images)
    np.testing.assert_array_equal(second.query(columns, depths), alone[1])
    np.testing.assert_array_equal(first.query(columns, depths), alone[0])
    assert not np.array_equal(*alone)


@pytest.mark.parametrize("count", [0, 1, 2, CHUNK - 1, CHUNK + 1, 2 * CHUNK])
def test_any_number_of_points_is_answered_in_order(exported, image, rng, count):
    grid = QueryGrid(32)
    field = exported.encode(image, grid, everywhere(grid))
    columns, depths, _ = random_points(grid, 2 * CHUNK, rng)
    np.testing.assert_allclose(field.query(columns[:count], depths[:count]), field.query(columns, depths)[:count], atol=1e-6)


def test_strided_arguments_are_accepted(exported, image, rng):
    grid = QueryGrid(32)
    field = exported.encode(image, grid, everywhere(grid))
    columns, depths, _ = random_points(grid, 100, rng)
    np.testing.assert_allclose(field.query(columns[::-2], depths[::-2]), field.query(columns, depths)[::-2], atol=1e-6)


def test_a_query_stops_between_chunks_when_nobody_waits(exported, image, monkeypatch):
    monkeypatch.setattr(onnx_field, "CHUNK", 10)
    asked = iter([False, False, True])
    grid = QueryGrid(32)
    field = exported.encode(image, grid, everywhere(grid), cancelled=lambda: next(asked))
    with pytest.raises(Cancelled, match="nobody waits"):
        field.query(np.zeros(100, np.int64), np.zeros(100, np.float32))


@pytest.mark.parametrize("resolution", [40, 128])
def test_hierarchical_and_dense_grids_of_a_network_agree(exported, image, resolution):
    grid = QueryGrid(resolution)
    lateral = grid.lateral
    field = exported.encode(image, grid, np.hypot(lateral[:, None], lateral[None]) < 0.3)
    assert reference.node_iou(query_hierarchically(field, 0.5), query_densely(field), 0.5) >= 0.999


def test_the_session_says_where_it_runs_and_why(exported):
    assert (exported.encoder.provider, exported.encoder.reason) == ("CPUExecutionProvider", "the CPU was asked for")
    assert exported.encoder.device_type == "cpu"


def test_without_cuda_auto_falls_back_and_cuda_is_refused(tiny_bundle, monkeypatch):
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    session = open_session(tiny_bundle / DECODER, "auto", threads=1)
    assert (session.provider, session.reason) == ("CPUExecutionProvider", "this onnxruntime is built without CUDA")
    with pytest.raises(ProviderError, match="expected onnxruntime with CUDA"):
        open_session(tiny_bundle / DECODER, "cuda")


def test_a_gpu_that_is_not_usable_is_told_from_a_build_without_one(tiny_bundle, monkeypatch):
    """A session falls back to the CPU silently; what it really got is what counts."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None)
    whole = ort.InferenceSession
    monkeypatch.setattr(ort, "InferenceSession", lambda path, options, providers: whole(path, options, providers=providers[-1:]))
    assert open_session(tiny_bundle / DECODER, "auto", threads=1).reason == "no CUDA device is usable"
    with pytest.raises(ProviderError, match="expected a usable CUDA device, found none"):
        open_session(tiny_bundle / DECODER, "cuda", threads=1)


def test_two_wheels_of_onnx_runtime_are_refused(tiny_bundle, monkeypatch):
    monkeypatch.setattr(sessions, "_is_installed", lambda distribution: True)
    with pytest.raises(ProviderError, match="found both installed"):
        open_session(tiny_bundle / DECODER)


def test_a_file_that_is_no_graph_is_a_bundle_error(tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"encoder\.onnx: expected a graph that ONNX Runtime"):
        open_session(tmp_path / "encoder.onnx", "cpu")


def test_fields_are_plain_data(exported, image):
    field = exported.encode(image, QueryGrid(32), everywhere(QueryGrid(32)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        field.grid = QueryGrid(64)

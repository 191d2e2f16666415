"""The exported graphs, column by column, beside the point-wise network in torch."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as states

from model.camera import HALF_DEPTH
from model.errors import BundleError, Cancelled, ProviderError
from model.field import QueryGrid, query_densely
from model.hierarchy import query_hierarchically
from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
from model.runtime import onnx_field, sessions
from model.runtime.bundle import DECODER, DECODER_HALF, ENCODER, read_bundle
from model.runtime.calibration import fastest_size
from model.runtime.engine import Engine
from model.runtime.onnx_field import (
    CPU_BATCH,
    CPU_CHUNKS,
    CUDA_BATCH,
    CUDA_CHUNKS,
    DEFAULT_CHUNK,
    OnnxField,
    OnnxNetwork,
)
from model.runtime.sessions import CPU, CUDA, Session, open_session
from model.runtime.turns import AtOnce
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


def test_on_a_cpu_a_batch_changes_no_bit(exported, rng):
    """Neither of a plane nor of what the decoder makes of it."""
    grid = QueryGrid(32)
    columns, depths, _ = random_points(grid, 500, rng)
    images = rng.standard_normal((3, 3, 64, 64), dtype=np.float32) * np.float32(3)
    planes = exported.planes(images, grid)
    features = planes[0].features.numpy()
    assert features.shape == (3 * 33 * 33, 32)
    assert [plane.first for plane in planes] == [0, 33 * 33, 2 * 33 * 33]
    for image, plane in zip(images, planes, strict=True):
        (alone,) = exported.planes(image[None], grid)
        assert plane.features is planes[0].features
        np.testing.assert_array_equal(features[plane.first : plane.first + 33 * 33], alone.features.numpy())
        found, expected = (exported.field(one, grid, everywhere(grid)).query(columns, depths) for one in (plane, alone))
        np.testing.assert_array_equal(found, expected)


def test_batches_are_bounded_by_the_device_and_by_memory(exported, monkeypatch):
    assert exported.batch_size(QueryGrid(32)) == CPU_BATCH
    monkeypatch.setattr(onnx_field, "BATCH_COLUMNS", 2 * 33 * 33)
    assert [exported.batch_size(QueryGrid(resolution)) for resolution in (30, 32, 34, 64)] == [2, 2, 1, 1]
    monkeypatch.undo()
    on_cuda = dataclasses.replace(exported, encoder=dataclasses.replace(exported.encoder, provider=CUDA))
    assert [on_cuda.batch_size(QueryGrid(resolution)) for resolution in (32, 256, 512)] == [CUDA_BATCH, CUDA_BATCH, 3]


def test_a_graph_of_a_bundle_before_batches_takes_one_picture(exported, tiny_bundle, image, tmp_path):
    graph = onnx.load(tiny_bundle / ENCODER)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, tmp_path / ENCODER)
    old = dataclasses.replace(exported, encoder=open_session(tmp_path / ENCODER, "cpu", threads=1))
    grid = QueryGrid(32)
    assert old.batch_size(grid) == 1
    found, expected = (network.planes(image, grid)[0].features.numpy() for network in (old, exported))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)  # fixed shapes are planned in another way
    sizes: list[int] = []
    engine = Engine(observe_batch=sizes.append)
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(engine.turns().encode, old, image, grid) for _ in range(2)]
        engine.start()
        assert [future.result().first for future in futures] == [0, 0]
    engine.close()
    assert sizes == [1, 1]


@pytest.mark.parametrize("count", [0, 1, 2, DEFAULT_CHUNK - 1, DEFAULT_CHUNK + 1, 2 * DEFAULT_CHUNK])
def test_any_number_of_points_is_answered_in_order(exported, image, rng, count):
    grid = QueryGrid(32)
    field = exported.encode(image, grid, everywhere(grid))
    columns, depths, _ = random_points(grid, 2 * DEFAULT_CHUNK, rng)
    np.testing.assert_allclose(field.query(columns[:count], depths[:count]), field.query(columns, depths)[:count], atol=1e-6)


def test_strided_arguments_are_accepted(exported, image, rng):
    grid = QueryGrid(32)
    field = exported.encode(image, grid, everywhere(grid))
    columns, depths, _ = random_points(grid, 100, rng)
    np.testing.assert_allclose(field.query(columns[::-2], depths[::-2]), field.query(columns, depths)[::-2], atol=1e-6)


def test_a_query_stops_between_chunks_when_nobody_waits(exported, image):
    asked = iter([False, False, True])
    grid = QueryGrid(32)
    field = dataclasses.replace(exported, chunk=10).encode(image, grid, everywhere(grid), AtOnce(lambda: next(asked)))
    with pytest.raises(Cancelled, match="nobody waits"):
        field.query(np.zeros(100, np.int64), np.zeros(100, np.float32))


@pytest.mark.parametrize("threads", [1, 2])
def test_on_a_cpu_the_chunk_changes_no_bit(tiny_bundle, image, rng, threads):
    """What makes a mesh's bytes independent of how fast the machine was when it was calibrated."""
    grid = QueryGrid(32)
    columns, depths, _ = random_points(grid, 3000, rng)
    network = OnnxNetwork.load(read_bundle(tiny_bundle), "cpu", threads)
    assert network.chunk == DEFAULT_CHUNK
    expected = network.encode(image, grid, everywhere(grid)).query(columns, depths)
    for chunk in (1, 2, 13, 512, 1000, 4096):
        found = dataclasses.replace(network, chunk=chunk).encode(image, grid, everywhere(grid)).query(columns, depths)
        np.testing.assert_array_equal(found, expected, err_msg=f"{chunk} points a call")


class Machine:
    """A clock that only timing moves; a size's first call takes a second more a point, as memory is set up."""

    def __init__(self, seconds: dict[int, float], disturbed: set[int] = frozenset()) -> None:
        self.seconds, self.disturbed = seconds, disturbed
        self.now = 0.0
        self.calls: list[int] = []

    def clock(self) -> float:
        return self.now

    def seconds_a_point(self, size: int) -> float:
        first = size not in self.calls
        taken = self.seconds[size] + first + 9 * (len(self.calls) in self.disturbed)
        self.calls.append(size)
        self.now += taken
        return taken


def fastest(machine: Machine, budget: float = 1e9) -> int:
    return fastest_size(sorted(machine.seconds), machine.seconds_a_point, budget, machine.clock)


def test_the_size_is_the_fastest_and_of_near_equals_the_smallest():
    assert fastest(Machine({1: 3.0, 2: 2.0, 4: 1.0, 8: 1.05})) == 4
    assert fastest(Machine({1: 3.0, 2: 1.04, 4: 1.02, 8: 1.0})) == 2
    assert fastest(Machine({1: 3.0, 2: 2.0, 4: 1.5, 8: 1.0})) == 8
    assert fastest(Machine({1: 1.0})) == 1


def test_sizes_beyond_a_clearly_slower_one_are_not_tried():
    machine = Machine({1: 2.0, 2: 1.0, 4: 1.2, 8: 0.1})
    assert fastest(machine) == 2
    assert 8 not in machine.calls


def test_a_size_is_timed_in_turns_with_the_best_before_it():
    machine = Machine({1: 2.0, 2: 1.0, 4: 1.05})
    fastest(machine)
    assert machine.calls == [1, 1, 1, 1, 2, 1, 2, 1, 2, 1, 2, 4, 2, 4, 2, 4, 2, 4]


@pytest.mark.parametrize("disturbed", [{1}, {2, 6}, {5, 6}, {11, 12, 15}])
def test_a_disturbance_now_and_then_changes_nothing(disturbed):
    assert fastest(Machine({1: 2.0, 2: 1.0, 4: 1.5}, disturbed)) == 2


def test_calibration_ends_with_its_budget():
    machine = Machine({2**k: 100.0 * 0.5**k for k in range(10)})
    assert fastest(machine, budget=1.0) == 1
    assert machine.calls == [1, 1]
    machine = Machine({2**k: 100.0 * 0.5**k for k in range(10)})
    assert fastest(machine, budget=500.0) == 2
    assert machine.now < 500 + 2 * 101


def test_calibration_finds_a_chunk_and_changes_nothing_else(exported, image, rng):
    assert not exported.chunk_is_fixed
    calibrated = exported.calibrated()
    assert calibrated.chunk in CPU_CHUNKS
    assert dataclasses.replace(calibrated, chunk=exported.chunk) == exported
    grid = QueryGrid(32)
    assert calibrated.encode(image, grid, everywhere(grid)).chunk == calibrated.chunk


def test_calibration_takes_what_was_fastest(exported, monkeypatch):
    def seconds_a_point(field: OnnxField, columns: np.ndarray, depths: np.ndarray, size: int) -> float:
        assert len(columns) == len(depths) >= size
        assert columns.max() < field.observed.size
        return 1.0 if size == 1024 else 2.0

    monkeypatch.setattr(onnx_field, "_seconds_a_point", seconds_a_point)
    assert exported.calibrated().chunk == 1024


def test_a_chunk_that_was_given_stays(tiny_bundle):
    network = OnnxNetwork.load(read_bundle(tiny_bundle), "cpu", threads=1, chunk=300)
    assert network.chunk == 300
    assert network.calibrated() is network


def test_a_size_that_does_not_fit_the_memory_is_the_slowest_and_other_failures_are_told(exported, monkeypatch):
    def failing(message: str):
        def query(field, columns, depths):
            raise states.RuntimeException(message)

        monkeypatch.setattr(OnnxField, "query", query)

    field = OnnxField(exported.decoder, None, QueryGrid(32), np.ones((33, 33), np.bool_), lambda: False)
    points = np.zeros(4096, np.int64), np.zeros(4096, np.float32)
    failing("BFCArena: Failed to allocate memory for requested buffer of size 939524096")
    assert onnx_field._seconds_a_point(field, *points, 512) == float("inf")
    failing("the device is lost")
    with pytest.raises(states.RuntimeException, match="device is lost"):
        onnx_field._seconds_a_point(field, *points, 512)


@pytest.mark.parametrize(
    ("provider", "listed", "taken"), [(CUDA, True, DECODER_HALF), (CUDA, False, DECODER), (CPU, True, DECODER)]
)
def test_a_gpu_takes_the_half_decoder_where_there_is_one(tiny_bundle, monkeypatch, provider, listed, taken):
    """And multiplies the float32 parts of a decoder, in which the depths are, in float32."""
    opened = []

    def open_session(graph, device, threads, *, tf32=True):
        opened.append((graph.name, device, threads, tf32))
        return Session(None, provider, "")

    monkeypatch.setattr(onnx_field, "open_session", open_session)
    bundle = read_bundle(tiny_bundle)
    files = bundle.manifest.files | ({DECODER_HALF: "0" * 64} if listed else {})
    bundle = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"files": files}))
    OnnxNetwork.load(bundle, "auto", 3)
    assert opened == [(ENCODER, "auto", 3, True), (taken, "auto", 3, False)]


def test_chunks_double():
    for sizes in (CPU_CHUNKS, CUDA_CHUNKS):
        assert [b // a for a, b in pairwise(sizes)] == [2] * (len(sizes) - 1)
    assert (CPU_CHUNKS[0], CPU_CHUNKS[-1], CUDA_CHUNKS[0], CUDA_CHUNKS[-1]) == (512, 16_384, 16_384, 262_144)


@pytest.mark.parametrize("resolution", [40, 128])
def test_hierarchical_and_dense_grids_of_a_network_agree(exported, image, resolution):
    grid = QueryGrid(resolution)
    lateral = grid.lateral
    field = exported.encode(image, grid, np.hypot(lateral[:, None], lateral[None]) < 0.3)
    assert reference.node_iou(query_hierarchically(field, 0.5).on_whole_grid(), query_densely(field), 0.5) >= 0.999


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


def opened_with(monkeypatch, graph, **arguments) -> tuple[ort.SessionOptions, list]:
    """The options and providers that `open_session` asks for where there is CUDA, which this machine need not have."""
    asked = []
    whole = ort.InferenceSession

    def session(path, options, providers):
        asked.append((options, providers))
        return whole(path, options, providers=providers[-1:])

    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(ort, "preload_dlls", lambda: None)
    monkeypatch.setattr(ort, "InferenceSession", session)
    open_session(graph, "auto", **arguments)
    return asked[0]


@pytest.mark.parametrize(("tf32", "told"), [(True, "1"), (False, "0")])
def test_cuda_is_told_its_options(tiny_bundle, monkeypatch, tf32, told):
    _, providers = opened_with(monkeypatch, tiny_bundle / DECODER, threads=1, tf32=tf32)
    (name, options), fallback = providers
    assert (name, fallback) == (CUDA, CPU)
    assert options == {
        "device_id": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": told,
    }


def test_waiting_threads_sleep(tiny_bundle, monkeypatch):
    options, _ = opened_with(monkeypatch, tiny_bundle / DECODER, threads=2)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 2


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

"""The same bundle on a GPU and on the CPU. Off by default; where they are asked for, a GPU that is missing is a failure.

python -m pytest -m gpu tests/gpu
"""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from model import Options, Photo, Reconstructor
from model.camera import HALF_DEPTH
from model.field import QueryGrid, query_densely
from model.image import read_photo
from model.runtime.bundle import DECODER, DECODER_HALF, ModelBundle, read_bundle, write_bundle
from model.runtime.engine import Engine
from model.runtime.onnx_field import CUDA_BATCH, CUDA_CHUNKS, OnnxNetwork
from model.runtime.sessions import CUDA, open_session
from tests.reference import node_iou

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).resolve().parents[2]
TF32_TOLERANCE = 1e-3  # of the largest value of a plane, and probability
HALF_TOLERANCE = 2e-2  # probability
LEAST_IOU = 0.99


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return read_bundle(ROOT / "model" / "bundles" / "default")


@pytest.fixture(scope="module")
def half_bundle(bundle, tmp_path_factory) -> ModelBundle:
    """The default bundle with a half decoder, also where it was exported without one."""
    from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
    from training.export import bundle_weights
    from training.graphs import half_decoder_bytes

    copy = Path(shutil.copytree(bundle.directory, tmp_path_factory.mktemp("half") / "default"))
    described = bundle.manifest.network
    network = OccupancyNetwork(NetworkConfig(**{**described, "decoder_widths": tuple(described["decoder_widths"])}))
    network.load_state_dict(bundle_weights(bundle.directory))
    files = {name: bundle.path(name).read_bytes() for name in bundle.manifest.files}
    return write_bundle(copy, bundle.manifest, {**files, DECODER_HALF: half_decoder_bytes(network.eval())})


@pytest.fixture(scope="module")
def on_cpu(bundle) -> OnnxNetwork:
    return OnnxNetwork.load(bundle, "cpu")


@pytest.fixture(scope="module")
def on_cuda(half_bundle) -> OnnxNetwork:
    """In half precision; raises ProviderError where no CUDA device is usable."""
    return OnnxNetwork.load(half_bundle, "cuda")


@pytest.fixture(scope="module")
def photo() -> Photo:
    return read_photo((ROOT / "docs" / "sample.png").read_bytes())


@pytest.fixture(scope="module")
def image(bundle, on_cpu, photo) -> np.ndarray:
    """(1, 3, S, S): the sample as the network sees it."""
    prepared = Reconstructor(bundle, on_cpu).prepare(photo, Options(), None)
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (bundle.manifest.mean, bundle.manifest.std))
    return np.ascontiguousarray(((prepared.pixels - mean) / std)[None])


def everywhere(grid: QueryGrid) -> np.ndarray:
    return np.ones(grid.shape[:2], np.bool_)


def some_points(grid: QueryGrid, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    columns = rng.integers(0, grid.shape[0] * grid.shape[1], count)
    return columns, rng.uniform(-HALF_DEPTH, HALF_DEPTH, count).astype(np.float32)


def test_both_sessions_say_that_they_run_on_cuda(on_cuda):
    for session in (on_cuda.encoder, on_cuda.decoder):
        assert (session.provider, session.reason) == (CUDA, "a CUDA device is usable")
        assert session.device_type == "cuda"


def test_the_plane_stays_on_the_device_and_agrees_with_the_cpu(on_cpu, on_cuda, image):
    grid = QueryGrid(64)
    (plane,) = on_cuda.planes(image, grid)
    assert plane.features.device_name().lower() == "cuda"
    expected = on_cpu.planes(image, grid)[0].features.numpy()
    np.testing.assert_allclose(plane.features.numpy(), expected, rtol=0, atol=TF32_TOLERANCE * np.abs(expected).max())


def test_the_float32_decoder_agrees_with_the_cpu(bundle, on_cpu, on_cuda, image):
    """Its own products are float32, so what differs is the plane's TF32."""
    grid = QueryGrid(64)
    points = some_points(grid, 50_000)
    exact = replace(on_cuda, decoder=open_session(bundle.path(DECODER), "cuda", tf32=False))
    found = exact.encode(image, grid, everywhere(grid)).query(*points)
    expected = on_cpu.encode(image, grid, everywhere(grid)).query(*points)
    assert 0.02 < (expected > 0.5).mean() < 0.98
    np.testing.assert_allclose(found, expected, rtol=0, atol=TF32_TOLERANCE)


def test_the_half_decoder_is_taken_and_agrees_with_the_cpu(half_bundle, on_cpu, on_cuda, image):
    """Bit for bit what its own file says on the device, and near the float32 decoder on the CPU."""
    grid = QueryGrid(64)
    points = some_points(grid, 50_000)
    found = on_cuda.encode(image, grid, everywhere(grid)).query(*points)
    named = replace(on_cuda, decoder=open_session(half_bundle.path(DECODER_HALF), "cuda", tf32=False))
    np.testing.assert_array_equal(found, named.encode(image, grid, everywhere(grid)).query(*points))
    expected = on_cpu.encode(image, grid, everywhere(grid)).query(*points)
    np.testing.assert_allclose(found, expected, rtol=0, atol=HALF_TOLERANCE)
    assert not np.array_equal(found, expected)


@pytest.mark.parametrize("count", [0, 1, 2, 2_049, 100_000])
def test_any_number_of_points_is_answered_in_order(on_cuda, image, count):
    """The answers are written by the device straight into the caller's array."""
    grid = QueryGrid(64)
    field = on_cuda.encode(image, grid, everywhere(grid))
    columns, depths = some_points(grid, 100_000)
    together = replace(field, chunk=1_000_000).query(columns, depths)[:count]
    np.testing.assert_allclose(field.query(columns[:count], depths[:count]), together, rtol=0, atol=HALF_TOLERANCE)


def test_the_same_question_has_the_same_answer(half_bundle, on_cuda, image):
    """In one process and, with one chunk, from one session to the next."""
    grid = QueryGrid(64)
    points = some_points(grid, 10_000)
    first = on_cuda.encode(image, grid, everywhere(grid)).query(*points)
    np.testing.assert_array_equal(on_cuda.encode(image, grid, everywhere(grid)).query(*points), first)
    again = OnnxNetwork.load(half_bundle, "cuda", chunk=on_cuda.chunk)
    np.testing.assert_array_equal(again.encode(image, grid, everywhere(grid)).query(*points), first)


def test_pictures_do_not_mix(on_cuda, image):
    grid = QueryGrid(32)
    points = some_points(grid, 5_000)
    images = [image, np.ascontiguousarray(image[..., ::-1])]
    alone = [on_cuda.encode(one, grid, everywhere(grid)).query(*points) for one in images]
    first, second = (on_cuda.encode(one, grid, everywhere(grid)) for one in images)
    np.testing.assert_array_equal(second.query(*points), alone[1])
    np.testing.assert_array_equal(first.query(*points), alone[0])
    assert not np.array_equal(*alone)


def test_a_batch_through_the_engine_agrees_with_each_picture_alone(on_cuda, image):
    grid = QueryGrid(64)
    points = some_points(grid, 20_000)
    images = [np.ascontiguousarray(np.roll(image, 4 * shift, axis=3)) for shift in range(CUDA_BATCH)]
    sizes: list[int] = []
    engine = Engine(observe_batch=sizes.append)
    with ThreadPoolExecutor(CUDA_BATCH) as pool:
        fields = [pool.submit(on_cuda.encode, one, grid, everywhere(grid), engine.turns()) for one in images]
        while engine.waiting < CUDA_BATCH:
            time.sleep(0.001)
        engine.start()
        found = [field.result().query(*points) for field in fields]
    engine.close()
    assert sizes == [CUDA_BATCH]
    for one, answers in zip(images, found, strict=True):
        alone = on_cuda.encode(one, grid, everywhere(grid)).query(*points)
        np.testing.assert_allclose(answers, alone, rtol=0, atol=HALF_TOLERANCE)


def test_calibration_takes_a_large_chunk(on_cuda):
    calibrated = on_cuda.calibrated()
    assert calibrated.chunk in CUDA_CHUNKS[1:]
    assert replace(calibrated, chunk=on_cuda.chunk) == on_cuda


def test_whole_fields_and_meshes_agree_with_the_cpu(bundle, half_bundle, on_cpu, on_cuda, photo):
    devices = {"cpu": Reconstructor(bundle, on_cpu), "cuda": Reconstructor(half_bundle, on_cuda.calibrated())}
    grid = QueryGrid(64)
    options = Options(resolution=64)
    fields, outlines = [], []
    for reconstructor in devices.values():
        prepared = reconstructor.prepare(photo, options, None)
        fields.append(query_densely(reconstructor.encode(prepared, grid)))
        mesh = reconstructor.reconstruct(photo, options)
        assert mesh.is_watertight
        outlines.append(outline(mesh.vertices, mesh.faces))
    assert node_iou(*fields, 0.5) >= LEAST_IOU
    assert (outlines[0] & outlines[1]).sum() >= LEAST_IOU * (outlines[0] | outlines[1]).sum()


def outline(vertices: np.ndarray, faces: np.ndarray, side: int = 512) -> np.ndarray:
    """(side, side) bool: the mesh's shadow along z; the view frame's x and y lie within -0.75 and 0.75."""
    pixels = np.round((vertices[:, :2] / 1.5 + 0.5) * side).astype(np.int32)
    picture = np.zeros((side, side), np.uint8)
    for triangle in pixels[faces]:
        cv2.fillConvexPoly(picture, triangle, 1)
    return picture.astype(np.bool_)

"""The exported network as an `OccupancyField`: the encoder once a picture, or once a batch of them, the decoder in chunks.

The feature of a point does not depend on its depth, so the encoder graph ends in a *feature plane*: for every column (u, v) of
the query grid the first decoder layer's pre-activation without its depth term. The decoder graph takes column numbers and
depths, adds the depth term and runs the remaining layers (docs/decisions/0006). The plane stays in the device's memory between
the calls: both sessions run on device 0, the encoder leaves it there and the decoder is handed the same memory.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from model.camera import HALF_DEPTH
from model.field import Float32, QueryGrid
from model.runtime.bundle import DECODER, DECODER_HALF, ENCODER, ModelBundle
from model.runtime.calibration import fastest_size
from model.runtime.sessions import DEVICE_ID, Device, Session, is_out_of_memory, open_session
from model.runtime.turns import AT_ONCE, Call, Turns

DEFAULT_CHUNK = 2_048  # points a decoder call on a CPU where nothing was measured: the activations fit a core's cache
CPU_CHUNKS = tuple(2**k for k in range(9, 15))  # 512 to 16,384
CUDA_CHUNKS = tuple(2**k for k in range(14, 19))  # 16,384 to 262,144: the activations of one more are half a gigabyte
CPU_BATCH, CUDA_BATCH = 4, 8  # pictures an encoder run at most (docs/decisions/0016)
BATCH_COLUMNS = 2**20  # of all pictures together: at 256 features a gigabyte, which lasts until the last of them is done
CALIBRATION_SECONDS = 0.3
CALIBRATION_GRID = QueryGrid(64)
CALIBRATION_POINTS = 4_096  # timed at once, at least: single small calls are too short to be timed one by one


@dataclass(frozen=True)
class OnnxNetwork:
    """The two sessions of a bundle, and how many points they are asked at once.

    On a CPU the chunk changes no bit of an answer (a test checks it); on a GPU the library that multiplies matrices may choose
    another kernel for another size, so who wants the same bytes from several machines fixes the chunk in `load`.
    """

    encoder: Session
    decoder: Session
    chunk: int = DEFAULT_CHUNK
    chunk_is_fixed: bool = False

    @classmethod
    def load(
        cls, bundle: ModelBundle, device: Device = "auto", threads: int | None = None, chunk: int | None = None
    ) -> OnnxNetwork:
        """Opens both graphs on one device; see `open_session` for what is raised.

        chunk: points a decoder call, for good; None for a default that `calibrated` may replace. On CUDA the decoder computes
        in half precision where the bundle has a graph for it.
        """
        encoder = open_session(bundle.path(ENCODER), device, threads)
        file = DECODER_HALF if encoder.runs_on_cuda and DECODER_HALF in bundle.manifest.files else DECODER
        # TF32 would round the depths of a float32 graph to a tenth of a voxel
        decoder = open_session(bundle.path(file), device, threads, tf32=False)
        unmeasured = CUDA_CHUNKS[0] if decoder.runs_on_cuda else DEFAULT_CHUNK
        return cls(encoder, decoder, unmeasured if chunk is None else chunk, chunk is not None)

    def calibrated(self) -> OnnxNetwork:
        """The same network with the chunk that is fastest here, found in some 0.3 s; a fixed one stays.

        Asks about random columns and depths of a small random plane: what is in them does not change the time.
        """
        if self.chunk_is_fixed:
            return self
        rng = np.random.default_rng(0)
        grid = CALIBRATION_GRID
        observed = np.ones(grid.shape[:2], np.bool_)
        width = self.decoder.ort.get_inputs()[0].shape[1]
        plane = rng.standard_normal((observed.size, width), dtype=np.float32)
        on_device = ort.OrtValue.ortvalue_from_numpy(plane, self.decoder.device_type, DEVICE_ID)
        sizes = CUDA_CHUNKS if self.decoder.runs_on_cuda else CPU_CHUNKS
        columns = np.sort(rng.integers(0, observed.size, max(sizes)))  # queries walk from column to column
        depths = rng.uniform(-HALF_DEPTH, HALF_DEPTH, max(sizes)).astype(np.float32)
        field = OnnxField(self.decoder, Plane(on_device, 0), grid, observed, AT_ONCE, self.chunk)
        return replace(self, chunk=fastest_size(sizes, partial(_seconds_a_point, field, columns, depths), CALIBRATION_SECONDS))

    def encode(self, image: Float32, grid: QueryGrid, observed: npt.NDArray[np.bool_], turns: Turns = AT_ONCE) -> OnnxField:
        """image (1, 3, S, S) float32, normalised; observed (n_u, n_v) -> the picture's field on `grid`."""
        return self.field(turns.encode(self, image, grid), grid, observed, turns)

    def field(self, plane: Plane, grid: QueryGrid, observed: npt.NDArray[np.bool_], turns: Turns = AT_ONCE) -> OnnxField:
        """The field of a picture that was encoded on `grid`."""
        return OnnxField(self.decoder, plane, grid, observed, turns, self.chunk)

    def batch_size(self, grid: QueryGrid) -> int:
        """How many pictures `planes` takes at once: 1 where the graph was exported for a single one."""
        if isinstance(self.encoder.ort.get_inputs()[0].shape[0], int):  # a name where any number will do
            return 1
        most = CUDA_BATCH if self.encoder.runs_on_cuda else CPU_BATCH
        return max(1, min(most, BATCH_COLUMNS // (grid.shape[0] * grid.shape[1])))

    def planes(self, images: Float32, grid: QueryGrid) -> list[Plane]:
        """(B, 3, S, S) float32, normalised, B at most `batch_size(grid)` -> the feature plane of each, in one run."""
        binding = self.encoder.ort.io_binding()
        binding.bind_cpu_input("image", images)
        binding.bind_cpu_input("lateral", grid.lateral)
        binding.bind_output("plane", self.encoder.device_type, DEVICE_ID)
        self.encoder.ort.run_with_iobinding(binding)  # returns when the device is done, so the planes are complete
        features = binding.get_outputs()[0]
        columns = grid.shape[0] * grid.shape[1]
        return [Plane(features, first) for first in range(0, len(images) * columns, columns)]


@dataclass(frozen=True)
class Plane:
    """A picture's features, one of a batch.

    features: (B columns, H1) float32 in the device's memory, of all pictures; first: the row of this one's first column.
    """

    features: ort.OrtValue
    first: int


@dataclass(frozen=True)
class OnnxField:
    """One picture's field. `chunk` points are asked at once."""

    decoder: Session
    plane: Plane
    grid: QueryGrid
    observed: npt.NDArray[np.bool_]
    turns: Turns
    chunk: int = DEFAULT_CHUNK

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        """Occupancy at points given by column number (n,) and z (n,) -> (n,) float32 in [0, 1], a chunk a turn."""
        rows, depths = np.ascontiguousarray(columns + self.plane.first), np.ascontiguousarray(depths)
        answers = np.empty(len(rows), np.float32)
        binding = self.decoder.ort.io_binding()
        binding.bind_ortvalue_input("plane", self.plane.features)

        def ask(part: slice) -> None:
            binding.bind_cpu_input("columns", rows[part])
            binding.bind_cpu_input("depths", depths[part])
            answer = answers[part]  # written in place
            binding.bind_output("occupancy", "cpu", 0, np.float32, answer.shape, answer.ctypes.data)
            self.decoder.ort.run_with_iobinding(binding)

        parts = (slice(start, min(start + self.chunk, len(rows))) for start in range(0, len(rows), self.chunk))
        self.turns.decode(Call(partial(ask, part), part.stop - part.start) for part in parts)
        return answers


def _seconds_a_point(field: OnnxField, columns: npt.NDArray[np.int64], depths: Float32, size: int) -> float:
    """Seconds a point in calls of `size`; infinite when the device's memory does not hold one."""
    count = max(size, CALIBRATION_POINTS)
    started = time.perf_counter()
    try:
        replace(field, chunk=size).query(columns[:count], depths[:count])
    except Exception as error:  # onnxruntime raises its own, undocumented tree of exceptions
        if is_out_of_memory(error):
            return float("inf")
        raise
    return (time.perf_counter() - started) / count

"""The exported network as an `OccupancyField`: the encoder once a picture, the decoder in chunks.

The feature of a point does not depend on its depth, so the encoder graph ends in a *feature plane*: for every column (u, v) of
the query grid the first decoder layer's pre-activation without its depth term. The decoder graph takes column numbers and
depths, adds the depth term and runs the remaining layers (docs/decisions/0006). The plane stays in the device's memory between
the calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from model.errors import Cancelled
from model.field import Float32, QueryGrid
from model.runtime.bundle import DECODER, ENCODER, ModelBundle
from model.runtime.sessions import Device, Session, open_session

CHUNK = 16_384  # points a decoder call: activations of a few layers then fit a core's cache


@dataclass(frozen=True)
class OnnxNetwork:
    """The two sessions of a bundle."""

    encoder: Session
    decoder: Session

    @classmethod
    def load(cls, bundle: ModelBundle, device: Device = "auto", threads: int | None = None) -> OnnxNetwork:
        """Opens both graphs on one device; see `open_session` for what is raised."""

        def session(file: str) -> Session:
            path: Path = bundle.path(file)
            return open_session(path, device, threads)

        return cls(session(ENCODER), session(DECODER))

    def encode(
        self, image: Float32, grid: QueryGrid, observed: npt.NDArray[np.bool_], cancelled: Callable[[], bool] = lambda: False
    ) -> OnnxField:
        """image (1, 3, S, S) float32, normalised; observed (n_u, n_v) -> the picture's field on `grid`."""
        binding = self.encoder.ort.io_binding()
        binding.bind_cpu_input("image", image)
        binding.bind_cpu_input("lateral", grid.lateral)
        binding.bind_output("plane", self.encoder.device_type)
        self.encoder.ort.run_with_iobinding(binding)
        return OnnxField(self.decoder, binding.get_outputs()[0], grid, observed, cancelled)


@dataclass(frozen=True)
class OnnxField:
    """One picture's field. `plane` is (columns, H1) float32 in the device's memory."""

    decoder: Session
    plane: ort.OrtValue
    grid: QueryGrid
    observed: npt.NDArray[np.bool_]
    cancelled: Callable[[], bool]

    def query(self, columns: npt.NDArray[np.int64], depths: Float32) -> Float32:
        """Occupancy at points given by column number (n,) and z (n,) -> (n,) float32 in [0, 1]; Cancelled between chunks."""
        answers = np.empty(len(columns), np.float32)
        binding = self.decoder.ort.io_binding()
        binding.bind_ortvalue_input("plane", self.plane)
        for start in range(0, len(columns), CHUNK):
            if self.cancelled():
                raise Cancelled("query: stopped, nobody waits for the mesh any more")
            part = slice(start, start + CHUNK)
            binding.bind_cpu_input("columns", np.ascontiguousarray(columns[part]))
            binding.bind_cpu_input("depths", np.ascontiguousarray(depths[part]))
            binding.bind_output("occupancy", "cpu")
            self.decoder.ort.run_with_iobinding(binding)
            answers[part] = binding.copy_outputs_to_cpu()[0]
        return answers

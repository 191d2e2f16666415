"""ONNX Runtime sessions: the one place that imports onnxruntime and chooses where a graph runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # must be set before the import: official wheels send usage events by default

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _states

from model.errors import BundleError, ProviderError

Device = Literal["auto", "cuda", "cpu"]
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
DEVICE_ID = 0  # the container decides which GPU that is


@dataclass(frozen=True)
class Session:
    """A loaded graph, where it runs, and why there."""

    ort: ort.InferenceSession
    provider: str
    reason: str

    @property
    def runs_on_cuda(self) -> bool:
        return self.provider == CUDA

    @property
    def device_type(self) -> str:
        """ONNX Runtime's name of the memory in which this session likes its inputs and outputs."""
        return "cuda" if self.runs_on_cuda else "cpu"


def open_session(graph: Path, device: Device = "auto", threads: int | None = None, *, tf32: bool = True) -> Session:
    """Loads a graph. "cuda" fails when no GPU is usable, "auto" then falls back to the CPU and says so.

    threads: of one operator on the CPU, None for one a core; tf32: whether a GPU may round the factors of float32 products to 10
    bits. Raises ProviderError, or BundleError for a graph that does not load.
    """
    _check_wheels()
    options = ort.SessionOptions()
    options.log_severity_level = 3  # a GPU that is missing is reported below, in words
    if threads is not None:
        options.intra_op_num_threads = threads
    # A thread that waits for its part of an operator sleeps: one that spins takes the core from whoever else needs it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wants_cuda = device != "cpu" and CUDA in ort.get_available_providers()
    if device == "cuda" and not wants_cuda:
        raise ProviderError("device cuda: expected onnxruntime with CUDA (extra `gpu`), found a build without it")
    if wants_cuda:
        ort.preload_dlls()
    providers = [(CUDA, _cuda_options(tf32)), CPU] if wants_cuda else [CPU]
    try:
        session = ort.InferenceSession(str(graph), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own, undocumented tree of exceptions
        raise BundleError(f"{graph.name}: expected a graph that ONNX Runtime {ort.__version__} loads, {error}") from error
    provider = session.get_providers()[0]  # a session falls back silently: ask what it really got
    if device == "cuda" and provider != CUDA:
        raise ProviderError("device cuda: expected a usable CUDA device, found none (driver, libraries or device missing)")
    return Session(session, provider, _reason(device, wants_cuda, provider))


def is_out_of_memory(error: Exception) -> bool:
    """Whether this is ONNX Runtime saying that the device's memory is full."""
    return isinstance(error, (_states.RuntimeException, _states.Fail)) and "allocate memory" in str(error)


def _cuda_options(tf32: bool) -> dict[str, str]:
    """What differs from the provider's defaults, and why.

    Copies stay on the computing stream, the default: apart from it they may race. CUDA graphs want fixed shapes, and the last
    chunk of a query is as long as it happens to be.
    """
    return {
        "device_id": str(DEVICE_ID),
        # The default searches more widely at the first use: slower to start, and known to end in other last bits from run to
        # run.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Nearly all calls are of one size, so blocks are reused; the default rounds what it asks for up to powers of two.
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": "1" if tf32 else "0",
    }


def _reason(device: Device, wants_cuda: bool, provider: str) -> str:
    if provider == CUDA:
        return "a CUDA device is usable"
    if device == "cpu":
        return "the CPU was asked for"
    return "no CUDA device is usable" if wants_cuda else "this onnxruntime is built without CUDA"


def _check_wheels() -> None:
    """`onnxruntime` and `onnxruntime-gpu` write into one folder: with both, the last one wins and neither can be removed."""
    found = {name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)}
    if len(found) > 1:
        raise ProviderError(
            "onnxruntime: expected one of the extras `cpu` and `gpu`, found both installed; reinstall into a fresh environment"
        )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True

"""torch -> bundle. An export is finished only when the graphs were run against torch."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from model.field import QueryGrid
from model.networks.occupancy_network import OccupancyNetwork
from model.reconstructor import Reconstructor
from model.runtime.bundle import (
    DECODER,
    DECODER_HALF,
    ENCODER,
    WEIGHTS,
    Labels,
    Manifest,
    ModelBundle,
    read_bundle,
    verify_file,
    write_bundle,
)
from model.runtime.onnx_field import OnnxNetwork
from model.runtime.sessions import open_session
from training.calibration import calibrate
from training.card import SAMPLES, model_card
from training.checkpoints import load_checkpoint, network_of
from training.culling import calibrate_culling, calibration_photos
from training.errors import TrainingError
from training.graphs import OPSET, decoder_bytes, encoder_bytes, half_decoder_bytes
from training.labels import D_STAR, VOXELS
from training.normalisation import MEAN, STD
from training.prepared_sets import PreparedSets
from training.provenance import origin_of, shown
from training.torch_field import TorchField

EXACT_TOLERANCE = 1e-4  # probability; float32 graphs differ from torch by rounding only
HALF_TOLERANCE = 2e-2  # probability; fp16-stored weights, whose effect on IoU `evaluate` shows, and fp16 products on a GPU
CARD = "README.md"
CALIBRATION_VIEWS = 192
CULLING_VIEWS = {128: 72, 256: 6}  # resolution -> views of which every node is asked, at 256 for some ten seconds each
DEFAULT_DISTANCE = 2.5  # crop sides; the middle of the training views, about 21 degrees across the crop


@dataclass(frozen=True)
class BundleIdentity:
    """What a person says of a bundle; the rest is measured."""

    name: str
    version: str
    licence: str = "Apache-2.0"
    attribution: tuple[str, ...] = ()


def export_bundle(
    checkpoint: Path,
    directory: Path,
    identity: BundleIdentity,
    *,
    data_dirs: Sequence[Path] = (),
    half: bool = True,
    calibrate_query: bool = True,
) -> ModelBundle:
    """Writes and verifies a bundle. The float32 graphs must agree with torch to 1e-4 before fp16 storage is even tried.

    half: weights stored as fp16, and beside them a decoder for GPUs that computes in fp16, unless that strays too far from torch.
    data_dirs: prepared sets, on whose validation splits the field and the query are calibrated (`training.calibration`,
    `training.culling`); the manifest describes those that the weights were trained on. calibrate_query: False leaves out the
    second, which takes minutes on a CPU.
    """
    state = load_checkpoint(checkpoint)
    network, config = network_of(state)
    sets = PreparedSets.read(data_dirs) if data_dirs else PreparedSets({})
    logit_shift = 0.0
    if data_dirs:
        shapes = sets.shapes("val", config, torch.device("cpu"))
        logit_shift = calibrate(network, shapes, config.image_size, CALIBRATION_VIEWS)
    adaptive = config.labels.rule != "binary"
    manifest = Manifest(
        name=identity.name,
        version=identity.version,
        opset=OPSET,
        image_size=config.image_size,
        mean=MEAN,
        std=STD,
        camera=config.camera,
        default_distance=DEFAULT_DISTANCE,
        labels=Labels(
            final_s=state["schedule"]["s"] if adaptive else None,
            d_star_voxels=D_STAR,
            voxels_per_side=VOXELS,
            logit_shift=logit_shift,
        ),
        network={
            "variant": config.network.variant,
            "pyramid_channels": config.network.pyramid_channels,
            "decoder_widths": list(config.network.decoder_widths),
        },
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        origin=origin_of(
            state, config, sets.indices, _command(checkpoint, directory, identity, data_dirs, half, calibrate_query)
        ),
        licence=identity.licence,
        attribution=(*identity.attribution, *state.get("attribution", ())),
        files={},
    )
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    shipped = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    with tempfile.TemporaryDirectory() as scratch:
        exact = _files(network, config.image_size, half=False)
        _check_parity(write_bundle(Path(scratch) / "exact", manifest, exact), network, EXACT_TOLERANCE)
        files = _files(network, config.image_size, half=True) if half else exact
        if half:
            stored = write_bundle(Path(scratch) / "half", manifest, files)
            _check_parity(stored, network, HALF_TOLERANCE)
            files |= _half_decoder(stored, network)
        if data_dirs and calibrate_query:
            # write_bundle names the graphs in the manifest that the reconstructor is to be loaded by.
            reconstructor = Reconstructor.load(write_bundle(Path(scratch) / "asked", manifest, files).directory, "cpu")
            photos = calibration_photos(list(sets.indices.values()), max(CULLING_VIEWS.values()))
            manifest = manifest.model_copy(update={"culling": calibrate_culling(reconstructor, photos, CULLING_VIEWS)})
    return write_bundle(
        directory, manifest, {**files, WEIGHTS: safetensors.torch.save(shipped), CARD: model_card(manifest).encode()}
    )


def bundle_weights(directory: Path) -> dict[str, torch.Tensor]:
    """The unfolded network of a bundle, float32, to go on training from."""
    bundle = read_bundle(directory)
    verify_file(bundle, WEIGHTS)
    stored = safetensors.torch.load_file(bundle.path(WEIGHTS))
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}


def update_metrics(bundle: ModelBundle, metrics: dict[str, Any], samples: bytes | None = None) -> ModelBundle:
    """The same bundle with `metrics` in its manifest and its identity, and a picture of samples (WebP) that goes with them."""
    manifest = bundle.manifest.model_copy(update={"metrics": metrics})
    for name in manifest.files:
        verify_file(bundle, name)
    files = {name: bundle.path(name).read_bytes() for name in manifest.files if name != SAMPLES}
    if samples is not None:
        files[SAMPLES] = samples
    files[CARD] = model_card(manifest).encode()
    return write_bundle(bundle.directory, manifest, files)


def _command(
    checkpoint: Path, directory: Path, identity: BundleIdentity, data_dirs: Sequence[Path], half: bool, calibrate_query: bool
) -> str:
    """What to type for `export_bundle` with these arguments."""
    data = [word for data_dir in data_dirs for word in ("--data", shown(data_dir))]
    named = ["--name", identity.name, "--version", identity.version, "--licence", identity.licence]
    attributed = [word for name in identity.attribution for word in ("--attribution", name)]
    switches = [*([] if half else ["--no-half"]), *([] if calibrate_query else ["--no-calibrate-query"])]
    command = ["monotwin", "export", shown(checkpoint), *data, "--out", shown(directory), *named, *attributed, *switches]
    return shlex.join(command)


def _files(network: OccupancyNetwork, image_size: int, *, half: bool) -> dict[str, bytes]:
    return {ENCODER: encoder_bytes(network, image_size, half=half), DECODER: decoder_bytes(network, half=half)}


def _half_decoder(bundle: ModelBundle, network: OccupancyNetwork) -> dict[str, bytes]:
    """The decoder that computes in fp16, behind the bundle's encoder; nothing if it strays too far from torch to be shipped."""
    content = half_decoder_bytes(network)
    file = bundle.path(DECODER_HALF)
    file.write_bytes(content)
    exported = OnnxNetwork.load(bundle, "cpu")
    worst = _worst_difference(replace(exported, decoder=open_session(file, "cpu")), network, bundle.manifest.image_size)
    return {DECODER_HALF: content} if worst <= HALF_TOLERANCE else {}


def _check_parity(bundle: ModelBundle, network: OccupancyNetwork, tolerance: float) -> None:
    worst = _worst_difference(OnnxNetwork.load(bundle, "cpu"), network, bundle.manifest.image_size)
    if not worst <= tolerance:
        raise TrainingError(f"export: expected the graphs to agree with torch to {tolerance:g} in probability, found {worst:.3g}")


def _worst_difference(exported: OnnxNetwork, network: OccupancyNetwork, image_size: int) -> float:
    """Runs the graphs and torch on a picture and on a batch of two, on two grids, at several numbers of points; NaN where one of
    them says NaN."""
    rng = np.random.default_rng(0)
    worst = []
    for pictures, resolution, count in ((1, 32, 1000), (2, 48, 17)):
        grid = QueryGrid(resolution)
        observed = np.ones(grid.shape[:2], np.bool_)
        images = rng.standard_normal((pictures, 3, image_size, image_size), dtype=np.float32)
        columns = rng.integers(0, observed.size, count)
        depths = rng.uniform(-0.75, 0.75, count).astype(np.float32)
        for image, plane in zip(images, exported.planes(images, grid), strict=True):
            with torch.inference_mode():
                maps = network.encode(torch.from_numpy(image[None]))
            expected = TorchField(partial(_probability, network, maps), grid, observed, maps[0].device).query(columns, depths)
            found = exported.field(plane, grid, observed).query(columns, depths)
            worst.append(np.abs(expected - found).max())
    return float(np.max(worst))


def _probability(network: OccupancyNetwork, maps: list[torch.Tensor], points: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(network.decode(maps, points))

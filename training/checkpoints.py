"""Checkpoints: everything a run needs to go on as if it had never stopped, in one file that is either old or new, never half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from model.networks.occupancy_network import OccupancyNetwork
from training.configs import RunConfig, run_from_json
from training.errors import TrainingError
from training.method import Method
from training.occupancy import PixelAlignedOccupancy

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes beside `path` and renames, so that a kill at any moment leaves a whole checkpoint."""
    partial = path.with_suffix(".partial")
    torch.save({"format": FORMAT, **state}, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint; TrainingError when it is missing, damaged or of another format.

    "network" holds the weights to ship: of the `OccupancyNetwork`, or of a baseline; their average where the run keeps one.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected a checkpoint, found none") from None
    except Exception as error:  # noqa: BLE001 - torch raises whatever its unpickler meets
        raise TrainingError(f"{path}: expected a checkpoint, could not read it ({type(error).__name__}: {error})") from None
    if state.get("format") != FORMAT:
        raise TrainingError(f"{path}: expected checkpoint format {FORMAT}, found {state.get('format')!r}")
    return state


def build_method(config: RunConfig, positive_share: float = 0.5) -> Method:
    """What a run trains, untrained. positive_share: see `PixelAlignedOccupancy`."""
    if config.baseline is None:
        return PixelAlignedOccupancy(OccupancyNetwork(config.network), config.labels, config.auxiliary, positive_share)
    from training.baselines import build_baseline

    return build_baseline(config.baseline)


def shipped_module(method: Method) -> torch.nn.Module:
    """The part of a method that its surfaces need, and so the part that is shipped."""
    return method.network if isinstance(method, PixelAlignedOccupancy) else method


def method_of(state: dict[str, Any]) -> tuple[Method, RunConfig]:
    """The trained method of a checkpoint, in evaluation mode, and the run that made it."""
    config = run_from_json(state["run"])
    method = build_method(config)
    shipped_module(method).load_state_dict(state["network"])
    return method.eval(), config


def network_of(state: dict[str, Any]) -> tuple[OccupancyNetwork, RunConfig]:
    """Our trained network, for export; TrainingError for a baseline's checkpoint, which has none."""
    method, config = method_of(state)
    if not isinstance(method, PixelAlignedOccupancy):
        raise TrainingError(f"run {config.name!r}: expected our own network, found a baseline")
    return method.network, config

"""Checkpoints: everything a run needs to go on as if it had never stopped, in one file that is either old or new, never half."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from model.networks.occupancy_network import OccupancyNetwork
from training.configs import RunConfig, run_from_json
from training.errors import TrainingError

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes beside `path` and renames, so that a kill at any moment leaves a whole checkpoint."""
    partial = path.with_suffix(".partial")
    torch.save({"format": FORMAT, **state}, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint; TrainingError when it is missing, damaged or of another format."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected a checkpoint, found none") from None
    except Exception as error:  # noqa: BLE001 - torch raises whatever its unpickler meets
        raise TrainingError(f"{path}: expected a checkpoint, could not read it ({type(error).__name__}: {error})") from None
    if state.get("format") != FORMAT:
        raise TrainingError(f"{path}: expected checkpoint format {FORMAT}, found {state.get('format')!r}")
    return state


def network_of(state: dict[str, Any]) -> tuple[OccupancyNetwork, RunConfig]:
    """The trained network of a checkpoint, in evaluation mode, and the run that made it."""
    config = run_from_json(state["run"])
    network = OccupancyNetwork(config.network)
    network.load_state_dict(state["network"])
    return network.eval(), config

"""A tiny network that was taught one solid, as a checkpoint and as a bundle: for every test that needs the real path."""

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

BALL_RADIUS = 0.35  # view-frame units; what the tiny network says of every picture


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A checkpoint of a 64-px network whose field is, nearly, a ball of BALL_RADIUS about the origin, whatever the picture."""
    import torch

    from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
    from training.checkpoints import save_checkpoint
    from training.configs import RunConfig, run_to_json

    config = RunConfig(name="tiny", image_size=64, network=NetworkConfig(pyramid_channels=8, decoder_widths=(32, 32, 32, 16)))
    torch.manual_seed(0)
    network = OccupancyNetwork(config.network)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.decoder.parameters(), 1e-2)
    for _ in range(150):
        points = torch.rand(1, 2048, 3, generator=generator) * torch.tensor([1.0, 1.0, 1.5]) - torch.tensor([0.5, 0.5, 0.75])
        features = 0.05 * torch.randn(1, 2048, 32, generator=generator)
        ball = (points.norm(dim=-1) < BALL_RADIUS).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network.decoder(features, points), ball)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():  # the untrained encoder may only whisper
        network.decoder.first.weight[:, :-3] *= 0.02
    path = tmp_path_factory.mktemp("tiny") / "checkpoint.pt"
    state = {
        "run": run_to_json(config),
        "network": network.eval().state_dict(),
        "schedule": {"s": 0.2},
        "step": 150,
        "minutes": 0.1,
    }
    save_checkpoint(path, state)
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tiny_checkpoint, tmp_path_factory) -> Path:
    """`tiny_checkpoint`, exported."""
    from training.export import BundleIdentity, export_bundle

    directory = tmp_path_factory.mktemp("bundles") / "tiny"
    return export_bundle(tiny_checkpoint, directory, BundleIdentity("tiny", "1"), half=False).directory


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread():
    """Sums in one order: what is trained twice comes out the same."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)

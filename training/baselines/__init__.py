"""Published methods under our protocol, each a `Method` built as `X(width)`: docs/baselines.md has what differs from theirs."""

from __future__ import annotations

from training.configs import BaselineConfig
from training.errors import TrainingError
from training.method import Method

NAMES = ("occnet", "imnet", "disn", "atlasnet", "pixel2mesh")


def build_baseline(config: BaselineConfig) -> Method:
    """The method of that name with its paper's channels times `config.width`; only its own module is imported."""
    if config.name == "occnet":
        from training.baselines.occnet import OccNet

        return OccNet(config.width)
    if config.name == "imnet":
        from training.baselines.imnet import IMNet

        return IMNet(config.width)
    if config.name == "disn":
        from training.baselines.disn import DISN

        return DISN(config.width)
    if config.name == "atlasnet":
        from training.baselines.atlasnet import AtlasNet

        return AtlasNet(config.width)
    if config.name == "pixel2mesh":
        from training.baselines.pixel2mesh import Pixel2Mesh

        return Pixel2Mesh(config.width)
    raise TrainingError(f"baseline: expected one of {', '.join(NAMES)}, found {config.name!r}")

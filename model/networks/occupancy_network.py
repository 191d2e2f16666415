"""The network of the paper: encoder E, point features, decoder D."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from model.networks.decoder import Decoder
from model.networks.encoder import ImageEncoder, Variant
from model.networks.point_features import sample_sum


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Defaults are the paper's where it gives them; the decoder's widths are ours."""

    variant: Variant = "pyramid"
    pyramid_channels: int = 256
    decoder_widths: tuple[int, int, int, int] = (512, 256, 256, 128)


class OccupancyNetwork(nn.Module):
    """(image, points) -> occupancy logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config.variant, config.pyramid_channels)
        self.decoder = Decoder(self.encoder.map_channels, config.decoder_widths)

    def encode(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) normalised RGB -> the maps as the decoder's first layer sees them, (B, H1, h_l, w_l)."""
        return self.decoder.project_maps(self.encoder(images))

    def decode(self, maps: list[Tensor], points: Tensor) -> Tensor:
        """`encode`'s maps and (B, N, 3) points (u, v, z) -> logits (B, N)."""
        logits: Tensor = self.decoder(sample_sum(maps, points[..., :2]), points)
        return logits

    def forward(self, images: Tensor, points: Tensor) -> Tensor:
        """(B, 3, S, S) and (B, N, 3) -> logits (B, N)."""
        return self.decode(self.encode(images), points)

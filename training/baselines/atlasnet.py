"""AtlasNet (Groueix et al., CVPR 2018), single view: a sphere whose points an MLP moves, one code for all of them.

After ThibaultGROUEIX/AtlasNet: ResNet-18 from scratch and a linear layer to a code of 1024; model/atlasnet.py and
model/model_blocks.py (3 -> 1024, the code added as a bias, 1024 -> 512, twice 512 -> 512, each with batch norm and ReLU, then
512 -> 3, without a tanh); 2500 random points of the template a step (argument_parser.py); Chamfer distance, squared both ways,
mean over points.

Of its two templates this is the one sphere. The 25 squares, its better known one, are open patches that overlap and gape: they
bound no solid, so that no IoU is defined. The last layer says how far a point moves from an ellipsoid that roughly fills the
query volume, at first not at all; theirs says where it goes, and starts from a random fold of the sphere, which a Chamfer
distance does not undo (learning one box by heart: IoU 0.1 against 0.8). Its three stages of training (autoencoder, encoder,
both) are one here, as for every method that is compared.

B batch, N points, S image side, K channels of the code.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.networks.encoder import STAGE_CHANNELS, ResNet18
from training.baselines.deformed_sphere import HALF_AXES, DeformedSphere, icosphere
from training.baselines.nearest import nearest
from training.baselines.widths import scaled
from training.data.dataset import Batch
from training.normalisation import normalise

POINTS = 2500
LEVEL = 4  # of the icosphere that is deformed once trained: 2562 vertices


class AtlasDecoder(nn.Module):
    """Points of the sphere and a code -> points of the surface."""

    half_axes: Tensor

    def __init__(self, code: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(3, code)
        widths = (code, channels, channels, channels)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for channels in widths)
        self.last = nn.Linear(channels, 3)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("half_axes", torch.tensor(HALF_AXES), persistent=False)

    def forward(self, points: Tensor, code: Tensor) -> Tensor:
        """(B, N, 3) of length 1 and (B, K) -> (B, N, 3) float32 as (u, v, z)."""
        batch, count = points.shape[:2]
        with torch.autocast(points.device.type, enabled=False):  # bfloat16 would round coordinates to two digits
            x = self.first(points) + code.float()[:, None]
        x = F.relu(self.norms[0](x.flatten(0, 1)))  # (B N, K)
        for linear, norm in zip(self.hidden, self.norms[1:], strict=True):
            x = F.relu(norm(linear(x)))
        with torch.autocast(points.device.type, enabled=False):
            move: Tensor = self.last(x.float()).view(batch, count, 3)
            return points * self.half_axes + move


class AtlasNet(DeformedSphere):
    """`width` scales the code and the decoder; the ResNet-18 stays whole."""

    template: Tensor

    def __init__(self, width: float = 1.0) -> None:
        sphere, faces = icosphere(LEVEL)
        super().__init__(faces)
        self.register_buffer("template", torch.from_numpy(sphere).float(), persistent=False)
        code = scaled(1024, width)
        self.backbone = ResNet18()
        self.project = nn.Linear(STAGE_CHANNELS[-1], code)
        self.decoder = AtlasDecoder(code, scaled(512, width))
        self.points = torch.Generator().manual_seed(0)  # of the sphere; its own, so that a resumed run draws what it would have

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) normalised -> (B, K) code."""
        code: Tensor = self.project(self.backbone(images)[-1].mean(dim=(2, 3)))
        return code

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Squared Chamfer distance between the true surface and fresh points of the sphere, moved; nothing to observe."""
        code = self.encode(normalise(batch.images))
        drawn = F.normalize(torch.randn(len(code), POINTS, 3, generator=self.points), dim=-1).to(code.device)
        moved = self.decoder(drawn, code)
        loss = nearest(batch.surface, moved).squared.mean() + nearest(moved, batch.surface).squared.mean()
        return loss, loss.new_zeros(0)

    def get_extra_state(self) -> Tensor:
        """torch: what a state dict holds beside weights."""
        return self.points.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        self.points.set_state(state.cpu())

    def vertices(self, images: Tensor) -> Tensor:
        moved: Tensor = self.decoder(self.template.expand(len(images), -1, -1), self.encode(images))
        return moved

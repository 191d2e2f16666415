"""What a phone camera does to a picture, on tensors: light, optics, sensor, tone and JPEG.

n pictures, S their side. Pictures are (n, 3, S, S) float32 sRGB in [0, 1], strengths (n,) float32 unless a line says otherwise.
Each effect is a function of pictures and strengths; `photographed` alone decides which picture gets which, and in what order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from training.configs import PhotometryConfig

Effect = Callable[[Tensor], Tensor]

DISPLAY_GAMMA = 2.2  # sRGB's, nearly: a factor on light is its 2.2th root on values
READ_NOISE = 0.3  # the sensor's own noise beside the light's at full scale
TOE = 0.17  # value up to which the display's curve is nearly straight
GREY_NOISE = math.sqrt(0.5**2 + READ_NOISE**2) / (0.5 + TOE)
BEST_QUALITY, WORST_QUALITY = 95.0, 30.0
LUMA = (0.299, 0.587, 0.114)

# ITU-T T.81, Annex K: the tables that encoders scale by quality.
LUMA_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8 for _ in range(4)),
)


def photographed(images: Tensor, config: PhotometryConfig, generator: torch.Generator) -> Tensor:
    """(B, 3, S, S) in [0, 1] -> the same, as a camera would have taken it: light, optics, sensor, then its software.

    With every strength at 0 the pictures come back as they are and no random number is drawn.
    """

    def either_way(pictures: Tensor, strength: float) -> Tensor:
        return torch.empty(len(pictures), device=images.device).uniform_(-strength, strength, generator=generator)

    def up_to(pictures: Tensor, strength: float) -> Tensor:
        return torch.empty(len(pictures), device=images.device).uniform_(0, strength, generator=generator)

    c = config
    effects: tuple[tuple[float, float, Effect], ...] = (
        (c.exposure, c.exposure_share, lambda x: expose(x, either_way(x, c.exposure))),
        (
            c.white_balance,
            c.white_balance_share,
            lambda x: balance(x, either_way(x, c.white_balance), either_way(x, c.white_balance / 3)),
        ),
        (c.defocus, c.defocus_share, lambda x: defocus(x, up_to(x, c.defocus), math.ceil(c.defocus))),
        (c.motion, c.motion_share, lambda x: shake(x, up_to(x, c.motion), either_way(x, math.pi), math.ceil(c.motion / 2))),
        (c.noise, c.noise_share, lambda x: add_sensor_noise(x, up_to(x, c.noise), generator)),
        (c.tone, c.tone_share, lambda x: bend_tones(x, either_way(x, c.tone), either_way(x, c.tone))),
        (c.saturation, c.saturation_share, lambda x: saturate(x, either_way(x, c.saturation))),
        (c.sharpening, c.sharpening_share, lambda x: sharpen(x, up_to(x, c.sharpening))),
        (c.jpeg, c.jpeg_share, lambda x: compress(x, BEST_QUALITY - up_to(x, c.jpeg * (BEST_QUALITY - WORST_QUALITY)))),
    )
    for strength, share, effect in effects:
        if strength and share:
            images = _on_a_share(images, share, effect, generator)
    return images


def expose(images: Tensor, stops: Tensor) -> Tensor:
    """2^stops times as much light."""
    return images * torch.exp2(stops / DISPLAY_GAMMA).view(-1, 1, 1, 1)


def balance(images: Tensor, warmth: Tensor, tint: Tensor) -> Tensor:
    """Gains of red and blue apart by the factor exp(warmth), green from both by exp(tint); the luma of a grey stays."""
    logarithms = torch.stack([warmth / 2, tint, -warmth / 2], dim=1)
    gains = logarithms.exp()
    return images * (gains / (gains @ gains.new_tensor(LUMA))[:, None])[:, :, None, None]


def defocus(images: Tensor, radius: Tensor, reach: int) -> Tensor:
    """Each point a disc of `radius` pixels, at most `reach`; below half a pixel nothing happens."""
    y, x = _offsets(reach, images.device)
    kernels = (radius.view(-1, 1, 1) + 0.5 - torch.hypot(x, y)).clamp(0, 1)
    return _convolved(images, kernels)


def shake(images: Tensor, length: Tensor, angle: Tensor, reach: int) -> Tensor:
    """Each point a straight path of `length` pixels, at most 2 `reach`, at `angle` radians to the rows."""
    y, x = _offsets(reach, images.device)
    along = length.view(-1, 1, 1, 1) * torch.linspace(-0.5, 0.5, 4 * reach + 1, device=images.device).view(1, -1, 1, 1)
    turn = angle.view(-1, 1, 1, 1)
    kernels = (1 - (x - along * turn.cos()).abs()).clamp(min=0) * (1 - (y - along * turn.sin()).abs()).clamp(min=0)
    return _convolved(images, kernels.sum(1))


def add_sensor_noise(images: Tensor, level: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of the light and of the sensor, with `level` as its standard deviation at middle grey and twice that at black.

    Two parts of its variance are common to the channels and as fine as the pixels, one part is coloured and twice as coarse:
    what demosaicing leaves.
    """
    n, _, height, width = images.shape
    fine = torch.randn((n, 1, height, width), generator=generator, device=images.device)
    coarse = torch.randn((n, 3, -(-height // 2), -(-width // 2)), generator=generator, device=images.device)
    coloured = coarse.mul_(math.sqrt(1 / 3)).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[:, :, :height, :width]
    unit = fine.mul_(math.sqrt(2 / 3)) + coloured
    # On light, which is about the square of the value, the deviation is sqrt(value^2 + READ_NOISE^2); the curve that makes
    # values of light has half the slope 1 / value, but for its toe.
    deviation = (images.square() + READ_NOISE**2).sqrt_().div_(images + TOE).mul_((level / GREY_NOISE).view(-1, 1, 1, 1))
    return torch.addcmul(images, unit, deviation)


def bend_tones(images: Tensor, lift: Tensor, contrast: Tensor) -> Tensor:
    """x + x (1 - x) (2 lift + 2 contrast (2 x - 1)): black and white stay, and the curve rises while both are at most 1/4."""
    slope = (4 * contrast).view(-1, 1, 1, 1)
    offset = (2 * lift - 2 * contrast).view(-1, 1, 1, 1)
    bend = (images * slope).add_(offset).mul_(images)
    return torch.addcmul(images, bend, 1 - images)


def saturate(images: Tensor, gain: Tensor) -> Tensor:
    """Distance from grey of the same luma times 1 + gain."""
    luma = _luma(images)
    return images + (images - luma).mul_(gain.view(-1, 1, 1, 1))


def sharpen(images: Tensor, amount: Tensor) -> Tensor:
    """Unsharp masking: `amount` of the difference from a blurred copy on top."""
    side = images.new_tensor([0.25, 0.5, 0.25])
    blurred = _convolved(images, (side[:, None] * side).expand(len(images), 3, 3))
    return images + (images - blurred).mul_(amount.view(-1, 1, 1, 1))


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """JPEG and back: 8 bits, YCbCr, colour at half the side, 8 by 8 cosine transforms rounded to steps that `quality` scales.

    images: any height and width; quality: (n,) in [1, 100], as the Independent JPEG Group counts it.
    """
    height, width = images.shape[-2:]
    padded = functional.pad((images * 255).round_(), (0, -width % 16, 0, -height % 16), mode="replicate")
    forward, backward = _colour_matrices(images.device)
    centred = torch.einsum("ij,njhw->nihw", forward, padded)
    centred[:, 0] -= 128
    luma = _rounded_blocks(centred[:, :1].round(), LUMA_STEPS, quality)
    small = functional.avg_pool2d(centred[:, 1:].round(), 2).round_()
    chroma = functional.interpolate(_rounded_blocks(small, CHROMA_STEPS, quality), scale_factor=2, mode="bilinear")
    decoded = torch.einsum("ij,njhw->nihw", backward, torch.cat([luma + 128, chroma], dim=1))
    return decoded.round_().clamp_(0, 255)[..., :height, :width] / 255


def _on_a_share(images: Tensor, share: float, effect: Effect, generator: torch.Generator) -> Tensor:
    """The effect on a random share of the pictures, kept in [0, 1]; the others stay as they are, to the bit."""
    if share == 1:
        return effect(images).clamp_(0, 1)
    chosen = (torch.rand(len(images), generator=generator, device=images.device) < share).nonzero()[:, 0]
    if not len(chosen):
        return images
    return images.index_copy(0, chosen, effect(images[chosen]).clamp_(0, 1))


def _luma(images: Tensor) -> Tensor:
    """(n, 3, S, S) -> (n, 1, S, S)."""
    luma = LUMA[0] * images[:, :1]
    return luma.add_(images[:, 1:2], alpha=LUMA[1]).add_(images[:, 2:], alpha=LUMA[2])


def _offsets(reach: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column offsets of a kernel of side 2 reach + 1, as broadcastable (k, 1) and (k,)."""
    offsets = torch.arange(-reach, reach + 1, device=device, dtype=torch.float32)
    return offsets[:, None], offsets


def _convolved(images: Tensor, kernels: Tensor) -> Tensor:
    """Each picture with its own kernel, (n, k, k), brought to sum 1; the border repeats outside."""
    n, channels, height, width = images.shape
    reach = kernels.shape[-1] // 2
    weights = (kernels / kernels.sum((1, 2), keepdim=True)).repeat_interleave(channels, dim=0)[:, None]
    padded = functional.pad(images, (reach,) * 4, mode="replicate").view(1, n * channels, height + 2 * reach, width + 2 * reach)
    return functional.conv2d(padded, weights, groups=n * channels).view(n, channels, height, width)


def _rounded_blocks(plane: Tensor, steps: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """(n, c, H, W), sides multiples of 8, centred on 0: what is left of each 8 by 8 block after rounding its coefficients."""
    n, c, height, width = plane.shape
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None]
    step = ((plane.new_tensor(steps).view(1, 64) * scale + 50) / 100).floor_().clamp_(1, 255).view(n, 1, 64)
    transform = _cosine_transform(plane.device)
    blocks = plane.view(n, c, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(n, -1, 64)
    coefficients = blocks @ transform.T
    kept = (coefficients / step).round_().mul_(step) @ transform
    return kept.view(n, c, height // 8, width // 8, 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(n, c, height, width)


@cache
def _cosine_transform(device: torch.device) -> Tensor:
    """(64, 64), orthonormal: a flattened 8 by 8 block -> its cosine coefficients, row frequency first."""
    frequency, place = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)
    rows = torch.cos((place + 0.5) * frequency * math.pi / 8) / 2
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).float().to(device)


@cache
def _colour_matrices(device: torch.device) -> tuple[Tensor, Tensor]:
    """RGB -> YCbCr around 0 and back, as JFIF defines them: (3, 3) each."""
    red, green, blue = LUMA
    forward = torch.tensor(
        [
            [red, green, blue],
            [-red / (2 - 2 * blue), -green / (2 - 2 * blue), 0.5],
            [0.5, -green / (2 - 2 * red), -blue / (2 - 2 * red)],
        ],
        dtype=torch.float64,
    )
    return forward.float().to(device), forward.inverse().float().to(device)

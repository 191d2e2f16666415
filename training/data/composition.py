"""Training pictures from stored views: the object before a drawn background, through the camera, and cut out as serving would.

B batch, n pictures of one kind, S side of the stored views. Pictures are (n, 3, S, S) float32 sRGB in [0, 1], planes are
(n, 1, S, S), lengths in sides of the picture unless a line says pixels. All draws come from one generator and lie on its device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from training.configs import BackgroundConfig, PhotometryConfig
from training.data.photometry import photographed

Painter = Callable[[int, int, torch.Generator], Tensor]  # how many, side in pixels -> (n, 3, side, side)

NO_PHOTOMETRY = PhotometryConfig()
SHADOW_STRENGTH = (0.4, 1.0)  # of the stored shadow: lamps differ in softness, rooms in stray light
TAKEN_DARKNESS = (0.1, 0.4)  # from where on a shadow may be taken for the object
OUTLINE_CELLS = 7  # along a side, in which a cut's error varies
CLUTTER_SHAPES = 12


def compose(
    rgba: Tensor,
    shadow: Tensor | None,
    config: BackgroundConfig,
    image_size: int,
    generator: torch.Generator,
    photometry: PhotometryConfig = NO_PHOTOMETRY,
) -> Tensor:
    """Stored views as the network will see them: (B, 3, image_size, image_size) float32 in [0, 1].

    rgba: (B, S, S, 4) uint8, straight alpha; shadow: (B, S, S) uint8, what the object's shadow leaves of the light on its
    surroundings (255: all of it), or None. The order is that of serving: a photo, the camera's effects on it, the cut on white
    (for the elements that are cut), the resize. Without errors of the cut, white is white to the bit where alpha is 0.
    """
    views = rgba.permute(0, 3, 1, 2).contiguous().float() / 255
    colour, alpha = views[:, :3], views[:, 3:]
    light = None if shadow is None else shadow[:, None].float() / 255
    kind = _draw_kinds(len(rgba), config, generator)
    cut = (kind == WHITE).nonzero()[:, 0]
    if config.mask_error or (config.shadow_taken and light is not None):  # what a wrong cut lets through: any other background
        hidden = torch.randint(WHITE + 1, len(KINDS), kind.shape, generator=generator, device=kind.device)
        kind = torch.where(kind == WHITE, hidden, kind)
    background = _paint(kind, rgba.shape[1], generator)
    if light is not None and bool((kind != WHITE).any()):  # white is what serving puts there, and has no shadow
        strength = _uniform((len(rgba), 1, 1, 1), *SHADOW_STRENGTH, generator) * (kind != WHITE)[:, None, None, None]
        background = background * (1 - strength * (1 - light))
    photo = photographed(colour * alpha + (1 - alpha) * background, photometry, generator)
    kept = _mistaken_cut(alpha[cut], None if light is None else light[cut], config, generator)
    images = photo.index_copy(0, cut, photo[cut] * kept + (1 - kept))
    if images.shape[-1] != image_size:
        images = functional.interpolate(images, (image_size, image_size), mode="bilinear", antialias=True)
    return images


def _draw_kinds(count: int, config: BackgroundConfig, generator: torch.Generator) -> Tensor:
    """(count,) numbers of `KINDS`; where only one has a weight, nothing is drawn."""
    weights = torch.tensor([getattr(config, name) for name in KINDS], device=generator.device)
    possible = weights.nonzero()[:, 0]
    if len(possible) == 1:
        return possible.expand(count)
    return torch.multinomial(weights, count, replacement=True, generator=generator)


def _paint(kind: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """(B,) numbers of `KINDS` -> (B, 3, side, side), white where the kind is."""
    background = torch.ones(len(kind), 3, side, side, device=kind.device)
    for number, painter in enumerate(KINDS.values()):
        places = (kind == number).nonzero()[:, 0]
        if len(places) and painter is not None:
            background[places] = painter(len(places), side, generator).clamp(0, 1)
    return background


def _mistaken_cut(alpha: Tensor, light: Tensor | None, config: BackgroundConfig, generator: torch.Generator) -> Tensor:
    """What a segmentation would keep, (B, 1, S, S) in [0, 1]: alpha, here too wide and there too narrow, perhaps some shadow."""
    kept = (alpha > 0).float()
    if config.mask_error:
        bias = _uniform((len(alpha), 1, 1, 1), -0.6, 0.6, generator)
        wave = _smooth(len(alpha), alpha.shape[-1], OUTLINE_CELLS, generator)
        strength = _uniform((len(alpha), 1, 1, 1), 0, config.mask_error, generator)
        kept = _moved_outline(alpha, (bias + 2 * wave - 1).clamp(-1, 1) * strength, math.ceil(config.mask_error))
    if config.shadow_taken and light is not None:
        taken = _uniform((len(alpha), 1, 1, 1), 0, 1, generator) < config.shadow_taken
        dark = (8 * (1 - light - _uniform((len(alpha), 1, 1, 1), *TAKEN_DARKNESS, generator))).clamp(0, 1)
        patches = (8 * (_smooth(len(alpha), alpha.shape[-1], 5, generator) - 0.5)).clamp(0, 1)
        # Within the object's own box: beyond it, serving would crop, and place the camera, by the shadow.
        kept = torch.maximum(kept, dark * patches * taken * _box(alpha > 0))
    return kept


def _box(visible: Tensor) -> Tensor:
    """(B, 1, S, S) bool -> the box around what is true, of the same shape."""
    rows, columns = visible.any(3, keepdim=True).byte(), visible.any(2, keepdim=True).byte()
    between_rows = rows.cummax(2).values & rows.flip(2).cummax(2).values.flip(2)
    return (between_rows & columns.cummax(3).values & columns.flip(3).cummax(3).values.flip(3)).bool()


def _moved_outline(alpha: Tensor, offset: Tensor, reach: int) -> Tensor:
    """Alpha with its outline moved outwards by `offset` pixels, (B, 1, S, S), at most `reach`; inwards where negative."""
    moved, wider, narrower = alpha, alpha, alpha
    for step in range(reach):
        wider_next, narrower_next = _spread(wider, step, torch.maximum), _spread(narrower, step, torch.minimum)
        moved = moved + (offset - step).clamp(0, 1) * (wider_next - wider)
        moved = moved + (-offset - step).clamp(0, 1) * (narrower_next - narrower)
        wider, narrower = wider_next, narrower_next
    return moved.clamp(0, 1)


def _spread(plane: Tensor, step: int, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The largest or smallest value within a pixel, over a cross and a square in turn: repeated, they make an octagon."""
    height, width = plane.shape[-2:]
    padded = functional.pad(plane, (1, 1, 1, 1), mode="replicate")
    places = [(row, column) for row in range(3) for column in range(3) if step % 2 or 1 in (row, column)]
    return reduce(choose, [padded[..., row : row + height, column : column + width] for row, column in places])


def _paint_uniform(count: int, side: int, generator: torch.Generator) -> Tensor:
    return _colours(count, generator).expand(-1, -1, side, side)


def _paint_gradient(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Light that falls off, or one colour that passes into another; straight or round."""
    y, x = _pixel_centres(side, generator)
    angle = _uniform((count, 1, 1, 1), -math.pi, math.pi, generator)
    straight = 0.5 + 0.7 * (x * angle.cos() + y * angle.sin())
    centre = _uniform((2, count, 1, 1, 1), -0.5, 0.5, generator)
    around = torch.hypot(x - centre[0], y - centre[1]) / _uniform((count, 1, 1, 1), 0.5, 1.2, generator)
    is_round = _uniform((count, 1, 1, 1), 0, 1, generator) < 0.5
    near, other = _colours(count, generator), _colours(count, generator)
    falls_off = _uniform((count, 1, 1, 1), 0, 1, generator) < 0.7
    far = torch.where(falls_off, near * _uniform((count, 1, 1, 1), 0.3, 0.9, generator), other)
    return torch.lerp(near, far, torch.where(is_round, around, straight).clamp(0, 1))


def _paint_texture(count: int, side: int, generator: torch.Generator) -> Tensor:
    """One surface under uneven light."""
    surfaces = (_paint_blotches, _paint_grain, _paint_tiles, _paint_planks, _paint_speckles)
    which = torch.randint(len(surfaces), (count,), generator=generator, device=generator.device)
    image = torch.empty(count, 3, side, side, device=generator.device)
    for number, surface in enumerate(surfaces):
        places = (which == number).nonzero()[:, 0]
        if len(places):
            image[places] = surface(len(places), side, generator)
    return image * _uneven_light(count, side, generator)


def _paint_blotches(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Concrete, worn paint, cloth: noise of many octaves."""
    return _two_tone(_noise(count, side, 6, generator), generator)


def _paint_grain(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Wood or brushed metal: fine streaks, and bands that wander."""
    u, v = _table_top(count, side, generator)
    return _two_tone(_grain(u, v, generator), generator)


def _paint_tiles(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Tiles, a cutting mat's lines or a chequered cloth."""
    u, v = _table_top(count, side, generator)
    rows = _log_uniform((count, 1, 1, 1), 2, 14, generator)
    return _paved(u * rows, v * rows, rows, generator, chequered=0.4)


def _paint_planks(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Boards side by side, each with its shade and place."""
    u, v = _table_top(count, side, generator)
    rows = _log_uniform((count, 1, 1, 1), 2, 9, generator)
    shift = 7 * _looked_up((v * rows).floor(), torch.zeros_like(v), generator)
    boards = _paved(u * rows / _uniform((count, 1, 1, 1), 4, 10, generator) + shift, v * rows, rows, generator, chequered=0)
    depth = _uniform((count, 1, 1, 1), 0.1, 0.4, generator)
    return boards * (1 + depth * (_grain(u, v, generator) - 0.5))


def _paint_speckles(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Granite, terrazzo, chips on a bench: spots of one size in one more colour."""
    ground = _two_tone(_noise(count, side, 3, generator), generator)
    cells = max(2, side // 2)
    spots = _smooth(count, side, cells, generator) + 0.5 * _smooth(count, side, max(2, side // 5), generator)
    share = _uniform((count, 1, 1, 1), 0.85, 1.2, generator)
    strength = _uniform((count, 1, 1, 1), 0.15, 0.8, generator)
    return torch.lerp(ground, _colours(count, generator), (6 * (spots - share)).clamp(0, 1) * strength)


def _paint_clutter(count: int, side: int, generator: torch.Generator) -> Tensor:
    """An out-of-focus workshop: a table before a wall, and soft boxes, discs and bars of all sizes in front of both.

    Drawn at half the side, since nothing in it is sharp.
    """
    half = -(-side // 2)
    y, x = _pixel_centres(half, generator)
    wall, table = _paint_blotches(count, half, generator), _paint_grain(count, half, generator)
    horizon = _uniform((count, 1, 1, 1), -0.6, 0.3, generator) + x * _uniform((count, 1, 1, 1), -0.15, 0.15, generator)
    softness = _log_uniform((count, 1, 1, 1), 0.015, 0.12, generator)
    image = torch.lerp(wall, table, ((y - horizon) / softness + 0.5).clamp(0, 1))
    for thing in _draw_things(count, softness, generator):  # one after the other: each stands before the last
        coverage, shade = _soft_shape(thing, half, generator)
        image = torch.lerp(image, thing.colour * shade, coverage)
    image = functional.interpolate(image, (side, side), mode="bilinear") if half != side else image
    return image * _uneven_light(count, side, generator)


@dataclass(frozen=True)
class _Thing:
    """A disc, box or bar in each picture; fields are (n, 1, 1, 1) but for the colour, (n, 3, 1, 1)."""

    x: Tensor
    y: Tensor
    along_x: Tensor  # (along, across) = 1 where it ends: its axes in pictures' sides
    along_y: Tensor
    across_x: Tensor
    across_y: Tensor
    is_disc: Tensor
    sharpness: Tensor
    opacity: Tensor
    rounding: Tensor  # how much brighter one side is than the middle
    colour: Tensor


def _draw_things(count: int, softness: Tensor, generator: torch.Generator) -> Iterator[_Thing]:
    """`CLUTTER_SHAPES` times something of its own in each picture."""
    all_of_them = (CLUTTER_SHAPES, count, 1, 1, 1)
    is_upright = _uniform(all_of_them, 0, 1, generator) < 0.6  # most things stand or lie
    angle = torch.where(is_upright, _uniform(all_of_them, -0.08, 0.08, generator), _uniform(all_of_them, 0, math.pi, generator))
    size, slender = _log_uniform(all_of_them, 0.04, 0.35, generator), _log_uniform(all_of_them, 0.4, 2.5, generator)
    width, height = size * slender, size / slender
    colours = _colours(CLUTTER_SHAPES * count, generator).view(CLUTTER_SHAPES, count, 3, 1, 1)
    columns = (
        _uniform(all_of_them, -0.6, 0.6, generator),
        _uniform(all_of_them, -0.6, 0.6, generator),
        angle.cos() / width,
        angle.sin() / width,
        -angle.sin() / height,
        angle.cos() / height,
        _uniform(all_of_them, 0, 1, generator) < 0.35,
        torch.minimum(width, height) / (softness * _uniform(all_of_them, 0.5, 2, generator)),
        _uniform(all_of_them, 0.5, 1, generator),
        _uniform(all_of_them, -0.35, 0.35, generator),
        colours,
    )
    return (_Thing(*(column[number] for column in columns)) for number in range(CLUTTER_SHAPES))


def _soft_shape(thing: _Thing, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coverage and brightness of a thing, planes."""
    y, x = _pixel_centres(side, generator)
    x, y = x - thing.x, y - thing.y
    along, across = x * thing.along_x + y * thing.along_y, x * thing.across_x + y * thing.across_y
    radius = torch.where(thing.is_disc, torch.hypot(along, across), torch.maximum(along.abs(), across.abs()))
    coverage = ((1 - radius) * thing.sharpness + 0.5).clamp_(0, 1) * thing.opacity
    return coverage, 1 + thing.rounding * along.clamp_(-1, 1)


def _paved(u: Tensor, v: Tensor, rows: Tensor, generator: torch.Generator, chequered: float) -> Tensor:
    """Paving with one stone per unit of u and v, `rows` of them a side; `chequered`: how often it has two colours in turn."""
    count, side = len(u), u.shape[-1]
    column, row = u.floor(), v.floor()
    shade = _looked_up(row, column, generator) * _uniform((count, 1, 1, 1), 0, 0.35, generator)
    two_colours = _uniform((count, 1, 1, 1), 0, 1, generator) < chequered
    stones = _colours(count, generator)
    other = stones + (_colours(count, generator) - stones) * _uniform((count, 1, 1, 1), 0.1, 0.8, generator) * two_colours
    image = torch.lerp(stones, other, (row + column).remainder(2)) * (1.1 - shade)
    to_edge = torch.minimum(0.5 - (u - column - 0.5).abs(), 0.5 - (v - row - 0.5).abs())
    joint = _uniform((count, 1, 1, 1), 0, 0.05, generator)
    ink = _uniform((count, 1, 1, 1), 0, 0.8, generator)
    line = ((joint - to_edge) * side / rows + 0.5).clamp(0, 1) * ink  # soft over a pixel
    return torch.lerp(image, _colours(count, generator), line)


def _grain(u: Tensor, v: Tensor, generator: torch.Generator) -> Tensor:
    """Streaks along u, a plane in [0, 1]."""
    count, side = len(u), u.shape[-1]
    streaks = torch.rand((count, 1, side, 6), generator=generator, device=generator.device)
    place = torch.stack([u[:, 0] * 1.2, v[:, 0] * 1.2], dim=-1)  # within [-1, 1] for nearly all of a table top, mirrored beyond
    fine = functional.grid_sample(streaks, place, mode="bilinear", padding_mode="reflection", align_corners=False)
    wander = _smooth(count, side, 4, generator)
    bands = 0.5 + 0.5 * torch.sin(_uniform((count, 1, 1, 1), 10, 90, generator) * v + 8 * wander + 3 * u)
    return torch.lerp(fine, bands, _uniform((count, 1, 1, 1), 0, 0.7, generator))


def _noise(count: int, side: int, octaves: int, generator: torch.Generator) -> Tensor:
    """Value noise stretched over [0, 1], from octaves each twice as fine and weaker by a random factor."""
    persistence = _uniform((count, 1, 1, 1), 0.4, 0.85, generator)
    plane, amplitude = torch.zeros(count, 1, 1, 1, device=generator.device), torch.ones_like(persistence)
    for octave in reversed(range(octaves)):
        cells = -(-side // 2**octave)
        plane = functional.interpolate(plane, (cells, cells), mode="bilinear")
        plane = plane + amplitude * torch.rand(plane.shape, generator=generator, device=generator.device)
        amplitude = amplitude * persistence
    low, high = plane.amin((2, 3), keepdim=True), plane.amax((2, 3), keepdim=True)
    return (plane - low) / (high - low)


def _smooth(count: int, side: int, cells: int, generator: torch.Generator) -> Tensor:
    """One octave: random values of `cells` by `cells` places with smooth passages, a plane in [0, 1]."""
    grid = torch.rand((count, 1, cells, cells), generator=generator, device=generator.device)
    between = functional.interpolate(grid, (side, side), mode="bilinear", align_corners=True)
    return between * between * (3 - 2 * between)


def _looked_up(row: Tensor, column: Tensor, generator: torch.Generator) -> Tensor:
    """A random number in [0, 1] for each whole (row, column), the same wherever it occurs in a picture; repeats after 16."""
    table = torch.rand((len(row), 256), generator=generator, device=generator.device)
    number = (row.remainder(16) * 16 + column.remainder(16)).long()
    return table.gather(1, number.flatten(1)).view(row.shape)


def _two_tone(plane: Tensor, generator: torch.Generator) -> Tensor:
    """A plane in [0, 1] in two colours that are more or less apart."""
    first, second = _colours(len(plane), generator), _colours(len(plane), generator)
    # Most surfaces have one hue: the second colour is the first one, darker or lighter, with a little of another.
    shade = _uniform((len(plane), 1, 1, 1), 0.45, 1.3, generator)
    mixed = torch.lerp(first * shade, second, _uniform((len(plane), 1, 1, 1), 0, 0.35, generator))
    return torch.lerp(first, mixed, plane)


def _colours(count: int, generator: torch.Generator) -> Tensor:
    """Colours of things in rooms, (n, 3, 1, 1): any lightness, mostly pale or grey, wood and paper more often than lilac."""
    value = _uniform((count, 1), 0.08, 1, generator)
    warm = _uniform((count, 1), 0, 1, generator) < 0.5
    saturation = _uniform((count, 1), 0, 1, generator) ** torch.where(warm, 2.0, 3.5) * 0.8
    hue = torch.where(warm, _uniform((count, 1), 0.03, 0.14, generator), _uniform((count, 1), 0, 1, generator))
    thirds = torch.arange(3, device=generator.device) / 3
    distance = (hue - thirds + 0.5).remainder(1) - 0.5
    pure = (2 - 6 * distance.abs()).clamp(0, 1)
    return (value * (1 - saturation * (1 - pure)))[:, :, None, None]


def _uneven_light(count: int, side: int, generator: torch.Generator) -> Tensor:
    """A factor about 1, (n, 1, side, side): brighter on one side, darker in the corners."""
    y, x = _pixel_centres(side, generator)
    slope = _uniform((2, count, 1, 1, 1), -0.35, 0.35, generator)
    vignette = _uniform((count, 1, 1, 1), 0, 0.5, generator)
    return (1.05 + slope[0] * x + slope[1] * y - vignette * (x * x + y * y)).clamp(min=0)


def _table_top(count: int, side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coordinates (u, v) on a plane seen at a slant and turned: planes in about [-1, 1]."""
    y, x = _pixel_centres(side, generator)
    nearness = 1 + _uniform((count, 1, 1, 1), 0, 0.8, generator) * y  # rows further down are nearer
    angle = _uniform((count, 1, 1, 1), -math.pi, math.pi, generator)
    across, away = x / nearness, y / nearness
    return across * angle.cos() + away * angle.sin(), away * angle.cos() - across * angle.sin()


def _pixel_centres(side: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Row and column of the pixels' centres in [-0.5, 0.5], as broadcastable (side, 1) and (side,)."""
    centres = (torch.arange(side, device=generator.device) + 0.5) / side - 0.5
    return centres[:, None], centres


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def _log_uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return _uniform(shape, math.log(low), math.log(high), generator).exp_()


# By the names of their weights in `BackgroundConfig`; white is painted by none.
KINDS: dict[str, Painter | None] = {
    "white": None,
    "uniform": _paint_uniform,
    "gradient": _paint_gradient,
    "texture": _paint_texture,
    "clutter": _paint_clutter,
}
WHITE = 0

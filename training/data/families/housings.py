"""Cases and coolers: enclosures and heat sinks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from manifold3d import Manifold

from training.data.families.draws import chance, integer, pick, uniform
from training.data.families.part import Family
from training.data.families.solids import (
    at_corners,
    block,
    cells,
    centred_cylinder,
    cylinder,
    extruded,
    hex_head,
    polar,
    rounded_block,
    rounded_rectangle,
    spread,
    subtract,
    tube,
    turned,
    union,
    upright,
)


@dataclass(frozen=True)
class HeatSink:
    """A cooler, in mm: plate fins with optional cross cuts, a grid of pins, or radial fins around a bore."""

    style: Literal["fins", "pins", "radial"]
    x: float
    y: float
    base: float
    height: float
    columns: int
    rows: int
    fill: float
    cross_cuts: int
    round_pins: bool
    holes: bool


def draw_heat_sink(rng: np.random.Generator) -> HeatSink:
    style: Literal["fins", "pins", "radial"] = pick(rng, ("fins", "pins", "radial"))
    columns = {"fins": (6, 14), "pins": (5, 9), "radial": (14, 28)}[style]
    return HeatSink(
        style=style,
        x=uniform(rng, 50, 110),
        y=uniform(rng, 50, 110),
        base=uniform(rng, 5, 10),
        height=uniform(rng, 18, 50),
        columns=integer(rng, *columns),
        rows=integer(rng, 5, 9),
        fill=uniform(rng, 0.36, 0.5),
        cross_cuts=integer(rng, 1, 4) if chance(rng, 0.4) else 0,
        round_pins=chance(rng),
        holes=chance(rng, 0.6),
    )


def build_heat_sink(p: HeatSink) -> Manifold:
    if p.style == "radial":
        return _radial_sink(p)
    parts = [block(p.x, p.y, p.base), *(_fins(p) if p.style == "fins" else _pins(p))]
    holes = at_corners(centred_cylinder(2.4, 4 * p.base, 20), p.x / 2 - 6, p.y / 2 - 6) if p.holes and p.style == "pins" else []
    return subtract(union(parts), holes)


def _fins(p: HeatSink) -> list[Manifold]:
    width = p.fill * p.x / p.columns
    fin = block(width, p.y, p.height + 0.1)
    cut = block(2 * p.x, 0.14 * p.y / max(1, p.cross_cuts), p.height + 2)
    cuts = [cut.translate((0, y, 0)) for y in spread(p.cross_cuts, -0.3 * p.y, 0.3 * p.y)]
    fin = subtract(fin, cuts)
    return [fin.translate((x, 0, p.base - 0.1)) for x in spread(p.columns, -(p.x - width) / 2, (p.x - width) / 2)]


def _pins(p: HeatSink) -> list[Manifold]:
    width = p.fill * min(p.x / p.columns, p.y / p.rows) * 1.15
    pin = Manifold.cylinder(p.height, 0.55 * width, 0.45 * width, 16) if p.round_pins else block(width, width, p.height)
    places = [(x, y) for x in cells(p.columns, -p.x / 2, p.x / 2) for y in cells(p.rows, -p.y / 2, p.y / 2)]
    return [pin.translate((x, y, p.base - 0.1)) for x, y in places]


def _radial_sink(p: HeatSink) -> Manifold:
    radius, height = p.x / 2, 1.3 * p.height
    fin = block(0.64 * radius, 4.4 * p.fill * radius / p.columns, height).translate((0.3 * radius, 0, 0))
    fins = polar(fin, p.columns, 0.38 * radius, turn=True)
    body = union([cylinder(0.45 * radius, height), cylinder(0.9 * radius, 0.6 * p.base, 64), *fins])
    return subtract(body, [centred_cylinder(0.26 * radius, 4 * height)])


FrontFeature = Literal["gland", "window", "vents", "socket", "none"]


@dataclass(frozen=True)
class Enclosure:
    """A box for electronics, in mm: open or with a lid, its features along the front wall (-y)."""

    x: float
    y: float
    z: float
    wall: float
    corner: float
    chamfer: float
    open_top: bool
    lid_height: float
    ears: bool
    front: tuple[FrontFeature, ...]
    display: bool
    buttons: int
    standoffs: bool


def draw_enclosure(rng: np.random.Generator) -> Enclosure:
    z = uniform(rng, 28, 70)
    features: tuple[FrontFeature, ...] = ("gland", "window", "vents", "socket", "none")
    return Enclosure(
        x=uniform(rng, 70, 140),
        y=uniform(rng, 60, 110),
        z=z,
        wall=uniform(rng, 2.6, 4),
        corner=uniform(rng, 3, 12),
        chamfer=uniform(rng, 0.8, 2),
        open_top=chance(rng, 0.4),
        lid_height=uniform(rng, 0.6, 0.85) * z,
        ears=chance(rng, 0.6),
        front=tuple(pick(rng, features) for _ in range(integer(rng, 1, 4))),
        display=chance(rng, 0.6),
        buttons=integer(rng, 0, 4),
        standoffs=chance(rng),
    )


def build_enclosure(p: Enclosure) -> Manifold:
    body = rounded_block(p.x, p.y, p.z, p.corner, p.chamfer)
    parts, tools = ([body], _cavity(p)) if p.open_top else ([body, *_lid_parts(p)], _lid_tools(p))
    if p.ears:
        ear = subtract(rounded_block(14, 16, 1.5 * p.wall, 4), [centred_cylinder(2.6, 40, 20)])
        parts = [subtract(e, [block(p.x - 1, p.y, p.z)]) for e in at_corners(ear, p.x / 2 + 5, p.y / 2 - 10)] + parts
    for x, feature in zip(cells(len(p.front), -p.x / 2, p.x / 2), p.front, strict=True):
        added, removed = _front_feature(p, feature, x)
        parts += added
        tools += removed
    shell = subtract(union(parts), tools)
    if not (p.open_top and p.standoffs):
        return shell
    post = tube(3.6, 1.5, 0.3 * p.z, 20)
    return union([shell, *at_corners(post.translate((0, 0, 0.5 * p.wall)), 0.3 * p.x, 0.28 * p.y)])


def _cavity(p: Enclosure) -> list[Manifold]:
    return [rounded_block(p.x - 2 * p.wall, p.y - 2 * p.wall, p.z, max(p.corner - p.wall, 0.5)).translate((0, 0, p.wall))]


def _lid_parts(p: Enclosure) -> list[Manifold]:
    screw = turned([(0, 3.6), (1.6, 3.6), (2.2, 2.8)], 20)
    button = turned([(0, 4.5), (3, 4.5), (4.5, 3.8)], 28)
    buttons = [button.translate((x, 0.27 * p.y, p.z - 0.1)) for x in cells(p.buttons, -0.35 * p.x, 0.35 * p.x)]
    return [*at_corners(screw.translate((0, 0, p.z - 0.1)), p.x / 2 - 8, p.y / 2 - 8), *buttons]


def _lid_tools(p: Enclosure) -> list[Manifold]:
    """The seam between lid and box as a shadow groove, and the display recess."""
    ring = rounded_rectangle(p.x + 4, p.y + 4, p.corner) - rounded_rectangle(p.x - 2.4, p.y - 2.4, p.corner)
    tools = [extruded(ring, 1.6).translate((0, 0, p.lid_height))]
    if p.display:
        tools.append(rounded_block(0.5 * p.x, 0.32 * p.y, 9, 2).translate((0, -0.1 * p.y, p.z - 1.6)))
    return tools


def _front_feature(p: Enclosure, feature: FrontFeature, x: float) -> tuple[list[Manifold], list[Manifold]]:
    """What one place of the front wall adds and removes."""
    d = 0.26 * min(p.x / len(p.front), p.z)
    place = (x, -p.y / 2, 0.45 * p.z)
    if feature == "gland":
        gland = union([hex_head(2 * d, 0.7 * d), cylinder(0.75 * d, 1.6 * d, 28), cylinder(0.45 * d, 2.2 * d, 24)])
        return [gland.rotate((90, 0, 0)).translate((x, -p.y / 2 + 0.2, 0.45 * p.z))], []
    if feature == "window":
        return [], [upright(rounded_rectangle(2.6 * d, 1.6 * d, 1), 2 * p.wall).translate(place)]
    if feature == "vents":
        vent = upright(rounded_rectangle(0.32 * d, 0.5 * p.z, 0.15 * d), 2 * p.wall).translate(place)
        return [], [vent.translate((s * 0.75 * d, 0, 0)) for s in (-1.5, -0.5, 0.5, 1.5)]
    if feature == "socket":
        recess = cylinder(0.8 * d, 2 * d, 28).translate((0, 0, 0.15 * d))
        socket = subtract(rounded_block(2.4 * d, 2.4 * d, 0.6 * d, 0.4 * d), [recess])
        return [socket.rotate((90, 0, 0)).translate((x, -p.y / 2 + 0.2, 0.45 * p.z))], []
    return [], []


HEAT_SINK = Family("heat_sink", "component", draw_heat_sink, build_heat_sink)
ENCLOSURE = Family("enclosure", "other", draw_enclosure, build_enclosure)

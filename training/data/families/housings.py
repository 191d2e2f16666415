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
    """A cooler: plate fins with optional cross cuts, a grid of pins, or radial fins around a bore."""

    style: Literal["fins", "pins", "radial"]
    length: float
    width: float
    base_thickness: float
    fin_height: float
    columns: int
    rows: int
    fill_ratio: float
    cross_cuts: int
    round_pins: bool
    holes: bool


def draw_heat_sink(rng: np.random.Generator) -> HeatSink:
    style: Literal["fins", "pins", "radial"] = pick(rng, ("fins", "pins", "radial"))
    columns = {"fins": (7, 20), "pins": (5, 11), "radial": (16, 32)}[style]
    return HeatSink(
        style=style,
        length=uniform(rng, 50, 110),
        width=uniform(rng, 50, 110),
        base_thickness=uniform(rng, 5, 10),
        fin_height=uniform(rng, 18, 50),
        columns=integer(rng, *columns),
        rows=integer(rng, 5, 11),
        fill_ratio=uniform(rng, 0.26, 0.48),
        cross_cuts=integer(rng, 1, 4) if chance(rng, 0.4) else 0,
        round_pins=chance(rng),
        holes=chance(rng, 0.6),
    )


def build_heat_sink(p: HeatSink) -> Manifold:
    if p.style == "radial":
        return _radial_sink(p)
    parts = [block(p.length, p.width, p.base_thickness), *(_fins(p) if p.style == "fins" else _pins(p))]
    holes = (
        at_corners(centred_cylinder(2.4, 4 * p.base_thickness, 20), p.length / 2 - 6, p.width / 2 - 6)
        if p.holes and p.style == "pins"
        else []
    )
    return subtract(union(parts), holes)


def _fins(p: HeatSink) -> list[Manifold]:
    width = p.fill_ratio * p.length / p.columns
    fin = block(width, p.width, p.fin_height + 0.1)
    cut = block(2 * p.length, 0.14 * p.width / max(1, p.cross_cuts), p.fin_height + 2)
    cuts = [cut.translate((0, y, 0)) for y in spread(p.cross_cuts, -0.3 * p.width, 0.3 * p.width)]
    fin = subtract(fin, cuts)
    return [
        fin.translate((x, 0, p.base_thickness - 0.1)) for x in spread(p.columns, -(p.length - width) / 2, (p.length - width) / 2)
    ]


def _pins(p: HeatSink) -> list[Manifold]:
    width = p.fill_ratio * min(p.length / p.columns, p.width / p.rows) * 1.15
    pin = Manifold.cylinder(p.fin_height, 0.55 * width, 0.45 * width, 16) if p.round_pins else block(width, width, p.fin_height)
    places = [(x, y) for x in cells(p.columns, -p.length / 2, p.length / 2) for y in cells(p.rows, -p.width / 2, p.width / 2)]
    return [pin.translate((x, y, p.base_thickness - 0.1)) for x, y in places]


def _radial_sink(p: HeatSink) -> Manifold:
    radius, height = p.length / 2, 1.3 * p.fin_height
    fin = block(0.64 * radius, 4.4 * p.fill_ratio * radius / p.columns, height).translate((0.3 * radius, 0, 0))
    fins = polar(fin, p.columns, 0.38 * radius, turn=True)
    body = union([cylinder(0.45 * radius, height), cylinder(0.9 * radius, 0.6 * p.base_thickness, 64), *fins])
    return subtract(body, [centred_cylinder(0.26 * radius, 4 * height)])


FrontFeature = Literal["gland", "window", "vents", "socket", "none"]


@dataclass(frozen=True)
class Enclosure:
    """A box for electronics: open or with a lid, its features along the front wall (-y)."""

    length: float
    width: float
    height: float
    wall_thickness: float
    corner_radius: float
    chamfer: float
    open_top: bool
    lid_height: float
    ears: bool
    front_features: tuple[FrontFeature, ...]
    display: bool
    buttons: int
    standoffs: bool


def draw_enclosure(rng: np.random.Generator) -> Enclosure:
    z = uniform(rng, 28, 70)
    features: tuple[FrontFeature, ...] = ("gland", "window", "vents", "socket", "none")
    return Enclosure(
        length=uniform(rng, 70, 140),
        width=uniform(rng, 60, 110),
        height=z,
        wall_thickness=uniform(rng, 2.6, 4),
        corner_radius=uniform(rng, 3, 12),
        chamfer=uniform(rng, 0.8, 2),
        open_top=chance(rng, 0.4),
        lid_height=uniform(rng, 0.6, 0.85) * z,
        ears=chance(rng, 0.6),
        front_features=tuple(pick(rng, features) for _ in range(integer(rng, 1, 4))),
        display=chance(rng, 0.6),
        buttons=integer(rng, 0, 4),
        standoffs=chance(rng),
    )


def build_enclosure(p: Enclosure) -> Manifold:
    body = rounded_block(p.length, p.width, p.height, p.corner_radius, p.chamfer)
    parts, tools = ([body], _cavity(p)) if p.open_top else ([body, *_lid_parts(p)], _lid_tools(p))
    if p.ears:
        ear = subtract(rounded_block(14, 16, 1.5 * p.wall_thickness, 4), [centred_cylinder(2.6, 40, 20)])
        parts = [
            subtract(e, [block(p.length - 1, p.width, p.height)]) for e in at_corners(ear, p.length / 2 + 5, p.width / 2 - 10)
        ] + parts
    for x, feature in zip(cells(len(p.front_features), -p.length / 2, p.length / 2), p.front_features, strict=True):
        added, removed = _front_feature(p, feature, x)
        parts += added
        tools += removed
    shell = subtract(union(parts), tools)
    if not (p.open_top and p.standoffs):
        return shell
    post = tube(3.6, 1.5, 0.3 * p.height, 20)
    return union([shell, *at_corners(post.translate((0, 0, 0.5 * p.wall_thickness)), 0.3 * p.length, 0.28 * p.width)])


def _cavity(p: Enclosure) -> list[Manifold]:
    return [
        rounded_block(
            p.length - 2 * p.wall_thickness,
            p.width - 2 * p.wall_thickness,
            p.height,
            max(p.corner_radius - p.wall_thickness, 0.5),
        ).translate((0, 0, p.wall_thickness))
    ]


def _lid_parts(p: Enclosure) -> list[Manifold]:
    screw = turned([(0, 3.6), (1.6, 3.6), (2.2, 2.8)], 20)
    button = turned([(0, 4.5), (3, 4.5), (4.5, 3.8)], 28)
    buttons = [button.translate((x, 0.27 * p.width, p.height - 0.1)) for x in cells(p.buttons, -0.35 * p.length, 0.35 * p.length)]
    return [*at_corners(screw.translate((0, 0, p.height - 0.1)), p.length / 2 - 8, p.width / 2 - 8), *buttons]


def _lid_tools(p: Enclosure) -> list[Manifold]:
    """The seam between lid and box as a shadow groove, and the display recess."""
    ring = rounded_rectangle(p.length + 4, p.width + 4, p.corner_radius) - rounded_rectangle(
        p.length - 2.4, p.width - 2.4, p.corner_radius
    )
    tools = [extruded(ring, 1.6).translate((0, 0, p.lid_height))]
    if p.display:
        tools.append(rounded_block(0.5 * p.length, 0.32 * p.width, 9, 2).translate((0, -0.1 * p.width, p.height - 1.6)))
    return tools


def _front_feature(p: Enclosure, feature: FrontFeature, x: float) -> tuple[list[Manifold], list[Manifold]]:
    """What one place of the front wall adds and removes."""
    d = 0.26 * min(p.length / len(p.front_features), p.height)
    place = (x, -p.width / 2, 0.45 * p.height)
    if feature == "gland":
        gland = union([hex_head(2 * d, 0.7 * d), cylinder(0.75 * d, 1.6 * d, 28), cylinder(0.45 * d, 2.2 * d, 24)])
        return [gland.rotate((90, 0, 0)).translate((x, -p.width / 2 + 0.2, 0.45 * p.height))], []
    if feature == "window":
        return [], [upright(rounded_rectangle(2.6 * d, 1.6 * d, 1), 2 * p.wall_thickness).translate(place)]
    if feature == "vents":
        vent = upright(rounded_rectangle(0.32 * d, 0.5 * p.height, 0.15 * d), 2 * p.wall_thickness).translate(place)
        return [], [vent.translate((s * 0.75 * d, 0, 0)) for s in (-1.5, -0.5, 0.5, 1.5)]
    if feature == "socket":
        recess = cylinder(0.8 * d, 2 * d, 28).translate((0, 0, 0.15 * d))
        socket = subtract(rounded_block(2.4 * d, 2.4 * d, 0.6 * d, 0.4 * d), [recess])
        return [socket.rotate((90, 0, 0)).translate((x, -p.width / 2 + 0.2, 0.45 * p.height))], []
    return [], []


HEAT_SINK = Family("heat_sink", "component", draw_heat_sink, build_heat_sink, "Coolers with plate fins, pins or radial fins")
ENCLOSURE = Family(
    "enclosure",
    "other",
    draw_enclosure,
    build_enclosure,
    "Boxes for electronics, open or with a lid, with glands, vents and sockets",
)

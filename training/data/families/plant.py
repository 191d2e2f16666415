"""What stands in and around a plant: silos, pipe racks, platforms, halls, storage racks, cranes, towers.

Members are as thick as a picture of the whole needs them, which is thicker than a structural engineer would draw them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

import numpy as np
from manifold3d import CrossSection, Manifold

from training.data.families.draws import chance, integer, pick, uniform, uniforms
from training.data.families.part import Family
from training.data.families.solids import (
    Point3,
    along_x,
    along_y,
    at_corners,
    block,
    bolted_flange,
    cells,
    centred_block,
    centred_cylinder,
    cylinder,
    hull,
    polar,
    polygon,
    rounded_block,
    spread,
    subtract,
    swept_ball,
    torus,
    tube,
    turned,
    union,
    upright,
)


def beam(start: Point3, stop: Point3, width: float) -> Manifold:
    """A square member between two points, with its ends cut off upright."""
    end = centred_block(width, width, width)
    return hull([end.translate(start), end.translate(stop)])


def ladder(height: float, width: float, bar: float, cage_from: float | None) -> Manifold:
    """A ladder up the plane y = 0, seen from -y, with a safety cage towards -y above `cage_from`."""
    stiles = [block(bar, bar, height).translate((s * width / 2, 0, 0)) for s in (-1, 1)]
    rungs = [block(width, bar, bar).translate((0, 0, z)) for z in cells(max(3, round(height / (5 * bar))), 0, height)]
    if cage_from is None or cage_from > 0.8 * height:
        return union([*stiles, *rungs])
    radius = 0.75 * width
    half = block(3 * radius, radius, bar).translate((0, -radius / 2, 0))
    hoop = tube(radius, radius - bar, bar, 24) ^ half
    hoops = [hoop.translate((0, 0, z)) for z in spread(4, cage_from, height - bar)]
    straps = [
        block(bar, bar, height - cage_from).translate((radius * math.cos(a) * 0.96, radius * math.sin(a) * 0.96, cage_from))
        for a in np.radians((200, 245, 295, 340))
    ]
    ties = [block(2 * radius, bar, bar).translate((0, -bar / 2, z)) for z in spread(4, cage_from, height - bar)]
    return union([*stiles, *rungs, *hoops, *straps, *ties])


def railing(x: float, y: float, height: float, bar: float, open_sides: tuple[bool, bool, bool, bool]) -> list[Manifold]:
    """Posts and two rails around an x by y deck at z = 0; sides are -y, +x, +y, -x, and an open one has no rails."""
    corners = [(-x / 2, -y / 2), (x / 2, -y / 2), (x / 2, y / 2), (-x / 2, y / 2)]
    parts = []
    for k, is_open in enumerate(open_sides):
        (x0, y0), (x1, y1) = corners[k], corners[(k + 1) % 4]
        count = max(2, round(math.hypot(x1 - x0, y1 - y0) / (1.4 * height)) + 1)
        parts += [
            block(bar, bar, height).translate((px, py, -bar / 2))
            for px, py in zip(spread(count, x0, x1), spread(count, y0, y1), strict=True)
        ][: 1 if is_open else None]
        if not is_open:
            parts += [beam((x0, y0, z), (x1, y1, z), bar) for z in (0.5 * height, height - bar)]
    return parts


@dataclass(frozen=True)
class Silo:
    """A silo about z, in mm: shell with hoops, roof, hopper on legs or skirt, ladder, pipes."""

    radius: float
    shell: float
    hopper: float
    outlet: float
    roof: Literal["cone", "dome", "flat"]
    roof_height: float
    hoops: int
    legs: int
    ground: float
    leg: float
    skirt: bool
    braced: bool
    ladder: bool
    cage: bool
    railing: bool
    side_pipe: float


def draw_silo(rng: np.random.Generator) -> Silo:
    radius = uniform(rng, 800, 2000)
    return Silo(
        radius=radius,
        shell=radius * uniform(rng, 1.4, 4.2),
        hopper=radius * uniform(rng, 0.8, 1.6),
        outlet=radius * uniform(rng, 0.14, 0.25),
        roof=pick(rng, ("cone", "dome", "flat")),
        roof_height=radius * uniform(rng, 0.2, 0.6),
        hoops=integer(rng, 0, 9),
        legs=integer(rng, 3, 8),
        ground=radius * uniform(rng, 0.3, 1.0),
        leg=radius * uniform(rng, 0.12, 0.2),
        skirt=chance(rng, 0.25),
        braced=chance(rng, 0.6),
        ladder=chance(rng, 0.7),
        cage=chance(rng),
        railing=chance(rng, 0.6),
        side_pipe=radius * uniform(rng, 0.07, 0.13) if chance(rng) else 0.0,
    )


def build_silo(p: Silo) -> Manifold:
    r = p.radius
    low, eaves = p.ground + p.hopper, p.ground + p.hopper + p.shell
    top = eaves + p.roof_height
    bar = 0.015 * top
    roof = {
        "cone": [(eaves, r), (top, 0.15 * r)],
        "dome": [(eaves + p.roof_height * math.sin(t), r * math.cos(t)) for t in np.linspace(0, 1.45, 9)],
        "flat": [(eaves, r), (eaves + 0.08 * r, 1.02 * r), (eaves + 0.1 * r, 0.98 * r)],
    }[p.roof]
    body = turned([(p.ground, p.outlet), (low, r), *roof])
    parts = [body, *(torus(r, 1.2 * bar, 56, 10).translate((0, 0, z)) for z in (spread(p.hoops, low, eaves) if p.hoops else []))]
    nozzle = union(
        [
            cylinder(p.outlet, 0.3 * p.ground + 0.1 * r, 32),
            bolted_flange(1.6 * p.outlet, 1.5 * bar, 8, 0.2 * p.outlet, 1.3 * p.outlet),
        ]
    )
    parts.append(nozzle.translate((0, 0, 0.75 * p.ground)))
    parts += _silo_support(p, low, bar)
    roof_z = top if p.roof != "flat" else eaves + 0.1 * r
    parts.append(cylinder(0.18 * r, 0.3 * r, 28).translate((0, 0, roof_z - 0.12 * r)))
    if p.railing:
        ring = tube(r, r - bar, 1.2 * bar, 48)
        parts += [ring.translate((0, 0, eaves + z)) for z in (0.2 * r, 0.4 * r)]
        posts = polar(block(1.2 * bar, 1.2 * bar, 0.45 * r + bar), 10, r - 0.7 * bar, turn=True)
        parts += [post.translate((0, 0, eaves - 0.05 * r)) for post in posts]
        if p.roof == "flat":
            parts.append(cylinder(r, 0.06 * r, 56).translate((0, 0, eaves - 0.01 * r)))
    if p.ladder:
        steps = ladder(eaves + 0.35 * r, 0.4 * r, bar, 0.35 * eaves if p.cage else None).translate((0, -r - 2.5 * bar, 0))
        ties = [
            block(0.4 * r, 0.35 * r + 3 * bar, 1.2 * bar).translate((0, -0.825 * r - 1.5 * bar, z))
            for z in spread(3, low + 0.1 * p.shell, eaves - 2 * bar)
        ]
        parts += [steps, *ties]
    if p.side_pipe:
        x = r + 1.6 * p.side_pipe
        path = [
            (x, 0.0, p.side_pipe),
            (x, 0.0, roof_z + 0.3 * r),
            (0.4 * r, 0.0, roof_z + 0.3 * r),
            (0.4 * r, 0.0, eaves - 0.1 * r),
        ]
        parts.append(swept_ball(path, p.side_pipe, 20))
        parts += [
            block(2.6 * p.side_pipe, 0.8 * p.side_pipe, 0.6 * p.side_pipe).translate((r + 0.5 * p.side_pipe, 0, z))
            for z in spread(3, low, eaves - 0.2 * r)
        ]
    return union(parts)


def _silo_support(p: Silo, low: float, bar: float) -> list[Manifold]:
    """Legs with feet, ring and braces; or a skirt with a door."""
    r = p.radius
    if p.skirt:
        skirt = tube(r, 0.94 * r, low + 0.05 * r, 56)
        door = block(0.6 * r, 2 * r, 0.75 * low).translate((0, -r, 0.02 * r))
        return [subtract(skirt, [door]), tube(1.06 * r, 0.92 * r, 1.5 * bar, 56)]
    reach = r - 0.3 * p.leg
    leg = union([block(p.leg, p.leg, low + 0.35 * p.shell), block(2 * p.leg, 2 * p.leg, 1.4 * bar)])
    parts = [*polar(leg, p.legs, reach, turn=True), torus(reach, 0.45 * p.leg, 56, 12).translate((0, 0, low))]
    if p.braced:
        feet = [(reach * math.cos(a), reach * math.sin(a)) for a in 2 * math.pi * np.arange(p.legs) / p.legs]
        for k, (x, y) in enumerate(feet):
            x1, y1 = feet[(k + 1) % p.legs]
            parts += [
                beam((x, y, 0.15 * low), (x1, y1, 0.85 * low), 1.2 * bar),
                beam((x1, y1, 0.15 * low), (x, y, 0.85 * low), 1.2 * bar),
            ]
    return parts


@dataclass(frozen=True)
class RackPipe:
    """A pipe along the rack: its place across in [-1, 1], the level that it lies on, and whether it turns down at its end."""

    place_ratio: float
    radius: float
    level: int
    drop: bool


@dataclass(frozen=True)
class PipeRack:
    """Portal frames along x carrying pipes, in mm; `levels` are the heights of their beams' tops, rising."""

    bay: float
    bays: int
    width: float
    levels: tuple[float, ...]
    beam: float
    braced: bool
    pipes: tuple[RackPipe, ...]
    walkway: bool


def draw_pipe_rack(rng: np.random.Generator) -> PipeRack:
    bay, bays = uniform(rng, 2000, 4000), integer(rng, 1, 3)
    total = bay * bays
    width = uniform(rng, 1500, 3500)
    levels = integer(rng, 1, 3)
    first = uniform(rng, 1800, 3000)
    pipes = []
    for level in range(levels):
        places = spread(integer(rng, 2, 5), -0.8, 0.8)
        pipes += [
            RackPipe(place, max(0.012 * total, uniform(rng, 0.03, 0.075) * width), level, chance(rng, 0.35)) for place in places
        ]
    # Pipes and railings grow with the width, and storeys with them.
    rises = [max(uniform(rng, 900, 1400), 0.32 * width) for _ in range(levels)]
    return PipeRack(
        bay=bay,
        bays=bays,
        width=width,
        levels=tuple(accumulate(rises[1:], initial=first)),
        beam=max(0.022 * total, uniform(rng, 120, 220)),
        braced=chance(rng, 0.6),
        pipes=tuple(pipes),
        walkway=chance(rng, 0.3),
    )


def build_pipe_rack(p: PipeRack) -> Manifold:
    a, w, total = p.beam, p.width, p.bay * p.bays
    top = p.levels[-1]
    frames = spread(p.bays + 1, -total / 2, total / 2)
    # Where the flanges of an I section would be too thin to show, the beams are square tubes.
    slender = 0.3 * a < 0.013 * max(1.3 * total, top + 0.4 * w)
    section = CrossSection.square((0.75 * a, 0.75 * a), True) if slender else _i_section(a, a, 0.3 * a)
    half = 0.375 * a if slender else 0.5 * a
    parts = []
    for x in frames:
        column = Manifold.extrude(section, top).rotate((0, 0, 90))
        parts += [column.translate((x, s * w / 2, 0)) for s in (-1, 1)]
        parts += [block(1.6 * a, 1.6 * a, 0.3 * a).translate((x, s * w / 2, 0)) for s in (-1, 1)]
        parts += [along_y(Manifold.extrude(section.rotate(90), w)).translate((x, -w / 2, z - half)) for z in p.levels]
    ties = along_x(Manifold.extrude(section, total)).translate((-total / 2, 0, 0))
    parts += [ties.translate((0, s * w / 2, top - half)) for s in (-1, 1)]
    if p.braced:
        for s in (-1, 1):
            low, high = (frames[0], s * w / 2, 0.3 * a), (frames[1], s * w / 2, p.levels[0])
            parts += [beam(low, high, 0.75 * a), beam((high[0], high[1], low[2]), (low[0], low[1], high[2]), 0.75 * a)]
    for pipe in p.pipes:
        parts += _rack_pipe(p, pipe, p.levels[pipe.level])
    if p.walkway:
        deck = block(total, 0.45 * w, 0.75 * a).translate((0, 0, top + 0.01 * a))
        parts += [
            deck,
            *(s.translate((0, 0, top)) for s in railing(total, 0.45 * w, 0.32 * w, 0.75 * a, (False, True, False, True))),
        ]
    return union(parts)


def _rack_pipe(p: PipeRack, pipe: RackPipe, height: float) -> list[Manifold]:
    radius = pipe.radius
    reach = p.bay * p.bays / 2 + 0.12 * p.bay
    y, z = pipe.place_ratio * (p.width / 2 - 1.2 * radius - p.beam), height + radius - 0.02 * p.beam
    flange = along_x(centred_cylinder(1.5 * radius, 0.7 * radius, 28))
    flanges = [flange.translate((x, y, z)) for x in (-reach, 0.3 * p.bay)]
    if not pipe.drop:
        return [along_x(centred_cylinder(radius, 2 * reach, 24)).translate((0, y, z)), *flanges]
    low = 0.25 * height
    path = [(-reach, y, z), (reach, y, z), (reach, y, low)]
    return [swept_ball(path, radius, 20), *flanges, cylinder(1.5 * radius, 0.7 * radius, 28).translate((reach, y, low - radius))]


def _i_section(height: float, width: float, thickness: float) -> CrossSection:
    """A centred I section with a web as thick as its flanges."""
    room = CrossSection.square(((width - thickness) / 2, height - 2 * thickness), True).translate(
        ((width + thickness) / 4 + 0.01 * width, 0)
    )
    return CrossSection.square((width, height), True) - room - room.mirror((1, 0))


@dataclass(frozen=True)
class AccessPlatform:
    """A working platform on posts, in mm, reached by a caged ladder or by steep stairs, perhaps with a vessel on it."""

    x: float
    y: float
    height: float
    post: float
    access: Literal["ladder", "caged_ladder", "stairs"]
    access_side: int
    rail_height: float
    braced: bool
    grating: int
    load: Literal["none", "vessel", "cabinet", "blower"]
    steps: int
    open_side: int


def draw_access_platform(rng: np.random.Generator) -> AccessPlatform:
    height = uniform(rng, 1200, 4000)
    return AccessPlatform(
        x=uniform(rng, 1200, 3500),
        y=uniform(rng, 1000, 2200),
        height=height,
        post=uniform(rng, 90, 150),
        access=pick(rng, ("ladder", "caged_ladder", "stairs")),
        access_side=pick(rng, (-1, 1)),
        rail_height=uniform(rng, 900, 1150),
        braced=chance(rng, 0.6),
        grating=pick(rng, (0, 0, 4, 7)),
        load=pick(rng, ("none", "none", "vessel", "cabinet", "blower")),
        steps=integer(rng, 6, 12),
        open_side=integer(rng, 0, 3),
    )


def build_access_platform(p: AccessPlatform) -> Manifold:
    x, y, h = p.x, p.y, p.height
    run = 0.75 * h if p.access == "stairs" else 0.0
    bar = 0.0155 * max(x + run, h + p.rail_height, y)
    post = max(p.post, 2 * bar)
    posts = at_corners(union([block(post, post, h), block(1.8 * post, 1.8 * post, 1.2 * bar)]), (x - post) / 2, (y - post) / 2)
    deck = block(x, y, 1.6 * bar)
    holes = [
        block(0.5 * x / p.grating, 0.8 * y, 9 * bar).translate((cx, 0, -bar))
        for cx in (cells(p.grating, -0.45 * x, 0.45 * x) if p.grating else [])
    ]
    edge = [block(x, post, 1.2 * post).translate((0, s * (y - post) / 2, h - 1.2 * post)) for s in (-1, 1)]
    edge += [block(post, y, 1.2 * post).translate((s * (x - post) / 2, 0, h - 1.2 * post)) for s in (-1, 1)]
    parts = [*posts, subtract(deck, holes).translate((0, 0, h - bar)), *edge]
    # The ladder or the stairs come up at the -x end of the -y side or at the +x end: that end of the railing stays open.
    sides = tuple(k == (3 if p.access_side < 0 else 1) if p.access == "stairs" else k == p.open_side for k in range(4))
    rails = railing(x - bar, y - bar, p.rail_height, bar, (sides[0], sides[1], sides[2], sides[3]))
    parts += [s.translate((0, 0, h + 0.5 * bar)) for s in rails]
    if p.braced:
        for s in (-1, 1):
            ends = [(-x / 2 + post / 2, s * (y - post) / 2), (x / 2 - post / 2, s * (y - post) / 2)]
            parts += [beam((*ends[i], 0.15 * h), (*ends[1 - i], 0.9 * h), 1.2 * bar) for i in (0, 1)]
    return union([*parts, *_platform_access(p, bar, run), *_platform_load(p, bar)])


def _platform_access(p: AccessPlatform, bar: float, run: float) -> list[Manifold]:
    x, y, h = p.x, p.y, p.height
    if p.access != "stairs":
        width = min(500.0, 0.4 * y)
        cage = 0.55 * h if p.access == "caged_ladder" else None
        steps = ladder(h + p.rail_height, width, bar, cage)
        ties = [block(width, 3 * bar, bar).translate((0, bar, z)) for z in (h - bar, h + 0.5 * p.rail_height)]
        return [
            s.rotate((0, 0, 90 * p.access_side)).translate((p.access_side * (x / 2 + 0.8 * bar), 0, 0)) for s in (steps, *ties)
        ]
    width = min(800.0, 0.7 * y)
    foot, head = x / 2 + run, x / 2
    parts = [
        hull(
            [
                block(2 * bar, bar, 5 * bar).translate((foot, s * width / 2, 0)),
                block(2 * bar, bar, 5 * bar).translate((head - bar, s * width / 2, h - 5 * bar)),
            ]
        )
        for s in (-1, 1)
    ]
    tread = block(1.3 * run / p.steps, width, 1.1 * bar)
    parts += [tread.translate((head + run * (1 - f), 0, f * h)) for f in cells(p.steps, 0.0, 1.0)]
    lift = 0.85 * p.rail_height
    for s in (-1, 1):
        side = s * width / 2
        parts.append(beam((foot, side, lift), (head, side, h + lift), bar))
        parts += [block(bar, bar, lift).translate((head + run * (1 - f), side, f * h)) for f in (0.08, 0.5, 0.95)]
    return [part if p.access_side > 0 else part.mirror((1, 0, 0)) for part in parts]


def _platform_load(p: AccessPlatform, bar: float) -> list[Manifold]:
    a, z = 0.32 * min(p.x, p.y), p.height
    if p.load == "vessel":
        body = turned([(0.2 * a, 0.3 * a), (0.5 * a, a), (2.2 * a, a), (2.4 * a, 0.85 * a), (2.55 * a, 0.4 * a)])
        solids = [
            body,
            *polar(block(0.25 * a, 0.25 * a, 0.7 * a), 3, 0.85 * a, 30),
            cylinder(0.22 * a, 0.4 * a, 28).translate((0, 0, 2.45 * a)),
        ]
    elif p.load == "cabinet":
        solids = [
            rounded_block(1.6 * a, a, 2.6 * a, 0.05 * a),
            centred_block(1.3 * a, 1.05 * a, 0.2 * a).translate((0, 0, 2.1 * a)),
            centred_block(0.1 * a, 1.12 * a, 0.5 * a).translate((0.6 * a, 0, 1.3 * a)),
        ]
    elif p.load == "blower":
        solids = [
            along_y(centred_cylinder(a, 0.9 * a, 48)).translate((0, 0, 1.1 * a)),
            block(0.8 * a, 0.8 * a, 1.4 * a).translate((-0.55 * a, 0, 1.1 * a)),
            block(1.6 * a, 1.2 * a, 0.3 * a),
            along_y(cylinder(0.5 * a, 1.2 * a, 32)).translate((0, 0, 1.1 * a)),
        ]
    else:
        return []
    return [solid.translate((0, 0, z - 0.2 * bar)) for solid in solids]


@dataclass(frozen=True)
class FactoryHall:
    """A small industrial building, in mm: hall under one of five roofs, windows and gates set back, chimney, annex, vents."""

    x: float
    y: float
    eaves: float
    roof: Literal["gable", "shed", "sawtooth", "barrel", "flat"]
    roof_height: float
    bays: int
    overhang: float
    windows: int
    window_rows: int
    window_height_ratio: float
    gates: int
    gate_width_ratio: float
    pilasters: bool
    chimney: float
    annex: float
    annex_height_ratio: float
    vents: int
    plinth: bool


def draw_factory_hall(rng: np.random.Generator) -> FactoryHall:
    x = uniform(rng, 8000, 40000)
    eaves = x * uniform(rng, 0.15, 0.5)
    return FactoryHall(
        x=x,
        y=x * uniform(rng, 0.35, 0.9),
        eaves=eaves,
        roof=pick(rng, ("gable", "shed", "sawtooth", "barrel", "flat")),
        roof_height=x * uniform(rng, 0.06, 0.2),
        bays=integer(rng, 2, 5),
        overhang=x * uniform(rng, 0.012, 0.04),
        windows=integer(rng, 2, 9),
        window_rows=integer(rng, 1, 4),
        window_height_ratio=uniform(rng, 0.35, 0.7),
        gates=integer(rng, 0, 3),
        gate_width_ratio=uniform(rng, 0.4, 0.8),
        pilasters=chance(rng, 0.4),
        chimney=x * uniform(rng, 0.025, 0.05) if chance(rng, 0.4) else 0.0,
        annex=x * uniform(rng, 0.2, 0.45) if chance(rng, 0.5) else 0.0,
        annex_height_ratio=uniform(rng, 0.35, 0.8),
        vents=integer(rng, 0, 4),
        plinth=chance(rng, 0.4),
    )


def build_factory_hall(p: FactoryHall) -> Manifold:
    x, y, h = p.x, p.y, p.eaves
    recess = 0.015 * x
    tools = [*_hall_windows(p, x, y, h, recess), *_hall_gates(p, recess)]
    parts = [subtract(block(x, y, h), tools), _hall_roof(p)]
    if p.pilasters:
        pilaster = block(0.022 * x, 0.03 * x, h)
        parts += [pilaster.translate((px, s * y / 2, 0)) for px in spread(p.windows + 1, -0.49 * x, 0.49 * x) for s in (-1, 1)]
    if p.plinth:
        parts.append(rounded_block(1.12 * x, y + 0.12 * x, 0.02 * x, 0.02 * x).translate((0, 0, -0.018 * x)))
    if p.annex:
        height = p.annex_height_ratio * h
        body = block(p.annex, 0.5 * y, height)
        annex = subtract(body, _hall_windows(p, p.annex, 0.5 * y, height, recess))
        parapet = block(1.04 * p.annex, 0.54 * y, 0.025 * x).translate((0, 0, height - 0.002 * x))
        parts += [s.translate((x / 2 + 0.48 * p.annex, -0.2 * y, 0)) for s in (annex, parapet)]
    if p.chimney:
        r, height = p.chimney, 1.6 * (h + p.roof_height)
        stack = turned([(0, 1.5 * r), (0.1 * height, 1.2 * r), (0.95 * height, 0.85 * r), (0.96 * height, r), (height, r)], 40)
        bore = cylinder(0.55 * r, 0.2 * height, 32).translate((0, 0, 0.85 * height))
        parts.append(subtract(stack, [bore]).translate((-0.25 * x, y / 2 + 1.2 * r, 0)))
    rise = p.roof_height + 0.08 * x
    cowl = turned([(rise, 0.035 * x), (rise + 0.015 * x, 0.035 * x), (rise + 0.03 * x, 0.008 * x)], 24)
    vent = union([cylinder(0.018 * x, rise + 0.01 * x, 24), cowl])
    parts += [vent.translate((vx, 0, h - 0.05 * x)) for vx in (cells(p.vents, -0.4 * x, 0.4 * x) if p.vents else [])]
    return union(parts)


def _hall_windows(p: FactoryHall, x: float, y: float, h: float, recess: float) -> list[Manifold]:
    """Tools that set rows of panes back into the long walls and into the wall at +x."""
    tools = []
    # The chimney or the annex in front of a pane would close it to a cavity.
    sides = (-1,) if p.chimney and x == p.x else (-1, 1)
    storey = h / p.window_rows
    for row in range(p.window_rows):
        z = (row + 0.55) * storey
        pane = centred_block(0.6 * x / p.windows, 2 * recess, p.window_height_ratio * storey)
        tools += [pane.translate((wx, s * y / 2, z)) for wx in cells(p.windows, -0.47 * x, 0.47 * x) for s in sides]
        count = max(1, round(p.windows * y / x))
        side = centred_block(2 * recess, 0.6 * y / count, p.window_height_ratio * storey)
        if not (p.annex and x == p.x):
            tools += [side.translate((x / 2, wy, z)) for wy in cells(count, -0.45 * y, 0.45 * y)]
    return tools


def _hall_gates(p: FactoryHall, recess: float) -> list[Manifold]:
    """Tools for gates in the wall at -x."""
    if not p.gates:
        return []
    gate = block(3 * recess, p.gate_width_ratio * p.y / p.gates, 0.7 * p.eaves)
    return [gate.translate((-p.x / 2, gy, -0.01 * p.eaves)) for gy in cells(p.gates, -0.47 * p.y, 0.47 * p.y)]


def _hall_roof(p: FactoryHall) -> Manifold:
    x, y, rise, t, over = p.x, p.y, p.roof_height, 0.022 * p.x, p.overhang
    half = y / 2 + over
    if p.roof == "flat":
        wall = subtract(block(x, y, 0.5 * rise + t), [block(x - 3 * t, y - 3 * t, rise).translate((0, 0, t))])
        roof = wall
    elif p.roof == "sawtooth":
        tooth = x / p.bays
        outline = [(-x / 2, -t)]
        outline += [(x / 2, -t), (x / 2, 0.0)]
        for k in reversed(range(p.bays)):
            left = -x / 2 + k * tooth
            outline += [(left + 0.12 * tooth, rise), (left, 0.0)]
        roof = upright(polygon(outline), y)
    else:
        if p.roof == "gable":
            ridge = [(half, 0.0), (0.0, rise), (-half, 0.0)]
        elif p.roof == "shed":
            ridge = [(half, 0.0), (half, 0.3 * rise), (-half, rise), (-half, 0.0)]
        else:
            ridge = [(half * math.cos(t_), rise * math.sin(t_)) for t_ in np.linspace(0, math.pi, 17)]
        outline = [(-half, -t), (half, -t), *ridge]
        roof = upright(polygon(outline), x + 2 * over).rotate((0, 0, 90))
    return roof.translate((0, 0, p.eaves - 0.001 * x))


@dataclass(frozen=True)
class StorageRack:
    """A pallet rack along x, in mm: uprights, beams, and on each shelf place the height of its goods, 0 for an empty one."""

    bay: float
    bays: int
    depth: float
    level: float
    levels: int
    post: float
    beam: float
    goods_ratio: tuple[float, ...]
    per_bay: int
    decks: bool
    back_braced: bool


def draw_storage_rack(rng: np.random.Generator) -> StorageRack:
    bays, levels, per_bay = integer(rng, 1, 3), integer(rng, 2, 4), integer(rng, 1, 3)
    return StorageRack(
        bay=uniform(rng, 1400, 2800),
        bays=bays,
        depth=uniform(rng, 600, 1200),
        level=uniform(rng, 700, 1600),
        levels=levels,
        post=uniform(rng, 80, 120),
        beam=uniform(rng, 100, 150),
        goods_ratio=tuple(uniform(rng, 0.3, 0.85) if chance(rng, 0.6) else 0.0 for _ in range(bays * levels * per_bay)),
        per_bay=per_bay,
        decks=chance(rng, 0.4),
        back_braced=chance(rng),
    )


def build_storage_rack(p: StorageRack) -> Manifold:
    total, height = p.bays * p.bay, (p.levels - 0.35) * p.level + 0.3 * p.level
    bar = 0.016 * max(total, height)
    post, rail = max(p.post, 1.2 * bar), max(p.beam, 1.3 * bar)
    parts = []
    for x in spread(p.bays + 1, -total / 2, total / 2):
        parts += [
            union([block(post, post, height), block(1.8 * post, 1.8 * post, bar)]).translate((x, s * (p.depth - post) / 2, 0))
            for s in (-1, 1)
        ]
        zs = spread(2 * p.levels, 0.1 * p.level, height - 0.1 * p.level)
        ends = [-(p.depth - post) / 2, (p.depth - post) / 2]
        parts += [beam((x, ends[k % 2], low), (x, ends[(k + 1) % 2], high), bar) for k, (low, high) in enumerate(pairwise(zs))]
    floors = [0.12 * p.level + k * p.level for k in range(p.levels)]
    for z in floors:
        parts += [centred_block(total, 0.7 * post, rail).translate((0, s * (p.depth - 0.8 * post) / 2, z)) for s in (-1, 1)]
        if p.decks:
            parts.append(block(total, p.depth - post, 1.1 * bar).translate((0, 0, z + rail / 2 - 1.1 * bar)))
    if p.back_braced:
        y = (p.depth - post) / 2
        parts += [
            beam((-total / 2, y, 0.2 * p.level), (-total / 2 + p.bay, y, height - 0.2 * p.level), bar),
            beam((-total / 2 + p.bay, y, 0.2 * p.level), (-total / 2, y, height - 0.2 * p.level), bar),
        ]
    return union([*parts, *_rack_goods(p, floors, rail, bar)])


def _rack_goods(p: StorageRack, floors: list[float], rail: float, bar: float) -> list[Manifold]:
    """A slatted pallet with a box on every place that is taken."""
    places = cells(p.bays * p.per_bay, -p.bays * p.bay / 2, p.bays * p.bay / 2)
    side = 0.8 * p.bay / p.per_bay
    pallet = union(
        [
            block(side, p.depth, bar).translate((0, 0, 1.6 * bar)),
            *(block(1.6 * bar, p.depth, 1.7 * bar).translate((s * 0.4 * side, 0, 0)) for s in (-1, 0, 1)),
        ]
    )
    parts = []
    for k, share in enumerate(p.goods_ratio):
        if share:
            z = floors[k // len(places)] + rail / 2 - 0.1 * bar
            x = places[k % len(places)]
            box = rounded_block(0.93 * side, 0.92 * p.depth, share * 0.75 * p.level, 0.04 * side).translate((0, 0, 2.5 * bar))
            parts += [pallet.translate((x, 0, z)), box.translate((x, 0, z))]
    return parts


@dataclass(frozen=True)
class Crane:
    """A portal, overhead or jib crane, in mm; trolley place in [-1, 1], hook drop in [0, 1]."""

    style: Literal["portal", "jib", "overhead"]
    span: float
    height: float
    girder: float
    girders: int
    box_girder: bool
    leg_spread: float
    trolley_ratio: float
    hook_ratio: float
    swing_degrees: float
    wheels: bool
    cabin: bool
    braced: bool


def draw_crane(rng: np.random.Generator) -> Crane:
    span = uniform(rng, 3000, 9000)
    return Crane(
        style=pick(rng, ("portal", "portal", "jib", "overhead")),
        span=span,
        height=span * uniform(rng, 0.5, 1.1),
        girder=span * uniform(rng, 0.056, 0.09),
        girders=pick(rng, (1, 2)),
        box_girder=chance(rng),
        leg_spread=span * uniform(rng, 0.2, 0.5),
        trolley_ratio=uniform(rng, -0.8, 0.8),
        hook_ratio=uniform(rng, 0.1, 0.7),
        swing_degrees=uniform(rng, -90, 90),
        wheels=chance(rng, 0.7),
        cabin=chance(rng, 0.3),
        braced=chance(rng),
    )


def build_crane(p: Crane) -> Manifold:
    if p.style == "jib":
        return union(_jib_crane(p))
    a, span, h = p.girder, p.span, p.height
    gauge = 1.8 * a if p.girders == 2 else 0.0
    section = CrossSection.square((0.8 * a, 1.5 * a), True) if p.box_girder else _i_section(1.5 * a, a, 0.28 * a)
    girder = along_x(Manifold.extrude(section, 1.08 * span)).translate((-0.54 * span, 0, h))
    parts = [girder.translate((0, y, 0)) for y in ((-gauge, gauge) if p.girders == 2 else (0.0,))]
    parts += [solid.translate((0.38 * span * p.trolley_ratio, 0, h)) for solid in _hoist(p, gauge)]
    ends = _portal_legs(p, gauge) if p.style == "portal" else _end_carriages(p, gauge)
    if p.cabin and p.style == "portal":
        ends.append(rounded_block(1.8 * a, 1.6 * a, 2.0 * a, 0.15 * a).translate((-0.5 * span + 1.2 * a, 0, h - 2.6 * a)))
    return union([*parts, *ends])


def _hoist(p: Crane, gauge: float) -> list[Manifold]:
    """Trolley, drum, ropes, hook block and hook, about a point on the girders' axis."""
    a = p.girder
    rope = p.hook_ratio * (p.height - 2.5 * a)
    frame = centred_block(1.8 * a, 2 * gauge + 1.6 * a, 0.5 * a).translate((0, 0, 0.9 * a if gauge else -0.75 * a))
    drum = along_y(centred_cylinder(0.5 * a, gauge + 1.2 * a, 32)).translate((0, 0, 1.2 * a if gauge else -1.2 * a))
    low = -1.2 * a - rope
    ropes = [cylinder(0.15 * a, rope + (2.6 * a if gauge else 0.6 * a), 12).translate((s * 0.35 * a, 0, low)) for s in (-1, 1)]
    pulley = along_y(centred_cylinder(0.55 * a, 0.5 * a, 28)).translate((0, 0, low))
    ring = subtract(torus(0.4 * a, 0.15 * a, 28, 12), [block(a, a, a).translate((0.5 * a, 0.5 * a, -0.5 * a))])
    hook = union(
        [cylinder(0.16 * a, 0.9 * a, 16).translate((0, 0, -0.9 * a)), ring.rotate((90, 0, 0)).translate((0, 0, -1.25 * a))]
    ).translate((0, 0, low))
    return [frame, drum, *ropes, pulley, hook]


def _portal_legs(p: Crane, gauge: float) -> list[Manifold]:
    a, reach, h = p.girder, 0.46 * p.span, p.height
    parts: list[Manifold] = []
    for s in (-1, 1):
        x = s * reach
        cap = centred_block(1.1 * a, 2 * gauge + 1.2 * a, 0.6 * a).translate((x, 0, h - 0.8 * a))
        legs = [
            hull(
                [
                    centred_block(a, 0.9 * a, 0.3 * a).translate((x, k * max(gauge, 0.35 * a), h - 0.8 * a)),
                    centred_block(0.7 * a, 0.6 * a, 0.3 * a).translate((x, k * p.leg_spread / 2, 0.9 * a)),
                ]
            )
            for k in (-1, 1)
        ]
        sill = centred_block(0.8 * a, p.leg_spread + 1.6 * a, 0.7 * a).translate((x, 0, 0.8 * a))
        parts += [cap, *legs, sill]
        if p.braced:
            parts.append(centred_block(0.5 * a, 0.65 * p.leg_spread + gauge, 0.45 * a).translate((x, 0, 0.5 * h)))
        if p.wheels:
            tyre = along_x(centred_cylinder(0.45 * a, 0.45 * a, 28))
            parts += [tyre.translate((x, k * (p.leg_spread / 2 + 0.2 * a), 0.4 * a)) for k in (-1, 1)]
    return parts


def _end_carriages(p: Crane, gauge: float) -> list[Manifold]:
    """Carriages on short runway beams, as under a hall's roof."""
    a, reach, h = p.girder, 0.52 * p.span, p.height
    length = 2 * gauge + 3.5 * a
    carriage = centred_block(1.1 * a, length, 0.9 * a)
    runway = along_y(Manifold.extrude(_i_section(1.1 * a, 1.3 * a, 0.3 * a).rotate(90), 1.6 * length)).translate(
        (0, -0.8 * length, 0)
    )
    parts = []
    for s in (-1, 1):
        parts += [carriage.translate((s * reach, 0, h - 0.6 * a)), runway.translate((s * reach, 0, h - 1.7 * a))]
        parts += [
            along_x(centred_cylinder(0.4 * a, 0.5 * a, 24)).translate((s * reach, k * 0.38 * length, h - 1.0 * a))
            for k in (-1, 1)
        ]
        if p.braced:
            parts += [block(0.9 * a, 0.9 * a, h - 1.7 * a).translate((s * reach, k * 0.7 * length, 0)) for k in (-1, 1)]
    return parts


def _jib_crane(p: Crane) -> list[Manifold]:
    a, h, arm = p.girder, p.height, 0.6 * p.span
    column = union(
        [
            cylinder(0.7 * a, 1.15 * h, 36),
            subtract(cylinder(2.2 * a, 0.35 * a, 48), polar(centred_cylinder(0.16 * a, 9 * a, 14), 8, 1.8 * a)),
        ]
    )
    gussets = polar(
        hull(
            [
                block(0.3 * a, 0.3 * a, 1.6 * a).translate((0.7 * a, 0, 0)),
                block(0.3 * a, 0.3 * a, 0.5 * a).translate((1.7 * a, 0, 0)),
            ]
        ),
        6,
        0,
        turn=True,
    )
    section = CrossSection.square((0.7 * a, 1.1 * a), True) if p.box_girder else _i_section(1.1 * a, 0.9 * a, 0.28 * a)
    girder = along_x(Manifold.extrude(section, arm)).translate((0, 0, h))
    collar = cylinder(0.95 * a, 1.6 * a, 36).translate((0, 0, h - 0.8 * a))
    jib = [girder, collar, *(solid.translate((arm * (0.6 + 0.35 * p.trolley_ratio), 0, h)) for solid in _hoist(p, 0.0))]
    if p.braced:
        jib += [
            beam((0, 0, 1.13 * h), (0.7 * arm, 0, h + 0.4 * a), 0.35 * a),
            cylinder(0.9 * a, 0.8 * a, 32).translate((0, 0, 1.1 * h)),
        ]
    else:
        jib.append(beam((0, 0, 0.82 * h), (0.3 * arm, 0, h - 0.3 * a), 0.5 * a))
    if p.cabin:
        jib.append(rounded_block(1.2 * a, 0.6 * a, 1.8 * a, 0.1 * a).translate((-1.0 * a, 0, 0.5 * h)))
        jib.append(block(1.2 * a, 0.4 * a, 0.4 * a).translate((-0.5 * a, 0, 0.5 * h + 0.7 * a)))
    return [column, *gussets, union(jib).rotate((0, 0, p.swing_degrees))]


@dataclass(frozen=True)
class LatticeTower:
    """A tapering lattice tower, in mm, with what stands on top; `levels` are counted from the ground."""

    height: float
    base: float
    top: float
    levels: int
    sides: int
    member: float
    cross: bool
    platforms: int
    head: Literal["none", "tank", "antennas", "lamps", "bell"]
    dish_ratio: tuple[float, ...]


def draw_lattice_tower(rng: np.random.Generator) -> LatticeTower:
    height = uniform(rng, 6000, 20000)
    base = height * uniform(rng, 0.2, 0.42)
    return LatticeTower(
        height=height,
        base=base,
        top=base * uniform(rng, 0.35, 0.9),
        levels=integer(rng, 3, 6),
        sides=pick(rng, (3, 4, 4)),
        member=height * uniform(rng, 0.019, 0.026),
        cross=chance(rng),
        platforms=integer(rng, 0, 2),
        head=pick(rng, ("none", "tank", "antennas", "lamps", "bell")),
        dish_ratio=uniforms(rng, integer(rng, 0, 3), 0.4, 0.95),
    )


def build_lattice_tower(p: LatticeTower) -> Manifold:
    a = p.member
    zs = [p.height * (1 - (1 - k / p.levels) ** 1.2) for k in range(p.levels + 1)]
    rings = [_tower_ring(p, z) for z in zs]
    parts = []
    for k in range(p.sides):
        parts.append(swept_ball([rings[0][k], rings[-1][k]], 0.7 * a, 12))
        parts.append(cylinder(1.6 * a, 0.8 * a, 20).translate((rings[0][k][0], rings[0][k][1], -0.7 * a)))
        after = (k + 1) % p.sides
        for level, (low, high) in enumerate(pairwise(rings)):
            parts.append(beam(high[k], high[after], 0.85 * a))
            flip = (level + k) % 2 == 1
            parts.append(beam(low[after if flip else k], high[k if flip else after], 0.8 * a))
            if p.cross:
                parts.append(beam(low[k if flip else after], high[after if flip else k], 0.8 * a))
    for level in range(p.platforms):
        z = zs[-1 - level]
        x = 2 * math.hypot(*_tower_ring(p, z)[0][:2]) + 3 * a
        parts.append(rounded_block(x, x, 0.9 * a, a).translate((0, 0, z - 0.4 * a)))
        parts += [s.translate((0, 0, z + 0.4 * a)) for s in railing(0.96 * x, 0.96 * x, 0.09 * p.height, 0.8 * a, (False,) * 4)]
    return union([*parts, *_tower_head(p), *_tower_dishes(p)])


def _tower_ring(p: LatticeTower, z: float) -> list[Point3]:
    """The corners of the tower at a height."""
    radius = (p.base + (p.top - p.base) * z / p.height) / (2 * math.sin(math.pi / p.sides))
    angles = 2 * math.pi * (np.arange(p.sides) + 0.5) / p.sides
    return [(radius * math.cos(t), radius * math.sin(t), z) for t in angles]


def _tower_head(p: LatticeTower) -> list[Manifold]:
    a, h = p.member, p.height
    r = math.hypot(*_tower_ring(p, h)[0][:2])
    plate = cylinder(1.15 * r + a, a, 36).translate((0, 0, h - 0.5 * a))
    if p.head == "tank":
        return [
            plate,
            turned([(h, 0.9 * r), (h + 0.15 * r, 1.3 * r), (h + 1.6 * r, 1.3 * r), (h + 2.1 * r, 0.3 * r)], 48),
            cylinder(0.25 * r, h, 24),
        ]
    if p.head == "antennas":
        rods = [
            cylinder(0.65 * a, height * h, 12).translate((x * r, y * r, h))
            for x, y, height in ((0, 0, 0.3), (0.6, 0.2, 0.16), (-0.4, -0.5, 0.2))
        ]
        panels = polar(block(1.2 * a, 2.6 * a, 0.14 * h).translate((0, 0, h)), 3, r, turn=True)
        return [plate, *rods, *panels]
    if p.head == "lamps":
        bar = block(2.6 * r, 1.2 * a, 1.2 * a).translate((0, 0, h + 2 * a))
        lamps = [
            centred_block(1.4 * a, 2.6 * a, 3.4 * a).rotate((25, 0, 0)).translate((x, -1.4 * a, h + 3.4 * a))
            for x in spread(4, -1.2 * r, 1.2 * r)
        ]
        return [plate, bar, *lamps, cylinder(a, 2.5 * a, 20).translate((0, 0, h))]
    if p.head == "bell":
        return [
            plate,
            turned(
                [(h, 1.05 * r), (h + 0.2 * r, 1.05 * r), (h + 0.4 * r, 0.6 * r), (h + 1.4 * r, 0.5 * r), (h + 1.6 * r, 0.1 * r)],
                40,
            ),
        ]
    return [plate]


def _tower_dishes(p: LatticeTower) -> list[Manifold]:
    """Dish antennas, each on a stub through one of the legs."""
    parts = []
    for k, share in enumerate(p.dish_ratio):
        z = share * p.height
        r = math.hypot(*_tower_ring(p, z)[0][:2])
        size = 0.045 * p.height
        dish = turned([(0, 0.3 * size), (0.25 * size, 0.75 * size), (0.6 * size, size), (0.75 * size, size)], 32)
        bowl = turned([(0.32 * size, 0.2 * size), (0.5 * size, 0.6 * size), (0.8 * size, 0.85 * size)], 32)
        stub = cylinder(0.7 * p.member, 2 * r + 0.2 * size, 14).translate((0, 0, -2 * r))
        solid = along_x(union([subtract(dish, [bowl]), stub])).translate((r + 0.3 * size, 0, z))
        parts.append(solid.rotate((0, 0, 360 * (k + 0.5) / p.sides)))
    return parts


# Braces and rails are thinner.
SILO = Family(
    "silo", "structure", draw_silo, build_silo, "Silo with hopper on legs or a skirt, ladder and pipes", thinnest_wall=2.5
)
# Braces and rails are thinner.
PIPE_RACK = Family(
    "pipe_rack",
    "structure",
    draw_pipe_rack,
    build_pipe_rack,
    "Portal frames carrying pipes on one to three levels",
    thinnest_wall=2.5,
)
# Braces and rails are thinner.
ACCESS_PLATFORM = Family(
    "access_platform",
    "structure",
    draw_access_platform,
    build_access_platform,
    "Working platform on posts with ladder or stairs",
    thinnest_wall=2.5,
)
# Eaves and the rims of pilasters run out thin.
FACTORY_HALL = Family(
    "factory_hall",
    "structure",
    draw_factory_hall,
    build_factory_hall,
    "Small industrial building with windows, gates, chimney and annex",
    thinnest_wall=2.0,
)
STORAGE_RACK = Family(
    "storage_rack", "structure", draw_storage_rack, build_storage_rack, "Pallet rack with goods on some of its places"
)
# Braces and rails are thinner.
CRANE = Family(
    "crane", "structure", draw_crane, build_crane, "Portal, overhead or jib crane with trolley and hook", thinnest_wall=2.5
)
# Braces and rails are thinner.
LATTICE_TOWER = Family(
    "lattice_tower",
    "structure",
    draw_lattice_tower,
    build_lattice_tower,
    "Tapering lattice tower with platforms, tank, antennas or lamps",
    thinnest_wall=2.5,
)

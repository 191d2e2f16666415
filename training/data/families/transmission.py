"""What carries torque: shafts, gears, pulleys, sprockets, couplings, bearings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from manifold3d import Manifold

from training.data.families.draws import chance, integer, pick, uniform, uniforms
from training.data.families.part import Family
from training.data.families.solids import (
    along_x,
    along_y,
    block,
    centred_block,
    centred_cylinder,
    cylinder,
    extruded,
    gear_outline,
    hull,
    keyway,
    polar,
    polygon,
    rounded_block,
    rounded_rectangle,
    sector,
    sprocket_outline,
    subtract,
    thread,
    tube,
    turned,
    union,
)

StepFeature = Literal["none", "keyway", "groove", "flats"]


@dataclass(frozen=True)
class ShaftStep:
    """One turned step, in mm; `place` is where along it a groove sits, as a fraction."""

    radius: float
    length: float
    feature: StepFeature
    place: float


@dataclass(frozen=True)
class SteppedShaft:
    """A shaft along x; gear_teeth is None without a toothed step, threaded_end its pitch over its diameter, or None."""

    steps: tuple[ShaftStep, ...]
    gear_teeth: int | None
    threaded_end: float | None


def draw_stepped_shaft(rng: np.random.Generator) -> SteppedShaft:
    count = integer(rng, 3, 7)
    radii = [uniform(rng, 8, 14)]
    for k in range(1, count):
        radii.append(radii[-1] * (uniform(rng, 1.1, 1.5) if k <= count // 2 else uniform(rng, 0.65, 0.92)))
    steps = tuple(
        ShaftStep(
            r,
            r * uniform(rng, 0.8, 2.6),
            pick(rng, ("none", "none", "keyway", "keyway", "groove", "flats")),
            uniform(rng, 0.25, 0.75),
        )
        for r in radii
    )
    return SteppedShaft(
        steps=steps,
        gear_teeth=integer(rng, 16, 28) if chance(rng, 0.4) else None,
        threaded_end=uniform(rng, 0.14, 0.2) if chance(rng, 0.4) else None,
    )


def build_stepped_shaft(p: SteppedShaft) -> Manifold:
    starts = np.concatenate([[0.0], np.cumsum([s.length for s in p.steps])])
    profile: list[tuple[float, float]] = []
    for start, s in zip(starts, p.steps, strict=False):
        chamfer, stop = 0.08 * s.radius, start + s.length
        profile += [
            (start, s.radius - chamfer),
            (start + chamfer, s.radius),
            (stop - chamfer, s.radius),
            (stop, s.radius - chamfer),
        ]
    parts = [turned(profile)]
    if p.threaded_end is not None:
        d = 1.7 * p.steps[-1].radius
        parts.append(thread(d, 1.2 * d, p.threaded_end * d).translate((0, 0, starts[-1] - 0.5)))
    toothed = len(p.steps) // 2 if p.gear_teeth is not None else None
    if toothed is not None and p.gear_teeth is not None:
        s = p.steps[toothed]
        # The root circle lies 0.15 modules outside the step.
        teeth = gear_outline(2 * s.radius / (p.gear_teeth - 2.8), p.gear_teeth)
        parts.append(extruded(teeth, 0.8 * s.length).translate((0, 0, starts[toothed] + 0.1 * s.length)))
    tools = [
        _step_tool(s).translate((0, 0, start))
        for k, (start, s) in enumerate(zip(starts, p.steps, strict=False))
        if s.feature != "none" and k != toothed
    ]
    return along_x(subtract(union(parts), tools))


def _step_tool(s: ShaftStep) -> Manifold:
    r, length = s.radius, s.length
    if s.feature == "keyway":
        slot = extruded(rounded_rectangle(0.55 * r, 0.8 * length, 0.27 * r), r)
        return slot.translate((0, 0, 0.62 * r)).rotate((-90, 0, 0)).translate((0, 0, length / 2))
    if s.feature == "groove":
        width = 0.22 * r
        return tube(1.5 * r, 0.8 * r, width).translate((0, 0, s.place * (length - width)))
    flats = [block(3 * r, r, 0.5 * length).translate((0, side * 1.28 * r, 0.25 * length)) for side in (-1, 1)]
    return union(flats)


@dataclass(frozen=True)
class SpurGear:
    """A gear that lies flat, in mm; helix in degrees; windows is the number of round cut-outs in the web."""

    module: float
    teeth: int
    width: float
    helix: float
    bore: float
    hub_radius: float
    hub_height: float
    rim_radius: float
    web_recess: float
    windows: int
    window_size: float
    keyed: bool


def draw_spur_gear(rng: np.random.Generator) -> SpurGear:
    module, teeth = uniform(rng, 2, 5), integer(rng, 14, 48)
    pitch_radius = module * teeth / 2
    width = uniform(rng, 0.2, 0.6) * pitch_radius
    bore = uniform(rng, 0.15, 0.3) * pitch_radius
    return SpurGear(
        module=module,
        teeth=teeth,
        width=width,
        helix=uniform(rng, -25, 25) if chance(rng, 0.4) else 0.0,
        bore=bore,
        hub_radius=bore * uniform(rng, 1.5, 2.1),
        hub_height=width * uniform(rng, 1.2, 1.8) if chance(rng, 0.6) else width,
        rim_radius=pitch_radius - module * uniform(rng, 2.5, 3.7),
        web_recess=uniform(rng, 0.12, 0.36),
        windows=pick(rng, (0, 0, 3, 4, 5, 6)),
        window_size=uniform(rng, 0.5, 0.8),
        keyed=chance(rng, 0.7),
    )


def build_spur_gear(p: SpurGear) -> Manifold:
    tip, m = p.module * (p.teeth / 2 + 1), p.module
    twist = math.degrees(p.width * math.tan(math.radians(p.helix)) / (m * p.teeth / 2))
    blank = Manifold.extrude(gear_outline(m, p.teeth), p.width, 8 if p.helix else 0, twist)
    blank ^= turned([(0, tip - 0.4 * m), (0.41 * m, tip + 0.01), (p.width - 0.41 * m, tip + 0.01), (p.width, tip - 0.4 * m)])
    tools = _web_tools(p)
    if p.hub_height > p.width:
        blank = union([blank, cylinder(p.hub_radius, p.hub_height, 64)])
    tools.append(centred_cylinder(p.bore, 6 * p.width, 64))
    if p.keyed:
        tools.append(keyway(0.6 * p.bore, 1.32 * p.bore, 3 * p.width))
    return subtract(blank, tools)


def _web_tools(p: SpurGear) -> list[Manifold]:
    """Recesses on both sides between hub and rim, and the windows; none where the web would be too narrow to see."""
    web = p.rim_radius - p.hub_radius
    if web < 0.3 * p.hub_radius:
        return []
    depth = p.web_recess * p.width
    recess = tube(p.rim_radius, p.hub_radius, depth + 1, 64)
    tools = [recess.translate((0, 0, p.width - depth)), recess.translate((0, 0, -1))]
    if p.windows:
        middle = (p.rim_radius + p.hub_radius) / 2
        # Neighbouring windows keep a spoke between them.
        radius = min(p.window_size * web / 2, 0.75 * middle * math.sin(math.pi / p.windows))
        tools += polar(centred_cylinder(radius, 4 * p.width, 40), p.windows, middle, 90 + 180 / p.windows)
    return tools


@dataclass(frozen=True)
class Pulley:
    """A belt pulley with its axis along y, in mm."""

    radius: float
    grooves: int
    groove_pitch: float
    groove_depth: float
    bore: float
    hub_radius: float
    hub_width: float
    rim: float
    web_recess: float
    web: Literal["solid", "holes", "spokes"]
    openings: int


def draw_pulley(rng: np.random.Generator) -> Pulley:
    radius = uniform(rng, 38, 80)
    pitch = uniform(rng, 9, 15)
    bore = radius * uniform(rng, 0.12, 0.24)
    return Pulley(
        radius=radius,
        grooves=integer(rng, 1, 4),
        groove_pitch=pitch,
        groove_depth=pitch * uniform(rng, 0.6, 0.85),
        bore=bore,
        hub_radius=bore * uniform(rng, 1.6, 2.1),
        hub_width=uniform(rng, 1.0, 1.5),
        rim=uniform(rng, 4, 8),
        web_recess=uniform(rng, 0.2, 0.36),
        web=pick(rng, ("solid", "holes", "spokes")),
        openings=integer(rng, 3, 6),
    )


def build_pulley(p: Pulley) -> Manifold:
    width = p.grooves * p.groove_pitch + 6
    pulley = union([subtract(cylinder(p.radius, width, 80), _grooves(p) + _pulley_web(p, width)), _pulley_hub(p, width)])
    return along_y(subtract(pulley, [centred_cylinder(p.bore, 6 * width, 64), keyway(0.5 * p.bore, 1.3 * p.bore, 3 * width)]))


def _grooves(p: Pulley) -> list[Manifold]:
    root, outside, pitch = p.radius - p.groove_depth, p.radius + 1, p.groove_pitch
    tools = []
    for k in range(p.grooves):
        z = 3 + pitch * (k + 0.5)
        vee = polygon(
            [(root, z - 0.18 * pitch), (outside, z - 0.42 * pitch), (outside, z + 0.42 * pitch), (root, z + 0.18 * pitch)]
        )
        tools.append(Manifold.revolve(vee, 80))
    return tools


def _pulley_hub(p: Pulley, width: float) -> Manifold:
    return cylinder(p.hub_radius, width * p.hub_width, 64)


def _pulley_web(p: Pulley, width: float) -> list[Manifold]:
    inner_rim = p.radius - p.groove_depth - p.rim
    room = inner_rim - p.hub_radius
    if room < 0.25 * p.hub_radius:
        return []
    depth = width * p.web_recess
    recess = tube(inner_rim, p.hub_radius, depth + 1, 64)
    tools = [recess.translate((0, 0, width - depth)), recess.translate((0, 0, -1))]
    if p.web == "holes":
        middle = (inner_rim + p.hub_radius) / 2
        radius = min(0.36 * room, 0.75 * middle * math.sin(math.pi / p.openings))
        tools += polar(centred_cylinder(radius, 4 * width, 40), p.openings, middle)
    if p.web == "spokes":
        spokes = union(polar(centred_block(inner_rim, 0.7 * p.hub_radius, 4 * width), p.openings, inner_rim / 2, turn=True))
        tools.append(tube(inner_rim, p.hub_radius, 2 * width, 64).translate((0, 0, -width / 2)) - spokes)
    return tools


@dataclass(frozen=True)
class Sprocket:
    """A roller-chain wheel with its axis along y, in mm."""

    pitch: float
    teeth: int
    width: float
    rows: int
    bore: float
    hub_radius: float
    hub_height: float
    holes: int
    keyed: bool


def draw_sprocket(rng: np.random.Generator) -> Sprocket:
    teeth = integer(rng, 12, 40)
    pitch = uniform(rng, 8, 14)
    radius = pitch * teeth / (2 * math.pi)
    bore = uniform(rng, 0.18, 0.32) * radius
    return Sprocket(
        pitch=pitch,
        teeth=teeth,
        width=max(0.5 * pitch, 0.07 * radius),
        rows=pick(rng, (1, 1, 2)),
        bore=bore,
        hub_radius=bore * uniform(rng, 1.5, 1.9),
        hub_height=uniform(rng, 1.2, 3.5) * pitch,
        holes=pick(rng, (0, 4, 5, 6, 8)),
        keyed=chance(rng, 0.7),
    )


def build_sprocket(p: Sprocket) -> Manifold:
    radius = p.pitch / (2 * math.sin(math.pi / p.teeth))
    tip = radius + 0.33 * p.pitch
    # Teeth thin out towards the tip on both sides, so that the chain finds them.
    relief = turned([(0, tip - 0.5 * p.pitch), (0.3 * p.width, tip), (0.7 * p.width, tip), (p.width, tip - 0.5 * p.pitch)])
    row = extruded(sprocket_outline(p.pitch, p.teeth), p.width) ^ relief
    spacing = 1.4 * p.pitch
    height = p.width + (p.rows - 1) * spacing
    parts = [row.translate((0, 0, k * spacing)) for k in range(p.rows)]
    if p.rows > 1:
        parts.append(cylinder(radius - 0.7 * p.pitch, height, 64))
    parts.append(cylinder(p.hub_radius, height + p.hub_height, 64))
    tools = [centred_cylinder(p.bore, 8 * (height + p.hub_height), 64)]
    room = radius - 0.7 * p.pitch - p.hub_radius
    if p.holes and room > 0.5 * p.hub_radius:
        middle = p.hub_radius + 0.48 * room
        size = min(0.33 * room, 0.7 * middle * math.sin(math.pi / p.holes))
        tools += polar(centred_cylinder(size, 4 * height, 32), p.holes, middle)
    if p.keyed:
        tools.append(keyway(0.55 * p.bore, 1.3 * p.bore, 3 * (height + p.hub_height)))
    return along_y(subtract(union(parts), tools))


@dataclass(frozen=True)
class Coupling:
    """A jaw coupling along x, in mm: two hubs whose jaws mesh around a spider that shows in the gap."""

    radius: float
    bore: float
    hub_length: float
    hub_radius: float
    jaws: int
    gap: float
    set_screw_radius: float
    shafts: bool


def draw_coupling(rng: np.random.Generator) -> Coupling:
    radius = uniform(rng, 25, 50)
    return Coupling(
        radius=radius,
        bore=radius * uniform(rng, 0.28, 0.42),
        hub_length=radius * uniform(rng, 0.7, 1.3),
        hub_radius=radius * uniform(rng, 0.65, 0.8),
        jaws=integer(rng, 2, 4),
        gap=radius * uniform(rng, 0.45, 0.75),
        set_screw_radius=radius * uniform(rng, 0.07, 0.1),
        shafts=chance(rng, 0.4),
    )


def build_coupling(p: Coupling) -> Manifold:
    r, length, gap = p.radius, p.hub_length, p.gap
    half = _jaw_half(p)
    pitch = 180 / p.jaws
    other = _turned_over(half.rotate((0, 0, pitch)), length + gap / 2)
    spider = _spider(p).translate((0, 0, length + 0.1 * gap))
    body = union([half, other, spider])
    screw = cylinder(p.set_screw_radius, 2 * r, 20).rotate((-90, 0, 0))
    tools = [screw.translate((0, 0, z)) for z in (0.3 * length, 1.7 * length + gap)]
    if not p.shafts:
        tools.append(centred_cylinder(p.bore, 9 * (length + gap), 48))
    parts = [subtract(body, tools)]
    if p.shafts:
        parts.append(cylinder(p.bore, 2 * length + gap + 2 * r, 48).translate((0, 0, -r)))
    return along_x(union(parts))


def _jaw_half(p: Coupling) -> Manifold:
    """Hub on z = 0, disc up to the hub length, jaws over the gap."""
    r, length = p.radius, p.hub_length
    hub = turned(
        [(0, 0.95 * p.hub_radius), (0.06 * length, p.hub_radius), (0.6 * length, p.hub_radius), (0.62 * length, r), (length, r)],
        72,
    )
    pitch = 360 / p.jaws
    jaw = extruded(sector(2 * r, -0.15 * pitch, 0.15 * pitch), 1.02 * p.gap).translate((0, 0, length - 0.02 * p.gap))
    ring = tube(r, 0.45 * r, 1.02 * p.gap, 72).translate((0, 0, length - 0.02 * p.gap))
    return union([hub, ring ^ union(polar(jaw, p.jaws, 0, turn=True))])


def _spider(p: Coupling) -> Manifold:
    """Elastic star over 0.8 of the gap: a ring, and a lobe in every space between two jaws."""
    r, height = p.radius, 0.8 * p.gap
    pitch = 180 / p.jaws
    lobe = extruded(sector(2 * r, 0.4 * pitch, 0.6 * pitch), height)
    lobes = tube(0.88 * r, 0.4 * r, height, 72) ^ union(polar(lobe, 2 * p.jaws, 0, turn=True))
    return union([lobes, tube(0.5 * r, p.bore - 0.5, height)])


def _turned_over(solid: Manifold, z: float) -> Manifold:
    """The solid turned by half a turn about the x direction at the given height."""
    return solid.rotate((180, 0, 0)).translate((0, 0, 2 * z))


@dataclass(frozen=True)
class Bearing:
    """A rolling bearing with its axis along y, in mm; sealed shows shields instead of rolling elements."""

    outer: float
    bore: float
    width: float
    style: Literal["ball", "roller", "sealed"]
    elements: int
    flange: float


def draw_bearing(rng: np.random.Generator) -> Bearing:
    outer = uniform(rng, 35, 60)
    return Bearing(
        outer=outer,
        bore=outer * uniform(rng, 0.4, 0.6),
        width=outer * uniform(rng, 0.3, 0.6),
        style=pick(rng, ("ball", "ball", "roller", "sealed")),
        elements=integer(rng, 8, 14),
        flange=outer * uniform(rng, 0.06, 0.14) if chance(rng, 0.3) else 0.0,
    )


def build_bearing(p: Bearing) -> Manifold:
    room = p.outer - p.bore
    outer_race, inner_race = p.outer - 0.26 * room, p.bore + 0.26 * room
    rings = [_race(p.outer, outer_race, p.width), _race(inner_race, p.bore, p.width)]
    if p.flange:
        rings.append(tube(p.outer + p.flange, outer_race, 0.2 * p.width, 80))
    middle, element = (outer_race + inner_race) / 2, 0.29 * room
    if p.style == "sealed":
        shield = tube(outer_race + 0.01 * room, inner_race - 0.01 * room, 0.84 * p.width, 72)
        return along_y(union([*rings, shield.translate((0, 0, 0.08 * p.width))]))
    count = min(p.elements, int(math.pi / math.asin(1.12 * element / middle)))
    element_solid = Manifold.sphere(element, 24) if p.style == "ball" else centred_cylinder(element, 0.8 * p.width, 24)
    # A thin web at mid-width stands for the cage, and keeps the sight through the bearing closed as the cage does.
    cage = tube(middle + 0.12 * room, middle - 0.12 * room, 0.3 * p.width, 64).translate((0, 0, 0.35 * p.width))
    return along_y(union([*rings, cage, *(e.translate((0, 0, p.width / 2)) for e in polar(element_solid, count, middle))]))


def _race(outer: float, inner: float, width: float) -> Manifold:
    chamfer = 0.05 * width
    section = polygon(
        [
            (inner, chamfer),
            (inner + chamfer, 0),
            (outer - chamfer, 0),
            (outer, chamfer),
            (outer, width - chamfer),
            (outer - chamfer, width),
            (inner + chamfer, width),
            (inner, width - chamfer),
        ]
    )
    return Manifold.revolve(section, 80)


@dataclass(frozen=True)
class PillowBlock:
    """A bearing housing on a foot, its axis along y, in mm."""

    radius: float
    width: float
    foot_length: float
    foot_height: float
    shaped: bool
    bore: float
    bearing_width: float
    open_bearing: bool
    balls: int
    nipple: bool
    shaft: float


def draw_pillow_block(rng: np.random.Generator) -> PillowBlock:
    radius = uniform(rng, 22, 40)
    width = radius * uniform(rng, 0.7, 1.1)
    return PillowBlock(
        radius=radius,
        width=width,
        foot_length=radius * uniform(rng, 3.8, 4.8),
        foot_height=radius * uniform(rng, 0.35, 0.5),
        shaped=chance(rng),
        bore=radius * uniform(rng, 0.45, 0.62),
        bearing_width=width * uniform(rng, 0.7, 1.1),
        open_bearing=chance(rng),
        balls=integer(rng, 8, 12),
        nipple=chance(rng, 0.6),
        shaft=radius * uniform(rng, 1.5, 3.5) if chance(rng, 0.3) else 0.0,
    )


def build_pillow_block(p: PillowBlock) -> Manifold:
    r, centre = p.radius, 1.4 * p.radius
    ring = along_y(centred_cylinder(1.35 * r, p.width, 72)).translate((0, 0, centre))
    body = hull([ring, block(2.9 * r, p.width, p.foot_height)]) if p.shaped else union([ring, block(2.2 * r, p.width, centre)])
    foot = rounded_block(p.foot_length, 1.1 * p.width, p.foot_height, 0.2 * r, 1.0)
    slot = hull(cylinder(0.17 * r, 4 * p.foot_height, 24).translate((s * 0.1 * r, 0, -p.foot_height)) for s in (-1, 1))
    slots = [slot.translate((s * (p.foot_length / 2 - 0.42 * r), 0, 0)) for s in (-1, 1)]
    housing = subtract(union([body, foot]), [along_y(centred_cylinder(r, 4 * p.width, 72)).translate((0, 0, centre)), *slots])
    insert = Bearing(1.002 * r, p.bore, p.bearing_width, "ball" if p.open_bearing else "sealed", p.balls, 0.0)
    parts = [housing, build_bearing(insert).translate((0, -p.bearing_width / 2, centre))]
    if p.nipple:
        parts.append(turned([(-1, 3.2), (4, 3.2), (4.1, 2.2), (8, 2.2), (9.5, 1.4)], 20).translate((0, 0, centre + 1.33 * r)))
    if p.shaft:
        parts.append(along_y(centred_cylinder(1.002 * p.bore, p.width + 2 * p.shaft)).translate((0, 0, centre)))
    return union(parts)


@dataclass(frozen=True)
class BevelGear:
    """A straight bevel gear, large end down, in mm: teeth taper towards the apex."""

    radius: float
    teeth: int
    taper: float
    height: float
    bore: float
    hub_height: float
    keyed: bool


def draw_bevel_gear(rng: np.random.Generator) -> BevelGear:
    radius = uniform(rng, 30, 55)
    return BevelGear(
        radius=radius,
        teeth=integer(rng, 14, 30),
        taper=uniform(rng, 0.55, 0.78),
        height=radius * uniform(rng, 0.3, 0.5),
        bore=radius * uniform(rng, 0.16, 0.26),
        hub_height=radius * uniform(rng, 0.15, 0.6),
        keyed=chance(rng, 0.7),
    )


def build_bevel_gear(p: BevelGear) -> Manifold:
    outline = gear_outline(2 * p.radius / (p.teeth + 2), p.teeth)
    cone = Manifold.extrude(outline, p.height, 4, 0.0, (p.taper, p.taper))
    back = turned([(-p.hub_height, 0.55 * p.radius), (-0.12 * p.radius, 0.55 * p.radius), (0.01, 0.8 * p.radius)])
    nose = cylinder(2.0 * p.bore, p.height + 0.08 * p.radius)
    tools = [centred_cylinder(p.bore, 6 * p.radius)]
    if p.keyed:
        tools.append(keyway(0.55 * p.bore, 1.3 * p.bore, 3 * p.radius))
    return subtract(union([cone, back, nose]), tools)


@dataclass(frozen=True)
class Crankshaft:
    """Journals along x with crank throws between pairs of webs, in mm; throw angles in degrees."""

    journal: float
    journal_length: float
    web: float
    throw: float
    pin_length: float
    angles: tuple[float, ...]
    flange: bool


def draw_crankshaft(rng: np.random.Generator) -> Crankshaft:
    journal = uniform(rng, 9, 14)
    count = integer(rng, 1, 4)
    patterns = {1: (0.0,), 2: (0.0, 180.0), 3: (0.0, 120.0, 240.0), 4: (0.0, 180.0, 180.0, 0.0)}
    throw, length, web, pin = uniforms(rng, 4, 0.0, 1.0)
    return Crankshaft(
        journal=journal,
        journal_length=journal * (1.2 + length),
        web=journal * (0.6 + 0.5 * web),
        throw=journal * (1.3 + 0.9 * throw),
        pin_length=journal * (1.2 + 0.9 * pin),
        angles=patterns[count],
        flange=chance(rng),
    )


def build_crankshaft(p: Crankshaft) -> Manifold:
    r = p.journal
    pin_r = 0.85 * r
    cheek = hull([cylinder(1.15 * pin_r, p.web, 32).translate((0, p.throw, 0)), cylinder(1.3 * r, p.web, 40)])
    counterweight = extruded(sector(p.throw + 1.1 * r, 210, 330, 13), p.web)
    web = union([cheek, counterweight])
    z = 2 * p.journal_length
    parts = [cylinder(0.8 * r, z), cylinder(r, z / 2 + 0.5).translate((0, 0, z / 2))]
    for angle in p.angles:
        pin = cylinder(pin_r, p.pin_length + p.web).translate((0, p.throw, 0.5 * p.web))
        throw = union([web, pin, web.translate((0, 0, p.web + p.pin_length))])
        parts.append(throw.rotate((0, 0, angle)).translate((0, 0, z)))
        z += 2 * p.web + p.pin_length
        parts.append(cylinder(r, p.journal_length + 1).translate((0, 0, z - 0.5)))
        z += p.journal_length
    if p.flange:
        holes = polar(centred_cylinder(0.2 * r, 4 * r, 16), 6, 1.25 * r)
        parts.append(subtract(cylinder(1.7 * r, 0.5 * r), holes).translate((0, 0, z - 0.4 * r)))
    return along_x(union(parts))


STEPPED_SHAFT = Family("stepped_shaft", "component", draw_stepped_shaft, build_stepped_shaft)
SPUR_GEAR = Family("spur_gear", "component", draw_spur_gear, build_spur_gear)
BEVEL_GEAR = Family("bevel_gear", "component", draw_bevel_gear, build_bevel_gear)
PULLEY = Family("pulley", "component", draw_pulley, build_pulley)
SPROCKET = Family("sprocket", "component", draw_sprocket, build_sprocket)
COUPLING = Family("coupling", "component", draw_coupling, build_coupling)
BEARING = Family("bearing", "component", draw_bearing, build_bearing)
PILLOW_BLOCK = Family("pillow_block", "component", draw_pillow_block, build_pillow_block)
CRANKSHAFT = Family("crankshaft", "component", draw_crankshaft, build_crankshaft)

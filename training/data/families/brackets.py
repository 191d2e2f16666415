"""Cut, bent and milled plate: brackets, plates, clevises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from manifold3d import CrossSection, JoinType, Manifold

from training.data.families.draws import chance, integer, pick, uniform
from training.data.families.part import Family
from training.data.families.solids import (
    HOLE_STYLES,
    HoleStyle,
    along_x,
    along_y,
    block,
    cells,
    centred_cylinder,
    cylinder,
    disc,
    extruded,
    hull,
    polygon,
    rounded_block,
    rounded_rectangle,
    screw_hole,
    slot,
    spread,
    subtract,
    turned,
    union,
    upright,
)


@dataclass(frozen=True)
class LBracket:
    """Foot along x, wall along z; holes of the foot and of the wall by rows."""

    width: float
    foot_length: float
    wall_height: float
    thickness: float
    inner_radius: float
    rounded_outside: bool
    hole_diameter: float
    hole_columns: int
    hole_rows: int
    foot_style: HoleStyle
    slotted_foot: bool
    slotted_wall: bool
    gussets: int
    gusset_reach_ratio: float
    gusset_rise_ratio: float


def draw_l_bracket(rng: np.random.Generator) -> LBracket:
    # From bent sheet to milled angle.
    thickness = uniform(rng, 2.5, 11)
    width = uniform(rng, 30, 90)
    gussets = pick(rng, (0, 1, 2, 2))
    return LBracket(
        width=width,
        foot_length=uniform(rng, 45, 110),
        wall_height=uniform(rng, 45, 110),
        thickness=thickness,
        inner_radius=uniform(rng, 0.5, 1.5) * thickness,
        rounded_outside=chance(rng),
        hole_diameter=uniform(rng, 0.1, 0.18) * width,
        hole_columns=integer(rng, 1, 2),
        # A single gusset stands in the middle, where an odd row of holes would be.
        hole_rows=2 if gussets == 1 else integer(rng, 1, 3),
        foot_style=pick(rng, HOLE_STYLES),
        slotted_foot=chance(rng, 0.3),
        slotted_wall=chance(rng, 0.3),
        gussets=gussets,
        gusset_reach_ratio=uniform(rng, 0.5, 0.9),
        gusset_rise_ratio=uniform(rng, 0.5, 0.9),
    )


def build_l_bracket(p: LBracket) -> Manifold:
    body = union([_bent_strip(p), *_gussets(p)])
    return subtract(body, [*_foot_holes(p), *_wall_holes(p)])


def _bent_strip(p: LBracket) -> Manifold:
    t, r = p.thickness, p.inner_radius
    section = CrossSection.square((p.foot_length, t)) + CrossSection.square((t, p.wall_height))
    section += CrossSection.square((t + r, t + r)) - disc(r).translate((t + r, t + r))
    if p.rounded_outside:
        section = section.offset(-0.3 * t, JoinType.Round, 2.0, 32).offset(0.3 * t, JoinType.Round, 2.0, 32)
    return upright(section, p.width)


def _gussets(p: LBracket) -> list[Manifold]:
    t = p.thickness
    rib = upright(
        polygon([(t / 2, t / 2), (p.foot_length * p.gusset_reach_ratio, t / 2), (t / 2, p.wall_height * p.gusset_rise_ratio)]),
        0.7 * t,
    )
    edge = p.width / 2 - 0.35 * t
    return [rib.translate((0, y, 0)) for y in ((0,), (-edge, edge))[p.gussets - 1]] if p.gussets else []


def _foot_holes(p: LBracket) -> list[Manifold]:
    hole = screw_hole(p.hole_diameter, p.thickness, p.foot_style)
    if p.slotted_foot:
        hole = hull(
            [screw_hole(p.hole_diameter, p.thickness, "plain").translate((s * 0.5 * p.hole_diameter, 0, 0)) for s in (-1, 1)]
        )
    return [hole.translate((x, y, p.thickness)) for x in _hole_lines(p, p.foot_length) for y in _hole_rows(p)]


def _wall_holes(p: LBracket) -> list[Manifold]:
    hole = along_x(screw_hole(p.hole_diameter, p.thickness, "plain"))
    if p.slotted_wall:
        hole = hull([hole.translate((0, 0, s * 0.5 * p.hole_diameter)) for s in (-1, 1)])
    return [hole.translate((p.thickness, y, z)) for z in _hole_lines(p, p.wall_height) for y in _hole_rows(p)]


def _hole_lines(p: LBracket, leg: float) -> list[float]:
    return cells(p.hole_columns, p.thickness + p.inner_radius, leg)


def _hole_rows(p: LBracket) -> list[float]:
    return cells(p.hole_rows, -p.width / 2 + 0.4 * p.thickness, p.width / 2 - 0.4 * p.thickness)


@dataclass(frozen=True)
class Pocket:
    """A rounded pocket: centre and size as fractions of the plate, depth as a fraction of its thickness (1 is through)."""

    x_ratio: float
    y_ratio: float
    width_ratio: float
    depth_ratio: float
    height_ratio: float


@dataclass(frozen=True)
class Boss:
    """A bored round boss: centre over the plate's length and width."""

    x_ratio: float
    y_ratio: float
    radius: float
    height: float
    bore_radius: float


BOSS_FOOT = 1.15  # the widest radius of a boss over its own


@dataclass(frozen=True)
class MachinedPlate:
    """A milled plate; notches are (position, width, depth) over the plate's length, length and width."""

    length: float
    width: float
    thickness: float
    corner_radius: float
    chamfer: float
    pockets: tuple[Pocket, ...]
    notch_ratios: tuple[tuple[float, float, float], ...]
    bosses: tuple[Boss, ...]
    hole_diameter: float
    hole_style: HoleStyle
    holes_per_edge: int


def draw_machined_plate(rng: np.random.Generator) -> MachinedPlate:
    """Bosses that would cut into an earlier one, or reach over the plate's edge or a pocket without a floor, are left out."""
    x, y, t = uniform(rng, 70, 140), uniform(rng, 50, 100), uniform(rng, 8, 22)
    corner_radius = uniform(rng, 1, 15)
    chamfer = uniform(rng, 0.6, 1.6) if chance(rng, 0.6) else 0.0
    pockets = tuple(_draw_pocket(rng) for _ in range(integer(rng, 1, 4)))
    return MachinedPlate(
        length=x,
        width=y,
        thickness=t,
        corner_radius=corner_radius,
        chamfer=chamfer,
        pockets=pockets,
        notch_ratios=tuple(
            (uniform(rng, -0.15, 0.15), uniform(rng, 0.12, 0.3), uniform(rng, 0.08, 0.2)) for _ in range(integer(rng, 0, 2))
        ),
        bosses=_clear_bosses([_draw_boss(rng, t) for _ in range(integer(rng, 0, 3))], pockets, x, y),
        hole_diameter=uniform(rng, 4, 7),
        hole_style=pick(rng, HOLE_STYLES),
        holes_per_edge=integer(rng, 2, 5),
    )


def _draw_pocket(rng: np.random.Generator) -> Pocket:
    depth = 1.0 if chance(rng, 0.25) else uniform(rng, 0.3, 0.75)
    return Pocket(uniform(rng, -0.2, 0.2), uniform(rng, -0.15, 0.15), uniform(rng, 0.15, 0.4), depth, uniform(rng, 0.15, 0.4))


def _draw_boss(rng: np.random.Generator, thickness: float) -> Boss:
    radius = uniform(rng, 6, 14)
    height = uniform(rng, 0.4, 1.2) * thickness
    return Boss(uniform(rng, -0.33, 0.33), uniform(rng, -0.25, 0.25), radius, height, uniform(rng, 0.4, 0.65) * radius)


def _clear_bosses(bosses: list[Boss], pockets: tuple[Pocket, ...], length: float, width: float) -> tuple[Boss, ...]:
    """Those that stand on the plate with their whole foot, clear of through pockets and of the bosses before them."""
    kept: list[Boss] = []
    for boss in bosses:
        x, y = boss.x_ratio * length, boss.y_ratio * width
        room = [length / 2 - abs(x), width / 2 - abs(y)]
        room += [math.hypot(x - b.x_ratio * length, y - b.y_ratio * width) - BOSS_FOOT * b.radius for b in kept]
        for pocket in pockets:
            if pocket.depth_ratio >= 1:
                beside = max(abs(x - pocket.x_ratio * length) - pocket.width_ratio * length / 2, 0.0)
                before = max(abs(y - pocket.y_ratio * width) - pocket.height_ratio * width / 2, 0.0)
                room.append(math.hypot(beside, before))
        if BOSS_FOOT * boss.radius < min(room):
            kept.append(boss)
    return tuple(kept)


def build_machined_plate(p: MachinedPlate) -> Manifold:
    t = p.thickness
    plate = rounded_block(p.length, p.width, t, p.corner_radius, p.chamfer)
    notches = [
        extruded(rounded_rectangle(width * p.length, 2 * depth * p.width, 3), 4 * t).translate(
            (position * p.length, (-1) ** k * p.width / 2, -t)
        )
        for k, (position, width, depth) in enumerate(p.notch_ratios)
    ]
    pockets = [_pocket_tool(p, pocket) for pocket in p.pockets]
    bosses = [
        turned([(0, BOSS_FOOT * b.radius), (0.2 * b.height + t, b.radius), (t + b.height, 0.95 * b.radius)], 40).translate(
            (b.x_ratio * p.length, b.y_ratio * p.width, 0)
        )
        for b in p.bosses
    ]
    bores = [
        cylinder(b.bore_radius, t + b.height, 32).translate((b.x_ratio * p.length, b.y_ratio * p.width, 0.4 * t))
        for b in p.bosses
    ]
    screws = screw_hole(p.hole_diameter, t, p.hole_style)
    holes = [
        screws.translate((x, s * 0.41 * p.width, t))
        for x in spread(p.holes_per_edge, -0.42 * p.length, 0.42 * p.length)
        for s in (-1, 1)
    ]
    return subtract(union([subtract(plate, pockets + notches), *bosses]), bores + holes)


def _pocket_tool(p: MachinedPlate, pocket: Pocket) -> Manifold:
    floor = -1.0 if pocket.depth_ratio >= 1 else p.thickness * (1 - pocket.depth_ratio)
    tool = extruded(rounded_rectangle(pocket.width_ratio * p.length, pocket.height_ratio * p.width, 5), 2 * p.thickness)
    return tool.translate((pocket.x_ratio * p.length, pocket.y_ratio * p.width, floor))


@dataclass(frozen=True)
class Clevis:
    """A fork on a base plate, bored across for a pin."""

    base_length: float
    base_width: float
    base_thickness: float
    cheek_thickness: float
    gap: float
    eye_radius: float
    pin_radius: float
    pin_height: float
    pin_fitted: bool
    hole_diameter: float
    hole_style: HoleStyle


def draw_clevis(rng: np.random.Generator) -> Clevis:
    eye = uniform(rng, 12, 24)
    cheek, gap = uniform(rng, 0.4, 0.8) * eye, uniform(rng, 0.7, 1.6) * eye
    hole_d = uniform(rng, 5, 9)
    return Clevis(
        base_length=2 * eye + uniform(rng, 3.5, 7) * hole_d,
        base_width=2 * cheek + gap + uniform(rng, 0, 4) * hole_d,
        base_thickness=uniform(rng, 7, 16),
        cheek_thickness=cheek,
        gap=gap,
        eye_radius=eye,
        pin_radius=uniform(rng, 0.35, 0.6) * eye,
        pin_height=uniform(rng, 1.3, 3.2) * eye,
        pin_fitted=chance(rng, 0.4),
        hole_diameter=hole_d,
        hole_style=pick(rng, HOLE_STYLES),
    )


def build_clevis(p: Clevis) -> Manifold:
    t, height = p.base_thickness, p.base_thickness + p.pin_height
    across = 2 * p.cheek_thickness + p.gap
    eye = along_y(centred_cylinder(p.eye_radius, p.cheek_thickness)).translate((0, 0, height))
    cheek = hull([eye, block(2.2 * p.eye_radius, p.cheek_thickness, t)])
    body = [rounded_block(p.base_length, p.base_width, t, 4, 0.8)]
    body += [cheek.translate((0, s * (p.gap + p.cheek_thickness) / 2, 0)) for s in (-1, 1)]
    x = p.base_length / 2 - 1.1 * p.hole_diameter
    rows = (
        (0.0,)
        if p.base_width < 5 * p.hole_diameter
        else (-p.base_width / 2 + 1.2 * p.hole_diameter, p.base_width / 2 - 1.2 * p.hole_diameter)
    )
    holes = [screw_hole(p.hole_diameter, t, p.hole_style).translate((s * x, y, t)) for s in (-1, 1) for y in rows]
    bore = along_y(centred_cylinder(p.pin_radius, 2 * across)).translate((0, 0, height))
    forked = subtract(union(body), [*holes, bore])
    if not p.pin_fitted:
        return forked
    pin = union(
        [centred_cylinder(1.01 * p.pin_radius, across + 6), cylinder(1.35 * p.pin_radius, 4).translate((0, 0, across / 2 - 0.5))]
    )
    return union([forked, along_y(pin).translate((0, 0, height))])


@dataclass(frozen=True)
class SlottedArm:
    """A lever: a boss at each end, a tapered arm between them, lightening slots in the arm."""

    length: float
    large_radius: float
    small_radius: float
    boss_height: float
    arm_height: float
    large_bore_radius: float
    small_bore_radius: float
    slots: int
    small_boss_rise: float


def draw_slotted_arm(rng: np.random.Generator) -> SlottedArm:
    large = uniform(rng, 16, 30)
    small = large * uniform(rng, 0.55, 0.9)
    boss = uniform(rng, 0.8, 1.6) * large
    return SlottedArm(
        length=uniform(rng, 3.2, 6) * large,
        large_radius=large,
        small_radius=small,
        boss_height=boss,
        arm_height=uniform(rng, 0.35, 0.6) * boss,
        large_bore_radius=uniform(rng, 0.45, 0.7) * large,
        small_bore_radius=uniform(rng, 0.4, 0.65) * small,
        slots=integer(rng, 0, 2),
        small_boss_rise=uniform(rng, 0, 0.4) * boss,
    )


def build_slotted_arm(p: SlottedArm) -> Manifold:
    far = (p.length, 0, p.small_boss_rise)
    arm = hull(
        [cylinder(0.82 * p.large_radius, p.arm_height), cylinder(0.82 * p.small_radius, p.arm_height).translate((p.length, 0, 0))]
    )
    web = arm.translate((0, 0, (p.boss_height - p.arm_height) / 2))
    large = turned(
        [(0, p.large_radius - 1), (1, p.large_radius), (p.boss_height - 1, p.large_radius), (p.boss_height, p.large_radius - 1)]
    )
    small = cylinder(p.small_radius, 0.9 * p.boss_height - p.small_boss_rise + 1).translate(far)
    tools = [cylinder(p.large_bore_radius, 3 * p.boss_height).translate((0, 0, -p.boss_height))]
    tools.append(cylinder(p.small_bore_radius, 3 * p.boss_height, 40).translate((p.length, 0, -p.boss_height)))
    room = p.length - p.large_radius - p.small_radius
    lightening = slot(0.7 * room / max(1, p.slots), 0.8 * p.small_radius, 3 * p.boss_height)
    tools += [lightening.translate((x, 0, -p.boss_height)) for x in cells(p.slots, p.large_radius, p.large_radius + room)]
    return subtract(union([web, large, small]), tools)


L_BRACKET = Family("l_bracket", "component", draw_l_bracket, build_l_bracket, "Angle brackets with holes or slots and gussets")
MACHINED_PLATE = Family(
    "machined_plate",
    "component",
    draw_machined_plate,
    build_machined_plate,
    "Milled plates with pockets, notches, bored bosses and screw holes",
)
CLEVIS = Family("clevis", "component", draw_clevis, build_clevis, "Forks on a base plate, bored for a pin, with or without it")
SLOTTED_ARM = Family("slotted_arm", "component", draw_slotted_arm, build_slotted_arm, "Levers with a bored boss at each end")

"""Frames and steelwork: profile frames, trusses, stairs, tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from manifold3d import CrossSection, Manifold

from training.data.families.draws import chance, integer, pick, uniform
from training.data.families.part import Family
from training.data.families.solids import (
    along_x,
    along_y,
    at_corners,
    beam_section,
    block,
    cells,
    centred_block,
    centred_cylinder,
    cylinder,
    disc,
    extruded,
    hull,
    nut,
    polar,
    polygon,
    rounded_block,
    rounded_rectangle,
    screw_head,
    spread,
    subtract,
    swept_ball,
    tube,
    turned,
    union,
    upright,
    washer,
)
from training.data.families.standards import HEB_BEAMS, HEXAGON_BOLTS, HEXAGON_NUTS, IPE_BEAMS, PROFILE_SLOTS, Beam


@dataclass(frozen=True)
class ProfileFrame:
    """A frame of T-slot profiles; the overall sizes count in profile edges, places in overall sizes."""

    profile_edge: float
    length_ratio: float
    width_ratio: float
    height_ratio: float
    lower_ring: bool
    corner_brackets: bool
    shelf_place_ratio: float | None
    gantry_place_ratio: float | None
    gantry_head_ratio: float


def draw_profile_frame(rng: np.random.Generator) -> ProfileFrame:
    return ProfileFrame(
        profile_edge=float(pick(rng, tuple(PROFILE_SLOTS))),
        length_ratio=uniform(rng, 4, 9),
        width_ratio=uniform(rng, 4, 7),
        height_ratio=uniform(rng, 4, 9),
        lower_ring=chance(rng, 0.6),
        corner_brackets=chance(rng),
        shelf_place_ratio=uniform(rng, 0.15, 0.9) if chance(rng, 0.6) else None,
        gantry_place_ratio=uniform(rng, -0.3, 0.3) if chance(rng, 0.4) else None,
        gantry_head_ratio=uniform(rng, -0.3, 0.3),
    )


def build_profile_frame(p: ProfileFrame) -> Manifold:
    a = p.profile_edge
    x, y, z = p.length_ratio * a, p.width_ratio * a, p.height_ratio * a
    # The core's bore is cut where it shows, at the top; further down it would be a hidden cavity.
    core = cylinder(0.07 * a, z, 24).translate((0, 0, 0.92 * z))
    parts = at_corners(subtract(_profile(a, z), [core]), (x - a) / 2, (y - a) / 2)
    parts += at_corners(rounded_block(1.25 * a, 1.25 * a, 0.2 * a, 2), (x - a) / 2, (y - a) / 2)
    for level in (0.7 * a, z - a / 2) if p.lower_ring else (z - a / 2,):
        beam_x = along_x(_profile(a, x - 2 * a + 1)).translate((-x / 2 + a - 0.5, 0, level))
        beam_y = along_y(_profile(a, y - 2 * a + 1)).translate((0, -y / 2 + a - 0.5, level))
        parts += [beam_x.translate((0, s * (y - a) / 2, 0)) for s in (-1, 1)]
        parts += [beam_y.translate((s * (x - a) / 2, 0, 0)) for s in (-1, 1)]
    if p.corner_brackets:
        parts += _corner_brackets(a, x, y, z - a)
    if p.shelf_place_ratio is not None:
        parts.append(block(x - 0.4 * a, y - 0.4 * a, 0.25 * a).translate((0, 0, p.shelf_place_ratio * z)))
    if p.gantry_place_ratio is not None:
        parts.append(block(0.9 * a, y, 1.2 * a).translate((p.gantry_place_ratio * x, 0, z - 0.1 * a)))
        parts.append(
            rounded_block(1.6 * a, 1.4 * a, 1.7 * a, 3).translate(
                (p.gantry_place_ratio * x, p.gantry_head_ratio * y, z - 0.2 * a)
            )
        )
    return union(parts)


def _corner_brackets(a: float, x: float, y: float, z: float) -> list[Manifold]:
    """Angles under the upper beams, at both sides of every post."""
    leg = polygon([(-0.05 * a, 0.05 * a), (-0.05 * a, -0.9 * a), (0.15 * a, -0.9 * a), (0.9 * a, -0.15 * a), (0.9 * a, 0.05 * a)])
    bracket = upright(leg, 0.7 * a)
    along = [bracket.translate((-x / 2 + a, s * (y - a) / 2, z)) for s in (-1, 1)]
    across = [bracket.rotate((0, 0, 90)).translate((s * (x - a) / 2, -y / 2 + a, z)) for s in (-1, 1)]
    return [*along, *(b.mirror((1, 0, 0)) for b in along), *across, *(b.mirror((0, 1, 0)) for b in across)]


def _profile(a: float, length: float) -> Manifold:
    """A square profile of edge length a with a T-slot in each side, as wide as the series has it."""
    opening = PROFILE_SLOTS[round(a)]
    slot = CrossSection.square((0.32 * a, opening), True).translate((0.42 * a, 0))
    # The lips and what stays around the core keep a visible thickness.
    slot += polygon([(0.24 * a, -0.14 * a), (0.38 * a, -0.24 * a), (0.38 * a, 0.24 * a), (0.24 * a, 0.14 * a)])
    section = rounded_rectangle(a, a, 0.06 * a)
    for k in range(4):
        section -= slot.rotate(90 * k)
    return extruded(section, length)


@dataclass(frozen=True)
class Truss:
    """A lattice girder along x: chords at the corners of its section, diagonals in every bay."""

    length: float
    section_side: float
    chords: int
    chord_radius: float
    brace_radius: float
    bays: int
    zigzag: bool
    end_plates: bool


def draw_truss(rng: np.random.Generator) -> Truss:
    section = uniform(rng, 34, 60)
    return Truss(
        length=section * uniform(rng, 2.4, 4.5),
        section_side=section,
        chords=pick(rng, (3, 4)),
        chord_radius=section * uniform(rng, 0.06, 0.09),
        brace_radius=section * uniform(rng, 0.045, 0.06),
        bays=integer(rng, 3, 6),
        zigzag=chance(rng),
        end_plates=chance(rng),
    )


def build_truss(p: Truss) -> Manifold:
    turns = np.arange(p.chords) * 360 / p.chords + (45 if p.chords == 4 else 90)
    reach = p.section_side / (2 * math.sin(math.pi / p.chords))
    corners = [(reach * math.cos(t), reach * math.sin(t)) for t in np.radians(turns)]
    parts = [cylinder(p.chord_radius, p.length, 20).translate((x, y, 0)) for x, y in corners]
    levels = spread(p.bays + 1, p.chord_radius, p.length - p.chord_radius)
    for side, (start, stop) in enumerate(zip(corners, corners[1:] + corners[:1], strict=True)):
        for bay in range(p.bays):
            low, high = levels[bay], levels[bay + 1]
            rising = (bay + side) % 2 == 0 or not p.zigzag
            ends = (start, stop) if rising else (stop, start)
            parts.append(swept_ball([(*ends[0], low), (*ends[1], high)], p.brace_radius, 8))
        parts += [
            swept_ball([(*start, z), (*stop, z)], p.brace_radius, 8)
            for z in (levels if not p.zigzag else (levels[0], levels[-1]))
        ]
    if p.end_plates:
        edge = 2 * reach + 3 * p.chord_radius
        holes = at_corners(centred_cylinder(2.5, p.section_side, 16), 0.3 * edge, 0.3 * edge)
        plate = subtract(rounded_block(edge, edge, 0.08 * p.section_side, 4), holes)
        parts += [plate, plate.translate((0, 0, p.length - 0.08 * p.section_side))]
    return along_x(union(parts))


@dataclass(frozen=True)
class Stairs:
    """A straight flight of industrial stairs rising along x, with optional rails and landing."""

    rise: float
    tread: float
    steps: int
    width: float
    stringer_height: float
    plate_thickness: float
    grating_slots: int
    rails: int
    landing_length: float


def draw_stairs(rng: np.random.Generator) -> Stairs:
    return Stairs(
        rise=uniform(rng, 15, 22),
        tread=uniform(rng, 20, 28),
        steps=integer(rng, 4, 8),
        width=uniform(rng, 50, 100),
        stringer_height=uniform(rng, 9, 14),
        plate_thickness=uniform(rng, 3.5, 5),
        grating_slots=pick(rng, (0, 0, 2, 3)),
        rails=pick(rng, (0, 1, 2, 2)),
        landing_length=uniform(rng, 40, 90) if chance(rng, 0.6) else 0.0,
    )


def build_stairs(p: Stairs) -> Manifold:
    run, height = p.steps * p.tread, p.steps * p.rise
    slot = block(0.5 * p.tread / max(p.grating_slots, 1), 0.84 * p.width, 4 * p.plate_thickness)
    slots = [slot.translate((x, 0, -p.plate_thickness)) for x in cells(p.grating_slots, -0.5 * p.tread, 0.5 * p.tread)]
    tread = subtract(block(p.tread * 1.05, p.width, p.plate_thickness), slots)
    parts = [tread.translate(((k + 0.5) * p.tread, 0, (k + 1) * p.rise - p.plate_thickness)) for k in range(p.steps)]
    sides = [s * (p.width / 2 - 0.5 * p.plate_thickness) for s in (-1, 1)]
    end = block(0.8 * p.stringer_height, p.plate_thickness, p.stringer_height)
    stringer = hull(
        [end.translate((0.4 * p.stringer_height, 0, 0)), end.translate((run - 0.4 * p.tread, 0, height - p.stringer_height))]
    )
    parts += [stringer.translate((0, y, 0)) for y in sides]
    if p.landing_length:
        parts.append(
            block(p.landing_length + 4, p.width, p.plate_thickness).translate(
                (run + p.landing_length / 2 - 2, 0, height - p.plate_thickness)
            )
        )
        leg = block(1.8 * p.plate_thickness, 1.8 * p.plate_thickness, height)
        parts += [
            leg.translate((run + p.landing_length - p.plate_thickness, s * (p.width / 2 - 0.9 * p.plate_thickness), 0))
            for s in (-1, 1)
        ]
    for y in sides[: p.rails]:
        parts += _handrail(p, y, run, height)
    return union(parts)


def _handrail(p: Stairs, y: float, run: float, height: float) -> list[Manifold]:
    radius, lift = 0.55 * p.plate_thickness, 2.6 * p.rise
    low, high = (0.5 * p.tread, p.rise), (run - 0.5 * p.tread, height)
    path = [(low[0], y, low[1] + lift), (high[0], y, high[1] + lift)]
    posts = [low, ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2), high]
    if p.landing_length:
        end = (run + p.landing_length - p.plate_thickness, height)
        path.append((end[0], y, end[1] + lift))
        posts.append(end)
    stanchion = [cylinder(radius, lift + 0.8 * p.rise, 10).translate((x, y, z - 0.8 * p.rise)) for x, z in posts]
    middle = [(a, b, c - 0.5 * lift) for a, b, c in path]
    return [swept_ball(path, 1.15 * radius, 10), swept_ball(middle, radius, 10), *stanchion]


@dataclass(frozen=True)
class WorkTable:
    """A steel work table, with optional shelf, drawers, back panel and slots in its top."""

    length: float
    width: float
    height: float
    top_thickness: float
    leg_width: float
    round_legs: bool
    shelf: bool
    drawers: int
    top_slots: int
    back_panel: bool


def draw_work_table(rng: np.random.Generator) -> WorkTable:
    x = uniform(rng, 120, 200)
    return WorkTable(
        length=x,
        width=x * uniform(rng, 0.4, 0.65),
        height=x * uniform(rng, 0.4, 0.65),
        top_thickness=x * uniform(rng, 0.03, 0.06),
        leg_width=x * uniform(rng, 0.035, 0.055),
        round_legs=chance(rng, 0.4),
        shelf=chance(rng, 0.6),
        drawers=integer(rng, 0, 4),
        top_slots=pick(rng, (0, 0, 3, 4, 5)),
        back_panel=chance(rng, 0.3),
    )


def build_work_table(p: WorkTable) -> Manifold:
    i, j, under = p.length / 2 - p.leg_width, p.width / 2 - p.leg_width, p.height - p.top_thickness
    leg = (
        cylinder(0.55 * p.leg_width, p.height - 0.5 * p.top_thickness, 24)
        if p.round_legs
        else block(p.leg_width, p.leg_width, p.height - 0.5 * p.top_thickness)
    )
    foot = turned([(0, 0.9 * p.leg_width), (0.3 * p.leg_width, 0.9 * p.leg_width), (0.5 * p.leg_width, 0.5 * p.leg_width)], 20)
    slots = [
        block(2 * p.length, 0.05 * p.width, p.top_thickness).translate((0, y, p.height - 0.5 * p.top_thickness))
        for y in spread(p.top_slots, -0.35 * p.width, 0.35 * p.width)
    ]
    parts = [
        subtract(rounded_block(p.length, p.width, p.top_thickness, 3, 0.8).translate((0, 0, under)), slots),
        *at_corners(union([leg, foot]), i, j),
    ]
    beam = 0.8 * p.leg_width
    parts += [centred_block(2 * i, 0.6 * beam, beam).translate((0, s * j, under - 0.4 * beam)) for s in (-1, 1)]
    parts += [
        centred_block(0.6 * beam, 2 * j, beam).translate((s * i, 0, z))
        for s in (-1, 1)
        for z in (under - 0.4 * beam, 0.22 * p.height)
    ]
    if p.shelf:
        parts.append(block(2 * i + 0.5 * beam, 2 * j, 0.6 * p.top_thickness).translate((0, 0, 0.22 * p.height)))
    if p.back_panel:
        parts.append(
            block(p.length, 0.04 * p.length, 0.35 * p.height).translate(
                (0, p.width / 2 - 0.02 * p.length, p.height - 0.1 * p.top_thickness)
            )
        )
    return union([*parts, *_drawers(p, under)])


def _drawers(p: WorkTable, under: float) -> list[Manifold]:
    """A cabinet under the right half of the top; fronts and handles face -y."""
    if not p.drawers:
        return []
    height, width, depth = 0.16 * p.height * p.drawers + 2, 0.32 * p.length, 0.8 * p.width
    cabinet = block(width, depth, height)
    parts = [cabinet]
    pitch = height / p.drawers
    for k in range(p.drawers):
        z = (k + 0.5) * pitch
        parts.append(centred_block(0.92 * width, 3, 0.82 * pitch).translate((0, -depth / 2 - 0.5, z)))
        parts.append(centred_block(0.35 * width, 5, 0.16 * pitch).translate((0, -depth / 2 - 3.5, z + 0.1 * pitch)))
    return [part.translate((0.27 * p.length, 0, under - height + 0.5)) for part in parts]


@dataclass(frozen=True)
class Caster:
    """A wheel in a fork under a top plate."""

    wheel_radius: float
    wheel_width: float
    plate_side: float
    swivel_offset: float
    fork_thickness: float
    brake: bool
    hub_holes: int
    round_plate: bool


def draw_caster(rng: np.random.Generator) -> Caster:
    radius = uniform(rng, 25, 45)
    return Caster(
        wheel_radius=radius,
        wheel_width=radius * uniform(rng, 0.5, 0.9),
        plate_side=radius * uniform(rng, 1.5, 2.2),
        swivel_offset=radius * uniform(rng, 0.0, 0.6),
        fork_thickness=radius * uniform(rng, 0.1, 0.15),
        brake=chance(rng, 0.4),
        hub_holes=pick(rng, (0, 3, 5, 6)),
        round_plate=chance(rng, 0.3),
    )


def build_caster(p: Caster) -> Manifold:
    r, w, t = p.wheel_radius, p.wheel_width, p.fork_thickness
    top = 2.35 * r
    span = w + 2.6 * t
    outline = disc(0.6 * p.plate_side) if p.round_plate else rounded_rectangle(p.plate_side, p.plate_side, 0.12 * p.plate_side)
    plate = subtract(
        extruded(outline, 0.16 * r), at_corners(centred_cylinder(0.09 * r, 99, 16), 0.38 * p.plate_side, 0.38 * p.plate_side)
    )
    swivel = turned([(-0.25 * r, 0.55 * r), (-0.1 * r, 0.62 * r), (0.05 * r, 0.62 * r)], 48)
    bridge = centred_block(1.0 * r, span, 1.2 * t).translate((0, 0, top - 0.25 * r))
    pivot = along_y(centred_cylinder(0.3 * r, t, 32)).translate((p.swivel_offset, 0, r))
    cheek = hull([centred_block(r, t, 1.2 * t).translate((0, 0, top - 0.25 * r)), pivot])
    parts = [plate.translate((0, 0, top)), swivel.translate((0, 0, top)), bridge]
    parts += [cheek.translate((0, s * (span - t) / 2, 0)) for s in (-1, 1)]
    parts.append(along_y(centred_cylinder(0.13 * r, span + 3 * t, 20)).translate((p.swivel_offset, 0, r)))
    parts.append(_caster_wheel(p).translate((p.swivel_offset, 0, r)))
    if p.brake:
        pedal = hull(
            [centred_block(0.2 * r, 0.8 * w, 0.2 * r), centred_block(0.2 * r, w, 0.12 * r).translate((-1.1 * r, 0, -0.5 * r))]
        )
        parts.append(pedal.translate((-0.4 * r, 0, top - 0.3 * r)))
    return union(parts)


def _caster_wheel(p: Caster) -> Manifold:
    r, w = p.wheel_radius, p.wheel_width
    tread = turned([(-w / 2, 0.9 * r), (-0.35 * w, r), (0.35 * w, r), (w / 2, 0.9 * r)])
    dish = tube(0.75 * r, 0.32 * r, 0.3 * w)
    tools = [dish.translate((0, 0, 0.3 * w)), dish.translate((0, 0, -0.6 * w))]
    tools += polar(centred_cylinder(0.13 * r, 2 * w, 20), p.hub_holes, 0.54 * r)
    return along_y(subtract(tread, tools))


@dataclass(frozen=True)
class BeamJoint:
    """A bolted steel connection: IPE beams with end plates on the flanges of an upright HEB column (EN 10365)."""

    column: str
    beam: str
    column_ratio: float
    beam_ratio: float
    beams: int
    plate_thickness: float
    bolt: str
    bolt_rows: int
    stiffeners: bool
    haunch_ratio: float | None
    base_plate: bool


def draw_beam_joint(rng: np.random.Generator) -> BeamJoint:
    column = pick(rng, tuple(HEB_BEAMS)[:6])
    width = HEB_BEAMS[column].b
    beam = pick(rng, [name for name, row in IPE_BEAMS.items() if 0.9 * width <= row.h <= 1.7 * width])
    return BeamJoint(
        column=column,
        beam=beam,
        column_ratio=uniform(rng, 1.9, 2.5),
        beam_ratio=uniform(rng, 0.9, 1.7),
        beams=pick(rng, (1, 1, 2)),
        plate_thickness=uniform(rng, 10, 18),
        bolt=pick(rng, ("M12", "M16")),
        bolt_rows=integer(rng, 2, 4),
        stiffeners=chance(rng, 0.7),
        haunch_ratio=uniform(rng, 0.35, 0.6) if chance(rng, 0.35) else None,
        base_plate=chance(rng, 0.35),
    )


def build_beam_joint(p: BeamJoint) -> Manifold:
    column, beam = HEB_BEAMS[p.column], IPE_BEAMS[p.beam]
    height = p.column_ratio * beam.h
    # The column's web lies in the plane of the beams.
    parts = [extruded(beam_section(column).rotate(90), height)]
    level = 0.58 * height
    arm = _bolted_beam(p, column, beam).translate((column.h / 2, 0, level))
    parts += [arm, arm.mirror((1, 0, 0))][: p.beams]
    if p.stiffeners:
        plate = centred_block(column.h - column.tf, 0.94 * column.b, beam.tf + 2)
        parts += [plate.translate((0, 0, level + s * (beam.h - beam.tf) / 2)) for s in (-1, 1)]
    if p.base_plate:
        side, thread = column.b + 6 * HEXAGON_BOLTS[p.bolt].d, p.bolt
        anchors = at_corners(union([washer(thread), nut(thread)]), 0.38 * side, 0.38 * side)
        parts += [block(side, side, p.plate_thickness), *(a.translate((0, 0, p.plate_thickness - 0.1)) for a in anchors)]
    return union(parts)


def _bolted_beam(p: BeamJoint, column: Beam, beam: Beam) -> Manifold:
    """A beam that runs along +x from its end plate at x = 0, level with z = 0."""
    t, length = p.plate_thickness, p.beam_ratio * beam.h
    low = -beam.h / 2 * (1 + 2 * (p.haunch_ratio or 0.0)) - 8
    high = beam.h / 2 + 8
    width = max(beam.b, 0.9 * column.b)
    plate = centred_block(t, width, high - low).translate((t / 2, 0, (low + high) / 2))
    parts = [plate, along_x(extruded(beam_section(beam), length)).translate((t - 0.1, 0, 0))]
    if p.haunch_ratio is not None:
        drop, reach = p.haunch_ratio * beam.h, 0.7 * length
        web = polygon([(0, -beam.h / 2 + 1), (0, -beam.h / 2 - drop), (reach, -beam.h / 2 + 1)])
        edge = polygon(
            [(0, -beam.h / 2 - drop), (reach, -beam.h / 2), (reach, -beam.h / 2 + beam.tf), (0, -beam.h / 2 - drop + beam.tf)]
        )
        parts += [upright(web, beam.tw), upright(edge, beam.b)]
    # A bolt goes through the plate and the column's flange, its nut inside the column.
    bolt = union(
        [
            cylinder(HEXAGON_BOLTS[p.bolt].d / 2, t + column.tf + 1, 20).translate((0, 0, -column.tf - 0.5)),
            screw_head(p.bolt, "hex").translate((0, 0, t)),
            nut(p.bolt).translate((0, 0, -column.tf - HEXAGON_NUTS[p.bolt].m)),
        ]
    ).rotate((0, 90, 0))
    gauge = beam.tw / 2 + beam.r + 0.7 * HEXAGON_NUTS[p.bolt].s
    inset = beam.tf + 0.8 * HEXAGON_NUTS[p.bolt].s
    for z in spread(p.bolt_rows, -beam.h / 2 + inset, beam.h / 2 - inset):
        parts += [bolt.translate((0, s * max(gauge, 0.27 * width), z)) for s in (-1, 1)]
    return union(parts)


PROFILE_FRAME = Family(
    "profile_frame", "structure", draw_profile_frame, build_profile_frame, "Frames of T-slot profiles with shelf or gantry"
)
TRUSS = Family("truss", "structure", draw_truss, build_truss, "Tubular lattice girders with three or four chords")
STAIRS = Family("stairs", "structure", draw_stairs, build_stairs, "Straight flights of industrial stairs with rails and landing")
WORK_TABLE = Family(
    "work_table", "structure", draw_work_table, build_work_table, "Steel work tables with shelf, drawers or slots"
)
CASTER = Family("caster", "other", draw_caster, build_caster, "Swivel castors with a plate, some with a brake")
BEAM_JOINT = Family(
    "beam_joint",
    "structure",
    draw_beam_joint,
    build_beam_joint,
    "Bolted joints of EN 10365 beams: IPE arms with end plates on an HEB column",
    # Rolled webs are a twentieth of the beam's height.
    thinnest_wall=2.0,
)

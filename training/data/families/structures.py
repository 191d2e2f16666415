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
    block,
    centred_block,
    centred_cylinder,
    cylinder,
    disc,
    extruded,
    hull,
    polar,
    rounded_block,
    rounded_rectangle,
    spread,
    subtract,
    swept_ball,
    tube,
    turned,
    union,
)


@dataclass(frozen=True)
class ProfileFrame:
    """A frame of slotted profiles of edge length `profile`; the overall sizes count in profile edges."""

    profile: float
    x: float
    y: float
    z: float
    lower_ring: bool
    shelf: float | None
    gantry: float | None
    gantry_head: float


def draw_profile_frame(rng: np.random.Generator) -> ProfileFrame:
    return ProfileFrame(
        profile=30.0,
        x=uniform(rng, 4, 9),
        y=uniform(rng, 4, 7),
        z=uniform(rng, 4, 9),
        lower_ring=chance(rng, 0.6),
        shelf=uniform(rng, 0.15, 0.9) if chance(rng, 0.6) else None,
        gantry=uniform(rng, -0.3, 0.3) if chance(rng, 0.4) else None,
        gantry_head=uniform(rng, -0.3, 0.3),
    )


def build_profile_frame(p: ProfileFrame) -> Manifold:
    a = p.profile
    x, y, z = p.x * a, p.y * a, p.z * a
    parts = at_corners(_profile(a, z), (x - a) / 2, (y - a) / 2)
    parts += at_corners(rounded_block(1.25 * a, 1.25 * a, 0.2 * a, 2), (x - a) / 2, (y - a) / 2)
    for level in (0.7 * a, z - a / 2) if p.lower_ring else (z - a / 2,):
        beam_x = along_x(_profile(a, x - 2 * a + 1)).translate((-x / 2 + a - 0.5, 0, level))
        beam_y = along_y(_profile(a, y - 2 * a + 1)).translate((0, -y / 2 + a - 0.5, level))
        parts += [beam_x.translate((0, s * (y - a) / 2, 0)) for s in (-1, 1)]
        parts += [beam_y.translate((s * (x - a) / 2, 0, 0)) for s in (-1, 1)]
    if p.shelf is not None:
        parts.append(block(x - 0.4 * a, y - 0.4 * a, 0.25 * a).translate((0, 0, p.shelf * z)))
    if p.gantry is not None:
        parts.append(block(0.9 * a, y, 1.2 * a).translate((p.gantry * x, 0, z - 0.1 * a)))
        parts.append(rounded_block(1.6 * a, 1.4 * a, 1.7 * a, 3).translate((p.gantry * x, p.gantry_head * y, z - 0.2 * a)))
    return union(parts)


def _profile(a: float, length: float) -> Manifold:
    """A square profile with a T-slot in each side."""
    slot = CrossSection.square((0.3 * a, 0.26 * a), True).translate((0.42 * a, 0))
    slot += CrossSection.square((0.12 * a, 0.44 * a), True).translate((0.32 * a, 0))
    section = rounded_rectangle(a, a, 0.08 * a)
    for k in range(4):
        section -= slot.rotate(90 * k)
    return extruded(section, length)


@dataclass(frozen=True)
class Truss:
    """A lattice girder along x, in mm: chords at the corners of its section, diagonals in every bay."""

    length: float
    section: float
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
        section=section,
        chords=pick(rng, (3, 4)),
        chord_radius=section * uniform(rng, 0.06, 0.09),
        brace_radius=section * uniform(rng, 0.045, 0.06),
        bays=integer(rng, 3, 6),
        zigzag=chance(rng),
        end_plates=chance(rng),
    )


def build_truss(p: Truss) -> Manifold:
    turns = np.arange(p.chords) * 360 / p.chords + (45 if p.chords == 4 else 90)
    reach = p.section / (2 * math.sin(math.pi / p.chords))
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
        holes = at_corners(centred_cylinder(2.5, p.section, 16), 0.3 * edge, 0.3 * edge)
        plate = subtract(rounded_block(edge, edge, 0.08 * p.section, 4), holes)
        parts += [plate, plate.translate((0, 0, p.length - 0.08 * p.section))]
    return along_x(union(parts))


@dataclass(frozen=True)
class Stairs:
    """A straight flight of industrial stairs rising along x, in mm, with optional rails and landing."""

    rise: float
    tread: float
    steps: int
    width: float
    stringer: float
    plate: float
    rails: int
    landing: float


def draw_stairs(rng: np.random.Generator) -> Stairs:
    return Stairs(
        rise=uniform(rng, 15, 22),
        tread=uniform(rng, 20, 28),
        steps=integer(rng, 4, 8),
        width=uniform(rng, 50, 100),
        stringer=uniform(rng, 14, 22),
        plate=uniform(rng, 3.5, 5),
        rails=pick(rng, (0, 1, 2, 2)),
        landing=uniform(rng, 40, 90) if chance(rng, 0.6) else 0.0,
    )


def build_stairs(p: Stairs) -> Manifold:
    run, height = p.steps * p.tread, p.steps * p.rise
    tread = block(p.tread * 1.05, p.width, p.plate)
    parts = [tread.translate(((k + 0.5) * p.tread, 0, (k + 1) * p.rise - p.plate)) for k in range(p.steps)]
    sides = [s * (p.width / 2 - 0.5 * p.plate) for s in (-1, 1)]
    end = block(0.8 * p.stringer, p.plate, p.stringer)
    stringer = hull([end.translate((0.4 * p.stringer, 0, 0)), end.translate((run - 0.4 * p.tread, 0, height - p.stringer))])
    parts += [stringer.translate((0, y, 0)) for y in sides]
    if p.landing:
        parts.append(block(p.landing + 4, p.width, p.plate).translate((run + p.landing / 2 - 2, 0, height - p.plate)))
        leg = block(1.8 * p.plate, 1.8 * p.plate, height)
        parts += [leg.translate((run + p.landing - p.plate, s * (p.width / 2 - 0.9 * p.plate), 0)) for s in (-1, 1)]
    for y in sides[: p.rails]:
        parts += _handrail(p, y, run, height)
    return union(parts)


def _handrail(p: Stairs, y: float, run: float, height: float) -> list[Manifold]:
    radius, lift = 0.55 * p.plate, 2.6 * p.rise
    low, high = (0.5 * p.tread, p.rise), (run - 0.5 * p.tread, height)
    path = [(low[0], y, low[1] + lift), (high[0], y, high[1] + lift)]
    posts = [low, ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2), high]
    if p.landing:
        end = (run + p.landing - p.plate, height)
        path.append((end[0], y, end[1] + lift))
        posts.append(end)
    stanchion = [cylinder(radius, lift + 0.8 * p.rise, 10).translate((x, y, z - 0.8 * p.rise)) for x, z in posts]
    middle = [(a, b, c - 0.5 * lift) for a, b, c in path]
    return [swept_ball(path, 1.15 * radius, 10), swept_ball(middle, radius, 10), *stanchion]


@dataclass(frozen=True)
class WorkTable:
    """A steel work table, in mm, with optional shelf, drawers, vise plate and slots in its top."""

    x: float
    y: float
    z: float
    top: float
    leg: float
    round_legs: bool
    shelf: bool
    drawers: int
    slots: int
    back: bool


def draw_work_table(rng: np.random.Generator) -> WorkTable:
    x = uniform(rng, 120, 200)
    return WorkTable(
        x=x,
        y=x * uniform(rng, 0.4, 0.65),
        z=x * uniform(rng, 0.4, 0.65),
        top=x * uniform(rng, 0.03, 0.06),
        leg=x * uniform(rng, 0.035, 0.055),
        round_legs=chance(rng, 0.4),
        shelf=chance(rng, 0.6),
        drawers=integer(rng, 0, 4),
        slots=pick(rng, (0, 0, 3, 4, 5)),
        back=chance(rng, 0.3),
    )


def build_work_table(p: WorkTable) -> Manifold:
    i, j, under = p.x / 2 - p.leg, p.y / 2 - p.leg, p.z - p.top
    leg = cylinder(0.55 * p.leg, p.z - 0.5 * p.top, 24) if p.round_legs else block(p.leg, p.leg, p.z - 0.5 * p.top)
    foot = turned([(0, 0.9 * p.leg), (0.3 * p.leg, 0.9 * p.leg), (0.5 * p.leg, 0.5 * p.leg)], 20)
    slots = [
        block(2 * p.x, 0.05 * p.y, p.top).translate((0, y, p.z - 0.5 * p.top)) for y in spread(p.slots, -0.35 * p.y, 0.35 * p.y)
    ]
    parts = [
        subtract(rounded_block(p.x, p.y, p.top, 3, 0.8).translate((0, 0, under)), slots),
        *at_corners(union([leg, foot]), i, j),
    ]
    beam = 0.8 * p.leg
    parts += [centred_block(2 * i, 0.6 * beam, beam).translate((0, s * j, under - 0.4 * beam)) for s in (-1, 1)]
    parts += [
        centred_block(0.6 * beam, 2 * j, beam).translate((s * i, 0, z)) for s in (-1, 1) for z in (under - 0.4 * beam, 0.22 * p.z)
    ]
    if p.shelf:
        parts.append(block(2 * i + 0.5 * beam, 2 * j, 0.6 * p.top).translate((0, 0, 0.22 * p.z)))
    if p.back:
        parts.append(block(p.x, 0.04 * p.x, 0.35 * p.z).translate((0, p.y / 2 - 0.02 * p.x, p.z - 0.1 * p.top)))
    return union([*parts, *_drawers(p, under)])


def _drawers(p: WorkTable, under: float) -> list[Manifold]:
    """A cabinet under the right half of the top; fronts and handles face -y."""
    if not p.drawers:
        return []
    height, width, depth = 0.16 * p.z * p.drawers + 2, 0.32 * p.x, 0.8 * p.y
    cabinet = block(width, depth, height)
    parts = [cabinet]
    pitch = height / p.drawers
    for k in range(p.drawers):
        z = (k + 0.5) * pitch
        parts.append(centred_block(0.92 * width, 3, 0.82 * pitch).translate((0, -depth / 2 - 0.5, z)))
        parts.append(centred_block(0.35 * width, 5, 0.16 * pitch).translate((0, -depth / 2 - 3.5, z + 0.1 * pitch)))
    return [part.translate((0.27 * p.x, 0, under - height + 0.5)) for part in parts]


@dataclass(frozen=True)
class Caster:
    """A wheel in a fork under a top plate, in mm."""

    wheel_radius: float
    wheel_width: float
    plate: float
    offset: float
    fork: float
    brake: bool
    hub_holes: int
    round_plate: bool


def draw_caster(rng: np.random.Generator) -> Caster:
    radius = uniform(rng, 25, 45)
    return Caster(
        wheel_radius=radius,
        wheel_width=radius * uniform(rng, 0.5, 0.9),
        plate=radius * uniform(rng, 1.5, 2.2),
        offset=radius * uniform(rng, 0.0, 0.6),
        fork=radius * uniform(rng, 0.1, 0.15),
        brake=chance(rng, 0.4),
        hub_holes=pick(rng, (0, 3, 5, 6)),
        round_plate=chance(rng, 0.3),
    )


def build_caster(p: Caster) -> Manifold:
    r, w, t = p.wheel_radius, p.wheel_width, p.fork
    top = 2.35 * r
    span = w + 2.6 * t
    outline = disc(0.6 * p.plate) if p.round_plate else rounded_rectangle(p.plate, p.plate, 0.12 * p.plate)
    plate = subtract(extruded(outline, 0.16 * r), at_corners(centred_cylinder(0.09 * r, 99, 16), 0.38 * p.plate, 0.38 * p.plate))
    swivel = turned([(-0.25 * r, 0.55 * r), (-0.1 * r, 0.62 * r), (0.05 * r, 0.62 * r)], 48)
    bridge = centred_block(1.0 * r, span, 1.2 * t).translate((0, 0, top - 0.25 * r))
    pivot = along_y(centred_cylinder(0.3 * r, t, 32)).translate((p.offset, 0, r))
    cheek = hull([centred_block(r, t, 1.2 * t).translate((0, 0, top - 0.25 * r)), pivot])
    parts = [plate.translate((0, 0, top)), swivel.translate((0, 0, top)), bridge]
    parts += [cheek.translate((0, s * (span - t) / 2, 0)) for s in (-1, 1)]
    parts.append(along_y(centred_cylinder(0.13 * r, span + 3 * t, 20)).translate((p.offset, 0, r)))
    parts.append(_caster_wheel(p).translate((p.offset, 0, r)))
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


PROFILE_FRAME = Family("profile_frame", "structure", draw_profile_frame, build_profile_frame)
TRUSS = Family("truss", "structure", draw_truss, build_truss)
STAIRS = Family("stairs", "structure", draw_stairs, build_stairs)
WORK_TABLE = Family("work_table", "structure", draw_work_table, build_work_table)
CASTER = Family("caster", "other", draw_caster, build_caster)

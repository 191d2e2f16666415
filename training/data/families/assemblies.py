"""Machines put together from modules: robots and grippers, gantries, vehicles, skids, and free arrangements on a base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from manifold3d import CrossSection, Manifold

from training.data.families import brackets, fluid, housings, instruments, machines, transmission
from training.data.families.draws import chance, integer, pick, uniform, uniforms
from training.data.families.part import Family
from training.data.families.solids import (
    Point3,
    along_x,
    along_y,
    at_corners,
    bend,
    block,
    bolt_head,
    bolted_flange,
    cells,
    centred_block,
    centred_cylinder,
    chamfered_cylinder,
    cylinder,
    disc,
    extruded,
    hull,
    pebble,
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
from training.data.families.standards import MOTOR_FRAMES

# What stands on a free arrangement. Families held out for validation or test must not appear here.
CHILDREN: dict[str, Family] = {
    family.name: family
    for family in (
        machines.ELECTRIC_MOTOR,
        machines.PUMP,
        machines.BLOWER_FAN,
        machines.MACHINE_VISE,
        machines.COLUMN_PRESS,
        machines.ROBOT_ARM,
        fluid.MANIFOLD_BLOCK,
        fluid.HYDRAULIC_CYLINDER,
        fluid.TANK,
        housings.HEAT_SINK,
        brackets.L_BRACKET,
        brackets.SLOTTED_ARM,
        transmission.BEARING,
        instruments.LIDAR,
        instruments.CAMERA_HOUSING,
        instruments.TERMINAL_BLOCK,
        instruments.ROBOT_LINK,
        instruments.BARREL,
        instruments.CRATE_BIN,
        instruments.COVER,
    )
}


def finned_motor(radius: float, length: float, fins: int) -> Manifold:
    """A finned motor along x from 0 to its length, axis at z = 0, terminal box on top."""
    body = [cylinder(0.88 * radius, length, 48), turned([(0, 0.8 * radius), (0.03 * length, radius), (0.18 * length, radius)])]
    body.append(cylinder(radius, 0.12 * length, 48).translate((0, 0, 0.88 * length)))
    ribs = polar(
        block(0.24 * radius, 0.13 * radius, 0.9 * length).translate((0, 0, 0.05 * length)), fins, 0.88 * radius, turn=True
    )
    box = rounded_block(0.4 * length, 0.8 * radius, 0.5 * radius, 0.1 * radius).translate((0.5 * length, 0, 0.8 * radius))
    return union([along_x(union([*body, *ribs])), box])


def wheel(radius: float, width: float, holes: int) -> Manifold:
    """A wheel about y, centred on the origin: tread, dished sides, holes in the disc."""
    tread = turned([(-width / 2, 0.9 * radius), (-0.4 * width, radius), (0.4 * width, radius), (width / 2, 0.9 * radius)], 48)
    dish = tube(0.72 * radius, 0.3 * radius, 0.5 * width, 40)
    tools = [dish.translate((0, 0, 0.3 * width)), dish.translate((0, 0, -0.8 * width))]
    return along_y(subtract(tread, [*tools, *polar(centred_cylinder(0.12 * radius, 2 * width, 16), holes, 0.51 * radius)]))


@dataclass(frozen=True)
class Child:
    """What another family draws for a seed, on the base: the share of its cell that it fills, and its quarter turns about z."""

    family: str
    seed: int
    fill_ratio: float
    quarter_turns: int


@dataclass(frozen=True)
class Link:
    """What joins two neighbours: a shaft at a share of the lower one's height, or a pipe over the top, part of a cell higher."""

    style: Literal["none", "shaft", "pipe"]
    height_ratio: float
    radius_ratio: float
    rise_ratio: float


@dataclass(frozen=True)
class MachineAssembly:
    """Two to four parts of other families in a row of cells along x, on a base, in mm; one link fewer than children."""

    cell: float
    depth: float
    base: Literal["plate", "table", "rails", "cabinet"]
    base_height: float
    children: tuple[Child, ...]
    links: tuple[Link, ...]
    back_wall_ratio: float


def draw_machine_assembly(rng: np.random.Generator) -> MachineAssembly:
    count = integer(rng, 2, 4)
    cell = uniform(rng, 250, 500)
    names = [pick(rng, tuple(CHILDREN)) for _ in range(count)]
    return MachineAssembly(
        cell=cell,
        depth=cell * uniform(rng, 0.8, 1.5),
        base=pick(rng, ("plate", "table", "rails", "cabinet")),
        base_height=cell * uniform(rng, 0.4, 1.1),
        children=tuple(Child(name, integer(rng, 0, 2**31 - 1), uniform(rng, 0.55, 1.0), integer(rng, 0, 3)) for name in names),
        links=tuple(
            Link(
                pick(rng, ("none", "shaft", "pipe", "pipe")),
                uniform(rng, 0.35, 0.7),
                uniform(rng, 0.03, 0.07),
                uniform(rng, 0.05, 0.35),
            )
            for _ in range(count - 1)
        ),
        back_wall_ratio=uniform(rng, 0.4, 1.2) if chance(rng, 0.25) else 0.0,
    )


def build_machine_assembly(p: MachineAssembly) -> Manifold:
    a, count = p.cell, len(p.children)
    parts, top = _assembly_base(p)
    placed = []
    for x, child in zip(cells(count, -count * a / 2, count * a / 2), p.children, strict=True):
        solid = _child_solid(child).rotate((0, 0, 90 * child.quarter_turns))
        low, high = np.split(np.array(solid.bounding_box()), 2)
        size = high - low
        scale = child.fill_ratio * min(0.96 * a / size[0], 0.96 * p.depth / size[1], 1.5 * a / size[2])
        middle = (low + high) / 2
        # Sunk by a little, so that feet and curved undersides are held by the base.
        drop = -low[2] * scale - 0.012 * a
        placed.append(solid.scale((scale,) * 3).translate((x - scale * middle[0], -scale * middle[1], top + drop)))
    for link, left, right in zip(p.links, placed, placed[1:], strict=False):
        parts += _assembly_link(p, link, left, right, top)
    if p.back_wall_ratio:
        parts.append(block(count * a, 0.05 * a, p.back_wall_ratio * a).translate((0, 0.49 * p.depth, top - 0.01 * a)))
    return union([*parts, *placed])


def _child_solid(child: Child) -> Manifold:
    """The child as its own family builds it: nothing is left to chance here, the seed settles it."""
    family = CHILDREN[child.family]
    return family.build(family.draw(np.random.default_rng(child.seed)))


def _assembly_base(p: MachineAssembly) -> tuple[list[Manifold], float]:
    """The base's solids, standing on z = 0, and the height of its top."""
    a, x, y, h = p.cell, len(p.children) * p.cell, p.depth, p.base_height
    t = 0.07 * a
    plate = rounded_block(x + 0.1 * a, y + 0.1 * a, t, 0.1 * a, 0.01 * a)
    drills = [centred_cylinder(0.025 * a, a, 16).translate((i * x / 2, j * y / 2, 0)) for i in (-1, 1) for j in (-1, 1)]
    plate = subtract(plate, drills)
    if p.base == "plate":
        return [plate], t
    if p.base == "table":
        leg = union([block(1.2 * t, 1.2 * t, h + 1), cylinder(1.1 * t, 0.4 * t, 24)])
        rail = block(x, 0.8 * t, t).translate((0, 0, 0.3 * h))
        ends = block(0.8 * t, y, t).translate((0, 0, 0.3 * h))
        legs = at_corners(leg, 0.46 * x, 0.42 * y)
        stretchers = [rail.translate((0, s * 0.42 * y, 0)) for s in (-1, 1)] + [
            ends.translate((s * 0.46 * x, 0, 0)) for s in (-1, 1)
        ]
        return [plate.translate((0, 0, h)), *legs, *stretchers], h + t
    if p.base == "rails":
        rail = upright(_channel(2.2 * t, 1.6 * t, 0.45 * t), x + 0.1 * a).rotate((0, 0, 90))
        return [plate.translate((0, 0, 1.55 * t)), *(rail.translate((0, s * 0.38 * y, 0)) for s in (-1, 1))], 2.55 * t
    body = rounded_block(x, 0.96 * y, h, 0.06 * a).translate((0, 0, 0.4 * t))
    doors = [
        centred_block(0.86 * a, 0.05 * a, 0.8 * h).translate((cx, -0.48 * y, 0.55 * h))
        for cx in cells(len(p.children), -x / 2, x / 2)
    ]
    knobs = [
        centred_block(0.04 * a, 0.06 * a, 0.2 * h).translate((cx + 0.35 * a, -0.48 * y - 0.045 * a, 0.55 * h))
        for cx in cells(len(p.children), -x / 2, x / 2)
    ]
    feet = at_corners(cylinder(0.8 * t, 0.5 * t, 24), 0.42 * x, 0.38 * y)
    return [body, *doors, *knobs, *feet, plate.translate((0, 0, h))], h + t


def _channel(height: float, width: float, wall: float) -> CrossSection:
    """A C section in (x, z), open towards +x, standing on z = 0."""
    return polygon(
        [
            (-width / 2, 0),
            (width / 2, 0),
            (width / 2, wall),
            (wall - width / 2, wall),
            (wall - width / 2, height - wall),
            (width / 2, height - wall),
            (width / 2, height),
            (-width / 2, height),
        ]
    )


def _assembly_link(p: MachineAssembly, link: Link, left: Manifold, right: Manifold, top: float) -> list[Manifold]:
    (x0, y0, z0), (x1, y1, z1) = _middle_and_top(left), _middle_and_top(right)
    r = link.radius_ratio * p.cell
    if link.style == "none":
        return []
    if link.style == "shaft":
        z = top + link.height_ratio * (min(z0, z1) - top)
        shaft = along_x(cylinder(r, x1 - x0, 32)).translate((x0, 0, z))
        hub = along_x(union([centred_cylinder(2 * r, 1.2 * r, 40), centred_cylinder(1.5 * r, 3.6 * r, 40)])).translate(
            ((x0 + x1) / 2, 0, z)
        )
        return [shaft, hub]
    z = max(z0, z1) + link.rise_ratio * p.cell
    pipe = swept_ball([(x0, y0, z0 - 0.1 * p.cell), (x0, y0, z), (x1, y1, z), (x1, y1, z1 - 0.1 * p.cell)], r, 20)
    ring = cylinder(1.8 * r, 0.8 * r, 32)
    return [pipe, ring.translate((x0, y0, z0)), ring.translate((x1, y1, z1)), *_end_stubs(left, right, r, (z0, z1), p.cell)]


def _end_stubs(left: Manifold, right: Manifold, radius: float, tops: tuple[float, float], cell: float) -> list[Manifold]:
    """Risers below the pipe's ends: a part that is hollow in its middle is met by its own floor or wall farther down."""
    stubs = []
    for solid, z in ((left, tops[0]), (right, tops[1])):
        low = solid.bounding_box()[2]
        x, y, _ = _middle_and_top(solid)
        stubs.append(cylinder(radius, z - low - 0.005 * cell, 20).translate((x, y, low + 0.005 * cell)))
    return stubs


def _middle_and_top(solid: Manifold) -> Point3:
    """Middle of the box in x and y, and its upper end."""
    x0, y0, _, x1, y1, z1 = solid.bounding_box()
    return (x0 + x1) / 2, (y0 + y1) / 2, z1


@dataclass(frozen=True)
class PumpSkid:
    """Motor of an IEC frame, coupling guard and volute pump along x on a base, in mm; `shaft` is the axis height above it."""

    frame: str
    shaft: float
    motor_radius: float
    motor_length: float
    fins: int
    guard_length: float
    volute: float
    volute_width: float
    suction: float
    discharge: float
    discharge_rise: float
    flange_bolts: int
    beam: float
    cross_members: int
    pipe_back: bool
    panel: bool


def draw_pump_skid(rng: np.random.Generator) -> PumpSkid:
    frame = pick(rng, tuple(name for name, row in MOTOR_FRAMES.items() if row.H >= 90))
    shaft = MOTOR_FRAMES[frame].H
    volute = shaft * uniform(rng, 0.7, 0.95)
    return PumpSkid(
        frame=frame,
        shaft=shaft,
        motor_radius=shaft * uniform(rng, 0.65, 0.95),
        motor_length=shaft * uniform(rng, 1.8, 3.0),
        fins=integer(rng, 16, 28),
        guard_length=shaft * uniform(rng, 0.6, 1.1),
        volute=volute,
        volute_width=shaft * uniform(rng, 0.45, 0.7),
        suction=volute * uniform(rng, 0.3, 0.42),
        discharge=volute * uniform(rng, 0.22, 0.34),
        discharge_rise=volute * uniform(rng, 1.3, 2.0),
        flange_bolts=pick(rng, (4, 8)),
        beam=shaft * uniform(rng, 0.35, 0.6),
        cross_members=integer(rng, 2, 5),
        pipe_back=chance(rng, 0.4),
        panel=chance(rng, 0.4),
    )


def build_pump_skid(p: PumpSkid) -> Manifold:
    iec, z = MOTOR_FRAMES[p.frame], p.beam + p.shaft
    total = p.motor_length + p.guard_length + p.volute_width + 0.6 * p.shaft
    motor_end = p.motor_length
    motor = finned_motor(p.motor_radius, p.motor_length, p.fins).translate((0, 0, z))
    foot_height = p.shaft - 0.3 * p.motor_radius
    feet = [
        block(0.18 * p.motor_length, 1.15 * iec.A, foot_height).translate((place * p.motor_length, 0, p.beam - 1))
        for place in (0.22, 0.78)
    ]
    guard_radius = 0.4 * p.shaft
    guard = hull(
        [
            along_x(centred_cylinder(guard_radius, p.guard_length, 40)).translate((0, 0, z)),
            block(p.guard_length, 2 * guard_radius, p.shaft).translate((0, 0, p.beam - 1)),
        ]
    )
    guard = guard.scale((0.9, 1, 1)).translate((motor_end + p.guard_length / 2, 0, 0))
    shaft = along_x(cylinder(iec.D / 2, p.guard_length + 0.4 * p.shaft, 28)).translate((motor_end - 0.2 * p.shaft, 0, z))
    parts = [motor, *feet, guard, shaft, *_skid_frame(p, total), _skid_pump(p).translate((motor_end + p.guard_length, 0, z))]
    if p.panel:
        post = block(0.2 * p.shaft, 0.2 * p.shaft, 2.0 * p.shaft)
        cabinet = rounded_block(0.9 * p.shaft, 0.4 * p.shaft, 1.1 * p.shaft, 0.05 * p.shaft).translate((0, 0, 1.5 * p.shaft))
        parts.append(union([post, cabinet]).translate((0.5 * p.shaft, 1.0 * p.shaft, p.beam - 1)))
    return union(parts)


def _skid_frame(p: PumpSkid, total: float) -> list[Manifold]:
    """Two channels along x, cross members, a deck; the top is at the beam height."""
    b, width = p.beam, 2.3 * p.shaft
    rail = upright(_channel(0.85 * b, 0.6 * b, 0.16 * b), total).rotate((0, 0, -90)).translate((total / 2 - 0.1 * p.shaft, 0, 0))
    rails = [rail.translate((0, -0.42 * width, 0)), rail.mirror((0, 1, 0)).translate((0, 0.42 * width, 0))]
    member = block(0.5 * b, 0.8 * width, 0.8 * b)
    members = [member.translate((x, 0, 0.02 * b)) for x in spread(p.cross_members, 0.0, total - 0.3 * p.shaft)]
    deck = rounded_block(total, width, 0.2 * b, 0.1 * b).translate((total / 2 - 0.1 * p.shaft, 0, 0.8 * b))
    return [*rails, *members, deck]


def _skid_pump(p: PumpSkid) -> Manifold:
    """An end-suction pump: shaft from -x at the origin, suction towards +x, discharge up."""
    r, w, shaft = p.volute, p.volute_width, p.shaft
    edge = 0.35 * w
    angles = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    radii = r * (0.68 + 0.25 * angles / (2 * math.pi))
    scroll = polygon([(q * math.cos(t), q * math.sin(t)) for q, t in zip(radii, angles, strict=True)])
    case = hull([extruded(scroll, w - 2 * edge).translate((0, 0, edge)), extruded(scroll.offset(-edge), w)])

    bracket = turned(
        [(-0.25 * shaft, 0.3 * r), (-0.2 * shaft, 0.4 * r), (0.0, 0.6 * r), (0.05 * w, 0.78 * r), (0.3 * w, 0.8 * r)]
    )
    nozzle = turned([(0.8 * w, 1.25 * p.suction), (w + 0.15 * shaft, p.suction), (w + 0.3 * shaft, p.suction)])
    thickness = 0.1 * shaft
    inlet = bolted_flange(1.7 * p.suction, thickness, p.flange_bolts, 0.22 * p.suction, 1.38 * p.suction).translate(
        (0, 0, w + 0.25 * shaft)
    )
    bore = cylinder(0.75 * p.suction, w, 40).translate((0, 0, w))
    along = subtract(union([case, bracket, nozzle, inlet]), [bore])
    depth = 0.0 if p.pipe_back else 0.4 * p.discharge_rise
    outlet = union(
        [
            cylinder(p.discharge, p.discharge_rise, 36),
            bolted_flange(1.75 * p.discharge, thickness, p.flange_bolts, 0.24 * p.discharge, 1.4 * p.discharge).translate(
                (0, 0, p.discharge_rise - thickness)
            ),
        ]
    )
    x = w / 2
    parts = [
        along_x(along),
        subtract(
            outlet, [cylinder(0.72 * p.discharge, 2 * depth, 32).translate((0, 0, p.discharge_rise - depth))] if depth else []
        ).translate((x, 0.45 * r, 0)),
    ]
    support = block(0.35 * w, 1.1 * r, p.shaft - 0.3 * r).translate((x, 0, -p.shaft - 1))
    if p.pipe_back:
        elbow = bend(1.6 * p.discharge, disc(p.discharge, 32), 90, 40)
        run = along_x(cylinder(p.discharge, 1.5 * p.shaft, 32)).translate((1.6 * p.discharge - 0.5, 0, 1.6 * p.discharge))
        end = along_x(bolted_flange(1.75 * p.discharge, thickness, 8, 0.24 * p.discharge, 1.4 * p.discharge)).translate(
            (1.6 * p.discharge + 1.4 * p.shaft, 0, 1.6 * p.discharge)
        )
        parts += [s.rotate((0, 0, 180)).translate((x, 0.45 * r, p.discharge_rise - 0.5)) for s in (elbow, run, end)]
    return union([*parts, support])


@dataclass(frozen=True)
class Agv:
    """A mobile platform driving along x, in mm: body on wheels, scanners, bumpers, and a module on its deck."""

    length: float
    width: float
    height: float
    clearance: float
    corner: float
    chamfer: float
    round_body: bool
    wheel_radius: float
    wheel_width: float
    wheels: int
    outside_wheels: bool
    scanners: int
    bumpers: bool
    side_panels: int
    top: Literal["none", "lift_plate", "rollers", "cabinet", "shelf", "mast", "arm"]
    top_height: float
    joint_degrees: tuple[float, float]


def draw_agv(rng: np.random.Generator) -> Agv:
    length = uniform(rng, 500, 1800)
    return Agv(
        length=length,
        width=length * uniform(rng, 0.5, 0.95),
        height=length * uniform(rng, 0.16, 0.4),
        clearance=length * uniform(rng, 0.02, 0.06),
        corner=length * uniform(rng, 0.02, 0.18),
        chamfer=length * uniform(rng, 0.0, 0.03),
        round_body=chance(rng, 0.15),
        wheel_radius=length * uniform(rng, 0.08, 0.15),
        wheel_width=length * uniform(rng, 0.05, 0.1),
        wheels=pick(rng, (2, 2, 3)),
        outside_wheels=chance(rng),
        scanners=integer(rng, 0, 2),
        bumpers=chance(rng),
        side_panels=integer(rng, 0, 3),
        top=pick(rng, ("none", "lift_plate", "rollers", "cabinet", "shelf", "mast", "arm")),
        top_height=length * uniform(rng, 0.3, 1.1),
        joint_degrees=(uniform(rng, -50, 60), uniform(rng, 30, 120)),
    )


def build_agv(p: Agv) -> Manifold:
    length, w, h, low = p.length, p.width, p.height, p.clearance
    if p.round_body:
        body = chamfered_cylinder(w / 2, h - low, max(p.chamfer, 0.01 * w), 72)
        length = w
    else:
        body = rounded_block(length, w, h - low, p.corner, p.chamfer)
    r = max(p.wheel_radius, 1.3 * low)
    reach_y = w / 2 + (0.4 if p.outside_wheels else -0.55) * p.wheel_width
    axles = spread(p.wheels, -0.34 * length, 0.34 * length)
    arch = along_y(centred_cylinder(1.15 * r, 1.15 * p.wheel_width, 40))
    arches = [arch.translate((x, s * reach_y, r - low)) for x in axles for s in (-1, 1)]
    grooves = [
        centred_block(0.8 * length / p.side_panels, 0.03 * length, 0.015 * length).translate((x, s * w / 2, 0.7 * (h - low)))
        for x in (cells(p.side_panels, -0.42 * length, 0.42 * length) if p.side_panels else [])
        for s in (-1, 1)
    ]
    parts = [subtract(body, [*arches, *grooves]).translate((0, 0, low))]
    tyre = union([wheel(r, p.wheel_width, 5), along_y(centred_cylinder(0.25 * r, 2.4 * p.wheel_width, 24))])
    parts += [tyre.translate((x, s * reach_y, r)) for x in axles for s in (-1, 1)]
    parts.append(block(0.9 * length, 0.35 * w, 0.8 * low + 0.1 * h).translate((0, 0, 0.6 * low)))
    if p.bumpers:
        bumper = rounded_block(0.05 * length, 0.9 * w, 0.2 * h, 0.02 * length)
        parts += [bumper.translate((s * length / 2, 0, low + 0.1 * h)) for s in (-1, 1)]
    drum = union(
        [
            cylinder(0.06 * length, 0.09 * length, 32),
            cylinder(0.05 * length, 0.12 * length, 32),
            cylinder(0.06 * length, 0.02 * length, 32).translate((0, 0, 0.11 * length)),
        ]
    )
    spots = (
        ((0.38 * length, 0.34 * w), (-0.38 * length, -0.34 * w))
        if not p.round_body
        else ((0.3 * w, 0.2 * w), (-0.3 * w, -0.2 * w))
    )
    parts += [drum.translate((x, y, h - 0.01 * length)) for x, y in spots[: p.scanners]]
    return union([*parts, *_agv_module(p, length)])


def _agv_module(p: Agv, length: float) -> list[Manifold]:
    """What the platform carries, standing on its deck."""
    w, h, t, rise = p.width, p.height, 0.03 * length, p.top_height
    inner = (0.7 if not p.round_body else 0.5) * length
    if p.top == "lift_plate":
        plate = rounded_block(inner, 0.75 * w, t, 0.1 * w)
        pads = at_corners(cylinder(1.2 * t, 0.6 * t, 24).translate((0, 0, 0.9 * t)), 0.35 * inner, 0.25 * w)
        solids = [cylinder(0.2 * w, 1.6 * t).translate((0, 0, -0.1 * t)), *(s.translate((0, 0, 1.4 * t)) for s in (plate, *pads))]
    elif p.top == "rollers":
        rail = block(inner, t, 2.5 * t)
        roller = along_y(centred_cylinder(0.9 * t, 0.8 * w, 24))
        solids = [rail.translate((0, s * 0.4 * w, -1)) for s in (-1, 1)] + [
            roller.translate((x, 0, 2.2 * t)) for x in cells(8, -inner / 2, inner / 2)
        ]
    elif p.top == "cabinet":
        solids = [
            rounded_block(inner, 0.7 * w, rise, 0.04 * length, 0.01 * length),
            centred_block(0.8 * inner, 0.72 * w, 0.06 * rise).translate((0, 0, 0.7 * rise)),
            centred_block(0.8 * inner, 0.72 * w, 0.06 * rise).translate((0, 0, 0.35 * rise)),
        ]
    elif p.top == "shelf":
        posts = at_corners(block(t, t, rise), 0.42 * inner, 0.3 * w)
        shelves = [rounded_block(0.95 * inner, 0.7 * w, t, t).translate((0, 0, f * rise - t)) for f in (0.33, 0.66, 1.0)]
        solids = [*posts, *shelves]
    elif p.top == "mast":
        mast = [block(1.6 * t, 2.4 * t, rise), rounded_block(4 * t, 4 * t, t, t)]
        head = pebble(2.5 * t, 0.35 * w, 3 * t, 0.6 * t).translate((0.5 * t, 0, rise - t))
        screen = centred_block(t, 0.4 * w, 0.25 * rise).rotate((0, -20, 0)).translate((1.2 * t, 0, 0.7 * rise))
        solids = [s.translate((-0.3 * inner, 0, 0)) for s in (*mast, head, screen)]
    elif p.top == "arm":
        solids = [
            rounded_block(0.4 * inner, 0.4 * inner, 0.25 * rise, 0.05 * inner),
            _small_arm(0.055 * length, 0.5 * rise, p.joint_degrees).translate((0, 0, 0.24 * rise)),
        ]
    else:
        solids = [rounded_block(0.6 * inner, 0.6 * w, 0.5 * t, 0.05 * w)]
    return [solid.translate((0, 0, h - 0.004 * length)) for solid in solids]


def _small_arm(radius: float, length: float, joints: tuple[float, float]) -> Manifold:
    """A two-link arm on a turret, bending in the xz plane; joint angles in degrees from upright."""
    r, (shoulder, elbow) = radius, joints
    knee = (length * math.sin(math.radians(shoulder)), 0.0, 2 * r + length * math.cos(math.radians(shoulder)))
    angle = math.radians(shoulder + elbow)
    hand = (knee[0] + 0.8 * length * math.sin(angle), 0.0, knee[2] + 0.8 * length * math.cos(angle))
    # A hand that would reach through the deck is held above it.
    hand = (hand[0], 0.0, max(hand[2], 2.5 * r))
    pivot = along_y(centred_cylinder(1.2 * r, 2.6 * r, 32))
    tip = union(
        [
            Manifold.sphere(0.9 * r, 24),
            cylinder(0.8 * r, 1.4 * r, 24).translate((0, 0, -1.4 * r)),
            *(block(0.3 * r, 0.8 * r, 2.4 * r).translate((s * 0.5 * r, 0, -2.4 * r)) for s in (-1, 1)),
        ]
    )
    return union(
        [
            cylinder(1.3 * r, 2 * r, 40),
            pivot.translate((0, 0, 2 * r)),
            swept_ball([(0, 0, 2 * r), knee, hand], 0.8 * r, 24),
            pivot.translate(knee),
            tip.translate(hand),
        ]
    )


@dataclass(frozen=True)
class Gripper:
    """An end effector, flange up, fingers down, in mm; `opening_ratio` in [0, 1]."""

    style: Literal["parallel", "centric", "linkage", "vacuum"]
    width: float
    depth: float
    height: float
    finger: float
    finger_width: float
    opening_ratio: float
    stepped: bool
    grooves: int
    fingers: int
    flange: float
    screws: int
    side_module: bool
    cups: tuple[int, int]
    tilt_degrees: float


def draw_gripper(rng: np.random.Generator) -> Gripper:
    width = uniform(rng, 60, 180)
    return Gripper(
        style=pick(rng, ("parallel", "parallel", "centric", "linkage", "vacuum")),
        width=width,
        depth=width * uniform(rng, 0.3, 0.7),
        height=width * uniform(rng, 0.35, 1.1),
        finger=width * uniform(rng, 0.4, 1.0),
        finger_width=width * uniform(rng, 0.1, 0.18),
        opening_ratio=uniform(rng, 0.05, 1.0),
        stepped=chance(rng, 0.6),
        grooves=integer(rng, 0, 5),
        fingers=integer(rng, 2, 4),
        flange=width * uniform(rng, 0.2, 0.35),
        screws=pick(rng, (4, 6, 8)),
        side_module=chance(rng, 0.4),
        cups=(integer(rng, 2, 4), integer(rng, 1, 3)),
        tilt_degrees=pick(rng, (0.0, 0.0, 90.0, 180.0)),
    )


def build_gripper(p: Gripper) -> Manifold:
    h = p.height
    flange = subtract(
        chamfered_cylinder(p.flange, 0.12 * p.width, 0.01 * p.width),
        polar(centred_cylinder(0.08 * p.flange, p.width, 16), p.screws, 0.8 * p.flange),
    )
    neck = cylinder(0.75 * p.flange, 0.16 * p.width).translate((0, 0, h - 0.03 * p.width))
    styles = {"parallel": _parallel_gripper, "centric": _centric_gripper, "linkage": _linkage_gripper, "vacuum": _vacuum_gripper}
    parts = [*styles[p.style](p), neck, flange.translate((0, 0, h + 0.1 * p.width))]
    if p.side_module:
        camera = pebble(0.35 * p.width, 0.3 * p.width, 0.25 * p.width, 0.03 * p.width)
        lens = union([cylinder(0.09 * p.width, 0.1 * p.width, 32)]).translate((0, 0, -0.07 * p.width))
        reach = 0.5 * (p.width if p.style == "centric" else p.depth)
        parts.append(union([camera, lens]).translate((0, reach + 0.1 * p.width, h - 0.3 * p.width)))
    return union(parts).rotate((p.tilt_degrees, 0, 0))


def _finger(p: Gripper) -> Manifold:
    """A finger down from z = 0, gripping face towards -x at x = 0."""
    t = p.finger_width
    root = block(1.6 * t, 1.5 * t, 0.5 * p.finger).translate((0.8 * t, 0, -0.5 * p.finger))
    tip = block(0.8 * t, (1.1 if p.stepped else 1.5) * t, p.finger).translate((0.4 * t, 0, -p.finger))
    notch = [centred_block(0.3 * t, 9 * t, 0.35 * t).translate((0, 0, -p.finger + 0.8 * t * (k + 0.7))) for k in range(p.grooves)]
    screw = along_x(bolt_head(0.35 * t, "socket")).translate((1.6 * t, 0, -0.25 * p.finger))
    return subtract(union([root, tip, screw]), [cut for cut in notch if 0.8 * t * p.grooves < 0.45 * p.finger])


def _parallel_gripper(p: Gripper) -> list[Manifold]:
    w, d, h, t = p.width, p.depth, p.height, p.finger_width
    body = rounded_block(w, d, h, 0.05 * w, 0.015 * w)
    guide = centred_block(2 * w, 0.4 * d, 0.14 * w)
    windows = [
        along_y(centred_cylinder(0.05 * w, 0.2 * w, 20)).translate((s * 0.35 * w, k * d / 2, 0.6 * h))
        for s in (-1, 1)
        for k in (-1, 1)
    ]
    slide = 0.05 * t + p.opening_ratio * 0.5 * (w - 3.4 * t)
    jaw = block(2.2 * t, 0.8 * d, 0.2 * w).translate((0.9 * t, 0, -0.16 * w))
    key = block(2.2 * t, 0.36 * d, 0.3 * w).translate((0.9 * t, 0, -0.16 * w))
    side = union([jaw, key, _finger(p).translate((0, 0, -0.15 * w))]).translate((slide, 0, 0))
    return [subtract(body, [guide, *windows]), block(0.9 * w, 0.3 * d, 0.1 * w), side, side.mirror((1, 0, 0))]


def _centric_gripper(p: Gripper) -> list[Manifold]:
    w, t, count = p.width, p.finger_width, max(3, p.fingers)
    body = union([chamfered_cylinder(w / 2, p.height, 0.02 * w, 64), cylinder(0.4 * w, 1.02 * p.height)])
    groove = tube(0.6 * w, 0.46 * w, 0.1 * w).translate((0, 0, 0.5 * p.height))
    slide = 0.12 * w + p.opening_ratio * max(0.02 * w, 0.35 * w - 2.2 * t)
    jaw = rounded_block(0.34 * w, 1.6 * t, 0.14 * w, 0.02 * w).translate((0.17 * w, 0, -0.12 * w))
    arm = union([jaw, _finger(p).translate((0.02 * w, 0, -0.1 * w))]).translate((slide, 0, 0))
    return [subtract(body, [groove]), *polar(arm, count, 0, turn=True)]


def _linkage_gripper(p: Gripper) -> list[Manifold]:
    """Two-phalanx fingers on a rounded palm, as adaptive grippers have."""
    w, t, d = p.width, p.finger_width, p.depth
    palm = hull(
        [
            rounded_block(0.9 * w, d, 0.4 * p.height, 0.1 * w),
            cylinder(0.9 * p.flange, 0.3 * p.height).translate((0, 0, 0.7 * p.height)),
        ]
    )
    angle = 10 + 35 * p.opening_ratio
    upper, lower = 0.9 * p.finger, 0.7 * p.finger
    pin = along_y(centred_cylinder(0.65 * t, 0.62 * d + 0.8 * t, 24))

    def bar(length: float, thickness: float, width: float) -> Manifold:
        return hull([along_y(centred_cylinder(thickness / 2, width, 24)).translate((0, 0, -z)) for z in (0.0, length)])

    pad = centred_block(0.7 * t, 0.6 * d, 0.8 * lower).translate((-0.35 * t, 0, -0.55 * lower))
    tip = union([bar(lower, 0.8 * t, 0.45 * d), pad, pin])
    outer = union([bar(upper, 0.8 * t, 0.6 * d), pin, tip.rotate((0, 0.8 * angle, 0)).translate((0, 0, -upper))])
    inner = bar(0.8 * upper, 0.5 * t, 0.35 * d).translate((-1.2 * t, 0, 0.02 * w))
    side = union([outer, inner]).rotate((0, -angle, 0)).translate((0.38 * w, 0, 0.05 * w))
    return [palm, side, side.mirror((1, 0, 0))]


def _vacuum_gripper(p: Gripper) -> list[Manifold]:
    """Bellows cups under a beam grid."""
    w, t = p.width, p.finger_width
    columns, rows = p.cups
    span_x, span_y = 1.6 * w, 0.7 * w * (rows - 1)
    bar_x = block(span_x + t, t, t)
    bar_y = block(t, span_y + t, t)
    r = min(0.2 * w, 0.4 * span_x / columns)
    bellows = turned(
        [
            (0, 0.9 * r),
            (0.15 * r, r),
            (0.5 * r, 0.55 * r),
            (0.8 * r, 0.9 * r),
            (1.1 * r, 0.5 * r),
            (1.4 * r, 0.8 * r),
            (1.6 * r, 0.35 * r),
        ],
        40,
    )
    hollow = turned([(-0.1 * r, 0.5 * r), (0.3 * r, 0.4 * r)], 32)
    stem = cylinder(0.28 * r, 0.6 * p.finger, 20).translate((0, 0, 1.5 * r))
    cup = union([subtract(bellows, [hollow]), stem]).translate((0, 0, -0.35 * p.finger - 1.5 * r))
    cups = [
        cup.translate((x, y, 0)) for x in spread(columns, -span_x / 2, span_x / 2) for y in spread(rows, -span_y / 2, span_y / 2)
    ]
    beams = [bar_x.translate((0, y, 0)) for y in spread(rows, -span_y / 2, span_y / 2)] + [
        bar_y.translate((x, 0, 0)) for x in (-0.3 * w, 0.3 * w)
    ]
    return [*cups, *beams, rounded_block(0.75 * w, max(0.5 * w, p.depth), p.height, 0.05 * w)]


@dataclass(frozen=True)
class MachiningCentre:
    """A milling machine, in mm: bed, column, spindle head, cross table; open or behind guards."""

    width: float
    depth: float
    height: float
    column_width: float
    head_length: float
    head_drop_ratio: float
    table_length: float
    table_place_ratio: float
    slots: int
    horizontal: bool
    guard: Literal["none", "low", "cabin"]
    window_ratio: float
    panel_arm_ratio: float
    magazine: int


def draw_machining_centre(rng: np.random.Generator) -> MachiningCentre:
    width = uniform(rng, 1500, 3000)
    return MachiningCentre(
        width=width,
        depth=width * uniform(rng, 0.6, 1.0),
        height=width * uniform(rng, 0.75, 1.15),
        column_width=width * uniform(rng, 0.25, 0.4),
        head_length=width * uniform(rng, 0.25, 0.4),
        head_drop_ratio=uniform(rng, 0.1, 0.6),
        table_length=width * uniform(rng, 0.45, 0.7),
        table_place_ratio=uniform(rng, -1, 1),
        slots=integer(rng, 2, 5),
        horizontal=chance(rng, 0.25),
        guard=pick(rng, ("none", "none", "low", "cabin")),
        window_ratio=uniform(rng, 0.3, 0.6),
        panel_arm_ratio=uniform(rng, -1, 1) if chance(rng, 0.7) else 0.0,
        magazine=pick(rng, (0, 0, 12, 16)),
    )


def build_machining_centre(p: MachiningCentre) -> Manifold:
    w, d, h = p.width, p.depth, p.height
    bed_z = 0.28 * h
    bed = hull([block(0.85 * w, d, 0.6 * bed_z), block(0.7 * w, 0.9 * d, bed_z)])
    column_depth = 0.32 * d
    column_y = d / 2 - column_depth / 2
    column = hull(
        [
            block(p.column_width, column_depth, 1).translate((0, column_y, h - 1)),
            block(1.25 * p.column_width, 1.1 * column_depth, 1).translate((0, column_y, 0.5 * bed_z)),
        ]
    )
    ways = [
        block(0.04 * w, 0.04 * w, h - bed_z).translate(
            (s * 0.35 * p.column_width, column_y - column_depth / 2 - 0.01 * w, bed_z - 1)
        )
        for s in (-1, 1)
    ]
    parts = [
        bed,
        column,
        *ways,
        *_milling_head(p, bed_z, column_y - column_depth / 2),
        *_cross_table(p, bed_z),
        *_milling_guard(p, bed_z),
    ]
    parts += at_corners(cylinder(0.035 * w, 0.06 * h, 24).translate((0, 0, -0.04 * h)), 0.36 * w, 0.43 * d)
    if p.panel_arm_ratio:
        x = math.copysign(0.5 * w, p.panel_arm_ratio)
        arm = [
            centred_block(0.16 * w, 0.03 * w, 0.03 * w).translate((0.88 * x, -0.42 * d, 0.72 * h)),
            block(0.03 * w, 0.03 * w, 0.72 * h - 0.3 * bed_z).translate((0.78 * x, -0.42 * d, 0.3 * bed_z)),
        ]
        panel = (
            pebble(0.2 * w, 0.06 * w, 0.28 * w, 0.01 * w)
            .rotate((0, 0, 30 * p.panel_arm_ratio))
            .translate((x, -0.45 * d, 0.62 * h))
        )
        parts += [*arm, panel]
    return union(parts)


def _milling_head(p: MachiningCentre, bed_z: float, front_y: float) -> list[Manifold]:
    """Spindle head on the column's ways, with spindle, motor and perhaps a tool magazine."""
    w, h = p.width, p.height
    z = bed_z + 0.28 * h + (1 - p.head_drop_ratio) * 0.2 * h
    length = p.head_length
    carriage = block(0.9 * p.column_width, 0.06 * w, 0.3 * h).translate((0, front_y - 0.03 * w, z))
    head = pebble(0.7 * p.column_width, length, 0.26 * h, 0.02 * w).translate((0, front_y - length / 2, z + 0.02 * h))
    spindle = turned(
        [(-0.13 * h, 0.02 * w), (-0.09 * h, 0.025 * w), (-0.085 * h, 0.045 * w), (-0.05 * h, 0.05 * w), (0.05 * h, 0.06 * w)], 40
    )
    tip_y = front_y - 0.72 * length
    if p.horizontal:
        spindle = along_y(spindle.mirror((0, 0, 1))).mirror((0, 1, 0)).translate((0, front_y - length, z + 0.14 * h))
    else:
        spindle = spindle.translate((0, tip_y, z + 0.02 * h))
    motor = chamfered_cylinder(0.07 * w, 0.16 * h, 0.01 * w, 40).translate((0, tip_y, z + 0.27 * h))
    parts = [carriage, head, spindle, motor]
    if p.magazine:
        pocket = cylinder(0.022 * w, 0.07 * h, 16)
        disc_ = union([cylinder(0.15 * w, 0.04 * h, 48), *polar(pocket.translate((0, 0, -0.03 * h)), p.magazine, 0.14 * w)])
        parts += [disc_.translate((-0.35 * p.column_width - 0.13 * w, front_y - 0.2 * length, z + 0.12 * h))]
    return parts


def _cross_table(p: MachiningCentre, bed_z: float) -> list[Manifold]:
    w, d, t = p.width, p.depth, 0.05 * p.height
    saddle = block(0.4 * p.table_length, 0.42 * d, 1.3 * t).translate((0, -0.15 * d, bed_z - 0.1 * t))
    grooves = [block(2 * p.table_length, 0.018 * w, t).translate((0, y, 0.5 * t)) for y in spread(p.slots, -0.1 * d, 0.1 * d)]
    table = subtract(rounded_block(p.table_length, 0.3 * d, t, 0.01 * w), grooves)
    x = p.table_place_ratio * 0.12 * w
    vise = union(
        [
            block(0.14 * w, 0.1 * w, 0.5 * t),
            *(block(0.03 * w, 0.1 * w, 1.3 * t).translate((s * 0.045 * w, 0, 0)) for s in (-1, 1)),
        ]
    )
    return [saddle, table.translate((x, -0.15 * d, bed_z + 1.1 * t)), vise.translate((x, -0.15 * d, bed_z + 1.95 * t))]


def _milling_guard(p: MachiningCentre, bed_z: float) -> list[Manifold]:
    if p.guard == "none":
        return []
    w, d, t = 0.98 * p.width, p.depth, 0.025 * p.width
    top = (0.55 if p.guard == "low" else 0.95) * p.height
    base = 0.4 * bed_z
    outside = rounded_block(w, 1.04 * d, top - base, 0.04 * p.width)
    inside = rounded_block(w - 2 * t, 1.04 * d - 2 * t, p.height, 0.03 * p.width).translate((0, 0, -1))
    door = centred_block(0.6 * w, 4 * t, (top - base) * (1.0 if p.guard == "low" else p.window_ratio)).translate(
        (0, -0.52 * d, (top - base) * (0.9 if p.guard == "low" else 0.6))
    )
    handles = [
        block(0.02 * w, 2.4 * t, 0.25 * (top - base)).translate((s * 0.33 * w, -0.53 * d, 0.4 * (top - base))) for s in (-1, 1)
    ]
    side = centred_block(2 * w, 0.4 * d, 0.3 * (top - base)).translate((0, 0, 0.65 * (top - base)))
    shell = subtract(outside, [inside, door, *([side] if p.guard == "cabin" else [])])
    tray = block(w - t, 1.02 * d, 2 * t)
    return [solid.translate((0, 0, base)) for solid in (shell, tray, *handles)]


@dataclass(frozen=True)
class Forklift:
    """A counterbalanced truck facing +x, in mm; `lift_ratio` in [0, 1] is how high its forks are."""

    length: float
    width: float
    body_height: float
    roof: float
    wheel_front: float
    wheel_rear: float
    mast: float
    lift_ratio: float
    fork: float
    tilt_degrees: float
    counterweight_ratio: float
    roof_bars: int
    load: bool


def draw_forklift(rng: np.random.Generator) -> Forklift:
    length = uniform(rng, 1700, 2700)
    return Forklift(
        length=length,
        width=length * uniform(rng, 0.42, 0.55),
        body_height=length * uniform(rng, 0.3, 0.42),
        roof=length * uniform(rng, 0.82, 1.0),
        wheel_front=length * uniform(rng, 0.12, 0.16),
        wheel_rear=length * uniform(rng, 0.1, 0.14),
        mast=length * uniform(rng, 0.85, 1.4),
        lift_ratio=uniform(rng, 0.0, 0.8),
        fork=length * uniform(rng, 0.38, 0.55),
        tilt_degrees=uniform(rng, -5, 5),
        counterweight_ratio=uniform(rng, 0.7, 1.1),
        roof_bars=integer(rng, 0, 5),
        load=chance(rng, 0.3),
    )


def build_forklift(p: Forklift) -> Manifold:
    length, w, h = p.length, p.width, p.body_height
    low = 0.08 * length
    chassis = rounded_block(0.8 * length, 0.8 * w, 0.5 * h, 0.05 * length).translate((0.08 * length, 0, low))
    rear = hull(
        [
            pebble(0.3 * length, 0.98 * w, p.counterweight_ratio * h, 0.08 * length).translate((-0.38 * length, 0, low)),
            pebble(0.5 * length, 0.85 * w, 0.8 * h, 0.05 * length).translate((-0.25 * length, 0, low)),
        ]
    )
    seat = union(
        [
            pebble(0.2 * length, 0.35 * w, 0.08 * length, 0.02 * length),
            pebble(0.06 * length, 0.33 * w, 0.28 * length, 0.02 * length)
            .rotate((0, -12, 0))
            .translate((-0.08 * length, 0, 0.02 * length)),
        ]
    )
    cowl = hull([block(0.06 * length, 0.6 * w, 0.3 * h), block(0.04 * length, 0.5 * w, 0.95 * h)]).translate(
        (0.32 * length, 0, low + 0.3 * h)
    )
    wheel_ring = torus(0.07 * length, 0.014 * length, 32, 10).rotate((0, -60, 0)).translate((0.23 * length, 0, low + 1.28 * h))
    stem = swept_ball([(0.23 * length, 0, low + 1.28 * h), (0.32 * length, 0, low + 1.05 * h)], 0.016 * length, 12)
    spokes = centred_block(0.03 * length, 0.14 * length, 0.02 * length).translate((0.23 * length, 0, low + 1.28 * h))
    parts = [
        chassis,
        rear,
        seat.translate((-0.1 * length, 0, low + 0.75 * h)),
        cowl,
        wheel_ring,
        stem,
        spokes,
        *_overhead_guard(p, low),
    ]
    for x, r in ((0.32 * length, p.wheel_front), (-0.32 * length, p.wheel_rear)):
        axle = along_y(centred_cylinder(0.3 * r, 0.9 * w, 20))
        tyre = wheel(r, 0.18 * w, 6)
        parts += [axle.translate((x, 0, r)), *(tyre.translate((x, s * 0.43 * w, r)) for s in (-1, 1))]
    mast = union(_mast(p)).rotate((0, p.tilt_degrees, 0)).translate((0.49 * length, 0, 0.4 * p.wheel_front))
    return union([*parts, mast])


def _overhead_guard(p: Forklift, low: float) -> list[Manifold]:
    length, w, t = p.length, p.width, 0.018 * p.length
    front_low, front_high = (0.36 * length, low + 0.6 * p.body_height), (0.24 * length, p.roof)
    rear_low, rear_high = (-0.36 * length, low + 0.6 * p.body_height), (-0.28 * length, p.roof)
    corners = (front_low, front_high, rear_high, rear_low)
    parts = [swept_ball([(x, y, z) for x, z in corners], t, 12) for y in (-0.4 * w, 0.4 * w)]
    inward = block(2 * t, 0.85 * w, 2 * t)
    parts += [inward.translate((x, 0, z - t)) for x, z in corners]
    parts += [
        block(1.4 * t, 0.8 * w, 1.4 * t).translate((x, 0, p.roof - 0.7 * t))
        for x in (cells(p.roof_bars, -0.28 * length, 0.24 * length) if p.roof_bars else [])
    ]
    return parts


def _mast(p: Forklift) -> list[Manifold]:
    """Rails, cross ties, cylinders, carriage and forks, about the mast's foot."""
    length, w, t = p.length, p.width, 0.022 * p.length
    z = 0.06 * length + p.lift_ratio * 0.6 * p.mast
    rail = block(2.4 * t, 1.6 * t, p.mast)
    parts = [rail.translate((0, s * 0.26 * w, 0)) for s in (-1, 1)]
    parts += [block(1.6 * t, 0.55 * w, 2 * t).translate((0, 0, f * p.mast - 2 * t)) for f in (0.12, 0.6, 1.0)]
    parts += [cylinder(0.8 * t, 0.9 * p.mast, 20).translate((-t, s * 0.18 * w, 0.05 * p.mast)) for s in (-1, 1)]
    # Two bars tie the mast to the chassis, and the tilt cylinders hold it.
    parts += [
        along_x(centred_cylinder(1.1 * t, 0.22 * length, 20)).translate((-0.09 * length, s * 0.26 * w, 0.1 * length))
        for s in (-1, 1)
    ]
    bar = block(t, 0.75 * w, 2.2 * t)
    parts += [bar.translate((1.6 * t, 0, z + dz)) for dz in (0.02 * length, 0.18 * length)]
    grille = block(0.9 * t, 0.9 * t, 0.34 * length)
    parts += [grille.translate((1.6 * t, y, z)) for y in spread(5, -0.34 * w, 0.34 * w)]
    parts.append(bar.translate((1.6 * t, 0, z + 0.32 * length)))
    blade = hull(
        [block(0.3 * t, 2.2 * t, 1.2 * t).translate((2 * t, 0, 0)), block(0.3 * t, 1.6 * t, 0.7 * t).translate((p.fork, 0, 0))]
    )
    back = block(1.1 * t, 2.2 * t, 0.22 * length).translate((2.2 * t, 0, 0))
    parts += [union([blade, back]).translate((0, s * 0.2 * w, z - 0.02 * length)) for s in (-1, 1)]
    if p.load:
        crate = rounded_block(0.85 * p.fork, 0.9 * w, 0.3 * length, 0.02 * length).translate(
            (2.6 * t + 0.43 * p.fork, 0, z - 0.015 * length)
        )
        parts.append(crate)
    return parts


@dataclass(frozen=True)
class Rover:
    """A wheeled or tracked vehicle driving along x, in mm: hull, running gear, fenders, turret, arm, mast, rack."""

    length: float
    width: float
    height: float
    clearance: float
    nose_ratio: float
    tail_ratio: float
    running: Literal["wheels", "tracks"]
    axles: int
    wheel_radius: float
    tyre_width: float
    lugs: bool
    cab_ratio: float
    payload: Literal["none", "arm", "mast", "rack", "tank", "bed"]
    joint_degrees: tuple[float, float]


def draw_rover(rng: np.random.Generator) -> Rover:
    length = uniform(rng, 500, 4000)
    axles = integer(rng, 2, 4)
    return Rover(
        length=length,
        width=length * uniform(rng, 0.35, 0.65),
        height=length * uniform(rng, 0.12, 0.3),
        clearance=length * uniform(rng, 0.04, 0.1),
        nose_ratio=uniform(rng, 0.0, 0.3),
        tail_ratio=uniform(rng, 0.0, 0.2),
        running=pick(rng, ("wheels", "wheels", "tracks")),
        axles=axles,
        wheel_radius=length * min(uniform(rng, 0.09, 0.18), 0.42 / axles),
        tyre_width=length * uniform(rng, 0.06, 0.13),
        lugs=chance(rng),
        cab_ratio=uniform(rng, 0.3, 0.8) if chance(rng, 0.4) else 0.0,
        payload=pick(rng, ("none", "arm", "mast", "rack", "tank", "bed")),
        joint_degrees=(uniform(rng, -40, 50), uniform(rng, 40, 110)),
    )


def build_rover(p: Rover) -> Manifold:
    length, w, h, low = p.length, p.width, p.height, p.clearance
    outline = polygon(
        [
            (-length / 2 + p.tail_ratio * length * 0.5, 0),
            (length / 2 - 0.5 * p.nose_ratio * length, 0),
            (length / 2, 0.45 * h),
            (length / 2 - p.nose_ratio * length, h),
            (-length / 2, h),
            (-length / 2, 0.4 * h),
        ]
    )
    hull_ = upright(outline.offset(-0.01 * length).offset(0.01 * length), w).translate((0, 0, low))
    parts = [hull_, *(_tracks(p) if p.running == "tracks" else _rover_wheels(p))]
    deck = low + h
    if p.cab_ratio:
        base = rounded_block(0.3 * length, 0.9 * w, 0.1 * h, 0.03 * length)
        roof = rounded_block(0.2 * length, 0.75 * w, 0.1 * h, 0.03 * length).translate((-0.02 * length, 0, p.cab_ratio * w))
        cab = hull([base, roof])
        panes = [
            centred_block(0.2 * length, 0.04 * length, 0.35 * p.cab_ratio * w).translate((0, s * 0.42 * w, 0.6 * p.cab_ratio * w))
            for s in (-1, 1)
        ]
        parts.append(subtract(cab, panes).translate((0.25 * length - p.nose_ratio * 0.5 * length, 0, deck - 0.05 * h)))
    return union([*parts, *_rover_payload(p, deck)])


def _rover_wheels(p: Rover) -> list[Manifold]:
    r, t = p.wheel_radius, p.tyre_width
    tyre = wheel(r, t, 5)
    if p.lugs:
        lug = centred_block(0.12 * r, 0.12 * r, 0.9 * t).rotate((12, 0, 0))
        tyre = union([tyre, *(s for s in [along_y(union(polar(lug, 16, r, turn=True)))])])
    reach = p.width / 2 + 0.6 * t
    parts = []
    for x in spread(p.axles, -0.5 * p.length + 1.05 * r, 0.5 * p.length - 1.05 * r):
        axle = along_y(centred_cylinder(0.22 * r, 2 * reach, 20)).translate((x, 0, r))
        strut = hull(
            [
                centred_block(0.5 * r, 0.7 * p.width, 0.3 * r).translate((x, 0, r)),
                centred_block(0.5 * r, 0.7 * p.width, 0.2 * r).translate((x, 0, p.clearance + 0.3 * p.height))
                if p.clearance > r
                else centred_block(0.5 * r, 0.7 * p.width, 0.3 * r).translate((x, 0, r)),
            ]
        )
        parts += [axle, strut, *(tyre.translate((x, s * reach, r)) for s in (-1, 1))]
    fenders = [
        block(0.9 * p.length, 0.15 * p.width, 0.03 * p.length).translate(
            (0, s * 0.52 * p.width, p.clearance + p.height - 0.03 * p.length)
        )
        for s in (-1, 1)
    ]
    return parts + (fenders if p.clearance + p.height > 2.05 * r + 0.03 * p.length else [])


def _tracks(p: Rover) -> list[Manifold]:
    r, t, reach = p.wheel_radius, 1.4 * p.tyre_width, p.width / 2 + 0.6 * p.tyre_width
    run = 0.5 * p.length - 1.1 * r
    loop = hull([along_y(centred_cylinder(1.08 * r, t, 40)).translate((x, 0, 1.08 * r)) for x in (-run, run)])
    recess = hull([along_y(centred_cylinder(0.85 * r, t, 40)).translate((x, 0, 1.08 * r)) for x in (-run, run)])
    loop = subtract(loop, [recess.translate((0, s * 0.75 * t, 0)) for s in (-1, 1)])
    cleat = centred_block(0.13 * r, t, 0.12 * r)
    count = max(6, round(2 * run / (0.45 * r)))
    cleats = [cleat.translate((x, 0, z)) for x in spread(count, -run, run) for z in (0.0, 2.16 * r)]
    cleats += [
        cleat.translate((0, 0, 1.08 * r)).rotate((0, angle, 0)).translate((s * run, 0, 1.08 * r))
        for s in (-1, 1)
        for angle in (s * 30, s * 60, s * 90, s * 120, s * 150)
    ]
    rollers = [
        along_y(centred_cylinder(0.5 * r, 0.95 * t, 28)).translate((x, 0, 0.75 * r)) for x in spread(p.axles + 2, -run, run)
    ]
    side = union([loop, *cleats, *rollers])
    beam = centred_block(1.2 * run, 2 * reach, 0.5 * r).translate((0, 0, 1.08 * r))
    link = block(run, 0.7 * p.width, max(p.clearance + 0.2 * p.height - r, 0.1 * r)).translate((0, 0, r))
    return [*(side.translate((0, s * reach, 0)) for s in (-1, 1)), beam, link]


def _rover_payload(p: Rover, deck: float) -> list[Manifold]:
    length, w = p.length, p.width
    t = 0.02 * length
    x = -0.18 * length
    if p.payload == "arm":
        solids = [
            cylinder(0.2 * w, 0.05 * length, 40),
            _small_arm(0.04 * length, 0.32 * length, p.joint_degrees).translate((0, 0, 0.04 * length)),
        ]
    elif p.payload == "mast":
        solids = [
            block(1.5 * t, 1.5 * t, 0.45 * length),
            pebble(3 * t, 0.3 * w, 2.5 * t, 0.5 * t).translate((0.5 * t, 0, 0.45 * length - t)),
            cylinder(3 * t, t, 32),
        ]
        solids += [
            along_x(cylinder(0.8 * t, 0.6 * t, 24)).translate((1.9 * t, s * 0.08 * w, 0.45 * length + 0.2 * t)) for s in (-1, 1)
        ]
    elif p.payload == "rack":
        posts = at_corners(cylinder(0.7 * t, 0.22 * length, 16), 0.22 * length, 0.38 * w)
        rails = [
            swept_ball([(-0.22 * length, y, z), (0.22 * length, y, z)], 0.7 * t, 12)
            for y in (-0.38 * w, 0.38 * w)
            for z in (0.11 * length, 0.22 * length)
        ]
        rails += [
            swept_ball([(q, -0.38 * w, 0.22 * length), (q, 0.38 * w, 0.22 * length)], 0.7 * t, 12)
            for q in (-0.22 * length, 0.22 * length)
        ]
        solids = [*posts, *rails]
    elif p.payload == "tank":
        vessel = hull([Manifold.sphere(0.32 * w, 36).translate((q, 0, 0.28 * w)) for q in (-0.15 * length, 0.15 * length)])
        solids = [
            vessel,
            cylinder(0.12 * w, 0.68 * w, 28),
            *(block(0.03 * length, 0.6 * w, 0.2 * w).translate((q, 0, -0.02 * w)) for q in (-0.12 * length, 0.12 * length)),
        ]
    elif p.payload == "bed":
        bed = block(0.5 * length, 0.95 * w, 0.16 * length)
        solids = [subtract(bed, [block(0.5 * length - 2 * t, 0.95 * w - 2 * t, length).translate((0, 0, t))])]
    else:
        solids = [
            rounded_block(0.3 * length, 0.6 * w, 0.04 * length, 0.03 * length),
            *(cylinder(0.04 * length, 0.08 * length, 28).translate((0.05 * length, s * 0.2 * w, 0)) for s in (-1, 1)),
        ]
    return [solid.translate((x, 0, deck - 0.006 * length)) for solid in solids]


@dataclass(frozen=True)
class Cobot:
    """A rounded six-axis arm in a pose, in mm and degrees: joints offset sideways, round tubes between them."""

    radius: float
    upper_arm: float
    fore_arm: float
    taper_ratio: float
    joint_length_ratio: float
    joint_degrees: tuple[float, float, float, float, float]
    cap_ratio: float
    tool: Literal["none", "fingers", "cup", "camera"]
    base: Literal["disc", "column", "block"]
    base_height: float


def draw_cobot(rng: np.random.Generator) -> Cobot:
    """Poses whose elbow or wrist would be below the shoulder's foot are drawn again."""
    radius = uniform(rng, 45, 80)
    upper_arm, fore_arm = radius * uniform(rng, 3.5, 7.5), radius * uniform(rng, 3.2, 7.0)
    while True:
        turn, shoulder, elbow = uniform(rng, -180, 180), uniform(rng, -95, 95), uniform(rng, -150, 150)
        knee = upper_arm * math.cos(math.radians(shoulder))
        wrist = knee + fore_arm * math.cos(math.radians(shoulder + elbow))
        if knee > 0 and wrist > 1.5 * radius:
            break
    return Cobot(
        radius=radius,
        upper_arm=upper_arm,
        fore_arm=fore_arm,
        taper_ratio=uniform(rng, 0.7, 0.9),
        joint_length_ratio=uniform(rng, 2.2, 2.9),
        joint_degrees=(turn, shoulder, elbow, uniform(rng, -120, 120), uniform(rng, -120, 120)),
        cap_ratio=uniform(rng, 0.1, 0.4),
        tool=pick(rng, ("none", "fingers", "cup", "camera")),
        base=pick(rng, ("disc", "disc", "column", "block")),
        base_height=radius * uniform(rng, 1.5, 7),
    )


def build_cobot(p: Cobot) -> Manifold:
    r = p.radius
    turn, shoulder, elbow, wrist, hand = p.joint_degrees
    small = p.taper_ratio * p.taper_ratio * r
    side = 0.5 * p.joint_length_ratio * r
    tool = _cobot_tool(p, 0.85 * small).translate((0, 1.3 * small, 0.2 * p.joint_length_ratio * small))
    wrist_2 = union([_cobot_joint(small, p, 1.0).rotate((90, 0, 0)), tool]).rotate((0, 0, hand))
    wrist_1 = union([_cobot_joint(small, p, 1.0), wrist_2.translate((0, 0.45 * p.joint_length_ratio * small, 0.8 * small))])
    fore_arm = union(
        [
            _cobot_joint(p.taper_ratio * r, p, 1.0),
            _cobot_tube(p.taper_ratio * r, small, p.fore_arm),
            wrist_1.rotate((0, wrist, 0)).translate((0, 0.35 * p.joint_length_ratio * small, p.fore_arm)),
        ]
    )
    upper_arm = union(
        [
            _cobot_joint(r, p, 1.0),
            _cobot_tube(0.95 * r, p.taper_ratio * r, p.upper_arm),
            _cobot_joint(p.taper_ratio * r, p, 1.0).translate((0, 0, p.upper_arm)),
            fore_arm.rotate((0, elbow, 0)).translate((0, -0.75 * side, p.upper_arm)),
        ]
    )
    turret = union(
        [
            turned([(0, 0.95 * r), (1.0 * r, 0.95 * r), (1.6 * r, 0.8 * r)], 48),
            _cobot_joint(r, p, 0.9).translate((0, 0, 1.6 * r)),
            upper_arm.rotate((0, shoulder, 0)).translate((0, 0.8 * side, 1.6 * r)),
        ]
    )
    return union([*_cobot_base(p), turret.rotate((0, 0, turn)).translate((0, 0, p.base_height if p.base != "disc" else 0.3 * r))])


def _cobot_joint(radius: float, p: Cobot, stretch: float) -> Manifold:
    """A joint housing about y, centred on the origin, with domed caps and seams."""
    half = 0.5 * p.joint_length_ratio * radius * stretch
    cap = p.cap_ratio * radius
    profile = [
        (-half, 0.55 * radius),
        (-half + 0.5 * cap, 0.88 * radius),
        (-half + cap, radius),
        (-0.1 * radius, radius),
        (-0.06 * radius, 0.95 * radius),
        (0.06 * radius, 0.95 * radius),
        (0.1 * radius, radius),
        (half - cap, radius),
        (half - 0.5 * cap, 0.88 * radius),
        (half, 0.55 * radius),
    ]
    return along_y(turned(profile, 40))


def _cobot_tube(start: float, end: float, length: float) -> Manifold:
    """A tube along z between two joints, a little slimmer than they are."""
    return turned([(0, 0.85 * start), (0.2 * length, 0.8 * start), (0.8 * length, 0.85 * end), (length, 0.85 * end)], 36)


def _cobot_tool(p: Cobot, r: float) -> Manifold:
    """The last joint and its tool, along +y from the origin."""
    flange = turned([(-r, r), (0.6 * r, r), (0.65 * r, 0.8 * r), (0.8 * r, 0.8 * r)], 36)
    parts = [flange]
    if p.tool == "fingers":
        parts.append(pebble(1.5 * r, 2.2 * r, 1.4 * r, 0.2 * r).translate((0, 0, 0.75 * r)))
        parts += [block(0.9 * r, 0.4 * r, 1.5 * r).translate((0, s * 0.7 * r, 2.0 * r)) for s in (-1, 1)]
    elif p.tool == "cup":
        parts.append(
            turned([(0.7 * r, 0.3 * r), (1.8 * r, 0.3 * r), (2.0 * r, 0.6 * r), (2.2 * r, 0.45 * r), (2.6 * r, 0.9 * r)], 32)
        )
    elif p.tool == "camera":
        parts += [
            pebble(1.4 * r, 2.0 * r, r, 0.15 * r).translate((0, 0, 0.7 * r)),
            cylinder(0.5 * r, 0.5 * r, 28).translate((0, 0.3 * r, 1.6 * r)),
        ]
    return union(parts).rotate((-90, 0, 0))


def _cobot_base(p: Cobot) -> list[Manifold]:
    r, h = p.radius, p.base_height
    plate = subtract(cylinder(1.5 * r, 0.35 * r, 56), polar(centred_cylinder(0.1 * r, r, 16), 4, 1.3 * r, 45))
    if p.base == "disc":
        return [plate]
    if p.base == "column":
        return [plate.scale((1.6, 1.6, 1)), cylinder(r, h, 40), plate.translate((0, 0, h - 0.3 * r))]
    return [rounded_block(5 * r, 4 * r, h, 0.4 * r, 0.1 * r), plate.translate((0, 0, h - 0.3 * r))]


@dataclass(frozen=True)
class ScaraRobot:
    """A horizontal two-link arm with a vertical spindle, in mm and degrees."""

    column: float
    column_width: float
    inner_arm: float
    outer_arm: float
    arm_width: float
    arm_height: float
    joint_degrees: tuple[float, float]
    spindle: float
    stroke_ratio: float
    housing_ratio: float
    hose: float
    round_column: bool
    gripper: bool


def draw_scara_robot(rng: np.random.Generator) -> ScaraRobot:
    inner = uniform(rng, 120, 350)
    return ScaraRobot(
        column=inner * uniform(rng, 0.7, 1.5),
        column_width=inner * uniform(rng, 0.45, 0.7),
        inner_arm=inner,
        outer_arm=inner * uniform(rng, 0.7, 1.1),
        arm_width=inner * uniform(rng, 0.3, 0.5),
        arm_height=inner * uniform(rng, 0.18, 0.32),
        joint_degrees=(uniform(rng, -110, 110), uniform(rng, -135, 135)),
        spindle=inner * uniform(rng, 0.04, 0.07),
        stroke_ratio=uniform(rng, 0, 1),
        housing_ratio=uniform(rng, 0.6, 1.3),
        hose=inner * uniform(rng, 0.04, 0.07),
        round_column=chance(rng, 0.4),
        gripper=chance(rng),
    )


def build_scara_robot(p: ScaraRobot) -> Manifold:
    a, w, t = p.inner_arm, p.arm_width, p.arm_height
    plate = subtract(
        rounded_block(1.4 * p.column_width, 1.4 * p.column_width, 0.07 * a, 0.08 * a),
        at_corners(centred_cylinder(0.03 * a, a, 16), 0.6 * p.column_width, 0.6 * p.column_width),
    )
    column = (
        cylinder(p.column_width / 2, p.column, 48)
        if p.round_column
        else rounded_block(p.column_width, p.column_width, p.column, 0.12 * a, 0.02 * a)
    )
    inner = union(
        [
            hull([chamfered_cylinder(w / 2, t, 0.08 * t), chamfered_cylinder(0.85 * w / 2, t, 0.08 * t).translate((a, 0, 0))]),
            cylinder(0.3 * w, 1.2 * t).translate((0, 0, -0.2 * t)),
        ]
    )
    outer = _scara_outer_arm(p).rotate((0, 0, p.joint_degrees[1])).translate((a, 0, 0.95 * t))
    arm = union([inner, outer]).rotate((0, 0, p.joint_degrees[0])).translate((0, 0, p.column + 0.05 * a))
    start, turn = math.radians(p.joint_degrees[0]), math.radians(p.joint_degrees[0] + p.joint_degrees[1])
    elbow = (a * math.cos(start), a * math.sin(start))
    end = (elbow[0] + 0.35 * p.outer_arm * math.cos(turn), elbow[1] + 0.35 * p.outer_arm * math.sin(turn))
    top = p.column + 0.05 * a + 2 * t + p.housing_ratio * t
    back = -0.4 * p.column_width
    hose = [
        (back, 0.0, p.column - 0.1 * a),
        (back, 0.0, top),
        (0.5 * (back + end[0]), 0.5 * end[1], top + 0.35 * a),
        (*end, top),
        (*end, p.column + 1.5 * t),
    ]
    return union(
        [plate, column, arm, cylinder(0.45 * w, 0.15 * a).translate((0, 0, p.column - 0.05 * a)), swept_ball(hose, p.hose, 16)]
    )


def _scara_outer_arm(p: ScaraRobot) -> Manifold:
    """The second link about its joint, with cover, spindle and tool."""
    b, w, t = p.outer_arm, p.arm_width, p.arm_height
    link = hull([chamfered_cylinder(0.5 * w, t, 0.08 * t), chamfered_cylinder(0.4 * w, t, 0.08 * t).translate((b, 0, 0))])
    cover = hull(
        [
            pebble(0.7 * w, 0.8 * w, p.housing_ratio * t + t, 0.1 * w).translate((0.25 * b, 0, 0)),
            pebble(0.5 * w, 0.7 * w, 0.8 * p.housing_ratio * t + t, 0.08 * w).translate((0.7 * b, 0, 0)),
        ]
    )
    low = -0.3 * p.inner_arm - 0.5 * p.stroke_ratio * p.inner_arm
    rod = cylinder(p.spindle, 1.2 * p.inner_arm, 24).translate((b, 0, low))
    tip = cylinder(2 * p.spindle, 0.1 * p.inner_arm, 28).translate((b, 0, low))
    parts = [link, cover, rod, tip, cylinder(2.0 * p.spindle, 1.5 * t, 28).translate((b, 0, 0))]
    if p.gripper:
        parts.append(
            pebble(4 * p.spindle, 3 * p.spindle, 3 * p.spindle, 0.3 * p.spindle).translate((b, 0, low - 2.5 * p.spindle))
        )
        parts += [
            block(0.8 * p.spindle, 1.6 * p.spindle, 3 * p.spindle).translate((b + s * 1.3 * p.spindle, 0, low - 5 * p.spindle))
            for s in (-1, 1)
        ]
    return union(parts)


@dataclass(frozen=True)
class DeltaRobot:
    """A hanging parallel robot, in mm: three arms with paired rods to a platform at `platform`, perhaps in a frame."""

    base: float
    plate: float
    upper_arm: float
    knee_degrees: tuple[float, float, float]
    platform: tuple[float, float, float]
    platform_radius: float
    rod: float
    motor: float
    frame: bool
    cover: bool
    tool: float


def draw_delta_robot(rng: np.random.Generator) -> DeltaRobot:
    base = uniform(rng, 120, 250)
    return DeltaRobot(
        base=base,
        plate=base * uniform(rng, 0.12, 0.25),
        upper_arm=base * uniform(rng, 1.1, 1.7),
        knee_degrees=(uniform(rng, -10, 45), uniform(rng, -10, 45), uniform(rng, -10, 45)),
        platform=(base * uniform(rng, -0.5, 0.5), base * uniform(rng, -0.5, 0.5), base * uniform(rng, -2.9, -2.0)),
        platform_radius=base * uniform(rng, 0.35, 0.5),
        rod=base * uniform(rng, 0.035, 0.05),
        motor=base * uniform(rng, 0.22, 0.32),
        frame=chance(rng, 0.35),
        cover=chance(rng, 0.4),
        tool=base * uniform(rng, 0.2, 0.6),
    )


def build_delta_robot(p: DeltaRobot) -> Manifold:
    """The rods are as long as the drawn pose needs them."""
    r, t = p.base, max(p.rod, 0.045 * p.base if p.frame else 0.0)
    parts = [cylinder(1.25 * r, p.plate, 6 if not p.cover else 64), cylinder(0.5 * r, 0.4 * r, 40)]
    if p.cover:
        parts.append(turned([(0.9 * p.plate, 1.2 * r), (0.35 * r, 1.1 * r), (0.7 * r, 0.7 * r), (0.8 * r, 0.3 * r)]))
    x, y, z = p.platform
    for k, degrees in enumerate((0, 120, 240)):
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        lean = math.radians(p.knee_degrees[k])
        out, down = 0.8 * r + p.upper_arm * math.cos(lean), -0.15 * r - p.upper_arm * math.sin(lean)
        arm = hull(
            [
                along_y(centred_cylinder(0.17 * r, 0.24 * r, 24)).translate((0.8 * r, 0, -0.15 * r)),
                along_y(centred_cylinder(0.1 * r, 0.2 * r, 24)).translate((out, 0, down)),
            ]
        )
        motor = along_y(union([centred_cylinder(p.motor, 0.5 * r, 36), centred_cylinder(0.8 * p.motor, 1.0 * r, 36)])).translate(
            (0.8 * r, 0, -0.15 * r)
        )
        yoke = block(0.5 * r, 0.5 * r, 0.25 * r).translate((0.75 * r, 0, -0.2 * r))
        half = 0.3 * r
        parts += [
            solid.rotate((0, 0, degrees))
            for solid in (arm, motor, yoke, along_y(centred_cylinder(0.055 * r, 2.3 * half, 16)).translate((out, 0, down)))
        ]
        foot = p.platform_radius
        parts.append(
            along_y(centred_cylinder(0.055 * r, 2.3 * half, 16))
            .translate((foot, 0, 0))
            .rotate((0, 0, degrees))
            .translate((x, y, z))
        )
        for side in (-half, half):
            top = (out * c - side * s, out * s + side * c, down)
            low = (x + foot * c - side * s, y + foot * s + side * c, z)
            parts += [swept_ball([top, low], t, 12), *(Manifold.sphere(1.7 * t, 14).translate(end) for end in (top, low))]
    platform = union(
        [
            cylinder(1.1 * p.platform_radius, 0.12 * r, 40).translate((0, 0, -0.06 * r)),
            turned([(-p.tool, 0.12 * r), (-0.5 * p.tool, 0.1 * r), (0, 0.2 * r)], 28),
        ]
    )
    parts.append(platform.translate((x, y, z)))
    return union([*parts, *_delta_frame(p)]) if p.frame else union(parts)


def _delta_frame(p: DeltaRobot) -> list[Manifold]:
    a = 2.2 * p.base
    floor, beam = p.platform[2] - p.tool - 0.9 * p.base, 0.22 * p.base
    posts = at_corners(block(beam, beam, 0.3 * p.base - floor).translate((0, 0, floor)), a, a)
    sides = [block(2 * a, beam, beam).translate((0, s * a, 0.08 * p.base)) for s in (-1, 1)]
    sides += [block(beam, 2 * a, beam).translate((s * a, 0, z)) for s in (-1, 1) for z in (0.08 * p.base, floor + 0.3 * p.base)]
    bridge = block(2 * a, 0.9 * p.base, 0.12 * p.base).translate((0, 0, 0.13 * p.base))
    return [*posts, *sides, bridge]


@dataclass(frozen=True)
class LinearGantry:
    """A Cartesian robot, in mm: rails or a table, a bridge along y, a carriage and a z axis; places in [-1, 1]."""

    x: float
    y: float
    z: float
    beam: float
    base: Literal["table", "legs", "rails"]
    cantilever: bool
    leg_height: float
    place_ratio: tuple[float, float, float]
    motors: bool
    chain: bool
    tool: Literal["spindle", "gripper", "nozzle"]
    slots: int


def draw_linear_gantry(rng: np.random.Generator) -> LinearGantry:
    x = uniform(rng, 600, 2000)
    return LinearGantry(
        x=x,
        y=x * uniform(rng, 0.5, 1.0),
        z=x * uniform(rng, 0.25, 0.5),
        beam=x * uniform(rng, 0.05, 0.08),
        base=pick(rng, ("table", "legs", "rails")),
        cantilever=chance(rng, 0.3),
        leg_height=x * uniform(rng, 0.3, 0.8),
        place_ratio=(uniform(rng, -0.9, 0.9), uniform(rng, -0.9, 0.9), uniform(rng, -0.9, 0.9)),
        motors=chance(rng, 0.8),
        chain=chance(rng),
        tool=pick(rng, ("spindle", "gripper", "nozzle")),
        slots=integer(rng, 0, 6),
    )


def build_linear_gantry(p: LinearGantry) -> Manifold:
    a, x, y = p.beam, p.x, p.y
    parts, deck = _gantry_base(p)
    bridge_x, bridge_z = 0.36 * x * p.place_ratio[0], deck + p.z
    rails = [block(x, 0.8 * a, 0.6 * a).translate((0, s * 0.45 * y, deck - 1)) for s in (-1, 1)]
    shoe = rounded_block(2.4 * a, 1.3 * a, 0.7 * a, 0.1 * a)
    sides = (1,) if p.cantilever else (-1, 1)
    column = hull([block(2.2 * a, a, a).translate((0, 0, 0.6 * a)), block(1.2 * a, a, a).translate((0, 0, p.z - 0.5 * a))])
    parts += [solid.translate((bridge_x, s * 0.45 * y, deck + 0.3 * a)) for s in sides for solid in (shoe, column)]
    if p.cantilever:
        rails = rails[1:]
    slit = centred_block(0.4 * a, 2 * y, 0.18 * a)
    bridge = subtract(
        centred_block(1.1 * a, 1.02 * y, 1.6 * a),
        [slit.translate((s * 0.6 * a, 0, z)) for s in (-1, 1) for z in (-0.4 * a, 0.4 * a)],
    )
    parts += [*rails, bridge.translate((bridge_x, 0, bridge_z + 0.5 * a))]
    parts += [solid.translate((bridge_x, 0.36 * y * p.place_ratio[1], bridge_z + 0.5 * a)) for solid in _gantry_head(p)]
    if p.motors:
        motor = union([block(a, a, 1.4 * a), cylinder(0.3 * a, 1.8 * a, 20).translate((0, 0, -0.3 * a))])
        parts.append(along_y(motor).translate((bridge_x, 0.5 * y, bridge_z + 0.5 * a)))
        parts.append(along_x(motor).translate((0.49 * x, 0.45 * y, deck + 0.3 * a)))
    if p.chain:
        link = block(0.6 * a, 0.7 * a, 0.6 * a)
        count = max(4, round(0.8 * y / (0.8 * a)))
        parts += [link.translate((bridge_x - 0.8 * a, cy, bridge_z + 1.2 * a)) for cy in spread(count, -0.45 * y, 0.45 * y)]
        parts.append(centred_block(0.35 * a, 0.95 * y, 0.35 * a).translate((bridge_x - 0.7 * a, 0, bridge_z + 1.3 * a)))
    return union(parts)


def _gantry_base(p: LinearGantry) -> tuple[list[Manifold], float]:
    """What the rails lie on, and the height of its top."""
    a, x, y, h = p.beam, p.x, p.y, p.leg_height
    if p.base == "table":
        grooves = [block(2 * x, 0.3 * a, a).translate((0, s, 0.6 * a)) for s in spread(p.slots, -0.3 * y, 0.3 * y)]
        top = subtract(rounded_block(x, 1.05 * y, a, 0.1 * a), grooves)
        return [top, *at_corners(cylinder(0.6 * a, 0.5 * a, 24).translate((0, 0, -0.4 * a)), 0.44 * x, 0.44 * y)], a
    side = [centred_block(x, a, a).translate((0, s * 0.45 * y, h - 0.5 * a)) for s in (-1, 1)]
    across = [centred_block(a, 0.95 * y, a).translate((s * (x - a) / 2, 0, h - 0.5 * a)) for s in (-1, 1)]
    if p.base == "rails":
        feet = at_corners(cylinder(0.5 * a, 0.3 * a, 24).translate((0, 0, h - 1.25 * a)), 0.44 * x, 0.45 * y)
        return [*side, *across, *feet], h
    legs = at_corners(union([block(a, a, h), rounded_block(1.6 * a, 1.6 * a, 0.25 * a, 0.2 * a)]), (x - a) / 2, 0.45 * y)
    brace = [centred_block(0.8 * a, 0.9 * y, 0.8 * a).translate((s * (x - a) / 2, 0, 0.3 * h)) for s in (-1, 1)]
    return [*side, *across, *legs, *brace], h


def _gantry_head(p: LinearGantry) -> list[Manifold]:
    """Carriage on the bridge's +x side, z axis and tool, about the bridge's axis."""
    a, z = p.beam, p.z
    drop = 0.2 * z * p.place_ratio[2]
    carriage = rounded_block(0.6 * a, 2.2 * a, 2.2 * a, 0.1 * a).translate((0.75 * a, 0, -1.1 * a))
    axis = block(0.8 * a, 1.2 * a, 1.0 * z).translate((1.35 * a, 0, -0.55 * z + drop))
    motor = union([block(0.8 * a, 0.8 * a, 1.1 * a), cylinder(0.3 * a, 1.3 * a, 20)]).translate((1.35 * a, 0, 0.44 * z + drop))
    low = -0.55 * z + drop
    if p.tool == "spindle":
        tool = turned(
            [(-0.9 * a, 0.12 * a), (-0.5 * a, 0.16 * a), (-0.45 * a, 0.4 * a), (0.1 * a, 0.5 * a), (1.4 * a, 0.5 * a)], 32
        ).translate((2.0 * a, 0, 0))
    elif p.tool == "gripper":
        tool = union(
            [
                pebble(0.8 * a, 1.4 * a, 0.7 * a, 0.1 * a).translate((0, 0, -0.6 * a)),
                *(block(0.4 * a, 0.25 * a, 0.9 * a).translate((0, s * 0.45 * a, -1.4 * a)) for s in (-1, 1)),
            ]
        ).translate((1.35 * a, 0, 0))
    else:
        tool = turned([(-0.7 * a, 0.12 * a), (-0.4 * a, 0.35 * a), (0.2 * a, 0.35 * a)], 28).translate((1.35 * a, 0, 0))
    return [carriage, axis, motor, tool.translate((0, 0, low))]


@dataclass(frozen=True)
class Multicopter:
    """An inspection drone, in mm: arms with motors and propellers around a body, landing gear, camera below."""

    arms: int
    reach: float
    body: float
    body_height: float
    arm: float
    propeller: float
    guard: bool
    legs: Literal["skids", "struts"]
    leg_height: float
    camera: bool
    blade_degrees: tuple[float, ...]


def draw_multicopter(rng: np.random.Generator) -> Multicopter:
    arms = pick(rng, (4, 4, 6, 8))
    reach = uniform(rng, 180, 500)
    return Multicopter(
        arms=arms,
        reach=reach,
        body=reach * uniform(rng, 0.28, 0.45),
        body_height=reach * uniform(rng, 0.12, 0.28),
        arm=reach * uniform(rng, 0.035, 0.06),
        propeller=reach * min(uniform(rng, 0.3, 0.55), 0.93 * math.sin(math.pi / arms)),
        guard=chance(rng, 0.25),
        legs=pick(rng, ("skids", "struts")),
        leg_height=reach * uniform(rng, 0.25, 0.5),
        camera=chance(rng, 0.6),
        blade_degrees=uniforms(rng, arms, 0, 180),
    )


def build_multicopter(p: Multicopter) -> Manifold:
    a, h, t = p.reach, p.body_height, p.arm
    body = union(
        [
            pebble(1.6 * p.body, 1.3 * p.body, h, 0.35 * h),
            rounded_block(0.9 * p.body, 0.8 * p.body, 0.4 * h, 0.1 * p.body).translate((0, 0, 0.85 * h)),
        ]
    )
    spar = union(
        [
            along_x(cylinder(t, a, 20)),
            cylinder(1.8 * t, 2.6 * t, 28).translate((a, 0, -0.6 * t)),
            cylinder(0.6 * t, 4 * t, 16).translate((a, 0, 0)),
        ]
    )
    if p.guard:
        ring = tube(p.propeller + 2 * t, p.propeller + 0.6 * t, 1.8 * t, 56)
        spar = union([spar, *(s.translate((a, 0, 0)) for s in (ring, centred_block(2 * p.propeller + 3 * t, 1.2 * t, 1.2 * t)))])
    arms = polar(spar, p.arms, 0, 180 / p.arms, turn=True)
    blade = pebble(2 * p.propeller, 0.14 * p.propeller + t, 0.9 * t, 0.3 * t, 12)
    hub = cylinder(0.9 * t, 1.6 * t, 20)
    propellers = []
    for k, turn in enumerate(p.blade_degrees):
        angle = 2 * math.pi * (k + 0.5) / p.arms
        propellers.append(
            union([blade, hub]).rotate((0, 0, turn)).translate((a * math.cos(angle), a * math.sin(angle), 0.5 * h + 3.2 * t))
        )
    legs = _landing_gear(p)
    parts = [body, *(arm.translate((0, 0, 0.5 * h)) for arm in arms), *propellers, *legs]
    if p.camera:
        parts += [
            Manifold.sphere(0.3 * p.body, 28).translate((0.4 * p.body, 0, -0.3 * p.body)),
            cylinder(0.12 * p.body, 0.5 * p.body, 20).translate((0.4 * p.body, 0, -0.35 * p.body)),
        ]
    return union(parts)


def _landing_gear(p: Multicopter) -> list[Manifold]:
    a, w, t, low = p.body, 0.75 * p.body, 0.75 * p.arm, -p.leg_height
    ends: Sequence[float] = (-0.5 * a, 0.5 * a)
    struts = [swept_ball([(x, s * 0.4 * a, 0.2 * p.body_height), (x, s * w, low)], t, 12) for x in ends for s in (-1, 1)]
    if p.legs == "struts":
        return [*struts, *(Manifold.sphere(1.8 * t, 16).translate((x, s * w, low)) for x in ends for s in (-1, 1))]
    return [*struts, *(swept_ball([(-0.9 * a, s * w, low), (0.9 * a, s * w, low)], t, 12) for s in (-1, 1))]


# Its parts are smaller than it, and so are their walls.
MACHINE_ASSEMBLY = Family(
    "machine_assembly",
    "machine",
    draw_machine_assembly,
    build_machine_assembly,
    "Two to four machines and components on a common base, joined by shafts and pipes",
    thinnest_wall=0.7,
)
# The cooling fins are thinner.
PUMP_SKID = Family(
    "pump_skid", "machine", draw_pump_skid, build_pump_skid, "Motor, coupling guard and pump on a base frame", thinnest_wall=2.5
)
AGV = Family("agv", "machine", draw_agv, build_agv, "Mobile platform with scanners and a module on its deck")
GRIPPER = Family(
    "gripper", "machine", draw_gripper, build_gripper, "Parallel, centric, linkage or vacuum gripper on a robot flange"
)
MACHINING_CENTRE = Family(
    "machining_centre",
    "machine",
    draw_machining_centre,
    build_machining_centre,
    "Milling machine with bed, column, head and cross table, open or guarded",
)
# The bars of mast and guard are thinner.
FORKLIFT = Family(
    "forklift",
    "machine",
    draw_forklift,
    build_forklift,
    "Counterbalanced forklift truck with mast, forks and overhead guard",
    thinnest_wall=2.5,
)
ROVER = Family("rover", "machine", draw_rover, build_rover, "Wheeled or tracked vehicle with arm, mast, rack, tank or bed")
COBOT = Family("cobot", "machine", draw_cobot, build_cobot, "Rounded six-axis robot arm in a random pose")
SCARA_ROBOT = Family(
    "scara_robot", "machine", draw_scara_robot, build_scara_robot, "Horizontal two-link robot with a vertical spindle"
)
DELTA_ROBOT = Family(
    "delta_robot",
    "machine",
    draw_delta_robot,
    build_delta_robot,
    "Hanging parallel robot with three arms, with or without a frame",
)
LINEAR_GANTRY = Family(
    "linear_gantry", "machine", draw_linear_gantry, build_linear_gantry, "Cartesian robot: rails, bridge, carriage and z axis"
)
MULTICOPTER = Family(
    "multicopter", "machine", draw_multicopter, build_multicopter, "Inspection drone with four to eight propellers"
)

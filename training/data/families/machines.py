"""Whole machines: motor, gearbox, pump, fan, vise, press, conveyor, robot arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from manifold3d import CrossSection, JoinType, Manifold

from training.data.families.draws import chance, integer, pick, uniform
from training.data.families.part import Family
from training.data.families.solids import (
    along_x,
    along_y,
    at_corners,
    block,
    bolt_head,
    cells,
    centred_block,
    centred_cylinder,
    chamfered_cylinder,
    cylinder,
    extruded,
    hex_nut,
    hull,
    pebble,
    pipe_flange,
    polar,
    polygon,
    rounded_block,
    rounded_rectangle,
    spread,
    subtract,
    torus,
    turned,
    union,
)
from training.data.families.standards import MOTOR_FRAMES, PIPE_FLANGES, MotorFrame, parallel_key

MotorMount = Literal["feet", "flange", "feet_and_flange"]


@dataclass(frozen=True)
class ElectricMotor:
    """A finned motor of an IEC 60072-1 frame, shaft along x: shaft height, feet, flange and shaft end are the frame's."""

    frame: str
    mount: MotorMount
    barrel_ratio: float
    rear_ratio: float
    fins: int
    fin_ratio: float
    fins_around: bool
    cowl_slots: int
    box_width_ratio: float
    box_length_ratio: float
    box_height_ratio: float
    lifting_eye: bool


def draw_electric_motor(rng: np.random.Generator) -> ElectricMotor:
    return ElectricMotor(
        frame=pick(rng, tuple(MOTOR_FRAMES)),
        mount=pick(rng, ("feet", "feet", "flange", "feet_and_flange")),
        barrel_ratio=uniform(rng, 0.74, 0.84),
        rear_ratio=uniform(rng, 0.5, 0.9),
        fins=integer(rng, 18, 32),
        fin_ratio=uniform(rng, 0.08, 0.14),
        fins_around=chance(rng),
        cowl_slots=integer(rng, 10, 18),
        box_width_ratio=uniform(rng, 0.9, 1.2),
        box_length_ratio=uniform(rng, 0.9, 1.2),
        box_height_ratio=uniform(rng, 0.4, 0.55),
        lifting_eye=chance(rng),
    )


@dataclass(frozen=True)
class _MotorSizes:
    """Radius of the barrel without its fins, their height, and the barrel's length up to the shaft's shoulder."""

    radius: float
    fin_height: float
    length: float


def _motor_sizes(p: ElectricMotor) -> _MotorSizes:
    frame = MOTOR_FRAMES[p.frame]
    return _MotorSizes(p.barrel_ratio * frame.H, p.fin_ratio * frame.H, frame.C + frame.B + p.rear_ratio * frame.C)


def build_electric_motor(p: ElectricMotor) -> Manifold:
    """Drawn along z, the shaft's shoulder at z = 0 and the motor below it, with +y up; then laid down."""
    frame, sizes = MOTOR_FRAMES[p.frame], _motor_sizes(p)
    barrel = cylinder(sizes.radius, sizes.length, 64).translate((0, 0, -sizes.length))
    parts = [barrel, *_motor_fins(p, sizes), *_motor_ends(p, sizes), _motor_shaft(frame), *_terminal_box(p, frame, sizes)]
    if p.mount != "flange":
        parts += _motor_feet(frame, sizes)
    if p.mount != "feet":
        parts += _motor_flange(frame)
    if p.lifting_eye:
        eye = torus(0.13 * frame.H, 0.045 * frame.H, 28, 12).rotate((0, 90, 0))
        parts.append(eye.translate((0, sizes.radius + 0.14 * frame.H, -0.14 * sizes.length)))
        parts.append(
            block(0.18 * frame.H, 0.18 * frame.H, 0.1 * frame.H)
            .rotate((-90, 0, 0))
            .translate((0, sizes.radius - 1, -0.14 * sizes.length))
        )
    return along_x(union(parts))


def _motor_fins(p: ElectricMotor, sizes: _MotorSizes) -> list[Manifold]:
    r, height, length = sizes.radius, sizes.fin_height, 0.86 * sizes.length
    low = -0.93 * sizes.length
    if p.fins_around:
        fin = block(2 * height, 0.36 * 2 * math.pi * r / p.fins, length).translate((0, 0, low))
        return polar(fin, p.fins, r, turn=True)
    # Cast frames: upright and level fins, cut to a round outline.
    pitch = 2 * (r + height) / (p.fins / 2)
    span = 2 * (r + height)
    places = [pitch * (k + 0.5) for k in range(-(p.fins // 4), p.fins // 4) if abs(pitch * (k + 0.5)) < 0.56 * r]
    bars = [centred_block(0.5 * pitch, span, length).translate((x, 0, low + length / 2)) for x in places]
    bars += [centred_block(span, 0.5 * pitch, length).translate((0, y, low + length / 2)) for y in places]
    return [union(bars) ^ cylinder(r + height, length, 64).translate((0, 0, low))]


def _motor_ends(p: ElectricMotor, sizes: _MotorSizes) -> list[Manifold]:
    """End shields with their screws, and the fan cowl behind."""
    r, length = sizes.radius + 0.7 * sizes.fin_height, sizes.length
    edge = 0.05 * r
    shield = turned([(-0.08 * length, r - edge), (-0.08 * length + edge, r), (-0.03 * length, r), (0.0, 0.8 * r)])
    screws = polar(bolt_head(0.07 * r, "hex"), 4, 0.72 * r, 45)
    cowl = turned([(-0.24 * length, 0.86 * r), (-0.21 * length, 1.04 * r), (0.05 * length, 1.04 * r)])
    slot = block(0.36 * r, 0.09 * r, 0.1 * length).translate((0.0, 0, -0.3 * length))
    vented = subtract(cowl, polar(slot, p.cowl_slots, 0.58 * r, turn=True))
    return [shield, *(s.translate((0, 0, -0.005 * length)) for s in screws), vented.translate((0, 0, -length))]


def _motor_shaft(frame: MotorFrame) -> Manifold:
    r, length, key = frame.D / 2, frame.E, parallel_key(frame.D)
    edge = 0.08 * r
    shaft = turned([(-1, 1.8 * r), (-0.02, 1.7 * r), (0, r), (length - edge, r), (length, r - edge)], 40)
    keyed = extruded(rounded_rectangle(key.b, 0.8 * length, 0.49 * key.b), key.h).rotate((-90, 0, 0))
    return union([shaft, keyed.translate((0, r - key.t1, length / 2))])


def _terminal_box(p: ElectricMotor, frame: MotorFrame, sizes: _MotorSizes) -> list[Manifold]:
    width, height = p.box_width_ratio * frame.H, p.box_height_ratio * frame.H
    length = min(p.box_length_ratio * frame.H, 0.8 * sizes.length)
    corner = 0.05 * frame.H
    body = pebble(width, length, height, corner)
    lid = rounded_block(1.06 * width, 1.06 * length, 0.18 * height, corner).translate((0, 0, 0.82 * height))
    screws = at_corners(bolt_head(0.06 * frame.H, "socket"), 0.44 * width, 0.44 * length)
    gland = union([hex_nut(0.34 * height + 6, 0.1 * width), cylinder(0.15 * height + 2, 0.22 * width, 24)])
    gland = gland.rotate((0, 90, 0)).translate((0.49 * width, 0, 0.42 * height))
    box = union([body, lid, gland, *(s.translate((0, 0, height)) for s in screws)])
    return [box.rotate((90, 0, 0)).rotate((0, 0, 180)).translate((0, 0.92 * sizes.radius, -0.5 * sizes.length))]


def _motor_flange(frame: MotorFrame) -> list[Manifold]:
    """An FF flange against the shield, its face and spigot at the shaft's shoulder."""
    thickness = 0.05 * frame.P + 2
    holes = polar(centred_cylinder(frame.S / 2, 99, 16), 4, frame.M / 2, 45)
    plate = subtract(chamfered_cylinder(frame.P / 2, thickness, 1.0, 72), holes).translate((0, 0, -thickness - 3.5))
    spigot = turned([(-thickness, frame.N / 2), (-1, frame.N / 2), (0, frame.N / 2 - 1)], 72)
    return [plate, subtract(spigot, holes)]


def _motor_feet(frame: MotorFrame, sizes: _MotorSizes) -> list[Manifold]:
    """Rails under both sides with holes A apart across and B along, webs up to the barrel; the ground is y = -H."""
    width, thickness = 0.3 * frame.A, 0.09 * frame.H + 2
    rail = rounded_block(width, frame.B + 3 * frame.K, thickness, 0.3 * frame.K)
    holes = [centred_cylinder(frame.K / 2, 99, 20).translate((0.18 * width, s * frame.B / 2, 0)) for s in (-1, 1)]
    web = block(0.3 * width, 0.12 * frame.B + 4, 0.75 * frame.H)
    side = subtract(rail, holes)
    webs = [web.translate((-0.28 * width, s * 0.33 * frame.B, 0.01)) for s in (-1, 1)]
    side = union([side, *webs]).translate((frame.A / 2 - 0.18 * width, 0, 0))
    feet = union([side, side.mirror((1, 0, 0))]).rotate((-90, 0, 0))
    return [feet.translate((0, -frame.H, -frame.C - frame.B / 2))]


@dataclass(frozen=True)
class GearboxShaft:
    """A shaft end across the case: place over the length, radius, and the side (+-1) it comes out of."""

    place_ratio: float
    radius: float
    outlet_side: int


@dataclass(frozen=True)
class Gearbox:
    """A split cast case on feet, shafts along y."""

    length: float
    width: float
    height: float
    corner_radius: float
    split_ratio: float
    bolts_per_side: int
    shafts: tuple[GearboxShaft, ...]
    ribs: int
    lifting_eye: bool


def draw_gearbox(rng: np.random.Generator) -> Gearbox:
    z = uniform(rng, 65, 105)

    def shaft(low: float, high: float) -> GearboxShaft:
        return GearboxShaft(uniform(rng, low, high), z * uniform(rng, 0.12, 0.19), pick(rng, (-1, 1)))

    return Gearbox(
        length=uniform(rng, 80, 130),
        width=uniform(rng, 50, 80),
        height=z,
        corner_radius=uniform(rng, 5, 11),
        split_ratio=uniform(rng, 0.45, 0.6),
        bolts_per_side=integer(rng, 3, 5),
        shafts=(shaft(-0.28, -0.2), shaft(0.18, 0.26)),
        ribs=integer(rng, 0, 5),
        lifting_eye=chance(rng, 0.7),
    )


def build_gearbox(p: Gearbox) -> Manifold:
    height = p.split_ratio * p.height
    rim = rounded_block(1.15 * p.length, 1.2 * p.width, 0.11 * p.height, 6)
    bolt = bolt_head(0.055 * p.length, "hex").translate((0, 0, height + 0.055 * p.height))
    parts = [pebble(p.length, p.width, p.height, p.corner_radius), rim.translate((0, 0, height - 0.055 * p.height))]
    parts += [
        bolt.translate((x, s * 0.55 * p.width, 0))
        for x in spread(p.bolts_per_side, -0.48 * p.length, 0.48 * p.length)
        for s in (-1, 1)
    ]
    for shaft in p.shafts:
        parts += [part.translate((shaft.place_ratio * p.length, 0, height)) for part in _shaft_end(p, shaft)]
    foot = subtract(
        rounded_block(0.26 * p.length, 1.36 * p.width, 0.1 * p.height, 4),
        [centred_cylinder(3.2, 99, 20).translate((0, s * 0.6 * p.width, 0)) for s in (-1, 1)],
    )
    parts += [foot.translate((s * 0.42 * p.length, 0, -0.02 * p.height)) for s in (-1, 1)]
    rib = block(0.04 * p.length, 1.1 * p.width, 0.36 * p.height).translate((0, 0, 0.05 * p.height))
    parts += [rib.translate((x, 0, 0)) for x in spread(p.ribs, -0.38 * p.length, 0.38 * p.length)]
    if p.lifting_eye:
        eye = 0.09 * p.height
        parts.append(torus(eye, 0.4 * eye, 28, 12).rotate((90, 0, 0)).translate((0, 0, p.height + eye)))
        parts.append(cylinder(0.8 * eye, 0.5 * eye, 24).translate((0, 0, p.height - 0.2 * eye)))
    return union(parts)


def _shaft_end(p: Gearbox, shaft: GearboxShaft) -> list[Manifold]:
    """Bearing cover with its screws and the shaft on one side, a blind cover on the other; the axis is y."""
    r, y = shaft.radius, p.width
    cover = turned([(0, 1.5 * r), (0.62 * y, 1.5 * r), (0.66 * y, 1.3 * r)], 48)
    screws = [s.translate((0, 0, 0.63 * y)) for s in polar(bolt_head(0.22 * r, "socket"), 6, 1.25 * r)]
    blind = turned([(0, 1.4 * r), (0.58 * y, 1.4 * r), (0.62 * y, 1.2 * r)], 48)
    driven = union([cover, *screws, cylinder(0.62 * r, 1.05 * y, 40)]).rotate((-90, 0, 0))
    ends = union([driven, blind.rotate((90, 0, 0))])
    return [ends if shaft.outlet_side > 0 else ends.rotate((0, 0, 180))]


@dataclass(frozen=True)
class Pump:
    """A volute pump, shaft along y, discharge up; suction and discharge flanges and impeller pair as in ISO 2858."""

    suction: str
    discharge: str
    impeller_diameter: float
    width_ratio: float
    growth_ratio: float
    cover_bolts: int
    bracket_ratio: float
    motor: bool

    @property
    def radius(self) -> float:
        """Of the volute's case where it begins."""
        return 0.6 * self.impeller_diameter

    @property
    def width(self) -> float:
        return self.width_ratio * self.radius


# ISO 2858: suction, discharge and nominal impeller diameter of end-suction pumps.
PUMP_SIZES = (
    ("DN 50", "DN 32", 125.0),
    ("DN 50", "DN 32", 160.0),
    ("DN 50", "DN 32", 200.0),
    ("DN 65", "DN 50", 160.0),
    ("DN 65", "DN 40", 200.0),
    ("DN 80", "DN 65", 160.0),
    ("DN 80", "DN 50", 200.0),
    ("DN 100", "DN 65", 200.0),
    ("DN 100", "DN 65", 250.0),
)


def draw_pump(rng: np.random.Generator) -> Pump:
    suction, discharge, impeller = pick(rng, PUMP_SIZES)
    return Pump(
        suction=suction,
        discharge=discharge,
        impeller_diameter=impeller,
        width_ratio=uniform(rng, 0.55, 0.85),
        growth_ratio=uniform(rng, 0.25, 0.45),
        cover_bolts=integer(rng, 6, 10),
        bracket_ratio=uniform(rng, 0.9, 1.5),
        motor=chance(rng, 0.4),
    )


def build_pump(p: Pump) -> Manifold:
    """Drawn with the shaft along z and the suction towards +z, then stood up."""
    r, w = p.radius, p.width
    suction, discharge = PIPE_FLANGES[p.suction], PIPE_FLANGES[p.discharge]
    outlet_x = r * (1 + p.growth_ratio) - discharge.pipe / 2 - 4
    outlet_y = 1.2 * r + discharge.H
    # The outlet starts inside the spiral's end: set on it, it could stay a body of its own.
    root = 0.05 * r
    outlet = union(
        [
            cylinder(0.62 * discharge.pipe, root + outlet_y - 0.5 * discharge.H, 40).translate((0, 0, -root)),
            pipe_flange(discharge).mirror((0, 0, 1)).translate((0, 0, outlet_y)),
        ]
    )
    inlet_z = w + 0.3 * r + suction.H
    inlet = union(
        [
            turned(
                [(w - 0.1, 0.75 * suction.pipe), (w + 0.15 * r, suction.pipe / 2), (inlet_z - suction.f, suction.pipe / 2)], 48
            ),
            pipe_flange(suction).mirror((0, 0, 1)).translate((0, 0, inlet_z)),
        ]
    )
    parts = [_volute(p), inlet, _pump_bracket(p), outlet.rotate((-90, 0, 0)).translate((outlet_x, 0, w / 2))]
    parts += [b.translate((0, 0, w)) for b in polar(bolt_head(0.08 * r, "hex"), p.cover_bolts, 0.84 * r)]
    floor = -(1.35 + p.growth_ratio) * r
    leg = centred_block(0.2 * r, 0.95 * r, 0.5 * w).translate((0, floor + 0.5 * r, w / 2))
    foot = centred_block(0.5 * r, 0.13 * r, 1.2 * w).translate((0, floor + 0.065 * r, w / 2))
    drill = centred_cylinder(0.06 * r, r, 16).rotate((90, 0, 0))
    foot = subtract(foot, [drill.translate((0.15 * r, floor, w / 2 + s * 0.45 * w)) for s in (-1, 1)])
    side = [part.translate((0.75 * r, 0, 0)) for part in (leg, foot)]
    parts += side + [part.mirror((1, 0, 0)) for part in side]
    bores = [
        cylinder(0.42 * suction.pipe, 9 * r, 40).translate((0, 0, 0.5 * w)),
        cylinder(0.42 * discharge.pipe, 9 * r, 32).rotate((-90, 0, 0)).translate((outlet_x, 0.2 * r, w / 2)),
    ]
    return subtract(union(parts), bores).rotate((90, 0, 0))


def _volute(p: Pump) -> Manifold:
    """The spiral case: its radius grows from `radius` by the growth over one turn and steps back under the discharge."""
    angles = np.linspace(0, 2 * math.pi, 56, endpoint=False)

    def spiral(inset: float, height: float) -> Manifold:
        radii = p.radius * (1 + p.growth_ratio * angles / (2 * math.pi)) - inset
        outline = [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
        return extruded(polygon(outline), height)

    edge = 0.2 * p.width
    slices = [spiral(edge * (1 - math.cos(t)), p.width - 2 * edge * (1 - math.sin(t))) for t in np.linspace(0, math.pi / 2, 5)]
    return union(s.translate((0, 0, (p.width - s.bounding_box()[5]) / 2)) for s in slices)


def _pump_bracket(p: Pump) -> Manifold:
    """Back cover, bearing bracket and shaft end, or a close-coupled motor, towards -z."""
    r, length = p.radius, p.bracket_ratio * p.radius
    cover = turned(
        [
            (-0.1, 0.95 * r),
            (0.1 * r, 0.95 * r),
            (0.12 * r, 0.6 * r),
            (0.8 * length, 0.42 * r),
            (0.81 * length, 0.55 * r),
            (length, 0.55 * r),
        ]
    )
    if p.motor:
        fin = block(0.2 * r, 0.1 * r, 1.3 * r).translate((0, 0, length + 0.15 * r))
        cowl = turned([(1.35 * r, 0.86 * r), (1.7 * r, 0.86 * r), (1.78 * r, 0.74 * r)], 56)
        vents = polar(block(0.3 * r, 0.07 * r, r).translate((0, 0, 1.7 * r)), 12, 0.45 * r, turn=True)
        vented = subtract(cowl, vents).translate((0, 0, length))
        rear = [cylinder(0.72 * r, 1.6 * r).translate((0, 0, length - 0.1)), *polar(fin, 18, 0.75 * r, turn=True), vented]
    else:
        end = length + 0.8 * r
        key = centred_block(0.08 * r, 0.08 * r, 0.4 * r).translate((0, 0.15 * r, end - 0.3 * r))
        rear = [turned([(length - 0.1, 0.15 * r), (end - 0.02 * r, 0.15 * r), (end, 0.13 * r)], 32), key]
    return union([cover, *rear]).mirror((0, 0, 1))


@dataclass(frozen=True)
class BlowerFan:
    """A radial blower, axis along y: scroll case with an open inlet, impeller inside, motor behind."""

    radius: float
    width: float
    growth_ratio: float
    wall_thickness: float
    blades: int
    inlet_radius: float
    outlet_length: float
    motor_radius: float
    motor_length: float
    stand: bool


def draw_blower_fan(rng: np.random.Generator) -> BlowerFan:
    radius = uniform(rng, 40, 60)
    return BlowerFan(
        radius=radius,
        width=radius * uniform(rng, 0.5, 0.9),
        growth_ratio=uniform(rng, 0.3, 0.5),
        wall_thickness=radius * uniform(rng, 0.06, 0.09),
        blades=integer(rng, 8, 16),
        inlet_radius=radius * uniform(rng, 0.5, 0.7),
        outlet_length=radius * uniform(rng, 1.2, 1.7),
        motor_radius=radius * uniform(rng, 0.35, 0.5),
        motor_length=radius * uniform(rng, 0.5, 1.0),
        stand=chance(rng, 0.7),
    )


def build_blower_fan(p: BlowerFan) -> Manifold:
    """Drawn with the axis along z and the inlet towards +z, then stood up."""
    r, w, t = p.radius, p.width, p.wall_thickness
    case = extruded(_scroll(p, 0.0), w)
    hollow = extruded(_scroll(p, t), w - 2 * t).translate((0, 0, t))
    outlet_x = r * (1 + p.growth_ratio) - 0.375 * r
    mouth = centred_block(0.75 * r - 2 * t, 4 * t, w - 2 * t).translate((outlet_x, p.outlet_length, w / 2))
    inlet = cylinder(p.inlet_radius, w, 48).translate((0, 0, w / 2))
    ring = torus(p.inlet_radius + 0.5 * t, 0.9 * t, 48, 10).translate((0, 0, w))
    shell = subtract(union([case, ring]), [hollow, mouth, inlet])
    outer, inner = 0.86 * r, 0.5 * r
    blade = block(outer - inner, 1.1 * t, w - 3.2 * t).rotate((0, 0, 35))
    blades = [b.translate((0, 0, 1.5 * t)) for b in polar(blade, p.blades, (outer + inner) / 2, turn=True)]
    impeller = [cylinder(0.9 * r, t).translate((0, 0, t - 0.1)), cylinder(0.2 * r, 0.7 * w).translate((0, 0, t)), *blades]
    # A drilled flange around the outlet, a ring of screws around the inlet.
    collar = centred_block(0.75 * r + 0.24 * r, 1.4 * t, w + 0.24 * r).translate((outlet_x, p.outlet_length - 0.7 * t, w / 2))
    drill = centred_cylinder(0.03 * r, 4 * t, 14).rotate((90, 0, 0)).translate((outlet_x, p.outlet_length - 0.7 * t, w / 2))
    corners = [drill.translate((i * 0.435 * r, 0, j * (w / 2 + 0.06 * r))) for i in (-1, 0, 1) for j in (-1, 1)]
    opening = centred_block(0.75 * r - 2 * t, 4 * t, w - 2 * t).translate((outlet_x, p.outlet_length, w / 2))
    screws = polar(bolt_head(0.045 * r, "hex"), 8, 0.5 * (p.inlet_radius + t + 0.96 * r), 22.5)
    fittings = [subtract(collar, [opening, *corners]), *(s.translate((0, 0, w)) for s in screws)]
    motor = turned([(-p.motor_length, 0.85 * p.motor_radius), (-0.9 * p.motor_length, p.motor_radius), (0.1, p.motor_radius)], 48)
    parts = [shell, *fittings, *impeller, motor]
    if p.stand:
        drop = 1.35 * r * (1 + p.growth_ratio)
        leg = centred_block(0.16 * r, drop, 0.9 * w).translate((0, -drop / 2 - 0.1 * r, w / 2))
        legs = [subtract(leg.translate((s * 0.75 * r, 0, 0)), [hollow]) for s in (-1, 1)]
        base = centred_block(2.2 * r, 0.14 * r, 1.3 * w).translate((0, -drop - 0.1 * r, w / 2))
        parts += [*legs, base]
    return union(parts).rotate((90, 0, 0))


def _scroll(p: BlowerFan, inset: float) -> CrossSection:
    """The scroll's outline in the (x, y) plane, outlet towards +y at its wide side, all walls moved in by the inset."""
    r = p.radius
    angles = np.linspace(0, -2 * math.pi, 56, endpoint=False)[::-1]
    widest = r * (1 + p.growth_ratio)
    # From the widest point at angle 0 the radius shrinks clockwise over a full turn.
    spiral = polygon(
        [(q * math.cos(a), q * math.sin(a)) for a in angles for q in (widest + r * p.growth_ratio * a / (2 * math.pi),)]
    )
    duct = CrossSection.square((0.75 * r, p.outlet_length)).translate((widest - 0.75 * r, 0))
    outline = spiral + duct
    return outline.offset(-inset, JoinType.Miter) if inset else outline


@dataclass(frozen=True)
class MachineVise:
    """A vise along x: base with lugs, fixed jaw, sliding jaw, screw and handle."""

    length: float
    width: float
    base_height: float
    jaw_height: float
    jaw_length: float
    opening_ratio: float
    handle: Literal["bar", "crank"]
    handle_length: float
    swivel_base: bool


def draw_machine_vise(rng: np.random.Generator) -> MachineVise:
    length = uniform(rng, 110, 170)
    return MachineVise(
        length=length,
        width=length * uniform(rng, 0.32, 0.5),
        base_height=length * uniform(rng, 0.13, 0.2),
        jaw_height=length * uniform(rng, 0.16, 0.28),
        jaw_length=length * uniform(rng, 0.15, 0.22),
        opening_ratio=uniform(rng, 0.1, 0.8),
        handle=pick(rng, ("bar", "crank")),
        handle_length=length * uniform(rng, 0.25, 0.4),
        swivel_base=chance(rng, 0.4),
    )


def build_machine_vise(p: MachineVise) -> Manifold:
    length, w, b, jaw = p.length, p.width, p.base_height, p.jaw_length
    bed = rounded_block(length, w, b, 3, 1)
    channel = block(0.62 * length, 0.36 * w, b).translate((0.02 * length, 0, 0.55 * b))
    fixed = rounded_block(jaw, w, b + p.jaw_height, 3, 1).translate((-length / 2 + jaw / 2, 0, 0))
    travel = length - 2.9 * jaw
    x = -length / 2 + 1.5 * jaw + p.opening_ratio * travel
    slider = rounded_block(jaw, w, p.jaw_height + 0.02 * b, 3, 1).translate((x, 0, 0.98 * b))
    plate = block(0.16 * jaw, 1.06 * w, 0.55 * p.jaw_height)
    plates = [plate.translate((px, 0, b + 0.5 * p.jaw_height)) for px in (-length / 2 + 1.02 * jaw, x - 0.52 * jaw)]
    nut_block = rounded_block(0.5 * jaw, 0.6 * w, b + 0.6 * p.jaw_height, 2, 1).translate((length / 2 - 0.25 * jaw, 0, 0))
    screw_z, screw_r = b + 0.3 * p.jaw_height, 0.12 * p.jaw_height + 2
    screw = cylinder(screw_r, length / 2 - x + 0.18 * length, 24).rotate((0, 90, 0)).translate((x, 0, screw_z))
    end = length / 2 + 0.17 * length
    parts = [subtract(bed, [channel]), fixed, slider, *plates, nut_block, screw, *_vise_handle(p, end, screw_z, screw_r)]
    lug = subtract(
        rounded_block(0.2 * length, 1.5 * w, 0.45 * b, 6),
        [centred_cylinder(0.035 * length, 99, 20).translate((0, s * 0.62 * w, 0)) for s in (-1, 1)],
    )
    parts.append(lug)
    if p.swivel_base:
        parts.append(_swivel_plate(0.46 * length, 0.4 * b).translate((0, 0, -0.38 * b)))
    return union(parts)


def _swivel_plate(radius: float, height: float) -> Manifold:
    """A turned base plate."""
    return turned([(0, radius), (0.7 * height, radius), (height, radius - 0.3 * height)])


def _vise_handle(p: MachineVise, x: float, z: float, screw_r: float) -> list[Manifold]:
    boss = along_x(centred_cylinder(1.7 * screw_r, 3 * screw_r, 32)).translate((x, 0, z))
    bar, reach = 0.7 * screw_r, p.handle_length
    if p.handle == "bar":
        rod = along_y(centred_cylinder(bar, reach, 20)).translate((x, 0, z))
        return [boss, rod, *(Manifold.sphere(1.5 * bar, 16).translate((x, s * reach / 2, z)) for s in (-1, 1))]
    arm = hull(
        [
            along_x(centred_cylinder(radius, 1.5 * screw_r, 24)).translate((0, y, 0))
            for y, radius in ((0, 1.6 * screw_r), (reach / 2, screw_r))
        ]
    )
    grip = along_x(cylinder(0.9 * screw_r, 0.4 * reach, 24)).translate((0, reach / 2, 0))
    return [boss, arm.translate((x, 0, z)), grip.translate((x, 0, z))]


@dataclass(frozen=True)
class ColumnPress:
    """A bench drill or arbor press: base, column, head over the table, motor, feed wheel."""

    base_length: float
    base_width: float
    height: float
    column_radius: float
    head_length: float
    head_width: float
    head_height: float
    table_place_ratio: float
    table_radius: float
    square_table: bool
    motor: bool
    spokes: int
    base_slots: int


def draw_column_press(rng: np.random.Generator) -> ColumnPress:
    height = uniform(rng, 150, 220)
    return ColumnPress(
        base_length=height * uniform(rng, 0.5, 0.65),
        base_width=height * uniform(rng, 0.3, 0.42),
        height=height,
        column_radius=height * uniform(rng, 0.04, 0.06),
        head_length=height * uniform(rng, 0.42, 0.55),
        head_width=height * uniform(rng, 0.15, 0.22),
        head_height=height * uniform(rng, 0.2, 0.28),
        table_place_ratio=uniform(rng, 0.25, 0.45),
        table_radius=height * uniform(rng, 0.13, 0.17),
        square_table=chance(rng),
        motor=chance(rng, 0.7),
        spokes=integer(rng, 3, 4),
        base_slots=integer(rng, 0, 3),
    )


def build_column_press(p: ColumnPress) -> Manifold:
    h, column_x = p.height, -0.34 * p.base_length
    spindle_x = column_x + 0.68 * p.head_length
    base = rounded_block(p.base_length, p.base_width, 0.06 * h, 8, 2)
    slots = [
        block(0.45 * p.base_length, 0.025 * h, 0.1 * h).translate((0.12 * p.base_length, y, 0.03 * h))
        for y in spread(p.base_slots, -0.25 * p.base_width, 0.25 * p.base_width)
    ]
    column = union(
        [cylinder(p.column_radius, 0.96 * h), turned([(0, 2 * p.column_radius), (0.1 * h, 1.4 * p.column_radius)], 40)]
    )
    parts = [subtract(base, slots), column.translate((column_x, 0, 0.01 * h)), *_press_table(p, column_x, spindle_x)]
    head_z = h - p.head_height
    head = pebble(p.head_length, p.head_width, p.head_height, 0.04 * h).translate((column_x + 0.36 * p.head_length, 0, head_z))
    spindle = turned(
        [
            (-0.2 * h, 0.008 * h),
            (-0.15 * h, 0.012 * h),
            (-0.145 * h, 0.028 * h),
            (-0.1 * h, 0.03 * h),
            (-0.095 * h, 0.04 * h),
            (0.02 * h, 0.04 * h),
        ],
        36,
    )
    parts += [head, spindle.translate((spindle_x, 0, head_z)), *_feed_wheel(p, spindle_x, head_z)]
    if p.motor:
        motor = turned([(0, 0.06 * h), (0.015 * h, 0.075 * h), (0.2 * h, 0.075 * h), (0.215 * h, 0.06 * h)], 40)
        parts.append(motor.translate((column_x - 0.15 * h, 0, head_z + 0.01 * h)))
        parts.append(block(0.16 * h, 0.06 * h, 0.05 * h).translate((column_x - 0.07 * h, 0, head_z + 0.08 * h)))
    return union(parts)


def _press_table(p: ColumnPress, column_x: float, spindle_x: float) -> list[Manifold]:
    h = p.height
    z = p.table_place_ratio * h
    r = min(p.table_radius, 0.9 * (spindle_x - column_x) - p.column_radius)
    top = rounded_block(2 * r, 2 * r, 0.04 * h, 3, 1) if p.square_table else cylinder(r, 0.04 * h, 56)
    top = subtract(top, [centred_cylinder(0.02 * h, h, 20)])
    arm = block(spindle_x - column_x, 0.07 * h, 0.05 * h).translate(((spindle_x - column_x) / 2 - 0.04 * h, 0, -0.045 * h))
    collar = cylinder(1.6 * p.column_radius, 0.1 * h, 40).translate((0, 0, -0.06 * h))
    return [top.translate((spindle_x, 0, z)), arm.translate((column_x, 0, z)), collar.translate((column_x, 0, z))]


def _feed_wheel(p: ColumnPress, x: float, z: float) -> list[Manifold]:
    """Feed spokes on the head's side (-y)."""
    h = p.height
    hub = cylinder(0.025 * h, p.head_width / 2 + 0.06 * h, 28)
    spoke = cylinder(0.009 * h, 0.15 * h, 12).rotate((0, 90, 0))
    knob = Manifold.sphere(0.018 * h, 14).translate((0.15 * h, 0, 0))
    spokes = polar(union([spoke, knob]).translate((0, 0, p.head_width / 2 + 0.045 * h)), p.spokes, 0, 20, turn=True)
    return [union([hub, *spokes]).rotate((90, 0, 0)).translate((x - 0.09 * h, 0, z + 0.35 * p.head_height))]


@dataclass(frozen=True)
class Conveyor:
    """A conveyor along x, with rollers or a belt."""

    length: float
    width: float
    height: float
    roller_radius: float
    rollers: int
    belt: bool
    rail_thickness: float
    leg_pairs: int
    leg_width: float
    drive: bool
    guards: bool


def draw_conveyor(rng: np.random.Generator) -> Conveyor:
    length = uniform(rng, 160, 260)
    rollers = integer(rng, 6, 14)
    return Conveyor(
        length=length,
        width=length * uniform(rng, 0.26, 0.42),
        height=length * uniform(rng, 0.25, 0.45),
        roller_radius=min(0.45 * length / rollers, length * uniform(rng, 0.035, 0.05)),
        rollers=rollers,
        belt=chance(rng),
        rail_thickness=length * uniform(rng, 0.018, 0.026),
        leg_pairs=integer(rng, 2, 3),
        leg_width=length * uniform(rng, 0.028, 0.04),
        drive=chance(rng, 0.7),
        guards=chance(rng, 0.5),
    )


def build_conveyor(p: Conveyor) -> Manifold:
    length, w, h, r = p.length, p.width, p.height, p.roller_radius
    rail = centred_block(length, p.rail_thickness, 2.6 * r).translate((0, 0, h))
    parts = [rail.translate((0, s * w / 2, 0)) for s in (-1, 1)]
    parts += _belt(p) if p.belt else _rollers(p)
    parts += _conveyor_legs(p)
    if p.drive:
        motor = union([cylinder(1.3 * r, 3.2 * r, 40), cylinder(0.5 * r, 4.5 * r, 20), pebble(2.8 * r, 2.8 * r, 2 * r, 0.3 * r)])
        parts.append(motor.rotate((90, 0, 0)).mirror((0, 1, 0)).translate((0.38 * length, w / 2 - 0.2 * r, h)))
    if p.guards:
        post = centred_block(p.rail_thickness, p.rail_thickness, 3.4 * r)
        bar = centred_block(length, p.rail_thickness, 0.9 * r)
        for s in (-1, 1):
            parts += [post.translate((x * length, s * w / 2, h + 2.2 * r)) for x in (-0.4, 0.0, 0.4)]
            parts.append(bar.translate((0, s * w / 2, h + 3.6 * r)))
    return union(parts)


def _belt(p: Conveyor) -> list[Manifold]:
    r, end = p.roller_radius, p.length / 2 - 0.6 * p.roller_radius
    drums = [
        along_y(centred_cylinder(r, p.width - 0.3 * p.rail_thickness, 40)).translate((s * end, 0, p.height + 0.35 * r))
        for s in (-1, 1)
    ]
    axle = along_y(centred_cylinder(0.4 * r, p.width + 2 * p.rail_thickness, 20))
    return [hull(drums), *(axle.translate((s * end, 0, p.height + 0.35 * r)) for s in (-1, 1))]


def _rollers(p: Conveyor) -> list[Manifold]:
    r = p.roller_radius
    roller = union(
        [
            centred_cylinder(r, p.width - 2.5 * p.rail_thickness, 28),
            centred_cylinder(0.4 * r, p.width + 1.5 * p.rail_thickness, 16),
        ]
    )
    return [along_y(roller).translate((x, 0, p.height + 0.5 * r)) for x in cells(p.rollers, -p.length / 2, p.length / 2)]


def _conveyor_legs(p: Conveyor) -> list[Manifold]:
    post = union([block(p.leg_width, p.leg_width, p.height), cylinder(1.1 * p.leg_width, 0.4 * p.leg_width, 24)])
    brace = centred_block(0.9 * p.leg_width, p.width + 0.2 * p.leg_width, 0.9 * p.leg_width).translate((0, 0, 0.3 * p.height))
    pair = union([brace, *(post.translate((0, s * (p.width / 2 + 0.1 * p.leg_width), 0)) for s in (-1, 1))])
    return [pair.translate((x, 0, 0)) for x in spread(p.leg_pairs, -0.4 * p.length, 0.4 * p.length)]


@dataclass(frozen=True)
class RobotArm:
    """An articulated arm in a pose."""

    upper_arm_length: float
    fore_arm_length: float
    joint_radius: float
    base_turn_degrees: float
    shoulder_degrees: float
    elbow_degrees: float
    wrist_degrees: float
    tool: Literal["gripper", "flange", "torch"]
    grip_opening: float
    round_base: bool


def draw_robot_arm(rng: np.random.Generator) -> RobotArm:
    return RobotArm(
        upper_arm_length=uniform(rng, 60, 90),
        fore_arm_length=uniform(rng, 50, 85),
        joint_radius=uniform(rng, 11, 16),
        base_turn_degrees=uniform(rng, -60, 60),
        shoulder_degrees=uniform(rng, -15, 45),
        elbow_degrees=uniform(rng, 20, 110),
        wrist_degrees=uniform(rng, -60, 60),
        tool=pick(rng, ("gripper", "flange", "torch")),
        grip_opening=uniform(rng, 4, 8),
        round_base=chance(rng),
    )


def build_robot_arm(p: RobotArm) -> Manifold:
    t = p.joint_radius
    wrist = union([_link(18, 0.75 * t, 0.6 * t, 1.1 * t), *(part.translate((0, 0, 18)) for part in _tool(p))])
    fore_arm = union(
        [
            _link(p.fore_arm_length, 1.05 * t, 0.65 * t, 1.5 * t),
            along_y(centred_cylinder(t, 2.2 * t, 36)),
            cylinder(0.8 * t, 34, 28).rotate((0, -90, 0)).translate((4, 0, 4)),
            wrist.rotate((0, p.wrist_degrees, 0)).translate((0, 0, p.fore_arm_length)),
        ]
    )
    upper_arm = union(
        [
            _link(p.upper_arm_length, 1.4 * t, 1.05 * t, 1.5 * t),
            along_y(centred_cylinder(1.1 * t, 2.3 * t, 36)),
            fore_arm.rotate((0, p.elbow_degrees, 0)).translate((0, 0, p.upper_arm_length)),
        ]
    )
    yoke = hull([block(30, 2.8 * t, 6), along_y(centred_cylinder(1.3 * t, 2.8 * t, 36)).translate((0, 0, 26))])
    turret = union(
        [
            cylinder(22, 8),
            yoke,
            along_y(centred_cylinder(0.9 * t, 4 * t, 32)).translate((0, 0, 26)),
            upper_arm.rotate((0, p.shoulder_degrees, 0)).translate((0, 0, 26)),
        ]
    )
    return union([*_robot_base(p), turret.rotate((0, 0, p.base_turn_degrees)).translate((0, 0, 49))])


def _link(length: float, start_radius: float, end_radius: float, width: float) -> Manifold:
    """An arm from a joint at the origin to one at z = length, both turning about y."""
    start = along_y(centred_cylinder(start_radius, width, 36))
    return hull([start, along_y(centred_cylinder(end_radius, 0.8 * width, 36)).translate((0, 0, length))])


def _tool(p: RobotArm) -> list[Manifold]:
    mount = turned([(-2, 8), (10, 8), (10.5, 10), (15, 10)], 32)
    if p.tool == "gripper":
        finger = centred_block(3.4, 8, 16).translate((0, 0, 22))
        return [mount, *(finger.translate((s * p.grip_opening, 0, 0)) for s in (-1, 1))]
    if p.tool == "torch":
        return [mount, turned([(14, 5), (26, 5), (27, 3), (40, 2.2)], 24)]
    return [subtract(mount, polar(centred_cylinder(1.5, 9, 16).translate((0, 0, 15)), 6, 7.2))]


def _robot_base(p: RobotArm) -> list[Manifold]:
    column = turned([(0, 28), (14, 28), (20, 22), (38, 20), (40, 24), (50, 24)], 48)
    plate = cylinder(38, 8, 56) if p.round_base else rounded_block(66, 66, 8, 8, 1)
    return [subtract(plate, polar(centred_cylinder(3, 99, 16), 4, 33 if p.round_base else 38, 45)), column]


ELECTRIC_MOTOR = Family(
    "electric_motor",
    "machine",
    draw_electric_motor,
    build_electric_motor,
    "Finned motors of IEC 60072-1 frames 56 to 160, on feet or with a flange",
    # Cooling fins of large frames.
    thinnest_wall=2.0,
)
GEARBOX = Family("gearbox", "machine", draw_gearbox, build_gearbox, "Split cast gear cases on feet with two shafts")
PUMP = Family(
    "pump", "machine", draw_pump, build_pump, "End-suction volute pumps of ISO 2858 sizes, with bearing bracket or motor"
)
BLOWER_FAN = Family("blower_fan", "machine", draw_blower_fan, build_blower_fan, "Radial blowers with an open inlet and impeller")
MACHINE_VISE = Family(
    "machine_vise", "machine", draw_machine_vise, build_machine_vise, "Machine vises, fixed or on a swivel base"
)
COLUMN_PRESS = Family(
    "column_press", "machine", draw_column_press, build_column_press, "Bench drills with column, table and feed wheel"
)
CONVEYOR = Family(
    "conveyor", "machine", draw_conveyor, build_conveyor, "Roller and belt conveyors on legs, with drives and guards"
)
ROBOT_ARM = Family(
    "robot_arm", "machine", draw_robot_arm, build_robot_arm, "Articulated robot arms in a pose, with gripper, torch or flange"
)

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
    block,
    bolt_head,
    bolted_flange,
    cells,
    centred_block,
    centred_cylinder,
    cylinder,
    disc,
    extruded,
    hull,
    pebble,
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


@dataclass(frozen=True)
class ElectricMotor:
    """A finned motor, shaft along x, in mm; it stands on feet or carries a mounting flange, or both."""

    radius: float
    length: float
    fins: int
    fin_height: float
    mount: Literal["feet", "round_flange", "square_flange"]
    flange_radius: float
    flange_thickness: float
    cowl_slots: int
    shaft_radius: float
    shaft_length: float
    box_width: float
    box_length: float
    box_height: float
    box_place: float


def draw_electric_motor(rng: np.random.Generator) -> ElectricMotor:
    radius, length = uniform(rng, 36, 60), uniform(rng, 95, 170)
    return ElectricMotor(
        radius=radius,
        length=length,
        fins=integer(rng, 16, 32),
        fin_height=radius * uniform(rng, 0.1, 0.2),
        mount=pick(rng, ("feet", "feet", "round_flange", "square_flange")),
        flange_radius=radius * uniform(rng, 1.15, 1.5),
        flange_thickness=uniform(rng, 7, 12),
        cowl_slots=integer(rng, 10, 18),
        shaft_radius=radius * uniform(rng, 0.16, 0.28),
        shaft_length=uniform(rng, 28, 60),
        box_width=radius * uniform(rng, 0.8, 1.2),
        box_length=length * uniform(rng, 0.28, 0.45),
        box_height=radius * uniform(rng, 0.4, 0.65),
        box_place=length * uniform(rng, 0.35, 0.6),
    )


def build_electric_motor(p: ElectricMotor) -> Manifold:
    """Drawn along z with +y up, then laid down."""
    parts = [cylinder(p.radius, p.length, 64), *_motor_fins(p), *_motor_ends(p), _motor_shaft(p), _terminal_box(p)]
    parts += _motor_feet(p) if p.mount == "feet" else [_motor_flange(p)]
    return along_x(union(parts))


def _motor_fins(p: ElectricMotor) -> list[Manifold]:
    r = p.radius
    fin = block(2 * p.fin_height, 0.4 * 2 * math.pi * r / p.fins, 0.86 * p.length).translate((0, 0, 0.07 * p.length))
    return polar(fin, p.fins, r, turn=True)


def _motor_ends(p: ElectricMotor) -> list[Manifold]:
    r, length = p.radius, p.length
    shield = turned([(0, 0.9 * r), (2, 1.08 * r), (0.07 * length, 1.08 * r), (0.09 * length, r)])
    cowl = turned([(-0.24 * length, 0.86 * r), (-0.2 * length, 1.04 * r), (0.03 * length, 1.04 * r)])
    slot = block(0.36 * r, 0.09 * r, 0.1 * length).translate((0.0, 0, -0.28 * length))
    vented = subtract(cowl, polar(slot, p.cowl_slots, 0.58 * r, turn=True))
    return [shield, shield.mirror((0, 0, 1)).translate((0, 0, length)), vented]


def _motor_shaft(p: ElectricMotor) -> Manifold:
    r, length = p.shaft_radius, p.flange_thickness + p.shaft_length
    shaft = turned([(-2, 1.5 * r), (0.15 * length, 1.4 * r), (0.16 * length, r), (length - 0.1 * r, r), (length, 0.9 * r)], 40)
    key_slot = block(0.5 * r, r, 0.6 * p.shaft_length).translate((0, 1.15 * r, p.flange_thickness + 0.25 * p.shaft_length))
    return subtract(shaft, [key_slot]).translate((0, 0, p.length))


def _terminal_box(p: ElectricMotor) -> Manifold:
    body = pebble(p.box_width, p.box_length, p.box_height, 4)
    lid = rounded_block(1.07 * p.box_width, 1.06 * p.box_length, 0.16 * p.box_height, 4).translate((0, 0, 0.72 * p.box_height))
    gland = (
        cylinder(0.18 * p.box_width, 0.25 * p.box_width, 20)
        .rotate((0, 90, 0))
        .translate((0.48 * p.box_width, 0, 0.4 * p.box_height))
    )
    return union([body, lid, gland]).rotate((90, 0, 0)).rotate((0, 0, 180)).translate((0, 0.94 * p.radius, p.box_place))


def _motor_flange(p: ElectricMotor) -> Manifold:
    side = 1.9 * p.flange_radius
    outline = disc(p.flange_radius, 64) if p.mount == "round_flange" else rounded_rectangle(side, side, 0.2 * side)
    holes = polar(centred_cylinder(0.07 * p.flange_radius, 99, 16), 4, 0.9 * p.flange_radius, 45)
    return subtract(extruded(outline, p.flange_thickness), holes).translate((0, 0, p.length - 0.2 * p.flange_thickness))


def _motor_feet(p: ElectricMotor) -> list[Manifold]:
    r, length = p.radius, p.length
    height = 1.22 * r
    rail = rounded_block(0.62 * r, 0.7 * length, 0.14 * r, 3)
    rail = subtract(rail, [centred_cylinder(0.09 * r, 99, 16).translate((0.1 * r, s * 0.27 * length, 0)) for s in (-1, 1)])
    leg = block(0.3 * r, 0.16 * length, 0.75 * r)
    side = union([rail, *(leg.translate((-0.12 * r, s * 0.2 * length, 0.01)) for s in (-1, 1))]).translate((0.78 * r, 0, 0))
    # The feet are drawn on the ground z = 0; in the motor's drawing that is y = -height.
    feet = union([side, side.mirror((1, 0, 0))]).rotate((-90, 0, 0))
    return [feet.translate((0, -height, 0.5 * length))]


@dataclass(frozen=True)
class GearboxShaft:
    """A shaft end across the case: place over the length, radius in mm, and the side (+-1) it comes out of."""

    place: float
    radius: float
    side: int


@dataclass(frozen=True)
class Gearbox:
    """A split cast case on feet, in mm, shafts along y."""

    x: float
    y: float
    z: float
    corner: float
    split: float
    bolts: int
    shafts: tuple[GearboxShaft, ...]
    ribs: int
    lifting_eye: bool


def draw_gearbox(rng: np.random.Generator) -> Gearbox:
    z = uniform(rng, 65, 105)

    def shaft(low: float, high: float) -> GearboxShaft:
        return GearboxShaft(uniform(rng, low, high), z * uniform(rng, 0.12, 0.19), pick(rng, (-1, 1)))

    return Gearbox(
        x=uniform(rng, 80, 130),
        y=uniform(rng, 50, 80),
        z=z,
        corner=uniform(rng, 5, 11),
        split=uniform(rng, 0.45, 0.6),
        bolts=integer(rng, 3, 5),
        shafts=(shaft(-0.28, -0.2), shaft(0.18, 0.26)),
        ribs=integer(rng, 0, 5),
        lifting_eye=chance(rng, 0.7),
    )


def build_gearbox(p: Gearbox) -> Manifold:
    height = p.split * p.z
    rim = rounded_block(1.15 * p.x, 1.2 * p.y, 0.11 * p.z, 6)
    bolt = bolt_head(0.055 * p.x, "hex").translate((0, 0, height + 0.055 * p.z))
    parts = [pebble(p.x, p.y, p.z, p.corner), rim.translate((0, 0, height - 0.055 * p.z))]
    parts += [bolt.translate((x, s * 0.55 * p.y, 0)) for x in spread(p.bolts, -0.48 * p.x, 0.48 * p.x) for s in (-1, 1)]
    for shaft in p.shafts:
        parts += [part.translate((shaft.place * p.x, 0, height)) for part in _shaft_end(p, shaft)]
    foot = subtract(
        rounded_block(0.26 * p.x, 1.36 * p.y, 0.1 * p.z, 4),
        [centred_cylinder(3.2, 99, 20).translate((0, s * 0.6 * p.y, 0)) for s in (-1, 1)],
    )
    parts += [foot.translate((s * 0.42 * p.x, 0, -0.02 * p.z)) for s in (-1, 1)]
    rib = block(0.04 * p.x, 1.1 * p.y, 0.36 * p.z).translate((0, 0, 0.05 * p.z))
    parts += [rib.translate((x, 0, 0)) for x in spread(p.ribs, -0.38 * p.x, 0.38 * p.x)]
    if p.lifting_eye:
        eye = 0.09 * p.z
        parts.append(torus(eye, 0.4 * eye, 28, 12).rotate((90, 0, 0)).translate((0, 0, p.z + eye)))
        parts.append(cylinder(0.8 * eye, 0.5 * eye, 24).translate((0, 0, p.z - 0.2 * eye)))
    return union(parts)


def _shaft_end(p: Gearbox, shaft: GearboxShaft) -> list[Manifold]:
    """Bearing cover with its screws and the shaft on one side, a blind cover on the other; the axis is y."""
    r, y = shaft.radius, p.y
    cover = turned([(0, 1.5 * r), (0.62 * y, 1.5 * r), (0.66 * y, 1.3 * r)], 48)
    screws = [s.translate((0, 0, 0.63 * y)) for s in polar(bolt_head(0.22 * r, "socket"), 6, 1.25 * r)]
    blind = turned([(0, 1.4 * r), (0.58 * y, 1.4 * r), (0.62 * y, 1.2 * r)], 48)
    driven = union([cover, *screws, cylinder(0.62 * r, 1.05 * y, 40)]).rotate((-90, 0, 0))
    ends = union([driven, blind.rotate((90, 0, 0))])
    return [ends if shaft.side > 0 else ends.rotate((0, 0, 180))]


@dataclass(frozen=True)
class Pump:
    """A volute pump, shaft along y, discharge up, in mm."""

    radius: float
    width: float
    growth: float
    discharge: float
    suction: float
    flange_bolts: int
    cover_bolts: int
    bracket_length: float
    motor: bool


def draw_pump(rng: np.random.Generator) -> Pump:
    radius = uniform(rng, 35, 55)
    return Pump(
        radius=radius,
        width=radius * uniform(rng, 0.55, 0.85),
        growth=uniform(rng, 0.25, 0.45),
        discharge=radius * uniform(rng, 0.26, 0.34),
        suction=radius * uniform(rng, 0.4, 0.52),
        flange_bolts=integer(rng, 4, 8),
        cover_bolts=integer(rng, 6, 10),
        bracket_length=radius * uniform(rng, 0.9, 1.5),
        motor=chance(rng, 0.4),
    )


def build_pump(p: Pump) -> Manifold:
    """Drawn with the shaft along z and the suction towards +z, then stood up."""
    r, w = p.radius, p.width
    parts = [_volute(p), _suction(p), _pump_bracket(p)]
    outlet_x = r * (1 + p.growth) - p.discharge
    discharge = union([cylinder(p.discharge, 1.4 * r, 40), _pump_flange(p, p.discharge).translate((0, 0, 1.35 * r))])
    parts.append(discharge.rotate((-90, 0, 0)).translate((outlet_x, 0, w / 2)))
    parts += [b.translate((0, 0, w)) for b in polar(bolt_head(0.1 * r, "hex"), p.cover_bolts, 0.8 * r)]
    floor = -(1.35 + p.growth) * r
    leg = centred_block(0.25 * r, 0.95 * r, 0.55 * w).translate((0, floor + 0.5 * r, w / 2))
    foot = centred_block(0.5 * r, 0.16 * r, 1.2 * w).translate((0, floor + 0.08 * r, w / 2))
    parts += [part.translate((s * 0.75 * r, 0, 0)) for s in (-1, 1) for part in (leg, foot)]
    bores = [
        cylinder(0.78 * p.suction, 9 * r, 40).translate((0, 0, 0.5 * w)),
        cylinder(0.78 * p.discharge, 3 * r, 32).rotate((-90, 0, 0)).translate((outlet_x, 0.2 * r, w / 2)),
    ]
    return subtract(union(parts), bores).rotate((90, 0, 0))


def _volute(p: Pump) -> Manifold:
    """The spiral case: its radius grows from `radius` by the growth over one turn and steps back under the discharge."""
    angles = np.linspace(0, 2 * math.pi, 56, endpoint=False)

    def spiral(inset: float, height: float) -> Manifold:
        radii = p.radius * (1 + p.growth * angles / (2 * math.pi)) - inset
        outline = [(r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]
        return extruded(polygon(outline), height)

    edge = 0.2 * p.width
    slices = [spiral(edge * (1 - math.cos(t)), p.width - 2 * edge * (1 - math.sin(t))) for t in np.linspace(0, math.pi / 2, 5)]
    return union(s.translate((0, 0, (p.width - s.bounding_box()[5]) / 2)) for s in slices)


def _suction(p: Pump) -> Manifold:
    pipe = turned([(-0.1, 1.5 * p.suction), (0.15 * p.radius, p.suction), (0.55 * p.radius, p.suction)], 48)
    return union([pipe, _pump_flange(p, p.suction).translate((0, 0, 0.5 * p.radius))]).translate((0, 0, p.width))


def _pump_flange(p: Pump, bore: float) -> Manifold:
    return bolted_flange(1.75 * bore, 0.17 * p.radius, p.flange_bolts, 0.27 * bore, 1.42 * bore)


def _pump_bracket(p: Pump) -> Manifold:
    """Back cover, bearing bracket and shaft end, or a close-coupled motor, towards -z."""
    r, length = p.radius, p.bracket_length
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
        rear = [cylinder(0.72 * r, 1.6 * r).translate((0, 0, length - 0.1)), *polar(fin, 18, 0.75 * r, turn=True)]
    else:
        rear = [cylinder(0.15 * r, 0.8 * r, 24).translate((0, 0, length - 0.1))]
    return union([cover, *rear]).mirror((0, 0, 1))


@dataclass(frozen=True)
class BlowerFan:
    """A radial blower, axis along y, in mm: scroll case with an open inlet, impeller inside, motor behind."""

    radius: float
    width: float
    growth: float
    wall: float
    blades: int
    inlet: float
    outlet_length: float
    motor_radius: float
    motor_length: float
    stand: bool


def draw_blower_fan(rng: np.random.Generator) -> BlowerFan:
    radius = uniform(rng, 40, 60)
    return BlowerFan(
        radius=radius,
        width=radius * uniform(rng, 0.5, 0.9),
        growth=uniform(rng, 0.3, 0.5),
        wall=radius * uniform(rng, 0.06, 0.09),
        blades=integer(rng, 8, 16),
        inlet=radius * uniform(rng, 0.5, 0.7),
        outlet_length=radius * uniform(rng, 1.2, 1.7),
        motor_radius=radius * uniform(rng, 0.35, 0.5),
        motor_length=radius * uniform(rng, 0.5, 1.0),
        stand=chance(rng, 0.7),
    )


def build_blower_fan(p: BlowerFan) -> Manifold:
    """Drawn with the axis along z and the inlet towards +z, then stood up."""
    r, w, t = p.radius, p.width, p.wall
    case = extruded(_scroll(p, 0.0), w)
    hollow = extruded(_scroll(p, t), w - 2 * t).translate((0, 0, t))
    outlet_x = r * (1 + p.growth) - 0.375 * r
    mouth = centred_block(0.75 * r - 2 * t, 4 * t, w - 2 * t).translate((outlet_x, p.outlet_length, w / 2))
    inlet = cylinder(p.inlet, w, 48).translate((0, 0, w / 2))
    ring = torus(p.inlet + 0.5 * t, 0.9 * t, 48, 10).translate((0, 0, w))
    shell = subtract(union([case, ring]), [hollow, mouth, inlet])
    outer, inner = 0.86 * r, 0.5 * r
    blade = block(outer - inner, 1.1 * t, w - 3.2 * t).rotate((0, 0, 35))
    blades = [b.translate((0, 0, 1.5 * t)) for b in polar(blade, p.blades, (outer + inner) / 2, turn=True)]
    impeller = [cylinder(0.9 * r, t).translate((0, 0, t - 0.1)), cylinder(0.2 * r, 0.7 * w).translate((0, 0, t)), *blades]
    motor = turned([(-p.motor_length, 0.85 * p.motor_radius), (-0.9 * p.motor_length, p.motor_radius), (0.1, p.motor_radius)], 48)
    parts = [shell, *impeller, motor]
    if p.stand:
        drop = 1.35 * r * (1 + p.growth)
        leg = centred_block(0.16 * r, drop, 0.9 * w).translate((0, -drop / 2 - 0.1 * r, w / 2))
        legs = [subtract(leg.translate((s * 0.75 * r, 0, 0)), [hollow]) for s in (-1, 1)]
        base = centred_block(2.2 * r, 0.14 * r, 1.3 * w).translate((0, -drop - 0.1 * r, w / 2))
        parts += [*legs, base]
    return union(parts).rotate((90, 0, 0))


def _scroll(p: BlowerFan, inset: float) -> CrossSection:
    """The scroll's outline in the (x, y) plane, outlet towards +y at its wide side, all walls moved in by the inset."""
    r = p.radius
    angles = np.linspace(0, -2 * math.pi, 56, endpoint=False)[::-1]
    widest = r * (1 + p.growth)
    # From the widest point at angle 0 the radius shrinks clockwise over a full turn.
    spiral = polygon([(q * math.cos(a), q * math.sin(a)) for a in angles for q in (widest + r * p.growth * a / (2 * math.pi),)])
    duct = CrossSection.square((0.75 * r, p.outlet_length)).translate((widest - 0.75 * r, 0))
    outline = spiral + duct
    return outline.offset(-inset, JoinType.Miter) if inset else outline


@dataclass(frozen=True)
class MachineVise:
    """A vise along x, in mm: base with lugs, fixed jaw, sliding jaw, screw and handle."""

    length: float
    width: float
    base: float
    jaw_height: float
    jaw_length: float
    opening: float
    handle: Literal["bar", "crank"]
    handle_length: float
    swivel: bool


def draw_machine_vise(rng: np.random.Generator) -> MachineVise:
    length = uniform(rng, 110, 170)
    return MachineVise(
        length=length,
        width=length * uniform(rng, 0.32, 0.5),
        base=length * uniform(rng, 0.13, 0.2),
        jaw_height=length * uniform(rng, 0.16, 0.28),
        jaw_length=length * uniform(rng, 0.15, 0.22),
        opening=uniform(rng, 0.1, 0.8),
        handle=pick(rng, ("bar", "crank")),
        handle_length=length * uniform(rng, 0.25, 0.4),
        swivel=chance(rng, 0.4),
    )


def build_machine_vise(p: MachineVise) -> Manifold:
    length, w, b, jaw = p.length, p.width, p.base, p.jaw_length
    bed = rounded_block(length, w, b, 3, 1)
    channel = block(0.62 * length, 0.36 * w, b).translate((0.02 * length, 0, 0.55 * b))
    fixed = rounded_block(jaw, w, b + p.jaw_height, 3, 1).translate((-length / 2 + jaw / 2, 0, 0))
    travel = length - 2.9 * jaw
    x = -length / 2 + 1.5 * jaw + p.opening * travel
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
    if p.swivel:
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
    """A bench drill or arbor press, in mm: base, column, head over the table, motor, feed wheel."""

    base_x: float
    base_y: float
    height: float
    column_radius: float
    head_length: float
    head_width: float
    head_height: float
    table_place: float
    table_radius: float
    square_table: bool
    motor: bool
    spokes: int
    slots: int


def draw_column_press(rng: np.random.Generator) -> ColumnPress:
    height = uniform(rng, 150, 220)
    return ColumnPress(
        base_x=height * uniform(rng, 0.5, 0.65),
        base_y=height * uniform(rng, 0.3, 0.42),
        height=height,
        column_radius=height * uniform(rng, 0.04, 0.06),
        head_length=height * uniform(rng, 0.42, 0.55),
        head_width=height * uniform(rng, 0.15, 0.22),
        head_height=height * uniform(rng, 0.2, 0.28),
        table_place=uniform(rng, 0.25, 0.45),
        table_radius=height * uniform(rng, 0.13, 0.17),
        square_table=chance(rng),
        motor=chance(rng, 0.7),
        spokes=integer(rng, 3, 4),
        slots=integer(rng, 0, 3),
    )


def build_column_press(p: ColumnPress) -> Manifold:
    h, column_x = p.height, -0.34 * p.base_x
    spindle_x = column_x + 0.68 * p.head_length
    base = rounded_block(p.base_x, p.base_y, 0.06 * h, 8, 2)
    slots = [
        block(0.45 * p.base_x, 0.025 * h, 0.1 * h).translate((0.12 * p.base_x, y, 0.03 * h))
        for y in spread(p.slots, -0.25 * p.base_y, 0.25 * p.base_y)
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
    z = p.table_place * h
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
    """A conveyor along x, in mm, with rollers or a belt."""

    length: float
    width: float
    height: float
    roller: float
    rollers: int
    belt: bool
    rail: float
    leg_pairs: int
    leg: float
    drive: bool
    guards: bool


def draw_conveyor(rng: np.random.Generator) -> Conveyor:
    length = uniform(rng, 160, 260)
    rollers = integer(rng, 6, 14)
    return Conveyor(
        length=length,
        width=length * uniform(rng, 0.26, 0.42),
        height=length * uniform(rng, 0.25, 0.45),
        roller=min(0.45 * length / rollers, length * uniform(rng, 0.035, 0.05)),
        rollers=rollers,
        belt=chance(rng),
        rail=length * uniform(rng, 0.018, 0.026),
        leg_pairs=integer(rng, 2, 3),
        leg=length * uniform(rng, 0.028, 0.04),
        drive=chance(rng, 0.7),
        guards=chance(rng, 0.5),
    )


def build_conveyor(p: Conveyor) -> Manifold:
    length, w, h, r = p.length, p.width, p.height, p.roller
    rail = centred_block(length, p.rail, 2.6 * r).translate((0, 0, h))
    parts = [rail.translate((0, s * w / 2, 0)) for s in (-1, 1)]
    parts += _belt(p) if p.belt else _rollers(p)
    parts += _conveyor_legs(p)
    if p.drive:
        motor = union([cylinder(1.3 * r, 3.2 * r, 40), cylinder(0.5 * r, 4.5 * r, 20), pebble(2.8 * r, 2.8 * r, 2 * r, 0.3 * r)])
        parts.append(motor.rotate((90, 0, 0)).mirror((0, 1, 0)).translate((0.38 * length, w / 2 - 0.2 * r, h)))
    if p.guards:
        post = centred_block(p.rail, p.rail, 3.4 * r)
        bar = centred_block(length, p.rail, 0.9 * r)
        for s in (-1, 1):
            parts += [post.translate((x * length, s * w / 2, h + 2.2 * r)) for x in (-0.4, 0.0, 0.4)]
            parts.append(bar.translate((0, s * w / 2, h + 3.6 * r)))
    return union(parts)


def _belt(p: Conveyor) -> list[Manifold]:
    r, end = p.roller, p.length / 2 - 0.6 * p.roller
    drums = [
        along_y(centred_cylinder(r, p.width - 0.3 * p.rail, 40)).translate((s * end, 0, p.height + 0.35 * r)) for s in (-1, 1)
    ]
    axle = along_y(centred_cylinder(0.4 * r, p.width + 2 * p.rail, 20))
    return [hull(drums), *(axle.translate((s * end, 0, p.height + 0.35 * r)) for s in (-1, 1))]


def _rollers(p: Conveyor) -> list[Manifold]:
    r = p.roller
    roller = union([centred_cylinder(r, p.width - 2.5 * p.rail, 28), centred_cylinder(0.4 * r, p.width + 1.5 * p.rail, 16)])
    return [along_y(roller).translate((x, 0, p.height + 0.5 * r)) for x in cells(p.rollers, -p.length / 2, p.length / 2)]


def _conveyor_legs(p: Conveyor) -> list[Manifold]:
    post = union([block(p.leg, p.leg, p.height), cylinder(1.1 * p.leg, 0.4 * p.leg, 24)])
    brace = centred_block(0.9 * p.leg, p.width + 0.2 * p.leg, 0.9 * p.leg).translate((0, 0, 0.3 * p.height))
    pair = union([brace, *(post.translate((0, s * (p.width / 2 + 0.1 * p.leg), 0)) for s in (-1, 1))])
    return [pair.translate((x, 0, 0)) for x in spread(p.leg_pairs, -0.4 * p.length, 0.4 * p.length)]


@dataclass(frozen=True)
class RobotArm:
    """An articulated arm in a pose: lengths in mm, joint angles in degrees."""

    upper_arm: float
    fore_arm: float
    thickness: float
    base_turn: float
    shoulder: float
    elbow: float
    wrist: float
    tool: Literal["gripper", "flange", "torch"]
    grip: float
    round_base: bool


def draw_robot_arm(rng: np.random.Generator) -> RobotArm:
    return RobotArm(
        upper_arm=uniform(rng, 60, 90),
        fore_arm=uniform(rng, 50, 85),
        thickness=uniform(rng, 11, 16),
        base_turn=uniform(rng, -60, 60),
        shoulder=uniform(rng, -15, 45),
        elbow=uniform(rng, 20, 110),
        wrist=uniform(rng, -60, 60),
        tool=pick(rng, ("gripper", "flange", "torch")),
        grip=uniform(rng, 4, 8),
        round_base=chance(rng),
    )


def build_robot_arm(p: RobotArm) -> Manifold:
    t = p.thickness
    wrist = union([_link(18, 0.75 * t, 0.6 * t, 1.1 * t), *(part.translate((0, 0, 18)) for part in _tool(p))])
    fore_arm = union(
        [
            _link(p.fore_arm, 1.05 * t, 0.65 * t, 1.5 * t),
            along_y(centred_cylinder(t, 2.2 * t, 36)),
            cylinder(0.8 * t, 34, 28).rotate((0, -90, 0)).translate((4, 0, 4)),
            wrist.rotate((0, p.wrist, 0)).translate((0, 0, p.fore_arm)),
        ]
    )
    upper_arm = union(
        [
            _link(p.upper_arm, 1.4 * t, 1.05 * t, 1.5 * t),
            along_y(centred_cylinder(1.1 * t, 2.3 * t, 36)),
            fore_arm.rotate((0, p.elbow, 0)).translate((0, 0, p.upper_arm)),
        ]
    )
    yoke = hull([block(30, 2.8 * t, 6), along_y(centred_cylinder(1.3 * t, 2.8 * t, 36)).translate((0, 0, 26))])
    turret = union(
        [
            cylinder(22, 8),
            yoke,
            along_y(centred_cylinder(0.9 * t, 4 * t, 32)).translate((0, 0, 26)),
            upper_arm.rotate((0, p.shoulder, 0)).translate((0, 0, 26)),
        ]
    )
    return union([*_robot_base(p), turret.rotate((0, 0, p.base_turn)).translate((0, 0, 49))])


def _link(length: float, start_radius: float, end_radius: float, width: float) -> Manifold:
    """An arm from a joint at the origin to one at z = length, both turning about y."""
    start = along_y(centred_cylinder(start_radius, width, 36))
    return hull([start, along_y(centred_cylinder(end_radius, 0.8 * width, 36)).translate((0, 0, length))])


def _tool(p: RobotArm) -> list[Manifold]:
    mount = turned([(-2, 8), (10, 8), (10.5, 10), (15, 10)], 32)
    if p.tool == "gripper":
        finger = centred_block(3.4, 8, 16).translate((0, 0, 22))
        return [mount, *(finger.translate((s * p.grip, 0, 0)) for s in (-1, 1))]
    if p.tool == "torch":
        return [mount, turned([(14, 5), (26, 5), (27, 3), (40, 2.2)], 24)]
    return [subtract(mount, polar(centred_cylinder(1.5, 9, 16).translate((0, 0, 15)), 6, 7.2))]


def _robot_base(p: RobotArm) -> list[Manifold]:
    column = turned([(0, 28), (14, 28), (20, 22), (38, 20), (40, 24), (50, 24)], 48)
    plate = cylinder(38, 8, 56) if p.round_base else rounded_block(66, 66, 8, 8, 1)
    return [subtract(plate, polar(centred_cylinder(3, 99, 16), 4, 33 if p.round_base else 38, 45)), column]


ELECTRIC_MOTOR = Family("electric_motor", "machine", draw_electric_motor, build_electric_motor)
GEARBOX = Family("gearbox", "machine", draw_gearbox, build_gearbox)
PUMP = Family("pump", "machine", draw_pump, build_pump)
BLOWER_FAN = Family("blower_fan", "machine", draw_blower_fan, build_blower_fan)
MACHINE_VISE = Family("machine_vise", "machine", draw_machine_vise, build_machine_vise)
COLUMN_PRESS = Family("column_press", "machine", draw_column_press, build_column_press)
CONVEYOR = Family("conveyor", "machine", draw_conveyor, build_conveyor)
ROBOT_ARM = Family("robot_arm", "machine", draw_robot_arm, build_robot_arm)

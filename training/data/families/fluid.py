"""What fluids run through: flanges, valves, manifolds, cylinders, pipes, tanks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from manifold3d import Manifold

from training.data.families.draws import chance, integer, pick, uniform
from training.data.families.part import Family
from training.data.families.solids import (
    HEAD_STYLES,
    HeadStyle,
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
    cylinder,
    disc,
    dished_shell,
    hex_head,
    hexagon,
    polar,
    polygon,
    rounded_block,
    screw_hole,
    spread,
    subtract,
    torus,
    turned,
    union,
    upright,
)


@dataclass(frozen=True)
class Flange:
    """A pipe flange that lies flat, in mm."""

    radius: float
    thickness: float
    bore: float
    hub_radius: float
    hub_height: float
    tapered_hub: bool
    bolts: int
    bolt_d: float
    extra: Literal["none", "raised_face", "ribs", "bolts"]
    head: HeadStyle


def draw_flange(rng: np.random.Generator) -> Flange:
    radius = uniform(rng, 40, 90)
    bore = radius * uniform(rng, 0.2, 0.48)
    return Flange(
        radius=radius,
        thickness=radius * uniform(rng, 0.12, 0.26),
        bore=bore,
        hub_radius=bore + radius * uniform(rng, 0.1, 0.18),
        hub_height=radius * uniform(rng, 0.15, 0.9),
        tapered_hub=chance(rng, 0.6),
        bolts=2 * integer(rng, 2, 6),
        bolt_d=radius * uniform(rng, 0.11, 0.16),
        extra=pick(rng, ("none", "raised_face", "ribs", "bolts")),
        head=pick(rng, HEAD_STYLES),
    )


def build_flange(p: Flange) -> Manifold:
    r, t, chamfer = p.radius, p.thickness, 0.04 * p.thickness
    neck = p.bore + 0.09 * r if p.tapered_hub else p.hub_radius
    top = t + p.hub_height
    plate = turned([(0, r - chamfer), (chamfer, r), (t - chamfer, r), (t, r - chamfer)], 80)
    hub = turned([(0, p.hub_radius), (t + 0.15 * p.hub_height, p.hub_radius), (t + 0.75 * p.hub_height, neck), (top, neck)], 64)
    parts = [plate, hub]
    pitch_radius = 0.55 * r + 0.45 * p.hub_radius
    if p.extra == "raised_face":
        parts.append(cylinder(p.hub_radius + 0.25 * (r - p.hub_radius), 0.3 * t, 64).translate((0, 0, -0.25 * t)))
    if p.extra == "ribs":
        reach = 0.8 * (r - p.hub_radius)
        rib = upright(polygon([(-0.2 * reach, -1), (reach, -1), (-0.2 * reach, 0.9 * p.hub_height)]), 0.06 * r)
        parts += polar(rib.translate((0, 0, t)), p.bolts, p.hub_radius, 180 / p.bolts, turn=True)
    bolts = [h.translate((0, 0, t)) for h in polar(bolt_head(0.8 * p.bolt_d, p.head), p.bolts, pitch_radius)]
    drills = polar(centred_cylinder(p.bolt_d / 2, 4 * t, 20), p.bolts, pitch_radius)
    bore = centred_cylinder(p.bore, 6 * top, 64)
    if p.extra == "bolts":
        return subtract(union([*parts, *bolts]), [bore])
    return subtract(union(parts), [bore, *drills])


@dataclass(frozen=True)
class Valve:
    """A shut-off valve in a pipe along x, spindle up, in mm."""

    bore: float
    pipe: float
    length: float
    body: Literal["globe", "gate", "ball"]
    body_size: float
    flange_radius: float
    flange_thickness: float
    flange_bolts: int
    bonnet_radius: float
    bonnet_height: float
    bonnet_bolts: int
    stem_height: float
    drive: Literal["handwheel", "lever", "actuator"]
    drive_size: float
    spokes: int


def draw_valve(rng: np.random.Generator) -> Valve:
    bore = uniform(rng, 14, 26)
    pipe = bore * uniform(rng, 1.25, 1.5)
    return Valve(
        bore=bore,
        pipe=pipe,
        length=pipe * uniform(rng, 3.6, 5),
        body=pick(rng, ("globe", "gate", "ball")),
        body_size=pipe * uniform(rng, 1.25, 1.55),
        flange_radius=pipe * uniform(rng, 1.6, 1.95),
        flange_thickness=pipe * uniform(rng, 0.28, 0.42),
        flange_bolts=2 * integer(rng, 2, 4),
        bonnet_radius=pipe * uniform(rng, 0.8, 1.1),
        bonnet_height=pipe * uniform(rng, 1.7, 2.4),
        bonnet_bolts=integer(rng, 4, 8),
        stem_height=pipe * uniform(rng, 0.6, 1.8),
        drive=pick(rng, ("handwheel", "handwheel", "lever", "actuator")),
        drive_size=pipe * uniform(rng, 1.1, 1.9),
        spokes=integer(rng, 3, 6),
    )


def build_valve(p: Valve) -> Manifold:
    flange = bolted_flange(p.flange_radius, p.flange_thickness, p.flange_bolts, 0.2 * p.pipe, 0.79 * p.flange_radius)
    parts = [
        along_x(centred_cylinder(p.pipe, p.length)),
        along_x(flange).translate((p.length / 2 - p.flange_thickness, 0, 0)),
        along_x(flange).translate((-p.length / 2, 0, 0)),
        _valve_body(p),
        *_bonnet(p),
        *_valve_drive(p),
    ]
    return subtract(union(parts), [along_x(centred_cylinder(p.bore, 2 * p.length))])


def _valve_body(p: Valve) -> Manifold:
    size = p.body_size
    if p.body == "globe":
        return Manifold.sphere(size, 48)
    if p.body == "gate":
        return rounded_block(1.5 * size, 2.2 * size, 2.3 * p.pipe, 0.5 * size, 2).translate((0, 0, -1.25 * p.pipe))
    return along_x(turned([(-size, p.pipe), (-0.6 * size, size), (0.6 * size, size), (size, p.pipe)], 48))


def _bonnet(p: Valve) -> list[Manifold]:
    r, h = p.bonnet_radius, p.bonnet_height
    neck = turned([(0, r), (0.65 * h, r), (0.85 * h, 0.9 * r), (1.2 * h, 0.5 * r), (1.6 * h, 0.45 * r)], 48)
    collar = cylinder(1.45 * r, 0.25 * h).translate((0, 0, 0.6 * h))
    bolts = polar(bolt_head(0.2 * r, "hex"), p.bonnet_bolts, 1.2 * r)
    return [neck, collar, cylinder(0.2 * r, 1.6 * h + p.stem_height, 24), *(bolt.translate((0, 0, 0.85 * h)) for bolt in bolts)]


def _valve_drive(p: Valve) -> list[Manifold]:
    top, size, stem = 1.6 * p.bonnet_height + p.stem_height, p.drive_size, 0.2 * p.bonnet_radius
    if p.drive == "handwheel":
        rim = 0.1 * size
        spokes = polar(along_x(centred_cylinder(0.7 * rim, size, 12)), p.spokes, size / 2, turn=True)
        wheel = [torus(size, rim), centred_cylinder(2.3 * stem, 3 * rim, 24), *spokes]
        return [part.translate((0, 0, top)) for part in wheel]
    if p.drive == "lever":
        lever = rounded_block(2.6 * size, 2.6 * stem, 1.7 * stem, stem).translate((size, 0, top - stem))
        return [lever, cylinder(2.2 * stem, 2.4 * stem, 24).translate((0, 0, top - 1.2 * stem))]
    profile = [(0, 0.8), (0.12, 0.95), (0.5, 0.95), (0.75, 0.5), (0.8, 0.2)]
    diaphragm = turned([(size * z, size * radius) for z, radius in profile], 48)
    leg = block(0.14 * size, 0.35 * size, p.stem_height + 0.9 * p.bonnet_height)
    yoke = [leg.translate((side * 0.5 * size, 0, 0.8 * p.bonnet_height)) for side in (-1, 1)]
    return [diaphragm.translate((0, 0, top - 0.1 * size)), *yoke]


PortFitting = Literal["open", "plug", "nipple"]


@dataclass(frozen=True)
class ManifoldBlock:
    """A drilled hydraulic block, x by y by z in mm; side ports as heights over z, None where there is none."""

    x: float
    y: float
    z: float
    corner: float
    chamfer: float
    port_radius: float
    top_ports: tuple[PortFitting, ...]
    left_ports: tuple[float | None, ...]
    right_ports: tuple[float | None, ...]
    hole_d: float


def draw_manifold_block(rng: np.random.Generator) -> ManifoldBlock:
    x, y, z = uniform(rng, 60, 140), uniform(rng, 45, 75), uniform(rng, 40, 70)
    count = integer(rng, 2, 5)
    fittings: tuple[PortFitting, ...] = ("open", "open", "plug", "nipple")

    def side() -> tuple[float | None, ...]:
        return tuple(uniform(rng, 0.35, 0.65) if chance(rng, 0.6) else None for _ in range(count))

    return ManifoldBlock(
        x=x,
        y=y,
        z=z,
        corner=uniform(rng, 1, 4),
        chamfer=uniform(rng, 0.6, 2),
        port_radius=min(x / count, 0.8 * y) * uniform(rng, 0.2, 0.28),
        top_ports=tuple(pick(rng, fittings) for _ in range(count)),
        left_ports=side(),
        right_ports=side(),
        hole_d=uniform(rng, 4.5, 6.5),
    )


def build_manifold_block(p: ManifoldBlock) -> Manifold:
    parts, tools = [rounded_block(p.x, p.y, p.z, p.corner, p.chamfer)], []
    places = cells(len(p.top_ports), -p.x / 2, p.x / 2)
    for x, fitting in zip(places, p.top_ports, strict=True):
        if fitting == "open":
            tools.append(_port_tool(p.port_radius, 0.6 * p.z).translate((x, 0, p.z)))
        else:
            parts.append(_fitting(fitting, p.port_radius).translate((x, 0, p.z)))
    for side, heights in ((-1, p.left_ports), (1, p.right_ports)):
        for x, height in zip(places, heights, strict=True):
            if height is not None:
                port = _port_tool(0.7 * p.port_radius, 0.4 * p.y).rotate((-90 * side, 0, 0))
                tools.append(port.translate((x, side * p.y / 2, height * p.z)))
    gallery = _port_tool(0.18 * min(p.y, p.z), 0.5 * p.x).rotate((0, -90, 0))
    tools.append(gallery.translate((-p.x / 2, 0, 0.4 * p.z)))
    tools += at_corners(screw_hole(p.hole_d, p.z, "counterbored").translate((0, 0, p.z)), p.x / 2 - 8, p.y / 2 - 8)
    return subtract(union(parts), tools)


def _port_tool(radius: float, depth: float) -> Manifold:
    """A blind bore from z = 0 down, with a spot face and a drill point."""
    bore = turned([(-depth - 0.5 * radius, 0.02 * radius), (-depth, radius), (1, radius)], 32)
    return union([bore, cylinder(1.35 * radius, 3, 32).translate((0, 0, -1.5))])


def _fitting(fitting: PortFitting, r: float) -> Manifold:
    if fitting == "plug":
        return hex_head(2.7 * r, 1.2 * r).translate((0, 0, -0.1))
    barbed = [(0.0, 0.9 * r), (1.3 * r, 0.9 * r), (1.5 * r, 0.7 * r), (2.3 * r, 0.7 * r)]
    nipple = union([hexagon(2.6 * r, 0.8 * r), turned(barbed, 32)])
    return subtract(nipple, [cylinder(0.42 * r, 3 * r, 24).translate((0, 0, 0.9 * r))]).translate((0, 0, -0.1))


@dataclass(frozen=True)
class HydraulicCylinder:
    """A cylinder along x with its rod out by the stroke, in mm."""

    radius: float
    length: float
    rod_radius: float
    stroke: float
    head: Literal["round", "square"]
    tie_rods: bool
    rod_end: Literal["eye", "clevis"]
    rear_end: Literal["eye", "flange"]


def draw_hydraulic_cylinder(rng: np.random.Generator) -> HydraulicCylinder:
    radius, length = uniform(rng, 22, 40), uniform(rng, 110, 210)
    tie_rods = chance(rng)
    head: Literal["round", "square"] = "square" if tie_rods or chance(rng, 0.3) else "round"
    return HydraulicCylinder(
        radius=radius,
        length=length,
        rod_radius=radius * uniform(rng, 0.4, 0.58),
        stroke=uniform(rng, 0.1, 0.5) * length,
        head=head,
        tie_rods=tie_rods,
        rod_end=pick(rng, ("eye", "clevis")),
        rear_end=pick(rng, ("eye", "flange")),
    )


def build_hydraulic_cylinder(p: HydraulicCylinder) -> Manifold:
    r, length, rod = p.radius, p.length, p.rod_radius
    head = cylinder(1.2 * r, 0.6 * r, 64) if p.head == "round" else rounded_block(2.6 * r, 2.6 * r, 0.6 * r, 0.2 * r, 1)
    barrel = cylinder(0.9 * r if p.tie_rods else r, length, 64)
    gland = turned([(-1, 1.4 * rod), (0.3 * r, 1.4 * rod), (0.301 * r, rod), (0.3 * r + p.stroke + 0.4 * r, rod)], 48)
    parts = [barrel, head, head.translate((0, 0, length - 0.6 * r)), gland.translate((0, 0, length))]
    if p.tie_rods:
        parts += at_corners(cylinder(0.12 * r, length, 16), 1.05 * r, 1.05 * r)
        nut = hex_head(0.42 * r, 0.25 * r)
        parts += at_corners(nut.translate((0, 0, length - 0.1)), 1.05 * r, 1.05 * r)
    parts += [_port(r).translate((0, 1.0 * r, z)) for z in (0.3 * r, length - 0.3 * r)]
    tip = length + 0.3 * r + p.stroke
    parts.append((_eye(0.8 * r) if p.rod_end == "eye" else _fork(0.85 * r)).translate((0, 0, tip + 0.2 * r)))
    if p.rear_end == "eye":
        parts.append(_eye(0.9 * r).rotate((180, 0, 0)).translate((0, 0, 0.1)))
    else:
        holes = at_corners(centred_cylinder(0.2 * r, 9 * r, 20), 1.5 * r, 0.75 * r)
        parts.append(subtract(rounded_block(3.6 * r, 2.2 * r, 0.45 * r, 0.3 * r, 1), holes).translate((0, 0, -0.4 * r)))
    return along_x(union(parts))


def _port(r: float) -> Manifold:
    """An oil port that points to +y."""
    boss = union([cylinder(0.3 * r, 0.55 * r, 24), hexagon(0.62 * r, 0.3 * r)])
    return subtract(boss, [cylinder(0.15 * r, r, 20).translate((0, 0, 0.3 * r))]).rotate((-90, 0, 0))


def _eye(size: float) -> Manifold:
    """A bored rod eye: the shank starts at z = 0, the pin runs along y."""
    lug = union([along_y(centred_cylinder(size, 1.1 * size)).translate((0, 0, 1.25 * size)), block(1.3 * size, 1.1 * size, size)])
    return subtract(lug, [along_y(centred_cylinder(0.52 * size, 4 * size, 36)).translate((0, 0, 1.25 * size))])


def _fork(size: float) -> Manifold:
    """A fork head: two cheeks bored for a pin along y."""
    head = union([along_y(centred_cylinder(size, 2 * size)).translate((0, 0, 1.6 * size)), block(2 * size, 2 * size, 1.6 * size)])
    gap = centred_block(4 * size, 0.9 * size, 4 * size).translate((0, 0, 2.6 * size))
    return subtract(head, [gap, along_y(centred_cylinder(0.45 * size, 4 * size, 36)).translate((0, 0, 1.6 * size))])


@dataclass(frozen=True)
class PipeSegment:
    """A straight run in pipe radii, then a bend of `degrees` towards the side given by `roll` quarter turns."""

    run: float
    tee: bool
    collar: bool
    degrees: float
    roll: int


@dataclass(frozen=True)
class PipeRun:
    """An open pipe with flanged ends, radius in mm; bend_radius and wall in pipe radii."""

    radius: float
    wall: float
    bend_radius: float
    segments: tuple[PipeSegment, ...]
    flange_bolts: int


def draw_pipe_run(rng: np.random.Generator) -> PipeRun:
    segments = tuple(
        PipeSegment(uniform(rng, 2, 5), chance(rng, 0.35), chance(rng, 0.4), pick(rng, (90.0, 90.0, 45.0)), integer(rng, 0, 3))
        for _ in range(integer(rng, 1, 3))
    )
    return PipeRun(10.0, uniform(rng, 0.22, 0.32), uniform(rng, 1.6, 2.8), segments, pick(rng, (4, 6, 8)))


def build_pipe_run(p: PipeRun) -> Manifold:
    r, inner = p.radius, p.radius * (1 - p.wall)
    flange = bolted_flange(2 * r, 0.5 * r, p.flange_bolts, 0.42 * r, 1.55 * r)
    solids, bores = [flange], [cylinder(inner, r, 32).translate((0, 0, -0.1))]
    frame = np.eye(4)

    def place(solid: Manifold) -> Manifold:
        return solid.transform(frame[:3])

    for segment in p.segments:
        length = r * segment.run
        solids.append(place(cylinder(r, length + 0.02, 32)))
        bores.append(place(cylinder(inner, length + 0.02, 32)))
        if segment.tee:
            branch = cylinder(0.9 * r, 2.8 * r, 32)
            tee = [branch, flange.translate((0, 0, 2.8 * r)).scale((0.9, 0.9, 1))]
            solids += [place(along_x(part).translate((0, 0, length / 2))) for part in tee]
            bores.append(place(along_x(cylinder(0.88 * inner, 4 * r, 32)).translate((0, 0, length / 2))))
        if segment.collar:
            solids.append(place(cylinder(1.3 * r, 0.8 * r, 40).translate((0, 0, 0.7 * length))))
        frame = frame @ _lift_and_roll(length, 90 * segment.roll)
        bend_radius = r * p.bend_radius
        solids.append(place(bend(bend_radius, disc(r, 32), segment.degrees)))
        bores.append(place(bend(bend_radius, disc(inner, 32), segment.degrees)))
        frame = frame @ _along_bend(bend_radius, segment.degrees)
    solids += [place(cylinder(r, 3 * r, 32)), place(flange.translate((0, 0, 2.6 * r)))]
    bores.append(place(cylinder(inner, 4 * r, 32)))
    return subtract(union(solids), bores)


def _lift_and_roll(length: float, degrees: float) -> npt.NDArray[np.float64]:
    """(4, 4): a step along z and a turn about it."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, length], [0, 0, 0, 1]])


def _along_bend(bend_radius: float, degrees: float) -> npt.NDArray[np.float64]:
    """(4, 4): from the start frame of a `bend` to its end frame."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, 0, s, bend_radius * (1 - c)], [0, 1, 0, 0], [-s, 0, c, bend_radius * s], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Nozzle:
    """A flanged stub on a tank's shell: radius over the tank's, place along it as a fraction, turn about it in degrees."""

    radius: float
    place: float
    degrees: float


@dataclass(frozen=True)
class Tank:
    """A pressure vessel, in mm: upright on legs or lying on saddles."""

    upright: bool
    radius: float
    length: float
    dish: float
    bands: int
    nozzles: tuple[Nozzle, ...]
    manway: bool
    legs: int


def draw_tank(rng: np.random.Generator) -> Tank:
    standing = chance(rng)

    def nozzle(place: float) -> Nozzle:
        degrees = uniform(rng, 0, 360) if standing else uniform(rng, 35, 145)
        return Nozzle(uniform(rng, 0.08, 0.16), place + uniform(rng, -0.04, 0.04), degrees)

    return Tank(
        upright=standing,
        radius=uniform(rng, 30, 50),
        length=uniform(rng, 70, 170),
        dish=uniform(rng, 0.25, 0.5),
        bands=integer(rng, 0, 4),
        nozzles=tuple(nozzle(place) for place in cells(integer(rng, 2, 4), 0.06, 0.94)),
        manway=chance(rng, 0.7),
        legs=integer(rng, 3, 4),
    )


def build_tank(p: Tank) -> Manifold:
    r, length = p.radius, p.length
    parts = [dished_shell(r, length, p.dish * r)]
    band = cylinder(1.04 * r, 0.1 * r, 64)
    parts += [band.translate((0, 0, place * length)) for place in spread(p.bands, 0.15, 0.8)]
    for nozzle in p.nozzles:
        stub = _open_stub(nozzle.radius * r, 1.28 * r).rotate((0, 90, 0))
        parts.append(stub.rotate((0, 0, nozzle.degrees)).translate((0, 0, nozzle.place * length)))
    if p.manway:
        cover_z = (0.25 + p.dish) * r
        cover = [_stub(0.34 * r, cover_z), cylinder(0.66 * r, 0.08 * r).translate((0, 0, cover_z))]
        cover += [bolt.translate((0, 0, cover_z + 0.08 * r)) for bolt in polar(bolt_head(0.09 * r, "hex"), 10, 0.54 * r)]
        parts += [part.translate((0, 0, length)) for part in cover]
    return union([*parts, *_tank_legs(p)]) if p.upright else union([along_x(union(parts)), *_saddles(p)])


def _stub(radius: float, length: float) -> Manifold:
    """A pipe stub that ends in a drilled flange, solid inside."""
    flange = bolted_flange(1.9 * radius, 0.4 * radius, 6, 0.3 * radius, 1.5 * radius)
    return union([cylinder(radius, length, 32), flange.translate((0, 0, length - 0.4 * radius))])


def _open_stub(radius: float, length: float) -> Manifold:
    """A pipe stub with a drilled flange and an open mouth."""
    return subtract(_stub(radius, length), [cylinder(0.68 * radius, length, 28).translate((0, 0, 0.85 * length))])


def _tank_legs(p: Tank) -> list[Manifold]:
    r, floor = p.radius, -(0.75 + p.dish) * p.radius
    leg = union([cylinder(0.1 * r, 0.3 * r - floor, 20), block(0.34 * r, 0.34 * r, 0.08 * r)])
    return [leg.translate((0, 0, floor)) for leg in polar(leg, p.legs, 0.86 * r, 45, turn=True)]


def _saddles(p: Tank) -> list[Manifold]:
    r = p.radius
    web = block(0.22 * r, 1.6 * r, 1.1 * r).translate((0, 0, -1.3 * r))
    foot = block(0.5 * r, 1.8 * r, 0.1 * r).translate((0, 0, -1.36 * r))
    # The saddle stops inside the shell, which is solid.
    return [part.translate((x * p.length, 0, 0)) for x in (0.2, 0.8) for part in (web, foot)]


@dataclass(frozen=True)
class HoseFitting:
    """A turned pipe fitting along x with hexagons and grooves, in mm; an elbow turns the far end up."""

    bore: float
    body: float
    hexagons: int
    barbs: int
    elbow: bool
    cap_length: float


def draw_hose_fitting(rng: np.random.Generator) -> HoseFitting:
    bore = uniform(rng, 6, 10)
    return HoseFitting(
        bore=bore,
        body=bore * uniform(rng, 1.4, 1.8),
        hexagons=integer(rng, 1, 2),
        barbs=integer(rng, 3, 6),
        elbow=chance(rng, 0.5),
        cap_length=uniform(rng, 1.4, 2.6),
    )


def build_hose_fitting(p: HoseFitting) -> Manifold:
    r = p.body
    hexes = [hex_head(2.6 * r, 0.9 * r).translate((0, 0, k * 1.3 * r)) for k in range(p.hexagons)]
    neck = 1.3 * r * p.hexagons + 0.6 * r
    screw = turned([(-p.cap_length * r, 0.85 * r), (-p.cap_length * r + 0.2 * r, 1.05 * r), (0.1, 1.05 * r)])
    tail_profile: list[tuple[float, float]] = [(0.0, r)]
    for k in range(p.barbs):
        tail_profile += [(0.6 * r * k + 0.05 * r, 1.22 * r), (0.6 * r * (k + 1), 0.95 * r)]
    tail_length = 0.6 * r * p.barbs
    tail, tail_bore = turned(tail_profile, 48), cylinder(p.bore, tail_length + 1, 40)
    outer, inner = cylinder(r, neck + 0.01), centred_cylinder(p.bore, 2 * (neck + p.cap_length * r) + 0.02, 40)
    inner = inner.trim_by_plane((0, 0, -1), -neck - 0.01)
    if not p.elbow:
        end = np.eye(4)
        bends, bend_bores = [], []
    else:
        end = _along_bend(1.6 * r, 90)
        bends, bend_bores = [bend(1.6 * r, disc(r, 40), 90)], [bend(1.6 * r, disc(p.bore, 40), 90)]
    lift = (0.0, 0.0, neck)
    solids = [screw, outer, *hexes, *(b.translate(lift) for b in bends), tail.transform(end[:3]).translate(lift)]
    bores = [inner, *(b.translate(lift) for b in bend_bores), tail_bore.transform(end[:3]).translate(lift)]
    return along_x(subtract(union(solids), bores).rotate((0, 0, 90)))


FLANGE = Family("flange", "component", draw_flange, build_flange)
VALVE = Family("valve", "component", draw_valve, build_valve)
MANIFOLD_BLOCK = Family("manifold_block", "component", draw_manifold_block, build_manifold_block)
HYDRAULIC_CYLINDER = Family("hydraulic_cylinder", "machine", draw_hydraulic_cylinder, build_hydraulic_cylinder)
PIPE_RUN = Family("pipe_run", "structure", draw_pipe_run, build_pipe_run)
TANK = Family("tank", "structure", draw_tank, build_tank)
HOSE_FITTING = Family("hose_fitting", "component", draw_hose_fitting, build_hose_fitting)

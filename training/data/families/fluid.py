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
    chamfered_cylinder,
    cylinder,
    disc,
    dished_shell,
    hex_head,
    hex_nut,
    hexagon,
    hub_radius,
    nut,
    pipe_flange,
    polar,
    polygon,
    rounded_block,
    screw_head,
    screw_hole,
    spread,
    subtract,
    threaded_end,
    torus,
    turned,
    union,
    upright,
)
from training.data.families.standards import (
    HEXAGON_BOLTS,
    HEXAGON_NUTS,
    HYDRAULIC_CYLINDERS,
    PIPE_FLANGES,
    PIPE_THREADS,
    PNEUMATIC_CYLINDERS,
    PipeFlange,
)

FlangeForm = Literal["welding_neck", "slip_on", "blind", "ribbed", "bolted"]


@dataclass(frozen=True)
class Flange:
    """An EN 1092-1 PN 16 pipe flange of the given size that lies flat, hub up; bolted ones have their screws in place."""

    size: str
    form: FlangeForm
    wall: float
    hub_height: float
    ribs: int
    head: HeadStyle


def draw_flange(rng: np.random.Generator) -> Flange:
    size = pick(rng, tuple(PIPE_FLANGES))
    flange = PIPE_FLANGES[size]
    return Flange(
        size=size,
        form=pick(rng, ("welding_neck", "welding_neck", "slip_on", "blind", "ribbed", "bolted")),
        wall=max(0.014 * flange.D, flange.pipe * uniform(rng, 0.06, 0.16)),
        hub_height=flange.C * uniform(rng, 0.4, 1.0),
        ribs=pick(rng, (4, 6, 8)),
        head=pick(rng, HEAD_STYLES),
    )


def build_flange(p: Flange) -> Manifold:
    flange = PIPE_FLANGES[p.size]
    pipe, hub, top = flange.pipe / 2, hub_radius(flange), flange.C + p.hub_height
    if p.form in ("welding_neck", "bolted"):
        body = pipe_flange(flange)
    else:
        body = union(
            [
                cylinder(flange.d1 / 2, flange.f + 0.1, 72),
                bolted_flange(flange.D / 2, flange.C - flange.f, flange.n, flange.L, flange.K / 2).translate((0, 0, flange.f)),
            ]
        )
    bore = [cylinder(pipe - p.wall, 3 * flange.H + flange.pipe, 64).translate((0, 0, -flange.H))]
    if p.form == "bolted":
        screw = screw_head(flange.bolt, p.head).translate((0, 0, flange.C))
        shank = cylinder(flange.L / 2, flange.C, 20)
        screws = polar(union([screw, shank]), flange.n, flange.K / 2, 180 / flange.n)
        return subtract(union([body, *screws]), bore)
    if p.form == "welding_neck":
        return subtract(body, bore)
    if p.form == "slip_on":
        chamfer = 0.15 * (hub - pipe)
        boss = turned([(flange.f, hub + chamfer), (flange.C, hub + chamfer), (top - chamfer, hub), (top, hub - chamfer)], 64)
        return subtract(union([body, boss]), [cylinder(pipe + 0.5, 3 * top, 64).translate((0, 0, -top))])
    if p.form == "ribbed":
        length = flange.H + 0.35 * flange.pipe
        reach = flange.K / 2 - 0.9 * flange.L - pipe
        rib = upright(
            polygon([(-1.0, -1.0), (reach, -1.0), (0.4 * reach, 0.6 * p.hub_height), (-1.0, length - flange.C)]), 0.05 * flange.D
        )
        # Ribs stand between the bolts where their count allows.
        ribs = polar(rib.translate((0, 0, flange.C)), p.ribs, pipe, 0, turn=True)
        return subtract(union([body, cylinder(pipe, length, 64), *ribs]), bore)
    centre = turned([(flange.C - 0.1, 0.9 * pipe), (flange.C + 0.12 * flange.C, 0.86 * pipe)], 64)
    return union([body, centre])


ValveBody = Literal["globe", "gate", "ball"]


@dataclass(frozen=True)
class Valve:
    """A flanged shut-off valve in a pipe along x, spindle up, of EN 558 length; sizes beyond the flanges' follow the pipe."""

    size: str
    body: ValveBody
    body_ratio: float
    bonnet_ratio: float
    bonnet_height_ratio: float
    bonnet_bolts: int
    stem_height_ratio: float
    drive: Literal["handwheel", "lever", "actuator"]
    drive_ratio: float
    spokes: int


def draw_valve(rng: np.random.Generator) -> Valve:
    body: ValveBody = pick(rng, ("globe", "gate", "ball"))
    # Ball valves turn a quarter: no handwheel.
    drives: tuple[Literal["handwheel", "lever", "actuator"], ...] = (
        ("lever", "lever", "actuator") if body == "ball" else ("handwheel", "handwheel", "actuator")
    )
    return Valve(
        size=pick(rng, ("DN 15", "DN 20", "DN 25", "DN 32", "DN 40", "DN 50", "DN 65", "DN 80", "DN 100")),
        body=body,
        body_ratio=uniform(rng, 1.25, 1.55),
        bonnet_ratio=uniform(rng, 0.8, 1.1),
        bonnet_height_ratio=uniform(rng, 1.7, 2.4),
        bonnet_bolts=integer(rng, 4, 8),
        stem_height_ratio=uniform(rng, 0.3, 0.9) if body == "ball" else uniform(rng, 0.8, 1.8),
        drive=pick(rng, drives),
        drive_ratio=uniform(rng, 1.3, 2.1),
        spokes=integer(rng, 3, 6),
    )


@dataclass(frozen=True)
class _ValveSizes:
    """Lengths of a valve that follow from its parameters; `unit` is its neck's radius, which the rest is scaled by."""

    unit: float
    length: float
    body_size: float
    bonnet_radius: float
    bonnet_height: float
    stem_height: float
    drive_size: float


def _valve_sizes(p: Valve) -> _ValveSizes:
    flange = PIPE_FLANGES[p.size]
    # Castings of small valves are heavier than their pipes.
    unit = 0.3 * flange.pipe + 0.12 * flange.D
    return _ValveSizes(
        unit=unit,
        length=flange.face_to_face,
        body_size=p.body_ratio * unit,
        bonnet_radius=p.bonnet_ratio * unit,
        bonnet_height=p.bonnet_height_ratio * unit,
        stem_height=p.stem_height_ratio * unit,
        drive_size=p.drive_ratio * unit,
    )


def build_valve(p: Valve) -> Manifold:
    row, sizes = PIPE_FLANGES[p.size], _valve_sizes(p)
    flange = along_x(pipe_flange(row)).translate((-row.face_to_face / 2, 0, 0))
    parts = [
        along_x(centred_cylinder(max(0.55 * row.pipe, 0.8 * sizes.unit), row.face_to_face - 2 * row.C)),
        flange,
        flange.mirror((1, 0, 0)),
        _valve_body(p.body, sizes),
        *_bonnet(p, sizes),
        *_valve_drive(p, sizes),
    ]
    return subtract(union(parts), [along_x(centred_cylinder(0.42 * row.pipe, 2 * row.face_to_face))])


def _valve_body(body: ValveBody, sizes: _ValveSizes) -> Manifold:
    size, unit = sizes.body_size, sizes.unit
    if body == "globe":
        return Manifold.sphere(size, 48).scale((1.15, 1.0, 1.0))
    if body == "gate":
        return rounded_block(1.5 * size, 2.2 * size, 2.3 * unit, 0.5 * size, 2).translate((0, 0, -1.25 * unit))
    return along_x(turned([(-size, unit), (-0.6 * size, size), (0.6 * size, size), (size, unit)], 48))


def _bonnet(p: Valve, sizes: _ValveSizes) -> list[Manifold]:
    r, h = sizes.bonnet_radius, sizes.bonnet_height
    neck = turned([(0, r), (0.65 * h, r), (0.85 * h, 0.9 * r), (1.2 * h, 0.5 * r), (1.6 * h, 0.45 * r)], 48)
    collar = cylinder(1.45 * r, 0.25 * h).translate((0, 0, 0.6 * h))
    bolts = polar(bolt_head(0.2 * r, "hex"), p.bonnet_bolts, 1.2 * r)
    gland = hex_nut(0.8 * r, 0.3 * r).translate((0, 0, 1.58 * h))
    stem = cylinder(0.2 * r, 1.6 * h + sizes.stem_height, 24)
    return [neck, collar, gland, stem, *(bolt.translate((0, 0, 0.85 * h)) for bolt in bolts)]


def _valve_drive(p: Valve, sizes: _ValveSizes) -> list[Manifold]:
    top, size, stem = 1.6 * sizes.bonnet_height + sizes.stem_height, sizes.drive_size, 0.2 * sizes.bonnet_radius
    if p.drive == "handwheel":
        rim = 0.1 * size
        spokes = polar(along_x(centred_cylinder(0.7 * rim, size, 12)), p.spokes, size / 2, turn=True)
        hub = [centred_cylinder(2.3 * stem, 3 * rim, 24), hex_nut(2.6 * stem, 1.2 * stem).translate((0, 0, 1.4 * rim))]
        return [part.translate((0, 0, top)) for part in [torus(size, rim), *hub, *spokes]]
    if p.drive == "lever":
        lever = rounded_block(2.6 * size, 2.6 * stem, 1.7 * stem, stem).translate((size, 0, top - stem))
        return [lever, cylinder(2.2 * stem, 2.4 * stem, 24).translate((0, 0, top - 1.2 * stem))]
    profile = [(0, 0.75), (0.1, 0.8), (0.1001, 0.95), (0.2, 0.95), (0.2001, 0.8), (0.5, 0.62), (0.62, 0.2)]
    diaphragm = turned([(size * z, size * radius) for z, radius in profile], 48)
    bolts = polar(bolt_head(0.09 * size, "hex"), 10, 0.87 * size)
    leg = block(0.16 * size, 0.36 * size, sizes.stem_height + 0.9 * sizes.bonnet_height)
    yoke = [leg.translate((side * 0.45 * size, 0, 0.75 * sizes.bonnet_height)) for side in (-1, 1)]
    return [
        part.translate((0, 0, top - 0.1 * size)) for part in [diaphragm, *(b.translate((0, 0, 0.2 * size)) for b in bolts)]
    ] + yoke


PortFitting = Literal["open", "plug", "nipple"]


@dataclass(frozen=True)
class ManifoldBlock:
    """A drilled hydraulic block, with ports; those of the sides are given by their height over the block's, or None."""

    length: float
    width: float
    height: float
    corner_radius: float
    chamfer: float
    port_radius: float
    top_ports: tuple[PortFitting, ...]
    left_port_ratios: tuple[float | None, ...]
    right_port_ratios: tuple[float | None, ...]
    screw_diameter: float


def draw_manifold_block(rng: np.random.Generator) -> ManifoldBlock:
    x, y, z = uniform(rng, 60, 140), uniform(rng, 45, 75), uniform(rng, 40, 70)
    count = integer(rng, 2, 5)
    fittings: tuple[PortFitting, ...] = ("open", "open", "plug", "nipple")

    def side() -> tuple[float | None, ...]:
        return tuple(uniform(rng, 0.35, 0.65) if chance(rng, 0.6) else None for _ in range(count))

    return ManifoldBlock(
        length=x,
        width=y,
        height=z,
        corner_radius=uniform(rng, 1, 4),
        chamfer=uniform(rng, 0.6, 2),
        port_radius=min(x / count, 0.8 * y) * uniform(rng, 0.2, 0.28),
        top_ports=tuple(pick(rng, fittings) for _ in range(count)),
        left_port_ratios=side(),
        right_port_ratios=side(),
        screw_diameter=uniform(rng, 4.5, 6.5),
    )


def build_manifold_block(p: ManifoldBlock) -> Manifold:
    parts, tools = [rounded_block(p.length, p.width, p.height, p.corner_radius, p.chamfer)], []
    places = cells(len(p.top_ports), -p.length / 2, p.length / 2)
    for x, fitting in zip(places, p.top_ports, strict=True):
        if fitting == "open":
            tools.append(_port_tool(p.port_radius, 0.6 * p.height).translate((x, 0, p.height)))
        else:
            parts.append(_fitting(fitting, p.port_radius).translate((x, 0, p.height)))
    for side, heights in ((-1, p.left_port_ratios), (1, p.right_port_ratios)):
        for x, height in zip(places, heights, strict=True):
            if height is not None:
                port = _port_tool(0.7 * p.port_radius, 0.4 * p.width).rotate((-90 * side, 0, 0))
                tools.append(port.translate((x, side * p.width / 2, height * p.height)))
    gallery = _port_tool(0.18 * min(p.width, p.height), 0.5 * p.length).rotate((0, -90, 0))
    tools.append(gallery.translate((-p.length / 2, 0, 0.4 * p.height)))
    tools += at_corners(
        screw_hole(p.screw_diameter, p.height, "counterbored").translate((0, 0, p.height)), p.length / 2 - 8, p.width / 2 - 8
    )
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
    """A cylinder along x with its rod out by `extension_ratio` of the stroke.

    tie_rods: square heads held by four rods, bore and rods of ISO 6020-2 (hydraulic) or ISO 15552 (pneumatic); welded ones have
    round heads.
    """

    series: Literal["hydraulic", "pneumatic"]
    bore: str
    rod_diameter: float
    stroke: float
    extension_ratio: float
    tie_rods: bool
    rod_end: Literal["eye", "clevis", "thread"]
    rear_end: Literal["eye", "flange"]


def draw_hydraulic_cylinder(rng: np.random.Generator) -> HydraulicCylinder:
    series: Literal["hydraulic", "pneumatic"] = pick(rng, ("hydraulic", "hydraulic", "pneumatic"))
    table = HYDRAULIC_CYLINDERS if series == "hydraulic" else PNEUMATIC_CYLINDERS
    bore = pick(rng, tuple(table))
    return HydraulicCylinder(
        series=series,
        bore=bore,
        rod_diameter=float(pick(rng, table[bore].rods)),
        stroke=table[bore].bore * uniform(rng, 1.0, 2.6),
        extension_ratio=uniform(rng, 0.2, 0.9),
        tie_rods=series == "pneumatic" or chance(rng, 0.4),
        rod_end=pick(rng, ("eye", "clevis", "thread")),
        rear_end=pick(rng, ("eye", "flange")),
    )


def build_hydraulic_cylinder(p: HydraulicCylinder) -> Manifold:
    """Drawn along z with the ports towards +y, then laid down."""
    row = (HYDRAULIC_CYLINDERS if p.series == "hydraulic" else PNEUMATIC_CYLINDERS)[p.bore]
    rod, wall = p.rod_diameter / 2, (0.1 if p.series == "hydraulic" else 0.05) * row.bore
    barrel_radius = row.bore / 2 + wall
    r = barrel_radius
    head_length = 0.3 * row.bore + 14
    length = p.stroke + 2 * head_length + 0.35 * row.bore
    if p.tie_rods:
        thread = HEXAGON_BOLTS[row.tie_rod].d
        half = max(row.tie_rods / 2 + 1.05 * thread, r + 1)
        head = rounded_block(2 * half, 2 * half, head_length, 0.45 * thread, 1)
        # Rods in line with the corners of the barrel's square.
        tie_rods = at_corners(cylinder(thread / 2, length + 1, 16), row.tie_rods / 2, row.tie_rods / 2)
        nuts = at_corners(nut(row.tie_rod), row.tie_rods / 2, row.tie_rods / 2)
        extra = [*tie_rods, *(n.translate((0, 0, length)) for n in nuts)]
        barrel_radius = min(r, row.tie_rods / math.sqrt(2) - 0.5 * thread - 0.5)
    else:
        half = 1.12 * r
        head = chamfered_cylinder(half, head_length, 1.5, 64)
        extra = []
    gland_end = length + 0.12 * row.bore + 2
    tip = gland_end + p.extension_ratio * p.stroke + 0.25 * row.bore
    gland = turned([(length - 1, 1.35 * rod + 2), (gland_end - 1, 1.35 * rod + 2), (gland_end, 1.35 * rod + 1)], 48)
    parts = [
        cylinder(barrel_radius, length, 64),
        head,
        head.translate((0, 0, length - head_length)),
        gland,
        cylinder(rod, tip, 40),
        *extra,
        *_rod_end(p, rod, tip),
    ]
    port = _port(0.3 * head_length)
    parts += [port.translate((0, half - 0.5, z)) for z in (0.5 * head_length, length - 0.5 * head_length)]
    eye = 0.55 * r
    if p.rear_end == "eye":
        parts.append(_eye(eye).rotate((180, 0, 0)).translate((0, 0, 0.1)))
    else:
        holes = at_corners(centred_cylinder(0.16 * r, 9 * r, 20), 1.45 * half, 0.7 * half)
        parts.append(subtract(rounded_block(3.5 * half, 2.05 * half, 0.4 * r, 0.3 * r, 1), holes).translate((0, 0, -0.35 * r)))
    return along_x(union(parts))


def _rod_end(p: HydraulicCylinder, rod: float, tip: float) -> list[Manifold]:
    size = 1.25 * rod + 2
    if p.rod_end == "thread":
        name = [name for name, bolt in HEXAGON_BOLTS.items() if bolt.d <= 1.9 * rod][-1]
        bolt = HEXAGON_BOLTS[name]
        length = 2.4 * bolt.d
        thread = threaded_end(bolt.d, length, bolt.pitch).rotate((180, 0, 0)).translate((0, 0, tip + length - 0.2))
        return [thread, nut(name).translate((0, 0, tip + 0.5 * bolt.d))]
    return [(_eye(size) if p.rod_end == "eye" else _fork(size)).translate((0, 0, tip - 0.2 * size))]


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
    """A straight run over the pipe's radius, then an elbow towards the side given by `roll_quarters` quarter turns."""

    run_ratio: float
    tee: bool
    joint: bool
    elbow_degrees: float
    roll_quarters: int


@dataclass(frozen=True)
class PipeRun:
    """An open heavy-walled pipe with EN 1092-1 PN 16 flanges and EN 10253 elbows; a joint is a pair of flanges in a run."""

    size: str
    wall_ratio: float
    segments: tuple[PipeSegment, ...]


def draw_pipe_run(rng: np.random.Generator) -> PipeRun:
    count = integer(rng, 1, 3)
    joint = integer(rng, 0, 2)  # at most one, where the run is long enough to have it
    segments = tuple(
        PipeSegment(uniform(rng, 2, 5), chance(rng, 0.35), k == joint, pick(rng, (90.0, 90.0, 45.0)), integer(rng, 0, 3))
        for k in range(count)
    )
    size = pick(rng, ("DN 25", "DN 32", "DN 40", "DN 50", "DN 65", "DN 80", "DN 100", "DN 125", "DN 150"))
    return PipeRun(size, uniform(rng, 0.28, 0.4), segments)


def build_pipe_run(p: PipeRun) -> Manifold:
    row = PIPE_FLANGES[p.size]
    r = row.pipe / 2
    inner = r * (1 - p.wall_ratio)
    flange = pipe_flange(row)
    solids, bores = [flange, cylinder(r, row.H + 0.1, 32)], [cylinder(inner, row.H + 0.2, 32).translate((0, 0, -0.1))]
    frame = _lift_and_roll(row.H, 0)

    def place(solid: Manifold) -> Manifold:
        return solid.transform(frame[:3])

    for segment in p.segments:
        pair = row.H * 2 if segment.joint else 0.0
        branch = row.D / 2 + 0.4 * r if segment.tee else 0.0
        length = r * segment.run_ratio + pair + 2 * branch
        solids.append(place(cylinder(r, length + 0.02, 32)))
        bores.append(place(cylinder(inner, length + 0.02, 32)))
        if segment.joint:
            facing = [flange, flange.mirror((0, 0, 1)), cylinder(row.d1 / 2 + 1, 1.5, 32).translate((0, 0, -0.75))]
            solids += [place(part.translate((0, 0, row.H))) for part in [*facing, *_flange_bolts(row)]]
        if segment.tee:
            reach = row.H + 1.2 * r + row.D / 4
            z = pair + branch
            tee = [cylinder(r, reach, 32), flange.mirror((0, 0, 1)).translate((0, 0, reach))]
            solids += [place(along_x(part).translate((0, 0, z))) for part in tee]
            bores.append(place(along_x(cylinder(inner, reach + 1, 32)).translate((0, 0, z))))
        frame = frame @ _lift_and_roll(length, 90 * segment.roll_quarters)
        solids.append(place(bend(row.elbow, disc(r, 32), segment.elbow_degrees)))
        bores.append(place(bend(row.elbow, disc(inner, 32), segment.elbow_degrees)))
        frame = frame @ _along_bend(row.elbow, segment.elbow_degrees)
    last = r + row.H
    solids += [place(cylinder(r, last - row.f, 32)), place(flange.mirror((0, 0, 1)).translate((0, 0, last)))]
    bores.append(place(cylinder(inner, last + 1, 32)))
    return subtract(union(solids), bores)


def _flange_bolts(row: PipeFlange) -> list[Manifold]:
    """The bolts of a pair of flanges that meet at z = 0."""
    grip = row.C
    bolt = union(
        [
            cylinder(row.L / 2 - 1, 2 * grip + 2 * HEXAGON_NUTS[row.bolt].m + 2, 16).translate((0, 0, -grip - 1)),
            screw_head(row.bolt, "hex").rotate((180, 0, 0)).translate((0, 0, -grip)),
            nut(row.bolt).translate((0, 0, grip)),
        ]
    )
    return polar(bolt, row.n, row.K / 2, 180 / row.n)


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
    """A flanged stub on a tank's shell: its standard size, place along the shell, turn about the shell's axis."""

    size: str
    place_ratio: float
    turn_degrees: float


@dataclass(frozen=True)
class Tank:
    """A pressure vessel with PN 16 nozzles: upright on legs or lying on saddles; its ends are half-ellipsoids."""

    upright: bool
    radius: float
    shell_length: float
    dish_ratio: float
    bands: int
    nozzles: tuple[Nozzle, ...]
    manway: bool
    legs: int


def draw_tank(rng: np.random.Generator) -> Tank:
    standing = chance(rng)
    radius = uniform(rng, 250, 420)

    def nozzle(place: float) -> Nozzle:
        degrees = uniform(rng, 0, 360) if standing else uniform(rng, 35, 145)
        size = pick(rng, ("DN 65", "DN 80", "DN 100", "DN 125"))
        return Nozzle(size, place + uniform(rng, -0.04, 0.04), degrees)

    return Tank(
        upright=standing,
        radius=radius,
        shell_length=radius * uniform(rng, 2.0, 3.4),
        dish_ratio=pick(rng, (0.25, 0.386, 0.5)),
        bands=integer(rng, 0, 4),
        nozzles=tuple(nozzle(place) for place in cells(integer(rng, 2, 4), 0.06, 0.94)),
        manway=chance(rng, 0.7),
        legs=integer(rng, 3, 4),
    )


def build_tank(p: Tank) -> Manifold:
    r, length = p.radius, p.shell_length
    parts = [dished_shell(r, length, p.dish_ratio * r)]
    bores: list[Manifold] = []
    band = cylinder(1.03 * r, 0.08 * r, 64)
    parts += [band.translate((0, 0, place * length)) for place in spread(p.bands, 0.15, 0.8)]
    for nozzle in p.nozzles:
        stub, bore = _nozzle(nozzle.size, r)
        for group, solid in ((parts, stub), (bores, bore)):
            group.append(
                solid.rotate((0, 90, 0)).rotate((0, 0, nozzle.turn_degrees)).translate((0, 0, nozzle.place_ratio * length))
            )
    if p.manway:
        neck = cylinder(0.36 * r, (p.dish_ratio + 0.2) * r)
        cover = [neck, chamfered_cylinder(0.52 * r, 0.14 * r, 0.01 * r).translate((0, 0, (p.dish_ratio + 0.14) * r))]
        top = (p.dish_ratio + 0.28) * r
        cover += [bolt.translate((0, 0, top)) for bolt in polar(bolt_head(0.05 * r, "hex"), 12, 0.45 * r)]
        cover += [torus(0.1 * r, 0.02 * r, 32, 10).rotate((90, 0, 0)).translate((0, 0, top + 0.01 * r))]
        parts += [part.translate((0, 0, length)) for part in cover]
    body = subtract(union(parts), bores)
    return union([body, *_tank_legs(p)]) if p.upright else union([along_x(body), *_saddles(p)])


def _nozzle(size: str, shell_radius: float) -> tuple[Manifold, Manifold]:
    """A flanged stub along +z that reaches out of a shell about the origin, and its bore, which stays outside the shell."""
    row = PIPE_FLANGES[size]
    end = shell_radius + row.H + 0.12 * shell_radius
    stub = union([cylinder(row.pipe / 2, end - row.f, 40), pipe_flange(row).mirror((0, 0, 1)).translate((0, 0, end))])
    return stub, cylinder(0.36 * row.pipe, end, 32).translate((0, 0, 0.97 * shell_radius))


def _tank_legs(p: Tank) -> list[Manifold]:
    r, floor = p.radius, -(0.75 + p.dish_ratio) * p.radius
    foot = subtract(block(0.34 * r, 0.34 * r, 0.05 * r), at_corners(centred_cylinder(0.03 * r, r, 16), 0.12 * r, 0.12 * r))
    leg = union([cylinder(0.085 * r, 0.3 * r - floor, 20), foot])
    return [leg.translate((0, 0, floor)) for leg in polar(leg, p.legs, 0.9 * r, 45, turn=True)]


def _saddles(p: Tank) -> list[Manifold]:
    r = p.radius
    wear_plate = along_x(cylinder(1.025 * r, 0.3 * r, 64)).translate((-0.15 * r, 0, 0))
    wear_plate = wear_plate.trim_by_plane((0, 0, -1), 0.55 * r)
    webs = [
        block(0.06 * r, 1.6 * r, 1.1 * r),
        *(block(0.26 * r, 0.06 * r, 1.1 * r).translate((0, s * 0.6 * r, 0)) for s in (-1, 0, 1)),
    ]
    foot = subtract(
        block(0.4 * r, 1.8 * r, 0.06 * r),
        [centred_cylinder(0.035 * r, r, 16).translate((0, s * 0.8 * r, 0)) for s in (-1, 1)],
    )
    saddle = [wear_plate, *(web.translate((0, 0, -1.3 * r)) for web in webs), foot.translate((0, 0, -1.34 * r))]
    # The saddle stops inside the shell, which is solid.
    return [part.translate((x * p.shell_length, 0, 0)) for x in (0.2, 0.8) for part in saddle]


@dataclass(frozen=True)
class HoseFitting:
    """A hose barb with hexagons along x, its threaded end of an ISO 228-1 size; an elbow turns the barbed end up."""

    thread: str
    wall_ratio: float
    hexagons: int
    barbs: int
    elbow: bool
    thread_length_ratio: float


def draw_hose_fitting(rng: np.random.Generator) -> HoseFitting:
    return HoseFitting(
        thread=pick(rng, tuple(PIPE_THREADS)),
        wall_ratio=uniform(rng, 0.32, 0.45),
        hexagons=integer(rng, 1, 2),
        barbs=integer(rng, 3, 6),
        elbow=chance(rng, 0.5),
        thread_length_ratio=uniform(rng, 0.7, 1.1),
    )


def build_hose_fitting(p: HoseFitting) -> Manifold:
    row = PIPE_THREADS[p.thread]
    r = row.d / 2.1
    bore, screw_length = r * (1 - p.wall_ratio), p.thread_length_ratio * row.d
    # Two hexagons are a body and its union nut, with a gap between them.
    hexes = [hex_nut(2.6 * r, 0.9 * r).translate((0, 0, k * 1.3 * r)) for k in range(p.hexagons)]
    neck = 1.3 * r * p.hexagons + 0.4 * r
    screw = threaded_end(row.d, screw_length + 0.1, row.pitch).translate((0, 0, -screw_length))
    tail_profile: list[tuple[float, float]] = [(0.0, r)]
    for k in range(p.barbs):
        tail_profile += [(0.6 * r * k + 0.05 * r, 1.18 * r), (0.6 * r * (k + 1), 0.95 * r)]
    tail_length = 0.6 * r * p.barbs
    tail, tail_bore = turned(tail_profile, 48), cylinder(bore, tail_length + 1, 40)
    outer, inner = cylinder(r, neck + 0.01), centred_cylinder(bore, 2 * (neck + screw_length) + 0.02, 40)
    inner = inner.trim_by_plane((0, 0, -1), -neck - 0.01)
    if not p.elbow:
        end = np.eye(4)
        bends, bend_bores = [], []
    else:
        end = _along_bend(1.6 * r, 90)
        bends, bend_bores = [bend(1.6 * r, disc(r, 40), 90)], [bend(1.6 * r, disc(bore, 40), 90)]
    lift = (0.0, 0.0, neck)
    solids = [screw, outer, *hexes, *(b.translate(lift) for b in bends), tail.transform(end[:3]).translate(lift)]
    bores = [inner, *(b.translate(lift) for b in bend_bores), tail_bore.transform(end[:3]).translate(lift)]
    return along_x(subtract(union(solids), bores).rotate((0, 0, 90)))


FLANGE = Family(
    "flange",
    "component",
    draw_flange,
    build_flange,
    "EN 1092-1 PN 16 pipe flanges: welding neck, slip-on, blind, ribbed, with bolts",
)
VALVE = Family("valve", "component", draw_valve, build_valve, "Globe, gate and ball valves with PN 16 flanges and their drives")
MANIFOLD_BLOCK = Family(
    "manifold_block", "component", draw_manifold_block, build_manifold_block, "Hydraulic blocks with ports, plugs and nipples"
)
HYDRAULIC_CYLINDER = Family(
    "hydraulic_cylinder",
    "machine",
    draw_hydraulic_cylinder,
    build_hydraulic_cylinder,
    "Hydraulic (ISO 6020-2) and pneumatic (ISO 15552) cylinders, tie-rod or welded, rod part-way out",
    # Threads of rod ends and tie-rod nuts are fine beside the whole length.
    thinnest_wall=2.0,
)
PIPE_RUN = Family(
    "pipe_run", "structure", draw_pipe_run, build_pipe_run, "Flanged heavy-walled pipes with elbows, tees and joints"
)
TANK = Family(
    "tank",
    "structure",
    draw_tank,
    build_tank,
    "Pressure vessels on legs or saddles, with PN 16 nozzles, bands and a manway",
    # Nozzle flanges of a real size are thin beside the vessel.
    thinnest_wall=2.0,
)
HOSE_FITTING = Family(
    "hose_fitting",
    "component",
    draw_hose_fitting,
    build_hose_fitting,
    "Barbed hose fittings with hexagons and a threaded end, straight or elbowed",
    # Barbs end in sharp rims, the thread in crests.
    thinnest_wall=1.5,
)

"""Small things in a plant: sensors, cameras, connectors, links, cable chains, handles, load carriers, hand tools, covers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from manifold3d import Manifold

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
    disc,
    extruded,
    hex_head,
    hexagon,
    hull,
    pebble,
    polar,
    polygon,
    rounded_block,
    rounded_rectangle,
    slot,
    spread,
    subtract,
    swept_ball,
    thread,
    torus,
    tube,
    turned,
    union,
)

Pose = Literal["upright", "lying", "upside_down"]
POSES: tuple[Pose, ...] = ("upright", "lying", "lying", "upside_down")


def posed(solid: Manifold, pose: Pose) -> Manifold:
    """A loose part as it was put down: as drawn, on its side, or upside down."""
    return {"upright": solid, "lying": solid.rotate((90, 0, 0)), "upside_down": solid.rotate((180, 0, 0))}[pose]


def cable(radius: float, length: float, bend: float) -> Manifold:
    """A cable that leaves the origin along -z and turns by `bend` degrees towards +x along its length."""
    angles = np.radians(np.linspace(0, bend, 7))
    path, x, z = [(0.0, 0.0, 0.0)], 0.0, 0.0
    for angle in angles:
        x, z = x + math.sin(angle) * length / 7, z - math.cos(angle) * length / 7
        path.append((x, 0.0, z))
    return swept_ball(path, radius, 12)


@dataclass(frozen=True)
class ProximitySensor:
    """A threaded barrel of nominal diameter d along z, in mm, sensing face up; nuts sit at places along it in [0, 1]."""

    d: float
    length: float
    pitch: float
    threaded: bool
    face: float
    nut_place_ratio: tuple[float, ...]
    outlet: Literal["cable", "plug", "elbow"]
    cable_length: float
    cable_bend_degrees: float
    pose: Pose


def draw_proximity_sensor(rng: np.random.Generator) -> ProximitySensor:
    d = pick(rng, (8.0, 12.0, 12.0, 18.0, 18.0, 30.0))
    length = d * uniform(rng, 2.2, 4.5)
    return ProximitySensor(
        d=d,
        length=length,
        pitch=length * uniform(rng, 0.05, 0.07),
        threaded=chance(rng, 0.7),
        face=d * uniform(rng, 0.0, 0.5),
        nut_place_ratio=tuple(sorted(uniform(rng, 0.05, 0.85) for _ in range(integer(rng, 0, 2)))),
        outlet=pick(rng, ("cable", "plug", "elbow")),
        cable_length=d * uniform(rng, 1, 4),
        cable_bend_degrees=uniform(rng, 0, 100),
        pose=pick(rng, POSES),
    )


def build_proximity_sensor(p: ProximitySensor) -> Manifold:
    d, length = p.d, p.length
    barrel = thread(d, length, p.pitch) if p.threaded else chamfered_cylinder(d / 2, length, 0.04 * d)
    face = turned([(-0.1 * d, 0.42 * d), (p.face + 0.02 * d, 0.42 * d), (p.face + 0.06 * d, 0.38 * d)]).translate((0, 0, length))
    nut = hex_head(1.4 * d, 0.33 * d)
    washer = cylinder(0.8 * d, 0.1 * d).translate((0, 0, -0.08 * d))
    parts = [barrel, face, *(union([nut, washer]).translate((0, 0, place * length)) for place in p.nut_place_ratio)]
    collar = turned([(-0.55 * d, 0.36 * d), (-0.5 * d, 0.4 * d), (0.1 * d, 0.4 * d)], 40)
    flats = [centred_block(d, d, 0.3 * d).translate((0, s * 0.82 * d, -0.25 * d)) for s in (-1, 1)]
    parts.append(subtract(collar, flats))
    if p.outlet == "cable":
        parts.append(cable(0.15 * d, p.cable_length, p.cable_bend_degrees).translate((0, 0, -0.45 * d)))
    else:
        parts.append(_plug(0.55 * d, p).translate((0, 0, -0.5 * d)))
    return posed(union(parts), p.pose)


def _plug(d: float, p: ProximitySensor) -> Manifold:
    """A screwed-on plug below z = 0, straight or with an elbow, and its cable."""
    ring = union([cylinder(0.6 * d, 0.8 * d, 32), *polar(block(0.1 * d, 0.12 * d, 0.8 * d), 16, 0.6 * d, turn=True)])
    body = turned([(-1.2 * d, 0.35 * d), (-0.9 * d, 0.5 * d), (0.1 * d, 0.5 * d)], 32)
    if p.outlet == "plug":
        tail = union([body, cable(0.27 * d, p.cable_length, p.cable_bend_degrees).translate((0, 0, -1.1 * d))])
    else:
        side = body.rotate((0, -90, 0)).translate((0.1 * d, 0, -0.35 * d))
        lead = cable(0.27 * d, p.cable_length, p.cable_bend_degrees / 3).rotate((0, -90, 0)).translate((1.2 * d, 0, -0.35 * d))
        tail = union([Manifold.sphere(0.55 * d, 24).translate((0, 0, -0.3 * d)), side, lead])
    return union([ring.translate((0, 0, -0.75 * d)), tail.translate((0, 0, -0.7 * d))])


@dataclass(frozen=True)
class PhotoelectricSensor:
    """A small cuboid sensor, in mm, looking along +x through its windows, screwed through y."""

    x: float
    y: float
    z: float
    corner: float
    windows: int
    raised_windows: bool
    round_windows: bool
    hole: float
    side_pocket: bool
    dial: bool
    bracket: bool
    outlet: Literal["cable", "plug"]
    outlet_tilt_degrees: float
    cable_length: float
    cable_bend_degrees: float
    pose: Pose


def draw_photoelectric_sensor(rng: np.random.Generator) -> PhotoelectricSensor:
    z = uniform(rng, 25, 60)
    return PhotoelectricSensor(
        x=z * uniform(rng, 0.35, 0.9),
        y=z * uniform(rng, 0.3, 0.6),
        z=z,
        corner=z * uniform(rng, 0.03, 0.1),
        windows=integer(rng, 1, 3),
        raised_windows=chance(rng),
        round_windows=chance(rng),
        hole=z * uniform(rng, 0.07, 0.11),
        side_pocket=chance(rng),
        dial=chance(rng),
        bracket=chance(rng, 0.4),
        outlet=pick(rng, ("cable", "plug")),
        outlet_tilt_degrees=pick(rng, (0.0, 0.0, 45.0, 90.0)),
        cable_length=z * uniform(rng, 0.4, 1.3),
        cable_bend_degrees=uniform(rng, -60, 60),
        pose=pick(rng, POSES),
    )


def build_photoelectric_sensor(p: PhotoelectricSensor) -> Manifold:
    x, y, z = p.x, p.y, p.z
    body = pebble(x, y, z, p.corner)
    parts, tools = [body], list[Manifold]()
    side = min(0.7 * y, 0.75 * z / (p.windows + 0.5))
    for place in cells(p.windows, 0.18 * z, 0.95 * z):
        outline = disc(side / 2, 32) if p.round_windows else rounded_rectangle(side, side, 0.15 * side)
        window = extruded(outline, 0.12 * z).rotate((0, 90, 0)).translate((x / 2 - 0.06 * z, 0, place))
        (parts if p.raised_windows else tools).append(window)
    drill = along_y(centred_cylinder(p.hole / 2, 3 * y, 20))
    tools += [drill.translate((-0.25 * x, 0, 0.15 * z)), drill.translate((-0.25 * x, 0, 0.82 * z))]
    if p.side_pocket:
        pocket = centred_block(0.3 * x, 0.3 * y, 0.4 * z).translate((0.05 * x, y / 2, 0.5 * z))
        tools += [pocket, pocket.mirror((0, 1, 0))]
    if p.dial:
        dial = subtract(cylinder(0.12 * x, 0.12 * z, 24), [block(0.3 * x, 0.05 * x, z).translate((0, 0, 0.07 * z))])
        parts += [dial.translate((0, 0, 0.96 * z)), Manifold.sphere(0.08 * x, 16).translate((0.25 * x, 0, z))]
    parts.append(_sensor_outlet(p))
    if p.bracket:
        t = 0.05 * z
        parts += [block(0.9 * x, t, 1.3 * z).translate((-0.1 * x, y / 2, -0.35 * z)), _bracket_foot(p, t)]
    return posed(subtract(union(parts), tools), p.pose)


def _bracket_foot(p: PhotoelectricSensor, thickness: float) -> Manifold:
    plate = block(0.9 * p.x, 0.5 * p.z, thickness)
    slots = [slot(0.4 * p.x, 0.1 * p.z, 3 * thickness).translate((0, s * 0.12 * p.z, -thickness)) for s in (-1, 1)]
    return subtract(plate, slots).translate((-0.1 * p.x, p.y / 2 + 0.25 * p.z - thickness / 2, -0.35 * p.z))


def _sensor_outlet(p: PhotoelectricSensor) -> Manifold:
    """Gland with cable, or a round connector, at the rear lower edge, tilted towards the rear."""
    r = 0.32 * p.y
    gland = turned([(-0.2 * p.z, 0.6 * r), (-0.16 * p.z, 0.8 * r), (-0.08 * p.z, r), (0.1 * p.z, r)], 32)
    if p.outlet == "cable":
        tail = union([gland, cable(0.4 * r, p.cable_length, p.cable_bend_degrees).translate((0, 0, -0.18 * p.z))])
    else:
        shank = union(
            [cylinder(0.85 * r, 0.35 * p.z, 32), *(torus(0.85 * r, 0.12 * r).translate((0, 0, k * r / 2)) for k in (1, 2))]
        )
        tail = union(
            [gland, subtract(shank, [cylinder(0.6 * r, 0.15 * p.z, 24).translate((0, 0, -0.01))]).translate((0, 0, -0.4 * p.z))]
        )
    return tail.rotate((0, p.outlet_tilt_degrees, 0)).translate((-0.15 * p.x, 0, 0.12 * p.z))


@dataclass(frozen=True)
class Lidar:
    """A scanner: a drum with a window band between base and cap, in mm; a block for its electronics may stand behind."""

    radius: float
    base: float
    window: float
    cap: float
    groove: float
    square_base: bool
    rear_block: float
    taper_ratio: float
    fins: int
    outlet: bool
    ears: bool


def draw_lidar(rng: np.random.Generator) -> Lidar:
    radius = uniform(rng, 25, 60)
    return Lidar(
        radius=radius,
        base=radius * uniform(rng, 0.3, 1.1),
        window=radius * uniform(rng, 0.3, 0.9),
        cap=radius * uniform(rng, 0.15, 0.6),
        groove=radius * uniform(rng, 0.04, 0.15),
        square_base=chance(rng),
        rear_block=radius * uniform(rng, 0.3, 0.7) if chance(rng, 0.4) else 0.0,
        taper_ratio=uniform(rng, -0.15, 0.15),
        fins=pick(rng, (0, 0, 16, 24)),
        outlet=chance(rng, 0.7),
        ears=chance(rng, 0.4),
    )


def build_lidar(p: Lidar) -> Manifold:
    r, low, high = p.radius, p.base, p.base + p.window
    neck = r - p.groove
    drum = turned([(low - 0.1, neck), (low + 0.5 * p.window, neck * (1 + p.taper_ratio)), (high + 0.1, neck)])
    cap = turned([(high, r * 0.94), (high + 0.1 * p.cap, r), (high + 0.6 * p.cap, r), (high + p.cap, 0.8 * r)])
    base = rounded_block(1.9 * r, 1.9 * r, low, 0.3 * r, 0.05 * low) if p.square_base else chamfered_cylinder(r, low, 0.06 * low)
    parts = [drum, cap, base]
    if p.fins:
        parts += polar(block(0.2 * r, 0.09 * r, 0.8 * low).translate((0, 0, 0.1 * low)), p.fins, 0.96 * r, turn=True)
    if p.rear_block:
        parts.append(
            rounded_block(p.rear_block + r, 1.3 * r, high + 0.6 * p.cap, 0.1 * r).translate(
                (-r - p.rear_block / 2 + 0.5 * r, 0, 0)
            )
        )
    if p.outlet:
        reach = r + p.rear_block
        plug = turned([(0, 0.22 * r), (0.35 * r, 0.22 * r), (0.36 * r, 0.16 * r), (0.7 * r, 0.16 * r)], 28)
        parts.append(plug.rotate((0, -90, 0)).translate((0.2 * r - reach, 0, max(0.24 * r, 0.5 * low))))
    if p.ears:
        ear = subtract(
            slot(2.8 * r, 0.5 * r, 0.1 * r), [centred_cylinder(0.1 * r, r, 20).translate((s * 1.2 * r, 0, 0)) for s in (-1, 1)]
        )
        parts += [ear.rotate((0, 0, 45)), ear.rotate((0, 0, -45))]
    return union(parts)


@dataclass(frozen=True)
class CameraHousing:
    """An industrial camera looking along +x, in mm: body, lens barrel of `rings` (length, radius), back connectors, mount."""

    length: float
    width: float
    height: float
    corner: float
    rings: tuple[tuple[float, float], ...]
    fins: int
    connectors: int
    mount: Literal["none", "plate", "yoke"]
    hood: bool
    knurls: int


def draw_camera_housing(rng: np.random.Generator) -> CameraHousing:
    width = uniform(rng, 28, 70)
    height = width * uniform(rng, 0.8, 1.15)
    reach = 0.47 * min(width, height)
    return CameraHousing(
        length=width * uniform(rng, 0.6, 2.2),
        width=width,
        height=height,
        corner=width * uniform(rng, 0.03, 0.15),
        rings=tuple((width * uniform(rng, 0.12, 0.4), reach * uniform(rng, 0.65, 1.0)) for _ in range(integer(rng, 2, 5))),
        fins=pick(rng, (0, 0, 4, 6, 8)),
        connectors=integer(rng, 1, 3),
        mount=pick(rng, ("none", "plate", "yoke")),
        hood=chance(rng, 0.3),
        knurls=pick(rng, (0, 24, 32)),
    )


def build_camera_housing(p: CameraHousing) -> Manifold:
    length, w, h = p.length, p.width, p.height
    body = rounded_block(h, w, length, p.corner, 0.02 * w).rotate((0, 90, 0)).translate((-length, 0, 0))
    fin_gap = [centred_block(0.5 * length / p.fins, 2 * w, 0.08 * h) for _ in range(min(p.fins, 1))]
    tools = [
        gap.translate((x, 0, s * 0.5 * h))
        for gap in fin_gap
        for x in cells(p.fins, -0.9 * length, -0.1 * length)
        for s in (-1, 1)
    ]
    parts = [subtract(body, tools), _lens(p)]
    plug = turned([(0, 0.1 * w), (0.1 * w, 0.1 * w), (0.11 * w, 0.07 * w), (0.25 * w, 0.07 * w)], 28).rotate((0, -90, 0))
    parts += [plug.translate((0.02 * w - length, 0, z)) for z in cells(p.connectors, -0.45 * h, 0.45 * h)]
    if p.hood:
        brim = subtract(block(1.5 * length, 1.1 * w, 0.6 * h), [block(2 * length, w, 0.56 * h)]).translate((-0.35 * length, 0, 0))
        parts.append(union([brim, block(0.3 * length, 1.05 * w, 0.1 * h).translate((-0.5 * length, 0, 0.47 * h))]))
    return union([*parts, *_camera_mount(p)])


def _lens(p: CameraHousing) -> Manifold:
    parts, x = [], -0.03 * p.width
    for k, (length, radius) in enumerate(p.rings):
        chamfer = 0.03 * p.width
        ring = chamfered_cylinder(radius, length, chamfer, 56)
        if p.knurls and k % 2 == 1:
            ridge = block(0.05 * p.width, 0.05 * p.width, length - 2 * chamfer).translate((0, 0, chamfer))
            ring = union([ring, *polar(ridge, p.knurls, radius, turn=True)])
        parts.append(ring.translate((0, 0, x)))
        x += length - 0.01 * p.width
    glass = p.rings[-1][1]
    front = Manifold.cylinder(2 * glass, 0.5 * glass, 1.3 * glass, 48).translate((0, 0, x - 0.5 * glass))
    bulge = Manifold.sphere(0.7 * glass, 40).translate((0, 0, x - 0.95 * glass))
    return union([subtract(union(parts), [front]), bulge ^ cylinder(0.6 * glass, x, 40)]).rotate((0, 90, 0))


def _camera_mount(p: CameraHousing) -> list[Manifold]:
    length, w, h = p.length, p.width, p.height
    if p.mount == "none":
        return []
    plate = subtract(
        rounded_block(0.8 * length, 0.8 * w, 0.12 * h, 0.08 * w),
        at_corners(centred_cylinder(0.06 * w, h, 16), 0.3 * length, 0.3 * w),
    )
    if p.mount == "plate":
        return [plate.translate((-0.5 * length, 0, -0.6 * h))]
    cheek = hull(
        [along_y(centred_cylinder(0.25 * h, 0.1 * w, 32)), centred_block(0.4 * h, 0.1 * w, 0.1 * h).translate((0, 0, -0.75 * h))]
    )
    yoke = [cheek.translate((-0.5 * length, s * 0.54 * w, 0)) for s in (-1, 1)]
    bolt = along_y(hexagon(0.18 * h, 1.35 * w).translate((0, 0, -0.675 * w))).translate((-0.5 * length, 0, 0))
    stem = cylinder(0.14 * w, 0.5 * h, 32).translate((0, 0, -0.5 * h))
    base = union([centred_block(0.4 * h, 1.18 * w, 0.1 * h), stem, cylinder(0.4 * w, 0.08 * h).translate((0, 0, -0.55 * h))])
    return [*yoke, bolt, base.translate((-0.5 * length, 0, -0.78 * h))]


@dataclass(frozen=True)
class DSubConnector:
    """A D-shaped plug or socket with flange, jack screws and hood, in mm, contacts facing up."""

    contacts: int
    rows: int
    pins: bool
    shell_height: float
    hood: bool
    hood_length: float
    cable_length: float
    cable_bend_degrees: float
    screws: bool
    pose: Pose


def draw_d_sub_connector(rng: np.random.Generator) -> DSubConnector:
    return DSubConnector(
        contacts=integer(rng, 4, 9),
        rows=pick(rng, (2, 2, 3)),
        pins=chance(rng),
        shell_height=uniform(rng, 5.5, 7),
        hood=chance(rng, 0.7),
        hood_length=uniform(rng, 15, 35),
        cable_length=uniform(rng, 10, 40),
        cable_bend_degrees=uniform(rng, 0, 70),
        screws=chance(rng),
        pose=pick(rng, POSES),
    )


def build_d_sub_connector(p: DSubConnector) -> Manifold:
    pitch, row = 2.77, 2.84
    x, y = pitch * p.contacts + 3, row * p.rows + 3.5
    flange_x, flange_y = x + 14, y + 3
    half, slant = x / 2, 0.12 * y
    outline = polygon([(-half + slant, -y / 2), (half - slant, -y / 2), (half, y / 2), (-half, y / 2)]).offset(-1.0).offset(1.0)
    shell = extruded(outline, p.shell_height)
    holes = [centred_cylinder(1.5, 9, 20).translate((s * (flange_x / 2 - 3.5), 0, 0)) for s in (-1, 1)]
    parts = [subtract(rounded_block(flange_x, flange_y, 1.6, 1.5), [] if p.screws else holes)]
    places = [
        (pitch * (k - (p.contacts - (j % 2) - 1) / 2), row * (j - (p.rows - 1) / 2))
        for j in range(p.rows)
        for k in range(p.contacts - j % 2)
    ]
    contact = cylinder(0.75, p.shell_height, 12)
    if p.pins:
        hollow = extruded(outline.offset(-0.9), p.shell_height).translate((0, 0, 1.2))
        pins = [contact.translate((px, py, 0.5)).scale((1, 1, 0.9)) for px, py in places]
        parts += [subtract(shell, [hollow]).translate((0, 0, 0.8)), *pins]
    else:
        parts.append(subtract(shell, [contact.translate((px, py, 2)) for px, py in places]).translate((0, 0, 0.8)))
    if p.screws:
        jack = union([cylinder(1.4, 7, 20).translate((0, 0, -5)), hexagon(4.8, 3).translate((0, 0, 1.2))])
        parts += [jack.translate((s * (flange_x / 2 - 3.5), 0, 0)) for s in (-1, 1)]
    return posed(union([*parts, *_d_sub_hood(p, flange_x, flange_y)]), p.pose)


def _d_sub_hood(p: DSubConnector, x: float, y: float) -> list[Manifold]:
    """A hood with its cable below the flange, or a bare row of solder cups."""
    if not p.hood:
        return [
            block(0.62 * x, 0.6 * y, 5).translate((0, 0, -4.9)),
            *(block(1.4, 1.4, 4).translate((cx, 0, -8.5)) for cx in cells(p.contacts, -0.28 * x, 0.28 * x)),
        ]
    length, mouth = p.hood_length, max(4.0, 0.45 * y)
    top = rounded_block(x, y + 1, 0.45 * length, 2).translate((0, 0, 0.55 * length))
    hood = union([top, hull([top, cylinder(mouth, 1, 24)]), cylinder(1.05 * mouth, 4, 24).translate((0, 0, -3))])
    grips = [centred_block(2 * x, 1, 1).translate((0, s * (y + 1) / 2, length * k)) for s in (-1, 1) for k in (0.65, 0.75, 0.85)]
    tail = cable(0.7 * mouth, p.cable_length, p.cable_bend_degrees).translate((0, 0, -2))
    return [part.translate((0, 0, 0.3 - length)) for part in (subtract(hood, grips), tail)]


@dataclass(frozen=True)
class CircularConnector:
    """A round plug along z, in mm, with knurled ring, backshell and cable; the elbow turns the cable to the side."""

    radius: float
    ring: float
    knurls: int
    body: float
    contacts: int
    pins: bool
    elbow: bool
    flange: bool
    thread_length: float
    cable_length: float
    cable_bend_degrees: float
    pose: Pose


def draw_circular_connector(rng: np.random.Generator) -> CircularConnector:
    radius = uniform(rng, 6, 18)
    return CircularConnector(
        radius=radius,
        ring=radius * uniform(rng, 0.7, 1.8),
        knurls=pick(rng, (12, 18, 24)),
        body=radius * uniform(rng, 1.2, 2.8),
        contacts=integer(rng, 3, 8),
        pins=chance(rng),
        elbow=chance(rng, 0.4),
        flange=chance(rng, 0.3),
        thread_length=radius * uniform(rng, 0.5, 1.2) if chance(rng) else 0.0,
        cable_length=radius * uniform(rng, 1.5, 4),
        cable_bend_degrees=uniform(rng, 0, 90),
        pose=pick(rng, POSES),
    )


def build_circular_connector(p: CircularConnector) -> Manifold:
    r = p.radius
    ring = union(
        [
            chamfered_cylinder(r, p.ring, 0.08 * r),
            *polar(block(0.12 * r, 0.14 * r, 0.8 * p.ring).translate((0, 0, 0.1 * p.ring)), p.knurls, r, turn=True),
        ]
    )
    front = [thread(1.7 * r, p.thread_length + 0.1 * r, 0.22 * r).translate((0, 0, p.ring - 0.1 * r))] if p.thread_length else []
    top = p.ring + p.thread_length
    contact = cylinder(0.1 * r, 0.6 * r, 12).translate((0, 0, top - 0.45 * r))
    contacts = polar(contact, p.contacts, 0.38 * r)
    socket = cylinder(0.65 * r, r, 40).translate((0, 0, top - (0.4 if p.pins else 0.12) * r))
    head = subtract(union([ring, *front]), [socket] if p.pins else [socket, *contacts])
    backshell = turned(
        [
            (-p.body, 0.42 * r),
            (-0.85 * p.body, 0.62 * r),
            (-0.3 * p.body, 0.7 * r),
            (-0.25 * p.body, 0.88 * r),
            (0.1 * r, 0.88 * r),
        ],
        40,
    )
    tail = union([backshell, cable(0.34 * r, p.cable_length, p.cable_bend_degrees).translate((0, 0, -0.95 * p.body))])
    if p.elbow:
        tail = union(
            [
                tail.rotate((0, -90, 0)).translate((0.05 * r, 0, -0.6 * r)),
                pebble(1.8 * r, 1.8 * r, 1.8 * r, 0.5 * r).translate((0, 0, -1.6 * r)),
            ]
        )
    parts = [head, *(contacts if p.pins else []), tail]
    if p.flange:
        plate = rounded_block(2.9 * r, 2.9 * r, 0.22 * r, 0.4 * r)
        parts.append(subtract(plate, at_corners(centred_cylinder(0.16 * r, r, 16), 1.13 * r, 1.13 * r)))
    return posed(union(parts), p.pose)


@dataclass(frozen=True)
class TerminalBlock:
    """A row of screw terminals along x, in mm, wires entering from -y; `steps` of the profile rise towards +y."""

    poles: int
    pitch: float
    depth: float
    height: float
    steps: int
    screw_slots: bool
    rail_foot: bool
    pins: bool
    pose: Pose


def draw_terminal_block(rng: np.random.Generator) -> TerminalBlock:
    pitch = uniform(rng, 5, 10)
    return TerminalBlock(
        poles=integer(rng, 2, 10),
        pitch=pitch,
        depth=pitch * uniform(rng, 1.4, 4.0),
        height=pitch * uniform(rng, 1.5, 3.0),
        steps=integer(rng, 1, 3),
        screw_slots=chance(rng, 0.7),
        rail_foot=chance(rng, 0.4),
        pins=chance(rng),
        pose=pick(rng, POSES),
    )


def build_terminal_block(p: TerminalBlock) -> Manifold:
    a, length = p.pitch, p.poles * p.pitch + 0.4 * p.pitch
    depth, h = p.depth, p.height
    tread = depth / p.steps
    body = union(
        block(length, depth - k * tread, h * (0.5 + 0.5 * (k + 1) / p.steps)).translate((0, k * tread / 2, 0))
        for k in range(p.steps)
    )
    tools, parts = [], []
    for x in cells(p.poles, -p.poles * a / 2, p.poles * a / 2):
        for k in range(p.steps):
            top = h * (0.5 + 0.5 * (k + 1) / p.steps)
            well = (x, -depth / 2 + (k + 0.5) * tread, top)
            bore = min(0.36 * a, 0.4 * tread)
            tools.append(centred_cylinder(bore, 0.5 * a, 24).translate(well))
            screw = cylinder(0.85 * bore, 0.2 * a, 20)
            gash = centred_block(3 * bore, 0.4 * bore, 0.24 * a).translate((0, 0, 0.2 * a))
            parts.append((subtract(screw, [gash]) if p.screw_slots else screw).translate((well[0], well[1], top - 0.3 * a)))
        tools.append(centred_block(0.6 * a, 0.5 * a, 0.5 * a).translate((x, -depth / 2, 0.28 * h)))
        if p.pins:
            parts.append(block(0.22 * a, 0.22 * a, 0.8 * a).translate((x, 0, -0.75 * a)))
    separator = block(0.16 * a, depth, 0.2 * a).translate((0, 0, h - 0.05 * a))
    parts += (
        [separator.translate((x, 0, 0)) for x in spread(p.poles + 1, -p.poles * a / 2, p.poles * a / 2)] if p.steps == 1 else []
    )
    solid = union([subtract(body, tools), *parts])
    if p.rail_foot:
        hook = block(length, 0.3 * a, 0.9 * a)
        lip = block(length, 0.6 * a, 0.3 * a)
        foot = union(
            [
                part.translate((0, s * y, -0.85 * a))
                for s in (-1, 1)
                for part, y in ((hook, 0.36 * depth), (lip, 0.36 * depth - 0.15 * a))
            ]
        )
        solid = union([solid, foot])
    return posed(solid, p.pose)


@dataclass(frozen=True)
class RobotLink:
    """A cast robot link along z, in mm, between two joints: the first turns about y, the second about y or, crossed, about x.

    offset: shift of the second joint along y. body: what joins the joints.
    """

    length: float
    radii: tuple[float, float]
    widths: tuple[float, float]
    offset: float
    crossed: bool
    body: Literal["hull", "tube", "waist", "plates"]
    bore_ratio: tuple[float, float]
    screws: int
    screw_heads: bool
    pocket_ratio: float
    ribs: int
    cap: float
    pose: Pose


def draw_robot_link(rng: np.random.Generator) -> RobotLink:
    start = uniform(rng, 40, 90)
    end = start * uniform(rng, 0.55, 1.05)
    return RobotLink(
        length=start * uniform(rng, 2.2, 6.5),
        radii=(start, end),
        widths=(start * uniform(rng, 0.9, 2.2), end * uniform(rng, 0.9, 2.2)),
        offset=start * pick(rng, (0.0, uniform(rng, -0.9, 0.9))),
        crossed=chance(rng, 0.3),
        body=pick(rng, ("hull", "hull", "tube", "waist", "plates")),
        bore_ratio=(pick(rng, (0.0, uniform(rng, 0.3, 0.5))), pick(rng, (0.0, uniform(rng, 0.3, 0.5)))),
        screws=pick(rng, (4, 6, 8, 12)),
        screw_heads=chance(rng, 0.4),
        pocket_ratio=pick(rng, (0.0, 0.0, uniform(rng, 0.15, 0.35))),
        ribs=integer(rng, 0, 4),
        cap=start * pick(rng, (0.0, uniform(rng, 0.08, 0.3))),
        pose=pick(rng, POSES),
    )


def build_robot_link(p: RobotLink) -> Manifold:
    tools: list[Manifold] = []
    parts = [_link_body(p)]
    for k in (0, 1):
        housing, cuts = _link_joint(p, k)
        parts.append(_at_link_end(p, housing, k))
        tools += [_at_link_end(p, cut, k) for cut in cuts]
    return posed(subtract(union(parts), tools), p.pose)


def _at_link_end(p: RobotLink, solid: Manifold, end: int) -> Manifold:
    """A solid drawn along z about the joint's centre, placed at the first (0) or second (1) joint."""
    if end == 0:
        return along_y(solid)
    return (along_x(solid) if p.crossed else along_y(solid)).translate((0, p.offset, p.length))


def _link_joint(p: RobotLink, end: int) -> tuple[Manifold, list[Manifold]]:
    """The joint's housing, drawn along z, with cap and screw heads; and its bore and screw holes."""
    r, w, bore = p.radii[end], p.widths[end], p.bore_ratio[end]
    housing = [chamfered_cylinder(r, w, 0.06 * r, 56).translate((0, 0, -w / 2))]
    if p.cap and not bore:
        dome = turned([(0, 0.9 * r), (0.5 * p.cap, 0.9 * r), (0.9 * p.cap, 0.78 * r), (p.cap, 0.55 * r)], 56)
        housing.append(dome.translate((0, 0, w / 2 - 0.01)))
    cuts = [centred_cylinder(bore * r, 2 * w, 48)] if bore else []
    pitch_radius, screw_d = 0.5 * (1 + max(bore, 0.45)) * r, 0.13 * r
    if p.screw_heads:
        housing += [
            s.translate((0, 0, -w / 2)) for s in polar(bolt_head(screw_d, "socket").mirror((0, 0, 1)), p.screws, pitch_radius)
        ]
    else:
        cuts += polar(cylinder(screw_d / 2, 0.35 * r, 16), p.screws, pitch_radius)
        cuts = [cut.translate((0, 0, -w / 2 - 0.1 * r)) for cut in cuts]
    return union(housing), cuts


def _link_body(p: RobotLink) -> Manifold:
    (r0, r1), (w0, w1) = p.radii, p.widths
    width = 0.8 * min(w0, w1)
    ends = [_at_link_end(p, centred_cylinder(0.92 * r, 0.8 * w, 48), k) for k, (r, w) in enumerate(((r0, w0), (r1, w1)))]
    reach = (0.0, p.offset, p.length)
    if p.body == "hull":
        body = hull(ends)
    elif p.body == "tube":
        body = union([swept_ball([(0, 0, 0), reach], 0.72 * min(r0, r1), 36), *ends])
    elif p.body == "waist":
        middle = pebble(0.9 * min(r0, r1), 0.7 * width, 0.3 * min(r0, r1), 0.1 * min(r0, r1)).translate(
            (0, p.offset / 2, 0.5 * p.length)
        )
        body = union([hull([ends[0], middle]), hull([middle, ends[1]])])
    else:
        bar = centred_block(0.8 * r1, 0.16 * width, 0.5 * r1)
        plate = hull([centred_block(1.3 * r0, 0.16 * width, 0.5 * r0), bar.translate(reach)])
        web = hull([centred_block(0.3 * r1, 0.8 * width, r0), centred_block(0.3 * r1, 0.8 * width, r1).translate(reach)])
        body = union([*(plate.translate((0, s * 0.4 * width, 0)) for s in (-1, 1)), web, *ends])
    free = p.length - r0 - r1
    if p.pocket_ratio and free > 0.6 * r1 and p.body != "plates":
        depth = p.pocket_ratio * width
        pocket = along_y(slot(free, min(0.9 * r1, 0.6 * free), 2 * width)).translate((0, 0, r0 + 0.5 * free))
        side = width / 2 + p.offset * 0.5 - depth
        body = subtract(body, [pocket.translate((0, side, 0))])
    rib = centred_block(1.9 * min(r0, r1), 0.5 * width, max(0.1 * r0, 0.02 * (p.length + r0 + r1)))
    levels = cells(p.ribs, 0.3 * p.length, 0.7 * p.length) if p.ribs else []
    return union([body, *(rib.translate((0, p.offset * z / p.length, z)) ^ hull(ends) for z in levels)])


@dataclass(frozen=True)
class CableChain:
    """An energy chain in the xz plane, in mm: a lower run, a half turn, an upper run, brackets at both ends."""

    pitch: float
    height: float
    width: float
    lower: int
    upper: int
    turn_radius: float
    wall: float
    lids: bool
    brackets: bool


def draw_cable_chain(rng: np.random.Generator) -> CableChain:
    pitch = uniform(rng, 30, 60)
    return CableChain(
        pitch=pitch,
        height=pitch * uniform(rng, 0.6, 1.0),
        width=pitch * uniform(rng, 0.8, 2.2),
        lower=integer(rng, 2, 8),
        upper=integer(rng, 1, 7),
        turn_radius=pitch * uniform(rng, 1.3, 2.6),
        wall=pitch * uniform(rng, 0.17, 0.22),
        lids=chance(rng),
        brackets=chance(rng, 0.8),
    )


def build_cable_chain(p: CableChain) -> Manifold:
    a, r = p.pitch, p.turn_radius
    turns = max(3, round(math.pi * r / a))
    step = math.pi / turns
    # Joints on the run's centre line: along the floor, around the half circle, back above.
    joints = [(-k * a, 0.0) for k in range(p.lower, 0, -1)]
    joints += [(r * math.sin(k * step), r - r * math.cos(k * step)) for k in range(turns + 1)]
    joints += [(-k * a, 2 * r) for k in range(1, p.upper + 1)]
    parts = []
    for (x0, z0), (x1, z1) in pairwise(joints):
        length = math.hypot(x1 - x0, z1 - z0)
        angle = math.degrees(math.atan2(z1 - z0, x1 - x0))
        parts.append(_chain_link(p, length).rotate((0, -angle, 0)).translate((x0, 0, z0)))
    if p.brackets:
        for (x, z), s in ((joints[0], -1), (joints[-1], 1)):
            tongue = block(1.3 * a, p.width, p.wall).translate((-0.4 * a, 0, z + s * 0.5 * p.height - 0.5 * p.wall))
            holes = [centred_cylinder(0.12 * a, 9 * a, 20).translate((-0.75 * a, y * p.width, 0)) for y in (-0.25, 0.25)]
            parts.append(subtract(tongue, holes).translate((x, 0, 0)))
    return union(parts)


def _chain_link(p: CableChain, length: float) -> Manifold:
    """One link along x: two side plates with pins, joined below and above by cross bars."""
    h, t = p.height, p.wall
    ends = [along_y(centred_cylinder(h / 2, t, 28)).translate((x, 0, 0)) for x in (0.1 * length, 0.9 * length)]
    plate = hull(ends)
    pin = along_y(centred_cylinder(0.22 * h, 1.6 * t, 20)).translate((length, 0, 0))
    bar = centred_block(0.42 * length if not p.lids else 0.75 * length, p.width, t).translate((length / 2, 0, 0))
    sides = [solid.translate((0, s * (p.width - t) / 2, 0)) for s in (-1, 1) for solid in (plate, pin)]
    return union([*sides, *(bar.translate((0, 0, s * (h - t) / 2)) for s in (-1, 1))])


@dataclass(frozen=True)
class HandWheel:
    """A hand wheel about z, in mm: hub, dished spokes, rim, and a crank handle."""

    radius: float
    rim: float
    spokes: int
    spoke_width: float
    dish: float
    hub: float
    hub_height: float
    bore_ratio: float
    solid_web: bool
    handle: Literal["none", "straight", "ball"]
    tilt_degrees: float


def draw_hand_wheel(rng: np.random.Generator) -> HandWheel:
    radius = uniform(rng, 50, 200)
    return HandWheel(
        radius=radius,
        rim=radius * uniform(rng, 0.06, 0.13),
        spokes=integer(rng, 2, 6),
        spoke_width=radius * uniform(rng, 0.08, 0.2),
        dish=radius * uniform(rng, 0.0, 0.4),
        hub=radius * uniform(rng, 0.16, 0.28),
        hub_height=radius * uniform(rng, 0.2, 0.45),
        bore_ratio=uniform(rng, 0.35, 0.6),
        solid_web=chance(rng, 0.25),
        handle=pick(rng, ("none", "straight", "ball")),
        tilt_degrees=pick(rng, (0.0, 0.0, 90.0, uniform(rng, 100, 180))),
    )


def build_hand_wheel(p: HandWheel) -> Manifold:
    r, lift = p.radius, p.dish
    rim = torus(r - p.rim, p.rim, 64, 20).translate((0, 0, lift))
    if p.solid_web:
        web = tube(r - p.rim, 0.9 * p.hub, 0.8 * p.rim).translate((0, 0, lift - 0.4 * p.rim))
        spokes = [subtract(web, polar(centred_cylinder(0.15 * r, r, 28).translate((0, 0, lift)), p.spokes, 0.58 * r))]
        hub_height = lift + p.hub_height
    else:
        near = centred_block(0.1 * r, 1.3 * p.spoke_width, p.rim).translate((0.8 * p.hub, 0, 0.5 * p.hub_height))
        far = centred_block(0.1 * r, p.spoke_width, 0.8 * p.rim).translate((r - p.rim, 0, lift))
        spokes = polar(hull([near, far]), p.spokes, 0, turn=True)
        hub_height = p.hub_height
    hub = chamfered_cylinder(p.hub, hub_height, 0.06 * p.hub)
    slotted = union(
        [cylinder(p.bore_ratio * p.hub, 3 * hub_height, 32), block(2.4 * p.bore_ratio * p.hub, 0.4 * p.hub, 3 * hub_height)]
    )
    parts = [rim, *spokes, subtract(hub, [slotted.translate((0, 0, -hub_height))])]
    if p.handle != "none":
        grip = 0.11 * r
        profile = [
            (0, 0.5 * grip),
            (0.6 * grip, grip),
            (2.2 * grip, 1.15 * grip),
            (4.5 * grip, 0.8 * grip),
            (4.8 * grip, 0.5 * grip),
        ]
        handle = (
            turned(profile, 32)
            if p.handle == "straight"
            else union([cylinder(0.5 * grip, 2.5 * grip, 20), Manifold.sphere(1.3 * grip, 28).translate((0, 0, 3 * grip))])
        )
        parts.append(handle.translate((r - p.rim, 0, lift + 0.5 * p.rim)))
    return union(parts).rotate((p.tilt_degrees, 0, 0))


@dataclass(frozen=True)
class KnobHandle:
    """A lobed knob, a clamping lever or a bow handle, in mm."""

    style: Literal["star", "mushroom", "lever", "bow"]
    size: float
    height: float
    lobes: int
    stud: float
    stud_length: float
    lean_degrees: float
    pose: Pose


def draw_knob_handle(rng: np.random.Generator) -> KnobHandle:
    size = uniform(rng, 20, 60)
    return KnobHandle(
        style=pick(rng, ("star", "mushroom", "lever", "bow")),
        size=size,
        height=size * uniform(rng, 0.4, 0.8),
        lobes=integer(rng, 3, 9),
        stud=size * uniform(rng, 0.12, 0.22),
        stud_length=size * uniform(rng, 0.3, 1.2),
        lean_degrees=uniform(rng, 10, 35),
        pose=pick(rng, POSES),
    )


def build_knob_handle(p: KnobHandle) -> Manifold:
    a, h = p.size, p.height
    stud = thread(2 * p.stud, p.stud_length, 0.4 * p.stud).translate((0, 0, 0.1 * a - p.stud_length))
    if p.style == "bow":
        foot = subtract(cylinder(0.22 * a, 0.25 * h, 32), [centred_cylinder(0.09 * a, a, 20)])
        feet = [foot.translate((s * 1.3 * a, 0, 0)) for s in (-1, 1)]
        bow = swept_ball(
            [(-1.1 * a, 0, 0.14 * a), (-0.95 * a, 0, 0.8 * h), (0.95 * a, 0, 0.8 * h), (1.1 * a, 0, 0.14 * a)], 0.14 * a, 24
        )
        tabs = [block(0.4 * a, 0.3 * a, 0.2 * h).translate((s * 1.2 * a, 0, 0)) for s in (-1, 1)]
        return posed(
            union(
                [
                    *feet,
                    bow,
                    *(
                        subtract(tab, [centred_cylinder(0.09 * a, a, 20).translate((s * 1.3 * a, 0, 0))])
                        for s, tab in zip((-1, 1), tabs, strict=True)
                    ),
                ]
            ),
            p.pose,
        )
    if p.style == "lever":
        hub = turned([(0, 0.28 * a), (0.6 * h, 0.34 * a), (0.9 * h, 0.34 * a), (h, 0.26 * a)], 40)
        reach = 2.2 * a
        tip = (reach * math.cos(math.radians(p.lean_degrees)), 0, 0.6 * h + reach * math.sin(math.radians(p.lean_degrees)))
        arm = hull(
            [
                Manifold.sphere(0.2 * a, 24).translate((0, 0, 0.6 * h)),
                Manifold.sphere(0.13 * a, 24).translate((0.7 * tip[0], 0, 0.6 * h + 0.7 * (tip[2] - 0.6 * h))),
            ]
        )
        end = hull(
            [
                Manifold.sphere(0.13 * a, 24).translate((0.7 * tip[0], 0, 0.6 * h + 0.7 * (tip[2] - 0.6 * h))),
                Manifold.sphere(0.18 * a, 24).translate(tip),
            ]
        )
        return posed(union([hub, arm, end, stud]), p.pose)
    if p.style == "mushroom":
        cap = turned(
            [(0, 0.3 * a), (0.35 * h, 0.24 * a), (0.6 * h, 0.48 * a), (0.75 * h, 0.5 * a), (0.93 * h, 0.4 * a), (h, 0.2 * a)], 56
        )
        return posed(union([cap, stud]), p.pose)
    lobes = polar(pebble(0.5 * a, 0.36 * a, 0.6 * h, 0.1 * a), p.lobes, 0.36 * a, turn=True)
    dimple = cylinder(0.2 * a, h, 32).translate((0, 0, 0.55 * h))
    hub = turned([(-0.25 * h, 0.24 * a), (0.05 * h, 0.3 * a), (0.6 * h, 0.42 * a), (0.7 * h, 0.32 * a)], 48)
    return posed(union([subtract(union([hub, *lobes]), [dimple]), stud.translate((0, 0, -0.2 * h))]), p.pose)


@dataclass(frozen=True)
class Pallet:
    """A pallet, in mm, of boards on blocks, or moulded in plastic; `load` is a stack of equal boxes on it."""

    x: float
    y: float
    height: float
    board: float
    deck_boards: int
    runners: int
    moulded: bool
    load: tuple[int, int, int]
    load_height: float


def draw_pallet(rng: np.random.Generator) -> Pallet:
    x, y = pick(rng, ((1200.0, 800.0), (1200.0, 1000.0), (1140.0, 1140.0), (800.0, 600.0)))
    return Pallet(
        x=x,
        y=y,
        height=uniform(rng, 130, 162),
        board=uniform(rng, 20, 26),
        deck_boards=integer(rng, 4, 9),
        runners=pick(rng, (2, 3, 3)),
        moulded=chance(rng, 0.35),
        load=(integer(rng, 1, 4), integer(rng, 1, 3), integer(rng, 0, 4)),
        load_height=uniform(rng, 140, 320),
    )


def build_pallet(p: Pallet) -> Manifold:
    x, y, t = p.x, p.y, p.board
    block_height = p.height - 3 * t
    rows = spread(p.runners, -y / 2 + 50, y / 2 - 50)
    parts = [rounded_block(x, 100, t, 12).translate((0, row, 0)) for row in rows]
    foot = rounded_block(145, 98, block_height + 2, 15)
    parts += [foot.translate((px, row, t - 1)) for px in (-x / 2 + 73, 0, x / 2 - 73) for row in rows]
    if p.moulded:
        deck = rounded_block(x, y, 2 * t, 40, 4)
        gap_x, gap_y = x / (p.deck_boards + 1), y / 5
        holes = [
            rounded_block(0.6 * gap_x, 0.6 * gap_y, 9 * t, 10).translate((cx, cy, -t))
            for cx in cells(p.deck_boards, -0.46 * x, 0.46 * x)
            for cy in cells(4, -0.44 * y, 0.44 * y)
        ]
        parts.append(subtract(deck, holes).translate((0, 0, p.height - 2 * t)))
    else:
        parts += [
            rounded_block(100, y, t + 1, 12).translate((px, 0, p.height - 2 * t - 0.5)) for px in (-x / 2 + 50, 0, x / 2 - 50)
        ]
        width = min(145.0, 0.85 * y / p.deck_boards)
        parts += [
            rounded_block(x, width, t, 12).translate((0, py, p.height - t))
            for py in spread(p.deck_boards, -(y - width) / 2, (y - width) / 2)
        ]
    columns, rows_of_boxes, layers = p.load
    if layers:
        bx, by, bz = 0.96 * x / columns, 0.96 * y / rows_of_boxes, p.load_height
        box = rounded_block(0.97 * bx, 0.97 * by, bz + 2, 20, 6)
        parts += [
            box.translate((cx, cy, p.height - 1 + k * (bz - 1)))
            for cx in cells(columns, -columns * bx / 2, columns * bx / 2)
            for cy in cells(rows_of_boxes, -rows_of_boxes * by / 2, rows_of_boxes * by / 2)
            for k in range(layers)
        ]
    return union(parts)


@dataclass(frozen=True)
class Barrel:
    """A drum, a keg or a gas bottle standing or lying, in mm."""

    style: Literal["steel_drum", "plastic_drum", "keg", "gas_bottle"]
    radius: float
    height: float
    hoops: int
    bung_ratio: float
    valve: bool
    lying: bool
    cradle: bool


def draw_barrel(rng: np.random.Generator) -> Barrel:
    style: Literal["steel_drum", "plastic_drum", "keg", "gas_bottle"] = pick(
        rng, ("steel_drum", "plastic_drum", "keg", "gas_bottle")
    )
    radius = uniform(rng, 180, 300) if style != "gas_bottle" else uniform(rng, 80, 130)
    slender = {"steel_drum": (2.6, 3.2), "plastic_drum": (2.4, 3.3), "keg": (2.0, 3.4), "gas_bottle": (5.0, 11.0)}[style]
    return Barrel(
        style=style,
        radius=radius,
        height=radius * uniform(rng, *slender),
        hoops=integer(rng, 2, 4),
        bung_ratio=uniform(rng, 0.1, 0.16),
        valve=chance(rng, 0.6),
        lying=chance(rng, 0.3),
        cradle=chance(rng),
    )


def build_barrel(p: Barrel) -> Manifold:
    r, h = p.radius, p.height
    solid = {"steel_drum": _steel_drum, "plastic_drum": _plastic_drum, "keg": _keg, "gas_bottle": _gas_bottle}[p.style](p)
    if not p.lying:
        return solid
    laid = along_x(solid).translate((0, 0, 1.1 * r))
    if not p.cradle:
        return laid
    saddle = subtract(block(0.08 * h, 1.7 * r, 0.7 * r), [along_x(centred_cylinder(0.9 * r, h, 64)).translate((0, 0, 1.1 * r))])
    rail = block(0.62 * h, 0.12 * r, 0.12 * r)
    return union(
        [
            laid,
            *(saddle.translate((place * h, 0, 0)) for place in (0.25, 0.75)),
            *(rail.translate((0.5 * h, s * 0.7 * r, 0)) for s in (-1, 1)),
        ]
    )


def _steel_drum(p: Barrel) -> Manifold:
    r, h = p.radius, p.height
    body = union(
        [
            cylinder(0.97 * r, h),
            *(
                torus(0.95 * r, 0.045 * r, 64, 12).translate((0, 0, z))
                for z in (*spread(p.hoops, 0.3 * h, 0.7 * h), 0.045 * r, h - 0.045 * r)
            ),
        ]
    )
    lid = cylinder(0.9 * r, h).translate((0, 0, h - 0.05 * r))
    bungs = [
        cylinder(size * r, 0.12 * r, 24).translate((x * r, 0, h - 0.06 * r))
        for size, x in ((p.bung_ratio, 0.65), (0.6 * p.bung_ratio, -0.65))
    ]
    return union([subtract(body, [lid]), *bungs])


def _plastic_drum(p: Barrel) -> Manifold:
    r, h = p.radius, p.height
    body = turned(
        [
            (0, 0.9 * r),
            (0.05 * h, r),
            (0.3 * h, r),
            (0.33 * h, 0.94 * r),
            (0.37 * h, r),
            (0.63 * h, r),
            (0.67 * h, 0.94 * r),
            (0.7 * h, r),
            (0.86 * h, r),
            (0.88 * h, 0.9 * r),
            (0.9 * h, r),
            (0.94 * h, 0.98 * r),
            (h, 0.8 * r),
        ]
    )
    caps = [
        union(
            [
                cylinder(1.5 * p.bung_ratio * r, 0.16 * r, 32),
                *polar(block(0.05 * r, 0.05 * r, 0.16 * r), 12, 1.5 * p.bung_ratio * r, turn=True),
            ]
        ).translate((x * r, 0, h - 0.05 * r))
        for x in (0.5, -0.5)
    ]
    grips = [torus(0.2 * r, 0.06 * r, 24, 10).rotate((90, 0, 0)).translate((0, s * 0.55 * r, h)) for s in (-1, 1)]
    return union([body, *caps, *grips])


def _keg(p: Barrel) -> Manifold:
    r, h = p.radius, p.height
    body = turned(
        [
            (0.1 * h, 0.5 * r),
            (0.14 * h, 0.8 * r),
            (0.2 * h, 0.93 * r),
            (0.8 * h, 0.93 * r),
            (0.86 * h, 0.8 * r),
            (0.9 * h, 0.5 * r),
        ]
    )
    ring = tube(0.9 * r, 0.82 * r, 0.17 * h)
    window = centred_block(0.5 * r, 0.7 * r, 0.1 * h).translate((0.86 * r, 0, 0.9 * h))
    collar = subtract(ring.translate((0, 0, 0.83 * h)), [window, window.rotate((0, 0, 180))])
    hoops = [torus(0.93 * r, 0.06 * r, 64, 12).translate((0, 0, z)) for z in spread(p.hoops, 0.3 * h, 0.7 * h)]
    valve = turned([(0.85 * h, 0.22 * r), (0.92 * h, 0.22 * r), (0.93 * h, 0.14 * r), (0.97 * h, 0.14 * r)], 32)
    return union([body, ring, collar, *hoops, valve])


def _gas_bottle(p: Barrel) -> Manifold:
    r, h = p.radius, p.height
    shoulder = [(h - r * (1.4 - 1.1 * math.sin(t)), r * (0.3 + 0.7 * math.cos(t))) for t in np.linspace(0, math.pi / 2, 10)]
    body = turned([(0, 0.85 * r), (0.1 * r, r), *shoulder, (h, 0.3 * r)])
    if not p.valve:
        cap = turned([(h - 0.5 * r, 0.42 * r), (h, 0.42 * r), (h + 0.35 * r, 0.35 * r), (h + 0.5 * r, 0.2 * r)], 40)
        return union([body, cap])
    stem = [
        cylinder(0.17 * r, 0.7 * r, 24).translate((0, 0, h - 0.1 * r)),
        cylinder(0.13 * r, 0.45 * r, 24).rotate((0, 90, 0)).translate((0, 0, h + 0.3 * r)),
    ]
    wheel = union([cylinder(0.32 * r, 0.16 * r, 32), *polar(cylinder(0.08 * r, 0.16 * r, 12), 8, 0.32 * r)])
    return union([body, *stem, wheel.translate((0, 0, h + 0.55 * r))])


@dataclass(frozen=True)
class CrateBin:
    """An open container, in mm: tapered walls, rim, ribs, hand holes; `scoop_ratio` cuts the front down as picking bins are."""

    x: float
    y: float
    z: float
    wall: float
    draft_ratio: float
    corner: float
    rim: float
    ribs: tuple[int, int]
    hand_holes: bool
    scoop_ratio: float
    feet: bool
    dividers: int


def draw_crate_bin(rng: np.random.Generator) -> CrateBin:
    x = pick(rng, (300.0, 400.0, 600.0, 800.0))
    return CrateBin(
        x=x,
        y=x * uniform(rng, 0.5, 0.85),
        z=x * uniform(rng, 0.25, 0.7),
        wall=x * uniform(rng, 0.016, 0.03),
        draft_ratio=uniform(rng, 0.85, 1.0),
        corner=x * uniform(rng, 0.03, 0.09),
        rim=x * uniform(rng, 0.015, 0.05),
        ribs=(integer(rng, 0, 6), integer(rng, 0, 4)),
        hand_holes=chance(rng, 0.6),
        scoop_ratio=uniform(rng, 0.35, 0.7) if chance(rng, 0.3) else 0.0,
        feet=chance(rng, 0.4),
        dividers=pick(rng, (0, 0, 0, 1, 2, 3)),
    )


def build_crate_bin(p: CrateBin) -> Manifold:
    x, y, z, t = p.x, p.y, p.z, p.wall

    def tub(inset: float, height: float) -> Manifold:
        outline = rounded_rectangle(x - 2 * inset, y - 2 * inset, max(p.corner - inset, 0.01 * x))
        return Manifold.extrude(
            outline.scale((p.draft_ratio, p.draft_ratio)), height, 0, 0, (1 / p.draft_ratio, 1 / p.draft_ratio)
        )

    outside = tub(0.0, z)
    rim = extruded(rounded_rectangle(x + 2 * p.rim, y + 2 * p.rim, p.corner + p.rim), 1.6 * t).translate((0, 0, z - 1.6 * t))
    reach = p.rim + 0.02 * x
    ribs = (
        [block(1.2 * t, y + 2 * p.rim, z - t).translate((cx, 0, 0.5 * t)) for cx in cells(p.ribs[0], -0.42 * x, 0.42 * x)]
        if p.ribs[0]
        else []
    )
    ribs += (
        [block(x + 2 * p.rim, 1.2 * t, z - t).translate((0, cy, 0.5 * t)) for cy in cells(p.ribs[1], -0.4 * y, 0.4 * y)]
        if p.ribs[1]
        else []
    )
    hollow = tub(t, z).translate((0, 0, t))
    ribs = [rib ^ tub(-p.rim, z) for rib in ribs]
    solid = union([subtract(union([outside, rim, *ribs]), [hollow]), *_dividers(p)])
    tools = []
    if p.hand_holes:
        tools.append(
            along_x(rounded_block(0.28 * y, 0.13 * z, 2 * x, 0.06 * z).translate((0, 0, -x))).translate((0, 0, 0.74 * z))
        )
    if p.scoop_ratio:
        wedge = polygon(
            [(-x, z * (1 - p.scoop_ratio)), (-x / 2 + 2 * t, z * (1 - p.scoop_ratio)), (-x / 2 + 0.35 * x, z + 1), (-x, z + 1)]
        )
        tools.append(Manifold.extrude(wedge, 2 * (y + reach)).translate((0, 0, -(y + reach))).rotate((90, 0, 0)))
    if p.feet:
        foot = rounded_block(0.16 * x, 0.16 * y, 2 * t, 0.02 * x).translate((0, 0, -1.5 * t))
        solid = union([solid, *at_corners(foot, 0.3 * x, 0.3 * y)])
    return subtract(solid, tools)


def _dividers(p: CrateBin) -> list[Manifold]:
    wall = block(p.wall, p.y * p.draft_ratio - p.wall, 0.75 * p.z).translate((0, 0, 0.5 * p.wall))
    return [wall.translate((x, 0, 0)) for x in spread(p.dividers, -0.22 * p.x, 0.22 * p.x)]


@dataclass(frozen=True)
class HandTool:
    """A hand tool lying along x, in mm; `head` scales its working end; `opening_degrees` turns jaws or parts pliers."""

    style: Literal["open_spanner", "ring_spanner", "hammer", "screwdriver", "pliers", "hex_key"]
    length: float
    handle: float
    head: float
    opening_degrees: float
    flutes: int


def draw_hand_tool(rng: np.random.Generator) -> HandTool:
    length = uniform(rng, 140, 320)
    return HandTool(
        style=pick(rng, ("open_spanner", "ring_spanner", "hammer", "screwdriver", "pliers", "hex_key")),
        length=length,
        handle=length * uniform(rng, 0.05, 0.07),
        head=length * uniform(rng, 0.09, 0.13),
        opening_degrees=uniform(rng, 4, 22),
        flutes=integer(rng, 5, 8),
    )


def build_hand_tool(p: HandTool) -> Manifold:
    styles = {
        "open_spanner": _spanner,
        "ring_spanner": _spanner,
        "hammer": _hammer,
        "screwdriver": _screwdriver,
        "pliers": _pliers,
        "hex_key": _hex_key,
    }
    return styles[p.style](p)


def _spanner(p: HandTool) -> Manifold:
    """A flat shank with an open jaw at one end and a jaw or ring at the other."""
    length, head = p.length, p.head
    thickness = 0.6 * p.handle
    shank = rounded_block(length, 1.3 * p.handle, thickness, 0.3 * p.handle, 0.12 * thickness)
    groove = slot(0.5 * length, 0.6 * p.handle, thickness)
    shank = subtract(shank, [groove.translate((0, 0, s * 0.75 * thickness)) for s in (-1, 1)])
    jaw_head = chamfered_cylinder(0.95 * head, 1.4 * thickness, 0.1 * thickness, 56)
    gap = union(
        [
            centred_block(2 * head, 0.95 * head, 9 * head).translate((0.75 * head, 0, 0)),
            centred_cylinder(0.475 * head, 9 * head, 6).translate((-0.2 * head, 0, 0)),
        ]
    )
    jaw = subtract(jaw_head, [gap.rotate((0, 0, p.opening_degrees))])
    ring = subtract(
        chamfered_cylinder(0.8 * head, 1.7 * thickness, 0.2 * thickness, 56),
        polar(centred_cylinder(0.55 * head, 9 * head, 6), 2, 0.0),
    )
    # The twelve-point bore is two hexagons, half a side apart.
    ring = subtract(ring, [centred_cylinder(0.55 * head, 9 * head, 6).rotate((0, 0, 30))])
    end = jaw.translate((length / 2 + 0.7 * head, 0, -0.2 * thickness))
    other = (
        (jaw.scale((0.85, 0.85, 1)) if p.style == "open_spanner" else ring)
        .rotate((0, 0, 180))
        .translate((-length / 2 - 0.55 * head, 0, -0.2 * thickness))
    )
    return union([shank, end, other])


def _hammer(p: HandTool) -> Manifold:
    length, head = p.length, p.head
    handle = hull(
        [
            along_x(extruded(disc(radius, 32).scale((0.75, 1)), 1)).translate((x, 0, 0))
            for x, radius in ((0, 0.9 * p.handle), (0.6 * length, 0.6 * p.handle))
        ]
    )
    grip = hull(
        [
            along_x(extruded(disc(radius, 32).scale((0.75, 1)), 1)).translate((x, 0, 0))
            for x, radius in ((0.55 * length, 0.65 * p.handle), (length, 0.5 * p.handle))
        ]
    )
    eye = pebble(1.1 * head, 0.9 * head, head, 0.12 * head).translate((length, 0, -head / 2))
    neck = turned(
        [
            (0, 0.28 * head),
            (0.9 * head, 0.28 * head),
            (1.1 * head, 0.5 * head),
            (1.6 * head, 0.5 * head),
            (1.7 * head, 0.43 * head),
        ],
        40,
    )
    face = along_y(neck).translate((length, 0, 0))
    pein = hull(
        [
            centred_block(0.7 * head, 0.1 * head, 0.7 * head),
            centred_block(0.9 * head, 0.1 * head, 0.2 * head).translate((0, -1.5 * head, 0)),
        ]
    )
    return union([handle, grip, eye, face, pein.translate((length, -0.35 * head, 0))])


def _screwdriver(p: HandTool) -> Manifold:
    length, r = p.length, 1.6 * p.handle
    grip_length = 0.45 * length
    grip = turned(
        [
            (0, 0.6 * r),
            (0.05 * length, r),
            (0.3 * length, 0.95 * r),
            (0.36 * length, 0.6 * r),
            (0.42 * length, 0.75 * r),
            (grip_length, 0.5 * r),
        ],
        48,
    )
    flutes = polar(centred_cylinder(0.3 * r, 0.46 * length, 20).translate((0, 0, 0.16 * length)), p.flutes, 1.12 * r)
    blade = cylinder(0.4 * p.handle, 0.52 * length, 24).translate((0, 0, 0.44 * length))
    tip = hull([cylinder(0.4 * p.handle, 1, 24), block(0.35 * p.handle, 1.2 * p.handle, 1).translate((0, 0, 0.06 * length))])
    return along_x(union([subtract(grip, flutes), blade, tip.translate((0, 0, 0.955 * length))]))


def _pliers(p: HandTool) -> Manifold:
    length, h = p.length, p.handle
    jaw_length = 0.22 * length
    jaw = hull(
        [
            centred_block(0.1, 1.3 * h, 1.2 * h).translate((-0.02 * length, -0.6 * h, 0)),
            centred_block(0.1, 0.4 * h, 0.5 * h).translate((jaw_length, -0.25 * h, 0)),
        ]
    )
    pivot = centred_cylinder(1.2 * h, 0.95 * h, 40)
    path = [
        (0.0, 0.0, 0.0),
        (-0.14 * length, 0.07 * length, 0.0),
        (-0.4 * length, 0.11 * length, 0.0),
        (-0.7 * length, 0.08 * length, 0.0),
    ]
    half = union([jaw, swept_ball(path, 0.55 * h, 16), swept_ball(path[1:], 0.75 * h, 16)])
    other = half.mirror((0, 1, 0))
    rivet = centred_cylinder(0.5 * h, 1.5 * h, 28)
    return union([half.rotate((0, 0, -p.opening_degrees / 2)), other.rotate((0, 0, p.opening_degrees / 2)), pivot, rivet])


def _hex_key(p: HandTool) -> Manifold:
    """An L of hexagonal bar with a rounded elbow."""
    r, bend_radius, turns = 0.8 * p.handle, 2.0 * p.handle, 20
    bar = cylinder(r, 1, 6)
    short, long = 0.3 * p.length, p.length
    elbow = []
    for k in range(turns + 1):
        angle = 90 * k / turns
        ring = bar.scale((1, 1, 0.02 * r)).translate((-bend_radius, 0, 0)).rotate((0, angle, 0)).translate((bend_radius, 0, 0))
        elbow.append(ring)
    curved = union(hull([a, b]) for a, b in pairwise(elbow))
    legs = [
        bar.scale((1, 1, short)).translate((0, 0, -short)),
        bar.scale((1, 1, long)).rotate((0, 90, 0)).translate((bend_radius, 0, bend_radius)),
    ]
    grip = hull([Manifold.sphere(1.5 * r, 20).translate((bend_radius + f * long, 0, bend_radius)) for f in (0.55, 1.0)])
    return union([curved, *legs, grip]).rotate((90, 0, 0))


@dataclass(frozen=True)
class Cover:
    """A thin-walled cover, open below, in mm: flange with screw holes, ribs inside, vents, bosses and a dome on top."""

    x: float
    y: float
    z: float
    wall: float
    corner: float
    taper_ratio: float
    flange: float
    holes: int
    ribs: int
    vents: int
    bosses: int
    window: bool
    round: bool
    pose: Pose


def draw_cover(rng: np.random.Generator) -> Cover:
    x = uniform(rng, 80, 400)
    return Cover(
        x=x,
        y=x * uniform(rng, 0.4, 1.0),
        z=x * uniform(rng, 0.15, 0.8),
        wall=x * uniform(rng, 0.018, 0.035),
        corner=x * uniform(rng, 0.03, 0.15),
        taper_ratio=uniform(rng, 0.7, 1.0),
        flange=x * uniform(rng, 0.05, 0.11),
        holes=integer(rng, 2, 4),
        ribs=integer(rng, 0, 4),
        vents=pick(rng, (0, 0, 4, 6, 9)),
        bosses=integer(rng, 0, 3),
        window=chance(rng, 0.3),
        round=chance(rng, 0.3),
        pose=pick(rng, ("upright", "upside_down", "lying")),
    )


def build_cover(p: Cover) -> Manifold:
    x, y, z, t = p.x, p.y, p.z, p.wall
    outline = disc(y / 2, 72) if p.round else rounded_rectangle(x, y, p.corner)
    span = y if p.round else x
    shell = Manifold.extrude(outline, z, 0, 0, (p.taper_ratio, p.taper_ratio))
    hollow = Manifold.extrude(outline.offset(-t), z - t, 0, 0, (p.taper_ratio, p.taper_ratio)).translate((0, 0, -0.001))
    lip = extruded(outline.offset(p.flange), 1.3 * t)
    drill = centred_cylinder(0.25 * p.flange, 9 * t, 20)
    reach_x, reach_y = (span + p.flange) / 2, (y + p.flange) / 2
    if p.round:
        drills = polar(drill, 2 * p.holes, reach_y)
    else:
        drills = [drill.translate((hx, s * reach_y, 0)) for hx in cells(p.holes, -0.45 * x, 0.45 * x) for s in (-1, 1)]
        drills += [drill.translate((s * reach_x, 0, 0)) for s in (-1, 1)]
    ribs = (
        [
            block(t, y * p.taper_ratio - t, 0.5 * z).translate((rx, 0, 0.49 * z))
            for rx in cells(p.ribs, -0.4 * span * p.taper_ratio, 0.4 * span * p.taper_ratio)
        ]
        if p.ribs
        else []
    )
    inside = Manifold.extrude(outline, z, 0, 0, (p.taper_ratio, p.taper_ratio))
    boss = turned([(0, 0.09 * y), (0.12 * z + 1, 0.08 * y)], 32)
    bosses = (
        [
            boss.translate((bx, 0.2 * y * p.taper_ratio, z - 0.5))
            for bx in cells(p.bosses, -0.35 * span * p.taper_ratio, 0.35 * span * p.taper_ratio)
        ]
        if p.bosses
        else []
    )
    vent = (
        [
            along_y(slot(0.5 * z, 0.4 * 0.7 * span / p.vents, 3 * y)).translate((vx, -1.5 * y, 0.5 * z))
            for vx in cells(p.vents, -0.35 * span, 0.35 * span)
        ]
        if p.vents
        else []
    )
    body = union([subtract(union([shell, lip]), [hollow, *vent]), *(rib ^ inside for rib in ribs), *bosses])
    tools = [
        *drills,
        *(
            [centred_cylinder(0.17 * y * p.taper_ratio, 4 * t, 40).translate((0, -0.2 * y * p.taper_ratio, z))]
            if p.window
            else []
        ),
    ]
    return posed(subtract(body, tools), p.pose)


# The crests of the thread are thinner.
PROXIMITY_SENSOR = Family(
    "proximity_sensor",
    "component",
    draw_proximity_sensor,
    build_proximity_sensor,
    "Cylindrical proximity switch with threaded barrel, nuts, plug or cable",
    thinnest_wall=1.4,
)
PHOTOELECTRIC_SENSOR = Family(
    "photoelectric_sensor",
    "component",
    draw_photoelectric_sensor,
    build_photoelectric_sensor,
    "Cuboid photoelectric sensor with windows, gland or plug, sometimes on a bracket",
)
LIDAR = Family("lidar", "component", draw_lidar, build_lidar, "Laser scanner: drum with a window band on a base")
CAMERA_HOUSING = Family(
    "camera_housing",
    "component",
    draw_camera_housing,
    build_camera_housing,
    "Industrial camera with lens barrel, connectors and mount",
)
D_SUB_CONNECTOR = Family(
    "d_sub_connector",
    "component",
    draw_d_sub_connector,
    build_d_sub_connector,
    "D-subminiature connector with flange, contacts and hood",
)
# The crests of the thread are thinner.
CIRCULAR_CONNECTOR = Family(
    "circular_connector",
    "component",
    draw_circular_connector,
    build_circular_connector,
    "Round connector with knurled ring, backshell and cable",
    thinnest_wall=1.4,
)
# The wells of a many-poled block leave thinner webs.
TERMINAL_BLOCK = Family(
    "terminal_block",
    "component",
    draw_terminal_block,
    build_terminal_block,
    "Row of screw terminals, stepped or flat",
    thinnest_wall=2.0,
)
ROBOT_LINK = Family("robot_link", "component", draw_robot_link, build_robot_link, "Cast robot link between two joints")
CABLE_CHAIN = Family(
    "cable_chain", "component", draw_cable_chain, build_cable_chain, "Energy chain in a half turn between its brackets"
)
HAND_WHEEL = Family(
    "hand_wheel", "component", draw_hand_wheel, build_hand_wheel, "Hand wheel with spokes or a disc, and a crank handle"
)
# The crests of the thread are thinner.
KNOB_HANDLE = Family(
    "knob_handle",
    "component",
    draw_knob_handle,
    build_knob_handle,
    "Star knob, mushroom knob, clamping lever or bow handle",
    thinnest_wall=1.4,
)
COVER = Family("cover", "component", draw_cover, build_cover, "Thin-walled cover with flange, ribs and vents")
PALLET = Family("pallet", "other", draw_pallet, build_pallet, "Pallet of boards or moulded, empty or with a stack of boxes")
BARREL = Family("barrel", "other", draw_barrel, build_barrel, "Drum, keg or gas bottle, standing or lying")
CRATE_BIN = Family(
    "crate_bin", "other", draw_crate_bin, build_crate_bin, "Open container with rim, ribs and hand holes, or a picking bin"
)
# Blades and jaws run out thin.
HAND_TOOL = Family(
    "hand_tool", "other", draw_hand_tool, build_hand_tool, "Spanner, hammer, screwdriver, pliers or hex key", thinnest_wall=2.0
)

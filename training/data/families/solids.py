"""The vocabulary of the families: solids and cross-sections in millimetres, z up.

Unless a docstring says otherwise a solid stands on z = 0, centred on the z axis; `d` is a nominal diameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from manifold3d import CrossSection, JoinType, Manifold, Mesh, OpType

from training.data.families.standards import (
    HEXAGON_BOLTS,
    HEXAGON_NUTS,
    PLAIN_WASHERS,
    SOCKET_SCREWS,
    Beam,
    PipeFlange,
    RollerChain,
    VGroove,
    parallel_key,
)

HeadStyle = Literal["hex", "socket", "flanged"]
HEAD_STYLES: tuple[HeadStyle, ...] = ("hex", "socket", "flanged")
HoleStyle = Literal["plain", "counterbored", "countersunk"]
HOLE_STYLES: tuple[HoleStyle, ...] = ("plain", "counterbored", "countersunk")

Point2 = tuple[float, float]
Point3 = tuple[float, float, float]


# Combining


def union(parts: Iterable[Manifold]) -> Manifold:
    """All parts as one solid."""
    return Manifold.batch_boolean(list(parts), OpType.Add)


def subtract(body: Manifold, tools: Iterable[Manifold]) -> Manifold:
    """The body without the tools."""
    tools = list(tools)
    return Manifold.batch_boolean([body, *tools], OpType.Subtract) if tools else body


def hull(parts: Iterable[Manifold]) -> Manifold:
    """Convex hull of all parts together."""
    return Manifold.batch_hull(list(parts))


# Placing


def along_x(solid: Manifold) -> Manifold:
    """Lay a solid built along z along x: z -> x, x -> y, y -> z, so that +y of the drawing points up."""
    return solid.transform(np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]], float))


def along_y(solid: Manifold) -> Manifold:
    """Lay a solid built along z along y: z -> y, x -> z, y -> x."""
    return solid.transform(np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]], float))


def polar(solid: Manifold, count: int, radius: float, phase: float = 0.0, turn: bool = False) -> list[Manifold]:
    """`count` copies on a circle about z, the first at `phase` degrees; with `turn`, each also faces outward (its +x)."""
    copies = []
    for k in range(count):
        degrees = 360 * k / count + phase
        copy = solid.rotate((0, 0, degrees)) if turn else solid
        angle = math.radians(degrees)
        copies.append(copy.translate((radius * math.cos(angle), radius * math.sin(angle), 0)))
    return copies


def at_corners(solid: Manifold, x: float, y: float) -> list[Manifold]:
    """Four copies, at (+-x, +-y)."""
    return [solid.translate((i * x, j * y, 0)) for i in (-1, 1) for j in (-1, 1)]


def spread(count: int, low: float, high: float) -> list[float]:
    """`count` equally spaced positions from low to high, both included; the middle for a count of one, none for 0."""
    return [(low + high) / 2] if count == 1 else [low + (high - low) * k / (count - 1) for k in range(count)]


def cells(count: int, low: float, high: float) -> list[float]:
    """The centres of `count` equal intervals between low and high."""
    return [low + (high - low) * (k + 0.5) / count for k in range(count)]


# Cross-sections


def disc(radius: float, segments: int = 48) -> CrossSection:
    """A filled circle."""
    return CrossSection.circle(radius, segments)


def polygon(points: Sequence[Point2]) -> CrossSection:
    """A simple polygon, counter-clockwise."""
    return CrossSection([np.asarray(points, float)])


def rounded_rectangle(x: float, y: float, radius: float) -> CrossSection:
    """A centred x by y rectangle with rounded corners; the radius is cut down to what fits."""
    radius = min(radius, 0.49 * min(x, y))
    if radius < 1e-3:
        return CrossSection.square((x, y), True)
    return CrossSection.square((x - 2 * radius, y - 2 * radius), True).offset(radius, JoinType.Round, 2.0, 32)


def sector(radius: float, start: float, stop: float, arc_points: int = 9) -> CrossSection:
    """A pie slice between two angles in degrees, less than half a turn apart."""
    angles = np.radians(np.linspace(start, stop, arc_points))
    return polygon([(0.0, 0.0), *((radius * math.cos(a), radius * math.sin(a)) for a in angles)])


def gear_outline(module: float, teeth: int, pressure_angle: float = 20.0, flank_points: int = 4) -> CrossSection:
    """Involute spur gear: pitch radius module * teeth / 2, addendum 1, dedendum 1.25 modules."""
    alpha = math.radians(pressure_angle)
    pitch = module * teeth / 2
    base, tip, root = pitch * math.cos(alpha), pitch + module, pitch - 1.25 * module
    half_tooth_at_base = math.pi / (2 * teeth) + math.tan(alpha) - alpha

    def half_angle(radius: float) -> float:
        flank = math.acos(min(1.0, base / radius))
        return half_tooth_at_base - (math.tan(flank) - flank)

    half_tooth = [(r, half_angle(r)) for r in np.linspace(max(base, root), tip, flank_points)]
    if root < base:
        # The flank below the base circle is not an involute: a short line that widens stands in for the root fillet.
        half_tooth.insert(0, (root, half_tooth_at_base + 0.15 * math.pi / teeth))
    points: list[Point2] = []
    for k in range(teeth):
        centre = 2 * math.pi * k / teeth
        flanks = [(r, centre - a) for r, a in half_tooth] + [(r, centre + a) for r, a in reversed(half_tooth)]
        points += [(r * math.cos(a), r * math.sin(a)) for r, a in flanks]
    return polygon(points)


def sprocket_outline(chain: RollerChain, teeth: int) -> CrossSection:
    """Roller-chain wheel after ISO 606: roller seats on the pitch circle, teeth up to the middle of what is allowed."""
    pitch_radius = chain.pitch / (2 * math.sin(math.pi / teeth))
    seat = 0.505 * chain.roller
    # A seat that opens outwards: the hull of the roller and a wider roller outside the tip circle.
    opening = disc(seat + 0.1 * chain.pitch, 20).translate((0.6 * chain.pitch, 0))
    gap = CrossSection.batch_hull([disc(seat, 28), opening]).translate((pitch_radius, 0))
    gaps = [gap.rotate(360 * k / teeth) for k in range(teeth)]
    return disc(sprocket_tip_radius(chain, teeth), 6 * teeth) - CrossSection.batch_boolean(gaps, OpType.Add)


def sprocket_tip_radius(chain: RollerChain, teeth: int) -> float:
    """Half the mean of the smallest and the largest tip diameter that ISO 606 allows."""
    pitch_diameter = chain.pitch / math.sin(math.pi / teeth)
    smallest = pitch_diameter + chain.pitch * (1 - 1.6 / teeth) - chain.roller
    return (smallest + pitch_diameter + 1.25 * chain.pitch - chain.roller) / 4


def beam_section(beam: Beam) -> CrossSection:
    """A rolled I or H section, centred, web upright."""
    room = rounded_rectangle(beam.b - beam.tw, beam.h - 2 * beam.tf, beam.r)
    # Beside the web the room is rounded, past the flanges' edges it is out of the section.
    middle = beam.b / 2
    rooms = room.translate((middle, 0)) + room.translate((-middle, 0))
    return CrossSection.square((beam.b, beam.h), True) - rooms


def vee_groove(groove: VGroove, datum_radius: float, reach: float) -> CrossSection:
    """The tool of one V-belt groove, drawn in (radius, z) about z = 0, open from the datum radius out to `reach`."""
    slope = math.tan(math.radians(groove.degrees(2 * datum_radius) / 2))

    def half_width(radius: float) -> float:
        return groove.wd / 2 + (radius - datum_radius) * slope

    root = datum_radius - groove.h
    low, high = half_width(root), half_width(reach)
    return polygon([(root, -low), (reach, -high), (reach, high), (root, low)])


# Prismatic solids


def extruded(section: CrossSection, height: float) -> Manifold:
    """The section, from z = 0 to the height."""
    return Manifold.extrude(section, height)


def upright(section: CrossSection, width: float) -> Manifold:
    """A section drawn in (x, z), as seen from -y, extruded over y in [-width/2, width/2]."""
    return Manifold.extrude(section, width).translate((0, 0, -width / 2)).rotate((90, 0, 0))


def block(x: float, y: float, z: float) -> Manifold:
    """A box that stands on z = 0."""
    return Manifold.cube((x, y, z), True).translate((0, 0, z / 2))


def centred_block(x: float, y: float, z: float) -> Manifold:
    """A box centred on the origin."""
    return Manifold.cube((x, y, z), True)


def rounded_block(x: float, y: float, z: float, radius: float, chamfer: float = 0.0) -> Manifold:
    """A box with rounded upright edges, and a 45 degree chamfer around top and bottom."""
    section = rounded_rectangle(x, y, radius)
    if chamfer <= 0:
        return extruded(section, z)
    inner = rounded_rectangle(x - 2 * chamfer, y - 2 * chamfer, max(radius - chamfer, 0.01))
    return hull([extruded(section, z - 2 * chamfer).translate((0, 0, chamfer)), extruded(inner, z)])


def pebble(x: float, y: float, z: float, radius: float, segments: int = 16) -> Manifold:
    """A box with all edges and corners rounded, as cast housings are."""
    ball = Manifold.sphere(radius, segments)
    i, j, k = x / 2 - radius, y / 2 - radius, z / 2 - radius
    corners = [ball.translate((a * i, b * j, c * k)) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]
    return hull(corners).translate((0, 0, z / 2))


def slot(length: float, width: float, depth: float) -> Manifold:
    """A stadium: length along x over all, width across, from z = 0 to the depth."""
    return extruded(rounded_rectangle(length, width, 0.49 * width), depth)


# Round solids


def cylinder(radius: float, height: float, segments: int = 48) -> Manifold:
    """A cylinder that stands on z = 0."""
    return Manifold.cylinder(height, radius, radius, segments)


def centred_cylinder(radius: float, height: float, segments: int = 48) -> Manifold:
    """A cylinder centred on the origin."""
    return Manifold.cylinder(height, radius, radius, segments, True)


def tube(outer: float, inner: float, height: float, segments: int = 48) -> Manifold:
    """A hollow cylinder that stands on z = 0."""
    return extruded(disc(outer, segments) - disc(inner, segments), height)


def turned(profile: Sequence[Point2], segments: int = 64) -> Manifold:
    """A solid of revolution about z, from (z, radius) pairs with rising z."""
    outline = [(0.0, profile[0][0]), *((radius, z) for z, radius in profile), (0.0, profile[-1][0])]
    return Manifold.revolve(polygon(outline), segments)


def torus(ring_radius: float, section_radius: float, segments: int = 48, section_segments: int = 16) -> Manifold:
    """A ring in the plane z = 0."""
    return Manifold.revolve(disc(section_radius, section_segments).translate((ring_radius, 0)), segments)


def chamfered_cylinder(radius: float, height: float, chamfer: float, segments: int = 48) -> Manifold:
    """A cylinder with 45 degree chamfers at both ends."""
    return turned([(0, radius - chamfer), (chamfer, radius), (height - chamfer, radius), (height, radius - chamfer)], segments)


def dished_shell(radius: float, length: float, dish: float, segments: int = 64) -> Manifold:
    """A vessel along z: a cylinder over z in [0, length] with half-ellipsoids of depth `dish` at both ends."""
    angles = np.linspace(0, math.pi / 2, 10)[:-1]
    low = [(-dish * math.cos(a), radius * math.sin(a)) for a in angles[1:]]
    high = [(length + dish * math.cos(a), radius * math.sin(a)) for a in reversed(angles[1:])]
    return turned([(-dish, 0.02 * radius), *low, (0, radius), (length, radius), *high, (length + dish, 0.02 * radius)], segments)


def bend(bend_radius: float, section: CrossSection, degrees: float, segments: int = 18) -> Manifold:
    """A pipe bend, in `segments` pieces, that starts at the origin along +z and turns towards +x."""
    quarter = Manifold.revolve(section.translate((bend_radius, 0)), segments, degrees)
    return quarter.rotate((90, 0, 0)).mirror((1, 0, 0)).translate((bend_radius, 0, 0))


def swept_ball(path: Sequence[Point3], radius: float, segments: int = 16) -> Manifold:
    """A round bar along a polyline, with round ends and joints."""
    ball = Manifold.sphere(radius, segments)
    return union(hull([ball.translate(a), ball.translate(b)]) for a, b in pairwise(path))


def swept_disc(path: Sequence[Point3], radius: float, segments: int = 12) -> Manifold:
    """A round bar along a smooth path that is nowhere upright, with flat ends: the disc stays square to the path."""
    points = np.asarray(path, float)
    tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    across = np.cross(tangents, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    upward = np.cross(across, tangents)
    angles = 2 * math.pi * np.arange(segments) / segments
    rings = points[:, None] + radius * (np.cos(angles)[:, None] * across[:, None] + np.sin(angles)[:, None] * upward[:, None])
    index = np.arange(len(points) * segments).reshape(len(points), segments)
    following = np.roll(index, -1, axis=1)
    sides = [
        np.stack([index[:-1], following[1:], following[:-1]], axis=-1),
        np.stack([index[:-1], index[1:], following[1:]], axis=-1),
    ]
    first, last = index[0], index[-1]
    caps = [(first[0], first[k], first[k + 1]) for k in range(1, segments - 1)]
    caps += [(last[0], last[k + 1], last[k]) for k in range(1, segments - 1)]
    faces = np.concatenate([*(side.reshape(-1, 3) for side in sides), np.array(caps)])
    return Manifold(Mesh(rings.reshape(-1, 3).astype(np.float32), faces.astype(np.uint32)))


# Fasteners and holes


def hexagon(across_flats: float, height: float) -> Manifold:
    """A hexagonal prism."""
    return cylinder(across_flats / math.sqrt(3), height, 6)


def hex_head(across_flats: float, height: float) -> Manifold:
    """A bolt head or cap: a hexagon with its corners turned off at the top."""
    turning = turned([(0, 0.6 * across_flats), (0.8 * height, 0.6 * across_flats), (height, 0.47 * across_flats)], 24)
    return hexagon(across_flats, height) ^ turning


def hex_nut(across_flats: float, height: float) -> Manifold:
    """A nut without its hole: a hexagon with its corners turned off at both ends, at 30 degrees."""
    face, corner = 0.475 * across_flats, 0.6 * across_flats
    rise = (corner - face) * math.tan(math.radians(30))
    return hexagon(across_flats, height) ^ turned([(0, face), (rise, corner), (height - rise, corner), (height, face)], 24)


def bolt_head(d: float, style: HeadStyle) -> Manifold:
    """The head of a screw of nominal diameter d, seated on z = 0 and sunk 0.05 d into what it clamps."""
    if style == "hex":
        head = hex_head(1.55 * d, 0.65 * d)
    elif style == "socket":
        head = _socket_head(1.5 * d, d, 0.82 * d, 0.5 * d)
    else:
        head = union([hex_head(1.5 * d, 0.9 * d), turned([(0, 1.1 * d), (0.1 * d, 1.1 * d), (0.3 * d, 0.8 * d)], 32)])
    return head.translate((0, 0, -0.05 * d))


def screw_head(thread: str, style: HeadStyle) -> Manifold:
    """The head of a standard screw ("M12"), seated on z = 0; flanged ones follow ISO 4014 with a collar of 2.2 d."""
    bolt, socket = HEXAGON_BOLTS[thread], SOCKET_SCREWS[thread]
    if style == "socket":
        return _socket_head(socket.dk, socket.k, socket.s, socket.t)
    head = hex_head(bolt.s, bolt.k)
    if style == "hex":
        return head
    collar = turned([(0, 1.1 * bolt.d), (0.1 * bolt.d, 1.1 * bolt.d), (0.35 * bolt.d, 0.8 * bolt.d)], 48)
    return union([head.translate((0, 0, 0.15 * bolt.d)), collar])


def _socket_head(diameter: float, height: float, across_flats: float, depth: float) -> Manifold:
    edge = 0.06 * diameter
    blank = turned([(0, diameter / 2), (height - edge, diameter / 2), (height, diameter / 2 - edge)], 48)
    return blank - hexagon(across_flats, depth + 1).translate((0, 0, height - depth))


def nut(thread: str) -> Manifold:
    """A standard nut ("M12") without its hole, on z = 0: it sits on a thread."""
    return hex_nut(HEXAGON_NUTS[thread].s, HEXAGON_NUTS[thread].m)


def washer(thread: str) -> Manifold:
    """A standard plain washer ("M12") without its hole, on z = 0."""
    return cylinder(PLAIN_WASHERS[thread].d2 / 2, PLAIN_WASHERS[thread].h)


def screw_hole(d: float, depth: float, style: HoleStyle, segments: int = 24) -> Manifold:
    """A tool that drills down from z = 0 to below -depth, for a screw with its head at the top."""
    drill = cylinder(d / 2, depth + 2, segments).translate((0, 0, -depth - 1))
    if style == "counterbored":
        return drill + cylinder(0.85 * d, 0.45 * depth + 1, segments).translate((0, 0, -0.45 * depth))
    if style == "countersunk":
        return drill + Manifold.cylinder(0.5 * d + 0.2, d / 2, d + 0.2, segments).translate((0, 0, -0.5 * d))
    return drill


# The ISO 68-1 basic profile over one pitch, from the middle of a crest: (axial place, depth), both in pitches.
THREAD_PROFILE = ((-1 / 16, 0.0), (1 / 16, 0.0), (3 / 8, 0.541), (5 / 8, 0.541))


def thread(d: float, length: float, pitch: float, points: int = 28) -> Manifold:
    """An external ISO metric thread over z in [0, length]; `points` to a turn, and edges that follow crest and root exactly."""
    rows = 4 * (math.ceil(length / pitch) + 3) + 1
    row, column = np.arange(rows)[:, None], np.arange(points)[None]
    place, depth = np.array(THREAD_PROFILE)[row[:, 0] % 4].T
    angle = 2 * math.pi * column / points
    z = pitch * (row // 4 - 2 + place[:, None] + column / points)
    radius = np.broadcast_to(d / 2 - pitch * depth[:, None], z.shape)
    vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1).reshape(-1, 3)
    # Past the last column a row goes on as the row one pitch, so four rows, higher up.
    index = np.arange(rows * points).reshape(rows, points)
    onward = np.hstack([index[:-4], index[4:, :1]])
    quads = [np.stack([onward[:-1, :-1], onward[:-1, 1:], onward[1:, 1:], onward[1:, :-1]], axis=-1).reshape(-1, 4)]
    quads.append(np.stack([index[-5:-1, :-1], index[-5:-1, 1:], index[-4:, 1:], index[-4:, :-1]], axis=-1).reshape(-1, 4))
    faces = np.concatenate([np.concatenate(quads)[:, [0, 1, 2]], np.concatenate(quads)[:, [0, 2, 3]]])
    low = [*index[0], *index[4:0:-1, 0]]
    high = [*index[-1], *index[-2:-6:-1, -1]]
    ends = np.array([[0, 0, z.min() - pitch], [0, 0, z.max() + pitch]])
    below, above = len(vertices), len(vertices) + 1
    caps = [(below, b, a) for a, b in zip(low, low[1:] + low[:1], strict=True)]
    caps += [(above, a, b) for a, b in zip(high, high[1:] + high[:1], strict=True)]
    mesh = Mesh(np.concatenate([vertices, ends]).astype(np.float32), np.concatenate([faces, caps]).astype(np.uint32))
    return Manifold(mesh) ^ cylinder(d, length, 8)


def threaded_end(d: float, length: float, pitch: float) -> Manifold:
    """A thread that ends at z = 0 under a chamfer and runs up to the length."""
    root = d / 2 - 0.6 * pitch
    blank = turned([(0, root), (0.6 * pitch, 0.51 * d), (length, 0.51 * d)], 32)
    return thread(d, length, pitch) ^ blank


def bolted_flange(radius: float, thickness: float, bolts: int, bolt_d: float, pitch_radius: float) -> Manifold:
    """A flange disc with open bolt holes."""
    holes = polar(cylinder(bolt_d / 2, 3 * thickness, 18).translate((0, 0, -thickness)), bolts, pitch_radius, 180 / bolts)
    chamfer = 0.06 * thickness
    return subtract(chamfered_cylinder(radius, thickness, chamfer, 56), holes)


def pipe_flange(flange: PipeFlange) -> Manifold:
    """A standard flange without its bore: raised face on z = 0, hub towards +z down to the pipe's diameter at z = H."""
    body = [
        turned([(0, flange.d1 / 2), (flange.f + 0.1, flange.d1 / 2)]),
        bolted_flange(flange.D / 2, flange.C - flange.f, flange.n, flange.L, flange.K / 2).translate((0, 0, flange.f)),
        turned([(flange.f, hub_radius(flange)), (flange.C, hub_radius(flange)), (flange.H, flange.pipe / 2)], 48),
    ]
    return union(body)


def hub_radius(flange: PipeFlange) -> float:
    """Of a welding neck at its flange: as wide as the nuts leave room for, at most a quarter more than the pipe."""
    return min(0.625 * flange.pipe, flange.K / 2 - 1.15 * flange.L)


def keyway(width: float, reach: float, height: float) -> Manifold:
    """A tool for a key slot in a bore: from the axis to `reach` along +y, over z in [-height, height]."""
    return centred_block(width, reach, 2 * height).translate((0, reach / 2, 0))


def bore_tools(radius: float, keyed: bool, height: float, segments: int = 64) -> list[Manifold]:
    """Tools for a bore over z in [-height, height], with the standard keyway of its diameter on +y when keyed."""
    tools = [centred_cylinder(radius, 2 * height, segments)]
    if keyed:
        key = parallel_key(2 * radius)
        tools.append(keyway(key.b, radius + key.t2, height))
    return tools

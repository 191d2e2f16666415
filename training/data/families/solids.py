"""The vocabulary of the families: solids and cross-sections in millimetre-like units, z up.

Unless a docstring says otherwise a solid stands on z = 0, centred on the z axis; `d` is a nominal diameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from manifold3d import CrossSection, JoinType, Manifold, OpType

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


def sprocket_outline(pitch: float, teeth: int) -> CrossSection:
    """Roller-chain wheel: roller seats on the pitch circle, pointed teeth between them."""
    pitch_radius = pitch / (2 * math.sin(math.pi / teeth))
    roller = 0.31 * pitch
    seats = []
    for k in range(teeth):
        angle = 360 * k / teeth
        # A seat that opens outwards: the hull of the roller and a wider roller outside the tip circle.
        seat = CrossSection.batch_hull([disc(roller, 16), disc(0.44 * pitch, 16).translate((0.62 * pitch, 0))])
        seats.append(seat.translate((pitch_radius, 0)).rotate(angle))
    return disc(pitch_radius + 0.32 * pitch, 4 * teeth) - CrossSection.batch_boolean(seats, OpType.Add)


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


def bend(bend_radius: float, section: CrossSection, degrees: float, segments: int = 48) -> Manifold:
    """A pipe bend that starts at the origin along +z and turns towards +x."""
    quarter = Manifold.revolve(section.translate((bend_radius, 0)), segments, degrees)
    return quarter.rotate((90, 0, 0)).mirror((1, 0, 0)).translate((bend_radius, 0, 0))


def swept_ball(path: Sequence[Point3], radius: float, segments: int = 16) -> Manifold:
    """A round bar along a polyline, with round ends and joints."""
    ball = Manifold.sphere(radius, segments)
    return union(hull([ball.translate(a), ball.translate(b)]) for a, b in pairwise(path))


# Fasteners and holes


def hexagon(across_flats: float, height: float) -> Manifold:
    """A hexagonal prism."""
    return cylinder(across_flats / math.sqrt(3), height, 6)


def hex_head(across_flats: float, height: float) -> Manifold:
    """A bolt head or nut blank: a hexagon with its corners turned off at the top."""
    turning = turned([(0, 0.6 * across_flats), (0.75 * height, 0.6 * across_flats), (height, 0.47 * across_flats)], 36)
    return hexagon(across_flats, height) ^ turning


def bolt_head(d: float, style: HeadStyle) -> Manifold:
    """The head of a screw of nominal diameter d, seated on z = 0 and sunk 0.05 d into what it clamps."""
    if style == "hex":
        head = hex_head(1.65 * d, 0.75 * d)
    elif style == "socket":
        blank = turned([(0, 0.75 * d), (0.95 * d, 0.75 * d), (1.05 * d, 0.67 * d)], 32)
        head = blank - hexagon(0.85 * d, 0.7 * d).translate((0, 0, 0.5 * d))
    else:
        head = union([hex_head(1.6 * d, 0.9 * d), turned([(0, 1.05 * d), (0.12 * d, 1.05 * d), (0.3 * d, 0.8 * d)], 32)])
    return head.translate((0, 0, -0.05 * d))


def screw_hole(d: float, depth: float, style: HoleStyle, segments: int = 24) -> Manifold:
    """A tool that drills down from z = 0 to below -depth, for a screw with its head at the top."""
    drill = cylinder(d / 2, depth + 2, segments).translate((0, 0, -depth - 1))
    if style == "counterbored":
        return drill + cylinder(0.85 * d, 0.45 * depth + 1, segments).translate((0, 0, -0.45 * depth))
    if style == "countersunk":
        return drill + Manifold.cylinder(0.5 * d + 0.2, d / 2, d + 0.2, segments).translate((0, 0, -0.5 * d))
    return drill


def thread(d: float, length: float, pitch: float, points: int = 20, slices_per_turn: int = 14) -> Manifold:
    """An external thread: a section with one crest, extruded with a turn per pitch. Helices are exact along the crest."""
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False)
    crest_to_root = np.abs((angles / math.pi + 1) % 2 - 1)
    radii = d / 2 - 0.54 * pitch * np.clip(1.25 * crest_to_root - 0.125, 0, 1)
    section = CrossSection([np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)])
    return Manifold.extrude(section, length, max(4, round(length / pitch * slices_per_turn)), 360 * length / pitch)


def bolted_flange(radius: float, thickness: float, bolts: int, bolt_d: float, pitch_radius: float) -> Manifold:
    """A flange disc with open bolt holes."""
    holes = polar(cylinder(bolt_d / 2, 3 * thickness, 20).translate((0, 0, -thickness)), bolts, pitch_radius, 180 / bolts)
    chamfer = 0.06 * thickness
    return subtract(chamfered_cylinder(radius, thickness, chamfer, 64), holes)


def keyway(width: float, reach: float, height: float) -> Manifold:
    """A tool for a key slot in a bore: from the axis to `reach` along +y, over z in [-height, height]."""
    return centred_block(width, reach, 2 * height).translate((0, reach / 2, 0))

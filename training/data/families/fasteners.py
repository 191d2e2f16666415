"""Bolts and springs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from manifold3d import Manifold

from training.data.families.draws import chance, pick, uniform
from training.data.families.part import Family
from training.data.families.solids import (
    HEAD_STYLES,
    HeadStyle,
    bolt_head,
    cylinder,
    disc,
    hex_head,
    swept_ball,
    thread,
    torus,
    tube,
    turned,
    union,
)


@dataclass(frozen=True)
class Bolt:
    """A screw of nominal diameter d with its head up, in mm; the nut's place is a fraction of the threaded length, or None."""

    d: float
    length: float
    threaded: float
    pitch: float
    head: HeadStyle
    washer: bool
    nut: float | None


def draw_bolt(rng: np.random.Generator) -> Bolt:
    d = uniform(rng, 10, 18)
    length = uniform(rng, 2, 5.5) * d
    return Bolt(
        d=d,
        length=length,
        threaded=uniform(rng, 0.4, 0.9) * length,
        pitch=uniform(rng, 0.18, 0.26) * d,
        head=pick(rng, HEAD_STYLES),
        washer=chance(rng, 0.4),
        nut=uniform(rng, 0.1, 0.4) if chance(rng) else None,
    )


def build_bolt(p: Bolt) -> Manifold:
    d = p.d
    parts = [
        bolt_head(d, p.head),
        cylinder(d / 2, p.length - p.threaded + 0.05 * d).translate((0, 0, p.threaded - p.length)),
        # The first turns run under a chamfer, as they are cut.
        thread(d, p.threaded + 0.1, p.pitch).translate((0, 0, -p.length))
        ^ turned([(-p.length, 0.36 * d), (-p.length + 0.16 * d, 0.52 * d), (0.2 * d, 0.52 * d)], 32),
    ]
    if p.washer:
        parts.append(cylinder(1.1 * d, 0.2 * d).translate((0, 0, -0.2 * d)))
    if p.nut is not None:
        parts.append(hex_head(1.65 * d, 0.8 * d).translate((0, 0, -p.length + p.nut * p.threaded)))
    return union(parts)


@dataclass(frozen=True)
class CoilSpring:
    """A compression spring that stands on one end coil, in mm; with seats, it is held between two cups."""

    coil_radius: float
    wire_radius: float
    turns: float
    pitch: float
    seated: bool
    rod: bool


def draw_coil_spring(rng: np.random.Generator) -> CoilSpring:
    coil = uniform(rng, 14, 30)
    wire = uniform(rng, 0.1, 0.17) * coil
    return CoilSpring(
        coil_radius=coil,
        wire_radius=wire,
        turns=uniform(rng, 4, 8),
        pitch=uniform(rng, 3.2, 5) * wire,
        seated=chance(rng, 0.5),
        rod=chance(rng, 0.5),
    )


def build_coil_spring(p: CoilSpring) -> Manifold:
    steps = round(20 * p.turns)
    height = p.turns * p.pitch
    angles = np.linspace(0, 2 * math.pi * p.turns, steps + 1)
    path = [(p.coil_radius * math.cos(a), p.coil_radius * math.sin(a), height * k / steps) for k, a in enumerate(angles)]
    coil = swept_ball(path, p.wire_radius, 8)
    ends = [torus(p.coil_radius, p.wire_radius).translate((0, 0, z)) for z in (0.0, height)]
    if not p.seated:
        return union([coil, *ends])
    seat = tube(p.coil_radius + 2.2 * p.wire_radius, 0.5 * p.coil_radius, 1.6 * p.wire_radius)
    cup = union([seat, cylinder(0.7 * p.coil_radius, 1.2 * p.wire_radius)])
    seats = [cup.translate((0, 0, -2.2 * p.wire_radius)), cup.rotate((180, 0, 0)).translate((0, 0, height + 2.2 * p.wire_radius))]
    rod = [Manifold.extrude(disc(0.4 * p.coil_radius), height + 12 * p.wire_radius).translate((0, 0, -2.2 * p.wire_radius))]
    return union([coil, *ends, *seats, *(rod if p.rod else ())])


BOLT = Family("bolt", "component", draw_bolt, build_bolt)
COIL_SPRING = Family("coil_spring", "component", draw_coil_spring, build_coil_spring)

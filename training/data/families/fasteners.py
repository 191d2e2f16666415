"""Bolts and springs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from manifold3d import Manifold

from training.data.families.draws import chance, pick, uniform
from training.data.families.part import Family
from training.data.families.solids import (
    cylinder,
    disc,
    nut,
    screw_head,
    swept_disc,
    threaded_end,
    torus,
    tube,
    turned,
    union,
    washer,
)
from training.data.families.standards import (
    BOLT_LENGTHS,
    HEXAGON_BOLTS,
    HEXAGON_NUTS,
    PLAIN_WASHERS,
    bolt_thread_length,
    screw_thread_length,
)

BoltForm = Literal["hex", "socket", "flanged", "stud"]


@dataclass(frozen=True)
class Bolt:
    """A screw with its head up, or a stud threaded at both ends; a nut, with a washer above it, may sit on the thread.

    nut_place_ratio: where, over the part of the thread that a nut can sit on; None without a nut.
    """

    thread: str
    form: BoltForm
    length: float
    thread_length: float
    head_washer: bool
    nut_place_ratio: float | None
    nut_washer: bool


def draw_bolt(rng: np.random.Generator) -> Bolt:
    thread = pick(rng, tuple(HEXAGON_BOLTS))
    d = HEXAGON_BOLTS[thread].d
    form: BoltForm = pick(rng, ("hex", "hex", "socket", "flanged", "stud"))
    length = float(pick(rng, [entry for entry in BOLT_LENGTHS if 2 * d <= entry <= 6.5 * d]))
    usual = screw_thread_length(d) if form == "socket" else bolt_thread_length(d, length)
    # ISO 4017 and short socket screws are threaded up to the head.
    thread_length = length - 0.5 * d if form != "stud" and (usual > length - 0.5 * d or chance(rng, 0.3)) else usual
    return Bolt(
        thread=thread,
        form=form,
        length=length,
        thread_length=min(thread_length, 0.42 * length) if form == "stud" else thread_length,
        head_washer=form != "stud" and chance(rng, 0.4),
        nut_place_ratio=uniform(rng, 0, 1) if chance(rng) else None,
        nut_washer=chance(rng),
    )


def build_bolt(p: Bolt) -> Manifold:
    bolt = HEXAGON_BOLTS[p.thread]
    d, end = bolt.d, threaded_end(bolt.d, p.thread_length + 0.1, bolt.pitch).translate((0, 0, -p.length))
    if p.form == "stud":
        upper = threaded_end(d, p.thread_length, bolt.pitch).rotate((180, 0, 0))
        plain = cylinder(d / 2, p.length - 2 * p.thread_length + 0.1).translate((0, 0, p.thread_length - p.length))
        parts = [end, upper, plain]
    else:
        plain = cylinder(d / 2, p.length - p.thread_length + 0.1).translate((0, 0, p.thread_length - p.length))
        parts = [end, plain, screw_head(p.thread, p.form)]
    if p.head_washer:
        parts.append(washer(p.thread).translate((0, 0, -PLAIN_WASHERS[p.thread].h)))
    if p.nut_place_ratio is not None:
        height, washer_height = HEXAGON_NUTS[p.thread].m, PLAIN_WASHERS[p.thread].h
        room = p.thread_length - height - washer_height - 2 * bolt.pitch
        z = -p.length + 2 * bolt.pitch + p.nut_place_ratio * max(room, 0.0)
        parts.append(nut(p.thread).translate((0, 0, z)))
        if p.nut_washer:
            parts.append(washer(p.thread).translate((0, 0, z + height)))
    return union(parts)


@dataclass(frozen=True)
class CoilSpring:
    """A compression spring that stands on one end coil; seated, it is held between two cups, on a rod if there is one."""

    coil_radius: float
    wire_radius: float
    coil_turns: float
    coil_pitch: float
    taper_ratio: float
    seated: bool
    rod: bool


def draw_coil_spring(rng: np.random.Generator) -> CoilSpring:
    coil = uniform(rng, 14, 30)
    wire = uniform(rng, 0.1, 0.17) * coil
    seated = chance(rng, 0.4)
    return CoilSpring(
        coil_radius=coil,
        wire_radius=wire,
        coil_turns=uniform(rng, 4, 8),
        coil_pitch=uniform(rng, 3.2, 5) * wire,
        taper_ratio=1.0 if seated or chance(rng, 0.6) else uniform(rng, 0.45, 0.8),
        seated=seated,
        rod=seated and chance(rng, 0.5),
    )


def build_coil_spring(p: CoilSpring) -> Manifold:
    steps = round(24 * p.coil_turns)
    height = p.coil_turns * p.coil_pitch
    angles = np.linspace(0, 2 * math.pi * p.coil_turns, steps + 1)
    radii = p.coil_radius * np.linspace(1, p.taper_ratio, steps + 1)
    path = [
        (radius * math.cos(a), radius * math.sin(a), height * k / steps)
        for k, (a, radius) in enumerate(zip(angles, radii, strict=True))
    ]
    coil = swept_disc(path, p.wire_radius)
    # Ends are closed and lie flat.
    ends = [
        torus(p.coil_radius * scale, p.wire_radius, 48, 12).translate((0, 0, z))
        for scale, z in ((1.0, 0.0), (p.taper_ratio, height))
    ]
    if not p.seated:
        return union([coil, *ends])
    w, outside = p.wire_radius, p.coil_radius + 2.2 * p.wire_radius
    plate = turned([(0, outside - 0.3 * w), (0.3 * w, outside), (1.6 * w, outside)], 64)
    collar = tube(outside, p.coil_radius + 1.2 * w, 3.0 * w)
    cup = union([plate, collar]).translate((0, 0, -2.2 * w))
    seats = [cup, cup.rotate((180, 0, 0)).translate((0, 0, height))]
    rod = [Manifold.extrude(disc(0.4 * p.coil_radius), height + 12 * w).translate((0, 0, -2.2 * w))]
    return union([coil, *ends, *seats, *(rod if p.rod else ())])


BOLT = Family(
    "bolt",
    "component",
    draw_bolt,
    build_bolt,
    "Hexagon, socket and flanged screws and studs, M3 to M30, with ISO 261 threads, washers and nuts",
    # Crests of a thread are an eighth of its pitch wide.
    thinnest_wall=1.5,
)
COIL_SPRING = Family(
    "coil_spring",
    "component",
    draw_coil_spring,
    build_coil_spring,
    "Compression springs, straight or conical, free or between cups",
)

"""What carries torque: shafts, gears, pulleys, sprockets, couplings, bearings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from manifold3d import Manifold

from training.data.families.draws import chance, integer, pick, uniform, uniforms
from training.data.families.part import Family
from training.data.families.solids import (
    along_x,
    along_y,
    block,
    bore_tools,
    centred_block,
    centred_cylinder,
    cylinder,
    disc,
    extruded,
    gear_outline,
    hull,
    polar,
    polygon,
    rounded_block,
    rounded_rectangle,
    sector,
    sprocket_outline,
    sprocket_tip_radius,
    subtract,
    threaded_end,
    tube,
    turned,
    union,
    vee_groove,
)
from training.data.families.standards import (
    BALL_BEARINGS,
    DATUM_DIAMETERS,
    GEAR_MODULES,
    HEXAGON_BOLTS,
    ROLLER_CHAINS,
    V_GROOVES,
    BallBearing,
    most_balls,
    parallel_key,
)

StepFeature = Literal["none", "keyway", "groove", "flats"]


@dataclass(frozen=True)
class ShaftStep:
    """One turned step; `groove_place_ratio` is where along it a circlip groove sits."""

    radius: float
    length: float
    feature: StepFeature
    groove_place_ratio: float


@dataclass(frozen=True)
class SteppedShaft:
    """A shaft along x; gear_teeth is None without a toothed step, end_thread ("M20") None without a threaded end."""

    steps: tuple[ShaftStep, ...]
    gear_teeth: int | None
    end_thread: str | None


def draw_stepped_shaft(rng: np.random.Generator) -> SteppedShaft:
    count = integer(rng, 3, 7)
    radii = [uniform(rng, 8, 14)]
    for k in range(1, count):
        radii.append(radii[-1] * (uniform(rng, 1.1, 1.4) if k <= count // 2 else uniform(rng, 0.68, 0.92)))
    steps = tuple(
        ShaftStep(
            r,
            r * uniform(rng, 0.8, 2.6),
            pick(rng, ("none", "none", "keyway", "keyway", "groove", "flats")),
            uniform(rng, 0.25, 0.75),
        )
        for r in radii
    )
    threads = [name for name, bolt in HEXAGON_BOLTS.items() if bolt.d < 1.9 * radii[-1]]
    return SteppedShaft(
        steps=steps,
        gear_teeth=integer(rng, 16, 28) if chance(rng, 0.4) else None,
        end_thread=threads[-1] if threads and chance(rng, 0.4) else None,
    )


def build_stepped_shaft(p: SteppedShaft) -> Manifold:
    starts = np.concatenate([[0.0], np.cumsum([s.length for s in p.steps])])
    profile: list[tuple[float, float]] = []
    for start, s in zip(starts, p.steps, strict=False):
        chamfer, stop = 0.08 * s.radius, start + s.length
        profile += [
            (start, s.radius - chamfer),
            (start + chamfer, s.radius),
            (stop - chamfer, s.radius),
            (stop, s.radius - chamfer),
        ]
    parts = [turned(profile)]
    if p.end_thread is not None:
        bolt = HEXAGON_BOLTS[p.end_thread]
        length = 1.2 * bolt.d
        parts.append(threaded_end(bolt.d, length + 0.5, bolt.pitch).rotate((180, 0, 0)).translate((0, 0, starts[-1] + length)))
    toothed = len(p.steps) // 2 if p.gear_teeth is not None else None
    if toothed is not None and p.gear_teeth is not None:
        s = p.steps[toothed]
        # The root circle lies 0.15 modules outside the step.
        teeth = gear_outline(2 * s.radius / (p.gear_teeth - 2.8), p.gear_teeth)
        parts.append(extruded(teeth, 0.8 * s.length).translate((0, 0, starts[toothed] + 0.1 * s.length)))
    tools = [
        _step_tool(s).translate((0, 0, start))
        for k, (start, s) in enumerate(zip(starts, p.steps, strict=False))
        if s.feature != "none" and k != toothed
    ]
    return along_x(subtract(union(parts), tools))


def _step_tool(s: ShaftStep) -> Manifold:
    r, length = s.radius, s.length
    if s.feature == "keyway":
        key = parallel_key(2 * r)
        slot = extruded(rounded_rectangle(key.b, max(0.8 * length, 1.2 * key.b), 0.49 * key.b), r)
        return slot.translate((0, 0, r - key.t1)).rotate((-90, 0, 0)).translate((0, 0, length / 2))
    if s.feature == "groove":
        width = 0.22 * r
        return tube(1.5 * r, 0.84 * r, width).translate((0, 0, s.groove_place_ratio * (length - width)))
    flats = [block(3 * r, r, 0.5 * length).translate((0, side * 1.28 * r, 0.25 * length)) for side in (-1, 1)]
    return union(flats)


@dataclass(frozen=True)
class SpurGear:
    """A gear that lies flat, of an ISO 54 module; windows is the number of round cut-outs in the web."""

    module: float
    teeth: int
    face_width: float
    helix_degrees: float
    bore_radius: float
    hub_radius: float
    hub_height: float
    rim_radius: float
    web_recess_ratio: float
    windows: int
    window_ratio: float
    keyed: bool


def draw_spur_gear(rng: np.random.Generator) -> SpurGear:
    module, teeth = pick(rng, [m for m in GEAR_MODULES if 1.5 <= m <= 6]), integer(rng, 14, 60)
    pitch_radius = module * teeth / 2
    # Between six and fourteen modules, as tooth strength and alignment ask for.
    width = min(uniform(rng, 6, 14) * module, 0.9 * pitch_radius)
    bore = min(uniform(rng, 0.15, 0.3) * pitch_radius, 40.0)
    return SpurGear(
        module=module,
        teeth=teeth,
        face_width=width,
        helix_degrees=uniform(rng, -25, 25) if chance(rng, 0.4) else 0.0,
        bore_radius=bore,
        hub_radius=bore * uniform(rng, 1.5, 2.1),
        hub_height=width * uniform(rng, 1.2, 1.8) if chance(rng, 0.6) else width,
        rim_radius=pitch_radius - module * uniform(rng, 2.5, 3.7),
        web_recess_ratio=uniform(rng, 0.12, 0.36),
        windows=pick(rng, (0, 0, 3, 4, 5, 6)),
        window_ratio=uniform(rng, 0.5, 0.8),
        keyed=chance(rng, 0.7),
    )


def build_spur_gear(p: SpurGear) -> Manifold:
    tip, m = p.module * (p.teeth / 2 + 1), p.module
    twist = math.degrees(p.face_width * math.tan(math.radians(p.helix_degrees)) / (m * p.teeth / 2))
    blank = Manifold.extrude(gear_outline(m, p.teeth), p.face_width, 8 if p.helix_degrees else 0, twist)
    blank ^= turned(
        [(0, tip - 0.4 * m), (0.41 * m, tip + 0.01), (p.face_width - 0.41 * m, tip + 0.01), (p.face_width, tip - 0.4 * m)]
    )
    tools = _web_tools(p)
    if p.hub_height > p.face_width:
        blank = union([blank, cylinder(p.hub_radius, p.hub_height, 64)])
    return subtract(blank, tools + bore_tools(p.bore_radius, p.keyed, 3 * p.face_width))


def _web_tools(p: SpurGear) -> list[Manifold]:
    """Recesses on both sides between hub and rim, and the windows; none where the web would be too narrow to see."""
    web = p.rim_radius - p.hub_radius
    if web < 0.3 * p.hub_radius:
        return []
    depth = p.web_recess_ratio * p.face_width
    recess = tube(p.rim_radius, p.hub_radius, depth + 1, 64)
    tools = [recess.translate((0, 0, p.face_width - depth)), recess.translate((0, 0, -1))]
    if p.windows:
        middle = (p.rim_radius + p.hub_radius) / 2
        # Neighbouring windows keep a spoke between them.
        radius = min(p.window_ratio * web / 2, 0.75 * middle * math.sin(math.pi / p.windows))
        tools += polar(centred_cylinder(radius, 4 * p.face_width, 40), p.windows, middle, 90 + 180 / p.windows)
    return tools


@dataclass(frozen=True)
class Pulley:
    """A pulley for narrow V-belts, its axis along y: `profile` names the ISO 4183 groove; web_recess_ratio of the width."""

    profile: str
    datum_diameter: float
    grooves: int
    bore_radius: float
    hub_radius: float
    hub_width_ratio: float
    rim: float
    web_recess_ratio: float
    web: Literal["solid", "holes", "spokes"]
    openings: int

    @property
    def outer_radius(self) -> float:
        return self.datum_diameter / 2 + V_GROOVES[self.profile].b

    @property
    def width(self) -> float:
        groove = V_GROOVES[self.profile]
        return (self.grooves - 1) * groove.e + 2 * groove.f


def draw_pulley(rng: np.random.Generator) -> Pulley:
    profile = pick(rng, tuple(V_GROOVES))
    smallest = V_GROOVES[profile].smallest
    datum = float(pick(rng, [d for d in DATUM_DIAMETERS if smallest <= d <= 3.2 * smallest]))
    radius = datum / 2
    bore = radius * uniform(rng, 0.14, 0.26)
    return Pulley(
        profile=profile,
        datum_diameter=datum,
        grooves=integer(rng, 1, 4),
        bore_radius=bore,
        hub_radius=bore * uniform(rng, 1.6, 2.1),
        hub_width_ratio=uniform(rng, 1.0, 1.5),
        rim=uniform(rng, 0.6, 1.0) * V_GROOVES[profile].wd,
        web_recess_ratio=uniform(rng, 0.2, 0.36),
        web=pick(rng, ("solid", "holes", "spokes")),
        openings=integer(rng, 3, 6),
    )


def build_pulley(p: Pulley) -> Manifold:
    edge = 0.1 * V_GROOVES[p.profile].wd
    r, width = p.outer_radius, p.width
    blank = turned([(0, r - edge), (edge, r), (width - edge, r), (width, r - edge)], 96)
    pulley = union([subtract(blank, _grooves(p) + _pulley_web(p)), cylinder(p.hub_radius, width * p.hub_width_ratio, 64)])
    return along_y(subtract(pulley, bore_tools(p.bore_radius, True, 3 * width)))


def _grooves(p: Pulley) -> list[Manifold]:
    groove = V_GROOVES[p.profile]
    tool = Manifold.revolve(vee_groove(groove, p.datum_diameter / 2, p.outer_radius + 1), 96)
    return [tool.translate((0, 0, groove.f + k * groove.e)) for k in range(p.grooves)]


def _pulley_web(p: Pulley) -> list[Manifold]:
    width = p.width
    inner_rim = p.datum_diameter / 2 - V_GROOVES[p.profile].h - p.rim
    room = inner_rim - p.hub_radius
    if room < 0.25 * p.hub_radius:
        return []
    depth = width * p.web_recess_ratio
    recess = tube(inner_rim, p.hub_radius, depth + 1, 64)
    tools = [recess.translate((0, 0, width - depth)), recess.translate((0, 0, -1))]
    if p.web == "holes":
        middle = (inner_rim + p.hub_radius) / 2
        radius = min(0.36 * room, 0.75 * middle * math.sin(math.pi / p.openings))
        tools += polar(centred_cylinder(radius, 4 * width, 40), p.openings, middle)
    if p.web == "spokes":
        spokes = union(polar(centred_block(inner_rim, 0.7 * p.hub_radius, 4 * width), p.openings, inner_rim / 2, turn=True))
        tools.append(tube(inner_rim, p.hub_radius, 2 * width, 64).translate((0, 0, -width / 2)) - spokes)
    return tools


@dataclass(frozen=True)
class Sprocket:
    """A wheel for one or two strands of an ISO 606 roller chain, its axis along y; the hub stands out on one side."""

    chain: str
    teeth: int
    strands: int
    bore_radius: float
    hub_radius: float
    hub_height: float
    holes: int
    keyed: bool


def draw_sprocket(rng: np.random.Generator) -> Sprocket:
    teeth = integer(rng, 11, 45)
    chain = pick(rng, tuple(ROLLER_CHAINS))
    pitch = ROLLER_CHAINS[chain].pitch
    radius = pitch / (2 * math.sin(math.pi / teeth))
    # Hubs stay clear of the chain's plates and do not grow with large wheels.
    hub = min(uniform(rng, 0.4, 0.62) * radius, radius - 0.9 * pitch, uniform(rng, 2.0, 3.6) * pitch)
    return Sprocket(
        chain=chain,
        teeth=teeth,
        strands=pick(rng, (1, 1, 2)),
        bore_radius=min(uniform(rng, 0.45, 0.62) * hub, 40.0),
        hub_radius=hub,
        hub_height=uniform(rng, 0.6, 2.2) * pitch,
        holes=pick(rng, (0, 4, 5, 6, 8)),
        keyed=chance(rng, 0.7),
    )


def build_sprocket(p: Sprocket) -> Manifold:
    chain = ROLLER_CHAINS[p.chain]
    width = 0.93 * chain.inner_width
    radius, tip = chain.pitch / (2 * math.sin(math.pi / p.teeth)), sprocket_tip_radius(chain, p.teeth)
    # Teeth thin out towards the tip on both sides, so that the chain finds them.
    side = 0.13 * chain.pitch
    relief = turned(
        [(0, tip - 0.5 * chain.pitch), (side, tip + 0.01), (width - side, tip + 0.01), (width, tip - 0.5 * chain.pitch)]
    )
    row = extruded(sprocket_outline(chain, p.teeth), width) ^ relief
    height = width + (p.strands - 1) * chain.transverse_pitch
    parts = [row.translate((0, 0, k * chain.transverse_pitch)) for k in range(p.strands)]
    rim = radius - 0.55 * chain.plate
    if p.strands > 1:
        parts.append(cylinder(rim, height, 64))
    parts.append(cylinder(p.hub_radius, height + p.hub_height, 64))
    tools = bore_tools(p.bore_radius, p.keyed, 3 * (height + p.hub_height))
    room = rim - p.hub_radius
    if p.holes and room > 0.5 * p.hub_radius:
        middle = p.hub_radius + 0.5 * room
        size = min(0.34 * room, 0.7 * middle * math.sin(math.pi / p.holes))
        tools += polar(centred_cylinder(size, 4 * height, 32), p.holes, middle)
    return along_y(subtract(union(parts), tools))


@dataclass(frozen=True)
class Coupling:
    """A jaw coupling along x: two hubs whose jaws mesh around a spider that shows in the gap."""

    radius: float
    bore_radius: float
    hub_length: float
    hub_radius: float
    jaws: int
    jaw_length: float
    set_screw_radius: float
    shafts: bool


def draw_coupling(rng: np.random.Generator) -> Coupling:
    radius = uniform(rng, 25, 50)
    return Coupling(
        radius=radius,
        bore_radius=radius * uniform(rng, 0.28, 0.42),
        hub_length=radius * uniform(rng, 0.7, 1.3),
        hub_radius=radius * uniform(rng, 0.65, 0.8),
        jaws=integer(rng, 2, 4),
        jaw_length=radius * uniform(rng, 0.45, 0.75),
        set_screw_radius=radius * uniform(rng, 0.07, 0.1),
        shafts=chance(rng, 0.4),
    )


def build_coupling(p: Coupling) -> Manifold:
    r, length, gap = p.radius, p.hub_length, p.jaw_length
    half = _jaw_half(p)
    pitch = 180 / p.jaws
    other = _turned_over(half.rotate((0, 0, pitch)), length + gap / 2)
    spider = _spider(p).translate((0, 0, length + 0.1 * gap))
    body = union([half, other, spider])
    screw = cylinder(p.set_screw_radius, 2 * r, 20).rotate((-90, 0, 0))
    tools = [screw.translate((0, 0, z)) for z in (0.3 * length, 1.7 * length + gap)]
    if not p.shafts:
        tools += bore_tools(p.bore_radius, True, 9 * (length + gap), 48)
    parts = [subtract(body, tools)]
    if p.shafts:
        parts.append(cylinder(p.bore_radius, 2 * length + gap + 2 * r, 48).translate((0, 0, -r)))
    return along_x(union(parts))


def _jaw_half(p: Coupling) -> Manifold:
    """Hub on z = 0, disc up to the hub length, jaws over the gap."""
    r, length = p.radius, p.hub_length
    hub = turned(
        [(0, 0.95 * p.hub_radius), (0.06 * length, p.hub_radius), (0.6 * length, p.hub_radius), (0.62 * length, r), (length, r)],
        72,
    )
    pitch = 360 / p.jaws
    jaw = extruded(sector(2 * r, -0.11 * pitch, 0.11 * pitch), 1.02 * p.jaw_length).translate(
        (0, 0, length - 0.02 * p.jaw_length)
    )
    ring = tube(r, 0.45 * r, 1.02 * p.jaw_length, 72).translate((0, 0, length - 0.02 * p.jaw_length))
    return union([hub, ring ^ union(polar(jaw, p.jaws, 0, turn=True))])


def _spider(p: Coupling) -> Manifold:
    """Elastic star over 0.8 of the gap: a ring, and a lobe in every space between two jaws."""
    r, height = p.radius, 0.8 * p.jaw_length
    pitch = 180 / p.jaws
    lobe = extruded(sector(2 * r, 0.4 * pitch, 0.6 * pitch), height)
    lobes = tube(0.88 * r, 0.4 * r, height, 72) ^ union(polar(lobe, 2 * p.jaws, 0, turn=True))
    return union([lobes, tube(0.5 * r, p.bore_radius - 0.5, height)])


def _turned_over(solid: Manifold, z: float) -> Manifold:
    """The solid turned by half a turn about the x direction at the given height."""
    return solid.rotate((180, 0, 0)).translate((0, 0, 2 * z))


BearingStyle = Literal["ball", "roller", "shielded"]


@dataclass(frozen=True)
class Bearing:
    """A rolling bearing of the ISO 15 sizes of `designation`, its axis along y; shields hide the rolling elements."""

    designation: str
    style: BearingStyle
    snap_ring: bool


def draw_bearing(rng: np.random.Generator) -> Bearing:
    return Bearing(
        designation=pick(rng, tuple(BALL_BEARINGS)),
        style=pick(rng, ("ball", "ball", "roller", "shielded")),
        snap_ring=chance(rng, 0.3),
    )


def build_bearing(p: Bearing) -> Manifold:
    size = BALL_BEARINGS[p.designation]
    bearing = _bearing(size, p.style, clearance=0.004)
    if p.snap_ring:
        # ISO 464: a ring in a groove near one face of the outer ring.
        ring = tube(0.535 * size.D, 0.48 * size.D, 0.09 * size.B, 80).translate((0, 0, 0.12 * size.B))
        bearing = union([bearing, ring])
    return along_y(bearing)


def _bearing(size: BallBearing, style: BearingStyle, clearance: float) -> Manifold:
    """A bearing on z = 0; clearance, over the element's radius, frees rollers, a negative one seats the elements firmly."""
    room, middle, width = (size.D - size.d) / 2, (size.D + size.d) / 4, size.B
    element = 0.3 * room
    if style == "shielded":
        gap = 0.06 * room
        rings = [_race(size.D / 2, middle + 0.2 * room, width), _race(middle - 0.2 * room, size.d / 2, width)]
        # Solid inside, as nothing shows there; a groove around the inner ring marks the shield's lip.
        shield = tube(middle + 0.21 * room, middle - 0.21 * room, 0.86 * width, 72).translate((0, 0, 0.07 * width))
        lip = tube(middle - 0.2 * room + gap, middle - 0.2 * room, 0.12 * width, 72)
        lips = [lip.translate((0, 0, 0.86 * width)), lip.translate((0, 0, 0.02 * width))]
        return subtract(union([*rings, shield]), lips)
    shoulder = 0.56 * element if style == "ball" else 0.8 * element
    rings = [_race(size.D / 2, middle + shoulder, width), _race(middle - shoulder, size.d / 2, width)]
    if style == "ball":
        groove = Manifold.revolve(disc(1.03 * element, 24).translate((middle, width / 2)), 80)
        rolling = Manifold.sphere((1 - clearance) * 1.03 * element, 24)
    else:
        track = 0.62 * width
        groove = tube(middle + element, middle - element, track, 80).translate((0, 0, (width - track) / 2))
        rolling = centred_cylinder((1 - clearance) * element, 0.98 * track, 28)
    count = most_balls(middle, element) if style == "ball" else int(math.pi / math.asin(1.12 * element / middle))
    cage_height = 0.8 * element if style == "ball" else 0.72 * width
    cage = tube(middle + 0.17 * element, middle - 0.17 * element, cage_height, 64).translate((0, 0, (width - cage_height) / 2))
    elements = [e.translate((0, 0, width / 2)) for e in polar(rolling, count, middle)]
    return union([*(ring - groove for ring in rings), cage, *elements])


def _race(outer: float, inner: float, width: float) -> Manifold:
    chamfer = 0.06 * width
    section = polygon(
        [
            (inner, chamfer),
            (inner + chamfer, 0),
            (outer - chamfer, 0),
            (outer, chamfer),
            (outer, width - chamfer),
            (outer - chamfer, width),
            (inner + chamfer, width),
            (inner, width - chamfer),
        ]
    )
    return Manifold.revolve(section, 80)


@dataclass(frozen=True)
class PillowBlock:
    """A housing on a foot for the bearing of `designation`, its axis along y."""

    designation: str
    housing_width: float
    foot_length: float
    foot_height: float
    shaped: bool
    open_bearing: bool
    nipple: bool
    shaft_overhang: float


def draw_pillow_block(rng: np.random.Generator) -> PillowBlock:
    designation = pick(rng, [name for name, size in BALL_BEARINGS.items() if name[1] == "2" and size.d >= 20])
    radius = BALL_BEARINGS[designation].D / 2
    return PillowBlock(
        designation=designation,
        housing_width=radius * uniform(rng, 0.8, 1.1),
        foot_length=radius * uniform(rng, 4.4, 5.2),
        foot_height=radius * uniform(rng, 0.35, 0.5),
        shaped=chance(rng),
        open_bearing=chance(rng),
        nipple=chance(rng, 0.6),
        shaft_overhang=radius * uniform(rng, 1.0, 2.5) if chance(rng, 0.3) else 0.0,
    )


def build_pillow_block(p: PillowBlock) -> Manifold:
    size = BALL_BEARINGS[p.designation]
    r, width, centre = size.D / 2, p.housing_width, 0.7 * size.D
    ring = along_y(centred_cylinder(1.35 * r, width, 72)).translate((0, 0, centre))
    body = hull([ring, block(2.9 * r, width, p.foot_height)]) if p.shaped else union([ring, block(2.2 * r, width, centre)])
    foot = rounded_block(p.foot_length, 1.1 * width, p.foot_height, 0.2 * r, 1.0)
    slot = hull(cylinder(0.17 * r, 4 * p.foot_height, 24).translate((s * 0.1 * r, 0, -p.foot_height)) for s in (-1, 1))
    slots = [slot.translate((s * (p.foot_length / 2 - 0.42 * r), 0, 0)) for s in (-1, 1)]
    seat = along_y(centred_cylinder(0.998 * r, 4 * width, 72)).translate((0, 0, centre))
    housing = subtract(union([body, foot]), [seat, *slots])
    insert = along_y(_bearing(size, "ball" if p.open_bearing else "shielded", clearance=-0.03))
    parts = [housing, insert.translate((0, -size.B / 2, centre))]
    if p.nipple:
        nipple = turned([(-1, 3.2), (4, 3.2), (4.1, 2.2), (8, 2.2), (9.5, 1.4)], 20)
        parts.append(nipple.translate((0, 0, centre + 1.33 * r)))
    if p.shaft_overhang:
        parts.append(along_y(centred_cylinder(1.002 * size.d / 2, width + 2 * p.shaft_overhang)).translate((0, 0, centre)))
    return union(parts)


@dataclass(frozen=True)
class BevelGear:
    """A straight bevel gear, large end down: teeth of an ISO 54 module at the large end taper towards the apex."""

    module: float
    teeth: int
    taper_ratio: float
    cone_height: float
    bore_radius: float
    hub_height: float
    keyed: bool

    @property
    def radius(self) -> float:
        """Of the tip circle at the large end."""
        return self.module * (self.teeth + 2) / 2


def draw_bevel_gear(rng: np.random.Generator) -> BevelGear:
    module, teeth = pick(rng, [m for m in GEAR_MODULES if 2 <= m <= 6]), integer(rng, 14, 30)
    radius = module * (teeth + 2) / 2
    return BevelGear(
        module=module,
        teeth=teeth,
        taper_ratio=uniform(rng, 0.6, 0.78),
        cone_height=radius * uniform(rng, 0.25, 0.5),
        bore_radius=radius * uniform(rng, 0.16, 0.26),
        hub_height=radius * uniform(rng, 0.15, 0.6),
        keyed=chance(rng, 0.7),
    )


def build_bevel_gear(p: BevelGear) -> Manifold:
    cone = Manifold.extrude(gear_outline(p.module, p.teeth), p.cone_height, 4, 0.0, (p.taper_ratio, p.taper_ratio))
    # The tips are turned to the face cone, which narrows the pointed ends.
    tip = p.radius - 0.15 * p.module
    cone ^= turned([(0, tip), (p.cone_height, tip * p.taper_ratio)], 4 * p.teeth)
    back = turned([(-p.hub_height, 0.55 * p.radius), (-0.12 * p.radius, 0.55 * p.radius), (0.01, 0.8 * p.radius)])
    nose = cylinder(2.0 * p.bore_radius, p.cone_height + 0.08 * p.radius)
    return subtract(union([cone, back, nose]), bore_tools(p.bore_radius, p.keyed, 3 * p.radius, 48))


@dataclass(frozen=True)
class Crankshaft:
    """Journals along x with crank throws between pairs of webs, throws at `throw_degrees`."""

    journal_radius: float
    journal_length: float
    web_thickness: float
    throw_radius: float
    pin_length: float
    throw_degrees: tuple[float, ...]
    end_flange: bool


def draw_crankshaft(rng: np.random.Generator) -> Crankshaft:
    journal = uniform(rng, 9, 14)
    count = integer(rng, 1, 4)
    patterns = {1: (0.0,), 2: (0.0, 180.0), 3: (0.0, 120.0, 240.0), 4: (0.0, 180.0, 180.0, 0.0)}
    throw, length, web, pin = uniforms(rng, 4, 0.0, 1.0)
    return Crankshaft(
        journal_radius=journal,
        journal_length=journal * (1.2 + length),
        web_thickness=journal * (0.6 + 0.5 * web),
        throw_radius=journal * (1.3 + 0.9 * throw),
        pin_length=journal * (1.2 + 0.9 * pin),
        throw_degrees=patterns[count],
        end_flange=chance(rng),
    )


def build_crankshaft(p: Crankshaft) -> Manifold:
    r = p.journal_radius
    pin_r = 0.85 * r
    cheek = hull(
        [cylinder(1.15 * pin_r, p.web_thickness, 32).translate((0, p.throw_radius, 0)), cylinder(1.3 * r, p.web_thickness, 40)]
    )
    counterweight = extruded(sector(p.throw_radius + 1.1 * r, 210, 330, 13), p.web_thickness)
    web = union([cheek, counterweight])
    z = 2 * p.journal_length
    parts = [cylinder(0.8 * r, z), cylinder(r, z / 2 + 0.5).translate((0, 0, z / 2))]
    for angle in p.throw_degrees:
        pin = cylinder(pin_r, p.pin_length + p.web_thickness).translate((0, p.throw_radius, 0.5 * p.web_thickness))
        throw = union([web, pin, web.translate((0, 0, p.web_thickness + p.pin_length))])
        parts.append(throw.rotate((0, 0, angle)).translate((0, 0, z)))
        z += 2 * p.web_thickness + p.pin_length
        parts.append(cylinder(r, p.journal_length + 1).translate((0, 0, z - 0.5)))
        z += p.journal_length
    if p.end_flange:
        holes = polar(centred_cylinder(0.2 * r, 4 * r, 16), 6, 1.25 * r)
        parts.append(subtract(cylinder(1.7 * r, 0.5 * r), holes).translate((0, 0, z - 0.4 * r)))
    return along_x(union(parts))


STEPPED_SHAFT = Family(
    "stepped_shaft",
    "component",
    draw_stepped_shaft,
    build_stepped_shaft,
    "Turned shafts with key slots, circlip grooves, flats, a pinion or a threaded end",
    # A small pinion or thread on a long shaft: its tips are narrow.
    thinnest_wall=1.5,
)
SPUR_GEAR = Family(
    "spur_gear", "component", draw_spur_gear, build_spur_gear, "Involute spur and helical gears of ISO 54 modules, 14 to 60 teeth"
)
BEVEL_GEAR = Family(
    "bevel_gear",
    "component",
    draw_bevel_gear,
    build_bevel_gear,
    "Straight bevel gears of ISO 54 modules",
    # Teeth end narrow at the small end of the cone.
    thinnest_wall=1.5,
)
PULLEY = Family("pulley", "component", draw_pulley, build_pulley, "V-belt pulleys with ISO 4183 grooves, solid, holed or spoked")
SPROCKET = Family("sprocket", "component", draw_sprocket, build_sprocket, "Wheels for ISO 606 roller chains, one or two strands")
COUPLING = Family(
    "coupling", "component", draw_coupling, build_coupling, "Jaw couplings with an elastic spider, with or without shafts"
)
BEARING = Family(
    "bearing",
    "component",
    draw_bearing,
    build_bearing,
    "Ball and roller bearings of ISO 15 sizes, open or shielded; the rings of roller bearings are loose",
    loose_bodies=True,
)
PILLOW_BLOCK = Family(
    "pillow_block", "component", draw_pillow_block, build_pillow_block, "Bearing housings on a foot, for bearings 6204 to 6212"
)
CRANKSHAFT = Family(
    "crankshaft", "component", draw_crankshaft, build_crankshaft, "Crankshafts with one to four throws and counterweights"
)

"""The standard tables: laws that their rows obey, and rows that everybody knows."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from training.data.families.conditions import finished
from training.data.families.fluid import Flange, FlangeForm, build_flange
from training.data.families.solids import (
    beam_section,
    hex_nut,
    pipe_flange,
    sprocket_outline,
    sprocket_tip_radius,
    swept_disc,
    thread,
    vee_groove,
)
from training.data.families.standards import (
    BALL_BEARINGS,
    BEAMS,
    CLEARANCE_HOLES,
    DATUM_DIAMETERS,
    GEAR_MODULES,
    HEB_BEAMS,
    HEXAGON_BOLTS,
    HEXAGON_NUTS,
    HYDRAULIC_CYLINDERS,
    IPE_BEAMS,
    MOTOR_FRAMES,
    PARALLEL_KEYS,
    PIPE_FLANGES,
    PIPE_THREADS,
    PLAIN_WASHERS,
    PNEUMATIC_CYLINDERS,
    ROLLER_CHAINS,
    SOCKET_SCREWS,
    V_GROOVES,
    BallBearing,
    bolt_thread_length,
    most_balls,
    parallel_key,
)

# Cross-sections in cm², as the beam tables print them beside the dimensions.
BEAM_AREAS = {
    "IPE 80": 7.64,
    "IPE 100": 10.3,
    "IPE 120": 13.2,
    "IPE 140": 16.4,
    "IPE 160": 20.1,
    "IPE 180": 23.9,
    "IPE 200": 28.5,
    "IPE 220": 33.4,
    "IPE 240": 39.1,
    "IPE 270": 45.9,
    "IPE 300": 53.8,
    "HEB 100": 26.0,
    "HEB 120": 34.0,
    "HEB 140": 43.0,
    "HEB 160": 54.3,
    "HEB 180": 65.3,
    "HEB 200": 78.1,
    "HEB 220": 91.0,
    "HEB 240": 106.0,
    "HEB 260": 118.4,
    "HEB 280": 131.4,
    "HEB 300": 149.1,
}
INCHES = {"DN 25": 1, "DN 32": 1.25, "DN 40": 1.5, "DN 50": 2, "DN 65": 2.5, "DN 80": 3, "DN 100": 4, "DN 125": 5, "DN 150": 6}


def rising(values: list[Any]) -> bool:
    return all(low < high for low, high in pairwise(values))


def test_screws_nuts_and_washers_of_a_thread_fit_each_other() -> None:
    assert HEXAGON_BOLTS.keys() == SOCKET_SCREWS.keys() == HEXAGON_NUTS.keys() == PLAIN_WASHERS.keys() == CLEARANCE_HOLES.keys()
    for name, bolt in HEXAGON_BOLTS.items():
        socket, nut, washer = SOCKET_SCREWS[name], HEXAGON_NUTS[name], PLAIN_WASHERS[name]
        assert name == f"M{bolt.d:g}"
        assert bolt.d == socket.d == nut.d == socket.k
        assert bolt.s == nut.s
        # Corners may be rounded, but never stand out beyond the full hexagon's.
        assert 1.08 * bolt.s < bolt.e <= 2 / math.sqrt(3) * bolt.s
        assert 0.6 < bolt.k / bolt.d < 0.72
        assert socket.s < bolt.d < socket.dk
        assert socket.t < socket.k
        assert bolt.d < washer.d1 < CLEARANCE_HOLES[name] * 1.01 < washer.d2
        assert bolt.s < washer.d2


def test_coarse_pitches_leave_the_core_of_a_thread_that_iso_261_gives() -> None:
    cores = {"M6": 4.917, "M10": 8.376, "M16": 13.835, "M24": 20.752}
    for name, core in cores.items():
        bolt = HEXAGON_BOLTS[name]
        assert bolt.d - 2 * 0.541266 * bolt.pitch == pytest.approx(core, abs=1e-3)


@pytest.mark.parametrize(("length", "expected"), [(60, 26), (125, 26), (130, 32), (200, 32), (220, 45)])
def test_an_m10_bolt_is_threaded_over_twice_its_diameter_and_a_little_more(length: float, expected: float) -> None:
    assert bolt_thread_length(10, length) == expected


def test_bearings_have_room_for_their_balls_and_their_bore_is_in_their_number() -> None:
    assert BALL_BEARINGS["6205"] == BallBearing(25, 52, 15)
    assert BALL_BEARINGS["6008"] == BallBearing(40, 68, 15)
    assert BALL_BEARINGS["6308"] == BallBearing(40, 90, 23)
    small_bores = (10, 12, 15, 17)
    for name, bearing in BALL_BEARINGS.items():
        code = int(name[2:])
        assert bearing.d == (small_bores[code] if code < 4 else 5 * code)
        assert bearing.d < bearing.D
        assert bearing.B < bearing.D - bearing.d
    for code in range(11):
        light, medium, heavy = (BALL_BEARINGS[f"6{series}{code:02}"] for series in "023")
        assert light.D < medium.D < heavy.D
        assert light.B <= medium.B < heavy.B


def test_a_6205_takes_nine_balls() -> None:
    bearing = BALL_BEARINGS["6205"]
    assert most_balls((bearing.d + bearing.D) / 2, 0.3 * (bearing.D - bearing.d)) == 9


def test_flanges_leave_room_between_hub_bolts_and_rim() -> None:
    for name, flange in PIPE_FLANGES.items():
        assert flange.pipe < flange.d1 < flange.K < flange.D
        assert flange.bolt in HEXAGON_BOLTS
        assert flange.L - CLEARANCE_HOLES[flange.bolt] == pytest.approx(0.5, abs=0.51)
        # The raised face stays inside the bolts' holes, the holes inside the rim, and nuts do not touch each other.
        assert flange.d1 <= flange.K - flange.L + 1
        assert flange.K + flange.L < flange.D
        assert flange.K * math.sin(math.pi / flange.n) > HEXAGON_BOLTS[flange.bolt].e
        assert flange.n % 4 == 0
        assert flange.f < flange.C < flange.H
        # An elbow of 3D turns on one and a half nominal diameters, counted in inches.
        if name in INCHES:
            assert flange.elbow == pytest.approx(1.5 * 25.4 * INCHES[name], abs=0.8)
    assert rising([(f.D, f.K, f.d1, f.face_to_face, f.elbow) for f in PIPE_FLANGES.values()])


def test_a_flange_is_built_to_its_table() -> None:
    row = PIPE_FLANGES["DN 50"]
    low_x, _, low_z, high_x, _, high_z = pipe_flange(row).bounding_box()
    assert (high_x - low_x, low_z, high_z) == pytest.approx((row.D, 0, row.H), abs=1e-4)
    assert pipe_flange(row).genus() == row.n


def test_chains_are_named_by_sixteenths_of_an_inch_and_roll_inside_their_pitch() -> None:
    for name, chain in ROLLER_CHAINS.items():
        if name != "05B":  # the metric one
            assert chain.pitch == pytest.approx(25.4 / 16 * int(name[:2]))
        assert 0.58 < chain.roller / chain.pitch < 0.68
        assert chain.roller < chain.plate < chain.pitch
        assert chain.inner_width < chain.transverse_pitch


def test_a_sprocket_seats_its_rollers_on_the_pitch_circle() -> None:
    chain, teeth = ROLLER_CHAINS["10B"], 19
    outline = sprocket_outline(chain, teeth)
    pitch_radius = chain.pitch / (2 * math.sin(math.pi / teeth))
    radii = np.linalg.norm(np.concatenate(outline.to_polygons()), axis=1)
    assert radii.min() == pytest.approx(pitch_radius - 0.505 * chain.roller, rel=1e-3)
    assert radii.max() <= sprocket_tip_radius(chain, teeth) + 1e-6
    assert pitch_radius < radii.max() < pitch_radius + 0.625 * chain.pitch - chain.roller / 2 + 1e-6


def test_grooves_do_not_touch_their_neighbours_and_belts_do_not_touch_the_ground() -> None:
    for groove in V_GROOVES.values():
        assert groove.wd < groove.e < 2 * groove.f
        assert groove.smallest in DATUM_DIAMETERS
        assert groove.degrees(groove.smallest) == 34
        assert groove.degrees(groove.narrow_to + 1) == 38
        radius = groove.smallest / 2
        (tool,) = vee_groove(groove, radius, radius + groove.b).to_polygons()
        radii, places = np.array(tool).T
        assert radii.min() == pytest.approx(radius - groove.h)
        # The two sides at the rim: their mean and that at the root give the datum width by their slope.
        top = places[radii > radius].max()
        assert 2 * (top - groove.b * math.tan(math.radians(17))) == pytest.approx(groove.wd)
        assert 2 * top < groove.e


def test_motor_frames_are_named_by_their_shaft_height() -> None:
    for name, frame in MOTOR_FRAMES.items():
        assert frame.H == float(name.rstrip("SML"))
        assert frame.S < frame.P - frame.M
        assert frame.N < frame.M < frame.P
        assert frame.A > 1.5 * frame.H
        assert frame.D < frame.E <= 3 * frame.D
        assert 0.5 * frame.H < frame.C < frame.H


def test_frames_that_differ_by_a_letter_differ_in_length_alone() -> None:
    for short, long in (("90S", "90L"), ("132S", "132M"), ("160M", "160L")):
        first, second = MOTOR_FRAMES[short], MOTOR_FRAMES[long]
        assert first.B < second.B
        assert (first.H, first.A, first.C, first.D, first.P) == (second.H, second.A, second.C, second.D, second.P)


@pytest.mark.parametrize("name", BEAMS)
def test_a_beams_section_has_the_area_that_the_table_prints(name: str) -> None:
    assert beam_section(BEAMS[name]).area() / 100 == pytest.approx(BEAM_AREAS[name], rel=0.005)


def test_beams_are_named_by_their_height() -> None:
    for name, beam in BEAMS.items():
        assert beam.h == float(name.split()[1])
        assert beam.tw < beam.tf
    assert all(beam.b == beam.h for beam in HEB_BEAMS.values())
    assert all(beam.b < 0.6 * beam.h for beam in IPE_BEAMS.values())
    assert rising([(b.h, b.b, b.tw, b.tf) for b in IPE_BEAMS.values()])


def test_keys_fill_their_slots_and_grow_with_the_shaft() -> None:
    assert (parallel_key(25).b, parallel_key(25).h) == (8, 7)
    assert parallel_key(30) != parallel_key(30.1)
    for key in PARALLEL_KEYS:
        assert 0 <= key.t1 + key.t2 - key.h < 0.5
    assert rising([key.largest_shaft for key in PARALLEL_KEYS])
    with pytest.raises(ValueError, match="at most 85 mm, got 90"):
        parallel_key(90)


def test_cylinders_have_their_tie_rods_outside_the_bore() -> None:
    for row in (*HYDRAULIC_CYLINDERS.values(), *PNEUMATIC_CYLINDERS.values()):
        assert row.tie_rods * math.sqrt(2) > row.bore + HEXAGON_BOLTS[row.tie_rod].d
        assert all(0.19 * row.bore < rod < 0.75 * row.bore for rod in row.rods)


def test_modules_are_those_of_the_first_series() -> None:
    assert rising(list(GEAR_MODULES))
    assert {1.125, 1.75, 2.25, 3.5}.isdisjoint(GEAR_MODULES)


def test_pipe_threads_have_whole_threads_to_the_inch() -> None:
    for row in PIPE_THREADS.values():
        assert 25.4 / row.pitch == pytest.approx(round(25.4 / row.pitch), rel=1e-3)
    assert rising([row.d for row in PIPE_THREADS.values()])


def test_a_thread_has_the_volume_of_its_profile() -> None:
    """The basic profile turned about the axis encloses the same volume, however steep the helix."""
    d, pitch, length, points = 10.0, 1.5, 30.0, 96
    crest, root = d / 2, d / 2 - 0.541 * pitch
    flank = (crest**2 + crest * root + root**2) / 3
    area = math.pi * (crest**2 / 8 + root**2 / 4 + flank * 5 / 8)
    facets = math.sin(2 * math.pi / points) / (2 * math.pi / points)
    solid = thread(d, length, pitch, points)
    assert solid.volume() == pytest.approx(area * facets * length, rel=2e-3)
    assert solid.genus() == 0
    assert solid.bounding_box() == pytest.approx((-5, -5, 0, 5, 5, 30), abs=0.01)


def test_a_coil_has_the_volume_of_its_wire() -> None:
    radius, wire, pitch, turns, segments = 20.0, 2.0, 9.0, 5, 12
    angles = np.linspace(0, 2 * math.pi * turns, 60 * turns + 1)
    path = [(radius * math.cos(a), radius * math.sin(a), pitch * a / (2 * math.pi)) for a in angles]
    section = segments / 2 * wire**2 * math.sin(2 * math.pi / segments)
    length = turns * math.hypot(2 * math.pi * radius, pitch)
    coil = swept_disc(path, wire, segments)
    assert coil.volume() == pytest.approx(section * length, rel=5e-3)
    assert coil.genus() == 0


def test_a_nut_is_a_hexagon_with_its_corners_turned_off() -> None:
    nut = HEXAGON_NUTS["M12"]
    solid = hex_nut(nut.s, nut.m)
    full = math.sqrt(3) / 2 * nut.s**2 * nut.m
    assert 0.96 * full < solid.volume() < full
    assert solid.bounding_box()[5] == pytest.approx(nut.m)


@pytest.mark.parametrize(
    ("form", "screw_holes", "bores"),
    [("welding_neck", True, 1), ("slip_on", True, 1), ("ribbed", True, 1), ("blind", True, 0), ("bolted", False, 1)],
)
def test_a_flange_has_its_bore_and_its_bolt_holes(form: FlangeForm, screw_holes: bool, bores: int) -> None:
    """Each hole right through a solid adds one to its genus."""
    for size, row in PIPE_FLANGES.items():
        solid = finished(build_flange(Flange(size, form, 0.1 * row.pipe, 0.7 * row.C, 4, "hex")))
        assert solid.genus() == bores + (row.n if screw_holes else 0)
        assert len(solid.decompose()) == 1

"""Standard sizes that the families draw from: rows of the tables a designer would open, keyed by designation, in millimetres.

Only nominal sizes are kept; tolerances, materials and grades do not show in a shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Screws, nuts, washers


@dataclass(frozen=True)
class HexagonBolt:
    """ISO 4014 and ISO 4017 hexagon bolts and screws, product grade A, with ISO 261 coarse thread.

    d: nominal diameter; pitch: of the coarse thread; s: across flats; k: head height; e: least width across corners.
    """

    d: float
    pitch: float
    s: float
    k: float
    e: float


HEXAGON_BOLTS = {
    "M3": HexagonBolt(3, 0.5, 5.5, 2, 6.01),
    "M4": HexagonBolt(4, 0.7, 7, 2.8, 7.66),
    "M5": HexagonBolt(5, 0.8, 8, 3.5, 8.79),
    "M6": HexagonBolt(6, 1, 10, 4, 11.05),
    "M8": HexagonBolt(8, 1.25, 13, 5.3, 14.38),
    "M10": HexagonBolt(10, 1.5, 16, 6.4, 17.77),
    "M12": HexagonBolt(12, 1.75, 18, 7.5, 20.03),
    "M16": HexagonBolt(16, 2, 24, 10, 26.75),
    "M20": HexagonBolt(20, 2.5, 30, 12.5, 33.53),
    "M24": HexagonBolt(24, 3, 36, 15, 39.98),
    "M30": HexagonBolt(30, 3.5, 46, 18.7, 50.85),
}


@dataclass(frozen=True)
class SocketScrew:
    """ISO 4762 socket head cap screws. dk: head diameter; k: head height; s: hexagon key; t: least depth of the socket."""

    d: float
    dk: float
    k: float
    s: float
    t: float


SOCKET_SCREWS = {
    "M3": SocketScrew(3, 5.5, 3, 2.5, 1.3),
    "M4": SocketScrew(4, 7, 4, 3, 2),
    "M5": SocketScrew(5, 8.5, 5, 4, 2.5),
    "M6": SocketScrew(6, 10, 6, 5, 3),
    "M8": SocketScrew(8, 13, 8, 6, 4),
    "M10": SocketScrew(10, 16, 10, 8, 5),
    "M12": SocketScrew(12, 18, 12, 10, 6),
    "M16": SocketScrew(16, 24, 16, 14, 8),
    "M20": SocketScrew(20, 30, 20, 17, 10),
    "M24": SocketScrew(24, 36, 24, 19, 12),
    "M30": SocketScrew(30, 45, 30, 22, 15.5),
}


@dataclass(frozen=True)
class HexagonNut:
    """ISO 4032 hexagon nuts, style 1. s: across flats; m: height."""

    d: float
    s: float
    m: float


HEXAGON_NUTS = {
    "M3": HexagonNut(3, 5.5, 2.4),
    "M4": HexagonNut(4, 7, 3.2),
    "M5": HexagonNut(5, 8, 4.7),
    "M6": HexagonNut(6, 10, 5.2),
    "M8": HexagonNut(8, 13, 6.8),
    "M10": HexagonNut(10, 16, 8.4),
    "M12": HexagonNut(12, 18, 10.8),
    "M16": HexagonNut(16, 24, 14.8),
    "M20": HexagonNut(20, 30, 18),
    "M24": HexagonNut(24, 36, 21.5),
    "M30": HexagonNut(30, 46, 25.6),
}


@dataclass(frozen=True)
class PlainWasher:
    """ISO 7089 plain washers, normal series. d1: hole; d2: outside diameter; h: thickness."""

    d1: float
    d2: float
    h: float


PLAIN_WASHERS = {
    "M3": PlainWasher(3.2, 7, 0.5),
    "M4": PlainWasher(4.3, 9, 0.8),
    "M5": PlainWasher(5.3, 10, 1),
    "M6": PlainWasher(6.4, 12, 1.6),
    "M8": PlainWasher(8.4, 16, 1.6),
    "M10": PlainWasher(10.5, 20, 2),
    "M12": PlainWasher(13, 24, 2.5),
    "M16": PlainWasher(17, 30, 3),
    "M20": PlainWasher(21, 37, 3),
    "M24": PlainWasher(25, 44, 4),
    "M30": PlainWasher(31, 56, 4),
}

# ISO 273, medium series: the hole that a screw passes through.
CLEARANCE_HOLES = {
    "M3": 3.4,
    "M4": 4.5,
    "M5": 5.5,
    "M6": 6.6,
    "M8": 9.0,
    "M10": 11.0,
    "M12": 13.5,
    "M16": 17.5,
    "M20": 22.0,
    "M24": 26.0,
    "M30": 33.0,
}


@dataclass(frozen=True)
class PipeThread:
    """ISO 228-1 parallel pipe threads. d: major diameter; pitch."""

    d: float
    pitch: float


PIPE_THREADS = {
    "G 1/8": PipeThread(9.728, 0.907),
    "G 1/4": PipeThread(13.157, 1.337),
    "G 3/8": PipeThread(16.662, 1.337),
    "G 1/2": PipeThread(20.955, 1.814),
    "G 3/4": PipeThread(26.441, 1.814),
    "G 1": PipeThread(33.249, 2.309),
}

# ISO 888: usual lengths of bolts and screws.
BOLT_LENGTHS = (16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 180, 200)


def bolt_thread_length(d: float, length: float) -> float:
    """ISO 4014: reference thread length of a partly threaded bolt."""
    if length <= 125:
        return 2 * d + 6
    return 2 * d + 12 if length <= 200 else 2 * d + 25


def screw_thread_length(d: float) -> float:
    """ISO 4762: reference thread length of a socket head cap screw; shorter ones are threaded to the head."""
    return 2 * d + 12


# Shafts and what they carry


@dataclass(frozen=True)
class BallBearing:
    """ISO 15 deep groove ball bearings, dimension series 10 (60xx), 02 (62xx) and 03 (63xx): bore d, outside D, width B."""

    d: float
    D: float
    B: float


BALL_BEARINGS = {
    "6000": BallBearing(10, 26, 8),
    "6001": BallBearing(12, 28, 8),
    "6002": BallBearing(15, 32, 9),
    "6003": BallBearing(17, 35, 10),
    "6004": BallBearing(20, 42, 12),
    "6005": BallBearing(25, 47, 12),
    "6006": BallBearing(30, 55, 13),
    "6007": BallBearing(35, 62, 14),
    "6008": BallBearing(40, 68, 15),
    "6009": BallBearing(45, 75, 16),
    "6010": BallBearing(50, 80, 16),
    "6200": BallBearing(10, 30, 9),
    "6201": BallBearing(12, 32, 10),
    "6202": BallBearing(15, 35, 11),
    "6203": BallBearing(17, 40, 12),
    "6204": BallBearing(20, 47, 14),
    "6205": BallBearing(25, 52, 15),
    "6206": BallBearing(30, 62, 16),
    "6207": BallBearing(35, 72, 17),
    "6208": BallBearing(40, 80, 18),
    "6209": BallBearing(45, 85, 19),
    "6210": BallBearing(50, 90, 20),
    "6211": BallBearing(55, 100, 21),
    "6212": BallBearing(60, 110, 22),
    "6300": BallBearing(10, 35, 11),
    "6301": BallBearing(12, 37, 12),
    "6302": BallBearing(15, 42, 13),
    "6303": BallBearing(17, 47, 14),
    "6304": BallBearing(20, 52, 15),
    "6305": BallBearing(25, 62, 17),
    "6306": BallBearing(30, 72, 19),
    "6307": BallBearing(35, 80, 21),
    "6308": BallBearing(40, 90, 23),
    "6309": BallBearing(45, 100, 25),
    "6310": BallBearing(50, 110, 27),
    "6311": BallBearing(55, 120, 29),
    "6312": BallBearing(60, 130, 31),
}


def most_balls(pitch_diameter: float, ball_diameter: float) -> int:
    """Balls that a deep groove bearing takes when it is filled between its eccentric rings: they cover 186 degrees there."""
    return round(1 + 186 / (2 * math.degrees(math.asin(ball_diameter / pitch_diameter))))


@dataclass(frozen=True)
class ParallelKey:
    """ISO/R 773 parallel keys for shafts up to `largest_shaft`: width b, height h, depth t1 in the shaft, t2 in the hub."""

    largest_shaft: float
    b: float
    h: float
    t1: float
    t2: float


PARALLEL_KEYS = (
    ParallelKey(8, 2, 2, 1.2, 1.0),
    ParallelKey(10, 3, 3, 1.8, 1.4),
    ParallelKey(12, 4, 4, 2.5, 1.8),
    ParallelKey(17, 5, 5, 3.0, 2.3),
    ParallelKey(22, 6, 6, 3.5, 2.8),
    ParallelKey(30, 8, 7, 4.0, 3.3),
    ParallelKey(38, 10, 8, 5.0, 3.3),
    ParallelKey(44, 12, 8, 5.0, 3.3),
    ParallelKey(50, 14, 9, 5.5, 3.8),
    ParallelKey(58, 16, 10, 6.0, 4.3),
    ParallelKey(65, 18, 11, 7.0, 4.4),
    ParallelKey(75, 20, 12, 7.5, 4.9),
    ParallelKey(85, 22, 14, 9.0, 5.4),
)


def parallel_key(shaft: float) -> ParallelKey:
    """The key of a shaft diameter, the smallest one below 6 mm too; ValueError beyond the table."""
    for key in PARALLEL_KEYS:
        if shaft <= key.largest_shaft:
            return key
    raise ValueError(f"parallel key: expected a shaft of at most {PARALLEL_KEYS[-1].largest_shaft} mm, got {shaft:.1f}")


# ISO 54, series I: preferred gear modules.
GEAR_MODULES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)


@dataclass(frozen=True)
class RollerChain:
    """ISO 606 short-pitch roller chains, B series. roller: d1; inner_width: b1; plate: h2, height of the inner plates;
    transverse_pitch: between the strands of a multiple chain."""

    pitch: float
    roller: float
    inner_width: float
    plate: float
    transverse_pitch: float


ROLLER_CHAINS = {
    "05B": RollerChain(8, 5, 3, 7.11, 5.64),
    "06B": RollerChain(9.525, 6.35, 5.72, 8.26, 10.24),
    "08B": RollerChain(12.7, 8.51, 7.75, 11.81, 13.92),
    "10B": RollerChain(15.875, 10.16, 9.65, 14.73, 16.59),
    "12B": RollerChain(19.05, 12.07, 11.68, 16.13, 19.46),
    "16B": RollerChain(25.4, 15.88, 17.02, 21.08, 31.88),
    "20B": RollerChain(31.75, 19.05, 19.56, 26.42, 36.45),
    "24B": RollerChain(38.1, 25.4, 25.4, 33.4, 48.36),
}


@dataclass(frozen=True)
class VGroove:
    """ISO 4183 grooves for narrow V-belts. wd: width at the datum diameter; b: least depth above it, h: below it;
    e: groove pitch; f: from the first groove to the rim's face; narrow_to: the largest datum diameter with 34 degrees
    between the flanks, 38 above; smallest: least datum diameter."""

    wd: float
    b: float
    h: float
    e: float
    f: float
    narrow_to: float
    smallest: float

    def degrees(self, datum_diameter: float) -> float:
        """Angle between the flanks."""
        return 34.0 if datum_diameter <= self.narrow_to else 38.0


V_GROOVES = {
    "SPZ": VGroove(8.5, 2.0, 9.0, 12, 8, 80, 63),
    "SPA": VGroove(11, 2.75, 11.0, 15, 10, 118, 90),
    "SPB": VGroove(14, 3.5, 14.0, 19, 12.5, 190, 140),
    "SPC": VGroove(19, 4.8, 19.0, 25.5, 17, 315, 224),
}

# ISO 4183: preferred datum diameters of V-belt pulleys.
DATUM_DIAMETERS = (63, 71, 80, 90, 100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315)


# Pipes, motors, cylinders


@dataclass(frozen=True)
class PipeFlange:
    """EN 1092-1 PN 16 steel flanges, type 11 (welding neck).

    pipe: outside diameter of the pipe (EN 10220); D: of the flange; K: of the bolt circle; n holes of diameter L;
    C: thickness with the raised face; H: length through the hub; d1, f: diameter and height of the raised face.
    face_to_face: EN 558 series 1, of a flanged valve; elbow: EN 10253 radius of a 3D elbow.
    """

    pipe: float
    D: float
    K: float
    L: float
    n: int
    C: float
    H: float
    d1: float
    f: float
    face_to_face: float
    elbow: float

    @property
    def bolt(self) -> str:
        """Thread of the bolts: holes up to M20 are two millimetres wider."""
        return f"M{self.L - 2:.0f}"


PIPE_FLANGES = {
    "DN 15": PipeFlange(21.3, 95, 65, 14, 4, 16, 38, 45, 2, 130, 28),
    "DN 20": PipeFlange(26.9, 105, 75, 14, 4, 18, 40, 58, 2, 150, 29),
    "DN 25": PipeFlange(33.7, 115, 85, 14, 4, 18, 40, 68, 2, 160, 38),
    "DN 32": PipeFlange(42.4, 140, 100, 18, 4, 18, 42, 78, 2, 180, 48),
    "DN 40": PipeFlange(48.3, 150, 110, 18, 4, 18, 45, 88, 3, 200, 57),
    "DN 50": PipeFlange(60.3, 165, 125, 18, 4, 18, 45, 102, 3, 230, 76),
    "DN 65": PipeFlange(76.1, 185, 145, 18, 8, 18, 45, 122, 3, 290, 95),
    "DN 80": PipeFlange(88.9, 200, 160, 18, 8, 20, 50, 138, 3, 310, 114),
    "DN 100": PipeFlange(114.3, 220, 180, 18, 8, 20, 52, 158, 3, 350, 152),
    "DN 125": PipeFlange(139.7, 250, 210, 18, 8, 22, 55, 188, 3, 400, 190),
    "DN 150": PipeFlange(168.3, 285, 240, 22, 8, 22, 55, 212, 3, 480, 229),
    "DN 200": PipeFlange(219.1, 340, 295, 22, 12, 24, 62, 268, 3, 600, 305),
}


@dataclass(frozen=True)
class MotorFrame:
    """IEC 60072-1 frames of foot- and flange-mounted motors.

    H: shaft height; A, B: between the foot holes, across and along; C: from the shaft's shoulder to the first foot hole;
    K: foot holes; D, E: diameter and length of the shaft end. The flange (FF): M bolt circle, N spigot, P outside,
    S its four holes.
    """

    H: float
    A: float
    B: float
    C: float
    K: float
    D: float
    E: float
    M: float
    N: float
    P: float
    S: float


MOTOR_FRAMES = {
    "56": MotorFrame(56, 90, 71, 36, 5.8, 9, 20, 100, 80, 120, 7),
    "63": MotorFrame(63, 100, 80, 40, 7, 11, 23, 115, 95, 140, 10),
    "71": MotorFrame(71, 112, 90, 45, 7, 14, 30, 130, 110, 160, 10),
    "80": MotorFrame(80, 125, 100, 50, 10, 19, 40, 165, 130, 200, 12),
    "90S": MotorFrame(90, 140, 100, 56, 10, 24, 50, 165, 130, 200, 12),
    "90L": MotorFrame(90, 140, 125, 56, 10, 24, 50, 165, 130, 200, 12),
    "100L": MotorFrame(100, 160, 140, 63, 12, 28, 60, 215, 180, 250, 14.5),
    "112M": MotorFrame(112, 190, 140, 70, 12, 28, 60, 215, 180, 250, 14.5),
    "132S": MotorFrame(132, 216, 140, 89, 12, 38, 80, 265, 230, 300, 14.5),
    "132M": MotorFrame(132, 216, 178, 89, 12, 38, 80, 265, 230, 300, 14.5),
    "160M": MotorFrame(160, 254, 210, 108, 14.5, 42, 110, 300, 250, 350, 18.5),
    "160L": MotorFrame(160, 254, 254, 108, 14.5, 42, 110, 300, 250, 350, 18.5),
}


@dataclass(frozen=True)
class TieRodCylinder:
    """Cylinders with tie rods. rod: diameters to choose from; tie_rods: their distance (TG); tie_rod: their thread."""

    bore: float
    rods: tuple[float, ...]
    tie_rods: float
    tie_rod: str


# ISO 6020-2, compact hydraulic series.
HYDRAULIC_CYLINDERS = {
    "25": TieRodCylinder(25, (12, 18), 28.3, "M5"),
    "32": TieRodCylinder(32, (14, 22), 33.2, "M6"),
    "40": TieRodCylinder(40, (18, 28), 41.7, "M8"),
    "50": TieRodCylinder(50, (22, 36), 52.3, "M12"),
    "63": TieRodCylinder(63, (28, 45), 64.3, "M12"),
    "80": TieRodCylinder(80, (36, 56), 82.7, "M16"),
    "100": TieRodCylinder(100, (45, 70), 96.9, "M16"),
}

# ISO 15552, pneumatic.
PNEUMATIC_CYLINDERS = {
    "32": TieRodCylinder(32, (12,), 32.5, "M6"),
    "40": TieRodCylinder(40, (16,), 38.0, "M6"),
    "50": TieRodCylinder(50, (20,), 46.5, "M8"),
    "63": TieRodCylinder(63, (20,), 56.5, "M8"),
    "80": TieRodCylinder(80, (25,), 72.0, "M10"),
    "100": TieRodCylinder(100, (25,), 89.0, "M10"),
    "125": TieRodCylinder(125, (32,), 110.0, "M12"),
}


# Beams and profiles


@dataclass(frozen=True)
class Beam:
    """EN 10365 hot-rolled sections with parallel flanges: height h, width b, web tw, flanges tf, root radius r."""

    h: float
    b: float
    tw: float
    tf: float
    r: float


IPE_BEAMS = {
    "IPE 80": Beam(80, 46, 3.8, 5.2, 5),
    "IPE 100": Beam(100, 55, 4.1, 5.7, 7),
    "IPE 120": Beam(120, 64, 4.4, 6.3, 7),
    "IPE 140": Beam(140, 73, 4.7, 6.9, 7),
    "IPE 160": Beam(160, 82, 5.0, 7.4, 9),
    "IPE 180": Beam(180, 91, 5.3, 8.0, 9),
    "IPE 200": Beam(200, 100, 5.6, 8.5, 12),
    "IPE 220": Beam(220, 110, 5.9, 9.2, 12),
    "IPE 240": Beam(240, 120, 6.2, 9.8, 15),
    "IPE 270": Beam(270, 135, 6.6, 10.2, 15),
    "IPE 300": Beam(300, 150, 7.1, 10.7, 15),
}
HEB_BEAMS = {
    "HEB 100": Beam(100, 100, 6, 10, 12),
    "HEB 120": Beam(120, 120, 6.5, 11, 12),
    "HEB 140": Beam(140, 140, 7, 12, 12),
    "HEB 160": Beam(160, 160, 8, 13, 15),
    "HEB 180": Beam(180, 180, 8.5, 14, 15),
    "HEB 200": Beam(200, 200, 9, 15, 18),
    "HEB 220": Beam(220, 220, 9.5, 16, 18),
    "HEB 240": Beam(240, 240, 10, 17, 21),
    "HEB 260": Beam(260, 260, 10, 17.5, 24),
    "HEB 280": Beam(280, 280, 10.5, 18, 24),
    "HEB 300": Beam(300, 300, 11, 19, 27),
}
BEAMS = IPE_BEAMS | HEB_BEAMS

# Aluminium profiles have no standard; these pairs of edge length and slot opening are what makers agree on.
PROFILE_SLOTS = {20: 5, 30: 6, 40: 8, 50: 10, 60: 12}

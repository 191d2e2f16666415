"""What parts are made of: bare, brushed, painted, galvanised and anodised metal, plastic and rubber."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

# Linear RGB. Metals: reflectance at normal incidence.
METALS = {
    "steel": (0.56, 0.57, 0.58),
    "stainless": (0.66, 0.65, 0.63),
    "aluminium": (0.83, 0.84, 0.85),
    "zinc": (0.66, 0.69, 0.74),
    "brass": (0.85, 0.68, 0.36),
    "copper": (0.86, 0.53, 0.38),
    "blackened": (0.12, 0.12, 0.13),
    "cast iron": (0.32, 0.31, 0.30),
}
PAINTS = (
    (0.02, 0.12, 0.36),  # gentian blue
    (0.05, 0.20, 0.50),  # sky blue
    (0.05, 0.22, 0.11),  # reseda to emerald green
    (0.55, 0.60, 0.58),  # light grey
    (0.22, 0.25, 0.27),  # machine grey
    (0.08, 0.09, 0.10),  # anthracite
    (0.80, 0.48, 0.02),  # cadmium yellow
    (0.75, 0.17, 0.02),  # orange
    (0.55, 0.03, 0.03),  # traffic red
    (0.78, 0.78, 0.74),  # off-white
    (0.45, 0.36, 0.22),  # beige
)
ANODISED = (
    (0.10, 0.11, 0.12),  # black
    (0.06, 0.16, 0.52),  # blue
    (0.55, 0.06, 0.06),  # red
    (0.70, 0.48, 0.16),  # gold
    (0.72, 0.25, 0.04),  # orange
    (0.08, 0.36, 0.16),  # green
)


@dataclass(frozen=True, kw_only=True)
class Material:
    """A surface for the renderer.

    colour: linear RGB, diffuse colour of a dielectric or reflectance of a metal. metallic, roughness: in [0, 1].
    brushing: tilt of the shading normal by fine streaks along `axis`.
    mottling: relative variation of the colour over the surface, in a pattern drawn from `pattern_seed`.
    spangle: relative variation between the crystals of a zinc coat, a few hundredths of the object across.
    """

    colour: tuple[float, float, float]
    metallic: float
    roughness: float
    brushing: float = 0.0
    mottling: float = 0.0
    spangle: float = 0.0
    pattern_seed: int = 0
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Finish:
    """What the faces of a mesh are made of. face_groups: (m,) uint8, each face's number in `materials`."""

    materials: tuple[Material, ...]
    face_groups: npt.NDArray[np.uint8]


def draw_material(rng: np.random.Generator) -> Material:
    """A random material, kinds in the shares of an industrial catalogue."""
    draw = KINDS[rng.choice(len(KINDS), p=KIND_SHARES)]
    return replace(draw(rng), pattern_seed=int(rng.integers(2**31)))


def _bare_metal(rng: np.random.Generator) -> Material:
    colour = _vary(rng, METALS[str(rng.choice(list(METALS)))], 0.06)
    return Material(colour=colour, metallic=1.0, roughness=rng.uniform(0.22, 0.6), mottling=rng.uniform(0.0, 0.12))


def _brushed_metal(rng: np.random.Generator) -> Material:
    colour = _vary(rng, METALS[str(rng.choice(["steel", "stainless", "aluminium", "brass"]))], 0.05)
    axis = tuple(float(x) for x in np.eye(3)[rng.integers(3)])
    return Material(
        colour=colour,
        metallic=1.0,
        roughness=rng.uniform(0.3, 0.5),
        brushing=rng.uniform(0.03, 0.09),
        axis=(axis[0], axis[1], axis[2]),
    )


def _painted_metal(rng: np.random.Generator) -> Material:
    colour = _vary(rng, PAINTS[rng.integers(len(PAINTS))], 0.15)
    return Material(colour=colour, metallic=0.0, roughness=rng.uniform(0.15, 0.55), mottling=rng.uniform(0.0, 0.15))


def _plastic(rng: np.random.Generator) -> Material:
    if rng.random() < 0.7:
        grey = rng.choice([0.025, 0.05, 0.15, 0.4, 0.7, 0.8])
        colour = _vary(rng, (grey, grey, grey), 0.05)
    else:
        colour = _vary(rng, (rng.uniform(0.02, 0.8), rng.uniform(0.02, 0.8), rng.uniform(0.02, 0.8)), 0.0)
    return Material(colour=colour, metallic=0.0, roughness=rng.uniform(0.25, 0.65))


def _rubber(rng: np.random.Generator) -> Material:
    return Material(colour=_vary(rng, (0.03, 0.03, 0.03), 0.1), metallic=0.0, roughness=rng.uniform(0.7, 0.95), mottling=0.1)


def _galvanised_metal(rng: np.random.Generator) -> Material:
    colour = _vary(rng, METALS["zinc"], 0.04)
    return Material(colour=colour, metallic=1.0, roughness=rng.uniform(0.35, 0.6), spangle=rng.uniform(0.08, 0.3), mottling=0.05)


def _anodised_metal(rng: np.random.Generator) -> Material:
    colour = _vary(rng, ANODISED[rng.integers(len(ANODISED))], 0.15)
    return Material(colour=colour, metallic=1.0, roughness=rng.uniform(0.3, 0.5))


def _vary(
    rng: np.random.Generator, colour: tuple[float, float, float] | npt.NDArray[np.floating], amount: float
) -> tuple[float, float, float]:
    red, green, blue = np.clip(np.asarray(colour) * (1 + rng.uniform(-amount, amount, 3)), 0.01, 0.95)
    return float(red), float(green), float(blue)


KINDS = (_bare_metal, _brushed_metal, _painted_metal, _plastic, _rubber, _galvanised_metal, _anodised_metal)
KIND_SHARES = (0.27, 0.13, 0.28, 0.19, 0.05, 0.04, 0.04)

"""Thin industrial parts, modelled and photographed as training does it: what a coarse-to-fine query loses first.

Object frame, z up; each part's longest side is 1 before it is scaled, and its thickness t is a share of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from manifold3d import Manifold

from training.data.families.solids import union
from training.data.preparation import photograph
from training.data.sets import SetConfig
from training.data.shapes import PreparedShape
from training.sampling.solids import ClosedMesh, object_frame

THICKNESSES = (1 / 200, 1 / 100, 1 / 50, 1 / 25)
ROUND = 24  # sides of what is round
PICTURES = SetConfig(views=2, image_size=128, near_points=64, uniform_points=64)  # points are drawn and not used


@dataclass(frozen=True)
class ThinShape:
    """A thin part with its photographs."""

    name: str
    shape: PreparedShape


def thin_shapes(config: SetConfig = PICTURES) -> Iterator[ThinShape]:
    """Every part in every thickness; the same arguments give the same pictures. Each takes a moment to make."""
    for number, (name, solid) in enumerate(thin_solids()):
        yield ThinShape(name, photographed(name, solid, config, config.seed + number))


def thin_solids() -> Iterator[tuple[str, Manifold]]:
    """(name, solid) of every part in every thickness."""
    for name, part in PARTS.items():
        for thickness in THICKNESSES:
            yield f"{name} 1/{round(1 / thickness)}", part(thickness)


def photographed(name: str, solid: Manifold, config: SetConfig, seed: int) -> PreparedShape:
    """A solid as a prepared shape, standing as it was modelled."""
    mesh = solid.to_mesh()
    vertices = object_frame(mesh.vert_properties[:, :3].astype(np.float64))[0]
    return photograph(ClosedMesh(vertices, mesh.tri_verts.astype(np.int32)), config, seed, {"name": name})


def plate(t: float) -> Manifold:
    return Manifold.cube([1.0, 0.7, t], True)


def rod(t: float) -> Manifold:
    return Manifold.cylinder(1.0, t / 2, t / 2, ROUND, True)


def wire_frame(t: float) -> Manifold:
    """The twelve edges of a box, in square wire."""
    x, y, z = outer = np.array([1.0, 0.7, 0.5])
    frame = Manifold.cube(list(outer), True)
    for opening in ((x + t, y - 2 * t, z - 2 * t), (x - 2 * t, y + t, z - 2 * t), (x - 2 * t, y - 2 * t, z + t)):
        frame -= Manifold.cube(list(opening), True)
    return frame


def perforated_sheet(t: float, across: int = 10, down: int = 7) -> Manifold:
    pitch = 1.0 / across
    hole = Manifold.cylinder(3 * t, 0.32 * pitch, 0.32 * pitch, ROUND, True)
    centres = [((i - (across - 1) / 2) * pitch, (j - (down - 1) / 2) * pitch, 0.0) for i in range(across) for j in range(down)]
    return Manifold.cube([1.0, down * pitch, t], True) - union(hole.translate(centre) for centre in centres)


def fins(t: float, count: int = 9) -> Manifold:
    """A heat sink: fins on a base as thin as they are."""
    base = Manifold.cube([1.0, 0.7, t], True)
    fin = Manifold.cube([t, 0.7, 0.3 + t / 2], True).translate((0, 0, 0.15 + t / 4))
    return union([base, *(fin.translate((x, 0, 0)) for x in np.linspace(-0.5 + t, 0.5 - t, count))])


def bracket(t: float) -> Manifold:
    """An L of sheet metal with a hole in each leg."""
    legs = Manifold.cube([1.0, 0.6, t]) + Manifold.cube([t, 0.6, 0.6])
    hole = Manifold.cylinder(3 * t, 0.1, 0.1, ROUND, True)
    return legs - hole.translate((0.6, 0.3, t / 2)) - hole.rotate((0, 90, 0)).translate((t / 2, 0.3, 0.35))


PARTS: dict[str, Callable[[float], Manifold]] = {
    "plate": plate,
    "rod": rod,
    "wire frame": wire_frame,
    "perforated sheet": perforated_sheet,
    "fins": fins,
    "bracket": bracket,
}

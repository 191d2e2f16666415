"""Procedural industrial parts: families of closed solids, each part a pure function of family name and seed."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from manifold3d import Error, Manifold

from training.data.families import brackets, fasteners, fluid, housings, machines, structures, transmission
from training.data.families.part import Family, Part

__all__ = ["FAMILIES", "TEST_FAMILIES", "VALIDATION_FAMILIES", "Family", "Part", "make_part", "split_of"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        brackets.L_BRACKET,
        brackets.MACHINED_PLATE,
        brackets.CLEVIS,
        brackets.SLOTTED_ARM,
        fasteners.BOLT,
        fasteners.COIL_SPRING,
        transmission.STEPPED_SHAFT,
        transmission.SPUR_GEAR,
        transmission.BEVEL_GEAR,
        transmission.PULLEY,
        transmission.SPROCKET,
        transmission.COUPLING,
        transmission.BEARING,
        transmission.PILLOW_BLOCK,
        transmission.CRANKSHAFT,
        housings.HEAT_SINK,
        housings.ENCLOSURE,
        fluid.FLANGE,
        fluid.VALVE,
        fluid.MANIFOLD_BLOCK,
        fluid.HYDRAULIC_CYLINDER,
        fluid.PIPE_RUN,
        fluid.TANK,
        fluid.HOSE_FITTING,
        machines.ELECTRIC_MOTOR,
        machines.GEARBOX,
        machines.PUMP,
        machines.BLOWER_FAN,
        machines.MACHINE_VISE,
        machines.COLUMN_PRESS,
        machines.CONVEYOR,
        machines.ROBOT_ARM,
        structures.PROFILE_FRAME,
        structures.TRUSS,
        structures.STAIRS,
        structures.WORK_TABLE,
        structures.CASTER,
    )
}

TEST_FAMILIES = frozenset({"pulley", "pillow_block", "valve", "enclosure"})
VALIDATION_FAMILIES = frozenset({"coupling", "gearbox"})

ATTEMPTS = 8
FACES = range(100, 30_001)
# Half a voxel of a 256 grid: a narrower gap between two bodies cannot be seen in the labels.
LARGEST_GAP = 1 / 512
# Faces that move the surface by less than this fraction of the size are merged away.
SIMPLIFICATION = 2e-5
# Bodies and cavities of less than this fraction of the volume are rounding, not design.
SLIVER = 1e-6


def make_part(name: str, seed: int) -> Part:
    """The part of a family for a seed: the same name and seed give identical arrays.

    Parameters that violate a post-condition are drawn again; ValueError when that does not help, or for an unknown name.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    faults = []
    for attempt in range(ATTEMPTS):
        parameters = family.draw(np.random.default_rng([zlib.crc32(name.encode()), seed, attempt]))
        solid = _simplified(family.build(parameters))
        fault = _fault(solid)
        if fault is None:
            vertices, faces = _object_frame_arrays(solid)
            return Part(name, family.kind, seed, _json_values(asdict(parameters)), vertices, faces)
        faults.append(fault)
    raise ValueError(f"family {name!r}, seed {seed}: no valid part in {ATTEMPTS} draws ({'; '.join(faults)})")


def split_of(name: str) -> Literal["train", "val", "test"]:
    """The split that holds a family; whole families are held out."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    if name in TEST_FAMILIES:
        return "test"
    return "val" if name in VALIDATION_FAMILIES else "train"


def _simplified(solid: Manifold) -> Manifold:
    """Without faces that no label can show, and without slivers between nearly coincident surfaces."""
    if solid.status() != Error.NoError or solid.is_empty():
        return solid
    solid = solid.simplify(SIMPLIFICATION * _size(solid))
    bodies = solid.decompose()
    visible = [body for body in bodies if abs(body.volume()) > SLIVER * solid.volume()]
    return solid if len(visible) == len(bodies) else Manifold.compose(visible)


def _size(solid: Manifold) -> float:
    """Longest side of the bounding box."""
    box = np.array(solid.bounding_box())
    return float((box[3:] - box[:3]).max())


def _fault(solid: Manifold) -> str | None:
    """Which post-condition the solid violates, in words; None for a good part."""
    if solid.status() != Error.NoError:
        return f"not a manifold: {solid.status()}"
    if solid.is_empty() or solid.volume() <= 0:
        return "no volume"
    if solid.num_tri() not in FACES:
        return f"{solid.num_tri()} faces"
    return _fault_between_bodies(solid)


def _fault_between_bodies(solid: Manifold) -> str | None:
    bodies = solid.decompose()
    if any(body.volume() <= 0 for body in bodies):
        return "a hidden cavity"
    if len(bodies) == 1:
        return None
    reach = LARGEST_GAP * _size(solid)
    for k, body in enumerate(bodies):
        rest = Manifold.compose(bodies[:k] + bodies[k + 1 :])
        if body.min_gap(rest, 2 * reach) > reach:
            return f"a loose body, one of {len(bodies)}"
    return None


def _object_frame_arrays(solid: Manifold) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Vertices centred on the bounding box and scaled to a farthest distance of 0.5; faces."""
    mesh = solid.to_mesh()
    vertices = np.asarray(mesh.vert_properties, np.float64)[:, :3]
    vertices = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    vertices *= 0.5 / np.linalg.norm(vertices, axis=1).max()
    return vertices.astype(np.float32), np.asarray(mesh.tri_verts, np.int32)


def _json_values(value: Any) -> Any:
    """Tuples as lists, at any depth."""
    if isinstance(value, dict):
        return {key: _json_values(entry) for key, entry in value.items()}
    return [_json_values(entry) for entry in value] if isinstance(value, (list, tuple)) else value

"""Procedural industrial parts: families of closed solids, each part a pure function of family name and seed."""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from manifold3d import Manifold

from training.data.families import (
    assemblies,
    brackets,
    fasteners,
    fluid,
    housings,
    instruments,
    machines,
    plant,
    structures,
    transmission,
)
from training.data.families.conditions import fault, finished
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
        structures.BEAM_JOINT,
        assemblies.MACHINE_ASSEMBLY,
        assemblies.PUMP_SKID,
        assemblies.AGV,
        assemblies.GRIPPER,
        assemblies.MACHINING_CENTRE,
        assemblies.FORKLIFT,
        assemblies.ROVER,
        assemblies.COBOT,
        assemblies.SCARA_ROBOT,
        assemblies.DELTA_ROBOT,
        assemblies.LINEAR_GANTRY,
        assemblies.MULTICOPTER,
        plant.SILO,
        plant.PIPE_RACK,
        plant.ACCESS_PLATFORM,
        plant.FACTORY_HALL,
        plant.STORAGE_RACK,
        plant.CRANE,
        plant.LATTICE_TOWER,
        instruments.PROXIMITY_SENSOR,
        instruments.PHOTOELECTRIC_SENSOR,
        instruments.LIDAR,
        instruments.CAMERA_HOUSING,
        instruments.D_SUB_CONNECTOR,
        instruments.CIRCULAR_CONNECTOR,
        instruments.TERMINAL_BLOCK,
        instruments.ROBOT_LINK,
        instruments.CABLE_CHAIN,
        instruments.HAND_WHEEL,
        instruments.KNOB_HANDLE,
        instruments.COVER,
        instruments.PALLET,
        instruments.BARREL,
        instruments.CRATE_BIN,
        instruments.HAND_TOOL,
    )
}

TEST_FAMILIES = frozenset({"pulley", "pillow_block", "valve", "enclosure"})
VALIDATION_FAMILIES = frozenset({"coupling", "gearbox", "clevis", "conveyor"})

ATTEMPTS = 8


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
        solid = finished(family.build(parameters))
        found = fault(solid, family)
        if found is None:
            vertices, faces = _object_frame_arrays(solid)
            return Part(name, family.kind, seed, _json_values(asdict(parameters)), vertices, faces)
        faults.append(found)
    raise ValueError(f"family {name!r}, seed {seed}: no valid part in {ATTEMPTS} draws ({'; '.join(faults)})")


def split_of(name: str) -> Literal["train", "val", "test"]:
    """The split that holds a family; whole families are held out."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    if name in TEST_FAMILIES:
        return "test"
    return "val" if name in VALIDATION_FAMILIES else "train"


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

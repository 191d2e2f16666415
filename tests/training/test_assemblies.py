"""The families of whole machines, plant and instruments: what holds of them beyond the post-conditions of every part."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from manifold3d import Manifold, OpType

from training.data.families import FAMILIES, TEST_FAMILIES, VALIDATION_FAMILIES, assemblies, instruments, plant

HERE = tuple(
    name for name, family in FAMILIES.items() if family.build.__module__ in {m.__name__ for m in (assemblies, instruments, plant)}
)


def drawn(name: str, seed: int) -> Any:
    return FAMILIES[name].draw(np.random.default_rng(seed))


def size(solid: Manifold) -> npt.NDArray[np.float64]:
    low, high = np.array(solid.bounding_box(), np.float64).reshape(2, 3)
    extent: npt.NDArray[np.float64] = high - low
    return extent


def test_no_assembly_contains_a_part_of_a_held_out_family() -> None:
    assert assemblies.CHILDREN.keys() <= FAMILIES.keys()
    assert assemblies.CHILDREN.keys().isdisjoint(TEST_FAMILIES | VALIDATION_FAMILIES)


def test_an_assembly_holds_each_child_at_its_scale_over_the_base() -> None:
    """What stands in a cell fills the drawn share of the direction that is tightest, and no more of the other two."""
    p = drawn("machine_assembly", 5)
    plain = replace(p, links=tuple(replace(link, style="none") for link in p.links), back_wall_ratio=0.0, base="plate")
    whole = assemblies.build_machine_assembly(plain)
    top = 0.07 * p.cell
    count = len(p.children)
    for k in range(count):
        low = (k - count / 2) * p.cell
        cell = Manifold.cube((p.cell, 2 * p.depth, 4 * p.cell)).translate((low, -p.depth, top + 1))
        standing = whole ^ cell
        fill = size(standing) / np.array([0.96 * p.cell, 0.96 * p.depth, 1.5 * p.cell])
        # In height the sunk underside is missing.
        assert fill.max() == pytest.approx(p.children[k].fill_ratio, rel=0.05)
        assert (fill <= p.children[k].fill_ratio * 1.001).all()


@pytest.mark.parametrize("seed", range(12))
def test_a_cobot_stays_above_the_foot_of_its_base(seed: int) -> None:
    p = drawn("cobot", seed)
    _, shoulder, elbow, _, _ = p.joint_degrees
    knee = p.upper_arm * math.cos(math.radians(shoulder))
    wrist = knee + p.fore_arm * math.cos(math.radians(shoulder + elbow))
    assert min(knee, wrist - 1.5 * p.radius) > 0


def test_a_posed_part_keeps_its_volume_and_swaps_its_axes() -> None:
    brick = Manifold.cube((1.0, 2.0, 3.0))
    axes: dict[instruments.Pose, tuple[int, int, int]] = {"upright": (1, 2, 3), "lying": (1, 3, 2), "upside_down": (1, 2, 3)}
    for pose, expected in axes.items():
        turned = instruments.posed(brick, pose)
        assert turned.volume() == pytest.approx(6.0)
        np.testing.assert_allclose(size(turned), expected, atol=1e-9)
    assert instruments.posed(brick, "upside_down").bounding_box()[5] == pytest.approx(0.0)


def test_a_cable_is_as_long_as_asked_and_ends_turned() -> None:
    """Straight it hangs along -z; bent by a right angle it reaches sideways as well."""
    straight = size(instruments.cable(1.0, 20.0, 0.0))
    np.testing.assert_allclose(straight[2], 22.0, rtol=0.01)
    bent = size(instruments.cable(1.0, 20.0, 90.0))
    assert bent[0] > 10
    assert bent[2] < straight[2]


def test_an_energy_chain_returns_at_twice_its_turning_radius() -> None:
    p = replace(drawn("cable_chain", 1), brackets=False)
    height = size(instruments.build_cable_chain(p))[2]
    assert height == pytest.approx(2 * p.turn_radius + p.height, rel=0.02)


def test_an_empty_pallet_has_the_standard_footprint_and_height() -> None:
    p = replace(drawn("pallet", 0), x=1200.0, y=800.0, height=144.0, board=22.0, moulded=False, load=(1, 1, 0))
    np.testing.assert_allclose(size(instruments.build_pallet(p)), (1200, 800, 144), rtol=0.01)


def test_a_container_is_hollow_and_open_above() -> None:
    """A probe let down in its middle meets the floor and nothing else."""
    p = replace(drawn("crate_bin", 2), dividers=0, scoop_ratio=0.0, feet=False)
    probe = Manifold.cube((1.0, 1.0, 3 * p.z), True)
    assert (instruments.build_crate_bin(p) ^ probe).volume() == pytest.approx(p.wall, rel=1e-3)


def test_a_lattice_tower_narrows_upward() -> None:
    p = replace(drawn("lattice_tower", 0), sides=4, platforms=0, head="none", dish_ratio=())
    tower = plant.build_lattice_tower(p)
    slices = [tower.slice(share * p.height).bounds() for share in (0.1, 0.35, 0.6, 0.85)]
    widths = [x1 - x0 for x0, _, x1, _ in slices]
    assert all(upper < lower for lower, upper in pairwise(widths))


@pytest.mark.parametrize("depth_ratio", [0.8, 1.5])
def test_the_doors_of_a_cabinet_hold_their_handles(depth_ratio: float) -> None:
    p = replace(drawn("machine_assembly", 0), base="cabinet")
    solids, _ = assemblies._assembly_base(replace(p, depth=depth_ratio * p.cell))
    assert len(Manifold.batch_boolean(solids, OpType.Add).decompose()) == 1


@pytest.mark.parametrize("seed", range(12))
def test_a_pipe_rack_has_a_beam_at_each_of_its_levels_and_its_columns_end_at_the_last(seed: int) -> None:
    p = replace(drawn("pipe_rack", seed), pipes=(), walkway=False, braced=False)
    rack = plant.build_pipe_rack(p)
    assert rack.bounding_box()[5] == pytest.approx(p.levels[-1])
    assert all(upper - lower >= max(900, 0.32 * p.width) for lower, upper in pairwise(p.levels))
    for level in p.levels:
        assert rack.slice(level - 0.2 * p.beam).area() > 1.5 * rack.slice(level - 1.5 * p.beam).area()


def test_a_forklift_with_raised_forks_stands_on_the_same_ground() -> None:
    p = replace(drawn("forklift", 3), load=False, tilt_degrees=0.0)
    low, high = (assemblies.build_forklift(replace(p, lift_ratio=lift)) for lift in (0.0, 0.8))
    assert low.bounding_box()[2] == pytest.approx(high.bounding_box()[2])
    assert low.volume() == pytest.approx(high.volume(), rel=0.05)


@pytest.mark.parametrize("name", HERE)
def test_a_family_is_described_and_measured_in_millimetres(name: str) -> None:
    """Nothing in a plant is smaller than a fingertip or longer than a hall with its annex."""
    family = FAMILIES[name]
    assert family.description
    longest = size(family.build(drawn(name, 11))).max()
    limits = (15, 60_000) if family.kind == "component" else (100, 80_000)
    assert limits[0] < longest < limits[1]

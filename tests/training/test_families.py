"""The procedural families: what holds of every part, whatever the family."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from manifold3d import CrossSection, Manifold
from manifold3d import Mesh as ManifoldMesh

from model.mesh import Mesh
from training.data.families import FAMILIES, TEST_FAMILIES, VALIDATION_FAMILIES, Family, Part, conditions, make_part, split_of
from training.data.families.conditions import wall_thickness
from training.data.families.describe import parameter_ranges

SEEDS = (0, 1)

# Most tests look at the same parts.
made = cache(make_part)
each_family = pytest.mark.parametrize("name", FAMILIES)


@each_family
def test_a_part_is_a_closed_solid_with_outward_faces(name: str) -> None:
    for seed in SEEDS:
        part = made(name, seed)
        mesh = Mesh(part.vertices, part.faces)
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert 500 <= len(part.faces) <= 30_000
        assert np.unique(part.faces).size == len(part.vertices)


@each_family
def test_bodies_of_a_part_touch_unless_the_family_says_that_they_are_loose(name: str) -> None:
    for seed in SEEDS:
        part = made(name, seed)
        bodies = manifold_of(part).decompose()
        for k, body in enumerate(bodies):
            others = bodies[:k] + bodies[k + 1 :]
            if others and not FAMILIES[name].loose_bodies:
                span = np.ptp(part.vertices, axis=0).max()
                assert min(body.min_gap(other, 1.0) for other in others) <= span / 512 + 1e-6


def test_the_outlet_of_a_pump_and_the_bosses_of_a_plate_are_one_body_with_the_rest() -> None:
    """With these seeds they once met it in no more than a face or a corner."""
    for name in ("pump", "machined_plate"):
        assert len(manifold_of(make_part(name, 8)).decompose()) == 1


@each_family
def test_the_walls_of_a_part_are_as_thick_as_its_family_declares(name: str) -> None:
    least = FAMILIES[name].thinnest_wall
    for seed in SEEDS:
        part = made(name, seed)
        # The object frame is float32 and scaled: a hair of tolerance.
        assert least is None or wall_thickness(part.vertices, part.faces) >= least - 0.01


@each_family
def test_a_family_is_described_in_one_line_and_asks_for_three_voxels_or_less(name: str) -> None:
    family = FAMILIES[name]
    assert 10 < len(family.description) <= 120
    assert "\n" not in family.description
    assert not family.description.endswith(".")
    assert family.thinnest_wall is None or 0 < family.thinnest_wall <= 3


@each_family
def test_the_ranges_of_a_familys_parameters_are_told_for_every_field(name: str) -> None:
    ranges = parameter_ranges(name, draws=12)
    assert made(name, 0).parameters.keys() <= ranges.keys()
    assert all(text and not re.search(r"\de[+-]\d", text) for text in ranges.values())


@each_family
def test_a_part_is_centred_and_reaches_half_a_unit(name: str) -> None:
    vertices = made(name, SEEDS[0]).vertices
    assert np.abs(vertices.min(axis=0) + vertices.max(axis=0)).max() < 1e-6
    assert np.linalg.norm(vertices, axis=1).max() == pytest.approx(0.5, abs=1e-6)


@each_family
def test_a_seed_always_gives_the_same_part_and_another_seed_another(name: str) -> None:
    first, again, other = made(name, SEEDS[0]), make_part(name, SEEDS[0]), made(name, SEEDS[1])
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)
    assert first.parameters == again.parameters
    assert first.parameters != other.parameters
    assert first.vertices.shape != other.vertices.shape or not np.array_equal(first.vertices, other.vertices)


@each_family
def test_the_parameters_survive_json(name: str) -> None:
    parameters = made(name, SEEDS[1]).parameters
    assert json.loads(json.dumps(parameters)) == parameters


def test_the_held_out_families_exist_and_every_family_has_one_split() -> None:
    assert TEST_FAMILIES.isdisjoint(VALIDATION_FAMILIES)
    assert FAMILIES.keys() >= TEST_FAMILIES | VALIDATION_FAMILIES
    by_split = {split: {name for name in FAMILIES if split_of(name) == split} for split in ("train", "val", "test")}
    assert by_split["test"] == TEST_FAMILIES
    assert by_split["val"] == VALIDATION_FAMILIES
    assert by_split["train"] == FAMILIES.keys() - TEST_FAMILIES - VALIDATION_FAMILIES


def test_families_are_known_by_their_own_names() -> None:
    assert all(name == family.name for name, family in FAMILIES.items())


@pytest.mark.parametrize("function", [lambda name: make_part(name, 0), split_of])
def test_an_unknown_family_is_an_error_that_lists_the_known_ones(function: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match=r"'teapot'.*l_bracket.*robot_arm"):
        function("teapot")


def test_ranges_are_told_with_their_units_and_words() -> None:
    bolt = parameter_ranges("bolt")
    assert bolt["thread"] == "M3, M4, M5, M6, M8, M10, M12, M16, M20, M24, M30"
    assert bolt["form"] == "flanged, hex, socket, stud"
    assert bolt["head_washer"] == "yes, no"
    assert bolt["length"].endswith(" mm")
    assert bolt["nut_place_ratio"].endswith("or none")
    shaft = parameter_ranges("stepped_shaft")
    assert shaft["steps"] == "3–7 entries"
    assert shaft["gear_teeth"] == "16–28 or none"
    assert parameter_ranges("robot_arm")["elbow_degrees"].endswith("°")
    with pytest.raises(ValueError, match="'teapot'"):
        parameter_ranges("teapot")


def test_few_numbers_are_listed_and_the_ends_of_a_span_are_rounded_alike() -> None:
    gear = parameter_ranges("spur_gear")
    assert gear["module"] == "1.5, 2, 2.5, 3, 4, 5, 6 mm"
    assert gear["windows"] == "0, 3, 4, 5, 6"
    assert gear["teeth"] == "14–60"
    assert parameter_ranges("pallet")["x"] == "800, 1140, 1200 mm"
    assert parameter_ranges("access_platform")["access_side"] == "-1, 1"
    assert re.fullmatch(r"\d+00–\d+00 mm", parameter_ranges("factory_hall")["x"])
    assert parameter_ranges("machine_assembly")["children.seed"] == "any seed"


def test_the_bosses_of_a_plate_stand_on_it_clear_of_its_openings_and_of_each_other() -> None:
    plates = [FAMILIES["machined_plate"].draw(np.random.default_rng(seed)) for seed in range(200)]
    assert {len(plate.bosses) for plate in plates} == {0, 1, 2, 3}
    for plate in plates:
        places = [(boss.x_ratio * plate.length, boss.y_ratio * plate.width, 1.15 * boss.radius) for boss in plate.bosses]
        assert all(abs(x) + foot < plate.length / 2 and abs(y) + foot < plate.width / 2 for x, y, foot in places)
        assert all(math.hypot(x - u, y - v) > foot + other for (x, y, foot), (u, v, other) in combinations(places, 2))
    for plate in plates[:50]:
        bare = replace(plate, bosses=(), notch_ratios=(), holes_per_edge=0)
        floor = FAMILIES["machined_plate"].build(bare).slice(0.1 * plate.thickness)
        feet = (
            CrossSection.circle(1.15 * boss.radius, 48).translate((boss.x_ratio * plate.length, boss.y_ratio * plate.width))
            for boss in plate.bosses
        )
        assert sum((foot - floor).area() for foot in feet) < 1e-6


@pytest.mark.parametrize("thickness", [0.5, 3.0, 8.0])
def test_the_wall_of_a_plate_is_its_thickness(thickness: float) -> None:
    """On a plate 256 long, in voxels; the plate is turned, so that no axis is special. Its narrow sides see its length."""
    plate = Manifold.cube((256.0, 160.0, thickness), True)
    assert measured(plate) == pytest.approx(thickness, rel=1e-3)
    turned = plate.rotate((0, 0, 30))
    span = turned.bounding_box()[3] * 2
    assert measured(turned) == pytest.approx(thickness * 256 / span, rel=1e-3)


def test_the_wall_of_a_box_is_its_shell() -> None:
    box = Manifold.cube((256.0, 128.0, 96.0), True)
    shell = box - Manifold.cube((256.0 - 10, 128.0 - 10, 96.0 - 5), True).translate((0, 0, 2.5))
    assert measured(box) == pytest.approx(96, rel=1e-3)
    assert measured(shell) == pytest.approx(5, rel=1e-3)


def test_a_thin_fin_counts_and_a_sharp_edge_or_a_pinhead_does_not() -> None:
    block = Manifold.cube((256.0, 256.0, 60.0), True)
    fin = Manifold.cube((2.0, 200.0, 60.0), True).translate((0, 0, 55))
    assert measured(block + fin) == pytest.approx(2, rel=1e-3)
    pin = Manifold.cube((2.0, 4.0, 10.0), True).translate((0, 0, 34))
    assert measured(block + pin) == pytest.approx(60, rel=1e-3)
    wedge = block.trim_by_plane((1, 0, -1), -60)
    assert measured(wedge) > 3


def test_the_wall_of_a_tube_is_found_through_its_facets() -> None:
    tube = Manifold.cylinder(256, 60, 60, 90, True) - Manifold.cylinder(300, 54, 54, 90, True)
    assert measured(tube) == pytest.approx(6, abs=0.1)


def test_a_plain_prism_is_given_enough_faces_and_keeps_its_shape() -> None:
    cube = conditions.finished(Manifold.cube((30.0, 20.0, 10.0), True))
    assert 500 <= cube.num_tri() < 4000
    assert cube.volume() == pytest.approx(6000, rel=1e-6)
    assert cube.genus() == 0


def test_a_family_that_never_builds_a_good_solid_is_an_error_naming_family_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The post-conditions can fail: a body far from the rest, a hidden cavity."""
    ball = Manifold.sphere(1.0, 24)
    bad_solids = {
        "a loose body": ball + ball.translate((5, 0, 0)),
        "a hidden cavity": ball - ball.scale((0.5, 0.5, 0.5)),
        "no volume": Manifold(),
        "faces": Manifold.sphere(1.0, 400),
        "a wall of 2.0 voxels": Manifold.cube((256, 200, 2)),
    }
    for fault, solid in bad_solids.items():
        bad = Family("bad", "other", FAMILIES["bolt"].draw, lambda _, solid=solid: solid, "A bad family")
        monkeypatch.setitem(FAMILIES, "bad", bad)
        with pytest.raises(ValueError, match=f"'bad', seed 5.*{fault}"):
            make_part("bad", 5)


def test_a_rejected_draw_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bolt = FAMILIES["bolt"]
    drawn = []

    def build(parameters: Any) -> Manifold:
        drawn.append(parameters)
        return Manifold() if len(drawn) == 1 else bolt.build(parameters)

    monkeypatch.setitem(FAMILIES, "bolt", replace(bolt, build=build))
    part = make_part("bolt", 0)
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]
    assert part.parameters["length"] == drawn[1].length


def test_loose_bodies_are_allowed_to_a_family_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    balls = Manifold.sphere(1.0, 32) + Manifold.sphere(1.0, 32).translate((5, 0, 0))
    draw = FAMILIES["bolt"].draw
    loose = Family("loose", "other", draw, lambda _: balls, "Two balls", loose_bodies=True)
    monkeypatch.setitem(FAMILIES, "loose", loose)
    assert len(manifold_of(make_part("loose", 0)).decompose()) == 2


def manifold_of(part: Part) -> Manifold:
    return Manifold(ManifoldMesh(part.vertices, part.faces.astype(np.uint32)))


def measured(solid: Manifold) -> float:
    mesh = solid.to_mesh()
    return wall_thickness(mesh.vert_properties[:, :3], mesh.tri_verts)

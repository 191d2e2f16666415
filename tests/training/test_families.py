"""The procedural families: what holds of every part, whatever the family."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from model.mesh import Mesh
from training.data import families
from training.data.families import FAMILIES, TEST_FAMILIES, VALIDATION_FAMILIES, make_part, split_of

SEEDS = (0, 1)
each_family = pytest.mark.parametrize("name", FAMILIES)


@each_family
def test_a_part_is_a_closed_solid_with_outward_faces(name: str) -> None:
    for seed in SEEDS:
        part = make_part(name, seed)
        mesh = Mesh(part.vertices, part.faces)
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert 100 <= len(part.faces) <= 30_000
        assert np.unique(part.faces).size == len(part.vertices)


@each_family
def test_a_part_is_centred_and_reaches_half_a_unit(name: str) -> None:
    vertices = make_part(name, SEEDS[0]).vertices
    assert np.abs(vertices.min(axis=0) + vertices.max(axis=0)).max() < 1e-6
    assert np.linalg.norm(vertices, axis=1).max() == pytest.approx(0.5, abs=1e-6)


@each_family
def test_a_seed_always_gives_the_same_part_and_another_seed_another(name: str) -> None:
    first, again, other = make_part(name, 7), make_part(name, 7), make_part(name, 8)
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)
    assert first.parameters == again.parameters
    assert first.parameters != other.parameters
    assert first.vertices.shape != other.vertices.shape or not np.array_equal(first.vertices, other.vertices)


@each_family
def test_the_parameters_survive_json(name: str) -> None:
    parameters = make_part(name, 3).parameters
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


def test_a_family_that_never_builds_a_good_solid_is_an_error_naming_family_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The post-conditions can fail: a body far from the rest, a hidden cavity."""
    ball = families.Manifold.sphere(1.0, 24)
    bad_solids = {
        "a loose body": ball + ball.translate((5, 0, 0)),
        "a hidden cavity": ball - ball.scale((0.5, 0.5, 0.5)),
        "no volume": families.Manifold(),
        "12 faces": families.Manifold.cube((1, 1, 1)),
    }
    for fault, solid in bad_solids.items():
        bad = families.Family("bad", "other", draw=FAMILIES["bolt"].draw, build=lambda _, solid=solid: solid)
        monkeypatch.setitem(FAMILIES, "bad", bad)
        with pytest.raises(ValueError, match=f"'bad', seed 5.*{fault}"):
            make_part("bad", 5)


def test_a_rejected_draw_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bolt = FAMILIES["bolt"]
    drawn = []

    def build(parameters: Any) -> families.Manifold:
        drawn.append(parameters)
        return families.Manifold() if len(drawn) == 1 else bolt.build(parameters)

    monkeypatch.setitem(FAMILIES, "bolt", families.Family("bolt", "component", bolt.draw, build))
    part = make_part("bolt", 0)
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]
    assert part.parameters["d"] == drawn[1].d

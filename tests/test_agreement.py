"""The comparison of the coarse-to-fine query with the dense grid finds what is lost, and nothing where nothing is."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from benchmarks import agreement
from benchmarks.agreement import Agreement, Candidate, compare, iou, lost_components
from model import Photo, Reconstructor
from training import thin_parts
from training.data.index import DataIndex, ShapeEntry
from training.data.sets import SetConfig

RESOLUTION = 64  # the smallest that begins coarser than it ends


@pytest.fixture(scope="module")
def reconstructor(tiny_bundle) -> Reconstructor:
    return Reconstructor.load(tiny_bundle, "cpu", threads=1)


def disc() -> Photo:
    v, u = np.mgrid[-1:1:64j, -1:1:64j]
    return Photo(rgb=np.full((64, 64, 3), 120, np.uint8), alpha=np.uint8(255) * (np.hypot(u, v) < 0.8))


@pytest.fixture
def candidate() -> Candidate:
    return Candidate("set", "ball", "balls", 0, disc)


def test_a_thick_ball_agrees_at_every_node_and_is_asked_at_few(reconstructor, candidate):
    found = compare(reconstructor, candidate, RESOLUTION, reconstructor.query)
    assert (found.iou, found.nodes_differing, found.components, found.components_lost) == (1.0, 0, 1, 0)
    assert found.nodes_inside > 20_000
    assert 0.01 < found.asked < 0.5 * found.asked_densely < 0.5
    assert found.seconds > 0
    assert found.key == ("set", "ball", 0, reconstructor.bundle.sha256, RESOLUTION)


def test_a_query_that_loses_a_node_is_found_out(reconstructor, candidate):
    def sabotaged(field, prepared, level):
        box = reconstructor.query(field, prepared, level)
        values = box.values.copy()
        values[tuple(np.argwhere(values >= level)[0])] = 0.0
        return replace(box, values=values)

    found = compare(reconstructor, candidate, RESOLUTION, sabotaged)
    assert found.nodes_differing == 1
    assert found.iou == pytest.approx(1 - 1 / found.nodes_inside, abs=1e-12)
    assert found.components_lost == 0


def test_a_query_that_loses_all_is_found_out(reconstructor, candidate):
    def blind(field, prepared, level):
        box = reconstructor.query(field, prepared, level)
        return replace(box, values=np.zeros_like(box.values))

    found = compare(reconstructor, candidate, RESOLUTION, blind)
    assert (found.iou, found.nodes_differing, found.components_lost) == (0.0, found.nodes_inside, 1)


def test_iou_and_components_of_small_grids_are_those_counted_by_hand():
    expected = np.zeros((5, 5, 5), np.bool_)
    expected[0, 0, :2] = expected[4, 4, 4] = expected[2, 2, 2] = expected[3, 3, 3] = True  # two of them touch in a corner only
    found = expected.copy()
    found[0, 0, 1] = found[4, 4, 4] = False
    found[0, 4, 4] = True
    assert iou(found, expected) == 3 / 6
    assert lost_components(found, expected) == (4, 1)
    nothing = np.zeros_like(expected)
    assert (iou(nothing, nothing), lost_components(nothing, nothing)) == (1.0, (0, 0))
    assert lost_components(nothing, expected) == (4, 4)


def test_families_take_turns(tmp_path):
    def entry(name):
        return ShapeEntry(
            name=name, file=f"{name}.npz", family=name[0], kind="solid", split="test" if name != "a0" else "train", sha256=""
        )

    sets = [
        DataIndex(directory=tmp_path / str(k), arguments={}, entries=tuple(map(entry, names)))
        for k, names in enumerate([("a0", "a1", "a2", "a3", "b1"), ("a4", "c1", "c2")])
    ]
    assert [candidate.name for candidate in agreement.of_sets(sets, "test")] == ["a1", "b1", "a4", "c1", "a2", "c2", "a3"]


def test_what_a_stopped_run_wrote_is_not_asked_again(reconstructor, candidate, tmp_path):
    out = tmp_path / "agreement.jsonl"
    first = agreement.measured(reconstructor, [candidate], RESOLUTION, out)
    with out.open("a") as file:
        file.write('{"set": "set", "na')  # the run was stopped here

    def unasked() -> Photo:
        raise AssertionError("asked again")

    again = [replace(candidate, photo=unasked), replace(candidate, view=1)]
    second = agreement.measured(reconstructor, again, RESOLUTION, out)
    assert second[0] == first[0]
    assert second[1].view == 1
    assert agreement.read(out) == second
    with pytest.raises(AssertionError, match="asked again"):
        agreement.measured(reconstructor, again[:1], 32, out)


@pytest.fixture
def tiny_parts(monkeypatch):
    """Two of the thin parts, photographed small."""
    monkeypatch.setattr(thin_parts, "PARTS", {"plate": thin_parts.plate, "bracket": thin_parts.bracket})
    monkeypatch.setattr(thin_parts, "THICKNESSES", (1 / 25,))
    small = SetConfig(views=2, image_size=32, near_points=8, uniform_points=8)
    monkeypatch.setattr(agreement, "thin_shapes", lambda: thin_parts.thin_shapes(small))


@pytest.mark.parametrize("lost", [False, True])
def test_the_command_exits_with_1_when_something_is_lost(lost, tiny_parts, tiny_bundle, tmp_path, monkeypatch, capsys):
    if lost:
        query = Reconstructor.query

        def forgetful(self, field, prepared, level):
            box = query(self, field, prepared, level)
            return replace(box, values=np.where(np.arange(box.values.shape[2]) % 50 == 12, np.float32(0), box.values))

        monkeypatch.setattr(Reconstructor, "query", forgetful)
    out = tmp_path / "agreement.jsonl"
    words = ["--bundle", str(tiny_bundle), "--thin", "--resolution", str(RESOLUTION), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["agreement", *words])
    assert agreement.main() == int(lost)
    written = [Agreement(**json.loads(line)) for line in out.read_text().splitlines()]
    assert [(a.name, a.view) for a in written] == [("plate 1/25", 0), ("plate 1/25", 1), ("bracket 1/25", 0), ("bracket 1/25", 1)]
    printed = capsys.readouterr().out
    worst = min(a.iou for a in written)
    assert f"4 views, IoU {worst:.6f} at least" in printed
    assert ("4 agree at every node (100.0%)" in printed) == (not lost)


@pytest.mark.parametrize("words", [[], ["--views", "3"]])
def test_nothing_to_compare_on_is_a_mistake_in_the_command(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["agreement", *words])
    with pytest.raises(SystemExit) as stopped:
        agreement.main()
    assert stopped.value.code == 2
    assert "expected --data, --thin or both" in capsys.readouterr().err


# The thin parts' meshes


@pytest.mark.parametrize("name", thin_parts.PARTS)
def test_parts_are_closed_in_one_piece_and_as_thin_as_they_say(name):
    for thickness in thin_parts.THICKNESSES:
        solid = thin_parts.PARTS[name](thickness)
        mesh = solid.to_mesh()
        surface = trimesh.Trimesh(mesh.vert_properties[:, :3], mesh.tri_verts)
        assert surface.is_watertight
        assert len(solid.decompose()) == 1
        assert surface.extents.max() == pytest.approx(1.0, abs=1e-6)
        # Of sheets and wires the volume is at most half the surface times the thickness: twice the thickness, twice the volume.
        assert 0 < surface.volume <= 0.5 * surface.area * thickness
        assert surface.volume > 0.2 * surface.area * thickness


def test_holes_and_openings_are_where_they_should_be():
    """Euler's number is 2 - 2 x tunnels: a sheet with 70 holes, a frame (5: twelve bars, eight corners), a bracket with two."""
    tunnels = {"plate": 0, "rod": 0, "wire frame": 5, "perforated sheet": 70, "fins": 0, "bracket": 2}
    assert {name: part(1 / 50).genus() for name, part in thin_parts.PARTS.items()} == tunnels


def test_the_same_part_is_photographed_alike_and_shows_in_its_photo():
    small = SetConfig(views=2, image_size=32, near_points=8, uniform_points=8)
    first, second = (thin_parts.photographed("rod", thin_parts.rod(1 / 25), small, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.image_bytes, second.image_bytes)
    assert first.view_count == 2
    assert all((first.image(view)[..., 3] > 127).any() for view in range(2))

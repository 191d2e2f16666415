"""One body, fewer faces: still closed, still the same object."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from model.errors import Cancelled
from model.mesh import Mesh
from model.refine import _mended, keep_largest, limit_faces
from tests.model.fields import box, hollow, mesh_of, moved, sphere, torus, union


@cache
def holed_plate(n=97):
    """Seven by seven openings, a few faces wide once simplified: edge collapse tears it."""
    openings = [moved(box(0.02, 0.02, 1), x, y, 0) for x in np.linspace(-0.3, 0.3, 7) for y in np.linspace(-0.3, 0.3, 7)]
    return mesh_of(hollow(box(0.4, 0.4, 0.03), union(*openings)), n)


def test_the_body_of_largest_volume_is_kept_exactly():
    big, small = sphere(0.25), moved(sphere(0.1), 0.38, 0.38, 0.38)
    kept, alone = keep_largest(mesh_of(union(small, big))), mesh_of(big)
    assert len(kept.faces) == len(alone.faces)
    assert kept.volume == pytest.approx(alone.volume, rel=1e-5)
    assert kept.is_watertight


def test_volume_decides_and_not_the_number_of_faces():
    """A thin grid has more faces than the solid block beside it."""
    block = moved(box(0.15, 0.4, 0.2), -0.3, 0, 0)
    rods = union(*[moved(box(0.01, 0.45, 0.01), x, 0, z) for x in (0.1, 0.2, 0.3, 0.4) for z in np.linspace(-0.4, 0.4, 9)])
    joined = union(rods, moved(box(0.18, 0.01, 0.42), 0.25, 0, 0))
    assert len(mesh_of(joined).faces) > len(mesh_of(block).faces)
    kept = keep_largest(mesh_of(union(block, joined)))
    assert kept.bounds[1, 0] < 0


def test_a_cavity_is_filled_since_its_surface_is_a_body_of_its_own():
    kept = keep_largest(mesh_of(hollow(sphere(0.4), sphere(0.2))))
    assert kept.euler_characteristic == 2
    assert kept.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.005)


def test_keeping_the_largest_of_one_changes_nothing_and_twice_is_once():
    mesh = mesh_of(torus()).with_metadata(units="metre")
    kept = keep_largest(mesh)
    np.testing.assert_array_equal(kept.faces, mesh.faces)
    np.testing.assert_array_equal(kept.vertices, mesh.vertices)
    assert kept.metadata == mesh.metadata
    np.testing.assert_array_equal(keep_largest(kept).faces, kept.faces)


def test_a_long_chain_of_faces_is_one_body():
    """Union-find over a strip whose vertices are numbered at random."""
    n = 4001
    number = np.random.default_rng(0).permutation(n).astype(np.int32)
    faces = np.stack([number[:-2], number[1:-1], number[2:]], axis=1)
    strip = Mesh(np.random.default_rng(1).normal(size=(n, 3)).astype(np.float32), faces)
    assert len(keep_largest(strip).faces) == len(faces)


def largest_by_search(mesh):
    """The slow twin of `keep_largest`: faces of the body found by walking from vertex to vertex."""
    around = {}
    for number, face in enumerate(mesh.faces.tolist()):
        for vertex in face:
            around.setdefault(vertex, []).append(number)
    unseen, best = set(range(len(mesh.faces))), (-np.inf, [])
    while unseen:
        waiting = [min(unseen)]
        body = set()
        while waiting:
            face = waiting.pop()
            if face not in body:
                body.add(face)
                waiting += [other for vertex in mesh.faces[face].tolist() for other in around[vertex]]
        unseen -= body
        best = max(best, (float(np.linalg.det(mesh.corners[sorted(body)].astype(np.float64)).sum()), sorted(body)))
    return best[1]


@pytest.mark.parametrize("seed", range(6))
def test_any_soup_of_faces_keeps_what_a_search_keeps(seed):
    """Few faces a vertex: many bodies; from seed 3 on also fans, whose middle has the highest number, or the lowest."""
    rng = np.random.default_rng(seed)
    faces = np.array([rng.choice(300, 3, replace=False) for _ in range(90 + 10 * seed)], np.int32)
    if seed >= 3:
        rim = rng.permutation(np.arange(301, 400)).astype(np.int32)
        middle = np.full(98, 400 if seed % 2 else 300, np.int32)
        faces = np.vstack([faces, np.stack([rim[:-1], rim[1:], middle], axis=1)])
    mesh = Mesh(rng.normal(size=(401, 3)).astype(np.float32), faces)
    np.testing.assert_array_equal(keep_largest(mesh).corners, mesh.corners[largest_by_search(mesh)])


def test_a_mesh_of_one_body_is_returned_as_it_is_and_unused_vertices_go():
    mesh = mesh_of(torus(), 32)
    assert keep_largest(mesh) is mesh
    padded = Mesh(np.vstack([mesh.vertices[:5], mesh.vertices]), mesh.faces + np.int32(5))
    np.testing.assert_array_equal(keep_largest(padded).vertices, mesh.vertices)
    np.testing.assert_array_equal(keep_largest(padded).faces, mesh.faces)


def test_attributes_stay_with_their_vertices_or_go():
    mesh = mesh_of(union(sphere(0.25), moved(sphere(0.1), 0.38, 0.38, 0.38)))
    marked = Mesh(mesh.vertices, mesh.faces, {}, {"mark": mesh.vertices[:, 0].copy()})
    kept = keep_largest(marked)
    assert len(kept.vertices) < len(mesh.vertices)
    np.testing.assert_array_equal(kept.vertex_attributes["mark"], kept.vertices[:, 0])
    assert limit_faces(marked, 500).vertex_attributes == {}


def test_no_faces_stay_no_faces():
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    assert keep_largest(empty) is empty
    assert limit_faces(empty, 10) is empty


@pytest.mark.parametrize("target", [5000, 1000, 200])
@pytest.mark.parametrize(("solid", "euler"), [(sphere(), 2), (torus(), 0), (box(0.4, 0.4, 0.015), 2)])
def test_the_face_limit_is_honoured_and_the_mesh_stays_closed(solid, euler, target):
    mesh = mesh_of(solid).with_metadata(units="metre")
    limited = limit_faces(mesh, target)
    assert 0.98 * target <= len(limited.faces) <= target
    assert limited.is_watertight
    assert limited.euler_characteristic == euler
    assert limited.volume == pytest.approx(mesh.volume, rel=0.15 if target == 200 else 0.05)
    assert limited.metadata == mesh.metadata


def test_a_mesh_within_the_limit_is_returned_as_it_is():
    mesh = mesh_of(sphere(), 32)
    assert limit_faces(mesh, len(mesh.faces)) is mesh


def test_openings_that_would_tear_are_given_up_for_the_limit_and_not_the_closed_surface():
    mesh = holed_plate()
    assert mesh.euler_characteristic == 2 - 2 * 49
    limited = limit_faces(mesh, 100)
    assert limited.is_watertight
    assert 98 <= len(limited.faces) <= 100
    assert "face_limit" not in limited.metadata
    assert 0.5 * mesh.volume < limited.volume < 1.5 * mesh.volume


@cache
def slats(n=97):
    """Nine slots, each as wide as one voxel."""
    slots = [moved(box(0.006, 0.3, 1), x, 0, 0) for x in np.linspace(-0.3, 0.3, 9)]
    return mesh_of(hollow(box(0.4, 0.4, 0.05), union(*slots)), n)


@cache
def posts(n=97):
    """A plate of two voxels with sixteen posts of three."""
    stands = [moved(box(0.016, 0.016, 0.2), x, y, 0.15) for x in np.linspace(-0.3, 0.3, 4) for y in np.linspace(-0.3, 0.3, 4)]
    return mesh_of(union(box(0.4, 0.4, 0.01), *stands), n)


@pytest.mark.parametrize("target", [5000, 1000, 300])
@pytest.mark.parametrize("make", [holed_plate, slats, posts])
def test_thin_openings_and_thin_parts_leave_nearly_as_many_faces_as_allowed(make, target):
    mesh = make()
    limited = limit_faces(mesh, target)
    assert 0.98 * target <= len(limited.faces) <= target
    assert limited.is_watertight
    assert limited.volume == pytest.approx(mesh.volume, rel=0.05 if target == 5000 else 0.35)
    assert "face_limit" not in limited.metadata
    again = limit_faces(Mesh(mesh.vertices.copy(), mesh.faces.copy()), target)
    np.testing.assert_array_equal(again.faces, limited.faces)
    np.testing.assert_array_equal(again.vertices, limited.vertices)


def back_to_back(mesh, count, rng):
    """The mesh with as many pairs of faces that lie back to back: each pair hangs on an edge, as collapses leave them."""
    faces = mesh.faces[rng.choice(len(mesh.faces), count, replace=False)]
    third = rng.choice(len(mesh.vertices), count, replace=False).astype(np.int32)
    pairs = np.column_stack([faces[:, :2], third])
    return Mesh(mesh.vertices, rng.permutation(np.vstack([mesh.faces, pairs, np.roll(pairs[:, ::-1], 1, axis=1)])))


def test_faces_back_to_back_are_taken_out_and_nothing_else():
    mesh = mesh_of(sphere(), 24)
    torn = back_to_back(mesh, 12, np.random.default_rng(2))
    assert not torn.is_watertight
    mended = _mended(torn)
    assert mended.is_watertight
    assert {tuple(np.roll(face, -face.argmin())) for face in mended.faces} == {
        tuple(np.roll(face, -face.argmin())) for face in mesh.faces
    }
    np.testing.assert_array_equal(mended.vertices, mesh.vertices)


def test_bodies_that_share_an_edge_are_parted():
    """Two tetrahedra on one edge, to which four faces belong."""
    vertices = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], np.float32)
    faces = np.array([[0, 3, 2], [0, 2, 1], [0, 1, 3], [2, 3, 1], [0, 5, 4], [0, 4, 1], [0, 1, 5], [4, 5, 1]], np.int32)
    joined = Mesh(vertices, faces)
    assert not joined.is_watertight
    mended = _mended(joined)
    assert mended.is_watertight
    assert len(mended.faces) == 8
    assert mended.volume == pytest.approx(joined.volume) == pytest.approx(2 / 6)


def test_what_is_open_stays_as_it_is_and_what_is_closed_is_not_touched():
    mesh = mesh_of(sphere(), 24)
    assert _mended(mesh) is mesh
    torn = Mesh(mesh.vertices, mesh.faces[1:])
    np.testing.assert_array_equal(_mended(torn).faces, torn.faces)


def test_faces_lost_in_mending_are_made_up_for_by_aiming_higher(monkeypatch):
    mesh = mesh_of(sphere(), 48)
    collapse = limit_faces.__globals__["_collapse"]
    aims = []

    def pinching(mesh, target):
        aims.append(target)
        return back_to_back(collapse(mesh, target - 60), 30, np.random.default_rng(0))

    monkeypatch.setattr("model.refine._collapse", pinching)
    limited = limit_faces(mesh, 1000)
    assert 980 <= len(limited.faces) <= 1000
    assert limited.is_watertight
    assert aims == [1000, 1060]


def test_a_limit_out_of_reach_gives_the_smallest_closed_mesh_and_says_so():
    mesh = mesh_of(torus())
    limited = limit_faces(mesh, 4)  # no closed surface with a hole has so few faces
    assert limited.is_watertight
    assert 4 < len(limited.faces) < 100
    record = limited.metadata["face_limit"]
    assert (record["target_faces"], record["faces"]) == (4, len(limited.faces))
    assert "open" in record["reason"]


def test_where_edge_collapse_tears_the_surface_the_limit_is_still_met(monkeypatch):
    """The other simplification takes over from what collapse reached."""
    mesh = mesh_of(sphere(), 32)
    collapse = limit_faces.__globals__["_collapse"]
    torn = Mesh(mesh.vertices, mesh.faces[:-1])
    monkeypatch.setattr("model.refine._collapse", lambda mesh, target: torn if target < 1000 else collapse(mesh, target))
    limited = limit_faces(mesh, 500)
    assert limited.is_watertight
    assert len(limited.faces) <= 500
    assert "face_limit" not in limited.metadata


def test_an_open_mesh_is_returned_whole_with_the_reason():
    mesh = mesh_of(sphere(), 32)
    torn = Mesh(mesh.vertices, mesh.faces[: len(mesh.faces) // 2])
    limited = limit_faces(torn, 100)
    assert limited.metadata["face_limit"]["faces"] == len(torn.faces) == len(limited.faces)


def test_a_limit_that_takes_many_attempts_can_be_stopped_before_each(monkeypatch):
    mesh = mesh_of(torus(), 32)
    collapse = limit_faces.__globals__["_collapse"]
    events: list[str] = []

    def noted(mesh, target):
        events.append("collapse")
        return collapse(mesh, target)

    monkeypatch.setattr("model.refine._collapse", noted)
    limit_faces(mesh, 4, lambda: events.append("check"))
    undisturbed = events.copy()
    checks = undisturbed.count("check")
    assert checks > 10
    assert undisturbed.count("collapse") > 5
    assert ("collapse", "collapse") not in set(pairwise(undisturbed))
    for most in range(checks):
        events.clear()

        def check(most=most) -> None:
            if events.count("check") == most:
                raise Cancelled("enough")
            events.append("check")

        with pytest.raises(Cancelled, match="enough"):
            limit_faces(mesh, 4, check)
        assert events == undisturbed[: len(events)]
        assert events.count("check") == most

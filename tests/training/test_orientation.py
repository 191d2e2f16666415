"""Messy triangles: what is repaired, what is left alone, what is refused. Truth is the clean part's exact winding number."""

from collections import Counter
from collections.abc import Callable

import igl
import numpy as np
import pytest
from manifold3d import Manifold
from scipy.spatial import cKDTree

from training.sampling import orientation
from training.sampling.orientation import Edges, Oriented, UnusableMesh, hidden_faces, orient, stored_surface
from training.sampling.solids import WindingMesh, object_frame

Triangles = tuple[np.ndarray, np.ndarray]


def triangles(solid: Manifold) -> Triangles:
    mesh = solid.to_mesh()
    return mesh.vert_properties[:, :3].astype(np.float64), mesh.tri_verts.astype(np.int64)


def bracket() -> Triangles:
    solid = (
        Manifold.cube([1, 0.6, 0.1])
        + Manifold.cube([0.1, 0.6, 0.8])
        + Manifold.cylinder(0.4, 0.2, 0.15, 32).translate([0.5, 0.3, 0])
    )
    return triangles((solid - Manifold.cylinder(1, 0.1, 0.1, 32, True).translate([0.8, 0.15, 0])).refine_to_length(0.06))


def together(*parts: Triangles) -> Triangles:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [faces + start for (_, faces), start in zip(parts, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces)


def soup(vertices: np.ndarray, faces: np.ndarray) -> Triangles:
    return vertices[faces].reshape(-1, 3), np.arange(3 * len(faces)).reshape(-1, 3)


def box(size: tuple[float, float, float], at: tuple[float, float, float] = (0, 0, 0), step: float = 0.0) -> Triangles:
    solid = Manifold.cube(size, True).translate(at)
    return triangles(solid.refine_to_length(step) if step else solid)


def flipped(faces: np.ndarray, which: np.ndarray) -> np.ndarray:
    faces = faces.copy()
    faces[which] = faces[which][:, ::-1]
    return faces


def inside(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    return igl.winding_number(np.ascontiguousarray(vertices), np.ascontiguousarray(faces, np.int64), points) > 0.5


def points_about(vertices: np.ndarray, count: int = 3000) -> np.ndarray:
    return np.random.default_rng(9).uniform(vertices.min(axis=0) - 0.02, vertices.max(axis=0) + 0.02, (count, 3))


def labels(oriented: Oriented, points: np.ndarray) -> np.ndarray:
    vertices, scale, centre = object_frame(oriented.vertices)
    return WindingMesh(vertices, oriented.faces, oriented.hidden).signed_distance((points - centre) * scale) < 0


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    corners = vertices[faces]
    return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


VERTICES, FACES = bracket()
SOME = np.random.default_rng(1).random(len(FACES))
LEFT = VERTICES[FACES].mean(axis=1)[:, 0] < 0.3
PARTS = [
    triangles((Manifold.sphere(0.25, 24) if k % 2 else Manifold.cube([0.5, 0.4, 0.3], True)).translate(list(at)))
    for k, at in enumerate(np.random.default_rng(2).uniform(-0.35, 0.35, (6, 3)))
]
HEAP = together(*PARTS)
HEAP_SOME = np.random.default_rng(3).random(len(HEAP[1])) < 0.5
INVERTED = together(*((vertices, faces[:, ::-1] if k in (1, 4) else faces) for k, (vertices, faces) in enumerate(PARTS)))
SOUP = soup(*HEAP)
NOISE = np.random.default_rng(4).normal(size=SOUP[0].shape) * 3e-8


def in_bracket(points: np.ndarray) -> np.ndarray:
    return inside(VERTICES, FACES, points)


def in_heap(points: np.ndarray) -> np.ndarray:
    return np.any([inside(*part, points) for part in PARTS], axis=0)


DAMAGE: dict[str, tuple[Triangles, Callable[[np.ndarray], np.ndarray], str]] = {
    "none": ((VERTICES, FACES), in_bracket, ""),
    "not welded": (soup(VERTICES, FACES), in_bracket, ""),
    "all flipped": ((VERTICES, FACES[:, ::-1]), in_bracket, "turned 100 % of the faces outward"),
    "30 % flipped": ((VERTICES, flipped(FACES, SOME < 0.3)), in_bracket, "turned"),
    "one side flipped": ((VERTICES, flipped(FACES, LEFT)), in_bracket, "turned"),
    "half repeated": ((VERTICES, np.concatenate([FACES, FACES[SOME < 0.5]])), in_bracket, "repeated faces"),
    "half repeated, reversed": ((VERTICES, np.concatenate([FACES, FACES[SOME < 0.5][:, ::-1]])), in_bracket, "repeated faces"),
    "all repeated, reversed": ((VERTICES, np.concatenate([FACES, FACES[:, ::-1]])), in_bracket, "repeated faces"),
    "degenerate faces": ((VERTICES, np.concatenate([FACES, FACES[:50, [0, 1, 1]]])), in_bracket, "dropped 50 faces without area"),
    "overlaps": (HEAP, in_heap, "inside the solid"),
    "overlaps, two inverted": (INVERTED, in_heap, "turned"),
    "overlaps, not welded, half flipped": ((SOUP[0], flipped(SOUP[1], HEAP_SOME)), in_heap, "turned"),
    "overlaps, welded with noise, half flipped": ((SOUP[0] + NOISE, flipped(SOUP[1], HEAP_SOME)), in_heap, "welded"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_that_leaves_the_solid_clear_changes_no_label(name):
    (vertices, faces), truth, repair = DAMAGE[name]
    points = points_about(vertices)
    oriented = orient(vertices, faces)
    np.testing.assert_array_equal(labels(oriented, points), truth(points))
    assert oriented.closed
    assert (oriented.boundary, oriented.vague) == (0, 0)
    assert repair in ", ".join(oriented.repairs)
    assert bool(oriented.repairs) == bool(repair)


def test_a_clean_part_comes_back_as_it_was():
    oriented = orient(VERTICES.astype(np.float32), FACES.astype(np.int32))
    assert volume(oriented.vertices, oriented.faces) == pytest.approx(volume(VERTICES, FACES), rel=1e-6)
    assert (len(oriented.faces), len(oriented.hidden), oriented.bodies, oriented.repairs) == (len(FACES), 0, 1, ())
    assert oriented.fill == pytest.approx(volume(VERTICES, FACES) / np.prod(np.ptp(VERTICES, axis=0)), abs=0.02)


def test_the_same_triangles_give_the_same_result_whatever_was_done_before():
    """libigl's own reorientation draws from the clock; patches here are turned by seeded rays."""
    vertices, faces = soup(VERTICES, FACES[SOME > 0.1])
    faces = flipped(faces, np.random.default_rng(5).random(len(faces)) < 0.5)
    results = []
    for _ in range(2):
        np.random.default_rng().random(7)
        results.append(orient(vertices, faces))
    for name in ("vertices", "faces", "hidden"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))
    assert results[0].repairs == results[1].repairs


def test_open_patches_are_turned_outward_by_rays():
    """Each face cut a little smaller is a patch of its own."""
    corners = VERTICES[FACES]
    middle = corners.mean(axis=1, keepdims=True)
    vertices, faces = ((corners - middle) * 0.999 + middle).reshape(-1, 3), np.arange(3 * len(FACES)).reshape(-1, 3)
    points = points_about(VERTICES)
    oriented = orient(vertices, flipped(faces, SOME < 0.5))
    assert (labels(oriented, points) != in_bracket(points)).mean() < 0.001
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    found = oriented.vertices[oriented.faces]
    turned = np.cross(found[:, 1] - found[:, 0], found[:, 2] - found[:, 0])
    assert (np.einsum("ij,ij->i", normals, turned) > 0).mean() > 0.999
    assert not oriented.closed


def test_small_holes_are_reported_and_cost_little():
    missing = np.linalg.norm(VERTICES[FACES].mean(axis=1) - [0.3, 0.3, 0.1], axis=1) < 0.08
    oriented = orient(VERTICES, FACES[~missing])
    points = points_about(VERTICES)
    assert (labels(oriented, points) != in_bracket(points)).mean() < 0.002
    assert not oriented.closed
    assert any(phrase.startswith("holes: ") and phrase.endswith("% of the edge length") for phrase in oriented.repairs)


def test_vertices_are_welded_like_one_by_one():
    """Random ones in chains and clumps, some within a fiftieth of the radius of each other."""
    rng = np.random.default_rng(8)
    points = np.concatenate([rng.uniform(0, 1, (300, 3)), rng.uniform(0, 0.1, (100, 3))])
    points = np.concatenate([points, points[:200] + rng.normal(size=(200, 3)) * 0.001])
    group = orientation._within(points, 0.05)
    near = np.linalg.norm(points[:, None] - points[None], axis=2) < 0.05
    linked = near
    for _ in range(10):
        linked = linked @ linked
    same = group[:, None] == group[None]
    assert 20 < len(np.unique(group)) < 400
    assert (same <= linked).all()
    # A pair that is one cell's second choice may be missed by the width of a cell, no more.
    assert (np.linalg.norm(points[:, None] - points[None], axis=2)[~same] > 0.05 - 2 * np.sqrt(3) * 0.025 / 2).all()


def test_a_stray_vertex_far_away_costs_few_comparisons_and_is_told(monkeypatch):
    """All of the part lies within the distance at which vertices are welded, and would be fifty million pairs."""
    asked = []
    monkeypatch.setattr(orientation, "cKDTree", lambda points: asked.append(len(points)) or cKDTree(points))
    part = triangles(Manifold.sphere(0.5, 200))
    assert len(part[0]) > 10_000
    with pytest.raises(UnusableMesh, match="expected faces with an area, found none larger than 1e-06 of the diagonal"):
        orient(*together(part, box((1, 1, 1), (1e7, 0, 0))))
    assert asked[0] < 30


def test_the_boundary_share_is_the_length_of_the_rim_over_that_of_all_edges():
    vertices, faces = box((1, 1, 1))
    lid = (vertices[faces][:, :, 2] == 0.5).all(axis=1)
    assert Edges(faces[~lid]).boundary_share(vertices) == pytest.approx(4 / (12 + 5 * np.sqrt(2)))
    assert Edges(faces).boundary_share(vertices) == 0


def test_the_wall_between_touching_solids_goes_and_both_stay_full():
    """Their walls are the same triangles, wound in opposite ways: none of them may stay, or one solid would be open."""
    left, right = box((1, 1, 1), (-0.5, 0, 0), step=0.3), box((1, 1, 1), (0.5, 0, 0), step=0.3)
    mirrored = np.array([-1, 1, 1])
    right = (left[0] * mirrored, left[1][:, ::-1])
    oriented = orient(*together(left, right))
    points = points_about(oriented.vertices)
    np.testing.assert_array_equal(labels(oriented, points), (np.abs(points) < [1, 0.5, 0.5]).all(axis=1))
    wall = (np.abs(oriented.vertices[oriented.faces][:, :, 0]) < 1e-9).all(axis=1)
    assert not wall.any()
    assert any("between touching solids" in phrase for phrase in oriented.repairs)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_cavity_stays_hollow(inverted):
    outer, inner = box((1, 1, 1)), box((0.6, 0.6, 0.6))
    vertices, faces = together(outer, (inner[0], inner[1][:, ::-1]))
    oriented = orient(vertices, faces[:, ::-1] if inverted else faces)
    points = points_about(vertices)
    reach = np.abs(points).max(axis=1)
    np.testing.assert_array_equal(labels(oriented, points), (reach < 0.5) & (reach > 0.3))
    assert len(oriented.faces) == 24


def test_a_cavity_in_a_body_with_a_hole_stays_hollow():
    outer, inner = box((1, 1, 1), step=0.1), box((0.6, 0.6, 0.6))
    hole = np.linalg.norm(outer[0][outer[1]].mean(axis=1) - [0, 0, 0.5], axis=1) < 0.07
    assert hole.any()
    vertices, faces = together((outer[0], outer[1][~hole][:, ::-1]), (inner[0], inner[1][:, ::-1]))
    points = points_about(vertices)
    reach = np.abs(points).max(axis=1)
    wrong = labels(orient(vertices, faces), points) != ((reach < 0.5) & (reach > 0.3))
    assert wrong.mean() < 0.002


def test_a_body_within_another_is_set_aside_and_changes_no_label():
    vertices, faces = together(box((1, 1, 1)), box((0.4, 0.4, 0.4)))
    oriented = orient(vertices, faces)
    points = points_about(vertices)
    np.testing.assert_array_equal(labels(oriented, points), np.abs(points).max(axis=1) < 0.5)
    assert (len(oriented.faces), len(oriented.hidden), oriented.bodies) == (12, 12, 2)
    assert oriented.repairs == ("set aside 12 faces inside the solid",)


def test_a_face_that_shows_anywhere_stays_on_the_surface():
    """Two crossed beams: their long faces have hidden middles and visible ends."""
    oriented = orient(*together(box((2, 0.3, 0.3)), box((0.3, 2, 0.3001))))
    assert len(oriented.hidden) == 0
    needle = orient(*together(box((1, 1, 1)), box((1.02, 0.2, 0.2))))  # its long faces show only at their ends
    assert len(needle.hidden) == 0


def test_hidden_faces_are_those_that_the_exact_winding_number_hides():
    vertices, faces = HEAP
    unit = (vertices - vertices.mean(axis=0)) / np.linalg.norm(np.ptp(vertices, axis=0))
    corners = unit[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    seen = np.zeros(len(faces), int)
    for weights in np.random.default_rng(6).dirichlet(np.ones(3), 30):
        for side in (1e-5, -1e-5):
            seen += ~inside(unit, faces, np.einsum("k,fkd->fd", weights, corners) + side * normals)
    found = hidden_faces(unit, faces)
    assert 50 < found.sum() < len(faces) - 50
    assert seen[found].sum() <= 3  # a glimpse smaller than the probes' spacing
    assert ((seen == 0) & ~found).sum() <= 0.02 * len(faces)  # random probes miss a corner now and then


def test_a_sheet_in_the_solid_or_beside_it_is_dropped():
    """A label just above the top would otherwise halve the winding number below it."""
    square = np.array([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0.3, 0.3, 0], [-0.3, 0.3, 0]])
    for height in (0.0, 0.501):
        sheet = (np.add(square, [0, 0, height]), np.array([[0, 1, 2], [0, 2, 3]]))
        vertices, faces = together(box((1, 1, 1), step=0.2), sheet)
        oriented = orient(vertices, faces)
        points = points_about(vertices)
        np.testing.assert_array_equal(labels(oriented, points), np.abs(points).max(axis=1) < 0.5)
        assert oriented.closed
        assert any(phrase.startswith("dropped 1 sheet without thickness, ") for phrase in oriented.repairs)


def test_bodies_far_apart_are_reported():
    oriented = orient(*together(box((1, 1, 1)), box((1, 1, 1), (3, 0, 0)), box((1, 1, 1), (3.5, 0, 0))))
    assert oriented.bodies == 3
    assert "2 groups of bodies lie apart" in oriented.repairs


def without_lid() -> Triangles:
    vertices, faces = box((1, 0.8, 0.5), step=0.1)
    return vertices, faces[~(vertices[faces][:, :, 2] > 0.249).all(axis=1)]


def bowl() -> Triangles:
    vertices, faces = triangles(Manifold.sphere(0.5, 32))
    return vertices, faces[vertices[faces][:, :, 2].max(axis=1) < 0.05]


SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
BOX = box((1, 1, 1))
UNUSABLE: dict[str, tuple[Triangles, str]] = {
    "a bin without thickness": (without_lid(), "expected a closed surface, found open sheets"),
    "a bowl without thickness": (bowl(), "expected a closed surface, found open sheets"),
    "a flat square": ((SQUARE, np.array([[0, 1, 2], [0, 2, 3]])), "expected a volume, found a flat box of 1 × 1 × 0"),
    "points on one spot": ((np.zeros((3, 3)), np.array([[0, 1, 2]])), "expected faces with an area, found none"),
    "nothing": ((SQUARE, np.zeros((0, 3), np.int64)), "expected triangles, found none"),
    "a hole in the numbers": ((SQUARE * [1, 1, np.nan], np.array([[0, 1, 2]])), "expected finite vertices"),
    "a vertex too many": ((SQUARE, np.array([[0, 1, 4]])), "expected vertex numbers from 0 to 3, found 0 to 4"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_bounds_no_volume_is_refused_in_words(name):
    (vertices, faces), reason = UNUSABLE[name]
    with pytest.raises(UnusableMesh) as caught:
        orient(vertices, faces)
    assert reason in str(caught.value)


def test_more_triangles_than_allowed_are_refused(monkeypatch):
    monkeypatch.setattr(orientation, "MAX_FACES", 11)
    with pytest.raises(UnusableMesh, match="expected at most 11 triangles, found 12"):
        orient(*BOX)


def test_edges_are_counted_like_one_by_one():
    faces = np.concatenate([flipped(FACES, SOME < 0.2), FACES[:30]])
    edges = Edges(faces)
    count, balance = Counter(), Counter()
    for face in faces:
        for start, end in zip(face, np.roll(face, -1), strict=True):
            count[min(start, end), max(start, end)] += 1
            balance[min(start, end), max(start, end)] += 1 if start < end else -1
    ends = [tuple(pair) for pair in edges.ends]
    assert dict(zip(ends, edges.counts, strict=True)) == count
    assert dict(zip(ends, edges.balance, strict=True)) == balance


def test_a_large_surface_is_stored_with_fewer_faces_and_a_small_one_as_it_is():
    vertices, faces = triangles(Manifold.sphere(0.4, 256))
    few_vertices, few_faces = stored_surface(vertices, faces, limit=4000)
    assert 3000 < len(few_faces) <= 4000 < len(faces)
    assert (few_vertices.dtype, few_faces.dtype) == (np.float32, np.int32)
    radius = np.linalg.norm(few_vertices, axis=1)
    np.testing.assert_allclose(radius, 0.4, atol=4e-3)
    assert volume(few_vertices, few_faces) == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.01)
    same_vertices, same_faces = stored_surface(vertices, faces, limit=len(faces))
    np.testing.assert_array_equal(same_vertices, vertices.astype(np.float32))
    np.testing.assert_array_equal(same_faces, faces)

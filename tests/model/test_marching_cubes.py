"""The table of marching cubes case by case, and the meshes against PyMCubes and against winding numbers."""

import itertools
from collections import Counter

import manifold3d
import mcubes
import numpy as np
import pytest

from model import isosurface
from model.isosurface import CROSSED, EDGES, FIRST_TRIANGLE, NUDGE, TRIANGLE_COUNTS, TRIANGLES, extract_surface, surface_loops
from model.mesh import Mesh
from tests.model.fields import box, hollow, moved, occupancy, sphere, torus, union

CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))
MIDPOINTS = np.array([CORNERS[list(ends)].mean(axis=0) for ends in EDGES])
SIDES = list(itertools.product(range(3), (0, 1)))  # (axis, coordinate) of the six faces of a cell


def triangles_of(case: int) -> list[list[int]]:
    return TRIANGLES[FIRST_TRIANGLE[case] :][: TRIANGLE_COUNTS[case]].tolist()


def directed_edges(triangles) -> Counter:
    return Counter((triangle[i - 1], triangle[i]) for triangle in triangles for i in range(3))


def rim_of(case: int) -> set[tuple[int, int]]:
    """The directed edges of a case's triangles that no other of its triangles runs along in the opposite direction."""
    edges = directed_edges(triangles_of(case))
    assert set(edges.values()) <= {1}
    return {(a, b) for a, b in edges if (b, a) not in edges}


def is_in_side(vertices, axis: int, coordinate: int) -> bool:
    return bool((MIDPOINTS[list(vertices), axis] == coordinate).all())


def test_a_case_has_a_vertex_on_each_edge_that_it_crosses_and_on_no_other():
    for case in range(256):
        crossed = {edge for edge, (a, b) in enumerate(EDGES) if (case >> a & 1) != (case >> b & 1)}
        assert set(np.flatnonzero(CROSSED[:, case])) == crossed
        assert {vertex for triangle in triangles_of(case) for vertex in triangle} == crossed
        assert sorted(vertex for loop in surface_loops(case) for vertex in loop) == sorted(crossed)


def test_the_triangles_of_a_case_end_in_closed_loops_in_the_faces_of_the_cell_and_have_no_other_edge_in_a_face():
    for case in range(256):
        rim = rim_of(case)
        assert rim == {(loop[i - 1], loop[i]) for loop in surface_loops(case) for i in range(len(loop))}
        assert Counter(a for a, _ in rim) == Counter(b for _, b in rim) == Counter(np.flatnonzero(CROSSED[:, case]).tolist())
        for edge in directed_edges(triangles_of(case)):
            assert (edge in rim) == any(is_in_side(edge, *side) for side in SIDES)


@pytest.mark.parametrize("axis", range(3))
def test_neighbours_of_all_cases_end_in_the_same_segments_of_their_common_face(axis):
    """All 3 · 256 · 16 pairs: what ends in a face depends on its own four corners only, and runs the other way next door."""
    beyond, before = {}, {}
    for side, segments_by_signs in ((1, beyond), (0, before)):
        corners = np.flatnonzero(CORNERS[:, axis] == side)  # in the same order on both sides
        for case in range(256):
            segments = {edge for edge in rim_of(case) if is_in_side(edge, axis, side)}
            places = {tuple(tuple(np.delete(MIDPOINTS[end], axis)) for end in edge) for edge in segments}
            assert segments_by_signs.setdefault(tuple(case >> corners & 1), places) == places
    assert len(beyond) == 16
    assert {signs: {(b, a) for a, b in segments} for signs, segments in beyond.items()} == before
    assert Counter(map(len, beyond.values())) == {0: 2, 1: 12, 2: 2}


def test_one_corner_inside_is_cut_off_by_a_triangle_that_faces_the_outside():
    for corner in range(8):
        (triangle,) = triangles_of(1 << corner)
        a, b, c = MIDPOINTS[triangle]
        assert np.cross(b - a, c - a) @ (0.5 - CORNERS[corner]) > 0


@pytest.mark.parametrize(("second", "bodies"), [((1, 0, 0), 1), ((1, 1, 0), 1), ((0, 1, 1), 1), ((1, 0, 1), 1), ((1, 1, 1), 2)])
def test_inside_nodes_are_connected_along_edges_and_across_faces_but_not_through_the_middle_of_a_cell(second, bodies):
    values = np.zeros((2, 2, 2), np.float32)
    values[0, 0, 0] = values[second] = 1
    assert extract_surface(values, 0.5, (0, 0, 0), 1.0).euler_characteristic == 2 * bodies


def winding_numbers(mesh: Mesh, points) -> np.ndarray:
    """(n,): how often the mesh winds round each point, by the solid angles of its faces (van Oosterom and Strackee)."""
    a, b, c = np.moveaxis(mesh.corners.astype(np.float64)[None] - np.asarray(points)[:, None, None], 2, 0)
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    volume = (a * np.cross(b, c)).sum(-1)
    share = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return np.arctan2(volume, share).sum(-1) / (2 * np.pi)


def assert_parts_the_nodes(mesh: Mesh, values, level: float) -> None:
    """Closed, and it winds once round every node inside and not at all round every other, up to a layer beyond the walls."""
    assert mesh.is_watertight
    inside = np.pad(values >= level, 1)
    nodes = np.argwhere(np.ones_like(inside)) - 1.0
    np.testing.assert_allclose(winding_numbers(mesh, nodes), inside.ravel(), atol=1e-6)


def test_the_mesh_of_a_single_cell_parts_its_inside_nodes_from_all_others():
    """Each case in the middle, and round it what the walls make of it."""
    rng = np.random.default_rng(1)
    for case in range(1, 255):
        inside = np.array([case >> corner & 1 for corner in range(8)], np.bool_).reshape(2, 2, 2)
        values = np.where(inside, rng.uniform(0.51, 1, inside.shape), rng.uniform(0, 0.49, inside.shape)).astype(np.float32)
        assert_parts_the_nodes(extract_surface(values, 0.5, (0, 0, 0), 1.0), values, 0.5)


@pytest.mark.parametrize("seed", range(8))
def test_the_mesh_of_noise_parts_inside_nodes_from_outside_ones(seed):
    rng = np.random.default_rng(seed)
    values = rng.random(rng.integers(3, 8, 3), dtype=np.float32)
    level = float(rng.uniform(0.2, 0.8))
    assert_parts_the_nodes(extract_surface(values, level, (0, 0, 0), 1.0), values, level)


def waves(seed: int) -> np.ndarray:
    """A smooth random field: some plane waves; the inside reaches the walls."""
    rng = np.random.default_rng(seed)
    nodes = np.stack(np.meshgrid(*(np.arange(size) for size in rng.integers(12, 25, 3)), indexing="ij"), axis=-1)
    field = sum(np.cos(nodes @ rng.uniform(-0.9, 0.9, 3) + phase) for phase in rng.uniform(0, 2 * np.pi, 12))
    return (field / np.abs(field).max()).astype(np.float32)


def noise(seed: int) -> np.ndarray:
    """A third of the cells are ambiguous."""
    return np.random.default_rng(seed).uniform(-1, 1, (9, 10, 11)).astype(np.float32)


def solid(distance) -> np.ndarray:
    return 2 * occupancy(distance, 32) - 1


FIELDS = {
    "sphere": solid(moved(sphere(0.31), 0.003, 0.011, -0.007)),
    "torus": solid(moved(torus(0.27, 0.1), 0.003, 0.011, -0.007)),
    "union": solid(union(moved(sphere(0.2), 0.11, 0.02, 0.01), moved(torus(0.25, 0.07), 0.02, -0.013, 0.1))),
    "hollow": solid(hollow(moved(sphere(0.4), 0.01, 0.02, 0.003), moved(box(0.11, 0.13, 0.17), 0.017, 0.02, 0.03))),
    "on a wall": solid(moved(sphere(0.3), 0.4, 0.013, -0.02)),
    "in a corner": solid(moved(torus(0.3, 0.12), -0.4, 0.45, 0.43)),
    **{f"waves {seed}": waves(seed) for seed in range(5)},
    **{f"noise {seed}": noise(seed) for seed in range(5)},
}


def off_level(values, level: float, margin: float = 0.01) -> np.ndarray:
    """The field without values so near the level that NUDGE would act."""
    near = np.abs(values - level) < margin
    return np.where(near, np.where(values >= level, level + margin, level - margin), values).astype(np.float32)


def pymcubes(values, level: float) -> Mesh:
    vertices, faces = mcubes.marching_cubes(np.pad(values, 1, constant_values=values.min()), level)
    return Mesh((vertices - 1).astype(np.float32), faces.astype(np.int32))


def grid_edges(mesh: Mesh) -> np.ndarray:
    """(n, 4): the grid edge on which each vertex lies, as its lower node and its axis."""
    fraction = np.abs(mesh.vertices - np.round(mesh.vertices))
    assert (np.sort(fraction, axis=1)[:, 1] < 1e-4).all()
    axis = fraction.argmax(axis=1)[:, None]
    return np.hstack([np.where(np.arange(3) == axis, np.floor(mesh.vertices), np.round(mesh.vertices)).astype(int), axis])


def segments_in_faces(edges: np.ndarray, faces: np.ndarray) -> set[bytes]:
    """The directed edges of a mesh that lie in faces of the grid's cells, by the grid edges of their two ends."""
    a, b = edges[faces.ravel()], edges[np.roll(faces, -1, axis=1).ravel()]
    axes = np.arange(3)
    in_a_plane = (a[:, :3] == b[:, :3]) & (axes != a[:, 3:]) & (axes != b[:, 3:])
    segments = np.hstack([a, b])[in_a_plane.any(axis=1)].astype(np.int16)
    return {segment.tobytes() for segment in segments}


@pytest.mark.parametrize("name", FIELDS)
def test_the_mesh_is_that_of_pymcubes_up_to_order_and_to_the_diagonals_within_cells(name):
    level = 0.1
    values = off_level(FIELDS[name], level)
    mesh, twin = extract_surface(values, level, (0, 0, 0), 1.0), pymcubes(values, level)
    assert len(mesh.faces) == len(twin.faces)
    edges, twin_edges = grid_edges(mesh), grid_edges(twin)
    order, twin_order = np.lexsort(edges.T), np.lexsort(twin_edges.T)
    np.testing.assert_array_equal(edges[order], twin_edges[twin_order])
    assert len(np.unique(edges, axis=0)) == len(edges)
    ulp = 2.0**-18  # of float32 below 64
    np.testing.assert_allclose(mesh.vertices[order], twin.vertices[twin_order], rtol=0, atol=1e-6 + ulp)
    assert segments_in_faces(edges, mesh.faces) == segments_in_faces(twin_edges, twin.faces)
    assert mesh.euler_characteristic == twin.euler_characteristic
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(twin.volume, rel=0.05 if name.startswith("noise") else 0.005)


def test_the_volume_of_a_smooth_solid_is_that_of_pymcubes():
    values = occupancy(moved(sphere(0.35), 0.003, 0.011, -0.007), 96)
    assert extract_surface(values, 0.5, (0, 0, 0), 1.0).volume == pytest.approx(pymcubes(values, 0.5).volume, rel=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "share"),
    [
        (0.0, 1.0, 0.5),
        (0.25, 0.75, 0.5),
        (0.4, 0.9, 0.2),
        (0.0, 0.5, 1 - NUDGE),
        (0.4999, 0.9999, NUDGE),
        (0.49999997, 0.5, 1 - NUDGE),
        (0.0, 0.625, 0.8),
    ],
)
def test_a_vertex_divides_its_edge_as_the_level_divides_the_values_but_keeps_off_the_nodes(low, high, share):
    mesh = extract_surface(np.array([[[low, high, -1]]], np.float32), 0.5, (0, 0, 0), 1.0)
    ((_, _, z),) = mesh.vertices[(mesh.vertices[:, :2] == 0).all(axis=1) & (mesh.vertices[:, 2] < 1)]
    assert z == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("axis", range(3))
def test_beyond_the_walls_the_lowest_value_holds(axis):
    """From 1 to the lowest, -1, the level 0.5 is reached after a quarter of a voxel."""
    values = np.full((5, 5, 5), -1, np.float32)
    line = np.moveaxis(values, axis, 0)[:, 2, 2]
    line[:] = 1
    np.testing.assert_allclose(extract_surface(values, 0.5, (0, 0, 0), 1.0).bounds[:, axis], [-0.25, 4.25], atol=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_manifold_takes_meshes_whose_nodes_lie_on_the_level(seed):
    values = np.random.default_rng(seed).choice(np.array([0, 0.5, 0.5 + 1e-7, 0.5 - 1e-7, 1], np.float32), (7, 8, 9))
    mesh = extract_surface(values, 0.5, (-0.5, -0.5, -0.75), 1 / 512)
    solid = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices, mesh.faces.astype(np.uint32)))
    assert solid.status() == manifold3d.Error.NoError
    assert solid.volume() == pytest.approx(mesh.volume, rel=1e-4)


def test_the_mesh_does_not_depend_on_how_much_is_worked_on_at_once(monkeypatch):
    values = waves(3)
    expected = extract_surface(values, 0.1, (0, 0, 0), 1.0)
    for nodes, cells in ((1, 2**14), (6000, 1), (2**20, 100)):
        monkeypatch.setattr(isosurface, "NODES_AT_ONCE", nodes)
        monkeypatch.setattr(isosurface, "CELLS_AT_ONCE", cells)
        mesh = extract_surface(values, 0.1, (0, 0, 0), 1.0)
        np.testing.assert_array_equal(mesh.vertices, expected.vertices)
        np.testing.assert_array_equal(mesh.faces, expected.faces)


def test_the_values_stay_as_they_are_and_may_be_a_view():
    values = waves(4)
    before = values.copy()
    mesh = extract_surface(values.transpose(2, 0, 1)[::-1, 1:, ::2], 0.1, (0, 0, 0), 1.0)
    np.testing.assert_array_equal(values, before)
    twin = extract_surface(np.ascontiguousarray(values.transpose(2, 0, 1)[::-1, 1:, ::2]), 0.1, (0, 0, 0), 1.0)
    np.testing.assert_array_equal(mesh.vertices, twin.vertices)
    np.testing.assert_array_equal(mesh.faces, twin.faces)

"""Marching cubes: node values on a regular grid -> a closed mesh.

Corner c of a cell lies at (c >> 2, c >> 1 & 1, c & 1) of it; bit c of a cell's case says that the corner is inside. Its edges are
numbered by axis, four each, and a cell owns the three that start at its corner 0: the edges 0, 4 and 8. Only the cells that
the surface passes through are worked on, always in the order of their lowest corners.
"""

import functools
import itertools

import numpy as np
import numpy.typing as npt

from model.errors import NoSurface
from model.field import SampledBox
from model.mesh import Mesh

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]
Cases = npt.NDArray[np.uint8]

# A surface through a node would put up to six vertices in one place; so no vertex comes nearer to a node than this share of an
# edge: far less than a voxel, and still many steps of float32.
NUDGE = 1e-3

NODES_AT_ONCE = 2**18  # what is computed of them stays in the cache, as of the cells
CELLS_AT_ONCE = 2**14

AXIS_BITS = (4, 2, 1)  # in the number of a corner
EDGES = [(corner, corner | bit) for bit in AXIS_BITS for corner in range(8) if not corner & bit]
EDGE_BETWEEN = {frozenset(ends): edge for edge, ends in enumerate(EDGES)}
HALFWAY = np.array([[(low & bit) + (high & bit) for bit in AXIS_BITS] for low, high in EDGES]) / (2 * np.array(AXIS_BITS))
OWNED_EDGES = (0, 4, 8)

# The corners of the six faces of a cell, counter-clockwise seen from outside it, and the edges that lead to them on that way.
FACES = [
    face
    for u, v, w in ((4, 2, 1), (2, 1, 4), (1, 4, 2))  # right-handed
    for face in ((w, w | u, w | u | v, w | v), (0, v, u | v, u))
]
FACE_EDGES = [[EDGE_BETWEEN[frozenset((face[i - 1], face[i]))] for i in range(4)] for face in FACES]


def surface_of(samples: SampledBox, level: float) -> Mesh:
    """The surface of a sampled field in columns (u, v, z), as `extract_surface` makes it."""
    return extract_surface(samples.values, level, samples.origin, samples.grid.spacing)


def extract_surface(
    values: npt.NDArray[np.float32], level: float, origin: tuple[float, float, float] | FloatArray, spacing: float
) -> Mesh:
    """The surface of `values >= level`, closed and wound outward, also where the inside reaches a wall of the grid.

    values: (nu, nv, nz) float32 at the nodes `origin + index * spacing`; the mesh's vertices are in the same coordinates.
    Beyond the walls the lowest value holds, so a cut object ends within one voxel outside the wall.
    Inside nodes that are diagonal neighbours on a face with two outside ones are connected, from both sides of the face.
    """
    level = float(np.float32(level))  # as the values are compared with it
    lowest, highest = float(values.min()), float(values.max())
    if not lowest < level <= highest:  # true for NaN as well
        raise NoSurface(f"occupancy: expected values on both sides of the level {level:g}, got {lowest:.3g} to {highest:.3g}")
    cells, cases = _active_cells(values, level)
    owners = [np.flatnonzero(CROSSED[edge][cases]) for edge in OWNED_EDGES]
    first_vertex = np.cumsum([0, *map(len, owners)])
    vertices = np.empty((first_vertex[-1], 3), np.float32)
    for axis, owner in enumerate(owners):
        positions = _crossings(values, level, lowest, cells[owner], axis)
        for coordinate in range(3):
            vertices[first_vertex[axis] : first_vertex[axis + 1], coordinate] = (
                origin[coordinate] + positions[coordinate] * spacing
            )
    return Mesh(vertices, _triangles(cases, first_vertex[:3]))


def _active_cells(values: npt.NDArray[np.float32], level: float) -> tuple[IntArray, Cases]:
    """The cells with corners on both sides: (n,) their numbers, rising, and (n,) their cases.

    Cells are numbered by their lowest corner in the grid with one more node, outside, beyond each wall.
    """
    nu, nv, nz = values.shape
    row = nz + 2
    layer = (nv + 2) * row
    layers = max(4, NODES_AT_ONCE // layer)
    numbers, cases = [], []
    for first in range(-1, nu, layers):  # the cells between the layers `first` and `last` of nodes
        last = min(first + layers, nu)
        inside = np.zeros((last - first + 1, nv + 2, nz + 2), np.bool_)
        low, high = max(first, 0), min(last + 1, nu)
        np.greater_equal(values[low:high], level, out=inside[low - first : high - first, 1:-1, 1:-1])
        # A corner's number is the sum of its axes' bits, so its bit in the case comes into place by a shift along each axis (as a
        # product, for which NumPy has vector instructions). A cell that reaches over the end of a row finds only outside there.
        case = inside.ravel().view(np.uint8)
        for stride, bit in zip((layer, row, 1), AXIS_BITS, strict=True):
            case = case[:-stride] + (case[stride:] * np.uint8(1 << bit))
        active = np.flatnonzero(case + np.uint8(1) > 1)  # neither 0 nor 255
        numbers.append(active + (first + 1) * layer)
        cases.append(case[active])
    return np.concatenate(numbers), np.concatenate(cases)


def _crossings(
    values: npt.NDArray[np.float32], level: float, outside: float, cells: IntArray, axis: int
) -> npt.NDArray[np.float64]:
    """(3, n): where the surface crosses the edges along `axis` that these cells own, in indices of `values`."""
    nu, nv, nz = values.shape
    low_node = np.stack(np.unravel_index(cells, (nu + 2, nv + 2, nz + 2))) - 1
    high_node = low_node + (np.arange(3) == axis)[:, None]
    # Only along the axis can an end lie beyond a wall: the other end is inside, thus within the grid.
    flat = values.ravel()
    low = flat[np.ravel_multi_index(tuple(low_node), values.shape, mode="clip")].astype(np.float64)
    low[low_node[axis] < 0] = outside
    high = flat[np.ravel_multi_index(tuple(high_node), values.shape, mode="clip")].astype(np.float64)
    high[high_node[axis] == values.shape[axis]] = outside
    positions = low_node.astype(np.float64)
    positions[axis] += np.clip((level - low) / (high - low), NUDGE, 1 - NUDGE)
    return positions


def _triangles(cases: Cases, first_vertex: IntArray) -> npt.NDArray[np.int32]:
    """(m, 3) int32: the triangles of all active cells, whose vertices are numbered from `first_vertex` on along each axis.

    A crossing along an axis is met by four cells, as each of their four edges along that axis once, and in the same order as
    every other crossing. So counting the cells whose edge is crossed numbers the vertices on that edge, without any search.
    """
    counts = TRIANGLE_COUNTS[cases]
    triangles = np.empty((counts.sum(), 3), np.int32)
    number_before = np.repeat(first_vertex - 1, 4).astype(np.int32)
    done = 0
    for start in range(0, len(cases), CELLS_AT_ONCE):
        case, count = cases[start : start + CELLS_AT_ONCE], counts[start : start + CELLS_AT_ONCE]
        vertex_on_edge = number_before[:, None] + CROSSED.take(case, axis=1).cumsum(axis=1, dtype=np.int32)  # (12, cells)
        number_before = vertex_on_edge[:, -1]
        cell = np.repeat(np.arange(len(case)), count)
        in_table = np.arange(len(cell)) + np.repeat(FIRST_TRIANGLE[case] - (count.cumsum() - count), count)
        vertex = (TRIANGLES * len(case)).take(in_table, axis=0) + cell[:, None]
        vertex_on_edge.ravel().take(vertex, out=triangles[done : done + len(cell)], mode="clip")  # only this mode writes directly
        done += len(cell)
    return triangles


def surface_loops(case: int) -> list[list[int]]:
    """The closed loops in which the surface meets the faces of a cell, as edges, counter-clockwise seen from outside the solid.

    Going round a face, crossings enter and leave the inside in turn. The surface runs from each that enters to the one before,
    and so cuts off the outside corners between them. Seen from the neighbour the way round is the other, what enters leaves,
    and the same crossings are joined in the opposite direction, whatever else the two cells look like: no gap can open.
    """
    following = {}
    for corners, edges in zip(FACES, FACE_EDGES, strict=True):
        inside = [case >> corner & 1 for corner in corners]
        crossings = [i for i in range(4) if inside[i] != inside[i - 1]]
        following.update({edges[i]: edges[crossings[k - 1]] for k, i in enumerate(crossings) if inside[i]})
    loops = []
    while following:
        edge = min(following)
        loop = []
        while edge in following:
            loop.append(edge)
            edge = following.pop(edge)
        loops.append(loop)
    return loops


@functools.cache  # loops come again in many cases
def fan(loop: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Triangles that fill a loop, round one of its vertices from which no diagonal lies in a face of the cell.

    The neighbour might have the same diagonal, and four triangles would meet in it. Every loop has such a vertex; of several,
    the first with the fewest creases where all crossings are halfway.
    """
    fans = []
    for i in range(len(loop)):
        apex, *others = loop[i:] + loop[:i]
        if not any(apex in face and other in face for other in others[1:-1] for face in FACE_EDGES):
            spokes = HALFWAY[others] - HALFWAY[apex]
            volumes = np.linalg.det(np.stack([spokes[:-2], spokes[1:-1], spokes[2:]], axis=1))
            triangles = [(apex, a, b) for a, b in itertools.pairwise(others)]
            fans.append((np.count_nonzero(volumes.round(6)), triangles))
    return min(fans, key=lambda fan: fan[0])[1]


_triangles_of_case = [[triangle for loop in surface_loops(case) for triangle in fan(tuple(loop))] for case in range(256)]
CROSSED = np.array([[(case >> low ^ case >> high) & 1 for case in range(256)] for low, high in EDGES], np.bool_)  # (12, 256)
TRIANGLES = np.array([triangle for triangles in _triangles_of_case for triangle in triangles])  # (820, 3) edges, case by case
TRIANGLE_COUNTS = np.array([len(triangles) for triangles in _triangles_of_case])  # (256,)
FIRST_TRIANGLE = TRIANGLE_COUNTS.cumsum() - TRIANGLE_COUNTS  # (256,)

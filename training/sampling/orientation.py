"""Triangles as files hold them -> triangles wound outward, and what had to be done to them.

Nothing is sewn, filled or moved, for that changes shapes more than it mends: whether a point is inside is asked of the winding
number, which bears holes, overlaps and faces inside. It only needs each patch of faces to wind outward.

A *body* is a set of faces connected by edges. An edge is *balanced* when as many faces pass it one way as the other; a body of
balanced edges has a whole winding number everywhere, so its sign is known. Only patches of other bodies are turned by casting
rays (Takayama et al., "A Simple Method for Correcting Facet Orientations in Polygon Meshes Based on Ray Casting", 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import fast_simplification
import igl
import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from training.errors import TrainingError
from training.rendering.normals import face_normals
from training.sampling.solids import INSIDE
from training.sampling.surface import sample_surface

Float64Array = npt.NDArray[np.float64]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_FACES = 2_000_000
STORED_FACES = 30_000

# Lengths below are shares of the box's diagonal.
WELD = 1e-6
BESIDE = 1e-5  # how far off a face its two sides are asked
NEAR = 2e-3  # close to the surface
FLAT = 1e-3  # a box thinner than this holds no volume
APART = 0.02  # bodies whose boxes are further apart than this form groups of their own
PROBE_STEP = 1 / 64  # how closely a face is probed before it is called hidden
MAX_PROBE_STEPS = 32
MAX_PROBED_FACES = 500_000  # larger meshes keep what lies inside
RIM = 1e-3

PROBES = 8192  # points at which the winding number is asked
VAGUE = 0.2  # a winding number this far from a whole one tells little
MAX_VAGUE_SHARE = 0.27  # volume of which that is so, over the volume inside
SHEET_BOUNDARY = 2.0  # boundary length over the root of the area: 3.5 for a disc, 1.8 for a cube without its lid
SHEET_DOUBT = 0.25
MAX_EXPOSED = 0.01  # share of a cavity's faces that may reach out of the solid
RAYS, MIN_RAYS, MAX_RAYS = 20_000, 64, 4096  # all patches by area; each patch


class UnusableMesh(TrainingError):
    """The triangles bound no volume that could be labelled; the message says why, the caller adds the file."""


@dataclass(frozen=True, kw_only=True)
class Oriented:
    """Triangles that wind outward, in the unit and place of the input.

    vertices: (n, 3) float64. faces: (m, 3) int32, the surface. hidden: (k, 3) int32, faces wholly inside the solid: they count
    for its winding number only. closed: all edges are balanced, so the winding number is a whole one everywhere.
    bodies: sets of faces connected by edges. boundary: share of the edge length that is not balanced. vague: share of random
    points of the box with an unclear winding number. fill: share of the box that is inside. repairs: phrases for a report.
    """

    vertices: Float64Array
    faces: Int32Array
    hidden: Int32Array
    closed: bool
    bodies: int
    boundary: float
    vague: float
    fill: float
    repairs: tuple[str, ...]


def orient(vertices: npt.NDArray[np.floating[Any]], faces: npt.NDArray[np.integer[Any]]) -> Oriented:
    """(n, 3), any unit, and (m, 3) -> the same surface wound outward; the same input gives the same result.

    `UnusableMesh` for a mesh that is empty, flat, too large, or too open to say where its inside is.
    """
    rng = np.random.default_rng(0)
    repairs: list[str] = []
    points, triangles = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    _check(points, triangles)
    points, triangles = weld(points, triangles, repairs)
    triangles = drop_repeated_faces(triangles, repairs)
    unit = _unit_frame(points, triangles)
    triangles = turn_outward(unit, triangles, rng, repairs)
    triangles = drop_sheets(unit, triangles, rng, repairs)
    points, triangles = _drop_unused_vertices(points, triangles)
    unit = _unit_frame(points, triangles)

    edges = Edges(triangles)
    body = edges.bodies()
    bodies = int(body.max()) + 1
    boundary = edges.boundary_share(unit)
    winding = _winding(unit, triangles, rng.uniform(unit.min(axis=0), unit.max(axis=0), (PROBES, 3)))
    vague = float(_is_vague(winding).mean())
    fill = float((winding > INSIDE).mean())
    _refuse_open(boundary, vague, fill)
    _refuse_hollow(unit, triangles, fill)
    if boundary > 0:
        repairs.append(f"holes: {100 * boundary:.3g} % of the edge length")
    _report_groups(unit, triangles, body, repairs)
    may_overlap = (bodies > 1 or edges.counts.max() > 2) and len(triangles) <= MAX_PROBED_FACES
    inside = hidden_faces(unit, triangles) if may_overlap else np.zeros(len(triangles), np.bool_)
    if inside.any():
        repairs.append(f"set aside {_count(inside.sum(), 'face')} inside the solid")
    return Oriented(
        vertices=points,
        faces=triangles[~inside].astype(np.int32),
        hidden=triangles[inside].astype(np.int32),
        closed=boundary == 0,
        bodies=bodies,
        boundary=boundary,
        vague=vague,
        fill=fill,
        repairs=tuple(repairs),
    )


def stored_surface(
    vertices: npt.NDArray[np.floating[Any]], faces: npt.NDArray[np.integer[Any]], limit: int = STORED_FACES
) -> tuple[npt.NDArray[np.float32], Int32Array]:
    """A surface of about `limit` faces at most, to store and photograph: (n, 3) float32, (m, 3) int32.

    Labels are measured on the full one, since collapsing edges may open it.
    """
    if len(faces) <= limit:
        return np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    few_vertices, few_faces = fast_simplification.simplify(
        np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32), target_count=limit
    )
    repeated = (few_faces == np.roll(few_faces, 1, axis=1)).any(axis=1)
    few_vertices, few_faces = _drop_unused_vertices(few_vertices, few_faces[~repeated])
    return few_vertices.astype(np.float32), few_faces.astype(np.int32)


class Edges:
    """The edges of a set of faces: which two vertices, how many faces, and by how much one way outweighs the other."""

    def __init__(self, faces: Int64Array) -> None:
        start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
        forward = start < end
        size = int(faces.max(initial=0)) + 1
        keys = np.where(forward, start * size + end, end * size + start)
        unique, self.of_corner = np.unique(keys, return_inverse=True)  # edge of corner k of face f, at 3 f + k
        self.ends = np.stack(np.divmod(unique, size), axis=1)
        self.counts = np.bincount(self.of_corner, minlength=len(unique))
        self.balance = np.bincount(self.of_corner, np.where(forward, 1, -1), len(unique)).astype(np.int64)

    def bodies(self) -> Int64Array:
        """(m,): the number of each face's body."""
        order = np.argsort(self.of_corner, kind="stable")
        same = self.of_corner[order[1:]] == self.of_corner[order[:-1]]
        return _components(order[:-1][same] // 3, order[1:][same] // 3, len(order) // 3)

    def boundary_share(self, vertices: Float64Array) -> float:
        """Length of the edges that are not balanced, over that of all."""
        length = self.lengths(vertices)
        return float(length[self.balance != 0].sum() / max(length.sum(), 1e-300))

    def lengths(self, vertices: Float64Array) -> Float64Array:
        length: Float64Array = np.linalg.norm(vertices[self.ends[:, 0]] - vertices[self.ends[:, 1]], axis=1)
        return length


def weld(vertices: Float64Array, faces: Int64Array, repairs: list[str]) -> tuple[Float64Array, Int64Array]:
    """Joins vertices within `WELD` of the diagonal and drops the faces that lose a corner thereby.

    Equal vertices are how formats without shared ones are read, and not worth a word; only points that differ are.
    """
    used, corner = np.unique(faces, return_inverse=True)
    points, same = np.unique(vertices[used], axis=0, return_inverse=True)
    diagonal = float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))
    group = _within(points, WELD * diagonal)
    _, keeper = np.unique(group, return_index=True)
    faces = group[same.ravel()][corner.ravel()].reshape(-1, 3)
    if len(keeper) < len(points):
        repairs.append(f"welded {len(points) - len(keeper):,} vertices")
    collapsed = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
    if collapsed.any():
        repairs.append(f"dropped {_count(collapsed.sum(), 'face')} without area")
    if collapsed.all():
        raise UnusableMesh(f"expected faces with an area, found none larger than {WELD:g} of the diagonal")
    return points[keeper], faces[~collapsed]


def _within(points: Float64Array, radius: float) -> Int64Array:
    """(n, 3) points, all different -> (n,): the same number for those that lie within a radius, or are linked by others that do.

    Points of one small cell count as one: a stray vertex far away makes the radius large, and its pairs are too many to list.
    """
    if not radius > 0:
        return np.arange(len(points))
    _, first, cell = np.unique(np.floor(points / (radius / 2)), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    pairs = cKDTree(points[first[order]]).query_pairs(radius, output_type="ndarray")
    return _components(pairs[:, 0], pairs[:, 1], len(order))[number[cell.ravel()]]


def drop_repeated_faces(faces: Int64Array, repairs: list[str]) -> Int64Array:
    """Keeps one of several faces on the same three vertices, or none where they are the wall between two touching solids.

    Wall or copy: taking a wall away leaves each edge of its rim with the two faces of the solids' outsides; taking copies of an
    outer face away leaves a hole, an odd number of faces.
    """
    _, first, face_of, counts = np.unique(
        np.sort(faces, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) == len(faces):
        return faces
    turns = np.where(_is_even(faces), 1, -1)
    opposed = np.abs(np.bincount(face_of.ravel(), turns, len(first)).astype(np.int64)) < counts
    unique = faces[first]
    wall = np.zeros(len(unique), np.bool_)
    wall[opposed] = _are_walls(unique, opposed)
    if wall.any():
        repairs.append(f"dropped {_count(counts[wall].sum(), 'face')} between touching solids")
    copies = int((counts[~wall] - 1).sum())
    if copies:
        repairs.append(f"dropped {_count(copies, 'repeated face')}")
    if wall.all():
        raise UnusableMesh("expected faces that bound a volume, found only pairs of opposite ones")
    return faces[np.sort(first[~wall])]


def _are_walls(faces: Int64Array, suspect: BoolArray) -> BoolArray:
    """For each suspect face, whether its connected group's rim has more even than odd edges, the group itself not counted."""
    edges = Edges(faces)
    group = Edges(faces[suspect]).bodies()
    corners = np.flatnonzero(np.repeat(suspect, 3))
    edge = edges.of_corner[corners]
    others = edges.counts - np.bincount(edge, minlength=len(edges.counts))
    rim = others[edge] > 0
    vote = np.where(others[edge] % 2 == 0, 1, -1) * rim
    return np.asarray(np.bincount(np.repeat(group, 3), vote)[group] > 0)


def turn_outward(vertices: Float64Array, faces: Int64Array, rng: np.random.Generator, repairs: list[str]) -> Int64Array:
    """Winds every patch of faces outward; bodies of balanced edges by their volume, patches of the others by casting rays."""
    edges = Edges(faces)
    body = edges.bodies()
    patch = np.zeros(len(faces), np.int64)
    turned = faces.copy()
    loose = _unbalanced_bodies(edges, body)[body]
    if loose.any():
        turned[loose], patch[loose] = igl.bfs_orient(np.ascontiguousarray(faces[loose]))
        loose = _unbalanced_bodies(Edges(turned), body)[body]
    if loose.any():
        number = np.unique(patch[loose], return_inverse=True)[1]
        as_found = turned.copy()
        as_found[loose] = faces[loose]
        turned[loose] = _turn_patches(vertices, turned, loose, number, faces, rng)
        turned = _the_clearer(vertices, as_found, turned, rng)
    turned = _turn_closed_bodies(vertices, turned, loose, body)
    share = float((turned != faces).any(axis=1).mean())
    if share:
        repairs.append(f"turned {100 * share:.3g} % of the faces outward")
    return turned


def _unbalanced_bodies(edges: Edges, body: Int64Array) -> BoolArray:
    bad = np.bincount(np.repeat(body, 3), edges.balance[edges.of_corner] != 0)
    return np.asarray(bad > 0)


def _the_clearer(vertices: Float64Array, as_found: Int64Array, changed: Int64Array, rng: np.random.Generator) -> Int64Array:
    """The changed faces where they leave fewer points in doubt than the faces as found, in the box or close to the surface."""
    doubts = _doubt_points(vertices, as_found, rng)
    before, after = (float(_is_doubtful(_winding(vertices, faces, doubts)).mean()) for faces in (as_found, changed))
    return changed if after < before else as_found


def _doubt_points(vertices: Float64Array, faces: Int64Array, rng: np.random.Generator) -> Float64Array:
    """Half of them anywhere in the box, half close to the surface, where a small body counts as well."""
    low, high = vertices[faces].min(axis=(0, 1)), vertices[faces].max(axis=(0, 1))
    near, normals = sample_surface(vertices, faces, PROBES // 2, rng)
    side = np.where(rng.random(len(near)) < 0.5, -NEAR, NEAR)[:, None]
    return np.concatenate([rng.uniform(low, high, (PROBES // 2, 3)), near + side * normals])


def _is_vague(winding: Float64Array) -> BoolArray:
    return np.asarray(np.abs(winding - np.round(winding)) > VAGUE)


def _is_doubtful(winding: Float64Array) -> BoolArray:
    """Unclear, or wound around backwards."""
    return np.asarray(_is_vague(winding) | (winding < -0.5))


def _turn_closed_bodies(vertices: Float64Array, faces: Int64Array, loose: BoolArray, body: Int64Array) -> Int64Array:
    """Gives every closed body a positive volume, but for cavities: those that lie wholly within the others."""
    corners = vertices[faces]
    part = np.where(loose, 0.0, np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)
    volume = np.bincount(body, part)
    faces = faces.copy()
    if volume.sum() < 0 and not loose.any():
        faces, volume = faces[:, ::-1].copy(), -volume
    negative = volume[body] < 0
    if not negative.any():
        return faces
    around = _winding(vertices, faces[~negative], vertices[faces[negative]].mean(axis=1)) > INSIDE
    size = np.bincount(body[negative], minlength=len(volume))
    exposed = np.bincount(body[negative], ~around, len(volume)) > MAX_EXPOSED * size
    flip = negative & exposed[body]
    faces[flip] = faces[flip][:, ::-1]
    return faces


def _turn_patches(
    vertices: Float64Array, faces: Int64Array, loose: BoolArray, patch: Int64Array, as_found: Int64Array, rng: np.random.Generator
) -> Int64Array:
    """The loose faces, each patch turned so that its front sees more of the outside than its back; in doubt, as found."""
    turned = faces[loose]
    area = _areas(vertices, turned)
    count = int(patch.max()) + 1
    patch_area = np.bincount(patch, area, count)
    rays = np.clip(RAYS * patch_area / patch_area.sum(), MIN_RAYS, MAX_RAYS).astype(np.int64)
    face = _draw_faces(area, patch, rays, rng)
    front, back = _free_views(vertices, faces, turned[face], rng)
    owner = patch[face]
    free = np.bincount(owner, (front == np.inf) * 1.0 - (back == np.inf), count)
    seen = np.bincount(owner, (front == np.inf) * 1.0 + (back == np.inf), count)
    walls = np.bincount(owner, np.sign(np.minimum(front, 10) - np.minimum(back, 10)), count)
    vote, ballots = np.where(seen > 0, free, walls), np.where(seen > 0, seen, rays)
    kept = np.bincount(patch, np.where((turned == as_found[loose]).all(axis=1), area, -area), count)
    flip = np.where(np.abs(vote) > 2 * np.sqrt(ballots), vote < 0, kept < 0)[patch]
    turned[flip] = turned[flip][:, ::-1]
    return turned


def _draw_faces(area: Float64Array, patch: Int64Array, rays: Int64Array, rng: np.random.Generator) -> Int64Array:
    """`rays[p]` faces of each patch p, by area."""
    order = np.argsort(patch, kind="stable")
    ends = np.cumsum(np.maximum(area[order], 1e-300))
    patch_end = ends[np.flatnonzero(np.r_[patch[order][1:] != patch[order][:-1], True])]
    patch_start = np.r_[0.0, patch_end[:-1]]
    owner = np.repeat(np.arange(len(rays)), rays)
    at = patch_start[owner] + rng.random(len(owner)) * (patch_end - patch_start)[owner]
    found = np.searchsorted(ends, at, side="right")
    # Rounding may step over a patch's last face.
    last = np.searchsorted(patch[order], owner, side="right") - 1
    return np.asarray(order[np.minimum(found, last)])


def _free_views(
    vertices: Float64Array, faces: Int64Array, origins: Int64Array, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """How far a ray flies from a random point of each origin face, forward and straight back; infinity where it meets nothing."""
    scene = EmbreeScene(EmbreeDevice())
    TriangleMesh(scene, vertices.astype(np.float32), faces.astype(np.int32))
    corners, normal = vertices[origins], face_normals(vertices, origins)
    weights = rng.dirichlet(np.ones(3), len(origins))
    points = np.einsum("ij,ijk->ik", weights, corners)
    direction = rng.normal(size=points.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    direction *= np.where(np.einsum("ij,ij->i", direction, normal) < 0, -1, 1)[:, None]
    flights = []
    for side in (1, -1):
        start = (points + side * BESIDE * normal).astype(np.float32)
        met = scene.run(start, (side * direction).astype(np.float32), output=True)
        flights.append(np.where(met["primID"] >= 0, met["tfar"], np.inf).astype(np.float64))
    return flights[0], flights[1]


def drop_sheets(vertices: Float64Array, faces: Int64Array, rng: np.random.Generator, repairs: list[str]) -> Int64Array:
    """Drops open bodies without thickness, such as labels and leaves, that lie apart from the solid's boundary.

    Off a boundary the winding number is about 0 on one side and 1 on the other, whose mean is 1/2. A sheet in the open has a mean
    near 0, one within the solid near 1.
    """
    edges = Edges(faces)
    body = edges.bodies()
    count = int(body.max()) + 1
    area = np.bincount(body, _areas(vertices, faces), count)
    edge_body = np.zeros(len(edges.counts), np.int64)
    edge_body[edges.of_corner] = np.repeat(body, 3)
    rim = np.bincount(edge_body, edges.lengths(vertices) * (edges.balance != 0), count)
    suspect = np.flatnonzero((rim > SHEET_BOUNDARY * np.sqrt(area))[body])
    if not len(suspect) or len(suspect) == len(faces):
        return faces
    centre, normal = vertices[faces[suspect]].mean(axis=1), face_normals(vertices, faces[suspect])
    sides = [_winding(vertices, faces, centre + side * BESIDE * normal) for side in (1, -1)]
    apart = np.abs((sides[0] + sides[1]) / 2 - INSIDE) > SHEET_DOUBT
    weight = _areas(vertices, faces[suspect])
    sheet = np.bincount(body[suspect], weight * apart, count) > 0.5 * area
    if not sheet.any() or sheet.all():
        return faces
    kept = faces[~sheet[body]]
    if _the_clearer(vertices, faces, kept, rng) is not kept:
        return faces
    repairs.append(
        f"dropped {_count(sheet.sum(), 'sheet')} without thickness, {100 * area[sheet].sum() / area.sum():.3g} % of the area"
    )
    return kept


def hidden_faces(vertices: Float64Array, faces: Int64Array) -> BoolArray:
    """(m,): whether a face lies wholly inside the solid, so that nobody could see it. Probed on both sides, all over the face."""
    normal = face_normals(vertices, faces) * BESIDE
    hidden = np.ones(len(faces), np.bool_)
    length = np.linalg.norm(vertices[faces] - vertices[np.roll(faces, 1, axis=1)], axis=2).max(axis=1)
    steps = np.clip(np.ceil(length / PROBE_STEP), 3, MAX_PROBE_STEPS).astype(np.int64)
    for density in (1, 3, 8):  # most faces show themselves at once; only what is still suspected is looked at closely
        _probe(vertices, faces, normal, np.flatnonzero(hidden & (steps >= density)), density, hidden)
    for density in np.unique(steps):
        _probe(vertices, faces, normal, np.flatnonzero(hidden & (steps == density)), int(density), hidden)
    return hidden


def _probe(
    vertices: Float64Array, faces: Int64Array, off: Float64Array, asked: Int64Array, density: int, hidden: BoolArray
) -> None:
    """Clears `hidden` for the asked faces that have a probe outside the solid, on either side."""
    weights = _barycentric_grid(density)
    for side in (1, -1):
        asked = asked[hidden[asked]]
        for chunk in np.array_split(asked, math.ceil(len(asked) * len(weights) / 1_000_000)) if len(asked) else ():
            points = np.einsum("pk,fkd->fpd", weights, vertices[faces[chunk]]) + side * off[chunk, None]
            inside = _winding(vertices, faces, points.reshape(-1, 3)) > INSIDE
            hidden[chunk] = inside.reshape(len(chunk), -1).all(axis=1)


def _barycentric_grid(density: int) -> Float64Array:
    """Weights of the corners of a triangle's `density`² equal parts, those on its rim drawn in by a hair: (k, 3)."""
    i, j = np.meshgrid(np.arange(density + 1), np.arange(density + 1), indexing="ij")
    within = i + j <= density
    weights = np.stack([i[within], j[within], density - i[within] - j[within]], axis=1) / density
    return np.asarray(weights * (1 - RIM) + RIM / 3)


def _check(vertices: Float64Array, faces: Int64Array) -> None:
    if not len(faces):
        raise UnusableMesh("expected triangles, found none")
    if len(faces) > MAX_FACES:
        raise UnusableMesh(f"expected at most {MAX_FACES:,} triangles, found {len(faces):,}")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise UnusableMesh(f"expected vertex numbers from 0 to {len(vertices) - 1}, found {faces.min()} to {faces.max()}")
    if not np.isfinite(vertices[faces]).all():
        raise UnusableMesh("expected finite vertices, found others")


def _refuse_open(boundary: float, vague: float, fill: float) -> None:
    """Holes matter by the volume whose side they leave unclear, not by their length: that depends on how finely they are cut."""
    if vague > MAX_VAGUE_SHARE * fill:
        raise UnusableMesh(
            f"expected a closed surface, found open sheets: {100 * boundary:.3g} % of the edge length is boundary; "
            f"{100 * fill:.3g} % of the box would be inside, and for {100 * vague:.3g} % that is unclear"
        )


def _refuse_hollow(vertices: Float64Array, faces: Int64Array, fill: float) -> None:
    corners = vertices[faces]
    volume = float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)
    if fill == 0 and volume < FLAT * _areas(vertices, faces).sum() / 2:
        raise UnusableMesh("expected a surface around a volume, found none inside")


def _report_groups(vertices: Float64Array, faces: Int64Array, body: Int64Array, repairs: list[str]) -> None:
    """Bodies far apart are fine in an assembly, and worth a word: one stray body makes the others small."""
    order = np.argsort(body, kind="stable")
    starts = np.flatnonzero(np.r_[True, body[order][1:] != body[order][:-1]])
    if not 1 < len(starts) <= 2000:
        return
    corners = vertices[faces[order]]
    low = np.minimum.reduceat(corners.min(axis=1), starts) - APART / 2
    high = np.maximum.reduceat(corners.max(axis=1), starts) + APART / 2
    meet = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(axis=2)
    one, other = np.nonzero(meet)
    groups = int(_components(one, other, len(starts)).max()) + 1
    if groups > 1:
        repairs.append(f"{groups} groups of bodies lie apart")


def _unit_frame(vertices: Float64Array, faces: Int64Array) -> Float64Array:
    """Centred, its box's diagonal 1."""
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    diagonal = float(np.linalg.norm(high - low))
    if (high - low).min() < FLAT * diagonal:
        raise UnusableMesh(f"expected a volume, found a flat box of {' × '.join(f'{side:.3g}' for side in high - low)}")
    return np.asarray((vertices - (low + high) / 2) / diagonal)


def _winding(vertices: Float64Array, faces: Int64Array, points: Float64Array) -> Float64Array:
    winding: Float64Array = igl.fast_winding_number(
        np.ascontiguousarray(vertices), np.ascontiguousarray(faces, np.int64), np.ascontiguousarray(points)
    )
    return winding


def _areas(vertices: Float64Array, faces: Int64Array) -> Float64Array:
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(np.linalg.norm(across, axis=1) / 2, np.float64)


def _is_even(faces: Int64Array) -> BoolArray:
    """Whether a face's corners are an even permutation of their sorted order: equal for faces that wind the same way."""
    a, b, c = faces.T
    return np.asarray(((a < b).astype(int) + (b < c) + (c < a)) == 2)


def _drop_unused_vertices(vertices: npt.NDArray[Any], faces: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Int64Array]:
    used, corner = np.unique(faces, return_inverse=True)
    return vertices[used], corner.reshape(-1, 3)


def _components(one: npt.NDArray[Any], other: npt.NDArray[Any], count: int) -> Int64Array:
    """(count,): the number of the connected component of each node, given its links."""
    links = coo_matrix((np.ones(len(one), np.int8), (one, other)), (count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _count(number: np.integer[Any] | int, noun: str) -> str:
    return f"{int(number):,} {noun}{'' if number == 1 else 's'}"

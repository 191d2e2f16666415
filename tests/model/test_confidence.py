"""How sure, and how visible: on fields whose slopes are known."""

import numpy as np
import pytest

from model.camera import OrthographicCamera, PinholeCamera
from model.confidence import confidence, observed, sampled, with_confidence
from model.field import QueryGrid, SampledBox
from model.formats.glb import vertex_normals
from model.isosurface import surface_of
from model.mesh import Mesh
from model.refine import limit_faces
from model.soft_label import SoftLabel
from tests.model.fields import box, mesh_of, moved, sphere, torus, union

LABEL = SoftLabel(s=0.13, d_star_voxels=5 * 3**0.5, voxels_per_side=256)
CAMERAS = [OrthographicCamera(), PinholeCamera(1.2, 0.1, -0.2)]
GRID = QueryGrid(64)


def nodes(grid):
    """(n_u, n_v, n_z, 3): the grid's nodes in columns."""
    return np.stack(np.meshgrid(grid.lateral, grid.lateral, grid.depths, indexing="ij"), axis=-1).astype(np.float64)


def field_of(value, camera=CAMERAS[0], grid=GRID):
    """The samples of `value`, a function of (n, 3) points of the view frame."""
    points = camera.unproject(nodes(grid).reshape(-1, 3))
    return SampledBox(grid, (0, 0, 0), value(points).reshape(grid.shape).astype(np.float32))


def surface_in_view(samples, camera, level=0.5):
    surface = surface_of(samples, level)
    return Mesh(camera.unproject(surface.vertices).astype(np.float32), surface.faces)


def ball(points):
    """The label of a solid ball."""
    return LABEL.value(np.linalg.norm(points, axis=1) - 0.3)


def test_samples_are_trilinear_between_nodes_and_the_walls_own_beyond(rng):
    """A product of three linear functions is its own trilinear interpolant."""
    grid, first, shape = QueryGrid(32), (3, 5, 7), (9, 10, 11)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    samples = SampledBox(grid, first, (np.add(index, (1, 2, 3)) * (1, -2, 0.5)).prod(axis=-1).astype(np.float32))
    place = rng.uniform(-2, 12, (1000, 3))
    expected = (np.add(np.clip(place, 0, np.array(shape) - 1), (1, 2, 3)) * (1, -2, 0.5)).prod(axis=1)
    points = samples.origin + place * grid.spacing
    np.testing.assert_allclose(sampled(samples, points), expected, rtol=1e-5)
    np.testing.assert_allclose(sampled(samples, points.astype(np.float32)), expected, rtol=1e-4)


@pytest.mark.parametrize("camera", CAMERAS, ids=["orthographic", "pinhole"])
@pytest.mark.parametrize("slope", [0.05, 0.2, 0.45])  # by which it falls along a voxel
def test_a_binary_label_is_compared_with_a_fall_of_one_between_two_nodes(camera, slope):
    """A field that falls evenly, by twice its slope over two voxels; in view-frame units, wherever the pinhole stands."""
    direction = np.array([0.8, 0.0, 0.6])
    samples = field_of(lambda points: 0.5 - slope * 64 * (points @ direction), camera)
    mesh = surface_in_view(samples, camera)
    on_plane = np.abs(mesh.vertices @ direction) < 1e-3  # the rest closes it along the volume's walls
    amid = on_plane & (np.abs(camera.project(mesh.vertices)) < (0.45, 0.45, 0.7)).all(axis=1)
    assert amid.sum() > 1000
    np.testing.assert_allclose(confidence(mesh, samples, camera, 0.5, None)[amid], 2 * slope, rtol=0.02)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("camera", [CAMERAS[0], PinholeCamera(2.5, 0.1, -0.2)], ids=["orthographic", "pinhole"])
def test_a_field_that_repeats_its_label_is_wholly_sure(camera, level):
    samples = field_of(ball, camera, QueryGrid(128))
    sure = confidence(surface_in_view(samples, camera, level), samples, camera, level, LABEL)
    assert sure.dtype == np.float32
    assert sure.max() <= 1
    assert np.median(sure) > 0.9
    assert sure.min() > 0.65  # between nodes the label is straightened


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_a_share_of_the_labels_slope_is_that_confidence(share):
    """The same surface, whose field falls by a share only."""
    sharp = field_of(ball)
    soft = SampledBox(sharp.grid, sharp.first, np.float32(0.5) + np.float32(share) * (sharp.values - np.float32(0.5)))
    mesh = surface_in_view(sharp, CAMERAS[0])
    of_label, of_share = (confidence(mesh, samples, CAMERAS[0], 0.5, LABEL) for samples in (sharp, soft))
    unclipped = of_label < 1
    assert unclipped.mean() > 0.5
    np.testing.assert_allclose(of_share[unclipped], share * of_label[unclipped], rtol=1e-4)


def test_where_the_volumes_wall_cuts_the_object_nothing_is_sure():
    def bar(points):
        return LABEL.value(np.hypot(points[:, 0], points[:, 1]) - 0.2)  # endless along z

    samples = field_of(bar)
    mesh = surface_in_view(samples, CAMERAS[0])
    sure = confidence(mesh, samples, CAMERAS[0], 0.5, LABEL)
    on_wall = (np.abs(mesh.vertices[:, 2]) > 0.75) & (np.hypot(*mesh.vertices[:, :2].T) < 0.15)
    on_side = np.abs(mesh.vertices[:, 2]) < 0.7
    assert (sure[on_wall] == 0).all()
    assert on_wall.sum() > 100
    assert sure[on_side].min() > 0.8


@pytest.mark.parametrize("camera", CAMERAS, ids=["orthographic", "pinhole"])
def test_the_photo_shows_what_no_part_in_front_hides(camera):
    """A plate before a wider one, both in columns: of the wide one's front the rim alone is seen, of any back nothing."""
    columns = mesh_of(union(moved(box(0.2, 0.15, 0.05), 0, 0, 0.3), moved(box(0.4, 0.4, 0.05), 0, 0, -0.2)), 64)
    mesh = Mesh(camera.unproject(columns.vertices).astype(np.float32), columns.faces)
    seen = observed(mesh, camera, 64)
    u, v, z = columns.vertices.T
    near, far = z > 0.33, (z > -0.17) & (z < 0.1)
    behind, beside = (np.abs(u) < 0.18) & (np.abs(v) < 0.13), (np.abs(u) > 0.22) | (np.abs(v) > 0.17)
    assert near.sum() > 200
    assert (far & behind).sum() > 100
    assert (far & beside).sum() > 500
    assert seen[near].all()
    assert not seen[far & behind].any()
    assert seen[far & beside].all()
    assert not seen[(z < -0.23) | ((z > 0.1) & (z < 0.27))].any()


@pytest.mark.parametrize("voxels", [3, 5])
def test_what_lies_a_few_voxels_behind_is_hidden_as_well(voxels):
    """A thin plate close before a wider one; the wide one's rim ends where the thin one's shadow does, to a voxel."""
    front, back = box(0.2, 0.15, 0.01), box(0.4, 0.4, 0.1)
    mesh = mesh_of(union(moved(front, 0, 0, 0.2), moved(back, 0, 0, 0.11 - voxels / 64)), 65)
    u, v, z = mesh.vertices.T
    far = np.abs(z - (0.21 - voxels / 64)) < 0.002
    behind = (np.abs(u) < 0.18) & (np.abs(v) < 0.13)
    seen = observed(mesh, CAMERAS[0], 64)
    assert (far & behind).sum() > 100
    assert not seen[far & behind].any()
    assert seen[far & ((np.abs(u) > 0.22) | (np.abs(v) > 0.17))].all()


def first_of_its_ray(mesh, vertex, behind):
    """The slow twin: whether no face lies farther than `behind` before the vertex, along +z."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (mesh.corners[:, i].astype(np.float64).T for i in range(3))
    x, y, z = vertex
    a = (bx - x) * (cy - y) - (cx - x) * (by - y)
    b = (cx - x) * (ay - y) - (ax - x) * (cy - y)
    c = (ax - x) * (by - y) - (bx - x) * (ay - y)
    with np.errstate(invalid="ignore", divide="ignore"):
        height = (a * az + b * bz + c * cz) / (a + b + c)
    hit = ((a > 0) & (b > 0) & (c > 0)) | ((a < 0) & (b < 0) & (c < 0))
    return not (hit & (height > z + behind)).any()


@pytest.mark.parametrize("target_faces", [None, 600])
def test_rays_say_the_same_but_for_a_voxel_along_outlines(target_faces, rng):
    """A torus that stands aslant, as it was extracted and simplified; without what is seen nearly edge-on."""
    mesh = mesh_of(torus(0.3, 0.12), 64)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    mesh = mesh.rotated(turn * np.sign(np.linalg.det(turn)))
    mesh = mesh if target_faces is None else limit_faces(mesh, target_faces)
    seen = observed(mesh, CAMERAS[0], 64)
    chosen = rng.permutation(np.flatnonzero(np.abs(vertex_normals(mesh)[:, 2]) > 0.25))[:250]
    by_rays = np.array([first_of_its_ray(mesh, mesh.vertices[k].astype(np.float64), 1.5 / 64) for k in chosen])
    assert 0.3 < by_rays.mean() < 0.8
    assert seen[chosen][by_rays].all()
    assert seen[chosen][~by_rays].mean() < 0.06


def test_a_part_thinner_than_a_pixel_hides_behind_nothing():
    needle = mesh_of(sphere(0.4), 16)
    needle = Mesh((needle.vertices * (0.001, 0.001, 1) + (0.25 / 64, 0.25 / 64, 0)).astype(np.float32), needle.faces)
    np.testing.assert_array_equal(observed(needle, CAMERAS[0], 64), needle.vertices[:, 2] > 0)


def test_both_are_written_onto_the_mesh_as_numbers_of_its_vertices():
    samples = field_of(ball)
    mesh = surface_in_view(samples, CAMERAS[0]).with_metadata(level=0.5)
    sure = with_confidence(mesh, samples, CAMERAS[0], 0.5, LABEL)
    assert list(sure.vertex_attributes) == ["confidence", "observed"]
    assert {values.dtype for values in sure.vertex_attributes.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.unique(sure.vertex_attributes["observed"]), [0, 1])
    assert sure.vertices is mesh.vertices
    assert sure.faces is mesh.faces
    assert sure.metadata == mesh.metadata

"""Taubin's smoothing: noise goes, the solid and its faces stay."""

import numpy as np
import pytest

from model.errors import Cancelled
from model.mesh import Mesh
from model.smoothing import smoothed
from tests.model.fields import box, mesh_of, sphere, torus

RADIUS = 0.35


def roughened(mesh, amplitude, rng):
    """The mesh with every vertex moved at random."""
    noise = rng.normal(scale=amplitude, size=mesh.vertices.shape)
    return Mesh((mesh.vertices + noise).astype(np.float32), mesh.faces, mesh.metadata)


def smoothed_vertex_by_vertex(mesh, passes):
    """The slow twin of `smoothed`."""
    neighbours = [set() for _ in mesh.vertices]
    for face in mesh.faces.tolist():
        for vertex in face:
            neighbours[vertex] |= set(face) - {vertex}
    places = mesh.vertices.astype(np.float64)
    for _ in range(passes):
        for step in (0.5, -0.53):
            means = np.array([places[sorted(around)].mean(axis=0) for around in neighbours])
            places = places + step * (means - places)
    return places


@pytest.mark.parametrize("solid", [sphere(), torus(), box(0.3, 0.2, 0.1)])
def test_each_vertex_goes_towards_the_mean_of_its_neighbours_and_past_itself_back(solid, rng):
    mesh = roughened(mesh_of(solid, 20), 0.01, rng)
    np.testing.assert_allclose(smoothed(mesh, 3).vertices, smoothed_vertex_by_vertex(mesh, 3), atol=1e-6)


def test_a_rough_sphere_becomes_smoother_and_keeps_its_volume_and_its_faces(rng):
    rough = roughened(mesh_of(sphere(RADIUS), 64), 0.003, rng)
    smooth = smoothed(rough, 10)
    before, after = (np.linalg.norm(mesh.vertices, axis=1) - RADIUS for mesh in (rough, smooth))
    assert after.std() < 0.4 * before.std()
    assert smooth.volume == pytest.approx(rough.volume, rel=0.01)
    np.testing.assert_array_equal(smooth.faces, rough.faces)
    assert smooth.is_watertight


def test_each_further_pass_leaves_less_noise_and_no_less_of_the_sphere(rng):
    rough = roughened(mesh_of(sphere(RADIUS), 64), 0.003, rng)
    meshes = [smoothed(rough, passes) for passes in (0, 1, 5, 20, 50)]
    noise = [(np.linalg.norm(mesh.vertices, axis=1)).std() for mesh in meshes]
    assert noise == sorted(noise, reverse=True)
    assert meshes[-1].volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)


def test_no_pass_is_the_mesh_itself():
    mesh = mesh_of(torus(), 24)
    assert smoothed(mesh, 0) is mesh


def test_metadata_stay_and_attributes_of_the_old_places_go():
    mesh = mesh_of(sphere(), 16).with_metadata(level=0.5)
    marked = Mesh(mesh.vertices, mesh.faces, mesh.metadata, {"mark": np.ones(len(mesh.vertices), np.float32)})
    assert smoothed(marked, 1).metadata == {"level": 0.5}
    assert smoothed(marked, 1).vertex_attributes == {}


def test_a_vertex_without_faces_stays_where_it_is():
    mesh = mesh_of(sphere(), 16)
    lone = Mesh(np.vstack([mesh.vertices, [[3, 4, 5]]]).astype(np.float32), mesh.faces)
    np.testing.assert_array_equal(smoothed(lone, 7).vertices[-1], [3, 4, 5])


def test_it_can_be_stopped_before_each_step():
    mesh, checks = mesh_of(sphere(), 12), []

    def check():
        checks.append(None)
        if len(checks) == 4:
            raise Cancelled("enough")

    smoothed(mesh, 1, lambda: checks.append(None))
    assert len(checks) == 2
    with pytest.raises(Cancelled):
        smoothed(mesh, 1000, check)

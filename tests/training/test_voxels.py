"""Solids from voxels, against solids whose distance is known."""

import pickle

import numpy as np
import pytest
from scipy import ndimage

from model.mesh import Mesh
from training.sampling.voxels import MAX_FACES, VoxelSolid

TURN, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))


def sphere(points):
    return np.linalg.norm(points - [0.011, -0.007, 0.004], axis=-1) - 0.3


def turned_box(points):
    beyond = np.abs(points @ TURN) - [0.31, 0.27, 0.213]
    return np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(axis=-1), 0)


def turned_plate(points, half=0.008):
    beyond = np.abs(points @ TURN) - [0.4, 0.3, half]
    return np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(axis=-1), 0)


def voxelise(distance, side, **options):
    """The solid in the unit cube around the origin, from whether each voxel's centre is inside."""
    centres = (np.arange(side) + 0.5) / side - 0.5
    grid = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), axis=-1)
    return VoxelSolid(distance(grid) < 0, np.full(3, centres[0]), 1 / side, **options)


def error(solid, distance, side):
    """In voxels: (true distance, error) of random points."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 3))
    truth = distance(points) * side
    return truth, solid.signed_distance(points) * side - truth


# rms: root mean square error in voxels, within two voxels of the surface, and from two to ten voxels from it.
@pytest.mark.parametrize(
    ("distance", "rms_near", "rms_away"), [(sphere, 0.11, 0.12), (turned_box, 0.14, 0.18), (turned_plate, 0.24, 0.2)]
)
def test_distances_are_good_to_a_fraction_of_a_voxel(distance, rms_near, rms_away):
    truth, off = error(voxelise(distance, 96), distance, 96)
    near, away = np.abs(truth) < 2, (np.abs(truth) >= 2) & (np.abs(truth) < 10)
    assert np.sqrt((off[near] ** 2).mean()) < rms_near
    assert np.sqrt((off[away & (truth > -10)] ** 2).mean()) < rms_away


def test_smoothing_beats_the_stairs():
    """The plain transform, which takes half a voxel off the distance between centres, is twice as far out."""
    solid = voxelise(sphere, 64)
    outward, inward = (ndimage.distance_transform_edt(side) for side in (~solid.occupied, solid.occupied))
    plain = np.where(solid.occupied, 0.5 - inward, outward - 0.5)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 3))
    truth = sphere(points) * 64
    stairs = ndimage.map_coordinates(plain, ((points + 0.5) * 64 - 0.5).T, order=1, mode="nearest") - truth
    smooth = solid.signed_distance(points) * 64 - truth
    near = np.abs(truth) < 6
    assert np.square(smooth[near]).mean() < 0.25 * np.square(stairs[near]).mean()


@pytest.mark.parametrize("inset", [0.0, 0.375])
def test_each_voxels_centre_stays_on_its_side(inset):
    """Also with noise, where smoothing alone would take single voxels away."""
    occupied = np.random.default_rng(0).random((24, 24, 24)) < 0.4
    solid = VoxelSolid(occupied, np.array([1.0, 2.0, 3.0]), 0.25, inset)
    centres = np.array([1.0, 2.0, 3.0]) + np.argwhere(np.ones_like(occupied)) * 0.25
    np.testing.assert_array_equal(solid.signed_distance(centres) < 0, occupied.ravel())


def test_an_inset_moves_flat_walls_by_itself():
    box = np.zeros((32, 32, 32), bool)
    box[8:24, 10:22, 12:20] = True
    plain, inset = (VoxelSolid(box, np.zeros(3), 1.0, inset) for inset in (0, 0.375))
    # Corners are rounded, so the largest extents are looked at: the walls' middles.
    np.testing.assert_allclose(np.ptp(plain.vertices, axis=0), [16, 12, 8], atol=0.02)
    np.testing.assert_allclose(np.ptp(inset.vertices, axis=0), [15.25, 11.25, 7.25], atol=0.02)


def test_a_plate_of_one_voxel_is_kept():
    plate = np.zeros((40, 40, 40), bool)
    plate[5:35, 5:35, 20] = True
    solid = VoxelSolid(plate, np.zeros(3), 1.0)
    surface = Mesh(solid.vertices, solid.faces)
    assert surface.is_watertight
    assert 0.3 < surface.volume / plate.sum() < 1.1
    assert solid.signed_distance(np.array([[20.0, 20, 20]]))[0] <= -0.2


def test_the_surface_is_closed_smooth_and_has_few_faces():
    solid = voxelise(sphere, 128)
    surface = Mesh(solid.vertices, solid.faces)
    assert (surface.vertices.dtype, surface.faces.dtype) == (np.float32, np.int32)
    assert 1000 < len(surface.faces) <= MAX_FACES
    assert surface.is_watertight
    assert surface.volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.01)
    assert np.sqrt(np.square(sphere(surface.vertices.astype(np.float64))).mean()) * 128 < 0.14


def test_a_grid_that_the_solid_fills_is_closed_outside_of_it():
    solid = VoxelSolid(np.ones((6, 6, 6), bool), np.full(3, 0.5), 1.0)
    np.testing.assert_allclose(solid.vertices.min(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(solid.vertices.max(axis=0), 6, atol=0.05)
    assert Mesh(solid.vertices, solid.faces).is_watertight


def test_far_away_a_distance_is_an_upper_bound_and_not_much_more():
    solid = voxelise(sphere, 48)
    direction = np.random.default_rng(1).normal(size=(2000, 3))
    points = direction / np.linalg.norm(direction, axis=1, keepdims=True) * 0.87
    truth, found = sphere(points), solid.signed_distance(points)
    assert (found > truth - 0.5 / 48).all()
    assert (found < truth * 1.2).all()


def test_a_voxel_is_a_cube_around_its_centre_in_the_order_x_y_z():
    occupied = np.zeros((5, 6, 7), bool)
    occupied[1:4, 2:4, 6] = True
    solid = VoxelSolid(occupied, np.array([10.0, 20.0, 30.0]), 0.5)
    middle = (solid.vertices.min(axis=0) + solid.vertices.max(axis=0)) / 2
    np.testing.assert_allclose(middle, [11.0, 21.25, 33.0], atol=1e-3)


def test_no_voxels_are_no_solid():
    with pytest.raises(ValueError, match="found none"):
        VoxelSolid(np.zeros((4, 4, 4), bool), np.zeros(3), 1.0)


def test_only_the_voxels_are_sent_to_workers():
    solid = voxelise(sphere, 32)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    expected = solid.signed_distance(points)
    sent = pickle.dumps(solid)
    assert len(sent) < 32**3 + 1000
    np.testing.assert_array_equal(pickle.loads(sent).signed_distance(points), expected)

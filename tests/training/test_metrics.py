"""Metrics on solids whose figures are known, and the laws that they obey."""

import dataclasses
import math

import cv2
import manifold3d
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from model.field import QueryGrid
from model.isosurface import extract_surface
from model.mesh import Mesh
from tests import reference
from tests.training import solids
from training.evaluation import keypoints
from training.evaluation.keypoints import DIRECTIONS, PICTURE_SIZE, Stage, keypoint_difference, take_pictures
from training.evaluation.metrics import F_THRESHOLD, TITLES, Score, Truth, iou, is_inside, mean_score, score
from training.evaluation.sharp_edges import NMC, PAPER, EdgeRule, edge_chamfer, nmc_edge_scores, on_sharp_edge
from training.evaluation.surfaces import Correspondence, SampledSurface, chamfer_l1, f_score, normal_consistency

TILT = Rotation.from_rotvec([0.5, -0.8, 0.3])


def mesh_of(solid: solids.Solid, shift=(0, 0, 0), turn: Rotation | None = None) -> Mesh:
    vertices = solid[0] if turn is None else turn.apply(solid[0])
    return Mesh((vertices + np.array(shift)).astype(np.float32), solid[1])


def box(x=0.5, y=0.4, z=0.3, shift=(0, 0, 0), turn=None) -> Mesh:
    return mesh_of(solids.box(x, y, z), shift, turn)


def sphere(radius=0.4, shift=(0, 0, 0), segments=160) -> Mesh:
    return mesh_of(solids.sphere(radius, segments), shift)


def both_ways(a: Mesh, b: Mesh, rng, count=20_000) -> tuple[Correspondence, Correspondence]:
    one, other = SampledSurface.of(a, rng, count), SampledSurface.of(b, rng, count)
    return Correspondence.between(one, other), Correspondence.between(other, one)


# The whole score


def test_a_mesh_meets_itself_wholly(rng):
    """Two samples of one surface, a few thousandths apart; its sharp edges are found, and found again."""
    found = score(box(), Truth(box(), rng), rng)
    assert (found.iou, found.f_score, found.kfs, found.edgeless) == (1.0, 1.0, 0.0, 0.0)
    assert 0.0005 < found.chamfer_l1 < 0.003
    assert found.normal_consistency > 0.98  # near an edge, the nearest sample may lie on the other face
    assert found.ecd < 0.004
    assert found.ecd_nmc < 1e-3


def test_a_turned_box_is_judged_like_a_straight_one(rng):
    straight, turned = (score(mesh, Truth(mesh, rng, 50_000), rng) for mesh in (box(), box(turn=TILT)))
    for field in dataclasses.fields(Score):
        assert getattr(turned, field.name) == pytest.approx(getattr(straight, field.name), rel=0.1, abs=5e-4)


@pytest.mark.parametrize("nothing", [None, Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))])
def test_a_prediction_without_a_surface_scores_the_worst(rng, nothing):
    found = score(nothing, Truth(box(), rng, 5000), rng)
    assert (found.iou, found.f_score, found.normal_consistency, found.edge_share) == (0, 0, 0, 0)
    assert (found.chamfer_l1, found.edgeless, found.ef1, found.kfs) == (math.sqrt(3), 1, 0, 1)
    smooth = score(sphere(0.1), Truth(box(), rng, 5000), rng)
    assert found.ecd == pytest.approx(smooth.ecd, rel=0.05)  # no edges are no edges, with or without a surface
    assert found.ecd > 0.2


def test_the_edge_distance_to_a_truth_without_sharp_edges_is_not_defined(rng):
    """The same samples drop out of every method's mean, whatever it predicts."""
    ball = Truth(sphere(), rng, 20_000)
    for predicted in (box(), sphere(), None):
        found = score(predicted, ball, rng)
        assert math.isnan(found.ecd)
        assert math.isnan(found.edgeless)
        assert (found.ecd_nmc, found.ef1) == (0, 1)


def test_a_mean_counts_what_is_defined():
    a, b = Score(0.0, *[1.0] * 9), Score(1.0, *[1.0] * 3, math.nan, *[1.0] * 5)
    assert mean_score([a, b]) == dataclasses.replace(a, iou=0.5)
    assert math.isnan(mean_score([b, b]).ecd)


def test_every_figure_has_a_title():
    assert list(TITLES) == [field.name for field in dataclasses.fields(Score)]


# Volumes


def test_iou_is_symmetric():
    a, b = box(), box(shift=(0.2, 0.1, 0))
    assert iou(a, b, np.random.default_rng(1)) == iou(b, a, np.random.default_rng(1))


def test_disjoint_meshes_share_nothing(rng):
    assert iou(box(0.2, 0.2, 0.2), box(0.2, 0.2, 0.2, shift=(0.5, 0, 0)), rng) == 0.0


@pytest.mark.parametrize(("shift", "expected"), [((0.25, 0, 0), 1 / 3), ((0, 0.1, 0), 3 / 5), ((0.1, 0.08, 0.06), 0.512 / 1.488)])
def test_shifted_boxes_have_the_iou_of_their_overlap(rng, shift, expected):
    assert iou(box(), box(shift=shift), rng) == pytest.approx(expected, abs=0.025)


def test_inside_is_found_by_winding(rng):
    points = rng.uniform(-0.5, 0.5, (2000, 3))
    expected = (np.abs(points) < np.array([0.25, 0.2, 0.15])).all(axis=1)
    np.testing.assert_array_equal(is_inside(box(), points), expected)


# Surfaces


@pytest.mark.parametrize("t", [0.05, 0.2])
def test_a_shifted_sphere_has_the_figures_of_the_formula(rng, t):
    """IoU by the volume of the lens; a point at angle theta is | |c + r n| - r | away, theta's cosine being uniform."""
    r = 0.4
    found = score(sphere(r, (0, t, 0)), Truth(sphere(r), rng, 20_000), rng)
    lens = math.pi * (4 * r + t) * (2 * r - t) ** 2 / 12
    assert found.iou == pytest.approx(lens / (2 * 4 / 3 * math.pi * r**3 - lens), abs=0.015)
    cosine = np.linspace(-1, 1, 2001)
    assert found.chamfer_l1 == pytest.approx(np.abs(np.sqrt(r**2 + t**2 + 2 * r * t * cosine) - r).mean(), abs=0.0015)
    assert found.edge_share <= 1e-4


def test_a_shifted_plate_has_the_distance_of_its_shift(rng):
    """Thin, and moved along its normal: all but the rim lies one shift away from the other."""
    plate, moved = box(1, 1, 1e-4), box(1, 1, 1e-4, shift=(0, 0, 0.2))
    assert chamfer_l1(*both_ways(plate, moved, rng)) == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize(("share", "expected"), [(0.7, 1.0), (1.05, 0.0)])
def test_the_f_score_falls_at_its_threshold(rng, share, expected):
    plate, moved = box(0.4, 0.4, 1e-4), box(0.4, 0.4, 1e-4, shift=(0, 0, share * F_THRESHOLD))
    to, fro = both_ways(plate, moved, rng)
    assert f_score(to.distance, fro.distance, F_THRESHOLD) == pytest.approx(expected, abs=1e-3)


def test_the_f_score_weighs_precision_and_recall_alike():
    """All of the prediction is right, a third of the truth is met."""
    near, far = np.zeros(30), np.repeat([0.0, 1.0], [10, 20])
    assert f_score(near, far, 0.5) == f_score(far, near, 0.5) == pytest.approx(2 * (1 / 3) / (4 / 3))
    assert f_score(near + 1, far + 1, 0.5) == 0


def test_normals_of_a_ball_in_a_cube_agree_as_the_formula_says(rng):
    """From the ball to the cube's nearest face max |n_i|; from the face {x = a} to the ball a / |p|."""
    a = 0.4
    directions = rng.standard_normal((200_000, 3))
    there = (np.abs(directions).max(axis=1) / np.linalg.norm(directions, axis=1)).mean()
    y, z = np.meshgrid(*[(np.arange(400) + 0.5) / 400] * 2)
    back = (1 / np.sqrt(1 + y**2 + z**2)).mean()
    found = normal_consistency(*both_ways(sphere(0.95 * a), box(2 * a, 2 * a, 2 * a), rng))
    assert found == pytest.approx((there + back) / 2, abs=0.005)


def test_distances_are_those_of_all_pairs(rng):
    one, other = SampledSurface.of(box(), rng, 300), SampledSurface.of(sphere(0.3, segments=24), rng, 300)
    to, fro = Correspondence.between(one, other), Correspondence.between(other, one)
    assert chamfer_l1(to, fro) == chamfer_l1(fro, to) == pytest.approx(reference.chamfer_l1(one.points, other.points))
    nearest = np.linalg.norm(one.points[:, None] - other.points[None], axis=2).argmin(axis=1)
    np.testing.assert_allclose(to.alignment, np.abs((one.normals * other.normals[nearest]).sum(axis=1)))


# Sharp edges


def sharp_by_all_pairs(points, normals, rule: EdgeRule) -> np.ndarray:
    """sigma(p) < t, as it is written."""
    near = np.linalg.norm(points[:, None] - points[None], axis=2) <= rule.radius
    return np.where(near, np.abs(normals @ normals.T), 1).min(axis=1) < rule.cosine


@pytest.mark.parametrize("rule", [EdgeRule(0.05, 0.1), EdgeRule(0.02, 0.2)])
def test_sharp_samples_are_those_of_all_pairs(rng, monkeypatch, rule):
    """In slabs much smaller than the part, along its longest axis."""
    monkeypatch.setattr("training.evaluation.sharp_edges.SLAB_POINTS", 150)
    for mesh in (mesh_of(solids.angle_bracket(), turn=TILT), mesh_of(solids.rod(0.05)), sphere(0.2, segments=24)):
        surface = SampledSurface.of(mesh, rng, 1000)
        found = on_sharp_edge(surface.points, surface.normals, rule)
        np.testing.assert_array_equal(found, sharp_by_all_pairs(surface.points, surface.normals, rule))


@pytest.mark.parametrize("turn", [None, TILT])
def test_the_sharp_samples_of_a_box_fill_the_strips_along_its_edges(rng, turn):
    """Two strips a radius wide along 4.8 units of edge, on a surface of 0.94: at most 10.2 % of the samples, and nearly that."""
    surface = SampledSurface.of(box(turn=turn), rng)
    sharp = on_sharp_edge(surface.points, surface.normals, PAPER)
    straight = surface.points if turn is None else turn.inv().apply(surface.points)
    gaps = np.sort(np.array([0.25, 0.2, 0.15]) - np.abs(straight), axis=1)
    assert (gaps[sharp, 1] < PAPER.radius + 1e-6).all()  # the second smallest: the distance from the next edge
    assert 0.09 < sharp.mean() < 2 * PAPER.radius * 4.8 / 0.94 * 1.02


def test_a_smooth_ball_has_no_sharp_samples_and_one_of_voxels_hardly_any(rng):
    grid = QueryGrid(128)
    u, v, z = np.meshgrid(grid.lateral, grid.lateral, grid.depths, indexing="ij")
    voxels = extract_surface((u**2 + v**2 + z**2 < 0.4**2).astype(np.float32), 0.5, grid.origin, grid.spacing)
    for mesh, most in ((sphere(), 0.0), (voxels, 1e-4)):
        surface = SampledSurface.of(mesh, rng)
        assert on_sharp_edge(surface.points, surface.normals, PAPER).mean() <= most


def test_the_noise_of_the_edge_distance_falls_with_the_number_of_samples(rng):
    def floor(count: int) -> float:
        once, again = (SampledSurface.of(box(), rng, count) for _ in range(2))
        return edge_chamfer(*(s.points[on_sharp_edge(s.points, s.normals, PAPER)] for s in (once, again)))

    assert floor(100_000) < 0.003 < floor(16_384)


def test_edge_sets_a_shift_apart_are_a_shift_apart():
    """Points on a line, moved square to it: Euclidean half sum for the paper, squares added for the other."""
    line = np.stack([np.linspace(-0.4, 0.4, 400), np.zeros(400), np.zeros(400)], axis=1)
    near, far = line + np.array([0, 0.004, 0]), line + np.array([0, 0.03, 0])
    assert edge_chamfer(far, line) == pytest.approx(0.03)
    assert nmc_edge_scores(far, line) == (pytest.approx(2 * 0.03**2), 0)
    assert nmc_edge_scores(near, line) == (pytest.approx(2 * 0.004**2), 1)


def test_no_edges_count_as_one_point_in_the_middle():
    none, circle = np.zeros((0, 3)), np.array([[0.3, 0.4, 0], [0, 0.5, 0], [0, 0, -0.5]])
    assert edge_chamfer(none, circle) == pytest.approx(0.5)
    assert nmc_edge_scores(none, circle) == (pytest.approx(0.5), 0)
    assert math.isnan(edge_chamfer(circle, none))
    assert nmc_edge_scores(circle, none) == nmc_edge_scores(none, none) == (0, 1)


def test_the_two_rules_are_those_of_their_sources():
    assert (PAPER.radius, PAPER.cosine, NMC.radius, NMC.cosine) == (0.01, 0.1, 0.004, 0.2)


# Looks


def looks(mesh: Mesh, truth: Mesh) -> float:
    stage = Stage.around(truth)
    return keypoint_difference(take_pictures(mesh, stage), take_pictures(truth, stage))


def refined(solid: solids.Solid) -> Mesh:
    """With edges of 0.03 at most, so that there are vertices to move everywhere."""
    mesh = manifold3d.Manifold(manifold3d.Mesh(*solid)).refine_to_length(0.03).to_mesh()
    return Mesh(mesh.vert_properties[:, :3].astype(np.float32), mesh.tri_verts.astype(np.int32))


def test_the_directions_are_the_corners_of_a_dodecahedron():
    np.testing.assert_allclose(np.linalg.norm(DIRECTIONS, axis=1), 1)
    np.testing.assert_allclose(DIRECTIONS.sum(axis=0), 0, atol=1e-12)
    cosines = DIRECTIONS @ DIRECTIONS.T - 2 * np.eye(20)
    nearest = np.degrees(np.arccos(cosines.max(axis=1)))
    np.testing.assert_allclose(nearest, 41.8103, atol=1e-3)
    assert (np.isclose(cosines, cosines.max(), atol=1e-9).sum(axis=1) == 3).all()


def test_a_ball_is_a_disc_from_everywhere_and_brightest_towards_the_light():
    pictures = take_pictures(sphere(0.3, (0.1, 0, -0.2)), Stage(np.array([0.1, 0, -0.2]), 0.3))
    radius = keypoints.FILL * PICTURE_SIZE / 2
    for picture in pictures:
        assert (picture > 0).sum() == pytest.approx(math.pi * radius**2, rel=0.01)
        x, y = np.array(cv2.minMaxLoc(cv2.GaussianBlur(picture, (5, 5), 0))[3]) - (PICTURE_SIZE - 1) / 2
        expected = keypoints.LIGHT / np.linalg.norm(keypoints.LIGHT) * radius
        assert math.hypot(x - expected[0], -y - expected[1]) < 6


def test_equal_parts_look_the_same_and_others_do_not():
    bracket, pipe = mesh_of(solids.angle_bracket()), mesh_of(solids.flanged_pipe())
    assert looks(bracket, bracket) == 0
    turned = mesh_of(solids.angle_bracket(), turn=Rotation.from_rotvec([0, 0, 0.3]))
    assert 0 < looks(turned, bracket) < looks(pipe, bracket) <= 1


def test_the_difference_grows_with_the_noise_on_the_vertices(rng):
    truth = refined(solids.angle_bracket())
    offsets = rng.standard_normal(truth.vertices.shape).astype(np.float32)
    found = [looks(Mesh(truth.vertices + np.float32(s) * offsets, truth.faces), truth) for s in (0, 5e-4, 2e-3, 5e-3, 0.015)]
    assert found[0] == 0
    assert (np.array(found[2:]) > 1.5 * np.array(found[1:-1])).all()


def test_looks_are_symmetric_on_one_stage():
    stage = Stage(np.zeros(3), 0.6)
    a, b = take_pictures(box(), stage), take_pictures(mesh_of(solids.flanged_pipe()), stage)
    assert keypoint_difference(a, b) == pytest.approx(keypoint_difference(b, a))


def test_nothing_to_see_differs_wholly_from_something_and_not_from_nothing():
    seen = take_pictures(box(), Stage.around(box()))
    assert keypoint_difference(np.zeros_like(seen), seen) == 1
    assert keypoint_difference(np.zeros_like(seen), np.zeros_like(seen)) == 0


def test_winding_does_not_change_the_looks():
    inside_out = dataclasses.replace(box(), faces=box().faces[:, ::-1].copy())
    assert looks(inside_out, box()) == 0

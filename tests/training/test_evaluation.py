"""Metrics on solids whose figures are known, the predictors that learn nothing, and the whole evaluation on a tiny set."""

import math
from dataclasses import replace

import numpy as np
import pytest
from manifold3d import Manifold

from model.camera import OrthographicCamera, PinholeCamera, ViewFrame
from model.errors import NoSurface
from model.image import Photo, prepare
from model.mesh import Mesh
from tests import reference
from tests.training import solids
from training.data.shapes import PreparedShape
from training.errors import TrainingError
from training.evaluation import evaluate as evaluation
from training.evaluation.evaluate import BUNDLE, EvaluationConfig, evaluate, shape_photo, true_mesh
from training.evaluation.metrics import EMPTY, chamfer_l1, iou, is_inside, score
from training.evaluation.unlearned import GRID, UnlearnedPredictors, learn_nothing
from training.rendering.cameras import CropCamera, view_camera
from training.rendering.environment import draw_environment
from training.rendering.materials import draw_material
from training.rendering.renderer import Renderer
from training.sampling.pools import quantise

SIZE = 96


def mesh_of(solid: solids.Solid, shift=(0, 0, 0)) -> Mesh:
    vertices, faces = solid
    return Mesh((vertices + np.array(shift)).astype(np.float32), faces)


def box(x=0.5, y=0.4, z=0.3, shift=(0, 0, 0)) -> Mesh:
    return mesh_of(solids.box(x, y, z), shift)


def test_a_mesh_meets_itself_wholly(rng):
    assert iou(box(), box(), rng) == 1.0
    assert chamfer_l1(box(), box(), rng, points=10_000) < 0.006  # two samples of one surface


def test_iou_is_symmetric():
    a, b = box(), box(shift=(0.2, 0.1, 0))
    assert iou(a, b, np.random.default_rng(1)) == iou(b, a, np.random.default_rng(1))


def test_disjoint_meshes_share_nothing(rng):
    assert iou(box(0.2, 0.2, 0.2), box(0.2, 0.2, 0.2, shift=(0.5, 0, 0)), rng) == 0.0


@pytest.mark.parametrize(("shift", "expected"), [((0.25, 0, 0), 1 / 3), ((0, 0.1, 0), 3 / 5), ((0.1, 0.08, 0.06), 0.512 / 1.488)])
def test_shifted_boxes_have_the_iou_of_their_overlap(rng, shift, expected):
    assert iou(box(), box(shift=shift), rng) == pytest.approx(expected, abs=0.025)


def test_a_shifted_plate_has_the_distance_of_its_shift(rng):
    """Thin, and moved along its normal: all but the rim lies one shift away from the other."""
    plate, moved = box(1, 1, 1e-4), box(1, 1, 1e-4, shift=(0, 0, 0.2))
    assert chamfer_l1(plate, moved, rng) == pytest.approx(0.2, abs=0.005)


def test_chamfer_is_that_of_all_pairs(rng, monkeypatch):
    a, b = box(), mesh_of(solids.sphere(0.3, 24))
    drawn = []
    sample = evaluation.score.__globals__["sample_surface"]

    def recorded(*arguments):
        drawn.append(sample(*arguments)[0])
        return drawn[-1], None

    monkeypatch.setattr("training.evaluation.metrics.sample_surface", recorded)
    found = chamfer_l1(a, b, rng, points=300)
    assert found == pytest.approx(reference.chamfer_l1(*drawn))


def test_inside_is_found_by_winding(rng):
    points = rng.uniform(-0.5, 0.5, (2000, 3))
    expected = (np.abs(points) < np.array([0.25, 0.2, 0.15])).all(axis=1)
    np.testing.assert_array_equal(is_inside(box(), points), expected)


def test_a_score_holds_both_figures(rng):
    found = score(box(), box(shift=(0, 0.1, 0)), rng)
    assert found.iou == pytest.approx(0.6, abs=0.025)
    assert 0.01 < found.chamfer_l1 < 0.1


def test_a_prediction_without_a_surface_scores_empty(rng):
    def nothing() -> Mesh:
        raise NoSurface

    assert evaluation._judged(nothing, box(), rng) == EMPTY
    assert (EMPTY.iou, EMPTY.chamfer_l1) == (0.0, math.sqrt(3))


def letter_l() -> solids.Solid:
    """An L that lies in the x, y plane, 0.3 thick along z: no mirror image of it is itself."""
    mesh = (Manifold.cube([0.2, 0.8, 0.3]) + Manifold.cube([0.6, 0.2, 0.3])).translate([-0.3, -0.4, -0.15]).to_mesh()
    return mesh.vert_properties[:, :3].astype(np.float32), mesh.tri_verts.astype(np.int32)


def head_on_view(solid: solids.Solid, eye=(0.15, -0.2, 4.0)):
    """A rendered view along -z of a camera that stands beside the axis: the photo, and the true mesh in the crop's frame."""
    vertices, faces = solid
    rng = np.random.default_rng(0)
    seen = (vertices - np.array(eye))[:, :2] / -(vertices - np.array(eye))[:, 2:]
    low, high = seen.min(axis=0), seen.max(axis=0)
    crop = CropCamera(np.eye(3), np.array(eye, float), (low + high) / 2, float((high - low).max()) / 0.9)
    view = view_camera(crop, vertices, vertices)
    image = Renderer(vertices, faces).render(crop, draw_material(rng), draw_environment(rng), SIZE, rng)
    camera = view.pinhole
    photo = Photo(
        rgb=image[..., :3],
        alpha=image[..., 3],
        focal_length_px=camera.distance * SIZE,
        principal_point=(SIZE * (0.5 - camera.offset_x), SIZE * (0.5 + camera.offset_y)),
    )
    return photo, Mesh(view.pinhole_frame.from_object(vertices.astype(float)).astype(np.float32), faces)


def test_the_extruded_silhouette_of_a_prism_seen_head_on_is_the_prism(rng):
    """An L before an off-centre pinhole: a flipped or swapped axis would share less than half with it."""
    photo, truth = head_on_view(letter_l())
    prepared = prepare(photo, photo.alpha / np.float32(255), SIZE, "pinhole", 2.5)
    unlearned = UnlearnedPredictors(float(np.ptp(truth.vertices[:, 2])), np.zeros(GRID.shape, np.float32))
    predicted = unlearned.extruded_silhouette(prepared)
    assert predicted.is_watertight
    assert iou(predicted, truth, rng) > 0.85
    flipped = Mesh(truth.vertices * np.array([1, -1, 1], np.float32), truth.faces[:, ::-1].copy())
    assert iou(predicted, flipped, rng) < 0.6


def test_the_mean_shape_of_one_ball_is_that_ball(rng, tiny_set):
    points = rng.uniform(-0.8, 0.8, (200_000, 3))
    ball = replace(
        PreparedShape.read(tiny_set.files("train")[0]),
        points=quantise(points),
        distance=(np.linalg.norm(points, axis=1) - 0.4).astype(np.float32),
        near_count=0,
    )
    unlearned = learn_nothing([ball], "orthographic")
    truth = Mesh(ball.frame(0, "orthographic").from_object(ball.vertices).astype(np.float32), ball.faces)
    prepared = replace(head_on_prepared(), camera=OrthographicCamera())
    assert unlearned.mean_depth == pytest.approx(np.ptp(truth.vertices[:, 2]), rel=0.05)
    assert iou(unlearned.mean_training_shape(prepared), truth, rng) > 0.8  # bins are 1/24 wide


def head_on_prepared():
    photo, _ = head_on_view(letter_l())
    return prepare(photo, photo.alpha / np.float32(255), SIZE, "pinhole", 2.5)


@pytest.mark.parametrize("camera_kind", ["pinhole", "orthographic"])
def test_the_truth_lies_in_the_frame_of_the_crop_that_serving_makes(tiny_set, camera_kind):
    """Its silhouette box is the served crop's: centred, its longer side 0.9, to within half a pixel of the picture.

    A pointed corner covers little of its last pixel.
    """
    for file in tiny_set.files("test"):
        shape = PreparedShape.read(file)
        photo = shape_photo(shape, 0)
        prepared = prepare(photo, photo.alpha / np.float32(255), 64, camera_kind, 2.5)
        truth = true_mesh(shape, 0, camera_kind, prepared.crop)
        columns = prepared.camera.project(truth.vertices.astype(float))[:, :2]
        if camera_kind == "pinhole":
            low, high = columns.min(axis=0), columns.max(axis=0)
            assert np.abs(low + high).max() / 2 < 0.5 / 64
            assert (high - low).max() == pytest.approx(0.9, abs=0.5 / 64)
            exact = shape.camera(0, "pinhole").project(shape.frame(0, "pinhole").from_object(shape.vertices.astype(float)))
            pixels = (exact[:, :2] * (1, -1) + 0.5) * 64  # of the stored picture
            again = (columns * (1, -1)) * prepared.crop.side + (prepared.crop.centre_x, prepared.crop.centre_y)
            np.testing.assert_allclose(again, pixels, atol=1e-3)


def test_a_prepared_view_is_a_photo_whose_camera_is_known(tiny_set):
    shape = PreparedShape.read(tiny_set.files("test")[0])
    photo, camera = shape_photo(shape, 1), shape.camera(1, "pinhole")
    assert isinstance(camera, PinholeCamera)
    assert photo.focal_length_px == pytest.approx(camera.distance * 64)
    assert photo.principal_point == pytest.approx((64 * (0.5 - camera.offset_x), 64 * (0.5 + camera.offset_y)))


def test_an_evaluation_judges_every_method_on_every_family(tiny_bundle, tiny_set):
    scores = evaluate(tiny_bundle, tiny_set.directory, EvaluationConfig(views=2, resolution=32))
    assert scores.samples == 4
    assert set(scores.methods) == {BUNDLE, "extruded silhouette", "mean training shape"}
    assert set(scores.families) == {"test-family-0", "test-family-1"}
    assert scores.methods[BUNDLE].iou == pytest.approx(np.mean([family.iou for family in scores.families.values()]))
    assert scores.families["test-family-0"].iou > 0.3  # the tiny network knows a ball, and this family is one
    assert all(0 <= s.iou <= 1 and 0 < s.chamfer_l1 < 1 for s in (*scores.methods.values(), *scores.families.values()))
    assert evaluate(tiny_bundle, tiny_set.directory, EvaluationConfig(views=2, resolution=32)) == scores


def test_at_most_so_many_shapes_of_a_family_are_judged(tiny_bundle, tiny_set):
    entries = [replace(entry, family="one") for entry in tiny_set.shapes("test")]
    assert evaluation._chosen(entries, 1) == entries[:1]
    assert evaluation._chosen(entries, None) == entries


def test_a_split_without_shapes_is_refused_in_words(tiny_bundle, tiny_set):
    with pytest.raises(TrainingError, match="expected shapes in split 'holdout', found none"):
        evaluate(tiny_bundle, tiny_set.directory, EvaluationConfig(split="holdout"))


def test_view_frames_of_the_tiny_set_are_rigid(tiny_set):
    frame = PreparedShape.read(tiny_set.files("test")[0]).frame(0, "pinhole")
    assert isinstance(frame, ViewFrame)
    np.testing.assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(frame.rotation) == pytest.approx(1, abs=1e-6)

"""The predictors that learn nothing, and the whole evaluation on a tiny set."""

import json
import math
from dataclasses import astuple, dataclass, replace

import numpy as np
import pytest
from manifold3d import Manifold

from model import Options, Reconstructor
from model.camera import CameraKind, PinholeCamera, ViewFrame
from model.errors import NoSurface
from model.image import Photo, prepare
from model.isosurface import surface_of
from model.mesh import Mesh
from tests.training import solids
from training.data.shapes import PreparedShape
from training.errors import TrainingError
from training.evaluation.evaluate import EvaluationConfig, evaluate, evaluate_bundle, shape_photo, summarise, true_mesh
from training.evaluation.metrics import Score, iou
from training.evaluation.predictors import BUNDLE, EXTRUDED, MEAN_SHAPE, BundlePredictor, SurfacePredictor
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
    columns = unlearned.extruded_silhouette(prepared)
    predicted = Mesh(prepared.camera.unproject(columns.vertices).astype(np.float32), columns.faces)
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
    assert unlearned.mean_depth == pytest.approx(np.ptp(truth.vertices[:, 2]), rel=0.05)
    assert iou(unlearned.mean_training_shape(), truth, rng) > 0.8  # bins are 1/24 wide


@pytest.mark.parametrize("camera_kind", ["pinhole", "orthographic"])
def test_the_truth_lies_in_the_frame_of_the_crop_that_serving_makes(tiny_set, camera_kind):
    """It appears in the pixels where the stored view has it. Seen by the pinhole, which is exact, its silhouette box is the
    served crop's: centred, its longer side 0.9, to within half a pixel, since a pointed corner covers little of its last one.
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
        exact = shape.camera(0, camera_kind).project(shape.frame(0, camera_kind).from_object(shape.vertices.astype(float)))
        pixels = (exact[:, :2] * (1, -1) + 0.5) * 64  # of the stored picture
        again = (columns * (1, -1)) * prepared.crop.side + (prepared.crop.centre_x, prepared.crop.centre_y)
        np.testing.assert_allclose(again, pixels, atol=1e-3)


def test_a_prepared_view_is_a_photo_whose_camera_is_known(tiny_set):
    shape = PreparedShape.read(tiny_set.files("test")[0])
    photo, camera = shape_photo(shape, 1), shape.camera(1, "pinhole")
    assert isinstance(camera, PinholeCamera)
    assert photo.focal_length_px == pytest.approx(camera.distance * 64)
    assert photo.principal_point == pytest.approx((64 * (0.5 - camera.offset_x), 64 * (0.5 + camera.offset_y)))


QUICK = EvaluationConfig(resolution=32, surface_points=2000)


@dataclass(frozen=True)
class Fixed:
    """A method whose answer does not depend on the photo; none at all without a mesh."""

    name: str
    mesh: Mesh | None
    camera: CameraKind = "pinhole"

    def reconstruct(self, photo: Photo, options: Options) -> Mesh:
        if self.mesh is None:
            raise NoSurface
        return self.mesh


BOX, NOTHING = Fixed("box", box()), Fixed("nothing", None)


def figures(score: Score) -> Score:
    """The same, comparable: NaN, which equals nothing, becomes -1."""
    return Score(*(-1 if math.isnan(value) else value for value in astuple(score)))


def test_a_bundle_is_judged_beside_two_methods_that_learn_nothing(tiny_bundle, tiny_set):
    scores = evaluate_bundle(tiny_bundle, [tiny_set.directory], QUICK)
    assert scores.samples == 2
    assert list(scores.methods) == list(scores.families) == list(scores.categories) == [BUNDLE, EXTRUDED, MEAN_SHAPE]
    ours = scores.families[BUNDLE]
    assert set(ours) == {"test-family-0", "test-family-1"}
    assert scores.methods[BUNDLE].iou == pytest.approx(np.mean([family.iou for family in ours.values()]))
    assert ours["test-family-0"].iou > 0.3  # the tiny network knows a ball, and this family is one
    assert scores.edgeless_truths == 1  # the ball
    for score in scores.methods.values():
        assert all(0 <= value <= 1 for value in (score.iou, score.f_score, score.normal_consistency, score.ef1, score.kfs))
        assert 0 < score.chamfer_l1 < 1


def test_a_set_without_training_shapes_has_nothing_to_learn_nothing_from(tiny_bundle, tiny_set, tmp_path):
    (tmp_path / "shapes").symlink_to(tiny_set.directory / "shapes")
    replace(tiny_set, directory=tmp_path, entries=tuple(tiny_set.shapes("test"))).write()
    assert list(evaluate_bundle(tiny_bundle, [tmp_path], QUICK).methods) == [BUNDLE]


def test_figures_depend_neither_on_workers_nor_on_the_other_methods(tiny_set):
    """Nor on the order of the shapes: the random numbers belong to the sample."""
    alone = evaluate([BOX], [tiny_set], QUICK)
    again = evaluate([NOTHING, BOX], [replace(tiny_set, entries=tiny_set.entries[::-1])], QUICK, workers=2)
    assert again.families["box"].keys() == alone.families["box"].keys()
    for family, score in alone.families["box"].items():
        assert figures(again.families["box"][family]) == figures(score)


def test_another_seed_is_another_sample(tiny_set):
    only = replace(tiny_set, entries=tuple(tiny_set.shapes("test")[:1]))
    once, again = (evaluate([BOX], [only], replace(QUICK, seed=seed)).methods["box"] for seed in (0, 1))
    assert once.chamfer_l1 != again.chamfer_l1
    assert once.chamfer_l1 == pytest.approx(again.chamfer_l1, rel=0.05)


def test_each_method_is_judged_in_the_frame_of_its_own_camera(tiny_set):
    """Two methods that know the truth, each in its frame: both are right, and would be wrong in the other's."""
    shape = PreparedShape.read(tiny_set.files("test")[1])
    photo = shape_photo(shape, 0)
    crop = prepare(photo, photo.alpha / np.float32(255), 64, "pinhole", 2.5).crop
    knowing = [Fixed(camera, true_mesh(shape, 0, camera, crop), camera) for camera in ("pinhole", "orthographic")]
    only = replace(tiny_set, entries=(tiny_set.shapes("test")[1],))
    scores = evaluate([*knowing, replace(knowing[0], name="astray", camera="orthographic")], [only], QUICK)
    assert scores.methods["pinhole"].iou == scores.methods["orthographic"].iou == 1
    assert scores.methods["pinhole"].kfs == scores.methods["orthographic"].kfs == 0
    assert scores.methods["astray"].iou < 0.98


def test_several_sets_are_judged_as_one(tiny_set):
    first, second = (replace(tiny_set, entries=(entry,)) for entry in tiny_set.shapes("test"))
    together, whole = evaluate([BOX], [first, second], QUICK), evaluate([BOX], [tiny_set], QUICK)
    assert together.to_json() == whole.to_json()


def test_the_headline_counts_families_and_the_sample_mean_counts_samples(tiny_set):
    """Three samples of IoU 0.2 in one family and one of 0.6 in another, both of one category; and one of 0.9 elsewhere."""
    entry = tiny_set.shapes("test")[0]
    of = {iou: Score(iou, *[0.5] * 9) for iou in (0.2, 0.6, 0.9)}
    small, large = replace(entry, family="a", kind="component"), replace(entry, family="b", kind="component")
    other = replace(entry, family="c", kind="machine")
    judged = [*[(small, {"m": of[0.2]})] * 3, (large, {"m": of[0.6]}), (other, {"m": of[0.9]})]
    scores = summarise(QUICK, judged)
    assert scores.samples == 5
    assert scores.sample_means["m"].iou == pytest.approx((3 * 0.2 + 0.6 + 0.9) / 5)
    assert scores.methods["m"].iou == pytest.approx((0.2 + 0.6 + 0.9) / 3)
    assert {kind: score.iou for kind, score in scores.categories["m"].items()} == pytest.approx(
        {"component": 0.4, "machine": 0.9}
    )
    assert [score.iou for score in scores.families["m"].values()] == pytest.approx([0.2, 0.6, 0.9])


def test_what_is_not_defined_is_left_out_of_means_and_null_in_json(tiny_set):
    """The first family is a ball, which has no sharp edges."""
    scores = evaluate([NOTHING], [tiny_set], QUICK)
    ball, bracket = scores.families["nothing"].values()
    assert math.isnan(ball.ecd)
    assert scores.methods["nothing"].ecd == scores.sample_means["nothing"].ecd == bracket.ecd > 0
    assert scores.methods["nothing"].edgeless == bracket.edgeless == 1
    assert scores.edgeless_truths == 1
    read = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert read["families"]["nothing"]["test-family-0"]["ecd"] is None
    assert read["families"]["nothing"]["test-family-1"]["ecd"] == bracket.ecd
    assert read["config"]["surface_points"] == 2000


def test_a_surface_predictor_does_all_that_the_served_path_does(tiny_bundle, tiny_set):
    """Given the bundle's own surface, it makes the bundle's own mesh."""
    reconstructor = Reconstructor.load(tiny_bundle, "cpu", threads=1)
    manifest = reconstructor.bundle.manifest

    def surface(prepared, grid, observed) -> Mesh:
        field = reconstructor.encode(prepared, grid)
        np.testing.assert_array_equal(field.observed, observed)
        return surface_of(reconstructor.query(field, prepared, 0.5), 0.5)

    again = SurfacePredictor("again", surface, manifest.image_size, manifest.camera, manifest.default_distance)
    known = shape_photo(PreparedShape.read(tiny_set.files("test")[0]), 0)
    for photo in (known, replace(known, focal_length_px=None)):
        for options in (Options(resolution=32, background="alpha"), Options(resolution=64, background="alpha", keep="all")):
            expected = BundlePredictor(reconstructor).reconstruct(photo, options)
            found = again.reconstruct(photo, options)
            np.testing.assert_array_equal(found.vertices, expected.vertices)
            np.testing.assert_array_equal(found.faces, expected.faces)


def test_at_most_so_many_shapes_of_a_family_are_judged(tiny_set):
    one_family = replace(tiny_set, entries=tuple(replace(entry, family="one") for entry in tiny_set.entries))
    assert [evaluate([NOTHING], [one_family], replace(QUICK, shapes_per_family=n)).samples for n in (1, 2, None)] == [1, 2, 2]


def test_as_many_views_are_judged_as_there_are(tiny_set):
    assert [evaluate([NOTHING], [tiny_set], replace(QUICK, views=n)).samples for n in (1, 2, 3)] == [2, 4, 4]


def test_views_are_taken_from_the_first_one_asked_for(tiny_set):
    judged = evaluate([NOTHING], [tiny_set], replace(QUICK, first_view=1))
    assert [judged_sample.sample.view for judged_sample in judged.per_sample] == [1, 1]
    with pytest.raises(TrainingError, match="expected views from 2 on"):
        evaluate([NOTHING], [tiny_set], replace(QUICK, first_view=2))


def test_a_split_without_shapes_is_refused_in_words(tiny_bundle, tiny_set):
    with pytest.raises(TrainingError, match="expected views from 0 on of shapes in split 'holdout', found none"):
        evaluate_bundle(tiny_bundle, [tiny_set.directory], replace(QUICK, split="holdout"))


def test_view_frames_of_the_tiny_set_are_rigid(tiny_set):
    frame = PreparedShape.read(tiny_set.files("test")[0]).frame(0, "pinhole")
    assert isinstance(frame, ViewFrame)
    np.testing.assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(frame.rotation) == pytest.approx(1, abs=1e-6)

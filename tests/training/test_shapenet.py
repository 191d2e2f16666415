"""ShapeNet folders in their public layouts become prepared shapes whose labels and pictures are those of the known solid."""

import dataclasses
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from manifold3d import Manifold
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from app.cli import build
from tests.training import label_fixtures
from tests.training.shapenet_fixtures import (
    CHAIR,
    TABLE,
    armchair,
    thin_frame,
    write_occnet_pictures,
    write_r2n2,
    write_shapenet_v1,
    write_shapenet_v2,
)
from training.data.index import DataIndex, Refusal
from training.data.readers.binvox import BinvoxLabels
from training.data.readers.hsp import HspLabels
from training.data.readers.imnet import ImNetLabels
from training.data.readers.labels import LabelledModel, LabelSource, ModelId, Placement
from training.data.readers.occnet import OccNetLabels
from training.data.readers.placement import MovedSolid, Similarity, fit_placement
from training.data.readers.r2n2 import OccNetPictures, Picture, Renderings
from training.data.readers.shapenet import ShapeNetCore, ShapeNetModels, with_exact_points
from training.data.readers.splits import SplitLists
from training.data.sets import REPAIRS, RejectedShape, SetConfig, build_set
from training.data.shapes import PreparedShape
from training.data.silhouettes import silhouette_iou
from training.errors import TrainingError, UnreadableModel
from training.sampling.pools import BALL_RADIUS, PoolConfig, dequantise, draw_pool
from training.sampling.solids import ClosedMesh

MODEL = ModelId(CHAIR, "armchair")
VIEWS = 8
CONFIG = SetConfig(views=VIEWS, image_size=128, near_points=600, uniform_points=300)


@dataclass(frozen=True)
class Archive:
    """One model in every layout."""

    root: Path

    @property
    def renderings(self) -> Path:
        return self.root / "ShapeNetRendering"

    @property
    def v1(self) -> Path:
        return self.root / "ShapeNetCore.v1"

    @property
    def v2(self) -> Path:
        return self.root / "ShapeNetCore.v2"


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Archive:
    made = Archive(tmp_path_factory.mktemp("shapenet"))
    write_r2n2(made.renderings, str(MODEL), *armchair(), views=VIEWS)
    write_shapenet_v1(made.v1, str(MODEL), *armchair())
    write_shapenet_v2(made.v2, str(MODEL), *armchair())
    return made


def source_of(archive: Archive, core: Path, **options) -> ShapeNetModels:
    return ShapeNetModels(pictures=Renderings(archive.renderings), labels=ShapeNetCore(core), **options)


@pytest.fixture(scope="module")
def prepared(archive) -> dict[str, PreparedShape]:
    shapes = {}
    for version, core in (("v1", archive.v1), ("v2", archive.v2)):
        source = source_of(archive, core)
        shapes[version] = source.prepare(source.listing().items[0], CONFIG)
    return shapes


def known_in_object_frame() -> ClosedMesh:
    """The armchair where a prepared shape must have it, straight from its definition: z up, centred, farthest vertex at 0.5."""
    vertices, faces = armchair()
    x, y, z = vertices.astype(np.float64).T
    upright = np.stack([x, -z, y], axis=1)
    upright -= (upright.min(axis=0) + upright.max(axis=0)) / 2
    return ClosedMesh((upright * (0.5 / np.linalg.norm(upright, axis=1).max())).astype(np.float32), faces)


@pytest.mark.parametrize(("version", "error"), [("v1", 2e-6), ("v2", 1e-3)])
def test_labels_are_distances_to_the_known_solid(prepared, version, error):
    shape, known = prepared[version], known_in_object_frame()
    expected = known.signed_distance(shape.points_object)
    assert np.abs(shape.distance - expected).max() < error
    clear = np.abs(expected) > error
    assert ((shape.distance < 0) == (expected < 0))[clear].all()
    assert 0.2 < (expected < 0).mean() < 0.8
    # v2 is placed by its pictures, and yet its vertices are v1's to a thousandth of the size.
    assert cKDTree(shape.vertices).query(known.vertices)[0].max() < error
    assert np.linalg.norm(shape.vertices, axis=1).max() == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_picture_shows_the_solid_where_its_frame_puts_it(prepared, version):
    shape = prepared[version]
    assert shape.view_count == VIEWS
    assert min(silhouette_iou(shape, view) for view in range(VIEWS)) > 0.96
    assert shape.origin["silhouette_agreement"] > 0.999
    for view in range(VIEWS):
        uv = shape.camera(view, "pinhole").project(shape.frame(view, "pinhole").from_object(shape.vertices))[:, :2]
        extent = uv.max(axis=0) - uv.min(axis=0)
        assert extent.max() == pytest.approx(0.9, abs=1e-5)
        np.testing.assert_allclose(uv.max(axis=0) + uv.min(axis=0), 0, atol=1e-5)
        visible = np.argwhere(shape.image(view)[..., 3] > 127)[:, ::-1]
        box = np.stack([visible.min(axis=0), visible.max(axis=0) + 1]) / CONFIG.image_size - 0.5
        assert np.abs(box[:, 0] - [uv[:, 0].min(), uv[:, 0].max()]).max() < 1.5 / CONFIG.image_size
        assert np.abs(box[:, 1] + [uv[:, 1].max(), uv[:, 1].min()]).max() < 1.5 / CONFIG.image_size


def test_poses_are_those_of_the_metadata(prepared, archive):
    rows = np.loadtxt(archive.renderings / str(MODEL) / "rendering" / "rendering_metadata.txt")
    elevation, azimuth, roll, distance, focal_length = prepared["v1"].pose.T
    # The armchair's box is centred on the origin, so that its poses are the renderings' own; z up turns azimuths backwards.
    np.testing.assert_allclose(elevation, rows[:, 1], atol=1e-3)
    np.testing.assert_allclose(np.exp(1j * np.radians(azimuth)), np.exp(-1j * np.radians(rows[:, 0])), atol=1e-4)
    np.testing.assert_allclose(roll, 0, atol=1e-3)
    np.testing.assert_allclose(distance, rows[:, 3] * 1.75, atol=1e-3)  # the farthest vertex is at half the diagonal
    np.testing.assert_allclose(focal_length, 35 / 32 * 43.27 / np.sqrt(2), rtol=1e-3)


def test_the_same_item_gives_the_same_shape(archive, prepared):
    source = source_of(archive, archive.v1)
    again = source.prepare(source.listing().items[0], CONFIG)
    for name in ("points", "distance", "image_bytes", "orthographic_scale", "vertices"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prepared["v1"], name))
    other = source.prepare(source.listing().items[0], dataclasses.replace(CONFIG, seed=1))
    assert not np.array_equal(other.points, again.points)


def test_a_set_is_built_from_folders(archive, tmp_path):
    lists = SplitLists({MODEL: "test"})
    index = build_set(source_of(archive, archive.v1, splits=lists), dataclasses.replace(CONFIG, views=2), tmp_path)
    assert [(entry.name, entry.family, entry.split) for entry in index.entries] == [(f"{CHAIR}-armchair", "chair", "test")]
    assert PreparedShape.read(tmp_path / index.entries[0].file).view_count == 2


def test_occnets_pictures_serve_as_well(archive, tmp_path):
    rendering = archive.renderings / str(MODEL) / "rendering"
    write_occnet_pictures(tmp_path, str(MODEL), rendering, np.loadtxt(rendering / "rendering_metadata.txt"))
    source = ShapeNetModels(pictures=OccNetPictures(tmp_path), labels=ShapeNetCore(archive.v2))
    shape = source.prepare(source.listing().items[0], CONFIG)
    assert shape.origin["silhouette_agreement"] > 0.99
    assert np.abs(shape.distance - known_in_object_frame().signed_distance(shape.points_object)).max() < 0.01


# All the readers of labels meet the same pictures. Their own fixtures hold a bracket with a diagonal of 1.27; here it is 1.


def bracket_in_v1() -> tuple[np.ndarray, np.ndarray]:
    vertices, faces = label_fixtures.mesh()
    return vertices / label_fixtures.DIAGONAL, faces


def in_bracket(points_object: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether points of the object frame are in the bracket, straight from its definition."""
    low, high = label_fixtures.CORNER, label_fixtures.CORNER + label_fixtures.EXTENT
    x, y, z = points_object.astype(np.float64).T * np.linalg.norm(high - low)
    return label_fixtures.inside(np.stack([x, z, -y], axis=1) + (low + high) / 2)


@dataclass(frozen=True)
class Unplaced:
    """Labels whose placement is kept to themselves."""

    labels: LabelSource

    def models(self):
        return self.labels.models()

    def files(self, model):
        return self.labels.files(model)

    def read(self, model):
        return dataclasses.replace(self.labels.read(model), placement=None)


def hsp_labels(folder: Path) -> LabelSource:
    label_fixtures.write_hsp(folder, label_fixtures.MODEL, label_fixtures.voxels(256))
    return HspLabels(folder)


def imnet_labels(folder: Path) -> LabelSource:
    label_fixtures.write_imnet(folder, f"{CHAIR}_vox256_img_train", [label_fixtures.MODEL], [label_fixtures.voxels(256)], True)
    return ImNetLabels(folder)


def occnet_labels(folder: Path) -> LabelSource:
    label_fixtures.write_occnet(folder, label_fixtures.MODEL, 20_000, 20_000)
    return OccNetLabels(folder)


def binvox_labels(folder: Path) -> LabelSource:
    path = folder / str(label_fixtures.MODEL) / "model.binvox"
    label_fixtures.write_binvox(path, label_fixtures.voxels(32), (0, 0, 0), 1.0)
    return BinvoxLabels(folder)


@pytest.mark.parametrize(
    ("write", "agreement", "right"),
    [
        pytest.param(hsp_labels, 0.99, 0.995, marks=pytest.mark.slow),
        (imnet_labels, 0.99, 0.99),
        (occnet_labels, 0.99, 0.99),
        (binvox_labels, 0.96, 0.98),
    ],
)
def test_labels_of_every_format_are_placed_by_the_pictures(tmp_path, write, agreement, right):
    write_r2n2(tmp_path / "renderings", str(label_fixtures.MODEL), *bracket_in_v1(), views=VIEWS)
    labels = write(tmp_path / "labels")
    source = ShapeNetModels(pictures=Renderings(tmp_path / "renderings"), labels=Unplaced(labels))
    [item] = source.listing().items
    shape = source.prepare(item, dataclasses.replace(CONFIG, near_points=100, uniform_points=3000))
    assert shape.origin["silhouette_agreement"] > agreement
    uniform = slice(shape.near_count, None)
    assert ((shape.distance < 0) == in_bracket(shape.points_object))[uniform].mean() > right


# ShapeNetCore


def test_v1_is_read_as_it_is_and_v2_is_turned_into_its_axes(archive):
    vertices, _ = armchair()
    first, second = (ShapeNetCore(core).read(MODEL) for core in (archive.v1, archive.v2))
    assert first.placement is not None
    assert (first.placement.scale, first.placement.location.tolist()) == (1.0, [0, 0, 0])
    assert cKDTree(first.solid.vertices).query(vertices)[0].max() < 1e-6
    assert second.placement is None
    moved = second.solid.vertices - second.solid.vertices.min(axis=0) + vertices.min(axis=0)
    assert cKDTree(moved).query(vertices)[0].max() < 1e-6


def test_v1_is_preferred_where_both_are(archive, tmp_path):
    shutil.copytree(archive.v2, tmp_path, dirs_exist_ok=True)
    core = ShapeNetCore(tmp_path)
    assert core.models() == [MODEL]
    assert core.read(MODEL).placement is None
    write_shapenet_v1(tmp_path, str(MODEL), *armchair())
    assert core.models() == [MODEL]
    assert core.read(MODEL).placement is not None


def test_an_inside_out_mesh_is_turned(tmp_path):
    vertices, faces = armchair()
    write_shapenet_v1(tmp_path, str(MODEL), vertices, faces[:, ::-1])
    solid = ShapeNetCore(tmp_path).read(MODEL).solid
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (500, 3))
    expected = ClosedMesh(vertices, faces).signed_distance(points)
    np.testing.assert_allclose(solid.signed_distance(points), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"model\.obj: expected"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", r"model\.obj: expected an OBJ file with a surface"),
        ("v 0 0 0\nv 1 0 0\nv 0 nan 0\nf 1 2 3\n", r"model\.obj: expected finite vertices"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", r"model\.obj: expected vertex numbers"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", r"model\.obj: "),
    ],
    ids=["empty", "no faces", "NaN", "unknown vertex", "flat"],
)
def test_a_damaged_mesh_is_named(tmp_path, text, message):
    path = tmp_path / str(MODEL) / "model.obj"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UnreadableModel, match=message):
        ShapeNetCore(tmp_path).read(MODEL)


def test_a_missing_mesh_or_folder_is_named(archive, tmp_path):
    with pytest.raises(UnreadableModel, match=r"nobody/models/model_normalized\.obj"):
        ShapeNetCore(archive.v2).read(ModelId(CHAIR, "nobody"))
    with pytest.raises(UnreadableModel, match=r"nowhere: expected a folder"):
        ShapeNetCore(tmp_path / "nowhere").models()


# Placement


def spread_points(count: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(1).uniform(-0.5, 0.5, (count, 3))


def test_a_moved_solid_measures_as_its_moved_mesh_does():
    vertices, faces = armchair()
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    moved = MovedSolid(ClosedMesh(vertices, faces), Similarity(turn, 1.7, np.array([0.1, -0.2, 0.3])))
    expected = ClosedMesh((1.7 * vertices @ turn.T + [0.1, -0.2, 0.3]).astype(np.float32), faces)
    np.testing.assert_allclose(moved.vertices, expected.vertices, atol=1e-6)
    points = spread_points(500)
    np.testing.assert_allclose(moved.signed_distance(points), expected.signed_distance(points), atol=1e-6)
    np.testing.assert_allclose(moved.to_frame.undo(moved.to_frame.place(points)), points, atol=1e-12)


def pyramid() -> tuple[np.ndarray, np.ndarray]:
    """Pointed corners all around, of which alpha shows too little."""
    mesh = Manifold.tetrahedron().to_mesh()
    return (mesh.vert_properties[:, :3] / 4).astype(np.float32), mesh.tri_verts.astype(np.int32)


@pytest.mark.parametrize("make", [armchair, pyramid])
@pytest.mark.parametrize(("scale", "location"), [(0.63, (0.1, -0.05, 0.2)), (8.0, (0, 0, 0)), (1.0, (-0.2, 0.1, 0.15))])
def test_a_placement_is_found_from_the_pictures(tmp_path, make, scale, location):
    vertices, faces = make()
    write_r2n2(tmp_path, str(MODEL), vertices, faces, views=VIEWS)
    labelled = ((vertices - np.array(location)) / scale).astype(np.float32)
    found = fit_placement(ClosedMesh(labelled, faces), Renderings(tmp_path).views(MODEL))
    size = np.linalg.norm(np.ptp(vertices, axis=0))
    assert found.scale == pytest.approx(scale, rel=0.002)
    assert np.linalg.norm(found.scale * labelled + found.location - vertices, axis=1).max() < 0.002 * size


@pytest.mark.parametrize("make", [armchair, thin_frame])
def test_a_renderers_smoothing_hardly_moves_a_placement(tmp_path, make):
    vertices, faces = make()
    write_r2n2(tmp_path, str(MODEL), vertices, faces, views=VIEWS)
    smoothed = []
    for picture in Renderings(tmp_path).views(MODEL):
        alpha = cv2.GaussianBlur(picture.rgba[..., 3], (0, 0), 0.5)
        smoothed.append(Picture(np.dstack([picture.rgba[..., :3], alpha]), picture.camera))
    found = fit_placement(ClosedMesh((2 * vertices).astype(np.float32), faces), smoothed)
    assert np.linalg.norm(2 * found.scale * vertices + found.location - vertices, axis=1).max() < 0.002


def test_pictures_that_show_no_edges_place_nothing(archive):
    pictures = [Picture(np.full_like(p.rgba, 255), p.camera) for p in Renderings(archive.renderings).views(MODEL)]
    with pytest.raises(UnreadableModel, match=r"expected at least 8 edges of silhouettes inside them .* found 0"):
        fit_placement(ClosedMesh(*armchair()), pictures)
    empty = [Picture(np.zeros_like(pictures[0].rgba), pictures[0].camera)]
    with pytest.raises(UnreadableModel, match="expected an object in it, found it transparent"):
        fit_placement(ClosedMesh(*armchair()), empty)


# Points whose labels the data set gives


def test_exact_labels_go_before_derived_ones():
    solid = known_in_object_frame()
    pool = draw_pool(solid, PoolConfig(near_points=200, uniform_points=800), np.random.default_rng(0))
    exact = np.random.default_rng(1).uniform(-0.6, 0.6, (5000, 3)).astype(np.float32)
    # Half of them contradict the solid, as a data set's own labels may.
    occupancy = (solid.signed_distance(exact) < 0) ^ (np.arange(5000) % 2 == 0)
    mixed = with_exact_points(pool, solid, exact, occupancy)
    assert mixed.near_count == 200
    np.testing.assert_array_equal(mixed.points[:200], pool.points[:200])
    changed = np.flatnonzero((mixed.points != pool.points).any(axis=1))
    away, which = cKDTree(exact).query(dequantise(mixed.points[changed]))
    assert away.max() < 1e-4
    assert len(set(which)) == len(which)
    np.testing.assert_array_equal(mixed.distance[changed] < 0, occupancy[which])
    measured = np.abs(solid.signed_distance(dequantise(mixed.points[changed])))
    np.testing.assert_allclose(np.abs(mixed.distance[changed]), measured, atol=2e-6)
    within = (np.abs(dequantise(pool.points[200:])) < 0.57).all(axis=1)
    assert len(changed) > 0.9 * within.sum()


def test_uniform_points_stay_uniform_among_crowded_exact_ones():
    solid = known_in_object_frame()
    pool = draw_pool(solid, PoolConfig(near_points=0, uniform_points=4000), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    crowd, rest = rng.normal((0.3, 0, 0), 0.05, (50_000, 3)), rng.uniform(-0.9, 0.9, (20_000, 3))
    exact = np.concatenate([crowd, rest])
    mixed = with_exact_points(pool, solid, exact, np.zeros(len(exact), bool))
    points = dequantise(mixed.points)
    assert (mixed.points != pool.points).any(axis=1).mean() > 0.7
    assert np.linalg.norm(points, axis=1).max() < BALL_RADIUS + 1e-4
    for place, radius in (((0.3, 0, 0), 0.2), ((-0.3, 0, 0), 0.2), ((0, 0, 0), 0.5)):
        share = (np.linalg.norm(points - place, axis=1) < radius).mean()
        # Drawn at random, seven tenths of the exact points would have lain in the crowd.
        assert share == pytest.approx((radius / BALL_RADIUS) ** 3, rel=0.4)


@dataclass(frozen=True)
class ExactLabels:
    """Labels with points of their own, in a frame of another scale and place."""

    def models(self):
        return [MODEL]

    def files(self, model):
        return []

    def read(self, model):
        vertices, faces = armchair()
        points = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 3))
        inside = ClosedMesh(vertices, faces).signed_distance(points) < 0
        location = np.array([0.1, 0.2, 0.3])
        labelled, label_points = (((x - location) / 0.5).astype(np.float32) for x in (vertices, points))
        return LabelledModel(ClosedMesh(labelled, faces), Placement(0.5, location), label_points, ~inside)


def test_exact_points_are_brought_into_the_object_frame(archive):
    source = ShapeNetModels(pictures=Renderings(archive.renderings), labels=ExactLabels())
    shape = source.prepare(source.listing().items[0], dataclasses.replace(CONFIG, views=2))
    known = known_in_object_frame().signed_distance(shape.points_object)
    assert ((shape.distance < 0) == (known < 0))[: shape.near_count].mean() > 0.99
    uniform = slice(shape.near_count, None)
    within = (np.abs(shape.points_object[uniform]) < 0.45).all(axis=1)
    # The labels given here are the opposite of the truth, so that they can be told from measured ones.
    assert ((shape.distance[uniform] < 0) != (known[uniform] < 0))[within].mean() > 0.95


# The listing


@dataclass(frozen=True)
class Names:
    """A source that knows names alone."""

    names: tuple[str, ...]

    def models(self):
        return [ModelId(*name.split("/")) for name in self.names]

    def fingerprint(self, model):
        return ""

    def files(self, model):
        return []


def listed(pictures, labels, **options):
    return ShapeNetModels(pictures=Names(tuple(pictures)), labels=Names(tuple(labels)), **options).listing()


def test_models_with_one_half_missing_are_refused_with_the_reason():
    listing = listed([f"{CHAIR}/a", f"{CHAIR}/b"], [f"{CHAIR}/b", f"{TABLE}/c"])
    assert [item.name for item in listing.items] == [f"{CHAIR}-b"]
    assert list(listing.rejected) == [
        Refusal(name=f"{CHAIR}-a", reason="has pictures and no labels"),
        Refusal(name=f"{TABLE}-c", reason="has labels and no pictures"),
    ]


def test_lists_decide_the_splits_and_what_they_miss_is_ignored():
    both = [f"{CHAIR}/{name}" for name in "abcd"]
    splits = SplitLists({ModelId(CHAIR, "a"): "train", ModelId(CHAIR, "c"): "test", ModelId(TABLE, "z"): "test"}, ("a remark",))
    listing = listed(both, both, splits=splits)
    assert [(item.name, item.split) for item in listing.items] == [(f"{CHAIR}-a", "train"), (f"{CHAIR}-c", "test")]
    assert listing.rejected == []
    assert list(listing.ignored) == [
        Refusal(name=f"{CHAIR}-b", reason="not in the split lists"),
        Refusal(name=f"{CHAIR}-d", reason="not in the split lists"),
        Refusal(name="split lists", reason="a remark"),
        Refusal(name="split lists", reason=f"1 models without pictures and labels: {TABLE}/z"),
    ]


def test_without_lists_categories_are_split_by_their_sorted_models():
    both = [f"{CHAIR}/{number}" for number in range(5)] + [f"{TABLE}/{number}" for number in range(5)]
    splits = [(item.family, item.split) for item in listed(both, both).items]
    assert splits == [(family, split) for family in ("chair", "table") for split in (*["train"] * 4, "test")]


@pytest.mark.parametrize("wanted", ["table", TABLE])
def test_categories_are_chosen_by_name_or_number(wanted):
    both = [f"{CHAIR}/a", f"{TABLE}/b"]
    listing = listed(both, [*both, f"{CHAIR}/c"], categories=(wanted,))
    assert [item.name for item in listing.items] == [f"{TABLE}-b"]
    assert listing.rejected == []


def test_an_unknown_category_is_an_error():
    with pytest.raises(TrainingError, match=r"categories: expected some of airplane, bench, .*, found tables"):
        listed([], [], categories=("tables",))


def test_fingerprints_tell_folders_apart(archive):
    first, second = (source_of(archive, core).listing().items[0].fingerprint for core in (archive.v1, archive.v2))
    assert first != second
    assert source_of(archive, archive.v1).listing().items[0].fingerprint == first


def test_another_mesh_in_the_same_place_is_another_fingerprint(archive, tmp_path):
    write_shapenet_v1(tmp_path, str(MODEL), *armchair())
    before = source_of(archive, tmp_path).listing().items[0].fingerprint
    write_shapenet_v1(tmp_path, str(MODEL), *pyramid())
    assert source_of(archive, tmp_path).listing().items[0].fingerprint != before


@pytest.mark.parametrize(
    ("labels", "files"),
    [
        (ShapeNetCore(Path("a")), ["armchair/model.obj", "armchair/models/model_normalized.obj"]),
        (HspLabels(Path("a")), ["armchair.mat"]),
        (BinvoxLabels(Path("a")), ["armchair/model.binvox"]),
        (OccNetLabels(Path("a")), ["armchair/points.npz", "armchair/pointcloud.npz"]),
    ],
)
def test_labels_say_what_they_are_read_from(labels, files):
    assert labels.files(MODEL) == [Path("a") / CHAIR / name for name in files]


# What prepare says


def test_what_was_done_to_a_mesh_is_remarked_on(archive, tmp_path):
    vertices, faces = armchair()
    write_shapenet_v1(tmp_path, str(MODEL), vertices, faces[:, ::-1])
    source = source_of(archive, tmp_path)
    shape = source.prepare(source.listing().items[0], dataclasses.replace(CONFIG, views=1))
    assert any("turned" in remark for remark in shape.origin[REPAIRS])


def test_too_few_pictures_are_refused(archive):
    source = source_of(archive, archive.v1)
    with pytest.raises(RejectedShape, match=f"{MODEL}: expected at least 9 pictures, found {VIEWS}"):
        source.prepare(source.listing().items[0], dataclasses.replace(CONFIG, views=VIEWS + 1))


def test_another_models_pictures_are_refused(archive, tmp_path):
    write_shapenet_v1(tmp_path, str(MODEL), *pyramid())
    source = source_of(archive, tmp_path)
    with pytest.raises(RejectedShape, match=r"expected mesh and pictures to agree by at least 0\.93"):
        source.prepare(source.listing().items[0], CONFIG)


def test_unusual_views_are_remarked_on(tmp_path):
    """A long beam seen from its end is deeper than the query volume; near the camera it is cut off."""
    beam = Manifold.cube([0.97, 0.12, 0.12], True).to_mesh()
    vertices, faces = beam.vert_properties[:, :3].astype(np.float32), beam.tri_verts.astype(np.int32)
    rows = np.array([[0.0, 5, 0, 0.9, 25], [90, 27, 0, 0.9, 25], [90, 27, 0, 0.55, 25]])
    write_r2n2(tmp_path, str(MODEL), vertices, faces, rows=rows)
    write_shapenet_v1(tmp_path / "core", str(MODEL), vertices, faces)
    source = ShapeNetModels(pictures=Renderings(tmp_path), labels=ShapeNetCore(tmp_path / "core"), least_agreement=0.5)
    shape = source.prepare(source.listing().items[0], dataclasses.replace(CONFIG, views=3))
    assert shape.origin[REPAIRS] == [
        "elevation outside 25 to 30 degrees in views 0",
        "deeper than the query volume in views 0",
        "object cut off by the picture's border in views 2",
    ]


# The command


def imported(*arguments: object):
    sizes = ("--views", 2, "--image-size", 32, "--near-points", 50, "--uniform-points", 50, "--workers", 1)
    return CliRunner().invoke(build(), ["data", "import", *map(str, (*arguments, *sizes))])


def test_the_command_joins_pictures_and_labels(archive, tmp_path):
    out = tmp_path / "set"
    result = imported("--renderings", archive.renderings, "--meshes", archive.v1, "--out", out)
    assert result.exit_code == 0, result.output
    [entry] = DataIndex.read(out).entries
    assert (entry.family, entry.source["model"], entry.licence) == ("chair", "armchair", "LicenseRef-ShapeNet")


def test_the_command_wants_one_kind_of_labels_and_pictures(archive, tmp_path):
    out = ("--out", tmp_path / "set")
    for arguments, told in (
        (("--renderings", archive.renderings), "expected labels from one of"),
        (("--renderings", archive.renderings, "--meshes", archive.v1, "--hsp", archive.v2), "found 2 of them"),
        (("--meshes", archive.v1), "expected pictures from"),
        (("--renderings", tmp_path / "nowhere", "--meshes", archive.v1), "expected a folder"),
    ):
        result = imported(*arguments, *out)
        assert result.exit_code == 2
        assert told in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())

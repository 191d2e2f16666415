"""The model card, and the sheet of samples that it shows."""

import hashlib
import io
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from model.errors import NoSurface
from model.image import Photo, prepare
from model.mesh import Mesh
from model.reconstructor import Options
from model.runtime.bundle import DataSet, Labels, Manifest, Origin, Split, read_bundle, verify_file
from tests.training import solids
from training.card import SAMPLES, failure_words, model_card
from training.configs import RunConfig, run_to_json
from training.data.index import ShapeEntry
from training.data.shapes import PreparedShape
from training.evaluation.evaluate import EvaluationConfig, JudgedSample, Sample, Scores, shape_photo, summarise, true_mesh
from training.evaluation.gallery import BEST, MEDIAN, WORST, Gallery, choose, coverage, fullness, make_gallery
from training.evaluation.metrics import Score
from training.evaluation.predictors import BUNDLE
from training.export import update_metrics

SECTIONS = ("What it is for", "Data", "Training", "Figures", "Known failures", "How to make it again")
FINE = {"name": "x-1", "family": "x", "view": 0, "iou": 0.2, "chamfer_l1": 0.1}
FINE |= {"coverage": 0.9, "volume_ratio": 1.0, "depth_ratio": 1.0, "fullness": 0.5}

OLD = Origin(run=run_to_json(RunConfig(name="old")), data_digest="d" * 64, commit="unknown", steps=10, minutes=2.0)
NEW = OLD.model_copy(
    update={
        "commit": "c" * 40,
        "uncommitted_changes": True,
        "hardware": "two abaci",
        "processes": 2,
        "torch": "2.0",
        "data": (
            DataSet(
                name="parts",
                digest="a" * 64,
                source="ProceduralParts",
                splits={"train": Split(shapes=1200, families=60), "val": Split(shapes=3, families=1)},
                licences={"": 1200},
            ),
            DataSet(name="cad", digest="b" * 64, source="CadFolder", licences={"": 1, "MIT": 4}),
            DataSet(name="lost", digest="e" * 64),
        ),
        "commands": ("monotwin data generate", "monotwin train", "monotwin export"),
    }
)


def manifest(origin: Origin = OLD, **fields) -> Manifest:
    return Manifest(
        name="mine",
        version="3",
        opset=18,
        image_size=64,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        camera="pinhole",
        default_distance=2.5,
        labels=Labels(final_s=0.25, d_star_voxels=8.66, voxels_per_side=256),
        network={"variant": "pyramid", "decoder_widths": [8, 8]},
        parameters=1_000_000,
        origin=origin,
        licence="MIT",
        files={},
        **fields,
    )


def judged(name: str, family: str, iou: float, view: int = 0, file: Path = Path("none")) -> JudgedSample:
    entry = ShapeEntry(name=name, file=file.name, family=family, kind="part", split="test", sha256="")
    return JudgedSample(Sample(entry, file, view), {BUNDLE: Score(iou, *[0.5] * 9)})


def scores_of(samples: list[JudgedSample]) -> Scores:
    config = EvaluationConfig(resolution=32, shapes_per_family=2)
    return replace(summarise(config, [(one.sample.entry, one.scores) for one in samples]), per_sample=tuple(samples))


METRICS = {
    "data": {"parts": "a" * 64},
    **scores_of([judged(f"f{number}-0", f"f{number}", number / 10) for number in range(7)]).to_json(),
    "failures": [FINE],
}


def test_the_card_names_every_section_once_and_in_order():
    for card in (model_card(manifest()), model_card(manifest(NEW, metrics=METRICS))):
        titles = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
        assert tuple(titles) == SECTIONS
        assert card.startswith("# mine 3\n")


def test_the_card_of_one_manifest_is_always_the_same():
    again = Manifest.model_validate_json(manifest(NEW, metrics=METRICS).model_dump_json())
    assert again == manifest(NEW, metrics=METRICS)
    assert model_card(again) == model_card(manifest(NEW, metrics=METRICS))


def test_a_manifest_from_before_these_fields_is_read_and_says_what_is_not_known():
    old = manifest().model_dump(mode="json")
    for name in ("uncommitted_changes", "hardware", "processes", "torch", "data", "commands"):
        del old["origin"][name]
    read = Manifest.model_validate(old)
    assert read == manifest()
    card = model_card(read)
    assert "their names and sizes were not recorded" in card
    assert "| hardware | not recorded |" in card
    assert "was not recorded beyond the run" in card
    assert "git checkout" not in card


def test_the_card_counts_shapes_and_families_of_each_set_and_split():
    card = model_card(manifest(NEW))
    assert "| set | digest | train | val | test |" in card
    assert f"| parts | `{'a' * 16}` | 1,200 (60) | 3 (1) | not recorded |" in card
    assert f"| lost | `{'e' * 16}` | not recorded | not recorded | not recorded |" in card


def test_the_card_counts_training_shapes_under_each_licence():
    card = model_card(manifest(NEW))
    for row in (
        "| parts | none needed, made by this project's generators | 1,200 |",
        "| cad | none stated | 1 |",
        "| cad | MIT | 4 |",
    ):
        assert row in card


def test_attribution_is_a_sorted_list_with_one_name_a_line():
    assert "\n- a\n- b; c\n- d\n" in model_card(manifest(attribution=("d", "b; c", "a")))
    assert "Attribution: none needed." in model_card(manifest())


def test_the_card_tells_the_run_in_a_table():
    card = model_card(manifest(NEW))
    for row in (
        "| views seen | 160 in 10 steps of 16 |",
        "| time | 2 minutes |",
        "| hardware | two abaci, 2 processes |",
        f"| commit | `{'c' * 12}`, with uncommitted changes |",
        f"| data digest | `{'d' * 16}` |",
    ):
        assert row in card


def test_the_card_says_how_to_make_the_bundle_and_its_figures_again():
    expected = [
        f"git checkout {'c' * 40}",
        "monotwin data generate",
        "monotwin train",
        "monotwin export",
        "monotwin evaluate BUNDLE --data data/parts --split test --views 1 --shapes 2 --resolution 32 --record",
    ]
    block = model_card(manifest(NEW, metrics=METRICS)).split("```sh\n")[1].split("\n```")[0]
    assert block.splitlines() == expected


def test_known_failures_are_the_picture_the_worst_samples_and_the_worst_families():
    section = model_card(manifest(metrics=METRICS)).split("## Known failures\n")[1].split("\n## ")[0]
    assert f"]({SAMPLES})" in section
    assert "- `x-1` (x), IoU 0.200, Chamfer-L1 0.100: outline, depth and volume are about right" in section
    assert section.strip().endswith("f0 0.0000, f1 0.100, f2 0.200, f3 0.300, f4 0.400.")


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({}, "outline, depth and volume are about right, the form between them is not"),
        ({"coverage": 0.0, "volume_ratio": 0.0, "depth_ratio": 0.0}, "no surface at all"),
        ({"coverage": 0.79}, "covers only 79% of the silhouette"),
        ({"coverage": 0.8, "depth_ratio": 1.5, "volume_ratio": 0.67}, "outline, depth and volume are about right"),
        ({"depth_ratio": 0.66}, "too shallow, 0.66 of the true depth"),
        ({"depth_ratio": 1.51}, "too deep, 1.5 times the true depth"),
        ({"volume_ratio": 0.2}, "too little volume, 0.20 of the true volume"),
        (
            {"volume_ratio": 2.0, "depth_ratio": 0.1},
            "too shallow, 0.10 of the true depth; too much volume, 2.0 times the true volume",
        ),
        (
            {"volume_ratio": 4.0, "fullness": 0.04},
            "too much volume, 4.0 times the true volume; the part is thin and fills 4% of its box",
        ),
    ],
)
def test_the_words_for_a_failure_follow_from_its_figures(figures, words):
    assert failure_words(FINE | figures).startswith(words)


def test_the_worst_best_and_median_samples_are_chosen_each_of_its_own_family(rng):
    samples = [judged(f"s{n}", f"f{rng.integers(12)}", float(iou)) for n, iou in enumerate(rng.uniform(size=60))]
    chosen = choose(samples, BUNDLE)
    assert {title: len(group) for title, group in chosen.items()} == {"best": BEST, "median": MEDIAN, "worst": WORST}
    by_iou = sorted(samples, key=iou_of)
    taken: list[JudgedSample] = []
    for title, preferred in (("worst", by_iou), ("best", by_iou[::-1])):
        group: list[JudgedSample] = []
        for one in preferred:
            if one not in taken and all(one.sample.entry.family != other.sample.entry.family for other in group):
                group.append(one)
        assert chosen[title] == group[: len(chosen[title])]
        taken += chosen[title]
    ranks = [by_iou.index(one) for one in chosen["median"]]
    assert all(abs(rank - 29.5) < 15 for rank in ranks)
    assert ranks == sorted(ranks, reverse=True)
    everyone = [one.sample.entry.name for group in chosen.values() for one in group]
    assert len(set(everyone)) == len(everyone)
    assert len({one.sample.entry.family for one in chosen["median"]}) == MEDIAN


def iou_of(one: JudgedSample) -> float:
    return one.scores[BUNDLE].iou


def test_of_few_samples_the_worst_are_shown():
    chosen = choose([judged("a", "one", 0.5), judged("b", "one", 0.4), judged("c", "two", 0.9)], BUNDLE)
    assert {title: [one.sample.entry.name for one in group] for title, group in chosen.items()} == {
        "best": ["a"],
        "median": [],
        "worst": ["b", "c"],
    }


def test_a_ball_fills_its_box_by_a_sixth_of_pi_and_a_box_its_own(rng):
    assert fullness(Mesh(*solids.sphere(0.4)), rng) == pytest.approx(math.pi / 6, abs=0.015)
    assert fullness(Mesh(*solids.box()), rng) == 1


@dataclass(frozen=True)
class Squashed:
    """A method that knows the true mesh of the one photo, and scales it; no surface without a scale."""

    truth: Mesh
    scale: tuple[float, float, float] | None
    name: str = BUNDLE
    camera: str = "pinhole"

    def reconstruct(self, photo: Photo, options: Options) -> Mesh:
        if self.scale is None:
            raise NoSurface
        return Mesh(self.truth.vertices * np.float32(self.scale), self.truth.faces)


@pytest.fixture(scope="module")
def bracket(tiny_set):
    """A held-out part: its judged sample, its true mesh and its prepared picture."""
    entry = tiny_set.shapes("test")[1]
    file = tiny_set.path(entry)
    shape = PreparedShape.read(file)
    photo = shape_photo(shape, 0)
    prepared = prepare(photo, photo.alpha / np.float32(255), 160, "pinhole", 2.5)
    return judged(entry.name, entry.family, 0.25, file=file), true_mesh(shape, 0, "pinhole", prepared.crop), prepared


def gallery_of(bracket, scale) -> Gallery:
    sample, truth, _ = bracket
    return make_gallery(Squashed(truth, scale), scores_of([sample]))


def test_the_truth_covers_the_whole_silhouette_and_a_part_of_it_as_much_as_is_drawn(bracket):
    """Every third face, filled by another library after projection by the photo's camera."""
    _, truth, prepared = bracket
    assert coverage(truth, prepared) > 0.98
    some, seen = truth.faces[::3], prepared.silhouette > 0.5
    side = 8 * len(seen)  # drawn outlines are a pixel wide
    pixels = (prepared.camera.project(truth.vertices.astype(float))[:, :2] * (1, -1) + 0.5) * side
    canvas = Image.new("1", (side, side))
    for corners in pixels[some]:
        ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in corners], fill=1)
    drawn = (np.asarray(canvas)[4::8, 4::8] & seen).sum() / seen.sum()
    assert 0.1 < drawn < 0.9
    assert coverage(Mesh(truth.vertices, some), prepared) == pytest.approx(drawn, abs=0.05)


def test_a_prediction_of_half_the_depth_is_measured_as_such(bracket):
    failure = gallery_of(bracket, (1, 1, 0.5)).failures[0]
    assert (failure.iou, failure.chamfer_l1) == (0.25, 0.5)
    assert failure.depth_ratio == pytest.approx(0.5, rel=1e-5)
    assert failure.volume_ratio == pytest.approx(0.5, rel=0.1)


def test_a_prediction_without_a_surface_is_shown_and_measured_as_nothing(bracket):
    gallery = gallery_of(bracket, None)
    failure = gallery.failures_to_json()[0]
    assert failure["coverage"] == failure["volume_ratio"] == failure["depth_ratio"] == 0
    assert failure_words(failure).startswith("no surface at all")
    assert Image.open(io.BytesIO(gallery.picture)).width > 0


def test_the_sheet_is_a_small_webp_with_the_same_bytes_each_time(bracket):
    once, again = gallery_of(bracket, (1, 1, 1)), gallery_of(bracket, (1, 1, 1))
    assert once == again
    with Image.open(io.BytesIO(once.picture)) as picture:
        assert picture.format == "WEBP"
        assert picture.width == 4 * 160 + 24
    assert len(once.picture) < 250_000 / 12


def test_prediction_and_truth_are_drawn_in_one_scale(bracket):
    """A prediction of half the size is drawn half as wide, whereas alone it would fill its tile."""
    with Image.open(io.BytesIO(gallery_of(bracket, (0.5, 0.5, 0.5)).picture)) as picture:
        pixels = np.asarray(picture.convert("L"))[-160 - 12 : -12, 12:]
    tiles = [pixels[:, start : start + 160] for start in (320, 480)]
    predicted, truth = (int((tile < 200).any(axis=0).sum()) for tile in tiles)
    assert predicted == pytest.approx(truth / 2, abs=4)


def test_a_recorded_picture_is_one_of_the_bundles_files_and_goes_with_its_figures(tiny_bundle, tmp_path, bracket):
    bundle = read_bundle(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    gallery = gallery_of(bracket, (1, 1, 1))
    updated = update_metrics(bundle, {**METRICS, "failures": gallery.failures_to_json()}, gallery.picture)
    assert updated.manifest.files[SAMPLES] == hashlib.sha256(gallery.picture).hexdigest()
    verify_file(updated, SAMPLES)
    assert SAMPLES in updated.path("README.md").read_text()
    without = update_metrics(updated, {key: value for key, value in METRICS.items() if key != "failures"})
    assert SAMPLES not in without.manifest.files
    assert not without.path(SAMPLES).exists()
    assert SAMPLES not in without.path("README.md").read_text()

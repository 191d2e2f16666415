"""The bundle in the repository, on the sample photo: what `make demo` promises."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import ExifTags, Image, ImageDraw

from model import Options, Reconstructor
from model.field import QueryGrid, query_densely
from model.formats import FORMATS
from model.hierarchy import query_hierarchically
from model.image import read_photo
from model.runtime.bundle import read_bundle, verify_file

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "model" / "bundles" / "default"
SAMPLE = ROOT / "docs" / "sample.png"


@pytest.fixture(scope="module")
def reconstructor():
    return Reconstructor.load(BUNDLE, "cpu")


@pytest.fixture(scope="module")
def sample():
    return read_photo(SAMPLE.read_bytes())


def test_the_bundle_is_whole_and_small():
    bundle = read_bundle(BUNDLE)
    for file in bundle.manifest.files:
        verify_file(bundle, file)
    assert sum(file.stat().st_size for file in BUNDLE.iterdir()) <= 70e6
    assert bundle.manifest.licence == "Apache-2.0"


def test_the_sample_becomes_a_watertight_mesh_whose_silhouette_is_the_photos(reconstructor, sample):
    """The GLB is read back and drawn through the photo's camera as EXIF tells it, by another path than the project's own."""
    glb = FORMATS["glb"].write(reconstructor.reconstruct(sample, Options()))
    part = trimesh.load_mesh(io.BytesIO(glb), file_type="glb")
    assert part.is_watertight
    assert part.volume > 0
    with Image.open(SAMPLE) as picture:
        mask = np.asarray(picture)[..., 3] > 127
        seen = drawn(part, mask, focal_length_px(picture))
    assert (seen & mask).sum() / (seen | mask).sum() >= 0.85


def test_the_hierarchical_query_finds_what_the_dense_one_finds(reconstructor, sample):
    field = reconstructor.encode(reconstructor.prepare(sample, Options(), None), QueryGrid(128))
    hierarchical, dense = query_hierarchically(field, 0.5).on_whole_grid() >= 0.5, query_densely(field) >= 0.5
    assert dense.sum() > 10_000
    assert (hierarchical & dense).sum() / (hierarchical | dense).sum() >= 0.999


@pytest.mark.slow
def test_on_families_never_trained_on_it_beats_what_learns_nothing(tmp_path):
    """Fresh parts of the held-out families; the figures of record stand in the bundle's manifest."""
    from training.data.families import FAMILIES, TEST_FAMILIES
    from training.data.procedural import ProceduralParts
    from training.data.sets import SetConfig, build_set
    from training.evaluation.evaluate import EvaluationConfig, evaluate_bundle
    from training.evaluation.predictors import BUNDLE as OURS

    trained_on = next(name for name in FAMILIES if name not in TEST_FAMILIES)
    families = (*sorted(TEST_FAMILIES), trained_on)
    parts = ProceduralParts(shapes=5 * len(families), seed=4711, families=families)
    build_set(parts, SetConfig(views=2), tmp_path)
    scores = evaluate_bundle(BUNDLE, [tmp_path], EvaluationConfig(split="test", views=2, resolution=64))
    ours = scores.methods.pop(OURS)
    assert scores.methods
    for other in scores.methods.values():
        assert ours.iou > other.iou


def focal_length_px(picture: Image.Image) -> float:
    """From EXIF's 35 mm equivalent, by the diagonal."""
    equivalent = picture.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm]
    return equivalent * math.hypot(*picture.size) / 43.2666


def drawn(part: trimesh.Trimesh, mask: np.ndarray, focal_length: float) -> np.ndarray:
    """(H, W) bool: every triangle filled, seen by a pinhole with the photo's centre as principal point."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], float)
    side = max(box[2] - box[0], box[3] - box[1]) / 0.9
    centre, middle = (box[:2] + box[2:]) / 2, np.array(mask.shape[::-1]) / 2
    distance, offset = focal_length / side, (centre - middle) / side * [1, -1]
    nearness = distance / (distance - part.vertices[:, 2:])
    pixels = (nearness * (part.vertices[:, :2] + offset)) * [side, -side] + middle
    canvas = Image.new("1", mask.shape[::-1])
    draw = ImageDraw.Draw(canvas)
    for corners in pixels[part.faces]:
        draw.polygon([tuple(corner) for corner in corners], fill=1)
    return np.asarray(canvas)

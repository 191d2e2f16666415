"""Export: finished only when the graphs were run against torch."""

import json
import math
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch

from model.errors import BundleError
from model.field import QueryGrid
from model.runtime.bundle import DECODER, ENCODER, MANIFEST, WEIGHTS, read_bundle
from model.runtime.onnx_field import OnnxNetwork
from training import export, graphs
from training.checkpoints import load_checkpoint, save_checkpoint
from training.errors import TrainingError
from training.evaluation.evaluate import EvaluationConfig, Scores
from training.evaluation.metrics import Score
from training.evaluation.predictors import BUNDLE
from training.export import BundleIdentity, bundle_weights, export_bundle, update_metrics

CARD = BundleIdentity("half", "2", "CC-BY-4.0", ("a source", "another"))


@pytest.fixture(scope="module")
def half_bundle(tiny_checkpoint, tmp_path_factory):
    return export_bundle(tiny_checkpoint, tmp_path_factory.mktemp("bundles") / "half", CARD)


def answers(directory) -> np.ndarray:
    grid = QueryGrid(32)
    rng = np.random.default_rng(0)
    field = OnnxNetwork.load(read_bundle(directory), "cpu", threads=1).encode(
        rng.standard_normal((1, 3, 64, 64), dtype=np.float32), grid, np.ones(grid.shape[:2], np.bool_)
    )
    return field.query(rng.integers(0, 33 * 33, 2000), rng.uniform(-0.75, 0.75, 2000).astype(np.float32))


def test_half_storage_halves_the_graphs_and_keeps_the_answers(half_bundle, tiny_bundle):
    full, half = ((directory / ENCODER).stat().st_size for directory in (tiny_bundle, half_bundle.directory))
    assert half == pytest.approx(full / 2, rel=0.05)
    found, expected = answers(half_bundle.directory), answers(tiny_bundle)
    np.testing.assert_allclose(found, expected, atol=export.HALF_TOLERANCE)
    assert not np.array_equal(found, expected)


def test_the_manifest_tells_what_a_bundle_was_made_from(half_bundle, tiny_checkpoint):
    manifest = half_bundle.manifest
    state = load_checkpoint(tiny_checkpoint)
    assert (manifest.name, manifest.version, manifest.licence, manifest.attribution) == (
        "half", "2", "CC-BY-4.0", ("a source", "another"),
    )  # fmt: skip
    assert manifest.origin.run == state["run"]
    assert (manifest.origin.steps, manifest.labels.final_s) == (150, 0.2)
    assert manifest.parameters == sum(value.numel() for value in bundle_parameters(half_bundle.directory))
    card = (half_bundle.directory / "README.md").read_text()
    assert card.startswith("# half 2\n")
    assert "- a source\n- another\n" in card
    assert manifest.origin.commands[-1] == (
        "monotwin export checkpoint.pt --out half --name half --version 2 --licence CC-BY-4.0"
        " --attribution 'a source' --attribution another"
    )


def bundle_parameters(directory) -> list[torch.Tensor]:
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    return [value for name, value in bundle_weights(directory).items() if not name.endswith(buffers)]


def test_the_graphs_tell_nothing_of_the_machine_that_exported_them(half_bundle):
    for file in (ENCODER, DECODER):
        content = (half_bundle.directory / file).read_bytes()
        assert b"/training/" not in content
        assert b".py" not in content


def test_the_stored_weights_are_the_checkpoints(half_bundle, tiny_checkpoint):
    stored, trained = bundle_weights(half_bundle.directory), load_checkpoint(tiny_checkpoint)["network"]
    assert stored.keys() == trained.keys()
    for name, value in stored.items():
        assert value.dtype == trained[name].dtype
        torch.testing.assert_close(value, trained[name], rtol=1e-3, atol=1e-6)
    on_disk = safetensors.torch.load_file(half_bundle.path(WEIGHTS))
    assert on_disk["encoder.backbone.conv1.weight"].dtype == torch.float16


def test_weights_that_were_tampered_with_are_refused(half_bundle, tmp_path):
    copy = shutil.copytree(half_bundle.directory, tmp_path / "copy")
    with (copy / WEIGHTS).open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"!")
    with pytest.raises(BundleError, match=r"weights\.safetensors: expected sha256"):
        bundle_weights(copy)
    with pytest.raises(BundleError, match=r"weights\.safetensors: expected sha256"):
        update_metrics(read_bundle(copy), {"iou": 1.0})


def test_graphs_that_disagree_with_torch_are_no_bundle(tiny_checkpoint, tmp_path, monkeypatch):
    """A decoder whose batch norms are folded without their shift."""
    whole = graphs._fold_into_next

    def without_shift(norm, linear):
        folded = whole(norm, linear)
        folded.bias.data.copy_(linear.bias)
        return folded

    monkeypatch.setattr(graphs, "_fold_into_next", without_shift)
    with pytest.raises(TrainingError, match=r"expected the graphs to agree with torch to 0\.0001 in probability, found "):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", CARD)
    assert list(tmp_path.iterdir()) == []


def test_half_storage_that_costs_too_much_is_no_bundle(tiny_checkpoint, tiny_bundle, tmp_path, monkeypatch):
    exact = {file: (tiny_bundle / file).read_bytes() for file in (ENCODER, DECODER)}
    monkeypatch.setattr(export, "_files", lambda network, image_size, half: exact)
    monkeypatch.setattr(export, "HALF_TOLERANCE", 1e-9)
    with pytest.raises(TrainingError, match="expected the graphs to agree with torch to 1e-09"):
        export_bundle(tiny_checkpoint, tmp_path / "bundle", CARD)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_no_bundle(tiny_checkpoint, tmp_path):
    state = load_checkpoint(tiny_checkpoint)
    state["network"]["decoder.first.bias"][0] = torch.nan
    save_checkpoint(tmp_path / "broken.pt", {name: value for name, value in state.items() if name != "format"})
    with pytest.raises(TrainingError, match="found nan"):
        export_bundle(tmp_path / "broken.pt", tmp_path / "bundle", CARD, half=False)
    assert not (tmp_path / "bundle").exists()


def test_recorded_metrics_keep_a_bundle_valid(half_bundle, tmp_path):
    copy = shutil.copytree(half_bundle.directory, tmp_path / "copy")
    config = EvaluationConfig(split="val", resolution=64)
    score, undefined = Score(0.5, *[0.25] * 9), Score(0.125, 0.0625, 0.75, 0.75, math.nan, 0.0, math.nan, 0.0, 1.0, 0.5)
    means = {"this bundle": score, "another": undefined}
    metrics = Scores(config, 12, 3, means, means, {BUNDLE: {"machine": undefined}}, {BUNDLE: {"pulley": undefined}}).to_json()
    updated = update_metrics(read_bundle(copy), metrics)
    again = read_bundle(copy)
    assert updated == again
    assert again.manifest.metrics == metrics
    assert again.sha256 != half_bundle.sha256
    assert bundle_weights(copy).keys() == bundle_weights(half_bundle.directory).keys()
    card = (copy / "README.md").read_text()
    assert "12 samples of the val split, as served at resolution 64" in card
    assert "3 samples have no sharp edges" in card
    assert f"| this bundle | 0.500 |{' 0.250 |' * 9}" in card
    assert "| IoU | Chamfer-L1 | F-score | normals | ECD |" in card
    for name in ("another", "category machine", "family pulley"):
        assert f"| {name} | 0.125 | 0.0625 | 0.750 | 0.750 | – |" in card
    files = json.loads((copy / MANIFEST).read_text())["files"]
    assert {name: files[name] for name in (ENCODER, DECODER, WEIGHTS)} == {
        name: half_bundle.manifest.files[name] for name in (ENCODER, DECODER, WEIGHTS)
    }

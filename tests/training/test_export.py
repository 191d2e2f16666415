"""Export: finished only when the graphs were run against torch."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

from model.culling import UNCALIBRATED_SLOPES
from model.errors import BundleError
from model.field import QueryGrid
from model.networks.decoder import Decoder
from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
from model.runtime.bundle import DECODER, DECODER_HALF, ENCODER, MANIFEST, WEIGHTS, read_bundle
from model.runtime.onnx_field import OnnxNetwork
from model.runtime.sessions import open_session
from training import export, graphs
from training.checkpoints import load_checkpoint, network_of, save_checkpoint
from training.errors import TrainingError
from training.evaluation.evaluate import EvaluationConfig, Scores
from training.evaluation.metrics import Score
from training.evaluation.predictors import BUNDLE
from training.export import BundleIdentity, bundle_weights, export_bundle, update_metrics

CARD = BundleIdentity("half", "2", "CC-BY-4.0", ("a source", "another"))


@pytest.fixture(scope="module")
def half_bundle(tiny_checkpoint, tmp_path_factory):
    return export_bundle(tiny_checkpoint, tmp_path_factory.mktemp("bundles") / "half", CARD)


def answers(directory, decoder: str = DECODER) -> np.ndarray:
    grid = QueryGrid(32)
    rng = np.random.default_rng(0)
    network = OnnxNetwork.load(read_bundle(directory), "cpu", threads=1)
    field = replace(network, decoder=open_session(directory / decoder, "cpu", threads=1)).encode(
        rng.standard_normal((1, 3, 64, 64), dtype=np.float32), grid, np.ones(grid.shape[:2], np.bool_)
    )
    return field.query(rng.integers(0, 33 * 33, 2000), rng.uniform(-0.75, 0.75, 2000).astype(np.float32))


def test_half_storage_halves_the_graphs_and_keeps_the_answers(half_bundle, tiny_bundle):
    full, half = ((directory / ENCODER).stat().st_size for directory in (tiny_bundle, half_bundle.directory))
    assert half == pytest.approx(full / 2, rel=0.05)
    found, expected = answers(half_bundle.directory), answers(tiny_bundle)
    np.testing.assert_allclose(found, expected, atol=export.HALF_TOLERANCE)
    assert not np.array_equal(found, expected)


def test_the_half_decoder_comes_with_half_storage_and_keeps_the_answers(half_bundle, tiny_bundle):
    """On a CPU ONNX Runtime casts around what it has no fp16 kernel for, so what is rounded is what a GPU rounds."""
    assert DECODER_HALF in half_bundle.manifest.files
    assert DECODER_HALF not in read_bundle(tiny_bundle).manifest.files
    found, expected = answers(half_bundle.directory, DECODER_HALF), answers(tiny_bundle)
    np.testing.assert_allclose(found, expected, atol=export.HALF_TOLERANCE)
    assert not np.array_equal(found, answers(half_bundle.directory))


def test_the_half_decoder_computes_in_half_but_for_its_ends(half_bundle):
    graph = onnx.load(half_bundle.directory / DECODER_HALF).graph
    types = {weight.name: weight.data_type for weight in graph.initializer}
    products = [types[node.input[1]] for node in graph.node if node.op_type == "Gemm"]
    assert products == [onnx.TensorProto.FLOAT16] * 3 + [onnx.TensorProto.FLOAT]
    assert types["depth_weight"] == onnx.TensorProto.FLOAT


def steep_decoder() -> Decoder:
    """One whose first layer answers a change of z of 1e-4, a fortieth of a voxel, and saturates nowhere near."""
    torch.manual_seed(0)
    decoder = OccupancyNetwork(NetworkConfig(pyramid_channels=8, decoder_widths=(32, 24, 16, 8))).eval().decoder
    with torch.no_grad():
        decoder.first.weight[:, -1] = torch.where(torch.arange(32) % 2 == 0, 1000.0, -1000.0)
    return decoder


def test_the_half_decoder_does_not_round_depths(tmp_path):
    """Around z = 0.7, where fp16 knows steps of 0.0005; the plane takes away the depth term of 0.7 itself."""
    decoder = steep_decoder()
    network = OccupancyNetwork(NetworkConfig(pyramid_channels=8, decoder_widths=(32, 24, 16, 8)))
    network.decoder = decoder
    steps = np.linspace(-1e-3, 1e-3, 41)
    inputs = {
        "plane": np.float32(-0.7) * decoder.position_weights[:, 2].detach().numpy()[None],
        "columns": np.zeros(41, np.int64),
        "depths": (0.7 + steps).astype(np.float32),
    }
    found = {}
    for file, content in (
        (DECODER, graphs.decoder_bytes(network, half=False)),
        (DECODER_HALF, graphs.half_decoder_bytes(network)),
    ):
        (tmp_path / file).write_bytes(content)
        session = open_session(tmp_path / file, "cpu", threads=1).ort
        (found[file],) = session.run(["occupancy"], inputs)
        rounded = inputs["depths"].astype(np.float16).astype(np.float32)
        (found[f"{file} rounded"],) = session.run(["occupancy"], {**inputs, "depths": rounded})
    scale = np.ptp(found[DECODER])
    assert np.abs(found[DECODER] - found[f"{DECODER} rounded"]).max() > 0.1 * scale  # rounding z would be seen
    np.testing.assert_allclose(found[DECODER_HALF], found[DECODER], rtol=0, atol=0.01 * scale)


def test_a_half_decoder_that_was_tampered_with_is_refused(half_bundle, tmp_path):
    copy = shutil.copytree(half_bundle.directory, tmp_path / "copy")
    with (copy / DECODER_HALF).open("ab") as stream:
        stream.write(b"!")
    with pytest.raises(BundleError, match=r"decoder_half\.onnx: expected sha256"):
        read_bundle(copy)
    (copy / DECODER_HALF).unlink()
    with pytest.raises(BundleError, match=r"expected decoder_half\.onnx, found none"):
        read_bundle(copy)


@pytest.mark.parametrize("worst", [math.nan, 0.0201])
def test_a_half_decoder_that_strays_is_not_shipped(half_bundle, tiny_checkpoint, tmp_path, monkeypatch, worst):
    network = network_of(load_checkpoint(tiny_checkpoint))[0]
    copy = read_bundle(shutil.copytree(half_bundle.directory, tmp_path / "copy"))
    content = copy.path(DECODER_HALF).read_bytes()
    monkeypatch.setattr(export, "half_decoder_bytes", lambda network: content)
    assert export._half_decoder(copy, network) == {DECODER_HALF: content}
    monkeypatch.setattr(export, "_worst_difference", lambda exported, network, image_size: worst)
    assert export._half_decoder(copy, network) == {}


def test_a_half_decoder_is_compared_with_torch(half_bundle, tiny_checkpoint, tmp_path, monkeypatch):
    """One with another network's logits."""
    network = network_of(load_checkpoint(tiny_checkpoint))[0]
    copy = read_bundle(shutil.copytree(half_bundle.directory, tmp_path / "copy"))
    graph = onnx.load(copy.path(DECODER_HALF))
    (bias,) = (weight for weight in graph.graph.initializer if weight.name == "last.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(1), bias.name))
    monkeypatch.setattr(export, "half_decoder_bytes", lambda network: graph.SerializeToString())
    assert export._half_decoder(copy, network) == {}


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
    for file in (ENCODER, DECODER, DECODER_HALF):
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


def test_a_graph_that_mixes_the_pictures_of_a_batch_is_no_bundle(tiny_checkpoint, tmp_path, monkeypatch):
    """Right for one picture, and for the first of two. The tiny network sees one ball in all pictures, so the graph is made to
    see them better."""

    class Mixing(graphs.EncoderGraph):
        def forward(self, image, lateral):
            return super().forward(image[:1].expand_as(image), lateral)

    state = load_checkpoint(tiny_checkpoint)
    state["network"]["decoder.first.weight"][:, :-3] *= 50
    save_checkpoint(tmp_path / "seeing.pt", {name: value for name, value in state.items() if name != "format"})
    monkeypatch.setattr(graphs, "EncoderGraph", Mixing)
    with pytest.raises(TrainingError, match=r"expected the graphs to agree with torch to 0\.0001 in probability, found "):
        export_bundle(tmp_path / "seeing.pt", tmp_path / "bundle", CARD)
    assert not (tmp_path / "bundle").exists()


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


def test_with_prepared_sets_the_query_is_calibrated_unless_told_otherwise(tiny_checkpoint, tiny_set, tmp_path):
    def exported(name: str, **choice):
        return export_bundle(
            tiny_checkpoint, tmp_path / name, CARD, data_dirs=[tiny_set.directory], half=False, **choice
        ).manifest

    calibrated, plain = exported("calibrated"), exported("plain", calibrate_query=False)
    assert calibrated.culling.sizes == {32}  # of the few views of the tests, at resolution 64
    assert plain.culling.slopes == UNCALIBRATED_SLOPES
    assert [("--no-calibrate-query" in manifest.origin.commands[-1]) for manifest in (calibrated, plain)] == [False, True]

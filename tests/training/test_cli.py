"""The training commands, from run file to judged bundle."""

import json

import pytest
import typer
from typer.testing import CliRunner

from model.runtime.bundle import read_bundle
from training.checkpoints import load_checkpoint
from training.cli import register
from training.errors import TrainingError

RUN = """
name = "small"
image_size = 32
[network]
pyramid_channels = 4
decoder_widths = [8, 8, 8, 8]
[points]
near = 60
uniform = 40
[optimisation]
batch_size = 2
steps = 2
[intervals]
sample_views = 0
"""


@pytest.fixture
def run():
    app = typer.Typer()
    register(app)

    def invoke(*arguments) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


def test_each_command_explains_itself(run):
    assert all(command in run("--help") for command in ("data", "train", "export", "evaluate"))
    assert "--backbone-weights" in run("train", "--help")


def test_a_run_file_becomes_a_bundle_with_its_figures(run, tiny_set, tmp_path):
    (tmp_path / "run.toml").write_text(RUN)
    run(
        "train", tmp_path / "run.toml", "--data", tiny_set.directory, "--out", tmp_path / "run", "--device", "cpu", "--threads", 1
    )
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 2
    out = tmp_path / "bundle"
    run("export", tmp_path / "run" / "checkpoint.pt", "--out", out, "--name", "mine", "--attribution", "a", "--attribution", "b")
    assert (read_bundle(out).name, read_bundle(out).manifest.attribution) == ("mine", ("a", "b"))
    report = tmp_path / "reports" / "figures.json"
    shown = run("evaluate", out, "--data", tiny_set.directory, "--resolution", 32, "--record", "--report", report)
    assert "extruded silhouette" in shown
    figures = json.loads(report.read_text())
    assert figures["samples"] == 2
    assert {sample["name"] for sample in figures.pop("per_sample")} == {"test-0", "test-1"}
    recorded = read_bundle(out).manifest.metrics
    assert {failure["name"] for failure in recorded.pop("failures")} == {"test-0", "test-1"}
    assert recorded == figures
    assert (out / "samples.webp").is_file()
    (tmp_path / "on.toml").write_text(RUN.replace('"small"', '"on"'))
    arguments = ("--data", tiny_set.directory, "--out", tmp_path / "on", "--init", out, "--device", "cpu")
    run("train", tmp_path / "on.toml", *arguments)


def test_a_missing_set_is_told_in_words(run, tmp_path):
    (tmp_path / "run.toml").write_text(RUN)
    with pytest.raises(TrainingError, match=r"index\.json"):
        run("train", tmp_path / "run.toml", "--data", tmp_path / "nowhere", "--out", tmp_path / "run", "--device", "cpu")

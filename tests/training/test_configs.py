"""Run files: what they may say, and what is said of those that say something else."""

import json
from pathlib import Path

import pytest

import training
from training.configs import BackgroundConfig, NetworkConfig, PhotometryConfig, RunConfig, read_run, run_from_json, run_to_json
from training.errors import TrainingError

RUNS = sorted((Path(training.__file__).parent / "runs").glob("*.toml"))


@pytest.fixture
def run_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def test_there_is_a_recipe_for_each_purpose():
    assert {"default", "finetune", "h200", "paper", "shapenet", "smoke"} <= {path.stem for path in RUNS}


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_each_recipe_of_the_package_reads_and_is_named_after_its_file(path):
    assert read_run(path).name == path.stem


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_run_survives_json(path):
    config = read_run(path)
    assert run_from_json(json.loads(json.dumps(run_to_json(config)))) == config


def test_a_run_that_was_saved_without_backgrounds_and_photometry_stands_on_white():
    """So a checkpoint from before they were there still equals its run file."""
    config = read_run(next(path for path in RUNS if path.stem == "default"))
    saved = run_to_json(config)
    for name in ("background", "photometry"):
        del saved["augmentation"][name]
    assert run_from_json(saved).augmentation.background == BackgroundConfig(white=1.0, mask_error=0.0)
    assert run_from_json(saved).augmentation.photometry == PhotometryConfig(exposure=0.0, noise=0.0, jpeg=0.0)


def test_what_a_run_file_leaves_out_is_the_papers(run_file):
    config = read_run(run_file('name = "plain"'))
    assert config == RunConfig(name="plain")
    assert (config.points.near, config.points.uniform, config.optimisation.learning_rate) == (9872, 128, 1e-4)
    assert (config.labels.rule, config.labels.factor, config.labels.s_min, config.labels.s_max) == ("paper", 1.5, 0.1, 0.95)
    assert config.network == NetworkConfig(variant="pyramid", pyramid_channels=256)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('nam = "x"', r"name: .*; nam: Unexpected"),
        ('name = "x"\n[points]\nnearby = 3', "points.nearby: "),
        ('name = "x"\n[network]\npyramid_chanels = 3', "network.pyramid_chanels: "),
        ('name = "x"\n[optimisation]\nsteps = "many"', r"optimisation.steps: .*'many'"),
        ('name = "x"\n[optimisation]\nlearning_rate = 0.0', "optimisation.learning_rate: .*greater than 0"),
        ('name = "x"\n[network]\nvariant = "transformer"', "network.variant: .*'global', 'backbone' or 'pyramid'"),
        ('name = "x"\n[network]\ndecoder_widths = [8, 8]', "network.decoder_widths"),
        ('name = "x"\n[labels]\nrule = "hard"', "labels.rule: .*'hard'"),
        ('name = "x"\n[labels]\ns_min = 0.001', "labels.s_min: .*0.02"),
        ('name = "No Spaces"', "name: .*'No Spaces'"),
        ('name = "x"\n[intervals]\nsample_resolution = 49', "intervals.sample_resolution: .*multiple of 2"),
        ('name = "x"\nimage_size = 8', "image_size: .*32"),
        ('name = "x"\n[augmentation.background]\nwhyte = 1.0', "augmentation.background.whyte: Unexpected"),
        ('name = "x"\n[augmentation.background]\nwhite = 0.0', "augmentation.background: .*a positive weight"),
        ('name = "x"\n[augmentation.photometry]\njpeg = 2.0', "augmentation.photometry.jpeg: .*less than or equal to 1"),
        ("", "name: "),
    ],
)
def test_a_wrong_entry_is_named(run_file, text, told):
    with pytest.raises(TrainingError, match=rf"run\.toml: {told}"):
        read_run(run_file(text))


def test_all_wrong_entries_are_told_at_once(run_file):
    with pytest.raises(TrainingError, match=r"seeds: .*; .*image_sise: "):
        read_run(run_file('name = "x"\nseeds = 3\nimage_sise = 64'))


def test_broken_toml_is_told_with_its_place(run_file):
    with pytest.raises(TrainingError, match=r"run\.toml: expected TOML, .*line 2"):
        read_run(run_file('name = "x"\nseed == 3'))


def test_a_run_file_that_is_no_text_is_refused_in_words(tmp_path):
    (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrainingError, match=r"run\.toml: expected TOML"):
        read_run(tmp_path / "run.toml")


def test_a_missing_run_file_is_told(tmp_path):
    with pytest.raises(TrainingError, match=r"nowhere\.toml: expected a run file, found none"):
        read_run(tmp_path / "nowhere.toml")

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import trimesh
import typer

import app.cli
import model.reconstructor
from app.cli import TRAINING_COMMANDS, main, write_atomically
from model.errors import BundleError, NoForeground
from model.runtime.turns import AT_ONCE
from tests.app.service import FakeReconstructor


@pytest.fixture(autouse=True)
def no_installed_commands(monkeypatch):
    """The command line by itself; tests that want further commands install their own."""
    monkeypatch.setattr(app.cli, "entry_points", lambda group: [])


@pytest.fixture
def loaded(monkeypatch):
    """What the command line loads in place of a bundle, and with which arguments it did."""
    fake = FakeReconstructor()
    fake.loads = []

    def load(*arguments):
        fake.loads.append(arguments)
        return fake

    monkeypatch.setattr(model.reconstructor.Reconstructor, "load", load)

    def reconstruct(photo, options, mask, *, stage):
        prepared = fake.prepare(photo, options, mask)
        return fake.reconstruct_prepared(prepared, options, stage=stage, turns=AT_ONCE, progress=lambda share: None)

    fake.reconstruct = reconstruct
    return fake


@pytest.fixture
def photo_file(photo, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    return path


def run(*arguments):
    """The exit code of one command."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return stop.value.code or 0


@pytest.mark.parametrize("extension", ["glb", "obj", "stl", "ply"])
def test_the_extension_chooses_the_format(loaded, photo_file, tmp_path, capsys, extension):
    output = tmp_path / f"part.{extension}"
    assert run("reconstruct", photo_file, "-o", output) == 0
    assert len(trimesh.load(output, force="mesh").faces) == 4
    assert "4 faces, watertight" in capsys.readouterr().out


def test_the_format_option_overrides_the_extension(loaded, photo_file, tmp_path):
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.bin", "--format", "ply") == 0
    assert (tmp_path / "part.bin").read_bytes().startswith(b"ply")


def test_every_option_reaches_the_reconstructor(loaded, photo_file, tmp_path):
    options = ["--resolution", 64, "--level", 0.4, "--keep", "all", "--target-faces", 500, "--size", 0.2, "--size-axis", "depth"]
    options += ["--smooth", 3, "--camera", "pinhole", "--focal-length-px", 900, "--elevation", -12.5, "--confidence"]
    places = ["--mask", photo_file, "--bundle", tmp_path, "--device", "cpu", "--background", "mask"]
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.glb", *options, *places) == 0
    asked = loaded.asked[0]
    assert asked.options == model.reconstructor.Options(
        resolution=64,
        level=0.4,
        keep="all",
        smooth=3,
        target_faces=500,
        camera="pinhole",
        focal_length_px=900,
        elevation=-12.5,
        size=0.2,
        size_axis="depth",
        confidence=True,
        background="mask",
    )
    assert asked.mask.shape == (48, 64)
    assert loaded.loads == [(tmp_path, "cpu", None)]


def test_a_distance_reaches_the_reconstructor_in_place_of_a_size(loaded, photo_file, tmp_path):
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.glb", "--distance", 0.7) == 0
    assert loaded.asked[0].options == model.reconstructor.Options(distance=0.7)


@pytest.mark.parametrize("extension", ["obj", "stl"])
def test_a_format_without_attributes_is_wrong_usage_beside_confidence(loaded, photo_file, tmp_path, capsys, extension):
    assert run("reconstruct", photo_file, "-o", tmp_path / f"part.{extension}", "--confidence") == 2
    assert "glb, ply" in " ".join(capsys.readouterr().err.split())
    assert loaded.asked == []


def test_options_that_do_not_fit_together_are_wrong_usage(loaded, photo_file, tmp_path, capsys):
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.glb", "--camera", "orthographic", "--distance", 1) == 2
    assert_one_line(capsys, "distance: expected none for an orthographic camera")


def assert_one_line(capsys, text):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("monotwin: ")
    assert text in lines[0]


def test_a_photo_without_object_is_one_line_and_no_file(loaded, photo_file, tmp_path, capsys):
    loaded.error = NoForeground("alpha: expected an opaque pixel, found none")
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.glb") == 1
    assert_one_line(capsys, "opaque pixel")
    assert not (tmp_path / "part.glb").exists()


def test_a_missing_photo_is_one_line(loaded, tmp_path, capsys):
    assert run("reconstruct", tmp_path / "none.png", "-o", tmp_path / "part.glb") == 1
    assert_one_line(capsys, "none.png")


def test_a_text_file_as_photo_is_one_line(loaded, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("hello")
    assert run("reconstruct", tmp_path / "letter.txt", "-o", tmp_path / "part.glb") == 1
    assert_one_line(capsys, "expected")


def test_a_bundle_that_does_not_load_is_one_line(loaded, photo_file, tmp_path, capsys, monkeypatch):
    def load(*arguments):
        raise BundleError("opset: expected 17, found 9")

    monkeypatch.setattr(model.reconstructor.Reconstructor, "load", load)
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.glb") == 1
    assert_one_line(capsys, "opset")


def test_an_option_out_of_range_is_wrong_usage(loaded, photo_file, tmp_path, capsys):
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.glb", "--resolution", 7) == 2
    assert_one_line(capsys, "resolution")


@pytest.mark.parametrize("arguments", [["-o", "part.exe"], ["-o", "part"], ["-o", "part.glb", "--format", "exe"], []])
def test_an_unknown_format_or_no_output_is_wrong_usage(loaded, photo_file, arguments):
    assert run("reconstruct", photo_file, *arguments) == 2


def test_a_bad_setting_is_one_line_that_names_the_variable(loaded, photo_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MONOTWIN_QUEUE_SIZE", "none")
    assert run("reconstruct", photo_file, "-o", tmp_path / "part.glb") == 2
    assert_one_line(capsys, "MONOTWIN_QUEUE_SIZE")


def test_serve_prefers_its_options_to_the_environment(monkeypatch, tmp_path):
    import app.server

    started = []

    def server(config, operations, drain_seconds):
        return SimpleNamespace(run=lambda: started.append((config.host, config.port)))

    monkeypatch.setattr(app.server, "Server", server)
    monkeypatch.setattr("app.telemetry.configure_logging", lambda level, log_format: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setenv("MONOTWIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MONOTWIN_HOST", "0.0.0.0")
    monkeypatch.setenv("MONOTWIN_PORT", "1")
    assert run("serve", "--port", "9000") == 0
    assert started == [("0.0.0.0", 9000)]


@pytest.mark.parametrize("address", ["postgresql://nobody@127.0.0.1:1/none", "postgresql://127.0.0.1/none", "nonsense"])
def test_a_database_of_jobs_that_cannot_be_reached_is_one_line(monkeypatch, tmp_path, capsys, address):
    monkeypatch.setattr("app.telemetry.configure_logging", lambda level, log_format: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setenv("MONOTWIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MONOTWIN_JOBS_URL", address)
    assert run("serve") == 1
    assert_one_line(capsys, "MONOTWIN_JOBS_URL")


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_keys_file_that_cannot_be_used_is_one_line_and_no_service(monkeypatch, tmp_path, capsys, content):
    monkeypatch.setattr("app.telemetry.configure_logging", lambda level, log_format: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda seconds: None)
    monkeypatch.setattr("app.server.Server.run", lambda self: pytest.fail("the service began without its keys"))
    monkeypatch.setenv("MONOTWIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MONOTWIN_KEYS_FILE", str(tmp_path / "keys.toml"))
    if content is not None:
        (tmp_path / "keys.toml").write_text(content)
    assert run("serve") == 1
    assert_one_line(capsys, "keys.toml")


def test_bundle_show_prints_the_manifest(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"name": "mine"}')
    assert run("bundle", "show", tmp_path) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "mine"}


def test_bundle_show_of_another_folder_is_one_line(tmp_path, capsys):
    assert run("bundle", "show", tmp_path) == 1
    assert_one_line(capsys, "manifest.json")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "part.glb"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(path, None)
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def install(monkeypatch, name, load):
    monkeypatch.setattr(app.cli, "entry_points", lambda group: [SimpleNamespace(name=name, load=load)])


def test_an_entry_point_adds_its_commands(monkeypatch, capsys):
    def register(commands: typer.Typer) -> None:
        @commands.command("greet")
        def greet() -> None:
            typer.echo("hello")

    install(monkeypatch, "further", lambda: register)
    assert run("greet") == 0
    assert capsys.readouterr().out == "hello\n"


def absent():
    raise ModuleNotFoundError("No module named 'torch'", name="torch")


def test_a_stand_in_is_there_for_each_training_command():
    register = pytest.importorskip("training.cli").register
    commands = typer.Typer()
    register(commands)
    assert set(typer.main.get_command(commands).commands) == set(TRAINING_COMMANDS)


@pytest.mark.parametrize("command", TRAINING_COMMANDS)
def test_without_the_training_packages_its_commands_say_what_to_install(monkeypatch, capsys, command):
    install(monkeypatch, "training", absent)
    assert run(command, "run.toml", "--epochs", "3") == 1
    assert_one_line(capsys, "pip install 'monotwin[train]'")
    assert run("--help") == 0


def test_a_command_that_finds_torch_missing_says_what_to_install(monkeypatch, capsys):
    install(monkeypatch, "training", lambda: lambda commands: commands.command("train")(absent))
    assert run("reconstruct", "--help") == 0
    capsys.readouterr()
    assert run("train") == 1
    assert_one_line(capsys, "pip install 'monotwin[train]'")


def test_another_entry_point_that_fails_is_left_out(monkeypatch, capsys):
    install(monkeypatch, "further", absent)
    assert run("bundle", "--help") == 0
    assert "'further' are left out" in capsys.readouterr().err


def test_help_needs_neither_numpy_nor_the_web_framework():
    code = "import sys, app.cli; app.cli.build(); print({'numpy', 'fastapi', 'onnxruntime', 'torch'} & set(sys.modules))"
    code = "import importlib.metadata as m; m.entry_points = lambda group: []; " + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

"""The `monotwin` command. Heavy imports, `model` among them, stand inside functions, so that `--help` is quick."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.markup import escape

from app import keys_command

if TYPE_CHECKING:
    from app.settings import Settings

COMMAND_GROUP = "monotwin.commands"
# Stand-ins keep these names when training cannot be imported.
TRAINING_COMMANDS = ("data", "train", "export", "evaluate", "report", "train-bounded", "split", "join")
TRAINING_HINT = "training needs more packages: pip install 'monotwin[train]'"
SERVING_HINT = "reconstruction needs ONNX Runtime: pip install 'monotwin[cpu]' or 'monotwin[gpu]'"
FAILURE, USAGE = 1, 2  # exit codes
# Python's own 5 ms would let a thread that writes a mesh hold up the one that feeds the device: beside one, encoding and
# querying at 128 take half the time so, and that one loses 8 % (docs/decisions/0016).
SWITCH_SECONDS = 0.0005
ANSWER_SECONDS = 5  # for answers to be sent after the work is done

Device = Annotated[Literal["auto", "cuda", "cpu"] | None, typer.Option(help="Where the network runs; MONOTWIN_DEVICE, or auto.")]
BundleFolder = Annotated[Path | None, typer.Option("--bundle", help="Bundle folder; MONOTWIN_BUNDLE, or the packaged one.")]


def build() -> typer.Typer:
    """The command with its own and all installed sub-commands."""
    app = typer.Typer(
        help="One photo of an industrial product in, one clean 3D mesh out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command()(serve)
    app.command()(reconstruct)
    bundle = typer.Typer(help="Look at exported networks.", no_args_is_help=True)
    bundle.command("show")(show_bundle)
    app.add_typer(bundle, name="bundle")
    keys_command.register(app)
    register_installed(app)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Console entry. Errors that a user can cause are one line on standard error: 1 for a failure, 2 for wrong usage."""
    try:
        build()(args=arguments, prog_name="monotwin")
    except (ModuleNotFoundError, OSError) as error:
        _fail(_missing_package(error) if isinstance(error, ModuleNotFoundError) else str(error), FAILURE)
    except Exception as error:
        from model.errors import InvalidOption, MonotwinError

        if not isinstance(error, MonotwinError):
            raise
        _fail(str(error), USAGE if isinstance(error, InvalidOption) else FAILURE)


def register_installed(app: typer.Typer) -> None:
    """Add the commands of each entry point: a function `register(app)`."""
    for entry in entry_points(group=COMMAND_GROUP):
        try:
            register: Callable[[typer.Typer], None] = entry.load()
        except ImportError as error:
            if entry.name == "training":
                register_training_stand_ins(app, str(error))
            else:
                typer.echo(f"monotwin: commands of '{entry.name}' are left out: {error}", err=True)
        else:
            register(app)


def register_training_stand_ins(app: typer.Typer, reason: str) -> None:
    """Commands that say how to get the real ones."""

    def explain() -> NoReturn:
        _fail(f"{TRAINING_HINT} ({reason})", FAILURE)

    for name in TRAINING_COMMANDS:
        anything = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command(name, help=escape(f"Not installed: {TRAINING_HINT}."), context_settings=anything)(explain)


def _missing_package(error: ModuleNotFoundError) -> str:
    """Which extra brings the package that was not found; a module of ours is no extra but a broken installation."""
    package = (error.name or "").split(".")[0]
    if package in ("app", "model", "training"):
        raise error
    return f"{SERVING_HINT if package == 'onnxruntime' else TRAINING_HINT} (missing: {package})"


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; MONOTWIN_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; MONOTWIN_PORT, or 8000.")] = None,
    bundle: BundleFolder = None,
    device: Device = None,
) -> None:
    """Start the HTTP service. docs/settings.md lists the environment variables it reads."""
    settings = _settings(host=host, port=port, bundle=bundle, device=device)

    import uvicorn
    from sqlalchemy.exc import SQLAlchemyError

    from app.connections import HEAD_SECONDS, Connection
    from app.main import create_app
    from app.server import Server
    from app.telemetry import configure_logging

    configure_logging(settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        app = create_app(settings)
        app.middleware_stack = app.build_middleware_stack()  # reads the keys, while an error can still be told
    except SQLAlchemyError as error:
        _fail(f"database of jobs (MONOTWIN_JOBS_URL): expected one that answers, found {type(error).__name__}: {error}", FAILURE)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection,
        ws="none",
        lifespan="on",  # by default an error in it, or before it, passes for a lifespan that is not there
        timeout_keep_alive=int(HEAD_SECONDS),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=ANSWER_SECONDS,
    )
    Server(config, app.state.operations, settings.drain_seconds).run()


def reconstruct(
    photo: Annotated[Path, typer.Argument(help="The photo: PNG, JPEG, WebP, BMP, TIFF; HEIC with its extra.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The mesh; its extension chooses the format.")],
    mask: Annotated[Path | None, typer.Option(help="Image of the photo's size, bright where the object is.")] = None,
    resolution: Annotated[int, typer.Option(help="Cells along the image's side: 32 to 512, a multiple of 8.")] = 256,
    level: Annotated[float | None, typer.Option(help="Occupancy at which the surface lies, 0.05 to 0.95.")] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="glb, obj, stl or ply; by default the output's extension.")
    ] = None,
    keep: Annotated[Literal["largest", "all"], typer.Option(help="Connected components to keep.")] = "largest",
    smooth: Annotated[int, typer.Option(help="Passes of Taubin's smoothing, 0 to 50.")] = 0,
    target_faces: Annotated[int | None, typer.Option(help="Simplify to at most this many triangles.")] = None,
    camera: Annotated[
        Literal["auto", "orthographic", "pinhole"], typer.Option(help="Camera of the photo; auto: the bundle's kind.")
    ] = "auto",
    focal_length_px: Annotated[
        float | None, typer.Option(help="Focal length in pixels of the upright photo; by default EXIF's.")
    ] = None,
    elevation: Annotated[float, typer.Option(help="Degrees the camera looks down; the mesh is set upright.")] = 0.0,
    size: Annotated[float | None, typer.Option(help="Real size along --size-axis, in metres.")] = None,
    size_axis: Annotated[Literal["width", "height", "depth"], typer.Option(help="What --size measures.")] = "height",
    distance: Annotated[
        float | None, typer.Option(help="Metres from the camera to the object's middle, in place of --size.")
    ] = None,
    confidence: Annotated[bool, typer.Option(help="Write what is sure and what the photo shows; glb and ply only.")] = False,
    background: Annotated[Literal["auto", "alpha", "mask", "none"], typer.Option(help="What separates the object.")] = "auto",
    bundle: BundleFolder = None,
    device: Device = None,
) -> None:
    """Turn one photo into one mesh, without a server."""
    settings = _settings(bundle=bundle, device=device)

    from model.formats import FORMATS
    from model.image import read_mask, read_photo
    from model.reconstructor import Options, Reconstructor

    name = file_format or output.suffix.removeprefix(".").lower()
    if name not in FORMATS:
        raise typer.BadParameter(f"expected one of {', '.join(FORMATS)}, found '{name}'", param_hint="--format or --output")
    if confidence and not FORMATS[name].holds_vertex_attributes:
        able = ", ".join(name for name, entry in FORMATS.items() if entry.holds_vertex_attributes)
        raise typer.BadParameter(
            f"expected a format that holds vertex attributes ({able}), found '{name}'", param_hint="--confidence"
        )
    options = Options(
        resolution=resolution,
        level=level,
        keep=keep,
        smooth=smooth,
        target_faces=target_faces,
        camera=camera,
        focal_length_px=focal_length_px,
        elevation=elevation,
        size=size,
        size_axis=size_axis,
        distance=distance,
        confidence=confidence,
        background=background,
    )
    seconds: dict[str, float] = {}

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start

    with stage("prepare"):
        image = read_photo(photo.read_bytes(), settings.max_pixels)
        object_mask = None if mask is None else read_mask(mask.read_bytes(), image, settings.max_pixels)
    with stage("load"):
        reconstructor = Reconstructor.load(settings.bundle, settings.device, settings.threads)
    mesh = reconstructor.reconstruct(image, options, object_mask, stage=stage)
    with stage("write"):
        write_atomically(output, FORMATS[name].write(mesh))
    closed = "watertight" if mesh.is_watertight else "not watertight"
    stages = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
    typer.echo(f"{output}: {len(mesh.faces)} faces, {closed}, {sum(seconds.values()):.2f} s ({stages})")


def show_bundle(
    directory: Annotated[Path | None, typer.Argument(help="Bundle folder; MONOTWIN_BUNDLE, or the packaged one.")] = None,
) -> None:
    """Print a bundle's manifest."""
    from model.errors import BundleError

    manifest = _settings(bundle=directory).bundle / "manifest.json"
    if not manifest.is_file():
        raise BundleError(f"bundle: expected a file {manifest}, found none")
    typer.echo(manifest.read_text(encoding="utf-8").rstrip())


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename: it holds its old content or all of the new, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _settings(**given: Any) -> "Settings":
    """The environment's settings, with those options over them that were given."""
    from pydantic import ValidationError

    from app.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        _fail(
            f"setting {first['loc'][0]} (MONOTWIN_{str(first['loc'][0]).upper()}): {first['msg']}, found {first['input']!r}",
            USAGE,
        )


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"monotwin: {' '.join(message.split())}", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()

"""`monotwin data`: prepared training sets."""

from pathlib import Path
from typing import Annotated

import typer
from rich import print as print_rich
from rich.markup import escape

from training.data.generate import GenerateConfig, generate

MAX_FAILED_SHARE = 0.02

data_app = typer.Typer(name="data", help="Make and inspect training sets.", no_args_is_help=True)


@data_app.callback()
def data() -> None:
    """Make and inspect training sets."""


@data_app.command("generate")
def generate_command(
    out: Annotated[Path, typer.Option(help="Folder of the set; what it holds already is kept.")],
    shapes: Annotated[int, typer.Option(min=1, help="Number of shapes, families taking turns.")],
    views: Annotated[int, typer.Option(min=1, help="Pictures of each shape.")] = 8,
    image_size: Annotated[int, typer.Option(min=16, help="Side of a picture in pixels.")] = 128,
    near_points: Annotated[int, typer.Option(min=0, help="Labelled points near each surface.")] = 24_000,
    uniform_points: Annotated[int, typer.Option(min=0, help="Labelled points all over each volume.")] = 8_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same set.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    families: Annotated[str | None, typer.Option(help="Names separated by commas; all when left out.")] = None,
) -> None:
    """Make a set of procedural parts: meshes, labelled points and rendered photographs."""
    chosen = {} if families is None else {"families": tuple(name.strip() for name in families.split(","))}
    try:
        config = GenerateConfig(
            shapes=shapes,
            views=views,
            image_size=image_size,
            near_points=near_points,
            uniform_points=uniform_points,
            seed=seed,
            **chosen,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    index = generate(config, out, workers)
    for failure in index.failures:
        print_rich(f"[red]failed[/red] {failure.family} {failure.seed}: {escape(failure.reason)}")
    counts = ", ".join(f"{len(index.shapes(split))} {split}" for split in ("train", "val", "test"))
    print_rich(f"{len(index.entries)} shapes in {out} ({counts}), {len(index.failures)} failed")
    if len(index.failures) > MAX_FAILED_SHARE * shapes:
        raise typer.Exit(1)


if __name__ == "__main__":
    data_app()

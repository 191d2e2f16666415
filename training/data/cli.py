"""`monotwin data`: make, inspect and export training sets. Heavy imports wait until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from training.data.index import DataIndex
    from training.data.sets import SetConfig, Source

data_app = typer.Typer(name="data", help="Make and inspect training sets.", no_args_is_help=True)
console = Console()

GENERATED_REJECTS = 0.02  # of a procedural set: a bad draw or two is no reason to stop a pipeline

Out = Annotated[Path, typer.Option(help="Folder of the set; what it holds already is kept.")]
Views = Annotated[int, typer.Option(min=1, help="Pictures of each shape.")]
ImageSize = Annotated[int, typer.Option(min=16, help="Side of a picture in pixels.")]
NearPoints = Annotated[int, typer.Option(min=0, help="Labelled points near each surface.")]
UniformPoints = Annotated[int, typer.Option(min=0, help="Labelled points all over each volume.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same set.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; one for each core when left out.")]
MaxRejected = Annotated[float, typer.Option(min=0, max=1, help="Share of rejects up to which the exit code is 0.")]
Seconds = Annotated[float, typer.Option(min=1, help="A shape that takes longer is rejected.")]


@data_app.callback()
def data() -> None:
    """Make and inspect training sets."""


@data_app.command("generate")
def generate_command(
    out: Out,
    shapes: Annotated[int, typer.Option(min=1, help="Number of shapes, families taking turns.")],
    views: Views = 8,
    image_size: ImageSize = 128,
    near_points: NearPoints = 24_000,
    uniform_points: UniformPoints = 8_000,
    seed: Seed = 0,
    workers: Workers = None,
    families: Annotated[str | None, typer.Option(help="Names separated by commas; all when left out.")] = None,
) -> None:
    """Make a set of procedural parts: meshes, labelled points and rendered photographs."""
    from training.data.procedural import ProceduralParts
    from training.data.sets import SetConfig

    chosen = {} if families is None else {"families": _names(families)}
    try:
        source = ProceduralParts(shapes=shapes, seed=seed, **chosen)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    config = SetConfig(views=views, image_size=image_size, near_points=near_points, uniform_points=uniform_points, seed=seed)
    _build(source, config, out, workers, GENERATED_REJECTS, None)


@data_app.command("prepare")
def prepare_command(
    folder: Annotated[Path, typer.Argument(help="CAD and mesh files, in folders as deep as you like, or an archive of shards.")],
    out: Out,
    manifest: Annotated[Path | None, typer.Option(help="CSV: file, and any of family, kind, split, unit, up, licence.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of files that do not say it: um, mm, cm, m, in, ft.")] = None,
    up: Annotated[str | None, typer.Option(help="Axis that points up in files that do not say it: y or z.")] = None,
    without_licence: Annotated[list[str] | None, typer.Option(help="SPDX identifier to leave out; repeat for several.")] = None,
    views: Views = 8,
    image_size: ImageSize = 128,
    near_points: NearPoints = 24_000,
    uniform_points: UniformPoints = 8_000,
    seed: Seed = 0,
    workers: Workers = None,
    seconds_per_file: Seconds = 300.0,
    max_rejected: MaxRejected = 0.0,
) -> None:
    """Make a set of your own CAD: STEP, STL, OBJ, GLB, glTF, PLY, OFF, 3MF. Exit code 1 when a file was rejected."""
    from training.data.sets import SetConfig

    config = SetConfig(views=views, image_size=image_size, near_points=near_points, uniform_points=uniform_points, seed=seed)
    source = _cad_source(folder, out, manifest, unit, up, seed, tuple(without_licence or ()))
    _build(source, config, out, workers, max_rejected, seconds_per_file)


@data_app.command("import")
def import_command(
    out: Out,
    renderings: Annotated[Path | None, typer.Option(help="Pictures: 3D-R2N2's ShapeNetRendering folder.")] = None,
    occnet: Annotated[Path | None, typer.Option(help="Labels, and pictures if no other: Occupancy Networks' folder.")] = None,
    meshes: Annotated[Path | None, typer.Option(help="Labels: a ShapeNetCore v1 or v2 folder.")] = None,
    hsp: Annotated[Path | None, typer.Option(help="Labels: HSP's modelBlockedVoxels256 folder.")] = None,
    imnet: Annotated[Path | None, typer.Option(help="Labels: a folder of IM-NET HDF5 files, either variant.")] = None,
    binvox: Annotated[Path | None, typer.Option(help="Labels: 3D-R2N2's ShapeNetVox32 folder.")] = None,
    splits: Annotated[Path | None, typer.Option(help="Folder of split lists: IM-NET's, Occupancy Networks' or DISN's.")] = None,
    val_share: Annotated[float, typer.Option(min=0, max=0.5, help="Of the training models, for validation.")] = 0.05,
    categories: Annotated[str | None, typer.Option(help="Names or synsets separated by commas; all when left out.")] = None,
    least_agreement: Annotated[float, typer.Option(min=0, max=1, help="Of silhouettes and labels; less is rejected.")] = 0.93,
    views: Views = 24,
    image_size: ImageSize = 128,
    near_points: NearPoints = 24_000,
    uniform_points: UniformPoints = 8_000,
    seed: Seed = 0,
    workers: Workers = None,
    seconds_per_model: Seconds = 300.0,
    max_rejected: MaxRejected = 0.0,
) -> None:
    """Make a set of ShapeNet's public derivatives: one data set's pictures, another's labels, checked against each other."""
    from training.data.readers import binvox as binvox_reader
    from training.data.readers import hsp as hsp_reader
    from training.data.readers import imnet as imnet_reader
    from training.data.readers import occnet as occnet_reader
    from training.data.readers.r2n2 import OccNetPictures, Renderings
    from training.data.readers.shapenet import ShapeNetCore, ShapeNetModels
    from training.data.readers.splits import SplitLists
    from training.data.sets import SetConfig

    readers = {
        "--meshes": (meshes, ShapeNetCore),
        "--hsp": (hsp, hsp_reader.HspLabels),
        "--imnet": (imnet, imnet_reader.ImNetLabels),
        "--occnet": (occnet, occnet_reader.OccNetLabels),
        "--binvox": (binvox, binvox_reader.BinvoxLabels),
    }
    labels = [reader(folder) for folder, reader in readers.values() if folder is not None]
    if len(labels) != 1:
        raise typer.BadParameter(f"expected labels from one of {', '.join(readers)}, found {len(labels)} of them")
    if renderings is None and occnet is None:
        raise typer.BadParameter("expected pictures from --renderings or --occnet, found neither")
    for folder in (renderings, splits, *(folder for folder, _ in readers.values())):
        if folder is not None and not folder.is_dir():
            raise typer.BadParameter(f"{folder}: expected a folder, found none")
    source = ShapeNetModels(
        pictures=OccNetPictures(occnet) if renderings is None else Renderings(renderings),
        labels=labels[0],
        splits=None if splits is None else SplitLists.read(splits).with_validation(val_share),
        categories=None if categories is None else _names(categories),
        least_agreement=least_agreement,
    )
    config = SetConfig(views=views, image_size=image_size, near_points=near_points, uniform_points=uniform_points, seed=seed)
    _build(source, config, out, workers, max_rejected, seconds_per_model)


@data_app.command("families")
def families_command(
    name: Annotated[str | None, typer.Argument(help="One family; all when left out.")] = None,
) -> None:
    """List the procedural families, or one with its parameters and the ranges they are drawn from."""
    from training.data.families import FAMILIES, split_of
    from training.data.families.describe import parameter_ranges

    if name is None:
        table = Table("family", "kind", "split", "what it is")
        for family in FAMILIES.values():
            table.add_row(family.name, family.kind, split_of(family.name), family.description)
        console.print(table)
        return
    if name not in FAMILIES:
        raise typer.BadParameter(f"expected one of {', '.join(FAMILIES)}, found {name}")
    table = Table("parameter", "range", title=f"{name}: {FAMILIES[name].description}")
    for parameter, values in parameter_ranges(name).items():
        table.add_row(parameter, values)
    console.print(table)


@data_app.command("catalogue")
def catalogue_command(
    out: Annotated[Path, typer.Option(help="Folder that gets catalogue.md and its pictures.")] = Path("docs"),
    parts: Annotated[int, typer.Option(min=1, help="Parts on each contact sheet.")] = 8,
    families: Annotated[str | None, typer.Option(help="Names separated by commas; all when left out.")] = None,
) -> None:
    """Write the page of all procedural families, with a contact sheet of each."""
    from training.data.catalogue import write_catalogue

    try:
        write_catalogue(out, parts, None if families is None else _names(families))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@data_app.command("export")
def export_command(
    out: Annotated[Path, typer.Option(help="Folder for the files, one folder a family.")],
    parts: Annotated[int, typer.Option(min=1, help="Parts of each family.")] = 3,
    formats: Annotated[str, typer.Option(help="Formats that take turns: step, stl, glb, obj, ply, off.")] = "step,stl,glb",
    families: Annotated[str | None, typer.Option(help="Names separated by commas; all when left out.")] = None,
    seed: Seed = 0,
) -> None:
    """Write procedural parts as CAD files, 200 mm long: a folder to try `monotwin data prepare` on, manifest included."""
    from training.data.catalogue import export_parts

    try:
        files = export_parts(out, parts, _names(formats), None if families is None else _names(families), seed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"{len(files)} files in {out}")


@data_app.command("sheet")
def sheet_command(
    directory: Annotated[Path, typer.Argument(help="Folder of a prepared set.")],
    out: Annotated[Path, typer.Option(help="Picture to write: .png, .webp or .jpg.")],
    shapes: Annotated[int, typer.Option(min=1, help="Shapes, spread over the set.")] = 12,
    views: Views = 4,
    split: Annotated[Literal["train", "val", "test"] | None, typer.Option(help="One split; all when left out.")] = None,
) -> None:
    """Write a contact sheet of a prepared set: one row a shape, photographs over their shadows."""
    from training.data.sheets import sheet_of_set

    sheet_of_set(directory, shapes, views, split).save(out)


def _names(listed: str) -> tuple[str, ...]:
    """ "a, b" -> ("a", "b")."""
    return tuple(name.strip() for name in listed.split(","))


def _cad_source(
    folder: Path, out: Path, manifest: Path | None, unit: str | None, up: str | None, seed: int, without_licences: tuple[str, ...]
) -> Source:
    from training.data.readers.cad import METRES
    from training.data.readers.cad_folder import CadFolder
    from training.data.readers.industrial import IndustrialShards, is_industrial

    if is_industrial(folder):
        if manifest or unit or up:
            raise typer.BadParameter(f"{folder}: expected no --manifest, --unit or --up, since the archive says it all itself")
        return IndustrialShards(directory=folder, without_licences=without_licences)
    if unit is not None and unit not in METRES:
        raise typer.BadParameter(f"--unit: expected one of {', '.join(METRES)}, found {unit}")
    if up not in (None, "y", "z"):
        raise typer.BadParameter(f"--up: expected y or z, found {up}")
    return CadFolder(
        directory=folder, unit=unit, up=up, manifest=manifest, seed=seed, without_licences=without_licences, set_folder=out
    )


def _build(source: Source, config: SetConfig, out: Path, workers: int | None, max_rejected: float, seconds: float | None) -> None:
    """Builds the set, says what became of everything, and ends with the exit code that this deserves."""
    import os

    from training.data.sets import build_set

    index = build_set(source, config, out, workers or os.cpu_count() or 1, seconds)
    print_report(index)
    if not index.entries or index.rejected_share > max_rejected:
        raise typer.Exit(1)


def print_report(index: DataIndex, shown: int = 20) -> None:
    """What became of everything that the source held: totals, the first rejects, and where the whole report is."""
    from training.data.index import REPORT_NAME

    for refusal in index.rejected[:shown]:
        console.print(f"[red]rejected[/red] {_printable(refusal.name)}: {_printable(refusal.reason)}")
    if len(index.rejected) > shown:
        console.print(f"[red]rejected[/red] {len(index.rejected) - shown} more")
    table = Table("", "train", "val", "test", "all")
    counts = [len(index.shapes(split)) for split in ("train", "val", "test")]
    families = [len({entry.family for entry in index.shapes(split)}) for split in ("train", "val", "test")]
    table.add_row("shapes", *map(str, counts), str(len(index.entries)))
    table.add_row("families", *map(str, families), str(len({entry.family for entry in index.entries})))
    console.print(table)
    repaired = sum(bool(entry.repairs) for entry in index.entries)
    folder, report = _printable(str(index.directory)), _printable(str(index.directory / REPORT_NAME))
    console.print(
        f"{len(index.entries)} shapes in {folder}, {repaired} of them with remarks; {len(index.rejected)} rejected, "
        f"{len(index.ignored)} ignored. Each is listed in {report}."
    )


def _printable(text: str) -> str:
    """Text with brackets in it, or the name of a file that is no text, for the console."""
    return escape(text.encode("utf-8", "backslashreplace").decode())

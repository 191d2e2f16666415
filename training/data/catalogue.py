"""The procedural families for people: a page with a contact sheet of each, and parts as CAD files."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import trimesh

from training.data.families import FAMILIES, Family, make_part, split_of
from training.data.families.describe import parameter_ranges
from training.data.procedural import shape_seed
from training.data.sheets import photograph_on_backdrop, tile
from training.data.step import write_step
from training.rendering.views import render_views

PAGE = "catalogue.md"
PICTURES = "catalogue"  # folder beside the page
COLUMNS = 4
PICTURE_SIDE = 160
KINDS = {
    "component": "Industrial components",
    "machine": "Industrial machines",
    "structure": "Plant and building structures",
    "other": "Other",
}
MANIFEST_NAME = "parts.csv"
HELD_OUT = {8: "val", 9: "test"}
PART_SIZE = 200.0  # millimetres: the longest side of an exported part


def write_catalogue(directory: Path, parts: int = 8, names: tuple[str, ...] | None = None) -> None:
    """Writes `catalogue.md` and one picture a family into `directory`; `names` limits which pictures are made anew."""
    for name in _checked(names):
        (directory / PICTURES).mkdir(parents=True, exist_ok=True)
        tile([_portrait(name, seed) for seed in range(parts)], COLUMNS).save(
            directory / PICTURES / f"{name}.webp", quality=80, method=6
        )
    (directory / PAGE).write_text("\n".join(_page()) + "\n", encoding="utf-8")


def export_parts(
    directory: Path, parts: int, formats: tuple[str, ...], names: tuple[str, ...] | None = None, seed: int = 0
) -> list[Path]:
    """Writes parts of each family as CAD files, millimetres, z up (y up in GLB); formats take turns.

    `MANIFEST_NAME` beside them says which they are, and holds out the ninth and tenth of every ten parts.
    """
    unknown = sorted(set(formats) - set(WRITERS))
    if unknown:
        raise ValueError(f"formats: expected some of {', '.join(WRITERS)}, found {', '.join(unknown)}")
    files: list[Path] = []
    rows: list[tuple[str, ...]] = []
    for family in _checked(names):
        (directory / family).mkdir(parents=True, exist_ok=True)
        for number in range(parts):
            suffix = formats[len(files) % len(formats)]
            part = make_part(family, shape_seed(seed, number))
            files.append(directory / family / f"{family}-{number}.{suffix}")
            WRITERS[suffix](files[-1], part.vertices * (PART_SIZE / np.ptp(part.vertices, axis=0).max()), part.faces)
            name = files[-1].relative_to(directory).as_posix()
            rows.append((name, family, part.kind, HELD_OUT.get(number % 10, "train"), "mm"))
    with (directory / MANIFEST_NAME).open("w", newline="") as file:
        csv.writer(file).writerows([("file", "family", "kind", "split", "unit"), *rows])
    return files


def _checked(names: tuple[str, ...] | None) -> tuple[str, ...]:
    """All families when None; ValueError for a name that is none."""
    unknown = sorted(set(names or ()) - set(FAMILIES))
    if unknown:
        raise ValueError(f"families: expected some of {', '.join(FAMILIES)}, found {', '.join(unknown)}")
    return names or tuple(FAMILIES)


def _portrait(name: str, seed: int) -> npt.NDArray[np.uint8]:
    """One photograph of a part, (S, S, 3)."""
    part = make_part(name, seed)
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    [view] = render_views(part.vertices, part.faces, part.vertices, 1, PICTURE_SIDE, rng)
    return photograph_on_backdrop(view.image, view.shadow)


def _page() -> list[str]:
    counts = {kind: sum(family.kind == kind for family in FAMILIES.values()) for kind in KINDS}
    totals = ", ".join(f"{title.lower()} {counts[kind]}" for kind, title in KINDS.items())
    lines = [
        "# The catalogue of procedural parts",
        "",
        "Written by `monotwin data catalogue`; `monotwin data families NAME` prints a family's parameters.",
        "",
        f"{len(FAMILIES)} families: {totals}.",
        "",
        "A part is a pure function of its family and a seed. Every part is closed; its bodies are joined or half a voxel",
        "apart at most, unless its family says otherwise; it has 500 to 30,000 faces; and all but 2 % of its area bounds",
        "walls of at least 3 voxels of 256, or of as many as its family declares. Ranges are what 200 draws showed.",
        "Lengths are in millimetres. Where a table of a standard gives them (`training/data/families/standards.py`) they are",
        "true to size; some machines and structures are scale models, since training brings every part to one size anyway.",
    ]
    for kind, title in KINDS.items():
        lines += ["", f"## {title}"]
        for family in FAMILIES.values():
            if family.kind == kind:
                lines += ["", *_section(family)]
    return lines


def _section(family: Family) -> list[str]:
    remarks = [f"Split: {split_of(family.name)}."]
    if family.loose_bodies:
        remarks.append("Holds loose bodies.")
    if family.thinnest_wall is not None:
        remarks.append(f"Thinnest wall: {family.thinnest_wall:g} voxels.")
    ranges = "; ".join(f"`{name}` {values}" for name, values in parameter_ranges(family.name).items())
    return [
        f"### {family.name}",
        "",
        f"{family.description}. {' '.join(remarks)}",
        "",
        f"![{family.name}]({PICTURES}/{family.name}.webp)",
        "",
        f"<details><summary>Parameters</summary>{ranges}</details>",
    ]


Writer = Callable[[Path, npt.NDArray[np.floating], npt.NDArray[np.integer]], None]


def _with_trimesh(path: Path, vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> None:
    trimesh.Trimesh(vertices, faces, process=False).export(path)


def _glb(path: Path, vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> None:
    """glTF wants metres and y up."""
    upright = vertices[:, [0, 2, 1]] * (1, 1, -1) / 1000
    _with_trimesh(path, upright, faces)


WRITERS: dict[str, Writer] = {
    "step": write_step,
    "stl": _with_trimesh,
    "glb": _glb,
    "obj": _with_trimesh,
    "ply": _with_trimesh,
    "off": _with_trimesh,
}

"""What people see of the procedural families and of prepared sets: pages, contact sheets, CAD files, listings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from typer.testing import CliRunner

from app.cli import build
from training.data.catalogue import KINDS, PICTURE_SIDE, WRITERS, export_parts, write_catalogue
from training.data.families import FAMILIES, make_part, split_of
from training.data.index import DataIndex
from training.data.procedural import shape_seed
from training.data.readers.cad import read_cad
from training.data.readers.cad_folder import read_manifest
from training.data.sheets import BACKDROP, photograph_on_backdrop, sheet_of_set, tile
from training.errors import TrainingError


def run(*arguments: object) -> str:
    result = CliRunner().invoke(build(), ["data", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    directory = tmp_path_factory.mktemp("docs")
    write_catalogue(directory, parts=2, names=("bolt", "caster"))
    return directory


def test_the_page_has_a_section_and_a_picture_for_every_family(page):
    text = (page / "catalogue.md").read_text()
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == [
        family.name for kind in KINDS for family in FAMILIES.values() if family.kind == kind
    ]
    assert re.findall(r"\((catalogue/\w+\.webp)\)", text) == [
        f"catalogue/{name}.webp" for name in re.findall(r"^### (\w+)$", text, re.MULTILINE)
    ]
    for family in FAMILIES.values():
        assert f"{family.description}. Split: {split_of(family.name)}." in text


def test_a_contact_sheet_shows_parts_and_not_only_backdrop(page):
    with Image.open(page / "catalogue" / "bolt.webp") as picture:
        pixels = np.array(picture.convert("RGB")).astype(int)
    assert pixels.shape == (PICTURE_SIDE, 4 * PICTURE_SIDE, 3)
    for part in range(2):
        tile_pixels = pixels[:, part * PICTURE_SIDE : (part + 1) * PICTURE_SIDE]
        assert (np.abs(tile_pixels - BACKDROP).max(axis=-1) > 40).mean() > 0.05
    assert (np.abs(pixels[:, 2 * PICTURE_SIDE :] - BACKDROP) < 10).all()


def test_the_committed_page_lists_the_families_of_today():
    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "catalogue.md").read_text()
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == set(FAMILIES)
    assert {path.stem for path in (docs / "catalogue").iterdir()} == set(FAMILIES)


def test_four_kinds_and_at_least_twenty_five_families_are_there():
    assert len(FAMILIES) >= 25
    assert {family.kind for family in FAMILIES.values()} == set(KINDS)


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_exported_part_is_the_part_itself_200_mm_long_and_upright(tmp_path, suffix):
    [file] = export_parts(tmp_path, 1, (suffix,), ("hose_fitting",), seed=3)
    part = make_part("hose_fitting", shape_seed(3, 0))
    extents = np.ptp(part.vertices, axis=0)
    found = read_cad(file, unit="mm")
    np.testing.assert_allclose(np.ptp(found.vertices, axis=0), extents / extents.max() * 0.2, rtol=1e-5)
    volumes = [
        trimesh.Trimesh(*solid, process=False).volume for solid in ((found.vertices, found.faces), (part.vertices, part.faces))
    ]
    assert volumes[0] == pytest.approx(volumes[1] * (0.2 / extents.max()) ** 3, rel=1e-4)


def test_formats_take_turns_and_families_have_folders(tmp_path):
    files = export_parts(tmp_path, 3, ("stl", "glb"), ("caster", "barrel"))
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "caster/caster-0.stl",
        "caster/caster-1.glb",
        "caster/caster-2.stl",
        "barrel/barrel-0.glb",
        "barrel/barrel-1.stl",
        "barrel/barrel-2.glb",
    ]


def test_exported_parts_come_with_a_manifest_that_holds_some_out(tmp_path):
    export_parts(tmp_path, 10, ("stl",), ("caster",))
    rows = read_manifest(tmp_path / "parts.csv")
    assert [row["split"] for row in rows.values()] == [*["train"] * 8, "val", "test"]
    assert rows["caster/caster-3.stl"] == {
        "file": "caster/caster-3.stl",
        "family": "caster",
        "kind": "other",
        "split": "train",
        "unit": "mm",
    }


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("export", "--formats", "stl, dwg"), "found dwg"),
        (("export", "--families", "bolt, teapot"), "found teapot"),
        (("catalogue", "--families", "bolt, teapot"), "found teapot"),
    ],
)
def test_an_unknown_format_or_family_is_refused_in_words(tmp_path, command, told):
    result = CliRunner().invoke(build(), ["data", *command, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert told in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())
    assert not list(tmp_path.iterdir())


def test_the_list_of_families_has_them_all_and_a_family_its_parameters():
    listing = run("families")
    assert all(name in listing for name in FAMILIES)
    bolt = run("families", "bolt")
    assert "thread" in bolt
    assert "M10" in bolt
    result = CliRunner().invoke(build(), ["data", "families", "teapot"])
    assert result.exit_code == 2
    assert "teapot" in result.output


def test_a_part_covers_the_backdrop_that_its_shadow_darkens():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    shadow = np.array([[255, 255], [0, 51]], np.uint8)
    picture = photograph_on_backdrop(rgba, shadow)
    assert picture[0, 0].tolist() == [10, 20, 30]
    assert [picture[row, column, 0] for row, column in ((0, 1), (1, 0), (1, 1))] == [BACKDROP, 0, BACKDROP / 5]


def test_tiles_fill_rows_and_leave_the_rest_of_the_last_one_empty():
    pictures = [np.full((2, 2, 3), level, np.uint8) for level in (1, 2, 3)]
    sheet = np.array(tile(pictures, 2))
    assert sheet[::2, ::2, 0].tolist() == [[1, 2], [3, BACKDROP]]


def test_a_sheet_of_a_set_has_a_row_for_each_shape(tiny_set, tmp_path):
    assert sheet_of_set(tiny_set.directory, 12, 9).size == (2 * 64, 6 * 64)
    assert sheet_of_set(tiny_set.directory, 2, 1, "train").size == (64, 2 * 64)
    run("sheet", tiny_set.directory, "--out", tmp_path / "sheet.png", "--split", "val")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size == (2 * 64, 64)


def test_a_sheet_of_nothing_is_refused_in_words(tmp_path):
    DataIndex(directory=tmp_path, arguments={}, entries=()).write()
    with pytest.raises(TrainingError, match="expected shapes in the split val, found none"):
        sheet_of_set(tmp_path, 3, 3, "val")

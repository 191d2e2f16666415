"""The report: equal budgets, figures that are computed, tables without holes, and a whole report in small."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import training
from model.errors import NoSurface
from model.image import Photo
from model.mesh import Mesh
from model.reconstructor import Options
from tests.training import solids
from training.configs import run_from_json
from training.errors import TrainingError
from training.evaluation.metrics import volume_ratio
from training.report import figures, report
from training.report.config import ReportConfig, read_report_config
from training.report.page import PAGE, sentences, write_page
from training.report.report import write_report
from training.report.results import RowResult, TrainingEffort, VolumeRatios, differences, read_results
from training.report.rows import (
    ABLATION_TABLE,
    FIXED_S,
    HARDNESS_TABLE,
    METHOD_TABLE,
    OURS,
    PAPER_METHOD,
    SURFACE_BASELINES,
    VARIANT_TABLE,
    fixed_row_name,
    report_rows,
    row_protocol,
)
from training.report.running import Bench, Remembered, sample_numbers
from training.report.standing import (
    CHAMFER,
    IOU,
    METRICS,
    Standing,
    difference,
    faint_rows,
    hardness_breaks,
    lead_sentence,
    paper_comparisons,
    unlearned_sentence,
)
from training.report.tables import ablation_table, hardness_table, method_table, metrics_table

CONFIG = ReportConfig()
DIGESTS = ["0" * 64]


def result(name: str, config=CONFIG, *, iou=0.4, chamfer=0.05, volume=1.2, **changes) -> RowResult:
    """A finished row with these means."""
    means = {metric.key: 0.5 for metric in METRICS} | {"iou": iou, "chamfer_l1": chamfer}
    row = report_rows(config)[name]
    values = {
        "name": name,
        "protocol": row_protocol(row, config, DIGESTS),
        "samples": 3,
        "family_mean": means,
        "sample_mean": means,
        "categories": {"component": means},
        "families": {"valve": means},
        "volume": VolumeRatios(
            mean=volume, deviation=0.1, lower_quartile=volume - 0.1, median=volume, upper_quartile=volume + 0.1
        ),
        "training": None
        if row.run is None
        else TrainingEffort(views=32, minutes=0.5, parameters=10, steps=[1, 2], s=[0.5, 0.4], best_f1=[0.4, 0.5]),
        "origin": {"commit": "abc", "hardware": "a machine", "torch": "2", "date": "2026-01-01"},
    }
    return RowResult(**{**values, **changes})


def by_family(name: str, *ious: float) -> RowResult:
    """A row with these IoUs, one a family, and a Chamfer-L1 of a tenth of each."""
    means = [{metric.key: 0.5 for metric in METRICS} | {"iou": iou, "chamfer_l1": iou / 10} for iou in (*ious, np.mean(ious))]
    families = {f"family-{number}": mean for number, mean in enumerate(means[:-1])}
    return result(name, families=families, family_mean=means[-1])


def with_steps(config: ReportConfig, steps: int) -> ReportConfig:
    return replace(config, optimisation=replace(config.optimisation, steps=steps))


def standing(*results: RowResult, config=CONFIG) -> Standing:
    return Standing.of(config, DIGESTS, {row.name: row for row in results})


def cells(table: str) -> list[list[str]]:
    """The lines of a table below its header."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_all_trained_rows_have_one_budget():
    """They see the same pictures and points by the same optimiser; only methods that learn from the surface see no labels."""
    runs = [row.run for row in report_rows(CONFIG).values() if row.run is not None]
    for run in runs:
        assert (run.optimisation, run.augmentation, run.seed, run.image_size) == (
            CONFIG.optimisation, CONFIG.augmentation, CONFIG.seed, CONFIG.image_size,
        )  # fmt: skip
        labelled, surface = run.points.near + run.points.uniform, run.points.surface
        assert (labelled, surface) == ((1, 1024) if run.name in SURFACE_BASELINES else (128 + 768, 0))
    assert len({json.dumps(row_protocol(row, CONFIG, [])["judged"]["resolution"]) for row in report_rows(CONFIG).values()}) == 1


def test_each_line_of_the_ablation_changes_one_thing():
    rows = report_rows(CONFIG)
    chain = [rows[name].run for name in ABLATION_TABLE if name != "backbone-binary"]
    parts = ("network", "labels", "auxiliary")
    changed = [[part for part in parts if getattr(a, part) != getattr(b, part)] for a, b in pairwise(chain)]
    assert changed == [["network"], ["labels"], ["labels"], ["auxiliary"]]
    for before, after in pairwise(chain):
        assert replace(before, name=after.name, **{part: getattr(after, part) for part in parts}) == after


def test_the_tables_name_rows_that_exist():
    rows = report_rows(CONFIG)
    for table in (METHOD_TABLE, ABLATION_TABLE, VARIANT_TABLE, HARDNESS_TABLE):
        assert set(table) <= set(rows)
        assert len(set(table)) == len(table)
    assert {rows[fixed_row_name(s)].run.labels.fixed_s for s in FIXED_S} == set(FIXED_S)


def test_a_row_is_read_as_it_was_written(tmp_path):
    row = result(OURS, family_mean={"iou": 0.25, "ecd": None})
    row.write(tmp_path)
    assert read_results(tmp_path) == {OURS: row}
    assert run_from_json(row.protocol["run"]) == report_rows(CONFIG)[OURS].run


def test_a_damaged_row_is_refused_in_words(tmp_path):
    result(OURS).write(tmp_path)
    (tmp_path / "rows" / "ours.json").write_text('{"name": "ours"}')
    with pytest.raises(TrainingError, match=r"ours\.json: expected a row of a report, found"):
        read_results(tmp_path)


def test_the_best_of_a_column_is_bold_by_the_direction_of_its_metric():
    both = standing(result("occnet", iou=0.5, chamfer=0.06), result(OURS, iou=0.4, chamfer=0.05))
    for metric, best in ((IOU, "occnet"), (CHAMFER, OURS)):
        bold = {line[0] for line in cells(method_table(both, metric)) if "**" in line[-1]}
        assert bold == {both.rows[best].title}


def test_figures_that_look_alike_are_bold_together():
    tied = standing(result("occnet", iou=0.40001), result(OURS, iou=0.40002))
    assert [line[-1] for line in cells(method_table(tied, IOU)) if line[-1] != "not run"] == ["**0.400**", "**0.400**"]


def test_a_figure_that_is_not_defined_is_a_dash():
    undefined = result(OURS, family_mean={metric.key: None for metric in METRICS})
    assert cells(metrics_table(standing(undefined)))[-1][1:] == ["–"] * len(METRICS)


def test_a_row_that_was_not_run_says_so_in_each_cell():
    assert all(cell == "not run" for line in cells(ablation_table(standing())) for cell in line[2:])


def test_a_row_of_another_budget_is_stale_and_its_figures_are_not_shown():
    """Whatever differs is named."""
    longer = with_steps(CONFIG, 99)
    mixed = standing(result("occnet", iou=0.99), result(OURS, longer), config=longer)
    assert set(mixed.results) == {OURS}
    assert mixed.stale["occnet"] == ["run.optimisation.steps 300, now 99"]
    line = next(line for line in cells(method_table(mixed, IOU)) if line[0] == "OccNet")
    assert set(line[1:]) == {"stale"}
    assert any("Stale" in sentence and "OccNet" in sentence for sentence in sentences(mixed))


def test_other_data_make_a_row_stale():
    found = Standing.of(CONFIG, ["1" * 64], {OURS: result(OURS)})
    assert not found.results
    assert found.stale[OURS] == [f'data ["{"0" * 64}"], now ["{"1" * 64}"]']


def test_differences_are_those_of_the_leaves():
    assert differences({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": 1, "c": [2]}, "e": 3}) == [
        "a.c [1], now [2]",
        "d 2, now null",
        "e null, now 3",
    ]


@pytest.mark.parametrize(
    ("metric", "ours", "expected"),
    [
        (IOU, 0.5, "ours has 0.500 and is ahead of the best baseline, DISN (0.400), by 0.100 (25%)"),
        (IOU, 0.3, "ours has 0.300 and is behind the best baseline, DISN (0.400), by 0.100 (25%)"),
        (CHAMFER, 0.02, "ours has 0.0200 and is ahead of the best baseline, IM-NET (0.0400), by 0.0200 (50%)"),
    ],
)
def test_the_lead_is_over_the_best_baseline(metric, ours, expected):
    """Predictors that learn nothing do not count."""
    baselines = (result("disn", iou=0.4, chamfer=0.05), result("imnet", iou=0.35, chamfer=0.04), result("mean-shape", iou=0.9))
    row = result(OURS, iou=ours) if metric is IOU else result(OURS, chamfer=ours)
    assert expected in lead_sentence(standing(*baselines, row), metric, "a figure")


def test_a_difference_has_the_standard_error_of_its_families():
    """The gaps are 0.1, 0.2 and 0.3: their mean is 0.2, their standard deviation 0.1. Longer distances are worse."""
    both = standing(by_family(OURS, 0.5, 0.5, 0.5), by_family("disn", 0.4, 0.3, 0.2))
    for metric, value, error in ((IOU, 0.2, 0.1 / 3**0.5), (CHAMFER, -0.02, 0.01 / 3**0.5)):
        found = difference(both, metric, OURS, "disn")
        assert (found.value, found.error, found.families) == (pytest.approx(value), pytest.approx(error), 3)
        assert found.is_clear
    assert difference(both, IOU, OURS, "imnet") is None


@pytest.mark.parametrize(("ours", "words"), [((0.5, 0.2, 0.4), "not clearly ahead of"), ((0.41, 0.32, 0.31), "is ahead of")])
def test_a_lead_that_its_spread_explains_is_not_clear(ours, words):
    """Gaps of 0.1, -0.1 and 0.1, half a standard error from nothing, and of 0.01, 0.02 and 0.01, four."""
    lead = lead_sentence(standing(by_family(OURS, *ours), by_family("disn", 0.4, 0.3, 0.3)), IOU, "IoU")
    assert words in lead
    assert "over 3 families" in lead


def test_who_is_not_ahead_of_the_best_that_learns_nothing_is_named():
    rows = (result("extruded-silhouette", iou=0.2), result("mean-shape", iou=0.3), result("occnet", iou=0.25))
    assert unlearned_sentence(standing(*rows, result(OURS, iou=0.4)), IOU, "IoU") == (
        "IoU: of the methods that learn nothing the best, mean training shape, has 0.300; not ahead of it: OccNet."
    )
    ahead = unlearned_sentence(standing(rows[0], rows[2]), IOU, "IoU")
    assert ahead.endswith("the best, extruded silhouette, has 0.200; all others are ahead of it.")


def test_rows_with_hardly_a_surface_at_their_level_are_named():
    found = standing(result("fixed-s-10", volume=0.05), result("fixed-s-50", volume=0.9), result("occnet", volume=0.01))
    assert faint_rows(found) == ["fixed-s-10"]
    assert any(said.startswith("Hardly a surface at the level of 0.5") and "v(d, 0.1)" in said for said in sentences(found))


def test_where_the_papers_order_does_not_hold_is_said():
    """Its method is the one without depths."""
    rows = (
        result("global-binary", iou=0.2),
        result("pyramid-binary", iou=0.3),
        result("fixed-s-50", iou=0.25),
        result(PAPER_METHOD, iou=0.4),
        result("occnet", iou=0.3),
    )
    found = {(c.metric.key, c.better, c.worse): c.margin for c in paper_comparisons(standing(*rows))}
    assert found["iou", "pyramid-binary", "global-binary"].value == pytest.approx(0.1)
    assert found["iou", "fixed-s-50", "pyramid-binary"].value == pytest.approx(-0.05)
    assert found["iou", PAPER_METHOD, "occnet"].value == pytest.approx(0.1)
    assert found["iou", PAPER_METHOD, "disn"] is None
    said = [sentence for sentence in sentences(standing(*rows)) if "does not hold in IoU" in sentence]
    assert said == ["It does not hold in IoU, where the paper has FPN, v(d, 0.5) before FPN, binary labels: 0.250 against 0.300."]


def test_volume_falls_with_s_or_it_is_said_where_not():
    falling = [result(fixed_row_name(s), volume=1 + s) for s in FIXED_S]
    assert hardness_breaks(standing(*falling)) == []
    assert hardness_breaks(standing(*falling[1:])) is None
    raised = [replace(row, volume=replace(row.volume, median=3.0)) if row.name == "fixed-s-30" else row for row in falling]
    assert hardness_breaks(standing(*raised)) == [("fixed-s-50", "fixed-s-30")]
    assert len(cells(hardness_table(standing(*falling)))) == len(HARDNESS_TABLE)


@pytest.mark.parametrize(("x", "y", "expected"), [(0.4, 0.4, 1.0), (0.2, 0.4, 0.5), (0.8, 0.6, 3.0)])
def test_volume_ratios_are_those_of_boxes(x, y, expected, rng):
    box = Mesh(solids.box(0.4, 0.4, 0.3)[0].astype(np.float32), solids.box()[1])
    other = Mesh(solids.box(x, y, 0.3)[0].astype(np.float32), solids.box()[1])
    assert volume_ratio(other, box, rng) == pytest.approx(expected, rel=0.03)


def test_pictured_samples_are_spread_from_the_first_to_the_last():
    assert sample_numbers(9) == [0, 2, 4, 6, 8]
    assert sample_numbers(2) == [0, 1]


def test_a_plot_drawn_twice_is_the_same_file(tmp_path):
    found = standing(*(result(name) for name in report_rows(CONFIG)))
    first, second = write_page(tmp_path / "a", found), write_page(tmp_path / "b", found)
    assert first.read_bytes() == second.read_bytes()
    for name in (figures.LABELS, figures.SCHEDULE, figures.VOLUME, figures.METHODS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_budgets_that_come_along_can_be_read():
    files = sorted((Path(training.__file__).parent / "runs" / "report").glob("*.toml"))
    assert files
    for file in files:
        assert read_report_config(file) != CONFIG


def test_a_misspelt_key_of_a_budget_is_refused_in_words(tmp_path):
    (tmp_path / "budget.toml").write_text("imagesize = 64\n")
    with pytest.raises(TrainingError, match=r"budget\.toml: imagesize: Unexpected keyword argument, found 64"):
        read_report_config(tmp_path / "budget.toml")


def test_a_row_of_no_known_name_is_refused_in_words(tiny_set, tmp_path):
    bench = Bench(ReportConfig.smoke(), (tiny_set,), tmp_path, torch.device("cpu"))
    with pytest.raises(TrainingError, match=r"rows: expected some of .*ours.*, found nerf"):
        write_report(bench, tmp_path, ("nerf",))


@pytest.fixture(scope="module")
def smoke(tiny_set, tmp_path_factory):
    """A whole report on the tiny set: its bench and its folder. Checkpoints are large, so they go when the tests are done."""
    folder = tmp_path_factory.mktemp("report")
    bench = Bench(ReportConfig.smoke(), (tiny_set,), folder / "runs", torch.device("cpu"))
    write_report(bench, folder / "out")
    yield bench, folder / "out"
    shutil.rmtree(folder)


def test_a_report_runs_every_row_and_fills_every_cell(smoke):
    bench, directory = smoke
    assert set(read_results(directory)) == set(report_rows(bench.config))
    page = (directory / PAGE).read_text()
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len(lines) > 50
    assert "not run" not in page
    assert "stale" not in page.lower()
    assert all(cell.strip() for line in lines if not set(line) <= set("|-") for cell in line.strip("|").split("|")[1:])


def test_a_reports_figures_are_there_and_small(smoke):
    _, directory = smoke
    for name in (figures.LABELS, figures.SCHEDULE, figures.VOLUME, figures.METHODS, figures.SAMPLES):
        assert 2_000 < (directory / name).stat().st_size < 300_000
        assert f"]({name})" in (directory / PAGE).read_text()


def test_a_row_keeps_what_its_figures_follow_from(smoke):
    bench, directory = smoke
    for name, row in read_results(directory).items():
        assert row.protocol == row_protocol(report_rows(bench.config)[name], bench.config, bench.data_digests)
        assert row.samples == 2
        assert 0 <= row.family_mean["iou"] <= 1
        assert set(row.families) == {"test-family-0", "test-family-1"}
        if row.training is not None:
            assert row.training.views == 8
            assert len(row.training.s) == (4 if name in (*VARIANT_TABLE, PAPER_METHOD, *map(fixed_row_name, FIXED_S)) else 0)


def test_a_finished_report_runs_nothing_again(smoke, monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a finished row was run again")

    bench, directory = smoke
    before = (directory / PAGE).read_bytes()
    monkeypatch.setattr(report, "run_row", refuse)
    write_report(bench, directory)
    assert (directory / PAGE).read_bytes() == before


def test_a_changed_budget_calls_the_rows_stale(smoke, tmp_path):
    bench, directory = smoke
    shutil.copytree(directory / "rows", tmp_path / "rows")
    changed = replace(bench, config=with_steps(bench.config, 5))
    page = write_report(changed, tmp_path, ()).read_text()
    assert "run.optimisation.steps 4, now 5" in page
    assert "not run" not in page
    assert set(Standing.of(changed.config, bench.data_digests, read_results(tmp_path)).results) == {
        "extruded-silhouette",
        "mean-shape",
    }


def test_a_remembered_predictor_works_once_for_each_photo_and_fails_as_often_as_it_is_asked():
    class Counting:
        name, camera, calls = "counting", "pinhole", 0

        def reconstruct(self, photo, options):
            self.calls += 1
            if photo.rgb.max() == 0:
                raise NoSurface("surface: expected one, found none")
            return sphere

    counting = Counting()
    sphere = Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32))
    remembered = Remembered(counting)
    grey, black = (Photo(np.full((4, 4, 3), value, np.uint8)) for value in (9, 0))
    for _ in range(2):
        assert remembered.reconstruct(grey, Options(resolution=32)) is sphere
        with pytest.raises(NoSurface):
            remembered.reconstruct(black, Options(resolution=32))
    assert counting.calls == 2
    remembered.reconstruct(grey, Options(resolution=64))
    assert counting.calls == 3

"""What the benchmarks measure obeys laws, whatever the machine; their tables can be read back."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks import latency, measure, memory, peak, plots, query, throughput
from benchmarks.service import Service, ServiceFailed, running_service
from model import Options, Photo, Reconstructor
from model.carving import carve, column_coverage
from model.field import QueryGrid, SampledBox, query_densely
from model.image import read_photo
from tests.reference import AnalyticField

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text() and path.stem != "peak"
)


@pytest.fixture(scope="module")
def reconstructor(tiny_bundle) -> Reconstructor:
    return Reconstructor.load(tiny_bundle, "cpu", threads=1)


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory) -> Path:
    """A grey triangle on a transparent ground: narrower at the top than the ball that the tiny network sees everywhere."""
    v, u = np.mgrid[-1:1:64j, -1:1:64j]
    pixels = np.full((64, 64, 4), 120, np.uint8)
    pixels[..., 3] = 255 * ((np.abs(v) < 0.8) & (2 * np.abs(u) < v + 0.8))
    path = tmp_path_factory.mktemp("photos") / "triangle.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def photo(photo_file) -> Photo:
    return read_photo(photo_file.read_bytes())


@pytest.fixture(scope="module")
def case(reconstructor, photo) -> query.Case:
    return query.Case.of(reconstructor, photo, 64)


def rows_of(text: str) -> list[dict[str, str]]:
    """The first Markdown table of a text, row by row; every row has as many cells as the header."""
    lines = re.search(r"(?:^\|.*\n?)+", text, re.MULTILINE)[0].splitlines()
    header, rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert set(rule) == {"---"}
    assert rows
    return [dict(zip(header, row, strict=True)) for row in rows]


# --- what they share


def test_a_spread_is_the_median_between_the_tenth_and_the_ninetieth_percentile():
    assert measure.Spread.of(list(range(11))) == measure.Spread(5.0, 1.0, 9.0)
    assert measure.Spread.of([2.5]) == measure.Spread(2.5, 2.5, 2.5)


def test_works_are_timed_in_turns_and_the_first_round_is_not_counted():
    called = []
    seconds = measure.in_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3)
    assert "".join(called) == "abababab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert min(min(values) for values in seconds.values()) >= 0


def test_a_table_reads_back():
    assert rows_of("text\n\n" + measure.table(["a", "b"], [(1, "x y"), (2.5, "")])) == [
        {"a": "1", "b": "x y"},
        {"a": "2.5", "b": ""},
    ]


def test_nothing_is_written_without_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measure.write_json(None, {"a": 1})
    assert list(tmp_path.iterdir()) == []
    measure.write_json(tmp_path / "out.json", {"a": [1.5]})
    assert json.loads((tmp_path / "out.json").read_text()) == {"a": [1.5]}


@pytest.mark.parametrize("script", ["latency", "memory", "plots", "query", "throughput"])
def test_each_script_says_what_it_prints_and_takes(script, capsys):
    module = {"latency": latency, "memory": memory, "plots": plots, "query": query, "throughput": throughput}[script]
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert f"python -m benchmarks.{script}" in module.__doc__
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<!\S)\[?(--[a-z-]+)", module.__doc__)) <= known


def test_make_bench_runs_scripts_that_exist():
    recipe = subprocess.run(["make", "-n", "bench"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"-m benchmarks\.(\w+)", recipe))
    assert {"latency", "query", "memory", "throughput"} <= named <= set(SCRIPTS)


# --- query


def test_layers_are_those_behind_the_first(reconstructor):
    shapes = query.layer_shapes(reconstructor.bundle)
    assert shapes == [(32, 32), (32, 32), (32, 16), (16, 1)]
    assert query.flop_per_point(shapes) == 2 * (1024 + 1024 + 512 + 16)


@pytest.mark.parametrize("operator", query.OPERATORS)
def test_a_product_multiplies(operator, rng):
    product = query.Product(operator, 5, 3, 2)
    session = query.product_session(product, 1).ort
    x = rng.standard_normal((5, 3), np.float32)
    weights = np.random.default_rng(0).standard_normal((3, 2), np.float32)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ weights, rtol=1e-5, atol=1e-6)
    assert product.flop == 2 * 5 * 3 * 2


def test_the_best_product_is_the_one_of_the_highest_rate(monkeypatch):
    seconds = {("MatMul", 4): 4.0, ("MatMul", 8): 2.0, ("Gemm", 4): 1.0, ("Gemm", 8): 3.0}
    monkeypatch.setattr(query, "product_run", lambda product, threads: lambda: (product.operator, product.rows))
    monkeypatch.setattr(query, "seconds_per_row", lambda run, rows: seconds[run()])
    found = query.best_products([(3, 2), (2, 1)], 1, rows=(4, 8))
    assert list(found) == [query.Product("Gemm", 4, 3, 2), query.Product("Gemm", 4, 2, 1)]


def test_the_ideal_is_one_over_the_sum_of_the_layers_seconds():
    first, second = query.Product("MatMul", 8, 4, 2), query.Product("Gemm", 4, 2, 1)
    rates = query.Rates(field=[100.0, 300.0, 50.0], layers={first: [1e-3, 2e-3, 3e-3], second: [1e-3, 2e-3, 1e-3]})
    assert rates.ideals == pytest.approx([500, 250, 250])
    assert rates.share == pytest.approx(0.2)  # of 0.2, 1.2 and 0.2


def test_pieces_are_the_engines_points_in_its_order(case):
    pieces = query.pieces_of(case, points=1)
    assert max(len(columns) for columns, _ in pieces) <= case.field.chunk
    for number in range(2):
        asked = np.concatenate([call[number] for call in case.calls])
        np.testing.assert_array_equal(np.concatenate([piece[number] for piece in pieces]), asked)
    assert case.asked == len(asked)


def test_rates_are_measured_and_printed_as_they_are(case, monkeypatch, capsys):
    monkeypatch.setattr(query, "PRODUCT_SECONDS", 0.0)
    products = query.best_products([(32, 16), (16, 1)], 1, rows=(64, 128))
    rates = query.measure_rates(case, products, rounds=2)
    assert len(rates.field) == 2
    assert [len(seconds) for seconds in rates.layers.values()] == [2, 2]
    measured = query.print_rates(rates, case)
    assert measured["points"] == case.asked
    rows = rows_of(capsys.readouterr().out)
    assert [row["layer"] for row in rows] == ["32 x 16", "16 x 1"]
    assert measured["share"] == rates.share
    assert measured["ideal_points_per_second"] > 0


def test_chunks_change_the_rate_alone(case, capsys):
    sizes = []
    real = type(case.field).query

    def spy(field, columns, depths):
        sizes.append((field.chunk, len(columns)))
        return real(field, columns, depths)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(case.field), "query", spy)
        rates = query.chunk_rates(case, (128, 512), rounds=1, points=1000)
    assert sizes == [(128, 1000), (512, 1000)] * 2
    query.print_chunks(rates, 512)
    assert sorted(row["of the best"] == "100.0%" for row in rows_of(capsys.readouterr().out)) == [False, True]


def test_the_twin_says_what_the_field_says(reconstructor, photo, case, capsys):
    measured = query.compare_dense(reconstructor, photo, case, 1, share=1 / 200, calls=(2048, 4096))
    assert measured["largest_difference"] < 5e-3  # the weights beside the graphs are stored as fp16
    assert measured["ratio"] == pytest.approx(measured["twin_seconds"] / measured["engine_seconds"])
    scale = measured["nodes"] / measured["timed_nodes"]
    assert measured["twin_seconds"] == pytest.approx(scale * measured["twin_slice_seconds"])
    assert measured["points_a_call"] in (2048, 4096)
    (row,) = rows_of(capsys.readouterr().out)
    assert int(row["ratio"]) == pytest.approx(measured["ratio"], abs=0.5)


@pytest.mark.parametrize(("share", "columns"), [(1, 25), (1 / 5, 5), (1 / 4, 7)])
def test_a_slice_is_whole_columns_evenly_spaced(share, columns):
    grid = QueryGrid(4)
    asked, depths = query.slice_of_nodes(grid, share)
    assert len(asked) == len(depths) == columns * 7
    assert len(set(zip(asked.tolist(), depths.tolist(), strict=True))) == len(asked)
    assert set(asked.tolist()) == set(range(0, 25, round(1 / share)))


def ends_by_hand(values, level: float) -> set[tuple[int, int, int]]:
    """Nodes at an end of a crossing edge, node by node; beyond the grid is outside."""
    inside = {tuple(node): values[tuple(node)] >= level for node in np.ndindex(values.shape)}
    ends = set()
    for node in inside:
        for axis in range(3):
            for step in (-1, 1):
                beside = tuple(index + step * (a == axis) for a, index in enumerate(node))
                if inside[node] != inside.get(beside, False):
                    ends.add(node)
    return ends


def test_crossing_nodes_are_those_that_a_loop_over_all_edges_finds(rng):
    grid = QueryGrid(8)
    values = rng.random((5, 4, 7), np.float32)
    for first in ((0, 0, 0), (2, 3, 4), (4, 5, 6)):  # at a wall, amid, at the opposite walls
        box = SampledBox(grid, first, values)
        found = query.crossing_nodes(box, 0.6)
        assert set(map(tuple, found.tolist())) == ends_by_hand(box.on_whole_grid(), 0.6)
        assert len({tuple(node) for node in found.tolist()}) == len(found)


def test_recording_changes_no_answer_and_keeps_each_point():
    field = AnalyticField(lambda points: 0.3 - np.linalg.norm(points, axis=1), 16)
    recording = query.RecordingField(field)
    np.testing.assert_array_equal(query_densely(recording), query_densely(field))
    assert 2 * sum(len(columns) for columns, _ in recording.calls) == field.asked == 2 * 17 * 17 * 25
    assert recording.grid == field.grid


def test_the_engine_asks_between_the_least_possible_and_all(reconstructor, photo, case, capsys):
    counts = [query.Asked.of(query.Case.of(reconstructor, photo, 32)), query.Asked.of(case)]
    for count in counts:
        assert 0 < count.least <= count.asked <= count.nodes == (count.resolution + 1) ** 2 * (count.resolution * 3 // 2 + 1)
    assert query.print_asked(counts) == [dataclasses.asdict(count) for count in counts]
    for row, count in zip(rows_of(capsys.readouterr().out), counts, strict=True):
        assert float(row["asked / least"]) == pytest.approx(count.asked / count.least, abs=0.005)


def test_the_least_is_that_of_the_dense_field(case):
    coverage = column_coverage(case.prepared.silhouette, case.field.grid)
    dense = SampledBox(case.field.grid, (0, 0, 0), carve(query_densely(case.field), coverage, case.level))
    assert query.least_nodes(dataclasses.replace(case, box=dense)) == query.least_nodes(case)


def test_columns_that_the_cut_decides_are_not_counted(case):
    def least(silhouette):
        return query.least_nodes(dataclasses.replace(case, prepared=dataclasses.replace(case.prepared, silhouette=silhouette)))

    right_half = np.zeros_like(case.prepared.silhouette)
    right_half[:, len(right_half) // 2 :] = 1
    ends = query.crossing_nodes(case.box, case.level)
    assert least(np.zeros_like(right_half)) == 0
    assert least(right_half) == (ends[:, 0] >= 32).sum()  # the column at u = 0 is covered to a half
    assert 0 < least(case.prepared.silhouette) < len(ends)


def test_the_roofline_is_points_over_the_ideal_rate(reconstructor, photo, case, capsys):
    rates = query.Rates([1.0], {query.Product("MatMul", 1, 1, 1): [1e-6]})
    roofline = query.measure_roofline(reconstructor, photo, case, rates, rounds=1)
    assert roofline.least == pytest.approx(query.least_nodes(case) * 1e-6)
    assert roofline.asked == pytest.approx(case.asked * 1e-6)
    assert 0 < roofline.query
    query.print_roofline(roofline, case)
    rows = rows_of(capsys.readouterr().out)
    assert rows[0]["times the least"] == "1.0"


# --- latency


def test_stages_are_timed_and_add_up(reconstructor, photo):
    measured = latency.measure(reconstructor, {"a": photo, "b": photo}, 32, repeats=2, longest=60, targets=(None, 200))
    assert [(runs.photo, runs.target_faces) for runs in measured] == [("a", None), ("b", None), ("a", 200), ("b", 200)]
    for runs in measured:
        assert set(runs.seconds) == {"total", *latency.STAGES}
        assert all(len(values) == 2 for values in runs.seconds.values())
        for number, total in enumerate(runs.seconds["total"]):
            assert sum(runs.seconds[stage][number] for stage in latency.STAGES) <= total
    mesh = reconstructor.reconstruct(photo, Options(resolution=32))
    assert [runs.faces for runs in measured[:2]] == [len(mesh.faces)] * 2
    assert all(0 < runs.faces <= 200 for runs in measured[2:])


def test_rounds_end_when_the_time_is_over_but_not_before_three(reconstructor, photo):
    (runs,) = latency.measure(reconstructor, {"a": photo}, 32, repeats=9, longest=0.0, targets=(None,))
    assert len(runs.seconds["total"]) == latency.LEAST_ROUNDS


def made_runs(photo: str, resolution: int, seconds: list[float], target: int | None = None) -> latency.Runs:
    return latency.Runs(photo, resolution, target, dict.fromkeys(("total", *latency.STAGES), seconds), 10 * resolution, 1000)


def test_photos_are_pooled_run_by_run():
    runs = [made_runs("a", 64, [1.0, 2.0]), made_runs("b", 64, [3.0, 5.0]), made_runs("a", 128, [9.0])]
    (pooled,) = latency.pooled(runs)
    assert (pooled.photo, pooled.resolution, pooled.faces) == (latency.POOLED, 64, 640)
    assert pooled.seconds["query"] == [1.0, 2.0, 3.0, 5.0]
    assert latency.pooled(runs[:1]) == []


def test_the_latency_table_shows_median_and_percentiles_in_order():
    runs = [made_runs("b", 64, [float(number) for number in range(11)], 20_000), made_runs("a", 64, [2.0, 2.0])]
    first, second = rows_of(latency.stage_table(runs))
    assert (first["photo"], first["faces wanted"], first["total s"], first["runs"]) == ("a", "all", "2.000", "2")
    low, high = map(float, second["p10 to p90"].split(" to "))
    assert (low, float(second["total s"]), high) == (1.0, 5.0, 9.0)
    assert second["faces wanted"] == "20000"


def test_both_queries_are_compared_on_one_field(reconstructor, photo):
    queries = latency.compare_queries(reconstructor, photo, 32, rounds=1)
    assert queries.ratio == queries.dense / queries.hierarchical
    (row,) = rows_of(latency.query_table([latency.Queries(64, 3.0, 0.5)]))
    assert row == {"resolution": "64", "dense query s": "3.000", "hierarchical s": "0.5000", "ratio": "6.0"}


def test_the_latency_script_prints_tables_and_writes_what_it_printed(tiny_bundle, photo_file, tmp_path, capsys):
    out = tmp_path / "latency.json"
    arguments = [
        "--bundle",
        str(tiny_bundle),
        "--photo",
        str(photo_file),
        "--resolutions",
        "32",
        "--repeats",
        "1",
        "--threads",
        "1",
    ]
    latency.main([*arguments, "--out", str(out)])
    written, rows = json.loads(out.read_text()), rows_of(capsys.readouterr().out)
    assert written["bundle"] == "tiny 1"
    for run, row in zip(written["runs"], rows, strict=True):
        assert f"{run['seconds']['total']['median']:.3f}" == row["total s"]
        for spread in run["seconds"].values():
            assert spread["p10"] <= spread["median"] <= spread["p90"]


# --- throughput


class Time:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def client_to(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(base_url="http://test", transport=httpx.MockTransport(answer))


def test_a_refused_client_waits_as_long_as_it_is_told_but_not_past_the_end():
    time, answers = Time(), iter([(200, None), (503, "2"), (200, None), (503, "60")])

    def answer(request):
        status, after = next(answers)
        time.now += 1.5 if status == 200 else 0.5
        assert b'name="resolution"\r\n\r\n48' in request.read()
        return httpx.Response(status, headers={} if after is None else {"Retry-After": after})

    clock = throughput.Clock(10.0, lambda: time.now, time.wait)
    with client_to(answer) as client:
        found = throughput.ask_repeatedly(client, b"photo", 48, clock)
    assert found == throughput.Answers(seconds=[1.5, 1.5], came=[1.5, 5.5], refusals=2)
    assert time.waited == [2.0, 4.0]


def test_a_client_asks_once_even_when_there_is_no_time():
    with client_to(lambda request: httpx.Response(200)) as client:
        assert len(throughput.ask_repeatedly(client, b"photo", 48, throughput.Clock(0.0)).seconds) == 1


def test_an_unexpected_answer_ends_the_benchmark():
    with client_to(lambda request: httpx.Response(422)) as client, pytest.raises(httpx.HTTPStatusError):
        throughput.ask_repeatedly(client, b"photo", 48, throughput.Clock(10.0))


def test_a_load_counts_what_all_clients_got():
    one = throughput.Answers(seconds=[1.0, 1.0], came=[1.0, 2.0])
    other = throughput.Answers(seconds=[2.0, 2.0], came=[2.0, 4.0], refusals=4)
    load = throughput.Load.of([one, other])
    assert (load.clients, load.meshes, load.refusals, load.per_second, load.p50) == (2, 4, 4, 1.0, 1.5)
    assert load.p50 <= load.p95 <= 2.0
    assert load.refused_share == 0.5
    single = throughput.Load(1, 2, 0, 0.5, 1.0, 1.0)
    first, second = rows_of(throughput.load_table([single, load]))
    assert (first["times 1 client's rate"], second["times 1 client's rate"]) == ("1.000", "2.000")
    assert (first["refused"], second["refused"]) == ("0.0%", "50.0%")


# --- memory


def test_the_peak_of_a_process_sees_what_was_allocated_and_keeps_it_when_freed():
    code = (
        "import numpy\nfrom benchmarks.peak import peak_bytes\n"
        "before = peak_bytes()\nnumpy.ones(100_000_000, numpy.uint8)\nprint(peak_bytes() - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout)
    assert 98e6 < grown < 110e6


@pytest.mark.skipif(not peak.STATUS.exists(), reason="only Linux tells the peak of another process")
def test_a_small_child_of_a_large_process_stays_small_and_counts_in_the_tree():
    code = (
        "import os, resource, subprocess, sys\nfrom benchmarks.peak import peak_bytes, tree_peak\n"
        "held = bytearray(200_000_000)\n"
        "child = [sys.executable, '-c', 'from benchmarks.peak import peak_bytes; print(peak_bytes()); input()']\n"
        "with subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:\n"
        "    small = int(process.stdout.readline())\n"
        "    print(small, tree_peak(os.getpid()) - peak_bytes())\n"
        "    process.communicate(b'\\n')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    small, beside = map(int, run.stdout.split())
    assert small < 50e6
    assert beside == pytest.approx(small, abs=2e6)


def test_steps_run_in_fresh_processes_without_torch(tiny_bundle, photo_file):
    bare = memory.measure_step("bare")
    done = memory.measure_step("reconstructed", tiny_bundle, photo_file, 32)
    assert not bare.torch
    assert not done.torch
    assert 5e6 < bare.own < 50e6 < done.own < 1e9
    assert bare.largest_child == done.largest_child == 0
    assert done.step == "photo to GLB at 32"
    if peak.CLEAR_REFS.exists():
        assert list(done.stages) == ["load", "prepare", "encode", "query", "extract", "refine", "write"]
        assert max(done.stages.values()) <= done.own < 1.5 * min(done.stages.values())


def test_a_step_that_imports_torch_is_found_out():
    code = "import sys\nsys.modules['torch'] = sys\nfrom benchmarks import peak\npeak.main(['bare'])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout
    assert json.loads(found)["torch"] is True


def test_the_memory_table_relates_each_step_to_the_imports():
    peaks = [
        memory.Peak("imports", 100_000_000, 0, False, 1.0, {}),
        memory.Peak("loaded", 150_000_000, 50_000_000, True, 2.0, {}),
    ]
    imports, loaded = rows_of(memory.peak_table(peaks))
    assert (imports["times imports"], imports["torch imported"], imports["largest child MB"]) == ("1.00", "no", "0")
    assert (loaded["times imports"], loaded["torch imported"], loaded["largest child MB"]) == ("2.00", "yes", "50")
    (row,) = rows_of(memory.service_table(memory.ServicePeak(2.5, 256, None, 3_000_000)))
    assert row == {"start to ready s": "2.50", "peak MB when ready": "unknown", "peak MB after a mesh at 256": "3"}


def test_the_table_of_stages_has_a_row_for_each_resolution():
    peaks = [
        memory.Peak("imports", 1, 0, False, 1.0, {}),
        memory.Peak("photo", 1, 0, False, 1.0, {"encode": 2_000_000, "query": 3_000_000}),
    ]
    assert rows_of(memory.stage_table(peaks)) == [{"peak MB": "photo", "encode": "2", "query": "3"}]
    assert "/proc" in memory.stage_table(peaks[:1])


def test_the_real_service_is_started_loaded_and_stopped(tiny_bundle, photo_file):
    with running_service(tiny_bundle, {"MONOTWIN_THREADS": "1", "MONOTWIN_DEVICE": "cpu"}) as service:
        load = throughput.load(service.url, photo_file.read_bytes(), 32, clients=2, seconds=0.0)
        resident = memory.peak_of(service.process_id)
    assert load.clients == load.meshes == 2
    assert load.refusals == 0
    assert 0 < load.p50 <= load.p95
    assert 0.1 < service.ready_seconds < 60
    assert resident is None or 50e6 < resident < 1e9
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{service.url}/health/live", trust_env=False)


def test_a_service_that_ends_is_reported_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.service.SERVE", [sys.executable, "-c", "raise SystemExit('nothing to serve')"])
    with pytest.raises(ServiceFailed, match="exit code 1:\nnothing to serve"), running_service(tmp_path):
        pass


def test_a_service_that_cannot_become_ready_is_reported_at_once(tmp_path, monkeypatch):
    body = {"state": "failed", "detail": "no bundle"}
    answer = httpx.Response(503, json=body)
    monkeypatch.setattr("benchmarks.service.client_of", lambda url: client_to(lambda request: answer))
    monkeypatch.setattr("benchmarks.service.SERVE", [sys.executable, "-c", "import signal; signal.pause()"])
    with pytest.raises(ServiceFailed, match="cannot start: no bundle"), running_service(tmp_path):
        pass


def test_a_service_is_plain_facts():
    assert dataclasses.asdict(Service("http://test", 1, 2.5)) == {"url": "http://test", "process_id": 1, "ready_seconds": 2.5}


# --- the plot


def figures_of(*runs: latency.Runs) -> dict[str, object]:
    return json.loads(json.dumps(latency.as_json(runs, [])))


def test_the_plot_takes_unbounded_runs_of_all_photos_together():
    runs = [made_runs("a", 128, [2.0]), made_runs("a", 64, [1.0]), made_runs("a", 64, [9.0], 20_000), made_runs("all", 64, [3.0])]
    figures = figures_of(*runs)
    assert [run["seconds"]["total"]["median"] for run in plots.runs_to_plot(figures)] == [3.0]
    assert [run["resolution"] for run in plots.runs_to_plot(figures, "a")] == [64, 128]
    with pytest.raises(SystemExit, match="expected one of a, all"):
        plots.runs_to_plot(figures, "b")


def test_a_slope_is_the_power_of_the_resolution():
    runs = figures_of(made_runs("a", 64, [5.0]), made_runs("a", 128, [1.0]), made_runs("a", 512, [64.0]))["runs"]
    assert plots.slope(runs, "query") == pytest.approx(3.0)


@pytest.mark.parametrize("extension", ["webp", "svg"])
def test_the_plot_is_small_and_the_same_each_time(extension, tmp_path, capsys):
    figures = figures_of(*(made_runs("a", resolution, [resolution**2 / 1e4]) for resolution in (64, 128, 256, 512)))
    (tmp_path / "latency.json").write_text(json.dumps(figures))
    files = [tmp_path / f"{name}.{extension}" for name in ("one", "two")]
    for file in files:
        plots.main([str(tmp_path / "latency.json"), str(file)])
    assert files[0].read_bytes() == files[1].read_bytes()
    assert 5_000 < files[0].stat().st_size < 100_000
    row = rows_of(capsys.readouterr().out)[0]
    assert row == {"": "total", "slope from 256 to 512": "2.00"}

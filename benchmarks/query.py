"""How fast the decoder is asked, how often, and how much of both was needed: each against its slow or its ideal twin.

    python -m benchmarks.query [--bundle DIR] [--photo PNG] [--threads N] [--rounds N] [--out FILE.json] [--only PART ...]

rate      points per second of `OnnxField.query`, on the points that the engine asks for a mesh, in its order and its calls,
          against matrix products alone: one graph for each decoder layer behind the first (H1 -> H2 -> H3 -> H4 -> 1), at its
          best number of rows. The ideal points per second are 1 / (sum of the layers' seconds per row), and the share is the
          median over rounds of field / ideal. Then the rate by points a call.
dense     the paper's way in torch (`tests.reference.point_logits`: every map sampled at every point, five layers) on a
          hundredth of the grid's nodes, scaled to all of them, against the seconds of the whole engine.
asked     which share of the grid's nodes the hierarchical query asks, against the least that could do: nodes at the ends of
          those grid edges that cross the level, but for columns of which the silhouette covers less than half, where the cut
          decides.
roofline  seconds that the least, and the asked, number of points would take at the ideal rate, beside the seconds taken.

Seconds are wall seconds, medians over rounds; what is divided was timed in turns in the same rounds.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from benchmarks.measure import DEFAULT_BUNDLE, SAMPLE, in_turns, introduce, medians, seconds_of, table, write_json
from model import Options, Photo, Reconstructor
from model.carving import column_coverage
from model.field import Float32, OccupancyField, QueryGrid, SampledBox
from model.image import PreparedImage, read_photo
from model.networks.occupancy_network import NetworkConfig, OccupancyNetwork
from model.runtime.bundle import ModelBundle
from model.runtime.onnx_field import OnnxField
from model.runtime.sessions import Session, open_session
from tests.reference import point_logits
from training.export import bundle_weights

PARTS = ("rate", "dense", "asked", "roofline")
RESOLUTION = 256  # of everything but `asked`
RESOLUTIONS = (64, 128, 256, 512)
CHUNKS = (512, 1024, 2048, 4096, 8192, 16_384, 32_768)
CHUNK_POINTS = 131_072  # points over which chunk sizes are compared
ROWS = (512, 1024, 2048, 4096, 8192, 16_384)
OPERATORS = ("MatMul", "Gemm")
PIECE_POINTS = 16_384  # of the engine's calls between two timings of the products
PRODUCT_SECONDS = 0.02  # one timing of a matrix product repeats it for about as long
TWIN_CALLS = (1024, 4096, 16_384, 65_536)
TWIN_SHARE = 0.01
TWIN_ROUNDS = 3  # at most: the twin alone takes minutes

Int64 = npt.NDArray[np.int64]


class RecordingField:
    """A field that remembers what it was asked, call by call."""

    def __init__(self, field: OccupancyField) -> None:
        self._field = field
        self.calls: list[tuple[Int64, Float32]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._field, name)

    def query(self, columns: Int64, depths: Float32) -> Float32:
        """Asks the field behind it."""
        self.calls.append((columns.copy(), depths.copy()))
        return self._field.query(columns, depths)


@dataclass(frozen=True)
class Case:
    """One picture, encoded for one grid, and the points that the engine asked of its field."""

    prepared: PreparedImage
    field: OnnxField
    level: float
    box: SampledBox
    calls: tuple[tuple[Int64, Float32], ...]

    @classmethod
    def of(cls, reconstructor: Reconstructor, photo: Photo, resolution: int) -> Case:
        prepared = reconstructor.prepare(photo, Options(), None)
        field = reconstructor.encode(prepared, QueryGrid(resolution))
        level = reconstructor.bundle.manifest.level
        recording = RecordingField(field)
        box = reconstructor.query(recording, prepared, level)  # type: ignore[arg-type]  # stands in for the field
        return cls(prepared, field, level, box, tuple(recording.calls))

    @property
    def asked(self) -> int:
        return sum(len(columns) for columns, _ in self.calls)


# --- rate: the field against matrix products of the same shapes


@dataclass(frozen=True)
class Product:
    """A matrix product of fixed size: x (rows, inputs) times weights (inputs, outputs)."""

    operator: str
    rows: int
    inputs: int
    outputs: int

    @property
    def flop(self) -> int:
        """Floating-point operations; a multiplication and an addition are two."""
        return 2 * self.rows * self.inputs * self.outputs


def layer_shapes(bundle: ModelBundle) -> list[tuple[int, int]]:
    """(inputs, outputs) of the decoder's layers that are paid per point: H1 -> H2 -> H3 -> H4 -> 1."""
    widths = [*bundle.manifest.network["decoder_widths"], 1]
    return list(itertools.pairwise(widths))


def flop_per_point(shapes: Sequence[tuple[int, int]]) -> int:
    """2 x the sum of inputs x outputs: the layers' products, without biases and activations."""
    return 2 * sum(inputs * outputs for inputs, outputs in shapes)


def product_session(product: Product, threads: int | None) -> Session:
    """A graph of that one operator, weights inside, opened as the engine opens its graphs."""
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.standard_normal((product.inputs, product.outputs), np.float32), "weights")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", product.inputs])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", product.outputs])
    graph = helper.make_graph([helper.make_node(product.operator, ["x", "weights"], ["y"])], "product", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        onnx.save_model(model, path)
        return open_session(path, "cpu", threads)


def product_run(product: Product, threads: int | None) -> Callable[[], None]:
    """Runs the product once a call, input and output staying where they are."""
    session = product_session(product, threads).ort
    binding = session.io_binding()
    binding.bind_cpu_input("x", np.random.default_rng(1).standard_normal((product.rows, product.inputs), np.float32))
    binding.bind_output("y", "cpu")
    return lambda: session.run_with_iobinding(binding)


def seconds_per_row(run: Callable[[], None], rows: int, budget: float = PRODUCT_SECONDS) -> float:
    """Mean over as many runs as fill `budget` seconds."""
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < budget or not count:
        run()
        count += 1
    return elapsed / count / rows


def best_products(
    shapes: Sequence[tuple[int, int]], threads: int | None, rows: Sequence[int] = ROWS
) -> dict[Product, Callable[[], None]]:
    """For each layer the operator and number of rows with the highest rate, and what runs it."""
    best = {}
    for inputs, outputs in shapes:
        runs = {
            product: product_run(product, threads)
            for product in (Product(operator, count, inputs, outputs) for operator in OPERATORS for count in rows)
        }
        for run in runs.values():
            run()  # the first run sets up memory
        rates = {product: min(seconds_per_row(run, product.rows) for _ in range(2)) for product, run in runs.items()}
        fastest = min(rates, key=rates.__getitem__)
        best[fastest] = runs[fastest]
    return best


@dataclass(frozen=True)
class Rates:
    """What the field and the products alone took in the same rounds; each list has a number for each round."""

    field: list[float]
    """Points per second."""
    layers: dict[Product, list[float]]
    """Seconds per row."""

    @property
    def ideals(self) -> list[float]:
        """Points per second of the products: 1 / (sum of the layers' seconds per row)."""
        return [1 / sum(seconds) for seconds in zip(*self.layers.values(), strict=True)]

    @property
    def share(self) -> float:
        """What the field reaches of the ideal: the median over rounds, each compared with itself."""
        return statistics.median(field / ideal for field, ideal in zip(self.field, self.ideals, strict=True))


def pieces_of(case: Case, points: int = PIECE_POINTS) -> list[tuple[Int64, Float32]]:
    """The engine's calls, cut between decoder calls, so that the products can be timed within a mesh too."""
    size = case.field.chunk * max(1, points // case.field.chunk)
    starts = ((columns, depths, start) for columns, depths in case.calls for start in range(0, len(columns), size))
    return [(columns[start : start + size], depths[start : start + size]) for columns, depths, start in starts]


def measure_rates(case: Case, products: dict[Product, Callable[[], None]], rounds: int) -> Rates:
    """A piece of the engine's calls and each product, in turns, until all pieces were asked; this is a round."""
    rates = Rates([], {product: [] for product in products})
    pieces = pieces_of(case)
    for number in range(rounds + 1):
        asking = 0.0
        rows: dict[Product, list[float]] = {product: [] for product in products}
        for columns, depths in pieces:
            asking += seconds_of(lambda columns=columns, depths=depths: case.field.query(columns, depths))
            for product, run in products.items():
                rows[product].append(seconds_per_row(run, product.rows))
        if number:
            rates.field.append(case.asked / asking)
            for product, seconds in rows.items():
                rates.layers[product].append(statistics.fmean(seconds))
    return rates


def print_rates(rates: Rates, case: Case) -> dict[str, Any]:
    layers = {product: statistics.median(seconds) for product, seconds in rates.layers.items()}
    rows = [
        (f"{p.inputs} x {p.outputs}", p.operator, p.rows, f"{1e-6 / seconds:.2f}", f"{p.flop / p.rows / seconds / 1e9:.1f}")
        for p, seconds in layers.items()
    ]
    print(f"Matrix products of the decoder's layers, points of a mesh at {case.field.grid.resolution}\n")
    print(table(["layer", "operator", "rows", "M rows/s", "GFLOP/s"], rows))
    flop = flop_per_point([(p.inputs, p.outputs) for p in layers])
    ideal, field = statistics.median(rates.ideals), statistics.median(rates.field)
    rows = [
        ("products alone", "", f"{ideal / 1e6:.3f}", f"{ideal * flop / 1e9:.1f}", "100 %"),
        ("`OnnxField.query`", case.asked, f"{field / 1e6:.3f}", f"{field * flop / 1e9:.1f}", f"{rates.share:.1%}"),
    ]
    print("\n" + table(["", "points", "M points/s", "GFLOP/s", "share"], rows) + "\n")
    return {
        "layers": [asdict(product) | {"seconds_per_row": seconds} for product, seconds in layers.items()],
        "flop_per_point": flop,
        "ideal_points_per_second": ideal,
        "field_points_per_second": field,
        "share": rates.share,
        "points": case.asked,
    }


def chunk_rates(case: Case, chunks: Sequence[int], rounds: int, points: int = CHUNK_POINTS) -> dict[int, float]:
    """Points a call -> points per second, on the first `points` of the engine's largest call."""
    columns, depths = (part[:points] for part in max(case.calls, key=lambda call: len(call[0])))

    def asking(field: OnnxField) -> Callable[[], object]:
        return lambda: field.query(columns, depths)

    works = {str(chunk): asking(replace(case.field, chunk=chunk)) for chunk in chunks}  # type: ignore[call-arg]
    return {int(name): len(columns) / seconds for name, seconds in medians(in_turns(works, rounds)).items()}


def print_chunks(rates: dict[int, float], chosen: int) -> dict[str, Any]:
    best = max(rates.values())
    rows = [(chunk, f"{rate / 1e6:.3f}", f"{rate / best:.1%}") for chunk, rate in rates.items()]
    print(f"Points a decoder call; the engine chose {chosen}\n")
    print(table(["points a call", "M points/s", "of the best"], rows) + "\n")
    return {"chosen": chosen, "points_per_second": {str(chunk): rate for chunk, rate in rates.items()}}


# --- dense: the paper's way


def torch_network(bundle: ModelBundle) -> OccupancyNetwork:
    """The bundle's network as training knows it, in evaluation mode."""
    described = bundle.manifest.network
    config = NetworkConfig(
        variant=described["variant"],
        pyramid_channels=described["pyramid_channels"],
        decoder_widths=tuple(described["decoder_widths"]),
    )
    network = OccupancyNetwork(config)
    network.load_state_dict(bundle_weights(bundle.directory))
    return network.eval()


class PointwiseTwin:
    """One picture's field the paper's way. The encoder has run; maps are sampled, and all five layers paid, at every point."""

    def __init__(self, reconstructor: Reconstructor, prepared: PreparedImage, grid: QueryGrid) -> None:
        manifest = reconstructor.bundle.manifest
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (manifest.mean, manifest.std))
        self.images = torch.from_numpy(((prepared.pixels - mean) / std)[None].astype(np.float32))
        self.grid = grid
        network = torch_network(reconstructor.bundle)
        with torch.inference_mode():
            maps = network.encoder(self.images)
        # An encoder that gives what it has already computed: the twin, too, encodes a picture once.
        self._network: Any = SimpleNamespace(encoder=lambda images: maps, decoder=network.decoder)

    def query(self, columns: Int64, depths: Float32, call: int) -> Float32:
        """Occupancy at points given as to a field, `call` points at a time."""
        u, v = np.divmod(columns, self.grid.shape[1])
        lateral = self.grid.lateral
        points = torch.from_numpy(np.stack([lateral[u], lateral[v], depths], axis=1))[None]
        with torch.inference_mode():
            parts = [torch.sigmoid(point_logits(self._network, self.images, part)[0]) for part in points.split(call, dim=1)]
        return torch.cat(parts).numpy()


def slice_of_nodes(grid: QueryGrid, share: float) -> tuple[Int64, Float32]:
    """Every node of every (1 / share)-th column of the grid, as columns and depths: nearly that share of all nodes."""
    columns = np.arange(0, grid.shape[0] * grid.shape[1], round(1 / share))
    return np.repeat(columns, grid.shape[2]), np.tile(grid.depths, len(columns))


def best_call(twin: PointwiseTwin, calls: Sequence[int]) -> int:
    """The points a call with the twin's highest rate, each tried on at least one call of every size."""
    columns, depths = slice_of_nodes(twin.grid, TWIN_SHARE)
    columns, depths = columns[: max(calls)], depths[: max(calls)]
    works = {str(call): (lambda call=call: twin.query(columns, depths, call)) for call in calls}
    seconds = medians(in_turns(works, 2, uncounted=0))
    return int(min(seconds, key=seconds.__getitem__))


def compare_dense(
    reconstructor: Reconstructor,
    photo: Photo,
    case: Case,
    rounds: int,
    *,
    share: float = TWIN_SHARE,
    calls: Sequence[int] = TWIN_CALLS,
) -> dict[str, Any]:
    """The twin's seconds for the whole grid, scaled from a slice, over the engine's from photo to mesh."""
    grid = case.field.grid
    twin = PointwiseTwin(reconstructor, case.prepared, grid)
    columns, depths = slice_of_nodes(grid, share)
    call = best_call(twin, calls)
    options = Options(resolution=grid.resolution)
    works: dict[str, Callable[[], object]] = {
        "twin": lambda: twin.query(columns, depths, call),
        "engine": lambda: reconstructor.reconstruct(photo, options),
    }
    works["engine"]()
    seconds = medians(in_turns(works, min(rounds, TWIN_ROUNDS), uncounted=0))
    nodes = int(np.prod(grid.shape))
    whole = seconds["twin"] * nodes / len(columns)
    some = slice(None, None, max(1, len(columns) // 4096))
    difference = np.abs(twin.query(columns[some], depths[some], call) - case.field.query(columns[some], depths[some])).max()
    measured = {
        "resolution": grid.resolution,
        "nodes": nodes,
        "timed_nodes": len(columns),
        "points_a_call": call,
        "torch_threads": torch.get_num_threads(),
        "twin_slice_seconds": seconds["twin"],
        "twin_seconds": whole,
        "engine_seconds": seconds["engine"],
        "ratio": whole / seconds["engine"],
        "largest_difference": float(difference),
    }
    print(f"The paper's way: {len(columns)} of {nodes} nodes in calls of {call}, torch with {torch.get_num_threads()} threads;")
    print(f"it differs from the engine's field by at most {difference:.2g} in probability\n")
    row = (grid.resolution, f"{whole:.1f}", f"{seconds['engine']:.3f}", f"{whole / seconds['engine']:.0f}")
    print(table(["resolution", "dense, point by point: s", "engine, photo to mesh: s", "ratio"], [row]) + "\n")
    return measured


# --- asked: how many nodes, against the least that could do


def crossing_nodes(box: SampledBox, level: float) -> Int64:
    """(n, 3): the grid's nodes at an end of an edge whose ends lie on both sides of the level; beyond the grid is outside."""
    inside = np.pad(box.values >= level, 1)
    ends = np.zeros_like(inside)
    for axis in range(3):
        along, along_ends = np.moveaxis(inside, axis, 0), np.moveaxis(ends, axis, 0)
        crosses = along[:-1] != along[1:]
        along_ends[:-1] |= crosses
        along_ends[1:] |= crosses
    nodes = np.argwhere(ends) + np.asarray(box.first) - 1
    kept: Int64 = nodes[((nodes >= 0) & (nodes < box.grid.shape)).all(axis=1)]
    return kept


def least_nodes(case: Case) -> int:
    """How many nodes no query can leave out: those of `crossing_nodes` in columns that the silhouette covers to a half or more.

    In the other columns the cut decides, so the picture alone tells the sign.
    """
    u, v, _ = crossing_nodes(case.box, case.level).T
    return int((column_coverage(case.prepared.silhouette, case.field.grid)[u, v] >= 0.5).sum())


@dataclass(frozen=True)
class Asked:
    """Nodes of one grid: all, those that the engine asked, the least that could do."""

    resolution: int
    nodes: int
    asked: int
    least: int

    @classmethod
    def of(cls, case: Case) -> Asked:
        grid = case.field.grid
        return cls(grid.resolution, int(np.prod(grid.shape)), case.asked, least_nodes(case))


def print_asked(counts: Sequence[Asked]) -> list[dict[str, int]]:
    print("Nodes asked\n")
    rows = [
        (
            c.resolution,
            c.nodes,
            c.asked,
            f"{c.asked / c.nodes:.3%}",
            c.least,
            f"{c.least / c.nodes:.3%}",
            f"{c.asked / c.least:.2f}",
        )
        for c in counts
    ]
    print(table(["resolution", "nodes", "asked", "of all", "least", "of all", "asked / least"], rows) + "\n")
    return [asdict(count) for count in counts]


# --- roofline: what the least would cost


@dataclass(frozen=True)
class Roofline:
    """Seconds for one mesh: of the least and of the asked points at the ideal rate, and as they were taken."""

    least: float
    asked: float
    query: float
    whole: float


def measure_roofline(reconstructor: Reconstructor, photo: Photo, case: Case, rates: Rates, rounds: int) -> Roofline:
    """Query and whole reconstruction in turns, beside the ideal's seconds."""
    counts, options = Asked.of(case), Options(resolution=case.field.grid.resolution)
    works: dict[str, Callable[[], object]] = {
        "query": lambda: reconstructor.query(case.field, case.prepared, case.level),
        "whole": lambda: reconstructor.reconstruct(photo, options),
    }
    taken = medians(in_turns(works, rounds))
    ideal = statistics.median(rates.ideals)
    return Roofline(counts.least / ideal, counts.asked / ideal, taken["query"], taken["whole"])


def print_roofline(roofline: Roofline, case: Case) -> dict[str, Any]:
    print(f"Seconds of a mesh at {case.field.grid.resolution}\n")
    named = {
        "the least nodes at the products' rate": roofline.least,
        "the asked nodes at the products' rate": roofline.asked,
        "stage query, as taken": roofline.query,
        "photo to mesh, as taken": roofline.whole,
    }
    rows = [(name, f"{seconds:.3f}", f"{seconds / roofline.least:.1f}") for name, seconds in named.items()]
    print(table(["", "seconds", "times the least"], rows) + "\n")
    return asdict(roofline) | {"resolution": case.field.grid.resolution}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Rate and number of the points asked, against what they could be.")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--photo", type=Path, default=SAMPLE)
    parser.add_argument("--resolution", type=int, default=RESOLUTION, help="of rate, dense and roofline")
    parser.add_argument("--resolutions", type=int, nargs="+", default=RESOLUTIONS, help="of asked")
    parser.add_argument("--threads", type=int, help="of the engine and of the matrix products; default: ONNX Runtime's choice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="parts to run; roofline measures rates as well")
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    wanted = parser.parse_args(arguments)
    reconstructor = Reconstructor.load(wanted.bundle, "cpu", wanted.threads)
    photo = read_photo(wanted.photo.read_bytes())
    reconstructor.warm_up()
    measured = introduce(reconstructor)
    case = Case.of(reconstructor, photo, wanted.resolution)
    if {"rate", "roofline"} & set(wanted.only):
        products = best_products(layer_shapes(reconstructor.bundle), wanted.threads)
        rates = measure_rates(case, products, wanted.rounds)
        measured["rate"] = print_rates(rates, case)
    if "rate" in wanted.only:
        measured["chunks"] = print_chunks(chunk_rates(case, CHUNKS, wanted.rounds), case.field.chunk)
    if "dense" in wanted.only:
        measured["dense"] = compare_dense(reconstructor, photo, case, wanted.rounds)
    if "asked" in wanted.only:
        measured["asked"] = print_asked([Asked.of(Case.of(reconstructor, photo, number)) for number in wanted.resolutions])
    if "roofline" in wanted.only:
        measured["roofline"] = print_roofline(measure_roofline(reconstructor, photo, case, rates, wanted.rounds), case)
    write_json(wanted.out, measured)


if __name__ == "__main__":
    main()

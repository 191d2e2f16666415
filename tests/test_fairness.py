"""What the benchmark of fairness measures obeys laws, whatever the machine."""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.fairness import Latencies, Pair, fairness_table, measure
from model import Options, Reconstructor
from model.image import read_photo
from model.runtime.engine import Engine

SAMPLE = Path(__file__).resolve().parents[1] / "docs" / "sample.png"


@pytest.fixture(scope="module")
def pair(tiny_bundle) -> Pair:
    reconstructor = Reconstructor.load(tiny_bundle, "cpu", threads=1)
    return Pair(reconstructor, reconstructor.prepare(read_photo(SAMPLE.read_bytes()), Options(), None), 32, 64)


def test_every_order_has_a_large_picture_a_round_and_small_ones_beside_it(pair):
    alone, fair, serial = measure(pair, rounds=2)
    assert [one.order for one in (alone, fair, serial)] == ["alone", "fair turns", "one by one"]
    assert (len(alone.small), len(alone.large)) == (10, 2)
    for one in (fair, serial):
        assert len(one.large) == 2
        assert len(one.small) >= 2
    assert all(seconds > 0 for one in (alone, fair, serial) for seconds in one.small + one.large)


def test_waiting_for_the_order_is_part_of_a_pictures_seconds(pair):
    clock = iter([0.1, 0.2])

    @contextmanager
    def order():
        threading.Event().wait(next(clock))
        yield

    engine = Engine()
    engine.start()
    assert pair.seconds(engine, 32, order) > 0.1
    assert pair.seconds(engine, 32, order) > 0.2
    engine.close()


def test_multiples_are_of_the_medians_alone():
    measured = [Latencies("alone", [1.0, 2.0, 3.0], [10.0]), Latencies("fair turns", [4.0, 3.0], [15.0, 25.0])]
    assert fairness_table(measured, 128, 512).splitlines()[2:] == [
        "| alone | 2.000 | 3.000 | 1.00 | 3 | 10.00 | 1.00 |",
        "| fair turns | 3.500 | 4.000 | 1.75 | 2 | 20.00 | 2.00 |",
    ]

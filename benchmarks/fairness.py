"""What a small picture waits for while a large one is in hand, and what the large one pays: fair turns beside a serial order.

    python -m benchmarks.fairness [--bundle DIR] [--photo PNG] [--small R] [--large R] [--rounds N] [--out JSON]

Each round takes, in this order, five small pictures and a large one, each alone; a large one with a stream of small ones beside
it, one after the other for as long as it takes, from a second thread through one engine; and the same while each picture has
the device, and the processor, to itself from beginning to end, so that those who come wait. Pictures are prepared beforehand;
what is timed is encode, query, extract and refine. Prints medians of all rounds, and each as a multiple of the same picture's
alone.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.measure import DEFAULT_BUNDLE, SAMPLE, introduce, seconds_of, table, write_json
from model import Options, Reconstructor
from model.image import PreparedImage, read_photo
from model.runtime.engine import Engine

SMALL, LARGE = 128, 512
ALONE = 5  # small pictures a round
PAUSE = 0.05  # seconds that a client takes before it asks again
Order = Callable[[], AbstractContextManager[object]]


@dataclass
class Latencies:
    """Seconds of every small and large picture under one order."""

    order: str
    small: list[float] = field(default_factory=list)
    large: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """One photo at two resolutions."""

    reconstructor: Reconstructor
    prepared: PreparedImage
    small: int
    large: int

    def seconds(self, engine: Engine, resolution: int, order: Order = nullcontext) -> float:
        """Of one picture, from asking to mesh; `order` is entered before it may begin."""

        def work() -> None:
            with order():
                self.reconstructor.reconstruct_prepared(self.prepared, Options(resolution=resolution), turns=engine.turns())

        return seconds_of(work)

    def side_by_side(self, engine: Engine, order: Order, into: Latencies) -> None:
        """One large picture, and small ones until it is done; at least one."""
        with ThreadPoolExecutor(1) as pool:
            large = pool.submit(self.seconds, engine, self.large, order)
            time.sleep(PAUSE)
            while True:
                into.small.append(self.seconds(engine, self.small, order))
                if large.done():
                    break
                time.sleep(PAUSE)
            into.large.append(large.result())


def measure(pair: Pair, rounds: int) -> list[Latencies]:
    """Alone, in fair turns, one by one; after a round that is not counted."""
    measured: list[Latencies] = []
    engine = Engine()
    engine.start()
    for number in range(rounds + 1):
        if number < 2:
            measured = [Latencies("alone"), Latencies("fair turns"), Latencies("one by one")]
        alone, fair, serial = measured
        alone.small += [pair.seconds(engine, pair.small) for _ in range(ALONE)]
        alone.large.append(pair.seconds(engine, pair.large))
        pair.side_by_side(engine, nullcontext, fair)
        whole = threading.Lock()
        pair.side_by_side(engine, lambda whole=whole: whole, serial)  # type: ignore[misc]
    engine.close()
    return measured


def fairness_table(measured: Sequence[Latencies], small: int, large: int) -> str:
    """A row for each order; multiples are of the first row's medians."""
    header = ["order", f"{small}: median s", "longest s", "times alone", "pictures", f"{large}: median s", "times alone"]
    base_small, base_large = (statistics.median(seconds) for seconds in (measured[0].small, measured[0].large))
    rows = []
    for one in measured:
        middle, big = statistics.median(one.small), statistics.median(one.large)
        rows.append(
            (
                one.order,
                f"{middle:.3f}",
                f"{max(one.small):.3f}",
                f"{middle / base_small:.2f}",
                len(one.small),
                f"{big:.2f}",
                f"{big / base_large:.2f}",
            )
        )
    return table(header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Small and large pictures on one device.")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--photo", type=Path, default=SAMPLE)
    parser.add_argument("--small", type=int, default=SMALL)
    parser.add_argument("--large", type=int, default=LARGE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file for all figures, as JSON")
    wanted = parser.parse_args(arguments)
    reconstructor = Reconstructor.load(wanted.bundle)
    reconstructor.warm_up()
    about = introduce(reconstructor)
    prepared = reconstructor.prepare(read_photo(wanted.photo.read_bytes()), Options(), None)
    measured = measure(Pair(reconstructor, prepared, wanted.small, wanted.large), wanted.rounds)
    print(fairness_table(measured, wanted.small, wanted.large))
    write_json(wanted.out, about | {"latencies": [asdict(one) for one in measured]})


if __name__ == "__main__":
    main()

"""How many points a decoder call should carry: measured where the service runs, since no constant suits every machine.

Small calls pay for being made, large ones push the activations out of a core's cache; on a GPU only large ones fill it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

REPEATS = 3
NEAR_EQUAL = 1.05  # a larger call must be this much faster a point to be taken: smaller ones stop sooner and need less memory
CLEARLY_SLOWER = 1.1


def fastest_size(
    sizes: Sequence[int],
    seconds_a_point: Callable[[int], float],
    budget: float,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """The smallest of `sizes`, which ascend, that takes hardly more time a point than the best of those tried.

    Climbs until a size is clearly slower than the best before it, or `budget` seconds are over; of the two the one that was
    being tried ends first. Each size is timed in turns with the best so far, and the best of its times counts: what else runs
    on the machine only ever adds to a time. The first call of a size sets up its memory and is not counted.
    """
    deadline = clock() + budget
    best: dict[int, float] = {}
    for size in sizes:
        if best and clock() >= deadline:
            break
        rival = min(best, key=best.__getitem__, default=size)
        seconds_a_point(size)
        for _ in range(REPEATS):
            for timed in {rival: None, size: None}:
                best[timed] = min(best.get(timed, float("inf")), seconds_a_point(timed))
            if clock() >= deadline:
                break
        if best[size] > CLEARLY_SLOWER * best[rival]:
            break
    return min(size for size in best if best[size] <= NEAR_EQUAL * min(best.values()))

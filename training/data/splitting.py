"""Splits that never share a family: products that look alike must not stand on both sides of an examination."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

HELD_OUT = {"val": 0.1, "test": 0.1}  # least share of the shapes
FEWEST_FAMILIES = 3


def split_families(families: Sequence[str], seed: int = 0) -> list[str]:
    """The split of each shape, given each shape's family: train, val or test.

    Whole families are held out, in an order drawn by `seed`, until a split has its share. With fewer than three families
    that is impossible, and shapes are held out instead, so that validation and test are possible at all.
    """
    groups = list(families)
    if len(set(groups)) < FEWEST_FAMILIES:
        groups = [f"{family}/{number}" for number, family in enumerate(groups)]
    sizes = Counter(groups)
    drawn = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode(errors="surrogateescape")).digest())
    split_of: dict[str, str] = {}
    for split, share in HELD_OUT.items():
        held = 0
        # At least one group is left for training.
        while held < share * len(groups) and len(drawn) > 1:
            group = drawn.pop()
            split_of[group] = split
            held += sizes[group]
    return [split_of.get(group, "train") for group in groups]

"""The embedded source of shapes: parts drawn from the procedural families."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from training.data import families
from training.data.families import FAMILIES, make_part, split_of
from training.data.preparation import photograph_closed_mesh
from training.data.sets import Item, Listing, SetConfig
from training.data.shapes import PreparedShape


@dataclass(frozen=True, kw_only=True)
class ProceduralParts:
    """So many parts, families taking turns; shape i has a seed made of (seed, i)."""

    shapes: int
    seed: int = 0
    families: tuple[str, ...] = field(default_factory=lambda: tuple(FAMILIES))

    def __post_init__(self) -> None:
        unknown = sorted(set(self.families) - set(FAMILIES))
        if unknown or not self.families:
            raise ValueError(f"families: expected some of {', '.join(FAMILIES)}, found {', '.join(unknown) or 'none'}")

    def listing(self) -> Listing:
        return Listing([self._item(number) for number in range(self.shapes)])

    def prepare(self, item: Item, config: SetConfig) -> PreparedShape:
        seed = item.source["seed"]
        part = make_part(item.family, seed)
        return photograph_closed_mesh(part.vertices, part.faces, part.kind, config, seed, {"parameters": part.parameters})

    def _item(self, number: int) -> Item:
        family, seed = self.families[number % len(self.families)], shape_seed(self.seed, number)
        return Item(
            name=f"{family}-{seed}",
            family=family,
            kind=FAMILIES[family].kind,
            split=split_of(family),
            source={"seed": seed},
            fingerprint=catalogue_digest(),
        )


def shape_seed(seed: int, number: int) -> int:
    """The seed of shape `number` in a set made from `seed`."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


@cache
def catalogue_digest() -> str:
    """sha256 over the families' source files: another catalogue makes other parts from the same seed."""
    files = sorted(Path(families.__path__[0]).glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

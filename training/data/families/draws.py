"""Random choices, as plain Python values that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A length or ratio in [low, high)."""
    return float(rng.uniform(low, high))


def integer(rng: np.random.Generator, low: int, high: int) -> int:
    """A count in low..high, both included."""
    return int(rng.integers(low, high + 1))


def chance(rng: np.random.Generator, probability: float = 0.5) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """One of the options, each equally likely."""
    return options[int(rng.integers(len(options)))]


def uniforms(rng: np.random.Generator, count: int, low: float, high: float) -> tuple[float, ...]:
    """`count` independent numbers in [low, high)."""
    return tuple(uniform(rng, low, high) for _ in range(count))

"""What the parameters of a family range over, in words: found by drawing, so it says what is drawn, not what was meant."""

from __future__ import annotations

import math
import re
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from training.data.families import FAMILIES

MOST_WORDS = 12
MOST_NUMBERS = 8
DIGITS = 3


def parameter_ranges(name: str, draws: int = 200) -> dict[str, str]:
    """Each parameter of a family -> its range over `draws` seeds: "12–40 mm", "3–7", "1.5, 2, 3 mm", "hex, socket", "yes, no".

    Parameters of a tuple's entries are named after it, as in "steps.radius"; the tuple's own line tells how many entries it has.
    ValueError for an unknown family.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    seen: dict[str, list[Any]] = {}
    for seed in range(draws):
        _note(FAMILIES[name].draw(np.random.default_rng(seed)), "", seen)
    return {key: _range(key, values) for key, values in seen.items()}


def _note(parameters: Any, prefix: str, seen: dict[str, list[Any]]) -> None:
    """Appends every value of a dataclass to its key's list, entries of tuples included."""
    for field in fields(parameters):
        _note_value(getattr(parameters, field.name), prefix + field.name, seen)


def _note_value(value: Any, key: str, seen: dict[str, list[Any]]) -> None:
    if is_dataclass(value):
        _note(value, f"{key}.", seen)
    elif isinstance(value, tuple):
        seen.setdefault(key, []).append(value)
        for entry in value:
            if is_dataclass(entry):
                _note(entry, f"{key}.", seen)
            else:
                _note_value(entry, f"{key}[]", seen)
    else:
        seen.setdefault(key, []).append(value)


def _range(key: str, values: list[Any]) -> str:
    """One line for all values that a key took; None is told as "or none"."""
    given = [value for value in values if value is not None]
    absent = ["or none"] if len(given) < len(values) else []
    if not given:
        return "none"
    if key.rpartition(".")[2] == "seed":
        told = "any seed"
    elif isinstance(given[0], bool):
        told = ", ".join(word for word, flag in (("yes", True), ("no", False)) if flag in given)
    elif isinstance(given[0], str):
        told = _listed(sorted(set(given), key=_by_number))
    elif isinstance(given[0], tuple):
        counts = [len(value) for value in given]
        told = f"{_span(min(counts), max(counts))} entries"
    else:
        told = f"{_numbers(given)}{_unit(key) if isinstance(given[0], float) else ''}"
    return " ".join([told, *absent])


def _listed(words: list[str]) -> str:
    if len(words) <= MOST_WORDS:
        return ", ".join(words)
    return f"{', '.join(words[: MOST_WORDS - 1])} and {len(words) - MOST_WORDS + 1} more"


def _by_number(word: str) -> list[tuple[int, str]]:
    """A sorting key that puts M6 before M10."""
    return [(int(piece), "") if piece.isdigit() else (0, piece) for piece in re.split(r"(\d+)", word)]


def _numbers(values: list[float]) -> str:
    """The few numbers that are drawn from, where they are not all the counts between two; otherwise the span."""
    distinct = sorted(set(values))
    # Few numbers in few draws say nothing: each has to come up ten times, on average.
    few = len(distinct) <= MOST_NUMBERS and len(values) >= 10 * len(distinct)
    if few and (isinstance(values[0], float) or distinct[-1] - distinct[0] >= len(distinct)):
        return ", ".join(dict.fromkeys(_rounded(distinct)))
    return _span(distinct[0], distinct[-1])


def _span(low: float, high: float) -> str:
    return "–".join(dict.fromkeys(_rounded([low, high])))


def _rounded(numbers: list[float]) -> list[str]:
    """All to the same place, where the largest has `DIGITS` digits: "0.9", "39.9", never "0.887" and "4e+01"."""
    largest = max(map(abs, numbers))
    place = DIGITS - 1 - math.floor(math.log10(largest)) if largest else 0
    # Adding zero makes a negative zero positive.
    return [f"{round(number, place) + 0.0:.10g}" for number in numbers]


def _unit(key: str) -> str:
    """The unit that a float's name tells: `Family.draw` has the rule."""
    name = key.rstrip("[]")
    for suffix, unit in (("_degrees", "°"), ("_turns", " turns"), ("_ratio", ""), ("_ratios", "")):
        if name.endswith(suffix):
            return unit
    return " mm"

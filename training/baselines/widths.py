"""A paper's channel counts, scaled."""

from __future__ import annotations


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8: the paper's own number at width 1."""
    return max(8, 8 * round(channels * width / 8))

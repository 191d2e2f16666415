"""How well, and at what cost, the object of a photo is found before a background that no alpha channel cuts away.

    python -m benchmarks.foreground SET... [--pictures N] [--side S] [--seed K] [--out JSON]

Views of prepared shapes, with their shadows, are laid at random places and sizes (half to 85 % of the side) before the
backgrounds that training draws, with sensor noise; the truth is their alpha channel. In one run the search as it is stands
beside GrabCut on the finer copy alone. IoU is over pixels, 0 where nothing was found; seconds are of the processor, all threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.measure import machine, table, write_json
from model import foreground
from model.errors import NoForeground
from model.image import Photo
from training.configs import BackgroundConfig
from training.data.composition import compose
from training.data.shapes import PreparedShape

BACKGROUNDS = ("uniform", "gradient", "texture", "clutter")
FINE = foreground.GRABCUT_SIDES[-1]
SEARCHES = {"as it is": foreground.GRABCUT_SIDES, "fine alone": (FINE, FINE)}
NOISE = 4.0  # of 255, standard deviation
BAD = 0.8


@dataclass(frozen=True)
class Found:
    """What one search made of one picture."""

    background: str
    search: str
    iou: float
    cpu_seconds: float


def picture(shape: PreparedShape, background: str, side: int, rng: np.random.Generator) -> tuple[Photo, npt.NDArray[np.bool_]]:
    """A photo (side, side) of a random view of the shape, and where the object is."""
    view, size = int(rng.integers(shape.view_count)), int(rng.uniform(0.5, 0.85) * side)
    top, left = rng.integers(0, side - size + 1, 2)
    rgba, shadow = np.zeros((side, side, 4), np.uint8), np.full((side, side), 255, np.uint8)
    place = slice(top, top + size), slice(left, left + size)
    rgba[place] = cv2.resize(shape.image(view), (size, size), interpolation=cv2.INTER_CUBIC)
    shadow[place] = cv2.resize(shape.shadow(view), (size, size), interpolation=cv2.INTER_CUBIC)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    config = BackgroundConfig(white=0.0, **{background: 1.0})
    drawn = compose(torch.from_numpy(rgba[None]), torch.from_numpy(shadow[None]), config, side, generator)
    noisy = drawn[0].permute(1, 2, 0).numpy() * 255 + rng.normal(0, NOISE, (side, side, 3))
    return Photo(np.clip(noisy, 0, 255).astype(np.uint8)), rgba[..., 3] > 127


def measure(files: Sequence[Path], pictures: int, side: int, seed: int) -> list[Found]:
    """Every search on the same pictures, the backgrounds in turns."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(pictures):
        background = BACKGROUNDS[number % len(BACKGROUNDS)]
        photo, truth = picture(PreparedShape.read(files[int(rng.integers(len(files)))]), background, side, rng)
        for search, sides in SEARCHES.items():
            with mock.patch.object(foreground, "GRABCUT_SIDES", sides):
                started = time.process_time()
                try:
                    mask = foreground.find_foreground(photo) > 0.5
                except NoForeground:
                    mask = np.zeros_like(truth)
                seconds = time.process_time() - started
            iou = float((mask & truth).sum() / (mask | truth).sum())
            found.append(Found(background, search, iou, seconds))
    return found


def found_table(found: Sequence[Found]) -> str:
    """A row for each background, and for all, and each search."""
    rows = []
    for background in (*dict.fromkeys(one.background for one in found), "all"):
        for search in dict.fromkeys(one.search for one in found):
            these = [one for one in found if one.search == search and background in (one.background, "all")]
            ious, seconds = [one.iou for one in these], [one.cpu_seconds for one in these]
            bad = sum(iou < BAD for iou in ious)
            row = (f"{np.mean(ious):.3f}", f"{np.median(ious):.3f}", f"{bad} of {len(ious)}")
            rows.append((background, search, *row, f"{np.median(seconds):.2f}", f"{max(seconds):.2f}"))
    return table(("background", "search", "mean IoU", "median", f"below {BAD}", "median CPU s", "longest"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="The search for the object in a photo.")
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET")
    parser.add_argument("--pictures", type=int, default=80)
    parser.add_argument("--side", type=int, default=1024, help="pixels along a side of the photos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = sorted(file for directory in arguments.sets for file in (directory / "shapes").glob("*.npz"))
    if not files:
        parser.error(f"SET: expected folders of prepared shapes, found none in {', '.join(map(str, arguments.sets))}")
    found = measure(files, arguments.pictures, arguments.side, arguments.seed)
    print(found_table(found))
    write_json(arguments.out, {**machine(), "side": arguments.side, "found": [vars(one) for one in found]})


if __name__ == "__main__":
    main()

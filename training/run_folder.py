"""What a run leaves behind for people: run.json, metrics.jsonl, timing.json, TensorBoard events and sheets of samples."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

METRICS = "metrics.jsonl"
TIMING = "timing.json"


class RunFolder:
    """A run's folder, open for writing. step: where the run goes on; what was logged later belongs to steps that were lost."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        _forget_after(path / METRICS, step)
        self._board = SummaryWriter(str(path), purge_step=step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._board.close()

    def record(self, description: dict[str, Any]) -> None:
        """All that is needed to repeat the run."""
        _write_json(self.path / "run.json", description)

    def time(self, seconds: dict[str, float], views: int) -> None:
        """Where the run's wall time has gone."""
        _write_json(self.path / TIMING, timing(seconds, views))

    def log(self, step: int, group: str, scalars: dict[str, float]) -> None:
        named = {f"{group}/{name}": value for name, value in scalars.items()}
        for name, value in named.items():
            self._board.add_scalar(name, value, step)
        with (self.path / METRICS).open("a") as file:
            file.write(json.dumps({"step": step, **named}) + "\n")

    def picture(self, step: int, sheet: Image.Image) -> None:
        samples = self.path / "samples"
        samples.mkdir(exist_ok=True)
        sheet.save(samples / f"{step:07d}.png")
        self._board.add_image("val/samples", np.asarray(sheet), step, dataformats="HWC")


def timing(seconds: dict[str, float], views: int) -> dict[str, Any]:
    """Seconds by activity -> these, their shares of all, and views trained on per second of all."""
    total = sum(seconds.values())
    shares = {name: value / total if total else 0.0 for name, value in seconds.items()}
    return {"seconds": seconds, "shares": shares, "views": views, "views_per_second": views / total if total else 0.0}


def circumstances(device: torch.device, world_size: int) -> dict[str, Any]:
    """By which code, on what and with which command this process trains."""
    return {
        "commit": commit(),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "command": shlex.join(sys.argv),
        "torch": str(torch.__version__),
        "hardware": hardware(device),
        "world_size": world_size,
    }


def commit() -> str:
    """The commit this source tree is at, or "unknown" outside a checkout."""
    return _git("rev-parse", "HEAD") or "unknown"


def hardware(device: torch.device) -> str:
    """The device in words: a GPU's name, or cores and architecture."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} cores {platform.machine()}, {torch.get_num_threads()} threads"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _forget_after(path: Path, step: int) -> None:
    """Drops the lines after a step, and a last one that a kill cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            continue
    partial = path.with_suffix(".partial")
    partial.write_text("".join(kept))
    partial.replace(path)

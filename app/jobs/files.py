"""The files of jobs, in folders that the database decides about:

    jobs/<job id>/image-000, mask-000, ...        what the client sent
    jobs/<job id>/results-<attempt>/000.glb, ...  what one attempt made

No name comes from a client. A file is whole as soon as it has its name, and on disk when a method returns, so that whatever the
database says afterwards is also true after a power cut.
"""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.jobs.job import Job, ResultFile
from app.products import Product

FOLDER = re.compile(r"[0-9a-f]{32}")
ORPHAN_SECONDS = 3600.0  # a folder without a job is an upload on its way, or one that was broken off
PNG = "image/png"


@dataclass(frozen=True)
class Upload:
    """One photo as the client sent it, and its mask if it came with one; not looked at yet."""

    image: bytes
    mask: bytes | None = None


class JobFiles:
    """All methods block and raise OSError. Services that share a database share this folder too."""

    def __init__(self, data_dir: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._root = data_dir / "jobs"
        self._clock = clock

    def add(self, job_id: str, uploads: Sequence[Upload]) -> None:
        """Keep what a client sent; call it before the job is added to the store, and `remove` if it is not taken there."""
        self._root.mkdir(parents=True, exist_ok=True)
        folder = self._root / job_id
        folder.mkdir()
        for index, upload in enumerate(uploads):
            _write(folder / f"image-{index:03}", upload.image)
            if upload.mask is not None:
                _write(folder / f"mask-{index:03}", upload.mask)
        for changed in (folder, self._root, self._root.parent):
            _sync_folder(changed)

    def read_upload(self, job_id: str, index: int) -> Upload:
        """The image of this index."""
        mask = self._root / job_id / f"mask-{index:03}"
        return Upload((self._root / job_id / f"image-{index:03}").read_bytes(), mask.read_bytes() if mask.exists() else None)

    def write_results(self, claim: Job, index: int, product: Product) -> dict[str, ResultFile]:
        """Keep what this attempt made of one image; by kind, as `ImageReport.files` has it."""
        folder = self._results(claim)
        folder.mkdir(exist_ok=True)
        made = {"mesh": (f"{index:03}{product.format.extension}", product.format.media_type, product.mesh)}
        if product.mask is not None:
            made["mask"] = (f"{index:03}-mask.png", PNG, product.mask)
        if product.preview is not None:
            made["preview"] = (f"{index:03}-preview.png", PNG, product.preview)
        for name, _, content in made.values():
            _write(folder / name, content)
        for changed in (folder, folder.parent):
            _sync_folder(changed)
        return {
            kind: ResultFile(name, media_type, hashlib.sha256(content).hexdigest(), len(content))
            for kind, (name, media_type, content) in made.items()
        }

    def result_path(self, job: Job, file: ResultFile) -> Path:
        """Where a file of a succeeded job lies."""
        return self._results(job) / file.name

    def _results(self, claim: Job) -> Path:
        return self._root / claim.id / f"results-{claim.attempts}"

    def keep_results(self, claim: Job) -> None:
        """Delete all of a succeeded job but its results: the uploads, and what was left behind by attempts that died.

        What cannot be deleted, or is already, goes with the job.
        """
        with suppress(OSError):
            for entry in (self._root / claim.id).iterdir():
                if entry.is_file():
                    entry.unlink()
                elif entry != self._results(claim):
                    shutil.rmtree(entry, ignore_errors=True)

    def remove_results(self, claim: Job) -> None:
        """Delete what an attempt made that is not the one that counts."""
        shutil.rmtree(self._results(claim), ignore_errors=True)

    def remove(self, job_id: str) -> None:
        """Delete everything of a job; nothing happens if it has nothing."""
        shutil.rmtree(self._root / job_id, ignore_errors=True)

    def sweep(self, keeps_files: Callable[[Collection[str]], dict[str, bool]]) -> int:
        """Delete the folders that `JobStore.keeps_files` says are not needed, and those without a job for an hour.

        Returns how many. Safe at any moment, and whatever a crash has left behind is found by the next one.
        """
        if not self._root.is_dir():
            return 0
        # Looked at before the store is asked: a job that is added in between is known there, or its folder is young.
        ages = {}
        for folder in self._root.iterdir():
            with suppress(FileNotFoundError):  # another service sweeps too
                if FOLDER.fullmatch(folder.name):
                    ages[folder.name] = self._clock() - folder.stat().st_mtime
        needed = keeps_files(ages.keys())
        doomed = [job_id for job_id, age in ages.items() if not needed.get(job_id, age < ORPHAN_SECONDS)]
        for job_id in doomed:
            self.remove(job_id)
        return len(doomed)


def _write(path: Path, content: bytes) -> None:
    """Written beside and renamed, on disk before it has its name. The folder is the caller's to sync."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

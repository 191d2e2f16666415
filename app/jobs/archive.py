"""All results of a job in one ZIP file, `manifest.json` first.

Equal results give equal bytes: nothing of the moment goes in, and files are stored as they are, since what a compressor makes
of them changes from one zlib to another.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.jobs.job import ImageReport, Job

MANIFEST = "manifest.json"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that the format knows
READABLE = (stat.S_IFREG | 0o644) << 16
UNIX = 3
CHUNK_BYTES = 1 << 20
PREFIX, SUFFIX = "archive-", ".zip"


def archive_of(job: Job, results: Path) -> tuple[Path, str]:
    """The archive of a succeeded job and its SHA-256, made where it is not there yet. Blocks.

    `results` is the folder with the files that the job's reports name; the archive is laid beside them under its digest.
    Raises FileNotFoundError when the folder or a file in it is gone.
    """
    if (found := next(results.glob(f"{PREFIX}*{SUFFIX}"), None)) is not None:
        return found, found.name.removeprefix(PREFIX).removesuffix(SUFFIX)
    handle, name = tempfile.mkstemp(prefix=".archive-", dir=results)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            _write(job, results, file)
            file.flush()
            os.fsync(file.fileno())  # its name is to be its digest even after a power cut
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        made = results / f"{PREFIX}{sha256}{SUFFIX}"
        unfinished.replace(made)  # several may make it at once: each has the same bytes under the same name
    finally:
        unfinished.unlink(missing_ok=True)
    return made, sha256


def manifest(job: Job) -> dict[str, Any]:
    """What the archive holds: for each image its files, with digests, and what is known of the mesh; or its problem."""
    return {"version": 1, "kind": job.kind, "order": job.order, "images": [_entry(report) for report in job.images]}


def _entry(report: ImageReport) -> dict[str, Any]:
    entry: dict[str, Any] = {"index": report.index, "state": report.state}
    if report.problem is not None:
        entry["problem"] = {name: value for name, value in report.problem.items() if name != "instance"}  # of the moment
    if report.files is not None:
        entry["facts"] = report.facts
        entry["files"] = {kind: asdict(file) for kind, file in sorted(report.files.items())}
    return entry


def _write(job: Job, results: Path, target: Any) -> None:
    text = json.dumps(manifest(job), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    names = sorted(file.name for report in job.images for file in (report.files or {}).values())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_member(MANIFEST), text)
        for name in names:
            with (results / name).open("rb") as source:
                member = _member(name)
                member.file_size = os.fstat(source.fileno()).st_size  # tells whether it needs the long form
                with archive.open(member, "w") as entry:
                    shutil.copyfileobj(source, entry, CHUNK_BYTES)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, EPOCH)
    member.create_system = UNIX
    member.external_attr = READABLE
    return member

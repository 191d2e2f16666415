import hashlib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from app.jobs.files import ORPHAN_SECONDS, JobFiles, Upload
from app.jobs.job import Job, JobState, ResultFile, new_job_id
from app.products import Product
from model.formats import FORMATS
from tests.app.jobs.conftest import Clock

PRODUCT = Product(b"a mesh", FORMATS["stl"], {"faces": 12})


@pytest.fixture
def files(tmp_path: Path, clock: Clock) -> JobFiles:
    return JobFiles(tmp_path / "state", clock=clock)


@pytest.fixture
def claim() -> Job:
    return Job(
        id=new_job_id(),
        owner="line-3",
        kind="single",
        order={},
        image_count=1,
        request_id="r",
        state=JobState.RUNNING,
        progress=0.0,
        created_at=0.0,
        started_at=1.0,
        finished_at=None,
        expires_at=None,
        attempts=2,
        problem=None,
        images=(),
        removed=False,
    )


def below(folder: Path) -> set[str]:
    """Every file under a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_uploads_come_back_under_our_own_names(files: JobFiles, tmp_path: Path, claim: Job) -> None:
    uploads = [Upload(b"one"), Upload(b"two", mask=b"mask of two"), Upload(b"")]
    files.add(claim.id, uploads)
    assert [files.read_upload(claim.id, index) for index in range(3)] == uploads
    assert below(tmp_path / "state") == {
        f"jobs/{claim.id}/{name}" for name in ("image-000", "image-001", "mask-001", "image-002")
    }


def test_the_files_of_two_jobs_never_meet(files: JobFiles, claim: Job) -> None:
    files.add(claim.id, [Upload(b"one")])
    with pytest.raises(FileExistsError):
        files.add(claim.id, [Upload(b"another")])
    assert files.read_upload(claim.id, 0).image == b"one"


def test_what_is_accepted_is_on_disk_before_and_after_it_has_its_name(
    files: JobFiles, tmp_path: Path, claim: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(os.path.relpath(Path(f"/proc/self/fd/{descriptor}").readlink(), tmp_path / "state"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    files.add(claim.id, [Upload(b"one", b"mask")])
    folder = f"jobs/{claim.id}"
    assert synced == [f"{folder}/image-000.partial", f"{folder}/mask-000.partial", folder, "jobs", "."]
    synced.clear()
    files.write_results(claim, 0, PRODUCT)
    assert synced == [f"{folder}/results-2/000.stl.partial", f"{folder}/results-2", folder]


def test_results_are_described_and_lie_where_they_are_said_to(files: JobFiles, claim: Job) -> None:
    files.add(claim.id, [Upload(b"one")])
    written = files.write_results(claim, 7, replace(PRODUCT, mask=b"a mask", preview=b"a picture"))
    assert written == {
        "mesh": ResultFile("007.stl", "model/stl", hashlib.sha256(b"a mesh").hexdigest(), 6),
        "mask": ResultFile("007-mask.png", "image/png", hashlib.sha256(b"a mask").hexdigest(), 6),
        "preview": ResultFile("007-preview.png", "image/png", hashlib.sha256(b"a picture").hexdigest(), 9),
    }
    assert {kind: files.result_path(claim, file).read_bytes() for kind, file in written.items()} == {
        "mesh": b"a mesh",
        "mask": b"a mask",
        "preview": b"a picture",
    }


def test_attempts_do_not_touch_each_others_results(files: JobFiles, tmp_path: Path, claim: Job) -> None:
    files.add(claim.id, [Upload(b"one")])
    loser = replace(claim, attempts=1)
    files.write_results(loser, 0, replace(PRODUCT, mesh=b"late"))
    written = files.write_results(claim, 0, PRODUCT)
    files.remove_results(loser)
    files.remove_results(loser)
    assert files.result_path(claim, written["mesh"]).read_bytes() == b"a mesh"
    assert below(tmp_path / "state" / "jobs" / claim.id) == {"image-000", "results-2/000.stl"}


def test_of_a_succeeded_job_its_results_remain(files: JobFiles, tmp_path: Path, claim: Job) -> None:
    files.add(claim.id, [Upload(b"one", b"mask")])
    files.write_results(replace(claim, attempts=1), 0, PRODUCT)
    files.write_results(claim, 0, PRODUCT)
    files.keep_results(claim)
    files.keep_results(claim)
    assert below(tmp_path / "state") == {f"jobs/{claim.id}/results-2/000.stl"}
    files.remove(claim.id)
    files.remove(claim.id)
    files.keep_results(claim)
    assert below(tmp_path / "state") == set()


def test_results_of_a_job_whose_folder_is_gone_are_an_error_and_leave_nothing(
    files: JobFiles, tmp_path: Path, claim: Job
) -> None:
    with pytest.raises(FileNotFoundError):
        files.write_results(claim, 0, PRODUCT)
    assert not (tmp_path / "state").exists()


def test_the_sweep_deletes_what_no_job_needs_and_orphans_that_are_old(files: JobFiles, tmp_path: Path, clock: Clock) -> None:
    needed, done, young, old = (new_job_id() for _ in range(4))
    ages = {needed: 10 * ORPHAN_SECONDS, done: 0, young: ORPHAN_SECONDS - 1, old: ORPHAN_SECONDS}
    for job_id, age in ages.items():
        files.add(job_id, [Upload(b"one")])
        os.utime(tmp_path / "state" / "jobs" / job_id, (clock.now - age,) * 2)
    (tmp_path / "state" / "jobs" / "somebody's notes").mkdir()
    asked: list[set[str]] = []

    def keeps_files(job_ids: Collection[str]) -> dict[str, bool]:
        asked.append(set(job_ids))
        return {needed: True, done: False}

    assert files.sweep(keeps_files) == 2
    assert asked == [{needed, done, young, old}]
    assert {entry.name for entry in (tmp_path / "state" / "jobs").iterdir()} == {needed, young, "somebody's notes"}
    assert files.sweep(keeps_files) == 0


def test_a_sweep_before_the_first_job_does_nothing(files: JobFiles, tmp_path: Path) -> None:
    assert files.sweep(lambda job_ids: {}) == 0
    assert not (tmp_path / "state").exists()

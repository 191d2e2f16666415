import hashlib
import json
import os
import stat
import struct
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.jobs.archive import archive_of, manifest
from app.jobs.job import ImageReport, Job, JobState, ResultFile

PROBLEM = {"type": "urn:monotwin:problem:no-foreground", "title": "No object", "status": 422, "detail": "alpha: none"}


def result(folder, name, content, media_type="model/gltf-binary"):
    (folder / name).write_bytes(content)
    return ResultFile(name, media_type, hashlib.sha256(content).hexdigest(), len(content))


@pytest.fixture
def job(tmp_path):
    mesh = result(tmp_path, "000.glb", b"a mesh" * 1000)
    preview = result(tmp_path, "000-preview.png", b"a picture", "image/png")
    last = result(tmp_path, "002.glb", b"")
    images = (
        ImageReport(0, "succeeded", facts={"watertight": True, "volume": 0.25}, files={"preview": preview, "mesh": mesh}),
        ImageReport(1, "failed", problem={**PROBLEM, "instance": "urn:monotwin:request:abc"}),
        ImageReport(2, "succeeded", facts={"watertight": False}, files={"mesh": last}),
    )
    return Job(
        id="ab" * 16,
        owner="line-3",
        kind="batch",
        order={"format": "glb", "fields": {"level": 0.4}},
        image_count=3,
        request_id="abc",
        state=JobState.SUCCEEDED,
        progress=1.0,
        created_at=1e9,
        started_at=1e9,
        finished_at=1e9,
        expires_at=2e9,
        attempts=1,
        problem=None,
        images=images,
        removed=False,
    )


def test_the_archive_holds_the_manifest_and_then_every_file(job, tmp_path):
    path, _ = archive_of(job, tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "000-preview.png", "000.glb", "002.glb"]
        for name in archive.namelist()[1:]:
            assert archive.read(name) == (tmp_path / name).read_bytes()
        assert json.loads(archive.read("manifest.json")) == manifest(job)


def test_the_manifest_says_for_each_image_what_it_has_or_why_it_has_nothing(job):
    told = manifest(job)
    assert {name: told[name] for name in ("version", "kind", "order")} == {"version": 1, "kind": "batch", "order": job.order}
    first, second, third = told["images"]
    mesh = b"a mesh" * 1000
    assert first == {
        "index": 0,
        "state": "succeeded",
        "facts": {"watertight": True, "volume": 0.25},
        "files": {
            "mesh": {
                "name": "000.glb",
                "media_type": "model/gltf-binary",
                "sha256": hashlib.sha256(mesh).hexdigest(),
                "bytes": 6000,
            },
            "preview": {
                "name": "000-preview.png",
                "media_type": "image/png",
                "sha256": hashlib.sha256(b"a picture").hexdigest(),
                "bytes": 9,
            },
        },
    }
    assert second == {"index": 1, "state": "failed", "problem": PROBLEM}
    assert third["files"]["mesh"]["bytes"] == 0


def test_it_is_named_by_its_digest(job, tmp_path):
    path, sha256 = archive_of(job, tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert path == tmp_path / f"archive-{sha256}.zip"


def test_equal_results_of_another_job_make_the_same_bytes(job, tmp_path):
    """Nothing of the moment goes in: not the job's id or times, not the request's, not the files' dates or permissions."""
    one, sha256 = archive_of(job, tmp_path)
    content = one.read_bytes()
    one.unlink()
    for file in tmp_path.iterdir():
        file.chmod(0o600)
        os.utime(file, (1.5e9, 1.5e9))
    images = tuple(
        replace(
            report,
            facts=report.facts and dict(reversed(report.facts.items())),
            files=report.files and dict(reversed(report.files.items())),
            problem=report.problem and {**report.problem, "instance": "urn:monotwin:request:def"},
        )
        for report in job.images
    )
    other = replace(
        job, id="cd" * 16, owner="other", created_at=2e9, finished_at=2e9, attempts=2, request_id="def", images=images
    )
    two, again = archive_of(other, tmp_path)
    assert two.read_bytes() == content
    assert again == sha256


def test_another_mesh_makes_other_bytes(job, tmp_path):
    path, sha256 = archive_of(job, tmp_path)
    path.unlink()
    (tmp_path / "002.glb").write_bytes(b"x")
    assert archive_of(job, tmp_path)[1] != sha256


def test_the_members_are_plain_readable_files_of_1980_stored_as_they_are(job, tmp_path):
    with zipfile.ZipFile(archive_of(job, tmp_path)[0]) as archive:
        for member in archive.infolist():
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert member.external_attr >> 16 == stat.S_IFREG | 0o644
            assert member.create_system == 3
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.extra == b""


def members_by_hand(content):
    """The members of a ZIP file with nothing but stored ones, from its local headers alone."""
    members = {}
    position = 0
    while content[position : position + 4] == b"PK\x03\x04":
        method, size, name_length, extra_length = struct.unpack_from("<8xH8xI4xHH", content, position)
        assert method == 0
        name = content[position + 30 : position + 30 + name_length].decode()
        begin = position + 30 + name_length + extra_length
        members[name] = content[begin : begin + size]
        position = begin + size
    return members


def test_it_can_be_read_while_it_arrives(job, tmp_path):
    """Sizes stand before the content, so a reader needs no end of the file."""
    members = members_by_hand(archive_of(job, tmp_path)[0].read_bytes())
    assert next(iter(members)) == "manifest.json"
    assert members["000.glb"] == b"a mesh" * 1000
    assert members["002.glb"] == b""


def test_the_second_time_it_is_there_already(job, tmp_path):
    path, sha256 = archive_of(job, tmp_path)
    (tmp_path / "000.glb").unlink()
    before = path.stat()
    assert archive_of(job, tmp_path) == (path, sha256)
    assert path.stat() == before


def test_nothing_is_left_behind_when_a_file_is_gone(job, tmp_path):
    (tmp_path / "002.glb").unlink()
    before = set(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        archive_of(job, tmp_path)
    assert set(tmp_path.iterdir()) == before


def test_a_folder_that_is_gone_is_a_file_not_found(job, tmp_path):
    with pytest.raises(FileNotFoundError):
        archive_of(job, tmp_path / "gone")


def test_many_who_make_it_at_once_make_one(job, tmp_path):
    barrier = threading.Barrier(8)

    def make(_):
        barrier.wait(10)
        return archive_of(job, tmp_path)

    with ThreadPoolExecutor(8) as threads:
        (made,) = set(threads.map(make, range(8)))
    assert [file for file in tmp_path.iterdir() if "archive" in file.name] == [made[0]]
    assert hashlib.sha256(made[0].read_bytes()).hexdigest() == made[1]

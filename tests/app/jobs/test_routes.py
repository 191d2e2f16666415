import asyncio
import errno
import hashlib
import io
import json
import os
import threading
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI, Request
from sqlalchemy.exc import OperationalError
from starlette.datastructures import MutableHeaders

from app import problems
from app.access import AccessMiddleware
from app.errors import FieldError, InvalidFields, NotReady
from app.jobs.bodies import EXAMPLE, JobBody, JobList
from app.jobs.events import event_id
from app.jobs.files import JobFiles
from app.jobs.job import ImageReport, JobState, NewJob, new_job_id
from app.jobs.routes import Acceptance, accepted_response, router
from app.jobs.store import JobStore
from app.keys import sha256_of
from app.products import Order, Product
from app.schemas import TEXT_FIELDS, ReconstructionForm
from app.telemetry import RECORD, RequestRecord
from app.uploads import read_upload
from model.formats import FORMATS
from tests.app.service import Client, assert_problem

START = 1_700_000_000.0
OWNER, OTHER = "line-3", "line-4"
KEY = {"Authorization": "Bearer key of line-3"}
OTHER_KEY = {"Authorization": "Bearer key of line-4"}
PROBLEM = {
    "type": "urn:monotwin:problem:no-foreground",
    "title": "No object was found in the image",
    "status": 422,
    "detail": "alpha: none",
    "instance": "urn:monotwin:request:earlier",
}
IMPOSSIBLE_IDS = [
    "0" * 32,
    "x",
    "A" * 32,
    "0" * 31,
    "0" * 33,
    "%00" * 32,
    "..%2F..%2Fetc",
    "\u0663" * 32,
    "'; DROP TABLE monotwin_jobs",
]
RESULT_PATHS = ["mesh", "mask", "preview", "archive", "images/0/mesh", "images/0/mask", "images/0/preview"]
JOB_PATHS = ["", "/events", *(f"/{path}" for path in RESULT_PATHS)]


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        self.now += 1.0
        return self.now


class OffTheLoop:
    """Passes calls on, but for those that would block an event loop."""

    def __init__(self, blocking, harmless=()):
        self.blocking = blocking
        self.harmless = harmless

    def __getattr__(self, name):
        def call(*arguments, **named):
            if name not in self.harmless:
                with pytest.raises(RuntimeError):
                    asyncio.get_running_loop()
            return getattr(self.blocking, name)(*arguments, **named)  # only now, as a test may have replaced it

        return call


class Service:
    """The routes on a real store and real files; what a worker would do, a test does."""

    def __init__(self, settings):
        self.settings = settings
        self.clock = Clock()
        self.store = JobStore(settings.jobs_address, result_seconds=1000.0, clock=self.clock)
        self.files = JobFiles(settings.data_dir)
        self.poked = 0
        self.is_draining = False
        self.closed = None
        store, files = OffTheLoop(self.store), OffTheLoop(self.files, harmless=("result_path",))
        accept = Acceptance(settings, store, files, self._poke)
        self.app = FastAPI(redirect_slashes=False)
        problems.install(self.app)
        self.app.include_router(
            router(
                settings,
                store,
                files,
                accept,
                check_open=self._check_open,
                select=self._select,
                draining=lambda: self.is_draining,
                poll_seconds=0.002,
            )
        )

        @self.app.post("/reconstruct", responses={202: accepted_response()})
        async def reconstruct(request: Request):
            upload = await read_upload(request, TEXT_FIELDS, settings.max_upload_bytes)
            return await accept(request, upload, Order.of(ReconstructionForm.parse(upload.fields)))

        self.handler = self._identified(AccessMiddleware(self.app, settings))

    def _poke(self):
        asyncio.get_running_loop()  # the runner is told in its own loop
        self.poked += 1

    def _check_open(self):
        if self.closed is not None:
            raise self.closed

    def _select(self, name):
        if name not in (None, "default"):
            raise InvalidFields(FieldError("bundle", f"expected default, found {name}"))

    def _identified(self, app):
        """What `TelemetryMiddleware` does for the rest."""

        async def identified(scope, receive, send):
            scope[RECORD] = RequestRecord("this-request")

            async def send_with_id(message):
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message)["X-Request-ID"] = "this-request"
                await send(message)

            await app(scope, receive, send_with_id)

        return identified

    def folders(self):
        folder = self.settings.data_dir / "jobs"
        return {entry.name for entry in folder.iterdir()} if folder.exists() else set()

    def add(self, count=1, kind="single", owner=OWNER):
        new = NewJob(new_job_id(), owner, kind, {"fields": {}, "format": "glb"}, count, "earlier")
        (self.settings.data_dir / "jobs" / new.id).mkdir(parents=True)
        return self.store.add(new, idempotency_key=None, fingerprint="", max_waiting=1000)[0]

    def claim(self):
        return self.store.claim("worker", 60.0)

    def succeed(self, *products, kind="single", owner=OWNER):
        """A job that is done; an image whose product is None has failed."""
        self.add(len(products), kind, owner)
        claim = self.claim()
        reports = [self._report(claim, index, product) for index, product in enumerate(products)]
        assert self.store.succeed(claim, reports)
        return self.store.get(claim.id, owner)

    def _report(self, claim, index, product):
        if product is None:
            return ImageReport(index, "failed", problem=PROBLEM)
        return ImageReport(index, "succeeded", facts=product.facts, files=self.files.write_results(claim, index, product))

    def in_state(self, state):
        """A job of one photo in a state without results."""
        job = self.add()
        if state is JobState.CANCELLED:
            self.store.delete(job.id, OWNER)
        elif state is not JobState.QUEUED:
            claim = self.claim()
            if state is JobState.FAILED:
                self.store.fail(claim, PROBLEM, [ImageReport(0, "failed", problem=PROBLEM)])
        job = self.store.get(job.id, OWNER)
        assert job.state is state
        return job


def product(mesh=b"a mesh", name="glb", mask=None, preview=None):
    return Product(mesh, FORMATS[name], {"watertight": True}, mask, preview)


@pytest.fixture
def job_settings(settings, tmp_path):
    keys = tmp_path / "keys.toml"
    entries = [f'[[key]]\nname = "{name}"\nsha256 = "{sha256_of(f"key of {name}")}"\n' for name in (OWNER, OTHER)]
    keys.write_text("\n".join(entries))
    changes = {"data_dir": tmp_path / "data", "keys_file": keys, "max_batch_images": 3, "max_jobs": 3, "max_batch_bytes": 10_000}
    return settings.model_copy(update=changes)


@contextmanager
def served(settings):
    service = Service(settings)
    try:
        with start_blocking_portal() as portal:
            transport = httpx.ASGITransport(service.handler)
            http = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=KEY)
            yield service, Client(service.app, portal, http)
            portal.call(http.aclose)
    finally:
        service.store.close()


@pytest.fixture
def both(job_settings):
    with served(job_settings) as both:
        yield both


@pytest.fixture
def service(both):
    return both[0]


@pytest.fixture
def client(both):
    return both[1]


def batch(client, *images, masks=(), headers=None, **fields):
    files = [("image", ("photo", image)) for image in images] + [("mask", ("mask", mask)) for mask in masks]
    return client.post("/reconstruct/batch", files=files, data=fields, headers=headers)


def single(client, image=b"photo", mask=None, headers=None, **fields):
    files = {"image": ("photo", image), **({} if mask is None else {"mask": ("mask", mask)})}
    return client.post("/reconstruct", files=files, data=fields, headers={b"Prefer": b"respond-async", **(headers or {})})


# Accepting


def test_a_photo_becomes_a_job(client, service):
    answer = single(client, b"photo", b"mask", level="0.4")
    body = JobBody.model_validate_json(answer.content)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{body.id}" == body.links["self"]
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert (body.kind, body.state, body.progress, len(body.images)) == ("single", JobState.QUEUED, 0.0, 1)
    job = service.store.get(body.id, OWNER)
    assert (job.owner, job.request_id) == (OWNER, "this-request")
    assert job.order == {"fields": {"level": 0.4}, "format": "glb"}
    kept = service.files.read_upload(body.id, 0)
    assert (kept.image, kept.mask) == (b"photo", b"mask")
    assert service.poked == 1
    assert client.get(answer.headers["Location"]).json() == answer.json()


def test_several_photos_become_one_job(client, service):
    answer = batch(client, b"one", b"two", b"three", masks=(b"1", b"2", b"3"), format="stl")
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers
    job = service.store.get(answer.json()["id"], OWNER)
    assert (job.kind, job.image_count, job.order["format"]) == ("batch", 3, "stl")
    kept = [service.files.read_upload(job.id, index) for index in range(3)]
    assert [(upload.image, upload.mask) for upload in kept] == [(b"one", b"1"), (b"two", b"2"), (b"three", b"3")]


def test_a_batch_needs_no_masks_and_may_prefer_what_it_gets_anyway(client, service):
    answer = batch(client, b"one", b"two", headers={"Prefer": "wait=3, respond-async"})
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert service.files.read_upload(answer.json()["id"], 1).mask is None


@pytest.mark.parametrize(
    ("accept", "name"),
    [("model/stl", "stl"), ("application/json", "glb"), ("*/*", "glb"), ("application/json, model/obj", "obj")],
)
def test_accept_may_name_the_format_of_a_batch_but_need_not(client, service, accept, name):
    job_id = batch(client, b"one", headers={"Accept": accept}).json()["id"]
    assert service.store.get(job_id, OWNER).order["format"] == name


def test_the_files_are_there_before_the_job_is(client, service, monkeypatch):
    add = service.store.add

    def checked(new, **named):
        assert service.files.read_upload(new.id, 0).image == b"photo"
        return add(new, **named)

    monkeypatch.setattr(service.store, "add", checked)
    assert single(client).status_code == 202


def test_a_key_that_comes_again_is_the_same_job(client, service):
    headers = {"Idempotency-Key": "order 17"}
    first = single(client, b"photo", b"mask", headers, level="0.4")
    second = single(client, b"photo", b"mask", headers, level="0.40")
    assert second.status_code == 202
    assert second.json() == first.json()
    assert second.headers["Location"] == first.headers["Location"]
    assert service.folders() == {first.json()["id"]}
    assert service.poked == 1


def test_a_batch_that_comes_again_is_the_same_job(client, service):
    answers = [batch(client, b"one", b"two", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert service.folders() == {answers[0].json()["id"]}


def test_the_same_job_is_told_as_it_is_by_then(client, service):
    headers = {"Idempotency-Key": "k"}
    first = single(client, headers=headers)
    service.claim()
    assert single(client, headers=headers).json() == {**client.get(first.headers["Location"]).json(), "state": "running"}


@pytest.mark.parametrize(
    "other",
    [
        lambda client, headers: single(client, b"photo", b"mask", headers, level="0.4"),
        lambda client, headers: single(client, b"other", b"mask", headers),
        lambda client, headers: single(client, b"photo", b"other", headers),
        lambda client, headers: single(client, b"photo", None, headers),
        lambda client, headers: batch(client, b"photo", masks=[b"mask"], headers=headers),
        lambda client, headers: batch(client, b"photo", b"mask", headers=headers),
    ],
)
def test_a_key_that_comes_with_another_request_is_a_conflict(client, service, other):
    headers = {"Idempotency-Key": "k"}
    first = single(client, b"photo", b"mask", headers)
    assert_problem(other(client, headers), 409, "idempotency-conflict")
    assert service.folders() == {first.json()["id"]}
    assert service.poked == 1


def test_photos_that_trade_places_are_another_request(client):
    headers = {"Idempotency-Key": "k"}
    assert batch(client, b"one", b"two", headers=headers).status_code == 202
    assert_problem(batch(client, b"two", b"one", headers=headers), 409, "idempotency-conflict")


def test_a_photo_and_its_mask_are_not_two_photos(client):
    headers = {"Idempotency-Key": "k"}
    assert batch(client, b"photo", masks=[b"mask"], headers=headers).status_code == 202
    assert_problem(batch(client, b"photo", b"mask", headers=headers), 409, "idempotency-conflict")


def test_two_clients_may_use_one_idempotency_key(client):
    first = single(client, headers={"Idempotency-Key": "k"})
    second = single(client, headers={"Idempotency-Key": "k", **OTHER_KEY})
    assert second.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\xe9"])
def test_an_idempotency_key_that_is_none_is_an_invalid_header(client, service, key):
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    assert_problem(single(client, headers=dict(headers)), 400, "invalid-header")
    assert_problem(batch(client, b"one", headers=headers), 400, "invalid-header")
    unread = client.post("/reconstruct/batch", content=b"not even multipart", headers=headers)
    assert_problem(unread, 400, "invalid-header")
    assert service.folders() == set()


def test_no_more_jobs_wait_than_may(client, service):
    taken = {single(client).json()["id"] for _ in range(3)}
    answer = batch(client, b"one")
    assert_problem(answer, 503, "jobs-full")
    assert int(answer.headers["Retry-After"]) >= 1
    assert service.folders() == taken
    assert service.poked == 3


def test_a_full_disk_is_a_problem_and_keeps_nothing(client, service, monkeypatch):
    """The second photo does not fit any more."""
    synced = iter([None, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])

    def fsync(descriptor):
        if (error := next(synced)) is not None:
            raise error

    monkeypatch.setattr("app.jobs.files.os.fsync", fsync)
    answer = batch(client, b"one", b"two")
    assert_problem(answer, 503, "jobs-unavailable")
    assert answer.headers["Retry-After"] == "60"
    assert service.folders() == set()
    assert service.store.list(OWNER, limit=9) == []
    assert service.poked == 0


def database_error(*arguments, **named):
    raise OperationalError("statement", {}, Exception("the database is away"))


def test_nothing_is_kept_of_a_job_that_the_store_cannot_take(client, service, monkeypatch):
    monkeypatch.setattr(service.store, "add", database_error)
    assert_problem(batch(client, b"one"), 503, "jobs-unavailable")
    assert service.folders() == set()


def test_a_job_that_was_added_though_the_database_failed_keeps_its_photo(client, service, monkeypatch):
    """As when the connection breaks before the answer to its commit; who then asks again with the key finds it."""

    def add_then_fail(*arguments, **named):
        add(*arguments, **named)
        database_error()

    add = service.store.add
    with monkeypatch.context() as patch:
        patch.setattr(service.store, "add", add_then_fail)
        assert_problem(single(client, headers={"Idempotency-Key": "k"}), 503, "jobs-unavailable")
    (job,) = service.store.list(OWNER, limit=9)
    assert service.files.read_upload(job.id, 0).image == b"photo"
    assert single(client, headers={"Idempotency-Key": "k"}).json()["id"] == job.id


def test_where_nobody_knows_whether_a_job_was_added_its_photo_is_left_to_the_sweep(client, service, monkeypatch):
    monkeypatch.setattr(service.store, "add", database_error)
    monkeypatch.setattr(service.store, "get", database_error)
    assert_problem(single(client), 503, "jobs-unavailable")
    assert len(service.folders()) == 1


def test_a_photo_is_kept_while_its_job_may_still_be_added(client, service, monkeypatch):
    """As when a commit takes longer than anybody waits for it: until it is done, the database says that there is no job."""

    def unanswered(*arguments, **named):
        raise OperationalError("statement", {}, TimeoutError("timed out"), connection_invalidated=True)

    monkeypatch.setattr(service.store, "add", unanswered)
    assert_problem(single(client), 503, "jobs-unavailable")
    (job_id,) = service.folders()
    assert service.files.read_upload(job_id, 0).image == b"photo"


@pytest.mark.parametrize("reason", ["database-away", "jobs-full", "idempotency-conflict", "known"])
def test_a_request_that_makes_no_job_writes_no_file(client, service, monkeypatch, reason):
    headers = {"Idempotency-Key": "k"}
    for number in range(3 if reason == "jobs-full" else 1):
        assert single(client, headers=headers if number == 0 else {}).status_code == 202
    monkeypatch.setattr(service.files, "add", lambda *arguments: pytest.fail("a file was written"))
    if reason == "database-away":
        monkeypatch.setattr(service.store, "check", database_error)
    headers = headers if reason in ("idempotency-conflict", "known") else {}
    answer = single(client, b"another" if reason == "idempotency-conflict" else b"photo", headers=headers)
    assert answer.status_code == {"known": 202, "idempotency-conflict": 409}.get(reason, 503)


def test_a_batch_is_refused_before_its_body_is_read_where_no_job_is_taken(client, service):
    service.closed = NotReady("the service is shutting down", "draining", 5)
    answer = client.post("/reconstruct/batch", content=b"not even multipart")
    assert assert_problem(answer, 503, "not-ready")["state"] == "draining"
    assert answer.headers["Retry-After"] == "5"


def test_a_batch_names_a_bundle_that_is_served(client, service):
    assert_problem(batch(client, b"one", bundle="other"), 422, "invalid-fields")
    assert service.folders() == set()
    assert batch(client, b"one", bundle="default").status_code == 202


def test_the_uploads_of_a_batch_are_checked(client, service):
    assert_problem(client.post("/reconstruct/batch", content=b"x"), 415, "unsupported-body")
    malformed = client.post("/reconstruct/batch", content=b"x", headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert_problem(malformed, 400, "malformed-body")
    assert_problem(batch(client, b"x" * 10_001), 413, "body-too-large")
    assert_problem(batch(client, b""), 415, "unsupported-image")
    assert_problem(batch(client, b"1", b"2", b"3", b"4"), 422, "invalid-fields")
    assert_problem(batch(client, b"1", b"2", masks=[b"1"]), 422, "invalid-fields")
    assert_problem(batch(client, b"1", resolution="7"), 422, "invalid-fields")
    assert_problem(batch(client, b"1", colour="red"), 422, "invalid-fields")
    assert_problem(batch(client, b"1", size="1", distance="1"), 422, "invalid-option")
    assert service.folders() == set()


def test_a_batch_that_arrives_too_slowly_is_a_408(job_settings):
    with served(job_settings.model_copy(update={"upload_seconds": 0.01})) as (_, client):

        async def slow():
            yield b"--b\r\n"
            await asyncio.Event().wait()

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = client.post("/reconstruct/batch", content=slow(), headers=headers)
        assert "within 0.01 s" in assert_problem(answer, 408, "upload-too-slow")["detail"]


def test_who_sends_too_many_batches_is_told_to_wait(job_settings):
    with served(job_settings.model_copy(update={"requests_per_minute": 1})) as (_, client):
        assert batch(client, b"one").status_code == 202
        answer = batch(client, b"one")
        assert_problem(answer, 429, "rate-limited")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


# Looking


def test_a_job_tells_what_it_has_come_to(client, service):
    job = service.succeed(product(preview=b"picture"), None, kind="batch")
    path = f"/jobs/{job.id}"
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"
    times = {
        name: datetime.fromtimestamp(getattr(job, name), UTC).isoformat().replace("+00:00", "Z")
        for name in ("created_at", "started_at", "finished_at", "expires_at")
    }
    assert answer.json() == {
        "id": job.id,
        "kind": "batch",
        "state": "succeeded",
        "progress": 1.0,
        **times,
        "problem": None,
        "images": [
            {
                "index": 0,
                "state": "succeeded",
                "problem": None,
                "facts": {"watertight": True},
                "links": {"mesh": f"{path}/images/0/mesh", "preview": f"{path}/images/0/preview"},
            },
            {"index": 1, "state": "failed", "problem": PROBLEM, "facts": None, "links": {}},
        ],
        "links": {"self": path, "events": f"{path}/events", "archive": f"{path}/archive"},
    }


def test_a_job_of_one_photo_links_its_results_itself(client, service):
    links = client.get(f"/jobs/{service.succeed(product(mask=b'mask')).id}").json()["links"]
    assert set(links) == {"self", "events", "mesh", "mask", "archive"}
    for name in ("mesh", "mask", "archive"):
        assert client.get(links[name]).status_code == 200


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.SUCCEEDED])
def test_a_job_without_results_links_none(client, service, state):
    body = client.get(f"/jobs/{service.in_state(state).id}").json()
    assert body["state"] == state
    assert body["problem"] == (PROBLEM if state is JobState.FAILED else None)
    assert set(body["links"]) == {"self", "events"}
    assert body["images"][0]["links"] == {}
    assert (body["finished_at"] is None) == (state in (JobState.QUEUED, JobState.RUNNING))


def test_the_example_of_the_documentation_is_a_job():
    JobBody.model_validate_json(json.dumps(EXAMPLE), strict=True)
    assert json.loads(JobBody.model_validate(EXAMPLE).model_dump_json()) == EXAMPLE


def test_clients_see_their_own_jobs_newest_first(client, service):
    mine = [service.in_state(state).id for state in (JobState.FAILED, JobState.CANCELLED, JobState.QUEUED)]
    theirs = service.add(owner=OTHER).id

    def ids(path, **request):
        answer = client.get(path, **request)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cache-Control"] == "private, no-cache"
        return [job.id for job in JobList.model_validate_json(answer.content).jobs]

    assert ids("/jobs") == mine[::-1]
    assert ids("/jobs?limit=2") == mine[:0:-1]
    assert ids("/jobs?state=cancelled") == [mine[1]]
    assert ids("/jobs?state=running") == []
    assert ids("/jobs", headers=OTHER_KEY) == [theirs]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many", "limit=" + 5000 * "9", "state=done", "state="])
def test_a_list_that_cannot_be_given_is_invalid_fields(client, query):
    body = assert_problem(client.get(f"/jobs?{query}"), 422, "invalid-fields")
    assert [error["field"] for error in body["errors"]] == [query.partition("=")[0]]


# Fetching


@pytest.mark.parametrize("name", FORMATS)
def test_the_mesh_is_fetched_as_it_was_written(client, service, name):
    content = name.encode() * 200_000  # several pieces
    job = service.succeed(product(content, name))
    for path in (f"/jobs/{job.id}/mesh", f"/jobs/{job.id}/images/0/mesh"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.content == content
        assert answer.headers["Content-Type"].split(";")[0] == FORMATS[name].media_type
        assert answer.headers["Content-Length"] == str(len(content))
        assert answer.headers["Content-Disposition"] == f'attachment; filename="part.{name}"'
        assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
        assert answer.headers["Cache-Control"] == "private, no-cache"


def test_pictures_are_fetched_as_png(client, service):
    job = service.succeed(product(mask=b"the mask", preview=b"the preview"))
    for kind in ("mask", "preview"):
        answer = client.get(f"/jobs/{job.id}/{kind}")
        assert answer.content == f"the {kind}".encode()
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{kind}.png"'


def test_each_image_of_a_batch_has_results_of_its_own(client, service):
    job = service.succeed(product(b"first"), None, product(b"third", mask=b"m"), kind="batch")
    assert client.get(f"/jobs/{job.id}/images/0/mesh").content == b"first"
    assert client.get(f"/jobs/{job.id}/images/2/mesh").content == b"third"
    assert client.get(f"/jobs/{job.id}/images/2/mask").content == b"m"
    failed = client.get(f"/jobs/{job.id}/images/1/mesh")
    assert assert_problem(failed, 409, "no-result")["state"] == "succeeded"
    for index in ("3", "-1", "00", "x", "%D9%A3", 5000 * "9"):
        assert_problem(client.get(f"/jobs/{job.id}/images/{index}/mesh"), 404, "not-found")


def test_a_batch_as_a_whole_has_only_an_archive(client, service):
    job = service.succeed(product(), product(), kind="batch")
    for kind in ("mesh", "mask", "preview"):
        answer = client.get(f"/jobs/{job.id}/{kind}")
        assert assert_problem(answer, 409, "no-result")["state"] == "succeeded"
        assert "Retry-After" not in answer.headers


def test_the_archive_has_everything(client, service):
    job = service.succeed(product(b"first", "stl"), None, product(b"third", "stl", preview=b"p"), kind="batch")
    answer = client.get(f"/jobs/{job.id}/archive")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="parts.zip"'
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        told = json.loads(archive.read("manifest.json"))
        assert [image["state"] for image in told["images"]] == ["succeeded", "failed", "succeeded"]
        for image, kind, content in ((0, "mesh", b"first"), (2, "mesh", b"third"), (2, "preview", b"p")):
            assert archive.read(told["images"][image]["files"][kind]["name"]) == content
    assert client.get(f"/jobs/{job.id}/archive").content == answer.content


def test_a_client_that_has_a_result_gets_no_second_copy(client, service):
    job = service.succeed(product(mask=b"m", preview=b"p"))
    for path in RESULT_PATHS:
        url = f"/jobs/{job.id}/{path}"
        tag = client.get(url).headers["ETag"]
        for known in (tag, f'"other", W/{tag}', "*"):
            answer = client.get(url, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert "Content-Disposition" not in answer.headers
        assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_tells_of_a_result_what_get_does(client, service):
    job = service.succeed(product(mask=b"m", preview=b"p"))
    for path in RESULT_PATHS:
        got, told = (client.request(method, f"/jobs/{job.id}/{path}") for method in ("GET", "HEAD"))
        assert (told.status_code, told.content) == (200, b"")
        assert told.headers == got.headers


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.SUCCEEDED])
def test_a_job_without_results_says_so_and_when_to_come_again(client, service, state):
    job = service.in_state(state)
    for path in RESULT_PATHS:
        answer = client.get(f"/jobs/{job.id}/{path}")
        assert assert_problem(answer, 409, "no-result")["state"] == state
        assert ("Retry-After" in answer.headers) == (state in (JobState.QUEUED, JobState.RUNNING))


@pytest.mark.parametrize("kind", ["mask", "preview"])
def test_a_picture_that_was_not_ordered_is_no_result(client, service, kind):
    answer = client.get(f"/jobs/{service.succeed(product()).id}/{kind}")
    assert assert_problem(answer, 409, "no-result")["state"] == "succeeded"
    assert "Retry-After" not in answer.headers


def test_an_expired_job_is_gone(client, service):
    job = service.succeed(product(mask=b"m", preview=b"p"))
    service.clock.now += 1000.0
    assert service.store.expire() == 1
    for path in JOB_PATHS:
        assert_problem(client.get(f"/jobs/{job.id}{path}"), 410, "job-gone")


def test_a_result_whose_file_is_gone_is_gone(client, service):
    """Between the look into the store and the one into the folder another client may delete."""
    job = service.succeed(product(mask=b"m", preview=b"p"))
    service.files.remove(job.id)
    for path in RESULT_PATHS:
        assert_problem(client.get(f"/jobs/{job.id}/{path}"), 410, "job-gone")


def test_another_clients_job_and_one_that_never_was_are_unknown_alike(client, service):
    theirs = service.succeed(product(mask=b"m", preview=b"p"), owner=OTHER).id
    for method, path in [("DELETE", ""), *(("GET", path) for path in JOB_PATHS)]:
        details = []
        for job_id in (theirs, "0" * 32):
            body = assert_problem(client.request(method, f"/jobs/{job_id}{path}"), 404, "unknown-job")
            details.append(body["detail"].replace(job_id, ""))
        assert details[0] == details[1]
    assert client.get(f"/jobs/{theirs}/mesh", headers=OTHER_KEY).status_code == 200


def test_an_id_that_cannot_be_one_is_an_unknown_job(client):
    for job_id in IMPOSSIBLE_IDS:
        for path in JOB_PATHS:
            assert_problem(client.get(f"/jobs/{job_id}{path}"), 404, "not-found" if "%2F" in job_id else "unknown-job")


def test_without_a_key_nothing_is_told(client):
    for path in ("/jobs", *(f"/jobs/{'0' * 32}{path}" for path in JOB_PATHS)):
        assert_problem(client.get(path, headers={"Authorization": ""}), 401, "unauthorized")


def test_a_batch_needs_a_key(client):
    assert_problem(batch(client, b"one", headers={"Authorization": ""}), 401, "unauthorized")


def played(service, path, *, method="GET", messages=(), on_send=lambda message: None, spec_version="2.3"):
    """The messages that the application sends; after those of `messages` the connection stays open and silent."""
    sent, incoming = [], list(messages)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "http_version": "1.1",
        "client": None,
        "server": ("test", 80),
        "headers": [(b"authorization", KEY["Authorization"].encode())],
    }

    async def receive():
        if not incoming:
            await asyncio.Event().wait()
        message = incoming.pop(0)
        if isinstance(message, asyncio.Event):
            await message.wait()
            message = incoming.pop(0)
        return message

    async def send(message):
        sent.append(message)
        on_send(message)

    asyncio.run(asyncio.wait_for(service.handler(scope, receive, send), 10))
    return sent


def test_a_deletion_cuts_nobody_off(service):
    content = b"0123456789abcdef" * 100_000
    job = service.succeed(product(content))

    def delete(message):
        if message["type"] == "http.response.start":
            service.files.remove(job.id)

    sent = played(service, f"/jobs/{job.id}/mesh", on_send=delete)
    assert service.folders() == set()
    assert b"".join(message.get("body", b"") for message in sent) == content
    assert len(sent) > 5  # it came in pieces
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(sent) - 2) + [False]


def test_head_sends_no_byte_of_a_file(service):
    """Seen below the client, which would drop them."""
    job = service.succeed(product(b"a mesh"))
    start, *bodies = played(service, f"/jobs/{job.id}/mesh", method="HEAD")
    assert (b"content-length", b"6") in start["headers"]
    assert bodies == [{"type": "http.response.body", "body": b"", "more_body": False}]


def test_a_file_is_closed_when_its_client_leaves(service, recwarn):
    job = service.succeed(product(b"x" * 1_000_000))

    def leave(message):
        if message["type"] == "http.response.body":
            raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        played(service, f"/jobs/{job.id}/mesh", on_send=leave)
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]


# Deleting


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_deleting_a_job_that_is_not_done_cancels_it(client, service, state):
    job = service.in_state(state)
    answer = client.request("DELETE", f"/jobs/{job.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/jobs/{job.id}").json()["state"] == "cancelled"
    assert service.store.get(job.id, OWNER).state is JobState.CANCELLED


def test_deleting_a_job_that_is_done_removes_it(client, service):
    job = service.succeed(product())
    assert client.request("DELETE", f"/jobs/{job.id}").status_code == 204
    for method, path in (("GET", ""), ("GET", "/mesh"), ("GET", "/archive"), ("DELETE", "")):
        assert_problem(client.request(method, f"/jobs/{job.id}{path}"), 410, "job-gone")
    assert client.get("/jobs").json() == {"jobs": []}


# Following


def events_of(text):
    parts = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    return [dict(line.split(": ", 1) for line in part.split("\n")) for part in parts]


def test_the_events_of_a_finished_job_are_its_end(client, service):
    job = service.succeed(product())
    answer = client.get(f"/jobs/{job.id}/events")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Accel-Buffering"] == "no"
    (event,) = events_of(answer.text)
    assert event["event"] == "succeeded"
    assert json.loads(event["data"]) == client.get(f"/jobs/{job.id}").json()


def test_an_event_source_that_has_the_end_is_told_to_stop(client, service):
    """It would come back for ever after the end of a stream; only a 204 stops it."""
    url = f"/jobs/{service.succeed(product()).id}/events"
    (event,) = events_of(client.get(url).text)
    answer = client.get(url, headers={"Last-Event-ID": event["id"]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert len(events_of(client.get(url, headers={"Last-Event-ID": "another"}).text)) == 1


def test_a_job_is_followed_to_its_end(service):
    """Each step of the job is taken when the client has seen the one before."""
    job = service.add()
    seen = []

    def step(message):
        if message["type"] == "http.response.body" and message["body"]:
            (event,) = events_of(message["body"].decode())
            body = json.loads(event["data"])
            assert event["id"] == event_id(JobBody.model_validate(body))
            seen.append((event["event"], body["state"], body["progress"]))
            if body["state"] == "queued":
                service.claimed = service.claim()
            elif body["progress"] == 0.0:
                assert service.store.renew(service.claimed, 60.0, 0.5, [ImageReport(0)])
            elif body["progress"] == 0.5:
                assert service.store.fail(service.claimed, PROBLEM, [ImageReport(0)])

    sent = played(service, f"/jobs/{job.id}/events", on_send=step)
    assert seen == [
        ("progress", "queued", 0.0),
        ("progress", "running", 0.0),
        ("progress", "running", 0.5),
        ("failed", "failed", 0.5),
    ]
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def test_a_cancelled_job_ends_its_stream(client, service):
    job = service.in_state(JobState.RUNNING)
    stream = client.begin("GET", f"/jobs/{job.id}/events")
    assert client.request("DELETE", f"/jobs/{job.id}").status_code == 204
    assert events_of(stream.result(10).text)[-1]["event"] == "cancelled"


def test_a_client_that_leaves_ends_its_stream(service, monkeypatch):
    job = service.add()
    gone = asyncio.Event()

    def leave(message):
        if message["type"] == "http.response.body":
            gone.set()

    played(service, f"/jobs/{job.id}/events", messages=[gone, {"type": "http.disconnect"}], on_send=leave)
    reads = []
    monkeypatch.setattr(service.store, "get", lambda *arguments: reads.append(arguments))
    threading.Event().wait(0.02)  # ten polls
    assert reads == []


def test_a_stream_outlives_a_database_that_is_away(service, monkeypatch):
    """Nothing can be answered any more but the events themselves, and a client that is cut off may be told to stop."""
    job = service.in_state(JobState.RUNNING)
    stamps, failures = service.store.stamps, iter(range(3))

    def sometimes(ids):
        if next(failures, None) is None:
            service.store.delete(job.id, OWNER)
            return stamps(ids)
        return database_error()

    monkeypatch.setattr(service.store, "stamps", sometimes)
    sent = played(service, f"/jobs/{job.id}/events")
    text = b"".join(message.get("body", b"") for message in sent).decode()
    assert [event["event"] for event in events_of(text)] == ["progress", "cancelled"]


def test_a_followed_job_is_read_only_when_it_was_written_to(client, service, monkeypatch):
    job, polls, reads = service.add(), threading.Semaphore(0), []
    stamps, get = service.store.stamps, service.store.get
    monkeypatch.setattr(service.store, "stamps", lambda ids: (polls.release(), stamps(ids))[1])
    monkeypatch.setattr(service.store, "get", lambda *arguments: (reads.append(arguments), get(*arguments))[1])
    stream = client.begin("GET", f"/jobs/{job.id}/events")
    for _ in range(5):
        assert polls.acquire(timeout=10)
    service.store.delete(job.id, OWNER)
    assert [event["event"] for event in events_of(stream.result(10).text)] == ["progress", "cancelled"]
    assert len(reads) == 3  # of the request, of the first event and of the last one


def test_a_draining_service_ends_every_stream(client, service):
    streams = [client.begin("GET", f"/jobs/{service.add().id}/events") for _ in range(2)]
    service.is_draining = True
    for stream in streams:
        assert [event["event"] for event in events_of(stream.result(10).text)] == ["progress"]


# OpenAPI


def test_every_route_documents_its_answers(service):
    paths = service.app.openapi()["paths"]
    documented = {
        (method, path): set(operation["responses"])
        for path, operations in paths.items()
        for method, operation in operations.items()
        if path != "/reconstruct"
    }
    below_a_job = {"401", "404", "410", "421", "500", "default"}
    fetched = {"200", "304", "409", *below_a_job}
    job = "/jobs/{job_id}"
    kinds = ("mesh", "mask", "preview")
    posted = {"202", "400", "401", "408", "409"}
    assert documented == {
        ("post", "/reconstruct/batch"): {*posted, "413", "415", "421", "422", "429", "500", "503"},
        ("get", "/jobs"): {"200", "401", "421", "422", "500", "503"},
        ("get", job): {"200", *below_a_job},
        ("delete", job): {"204", *below_a_job},
        ("get", f"{job}/events"): {"200", "204", *below_a_job},
        ("get", f"{job}/archive"): fetched,
        **{("get", f"{job}/{kind}"): fetched for kind in kinds},
        **{("get", f"{job}/images/{{index}}/{kind}"): fetched for kind in kinds},
    }
    for operations in paths.values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if not status.startswith(("2", "3")):
                    assert "application/problem+json" in answer["content"], (operation["summary"], status)


def test_the_body_of_a_batch_is_documented_as_several_files(service):
    operation = service.app.openapi()["paths"]["/reconstruct/batch"]["post"]
    body = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    for name, least in (("image", 1), ("mask", 0)):
        described = body["properties"][name]
        assert (described["type"], described["minItems"], described["maxItems"]) == ("array", least, 3)
    assert set(body["properties"]) == {"image", "mask", *TEXT_FIELDS}
    accepted = operation["responses"]["202"]
    assert accepted["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/JobBody"}
    assert set(accepted["headers"]) == {"Location", "Preference-Applied"}


def test_no_two_operations_share_a_name(service):
    paths = service.app.openapi()["paths"]
    names = [operation["operationId"] for operations in paths.values() for operation in operations.values()]
    assert len(names) == len(set(names))

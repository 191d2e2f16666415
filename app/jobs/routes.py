"""Jobs over HTTP: accepted, looked at, followed, fetched, deleted. A job is known to the key that made it and to no other."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import WithJsonSchema
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from app.access import client_of
from app.errors import JobGone, JobsUnavailable, NoResult, UnknownJob
from app.jobs import events
from app.jobs.archive import archive_of
from app.jobs.bodies import (
    DESCRIPTIONS,
    EVENT_STREAM,
    IF_NONE_MATCH,
    LAST_EVENT_ID,
    RESULTS,
    SEEN,
    ZIP,
    JobBody,
    JobList,
    Result,
    accepted_response,
    address,
    batch_request_body,
    events_response,
    file_responses,
    has_results,
    job_problems,
)
from app.jobs.files import JobFiles
from app.jobs.files import Upload as JobUpload
from app.jobs.job import ImageReport, Job, JobState, Kind, NewJob, new_job_id
from app.jobs.store import JobStore
from app.preferences import RESPOND_ASYNC, has_current, idempotency_key, preferences
from app.products import ANYTHING_ELSE, Order
from app.schemas import IDEMPOTENCY_KEY, TEXT_FIELDS, ReconstructionForm, problem_responses
from app.settings import Settings
from app.telemetry import record_of
from app.uploads import Upload, read_upload

CACHE = {"Cache-Control": "private, no-cache"}  # kept by nobody but the client, which asks each time whether it still holds
ASK_AGAIN_SECONDS = 2
ROOM_SECONDS = 60  # Retry-After of a full disk
CHUNK_BYTES = 1 << 18

log = structlog.stdlib.get_logger("monotwin.jobs")

ImageIndex = Annotated[str, WithJsonSchema({"type": "integer", "minimum": 0})]  # compared as text: digits can be too many for int
Accept = Callable[[Request, Upload, Order, Kind], Awaitable[Response]]


class NotYet(NoResult):
    """The job has not come to its results."""

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(ASK_AGAIN_SECONDS)}


class Acceptance:
    """Turns an upload into a job and answers 202, with the same job for an Idempotency-Key that comes again.

    `poke` is told of each new job. Raises InvalidHeader, IdempotencyConflict, JobsFull or JobsUnavailable; then nothing is
    kept. Where SQLAlchemyError is raised the job may have been added all the same.
    """

    def __init__(self, settings: Settings, store: JobStore, files: JobFiles, poke: Callable[[], None]) -> None:
        self._max_jobs = settings.max_jobs
        self._store = store
        self._files = files
        self._poke = poke

    async def __call__(self, request: Request, upload: Upload, order: Order, kind: Kind = "single") -> Response:
        key = idempotency_key(request.headers)
        owner, request_id = client_of(request.scope).name, record_of(request.scope).request_id
        new = NewJob(new_job_id(), owner, kind, order.to_json(), len(upload.images), request_id)
        job, created = await asyncio.to_thread(self._add, new, upload, key)
        if created:
            self._poke()
        applied = {"Preference-Applied": RESPOND_ASYNC} if preferences(request.headers).respond_async else {}
        body = JobBody.of(job).model_dump(mode="json")
        return JSONResponse(body, 202, {"Location": address(job.id), **CACHE, **applied})

    def _add(self, new: NewJob, upload: Upload, key: str | None) -> tuple[Job, bool]:
        """Files first, so that a job in the store never lacks them. Blocks, and runs to its end even if the client leaves."""
        masks = upload.masks or (None,) * len(upload.images)
        uploads = [JobUpload(image, mask) for image, mask in zip(upload.images, masks, strict=True)]
        add = partial(self._store.add, new, idempotency_key=key, fingerprint=fingerprint(new, upload), max_waiting=self._max_jobs)
        if (earlier := self._store.check(new.owner, **add.keywords)) is not None:
            return earlier, False
        needed = False
        try:
            self._files.add(new.id, uploads)
            job, needed = add()
        except OSError as error:
            log.exception("an upload could not be kept")
            raise JobsUnavailable(f"jobs: expected room for the upload, found {error.strerror}", ROOM_SECONDS) from error
        except SQLAlchemyError as error:  # perhaps after it was added: where nobody knows, the sweep finds out
            needed = True
            # A commit outlives its connection, and until it is done there is no job to be seen.
            unanswered = isinstance(error, DBAPIError) and error.connection_invalidated
            needed = unanswered or self._store.get(new.id, new.owner) is not None
            raise
        finally:
            if not needed:
                self._files.remove(new.id)
        return job, needed


def fingerprint(new: NewJob, upload: Upload) -> str:
    """SHA-256, in hexadecimal, of all that a client asks for: equal for equal requests."""
    digests = [[hashlib.sha256(file).hexdigest() for file in files] for files in (upload.images, upload.masks)]
    return hashlib.sha256(json.dumps([new.kind, new.order, *digests], sort_keys=True).encode()).hexdigest()


class StoredFile(Response):
    """A file that is already open, so that a deletion meanwhile cuts nobody off; read and sent piece by piece, then closed."""

    def __init__(self, file: BinaryIO, media_type: str, headers: Mapping[str, str]) -> None:
        self._file = file
        size = os.fstat(file.fileno()).st_size
        super().__init__(media_type=media_type, headers={**headers, "Content-Length": str(size)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while scope["method"] != "HEAD" and (chunk := await asyncio.to_thread(self._file.read, CHUNK_BYTES)):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def router(
    settings: Settings,
    store: JobStore,
    files: JobFiles,
    accept: Accept,
    *,
    check_open: Callable[[], None],
    select: Callable[[str | None], object],
    draining: Callable[[], bool],
    poll_seconds: float = events.POLL_SECONDS,
    keep_alive_seconds: float = events.KEEP_ALIVE_SECONDS,
) -> APIRouter:
    """The routes, bound to what they need.

    check_open raises NotReady where no job is taken; select raises for a bundle that is not served; draining: whether the
    service is about to end, and with it every stream of events.
    """
    routes = APIRouter(tags=["jobs"])
    watch = events.Watch(store.stamps, poll_seconds)

    async def find(request: Request, job_id: str) -> Job:
        """Raises UnknownJob or JobGone."""
        job = await asyncio.to_thread(store.get, job_id, client_of(request.scope).name)
        if job is None:
            raise UnknownJob(f"job: expected the id of one of this client's jobs, found {job_id}")
        if job.removed:
            raise _gone(job)
        return job

    @routes.post(
        "/reconstruct/batch",
        summary="Turn several photos into one mesh each, later",
        status_code=202,
        response_class=Response,
        openapi_extra={"parameters": [IDEMPOTENCY_KEY], "requestBody": batch_request_body(settings.max_batch_images)},
        responses={202: accepted_response(), **problem_responses(400, 401, 408, 409, 413, 415, 421, 422, 429, 500, 503)},
    )
    async def reconstruct_batch(request: Request) -> Response:
        record = record_of(request.scope)
        check_open()
        idempotency_key(request.headers)  # refused before a long body is read
        with record.stages("receive"):
            upload = await read_upload(
                request,
                TEXT_FIELDS,
                max_bytes=settings.max_batch_bytes,
                max_images=settings.max_batch_images,
                seconds=settings.upload_seconds,
            )
        accepted = request.headers.get("Accept", "*/*") + ANYTHING_ELSE
        order = Order.of(ReconstructionForm.parse(upload.fields), accepted)
        select(order.form.bundle)
        return await accept(request, upload, order, "batch")

    @routes.get(
        "/jobs",
        summary="This client's jobs, the newest first",
        response_model=JobList,
        responses=problem_responses(401, 421, 422, 500, 503),
    )
    async def list_jobs(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100, description="Most jobs in the answer.")] = 20,
        state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    ) -> Response:
        owner = client_of(request.scope).name

        def listed() -> bytes:  # in its thread: a hundred batches of 64 photos take a tenth of a second to write down
            jobs = JobList(jobs=[JobBody.of(job) for job in store.list(owner, limit=limit, state=state)])
            return jobs.model_dump_json().encode()

        return Response(await asyncio.to_thread(listed), media_type="application/json", headers=CACHE)

    @routes.get("/jobs/{job_id}", summary="A job as it is now", responses=job_problems())
    async def job(request: Request, response: Response, job_id: str) -> JobBody:
        response.headers.update(CACHE)
        return JobBody.of(await find(request, job_id))

    @routes.delete(
        "/jobs/{job_id}",
        summary="Cancel a job, or delete the results of a finished one",
        status_code=204,
        responses={
            204: {"description": "A job that waited or ran is cancelled; a finished one answers 410 from now on."},
            **job_problems(),
        },
    )
    async def delete(request: Request, job_id: str) -> None:
        found = await find(request, job_id)
        await asyncio.to_thread(store.delete, found.id, found.owner)

    @routes.get(
        "/jobs/{job_id}/events",
        summary="Follow a job: server-sent events",
        response_class=StreamingResponse,
        openapi_extra={"parameters": [LAST_EVENT_ID]},
        responses={200: events_response(), 204: {"description": SEEN}, **job_problems()},
    )
    async def follow(request: Request, job_id: str) -> Response:
        found = await find(request, job_id)
        seen = request.headers.get("Last-Event-ID")
        if found.state.is_final and seen == events.event_id(JobBody.of(found)):
            return Response(status_code=204)

        async def stream() -> AsyncGenerator[str, None]:
            body, stamp = JobBody.of(found), None

            async def read() -> JobBody | None:
                nonlocal body, stamp
                try:
                    newest = await stamp_now()
                    if newest is None or newest != stamp:
                        job = await asyncio.to_thread(store.get, found.id, found.owner)
                        if job is None:
                            return None
                        body, stamp = JobBody.of(job), newest
                except SQLAlchemyError as error:  # no news; the stream began as a 200 and can be no problem any more
                    log.warning("a job that is followed could not be read", job_id=found.id, error=str(error))
                return body

            with watch.following(found.id) as stamp_now:
                async for event in events.follow(
                    read, seen=seen, draining=draining, poll_seconds=poll_seconds, keep_alive_seconds=keep_alive_seconds
                ):
                    yield event

        return StreamingResponse(stream(), media_type=EVENT_STREAM, headers=events.HEADERS)

    @routes.head("/jobs/{job_id}/archive", include_in_schema=False)
    @routes.get(
        "/jobs/{job_id}/archive",
        summary="All results of a job in one ZIP file",
        response_class=Response,
        openapi_extra={"parameters": [IF_NONE_MATCH]},
        responses=file_responses("A ZIP file whose first member, `manifest.json`, says what the others are.", ZIP),
    )
    async def archive(request: Request, job_id: str) -> Response:
        job = await find(request, job_id)
        if not has_results(job):
            raise _no_result(job, "archive")
        folder = next(files.result_path(job, file).parent for report in job.images for file in (report.files or {}).values())
        try:
            path, sha256 = await asyncio.to_thread(archive_of, job, folder)
        except FileNotFoundError as error:
            raise _gone(job) from error
        return await _answer(request, job, path, sha256, ZIP, "parts.zip")

    async def answer_result(request: Request, job: Job, report: ImageReport, kind: Result) -> Response:
        file = (report.files or {}).get(kind) if has_results(job) else None
        if file is None:
            raise _no_result(job, kind)
        path = files.result_path(job, file)
        return await _answer(request, job, path, file.sha256, file.media_type, download_name(kind, path.suffix))

    def add_result(kind: Result) -> None:
        """One result of a single job, and of each image of any job."""
        responses = file_responses(*DESCRIPTIONS[kind])

        @routes.head(f"/jobs/{{job_id}}/{kind}", include_in_schema=False)
        @routes.get(
            f"/jobs/{{job_id}}/{kind}",
            name=f"job_{kind}",
            summary=f"The {kind} of a job of one photo",
            response_class=Response,
            openapi_extra={"parameters": [IF_NONE_MATCH]},
            responses=responses,
        )
        async def result(request: Request, job_id: str) -> Response:
            job = await find(request, job_id)
            if job.kind == "batch":
                raise NoResult(
                    f"{kind}: expected a job of one photo, found a batch; its images and archive have links", job.state
                )
            return await answer_result(request, job, job.images[0], kind)

        @routes.head(f"/jobs/{{job_id}}/images/{{index}}/{kind}", include_in_schema=False)
        @routes.get(
            f"/jobs/{{job_id}}/images/{{index}}/{kind}",
            name=f"image_{kind}",
            summary=f"The {kind} of one image of a job",
            response_class=Response,
            openapi_extra={"parameters": [IF_NONE_MATCH]},
            responses=responses,
        )
        async def image_result(request: Request, job_id: str, index: ImageIndex) -> Response:
            job = await find(request, job_id)
            report = next((report for report in job.images if str(report.index) == index), None)
            if report is None:
                raise HTTPException(404)
            return await answer_result(request, job, report, kind)

    for kind in RESULTS:
        add_result(kind)
    return routes


def download_name(kind: Result, extension: str) -> str:
    """The name under which a browser saves a result; nothing of the uploaded file's."""
    return f"part{extension}" if kind == "mesh" else f"{kind}{extension}"


async def _answer(request: Request, job: Job, path: Path, sha256: str, media_type: str, name: str) -> Response:
    """A result, or 304 for a client that has it. Raises JobGone where it was deleted meanwhile."""
    headers = {"ETag": f'"{sha256}"', **CACHE}
    if has_current(request.headers, sha256):
        return Response(status_code=304, headers=headers)
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except FileNotFoundError as error:
        raise _gone(job) from error
    return StoredFile(file, media_type, {**headers, "Content-Disposition": f'attachment; filename="{name}"'})


def _gone(job: Job) -> JobGone:
    return JobGone(f"job: expected its results, which were deleted or have expired: {job.id}")


def _no_result(job: Job, kind: Result | Literal["archive"]) -> NoResult:
    if job.state.is_final:
        return NoResult(f"{kind}: expected it among the results of the job, found none; the job has {job.state}", job.state)
    return NotYet(f"{kind}: expected a job that has succeeded, found it {job.state}", job.state)

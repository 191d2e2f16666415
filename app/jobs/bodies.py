"""What a client sees of a job, as it shows in OpenAPI."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.jobs.job import ImageReport, ImageState, Job, JobState, Kind
from app.problems import MEDIA_TYPE, REQUEST_PREFIX, TYPE_PREFIX
from app.schemas import problem_responses, request_body, request_header
from model.formats import FORMATS

Result = Literal["mesh", "mask", "preview"]
RESULTS: tuple[Result, ...] = ("mesh", "mask", "preview")

EXAMPLE_ID = "9b2f6c1e0d4a4f7c8e55a1b3c7d90e12"
EXAMPLE_PROBLEM: JsonDict = {
    "type": TYPE_PREFIX + "no-foreground",
    "title": "No object was found in the image",
    "status": 422,
    "detail": "alpha: expected an opaque pixel, found none",
    "instance": REQUEST_PREFIX + "4f1d",
}
EXAMPLE: JsonDict = {
    "id": EXAMPLE_ID,
    "kind": "batch",
    "state": "succeeded",
    "progress": 1.0,
    "created_at": "2026-03-02T08:15:00Z",
    "started_at": "2026-03-02T08:15:01.250000Z",
    "finished_at": "2026-03-02T08:15:09.500000Z",
    "expires_at": "2026-03-03T08:15:09.500000Z",
    "problem": None,
    "images": [
        {
            "index": 0,
            "state": "succeeded",
            "problem": None,
            "facts": {"bundle": "default", "units": "metre", "scale_source": "declared", "watertight": True},
            "links": {"mesh": f"/jobs/{EXAMPLE_ID}/images/0/mesh"},
        },
        {"index": 1, "state": "failed", "problem": EXAMPLE_PROBLEM, "facts": None, "links": {}},
    ],
    "links": {"self": f"/jobs/{EXAMPLE_ID}", "events": f"/jobs/{EXAMPLE_ID}/events", "archive": f"/jobs/{EXAMPLE_ID}/archive"},
}


class JobProblem(BaseModel):
    """RFC 9457 problem details of a job or of one of its images: what the request itself would have been answered."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"example": EXAMPLE_PROBLEM})

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = Field(None, description="The request that brought the job, by its X-Request-ID.")


class ImageBody(BaseModel):
    """One image of a job."""

    index: int = Field(ge=0, description="Position among the images that were sent.")
    state: ImageState
    problem: JobProblem | None = Field(description="Why this image has no mesh.")
    facts: dict[str, Any] | None = Field(
        description="What is known of the mesh: bundle, units, scale_source, watertight and more."
    )
    links: dict[Result, str] = Field(description="Results of this image that are there now.")

    @classmethod
    def of(cls, report: ImageReport, links: dict[Result, str]) -> Self:
        problem = None if report.problem is None else JobProblem(**report.problem)
        return cls(index=report.index, state=report.state, problem=problem, facts=report.facts, links=links)


class JobBody(BaseModel):
    """A job as it is now. Times are RFC 3339, in UTC; links are relative to the service's address."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    id: str = Field(pattern="^[0-9a-f]{32}$")
    kind: Kind = Field(description="`single`: one photo; `batch`: several, each with a mesh of its own.")
    state: JobState
    progress: float = Field(ge=0, le=1, description="Share of the work that is done.")
    created_at: datetime
    started_at: datetime | None = Field(description="When the newest attempt began.")
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When the results are deleted.")
    problem: JobProblem | None = Field(description="Why the job failed.")
    images: list[ImageBody]
    links: dict[str, str] = Field(
        description="`self` and `events`; of a job that succeeded also `mesh`, `mask`, `preview` (single) and `archive`."
    )

    @classmethod
    def of(cls, job: Job) -> Self:
        images = [ImageBody.of(report, dict(_image_links(job, report))) for report in job.images]
        links = {"self": address(job.id), "events": f"{address(job.id)}/events"}
        if has_results(job):
            if job.kind == "single":
                links |= {kind: f"{address(job.id)}/{kind}" for kind in images[0].links}
            links["archive"] = f"{address(job.id)}/archive"
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            progress=job.progress,
            created_at=datetime.fromtimestamp(job.created_at, UTC),
            started_at=_time(job.started_at),
            finished_at=_time(job.finished_at),
            expires_at=_time(job.expires_at),
            problem=None if job.problem is None else JobProblem(**job.problem),
            images=images,
            links=links,
        )


class JobList(BaseModel):
    """A client's own jobs, the newest first."""

    jobs: list[JobBody]


def address(job_id: str) -> str:
    """Where a job is found."""
    return f"/jobs/{job_id}"


def has_results(job: Job) -> bool:
    """Whether there are files to fetch: only those of an attempt that succeeded count."""
    return job.state is JobState.SUCCEEDED and not job.removed and any(report.files for report in job.images)


def _image_links(job: Job, report: ImageReport) -> Iterator[tuple[Result, str]]:
    if has_results(job):
        for kind in RESULTS:
            if kind in (report.files or {}):
                yield kind, f"{address(job.id)}/images/{report.index}/{kind}"


def _time(unix_seconds: float | None) -> datetime | None:
    return None if unix_seconds is None else datetime.fromtimestamp(unix_seconds, UTC)


# How answers that are no model show in OpenAPI.

EVENT_STREAM = "text/event-stream"
PNG = "image/png"
ZIP = "application/zip"
SEEN = "The event that `Last-Event-ID` names was the last one; an EventSource stops asking."
PICTURE = "The mask that was used, where it was ordered with `include`."
PREVIEW = "A picture of the mesh, where it was ordered with `include`."
DESCRIPTIONS: dict[Result, tuple[str, ...]] = {
    "mesh": ("The mesh.", *(entry.media_type for entry in FORMATS.values())),
    "mask": (PICTURE, PNG),
    "preview": (PREVIEW, PNG),
}
TEXT = {"schema": {"type": "string"}}
IF_NONE_MATCH = request_header(
    "If-None-Match", "Tags of files that the client has; a 304 when the result is one of them.", '"9f86d0"'
)
LAST_EVENT_ID = request_header(
    "Last-Event-ID", "The last event that the client has seen; the stream goes on behind it.", "309d60b1"
)


def job_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI of the problems of every route below a job, and of these statuses."""
    # With `default` FastAPI does not invent a 422 for the parameters of the path, none of which is ever invalid.
    schema = {"$ref": "#/components/schemas/ProblemBody"}
    other = {"description": "Any other problem.", "content": {MEDIA_TYPE: {"schema": schema}}}
    return {**problem_responses(401, 404, *statuses, 410, 421, 500), "default": other}


def batch_request_body(max_images: int) -> dict[str, Any]:
    """OpenAPI of the body of a batch: that of one photo, with several files under each of the two names."""
    body = request_body()
    properties = body["content"]["multipart/form-data"]["schema"]["properties"]
    for name, least in (("image", 1), ("mask", 0)):
        properties[name] = {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": least,
            "maxItems": max_images,
            "description": properties[name]["description"] + " Repeated; masks are as many as images, or none.",
        }
    return body


def accepted_response() -> dict[str, Any]:
    """OpenAPI of the 202 that a new job is answered with."""
    return {
        "description": "The job; the same one for a request that comes again with its `Idempotency-Key`.",
        "model": JobBody,
        "headers": {
            "Location": {"description": "Where the job is found.", "schema": {"type": "string"}, "example": address(EXAMPLE_ID)},
            "Preference-Applied": {"description": "`respond-async`, where `Prefer` asked for it.", **TEXT},
        },
    }


def events_response() -> dict[str, Any]:
    """OpenAPI of the stream of events."""
    return {
        "description": (
            "An event `progress` for each change until the job is over, then one named `succeeded`, `failed` or `cancelled`, "
            "and the end. The data of each is the job."
        ),
        "content": {EVENT_STREAM: {}},  # OpenAPI 3.1 has no schema for a stream
    }


def file_responses(description: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI of a route that answers with a file."""
    tag = {"ETag": {"description": "SHA-256 of the file.", **TEXT}}
    name = {"Content-Disposition": {"description": "A file name with its extension.", **TEXT}}
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    return {
        200: {"description": description, "content": content, "headers": {**tag, **name}},
        304: {"description": "The client has it: `If-None-Match` names its tag.", "headers": tag},
        **job_problems(409),
    }

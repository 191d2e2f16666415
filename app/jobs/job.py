"""What a job is: plain, frozen values. `app.jobs.store` keeps them, `app.jobs.files` has their photos and meshes."""

import uuid
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, Self

Kind = Literal["single", "batch"]
ImageState = Literal["waiting", "succeeded", "failed"]


class JobState(StrEnum):
    """queued -> running -> succeeded | failed; queued | running -> cancelled; running -> queued when a service stops or dies."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class ResultFile:
    """One file made for an image; `JobFiles.result_path(job, file)` is where it lies."""

    name: str  # "000.glb": ours, never the client's
    media_type: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class ImageReport:
    """What has become of one image of a job."""

    index: int
    state: ImageState = "waiting"
    problem: dict[str, Any] | None = None  # the problem document of a failed image: type, title, status, detail, instance
    facts: dict[str, Any] | None = None  # `Product.facts` of a succeeded one
    files: dict[str, ResultFile] | None = None  # of a succeeded one, by kind: "mesh", and "mask" and "preview" if ordered

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        files = stored["files"]
        return cls(**{**stored, "files": files and {kind: ResultFile(**file) for kind, file in files.items()}})


@dataclass(frozen=True)
class NewJob:
    """What a client asks for. Its uploads are in `JobFiles` under the same id before it is added to the store."""

    id: str  # of `new_job_id`
    owner: str  # name of the client's key
    kind: Kind
    order: dict[str, Any]  # `Order.to_json`
    image_count: int
    request_id: str  # of the request that brought it; the log and the problem documents name it


@dataclass(frozen=True)
class Job:
    """A job as the store has it. Times are unix seconds.

    A running job that `JobStore.claim` returned is also the claim: `id` and `attempts` together fence off every other one.
    """

    id: str
    owner: str
    kind: Kind
    order: dict[str, Any]
    image_count: int
    request_id: str
    state: JobState
    progress: float  # 0 to 1
    created_at: float
    started_at: float | None  # of the newest attempt
    finished_at: float | None
    expires_at: float | None  # when the files of a finished job are deleted
    attempts: int  # claims so far; a finished job's results are those of the last one
    problem: dict[str, Any] | None  # of a failed job: type, title, status, detail, instance
    images: tuple[ImageReport, ...]  # one per image, in order
    removed: bool  # expired or deleted: its files are gone, and the row remains for a while to say so


def new_job_id() -> str:
    """32 hexadecimal digits that nobody can guess."""
    return uuid.uuid4().hex

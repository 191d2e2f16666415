"""The fields of a request and the bodies of answers, as they show in OpenAPI."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, field_validator
from pydantic_core import ErrorDetails

from app.errors import FieldError, InvalidFields
from app.problems import FRAMEWORK_PROBLEMS, MEDIA_TYPE, PROBLEMS, REQUEST_PREFIX, TYPE_PREFIX, Problem
from model.foreground import Background
from model.formats import FORMATS
from model.reconstructor import (
    MAX_DISTANCE,
    MAX_ELEVATION,
    MAX_FOCAL_LENGTH,
    MAX_LEVEL,
    MAX_RESOLUTION,
    MAX_SIZE,
    MAX_SMOOTH,
    MIN_DISTANCE,
    MIN_FACES,
    MIN_FOCAL_LENGTH,
    MIN_LEVEL,
    MIN_RESOLUTION,
    MIN_SIZE,
    RESOLUTION_STEP,
    CameraChoice,
    Keep,
    Options,
    SizeAxis,
)

ReadyState = Literal["ready", "busy"]


Include = Literal["mask", "preview"]

LENGTHS = ("size", "distance")  # fields in metres


class ReconstructionForm(BaseModel):
    """The text fields of `POST /reconstruct`. Bounds and defaults are those of `model.reconstructor.Options`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    resolution: int = Field(
        256,
        ge=MIN_RESOLUTION,
        le=MAX_RESOLUTION,
        multiple_of=RESOLUTION_STEP,
        description=f"Cells along the image's side, in steps of {RESOLUTION_STEP}.",
        examples=[256],
    )
    level: float | None = Field(
        None,
        ge=MIN_LEVEL,
        le=MAX_LEVEL,
        description="Occupancy at which the surface lies: lower, fatter. The bundle's when left out, which is 0.5.",
        examples=[0.5],
    )
    keep: Keep = Field("largest", description="Connected components to keep.", examples=["largest"])
    smooth: int = Field(0, ge=0, le=MAX_SMOOTH, description="Passes of Taubin's smoothing, which keeps the volume.", examples=[0])
    target_faces: int | None = Field(
        None, ge=MIN_FACES, description="Simplify to at most this many triangles.", examples=[20_000]
    )
    camera: CameraChoice = Field(
        "auto", description="The camera that took the photo: the bundle's kind, or one of the two.", examples=["auto"]
    )
    focal_length_px: float | None = Field(
        None,
        ge=MIN_FOCAL_LENGTH,
        le=MAX_FOCAL_LENGTH,
        description="Focal length in pixels of the upright photo; goes before EXIF's.",
        examples=[3000.0],
    )
    elevation: float = Field(
        0.0,
        ge=-MAX_ELEVATION,
        le=MAX_ELEVATION,
        description="Degrees by which the camera looks down on the object; the mesh is then set upright.",
        examples=[20.0],
    )
    size: float | None = Field(
        None,
        ge=MIN_SIZE,
        le=MAX_SIZE,
        description="Real size along `size_axis` in metres; the mesh is then in metres.",
        examples=[0.12],
    )
    size_axis: SizeAxis = Field(
        "height", description="What `size` measures: x, y or z of the whole object as the mesh stands.", examples=["height"]
    )
    distance: float | None = Field(
        None,
        ge=MIN_DISTANCE,
        le=MAX_DISTANCE,
        description="Metres from the camera to the object's middle, with a known focal length; the mesh is then in metres.",
        examples=[0.6],
    )
    confidence: bool = Field(
        False,
        description="Add per-vertex attributes: how sure the network is, and what the photo shows. GLB and PLY only.",
        examples=[False],
    )
    background: Background = Field(
        "auto",
        description="What separates object and background: the alpha channel, the mask, nothing (the whole image), or what fits.",
        examples=["auto"],
    )
    include: Annotated[
        tuple[Include, ...], WithJsonSchema({"type": "string", "pattern": "^((mask|preview)(,(mask|preview))*)?$"})
    ] = Field(
        (),
        description="Further results, separated by commas: the mask that was used, a preview picture.",
        examples=["mask,preview"],
        json_schema_extra={"default": ""},
    )
    bundle: str | None = Field(
        None, max_length=100, description="Name of the bundle to use; the default one when left out.", examples=["default"]
    )
    format: Literal["glb", "obj", "stl", "ply"] | None = Field(
        None, description="File format of the mesh; overrides the Accept header.", examples=["glb"]
    )

    @field_validator("include", mode="before")
    @classmethod
    def _separate(cls, given: object) -> object:
        return (
            tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip())) if isinstance(given, str) else given
        )

    @classmethod
    def parse(cls, fields: dict[str, str]) -> Self:
        """The checked fields; raises InvalidFields with one entry per bad one."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InvalidFields(*(FieldError(str(entry["loc"][0]), _message(entry)) for entry in error.errors())) from error

    def options(self) -> Options:
        """The same, for the reconstructor; raises InvalidOption for fields that do not fit together."""
        return Options(**self.model_dump(exclude={"format", "include", "bundle"}))


def _message(entry: ErrorDetails) -> str:
    """What is wrong with a field, and what was found. Half of the world writes 0,12, and workshops write millimetres."""
    hint = ""
    if entry["type"] in ("float_parsing", "int_parsing") and "," in str(entry["input"]):
        hint = "; the decimal sign is a point, and thousands have none (0.12, 20000)"
    elif entry["loc"][0] in LENGTHS:
        hint = "; lengths are in metres (0.12 for 120 mm)"
    return f"{entry['msg']}, found {entry['input']!r}{hint}"


TEXT_FIELDS = tuple(ReconstructionForm.model_fields)


class BundleIdentity(BaseModel):
    """Which exported network is served."""

    name: str = Field(examples=["default"])
    version: str = Field(examples=["1"])
    sha256: str = Field(description="Digest of the bundle's content.", examples=["9f86d0…"])


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"
    version: str = Field(description="Version of the service.", examples=["0.1.0"])


class Readiness(BaseModel):
    """The reconstructor is loaded and warm."""

    state: ReadyState = Field(description="`busy`: the queue is full, the next request is turned away.")
    bundle: BundleIdentity
    provider: str = Field(description="ONNX Runtime's execution provider.", examples=["CPUExecutionProvider"])
    reason: str = Field(description="Why this provider.", examples=["auto: no CUDA device"])


def request_header(name: str, description: str, example: str) -> dict[str, Any]:
    """OpenAPI of a header that may be sent. No schema tells what is taken: whatever is not well formed counts as not sent."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}, "example": example}


IDEMPOTENCY_KEY = request_header(
    "Idempotency-Key", "With a job: the same key again is the same job; 1 to 255 printable ASCII characters.", "order-4711"
)
PREFER = request_header(
    "Prefer", "`respond-async`: a job instead of the mesh. `wait=10`: a 504 after so many seconds.", "wait=10"
)


def request_body() -> dict[str, Any]:
    """OpenAPI of the multipart body: the two files and the text fields."""
    fields = {name: _as_text(field) for name, field in ReconstructionForm.model_json_schema()["properties"].items()}
    files = {
        "image": {
            "type": "string",
            "format": "binary",
            "description": "The photo: PNG, JPEG, WebP, BMP, TIFF, or HEIC with the extra `heic`.",
        },
        "mask": {"type": "string", "format": "binary", "description": "Image of the photo's size, bright where the object is."},
    }
    schema = {"type": "object", "required": ["image"], "properties": {**files, **fields}, "additionalProperties": False}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _as_text(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a form field: it is left out where a value would be null, since text has no null."""
    if "anyOf" not in field:
        return field
    (value,) = (entry for entry in field["anyOf"] if entry != {"type": "null"})
    return {**value, **{name: entry for name, entry in field.items() if name not in ("anyOf", "default")}}


def mesh_response() -> dict[str, Any]:
    """OpenAPI of a mesh in each format, with its headers."""
    text = {"schema": {"type": "string"}}
    return {
        "description": "The mesh; with `include`, a body of several parts: mesh, mask and preview.",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in (*(entry.media_type for entry in FORMATS.values()), "multipart/mixed")
        },
        "headers": {
            "Server-Timing": {"description": "Milliseconds of each stage.", **text},
            "X-Request-ID": {"description": "The request's id, the client's own if it sent one.", **text},
            "Content-Disposition": {"description": "A file name with the format's extension.", **text},
            "ETag": {"description": "SHA-256 of the file.", **text},
        },
    }


PROBLEM_HEADERS: dict[int, dict[str, Any]] = {
    status: {name: {"description": meaning, "schema": {"type": "string"}}}
    for status, name, meaning in (
        (401, "WWW-Authenticate", "`Bearer`."),
        (409, "Retry-After", "Seconds, while a result is not there yet."),
        (429, "Retry-After", "Seconds until the next request is free."),
        (503, "Retry-After", "Seconds, where it can be told when to come back."),
    )
}


# With `default` FastAPI does not invent a 422 for the parameters of a path, none of which is ever invalid.
ANY_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any other problem.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
    }
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI of the problems of these statuses, one example for each type."""
    every = dict.fromkeys((*PROBLEMS.values(), *FRAMEWORK_PROBLEMS))
    return {
        status: {
            "description": "; ".join(dict.fromkeys(problem.title for problem in every if problem.status == status)) + ".",
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemBody"},
                    "examples": {problem.slug: {"value": _example(problem)} for problem in every if problem.status == status},
                }
            },
            **({"headers": PROBLEM_HEADERS[status]} if status in PROBLEM_HEADERS else {}),
        }
        for status in statuses
    }


def _example(problem: Problem) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": "what: expected this, found that",
        "instance": REQUEST_PREFIX + "4f1d",
    }

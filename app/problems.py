"""Exceptions -> application/problem+json (RFC 9457). The only table of status codes; docs/api.md explains each type."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app import errors as service
from app.telemetry import record_of
from model import errors as model

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:monotwin:problem:"
REQUEST_PREFIX = "urn:monotwin:request:"
DATABASE_RETRY_SECONDS = 5
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


log = structlog.stdlib.get_logger("monotwin")


@dataclass(frozen=True)
class Problem:
    """One kind of answer that is no success: its status, the last part of its type, and its constant title."""

    status: int
    slug: str
    title: str


PROBLEMS: dict[type[model.MonotwinError], Problem] = {
    model.MonotwinError: Problem(500, "internal-error", "The service failed"),
    model.BundleError: Problem(503, "bundle-unusable", "The exported network cannot be used"),
    model.ProviderError: Problem(503, "provider-unusable", "The demanded device cannot be used"),
    model.ReconstructionError: Problem(422, "not-reconstructible", "The photo could not be turned into a mesh"),
    model.UnreadableImage: Problem(422, "unreadable-image", "The image could not be decoded"),
    model.UnsupportedImage: Problem(415, "unsupported-image", "The file is not an image of a format that is read here"),
    model.ImageTooLarge: Problem(413, "image-too-large", "The image has too many pixels"),
    model.InvalidMask: Problem(422, "invalid-mask", "The mask does not fit the image"),
    model.InvalidOption: Problem(422, "invalid-option", "Some options do not fit together, or not the photo"),
    model.NoForeground: Problem(422, "no-foreground", "No object was found in the image"),
    model.CameraTooClose: Problem(422, "camera-too-close", "The camera stands too close to the object"),
    model.NoSurface: Problem(422, "no-surface", "No surface was found at this level"),
    model.Cancelled: Problem(499, "cancelled", "The client went away"),
    service.ServiceError: Problem(500, "internal-error", "The service failed"),
    service.MalformedBody: Problem(400, "malformed-body", "The request body could not be parsed"),
    service.UnsupportedBody: Problem(415, "unsupported-body", "The request body is not multipart/form-data"),
    service.BodyTooLarge: Problem(413, "body-too-large", "The request body has too many bytes"),
    service.UploadTooSlow: Problem(408, "upload-too-slow", "The request body did not arrive in time"),
    service.InvalidHeader: Problem(400, "invalid-header", "A request header is not as expected"),
    service.InvalidFields: Problem(422, "invalid-fields", "Some form fields are not as expected"),
    service.NotAcceptable: Problem(406, "not-acceptable", "No mesh format that the client accepts"),
    service.Unauthorized: Problem(401, "unauthorized", "An API key that may do this is needed"),
    service.Misdirected: Problem(421, "misdirected", "The service does not answer under this name"),
    service.RetryLater: Problem(500, "internal-error", "The service failed"),
    service.RateLimited: Problem(429, "rate-limited", "This client sends too many requests"),
    service.UnknownJob: Problem(404, "unknown-job", "There is no such job"),
    service.JobGone: Problem(410, "job-gone", "The job's results have expired or were deleted"),
    service.NoResult: Problem(409, "no-result", "The job has no such result"),
    service.IdempotencyConflict: Problem(409, "idempotency-conflict", "The key came before, with another request"),
    service.NotReady: Problem(503, "not-ready", "The service is not ready"),
    service.QueueFull: Problem(503, "queue-full", "Too many reconstructions are waiting"),
    service.JobsFull: Problem(503, "jobs-full", "Too many jobs are waiting"),
    service.JobsUnavailable: Problem(503, "jobs-unavailable", "Jobs cannot be taken or read now"),
    service.DeadlineExceeded: Problem(504, "deadline-exceeded", "The mesh was not ready in time"),
}

INTERNAL_ERROR = PROBLEMS[model.MonotwinError]
NOT_FOUND = Problem(404, "not-found", "There is nothing at this address")
METHOD_NOT_ALLOWED = Problem(405, "method-not-allowed", "This address does not take this method")
HTTP_ERROR = Problem(400, "http-error", "The request was refused")
FRAMEWORK_PROBLEMS = (NOT_FOUND, METHOD_NOT_ALLOWED, HTTP_ERROR)

SLUGS = tuple(dict.fromkeys(problem.slug for problem in (*PROBLEMS.values(), *FRAMEWORK_PROBLEMS)))


class FieldProblem(BaseModel):
    """One form field that is not as expected."""

    field: str = Field(examples=["resolution"])
    message: str = Field(examples=["Input should be less than or equal to 512"])


class ProblemBody(BaseModel):
    """RFC 9457 problem details: the shape of every answer that is no success."""

    type: str = Field(examples=[TYPE_PREFIX + "no-foreground"], description="What went wrong; docs/api.md lists all types.")
    title: str = Field(examples=["No object was found in the image"], description="The same for every problem of this type.")
    status: int = Field(examples=[422], description="The HTTP status.")
    detail: str = Field(examples=["alpha: expected an opaque pixel, found none"], description="What went wrong this time.")
    instance: str = Field(examples=[REQUEST_PREFIX + "4f1d"], description="The request, by its X-Request-ID.")
    errors: list[FieldProblem] = Field(default=[], description="One entry per form field that is not as expected.")
    state: str | None = Field(
        None, examples=["starting"], description="State of the service, when it is not ready, or of a job without result."
    )


class ProblemResponse(JSONResponse):
    """In ASCII: a detail quotes the client, whose words may hold what UTF-8 cannot (lone surrogates, by an odd charset)."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def problem_for(error: model.MonotwinError) -> Problem:
    """The entry of the nearest class in the table."""
    return next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)


def problem_response(
    request: Request,
    problem: Problem,
    detail: str,
    *,
    members: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The problem document, noted as the outcome of the request."""
    record = record_of(request.scope)
    record.outcome = problem.slug
    body = {
        "type": TYPE_PREFIX + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": REQUEST_PREFIX + record.request_id,
        **(members or {}),
    }
    return ProblemResponse(body, problem.status, headers)


def internal_error_response(request: Request) -> JSONResponse:
    """A 500 that tells nothing of what happened inside; the log has the traceback under the request id."""
    return problem_response(request, INTERNAL_ERROR, "An unexpected error; the log has it under this request id.")


def _methods(request: Request) -> list[str]:
    """All methods of an address; the framework tells those of the first route that it finds there."""
    asked = ({**request.scope, "method": method} for method in METHODS)
    return [scope["method"] for scope in asked if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)]


def install(app: FastAPI) -> None:
    """Make every error that a route or the framework raises leave as a problem."""

    @app.exception_handler(model.MonotwinError)
    async def on_our_error(request: Request, error: model.MonotwinError) -> JSONResponse:
        problem = problem_for(error)
        if problem is INTERNAL_ERROR:
            raise error  # an abstract class was raised: a mistake of ours
        if isinstance(error, service.ServiceError):
            return problem_response(request, problem, str(error), members=error.members(), headers=dict(error.headers()))
        return problem_response(request, problem, str(error))

    @app.exception_handler(SQLAlchemyError)
    async def on_database_error(request: Request, error: SQLAlchemyError) -> JSONResponse:
        log.error("the database of jobs failed", exc_info=error)
        told = service.JobsUnavailable("jobs: expected the database to answer, found it failing", DATABASE_RETRY_SECONDS)
        return await on_our_error(request, told)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.NOT_FOUND:
            return problem_response(request, NOT_FOUND, f"path: found nothing at {request.scope['path']}", headers=headers)
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(request))
            detail = f"method: expected {headers['Allow']}, found {request.method}"
            return problem_response(request, METHOD_NOT_ALLOWED, detail, headers=headers)
        problem = Problem(error.status_code, HTTP_ERROR.slug, HTTP_ERROR.title)
        return problem_response(request, problem, str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def on_validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        fields = [service.FieldError(".".join(map(str, entry["loc"][1:])), entry["msg"]) for entry in error.errors()]
        return await on_our_error(request, service.InvalidFields(*fields))

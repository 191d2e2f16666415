"""What can go wrong between a request and the reconstructor. `app.problems` maps each class to its answer.

MonotwinError (model.errors)
└── ServiceError
    ├── MalformedBody           the body breaks off or is not the multipart it claims to be
    ├── UnsupportedBody         the body is not multipart/form-data
    ├── BodyTooLarge            more bytes than allowed
    ├── UploadTooSlow           the body did not arrive in time
    ├── InvalidFields           missing, unknown, repeated or out-of-range fields
    ├── InvalidHeader           a request header that is not as expected
    ├── NotAcceptable           no format that the client accepts
    ├── Unauthorized            no API key, or one that may not do this
    ├── Misdirected             a name under which the service does not answer
    ├── UnknownJob              no such job, or another client's
    ├── JobGone                 the job's results have expired or were deleted
    ├── NoResult                the job has no such result, or not yet
    ├── IdempotencyConflict     the key came before, with another request
    ├── NotReady                starting, draining or failed
    ├── RetryLater
    │   ├── RateLimited         more requests than this client may send
    │   ├── QueueFull           too many reconstructions wait already
    │   ├── JobsFull            too many jobs wait already
    │   └── JobsUnavailable     the database of jobs does not answer
    └── DeadlineExceeded        the mesh was not ready in time
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.errors import MonotwinError


class ServiceError(MonotwinError):
    """A request that the service turns down before or beside the reconstruction itself."""

    def members(self) -> dict[str, Any]:
        """Members that the problem document has beyond the standard ones."""
        return {}

    def headers(self) -> Mapping[str, str]:
        """Headers of the answer."""
        return {}


class MalformedBody(ServiceError):
    """The multipart body cannot be parsed, or ends before its closing boundary."""


class UnsupportedBody(ServiceError):
    """The content type is not multipart/form-data."""


class BodyTooLarge(ServiceError):
    """The body has more bytes than the limit; counted while streaming."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one form field."""

    field: str
    message: str


class InvalidFields(ServiceError):
    """At least one form field is missing, unknown, repeated or out of range."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = errors

    def members(self) -> dict[str, Any]:
        return {"errors": [{"field": error.field, "message": error.message} for error in self.errors]}


class InvalidHeader(ServiceError):
    """A request header is not as expected."""


class UploadTooSlow(ServiceError):
    """The body did not arrive within the time for uploads."""

    def headers(self) -> Mapping[str, str]:
        return {"Connection": "close"}  # the rest of the body would be read as the next request


class NotAcceptable(ServiceError):
    """The Accept header names no format that is written here."""


class Unauthorized(ServiceError):
    """The request carries no API key that may do this."""

    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Misdirected(ServiceError):
    """The Host header names no host that this service answers for."""


class RetryLater(ServiceError):
    """Nothing is wrong with the request but its moment."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_seconds)}


class RateLimited(RetryLater):
    """This client has sent more requests than it may."""


class UnknownJob(ServiceError):
    """There is no such job; another client's counts as none."""


class JobGone(ServiceError):
    """The job's results have expired or were deleted."""


class NoResult(ServiceError):
    """The job has no such result: not yet, not any more after a failure, or it was not asked for."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state

    def members(self) -> dict[str, Any]:
        return {"state": self.state}


class IdempotencyConflict(ServiceError):
    """The Idempotency-Key came before, with another request."""


class NotReady(ServiceError):
    """The reconstructor is not there: still starting, draining for shutdown, or failed to load."""

    def __init__(self, message: str, state: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.retry_after_seconds = retry_after_seconds

    def members(self) -> dict[str, Any]:
        return {"state": self.state}

    def headers(self) -> Mapping[str, str]:
        return {} if self.retry_after_seconds is None else {"Retry-After": str(self.retry_after_seconds)}


class QueueFull(RetryLater):
    """As many reconstructions wait as may wait."""


class JobsFull(RetryLater):
    """As many jobs wait as may wait."""


class JobsUnavailable(RetryLater):
    """The database of jobs does not answer."""


class DeadlineExceeded(ServiceError):
    """The mesh was not ready within the deadline; its reconstruction is being stopped."""

"""What the service tells about itself: one log line per request, Prometheus metrics, the request id."""

import logging
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, Info, PlatformCollector, ProcessCollector
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.reconstructor import Reconstructor

STAGES = ("receive", "queue", "prepare", "encode", "query", "extract", "refine", "write")
BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
SUCCEEDED = "succeeded"
MEASURED_PATH = "/reconstruct"
ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
RECORD = "monotwin.record"

log = structlog.stdlib.get_logger("monotwin")


class StageSeconds:
    """Seconds spent in each stage of one request: `with stages("query"): ...`. A stage entered twice adds up."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            self.add(stage, self._clock() - start)

    def add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds so far, in the order of their first end. A copy: the worker may still be adding."""
        return dict(self._seconds)

    def server_timing(self) -> str:
        """The value of a Server-Timing header, in milliseconds as that header demands."""
        return ", ".join(f"{stage};dur={1000 * seconds:.1f}" for stage, seconds in self.seconds().items())


@dataclass
class RequestRecord:
    """What is known about a request while it is answered."""

    request_id: str
    stages: StageSeconds = field(default_factory=StageSeconds)
    outcome: str = SUCCEEDED


def record_of(scope: Scope) -> RequestRecord:
    """The record that `TelemetryMiddleware` laid into the scope."""
    record = scope[RECORD]
    assert isinstance(record, RequestRecord)
    return record


class Telemetry:
    """The metrics of one application, in a registry of its own so that two applications can live in one process."""

    def __init__(self, outcomes: Iterable[str], queue_depth: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "monotwin_requests",
            "Reconstructions, by outcome: succeeded or a problem type.",
            ["outcome"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "monotwin_request_seconds",
            "From the request's first byte to the answer's last one.",
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "monotwin_stage_seconds",
            "Seconds of each stage of a reconstruction.",
            ["stage"],
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._inflight = Gauge("monotwin_inflight", "Reconstructions asked for and not yet answered.", registry=self.registry)
        depth = Gauge("monotwin_queue_depth", "Reconstructions that wait for the worker.", registry=self.registry)
        depth.set_function(queue_depth)
        self._bundle = Info("monotwin_bundle", "The bundle that is served.", registry=self.registry)
        self._provider = Info("monotwin_provider", "Where the network runs, and why there.", registry=self.registry)
        # A labelled series does not exist before its first use, and rate() misses a counter's first step from nothing.
        for outcome in (SUCCEEDED, *outcomes):
            self._requests.labels(outcome)
        for stage in STAGES:
            self._stage_seconds.labels(stage)

    def describe(self, reconstructor: Reconstructor) -> None:
        """Say which bundle is served and where it runs, in the metrics and in the log."""
        bundle = reconstructor.bundle
        identity = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
        self._bundle.info(identity)
        self._provider.info({"provider": reconstructor.provider, "reason": reconstructor.provider_reason})
        log.info("ready", bundle=identity, provider=reconstructor.provider, reason=reconstructor.provider_reason)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count one reconstruction request as being answered."""
        with self._inflight.track_inprogress():
            yield

    def observe(self, record: RequestRecord, seconds: float) -> None:
        """Count one finished reconstruction request."""
        self._requests.labels(record.outcome).inc()
        self._request_seconds.observe(seconds)
        for stage, stage_seconds in record.stages.seconds().items():
            self._stage_seconds.labels(stage).observe(stage_seconds)


class TelemetryMiddleware:
    """Around everything: gives the request its id and record, answers an unexpected error, measures, logs one line."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry, internal_error: Callable[[Request], Response]) -> None:
        self._app = app
        self._telemetry = telemetry
        self._internal_error = internal_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == MEASURED_PATH:
            with self._telemetry.in_flight():
                record, seconds = await self._answer(scope, receive, send)
            self._telemetry.observe(record, seconds)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> tuple[RequestRecord, float]:
        """Serve one request; returns its record and its seconds in all."""
        record = scope[RECORD] = RequestRecord(_request_id(Headers(scope=scope)))
        start = time.perf_counter()
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = record.request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("unexpected error", request_id=record.request_id)
            if status is not None:
                raise  # the answer is half sent: only closing the connection tells the client
            await self._internal_error(Request(scope))(scope, receive, send_with_id)
        seconds = time.perf_counter() - start
        _log_request(scope, record, status, seconds)
        return record, seconds


def _request_id(headers: Headers) -> str:
    """The client's X-Request-ID where it is a plain short word, else a new one."""
    given = headers.get("X-Request-ID", "")
    return given if ACCEPTED_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _log_request(scope: Scope, record: RequestRecord, status: int | None, seconds: float) -> None:
    write = log.info if scope["path"] == MEASURED_PATH else log.debug  # probes and scrapes would drown the rest
    write(
        "request",
        request_id=record.request_id,
        method=scope["method"],
        path=scope["path"],
        status=status,
        outcome=record.outcome,
        seconds=round(seconds, 4),
        stages={stage: round(value, 4) for stage, value in record.stages.seconds().items()},
    )


def configure_logging(level: str, log_format: str) -> None:
    """Send this process's logs, the server's own among them, to standard error in one format."""
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Any] = [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]
    if log_format == "json":
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every body that a client sends malformed
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )

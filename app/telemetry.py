"""What the service tells about itself: one log line per request, Prometheus metrics, the request id."""

import logging
import math
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.tracing import NO_TRACING, Tracing
from model.reconstructor import Reconstructor

STAGES = ("receive", "queue", "prepare", "encode", "query", "extract", "refine", "write")
BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
BATCH_SIZES = (1, 2, 4, 8, 16)
SUCCEEDED, ACCEPTED = "succeeded", "accepted"
JOB_OUTCOMES = ("succeeded", "failed", "cancelled")
UNFINISHED_STATES = ("queued", "running")
RELOAD_OUTCOMES = ("succeeded", "failed")
COUNTS_KEPT_SECONDS = 1.0
MEASURED_PATH = "/reconstruct"
READING = ("GET", "HEAD", "OPTIONS")
ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
RECORD = "monotwin.record"

log = structlog.stdlib.get_logger("monotwin")


class Span(NamedTuple):
    """One passage through a stage; start and end are seconds of the clock of its `StageSeconds`."""

    stage: str
    start: float
    end: float


class StageSeconds:
    """Seconds spent in each stage of one request: `with stages("query"): ...`. A stage entered twice adds up."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._created = clock()
        self._spans: list[Span] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            self._spans.append(Span(stage, start, self._clock()))

    def add(self, stage: str, seconds: float) -> None:
        """A stage that ends now."""
        end = self._clock()
        self._spans.append(Span(stage, end - seconds, end))

    def spans(self) -> list[Span]:
        """In the order of their ends. A copy: the worker may still be adding."""
        return list(self._spans)

    def seconds(self) -> dict[str, float]:
        """Stage -> seconds so far, in the order of their first end."""
        seconds: dict[str, float] = {}
        for stage, start, end in self.spans():
            seconds[stage] = seconds.get(stage, 0.0) + end - start
        return seconds

    def server_timing(self) -> str:
        """The value of a Server-Timing header, in milliseconds as that header demands; `total` is since the request came."""
        timed = {**self.seconds(), "total": self._clock() - self._created}
        return ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in timed.items())


@dataclass
class RequestRecord:
    """What is known about a request while it is answered."""

    request_id: str
    stages: StageSeconds = field(default_factory=StageSeconds)
    outcome: str = SUCCEEDED
    status: int | None = None
    """Of the answer, once it has begun."""
    client: str | None = None
    """Name of the key that was used."""
    bundle: str | None = None
    """Name of the bundle that was chosen."""
    trace_id: str | None = None

    def known(self) -> dict[str, str]:
        """What identifies the request in log lines."""
        named = {"client": self.client, "bundle": self.bundle, "trace_id": self.trace_id}
        return {"request_id": self.request_id, **{name: value for name, value in named.items() if value is not None}}


def record_of(scope: Scope) -> RequestRecord:
    """The record that `TelemetryMiddleware` laid into the scope."""
    record = scope[RECORD]
    assert isinstance(record, RequestRecord)
    return record


class Telemetry:
    """The metrics of one application, in a registry of its own so that two applications can live in one process.

    jobs: state -> number of jobs in it, asked at most once a second while /metrics is read. Every method may be called from any
    thread.
    """

    def __init__(
        self,
        outcomes: Iterable[str],
        queue_depth: Callable[[], int],
        *,
        jobs: Callable[[], Mapping[str, int]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Counter(
            "monotwin_requests",
            "Reconstructions, by outcome: succeeded, accepted as a job, or a problem type.",
            ["outcome"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "monotwin_request_seconds",
            "From the request's first byte to the answer's last one; those accepted as jobs are left out.",
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "monotwin_stage_seconds",
            "Seconds of each stage of a reconstruction.",
            ["stage"],
            buckets=BUCKETS_SECONDS,
            registry=registry,
        )
        self._inflight = Gauge("monotwin_inflight", "Reconstructions asked for and not yet answered.", registry=registry)
        depth = Gauge("monotwin_queue_depth", "Reconstructions that wait for their turn.", registry=registry)
        depth.set_function(queue_depth)
        self._batch_size = Histogram(
            "monotwin_batch_size", "Pictures in each run of an encoder.", buckets=BATCH_SIZES, registry=registry
        )
        self._query_points = Counter("monotwin_query_points", "Points that decoders were asked.", registry=registry)
        self._jobs = Counter("monotwin_jobs", "Jobs that ended, by outcome.", ["outcome"], registry=registry)
        self._job_seconds = Histogram(
            "monotwin_job_seconds", "From a job's start to its end, however it ended.", buckets=BUCKETS_SECONDS, registry=registry
        )
        self._reloads = Counter("monotwin_reloads", "Reloads of the bundles, by outcome.", ["outcome"], registry=registry)
        registry.register(_UnfinishedJobs(jobs, clock))
        self._descriptions = _Descriptions()
        registry.register(self._descriptions)
        # A labelled series does not exist before its first use, and rate() misses a counter's first step from nothing.
        for outcome in (SUCCEEDED, ACCEPTED, *outcomes):
            self._requests.labels(outcome)
        for stage in STAGES:
            self._stage_seconds.labels(stage)
        for outcome in JOB_OUTCOMES:
            self._jobs.labels(outcome)
        for outcome in RELOAD_OUTCOMES:
            self._reloads.labels(outcome)

    def describe(self, *reconstructors: Reconstructor) -> None:
        """Say which bundles are served and where they run, in the metrics and in the log; the first one is the default."""
        self._descriptions.show(reconstructors)
        for reconstructor in reconstructors:
            bundle = reconstructor.bundle
            identity = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
            log.info("ready", bundle=identity, provider=reconstructor.provider, reason=reconstructor.provider_reason)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count one reconstruction request as being answered."""
        with self._inflight.track_inprogress():
            yield

    def observe(self, record: RequestRecord, seconds: float) -> None:
        """Count one finished reconstruction request."""
        self._requests.labels(record.outcome).inc()
        if record.outcome != ACCEPTED:  # those few milliseconds say nothing of a reconstruction
            self._request_seconds.observe(seconds)
        self.observe_stages(record.stages)

    def observe_stages(self, stages: StageSeconds) -> None:
        """Count the stages of one reconstruction."""
        for stage, seconds in stages.seconds().items():
            self._stage_seconds.labels(stage).observe(seconds)

    def observe_batch(self, size: int) -> None:
        """Count one run of an encoder on `size` pictures."""
        self._batch_size.observe(size)

    def observe_points(self, count: int) -> None:
        """Count points that a decoder was asked."""
        self._query_points.inc(count)

    def observe_job(self, outcome: str, seconds: float) -> None:
        """Count one job that has ended so many seconds after its start; an outcome that is a problem type counts as failed."""
        self._jobs.labels(outcome if outcome in JOB_OUTCOMES else "failed").inc()
        self._job_seconds.observe(seconds)

    def observe_reload(self, outcome: str) -> None:
        """Count one reload, one of `RELOAD_OUTCOMES`."""
        self._reloads.labels(outcome).inc()


class _UnfinishedJobs(Collector):
    """How many jobs wait and run. The database is asked, but not for every scraper, nor is a scrape lost with it."""

    def __init__(self, counts: Callable[[], Mapping[str, int]], clock: Callable[[], float]) -> None:
        self._counts = counts
        self._clock = clock
        self._asked_at = -math.inf
        self._known: dict[str, float] = {}

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Without samples: being registered asks no database."""
        # OpenMetrics, and so its library, lets no gauge be called monotwin_jobs beside a counter monotwin_jobs_total.
        return [GaugeMetricFamily("monotwin_jobs_unfinished", "Jobs that wait or run.", labels=["state"])]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        if self._clock() - self._asked_at >= COUNTS_KEPT_SECONDS:
            self._known = self._ask()
            self._asked_at = self._clock()
        (family,) = self.describe()
        for state in UNFINISHED_STATES:
            family.add_metric([state], self._known[state])
        return [family]

    def _ask(self) -> dict[str, float]:
        try:
            counts = self._counts()
        except Exception:
            log.exception("jobs could not be counted")
            return dict.fromkeys(UNFINISHED_STATES, math.nan)
        return {state: counts.get(state, 0) for state in UNFINISHED_STATES}


class _Descriptions(Collector):
    """Which bundles are served, and where: replaced as a whole, so that no scrape sees a bundle that is gone or none at all."""

    def __init__(self) -> None:
        self._bundles: list[dict[str, str]] = []
        self._providers: list[dict[str, str]] = []

    def show(self, reconstructors: Iterable[Reconstructor]) -> None:
        """Texts only: what a reload replaces is not to be kept alive from here."""
        shown = list(reconstructors)
        self._bundles = [
            {
                "name": reconstructor.bundle.name,
                "version": reconstructor.bundle.version,
                "sha256": reconstructor.bundle.sha256,
                "default": str(index == 0).lower(),
            }
            for index, reconstructor in enumerate(shown)
        ]
        places = dict.fromkeys((reconstructor.provider, reconstructor.provider_reason) for reconstructor in shown)
        self._providers = [{"provider": provider, "reason": reason} for provider, reason in places]

    def collect(self) -> Iterable[InfoMetricFamily]:
        bundles = InfoMetricFamily("monotwin_bundle", "The bundles that are served.", labels=())
        providers = InfoMetricFamily("monotwin_provider", "Where the networks run, and why there.", labels=())
        for family, entries in ((bundles, self._bundles), (providers, self._providers)):
            for entry in entries:
                family.add_metric((), entry)
        return [bundles, providers]


class TelemetryMiddleware:
    """Around everything: gives the request its id and record, answers an unexpected error, measures, traces, logs one line."""

    def __init__(
        self,
        app: ASGIApp,
        telemetry: Telemetry,
        internal_error: Callable[[Request], Response],
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._internal_error = internal_error
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[RECORD] = RequestRecord(_request_id(Headers(scope=scope)))
        with self._tracing.request(scope, record), structlog.contextvars.bound_contextvars(**record.known()):
            if scope["path"] == MEASURED_PATH:
                with self._telemetry.in_flight():
                    seconds = await self._answer(scope, receive, send)
                self._telemetry.observe(record, seconds)
            else:
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> float:
        """Serve one request; returns its seconds in all."""
        record = record_of(scope)
        start = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                if record.status == HTTPStatus.ACCEPTED:
                    record.outcome = ACCEPTED
                MutableHeaders(scope=message)["X-Request-ID"] = record.request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("unexpected error", request_id=record.request_id)
            if record.status is not None:
                raise  # the answer is half sent: only closing the connection tells the client
            await self._internal_error(Request(scope))(scope, receive, send_with_id)
        seconds = time.perf_counter() - start
        _log_request(scope, record, seconds)
        return seconds


def _request_id(headers: Headers) -> str:
    """The client's X-Request-ID where it is a plain short word, else a new one."""
    given = headers.get("X-Request-ID", "")
    return given if ACCEPTED_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _log_request(scope: Scope, record: RequestRecord, seconds: float) -> None:
    write = log.debug if scope["method"] in READING else log.info  # probes, scrapes and polls would drown the rest
    write(
        "request",
        **record.known(),
        method=scope["method"],
        path=scope["path"],
        status=record.status,
        outcome=record.outcome,
        seconds=round(seconds, 4),
        stages={stage: round(value, 4) for stage, value in record.stages.seconds().items()},
    )


def configure_logging(level: str, log_format: str) -> None:
    """Send this process's logs, the server's own among them, to standard error in one format.

    Lines written while a request is answered carry its id, also in threads that were handed its context.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
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
    logging.captureWarnings(True)  # else they are lines of another format among these
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every body that a client sends malformed
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # a damaged image is its sender's problem, who is told
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )

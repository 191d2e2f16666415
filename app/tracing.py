"""Traces for OpenTelemetry: a span for each request and job, one inside it for each stage. Off unless the environment asks.

What asks are OpenTelemetry's own variables, OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_TRACES_EXPORTER (`otlp`, `console`, `none`); its
SDK (the extra `otel`) is imported only then. FastAPI, in newer versions, makes spans of its own through the process's global
provider; there is none here, so that each request is one span and nothing of its query is told.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPMethod, HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from starlette.datastructures import Headers
from starlette.types import Scope

from app import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from app.telemetry import RequestRecord, StageSeconds

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
NAME = "monotwin"
CLOSE_SECONDS = 2.0
PROBES = ("/health/", "/metrics")  # asked every few seconds, by machines that start no traces

log = structlog.stdlib.get_logger("monotwin.tracing")


class Tracing:
    """The interface, and what it is when nobody asked for traces: nothing."""

    @contextmanager
    def request(self, scope: Scope, record: RequestRecord) -> Iterator[None]:
        """Around one request; writes its trace id into the record, and reads the rest from there at the end."""
        yield

    @contextmanager
    def job(self, kind: str, request_id: str, stages: StageSeconds) -> Iterator[None]:
        """Around the work on one job, in whichever process; request_id: of the request that brought it."""
        yield

    def close(self) -> None:
        """Send what has not been sent; blocks until then, two seconds at most."""


NO_TRACING = Tracing()


class OpenTelemetryTracing(Tracing):
    """Spans through OpenTelemetry's SDK; nothing of it is global, so that two applications can live in one process."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = {"service.name": NAME, "service.version": __version__, **OTELResourceDetector().detect().attributes}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(NAME, __version__)

    @contextmanager
    def request(self, scope: Scope, record: RequestRecord) -> Iterator[None]:
        from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if scope["path"].startswith(PROBES):
            yield
            return
        parent = TraceContextTextMapPropagator().extract(Headers(scope=scope))
        method = scope["method"] if scope["method"] in list(HTTPMethod) else "_OTHER"
        attributes = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope.get("scheme", "http"),
            "monotwin.request_id": record.request_id,
        }
        with self._tracer.start_as_current_span(method, parent, SpanKind.SERVER, attributes) as span:
            record.trace_id = format_trace_id(span.get_span_context().trace_id)
            try:
                yield
            finally:
                self._add_stages(record.stages)
                route = getattr(scope.get("route"), "path", None)  # laid there by the router: a template, never an id
                span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route or ''}".rstrip())
                found = {
                    "http.route": route,
                    "http.response.status_code": record.status,
                    "monotwin.outcome": record.outcome,
                    "monotwin.bundle": record.bundle,
                }
                span.set_attributes({name: value for name, value in found.items() if value is not None})
                if record.status is not None and record.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    span.set_attribute("error.type", str(record.status))
                    span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def job(self, kind: str, request_id: str, stages: StageSeconds) -> Iterator[None]:
        from opentelemetry.context import Context

        attributes = {"monotwin.request_id": request_id, "monotwin.job.kind": kind}
        with self._tracer.start_as_current_span("job", Context(), attributes=attributes):
            try:
                yield
            finally:
                self._add_stages(stages)

    def close(self) -> None:
        # The SDK tries again for some ten seconds where nobody answers, and takes no shorter limit.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(CLOSE_SECONDS)

    def _add_stages(self, stages: StageSeconds) -> None:
        """A child of the current span for each passage through a stage, with its own times."""
        epoch = time.time() - time.perf_counter()  # what the clock of the stages showed as 0, in unix seconds
        for stage, start, end in stages.spans():
            self._tracer.start_span(stage, start_time=_nanoseconds(epoch + start)).end(_nanoseconds(epoch + end))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def tracing_for(environment: Mapping[str, str] = os.environ) -> Tracing:
    """What the environment asks for. Where it asks in vain, for a package or an exporter that is not here, a log line says so."""
    default = "otlp" if any(environment.get(name) for name in ENDPOINTS) else "none"
    asked = environment.get(EXPORTER) or default
    if asked == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NO_TRACING
    try:
        return OpenTelemetryTracing(_processor(asked))
    except ModuleNotFoundError as error:
        log.warning("no traces: pip install 'monotwin[otel]'", missing=error.name)
    except ValueError as error:
        log.warning("no traces", reason=str(error))
    return NO_TRACING


def _processor(exporter: str) -> SpanProcessor:
    """Sends spans in batches from a thread of its own; addresses and the like are read from the environment by the SDK."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    made: Any
    if exporter == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        made = OTLPSpanExporter()
    elif exporter == "console":
        made = ConsoleSpanExporter()
    else:
        raise ValueError(f"{EXPORTER}: expected otlp, console or none, found {exporter}")
    return BatchSpanProcessor(made)

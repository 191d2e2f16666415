import asyncio
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse

from app import problems
from app.telemetry import StageSeconds, Telemetry, TelemetryMiddleware, record_of
from app.tracing import NO_TRACING, OpenTelemetryTracing, tracing_for
from model.errors import NoForeground

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter):
    made = OpenTelemetryTracing(SimpleSpanProcessor(exporter))
    yield made
    made.close()


@pytest.fixture
def stages():
    """Those of each request to `ask`."""
    return []


@pytest.fixture
def ask(tracing, stages):
    """`ask(method, path)` of a traced application that behaves as its headers say."""
    app = FastAPI()
    app.add_middleware(
        TelemetryMiddleware,
        telemetry=Telemetry((), lambda: 0),
        internal_error=problems.internal_error_response,
        tracing=tracing,
    )
    problems.install(app)

    @app.post("/reconstruct")
    @app.get("/jobs/{job_id}")
    @app.get("/health/live")
    async def behave(request: Request):
        record = record_of(request.scope)
        for stage in ("prepare", "query", "query"):
            with record.stages(stage):
                pass
        stages.append(record.stages)
        record.bundle = "fine"
        if "error" in request.headers:
            raise NoForeground("alpha: expected an opaque pixel, found none")
        if "bug" in request.headers:
            raise RuntimeError("a bug")
        structlog.stdlib.get_logger("monotwin").info("at work")
        return PlainTextResponse()

    def send(method, url, headers=None):
        async def talk():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, url, headers=headers)

        return asyncio.run(talk())

    return send


def server_span(exporter):
    (span,) = (span for span in exporter.get_finished_spans() if span.kind is SpanKind.SERVER)
    return span


def test_a_request_is_a_span_with_the_attributes_of_the_conventions(ask, exporter):
    answer = ask("POST", "/reconstruct?key=sesame")
    span = server_span(exporter)
    assert span.name == "POST /reconstruct"
    assert span.parent is None
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "url.path": "/reconstruct",
        "url.scheme": "http",
        "http.route": "/reconstruct",
        "http.response.status_code": 200,
        "monotwin.request_id": answer.headers["X-Request-ID"],
        "monotwin.outcome": "succeeded",
        "monotwin.bundle": "fine",
    }
    assert span.status.status_code is StatusCode.UNSET


def test_the_span_continues_the_clients_trace(ask, exporter):
    ask("POST", "/reconstruct", {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})
    for span in exporter.get_finished_spans():
        assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{server_span(exporter).parent.span_id:016x}" == PARENT_ID


def test_an_odd_traceparent_begins_a_trace_of_its_own(ask, exporter):
    ask("POST", "/reconstruct", {"traceparent": "no such thing"})
    assert server_span(exporter).parent is None


def test_each_passage_through_a_stage_is_a_child_with_its_true_times(ask, exporter, stages):
    before = time.time_ns()
    ask("POST", "/reconstruct")
    after = time.time_ns()
    parent = server_span(exporter)
    children = [span for span in exporter.get_finished_spans() if span is not parent]
    assert [child.name for child in children] == ["prepare", "query", "query"]
    assert {child.parent.span_id for child in children} == {parent.context.span_id}
    slack = 1_000_000  # between two clocks, in nanoseconds
    times = [before, *(moment for child in children for moment in (child.start_time, child.end_time)), after]
    assert all(later >= earlier - slack for earlier, later in pairwise(times))
    for child, (_, start, end) in zip(children, stages[0].spans(), strict=True):
        assert child.end_time - child.start_time == pytest.approx(1e9 * (end - start), abs=2_000)
    assert parent.start_time - slack <= children[0].start_time
    assert children[-1].end_time <= parent.end_time + slack


def test_a_template_and_no_id_is_in_the_name(ask, exporter):
    ask("GET", "/jobs/4f1d")
    assert server_span(exporter).name == "GET /jobs/{job_id}"


def test_what_is_nowhere_is_named_by_its_method_alone(ask, exporter):
    ask("GET", "/nothing/4f1d")
    assert server_span(exporter).name == "GET"
    assert server_span(exporter).attributes["http.response.status_code"] == 404


def test_an_unknown_method_is_not_repeated(ask, exporter):
    ask("SESAME", "/reconstruct")
    span = server_span(exporter)
    assert "SESAME" not in span.name
    assert span.attributes["http.request.method"] == "_OTHER"


def test_a_problem_of_the_client_is_no_error_of_the_span(ask, exporter):
    ask("POST", "/reconstruct", {"error": ""})
    span = server_span(exporter)
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes["monotwin.outcome"], span.attributes["http.response.status_code"]) == ("no-foreground", 422)


def test_a_problem_of_ours_is_one(ask, exporter):
    ask("POST", "/reconstruct", {"bug": ""})
    span = server_span(exporter)
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes["error.type"], span.attributes["http.response.status_code"]) == ("500", 500)


def test_probes_are_not_traced(ask, exporter):
    ask("GET", "/health/live")
    assert exporter.get_finished_spans() == ()


def test_log_lines_name_the_trace(ask):
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        ask("POST", "/reconstruct", {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"})
    assert [(line["event"], line["trace_id"]) for line in lines] == [("at work", TRACE_ID), ("request", TRACE_ID)]


def test_a_job_is_a_trace_of_its_own_that_names_its_request(tracing, exporter):
    stages = StageSeconds()
    with tracing.job("batch", "r-1", stages), stages("query"):
        pass
    query, job = exporter.get_finished_spans()
    assert (job.name, job.parent) == ("job", None)
    assert dict(job.attributes) == {"monotwin.request_id": "r-1", "monotwin.job.kind": "batch"}
    assert (query.name, query.parent.span_id) == ("query", job.context.span_id)


def test_a_job_that_fails_is_an_error(tracing, exporter):
    with pytest.raises(RuntimeError), tracing.job("single", "r-1", StageSeconds()):
        raise RuntimeError
    assert exporter.get_finished_spans()[0].status.status_code is StatusCode.ERROR


def test_the_service_has_a_name_unless_the_environment_gives_another(tracing, exporter, monkeypatch):
    with tracing.job("single", "r-1", StageSeconds()):
        pass
    assert exporter.get_finished_spans()[0].resource.attributes["service.name"] == "monotwin"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "twin-2")
    other = OpenTelemetryTracing(SimpleSpanProcessor(exporter))
    with other.job("single", "r-2", StageSeconds()):
        pass
    other.close()
    assert exporter.get_finished_spans()[1].resource.attributes["service.name"] == "twin-2"


# What the environment asks for


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_traces_are_off_unless_they_are_asked_for(environment):
    assert tracing_for(environment) is NO_TRACING


def test_an_exporter_that_is_unknown_is_a_warning_and_no_traces():
    with structlog.testing.capture_logs() as lines:
        assert tracing_for({"OTEL_TRACES_EXPORTER": "zipkin"}) is NO_TRACING
    assert [(line["log_level"], line["reason"]) for line in lines] == [
        ("warning", "OTEL_TRACES_EXPORTER: expected otlp, console or none, found zipkin")
    ]


def test_without_the_package_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with structlog.testing.capture_logs() as lines:
        assert tracing_for({"OTEL_TRACES_EXPORTER": "otlp"}) is NO_TRACING
    assert lines[0]["event"] == "no traces: pip install 'monotwin[otel]'"
    assert lines[0]["missing"] == "opentelemetry.sdk.trace.export"


def sdk_modules(statement, **environment):
    """Those of OpenTelemetry's SDK and exporters that a fresh interpreter has after the statement."""
    theirs = "('opentelemetry.sdk', 'opentelemetry.exporter')"
    code = f"import sys\n{statement}\nprint(*[name for name in sys.modules if name.startswith({theirs})])"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**clean, **environment})
    return done.stdout.split()


def test_nothing_of_the_sdk_is_imported_unless_it_is_asked_for():
    assert sdk_modules("from app.tracing import tracing_for; import app.main; tracing_for()") == []


def test_an_import_of_the_sdk_would_be_seen():
    assert sdk_modules("from app.tracing import tracing_for; tracing_for()", OTEL_TRACES_EXPORTER="console")


@contextmanager
def collector():
    """An OTLP collector on this machine; yields its address and what it was sent: (path, body)."""
    received = []

    class Collect(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collect) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()
        thread.join(5)


def test_spans_reach_a_collector_before_the_service_ends(monkeypatch):
    with collector() as (address, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        tracing = tracing_for()
        with tracing.job("single", "r-1", StageSeconds()):
            pass
        tracing.close()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"monotwin.job.kind" in body


def test_a_collector_that_is_away_does_not_hold_up_the_end(monkeypatch):
    before = set(threading.enumerate())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "4")  # after which it gives up on its own
    monkeypatch.setattr("app.tracing.CLOSE_SECONDS", 0.1)
    tracing = tracing_for()
    with tracing.job("single", "r-1", StageSeconds()):
        pass
    start = time.perf_counter()
    tracing.close()
    assert time.perf_counter() - start < 1
    left = set(threading.enumerate()) - before
    assert left, "it tries again and again"
    for thread in left:  # what it logs meanwhile is no other test's
        thread.join(30)
        assert not thread.is_alive()

import asyncio
import gc
import json
import logging
import math
import subprocess
import threading
import weakref
from types import SimpleNamespace

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request, Response
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import PlainTextResponse

from app import problems
from app.problems import SLUGS
from app.telemetry import BUCKETS_SECONDS, STAGES, StageSeconds, Telemetry, TelemetryMiddleware, configure_logging, record_of
from model.errors import NoForeground
from tests.programs import program


def read(exposition):
    """(name, labels) -> value of everything at /metrics."""
    families = text_string_to_metric_families(exposition)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def samples(client):
    return read(client.get("/metrics").text)


def value(client, metric, **labels):
    return samples(client)[metric, tuple(sorted(labels.items()))]


def counted(telemetry, metric, **labels):
    return read(generate_latest(telemetry.registry).decode())[metric, tuple(sorted(labels.items()))]


class Described:
    """What is told of a reconstructor."""

    provider_reason = "a test"

    def __init__(self, name, provider="CPUExecutionProvider"):
        self.bundle = SimpleNamespace(name=name, version="1", sha256=name * 64)
        self.provider = provider


@pytest.fixture
def telemetry():
    return Telemetry(SLUGS, lambda: 0)


@pytest.fixture
def ask(telemetry):
    """`ask(method, path)` of an application that behaves as its headers say."""
    app = FastAPI()
    app.add_middleware(TelemetryMiddleware, telemetry=telemetry, internal_error=problems.internal_error_response)
    problems.install(app)

    @app.api_route("/jobs/{job_id}", methods=["GET", "DELETE"])
    @app.post("/reconstruct")
    async def behave(request: Request):
        body = await request.body()
        record = record_of(request.scope)
        with record.stages("receive"):
            record.client, record.bundle = request.headers.get("as"), request.headers.get("bundle")
        if "error" in request.headers:
            raise NoForeground("alpha: expected an opaque pixel, found none")
        if "bug" in request.headers:
            structlog.stdlib.get_logger("monotwin").info("before the bug")
            raise RuntimeError("a bug")
        return PlainTextResponse(f"{len(body)} bytes", 202 if "later" in request.headers else 200)

    @app.post("/thread")
    def in_a_thread():
        structlog.stdlib.get_logger("monotwin").info("at work", thread=threading.current_thread() is threading.main_thread())
        return Response()

    def send(method, url, headers=None, **request):
        async def talk():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, url, headers=headers, **request)

        return asyncio.run(talk())

    return send


# Through the whole service


def test_every_label_value_exists_before_the_first_request(client):
    seen = samples(client)
    for outcome in ("succeeded", "accepted", *SLUGS):
        assert seen["monotwin_requests_total", (("outcome", outcome),)] == 0
    for stage in STAGES:
        assert seen["monotwin_stage_seconds_count", (("stage", stage),)] == 0
    for outcome in ("succeeded", "failed", "cancelled"):
        assert seen["monotwin_jobs_total", (("outcome", outcome),)] == 0
    for state in ("queued", "running"):
        assert seen["monotwin_jobs_unfinished", (("state", state),)] == 0
    for outcome in ("succeeded", "failed"):
        assert seen["monotwin_reloads_total", (("outcome", outcome),)] == 0
    for name in ("monotwin_batch_size_count", "monotwin_query_points_total", "monotwin_job_seconds_count"):
        assert seen[name, ()] == 0


def test_a_request_appears_in_every_stage_with_buckets_from_5_ms_to_120_s(client, photo):
    client.reconstruct(photo)
    seen = samples(client)
    assert seen["monotwin_requests_total", (("outcome", "succeeded"),)] == 1
    assert seen["monotwin_request_seconds_count", ()] == 1
    for stage in STAGES:
        assert seen["monotwin_stage_seconds_count", (("stage", stage),)] == 1
        buckets = [
            float(dict(labels)["le"])
            for name, labels in seen
            if name == "monotwin_stage_seconds_bucket" and dict(labels)["stage"] == stage
        ]
        assert sorted(buckets) == [*BUCKETS_SECONDS, float("inf")]
    assert (BUCKETS_SECONDS[0], BUCKETS_SECONDS[-1]) == (0.005, 120.0)


def test_probes_are_not_counted_as_requests(client):
    client.get("/health/live")
    client.get("/nothing")
    assert sum(count for (name, _), count in samples(client).items() if name == "monotwin_requests_total") == 0


def test_requests_in_flight_and_in_the_queue_are_counted(client, photo, reconstructor):
    reconstructor.gate.clear()
    answer = client.begin_reconstruct(photo)
    assert reconstructor.busy.acquire(timeout=5)
    assert value(client, "monotwin_inflight") == 1
    assert value(client, "monotwin_queue_depth") == 0
    reconstructor.gate.set()
    answer.result(5)
    assert value(client, "monotwin_inflight") == 0


def test_bundle_and_provider_are_told(client):
    assert value(client, "monotwin_bundle_info", name="fake", version="1", sha256="f" * 64, default="true") == 1
    assert value(client, "monotwin_provider_info", provider="CPUExecutionProvider", reason="a test") == 1


def test_a_reconstruction_is_one_log_line(client, photo):
    with structlog.testing.capture_logs() as lines:
        answer = client.reconstruct(photo, {"X-Request-ID": "abc-1"})
        client.get("/health/live")
    lines = [line for line in lines if line["log_level"] == "info"]
    assert answer.headers["X-Request-ID"] == "abc-1"
    assert len(lines) == 1
    assert lines[0]["request_id"] == "abc-1"
    assert (lines[0]["outcome"], lines[0]["status"]) == ("succeeded", 200)
    assert set(lines[0]["stages"]) == set(STAGES)


def test_logs_hold_no_keys_no_file_names_and_nothing_of_the_image(client, photo, restored_logging, capsys):
    """At the most talkative level, whether the request is answered, refused or meets a bug."""
    configure_logging("debug", "json")
    secret = {"Authorization": "Bearer sesame", "X-API-Key": "sesame", "Cookie": "sesame"}
    files = {"image": ("sesame.png", photo + b"sesame"), "mask": ("sesame.png", b"sesame")}
    for data in ({}, {"resolution": "-1"}):
        client.request("POST", "/reconstruct?key=sesame", files=files, data=data, headers=secret)
    client.request("POST", "/reconstruct?key=sesame", content=b"sesame", headers=secret)
    written = capsys.readouterr().err
    assert written.count('"path": "/reconstruct"') == 3
    assert "sesame" not in written


def test_two_applications_count_apart(telemetry, ask):
    ask("POST", "/reconstruct")
    assert counted(telemetry, "monotwin_requests_total", outcome="succeeded") == 1
    assert counted(Telemetry(SLUGS, lambda: 0), "monotwin_requests_total", outcome="succeeded") == 0


# Metrics


def test_a_problem_is_counted_under_its_type(telemetry, ask):
    ask("POST", "/reconstruct", {"error": ""})
    assert counted(telemetry, "monotwin_requests_total", outcome="no-foreground") == 1
    assert counted(telemetry, "monotwin_requests_total", outcome="succeeded") == 0
    assert counted(telemetry, "monotwin_request_seconds_count") == 1


def test_an_unexpected_error_is_counted(telemetry, ask):
    assert ask("POST", "/reconstruct", {"bug": ""}).status_code == 500
    assert counted(telemetry, "monotwin_requests_total", outcome="internal-error") == 1


def test_a_request_that_becomes_a_job_is_accepted_and_takes_no_part_in_the_times(telemetry, ask):
    ask("POST", "/reconstruct", {"later": ""})
    assert counted(telemetry, "monotwin_requests_total", outcome="accepted") == 1
    assert counted(telemetry, "monotwin_requests_total", outcome="succeeded") == 0
    assert counted(telemetry, "monotwin_request_seconds_count") == 0
    assert counted(telemetry, "monotwin_stage_seconds_count", stage="receive") == 1


def test_batches_are_counted_by_their_size(telemetry):
    for size in (1, 3, 16, 17):
        telemetry.observe_batch(size)
    within = [
        counted(telemetry, "monotwin_batch_size_bucket", le=bound) for bound in ("1.0", "2.0", "4.0", "8.0", "16.0", "+Inf")
    ]
    assert within == [1, 1, 2, 2, 3, 4]
    assert counted(telemetry, "monotwin_batch_size_sum") == 37


def test_points_add_up(telemetry):
    telemetry.observe_points(4096)
    telemetry.observe_points(17)
    assert counted(telemetry, "monotwin_query_points_total") == 4113


def test_jobs_are_counted_by_their_outcome_every_problem_as_failed(telemetry):
    for outcome in ("succeeded", "cancelled", "failed", "no-foreground", "internal-error"):
        telemetry.observe_job(outcome, 2.0)
    counts = [counted(telemetry, "monotwin_jobs_total", outcome=outcome) for outcome in ("succeeded", "failed", "cancelled")]
    assert counts == [1, 3, 1]
    assert (counted(telemetry, "monotwin_job_seconds_count"), counted(telemetry, "monotwin_job_seconds_sum")) == (5, 10)


def test_reloads_are_counted_by_their_outcome(telemetry):
    telemetry.observe_reload("failed")
    assert counted(telemetry, "monotwin_reloads_total", outcome="failed") == 1
    assert counted(telemetry, "monotwin_reloads_total", outcome="succeeded") == 0


def test_unfinished_jobs_are_asked_for_at_most_once_a_second():
    now, asked = [100.0], []

    def counts():
        asked.append(now[0])
        return {"queued": len(asked), "succeeded": 7}

    telemetry = Telemetry((), lambda: 0, jobs=counts, clock=lambda: now[0])
    assert asked == []
    seen = []
    for now[0] in (100.0, 100.9, 101.0, 101.5, 103.0):
        seen.append(counted(telemetry, "monotwin_jobs_unfinished", state="queued"))
        assert counted(telemetry, "monotwin_jobs_unfinished", state="running") == 0
    assert seen == [1, 1, 2, 2, 3]
    assert asked == [100.0, 101.0, 103.0]


def test_a_database_that_is_gone_costs_two_figures_and_not_the_scrape():
    telemetry = Telemetry((), lambda: 5, jobs=lambda: 1 // 0)
    with structlog.testing.capture_logs() as lines:
        assert math.isnan(counted(telemetry, "monotwin_jobs_unfinished", state="queued"))
    assert counted(telemetry, "monotwin_queue_depth") == 5
    assert [line["event"] for line in lines] == ["jobs could not be counted"]


def test_after_a_reload_the_old_bundles_are_told_no_more(telemetry):
    telemetry.describe(Described("a"), Described("b"))
    telemetry.describe(Described("c"), Described("b"))
    infos = [
        dict(labels) for name, labels in read(generate_latest(telemetry.registry).decode()) if name == "monotwin_bundle_info"
    ]
    assert infos == [
        {"default": "true", "name": "c", "sha256": "c" * 64, "version": "1"},
        {"default": "false", "name": "b", "sha256": "b" * 64, "version": "1"},
    ]


def test_a_provider_is_told_once_however_many_bundles_use_it(telemetry):
    telemetry.describe(Described("a"), Described("b"), Described("c", "CUDAExecutionProvider"))
    providers = [
        dict(labels)["provider"]
        for name, labels in read(generate_latest(telemetry.registry).decode())
        if name == "monotwin_provider_info"
    ]
    assert providers == ["CPUExecutionProvider", "CUDAExecutionProvider"]


def test_telling_of_bundles_keeps_none_of_them_alive(telemetry):
    shown = Described("a")
    freed = weakref.ref(shown)
    telemetry.describe(shown)
    del shown
    gc.collect()
    assert freed() is None


def test_each_bundle_is_a_log_line(telemetry):
    with structlog.testing.capture_logs() as lines:
        telemetry.describe(Described("a"), Described("b"))
    assert [(line["event"], line["bundle"]["name"]) for line in lines] == [("ready", "a"), ("ready", "b")]


@pytest.fixture
def busy(telemetry, ask):
    """A service that has seen a bit of everything."""
    telemetry.describe(Described("a"))
    ask("POST", "/reconstruct")
    return telemetry


def test_the_metrics_are_also_valid_as_openmetrics(busy):
    """Whose rules are stricter: no two families may share a name."""
    families = list(openmetrics_families(generate_openmetrics(busy.registry).decode()))
    assert len({family.name for family in families}) == len(families)


def test_promtool_finds_nothing_to_say(busy):
    done = subprocess.run([program("promtool"), "check", "metrics"], input=generate_latest(busy.registry), capture_output=True)
    ours = [line for line in (done.stdout + done.stderr).decode().splitlines() if "monotwin" in line]
    assert ours == []


# Log lines


def test_who_and_what_stand_in_the_line_when_they_are_known(ask):
    with structlog.testing.capture_logs() as lines:
        ask("POST", "/reconstruct", {"as": "line-3", "bundle": "fine"})
        ask("POST", "/reconstruct")
    assert (lines[0]["client"], lines[0]["bundle"]) == ("line-3", "fine")
    assert not {"client", "bundle", "trace_id"} & set(lines[1])


def test_what_changes_something_is_told_and_what_only_looks_is_a_detail(ask):
    with structlog.testing.capture_logs() as lines:
        ask("GET", "/jobs/1")
        ask("DELETE", "/jobs/1")
        ask("GET", "/nothing")
    assert [(line["method"], line["log_level"]) for line in lines] == [("GET", "debug"), ("DELETE", "info"), ("GET", "debug")]


def test_an_unexpected_error_is_logged_with_its_traceback(ask):
    with structlog.testing.capture_logs() as lines:
        answer = ask("POST", "/reconstruct", {"bug": ""})
    error = next(line for line in lines if line["log_level"] == "error")
    assert error["request_id"] == answer.headers["X-Request-ID"]
    assert error["exc_info"]


def test_every_line_written_during_a_request_has_its_id_and_none_after_it(ask, restored_logging, capsys):
    configure_logging("info", "json")
    ask("POST", "/reconstruct", {"bug": "", "X-Request-ID": "r-1"})
    ask("POST", "/thread", {"X-Request-ID": "r-2"})
    logging.getLogger("another").warning("later")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("before the bug", "r-1"),
        ("unexpected error", "r-1"),
        ("request", "r-1"),
        ("at work", "r-2"),
        ("request", "r-2"),
        ("later", None),
    ]
    assert lines[3]["thread"] is False


@pytest.mark.parametrize("given", ["", "two words", "a" * 65, "ä", 'x"y'])
def test_an_odd_request_id_is_replaced(ask, given):
    answer = ask("DELETE", "/jobs/1", [(b"X-Request-ID", given.encode())])
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.fixture
def restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the tests' own client
    yield
    logging.getLogger("httpx").setLevel(logging.NOTSET)
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def test_json_logs_are_one_object_per_line_the_servers_own_too(restored_logging, capsys):
    configure_logging("info", "json")
    structlog.stdlib.get_logger("monotwin").info("request", request_id="r", stages={"query": 0.1})
    logging.getLogger("uvicorn.error").info("Started %s", "process")
    structlog.stdlib.get_logger("monotwin").debug("not shown")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["request", "Started process"]
    assert lines[0]["request_id"] == "r"
    assert lines[0]["level"] == "info"
    assert lines[0]["timestamp"].endswith("Z")


def test_a_traceback_stays_in_its_line(restored_logging, capsys):
    configure_logging("info", "json")
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        structlog.stdlib.get_logger("monotwin").exception("unexpected error")
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: a bug" in json.loads(line)["exception"]


# Stages


def stages_at(*times):
    """Stages whose clock shows these times, one after the other; the first one when they are made."""
    ticks = iter(times)
    return StageSeconds(clock=lambda: next(ticks))


def test_a_stage_entered_twice_adds_up():
    stages = stages_at(0.0, 0.0, 1.0, 10.0, 12.5)
    for _ in range(2):
        with stages("query"):
            pass
    assert stages.seconds() == {"query": 3.5}


def test_passages_keep_their_true_start_and_end():
    stages = stages_at(0.0, 1.0, 2.0, 10.0)
    with stages("query"):
        pass
    stages.add("queue", 3.0)
    assert stages.spans() == [("query", 1.0, 2.0), ("queue", 7.0, 10.0)]


def test_a_stage_that_fails_has_taken_its_time_too():
    stages = stages_at(0.0, 1.0, 2.0)
    with pytest.raises(RuntimeError), stages("query"):
        raise RuntimeError
    assert stages.seconds() == {"query": 1.0}


def test_server_timing_is_in_milliseconds_and_ends_with_the_time_since_the_request_came():
    stages = stages_at(5.0, 6.0, 6.25, 7.0)
    with stages("query"):
        pass
    assert stages.server_timing() == "query;dur=250.0, total;dur=2000.0"

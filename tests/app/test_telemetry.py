import json
import logging

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from app.problems import SLUGS
from app.telemetry import BUCKETS_SECONDS, STAGES, StageSeconds, configure_logging


def samples(client):
    """(name, labels) -> value of everything at /metrics."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(client, metric, **labels):
    return samples(client)[metric, tuple(sorted(labels.items()))]


def test_every_label_value_exists_before_the_first_request(client):
    seen = samples(client)
    for outcome in ("succeeded", *SLUGS):
        assert seen["monotwin_requests_total", (("outcome", outcome),)] == 0
    for stage in STAGES:
        assert seen["monotwin_stage_seconds_count", (("stage", stage),)] == 0


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


def test_a_problem_is_counted_under_its_type(client):
    client.reconstruct(b"text")
    assert value(client, "monotwin_requests_total", outcome="unsupported-image") == 1
    assert value(client, "monotwin_requests_total", outcome="succeeded") == 0


def test_an_unexpected_error_is_counted(client, photo, reconstructor):
    reconstructor.error = RuntimeError("bug")
    client.reconstruct(photo)
    assert value(client, "monotwin_requests_total", outcome="internal-error") == 1


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
    assert value(client, "monotwin_bundle_info", name="fake", version="1", sha256="f" * 64) == 1
    assert value(client, "monotwin_provider_info", provider="CPUExecutionProvider", reason="a test") == 1


def test_two_applications_count_apart(client, serve, settings, reconstructor, photo):
    client.reconstruct(photo)
    with serve(settings, reconstructor) as other:
        assert value(other, "monotwin_requests_total", outcome="succeeded") == 0


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


def test_an_unexpected_error_is_logged_with_its_traceback(client, photo, reconstructor):
    reconstructor.error = RuntimeError("a bug")
    with structlog.testing.capture_logs() as lines:
        answer = client.reconstruct(photo)
    error = next(line for line in lines if line["log_level"] == "error")
    assert error["request_id"] == answer.headers["X-Request-ID"]
    assert error["exc_info"]


@pytest.mark.parametrize("given", ["", "two words", "a" * 65, "ä", 'x"y'])
def test_an_odd_request_id_is_replaced(client, given):
    answer = client.get("/health/live", headers=[(b"X-Request-ID", given.encode())])
    assert len(answer.headers["X-Request-ID"]) == 32


def test_a_stage_entered_twice_adds_up():
    times = iter([0.0, 1.0, 10.0, 12.5])
    stages = StageSeconds(clock=lambda: next(times))
    for _ in range(2):
        with stages("query"):
            pass
    assert stages.seconds() == {"query": 3.5}
    assert stages.server_timing() == "query;dur=3500.0"


@pytest.fixture
def restored_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
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

"""The service under way: full, late, left alone, starting, failing, draining."""

import asyncio
import threading

import anyio
import pytest

from model.errors import BundleError
from tests.app.service import FakeReconstructor, assert_problem, multipart_scope, until_ready


def occupy(client, reconstructor, photo, waiting):
    """One reconstruction at work, `waiting` behind it; returns their answers to come."""
    reconstructor.gate.clear()
    answers = [client.begin_reconstruct(photo)]
    assert reconstructor.busy.acquire(timeout=5)
    answers += [client.begin_reconstruct(photo) for _ in range(waiting)]
    wait_for(lambda: metric(client, "monotwin_queue_depth") == waiting)
    return answers


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("the condition did not become true")


def metric(client, name):
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name + " ")).split()[-1])


def test_a_full_queue_is_a_503_that_says_when_to_come_back(client, photo, reconstructor):
    answers = occupy(client, reconstructor, photo, waiting=2)
    refused = client.reconstruct(photo)
    assert_problem(refused, 503, "queue-full")
    assert int(refused.headers["Retry-After"]) >= 1
    assert client.get("/health/ready").json()["state"] == "busy"
    reconstructor.gate.set()
    assert [answer.result(5).status_code for answer in answers] == [200, 200, 200]
    assert client.reconstruct(photo).status_code == 200
    assert client.get("/health/ready").json()["state"] == "ready"


def test_the_deadline_is_a_504_and_stops_the_reconstruction(serve, settings, photo, reconstructor):
    reconstructor.gate.clear()
    with serve(settings.model_copy(update={"deadline_seconds": 0.5}), reconstructor) as client:
        until_ready(client)
        assert_problem(client.reconstruct(photo), 504, "deadline-exceeded")
        assert reconstructor.stopped.wait(5)
        reconstructor.gate.set()
        wait_for(lambda: client.reconstruct(photo).status_code == 200)  # that deadline, too, may pass on a busy machine


def test_a_client_may_ask_for_an_earlier_deadline(client, photo, reconstructor):
    reconstructor.gate.clear()
    refused = client.reconstruct(photo, {"Prefer": "wait=0"})
    assert "within 0 s" in assert_problem(refused, 504, "deadline-exceeded")["detail"]


def multipart(photo):
    return b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + photo + b"\r\n--b--\r\n"


def post_then_leave(client, photo, leave):
    """Send a whole request over raw ASGI, and close the connection when `leave` is set."""
    sent = []

    async def talk():
        messages = [{"type": "http.request", "body": multipart(photo)}]

        async def receive():
            if messages:
                return messages.pop()
            while not leave.is_set():
                await anyio.sleep(0.005)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await client.app(multipart_scope(), receive, send)

    return client._portal.start_task_soon(talk), sent


def test_a_client_that_leaves_stops_its_reconstruction(client, photo, reconstructor):
    reconstructor.gate.clear()
    leave = threading.Event()
    talk, sent = post_then_leave(client, photo, leave)
    assert reconstructor.busy.acquire(timeout=5)
    leave.set()
    talk.result(5)
    assert reconstructor.stopped.wait(5)
    assert sent[0]["status"] == 499
    reconstructor.gate.set()
    assert client.reconstruct(photo).status_code == 200


def test_a_client_that_leaves_the_queue_makes_room(client, photo, reconstructor):
    answers = occupy(client, reconstructor, photo, waiting=1)
    leave = threading.Event()
    talk, _ = post_then_leave(client, photo, leave)
    wait_for(lambda: client.get("/health/ready").json()["state"] == "busy")
    leave.set()
    talk.result(5)
    assert client.get("/health/ready").json()["state"] == "ready"
    reconstructor.gate.set()
    assert [answer.result(5).status_code for answer in answers] == [200, 200]
    assert len(reconstructor.asked) == 2


def test_a_starting_service_is_alive_but_not_ready(serve, settings, photo, reconstructor):
    reconstructor.warm.clear()
    with serve(settings, reconstructor) as client:
        assert client.get("/health/live").json()["status"] == "alive"
        assert assert_problem(client.get("/health/ready"), 503, "not-ready")["state"] == "starting"
        refused = client.reconstruct(photo)
        assert_problem(refused, 503, "not-ready")
        assert int(refused.headers["Retry-After"]) >= 1
        reconstructor.warm.set()
        until_ready(client)
        assert client.reconstruct(photo).status_code == 200


class Unloadable(FakeReconstructor):
    def __init__(self, error):
        super().__init__()
        self.warm_up_error = error

    def warm_up(self):
        raise self.warm_up_error


def failed_readiness(serve, settings, error):
    with serve(settings, Unloadable(error)) as client:
        wait_for(lambda: client.get("/health/ready").json()["state"] == "failed")
        assert client.get("/health/live").status_code == 200
        assert_problem(client.reconstruct(b"x"), 503, "not-ready")
        return assert_problem(client.get("/health/ready"), 503, "not-ready")


def test_a_bundle_that_does_not_load_is_told_by_readiness(serve, settings):
    problem = failed_readiness(serve, settings, BundleError("opset: expected 17, found 9"))
    assert problem["detail"] == "opset: expected 17, found 9"


def test_a_bug_while_loading_is_not_told_in_detail(serve, settings):
    assert "secret" not in failed_readiness(serve, settings, RuntimeError("secret"))["detail"]


def test_a_missing_bundle_is_told_by_readiness(serve, settings, tmp_path):
    with serve(settings.model_copy(update={"bundle": tmp_path / "none"}), None) as client:
        wait_for(lambda: client.get("/health/ready").json()["state"] == "failed")
        assert "none" in client.get("/health/ready").json()["detail"]


def test_a_service_whose_engine_has_ended_says_so_and_asks_for_a_restart(client, photo):
    client.app.state.operations.scheduler._engine.close()
    for refused in (client.get("/health/ready"), client.get("/health/live"), client.reconstruct(photo)):
        assert assert_problem(refused, 503, "not-ready")["state"] == "failed"


def test_a_drain_that_takes_too_long_tells_those_who_still_wait(client, photo, reconstructor):
    answers = occupy(client, reconstructor, photo, waiting=1)
    drained = client._portal.start_task_soon(asyncio.wait_for, client.app.state.operations.drain(), 0.05)
    for answer in answers:
        assert assert_problem(answer.result(5), 503, "not-ready")["state"] == "draining"
    assert reconstructor.stopped.wait(5)
    with pytest.raises(TimeoutError):
        drained.result(10)


def test_a_draining_service_finishes_what_it_has_and_refuses_what_is_new(client, photo, reconstructor):
    answers = occupy(client, reconstructor, photo, waiting=1)
    operations = client.app.state.operations
    drained = client._portal.start_task_soon(operations.drain)
    wait_for(lambda: client.get("/health/ready").json().get("state") == "draining")
    for headers in ({}, {"Prefer": "respond-async"}):
        refused = client.reconstruct(photo, headers)
        assert assert_problem(refused, 503, "not-ready")["state"] == "draining"
        assert int(refused.headers["Retry-After"]) >= 1
    assert not drained.done()
    reconstructor.gate.set()
    drained.result(10)
    assert [answer.result(5).status_code for answer in answers] == [200, 200]

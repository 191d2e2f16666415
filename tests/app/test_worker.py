import asyncio
import threading

import anyio
import pytest

from app.errors import DeadlineExceeded
from app.settings import Settings
from app.worker import ServiceState, Worker
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


def test_retry_after_is_the_mean_of_measured_seconds(reconstructor):
    """Warm-up took 7 s by this clock, then two tasks 17 s each: 7 -> 9 -> 10.6, rounded up."""
    times = iter([0, 7, 10, 27, 30, 47])
    worker = Worker(lambda: reconstructor, queue_size=1, deadline_seconds=5, clock=lambda: next(times))
    worker.start()
    wait_for(lambda: worker.state is ServiceState.READY)
    assert worker._retry_after_seconds() == 7
    for _ in range(2):
        worker._enqueue(lambda reconstructor, cancelled: None).result.result(5)
    worker.close()
    assert worker._retry_after_seconds() == 11


def test_the_deadline_is_a_504_and_stops_the_reconstruction(serve, photo, reconstructor):
    reconstructor.gate.clear()
    with serve(Settings(deadline_seconds=0.1), reconstructor) as client:
        until_ready(client)
        assert_problem(client.reconstruct(photo), 504, "deadline-exceeded")
        assert reconstructor.stopped.wait(5)
        reconstructor.gate.set()
        assert client.reconstruct(photo).status_code == 200


def test_what_waited_too_long_is_never_computed(reconstructor):
    worker = Worker(lambda: reconstructor, queue_size=3, deadline_seconds=0.2)
    worker.start()
    wait_for(lambda: worker.state is ServiceState.READY)
    gate, performed = threading.Event(), []

    def work(name):
        return lambda reconstructor, cancelled: (performed.append(name), gate.wait(5))

    async def ask():
        return await asyncio.gather(*(worker.run(work(name), asyncio.Event().wait) for name in "abc"), return_exceptions=True)

    assert [type(error) for error in asyncio.run(ask())] == [DeadlineExceeded] * 3
    assert worker.depth == 0
    gate.set()
    worker.close()
    assert performed == ["a"]


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


def test_closing_finishes_what_waits_and_takes_nothing_new(reconstructor):
    worker = Worker(lambda: reconstructor, queue_size=3, deadline_seconds=5)
    worker.start()
    wait_for(lambda: worker.state is ServiceState.READY)
    gate = threading.Event()
    tasks = [worker._enqueue(lambda reconstructor, cancelled: gate.wait(5)) for _ in range(3)]
    closing = threading.Thread(target=worker.close)
    closing.start()
    wait_for(lambda: worker.state is ServiceState.DRAINING)
    with pytest.raises(Exception, match="draining"):
        worker._enqueue(lambda reconstructor, cancelled: None)
    gate.set()
    closing.join(5)
    assert [task.result.result(0) for task in tasks] == [True, True, True]

import asyncio
import contextlib

import pytest

from app.budget import BodyBudgetMiddleware
from app.errors import QueueFull
from tests.app.service import assert_problem, until_ready
from tests.app.test_uploads import BOUNDARY, image_part


@pytest.fixture
def body(photo):
    return image_part(photo) + b"--b--\r\n"


@pytest.fixture
def client(serve, settings, reconstructor, body):
    """A body is as large as one may be, so four of them are the budget."""
    sizes = {"max_upload_bytes": len(body), "max_batch_bytes": len(body)}
    with serve(settings.model_copy(update={**sizes, "queue_size": 10}), reconstructor) as client:
        yield until_ready(client)
        reconstructor.gate.set()


def post(client, body):
    return client.begin("POST", "/reconstruct", content=body, headers=BOUNDARY)


def test_a_body_beyond_those_of_all_requests_in_hand_is_refused_until_one_of_them_is_answered(client, reconstructor, body):
    reconstructor.gate.clear()
    held = [post(client, body) for _ in range(4)]
    while client.app.state.operations.scheduler.depth < 3:
        assert not any(answer.done() for answer in held)
    answer = post(client, body).result(10)
    expected = f"body: expected at most {4 * len(body):,} bytes of all requests together, found more"
    assert assert_problem(answer, 503, "queue-full")["detail"] == expected
    assert answer.headers["Retry-After"] == "5"
    reconstructor.gate.set()
    assert [answer.result(10).status_code for answer in held] == [200, 200, 200, 200]
    assert post(client, body).result(10).status_code == 200


def test_what_a_refused_body_took_is_given_back(client, body):
    damaged = body.replace(b"--b--", b"--b-b")
    assert [post(client, damaged).result(10).status_code for _ in range(9)] == 9 * [400]
    assert post(client, body).result(10).status_code == 200


def test_a_request_without_a_body_is_answered_when_the_budget_is_spent(client, reconstructor, body):
    reconstructor.gate.clear()
    held = [post(client, body) for _ in range(4)]
    while client.app.state.operations.scheduler.depth < 3:
        assert not any(answer.done() for answer in held)
    assert client.get("/health/live").status_code == client.get("/jobs").status_code == 200


@pytest.mark.parametrize(("method", "received"), [("GET", 9), ("HEAD", 9), ("DELETE", 9), ("POST", 4)])
def test_a_body_that_nobody_asked_for_takes_nothing_of_the_budget(method, received):
    """What answers with events receives on and on, to learn when its client leaves."""
    count = 0

    async def receive():
        return {"type": "http.request", "body": bytes(10), "more_body": True}

    async def application(scope, receive, send):
        nonlocal count
        for _ in range(9):
            await receive()
            count += 1

    async def main():
        with contextlib.suppress(QueueFull):
            await BodyBudgetMiddleware(application, max_bytes=40)({"type": "http", "method": method}, receive, None)

    asyncio.run(main())
    assert count == received

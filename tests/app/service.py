"""A service whose reconstructor computes nothing, a client for it, and what every problem must look like."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from PIL import Image

from app.main import create_app
from app.problems import ProblemBody
from app.settings import Settings
from model.errors import Cancelled
from model.mesh import Mesh
from model.runtime.turns import Turns

TETRAHEDRON_VERTICES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
TETRAHEDRON_FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)


class FakeReconstructor:
    """Answers a tetrahedron; can be made to wait, to fail, and remembers what it was asked."""

    bundle = SimpleNamespace(name="fake", version="1", sha256="f" * 64)
    provider = "CPUExecutionProvider"
    provider_reason = "a test"
    network = SimpleNamespace(decoder=SimpleNamespace(runs_on_cuda=False))

    def __init__(self) -> None:
        self.asked: list[SimpleNamespace] = []
        self.error: BaseException | None = None
        self.gate = threading.Event()  # closed: reconstruct waits
        self.gate.set()
        self.warm = threading.Event()  # closed: warm_up waits
        self.warm.set()
        self.busy = threading.Semaphore(0)  # released once per reconstruct that has begun
        self.stopped = threading.Event()  # a reconstruct saw that nobody waits any more

    def warm_up(self) -> None:
        assert self.warm.wait(10)

    def prepare(self, photo: Any, options: Any, mask: Any = None) -> Any:
        self.asked.append(SimpleNamespace(photo=photo, options=options, mask=mask, thread=threading.current_thread().name))
        return SimpleNamespace(foreground=np.full(photo.rgb.shape[:2], 255, np.uint8))

    def reconstruct_prepared(
        self, prepared: Any, options: Any, *, stage: Any, turns: Turns, progress: Callable[[float], None]
    ) -> Mesh:
        self.busy.release()
        with stage("query"):
            while not self.gate.wait(0.005):
                try:
                    turns.check()
                except Cancelled:
                    self.stopped.set()
                    raise
            progress(1.0)
        for name in ("encode", "extract", "refine"):
            with stage(name):
                pass
        if self.error is not None:
            raise self.error
        return Mesh(TETRAHEDRON_VERTICES, TETRAHEDRON_FACES, {"bundle": "fake", "units": "view", "scale_source": "none"})


class Client:
    """Sends requests to an application whose event loop runs in a thread of its own."""

    def __init__(self, app: FastAPI, portal: BlockingPortal, http: httpx.AsyncClient) -> None:
        self.app = app
        self._portal = portal
        self._http = http

    def request(self, method: str, url: str, **request: Any) -> httpx.Response:
        return self.begin(method, url, **request).result(20)

    def begin(self, method: str, url: str, **request: Any) -> "Future[httpx.Response]":
        async def send() -> httpx.Response:
            return await self._http.request(method, url, **request)

        return self._portal.start_task_soon(send)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._portal.call(function, *arguments)

    def get(self, url: str, **request: Any) -> httpx.Response:
        return self.request("GET", url, **request)

    def post(self, url: str, **request: Any) -> httpx.Response:
        return self.request("POST", url, **request)

    def reconstruct(self, image: bytes, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        return self.begin_reconstruct(image, headers, **fields).result(20)

    def begin_reconstruct(self, image: bytes, headers: dict[str, str] | None = None, **fields: str) -> "Future[httpx.Response]":
        return self.begin("POST", "/reconstruct", files={"image": ("photo", image)}, data=fields, headers=headers)


@contextmanager
def running(settings: Settings, reconstructor: Any = None) -> Iterator[Client]:
    """The application within its life span."""
    app = create_app(settings, reconstructor)
    with start_blocking_portal() as portal:
        transport = httpx.ASGITransport(app)
        http = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        with portal.wrap_async_context_manager(app.router.lifespan_context(app)):
            yield Client(app, portal, http)
            portal.call(http.aclose)


def until_ready(client: Client) -> Client:
    """Wait for the warm-up, which is over in no time with a fake."""
    for _ in range(1000):
        if client.get("/health/ready").status_code == 200:
            return client
        threading.Event().wait(0.005)
    raise AssertionError(client.get("/health/ready").text)


def multipart_scope() -> dict[str, Any]:
    """The ASGI scope of `POST /reconstruct` with boundary `b`, for tests that play the connection themselves."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/reconstruct",
        "raw_path": b"/reconstruct",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "http_version": "1.1",
        "client": None,
        "server": ("test", 80),
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
    }


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The answer is this problem, in the one shape that every error has; returns its body."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.text
    body = answer.json()
    ProblemBody.model_validate(body, strict=True)
    assert body["type"] == f"urn:monotwin:problem:{slug}"
    assert body["status"] == status
    assert body["instance"] == f"urn:monotwin:request:{answer.headers['X-Request-ID']}"
    return body

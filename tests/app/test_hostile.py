"""The hostile corpus, and clients that take their time, against the real application behind a real socket."""

import contextlib
import http.client
import json
import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from app.problems import ProblemBody
from app.settings import Settings
from tests.app.hostile import BOUNDARY, END, LIMIT, MAX_PIXELS, corpus, encoded, file, picture, post, text

HEAD_SECONDS = UPLOAD_SECONDS = 1.0
PATIENCE = 20.0
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")

# The service as its command starts it, on a socket that is handed over, with a shorter wait for a request's head.
SERVER = """
import socket, sys, uvicorn
from app.connections import Connection
from app.main import create_app
from app.settings import Settings
from app.telemetry import configure_logging
Connection.head_seconds = float(sys.argv[2])
configure_logging("info", "json")
own = {"log_config": None, "access_log": False, "server_header": False}
config = uvicorn.Config(create_app(Settings()), http=Connection, ws="none", **own)
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


@dataclass
class Service:
    address: tuple[str, int]
    process: psutil.Process
    log: Path

    def connect(self):
        connection = socket.create_connection(self.address, PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, request):
        """Status, headers, body; what comes before the whole request is sent counts."""
        with self.connect() as connection:
            send(connection, request)
            return receive(connection)


def send(connection, request):
    """All of the request, or as much as the other side takes before it answers and closes."""
    view = memoryview(request)
    while view:
        try:
            view = view[connection.send(view[:65_536]) :]
        except (BrokenPipeError, ConnectionResetError):
            return


def receive(connection):
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, answer.headers, answer.read()


@pytest.fixture(scope="module")
def service(tiny_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    own = {f"MONOTWIN_{name.upper()}" for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    settings = {
        "bundle": tiny_bundle,
        "data_dir": folder,
        "device": "cpu",
        "threads": 1,
        "allowed_hosts": "t",
        "max_upload_bytes": LIMIT,
        "max_pixels": MAX_PIXELS,
        "upload_seconds": UPLOAD_SECONDS,
    }
    environment |= {f"MONOTWIN_{name.upper()}": str(value) for name, value in settings.items()}
    # What the allocator keeps for each thread comes and goes by more than what is looked for.
    environment["MALLOC_ARENA_MAX"] = "1"
    with socket.create_server(("127.0.0.1", 0)) as listening, (folder / "log").open("wb") as log:
        command = [sys.executable, "-c", SERVER, str(listening.fileno()), str(HEAD_SECONDS)]
        process = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()], stdout=log, stderr=log)
        service = Service(listening.getsockname(), psutil.Process(process.pid), folder / "log")
    try:
        ready = b"GET /health/ready HTTP/1.1\r\nHost: t\r\n\r\n"
        deadline = time.monotonic() + 60
        while (status := service.ask(ready)[0]) != 200:
            assert (status, process.poll()) == (503, None), service.log.read_text()[-3000:]
            assert time.monotonic() < deadline, service.log.read_text()[-3000:]
            time.sleep(0.05)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cases():
    return corpus()


def complaint(case, status, headers, body):
    """What is wrong with an answer, or None."""
    kind = headers["Content-Type"]
    if status not in case.statuses:
        return f"{case.name}: expected one of {sorted(case.statuses)}, found {status}: {body[:300]!r}"
    if status == 200:
        return None if kind == "model/gltf-binary" and body.startswith(b"glTF") else f"{case.name}: 200, but {kind}"
    if kind == "text/plain; charset=utf-8" and not case.is_http:
        return None if (status, body) == (400, b"Invalid HTTP request received.") else f"{case.name}: {status} {body!r}"
    if kind != "application/problem+json":
        return f"{case.name}: {status}, but {kind}: {body[:300]!r}"
    problem = json.loads(body)
    ProblemBody.model_validate(problem, strict=True)
    slug = problem["type"].removeprefix("urn:monotwin:problem:")
    if problem["status"] != status or f"| {status} | `{slug}` |" not in DOCUMENTED:
        return f"{case.name}: {status} {slug} is not documented"
    return None


def run_all(service, cases):
    complaints, slow = [], []
    for case in cases:
        start = time.monotonic()
        try:
            complaints.append(complaint(case, *service.ask(case.request)))
        except (OSError, http.client.HTTPException) as error:
            # A connection that is closed on what is no HTTP takes the answer with it where the client is still sending.
            if isinstance(error, ConnectionResetError) and not case.is_http:
                continue
            complaints.append(f"{case.name}: {error!r}")
        if time.monotonic() - start > 5:
            slow.append(f"{case.name}: {time.monotonic() - start:.1f} s")
    return "\n".join(entry for entry in (*complaints, *slow) if entry)


def test_the_corpus_is_large_distinct_and_the_same_each_time(cases):
    assert len(cases) >= 300
    assert len({case.name for case in cases}) == len({case.request for case in cases}) == len(cases)
    assert corpus() == cases
    assert not any(status >= 500 for case in cases for status in case.statuses)


def test_a_plain_photo_is_answered(service):
    """Else a refusal of everything would pass for a defence."""
    photo = encoded(picture(), "PNG")
    status, headers, body = service.ask(post(file(photo) + text("resolution", b"32") + END))
    assert (status, headers["Content-Type"]) == (200, "model/gltf-binary"), body
    assert body.startswith(b"glTF")


def test_each_hostile_upload_has_its_answer(service, cases):
    """No 5xx, no hang, no answer that is not documented, nothing in the log that we did not foresee."""
    with no_fault_logged(service):
        assert run_all(service, cases) == ""


@pytest.mark.slow
def test_the_corpus_twice_more_takes_no_more_memory(service, cases):
    """A second round may take what the first one left free; beyond that nothing is kept of anybody's upload."""
    run_all(service, cases)
    before = service.process.memory_info().rss
    for _ in range(2):
        run_all(service, cases)
    growth = service.process.memory_info().rss - before
    print(f"{len(cases)} uploads, RSS {before / 1e6:.0f} MB after the first round, {growth / 1e6:+.1f} MB after two more")  # noqa: T201
    assert growth < 20e6


@contextlib.contextmanager
def no_fault_logged(service):
    """Pillow logs what it refuses as errors; those are none of ours."""
    before = service.log.stat().st_size
    yield
    lines = service.log.read_bytes()[before:].decode().splitlines()
    assert [line for line in lines if ('"level": "error"' in line and '"logger": "PIL.' not in line) or "Traceback" in line] == []


# Clients that take their time


def seconds_until_closed(connection, drip=b"", every=0.05):
    """Send `drip` until the other side closes or resets; returns the seconds and what it said."""
    start, said = time.monotonic(), b""
    while time.monotonic() - start < PATIENCE:
        readable, _, _ = select.select([connection], [], [], every)
        try:
            if readable:
                received = connection.recv(65_536)
                if not received:
                    return time.monotonic() - start, said
                said += received
            elif drip:
                connection.send(drip)
        except (BrokenPipeError, ConnectionResetError):
            return time.monotonic() - start, said
    raise AssertionError(f"still open after {PATIENCE} s: {said[:200]!r}")


@pytest.mark.parametrize("drip", [b"", b"x"])
@pytest.mark.parametrize("begun", [b"", b"POST /reconstruct HTTP/1.1\r\nX: "])
def test_a_head_that_does_not_end_is_given_up(service, begun, drip):
    with service.connect() as connection:
        connection.sendall(begun)
        seconds, said = seconds_until_closed(connection, drip)
    assert HEAD_SECONDS * 0.9 < seconds < HEAD_SECONDS + 2
    assert said == b""


def test_a_head_that_drips_after_an_answer_is_given_up(service):
    with service.connect() as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n")
        assert receive(connection)[0] == 200
        seconds, _ = seconds_until_closed(connection, b"G")
    assert seconds < HEAD_SECONDS + 2


@pytest.mark.parametrize("drip", [b"", b"x"])
def test_a_body_that_does_not_end_is_given_up_with_a_408(service, drip):
    head, _, body = post(file(1000 * b"x") + END).partition(b"\r\n\r\n")
    with service.connect() as connection:
        connection.sendall(head + b"\r\n\r\n" + body[:50])
        seconds, said = seconds_until_closed(connection, drip)
    assert UPLOAD_SECONDS * 0.9 < seconds < UPLOAD_SECONDS + 2
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"urn:monotwin:problem:upload-too-slow" in said


def test_a_body_that_drips_on_after_its_refusal_is_given_up(service):
    head = post(b"").replace(b"Content-Length: 0", b"Content-Length: 99999999")
    with service.connect() as connection:
        connection.sendall(head)
        seconds, said = seconds_until_closed(connection, b"x")
    assert said.startswith(b"HTTP/1.1 413 ")
    assert seconds < HEAD_SECONDS + 2


def test_a_client_that_sends_40_megabytes_gets_its_413_and_no_reset(service):
    """First the whole body, then the answer, as simple clients do: a connection that was closed at once would be reset."""
    body = file(bytes(40_000_000)) + END
    with service.connect() as connection:
        connection.sendall(post(body))
        status, headers, content = receive(connection)
        assert (status, headers["Content-Type"]) == (413, "application/problem+json"), content
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n")
        assert receive(connection)[0] == 200, "and the connection may be used again"


def test_so_does_one_that_asks_for_the_connection_to_be_closed(service):
    """As Python's urllib does with each request."""
    request = post(file(bytes(40_000_000)) + END).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with service.connect() as connection:
        connection.sendall(request)
        status, headers, content = receive(connection)
        assert (status, headers["Content-Type"]) == (413, "application/problem+json"), content
        assert connection.recv(1) == b""


def test_who_sends_on_behind_the_answer_that_closes_the_connection_is_given_up(service):
    head = post(b"").replace(b"Content-Length: 0", b"Content-Length: 99999999\r\nConnection: close")
    with service.connect() as connection:
        connection.sendall(head)
        status, _, content = receive(connection)
        assert (status, json.loads(content)["status"]) == (413, 413)
        assert connection.recv(1) == b""
        start = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - start < PATIENCE:
                connection.send(b"x")
                time.sleep(0.05)
    assert HEAD_SECONDS * 0.8 < time.monotonic() - start < HEAD_SECONDS + 2


def test_so_does_one_that_says_nothing_of_the_length(service):
    chunks = b"".join(b"%x\r\n%s\r\n" % (1_000_000, bytes(1_000_000)) for _ in range(40))
    head = b"POST /reconstruct HTTP/1.1\r\nHost: t\r\nContent-Type: multipart/form-data; boundary=" + BOUNDARY
    start = file(b"")[:-2]
    with service.connect() as connection:
        connection.sendall(
            head + b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(start), start) + chunks + b"0\r\n\r\n"
        )
        assert receive(connection)[0] == 413


def test_many_slow_clients_do_not_keep_a_quick_one_waiting(service):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(service.connect()).sendall(b"POST /reconstruct HTTP/1.1\r\nHost: t\r\nX: ")
        start = time.monotonic()
        assert service.ask(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n")[0] == 200
        assert time.monotonic() - start < 5  # one after the other they would take a hundred times HEAD_SECONDS


ASSET = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: t\r\n\r\n"  # more than a megabyte


def until_the_service(service, *, holds, port):
    """Waits until the service has, or has no more, its end of the connection from this port."""
    deadline = time.monotonic() + PATIENCE
    while any(held.raddr and held.raddr.port == port for held in service.process.net_connections("tcp")) != holds:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_client_that_reads_none_of_its_answers_is_given_up(service):
    """The answer after the next one waits for room, and would for ever."""
    with service.connect() as connection:
        port = connection.getsockname()[1]
        connection.sendall(20 * ASSET)
        until_the_service(service, holds=True, port=port)
        until_the_service(service, holds=False, port=port)


def test_a_client_that_reads_slowly_gets_all_its_answers(service):
    whole = service.ask(ASSET)[2]
    start = time.monotonic()
    with service.connect() as connection:
        connection.sendall(20 * ASSET)
        received = 0
        while time.monotonic() < start + 3 * HEAD_SECONDS:
            received += len(connection.recv(200_000))
            time.sleep(0.1)
        while received < 20 * len(whole):
            chunk = connection.recv(1_000_000)
            assert chunk, received
            received += len(chunk)


def test_a_client_that_goes_away_in_the_middle_harms_nothing(service):
    request = post(file(encoded(picture(), "PNG")) + text("resolution", b"32") + END)
    with no_fault_logged(service):
        for end in (10, 100, len(request) - 10, len(request)):
            with service.connect() as connection:
                connection.sendall(request[:end])
        assert service.ask(request)[0] == 200


def test_what_is_no_http_behind_an_answer_ends_the_connection_quietly(service):
    head = b"POST /reconstruct HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    with no_fault_logged(service), service.connect() as connection:
        connection.sendall(head)
        assert receive(connection)[0] == 415
        connection.sendall(b"no chunk\r\n")
        seconds, said = seconds_until_closed(connection)
        assert (seconds < HEAD_SECONDS / 2, said) == (True, b"")

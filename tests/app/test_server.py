"""The server's end: what is told to those that wait, and what becomes of clients that take their time."""

import asyncio
import errno
import logging
import signal
import threading

import pytest
import uvicorn

from app.connections import Connection, _Lingering
from app.server import Server


class Operations:
    """A drain that would never end; notes what becomes of it."""

    def __init__(self):
        self.noted = []

    async def drain(self):
        self.noted.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            self.noted.append("was ended")


@pytest.mark.parametrize(("signals", "drain_seconds"), [(2, 10.0), (3, 10.0), (1, 0.0)])
def test_a_drain_begins_however_soon_it_is_to_end(signals, drain_seconds):
    """Else nobody tells those that wait: they are cut off, or kept, without a word."""

    async def main():
        operations = Operations()
        server = Server(uvicorn.Config(app="", log_config=None), operations, drain_seconds)
        server._loop = asyncio.get_running_loop()
        for _ in range(signals):
            server.handle_exit(signal.SIGTERM, None)
        async with asyncio.timeout(5):
            while not server.should_exit or server._stopping is None or not server._stopping.done():
                await asyncio.sleep(0.001)
        return operations.noted

    assert asyncio.run(main()) == ["began", "was ended"]


HEAD = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize("sent", [HEAD + b"half", HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")])
def test_a_body_that_does_not_end_is_given_up_at_the_end_without_a_traceback(sent, caplog):
    assert _at_the_end(sent, _reads, caplog) == (["http.disconnect"], [])


def test_an_answer_that_is_not_read_is_given_up_at_the_end_without_a_traceback(caplog):
    assert _at_the_end(HEAD + b"0123456789", _answers_without_end, caplog) == (["disconnected"], [])


def test_a_client_that_is_gone_before_its_connection_is_closed_ends_nothing_else():
    """Nobody has read yet that it is: where the system says so first, no other connection, nor the server's end, may suffer."""

    class Gone:
        reading = False

        def is_closing(self):
            return False

        def write_eof(self):
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

        def resume_reading(self):
            self.reading = True

    lingering = _Lingering(gone := Gone(), lambda: True)
    lingering.close()
    assert (lingering.is_closing(), gone.reading) == (True, True)


def test_a_connection_that_lingers_is_not_reset_by_the_services_end():
    """`shutdown` closes all connections that were answered: who still sends has `last_seconds`, then all are aborted."""
    called = []

    class Open:
        def is_closing(self):
            return False

        def __getattr__(self, name):
            return lambda: called.append(name)

    lingering = _Lingering(Open(), lambda: True)
    lingering.close()
    lingering.close()
    lingering.abort()
    assert called == ["write_eof", "resume_reading", "abort"]


async def _reads(receive, _, noted):
    while (message := await receive())["type"] == "http.request":
        assert message["more_body"]
    noted.append(message["type"])


async def _answers_without_end(receive, send, noted):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    answering = asyncio.ensure_future(_answer_on(send))
    while (await receive())["type"] != "http.disconnect":
        pass
    noted.append("disconnected")
    answering.cancel()


async def _answer_on(send):
    while True:
        await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
        await asyncio.sleep(0)


def _at_the_end(sent, behave, caplog):
    """A client that sends this, and then nothing, when the server ends: what the application noted, what the log has."""
    noted = []

    class Impatient(Connection):
        last_seconds = 0.2

    async def main():
        begun = asyncio.Event()

        async def application(scope, receive, send):
            begun.set()
            await behave(receive, send, noted)

        config = uvicorn.Config(application, port=0, http=Impatient, ws="none", lifespan="off", log_config=None, access_log=False)
        config.timeout_graceful_shutdown = 10
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server._serve())
        async with asyncio.timeout(30):
            while not server.started:
                await asyncio.sleep(0.01)
            _, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
            writer.write(sent)
            await begun.wait()
            server.should_exit = True
            await serving
            writer.transport.abort()

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    return noted, [record.getMessage() for record in caplog.records if record.thread == threading.get_ident()]

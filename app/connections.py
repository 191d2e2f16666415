"""The HTTP connection with an end to waiting, which Uvicorn's own has only for clients that send nothing at all."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 75.0  # balancers keep connections for a minute, and must be the ones to close them
LAST_SECONDS = 4.0  # less than the server waits at its end before it cancels requests, each of which is a traceback in the log


class _Lingering:
    """A transport whose `close`, while `is_needed`, closes our half alone; the other is read on, for nothing, until the client's.

    Else what it still sends would be answered with a reset, which takes away what it has not read yet: its answer.
    """

    def __init__(self, transport: asyncio.Transport, is_needed: Callable[[], bool]) -> None:
        self._transport = transport
        self._is_needed = is_needed
        self._lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._lingers or self._transport.is_closing()

    def close(self) -> None:
        if self._lingers:
            return
        if self._transport.is_closing() or not self._is_needed():
            self._transport.close()
            return
        self._lingers = True
        with suppress(OSError):  # it has closed already, which reading will tell
            self._transport.write_eof()
        self._transport.resume_reading()


class Connection(H11Protocol):
    """Uvicorn's, ended when between two requests the complete head of the next one does not come within `HEAD_SECONDS`.

    That is for the client that drips its head, for the one that goes on to send a body that was refused long ago, and for the
    one that does not read its answer: that is given up only where nothing of it was taken in the meantime. In the middle of an
    answer, too, where the next piece of it waits for room. Nor is a client that still sends its body reset by its answer.
    """

    head_seconds = HEAD_SECONDS
    last_seconds = LAST_SECONDS
    _unread = 0
    _head_timer: asyncio.TimerHandle | None = None
    _room_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        lingering = _Lingering(transport, lambda: self.conn.their_state is h11.SEND_BODY)
        super().connection_made(cast(asyncio.Transport, lingering))
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        self._await_head()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no HTTP. In the middle of a body the application must not answer too: Uvicorn would raise."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()  # it has had its answer

    def shutdown(self) -> None:
        """The service ends: who still sends a body, or does not read an answer, has `LAST_SECONDS` for it."""
        super().shutdown()
        self.loop.call_later(self.last_seconds, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_awaiting_room()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_room(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._stop_awaiting_room()
        super().resume_writing()

    def _await_room(self, unread: int) -> None:
        self._room_timer = self.loop.call_later(self.head_seconds, self._expect_progress, unread)

    def _stop_awaiting_room(self) -> None:
        if self._room_timer is not None:
            self._room_timer.cancel()

    def _expect_progress(self, unread: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < unread:
            self._await_room(left)
        else:
            self.transport.abort()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._unread = self.transport.get_write_buffer_size()
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()

    def _give_up(self) -> None:
        if 0 < self.transport.get_write_buffer_size() < self._unread:
            self._await_head()
        else:
            self.transport.abort()  # close() would wait for what the client does not read

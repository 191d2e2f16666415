"""The web server, and what signals mean to it."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextvars import Context
from types import FrameType
from typing import Any, Protocol

import structlog
import uvicorn


class Operations(Protocol):
    """What the server has done to the application that it serves."""

    async def drain(self) -> None:
        """Refuses what is new, ends when all that was taken is finished."""

    async def reload(self) -> None:
        """Reads the bundles anew."""


log = structlog.stdlib.get_logger("monotwin.server")


class Server(uvicorn.Server):
    """Uvicorn with a drain before its end, so that it ends with exit code 0.

    SIGTERM and SIGINT: `operations.drain()` is awaited, at most `drain_seconds`, while the port still answers: /health/ready says
    `draining`, new work is refused with a 503. Then connections are closed. A second signal ends the wait, no matter for what.
    SIGHUP: `operations.reload()` is awaited; what it raises is logged.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        operations: Operations,
        drain_seconds: float,
    ) -> None:
        super().__init__(config)
        self._operations = operations
        self._drain_seconds = drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # the type of sockets
        self._loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            self._loop.add_signal_handler(signal.SIGHUP, self._begin, self._reload_logged)
        await super().startup(sockets)  # type: ignore[arg-type]

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not noted among the captured signals, which uvicorn raises anew after its end."""
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._end, context=Context())  # its own: the log's lines are no request's

    def _end(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        else:
            # After its first step, with which the drain begins: only then those that wait are told of the end.
            asyncio.get_running_loop().call_soon(self._stopping.cancel)
            self.should_exit = True

    def _begin(self, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.ensure_future(action())
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        log.info("draining", seconds=self._drain_seconds)
        try:
            async with asyncio.timeout(self._drain_seconds):  # of no seconds, too, it begins; that of `wait_for` would not
                await self._operations.drain()
        except (TimeoutError, asyncio.CancelledError) as error:
            log.warning("drained only in part", reason="time" if isinstance(error, TimeoutError) else "a second signal")
        except Exception:
            log.exception("draining failed")
        self.should_exit = True

    async def _reload_logged(self) -> None:
        try:
            await self._operations.reload()
        except Exception:
            log.exception("reload failed; what was served before is served on")

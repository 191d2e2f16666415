"""A job's progress as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from app.jobs.bodies import JobBody

POLL_SECONDS = 0.3
KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = ": still here\n\n"  # a comment, which no client sees; proxies close what is silent
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the latter is for nginx, which would hold events back


def event_id(body: JobBody) -> str:
    """Tells what the client has seen: equal for equal bodies, so that one that reconnects gets nothing twice."""
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()[:16]


def event(body: JobBody) -> str:
    """One event: `progress` until the job is over, then its final state. JSON has no line breaks of its own."""
    name = body.state.value if body.state.is_final else "progress"
    return f"event: {name}\nid: {event_id(body)}\ndata: {body.model_dump_json()}\n\n"


async def follow(
    read: Callable[[], Awaitable[JobBody | None]],
    *,
    seen: str | None,
    draining: Callable[[], bool],
    poll_seconds: float = POLL_SECONDS,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
) -> AsyncGenerator[str, None]:
    """An event for each change of what `read` tells, from the state now unless `seen` is its id, to the final one.

    Also ends when there is no such job any more, and when the service drains: clients come back by themselves, to another one.
    """
    silent_seconds = 0.0
    while (body := await read()) is not None:
        if (now := event_id(body)) != seen:
            seen, silent_seconds = now, 0.0
            yield event(body)
        elif silent_seconds >= keep_alive_seconds:
            silent_seconds = 0.0
            yield KEEP_ALIVE
        if body.state.is_final or draining():
            return
        await asyncio.sleep(poll_seconds)
        silent_seconds += poll_seconds

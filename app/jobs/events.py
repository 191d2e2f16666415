"""A job's progress as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager

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


class Watch:
    """Asks the store one question for all jobs that are followed here, however many: were they written to?

    ask: `JobStore.stamps`, which blocks. A stamp is at most `poll_seconds` old.
    """

    def __init__(self, ask: Callable[[Collection[str]], Mapping[str, Hashable]], poll_seconds: float) -> None:
        self._ask = ask
        self._poll_seconds = poll_seconds
        self._followed: Counter[str] = Counter()
        self._asking: asyncio.Task[Mapping[str, Hashable]] | None = None

    @contextmanager
    def following(self, job_id: str) -> Iterator[Callable[[], Awaitable[Hashable]]]:
        """What asks for the stamp of this job, which is None where it is not known yet or no more; raises what `ask` does."""
        self._followed[job_id] += 1
        try:
            yield lambda: self._stamp(job_id)
        finally:
            self._followed -= Counter([job_id])  # and forgets it with its last follower

    async def _stamp(self, job_id: str) -> Hashable:
        if self._asking is None:
            self._asking = asyncio.create_task(self._round())
        return (await asyncio.shield(self._asking)).get(job_id)  # one follower that leaves takes no answer from the others

    async def _round(self) -> Mapping[str, Hashable]:
        try:
            return await asyncio.to_thread(self._ask, tuple(self._followed))
        finally:
            asyncio.get_running_loop().call_later(self._poll_seconds, self._forget)

    def _forget(self) -> None:
        self._asking = None


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
    silent_seconds, known = 0.0, None
    while (body := await read()) is not None:
        if body is not known and event_id(body) != seen:
            seen, silent_seconds = event_id(body), 0.0
            yield event(body)
        elif silent_seconds >= keep_alive_seconds:
            silent_seconds = 0.0
            yield KEEP_ALIVE
        known = body
        if body.state.is_final or draining():
            return
        await asyncio.sleep(poll_seconds)
        silent_seconds += poll_seconds

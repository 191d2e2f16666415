import asyncio
import json
import threading
from datetime import UTC, datetime

import pytest

from app.jobs.bodies import EXAMPLE, JobBody
from app.jobs.events import KEEP_ALIVE, Watch, event, event_id, follow
from app.jobs.job import JobState


def body(state=JobState.RUNNING, progress=0.0):
    return JobBody.model_validate({**EXAMPLE, "state": state, "progress": progress})


def parsed(text):
    """The fields of one event, by the rules of the HTML standard."""
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n")
    fields = [line.partition(": ") for line in lines]
    assert len({name for name, _, _ in fields}) == len(fields)
    return {name: value for name, _, value in fields}


class Script:
    """Answers one state after the other, and the last one for ever; fails when asked suspiciously often."""

    def __init__(self, *states):
        self.states = states
        self.reads = 0

    async def __call__(self):
        self.reads += 1
        assert self.reads < 1000
        return self.states[min(self.reads, len(self.states)) - 1]


def followed(read, seen=None, draining=lambda: False, keep_alive_seconds=1e9):
    async def collect():
        stream = follow(read, seen=seen, draining=draining, poll_seconds=0.001, keep_alive_seconds=keep_alive_seconds)
        return [text async for text in stream]

    return asyncio.run(collect())


def names(texts):
    return [parsed(text)["event"] for text in texts]


def test_an_event_is_named_by_the_state_and_holds_the_job():
    running = body(progress=0.25)
    assert parsed(event(running)) == {
        "event": "progress",
        "id": event_id(running),
        "data": running.model_dump_json(),
    }
    assert JobBody.model_validate_json(parsed(event(running))["data"]) == running


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (JobState.QUEUED, "progress"),
        (JobState.RUNNING, "progress"),
        (JobState.SUCCEEDED, "succeeded"),
        (JobState.FAILED, "failed"),
        (JobState.CANCELLED, "cancelled"),
    ],
)
def test_each_state_has_its_name(state, name):
    assert parsed(event(body(state)))["event"] == name


def test_a_line_break_in_a_detail_breaks_no_event():
    problem = {"type": "t", "title": "t", "status": 422, "detail": "one\ntwo\r\nthree\rfour\u2028five\n\ndata: {}"}
    failed = JobBody.model_validate({**EXAMPLE, "problem": problem})
    assert json.loads(parsed(event(failed))["data"])["problem"]["detail"] == problem["detail"]


def test_there_is_an_event_for_each_change_and_none_without_one():
    read = Script(*3 * [body(JobState.QUEUED)], *4 * [body()], body(progress=0.5), body(JobState.SUCCEEDED, 1.0))
    texts = followed(read)
    assert names(texts) == ["progress", "progress", "progress", "succeeded"]
    assert [json.loads(parsed(text)["data"])["progress"] for text in texts] == [0.0, 0.0, 0.5, 1.0]
    assert read.reads == 9


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_the_stream_ends_with_the_final_event(state):
    read = Script(body(), body(state))
    assert names(followed(read)) == ["progress", state.value]
    assert read.reads == 2


def test_a_client_that_comes_back_gets_only_what_it_has_not_seen():
    seen = event_id(body())
    assert names(followed(Script(body(), body(), body(JobState.FAILED)), seen=seen)) == ["failed"]
    assert names(followed(Script(body(), body(JobState.FAILED)), seen="another")) == ["progress", "failed"]


def test_ids_differ_exactly_when_bodies_do():
    assert event_id(body()) == event_id(body())
    assert len({event_id(body(state, progress)) for state in JobState for progress in (0.0, 0.5)}) == 10
    later = body().model_copy(update={"finished_at": datetime(2026, 1, 1, tzinfo=UTC)})
    assert event_id(later) != event_id(body())


def test_the_stream_ends_when_the_job_is_no_more():
    assert names(followed(Script(body(), None))) == ["progress"]
    assert followed(Script(None)) == []


def test_a_draining_service_ends_the_stream():
    """After the state as it is now, so that a client that just came learns something."""
    assert names(followed(Script(body()), draining=lambda: True)) == ["progress"]
    answers = iter([False, False, True])
    read = Script(body(), body(progress=0.1), body(progress=0.2), body(progress=0.3))
    assert names(followed(read, draining=lambda: next(answers))) == ["progress"] * 3
    assert read.reads == 3


def test_a_silent_stream_is_kept_alive_by_comments():
    """At 1 ms a poll and 3 ms of silence there is a comment with every third poll; an event starts the count anew."""
    read = Script(*8 * [body()], *5 * [body(progress=0.5)], body(JobState.SUCCEEDED))
    texts = followed(read, keep_alive_seconds=0.0029)
    kinds = ["." if text == KEEP_ALIVE else "!" for text in texts]
    assert "".join(kinds) == "!..!.!"


def test_a_keep_alive_is_a_comment_and_nothing_else():
    assert KEEP_ALIVE.startswith(":")
    assert KEEP_ALIVE.endswith("\n\n")
    assert KEEP_ALIVE.count("\n") == 2


def test_a_stream_that_is_closed_reads_no_more():
    read = Script(body())

    async def leave():
        stream = follow(read, seen=None, draining=lambda: False, poll_seconds=0.001)
        first = await anext(stream)
        await stream.aclose()
        return first

    assert names([asyncio.run(leave())]) == ["progress"]
    assert read.reads == 1


class Stamps:
    """What `Watch` asks; answers when `gate` is open."""

    def __init__(self):
        self.asked = []
        self.gate = threading.Event()
        self.gate.set()
        self.error = None

    def __call__(self, ids):
        self.asked.append(sorted(ids))
        assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return {job_id: f"stamp of {job_id}" for job_id in ids if job_id != "unknown"}


def test_one_question_answers_all_who_follow():
    stamps = Stamps()
    stamps.gate.clear()

    async def main():
        watch = Watch(stamps, poll_seconds=60.0)
        with watch.following("a") as first, watch.following("b") as second, watch.following("a") as third:
            asking = asyncio.gather(first(), second(), third())
            await asyncio.sleep(0)
            stamps.gate.set()
            return [*await asking, await first()]  # the last one within the time that an answer is kept

    assert asyncio.run(main()) == ["stamp of a", "stamp of b", "stamp of a", "stamp of a"]
    assert stamps.asked == [["a", "b"]]


def test_the_question_is_asked_anew_for_those_who_still_follow():
    stamps = Stamps()

    async def main():
        watch = Watch(stamps, poll_seconds=0.0)
        with watch.following("a") as a:
            with watch.following("b") as b, watch.following("a"):
                assert await b() == "stamp of b"
            await asyncio.sleep(0.001)
            assert await a() == "stamp of a"
        with watch.following("unknown") as unknown:
            await asyncio.sleep(0.001)
            assert await unknown() is None

    asyncio.run(main())
    assert stamps.asked == [["a", "b"], ["a"], ["unknown"]]


def test_a_question_that_fails_fails_for_all_and_is_asked_again():
    stamps = Stamps()
    stamps.error = OSError("the database is away")

    async def main():
        watch = Watch(stamps, poll_seconds=0.0)
        with watch.following("a") as first, watch.following("a") as second:
            answers = await asyncio.gather(first(), second(), return_exceptions=True)
            assert answers == [stamps.error] * 2
            stamps.error = None
            await asyncio.sleep(0.001)
            assert await first() == "stamp of a"

    asyncio.run(main())


def test_a_follower_that_leaves_takes_no_answer_from_the_others():
    stamps = Stamps()
    stamps.gate.clear()

    async def main():
        watch = Watch(stamps, poll_seconds=60.0)
        with watch.following("a") as first, watch.following("a") as second:
            leaving, staying = asyncio.ensure_future(first()), asyncio.ensure_future(second())
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.sleep(0)
            stamps.gate.set()
            return await staying

    assert asyncio.run(main()) == "stamp of a"
    assert len(stamps.asked) == 1

"""Every setting changes what docs/settings.md says that it does. Set as an operator sets them: by environment variables."""

import asyncio
import io
import json
import logging
import re
import sys
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import structlog

import app.server
from app import cli, main
from app.keys import sha256_of
from app.settings import DEFAULT_BUNDLE, Settings
from tests.app.service import FakeReconstructor, assert_problem, running, until_ready
from tests.app.test_service_states import metric, occupy, wait_for

ASYNC = {"Prefer": "respond-async"}


@dataclass
class Operator:
    """Somebody who sets variables and starts services."""

    photo: bytes
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    fakes: list[FakeReconstructor] = field(default_factory=list)

    def fake(self, name="fake"):
        self.fakes.append(FakeReconstructor())
        self.fakes[-1].bundle = SimpleNamespace(name=name, version="1", sha256=name * 8)
        return self.fakes[-1]

    @contextmanager
    def environment(self, **variables):
        with self.monkeypatch.context() as here:
            for name, value in variables.items():
                here.setenv(f"MONOTWIN_{name.upper()}", str(value))
            yield

    @contextmanager
    def serving(self, reconstructor=None, *, from_disk=False, ready=True, **variables):
        """A client of an application that was started with these variables; of a fake, unless it loads bundles itself."""
        with self.environment(**variables):
            settings = Settings()
        with running(settings, None if from_disk else reconstructor or self.fake()) as client:
            try:
                yield until_ready(client) if ready else client
            finally:
                for fake in self.fakes:
                    fake.gate.set()

    @contextmanager
    def bundles_from_disk(self):
        """Services that load their bundles get fakes, named as their folders; gives what each was loaded with."""
        loads = []

        def load(folder, device, threads):
            loads.append((folder, device, threads))
            return self.fake(folder.name)

        with self.monkeypatch.context() as here:
            here.setattr(main.Reconstructor, "load", load)
            yield loads

    def started_by_the_command(self, run=lambda: None, **variables):
        """`monotwin serve` up to the point where it would listen, and what its server was given; `run` is called in its place."""
        found = []

        def server(config, operations, drain_seconds):
            found.append(SimpleNamespace(config=config, drain_seconds=drain_seconds))
            return SimpleNamespace(run=run)

        with self.environment(**variables), self.monkeypatch.context() as here:
            here.setattr(app.server, "Server", server)
            cli.serve()
        return found[0]


@pytest.fixture
def operator(settings, monkeypatch, photo, tmp_path):
    """`settings` has cleared the environment."""
    found = Operator(photo, tmp_path, monkeypatch)
    with found.environment(data_dir=tmp_path / "data"):
        yield found


@pytest.fixture(autouse=True)
def restored_process():
    """`monotwin serve` sets up logging and the interpreter for the whole process."""
    handlers, level, seconds = logging.root.handlers[:], logging.root.level, sys.getswitchinterval()
    yield
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    sys.setswitchinterval(seconds)


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def multipart(**files):
    """A body of this many bytes and the headers that it goes with."""
    request = httpx.Request("POST", "http://test", files=[(name, ("a", content)) for name, content in files.items()])
    return request.read(), {"Content-Type": request.headers["Content-Type"]}


def batch(client, photo, count, headers=None):
    return client.post("/reconstruct/batch", files=[("image", ("a", photo))] * count, headers=headers)


def accepted(client, photo):
    """A new job's address."""
    answer = client.reconstruct(photo, ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def ended(client, job):
    wait_for(lambda: client.get(job).json()["state"] not in ("queued", "running"))
    return client.get(job).json()


def running_jobs(client):
    return len(client.get("/jobs?state=running").json()["jobs"])


def seconds_between(job, first, second):
    return (datetime.fromisoformat(job[second]) - datetime.fromisoformat(job[first])).total_seconds()


# The effects


def bundle(operator):
    with operator.bundles_from_disk() as loads:
        with operator.serving(from_disk=True, bundle=operator.folder / "mine") as client:
            assert client.get("/health/ready").json()["bundle"]["name"] == "mine"
        with operator.serving(from_disk=True) as client:
            assert client.get("/health/ready").json()["bundle"]["name"] == "default"
    assert [folder for folder, *_ in loads] == [operator.folder / "mine", DEFAULT_BUNDLE]


def bundles_dir(operator):
    for name in ("gears", "valves", "no-bundle"):
        (operator.folder / "bundles" / name).mkdir(parents=True)
    for name in ("gears", "valves"):
        (operator.folder / "bundles" / name / "manifest.json").touch()
    with operator.bundles_from_disk():
        with operator.serving(from_disk=True, bundles_dir=operator.folder / "bundles") as client:
            assert client.reconstruct(operator.photo, bundle="valves").status_code == 200
            assert [len(fake.asked) for fake in operator.fakes] == [0, 0, 1]  # the default, gears, valves
        with operator.serving(from_disk=True) as client:
            assert_problem(client.reconstruct(operator.photo, bundle="valves"), 422, "invalid-fields")


def data_dir(operator):
    for folder in (operator.folder / "here", operator.folder / "there"):
        with operator.serving(data_dir=folder) as client:
            assert client.reconstruct(operator.photo).status_code == 200
            assert {name for name in files_below(folder) if not name.startswith("jobs.sqlite")} == set()
            job = accepted(client, operator.photo).removeprefix("/")
            assert ended(client, f"/{job}")["state"] == "succeeded"
            assert {"jobs.sqlite", f"{job}/results-1/000.glb"} <= files_below(folder)
    assert not (operator.folder / "data").exists()


def device(operator):
    """The real runtime, as where it is built without CUDA."""
    operator.monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    for name, reason in (("auto", "this onnxruntime is built without CUDA"), ("cpu", "the CPU was asked for")):
        assert loaded(operator, device=name).provider_reason == reason
    with operator.serving(from_disk=True, ready=False, device="cuda") as client:
        wait_for(lambda: client.get("/health/ready").json()["state"] == "failed")
        assert "device cuda: expected onnxruntime with CUDA" in client.get("/health/ready").json()["detail"]


def host(operator):
    assert listens_on(operator.started_by_the_command(port=0))[0] == "127.0.0.1"
    assert listens_on(operator.started_by_the_command(port=0, host="0.0.0.0"))[0] == "0.0.0.0"


def port(operator):
    assert operator.started_by_the_command().config.port == 8000
    free = listens_on(operator.started_by_the_command(port=0))[1]
    assert free not in (0, 8000)
    assert listens_on(operator.started_by_the_command(port=free))[1] == free


def threads(operator):
    for count in (1, 3):
        network = loaded(operator, threads=count).network
        assert [s.ort.get_session_options().intra_op_num_threads for s in (network.encoder, network.decoder)] == [count] * 2


def slots(operator):
    for count in (1, 2):
        with operator.serving(slots=count) as client:
            occupy(client, operator.fakes[-1], operator.photo, waiting=0)
            for _ in range(3):
                client.begin_reconstruct(operator.photo)
            wait_for(lambda: metric(client, "monotwin_inflight") == 4)
            wait_for(lambda waiting=4 - count: metric(client, "monotwin_queue_depth") == waiting)
    with operator.serving(slots=8) as client:  # of which two may be taken by large ones
        operator.fakes[-1].gate.clear()
        for _ in range(3):
            client.begin_reconstruct(operator.photo, resolution="264")
        client.begin_reconstruct(operator.photo, resolution="256")
        wait_for(lambda: client.app.state.operations.scheduler.in_hand == 3 and metric(client, "monotwin_queue_depth") == 1)
    for runs_on_cuda, count in ((False, 2), (True, 8)):
        reconstructor = operator.fake()
        reconstructor.network = SimpleNamespace(decoder=SimpleNamespace(runs_on_cuda=runs_on_cuda))
        with operator.serving(reconstructor) as client:
            assert client.app.state.operations.scheduler.slots == count


def max_upload_bytes(operator):
    largest_body(operator, "max_upload_bytes", "/reconstruct", 200)


def max_pixels(operator):
    cut = operator.photo[:60]  # the header and hardly more: what could be decoded is not there
    with operator.serving(max_pixels=64 * 48) as client:
        assert client.reconstruct(operator.photo).status_code == 200
        assert_problem(client.reconstruct(cut), 422, "unreadable-image")
    with operator.serving(max_pixels=64 * 48 - 1) as client:
        assert_problem(client.reconstruct(operator.photo), 413, "image-too-large")
        assert_problem(client.reconstruct(cut), 413, "image-too-large")


def max_batch_images(operator):
    with operator.serving(max_batch_images=3) as client:
        assert batch(client, operator.photo, 3).status_code == 202
        assert_problem(batch(client, operator.photo, 4), 422, "invalid-fields")


def max_batch_bytes(operator):
    largest_body(operator, "max_batch_bytes", "/reconstruct/batch", 202)


def upload_seconds(operator):
    async def endless():
        yield b"--b\r\n"
        await asyncio.Event().wait()

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for seconds in (0.01, 0.02):
        with operator.serving(upload_seconds=seconds) as client:
            for path in ("/reconstruct", "/reconstruct/batch"):
                answer = client.post(path, content=endless(), headers=headers)
                assert f"within {seconds} s" in assert_problem(answer, 408, "upload-too-slow")["detail"]


def queue_size(operator):
    for size in (1, 3):
        with operator.serving(slots=1, queue_size=size) as client:
            occupy(client, operator.fakes[-1], operator.photo, waiting=size)
            refused = client.reconstruct(operator.photo)
            assert_problem(refused, 503, "queue-full")
            assert int(refused.headers["Retry-After"]) >= 1
            accepted(client, operator.photo)
    with operator.serving(slots=1, queue_size=8) as client:  # of which two may be taken by large ones
        occupy(client, operator.fakes[-1], operator.photo, waiting=0)
        for _ in range(2):
            client.begin_reconstruct(operator.photo, resolution="264")
        wait_for(lambda: metric(client, "monotwin_queue_depth") == 2)
        assert_problem(client.reconstruct(operator.photo, resolution="264"), 503, "queue-full")


def deadline_seconds(operator):
    for seconds in (0.01, 0.02):
        with operator.serving(slots=1, deadline_seconds=seconds) as client:
            operator.fakes[-1].gate.clear()
            for headers in ({}, {"Prefer": "wait=10"}):  # the second in the queue, perhaps
                answer = client.reconstruct(operator.photo, headers)
                assert f"within {seconds} s" in assert_problem(answer, 504, "deadline-exceeded")["detail"]
    with operator.serving() as client:
        operator.fakes[-1].gate.clear()
        assert "within 0 s" in client.reconstruct(operator.photo, {"Prefer": "wait=0"}).json()["detail"]


def drain_seconds(operator):
    """A job in hand is finished, or goes back to the queue when there is no time for it."""
    for seconds, state in ((30, "succeeded"), (0, "queued")):
        with operator.serving(drain_seconds=seconds, data_dir=operator.folder / state) as client:
            operator.fakes[-1].gate.clear()
            job = accepted(client, operator.photo)
            assert operator.fakes[-1].busy.acquire(timeout=5)
            drained = client._portal.start_task_soon(client.app.state.operations.drain)
            if seconds:
                wait_for(lambda: client.get("/health/ready").json()["state"] == "draining")
                assert not drained.done()
                operator.fakes[-1].gate.set()
            drained.result(5)
            assert client.get(job).json()["state"] == state
    assert operator.started_by_the_command(drain_seconds=7).drain_seconds == 7


def jobs_url(operator):
    address = f"sqlite:///{operator.folder / 'elsewhere.sqlite'}"
    with operator.serving(jobs_url=address) as first, operator.serving(jobs_url=address) as second:
        job = accepted(first, operator.photo)
        assert ended(second, job)["state"] == "succeeded"
    assert (operator.folder / "elsewhere.sqlite").exists()
    assert not (operator.folder / "data" / "jobs.sqlite").exists()
    with operator.serving() as client:
        assert_problem(client.get(job), 404, "unknown-job")


def job_slots(operator):
    with operator.serving(slots=2, job_slots=2) as client:
        operator.fakes[-1].gate.clear()
        jobs = [accepted(client, operator.photo) for _ in range(3)]
        wait_for(lambda: running_jobs(client) == 2)
        operator.fakes[-1].gate.set()
        assert [ended(client, job)["state"] for job in jobs] == ["succeeded"] * 3
    with operator.serving(slots=2, job_slots=1) as client:
        operator.fakes[-1].gate.clear()
        jobs = [accepted(client, operator.photo) for _ in range(2)]
        assert operator.fakes[-1].busy.acquire(timeout=5)
        assert running_jobs(client) == 1
        operator.fakes[-1].gate.set()
        first, second = (ended(client, job) for job in jobs)
        assert second["started_at"] >= first["finished_at"]


def max_jobs(operator):
    for count in (1, 2):
        with operator.serving(max_jobs=count, data_dir=operator.folder / str(count)) as client:
            operator.fakes[-1].gate.clear()
            accepted(client, operator.photo)
            assert operator.fakes[-1].busy.acquire(timeout=5)
            for _ in range(count):
                accepted(client, operator.photo)
            refused = client.reconstruct(operator.photo, ASYNC)
            assert_problem(refused, 503, "jobs-full")
            assert int(refused.headers["Retry-After"]) >= 1


def result_seconds(operator):
    for seconds in (0.001, 3600):
        with operator.serving(result_seconds=seconds) as client:
            job = accepted(client, operator.photo)
            assert seconds_between(ended(client, job), "finished_at", "expires_at") == pytest.approx(seconds, abs=1e-5)
        with operator.serving(result_seconds=3600) as client:  # the next start keeps house
            if seconds == 3600:
                assert client.get(f"{job}/mesh").status_code == 200
            else:
                wait_for(lambda job=job: client.get(f"{job}/mesh").status_code == 410)


def keys_file(operator):
    keys = operator.folder / "keys.toml"
    keys.write_text(f'[[key]]\nname = "line-3"\nsha256 = "{sha256_of("sesame")}"\n')
    with operator.serving(keys_file=keys) as client:
        assert_problem(client.reconstruct(operator.photo), 401, "unauthorized")
        assert_problem(client.reconstruct(operator.photo, {"X-API-Key": "sesam"}), 401, "unauthorized")
        assert client.reconstruct(operator.photo, {"Authorization": "Bearer sesame"}).status_code == 200
    with operator.serving() as client:
        assert client.reconstruct(operator.photo).status_code == 200


def requests_per_minute(operator):
    keys = operator.folder / "keys.toml"
    own = f'[[key]]\nname = "b"\nsha256 = "{sha256_of("b")}"\nrequests_per_minute = 2\n'
    keys.write_text(f'[[key]]\nname = "a"\nsha256 = "{sha256_of("a")}"\n{own}')
    with operator.serving(requests_per_minute=1, keys_file=keys) as client:
        for key, most in (("a", 1), ("b", 2)):
            answers = [client.reconstruct(operator.photo, {"X-API-Key": key}) for _ in range(most + 1)]
            assert [answer.status_code for answer in answers] == [200] * most + [429]
    with operator.serving(requests_per_minute=3) as client:
        assert [client.reconstruct(operator.photo).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = batch(client, operator.photo, 1)
        assert_problem(refused, 429, "rate-limited")
        assert 1 <= int(refused.headers["Retry-After"]) <= 20


def cors_origins(operator):
    with operator.serving(cors_origins="https://a.example,https://b.example") as client:
        for origin in ("https://a.example", "https://b.example"):
            assert client.get("/jobs", headers={"Origin": origin}).headers["Access-Control-Allow-Origin"] == origin
        assert "Access-Control-Allow-Origin" not in client.get("/jobs", headers={"Origin": "https://c.example"}).headers
    with operator.serving() as client:
        assert "Access-Control-Allow-Origin" not in client.get("/jobs", headers={"Origin": "https://a.example"}).headers


def allowed_hosts(operator):
    def statuses(client, *hosts):
        return [client.get("/jobs", headers={"Host": host}).status_code for host in hosts]

    with operator.serving(allowed_hosts="twin.example, 192.0.2.7") as client:
        assert (
            statuses(client, "twin.example", "twin.example:8000", "192.0.2.7", "localhost", "127.0.0.1") == [200] * 3 + [421] * 2
        )
    with operator.serving(allowed_hosts="*") as client:
        assert statuses(client, "twin.example", "localhost") == [200, 200]
    with operator.serving() as client:
        assert statuses(client, "twin.example", "localhost") == [421, 200]


def log_level(operator):
    levels = {
        name: [(line["event"], line.get("path")) for line in map(json.loads, log_of(operator, log_level=name))]
        for name in ("debug", "info", "warning", "error")
    }
    probe, request = ("request", "/health/live"), ("request", "/reconstruct")
    assert [probe in lines for lines in levels.values()] == [True, False, False, False]
    assert [request in lines for lines in levels.values()] == [True, True, False, False]
    assert [("careful", None) in lines for lines in levels.values()] == [True, True, True, False]
    assert [("broken", None) in lines for lines in levels.values()] == [True] * 4


def log_format(operator):
    assert all(isinstance(json.loads(line), dict) for line in log_of(operator, log_format="json"))
    lines = log_of(operator, log_format="console")
    assert any(re.search(r"\[error *\] broken +\[\w+\]", line) for line in lines), lines
    assert not any(line.startswith("{") for line in lines)


# What several of them need


def loaded(operator, **variables):
    """The default bundle as an application opens it; not warmed up, which would take seconds."""
    with operator.monkeypatch.context() as here:
        here.setattr(main.Reconstructor, "warm_up", lambda *_: None)
        with operator.serving(from_disk=True, **variables) as client:
            return client.app.state.operations.library.default


def listens_on(started):
    """Host and port of the socket that the server would have."""
    with started.config.bind_socket() as listening:
        return listening.getsockname()


def largest_body(operator, name, path, status):
    """To the byte, whether the length is declared or only counted."""
    body, headers = multipart(image=operator.photo)

    async def undeclared():
        for begin in range(0, len(body), 1000):
            yield body[begin : begin + 1000]

    for limit in (len(body), len(body) - 1):
        with operator.serving(**{name: limit}) as client:
            for content in (body, undeclared()):
                answer = client.post(path, content=content, headers=headers)
                assert answer.status_code == (status if limit == len(body) else 413)
    assert_problem(answer, 413, "body-too-large")


def log_of(operator, **variables):
    """What is logged of a probe, a photo and two complaints when `monotwin serve` has begun with these variables."""
    stream = io.StringIO()

    def talk():
        with operator.serving() as client:
            assert client.get("/health/live").status_code == 200
            assert client.reconstruct(operator.photo).status_code == 200
        structlog.stdlib.get_logger("monotwin").warning("careful")
        logging.getLogger("another").error("broken")

    with redirect_stderr(stream):
        operator.started_by_the_command(talk, **variables)
    return stream.getvalue().splitlines()


EFFECTS = {
    effect.__name__: effect
    for effect in (
        bundle,
        bundles_dir,
        data_dir,
        device,
        host,
        port,
        threads,
        slots,
        max_upload_bytes,
        max_pixels,
        max_batch_images,
        max_batch_bytes,
        upload_seconds,
        queue_size,
        deadline_seconds,
        drain_seconds,
        jobs_url,
        job_slots,
        max_jobs,
        result_seconds,
        keys_file,
        requests_per_minute,
        cors_origins,
        allowed_hosts,
        log_level,
        log_format,
    )
}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_changes_what_its_description_says(operator, name):
    EFFECTS[name](operator)


def test_no_effect_is_tested_of_a_setting_that_is_none():
    assert set(EFFECTS) == set(Settings.model_fields)

import json
import os

import httpx
import pytest
import structlog
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI, Request

from app import problems
from app.access import AccessMiddleware, KeyRing, RateLimiter, announce, client_of, is_loopback
from app.keys import Key, find_key, new_secret, read_keys, sha256_of, write_keys
from app.settings import Settings
from app.telemetry import Telemetry, TelemetryMiddleware
from model.errors import MonotwinError
from tests.app.service import assert_problem

CLIENT, ADMIN, LIMITED = (new_secret() for _ in range(3))
PATHS = ("/", "/docs", "/openapi.json", "/metrics", "/health/live", "/page/app.js", "/reconstruct", "/jobs", "/admin/reload")
GUARDED = ("/reconstruct", "/jobs", "/admin/reload")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def client_key(**changes):
    return Key(**{"name": "line-3", "sha256": sha256_of(CLIENT), **changes})


@pytest.fixture
def keys_file(tmp_path):
    path = tmp_path / "keys.toml"
    write_keys(
        path,
        (
            client_key(),
            Key(name="boss", sha256=sha256_of(ADMIN), role="admin"),
            Key(name="slow", sha256=sha256_of(LIMITED), requests_per_minute=2),
        ),
    )
    return path


def service(settings, clock=None):
    """An application that says who called, inside the middleware as the real one has it; the body stays unread."""
    app = FastAPI(docs_url=None, openapi_url=None)
    problems.install(app)

    async def whoami(request: Request):
        client = client_of(request.scope)
        return {"name": client.name, "is_admin": client.is_admin}

    for path in (*PATHS, "/reconstruct/batch"):
        app.add_api_route(path, whoami, methods=["GET", "POST"])
    app.add_middleware(AccessMiddleware, settings=settings, clock=clock or Clock())
    telemetry = Telemetry(problems.SLUGS, queue_depth=lambda: 0)
    app.add_middleware(TelemetryMiddleware, telemetry=telemetry, internal_error=problems.internal_error_response)
    return app


def call(app, path, key=None, *, method="POST", address="192.0.2.1", headers=None, root_path=""):
    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}

    async def send():
        transport = httpx.ASGITransport(app, client=(address, 5000), root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers=headers)

    with start_blocking_portal() as portal:
        return portal.call(send)


def test_without_keys_everybody_is_anonymous(settings):
    app = service(settings)
    answers = [call(app, path) for path in PATHS if path != "/admin/reload"]
    assert [answer.json() for answer in answers] == len(answers) * [{"name": "anonymous", "is_admin": False}]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_without_keys_only_this_machine_may_administrate(settings, address):
    app = service(settings)
    assert call(app, "/admin/reload", address=address).json() == {"name": "anonymous", "is_admin": True}
    for stranger in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "testclient", ""):
        assert_problem(call(app, "/admin/reload", address=stranger), 401, "unauthorized")


def test_a_web_page_in_a_browser_of_this_machine_may_not_administrate(settings):
    answer = call(service(settings), "/admin/reload", address="127.0.0.1", headers={"Origin": "http://evil.example"})
    assert_problem(answer, 401, "unauthorized")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_from_elsewhere_may_not_start_work_in_the_name_of_who_looks_at_it(settings, site):
    """A form with a file needs no preflight, so that without keys CORS alone would let any page use a visitor's own service."""
    app = service(settings.model_copy(update={"cors_origins": ("https://cad.example",)}))
    elsewhere = {"Sec-Fetch-Site": site, "Origin": "https://evil.example"}
    assert_problem(call(app, "/reconstruct", address="127.0.0.1", headers=elsewhere), 401, "unauthorized")
    assert_problem(call(app, "/reconstruct", headers={"Sec-Fetch-Site": site}), 401, "unauthorized")
    assert call(app, "/reconstruct", headers={**elsewhere, "Origin": "https://cad.example"}).status_code == 200
    assert call(app, "/jobs", method="GET", headers=elsewhere).status_code == 200, "a link may be followed"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_services_own_page_may(settings, site):
    headers = {"Sec-Fetch-Site": site, "Origin": "https://parts.example", "Host": "behind-a-proxy:8000"}
    app = service(settings.model_copy(update={"allowed_hosts": ("behind-a-proxy",)}))
    assert call(app, "/reconstruct", headers=headers).status_code == 200


OWN_HOSTS = ("localhost", "LocalHost:8000", "localhost.", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000", "127.0.0.5:80")
OTHER_HOSTS = (
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "localhost@evil.example",
    "evil.example@",
    "127.0.0.2",
    "",
    ":",
    "[",
    "[::1",
)


def test_without_keys_a_service_of_this_machine_answers_under_its_own_names_alone(settings):
    """A page whose name resolves to 127.0.0.1 of a sudden is of the same origin to the browser, and could read all jobs."""
    app = service(settings.model_copy(update={"host": "127.0.0.5"}))
    for host in OWN_HOSTS:
        assert call(app, "/jobs", method="GET", headers={"Host": host}).status_code == 200, host
    for host in OTHER_HOSTS:
        for path in GUARDED:
            assert_problem(call(app, path, address="127.0.0.1", headers={"Host": host}), 421, "misdirected")
        assert call(app, "/health/live", method="GET", headers={"Host": host}).status_code == 200, "a probe names an address"


@pytest.mark.parametrize("changes", [{"host": "0.0.0.0"}, {"host": "192.0.2.7"}, {"allowed_hosts": ("*",)}])
def test_a_service_that_others_reach_has_names_that_only_they_know(settings, changes):
    assert call(service(settings.model_copy(update=changes)), "/jobs", headers={"Host": "twin.example"}).status_code == 200


def test_with_keys_no_page_has_one_and_every_name_will_do(settings, keys_file):
    app = service(settings.model_copy(update={"keys_file": keys_file}))
    assert call(app, "/jobs", CLIENT, headers={"Host": "twin.example"}).status_code == 200


def test_named_hosts_are_the_only_ones_keys_or_not(settings, keys_file):
    app = service(
        settings.model_copy(update={"keys_file": keys_file, "host": "0.0.0.0", "allowed_hosts": ("Twin.example", "[::1]")})
    )
    for host in ("twin.example", "TWIN.example:443", "[::1]:8000"):
        assert call(app, "/jobs", CLIENT, headers={"Host": host}).status_code == 200, host
    refused = call(app, "/jobs", CLIENT, headers={"Host": "localhost"})
    assert_problem(refused, 421, "misdirected")
    assert "MONOTWIN_ALLOWED_HOSTS" in refused.json()["detail"]


def test_a_request_of_http_1_0_names_no_host(settings):
    app = service(settings)
    request = {
        "type": "http",
        "method": "GET",
        "path": "/jobs",
        "headers": [],
        "query_string": b"",
        "client": ("192.0.2.1", 5000),
    }
    answers = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        answers.append(message)

    with start_blocking_portal() as portal:
        portal.call(app, request, receive, send)
    assert answers[0]["status"] == 200


@pytest.mark.parametrize("path", PATHS)
def test_with_keys_a_call_without_one_reaches_the_open_paths_only(settings, keys_file, path):
    answer = call(service(settings.model_copy(update={"keys_file": keys_file})), path, address="127.0.0.1")
    if path in GUARDED:
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    else:
        assert answer.json() == {"name": "anonymous", "is_admin": False}


@pytest.mark.parametrize("path", GUARDED)
def test_a_key_opens_what_its_role_may_do(settings, keys_file, path):
    app = service(settings.model_copy(update={"keys_file": keys_file}))
    assert call(app, path, ADMIN).json() == {"name": "boss", "is_admin": True}
    answer = call(app, path, CLIENT)
    if path == "/admin/reload":
        assert_problem(answer, 401, "unauthorized")
    else:
        assert answer.json() == {"name": "line-3", "is_admin": False}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": CLIENT},
        {"Authorization": f"bearer {CLIENT}"},
        {"Authorization": f"BEARER   {CLIENT} "},
        {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": CLIENT},
    ],
)
def test_a_key_may_come_in_either_header(settings, keys_file, headers):
    app = service(settings.model_copy(update={"keys_file": keys_file}))
    assert call(app, "/jobs", headers=headers).json()["name"] == "line-3"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ""},
        {"X-API-Key": CLIENT[:-1]},
        {"X-API-Key": CLIENT + "A"},
        {"X-API-Key": sha256_of(CLIENT)},
        {"Authorization": CLIENT},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {CLIENT}"},
        {"Authorization": f"Bearer {'x' * 50_000}"},
        {b"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_whatever_is_no_key_is_refused(settings, keys_file, headers):
    answer = call(service(settings.model_copy(update={"keys_file": keys_file})), "/jobs", headers=headers)
    assert_problem(answer, 401, "unauthorized")
    assert CLIENT not in answer.text


@pytest.mark.parametrize(
    "path", ["/docsX", "/healthy", "/page", "//health/live", "/x/../health/live", "/health", "/reconstruct/"]
)
def test_only_the_very_paths_are_open(settings, keys_file, path):
    app = service(settings.model_copy(update={"keys_file": keys_file}))
    # the scope as Uvicorn would make it: clients and httpx tidy such paths up
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "client": None}
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    with start_blocking_portal() as portal:
        portal.call(app, scope, receive, send)
    assert sent[0]["status"] == 401


def test_below_a_root_path_the_same_paths_are_open_and_closed(settings, keys_file):
    app = service(settings.model_copy(update={"keys_file": keys_file}))
    assert call(app, "/twin/health/live", root_path="/twin").json()["name"] == "anonymous"
    assert_problem(call(app, "/twin/jobs", root_path="/twin"), 401, "unauthorized")
    assert_problem(call(app, "/twin/admin/reload", CLIENT, root_path="/twin"), 401, "unauthorized")
    assert call(app, "/twin/admin/reload", ADMIN, root_path="/twin").json()["is_admin"]


def test_an_empty_file_lets_nobody_in(settings, tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text("")
    app = service(settings.model_copy(update={"keys_file": path}))
    for key in (None, CLIENT):
        assert_problem(call(app, "/reconstruct", key, address="127.0.0.1"), 401, "unauthorized")


def test_every_entry_is_compared(monkeypatch):
    """With an early exit the time would tell at which place a key stands."""
    compared = []
    monkeypatch.setattr("app.keys.hmac.compare_digest", lambda a, b: compared.append(a) or a == b)
    keys = tuple(Key(name=f"k{n}", sha256=sha256_of(f"secret {n}")) for n in range(5))
    assert find_key(keys, "secret 0") is keys[0]
    assert compared == [key.sha256 for key in keys]


# The file, while the service runs


def test_a_changed_file_counts_from_the_next_request_on(settings, keys_file):
    app = service(settings.model_copy(update={"keys_file": keys_file}))
    fresh = new_secret()
    assert call(app, "/jobs", fresh).status_code == 401
    write_keys(keys_file, (client_key(sha256=sha256_of(fresh)),))
    assert call(app, "/jobs", fresh).json()["name"] == "line-3"
    assert call(app, "/jobs", CLIENT).status_code == 401


def test_a_file_of_the_same_size_and_time_is_noticed_by_its_inode(keys_file):
    ring = KeyRing(keys_file)
    before = keys_file.stat()
    content = keys_file.read_text().replace("line-3", "line-4")
    (keys_file.parent / "new").write_text(content)
    os.utime(keys_file.parent / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (keys_file.parent / "new").rename(keys_file)
    assert (keys_file.stat().st_mtime_ns, keys_file.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert ring.keys[0].name == "line-4"


def test_a_file_that_stays_as_it_is_is_read_once(keys_file, monkeypatch):
    ring = KeyRing(keys_file)
    monkeypatch.setattr("app.access.read_keys", lambda path: pytest.fail("read again"))
    assert ring.keys is ring.keys


@pytest.mark.parametrize("breakage", ["[[key", "missing", "key = 3"])
def test_a_broken_file_leaves_the_old_keys_and_one_error_in_the_log(keys_file, breakage):
    ring = KeyRing(keys_file)
    before, good = ring.keys, keys_file.read_text()
    keys_file.unlink()
    if breakage != "missing":
        keys_file.write_text(breakage)
    with structlog.testing.capture_logs() as entries:
        assert ring.keys == ring.keys == before
    assert [entry["log_level"] for entry in entries] == ["error"]
    keys_file.write_text(good.replace("line-3", "line-4"))
    assert ring.keys[0].name == "line-4"


ENTRY = f'[[key]]\nname = "a"\nsha256 = "{"0" * 64}"\n'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[[key", "expected TOML"),
        (b"\xff", "expected TOML"),
        (b"keys = []", "keys: Extra inputs"),
        (b'[[key]]\nname = "a"', "key.0.sha256: Field required"),
        (ENTRY.replace("0", "g").encode(), "key.0.sha256"),
        (ENTRY.replace("0", "A").encode(), "key.0.sha256"),
        (ENTRY.replace('"a"', '"a b"').encode(), "key.0.name"),
        (ENTRY.replace('"a"', '"a\\n"').encode(), "key.0.name"),
        (ENTRY.encode() + b'role = "root"', "key.0.role"),
        (ENTRY.encode() + b"requests_per_minute = 0", "key.0.requests_per_minute"),
        (ENTRY.encode() + b"requests_per_minute = true", "key.0.requests_per_minute"),
        (2 * ENTRY.encode(), "expected each name once, found a again"),
        (ENTRY.encode() + ENTRY.replace('"a"', '"b"').encode(), "expected each sha256 once"),
    ],
)
def test_a_service_does_not_begin_with_a_broken_file(settings, tmp_path, content, words):
    path = tmp_path / "keys.toml"
    path.write_bytes(content)
    with pytest.raises(MonotwinError) as error:
        AccessMiddleware(None, settings.model_copy(update={"keys_file": path}))
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_a_service_does_not_begin_without_its_file(settings, tmp_path):
    with pytest.raises(FileNotFoundError):
        AccessMiddleware(None, settings.model_copy(update={"keys_file": tmp_path / "none.toml"}))


def test_what_is_written_is_read_and_only_the_owners(keys_file):
    keys = read_keys(keys_file)
    assert [key.name for key in keys] == ["line-3", "boss", "slow"]
    assert [key.requests_per_minute for key in keys] == [None, None, 2]
    write_keys(keys_file, keys)
    assert read_keys(keys_file) == keys
    assert keys_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in keys_file.parent.iterdir()] == ["keys.toml"]
    assert CLIENT not in keys_file.read_text()


def test_a_linked_file_is_replaced_behind_its_link(keys_file, tmp_path):
    link = tmp_path / "link.toml"
    link.symlink_to(keys_file)
    write_keys(link, ())
    assert link.is_symlink()
    assert read_keys(keys_file) == ()


# Rates


def test_a_bucket_gives_its_tokens_at_once_and_then_evenly():
    clock = Clock()
    limiter = RateLimiter(clock)
    assert [limiter.take("a", 3) for _ in range(4)] == [0, 0, 0, pytest.approx(20)]
    assert limiter.take("b", 3) == 0
    clock.now += 19.9
    assert limiter.take("a", 3) == pytest.approx(0.1)
    clock.now += 0.1
    assert limiter.take("a", 3) == 0
    assert limiter.take("a", 3) == pytest.approx(20)
    clock.now += 60
    assert [limiter.take("a", 3) == 0 for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("per_minute", [1, 2, 7, 60, 1000])
def test_in_any_minute_no_more_than_twice_the_limit_and_on_average_the_limit(per_minute):
    """The slow twin: count what is let through when a client tries ten times too often for ten minutes."""
    clock = Clock()
    limiter, taken = RateLimiter(clock), []
    for attempt in range(100 * per_minute):
        clock.now = 1000 + attempt * 6 / per_minute
        if limiter.take("a", per_minute) == 0:
            taken.append(clock.now)
    assert abs(len(taken) - 11 * per_minute) <= 1
    busiest = max(sum(start <= moment < start + 60 for moment in taken[i : i + 3 * per_minute]) for i, start in enumerate(taken))
    assert busiest <= 2 * per_minute


def test_the_limiter_forgets_full_buckets_and_keeps_no_more_than_its_bound():
    clock = Clock()
    limiter = RateLimiter(clock, max_buckets=100)
    for n in range(1000):
        assert limiter.take(f"address {n}", 1) == 0
        assert len(limiter._full_at) <= 100
    assert limiter.take("address 999", 1) > 0, "one of the last is remembered"
    clock.now += 61
    assert limiter.take("somebody", 1) == 0
    assert list(limiter._full_at) == ["somebody"]


def test_a_key_over_its_limit_gets_a_429_that_says_when(settings, keys_file):
    clock = Clock()
    app = service(settings.model_copy(update={"keys_file": keys_file, "requests_per_minute": 1}), clock)
    assert [call(app, "/reconstruct", LIMITED).status_code, call(app, "/reconstruct/batch", LIMITED).status_code] == [200, 200]
    answer = call(app, "/reconstruct", LIMITED)
    assert_problem(answer, 429, "rate-limited")
    assert answer.headers["Retry-After"] == "30"
    assert call(app, "/jobs", LIMITED).status_code == 200, "only reconstructions count"
    assert call(app, "/reconstruct", LIMITED, method="GET").status_code == 200
    assert [call(app, "/reconstruct", CLIENT).status_code for _ in range(2)] == [200, 429], "the others have the common limit"
    clock.now += 30
    assert call(app, "/reconstruct", LIMITED).status_code == 200


def test_without_keys_an_address_is_limited_and_of_ipv6_its_network(settings):
    app = service(settings.model_copy(update={"requests_per_minute": 1}))
    addresses = [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "2001:db8:0:1::1",
        "2001:db8:0:1::2",
        "2001:db8:0:2::1",
    ]
    statuses = [call(app, "/reconstruct", address=address).status_code for address in addresses]
    assert statuses == [200, 200, 429, 429, 200, 429, 200]


def test_without_a_limit_nothing_is_counted(settings, keys_file):
    for app in (service(settings), service(settings.model_copy(update={"keys_file": keys_file}))):
        assert {call(app, "/reconstruct", CLIENT).status_code for _ in range(20)} == {200}


def test_a_wrong_key_does_not_use_up_anybodys_requests(settings, keys_file):
    app = service(settings.model_copy(update={"keys_file": keys_file}))
    for _ in range(5):
        assert call(app, "/reconstruct", "wrong").status_code == 401
    assert call(app, "/reconstruct", LIMITED).status_code == 200


# Words at start


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("LocalHost.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("twin.example", False),
    ],
)
def test_a_service_open_to_everybody_says_so_once(monkeypatch, tmp_path, host, loopback):
    assert is_loopback(host) == loopback
    for keys_file in (None, tmp_path / "keys.toml"):
        with structlog.testing.capture_logs() as entries:
            announce(Settings(host=host, keys_file=keys_file), structlog.get_logger())
        assert [entry["log_level"] for entry in entries] == ([] if loopback or keys_file else ["warning"])
        assert json.dumps(entries).count(host) == len(entries)

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI, Response

from app import protection
from app.protection import EXPOSED_HEADERS, content_security_policy
from tests.app.test_access import call

NOTHING = "default-src 'none'; frame-ancestors 'none'"
ORIGIN = "https://cad.example"


def service(settings, **changes):
    app = FastAPI(docs_url=None, openapi_url=None)

    async def answer() -> Response:
        return Response()

    for path in ("/", "/jobs", "/page/app.js", "/docs"):
        app.add_api_route(path, answer, methods=["GET", "POST"])

    @app.get("/cached")
    def cached():
        return Response(headers={"Cache-Control": "private, no-cache", "Cross-Origin-Resource-Policy": "same-site"})

    protection.install(app, settings.model_copy(update=changes))
    return app


@pytest.mark.parametrize("path", ["/", "/jobs", "/page/app.js", "/docs", "/nowhere"])
def test_every_answer_carries_the_headers(settings, path):
    headers = call(service(settings), path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == content_security_policy(path)


def test_only_pages_may_load_anything_and_only_from_here():
    for path in ("/jobs", "/jobs/1/events", "/openapi.json", "/documents", "/pages", "/reconstruct", ""):
        assert content_security_policy(path) == NOTHING
    for path in ("/", "/docs", "/docs/oauth2-redirect", "/page/app.js"):
        policy = dict(entry.split(" ", 1) for entry in content_security_policy(path).split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["img-src"] == "'self' blob: data:"


def test_a_route_may_choose_how_its_answer_is_cached_and_shared(settings):
    headers = call(service(settings), "/cached", method="GET").headers
    assert headers.get_list("Cache-Control") == ["private, no-cache"]
    assert headers.get_list("Cross-Origin-Resource-Policy") == ["same-site"]


def test_without_origins_no_page_of_another_may_read_anything(settings):
    for method in ("GET", "OPTIONS"):
        headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        answer = call(service(settings), "/jobs", method=method, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_configured_origin_may_read_the_answer_and_our_headers_but_sends_no_cookies(settings):
    app = service(settings, cors_origins=(ORIGIN,))
    headers = call(app, "/jobs", headers={"Origin": ORIGIN}).headers
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers["Access-Control-Expose-Headers"] == ", ".join(EXPOSED_HEADERS)
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Origin" not in call(app, "/jobs", headers={"Origin": "https://evil.example"}).headers


@pytest.mark.parametrize(
    ("origin", "method", "header", "status"),
    [
        (ORIGIN, "POST", "authorization, idempotency-key, prefer, x-api-key", 200),
        (ORIGIN, "DELETE", "authorization", 200),
        (ORIGIN, "PUT", "authorization", 400),
        (ORIGIN, "POST", "x-forwarded-for", 400),
        ("https://evil.example", "POST", "authorization", 400),
    ],
)
def test_a_preflight_is_answered_without_a_key(settings, origin, method, header, status):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
    answer = call(service(settings, cors_origins=(ORIGIN,)), "/jobs", method="OPTIONS", headers=asked)
    assert answer.status_code == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_no_request_passes(settings):
    app = service(settings)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        sent = []

        async def receive():
            return {"type": "lifespan.startup" if not sent else "lifespan.shutdown"}

        async def send(message):
            sent.append(message["type"])

        portal.call(app, {"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

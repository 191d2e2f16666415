import asyncio
import json

import httpx
import pytest
import structlog
from fastapi import FastAPI
from starlette.routing import Match

from app import bundles, problems
from app.telemetry import Telemetry, TelemetryMiddleware
from model.errors import ProviderError
from tests.app.test_library import Folders, written


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path)


@pytest.fixture
def ask(folders):
    """`ask("GET", "/bundles")` of an application that has only these routes."""
    app = FastAPI()
    app.include_router(bundles.router(folders.library))
    app.add_middleware(TelemetryMiddleware, telemetry=Telemetry((), lambda: 0), internal_error=problems.internal_error_response)
    problems.install(app)

    def send(method, url, **request):
        async def talk():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                return await client.request(method, url, **request)

        return asyncio.run(talk())

    send.app = app
    return send


def assert_is_problem(answer, status, slug):
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:monotwin:problem:{slug}"


def test_the_bundles_are_listed_with_all_that_tells_them_apart(folders, ask):
    folders.library.load()
    answer = ask("GET", "/bundles")
    assert answer.status_code == 200
    first, second = answer.json()
    digest = json.loads((folders.default / "manifest.json").read_text())["files"]
    assert first == {
        "name": "a",
        "version": "1",
        "sha256": folders.sha_a,
        "is_default": True,
        "provider": "CPUExecutionProvider",
        "image_size": 64,
        "camera": "orthographic",
        "licence": "Apache-2.0",
        "attribution": ["somebody"],
        "files": digest,
        "metrics": {"iou": 0.5},
        "card_url": "/bundles/a/card",
    }
    assert (second["name"], second["is_default"], second["card_url"]) == ("b", False, None)


def test_one_bundle_is_the_entry_of_the_list(folders, ask):
    folders.library.load()
    assert ask("GET", "/bundles/b").json() == ask("GET", "/bundles").json()[1]


@pytest.mark.parametrize("url", ["/bundles/c", "/bundles/c/card", "/bundles/b/card"])
def test_what_is_not_there_is_a_404_problem(folders, ask, url):
    folders.library.load()
    assert_is_problem(ask("GET", url), 404, "not-found")


def test_a_card_is_markdown(folders, ask):
    folders.library.load()
    answer = ask("GET", "/bundles/a/card")
    assert (answer.status_code, answer.text) == (200, "# a")
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"


def test_the_address_of_a_card_leads_to_it_whatever_the_name(folders, ask):
    written(folders.others / "c", "two words?ä", card="# c")
    folders.library.load()
    (entry,) = (entry for entry in ask("GET", "/bundles").json() if entry["name"] == "two words?ä")
    assert ask("GET", entry["card_url"]).text == "# c"


def test_before_loading_there_is_no_list(ask):
    assert_is_problem(ask("GET", "/bundles"), 503, "not-ready")
    assert_is_problem(ask("GET", "/bundles/a"), 503, "not-ready")


def test_figures_that_json_has_no_word_for_are_null(folders, ask, monkeypatch):
    folders.library.load()
    monkeypatch.setitem(folders.library.default.bundle.manifest.metrics, "iou", float("nan"))
    assert ask("GET", "/bundles/a").json()["metrics"] == {"iou": None}


def test_a_reload_tells_what_changed(folders, ask):
    folders.library.load()
    sha = written(folders.others / "b", "b", "2")
    answer = ask("POST", "/admin/reload")
    assert (answer.status_code, answer.json()) == (
        200,
        {"changes": [{"name": "b", "old_sha256": folders.sha_b, "new_sha256": sha}]},
    )
    assert ask("GET", "/bundles/b").json()["version"] == "2"
    assert ask("POST", "/admin/reload").json() == {"changes": []}


def test_a_reload_that_fails_is_a_problem_and_the_old_bundles_are_served_on(folders, ask):
    folders.library.load()
    before = ask("GET", "/bundles").json()
    written(folders.default, "b")
    answer = ask("POST", "/admin/reload")
    assert_is_problem(answer, 503, "bundle-unusable")
    assert "expected a name of its own, found 'b'" in answer.json()["detail"]
    assert ask("GET", "/bundles").json() == before


def test_a_device_that_cannot_be_used_any_more_is_a_problem_and_the_old_bundles_are_served_on(folders, ask):
    folders.library.load()
    before = ask("GET", "/bundles").json()

    def lose_the_device(directory):
        raise ProviderError("device: expected CUDA, found none")

    folders.before_open = lose_the_device
    written(folders.others / "b", "b", "2")
    answer = ask("POST", "/admin/reload")
    assert_is_problem(answer, 503, "provider-unusable")
    assert answer.json()["detail"] == "device: expected CUDA, found none"
    assert ask("GET", "/bundles").json() == before


def test_a_reload_does_not_hold_up_the_event_loop(folders):
    """Reading and warming up block, so that the route must be one that runs in a thread."""
    scope = {"type": "http", "method": "POST", "path": "/admin/reload", "root_path": "", "headers": []}
    (route,) = (route for route in bundles.router(folders.library).routes if route.matches(scope)[0] is Match.FULL)
    assert not asyncio.iscoroutinefunction(route.endpoint)


def test_the_log_line_of_a_reload_has_the_id_of_its_request(folders, ask):
    folders.library.load()
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        ask("POST", "/admin/reload", headers={"X-Request-ID": "r-1"})
    assert [line["request_id"] for line in lines if line["event"] == "reloaded"] == ["r-1"]


def test_the_description_shows_the_bodies(ask):
    schemas = ask.app.openapi()["components"]["schemas"]
    assert set(schemas["BundleBody"]["properties"]) >= {"name", "sha256", "metrics", "card_url"}
    assert set(schemas["BundleChange"]["required"]) == {"name", "old_sha256", "new_sha256"}

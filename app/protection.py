"""What the service is guarded against: browsers that do more with an answer than they should, and bodies without end."""

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.budget import BodyBudgetMiddleware
from app.settings import Settings

BODIES_AT_ONCE = 4  # of the largest size, in memory or in temporary files; ordinary ones are hundreds

NOTHING = "default-src 'none'; frame-ancestors 'none'"
OWN_SCRIPTS = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self' blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGES, PAGE_FOLDERS = ("/", "/docs"), ("/docs/", "/page/")

HEADERS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "X-API-Key",
    "X-Request-ID",
)
EXPOSED_HEADERS = (
    "Content-Disposition",
    "ETag",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "Server-Timing",
    "X-Request-ID",
)


def install(app: FastAPI, settings: Settings) -> None:
    """Add all around the middleware there is: nothing here needs its record, and an unexpected error wants the headers too."""
    largest = max(settings.max_upload_bytes, settings.max_batch_bytes)
    app.add_middleware(BodyBudgetMiddleware, max_bytes=BODIES_AT_ONCE * largest)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(ProtectionMiddleware, is_shared=bool(settings.cors_origins))


def content_security_policy(path: str) -> str:
    """What a document from this path may load: nothing, unless it is a page of ours."""
    return OWN_SCRIPTS if path in PAGES or path.startswith(PAGE_FOLDERS) else NOTHING


class ProtectionMiddleware:
    """Sets the headers on every answer. Caching and sharing are the route's choice where it makes one."""

    def __init__(self, app: ASGIApp, is_shared: bool = False) -> None:
        self._app = app
        self._resource_policy = "cross-origin" if is_shared else "same-origin"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Content-Security-Policy"] = content_security_policy(path)
                headers.setdefault("Cross-Origin-Resource-Policy", self._resource_policy)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_protected)

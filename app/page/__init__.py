"""The page at `/` for people with a photo, and the interface's description at `/docs`. No other host is asked for anything."""

import hashlib
from collections.abc import Awaitable, Callable
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from app.preferences import has_current

OURS = files(__name__) / "assets"
SWAGGER = files("fastapi_swagger") / "resources"  # Swagger UI, which FastAPI's own page would fetch from a public server

# path -> file. The HTML names the others relatively, so that a proxy may serve everything under a prefix.
ASSETS: dict[str, Traversable] = {
    "/": OURS / "index.html",
    **{f"/page/{name}": OURS / name for name in ("page.css", "page.js", "service.js", "glb.js", "viewer.js", "icon.svg")},
    "/docs": OURS / "docs.html",
    "/docs/docs.css": OURS / "docs.css",
    "/docs/docs.js": OURS / "docs.js",
    **{f"/docs/{name}": SWAGGER / name for name in ("swagger-ui.css", "swagger-ui-bundle.js")},
}

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

CACHING = "no-cache"  # kept by the browser, but asked about each time, so that an update shows at once


def router() -> APIRouter:
    """GET and HEAD of every asset, which is read once, here."""
    routes = APIRouter()
    for path, file in ASSETS.items():
        media_type = MEDIA_TYPES["." + file.name.rpartition(".")[2]]
        routes.add_route(path, _server_of(file.read_bytes(), media_type), methods=["GET"], include_in_schema=False)
    return routes


def _server_of(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    sha256 = hashlib.sha256(content).hexdigest()
    headers = {"ETag": f'"{sha256}"', "Cache-Control": CACHING}

    async def serve(request: Request) -> Response:
        if has_current(request.headers, sha256):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return serve

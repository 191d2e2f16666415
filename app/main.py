"""The application: routes, handlers, life span."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app import __version__, health, problems, reconstructions
from app.settings import Settings
from app.telemetry import Telemetry, TelemetryMiddleware
from app.worker import Worker
from model.reconstructor import Reconstructor


class Service(FastAPI):
    """FastAPI whose description also holds the problem document, which no route returns by type."""

    def openapi(self) -> dict[str, Any]:
        description = super().openapi()
        template = "#/components/schemas/{model}"
        schema = problems.ProblemBody.model_json_schema(ref_template=template)
        schemas = description.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(schema.pop("$defs"))
        schemas["ProblemBody"] = schema
        return description


def create_app(settings: Settings | None = None, reconstructor: Reconstructor | None = None) -> FastAPI:
    """The service. It loads `settings.bundle` when it starts, unless a reconstructor is given."""
    settings = settings or Settings()

    def load() -> Reconstructor:
        loaded = reconstructor or Reconstructor.load(settings.bundle, settings.device, settings.threads)
        loaded.warm_up()
        telemetry.describe(loaded)
        return loaded

    worker = Worker(load, queue_size=settings.queue_size, deadline_seconds=settings.deadline_seconds)
    telemetry = Telemetry(problems.SLUGS, queue_depth=lambda: worker.depth)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        await asyncio.to_thread(worker.close)

    app = Service(
        title="Monotwin",
        version=__version__,
        description="One photo of an industrial product in, one clean 3D mesh out.",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # a redirected upload arrives without its body in most clients
    )
    app.add_middleware(TelemetryMiddleware, telemetry=telemetry, internal_error=problems.internal_error_response)
    problems.install(app)
    app.include_router(reconstructions.router(settings, worker))
    app.include_router(health.router(worker))

    @app.get("/metrics", summary="Metrics for Prometheus", tags=["health"], response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    return app

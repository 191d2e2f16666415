"""The application: what it is made of, its routes and handlers, its life span."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app import __version__, access, bundles, health, page, problems, protection, reconstructions
from app.access import AccessMiddleware
from app.jobs import routes as jobs
from app.jobs.bodies import EXAMPLE
from app.jobs.files import JobFiles
from app.jobs.runner import JobRunner
from app.jobs.store import JobStore
from app.library import Library
from app.scheduler import Scheduler
from app.settings import Settings
from app.telemetry import Telemetry, TelemetryMiddleware
from app.tracing import tracing_for
from model.reconstructor import Reconstructor
from model.runtime.engine import Engine

CPU_SLOTS, CUDA_SLOTS = 2, 8  # reconstructions in hand at once, where the settings leave it open

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

log = structlog.stdlib.get_logger("monotwin")


class Service(FastAPI):
    """FastAPI whose description also holds the problem document, which no route returns by type, and the API keys."""

    def openapi(self) -> dict[str, Any]:
        description = super().openapi()
        template = "#/components/schemas/{model}"
        schema = problems.ProblemBody.model_json_schema(ref_template=template)
        schemas = description.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(schema.pop("$defs"))
        schemas["ProblemBody"] = schema
        description["components"]["securitySchemes"] = SECURITY_SCHEMES
        description["security"] = [{name: []} for name in SECURITY_SCHEMES] + [{}]  # none, where no keys are configured
        for path, operations in description["paths"].items():
            for operation in operations.values() if access.is_open(path) else ():
                operation["security"] = []
        schemas["JobBody"]["example"] = EXAMPLE  # again, since FastAPI leaves out what is null
        return description


@dataclass(frozen=True)
class Operations:
    """The working parts of an application, in `app.state.operations`, and what signals do to them."""

    settings: Settings
    library: Library
    scheduler: Scheduler
    runner: JobRunner
    _reloading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def drain(self) -> None:
        """Refuse what is new; ends when all that was taken is finished. Cancelled, it tells the clients that still wait."""
        self.scheduler.drain()
        try:
            await asyncio.gather(self.runner.drain(), self.scheduler.idle())
        except BaseException:
            self.scheduler.give_up()
            raise

    async def reload(self) -> None:
        """Read the bundles anew; raises what `Library.reload` does."""
        async with self._reloading:  # those that wait take no thread: the runner of jobs shares the few there are
            await asyncio.to_thread(self.library.reload)


def create_app(settings: Settings | None = None, reconstructor: Reconstructor | None = None) -> FastAPI:
    """The service. It loads the settings' bundles when it starts, or serves a given reconstructor in the place of the default."""
    settings = settings or Settings()
    store = JobStore(settings.jobs_address, result_seconds=settings.result_seconds)
    files = JobFiles(settings.data_dir)
    telemetry = Telemetry(
        problems.SLUGS,
        queue_depth=lambda: scheduler.depth,
        jobs=lambda: {str(state): count for state, count in store.counts().items()},
    )
    tracing = tracing_for()
    engine = Engine(observe_batch=telemetry.observe_batch, observe_points=telemetry.observe_points)
    scheduler = Scheduler(
        engine,
        slots=settings.slots or CPU_SLOTS,
        queue_size=settings.queue_size,
        deadline_seconds=settings.deadline_seconds,
    )

    def describe(served: list[Reconstructor]) -> None:
        telemetry.describe(*served)
        if settings.slots is None:
            scheduler.slots = CUDA_SLOTS if any(entry.network.decoder.runs_on_cuda for entry in served) else CPU_SLOTS

    library = Library(
        settings.bundle,
        settings.bundles_dir,
        open_bundle=lambda folder: reconstructor or Reconstructor.load(folder, settings.device, settings.threads),
        describe=describe,
        observe_reload=telemetry.observe_reload,
    )
    runner = JobRunner(
        store,
        files,
        library,
        scheduler,
        settings,
        observe_job=telemetry.observe_job,
        observe_stages=telemetry.observe_stages,
        tracing=tracing,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        access.announce(settings, log)
        engine.start()
        loading = asyncio.create_task(asyncio.to_thread(library.load))
        runner.start()
        yield
        await runner.drain(0.0)  # a drain came before, where a signal ended the service
        scheduler.close()
        loading.cancel()
        await asyncio.to_thread(store.close)
        tracing.close()

    app = Service(
        title="Monotwin",
        version=__version__,
        description="One photo of an industrial product in, one clean 3D mesh out.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # of which generated clients make the names of their functions
        redirect_slashes=False,  # a redirected upload arrives without its body in most clients
    )
    app.state.operations = Operations(settings, library, scheduler, runner)
    app.add_middleware(AccessMiddleware, settings=settings)
    app.add_middleware(TelemetryMiddleware, telemetry=telemetry, internal_error=problems.internal_error_response, tracing=tracing)
    protection.install(app, settings)
    problems.install(app)
    accept = jobs.Acceptance(settings, store, files, runner.poke)
    app.include_router(reconstructions.router(settings, library, scheduler, accept))
    app.include_router(
        jobs.router(
            settings,
            store,
            files,
            accept,
            check_open=scheduler.check_open,
            select=library.select,
            draining=lambda: scheduler.draining,
        )
    )
    app.include_router(bundles.router(library))
    app.include_router(health.router(library, scheduler))
    app.include_router(page.router())

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        tags=["health"],
        response_class=Response,
        responses={200: {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics() -> Response:  # no coroutine: it asks the database how many jobs there are, and so runs in a thread
        return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def description() -> str:
    """The OpenAPI description of the default settings as the text of docs/openapi.json."""
    with TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder)))
        return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(description())

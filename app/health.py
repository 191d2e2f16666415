"""Alive: the process answers. Ready: the reconstructor is loaded and warm."""

from fastapi import APIRouter

from app import __version__
from app.errors import NotReady
from app.schemas import BundleIdentity, Liveness, Readiness, problem_responses
from app.worker import ServiceState, Worker

REASONS = {
    ServiceState.STARTING: "the bundle is being loaded and warmed up",
    ServiceState.DRAINING: "the service is shutting down",
}


def router(worker: Worker) -> APIRouter:
    """Both routes, bound to the worker they ask."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.get("/live", summary="Whether the process answers")
    async def live() -> Liveness:
        return Liveness(version=__version__)

    @routes.get("/ready", summary="Whether a photo would be taken now", responses=problem_responses(503))
    async def ready() -> Readiness:
        state, reconstructor = worker.state, worker.reconstructor
        if state not in (ServiceState.READY, ServiceState.BUSY) or reconstructor is None:
            raise NotReady(REASONS.get(state, worker.failure or "unknown"), state.value)
        bundle = reconstructor.bundle
        return Readiness(
            state="busy" if state is ServiceState.BUSY else "ready",
            bundle=BundleIdentity(name=bundle.name, version=bundle.version, sha256=bundle.sha256),
            provider=reconstructor.provider,
            reason=reconstructor.provider_reason,
        )

    return routes

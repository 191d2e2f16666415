"""Alive: the process answers and can compute. Ready: the bundles are loaded and warm."""

from enum import Enum

from fastapi import APIRouter

from app import __version__
from app.errors import NotReady
from app.library import Library
from app.scheduler import Scheduler
from app.schemas import BundleIdentity, Liveness, Readiness, problem_responses


class ServiceState(Enum):
    """starting -> ready | failed; ready <-> busy; each of them -> draining."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"  # as many wait as may wait: the next one is turned away
    FAILED = "failed"
    DRAINING = "draining"


def state_of(library: Library, scheduler: Scheduler) -> ServiceState:
    """The state that the parts of the service amount to."""
    if scheduler.draining:
        return ServiceState.DRAINING
    if scheduler.has_failed:
        return ServiceState.FAILED
    if library.default is None:
        return ServiceState.STARTING if library.failure is None else ServiceState.FAILED
    return ServiceState.BUSY if scheduler.is_full else ServiceState.READY


def router(library: Library, scheduler: Scheduler) -> APIRouter:
    """Both routes, bound to what they ask."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.head("/live", include_in_schema=False)
    @routes.get("/live", summary="Whether the process answers and can compute", responses=problem_responses(503))
    async def live() -> Liveness:
        if scheduler.has_failed:  # whoever watches it shall start another one
            scheduler.check_open()
        return Liveness(version=__version__)

    @routes.head("/ready", include_in_schema=False)
    @routes.get("/ready", summary="Whether a photo would be taken now", responses=problem_responses(503))
    async def ready() -> Readiness:
        state, default = state_of(library, scheduler), library.default
        if default is None or state in (ServiceState.DRAINING, ServiceState.FAILED):
            reasons = {
                ServiceState.STARTING: "the bundles are being loaded and warmed up",
                ServiceState.DRAINING: "the service is shutting down",
                ServiceState.FAILED: library.failure or "the device's engine has ended; only a restart helps",
            }
            raise NotReady(reasons[state], state.value)
        bundle = default.bundle
        return Readiness(
            state="busy" if state is ServiceState.BUSY else "ready",
            bundle=BundleIdentity(name=bundle.name, version=bundle.version, sha256=bundle.sha256),
            provider=default.provider,
            reason=default.provider_reason,
        )

    return routes

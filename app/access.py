"""Who may call, and how often: API keys, roles, rate limits; decided before a body is read.

With a keys file every path but the open ones needs a key, and `/admin/*` one of role admin; an empty file lets nobody in.
Without one everybody may call, but `/admin/*` only from the machine itself and not from a web page in its browser. A proxy on
the same machine that forwards no addresses makes everybody look local: behind one, use keys.

A service without keys on a loopback address answers to the machine's own names only: a web page may have its own name resolve to
127.0.0.1 once it is loaded (DNS rebinding), and is then no page from elsewhere to the browser, but for the `Host` that it sends.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app import problems
from app.errors import Misdirected, RateLimited, ServiceError, Unauthorized
from app.keys import Key, find_key, read_keys
from app.settings import Settings
from app.telemetry import record_of
from model.errors import MonotwinError

OPEN_PATHS = ("/", "/docs", "/metrics", "/openapi.json")
OPEN_FOLDERS = ("/docs/", "/health/", "/page/")
ADMIN_FOLDER = "/admin/"
LIMITED_PATHS = ("/reconstruct", "/reconstruct/batch")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
ANY_HOST = "*"
ANONYMOUS = "anonymous"
MAX_BUCKETS = 10_000
CLIENT = "monotwin.client"

log = structlog.stdlib.get_logger("monotwin.access")


@dataclass(frozen=True)
class Client:
    """Who sent a request."""

    name: str
    is_admin: bool


def is_open(path: str) -> bool:
    """Whether this path, without a root path, needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def client_of(scope: Scope) -> Client:
    """The client that `AccessMiddleware` laid into the scope: "anonymous" when no keys are configured, and on open paths."""
    client = scope[CLIENT]
    assert isinstance(client, Client)
    return client


class KeyRing:
    """The keys of a file, read anew when the file changes. One that is broken by then changes nothing but the log."""

    def __init__(self, path: Path) -> None:
        """Raises MonotwinError or OSError for a file that cannot be used: no service begins without its keys."""
        self._path = path
        self._stamp = _stamp(path)
        self._keys = read_keys(path)

    @property
    def keys(self) -> tuple[Key, ...]:
        try:
            stamp = _stamp(self._path)
        except OSError:
            stamp = None
        if stamp != self._stamp:
            self._stamp = stamp  # taken before reading: what is written in between is a change again
            try:
                self._keys = read_keys(self._path)
                log.info("keys read anew", file=str(self._path), keys=len(self._keys))
            except (MonotwinError, OSError) as error:
                log.error("keys file cannot be used; the keys read before it stay valid", error=str(error))
        return self._keys


def _stamp(path: Path) -> tuple[int, int, int] | None:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


class RateLimiter:
    """A bucket of tokens for each name, refilled evenly: `per_minute` at once when it is full, one per 60 / per_minute s later.

    A bucket is the time at which it is full again, so one that has filled up is as good as none and is forgotten. No more than
    `max_buckets` are kept: beyond that the one longest unused is forgotten early.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_buckets: int = MAX_BUCKETS) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str, per_minute: int) -> float:
        """Take a token; returns 0, or if there was none, after how many seconds there will be one."""
        now = self._clock()
        full_at = max(self._full_at.get(name, now), now) + 60 / per_minute
        wait = full_at - now - 60
        if wait > 1e-9:  # the last token of a full bucket must not be lost in rounding
            return wait
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        while len(self._full_at) > self._max_buckets or next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
        return 0.0


class AccessMiddleware:
    """Lets a request through with its `Client`, or answers 401, 421 or 429. Stands inside `TelemetryMiddleware`."""

    def __init__(self, app: ASGIApp, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._ring = None if settings.keys_file is None else KeyRing(settings.keys_file)
        self._requests_per_minute = settings.requests_per_minute
        self._origins = settings.cors_origins
        self._hosts = _allowed_hosts(settings)
        self._limiter = RateLimiter(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                client = scope[CLIENT] = self._admit(scope)
            except ServiceError as error:
                problem, request = problems.problem_for(error), Request(scope)
                answer = problems.problem_response(request, problem, str(error), headers=dict(error.headers()))
                await answer(scope, receive, send)
                return
            record_of(scope).client = client.name
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope) -> Client:
        """Raises Misdirected, Unauthorized or RateLimited."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if is_open(path):
            return Client(ANONYMOUS, is_admin=False)
        host = Headers(scope=scope).get("Host")  # none: HTTP/1.0, which no browser speaks
        if host is not None and ANY_HOST not in self._hosts and _hostname(host) not in self._hosts:
            raise Misdirected(f"Host: expected {', '.join(self._hosts)} or a name of MONOTWIN_ALLOWED_HOSTS, found {host}")
        if scope["method"] not in ("GET", "HEAD") and _is_of_another_page(scope, self._origins):
            raise Unauthorized("client: expected no page from elsewhere but those of MONOTWIN_CORS_ORIGINS, found another")
        per_minute = self._requests_per_minute
        if self._ring is None:
            client = Client(ANONYMOUS, is_admin=_is_local(scope))
            bucket = f"address {_network(scope)}"
        else:
            key = _authenticate(self._ring.keys, Headers(scope=scope))
            client = Client(key.name, is_admin=key.role == "admin")
            bucket = f"key {key.name}"
            per_minute = key.requests_per_minute or per_minute
        if path.startswith(ADMIN_FOLDER) and not client.is_admin:
            needed = "a call from this machine, or keys to be configured" if self._ring is None else "a key of role admin"
            raise Unauthorized(f"client: expected {needed}, found {client.name}")
        if per_minute is not None and scope["method"] == "POST" and path in LIMITED_PATHS:
            wait = self._limiter.take(bucket, per_minute)
            if wait > 0:
                raise RateLimited(f"rate: expected at most {per_minute} requests a minute, found more", math.ceil(wait))
        return client


def _authenticate(keys: tuple[Key, ...], headers: Headers) -> Key:
    scheme, _, credentials = headers.get("Authorization", "").partition(" ")
    secret = credentials.strip() if scheme.lower() == "bearer" else headers.get("X-API-Key", "")
    if not secret:
        raise Unauthorized("Authorization: expected 'Bearer' and an API key, or one in X-API-Key; found none")
    key = find_key(keys, secret)
    if key is None:
        raise Unauthorized("API key: expected one of the keys file, found another")
    return key


def _allowed_hosts(settings: Settings) -> tuple[str, ...]:
    if settings.allowed_hosts:
        return tuple(name.lower().strip("[]") for name in settings.allowed_hosts)
    if settings.keys_file is None and is_loopback(settings.host):
        return tuple(dict.fromkeys((*LOOPBACK_NAMES, settings.host)))
    return (ANY_HOST,)


def _hostname(host: str) -> str:
    """Of a Host header, without the port, an IPv6 address's brackets and a name's last dot; "" for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_of_another_page(scope: Scope, origins: tuple[str, ...]) -> bool:
    """Whether a browser sends this for a page from elsewhere, which may not read the answer but need not ask before a form.

    By the browser's own word, which no page can change and no proxy does; it is given to HTTPS and to this machine.
    """
    headers = Headers(scope=scope)
    return headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and headers.get("Origin") not in origins


def _is_local(scope: Scope) -> bool:
    """Whether the request comes from this machine, not from a page that its browser shows, and not through a proxy."""
    passed_on = {"origin", "forwarded", "x-forwarded-for", "x-real-ip", "via"} & set(Headers(scope=scope))
    return scope.get("client") is not None and is_loopback(scope["client"][0]) and not passed_on


def is_loopback(host: str) -> bool:
    """Whether this address or name is reached from the machine itself only."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".") == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _network(scope: Scope) -> str:
    """The address whose requests are counted together; of IPv6 the first half, since a client owns all of the second."""
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ip_network((address, 32 if address.version == 4 else 64), strict=False))


def announce(settings: Settings, log: Any) -> None:
    """Warn, once and loudly, of a service that everybody who reaches it may use."""
    if settings.keys_file is None and not is_loopback(settings.host):
        log.warning(
            "NO API KEYS: everybody who reaches this address may use the service",
            host=settings.host,
            remedy="monotwin keys add NAME --file FILE, then MONOTWIN_KEYS_FILE=FILE",
        )

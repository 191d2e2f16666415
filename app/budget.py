"""How many bytes of request bodies the service holds at once, whoever sends them: memory and temporary files have an end."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import QueueFull

RETRY_SECONDS = 5


class BodyBudgetMiddleware:
    """Counts the bytes of all bodies from their arrival until their requests are answered; too many are a QueueFull.

    Those of POST, that is: any other body is nobody's, thrown away as it arrives, though an answer that goes on for long receives
    all of it, while it waits for its client to leave.

    Refused is the request whose bytes arrive when the budget is spent: a Content-Length alone, which costs nothing, takes none.
    The error leaves `receive`, so it meets whoever reads the body, inside of the handlers that make it a problem.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "POST":
            await self._app(scope, receive, send)
            return
        held = 0

        async def receive_counted() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if self._held + size > self._max_bytes:
                expected = f"expected at most {self._max_bytes:,} bytes of all requests together"
                raise QueueFull(f"body: {expected}, found more", RETRY_SECONDS)
            held += size
            self._held += size
            return message

        try:
            await self._app(scope, receive_counted, send)
        finally:
            self._held -= held

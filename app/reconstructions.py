"""`POST /reconstruct`: image in, mesh out; a job when the client prefers one."""

import hashlib
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial

from fastapi import APIRouter, Request, Response

from app.jobs.bodies import accepted_response
from app.library import Library
from app.preferences import idempotency_key, preferences
from app.products import ANYTHING_ELSE, Order, Product, make
from app.scheduler import Scheduler
from app.schemas import IDEMPOTENCY_KEY, PREFER, TEXT_FIELDS, ReconstructionForm, mesh_response, problem_responses, request_body
from app.settings import Settings
from app.telemetry import record_of
from app.uploads import Upload, read_upload
from model.runtime.turns import Turns

AcceptJob = Callable[[Request, Upload, Order], Awaitable[Response]]


def router(settings: Settings, library: Library, scheduler: Scheduler, accept_job: AcceptJob) -> APIRouter:
    """The route, bound to what it needs."""
    routes = APIRouter(tags=["reconstruction"])

    @routes.post(
        "/reconstruct",
        summary="Turn one photo into one mesh",
        openapi_extra={"parameters": [PREFER, IDEMPOTENCY_KEY], "requestBody": request_body()},
        response_class=Response,
        responses={
            200: mesh_response(),
            202: accepted_response(),
            **problem_responses(400, 401, 406, 408, 409, 413, 415, 421, 422, 429, 500, 503, 504),
        },
    )
    async def reconstruct(request: Request) -> Response:
        record = record_of(request.scope)
        preferred = preferences(request.headers)
        library.select(None)
        if preferred.respond_async:
            scheduler.check_open()
            idempotency_key(request.headers)  # refused before a long body is read
        else:
            scheduler.check_free()
        with record.stages("receive"):
            upload = await read_upload(request, TEXT_FIELDS, max_bytes=settings.max_upload_bytes, seconds=settings.upload_seconds)
        form = ReconstructionForm.parse(upload.fields)
        accept = request.headers.get("Accept", "*/*") + (ANYTHING_ELSE if preferred.respond_async or form.include else "")
        order = Order.of(form, accept)
        reconstructor = library.select(order.form.bundle)
        record.bundle = reconstructor.bundle.name
        if preferred.respond_async:
            return await accept_job(request, upload, order)
        received = time.perf_counter()

        def work(turns: Turns) -> Product:
            record.stages.add("queue", time.perf_counter() - received)
            return make(reconstructor, upload.image, upload.mask, order, settings.max_pixels, stages=record.stages, turns=turns)

        product = await scheduler.run(
            work,
            gone=partial(_client_gone, request),
            seconds=math.inf if preferred.wait_seconds is None else preferred.wait_seconds,
            large=order.is_large,
        )
        return _answer(product, {"Server-Timing": record.stages.server_timing()})

    return routes


def _answer(product: Product, headers: dict[str, str]) -> Response:
    """The mesh alone, or together with the pictures that were ordered with it."""
    name = f"part{product.format.extension}"
    if product.mask is None and product.preview is None:
        tag = {"ETag": f'"{product.sha256}"', "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(product.mesh, media_type=product.format.media_type, headers={**headers, **tag})
    pictures = {"mask": product.mask, "preview": product.preview}
    parts = [("mesh", name, product.format.media_type, product.mesh)]
    parts += [(kind, f"{kind}.png", "image/png", content) for kind, content in pictures.items() if content is not None]
    boundary = hashlib.sha256(
        b"".join(content for *_, content in parts)
    ).hexdigest()  # of the content alone, so that bytes stay equal
    tag = {"ETag": f'"{boundary}"'}
    return Response(
        _multipart(parts, boundary), headers={**headers, **tag, "Content-Type": f"multipart/mixed; boundary={boundary}"}
    )


def _multipart(parts: list[tuple[str, str, str, bytes]], boundary: str) -> bytes:
    """(name, file name, media type, content) of each part -> a body as RFC 2046 has it."""
    body = bytearray()
    for name, filename, media_type, content in parts:
        body += (
            f"--{boundary}\r\nContent-Type: {media_type}\r\n"
            f'Content-Disposition: attachment; name="{name}"; filename="{filename}"\r\n'
            f"Content-Length: {len(content)}\r\n\r\n"
        ).encode("ascii")
        body += content + b"\r\n"
    body += f"--{boundary}--\r\n".encode("ascii")
    return bytes(body)


async def _client_gone(request: Request) -> None:
    """Returns when the client has closed the connection; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

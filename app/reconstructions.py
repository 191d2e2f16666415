"""`POST /reconstruct`: image in, mesh out."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Request, Response

from app.errors import NotAcceptable
from app.schemas import TEXT_FIELDS, ReconstructionForm, mesh_response, problem_responses, request_body
from app.settings import Settings
from app.telemetry import StageSeconds, record_of
from app.uploads import Upload, read_upload
from app.worker import Worker
from model.formats import FORMATS, Format
from model.image import read_mask, read_photo
from model.reconstructor import Options, Reconstructor
from model.runtime.turns import AtOnce

DEFAULT_FORMAT = "glb"


@dataclass(frozen=True)
class MeshFile:
    """A written mesh: its bytes and their SHA-256 in hexadecimal."""

    content: bytes
    sha256: str


def router(settings: Settings, worker: Worker) -> APIRouter:
    """The route, bound to what it needs."""
    routes = APIRouter(tags=["reconstruction"])

    @routes.post(
        "/reconstruct",
        summary="Turn one photo into one mesh",
        openapi_extra={"requestBody": request_body()},
        response_class=Response,
        responses={200: mesh_response(), **problem_responses(400, 406, 413, 415, 422, 500, 503, 504)},
    )
    async def reconstruct(request: Request) -> Response:
        stages = record_of(request.scope).stages
        worker.check_free()
        with stages("receive"):
            upload = await read_upload(request, TEXT_FIELDS, settings.max_upload_bytes)
        form = ReconstructionForm.parse(upload.fields)
        chosen = FORMATS[form.format] if form.format else acceptable_format(request.headers.get("Accept", "*/*"))
        options = form.options()
        received = time.perf_counter()

        def work(reconstructor: Reconstructor, cancelled: Callable[[], bool]) -> MeshFile:
            stages.add("queue", time.perf_counter() - received)
            return make_mesh(reconstructor, upload, options, chosen, settings.max_pixels, stages, cancelled)

        mesh_file = await worker.run(work, gone=partial(_client_gone, request))
        return Response(
            mesh_file.content,
            media_type=chosen.media_type,
            headers={
                "Server-Timing": stages.server_timing(),
                "Content-Disposition": f'attachment; filename="part{chosen.extension}"',
                "ETag": f'"{mesh_file.sha256}"',
            },
        )

    return routes


def make_mesh(
    reconstructor: Reconstructor,
    upload: Upload,
    options: Options,
    chosen: Format,
    max_pixels: int,
    stages: StageSeconds,
    cancelled: Callable[[], bool],
) -> MeshFile:
    """Decode, reconstruct and write: everything that computes, in the worker's thread."""
    with stages("prepare"):
        photo = read_photo(upload.image, max_pixels)
        mask = None if upload.mask is None else read_mask(upload.mask, photo, max_pixels)
    mesh = reconstructor.reconstruct(photo, options, mask, stage=stages, turns=AtOnce(cancelled))
    with stages("write"):
        content = chosen.write(mesh)
        return MeshFile(content, hashlib.sha256(content).hexdigest())


def acceptable_format(accept: str) -> Format:
    """The format that an Accept header likes best; between equals the first of `FORMATS`."""
    ranges = [_media_range(entry) for entry in accept.split(",") if entry.strip()] or [("*/*", 1.0)]

    def quality(media_type: str) -> float:
        family = media_type.split("/")[0] + "/*"
        for pattern in (media_type, family, "*/*"):  # the most specific range decides (RFC 9110, 12.5.1)
            liked = [q for name, q in ranges if name == pattern]
            if liked:
                return max(liked)
        return 0.0

    candidates = [FORMATS[DEFAULT_FORMAT], *(entry for name, entry in FORMATS.items() if name != DEFAULT_FORMAT)]
    best = max(candidates, key=lambda entry: quality(entry.media_type))
    if quality(best.media_type) <= 0:
        offered = ", ".join(entry.media_type for entry in candidates)
        raise NotAcceptable(f"Accept: expected one of {offered}, found {accept}")
    return best


def _media_range(entry: str) -> tuple[str, float]:
    """`model/stl; q=0.5` -> (`model/stl`, 0.5); a quality that is no number counts as 0."""
    name, *parameters = (part.strip().lower() for part in entry.split(";"))
    quality = next((value for key, _, value in (p.partition("=") for p in parameters) if key.strip() == "q"), "1")
    try:
        return name, float(quality)
    except ValueError:
        return name, 0.0


async def _client_gone(request: Request) -> None:
    """Returns when the client has closed the connection; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""The multipart body -> image, mask and text fields; sizes, types and names are checked before anything is decoded."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from app.errors import BodyTooLarge, FieldError, InvalidFields, MalformedBody, UnsupportedBody
from model.errors import Cancelled, UnsupportedImage

MULTIPART = "multipart/form-data"
FILE_FIELDS = ("image", "mask")
MAX_PARTS = 64
MAX_TEXT_BYTES = 4096


@dataclass(frozen=True)
class Upload:
    """The parts of a reconstruction request, not yet decoded."""

    image: bytes
    mask: bytes | None
    fields: dict[str, str]


class _CompleteParser(MultiPartParser):
    """Knows whether the closing boundary came: a body that breaks off must not pass for a shorter one."""

    complete = False

    def on_end(self) -> None:
        self.complete = True


async def read_upload(request: Request, text_fields: tuple[str, ...], max_bytes: int) -> Upload:
    """Read the body of `request`, at most `max_bytes` of it; `text_fields` are the names allowed beside image and mask."""
    form = await _parse(request, max_bytes)
    try:
        _check_names(form, text_fields)
        image = await _file(form, "image")
        if image is None:
            raise InvalidFields(FieldError("image", "expected a file, found none"))
        if not image:
            raise UnsupportedImage("image: expected an image, found an empty file")
        return Upload(image, await _file(form, "mask"), _texts(form))
    finally:
        await form.close()


async def _parse(request: Request, max_bytes: int) -> FormData:
    content_type = request.headers.get("Content-Type", "")
    if content_type.split(";")[0].strip().lower() != MULTIPART:
        raise UnsupportedBody(f"Content-Type: expected {MULTIPART}, found {content_type or 'none'}")
    declared = request.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    async with aclosing(_limited(request, max_bytes)) as stream:
        parser = _CompleteParser(request.headers, stream, max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=MAX_TEXT_BYTES)
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise MalformedBody(f"body: expected {MULTIPART}: {error.message}") from error
        except ClientDisconnect as error:
            raise Cancelled("client: expected the rest of the body, found it gone") from error
    if not parser.complete:
        await form.close()
        raise MalformedBody("body: expected a closing boundary, found the end")
    return form


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks, until there are too many bytes: a Content-Length may be absent or lie."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"body: expected at most {max_bytes} bytes, found more")


def _check_names(form: FormData, text_fields: tuple[str, ...]) -> None:
    known = (*FILE_FIELDS, *text_fields)
    counts = Counter(name for name, _ in form.multi_items())
    unknown = [FieldError(name, f"unknown; expected one of {', '.join(known)}") for name in counts if name not in known]
    repeated = [FieldError(name, f"expected once, found {n} times") for name, n in counts.items() if name in known and n > 1]
    if unknown or repeated:
        raise InvalidFields(*unknown, *repeated)


async def _file(form: FormData, name: str) -> bytes | None:
    """The bytes of a file field. A browser sends a file without name or content where none was chosen: that is none."""
    part = form.get(name)
    if part is None:
        return None
    if not isinstance(part, UploadFile):
        raise InvalidFields(FieldError(name, "expected a file (with a filename), found text"))
    return None if not part.filename and not part.size else await part.read()


def _texts(form: FormData) -> dict[str, str]:
    files = [name for name, part in form.items() if isinstance(part, UploadFile) and name not in FILE_FIELDS]
    if files:
        raise InvalidFields(*(FieldError(name, "expected text, found a file") for name in files))
    return {name: part for name, part in form.items() if isinstance(part, str)}

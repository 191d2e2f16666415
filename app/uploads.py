"""The multipart body -> images, masks and text fields; sizes, types and names are checked before anything is decoded."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from app.errors import BodyTooLarge, FieldError, InvalidFields, MalformedBody, UnsupportedBody, UploadTooSlow
from model.errors import Cancelled, UnsupportedImage

MULTIPART = "multipart/form-data"
CHARSETS = (b"utf-8", b"us-ascii")
FILE_FIELDS = ("image", "mask")
MAX_PARTS = 64  # beside the files of a batch
MAX_TEXT_BYTES = 4096


@dataclass(frozen=True)
class Upload:
    """The parts of a request, not yet decoded; there are as many masks as images, in their order, or none."""

    images: tuple[bytes, ...]
    masks: tuple[bytes, ...]
    fields: dict[str, str]

    @property
    def image(self) -> bytes:
        """The only image."""
        (image,) = self.images
        return image

    @property
    def mask(self) -> bytes | None:
        """The only image's mask."""
        return self.masks[0] if self.masks else None


class _CompleteParser(MultiPartParser):
    """Knows whether the closing boundary came: a body that breaks off must not pass for a shorter one."""

    complete = False

    def on_end(self) -> None:
        self.complete = True

    def close_files(self) -> None:
        """Starlette does so only where it is itself that finds the fault."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_upload(
    request: Request, text_fields: tuple[str, ...], max_bytes: int, *, max_images: int = 1, seconds: float | None = None
) -> Upload:
    """Read the body of `request`: at most `max_bytes` with at most `max_images` images, all of it within `seconds`.

    `text_fields` are the names allowed beside image and mask. Raises UnsupportedBody, MalformedBody, BodyTooLarge,
    UploadTooSlow, InvalidFields, UnsupportedImage, and Cancelled for a client that leaves.
    """
    try:
        async with asyncio.timeout(seconds):
            form = await _parse(request, max_bytes, max_images)
    except TimeoutError as error:
        raise UploadTooSlow(f"body: expected all of it within {seconds:g} s, found it unfinished") from error
    try:
        _check_names(form, text_fields, max_images)
        images = await _files(form, "image")
        if not images:
            raise InvalidFields(FieldError("image", "expected a file, found none"))
        if not all(images):
            place = "" if len(images) == 1 else f" as number {images.index(b'') + 1} of {len(images)}"
            raise UnsupportedImage(f"image: expected an image, found an empty file{place}")
        masks = await _files(form, "mask")
        if len(masks) not in (0, len(images)):
            raise InvalidFields(FieldError("mask", f"expected none or one for each of {len(images)} images, found {len(masks)}"))
        return Upload(images, masks, _texts(form))
    finally:
        await form.close()


async def _parse(request: Request, max_bytes: int, max_images: int) -> FormData:
    content_type = request.headers.get("Content-Type", "")
    if content_type.split(";")[0].strip().lower() != MULTIPART:
        raise UnsupportedBody(f"Content-Type: expected {MULTIPART}, found {content_type or 'none'}")
    # RFC 7578 knows no charset here, but Starlette obeys one: some of Python's codecs raise what it does not expect, and
    # each unknown name, as long as a header may be, stays in Python's cache of codecs for ever.
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8")
    if charset.lower() not in CHARSETS:
        raise MalformedBody(f"Content-Type: expected charset utf-8 or none, found {charset.decode('latin-1')}")
    declared = request.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    max_files = MAX_PARTS + len(FILE_FIELDS) * max_images  # a few too many are counted and named; only a flood is malformed
    async with aclosing(_limited(request, max_bytes)) as stream:
        parser = _CompleteParser(request.headers, stream, max_files=max_files, max_fields=MAX_PARTS, max_part_size=MAX_TEXT_BYTES)
        form = None
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise MalformedBody(f"body: expected {MULTIPART}: {error.message}") from error
        except ClientDisconnect as error:
            raise Cancelled("client: expected the rest of the body, found it gone") from error
        finally:
            if form is None or not parser.complete:
                parser.close_files()
    if not parser.complete:
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


def _check_names(form: FormData, text_fields: tuple[str, ...], max_images: int) -> None:
    most = {**dict.fromkeys(FILE_FIELDS, max_images), **dict.fromkeys(text_fields, 1)}
    counts = Counter(name for name, _ in form.multi_items())
    unknown = [FieldError(name, f"unknown; expected one of {', '.join(most)}") for name in counts if name not in most]
    repeated = [
        FieldError(name, f"expected {'once' if most[name] == 1 else f'at most {most[name]} times'}, found {count} times")
        for name, count in counts.items()
        if count > most.get(name, count)
    ]
    if unknown or repeated:
        raise InvalidFields(*unknown, *repeated)


async def _files(form: FormData, name: str) -> tuple[bytes, ...]:
    """The bytes of a file field. A browser sends a file without name or content where none was chosen: that is none."""
    contents = []
    for part in form.getlist(name):
        if not isinstance(part, UploadFile):
            raise InvalidFields(FieldError(name, "expected a file (with a filename), found text"))
        if part.filename or part.size:
            contents.append(await part.read())
        await part.close()  # at once, so that not two copies of the whole body are held
    return tuple(contents)


def _texts(form: FormData) -> dict[str, str]:
    files = [name for name, part in form.items() if isinstance(part, UploadFile) and name not in FILE_FIELDS]
    if files:
        raise InvalidFields(*(FieldError(name, "expected text, found a file") for name in files))
    return {name: part for name, part in form.items() if isinstance(part, str)}

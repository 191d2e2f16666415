import asyncio
import encodings
import threading
import time

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI, Request

from app import problems
from app.telemetry import RECORD, RequestRecord
from app.uploads import read_upload
from tests.app.service import assert_problem, multipart_scope

BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


def part(disposition, content=b"x"):
    return b"--b\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + content + b"\r\n"


def image_part(photo):
    return part(b'name="image"; filename="a.png"', photo)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "image/png", "", "nonsense"])
def test_a_body_that_is_not_multipart_is_unsupported(client, photo, content_type):
    assert_problem(client.post("/reconstruct", content=photo, headers={"Content-Type": content_type}), 415, "unsupported-body")


def test_a_body_without_content_type_is_unsupported(client, photo):
    assert_problem(client.post("/reconstruct", content=photo), 415, "unsupported-body")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b--\r\n"),
        ("multipart/form-data; boundary=", b"--b--\r\n"),
        ("multipart/form-data; boundary=" + 100 * "b", b"--b--\r\n"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"hello"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b; charset=\xff", b"--b\r\n\xff\r\n--b"),
    ],
)
def test_a_body_that_cannot_be_parsed_is_malformed(client, content_type, body):
    headers = [(b"Content-Type", content_type.encode("latin-1"))]
    assert_problem(client.post("/reconstruct", content=body, headers=headers), 400, "malformed-body")


def test_a_body_that_breaks_off_is_malformed(client, photo):
    """Without this check the fields behind the cut would silently be missing."""
    body = image_part(photo) + part(b'name="resolution"', b"64")
    assert_problem(client.post("/reconstruct", content=body, headers=BOUNDARY), 400, "malformed-body")
    assert client.post("/reconstruct", content=body + b"--b--\r\n", headers=BOUNDARY).status_code == 200


def test_a_text_field_has_a_limit_of_its_own(client, photo):
    assert_problem(client.reconstruct(photo, format="x" * 5000), 400, "malformed-body")


def test_too_many_parts_are_malformed(client, photo):
    body = 65 * part(b'name="level"') + image_part(photo) + b"--b--\r\n"
    assert_problem(client.post("/reconstruct", content=body, headers=BOUNDARY), 400, "malformed-body")


def test_a_declared_length_above_the_limit_is_refused_before_reading(client):
    async def body():
        raise AssertionError("the body was read")
        yield

    headers = {**BOUNDARY, "Content-Length": "1000001"}
    assert_problem(client.post("/reconstruct", content=body(), headers=headers), 413, "body-too-large")


def test_bytes_are_counted_while_they_stream_in(client):
    """Without Content-Length: reading stops within a chunk of the limit."""
    sent = 0

    async def body():
        nonlocal sent
        yield part(b'name="image"; filename="a.png"')[:-2]
        for _ in range(1000):
            sent += 10_000
            yield bytes(10_000)

    answer = client.post("/reconstruct", content=body(), headers=BOUNDARY)
    assert_problem(answer, 413, "body-too-large")
    assert "Content-Length" not in answer.request.headers
    assert sent <= 1_010_000


def test_a_field_name_that_is_no_utf8_is_named_all_the_same(client):
    answer = client.post("/reconstruct", content=part(b'name="\xff\xc3("') + b"--b--\r\n", headers=BOUNDARY)
    assert assert_problem(answer, 422, "invalid-fields")["errors"][0]["field"] == "ÿÃ("


def test_a_request_without_an_image_names_it(client):
    body = assert_problem(client.post("/reconstruct", files={"mask": ("m.png", b"x")}), 422, "invalid-fields")
    assert [entry["field"] for entry in body["errors"]] == ["image"]


@pytest.mark.parametrize("name", ["image", "mask"])
def test_a_file_field_sent_as_text_is_named(client, photo, name):
    body = b"" if name == "image" else image_part(photo)
    body += part(b'name="' + name.encode() + b'"') + b"--b--\r\n"
    answer = client.post("/reconstruct", content=body, headers=BOUNDARY)
    assert assert_problem(answer, 422, "invalid-fields")["errors"][0]["field"] == name


def test_a_text_field_sent_as_a_file_is_named(client, photo):
    answer = client.post("/reconstruct", files={"image": ("a.png", photo), "level": ("l.txt", b"0.5")})
    assert assert_problem(answer, 422, "invalid-fields")["errors"][0]["field"] == "level"


def test_a_repeated_field_is_named(client, photo):
    answer = client.post("/reconstruct", files={"image": ("a.png", photo)}, data={"level": ["0.4", "0.6"]})
    assert assert_problem(answer, 422, "invalid-fields")["errors"] == [
        {"field": "level", "message": "expected once, found 2 times"}
    ]


def test_two_images_are_one_too_many(client, photo):
    answer = client.post("/reconstruct", files=[("image", ("a.png", photo)), ("image", ("b.png", photo))])
    assert assert_problem(answer, 422, "invalid-fields")["errors"][0]["field"] == "image"


def test_a_client_that_leaves_while_sending_is_no_error_of_ours(client):
    """The connection ends in the middle of the body: nothing is logged as unexpected."""
    sent = []

    async def talk():
        messages = iter([{"type": "http.request", "body": b"--b\r\n", "more_body": True}, {"type": "http.disconnect"}])

        async def receive():
            return next(messages)

        async def send(message):
            sent.append(message)

        await client.app(multipart_scope(), receive, send)

    client.run(talk)
    assert sent[0]["status"] == 499


# Batches, and time: an application that only reads


def reading(max_bytes=10_000_000, **limits):
    app = FastAPI()
    problems.install(app)

    @app.post("/reconstruct")
    async def read(request: Request):
        request.scope[RECORD] = RequestRecord("r")
        upload = await read_upload(request, ("level",), max_bytes, **limits)
        return {"images": [len(i) for i in upload.images], "masks": [len(m) for m in upload.masks], "fields": upload.fields}

    return app


def send(app, body, content_type=BOUNDARY["Content-Type"]):
    """One request; returns its answer, with the id that the real service's middleware would add."""

    async def talk():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.post("/reconstruct", content=body, headers={"Content-Type": content_type})

    with start_blocking_portal() as portal:
        answer = portal.call(talk)
    answer.headers["X-Request-ID"] = "r"
    return answer


def files(name, *sizes):
    return b"".join(part(b'name="%s"; filename="%d.png"' % (name, n), bytes(size)) for n, size in enumerate(sizes))


@pytest.mark.parametrize("masks", [(), (4, 5, 6)])
def test_a_batch_keeps_the_order_of_images_and_masks(masks):
    body = files(b"image", 1, 2, 3) + part(b'name="level"', b"0.5") + files(b"mask", *masks) + b"--b--\r\n"
    answer = send(reading(max_images=3), body)
    assert answer.json() == {"images": [1, 2, 3], "masks": list(masks), "fields": {"level": "0.5"}}


@pytest.mark.parametrize(("masks", "images"), [(1, 3), (2, 3), (3, 2), (2, 1)])
def test_a_batch_has_no_mask_or_one_for_each_image(masks, images):
    body = files(b"mask", *[1] * masks) + files(b"image", *[1] * images) + b"--b--\r\n"
    problem = assert_problem(send(reading(max_images=5), body), 422, "invalid-fields")
    message = f"expected none or one for each of {images} images, found {masks}"
    assert problem["errors"] == [{"field": "mask", "message": message}]


@pytest.mark.parametrize("images", [4, 60])
def test_too_many_images_are_counted_in_words(images):
    problem = assert_problem(send(reading(max_images=3), files(b"image", *[1] * images) + b"--b--\r\n"), 422, "invalid-fields")
    assert problem["errors"] == [{"field": "image", "message": f"expected at most 3 times, found {images} times"}]


def test_as_many_files_as_allowed_are_read():
    body = files(b"image", *range(1, 65)) + files(b"mask", *range(1, 65)) + b"--b--\r\n"
    answer = send(reading(max_images=64), body).json()
    assert answer["images"] == answer["masks"] == list(range(1, 65))


def test_an_empty_file_in_a_batch_is_told_by_its_number():
    answer = send(reading(max_images=3), files(b"image", 1, 0, 1) + b"--b--\r\n")
    assert "as number 2 of 3" in assert_problem(answer, 415, "unsupported-image")["detail"]


def test_files_that_a_form_leaves_unchosen_are_none():
    unchosen = part(b'name="mask"; filename=""', b"") + part(b'name="image"; filename=""', b"")
    answer = send(reading(max_images=2), unchosen + files(b"image", 7) + b"--b--\r\n")
    assert answer.json() == {"images": [7], "masks": [], "fields": {}}


def test_a_large_file_arrives_whole():
    """Above the megabyte from which it lies on disk until it is read."""
    body = part(b'name="image"; filename="a"', 3_000_000 * b"x") + b"--b--\r\n"
    assert send(reading(), body).json()["images"] == [3_000_000]


def test_a_body_that_stops_is_given_up_at_the_time_limit():
    stopped = threading.Event()

    async def body():
        yield b"--b\r\n"
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    answer = send(reading(seconds=0.05), body())
    assert "within 0.05 s" in assert_problem(answer, 408, "upload-too-slow")["detail"]
    assert answer.headers["Connection"] == "close"
    assert stopped.is_set()


def test_a_body_that_drips_is_given_up_at_the_time_limit():
    """The limit is for the whole body: each byte that comes in time moves nothing."""
    sent = 0

    async def body():
        nonlocal sent
        for byte in part(b'name="image"; filename="a"', 1000 * b"x"):
            sent += 1
            yield bytes([byte])
            await asyncio.sleep(0.01)

    start = time.perf_counter()
    assert_problem(send(reading(seconds=0.2), body()), 408, "upload-too-slow")
    assert time.perf_counter() - start < 2
    assert 1 < sent < 100


@pytest.mark.parametrize("charset", ["idna", "punycode", "undefined", "base64", "utf-7", "latin-1", "", "nonsense", "a\0b"])
def test_a_charset_other_than_utf8_is_malformed_and_asked_of_no_codec(charset):
    """Starlette would look it up: `undefined` and `punycode` raise from there, and unknown names are kept for ever."""
    name = f"charset-{charset}-of-this-test" if charset == "nonsense" else charset
    body = part(b'name="\xff\xfe"') + files(b"image", 3) + b"--b--\r\n"
    answer = send(reading(), body, f'{BOUNDARY["Content-Type"]}; charset="{name}"')
    assert_problem(answer, 400, "malformed-body")
    assert not [known for known in encodings._cache if "of_this_test" in known]


@pytest.mark.parametrize("charset", ["UTF-8", '"utf-8"', "us-ascii"])
def test_the_charset_that_a_form_has_anyway_may_be_said(charset):
    answer = send(reading(), files(b"image", 3) + b"--b--\r\n", f"{BOUNDARY['Content-Type']}; charset={charset}")
    assert answer.json()["images"] == [3]

import pytest

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


@pytest.mark.parametrize(("charset", "name"), [("utf-7", b"+2AA-"), ("raw_unicode_escape", rb"\ud800")])
def test_a_field_name_that_utf8_cannot_hold_is_named_all_the_same(client, charset, name):
    """An odd charset turns it into a lone surrogate, which the answer has to quote."""
    body = part(b'name="' + name + b'"') + b"--b--\r\n"
    answer = client.post("/reconstruct", content=body, headers={"Content-Type": f"{BOUNDARY['Content-Type']}; charset={charset}"})
    assert assert_problem(answer, 422, "invalid-fields")["errors"][0]["field"] == "\ud800"


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

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi import HTTPException, Request
from PIL import Image

import model.errors
from app import errors, problems
from app.jobs.store import JobStore
from model.errors import MonotwinError, NoForeground
from tests.app.service import assert_problem

DOCS = Path(__file__).parents[2] / "docs" / "api.md"


def with_subclasses(kind):
    return {kind}.union(*(with_subclasses(child) for child in kind.__subclasses__()))


def undescribed(kinds):
    return {kind for kind in kinds if kind not in problems.PROBLEMS}


def test_every_error_of_ours_has_an_entry_of_its_own():
    ours = {kind for kind in with_subclasses(MonotwinError) if kind.__module__ in (model.errors.__name__, errors.__name__)}
    assert len(ours) > 15
    assert undescribed(ours) == set()


def test_an_error_without_an_entry_would_be_found():
    class Forgotten(NoForeground):
        pass

    assert undescribed({Forgotten, NoForeground}) == {Forgotten}
    assert problems.problem_for(Forgotten()) is problems.PROBLEMS[NoForeground]


def test_every_problem_type_is_documented():
    documented = DOCS.read_text(encoding="utf-8")
    missing = [slug for slug in problems.SLUGS if f"| `{slug}` |" not in documented]
    assert missing == []


def test_the_documented_status_is_the_tables():
    documented = DOCS.read_text(encoding="utf-8")
    for problem in problems.PROBLEMS.values():
        assert f"| {problem.status} | `{problem.slug}` |" in documented


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def huge_png():
    """A PNG whose header says 10,000 x 6,000 pixels, in a few bytes."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 10_000, 6_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "status", "slug"),
    [
        (b"Dear service, please make a mesh of this letter.\n", 415, "unsupported-image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unsupported-image"),
        (b"", 415, "unsupported-image"),
        (huge_png(), 413, "image-too-large"),
    ],
    ids=["text", "svg", "empty", "60-megapixels"],
)
def test_what_is_no_image_is_a_problem_and_the_service_goes_on(client, photo, content, status, slug):
    assert_problem(client.reconstruct(content), status, slug)
    assert client.reconstruct(photo).status_code == 200


def test_a_truncated_png_is_an_unreadable_image(client, photo):
    assert_problem(client.reconstruct(photo[: len(photo) // 2]), 422, "unreadable-image")
    assert client.reconstruct(photo).status_code == 200


# Cancelled is not among them: it comes from a client that left or a service that ends, see test_service_states.
ERRORS = [kind for kind in problems.PROBLEMS if kind.__module__ == model.errors.__name__ and kind is not model.errors.Cancelled]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_of_the_reconstructor_becomes_its_problem(client, photo, reconstructor, error):
    reconstructor.error = error("field: expected this, found that")
    problem = problems.PROBLEMS[error]
    body = assert_problem(client.reconstruct(photo), problem.status, problem.slug)
    if problem.status != 500:
        assert body["detail"] == "field: expected this, found that"
    reconstructor.error = None
    assert client.reconstruct(photo).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [(model.errors.NoSurface, 422, "no-surface"), (model.errors.ReconstructionError, 422, "not-reconstructible")],
)
def test_what_the_network_cannot_see_is_the_photos_problem(client, photo, reconstructor, error, status, slug):
    reconstructor.error = error("field: expected this, found that")
    assert_problem(client.reconstruct(photo), status, slug)


def test_an_unexpected_error_tells_nothing_of_the_inside(client, photo, reconstructor):
    reconstructor.error = RuntimeError("secret /etc/path")
    answer = client.reconstruct(photo)
    assert_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text
    reconstructor.error = None
    assert client.reconstruct(photo).status_code == 200


def test_an_unknown_field_is_named_beside_the_known_ones(client, photo):
    body = assert_problem(client.reconstruct(photo, resolutoin="64"), 422, "invalid-fields")
    assert body["errors"][0]["field"] == "resolutoin"
    assert "resolution" in body["errors"][0]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resolution", "31"),
        ("resolution", "513"),
        ("resolution", "many"),
        ("resolution", ""),
        ("level", "nan"),
        ("level", "0.96"),
        ("level", "inf"),
        ("keep", "some"),
        ("target_faces", "99"),
        ("size", "0"),
        ("size", "-1"),
        ("size", "inf"),
        ("size_axis", "diagonal"),
        ("background", "white"),
        ("format", "exe"),
    ],
)
def test_a_bad_value_is_a_problem_that_names_its_field(client, photo, reconstructor, field, value):
    body = assert_problem(client.reconstruct(photo, **{field: value}), 422, "invalid-fields")
    assert [entry["field"] for entry in body["errors"]] == [field]
    assert reconstructor.asked == []


def test_every_bad_field_is_named_at_once(client, photo):
    body = assert_problem(client.reconstruct(photo, level="2", keep="none"), 422, "invalid-fields")
    assert {entry["field"] for entry in body["errors"]} == {"level", "keep"}


@pytest.mark.parametrize(("field", "value"), [("size", "0,12"), ("distance", "1.000,5"), ("target_faces", "20,000")])
def test_a_decimal_comma_is_answered_with_how_numbers_are_written(client, photo, field, value):
    body = assert_problem(client.reconstruct(photo, **{field: value}), 422, "invalid-fields")
    assert body["errors"][0]["message"].endswith(
        f"found '{value}'; the decimal sign is a point, and thousands have none (0.12, 20000)"
    )


def test_other_text_that_is_no_number_gets_no_such_hint(client, photo):
    for fields in ({"size": "12cm"}, {"include": "mask,picture"}):
        body = assert_problem(client.reconstruct(photo, **fields), 422, "invalid-fields")
        assert "decimal" not in body["errors"][0]["message"]


@pytest.mark.parametrize(("field", "value"), [("size", "120mm"), ("size", "1200"), ("distance", "0")])
def test_a_length_that_is_refused_is_answered_with_its_unit(client, photo, field, value):
    body = assert_problem(client.reconstruct(photo, **{field: value}), 422, "invalid-fields")
    assert body["errors"][0]["message"].endswith(f", found '{value}'; lengths are in metres (0.12 for 120 mm)")


def test_a_number_that_is_no_length_gets_no_unit(client, photo):
    body = assert_problem(client.reconstruct(photo, level="120"), 422, "invalid-fields")
    assert body["errors"][0]["message"].endswith(", found '120'")


@pytest.mark.parametrize("url", ["/jobs", f"/jobs/{32 * 'a'}"])
def test_a_database_that_fails_is_a_problem_that_tells_nothing_of_it_but_when_to_come_back(client, monkeypatch, url):
    def fail(*args, **arguments):
        raise sa.exc.OperationalError("SELECT secret", {}, Exception("/var/lib/secret.sqlite: unable to open"))

    monkeypatch.setattr(JobStore, "list", fail)
    monkeypatch.setattr(JobStore, "get", fail)
    answer = client.get(url)
    assert_problem(answer, 503, "jobs-unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "secret" not in answer.text


def untested(slugs, tests):
    """Those that no test expects beside their status."""
    return [slug for slug in slugs if not re.search(rf'\b\d{{3}}, "{slug}"', tests)]


def test_every_problem_type_is_expected_of_an_answer_by_some_test():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    assert untested(problems.SLUGS, tests) == ["cancelled"]  # an answer that nobody is there to read


def test_a_problem_type_without_a_test_would_be_found():
    assert untested(("not-found", "forgotten"), '(answer, 404, "not-found")') == ["forgotten"]


def test_a_format_that_nobody_writes_is_not_acceptable(client, photo):
    assert_problem(client.reconstruct(photo, {"Accept": "image/png"}), 406, "not-acceptable")


def test_an_unknown_address_is_a_problem(client):
    assert_problem(client.get("/nothing/here"), 404, "not-found")


def test_a_malformed_host_header_is_no_error_of_ours(client):
    assert_problem(client.get("/health/nothing", headers={"Host": "[::1"}), 404, "not-found")


def test_a_trailing_slash_is_another_address(client, photo):
    """No redirect: most clients would follow it without the body."""
    assert_problem(client.post("/reconstruct/", files={"image": ("a.png", photo)}), 404, "not-found")


def test_a_wrong_method_is_a_problem_that_names_the_right_one(client):
    answer = client.get("/reconstruct")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "POST"


def test_other_errors_of_the_framework_are_problems(client):
    @client.app.get("/teapot")
    async def teapot():
        raise HTTPException(418, "no coffee", {"X-Pot": "tea"})

    answer = client.get("/teapot")
    assert assert_problem(answer, 418, "http-error")["detail"] == "no coffee"
    assert answer.headers["X-Pot"] == "tea"


def test_a_validation_error_of_the_framework_is_a_problem(client):
    @client.app.get("/double")
    async def double(number: int) -> int:
        return 2 * number

    body = assert_problem(client.get("/double", params={"number": "x"}), 422, "invalid-fields")
    assert body["errors"][0]["field"] == "number"


def test_an_error_after_the_answer_began_closes_the_connection(client):
    @client.app.get("/half")
    async def half(request: Request) -> None:
        await request._send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        client.get("/half")


def test_a_fully_transparent_photo_is_left_to_the_reconstructor(client, reconstructor):
    """Whether an object is there is decided in `model`: test_end_to_end has the real answers."""
    assert client.reconstruct(png(np.zeros((32, 32, 4), np.uint8))).status_code == 200
    assert reconstructor.asked[0].photo.alpha.max() == 0

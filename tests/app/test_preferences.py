import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from app.errors import InvalidHeader
from app.preferences import Preferences, has_current, idempotency_key, preferences

TOKEN_CHARACTERS = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
ETAG = "0a" * 32


def headers(name, *values):
    return Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for value in values])


def preferred(*values):
    return preferences(headers("Prefer", *values))


# Prefer


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Preferences()),
        ([""], Preferences()),
        (["respond-async"], Preferences(True)),
        (["Respond-Async"], Preferences(True)),
        (["respond-async, wait=10"], Preferences(True, 10.0)),
        (["wait=10,respond-async"], Preferences(True, 10.0)),
        (["wait=10", "respond-async"], Preferences(True, 10.0)),
        (["wait=0"], Preferences(False, 0.0)),
        (["wait=007"], Preferences(False, 7.0)),
        (["wait = 10"], Preferences(False, 10.0)),
        (['wait="10"'], Preferences(False, 10.0)),
        (['wait="1\\0"'], Preferences(False, 10.0)),
        (["WAIT=10"], Preferences(False, 10.0)),
        (['respond-async=""'], Preferences(True)),
        (["respond-async; foo"], Preferences(True)),
        (['wait=10; foo="; wait=3, respond-async"; bar ;; baz=1'], Preferences(False, 10.0)),
        (["return=minimal, ,, wait=5"], Preferences(False, 5.0)),
        (['handling="lenient, respond-async"'], Preferences()),
        (['handling="a\\", respond-async, \\"b"'], Preferences()),
    ],
)
def test_preferences_are_read_as_rfc_7240_writes_them(values, expected):
    assert preferred(*values) == expected


@pytest.mark.parametrize(
    "value",
    [
        "wait",
        "wait=",
        "wait=ten",
        "wait=-1",
        "wait=+1",
        "wait=1.5",
        "wait=1e3",
        "wait=0x10",
        "wait=1 2",
        "wait=\xb2",
        'wait="10',
        "wait==10",
        "waiting=10",
        "respond-async=yes",
        'respond-async="yes"',
        "respond async",
        '"respond-async"',
        "respond-async respond-async",
        "respond-async; =x",
        "=respond-async",
    ],
)
def test_a_preference_that_is_not_well_formed_is_ignored(value):
    assert preferred(value) == Preferences()


def test_the_first_of_several_preferences_counts():
    assert preferred("wait=3, wait=7") == Preferences(False, 3.0)
    assert preferred("wait=3", "WAIT=7") == Preferences(False, 3.0)
    assert preferred("wait=soon, wait=7") == Preferences()
    assert preferred("respond-async=no, respond-async") == Preferences()


def test_a_wait_of_thousands_of_digits_is_a_long_wait():
    assert preferred("wait=" + 10_000 * "9") == Preferences(False, 1e9)
    assert preferred("wait=" + 10_000 * "0" + "5") == Preferences(False, 5.0)


def preferences_by_hand(header):
    """One character after the other: (name, value) of each well-formed element."""
    elements, element, quoted, escaped = [], "", False, False
    for character in header:
        if character == "," and not quoted:
            elements.append(element)
            element = ""
            continue
        if quoted and not escaped and character == "\\":
            escaped = True
        else:
            if character == '"' and not escaped:
                quoted = not quoted
            escaped = False
        element += character
    elements.append(element)
    found = {}
    for text in elements:
        if (parsed := element_by_hand(text.strip(" \t"))) is not None:
            found.setdefault(*parsed)
    return found


def element_by_hand(text):
    position = 0

    def spaces():
        nonlocal position
        while position < len(text) and text[position] in " \t":
            position += 1

    def token():
        nonlocal position
        start = position
        while position < len(text) and text[position] in TOKEN_CHARACTERS:
            position += 1
        return text[start:position]

    def word():
        nonlocal position
        if position == len(text) or text[position] != '"':
            return token()
        position += 1
        value = ""
        while position < len(text) and text[position] != '"':
            position += text[position] == "\\"
            value += text[position : position + 1]
            position += 1
        if position >= len(text):
            return None
        position += 1
        return value

    def pair(empty_allowed):
        nonlocal position
        name, value = token(), ""
        if not name:
            return None
        before = position
        spaces()
        if position < len(text) and text[position] == "=":
            position += 1
            spaces()
            quoted = text[position : position + 1] == '"'
            value = word()
            if value is None or (not value and not quoted and not empty_allowed):
                return None
        else:
            position = before
        return name.lower(), value

    first = pair(empty_allowed=True)
    if first is None:
        return None
    while True:
        spaces()
        if position == len(text):
            return first
        if text[position] != ";":
            return None
        position += 1
        spaces()
        if position < len(text) and text[position] in TOKEN_CHARACTERS and pair(empty_allowed=False) is None:
            return None


PIECES = st.sampled_from(
    ["respond-async", "wait", "Wait", "=", "=", ",", ";", '"', "\\", " ", "\t", "1", "20", "x", "=5", "wait=7", "\xe9", "\x00"]
)


@settings(max_examples=1000, deadline=None, database=None)
@given(st.lists(PIECES, max_size=16).map("".join))
def test_any_header_is_read_as_a_walk_over_its_characters_reads_it(header):
    found = preferences_by_hand(header)
    wait = found.get("wait", "")
    seconds = float(wait) if wait and all(digit in "0123456789" for digit in wait) else None
    assert preferred(header) == Preferences(found.get("respond-async") == "", seconds)


LATIN = st.text(st.characters(max_codepoint=255), max_size=200)


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(LATIN, max_size=3))
def test_no_header_value_makes_an_error_but_an_idempotency_key(values):
    preferences(headers("Prefer", *values))
    has_current(headers("If-None-Match", *values), ETAG)
    try:
        key = idempotency_key(headers("Idempotency-Key", *values))
    except InvalidHeader:
        return
    assert key is None if not values else [key] == values and 1 <= len(key) <= 255 and key.isascii() and key.isprintable()


@pytest.mark.parametrize(
    "value",
    [
        60_000 * '"',
        30_000 * '",',
        20_000 * '",\\',
        20_000 * '\\",',
        60_000 * "\\",
        "a" + 60_000 * " " + "@",
        "a" + 20_000 * "; " + "@",
        "a;" + 60_000 * " " + "@",
        60_000 * "a" + "@",
        30_000 * "a;" + "@",
        '"' + 30_000 * 'W/"',
    ],
)
def test_reading_takes_time_in_proportion_to_the_length(value):
    """60,000 characters, as much as servers take: what is not linear needs minutes for them."""
    start = time.process_time()
    preferred(value)
    has_current(headers("If-None-Match", value), ETAG)
    assert time.process_time() - start < 1.0


# Idempotency-Key


@pytest.mark.parametrize("key", ["a", 255 * "k", '"8e03978e-40d5"', "with space", "~!@#,;"])
def test_a_key_of_printable_ascii_is_taken_as_it_is(key):
    assert idempotency_key(headers("Idempotency-Key", key)) == key


def test_without_the_header_there_is_no_key():
    assert idempotency_key(Headers()) is None


@pytest.mark.parametrize("key", ["", 256 * "k", "caf\xe9", "a\tb", "a\x00", "a\x7f", "a\n"])
def test_another_key_is_an_invalid_header(key):
    with pytest.raises(InvalidHeader, match="Idempotency-Key: expected 1 to 255 printable ASCII characters"):
        idempotency_key(headers("Idempotency-Key", key))


def test_two_keys_are_an_invalid_header():
    with pytest.raises(InvalidHeader, match="expected one, found 2"):
        idempotency_key(headers("Idempotency-Key", "a", "a"))


# If-None-Match


@pytest.mark.parametrize(
    "value",
    [
        f'"{ETAG}"',
        f'W/"{ETAG}"',
        "*",
        " * ",
        f'"other", "{ETAG}"',
        f'W/"other",W/"{ETAG}"',
        f', ,"{ETAG}",',
        f'"with, comma" , "{ETAG}"',
        f'nonsense, "{ETAG}"',
    ],
)
def test_a_client_that_has_the_file_is_known_by_its_tag(value):
    assert has_current(headers("If-None-Match", value), ETAG)


@pytest.mark.parametrize(
    "value",
    [
        "",
        '"other"',
        ETAG,
        f'"{ETAG}',
        f'{ETAG}"',
        f'w/"{ETAG}"',
        f'W/ "{ETAG}"',
        f'"{ETAG}" "{ETAG}"',
        f'"{ETAG.upper()}"',
        '"*"',
        "*, *",
        "**",
        f'"x,"{ETAG}"',
    ],
)
def test_any_other_value_does_not_say_that_the_client_has_the_file(value):
    assert not has_current(headers("If-None-Match", value), ETAG)


def test_tags_may_be_spread_over_headers():
    assert has_current(headers("If-None-Match", '"other"', f'"{ETAG}"'), ETAG)


def test_without_the_header_the_client_has_nothing():
    assert not has_current(Headers(), ETAG)


def test_a_tag_may_hold_commas_and_backslashes():
    assert has_current(headers("If-None-Match", '"a,b\\", "c"'), "a,b\\")
    assert has_current(headers("If-None-Match", '"a,b\\", "c"'), "c")

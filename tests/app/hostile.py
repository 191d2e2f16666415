"""Uploads that wish the service ill: each a complete HTTP request, the same ones each time."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
REFUSED = frozenset({400, 413, 415, 422})
EITHER = REFUSED | {200}
BOUNDARY = b"hostile"
LIMIT = 1_000_000  # bytes of a body, and
MAX_PIXELS = 4_000_000  # of an image; the service under test is told the same


@dataclass(frozen=True)
class Hostile:
    """One request and the statuses it may be answered with; `is_http`: whether it is HTTP at all, so that we get to see it."""

    name: str
    request: bytes
    statuses: frozenset[int]
    is_http: bool = True


def corpus() -> list[Hostile]:
    """Everything below. Names are distinct, and so are requests."""
    return [
        *truncated(),
        *flipped(),
        *bombs(),
        *strangers(),
        *polyglots(),
        *exif(),
        *odd_modes(),
        *masks(),
        *multipart(),
        *fields(),
        *http(),
    ]


# Requests


def part(disposition: bytes, content: bytes, headers: bytes = b"") -> bytes:
    return (
        b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; " + disposition + b"\r\n" + headers + b"\r\n" + content + b"\r\n"
    )


def text(name: str, value: bytes) -> bytes:
    return part(b'name="' + name.encode() + b'"', value)


def file(content: bytes, name: bytes = b"image", filename: bytes = b"a.png") -> bytes:
    return part(b'name="' + name + b'"; filename="' + filename + b'"', content)


END = b"--" + BOUNDARY + b"--\r\n"
SMALL = text("resolution", b"32")


def post(body: bytes, content_type: bytes = b"multipart/form-data; boundary=" + BOUNDARY, more: bytes = b"") -> bytes:
    head = b"POST /reconstruct HTTP/1.1\r\nHost: t\r\nContent-Type: " + content_type + b"\r\n" + more
    return head + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def with_image(name: str, image: bytes, statuses: frozenset[int] | set[int] = EITHER) -> Hostile:
    return Hostile(name, post(file(image) + SMALL + END), frozenset(statuses))


# Images


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A dark, noisy block on white; on nothing, where the mode has alpha."""
    width, height = size
    pixels = np.full((height, width, 4), 255, np.uint8)
    pixels[..., 3] = 0
    block = pixels[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None]
    block[:] = np.random.default_rng(0).integers(20, 120, block.shape, np.uint8)
    block[..., 3] = 255
    return Image.fromarray(pixels).convert(mode) if "A" in mode else Image.fromarray(pixels[..., :3]).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content) if length is None else length) + kind + content + crc


def png(
    width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0, *, before: bytes = b"", interlace: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = before + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data


def tiff(tags: dict[int, tuple[int, int, int]], content: bytes = b"", next_directory: int = 0, count: int | None = None) -> bytes:
    """Little-endian; tags: number -> (type, count, value or offset). The content begins at offset 8."""
    at = 8 + len(content) + len(content) % 2
    directory = struct.pack("<H", len(tags) if count is None else count)
    directory += b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", at) + content.ljust(at - 8, b"\0") + directory + struct.pack("<I", next_directory)


def grey_tiff(width: int, height: int, content: bytes, compression: int = 1, **changes: int) -> bytes:
    tags = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, changes.get("bits", 8)),
        259: (3, 1, compression),
        262: (3, 1, changes.get("photometric", 1)),
        273: (4, 1, changes.get("offset", 8)),
        277: (3, 1, changes.get("samples", 1)),
        278: (4, 1, height),
        279: (4, 1, changes.get("length", len(content))),
        339: (3, 1, changes.get("sample_format", 1)),
    }
    return tiff(tags, content, changes.get("next_directory", 0))


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for k, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp(width: int, height: int, bits: int = 24, *, compression: int = 0, offset: int = 54, content: bytes = b"") -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(content), 0, 0, offset) + header + content


def truncated() -> Iterator[Hostile]:
    for kind in FORMATS:
        whole = encoded(picture(), kind)
        places = sorted({5, 7, 11, 13, 20, 33, 60, *(len(whole) * n // 8 for n in range(1, 8)), len(whole) - 20})
        for place in places:
            yield with_image(f"truncated-{kind}-{place}", whole[:place], EITHER if place > len(whole) / 2 else REFUSED)


def flipped() -> Iterator[Hostile]:
    for kind, seed in itertools.product(FORMATS, range(10)):
        rng = np.random.default_rng(seed)
        content = bytearray(encoded(picture("RGBA" if kind in ("PNG", "WEBP") else "RGB"), kind))
        for place in rng.integers(8 if seed % 2 else 16, min(len(content), 200) if seed < 5 else len(content), 1 + seed):
            content[place] ^= 1 << int(rng.integers(8))
        yield with_image(f"flipped-{kind}-{seed}", bytes(content))


def bombs() -> Iterator[Hostile]:
    nothing = b"\0" * 50
    yield with_image("bomb-png-large", png(8000, 8000, bytes(8001 * 800), 8), {413})
    yield with_image("bomb-png-1-bit", png(30_000, 30_000, bytes(3751 * 1000), 1), {413})
    yield with_image("bomb-png-most-pixels", png(2**31 - 1, 2**31 - 1, nothing), {413, 422})
    yield with_image("bomb-png-beyond", png(2**32 - 1, 2**32 - 1, nothing), REFUSED)
    yield with_image("bomb-png-too-many-rows", png(16, 16, bytes(20_000_000)))
    yield with_image("bomb-png-rows-missing", png(1000, 1000, bytes(1001 * 10)), REFUSED)
    text_bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000)))
    yield with_image("bomb-png-text", png(16, 16, bytes(16 * 17), before=text_bomb))
    yield with_image(
        "bomb-png-many-texts", png(16, 16, bytes(16 * 17), before=1000 * chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60_000))))
    )
    yield with_image(
        "bomb-png-international-text",
        png(16, 16, bytes(272), before=chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(9_000_000)))),
    )
    yield with_image(
        "bomb-png-profile", png(16, 16, bytes(272), before=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(20_000_000))))
    )
    yield with_image("bomb-png-chunk-length", png(16, 16, bytes(272), before=chunk(b"tEXt", b"a\0b", 2**31 - 1)))
    yield with_image("bomb-png-many-chunks", png(16, 16, bytes(272), before=20_000 * chunk(b"tIME", b"")))
    frames = b"".join(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)) for _ in range(1))
    yield with_image("bomb-apng-frames", png(16, 16, bytes(272), before=frames))
    control = struct.pack(">IIIIIHHBB", 0, 2**31 - 1, 2**31 - 1, 0, 0, 1, 1, 0, 0)
    yield with_image("bomb-apng-frame-size", png(16, 16, bytes(272), before=frames + chunk(b"fcTL", control)))
    deflated = zlib.compress(bytes(20_000_000))
    yield with_image("bomb-tiff-deflate", grey_tiff(20_000, 20_000, deflated, 8), {413})
    yield with_image("bomb-tiff-deflate-more-than-said", grey_tiff(64, 64, deflated, 8))
    yield with_image("bomb-tiff-lzw", grey_tiff(30_000, 30_000, b"\x80\x00" + 500 * b"\xff", 5), {413})
    yield with_image("bomb-tiff-lzw-small", grey_tiff(64, 64, b"\x80\x00" + 500 * b"\xff", 5))
    yield with_image("bomb-tiff-most-pixels", grey_tiff(2**32 - 1, 2**32 - 1, nothing), REFUSED)
    yield with_image("bomb-tiff-wide", grey_tiff(2**31, 1, nothing), REFUSED)
    yield with_image("bomb-tiff-directory", tiff({256: (4, 1, 9)}, nothing, count=65_535), REFUSED)
    yield with_image("bomb-tiff-tag-count", tiff({256: (4, 1, 64), 257: (4, 1, 64), 273: (4, 2**32 - 1, 8)}, nothing), REFUSED)
    yield with_image("bomb-tiff-next-is-itself", grey_tiff(16, 16, bytes(256), next_directory=8 + 256))
    yield with_image("bomb-tiff-strip-outside", grey_tiff(16, 16, bytes(256), offset=2**32 - 10))
    yield with_image("bomb-tiff-strip-length", grey_tiff(16, 16, bytes(256), length=2**32 - 1))
    for bits, samples in ((32, 65_535), (65_535, 1), (0, 0), (64, 4)):
        yield with_image(f"bomb-tiff-{bits}-bits-{samples}-samples", grey_tiff(16, 16, bytes(256), bits=bits, samples=samples))
    tiles = {
        256: (4, 1, 64),
        257: (4, 1, 64),
        258: (3, 1, 8),
        259: (3, 1, 8),
        262: (3, 1, 1),
        322: (4, 1, 65_536),
        323: (4, 1, 65_536),
    }
    yield with_image("bomb-tiff-tile", tiff({**tiles, 324: (4, 1, 8), 325: (4, 1, 50)}, zlib.compress(bytes(9000))))
    large = (16_383).to_bytes(3, "little")
    yield with_image("bomb-webp-extended", riff((b"VP8X", bytes(4) + large + large), (b"VP8L", nothing)), REFUSED)
    lossless = b"\x2f" + (16_383 | 16_383 << 14).to_bytes(4, "little") + nothing
    yield with_image("bomb-webp-lossless", riff((b"VP8L", lossless)), REFUSED)
    lossy = b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383) + nothing
    yield with_image("bomb-webp-lossy", riff((b"VP8 ", lossy)), REFUSED)
    yield with_image("bomb-webp-length", b"RIFF" + b"\xff" * 4 + b"WEBPVP8L" + b"\xff" * 4 + nothing, REFUSED)
    huge_webp = encoded(Image.new("RGB", (2100, 2100)), "WEBP", lossless=True, method=0)
    yield with_image("bomb-webp-real", huge_webp, {413})
    yield with_image("bomb-bmp-large", bmp(100_000, 100_000), REFUSED)
    yield with_image("bomb-bmp-most-pixels", bmp(2**31 - 1, 2**31 - 1), REFUSED)
    yield with_image("bomb-bmp-upside-down", bmp(2**31 - 1, -(2**31)), REFUSED)
    yield with_image("bomb-bmp-offset", bmp(16, 16, offset=2**32 - 1, content=bytes(768)))
    yield with_image("bomb-bmp-run-length", bmp(5000, 5000, 8, compression=1, content=1000 * b"\xff\0"))
    yield with_image(
        "bomb-bmp-palette",
        b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 9, 9, 1, 8, 0, 0, 0, 0, 2**32 - 1, 0),
    )
    jpeg = bytearray(encoded(picture(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    yield with_image("bomb-jpeg-large", bytes(jpeg), {413})
    progressive = encoded(picture(size=(64, 64)), "JPEG", progressive=True)
    scan = progressive[progressive.index(b"\xff\xda") : progressive.rindex(b"\xff\xda")]
    yield with_image("bomb-jpeg-many-scans", progressive[: progressive.rindex(b"\xff\xda")] + 300 * scan + progressive[-400:])
    comments = b"".join(b"\xff\xfe\xff\xff" + bytes(65_533) for _ in range(10))
    yield with_image("bomb-jpeg-comments", progressive[:2] + comments + progressive[2:])


def strangers() -> Iterator[Hostile]:
    contents = {
        "nothing": b"",
        "one-byte": b"\x89",
        "space": b" ",
        "nul": bytes(1000),
        "text": b"this is not a photo",
        "html": b"<!doctype html><script>alert(1)</script>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "svg-bomb": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
        "xml-external": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "pdf": b"%PDF-1.7\n1 0 obj<</OpenAction 2 0 R>>endobj\n%%EOF",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n(%pipe%id) (w) file\n",
        "gif": encoded(picture(), "GIF"),
        "ico": encoded(picture(), "ICO"),
        "ppm": encoded(picture(), "PPM"),
        "tga": encoded(picture(), "TGA"),
        "jpeg-2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(80),
        "psd": b"8BPS\0\1" + bytes(80),
        "avif": b"\0\0\0\x1cftypavif" + bytes(80),
        "video": b"\0\0\0\x1cftypisom" + bytes(80),
        "zip": b"PK\x03\x04" + bytes(80),
        "gzip": b"\x1f\x8b\x08" + bytes(80),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(80),
        "exe": b"MZ" + bytes(80),
        "pickle": b"cos\nsystem\n(S'id'\ntR.",
        "numpy": b"\x93NUMPY\x01\x00" + bytes(80),
        "big-tiff": b"II+\0\x08\0\0\0" + bytes(80),
        "riff-wave": b"RIFF\x24\0\0\0WAVEfmt " + bytes(80),
        "byte-order-mark": b"\xef\xbb\xbf<svg/>",
        "utf-16": "<svg/>".encode("utf-16"),
        "noise": np.random.default_rng(1).bytes(5000),
    }
    for name, content in contents.items():
        yield with_image(f"stranger-{name}", content, REFUSED)
    for kind, magic in {
        "png": b"\x89PNG\r\n\x1a\n",
        "jpeg": b"\xff\xd8\xff",
        "webp": b"RIFF\0\0\0\0WEBP",
        "bmp": b"BM",
        "tiff": b"II*\0",
        "mtiff": b"MM\0*",
    }.items():
        yield with_image(f"magic-only-{kind}", magic, REFUSED)
        yield with_image(f"magic-then-nul-{kind}", magic + bytes(500), REFUSED)
        yield with_image(f"magic-then-ones-{kind}", magic + b"\xff" * 500, REFUSED)


def polyglots() -> Iterator[Hostile]:
    whole = {kind: encoded(picture(), kind) for kind in FORMATS}
    tails = {
        "zip": b"PK\x03\x04" + bytes(30) + b"PK\x05\x06" + bytes(18),
        "html": b"<script>alert(1)</script>",
        "png": whole["PNG"],
    }
    for kind, (tail, content) in itertools.product(FORMATS, tails.items()):
        yield with_image(f"polyglot-{kind}-then-{tail}", whole[kind] + content)
    comment = b"\xff\xfe\x00\x23<script>alert('jpeg')</script>---"
    yield with_image("polyglot-jpeg-html-comment", whole["JPEG"][:2] + comment + whole["JPEG"][2:])
    yield with_image("polyglot-gif-then-jar", encoded(picture(), "GIF") + b"PK\x03\x04" + bytes(30), REFUSED)
    yield with_image("polyglot-pdf-then-jpeg", b"%PDF-1.7\n" + whole["JPEG"], REFUSED)
    yield with_image("polyglot-png-two-headers", whole["PNG"][:33] + whole["PNG"][8:])
    yield with_image("polyglot-png-data-after-end", whole["PNG"] + chunk(b"IDAT", b"x"))
    yield with_image("polyglot-png-end-first", whole["PNG"][:33] + chunk(b"IEND", b"") + whole["PNG"][33:])
    yield with_image("polyglot-png-palette-too-long", png(16, 16, bytes(272), 8, 3, before=chunk(b"PLTE", bytes(3 * 300))))
    yield with_image("polyglot-png-no-palette", png(16, 16, bytes(272), 8, 3))


def exif_block(
    *entries: tuple[int, int, int, int],
    inner: tuple[tuple[int, int, int, int], ...] = (),
    tail: bytes = b"",
    next_directory: int = 0,
) -> bytes:
    """`Exif` in TIFF: the first directory, that of the camera behind it, then `tail`."""
    at_inner = 8 + 2 + 12 * (len(entries) + 1) + 4
    directory = struct.pack("<H", len(entries) + 1) + b"".join(
        struct.pack("<HHII", *entry) for entry in (*entries, (0x8769, 4, 1, at_inner))
    )
    camera = struct.pack("<H", len(inner)) + b"".join(struct.pack("<HHII", *entry) for entry in inner) + struct.pack("<I", 0)
    return b"II*\0\x08\0\0\0" + directory + struct.pack("<I", next_directory) + camera + tail


def exif() -> Iterator[Hostile]:
    focal_length, film = 0x920A, 0xA405
    at_tail = 8 + 2 + 12 + 4 + 2 + 12 + 4
    rational = struct.Struct("<II")
    blocks = {
        **{f"orientation-{n}": exif_block((0x0112, 3, 1, n)) for n in (0, 9, 255, 65_535)},
        "orientation-negative": exif_block((0x0112, 9, 1, 2**32 - 1)),
        "orientation-text": exif_block((0x0112, 2, 4, 0x41414141)),
        "orientation-many": exif_block((0x0112, 3, 2**32 - 1, 8)),
        "orientation-twice": exif_block((0x0112, 3, 1, 6), (0x0112, 3, 1, 3)),
        **{f"film-{n}": exif_block(inner=((film, 3, 1, n),)) for n in (0, 1, 65_535)},
        "film-negative": exif_block(inner=((film, 9, 1, 2**32 - 5),)),
        "film-text": exif_block(inner=((film, 2, 4, 0x6E616E),)),
        "film-infinite": exif_block(inner=((film, 5, 1, at_tail),), tail=rational.pack(1, 0)),
        "film-nan": exif_block(inner=((film, 5, 1, at_tail),), tail=rational.pack(0, 0)),
        "film-float-nan": exif_block(inner=((film, 11, 1, 0x7FC00000),)),
        "film-float-infinite": exif_block(inner=((film, 11, 1, 0x7F800000),)),
        "film-float-negative": exif_block(inner=((film, 11, 1, 0xC2480000),)),
        "film-float-tiny": exif_block(inner=((film, 11, 1, 1),)),
        **{
            f"film-double-{n:g}": exif_block(inner=((film, 12, 1, at_tail),), tail=struct.pack("<d", n))
            for n in (1e12, 1e40, 1e308)
        },
        "film-outside": exif_block(inner=((film, 5, 1, 2**32 - 1),)),
        "film-many": exif_block(inner=((film, 3, 2**31, 8),)),
        "focal-length-zero": exif_block(inner=((focal_length, 5, 1, at_tail),), tail=rational.pack(0, 1)),
        "focal-length-infinite": exif_block(inner=((focal_length, 5, 1, at_tail),), tail=rational.pack(2**32 - 1, 0)),
        "unknown-type": exif_block((0x0112, 99, 1, 6)),
        "loop-next": exif_block((0x0112, 3, 1, 6), next_directory=8),
        "loop-inner": b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8),
        "offset-outside": b"II*\0\xff\xff\xff\x7f" + bytes(20),
        "count-65535": b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
        "no-tiff": b"rubbish, no directory here at all",
        "empty": b"",
        "big-endian-cut": b"MM\0*\0\0\0\x08\0\x05\x01",
        "maker-note": exif_block(inner=((0x927C, 7, 40_000, at_tail),), tail=np.random.default_rng(2).bytes(40_000)),
    }
    jpeg, plain = encoded(picture(), "JPEG"), encoded(picture(), "PNG")
    for name, block in blocks.items():
        segment = b"Exif\0\0" + block
        yield with_image(f"exif-jpeg-{name}", jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:])
        yield with_image(f"exif-png-{name}", plain[:33] + chunk(b"eXIf", block) + plain[33:])
    for name in ("orientation-0", "loop-next", "film-nan"):
        yield with_image(f"exif-webp-{name}", encoded(picture(), "WEBP", exif=b"Exif\0\0" + blocks[name]))


def odd_modes() -> Iterator[Hostile]:
    yield with_image("mode-jpeg-cmyk", encoded(picture("CMYK"), "JPEG"))
    ycck = bytearray(encoded(picture("CMYK"), "JPEG"))
    adobe = ycck.find(b"Adobe")
    ycck[adobe + 11] = 2
    yield with_image("mode-jpeg-ycck", bytes(ycck))
    yield with_image("mode-jpeg-grey", encoded(picture("L"), "JPEG"))
    yield with_image("mode-jpeg-one-pixel", encoded(Image.new("RGB", (1, 1)), "JPEG"), {200, 422})
    grey = np.asarray(picture("L"))
    yield with_image("mode-png-16", encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"))
    for value in ("nan", "inf", "-inf", "1e38", "-5"):
        numbers = np.full((16, 16), float(value), np.float32)
        numbers[4:12, 4:12] = 0.5
        yield with_image(f"mode-tiff-float-{value}", encoded(Image.fromarray(numbers), "TIFF"))
        numbers[:] = float(value)
        yield with_image(f"mode-tiff-all-{value}", encoded(Image.fromarray(numbers), "TIFF"))
    for value in (-(2**31), 2**31 - 1, 0):
        yield with_image(f"mode-tiff-int-{value}", encoded(Image.fromarray(np.full((16, 16), value, np.int32)), "TIFF"))
    yield with_image("mode-tiff-16-signed", grey_tiff(16, 16, bytes(range(256)) * 2, bits=16, sample_format=2))
    yield with_image("mode-tiff-cmyk", encoded(picture("CMYK"), "TIFF"))
    yield with_image("mode-tiff-lab", encoded(Image.new("LAB", (16, 16)), "TIFF"))
    yield with_image("mode-tiff-bits", encoded(picture("1"), "TIFF", compression="group4"))
    yield with_image("mode-tiff-pages", encoded(picture(), "TIFF", save_all=True, append_images=[picture(size=(9, 9))]))
    for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        yield with_image(f"mode-{compression}", encoded(picture(), "TIFF", compression=compression))
    frames = {"save_all": True, "append_images": [picture("RGBA", (48, 40)).rotate(90)], "duration": 10}
    yield with_image("mode-apng", encoded(picture("RGBA"), "PNG", **frames))
    yield with_image("mode-webp-animated", encoded(picture("RGBA"), "WEBP", **frames))
    palette = picture().quantize(16)
    yield with_image("mode-palette", encoded(palette, "PNG"))
    yield with_image("mode-palette-transparent", encoded(palette, "PNG", transparency=0))
    yield with_image("mode-palette-alpha", encoded(palette, "PNG", transparency=bytes(range(0, 256, 16))))
    yield with_image("mode-rgb-transparent", encoded(picture(), "PNG", transparency=(255, 255, 255)))
    yield with_image("mode-la", encoded(picture("LA"), "PNG"))
    yield with_image("mode-interlaced", png(16, 16, bytes(16 * 17 + 30), interlace=1))
    for kind, (width, height) in itertools.product(FORMATS, ((1, 1), (1, 2), (3, 1))):
        yield with_image(f"size-{kind}-{width}x{height}", encoded(Image.new("RGB", (width, height), "navy"), kind), {200, 422})
    for kind, (width, height) in itertools.product(("PNG", "BMP", "TIFF"), ((1, 65_535), (65_535, 1))):
        yield with_image(f"size-{kind}-{width}x{height}", encoded(Image.new("RGB", (width, height), "navy"), kind), {200, 422})
    yield with_image("size-png-0x9", png(0, 9, b""), REFUSED)
    yield with_image("size-png-9x0", png(9, 0, b""), REFUSED)
    yield with_image("size-tiff-0x0", grey_tiff(0, 0, b""), REFUSED)
    yield with_image("size-bmp-0x0", bmp(0, 0), REFUSED)
    yield with_image("size-bmp-9x0", bmp(9, 0, content=bytes(9)), REFUSED)
    yield with_image("size-bmp-negative", bmp(-9, 9, content=bytes(300)), REFUSED)
    yield with_image("all-transparent", encoded(Image.new("RGBA", (30, 30)), "PNG"), {422})
    for colour in ("white", "black"):
        yield with_image(f"all-{colour}", encoded(Image.new("RGB", (30, 30), colour), "PNG"))


def masks() -> Iterator[Hostile]:
    photo = encoded(picture(), "PNG")
    size = (48, 40)
    contents = {
        "empty": b"",
        "text": b"mask",
        "cut": encoded(Image.new("L", size, 255), "PNG")[:40],
        "bomb": png(2**31 - 1, 2**31 - 1, b""),
        "one-pixel": encoded(Image.new("L", (1, 1), 255), "PNG"),
        "turned": encoded(Image.new("L", (40, 48), 255), "PNG"),
        "one-row-more": encoded(Image.new("L", (48, 41), 255), "PNG"),
        "black": encoded(Image.new("L", size), "PNG"),
        "gif": encoded(Image.new("L", size, 255), "GIF"),
    }
    for name, content in contents.items():
        yield Hostile(f"mask-{name}", post(file(photo) + file(content, b"mask") + SMALL + END), REFUSED)
    good = {
        "white": encoded(Image.new("L", size, 255), "PNG"),
        "bits": encoded(Image.new("1", size, 1), "TIFF"),
        "float-nan": encoded(Image.fromarray(np.full((40, 48), np.nan, np.float32)), "TIFF"),
        "transparent": encoded(Image.new("RGBA", size), "PNG"),
    }
    for name, content in good.items():
        yield Hostile(f"mask-{name}", post(file(photo) + file(content, b"mask") + SMALL + END), EITHER)
    yield Hostile("mask-without-image", post(file(good["white"], b"mask") + END), REFUSED)
    yield Hostile("mask-twice", post(file(photo) + 2 * file(good["white"], b"mask") + END), REFUSED)
    yield Hostile("mask-as-text", post(file(photo) + text("mask", b"white") + END), REFUSED)


def multipart() -> Iterator[Hostile]:
    photo = encoded(picture(), "PNG")
    image, kind = file(photo), b"multipart/form-data; boundary="
    refused = {
        "no-end": image,
        "no-final-dashes": image + b"--" + BOUNDARY + b"\r\n",
        "one-final-dash": image + b"--" + BOUNDARY + b"-\r\n",
        "end-only": END,
        "nothing": b"",
        "crlf-only": b"\r\n\r\n",
        "no-boundary-in-body": photo,
        "line-feeds-only": (image + END).replace(b"\r\n", b"\n"),
        "other-boundary": (image + END).replace(BOUNDARY, b"another"),
        "boundary-longer": (image + END).replace(BOUNDARY, BOUNDARY + b"x"),
        "boundary-shorter": (image + END).replace(BOUNDARY, BOUNDARY[:-1]),
        "no-blank-line": b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n' + END,
        "no-disposition": b"--" + BOUNDARY + b"\r\nContent-Type: image/png\r\n\r\n" + photo + b"\r\n" + END,
        "no-name": part(b'filename="a.png"', photo) + END,
        "empty-name": part(b'name=""; filename="a.png"', photo) + END,
        "no-filename": part(b'name="image"', b"photo") + END,
        "no-filename-binary": part(b'name="image"', photo) + END,
        "zero-size-image": file(b"") + END,
        "zero-size-without-name": file(b"", filename=b"") + END,
        "image-twice": 2 * image + END,
        "text-then-image-of-one-name": text("image", b"x") + image + END,
        "field-as-file": image + file(b"32", b"resolution") + END,
        "field-twice": image + 2 * SMALL + END,
        "field-unknown": image + text("resolutions", b"32") + END,
        "name-huge": part(b'name="' + 3000 * b"n" + b'"', b"x") + END,
        "name-beyond": part(b'name="' + 10_000 * b"n" + b'"', b"x") + END,
        "header-huge": part(b'name="image"; filename="a"', photo, b"X: " + 100_000 * b"y" + b"\r\n") + END,
        "headers-many": part(b'name="image"; filename="a"', photo, 1000 * b"X: y\r\n") + END,
        "header-without-colon": part(b'name="image"; filename="a"', photo, b"nonsense\r\n") + END,
        "header-nul": part(b'name="image"; filename="a"', photo, b"X\0: y\r\n") + END,
        "parts-65-texts": 65 * text("level", b"0.5") + END,
        "parts-5000": 5000 * text("a", b"") + END,
        "parts-100-files": 100 * file(b"x", b"f") + END,
        "text-huge": image + text("format", 100_000 * b"x") + END,
        "name-nul": image + part(b'name="resolution\0"', b"32") + END,
        "name-path": image + part(b'name="../../etc/passwd"', b"32") + END,
        "name-no-utf8": image + part(b'name="\xff\xfe\xed\xa0\x80"', b"32") + END,
        "name-crlf-escaped": image + part(b'name="a%0d%0aSet-Cookie: x"', b"32") + END,
        "name-bidi": image + part('name="\u202eegami"'.encode(), b"32") + END,
        "name-html": image + part(b'name="<script>alert(1)</script>"', b"32") + END,
        "nested": file(b"--inner\r\nContent-Disposition: attachment\r\n\r\n" + photo + b"\r\n--inner--\r\n") + END,
        "encoded-base64": part(b'name="image"; filename="a"', b"iVBORw0KGgo=", b"Content-Transfer-Encoding: base64\r\n") + END,
    }
    for name, body in refused.items():
        yield Hostile(f"multipart-{name}", post(body), REFUSED)
    accepted = {
        "image-no-part-type": image,
        "type-lie": part(b'name="image"; filename="a"', photo, b"Content-Type: text/html\r\n"),
        "type-charset": part(b'name="image"; filename="a"', photo, b"Content-Type: image/png; charset=utf-16\r\n"),
        "encoding-lie": part(b'name="image"; filename="a"', photo, b"Content-Transfer-Encoding: base64\r\n"),
        "filename-path": file(photo, filename=b"../../../../etc/passwd"),
        "filename-windows": file(photo, filename=b"C:\\\\CON\\\\aux.png"),
        "filename-nul": file(photo, filename=b"a.png\0.exe"),
        "filename-no-utf8": file(photo, filename=b"\xff\xfe\xed\xa0\x80"),
        "filename-huge": file(photo, filename=3000 * b"f"),
        "filename-star": part(b'name="image"; filename*=utf-8\'\'%e2%82%ac%00.png; filename="a"', photo),
        "filename-header": file(photo, filename=b"a%0d%0aSet-Cookie: x=1"),
        "name-twice": part(b'name="mask"; name="image"; filename="a"', photo),
        "name-unquoted": part(b"name=image; filename=a", photo),
        "disposition-upper": part(b'NAME="image"; FILENAME="a"', photo),
    }
    for name, body in accepted.items():
        yield Hostile(f"multipart-{name}", post(body + SMALL + END), EITHER)
    yield Hostile("multipart-preamble", post(b"preamble\r\n" + image + SMALL + END), EITHER)
    yield Hostile("multipart-epilogue", post(image + SMALL + END + b"epilogue" + image), EITHER)
    yield Hostile("multipart-boundaries-inside", post(file(photo + b"\r\n--hostil\r\n--hostilE--") + SMALL + END), EITHER)
    types = {
        "none": b"",
        "boundary-missing": b"multipart/form-data",
        "boundary-empty": kind,
        "boundary-huge": kind + 5000 * b"b",
        "boundary-spaces": kind + b'"   "',
        "boundary-binary": kind + b"\xff\x80",
        "mixed": b"multipart/mixed; boundary=" + BOUNDARY,
        "urlencoded": b"application/x-www-form-urlencoded",
        "json": b"application/json",
        "png": b"image/png",
        "comma": b"multipart/form-data, text/plain; boundary=" + BOUNDARY,
        "semicolons": b"multipart/form-data" + 5000 * b";",
        **{
            f"charset-{c.decode()}": kind + BOUNDARY + b"; charset=" + c
            for c in (b"utf-7", b"punycode", b"idna", b"undefined", b"utf-16")
        },
    }
    for name, content_type in types.items():
        yield Hostile(f"type-{name}", post(image + SMALL + END, content_type), REFUSED)
    for name, content_type in {
        "upper": b"MULTIPART/FORM-DATA; BOUNDARY=" + BOUNDARY,
        "boundary-twice": kind + b"other; boundary=" + BOUNDARY,
        "boundary-quoted": kind + b'"' + BOUNDARY + b'"',
    }.items():
        yield Hostile(f"type-{name}", post(image + SMALL + END, content_type), EITHER)


def fields() -> Iterator[Hostile]:
    image = file(encoded(picture(), "PNG"))
    bad: dict[str, tuple[bytes, ...]] = {
        "resolution": (
            b"",
            b"0",
            b"-0",
            b"-32",
            b"33",
            b"520",
            b"1e2",
            b"32.5",
            b"0x20",
            b"NaN",
            b"inf",
            b"1e308",
            b"32\0",
            b"9" * 4000,
            b"32;32",
        ),
        "level": (b"nan", b"inf", b"-inf", b"1e308", b"1e-400", b"-0", b"0", b"1", b"0,5", b"\xff", "½".encode()),
        "size": (b"0", b"-0", b"-1", b"1e308", b"nan", b"5e-324", b"1e999"),
        "target_faces": (b"0", b"-1", b"99", b"1e3", b"1" + b"0" * 400 + b".5"),
        "keep": (b"", b"LARGEST", b"largest\n", b"largest' OR 1=1"),
        "size_axis": (b"w", b"__class__"),
        "background": (b"mask", b"alpha", b"../auto"),
        "format": (b"exe", b"glb\0", b"GLB", b"../../x.glb", 4096 * b"x"),
    }
    for name, values in bad.items():
        for number, value in enumerate(values):
            other = b"" if name == "resolution" else SMALL
            yield Hostile(f"field-{name}-{number}", post(image + other + text(name, value) + END), REFUSED)
    odd: dict[str, tuple[bytes, ...]] = {
        "resolution": (b" 32 ", b"+32", b"032", b"32.0", b"3_2", "\uff13\uff12".encode(), "٣٢".encode()),
        "level": (b"5e-1", b".5", " 0.5\u2003".encode(), "０．５".encode()),
        "target_faces": (b"1" + b"0" * 300,),
        "size": (b"1e-3", b"1000"),
    }
    for name, values in odd.items():
        for number, value in enumerate(values):
            other = b"" if name == "resolution" else SMALL
            yield Hostile(f"field-odd-{name}-{number}", post(image + other + text(name, value) + END), EITHER)


def http() -> Iterator[Hostile]:
    body = file(encoded(picture(), "PNG")) + SMALL + END
    kind = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY + b"\r\n"
    start = b"POST /reconstruct HTTP/1.1\r\nHost: t\r\n"

    def chunked(*chunks: bytes) -> bytes:
        return start + kind + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)

    whole = b"%x\r\n%s\r\n" % (len(body), body)
    small = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    yield Hostile("http-chunked", chunked(whole, b"0\r\n\r\n"), EITHER)
    yield Hostile("http-chunked-single-bytes", chunked(small, b"0\r\n\r\n"), EITHER)
    yield Hostile("http-chunked-extensions", chunked(whole.replace(b"\r\n", b';a="b"\r\n', 1), b"0\r\n\r\n"), EITHER)
    yield Hostile("http-chunked-trailers", chunked(whole, b"0\r\nContent-Length: 9\r\n\r\n"), EITHER)
    yield Hostile("http-chunked-ends-early", chunked(b"%x\r\n%s\r\n" % (50, body[:50]), b"0\r\n\r\n"), REFUSED)
    yield Hostile("http-chunked-too-much", chunked(*(20 * [b"%x\r\n%s\r\n" % (100_000, bytes(100_000))]), b"0\r\n\r\n"), REFUSED)
    yield Hostile("http-declared-too-much", start + kind + b"Content-Length: 99999999999\r\n\r\n", frozenset({413}))
    yield Hostile("http-sent-too-much", post(file(bytes(LIMIT + 1)) + END), frozenset({413}))
    yield Hostile("http-expect", post(body, more=b"Expect: 100-continue\r\n"), EITHER)
    yield Hostile("http-expect-nonsense", post(body, more=b"Expect: miracles\r\n"), EITHER)
    yield Hostile("http-encoding-gzip", post(zlib.compress(body), more=b"Content-Encoding: gzip\r\n"), REFUSED)
    yield Hostile("http-request-id-header", post(body, more=b"X-Request-ID: a b<script>\r\n"), EITHER)
    yield Hostile("http-accept-nonsense", post(body, more=b"Accept: ;q=, /;;,\r\n"), frozenset({406}))
    yield Hostile("http-accept-many", post(body, more=b"Accept: " + b",".join(3000 * [b"*/*;q=0.1"]) + b"\r\n"), EITHER)
    yield Hostile("http-accept-q", post(body, more=b"Accept: */*;q=nan, model/stl;q=1e999\r\n"), EITHER | {406})
    yield Hostile("http-many-headers", post(body, more=b"".join(b"X-%d: y\r\n" % n for n in range(1000))), EITHER)
    yield Hostile("http-query", post(body).replace(b"/reconstruct", b"/reconstruct?resolution=9&" + 1000 * b"a=b&", 1), EITHER)
    for name, target in {
        "path-nowhere": b"/nowhere",
        "path-dots": b"/../../etc/passwd",
        "path-dots-encoded": b"/%2e%2e/%2e%2e/etc/passwd",
        "path-slash": b"/reconstruct/",
        "path-slashes": b"//reconstruct",
        "path-nul": b"/reconstruct%00",
        "path-no-utf8": b"/%ff%fe",
        "path-crlf": b"/%0d%0aSet-Cookie:%20x",
        "path-huge": b"/" + 30_000 * b"a",
    }.items():
        yield Hostile(f"http-{name}", post(body).replace(b"/reconstruct", target, 1), frozenset({404}))
    for method in (b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"BREW"):
        yield Hostile(f"http-method-{method.decode()}", post(body).replace(b"POST", method, 1), frozenset({405}))
    no_http = {
        "header-gigantic": post(body, more=b"X: " + 200_000 * b"y" + b"\r\n"),
        "headers-gigantic": post(body, more=20_000 * b"X: yyyyy\r\n"),
        "header-nul": post(body, more=b"X: a\0b\r\n"),
        "header-without-colon": post(body, more=b"nonsense\r\n"),
        "header-space-before-colon": post(body, more=b"X : y\r\n"),
        "two-lengths": post(body, more=b"Content-Length: 3\r\n"),
        "length-negative": start + kind + b"Content-Length: -1\r\n\r\n",
        "length-words": start + kind + b"Content-Length: many\r\n\r\n",
        "length-plus": start + kind + b"Content-Length: +5\r\n\r\n",
        "length-endless": start + kind + b"Content-Length: " + 400 * b"9" + b"\r\n\r\n",
        "transfer-unknown": start + kind + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + whole,
        "transfer-twice": start + kind + 2 * b"Transfer-Encoding: chunked\r\n" + b"\r\n" + whole,
        "version-9": post(body).replace(b"HTTP/1.1", b"HTTP/9.9", 1),
        "no-version": b"POST /reconstruct\r\n\r\n",
        "no-host": post(body).replace(b"Host: t\r\n", b"", 1),
        "target-space": post(body).replace(b"/reconstruct", b"/recon struct", 1),
        "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "noise": np.random.default_rng(3).bytes(3000) + b"\r\n\r\n",
    }
    tolerated = {"version-9": 200, "http-2": 404}  # h11 takes any digits for a version it speaks
    for name, request in no_http.items():
        yield Hostile(f"no-http-{name}", request, frozenset({400, tolerated.get(name, 400)}), is_http=False)
    for name, chunks in {
        "chunk-negative": b"-5\r\nhello\r\n0\r\n\r\n",
        "chunk-words": b"many\r\nhello\r\n0\r\n\r\n",
        "chunk-size-lie": b"3\r\nhello\r\n0\r\n\r\n",
        "chunk-size-endless": 100 * b"f" + b"\r\n",
        "chunk-header-endless": b"5;" + 100_000 * b"x",
    }.items():
        yield Hostile(f"no-http-{name}", chunked(chunks), REFUSED, is_http=False)

"""What schemathesis must know of the service beyond its description: how photos look, and how large the tests may ask for.

Loaded by schemathesis itself (SCHEMATHESIS_HOOKS), see test_fuzz.py.
"""

import io

import numpy as np
import schemathesis
from hypothesis import strategies as st
from PIL import Image

LARGEST = 64  # cells along the side
KINDS = [
    *((mode, "PNG") for mode in ("RGBA", "RGB", "LA", "L", "P", "1", "I;16")),
    *((mode, "JPEG") for mode in ("RGB", "L", "CMYK")),
    *(("RGBA", "WEBP"), ("RGB", "BMP"), ("L", "TIFF")),
]


@st.composite
def photos(draw):
    """An image file with a disc in it, of any mode and format that is read, or a few bytes that are none."""
    side, radius = draw(st.integers(16, 96)), draw(st.floats(0.1, 0.5))
    mode, kind = draw(st.sampled_from(KINDS))
    y, x = np.mgrid[:side, :side] + 0.5
    pixels = np.random.default_rng(draw(st.integers(0, 2**16))).integers(0, 255, (side, side, 4), np.uint8)
    pixels[..., 3] = 255 * ((x - side / 2) ** 2 + (y - side / 2) ** 2 < (side * radius) ** 2)
    image = Image.fromarray(pixels, "RGBA").convert("I" if mode == "I;16" else mode)
    buffer = io.BytesIO()
    (image.convert(mode) if mode == "I;16" else image).save(buffer, kind)
    return buffer.getvalue()


schemathesis.openapi.format("binary", photos() | st.binary(max_size=200))


@schemathesis.hook
def map_case(context, case):
    """A resolution that is a number stays small; every other valid body is freed of what hardly fits, to make a mesh."""
    body = case.body
    if isinstance(body, dict):
        if isinstance(body.get("resolution"), int) and body["resolution"] > 0:
            body["resolution"] = min(body["resolution"], LARGEST)
        if case.meta.generation.mode.is_positive and len(str(body.get("image"))) % 2:
            for name in ("bundle", "distance", "focal_length_px", "background", "mask", "confidence"):
                body.pop(name, None)
    return case

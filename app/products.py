"""What a client orders and what it gets: photo in, files out. The same for an answer at once and for a job."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.errors import NotAcceptable
from app.schemas import ReconstructionForm
from app.telemetry import StageSeconds
from model.errors import InvalidOption
from model.formats import FORMATS, Format
from model.image import PreparedImage, read_mask, read_photo
from model.preview import render_preview
from model.reconstructor import Options, Reconstructor
from model.runtime.turns import Turns

DEFAULT_FORMAT = "glb"
ANYTHING_ELSE = ", */*;q=0.001"  # behind an Accept header that need name no mesh: the answer is a job, or a mesh among others
LARGE = 256  # cells along the side above which a reconstruction's memory is counted in gigabytes
PREVIEW_AZIMUTH, PREVIEW_ELEVATION = 30.0, 20.0  # degrees


@dataclass(frozen=True)
class Order:
    """What a client wants made of each photo; as JSON it survives a restart. `of` checks that its parts fit together."""

    form: ReconstructionForm
    format: Format

    @classmethod
    def of(cls, form: ReconstructionForm, accept: str = "*/*") -> Self:
        """The order of a form, whose format goes before the Accept header. Raises NotAcceptable or InvalidOption."""
        chosen = FORMATS[form.format] if form.format else acceptable_format(accept)
        form.options()
        if form.confidence and not chosen.holds_vertex_attributes:
            able = ", ".join(name for name, entry in FORMATS.items() if entry.holds_vertex_attributes)
            raise InvalidOption(f"confidence: expected a format that holds vertex attributes ({able}), got {chosen.name}")
        return cls(form, chosen)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(ReconstructionForm.model_validate(stored["fields"]), FORMATS[stored["format"]])

    def to_json(self) -> dict[str, Any]:
        """JSON values; equal orders give equal ones."""
        return {"fields": self.form.model_dump(mode="json", exclude_defaults=True), "format": self.format.name}

    @property
    def is_large(self) -> bool:
        """Whether it takes so much memory that few may be in hand at once."""
        return self.form.resolution > LARGE


@dataclass(frozen=True)
class Product:
    """A written mesh, what is known of it, and the pictures that were ordered with it (PNG files)."""

    mesh: bytes
    format: Format
    facts: dict[str, Any]
    mask: bytes | None = None
    preview: bytes | None = None

    @property
    def sha256(self) -> str:
        """Of the mesh file, in hexadecimal."""
        return hashlib.sha256(self.mesh).hexdigest()


def make(
    reconstructor: Reconstructor,
    image: bytes,
    mask: bytes | None,
    order: Order,
    max_pixels: int,
    *,
    stages: StageSeconds,
    turns: Turns,
    progress: Callable[[float], None] = lambda share: None,
) -> Product:
    """Decode, reconstruct and write; blocks, computes, raises MonotwinError."""
    options = order.form.options()
    with stages("prepare"):
        prepared = _prepare(reconstructor, image, mask, options, max_pixels)
    mesh = reconstructor.reconstruct_prepared(prepared, options, stage=stages, turns=turns, progress=progress)
    with stages("write"):
        include = order.form.include
        return Product(
            order.format.write(mesh),
            order.format,
            {**mesh.metadata, "faces": len(mesh.faces), "vertices": len(mesh.vertices)},
            mask=_png(prepared.foreground) if "mask" in include else None,
            preview=_png(render_preview(mesh, PREVIEW_AZIMUTH, PREVIEW_ELEVATION)) if "preview" in include else None,
        )


def _prepare(reconstructor: Reconstructor, image: bytes, mask: bytes | None, options: Options, max_pixels: int) -> PreparedImage:
    """A function of its own, so that the decoded photo is gone when the query begins."""
    photo = read_photo(image, max_pixels)
    return reconstructor.prepare(photo, options, None if mask is None else read_mask(mask, photo, max_pixels))


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


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

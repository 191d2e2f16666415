"""A bundle: the folder that training exports and serving loads.

encoder.onnx         (image, lateral) -> feature plane
decoder.onnx         (plane, columns, depths) -> occupancy
decoder_half.onnx    the same in half precision, for GPUs; may be absent
weights.safetensors  the unfolded network, fp16, to go on training from; serving does not read it
manifest.json        what all of it is, with the sha256 of each file
README.md            the model card
samples.webp         what it makes of some test pictures, once it was evaluated
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.camera import FILL, HALF_DEPTH
from model.culling import UNCALIBRATED_SLOPES
from model.errors import BundleError
from model.soft_label import SoftLabel

FORMAT: Literal[1] = 1
MANIFEST = "manifest.json"
ENCODER, DECODER, WEIGHTS = "encoder.onnx", "decoder.onnx", "weights.safetensors"
DECODER_HALF = "decoder_half.onnx"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Frame(_Strict):
    """The frame the network was trained in; it must be this version's."""

    fill: float = FILL
    half_depth: float = HALF_DEPTH


class Labels(_Strict):
    """How occupancy falls off outside the solid: v(d, s) with the last s of training; None for binary labels."""

    final_s: float | None
    d_star_voxels: float
    voxels_per_side: int
    logit_shift: float = 0.0
    """What export took off the logits to make 0.5 the best level; v(d, s) describes the field before that."""

    @property
    def soft_label(self) -> SoftLabel | None:
        """v(d, s) as the field should show it; None for binary labels. `logit_shift` is not taken back: calibration makes up
        for it."""
        return None if self.final_s is None else SoftLabel(self.final_s, self.d_star_voxels, self.voxels_per_side)


class CullingStrengths(_Strict):
    """What `model.culling.Culling` needs beside the label: cells along the image's side -> number. Calibrated at export."""

    factors: dict[int, Annotated[float, Field(ge=0, le=1)]] = {}
    slopes: dict[int, Annotated[float, Field(ge=0)]] = {}

    @property
    def sizes(self) -> set[int]:
        """The sizes of cells that there is a number for."""
        return {*self.factors, *self.slopes}


class Split(_Strict):
    """How much of a set lies in one split."""

    shapes: int
    families: int


class DataSet(_Strict):
    """A prepared set that the weights were trained on; little beside its digest is known where export did not see it."""

    name: str
    digest: str
    source: str | None = None
    """What it was prepared from: the name of a class of `training.data`."""
    arguments: dict[str, Any] = {}
    splits: dict[str, Split] = {}
    licences: dict[str, int] = {}
    """Licence -> training shapes under it; "" for those that state none."""


class Origin(_Strict):
    """What the bundle was made from. None, or nothing, where it is not known."""

    run: dict[str, Any]
    data_digest: str
    commit: str
    steps: int
    minutes: float
    uncommitted_changes: bool | None = None
    hardware: str | None = None
    processes: int | None = None
    torch: str | None = None
    data: tuple[DataSet, ...] = ()
    commands: tuple[str, ...] = ()
    """What makes the bundle again, in order; words in capitals stand for what nothing recorded."""


class Manifest(_Strict):
    """manifest.json."""

    format: Literal[1] = FORMAT
    name: str
    version: str
    opset: int
    image_size: int = Field(ge=32)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    camera: Literal["pinhole", "orthographic"]
    default_distance: float
    """The pinhole's distance in crop sides where a picture does not tell its focal length."""
    level: float = 0.5
    frame: Frame = Frame()
    labels: Labels
    culling: CullingStrengths = CullingStrengths(slopes=dict(UNCALIBRATED_SLOPES))
    network: dict[str, Any]
    parameters: int
    origin: Origin
    metrics: dict[str, Any] = {}
    licence: str
    attribution: tuple[str, ...] = ()
    files: dict[str, str]
    """File name -> sha256."""


@dataclass(frozen=True)
class ModelBundle:
    """A verified bundle on disk."""

    directory: Path
    manifest: Manifest
    sha256: str
    """Of manifest.json, which holds the other files' hashes: the bundle's identity."""

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    def path(self, file: str) -> Path:
        """The path of one of the bundle's files."""
        return self.directory / file


def read_bundle(directory: Path) -> ModelBundle:
    """Reads the manifest and verifies the graphs; BundleError says what was expected and what was found."""
    manifest_file = directory / MANIFEST
    try:
        text = manifest_file.read_bytes()
        manifest = Manifest.model_validate_json(text)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{directory}: expected a bundle folder with {MANIFEST}, found none") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise BundleError(f"{manifest_file}: expected a manifest of format {FORMAT}, found {faults}") from None
    if manifest.frame != Frame():
        raise BundleError(f"{manifest_file}: expected the frame {Frame()}, found {manifest.frame}")
    bundle = ModelBundle(directory, manifest, hashlib.sha256(text).hexdigest())
    for file in (ENCODER, DECODER, *({DECODER_HALF} & manifest.files.keys())):
        verify_file(bundle, file)
    return bundle


def verify_file(bundle: ModelBundle, file: str) -> None:
    """Compares a file with the manifest's sha256."""
    expected = bundle.manifest.files.get(file)
    if expected is None:
        raise BundleError(f"{bundle.directory}: expected {file} in the manifest, found {sorted(bundle.manifest.files)}")
    try:
        found = hashlib.sha256(bundle.path(file).read_bytes()).hexdigest()
    except FileNotFoundError:
        raise BundleError(f"{bundle.directory}: expected {file}, found none") from None
    if found != expected:
        raise BundleError(f"{bundle.path(file)}: expected sha256 {expected}, found {found}")


def write_bundle(directory: Path, manifest: Manifest, files: dict[str, bytes]) -> ModelBundle:
    """Writes a bundle as a whole: the old folder stays until the new one is complete beside it. `manifest.files` is filled in."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = manifest.model_copy(update={"files": hashes})
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in files.items():
        (partial / name).write_bytes(content)
    (partial / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")
    if directory.exists():
        retired = directory.with_name(directory.name + ".retired")
        shutil.rmtree(retired, ignore_errors=True)
        directory.replace(retired)
        partial.replace(directory)
        shutil.rmtree(retired)
    else:
        partial.replace(directory)
    return read_bundle(directory)

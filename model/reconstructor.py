"""The main path: photo -> field -> grid -> surface -> mesh."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from model.camera import CameraKind, PinholeCamera, upright
from model.carving import column_coverage
from model.confidence import with_confidence
from model.culling import Culling, stretch_of
from model.errors import InvalidOption
from model.field import Float32, QueryGrid, SampledBox
from model.foreground import Background, find_foreground
from model.hierarchy import Progress, query_hierarchically
from model.image import CameraSource, Photo, PreparedImage, prepare
from model.isosurface import surface_of
from model.mesh import Mesh
from model.preview import silhouette
from model.refine import keep_largest, limit_faces
from model.runtime.bundle import ModelBundle, read_bundle
from model.runtime.onnx_field import OnnxField, OnnxNetwork
from model.runtime.sessions import Device
from model.runtime.turns import AT_ONCE, Turns
from model.smoothing import smoothed

Keep = Literal["largest", "all"]
SizeAxis = Literal["width", "height", "depth"]
CameraChoice = Literal["auto", "orthographic", "pinhole"]
ScaleSource = Literal["declared", "camera", "none"]
Stage = Callable[[str], AbstractContextManager[object]]

MIN_RESOLUTION, MAX_RESOLUTION, RESOLUTION_STEP = 32, 512, 8
MIN_FACES = 100
MIN_LEVEL, MAX_LEVEL = 0.05, 0.95
MIN_SIZE, MAX_SIZE = 1e-4, 1e3  # metres
MIN_DISTANCE, MAX_DISTANCE = 1e-3, 1e4  # metres
MIN_FOCAL_LENGTH, MAX_FOCAL_LENGTH = 1.0, 1e6  # pixels
MAX_SMOOTH = 50
MAX_ELEVATION = 90.0  # degrees
CALLS_A_WORD = 16  # of the decoder, between two words of progress: well below a second on a CPU, and no shorter calls on a GPU
_AXES: dict[SizeAxis, int] = {"width": 0, "height": 1, "depth": 2}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a caller may choose. Raises InvalidOption on values out of range.

    resolution: cells along the image's side, a multiple of 8; level: the iso-level, None for the bundle's;
    keep: the largest component or all of them; smooth: passes of Taubin's smoothing;
    target_faces: an upper bound, None for as many as marching cubes makes;
    camera: which one unprojects the columns, auto for the bundle's; focal_length_px: of the upright photo, None for EXIF's;
    elevation: degrees by which the camera looks down on the object, undone so that the mesh stands upright;
    size: metres of the (upright) object along `size_axis` (width x, height y, depth z), or distance: metres from the pinhole
    to the object's middle, where the focal length is known; None for view-frame units;
    confidence: vertex attributes that say how sure the field is, and what the photo shows (`model.confidence`);
    background: see `find_foreground`.
    """

    resolution: int = 256
    level: float | None = None
    keep: Keep = "largest"
    smooth: int = 0
    target_faces: int | None = None
    camera: CameraChoice = "auto"
    focal_length_px: float | None = None
    elevation: float = 0.0
    size: float | None = None
    size_axis: SizeAxis = "height"
    distance: float | None = None
    confidence: bool = False
    background: Background = "auto"

    def __post_init__(self) -> None:
        if not MIN_RESOLUTION <= self.resolution <= MAX_RESOLUTION or self.resolution % RESOLUTION_STEP:
            raise InvalidOption(
                f"resolution: expected a multiple of {RESOLUTION_STEP} from {MIN_RESOLUTION} to {MAX_RESOLUTION},"
                f" got {self.resolution}"
            )
        if self.level is not None and not MIN_LEVEL <= self.level <= MAX_LEVEL:
            raise InvalidOption(f"level: expected {MIN_LEVEL} to {MAX_LEVEL}, got {self.level}")
        if self.keep not in ("largest", "all"):
            raise InvalidOption(f"keep: expected largest or all, got {self.keep}")
        if self.target_faces is not None and self.target_faces < MIN_FACES:
            raise InvalidOption(f"target_faces: expected {MIN_FACES} or more, got {self.target_faces}")
        if self.size is not None and not MIN_SIZE <= self.size <= MAX_SIZE:
            raise InvalidOption(f"size: expected {MIN_SIZE:g} to {MAX_SIZE:g} metres, got {self.size}")
        if not 0 <= self.smooth <= MAX_SMOOTH:
            raise InvalidOption(f"smooth: expected 0 to {MAX_SMOOTH}, got {self.smooth}")
        if self.camera not in get_args(CameraChoice):
            raise InvalidOption(f"camera: expected one of {', '.join(get_args(CameraChoice))}, got {self.camera}")
        if self.focal_length_px is not None and not MIN_FOCAL_LENGTH <= self.focal_length_px <= MAX_FOCAL_LENGTH:
            raise InvalidOption(
                f"focal_length_px: expected {MIN_FOCAL_LENGTH:g} to {MAX_FOCAL_LENGTH:g} pixels, got {self.focal_length_px}"
            )
        if not -MAX_ELEVATION <= self.elevation <= MAX_ELEVATION:
            raise InvalidOption(f"elevation: expected {-MAX_ELEVATION:g} to {MAX_ELEVATION:g} degrees, got {self.elevation}")
        if self.distance is not None and not MIN_DISTANCE <= self.distance <= MAX_DISTANCE:
            raise InvalidOption(f"distance: expected {MIN_DISTANCE:g} to {MAX_DISTANCE:g} metres, got {self.distance}")
        if self.distance is not None and self.size is not None:
            raise InvalidOption("distance: expected without size, since each of them tells the scale; got both")
        if self.size_axis not in _AXES:
            raise InvalidOption(f"size_axis: expected one of {', '.join(_AXES)}, got {self.size_axis}")
        if self.background not in get_args(Background):
            raise InvalidOption(f"background: expected one of {', '.join(get_args(Background))}, got {self.background}")
        self.check_camera(self.camera)

    def check_camera(self, camera: CameraChoice) -> None:
        """Raises InvalidOption for what would have no effect on a camera of this kind."""
        for name in ("focal_length_px", "distance") if camera == "orthographic" else ():
            if (given := getattr(self, name)) is not None:
                raise InvalidOption(f"{name}: expected none for an orthographic camera (camera=pinhole has one), got {given:g}")


class Reconstructor:
    """A loaded bundle, ready to turn photos into meshes. Several threads may use it at once, each with turns of its own."""

    def __init__(self, bundle: ModelBundle, network: OnnxNetwork) -> None:
        self.bundle = bundle
        self.network = network

    @classmethod
    def load(cls, bundle_dir: Path, device: Device = "auto", threads: int | None = None) -> Reconstructor:
        """Reads and verifies a bundle and opens it on a device; raises BundleError or ProviderError."""
        bundle = read_bundle(bundle_dir)
        return cls(bundle, OnnxNetwork.load(bundle, device, threads))

    @property
    def provider(self) -> str:
        """The execution provider that runs the network."""
        return self.network.decoder.provider

    @property
    def provider_reason(self) -> str:
        """Why it runs there, in words."""
        return self.network.decoder.reason

    def reconstruct(
        self,
        photo: Photo,
        options: Options = Options(),
        mask: npt.NDArray[np.bool_] | None = None,
        *,
        stage: Stage = lambda name: nullcontext(),
        turns: Turns = AT_ONCE,
    ) -> Mesh:
        """Photo -> closed mesh in the view frame, set upright by `options.elevation`, in metres by `size` or `distance`.

        mask: (H, W) bool, True on the object; stage: a context manager entered around each stage, by name, to time it;
        turns: the way to the device, which may end the work with Cancelled. Raises children of ReconstructionError.
        """
        with stage("prepare"):
            prepared = self.prepare(photo, options, mask)
        return self.reconstruct_prepared(prepared, options, stage=stage, turns=turns)

    def reconstruct_prepared(
        self,
        prepared: PreparedImage,
        options: Options = Options(),
        *,
        stage: Stage = lambda name: nullcontext(),
        turns: Turns = AT_ONCE,
        progress: Progress = lambda share: None,
    ) -> Mesh:
        """What `reconstruct` does once the object is found; the photo itself is no longer needed.

        progress: told the share of the query that is done, never falling, from 0 to 1.
        """
        level = self._level(options)

        def word(share: float) -> None:
            turns.check()
            progress(share)

        with stage("encode"):
            field = self.encode(prepared, QueryGrid(options.resolution), turns)
        with stage("query"):
            samples = self.query(field, prepared, level, word)
        with stage("extract"):
            surface = surface_of(samples, level)
        turns.check()
        with stage("refine"):
            return self.refine(surface, samples, prepared, options, turns)

    def warm_up(self) -> None:
        """Runs once at a small resolution, so that the first photo does not pay for memory and kernels being set up; then finds
        the fastest size of calls."""
        disc = np.zeros((64, 64), np.float32)
        cv2.circle(disc, (32, 32), 24, 1.0, -1)
        photo = Photo(rgb=np.full((64, 64, 3), 128, np.uint8), alpha=(disc * 255).astype(np.uint8))
        prepared = self.prepare(photo, Options(), None)
        self.query(self.encode(prepared, QueryGrid(MIN_RESOLUTION)), prepared, 0.5)
        self.network = self.network.calibrated()

    def prepare(self, photo: Photo, options: Options, mask: npt.NDArray[np.bool_] | None) -> PreparedImage:
        """The object found, cropped and laid into the network's square.

        Raises InvalidOption for options that do not fit this bundle or this photo, so that no network runs for them.
        """
        manifest, kind = self.bundle.manifest, self.camera_kind(options)
        foreground = find_foreground(photo, mask, options.background)
        prepared = prepare(
            photo, foreground, manifest.image_size, kind, manifest.default_distance, focal_length_px=options.focal_length_px
        )
        if options.distance is not None:
            _metres_per_unit(options.distance, prepared)
        return prepared

    def camera_kind(self, options: Options) -> CameraKind:
        """The camera that unprojects the columns; raises InvalidOption for what would have no effect on it."""
        kind = self.bundle.manifest.camera if options.camera == "auto" else options.camera
        options.check_camera(kind)
        return kind

    def encode(self, prepared: PreparedImage, grid: QueryGrid, turns: Turns = AT_ONCE) -> OnnxField:
        """The encoder runs once; the field that comes back is asked many times."""
        manifest = self.bundle.manifest
        mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (manifest.mean, manifest.std))
        image = np.ascontiguousarray(((prepared.pixels - mean) / std)[None])
        return self.network.encode(image, grid, observed_columns(prepared.silhouette, grid), turns)

    def query(
        self, field: OnnxField, prepared: PreparedImage, level: float, progress: Progress = lambda share: None
    ) -> SampledBox:
        """The field cut to the silhouette, asked where its surface is."""
        coverage = column_coverage(prepared.silhouette, field.grid)
        piece = CALLS_A_WORD * self.network.chunk
        return query_hierarchically(field, level, coverage, self.culling(prepared), progress, piece)

    def culling(self, prepared: PreparedImage) -> Culling:
        """What the bundle knows of parts that hide between coarse nodes, for the camera of this picture."""
        manifest = self.bundle.manifest
        strengths = manifest.culling
        return Culling(manifest.labels.soft_label, strengths.factors, strengths.slopes, stretch_of(prepared.camera))

    def _level(self, options: Options) -> float:
        return self.bundle.manifest.level if options.level is None else options.level

    def refine(
        self, surface: Mesh, samples: SampledBox, prepared: PreparedImage, options: Options, turns: Turns = AT_ONCE
    ) -> Mesh:
        """One body, columns (u, v, z) -> view frame, smoothness, faces; then what is known of it, upright and to scale.

        samples: the field that the surface was extracted from. The metadata say what was done.
        """
        mesh = keep_largest(surface) if options.keep == "largest" else surface
        turns.check()
        coverage = _silhouette_iou(mesh, prepared.silhouette)
        mesh = replace(mesh, vertices=prepared.camera.unproject(mesh.vertices).astype(np.float32))
        mesh = smoothed(mesh, options.smooth, turns.check)
        turns.check()
        if options.target_faces is not None:
            mesh = limit_faces(mesh, options.target_faces, turns.check)
            turns.check()
        if options.confidence:
            label = self.bundle.manifest.labels.soft_label
            mesh = with_confidence(mesh, samples, prepared.camera, self._level(options), label)
            turns.check()
        if options.elevation:
            mesh = mesh.rotated(upright(options.elevation))
        factor, scale_source = _scale(mesh, prepared, options)
        mesh = mesh.scaled(factor)
        return mesh.with_metadata(
            bundle=f"{self.bundle.name} {self.bundle.version}",
            bundle_sha256=self.bundle.sha256,
            units="silhouette side / 0.9" if scale_source == "none" else "metre",
            scale_source=scale_source,
            level=self._level(options),
            resolution=options.resolution,
            watertight=mesh.is_watertight,
            volume=mesh.volume,
            silhouette_coverage=round(coverage, 4),
            camera=prepared.camera.kind,
            camera_source=_camera_source(prepared, options),
            elevation=float(options.elevation),
        )


def observed_columns(coverage: Float32, grid: QueryGrid) -> npt.NDArray[np.bool_]:
    """(T, T) silhouette coverage -> (n_u, n_v): the columns that show some of the object, and their neighbours.

    A neighbour's value says where between two columns the wall lies.
    """
    seen = (column_coverage(coverage, grid) > 0).astype(np.uint8)
    observed: npt.NDArray[np.bool_] = cv2.dilate(seen, np.ones((3, 3), np.uint8)).astype(np.bool_)
    return observed


def _scale(mesh: Mesh, prepared: PreparedImage, options: Options) -> tuple[float, ScaleSource]:
    """Metres per unit of the upright mesh, and what tells them; 1 where nothing does."""
    if options.size is not None:
        low, high = mesh.bounds[:, _AXES[options.size_axis]]
        return options.size / float(high - low), "declared"
    if options.distance is not None:
        return _metres_per_unit(options.distance, prepared), "camera"
    return 1.0, "none"


def _metres_per_unit(distance: float, prepared: PreparedImage) -> float:
    """What a view-frame unit measures when the pinhole stands `distance` metres before z = 0, which it does `camera.distance`
    units before; raises InvalidOption where these are a guess."""
    if prepared.camera_source == "bundle" or not isinstance(prepared.camera, PinholeCamera):
        raise InvalidOption(
            f"distance: expected a known focal length beside it, got {distance:g} alone; send focal_length_px, or a whole photo"
            " whose EXIF data tell FocalLengthIn35mmFilm"
        )
    return distance / prepared.camera.distance


def _camera_source(prepared: PreparedImage, options: Options) -> CameraSource:
    """What tells the camera: of the pinhole, its distance, and of the orthographic one, its kind."""
    if prepared.camera.kind == "orthographic":
        return "bundle" if options.camera == "auto" else "request"
    return prepared.camera_source


def _silhouette_iou(surface: Mesh, coverage: Float32) -> float:
    """IoU of the mesh's silhouette, in columns (u, v, z), with the photo's."""
    seen, wanted = silhouette(surface.vertices[:, :2], surface.faces, len(coverage)), coverage > 0.5
    return float((seen & wanted).sum() / max(1, (seen | wanted).sum()))

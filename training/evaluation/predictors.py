"""What an evaluation judges: anything that makes a mesh of a photo, in the view frame of a camera that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from model.camera import CameraKind
from model.field import QueryGrid
from model.foreground import find_foreground
from model.image import Photo, PreparedImage, prepare
from model.mesh import Mesh
from model.reconstructor import Options, Reconstructor, observed_columns
from model.refine import keep_largest
from training.evaluation.unlearned import UnlearnedPredictors

BUNDLE = "this bundle"
EXTRUDED, MEAN_SHAPE = "extruded silhouette", "mean training shape"

Surface = Callable[[PreparedImage, QueryGrid, npt.NDArray[np.bool_]], Mesh]
"""(prepared picture, grid, (n_u, n_v) bool: the columns that may meet the object) -> mesh in columns (u, v, z)."""


class Predictor(Protocol):
    """One method under judgement. camera: the camera in whose view frame its meshes lie."""

    @property
    def name(self) -> str: ...

    @property
    def camera(self) -> CameraKind: ...

    def reconstruct(self, photo: Photo, options: Options) -> Mesh:
        """Photo -> mesh in the view frame; raises NoSurface where there is none."""


@dataclass(frozen=True)
class BundlePredictor:
    """A bundle, through the path that serves it."""

    reconstructor: Reconstructor
    name: str = BUNDLE

    @classmethod
    def load(cls, bundle: Path, name: str = BUNDLE) -> Self:
        return cls(Reconstructor.load(bundle, "cpu"), name)

    @property
    def camera(self) -> CameraKind:
        return self.reconstructor.bundle.manifest.camera

    def reconstruct(self, photo: Photo, options: Options) -> Mesh:
        return self.reconstructor.reconstruct(photo, options)


@dataclass(frozen=True)
class SurfacePredictor:
    """Any way from a prepared picture to a surface in columns, with all around it that the served path does.

    image_size: of the prepared picture; default_distance: the pinhole's, in crop sides, for photos of unknown focal length.
    Of the options count the resolution, the background and what to keep.
    """

    name: str
    surface: Surface
    image_size: int
    camera: CameraKind
    default_distance: float

    def reconstruct(self, photo: Photo, options: Options) -> Mesh:
        foreground = find_foreground(photo, None, options.background)
        prepared = prepare(photo, foreground, self.image_size, self.camera, self.default_distance)
        grid = QueryGrid(options.resolution)
        mesh = self.surface(prepared, grid, observed_columns(prepared.silhouette, grid))
        mesh = keep_largest(mesh) if options.keep == "largest" else mesh
        return replace(mesh, vertices=prepared.camera.unproject(mesh.vertices).astype(np.float32))


def unlearned_methods(
    knowledge: UnlearnedPredictors, image_size: int, camera: CameraKind, default_distance: float
) -> tuple[SurfacePredictor, SurfacePredictor]:
    """The two that look at no more than the silhouette; they keep to a grid of their own."""

    def extruded(prepared: PreparedImage, grid: QueryGrid, observed: npt.NDArray[np.bool_]) -> Mesh:
        return knowledge.extruded_silhouette(prepared)

    def mean_shape(prepared: PreparedImage, grid: QueryGrid, observed: npt.NDArray[np.bool_]) -> Mesh:
        return knowledge.mean_training_shape()

    return (
        SurfacePredictor(EXTRUDED, extruded, image_size, camera, default_distance),
        SurfacePredictor(MEAN_SHAPE, mean_shape, image_size, camera, default_distance),
    )

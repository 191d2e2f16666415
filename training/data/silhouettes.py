"""Whether a prepared shape and its pictures agree: the mesh, seen through each picture's camera, must cover the object in it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene

from model.image import VISIBLE_COVERAGE
from training.data.sets import RejectedShape
from training.data.shapes import PreparedShape

LEAST = 0.93  # mean agreement of a shape that fits its pictures
PIXEL = 1 / 128  # of the crop's side: what an outline may be off by, one pixel of the usual picture

BoolArray = npt.NDArray[np.bool_]


def silhouette_iou(shape: PreparedShape, view: int) -> float:
    """Intersection over union of a picture's object, alpha above one half, and the mesh as training places it there.

    Parts as thin as a pixel pull it down even where all is right, for alpha above one half is then much more or much less.
    """
    pictured, covered = _pictured(shape, view) > 0.5, _Mesh(shape).covers(shape, view)
    either = int((pictured | covered).sum())
    return float((pictured & covered).sum() / either) if either else 0.0


def silhouette_agreement(shape: PreparedShape, view: int) -> float:
    """The same, but outlines may be off by a pixel: 1 minus the share of pixels where one is and the other is not near."""
    return _agreement(shape, view, _Mesh(shape))


def check_silhouettes(shape: PreparedShape, least: float = LEAST) -> float:
    """The mean agreement over all views; RejectedShape with all the numbers when it is below `least`.

    A shape that looks the same when it is turned or mirrored passes that way too. Wrong axes show in the others of its data set.
    """
    mesh = _Mesh(shape)
    agreements = [_agreement(shape, view, mesh) for view in range(shape.view_count)]
    mean = float(np.mean(agreements))
    if not mean >= least:
        numbers = ", ".join(f"{agreement:.2f}" for agreement in agreements)
        raise RejectedShape(
            f"silhouettes: expected mesh and pictures to agree by at least {least:g} in the mean, found {mean:.3f} ({numbers});"
            " below about 0.85 in all views hints at swapped or mirrored axes (0.7 is usual), in some at wrong pictures"
        )
    return mean


def _agreement(shape: PreparedShape, view: int, mesh: _Mesh) -> float:
    alpha, covered = _pictured(shape, view), mesh.covers(shape, view)
    pictured, visible = alpha > 0.5, alpha > VISIBLE_COVERAGE
    reach = max(1, round(PIXEL * len(alpha)))
    either = int((pictured | covered).sum())
    apart = int((pictured & ~_grown(covered, reach)).sum() + (covered & ~_grown(visible, reach)).sum())
    return 1 - apart / either if either else 0.0


def _pictured(shape: PreparedShape, view: int) -> npt.NDArray[np.float32]:
    """(S, S) float32 in [0, 1]: how much of each pixel the object in the picture takes."""
    return np.asarray(shape.image(view)[..., 3] / 255, np.float32)


def _grown(mask: BoolArray, reach: int) -> BoolArray:
    """The mask with every pixel within `reach` rows and columns of it."""
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


class _Mesh:
    """A shape's triangles, ready to be hit by rays through the middles of pixels."""

    def __init__(self, shape: PreparedShape) -> None:
        self._device = EmbreeDevice()
        self._scene = EmbreeScene(self._device)
        self._mesh = TriangleMesh(self._scene, np.ascontiguousarray(shape.vertices), np.ascontiguousarray(shape.faces))

    def covers(self, shape: PreparedShape, view: int) -> BoolArray:
        """(S, S) bool: which pixels' middles see the mesh through the frame and the pinhole that training uses."""
        size = len(shape.image(view))
        frame, camera = shape.frame(view, "pinhole"), shape.camera(view, "pinhole")
        middles = (np.arange(size) + 0.5) / size - 0.5
        across, along = np.meshgrid(middles, -middles)
        # A ray passes z = 0 at its column's (u, v), and starts at the pinhole.
        through = frame.to_object(camera.unproject(np.stack([across, along, np.zeros_like(across)], axis=-1).reshape(-1, 3)))
        eye = frame.to_object(np.array([*-shape.camera_offset[view], shape.camera_distance[view]], np.float64)[None])
        origins = np.repeat(eye, len(through), axis=0)
        face = self._scene.run(origins.astype(np.float32), (through - eye).astype(np.float32))
        return np.asarray((face >= 0).reshape(size, size))

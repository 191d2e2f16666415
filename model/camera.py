"""The two cameras that see the view frame, and how a view frame is laid into a picture.

Frames (docs/conventions.md):
    view frame   right-handed, x right, y up, z towards the viewer; unit: the object's silhouette box has a longer side of `FILL`.
    (u, v, z)    the column coordinates in which network, query and marching cubes work: (u, v) is where a point appears in the
                 square crop, u right and v up, each in [-0.5, 0.5] inside the crop; z is the view frame's.
In (u, v, z) every ray of either camera is a column of constant (u, v), so nothing downstream needs to know which camera it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from model.errors import CameraTooClose

FloatArray = npt.NDArray[np.floating]
CameraKind = Literal["pinhole", "orthographic"]

FILL = 0.9  # share of the crop's side that the silhouette's longer side takes
HALF_DEPTH = 0.75  # the query volume is z in [-HALF_DEPTH, HALF_DEPTH], u and v in [-0.5, 0.5]
MIN_DISTANCE = 0.8  # a pinhole nearer than this would stand (almost) inside the query volume


class Camera(Protocol):
    """Maps the view frame to columns and back: both (n, 3) float, view-frame units."""

    kind: ClassVar[CameraKind]

    def project(self, points_view: FloatArray) -> FloatArray:
        """(x, y, z) -> (u, v, z), (n, 3)."""

    def unproject(self, points_column: FloatArray) -> FloatArray:
        """(u, v, z) -> (x, y, z), (n, 3): the inverse of `project`."""


@dataclass(frozen=True)
class OrthographicCamera:
    """The paper's camera, eq. 5 with a = b = 1: u = x, v = y."""

    kind: ClassVar[CameraKind] = "orthographic"

    def project(self, points_view: FloatArray) -> FloatArray:
        return points_view

    def unproject(self, points_column: FloatArray) -> FloatArray:
        return points_column


@dataclass(frozen=True)
class PinholeCamera:
    """A camera at (-offset_x, -offset_y, distance) that looks along -z.

    With focal length f and crop side w in pixels, distance = f / w, and offset = (crop centre - principal point) / w, y up.
    """

    kind: ClassVar[CameraKind] = "pinhole"

    distance: float
    offset_x: float = 0.0
    offset_y: float = 0.0

    def __post_init__(self) -> None:
        if not self.distance > MIN_DISTANCE:
            raise CameraTooClose(
                f"camera distance: expected more than {MIN_DISTANCE} crop sides (focal length / crop side),"
                f" got {self.distance:.3g}"
            )

    def project(self, points_view: FloatArray) -> FloatArray:
        offset = np.array([self.offset_x, self.offset_y], points_view.dtype)
        nearness = self.distance / (self.distance - points_view[:, 2:])
        return np.hstack([nearness * (points_view[:, :2] + offset) - offset, points_view[:, 2:]])

    def unproject(self, points_column: FloatArray) -> FloatArray:
        offset = np.array([self.offset_x, self.offset_y], points_column.dtype)
        farness = (self.distance - points_column[:, 2:]) / self.distance
        return np.hstack([farness * (points_column[:, :2] + offset) - offset, points_column[:, 2:]])


def upright(elevation_degrees: float) -> npt.NDArray[np.float64]:
    """(3, 3): the rotation about x that sets the view frame of a camera which looks down by its elevation upright.

    That camera sees the world's up tilted towards itself, along (0, cos e, sin e); the rotation takes it to +y.
    """
    cosine, sine = math.cos(math.radians(elevation_degrees)), math.sin(math.radians(elevation_degrees))
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, sine], [0.0, -sine, cosine]])


@dataclass(frozen=True)
class ViewFrame:
    """Where a view frame lies in an object's own frame: x_view = scale * rotation @ x_object + translation.

    rotation: (3, 3), the camera's axes (right, up, towards the viewer) as rows; translation: (3,), view-frame units.
    """

    rotation: FloatArray
    scale: float
    translation: FloatArray

    def from_object(self, points_object: FloatArray) -> FloatArray:
        """(n, 3) object frame -> (n, 3) view frame."""
        return self.scale * points_object @ self.rotation.T + self.translation

    def to_object(self, points_view: FloatArray) -> FloatArray:
        """(n, 3) view frame -> (n, 3) object frame."""
        return (points_view - self.translation) / self.scale @ self.rotation

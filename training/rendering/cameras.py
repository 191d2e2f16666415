"""Hand-held cameras, and the view frames that they give.

Camera frame: the pinhole at 0, x right, y up, z towards the viewer, so that what is seen has negative z.
Lengths are the object frame's.
Picture plane at focal length 1: a point lies at (x, y) / -z, and the crop is a square of it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.camera import FILL, HALF_DEPTH, PinholeCamera, ViewFrame

FloatArray = npt.NDArray[np.floating]

MAX_DEPTH_RATIO = 2 * HALF_DEPTH  # depth of the object in units of its larger extent across: what the query volume holds
MIN_CAMERA_DISTANCE = 1.0  # in crop sides; nearer than this the perspective is no photographer's
FIELD_OF_VIEW_DEGREES = (10.0, 40.0)
DRAWS = 64


@dataclass(frozen=True)
class CropCamera:
    """A pinhole that renders exactly the square crop around an object.

    rotation: (3, 3) float64, camera axes (right, up, towards the viewer) as rows in the object frame. eye: (3,), object frame.
    centre: (2,) and side: the crop on the picture plane at focal length 1, y up.
    """

    rotation: npt.NDArray[np.float64]
    eye: npt.NDArray[np.float64]
    centre: npt.NDArray[np.float64]
    side: float

    def to_camera(self, points_object: FloatArray) -> npt.NDArray[np.float64]:
        """(n, 3) object frame -> (n, 3) camera frame."""
        return (points_object.astype(np.float64) - self.eye) @ self.rotation.T

    def directions(self, pixels: FloatArray, size: int) -> npt.NDArray[np.float32]:
        """Unit directions, object frame, through (n, 2) positions (column, row) of a picture `size` pixels wide -> (n, 3)."""
        across = self.centre[0] + self.side * (pixels[:, 0] / size - 0.5)
        along = self.centre[1] + self.side * (0.5 - pixels[:, 1] / size)
        axes = self.rotation.astype(np.float32)
        rays = across.astype(np.float32)[:, None] * axes[0] + along.astype(np.float32)[:, None] * axes[1] - axes[2]
        return rays / np.sqrt(np.einsum("ij,ij->i", rays, rays))[:, None]


@dataclass(frozen=True)
class ViewCamera:
    """Both readings of one picture: the pinhole that took it, exact, and the orthographic one that fits it best."""

    crop: CropCamera
    pinhole: PinholeCamera
    pinhole_frame: ViewFrame
    orthographic_frame: ViewFrame


def draw_view_camera(rng: np.random.Generator, vertices: FloatArray, surface_points: FloatArray) -> ViewCamera:
    """A random camera whose view fits the query volume: vertices (n, 3) and surface points (m, 3), object frame.

    Views along a long part, deeper than `MAX_DEPTH_RATIO`, and cameras nearer than `MIN_CAMERA_DISTANCE` are drawn again.
    """
    for _ in range(DRAWS):
        rotation, eye = _draw_pose(rng)
        camera = frame_silhouette(rotation, eye, vertices)
        view = view_camera(camera, vertices, surface_points)
        depth = float(np.ptp(camera.to_camera(vertices)[:, 2])) * view.pinhole_frame.scale
        if depth <= MAX_DEPTH_RATIO * FILL and view.pinhole.distance > MIN_CAMERA_DISTANCE:
            return view
    raise ValueError(f"cameras: expected a view at most {MAX_DEPTH_RATIO} times as deep as wide, found none in {DRAWS} draws")


def frame_silhouette(rotation: FloatArray, eye: FloatArray, vertices: FloatArray) -> CropCamera:
    """The crop of a picture from `eye`: the silhouette box, which the vertices span, made square; its longer side is `FILL`."""
    points = (vertices.astype(np.float64) - eye) @ rotation.T
    if not points[:, 2].max() < 0:
        raise ValueError(f"eye: expected the object in front of it, found a vertex {points[:, 2].max():.3g} behind")
    image = points[:, :2] / -points[:, 2:]
    low, high = image.min(axis=0), image.max(axis=0)
    return CropCamera(
        np.asarray(rotation, np.float64), np.asarray(eye, np.float64), (low + high) / 2, float((high - low).max()) / FILL
    )


def view_camera(camera: CropCamera, vertices: FloatArray, surface_points: FloatArray) -> ViewCamera:
    """Records a crop camera in view-frame terms; the orthographic fit weighs the surface as `surface_points` (m, 3) do."""
    depths = camera.to_camera(vertices)[:, 2]
    depth_centre = (depths.min() + depths.max()) / 2
    offset = camera.centre / camera.side
    pinhole = PinholeCamera(1 / camera.side, float(offset[0]), float(offset[1]))
    scale = pinhole.distance / -depth_centre
    translation = np.array([-offset[0], -offset[1], -scale * depth_centre]) - scale * camera.rotation @ camera.eye
    pinhole_frame = ViewFrame(camera.rotation, scale, translation)

    points = camera.to_camera(surface_points)
    columns = pinhole.project(pinhole_frame.from_object(surface_points.astype(np.float64)))[:, :2]
    flat_scale, shift = _fit_similarity(points[:, :2], columns)
    flat_translation = np.array([*shift, -flat_scale * depth_centre]) - flat_scale * camera.rotation @ camera.eye
    return ViewCamera(camera, pinhole, pinhole_frame, ViewFrame(camera.rotation, flat_scale, flat_translation))


def _fit_similarity(source: FloatArray, target: FloatArray) -> tuple[float, FloatArray]:
    """Scale and shift (2,) that bring (n, 2) `source` nearest to `target` by least squares, one scale for both axes."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    scale = float((centred * (target - target_mean)).sum() / (centred**2).sum())
    return scale, target_mean - scale * source_mean


def _draw_pose(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Rotation (3, 3) and eye (3,) of a person who walks around the part and holds a camera or a zoom lens on it."""
    field_of_view = math.radians(rng.uniform(*FIELD_OF_VIEW_DEGREES))
    distance = 0.5 / math.sin(field_of_view / 2)
    elevation, azimuth = math.radians(_draw_elevation(rng)), rng.uniform(0, 2 * math.pi)
    towards = np.array([math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)])
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    up = np.cross(towards, right)
    eye = distance * towards
    # Aiming beside the object's middle puts it off the optical axis, where a pinhole shears it.
    target = rng.uniform(-0.3, 0.3) * right + rng.uniform(-0.3, 0.3) * up
    backward = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    up = np.cross(backward, right)
    roll = math.radians(rng.uniform(-8, 8))
    axes = np.stack([math.cos(roll) * right + math.sin(roll) * up, math.cos(roll) * up - math.sin(roll) * right, backward])
    return axes, eye


def _draw_elevation(rng: np.random.Generator) -> float:
    """Degrees above the horizon: mostly as people stand before a part, now and then from above or from below."""
    low, high = ((-5.0, 60.0), (60.0, 88.0), (-40.0, -5.0))[rng.choice(3, p=[0.88, 0.08, 0.04])]
    return float(rng.uniform(low, high))

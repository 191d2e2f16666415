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
FIELD_OF_VIEW_DEGREES = (8.0, 40.0)  # of the crop, were it in the middle of the frame
FRAME_SHARE = (0.3, 0.9)  # of the frame's width or height that the silhouette takes, whichever it fills more
FRAME_MM = 43.27 * np.array([0.8, 0.6])  # a 4:3 frame with the diagonal of 35 mm film, to which equivalent focal lengths refer
PHONE_FOCAL_LENGTHS_MM = (24, 26, 28, 35, 48, 52, 77)
OTHER_FOCAL_LENGTHS_MM = (24.0, 120.0)
DRAWS = 256


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
class Pose:
    """Where a camera stands and how it is held, seen from the object's centre, the origin of the object frame.

    elevation, azimuth: degrees, of the eye above the horizon z = 0 and around z from x; azimuth in [-180, 180].
    roll: degrees about the optical axis, positive as the picture turns clockwise; zero when the camera is upright there and was
        turned to its aim the shortest way. In [-180, 180].
    eye_distance: object units. focal_length_35mm: millimetres, equivalent by the frame's diagonal; NaN when unknown.
    """

    elevation: float
    azimuth: float
    roll: float
    eye_distance: float
    focal_length_35mm: float = math.nan


@dataclass(frozen=True)
class ViewCamera:
    """Both readings of one picture: the pinhole that took it, exact, and the orthographic one that fits it best."""

    crop: CropCamera
    pinhole: PinholeCamera
    pinhole_frame: ViewFrame
    orthographic_frame: ViewFrame


def place_camera(pose: Pose, aim: FloatArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rotation (3, 3) and eye (3,) of a camera that sees the object's centre at `aim` (2,), picture plane at focal length 1."""
    upright, roll = _upright(pose.elevation, pose.azimuth), math.radians(pose.roll)
    cosine, sine = math.cos(roll), math.sin(roll)
    rolled = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ upright
    return _shortest_turn(np.array([-aim[0], -aim[1], 1.0])) @ rolled, pose.eye_distance * upright[2]


def pose_of(camera: CropCamera, focal_length_35mm: float = math.nan) -> Pose:
    """The pose of any camera: the inverse of `place_camera`."""
    x, y, z = camera.eye
    elevation, azimuth = math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))
    upright = _upright(elevation, azimuth)
    rolled = _shortest_turn(camera.rotation @ upright[2]).T @ camera.rotation @ upright.T
    roll = math.degrees(math.atan2(rolled[0, 1], rolled[0, 0]))
    return Pose(elevation, azimuth, roll, float(np.linalg.norm(camera.eye)), focal_length_35mm)


def draw_view_camera(rng: np.random.Generator, vertices: FloatArray, surface_points: FloatArray) -> tuple[ViewCamera, Pose]:
    """A random camera whose view fits the query volume: vertices (n, 3) and surface points (m, 3), object frame.

    A person walks around the part, holds a phone or a camera upright, and takes the part into the frame, seldom into its middle.
    Drawn again: views along a long part, deeper than `MAX_DEPTH_RATIO`; parts that leave the frame; cameras nearer than
    `MIN_CAMERA_DISTANCE`; crops beyond `FIELD_OF_VIEW_DEGREES`.
    """
    low, high = (2 * math.tan(math.radians(degrees) / 2) for degrees in FIELD_OF_VIEW_DEGREES)
    for _ in range(DRAWS):
        focal_length = _draw_focal_length(rng)
        frame = FRAME_MM[:: rng.choice([1, -1])] / focal_length
        rotation, eye = _draw_placement(rng, frame, surface_points)
        box = _silhouette_box(rotation, eye, vertices)
        camera = _crop(rotation, eye, *box)
        if not low <= camera.side <= high or (np.abs(box) > frame / 2).any():
            continue
        view = view_camera(camera, vertices, surface_points)
        depth = float(np.ptp(camera.to_camera(vertices)[:, 2])) * view.pinhole_frame.scale
        if depth <= MAX_DEPTH_RATIO * FILL and view.pinhole.distance > MIN_CAMERA_DISTANCE:
            return view, pose_of(camera, focal_length)
    raise ValueError(f"cameras: expected a view at most {MAX_DEPTH_RATIO} times as deep as wide, found none in {DRAWS} draws")


def frame_silhouette(rotation: FloatArray, eye: FloatArray, vertices: FloatArray) -> CropCamera:
    """The crop of a picture from `eye`: the silhouette box, which the vertices span, made square; its longer side is `FILL`."""
    return _crop(rotation, eye, *_silhouette_box(rotation, eye, vertices))


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


def _silhouette_box(rotation: FloatArray, eye: FloatArray, vertices: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest picture-plane position of the vertices, (2,) each."""
    points = (vertices.astype(np.float64) - eye) @ rotation.T
    if not points[:, 2].max() < 0:
        raise ValueError(f"eye: expected the object in front of it, found a vertex {points[:, 2].max():.3g} behind")
    image = points[:, :2] / -points[:, 2:]
    return image.min(axis=0), image.max(axis=0)


def _crop(rotation: FloatArray, eye: FloatArray, low: FloatArray, high: FloatArray) -> CropCamera:
    return CropCamera(
        np.asarray(rotation, np.float64), np.asarray(eye, np.float64), (low + high) / 2, float((high - low).max()) / FILL
    )


def _upright(elevation: float, azimuth: float) -> npt.NDArray[np.float64]:
    """Axes as rows, (3, 3), of an upright camera that looks at the origin from these degrees."""
    elevation, azimuth = math.radians(elevation), math.radians(azimuth)
    towards = np.array([math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)])
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    return np.stack([right, np.cross(towards, right), towards])


def _shortest_turn(direction: FloatArray) -> npt.NDArray[np.float64]:
    """The rotation (3, 3) that brings +z to `direction` (3,) with no twist; `direction` has z > 0."""
    x, y, z = direction / np.linalg.norm(direction)
    cross = np.array([[0.0, 0.0, x], [0.0, 0.0, y], [-x, -y, 0.0]])
    turn: npt.NDArray[np.float64] = np.eye(3) + cross + cross @ cross / (1 + z)
    return turn


def _draw_placement(
    rng: np.random.Generator, frame: FloatArray, points: FloatArray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rotation and eye that give points (n, 3) a drawn share of the frame (2,), focal length 1, and a place inside it."""
    elevation, azimuth, roll = _draw_elevation(rng), rng.uniform(-180, 180), rng.triangular(-15, 0, 15)
    rotation, _ = place_camera(Pose(elevation, azimuth, roll, 1.0), np.zeros(2))
    share, turned = rng.uniform(*FRAME_SHARE), points @ rotation.T
    distance = float((np.ptp(turned[:, :2], axis=0) / frame).max() / share)
    for _ in range(4):  # the nearer half grows as the eye comes closer: a fixed point, found to about a percent
        distance = max(distance, 0.6)
        image = turned[:, :2] / (distance - turned[:, 2:])
        extent = np.ptp(image, axis=0)
        distance *= float((extent / frame).max() / share)
    distance = max(distance, 0.6)
    middle = (image.min(axis=0) + image.max(axis=0)) / 2
    room = np.maximum(frame - extent, 0) / 2
    aim = room * rng.triangular(-1, 0, 1, 2) - middle
    return place_camera(Pose(elevation, azimuth, roll, distance), aim)


def _draw_focal_length(rng: np.random.Generator) -> float:
    """Millimetres, 35 mm equivalent: mostly a phone's lens, else any zoom's."""
    if rng.random() < 0.8:
        return float(rng.choice(PHONE_FOCAL_LENGTHS_MM) * rng.uniform(0.97, 1.03))
    return float(np.exp(rng.uniform(*np.log(OTHER_FOCAL_LENGTHS_MM))))


def _draw_elevation(rng: np.random.Generator) -> float:
    """Degrees above the horizon: mostly as people stand before a part, now and then from above or from below."""
    low, high = ((-5.0, 60.0), (60.0, 88.0), (-40.0, -5.0))[rng.choice(3, p=[0.85, 0.11, 0.04])]
    return float(rng.uniform(low, high))

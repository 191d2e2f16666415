"""Photographs of one part, from all around and in changing light, each with an exact record of its camera."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.rendering.cameras import Pose, ViewCamera, draw_view_camera
from training.rendering.environment import draw_environment
from training.rendering.face_groups import SmoothRegions, draw_face_groups, smooth_regions
from training.rendering.materials import Finish, Material, draw_material
from training.rendering.renderer import Renderer

VIEWS_PER_ENVIRONMENT = 4
GROUND_SHARE = 0.65  # of the surroundings; a few views in them are from below and have none
GROUND_ALBEDO = (0.15, 0.8)
SEVERAL_MATERIALS_SHARE = 0.55  # asked for; a mesh without a fair split gets one


@dataclass(frozen=True)
class View:
    """A picture of a part alone, its shadow on the ground, and the camera that took them.

    image: (S, S, 4) uint8 sRGB, straight alpha, row 0 at the top. shadow: (S, S) uint8, the factor that darkens the sRGB values
    of a background put behind the part; 255, everywhere in some views, is no shadow.
    """

    image: npt.NDArray[np.uint8]
    shadow: npt.NDArray[np.uint8]
    camera: ViewCamera
    pose: Pose


def render_views(
    vertices: npt.NDArray[np.float32],
    faces: npt.NDArray[np.int32],
    surface_points: npt.NDArray[np.float32],
    count: int,
    image_size: int,
    rng: np.random.Generator,
) -> list[View]:
    """`count` views of a mesh, (n, 3) and (m, 3): a new camera and material each time, new surroundings every few.

    The crop is rendered directly: its box is known from the projected vertices, so nothing is resampled.
    surface_points: (k, 3), object frame, what the orthographic frames are fitted to.
    """
    renderer, regions = Renderer(vertices, faces), smooth_regions(vertices, faces)
    views = []
    for index in range(count):
        if index % VIEWS_PER_ENVIRONMENT == 0:
            environment = draw_environment(rng)
            stands = rng.random() < GROUND_SHARE
            ground = renderer.ground(environment, rng.uniform(*GROUND_ALBEDO)) if stands else None
        camera, pose = draw_view_camera(rng, vertices, surface_points)
        finish = _draw_finish(regions, rng)
        if ground is not None and ground.seen_by(camera.crop):
            image = renderer.render(camera.crop, finish, ground.environment, image_size, rng, ground)
            shadow = ground.shadow(camera.crop, image_size)
        else:
            image = renderer.render(camera.crop, finish, environment, image_size, rng)
            shadow = np.full((image_size, image_size), 255, np.uint8)
        views.append(View(image, shadow, camera, pose))
    return views


def _draw_finish(regions: SmoothRegions, rng: np.random.Generator) -> Finish | Material:
    if rng.random() >= SEVERAL_MATERIALS_SHARE:
        return draw_material(rng)
    groups = draw_face_groups(regions, rng)
    return Finish(tuple(draw_material(rng) for _ in range(int(groups.max()) + 1)), groups)

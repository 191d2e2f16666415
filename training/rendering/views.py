"""Photographs of one part, from all around and in changing light, each with an exact record of its camera."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.rendering.cameras import ViewCamera, draw_view_camera
from training.rendering.environment import draw_environment
from training.rendering.materials import draw_material
from training.rendering.renderer import Renderer

VIEWS_PER_ENVIRONMENT = 4


@dataclass(frozen=True)
class View:
    """A picture (S, S, 4) uint8 sRGB, straight alpha, row 0 at the top, and the camera that took it."""

    image: npt.NDArray[np.uint8]
    camera: ViewCamera


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
    renderer = Renderer(vertices, faces)
    views = []
    for index in range(count):
        if index % VIEWS_PER_ENVIRONMENT == 0:
            environment = draw_environment(rng)
        camera = draw_view_camera(rng, vertices, surface_points)
        image = renderer.render(camera.crop, draw_material(rng), environment, image_size, rng)
        views.append(View(image, camera))
    return views

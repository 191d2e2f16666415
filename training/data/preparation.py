"""From a solid to a prepared shape: its labelled points, and photographs from all around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.resting import lay_down
from training.data.sets import REPAIRS, RejectedShape, SetConfig
from training.data.shapes import PreparedShape, view_arrays
from training.rendering.views import View, render_views
from training.sampling.orientation import UnusableMesh, orient, stored_surface
from training.sampling.pools import Pool, PoolConfig, draw_pool
from training.sampling.solids import ClosedMesh, Solid, WindingMesh, object_frame
from training.sampling.surface import sample_surface

FIT_POINTS = 2048  # surface points behind each view's orthographic fit
POINTS_STREAM, VIEWS_STREAM, REST_STREAM = 1, 2, 3  # so that more points do not change the pictures


def photograph_closed_mesh(
    vertices: npt.NDArray[np.floating],
    faces: npt.NDArray[np.int32],
    kind: str,
    config: SetConfig,
    seed: int,
    origin: dict[str, Any],
) -> PreparedShape:
    """Prepares a watertight mesh that is wound outward, z up: (n, 3) in any unit, (m, 3)."""
    lying = lay_down(vertices, faces, kind, np.random.default_rng([seed, REST_STREAM]))
    return photograph(ClosedMesh(object_frame(lying)[0], faces), config, seed, origin)


def photograph_mesh(
    vertices: npt.NDArray[np.floating],
    faces: npt.NDArray[np.int32],
    kind: str,
    config: SetConfig,
    seed: int,
    origin: dict[str, Any],
    notes: Sequence[str] = (),
) -> PreparedShape:
    """Prepares a mesh as people have them, z up: (n, 3) in any unit, (m, 3). What had to be done to it joins the `notes`.

    RejectedShape when there is no telling what is inside.
    """
    try:
        oriented = orient(vertices, faces)
    except UnusableMesh as error:
        raise RejectedShape(str(error)) from error
    origin = {**origin, REPAIRS: [*notes, *oriented.repairs]}
    lying = lay_down(oriented.vertices, oriented.faces, kind, np.random.default_rng([seed, REST_STREAM]))
    exact = WindingMesh(object_frame(lying)[0], oriented.faces, oriented.hidden)
    return photograph(Stored(*stored_surface(exact.vertices, exact.faces), exact), config, seed, origin)


@dataclass(frozen=True, eq=False)
class Stored:
    """A solid whose surface is kept coarser than its labels: vertices (n, 3) float32 and faces (m, 3) int32 stand for `exact`."""

    vertices: npt.NDArray[np.float32]
    faces: npt.NDArray[np.int32]
    exact: Solid

    def signed_distance(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """(n, 3) object frame -> (n,) float64, negative inside, of the exact surface."""
        return self.exact.signed_distance(points)


def photograph(solid: Solid, config: SetConfig, seed: int, origin: dict[str, Any]) -> PreparedShape:
    """Labels points around a solid and renders its views; the same arguments give the same arrays."""
    points_rng, views_rng = (np.random.default_rng([seed, stream]) for stream in (POINTS_STREAM, VIEWS_STREAM))
    pool = draw_pool(solid, pool_config(config), points_rng)
    surface_points, _ = sample_surface(solid.vertices, solid.faces, FIT_POINTS, views_rng)
    views = render_views(solid.vertices, solid.faces, surface_points, config.views, config.image_size, views_rng)
    return assemble(solid, pool, views, origin)


def assemble(solid: Solid, pool: Pool, views: Sequence[View], origin: dict[str, Any]) -> PreparedShape:
    """The prepared shape of a solid, its points and pictures of it, wherever these come from."""
    return PreparedShape(
        vertices=solid.vertices,
        faces=solid.faces,
        points=pool.points,
        distance=pool.distance,
        near_count=pool.near_count,
        **view_arrays(views),
        origin=origin,
    )


def pool_config(config: SetConfig) -> PoolConfig:
    """The pool that a set asks of each shape."""
    return PoolConfig(near_points=config.near_points, uniform_points=config.uniform_points)

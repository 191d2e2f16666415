"""A mesh in a small picture, seen from aside, so that its depth shows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.mesh import Mesh
from model.preview import render_preview

TILE = 160  # pixels
TURN, TILT = 35.0, 20.0  # degrees from the photo's direction, so that depth is seen

Picture = npt.NDArray[np.uint8]


def portrait(mesh: Mesh | None) -> Picture:
    """(TILE, TILE, 3): the mesh, turned away from the photo's direction; white for none."""
    return np.full((TILE, TILE, 3), 255, np.uint8) if mesh is None else render_preview(mesh, TURN, TILT, TILE)

"""How far the visible and the hidden side of a solid lie along the columns of a view: dense targets for the encoder.

Rays are columns of constant (u, v); along one the object's frame is linear in z, so one cast from each end finds both sides.
"""

import numpy as np
import numpy.typing as npt
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene

Float32 = npt.NDArray[np.float32]


def front_and_back(vertices: Float32, faces: npt.NDArray[np.int32], first: Float32, last: Float32) -> Float32:
    """Where segments from `first` to `last`, each (..., 3) in the mesh's frame, meet its surface first and last.

    -> (2, ...) float32, 0 at `first` and 1 at `last`; NaN where there is nothing to meet.
    """
    scene = EmbreeScene(EmbreeDevice())
    mesh = TriangleMesh(scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32))
    starts, ends = (np.ascontiguousarray(points.reshape(-1, 3), np.float32) for points in (first, last))
    front, back = _first_hit(scene, starts, ends - starts), 1 - _first_hit(scene, ends, starts - ends)
    del mesh  # the scene reads the triangles of this object, so it lives until both casts are done
    return np.stack([front, back]).reshape(2, *first.shape[:-1])


def _first_hit(scene: EmbreeScene, origins: Float32, rays: Float32) -> Float32:
    hit = scene.run(origins, rays, output=True)
    distance: Float32 = np.where((hit["primID"] >= 0) & (hit["tfar"] <= 1), hit["tfar"], np.float32(np.nan))
    return distance

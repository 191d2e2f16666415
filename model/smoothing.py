"""Taubin's smoothing: the steps of marching cubes and the network's noise go, the volume stays.

G. Taubin, A Signal Processing Approach to Fair Surface Design, SIGGRAPH 1995. A pass is two steps that move every vertex along
the way to the mean of its neighbours: by LAMBDA, which smooths and shrinks, and by MU < -LAMBDA, which swells what is broad back.
What waves more finely than the pass band 1 / LAMBDA + 1 / MU = 0.11 (of the mesh's own frequencies, 0 to 2) is damped.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from model.mesh import Mesh

LAMBDA, MU = 0.5, -0.53


def smoothed(mesh: Mesh, passes: int, check: Callable[[], None] = lambda: None) -> Mesh:
    """The closed mesh after so many passes: the same faces, its vertices moved; attributes, which belong to places, are dropped.

    In a closed mesh each edge runs once in either direction, so the ends of all faces' directed edges are the neighbours.
    check: called before each step, two a pass.
    """
    if not passes:
        return mesh
    start, end = mesh.faces.ravel().astype(np.int64), mesh.faces[:, [1, 2, 0]].ravel().astype(np.int64)
    count = np.bincount(start, minlength=len(mesh.vertices))
    share = 1 / np.maximum(count, 1)
    axes = mesh.vertices.T.astype(np.float64)
    for step in (LAMBDA, MU) * passes:
        check()
        for axis in axes:
            neighbours = np.bincount(start, weights=axis.take(end), minlength=len(axis))
            axis += step * share * (neighbours - count * axis)
    return replace(mesh, vertices=np.ascontiguousarray(axes.T, np.float32), vertex_attributes={})

"""The coarse-to-fine occupancy query: the decoder is asked near the surface only.

A coarse grid is asked everywhere the silhouette allows. A cell is *active* when its corners lie on both sides of the level, or
when it touches such a cell; only active cells are asked again at half the step, down to single nodes. After Occupancy Networks'
MISE (autonomousvision/occupancy_networks:im2mesh/utils/libmise/mise.pyx), with IM-NET's 3x3x3 neighbourhood, which keeps most of
what is thinner than a coarse cell. What lies wholly between coarse nodes is lost: tests/model/test_hierarchy.py has the limits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.field import Float32, OccupancyField, QueryGrid

Bool = npt.NDArray[np.bool_]

COARSEST_CELLS = 64  # cells along the image's side below which a grid is not halved any more


def coarsest_step(grid: QueryGrid) -> int:
    """The largest power of two that divides the grid's cells along each axis and leaves COARSEST_CELLS or more along the side."""
    step = 1
    while grid.resolution // (2 * step) >= COARSEST_CELLS and all((nodes - 1) % (2 * step) == 0 for nodes in grid.shape):
        step *= 2
    return step


def query_hierarchically(field: OccupancyField, level: float) -> Float32:
    """Occupancy on the field's grid, (n_u, n_v, n_z) float32: the field's own in active cells, elsewhere a neighbour's."""
    grid = field.grid
    step = coarsest_step(grid)
    asked = _dilate_columns(field.observed, step - 1)[::step, ::step]
    values = np.zeros([(nodes - 1) // step + 1 for nodes in grid.shape], np.float32)
    _ask(field, values, np.flatnonzero(np.broadcast_to(asked[..., None], values.shape)), step)
    while step > 1:
        active = _sign_change(values >= level)
        if step > 2:  # one fine node lies between two of step 2: too little to hide a part from both
            active = _dilate(active)
        step //= 2
        values = _refined(values)
        observed = _dilate_columns(field.observed, step - 1)[::step, ::step]
        _ask(field, values, np.flatnonzero(_nodes_of(active) & observed[..., None]), step)
    values[~field.observed] = 0.0
    return values


def _ask(field: OccupancyField, values: Float32, nodes: npt.NDArray[np.int64], step: int) -> None:
    """Queries flat node numbers of a grid with every `step`-th node of the field's and writes the answers into it."""
    _, n_v, n_z = values.shape
    lateral, depth = np.divmod(nodes, n_z)
    u, v = np.divmod(lateral, n_v)
    columns = u * step * field.grid.shape[1] + v * step
    values.reshape(-1)[nodes] = field.query(columns, field.grid.depths[::step][depth])


def _sign_change(inside: Bool) -> Bool:
    """Nodes -> cells, one fewer along each axis: whether a cell has corners on both sides."""
    any_inside, all_inside = inside, inside
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        any_inside = any_inside[tuple(low)] | any_inside[tuple(high)]
        all_inside = all_inside[tuple(low)] & all_inside[tuple(high)]
    return any_inside & ~all_inside


def _dilate(cells: Bool) -> Bool:
    """A cell and its 26 neighbours."""
    for axis in range(3):
        low, high = [slice(None)] * 3, [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        grown = cells.copy()
        grown[tuple(low)] |= cells[tuple(high)]
        grown[tuple(high)] |= cells[tuple(low)]
        cells = grown
    return cells


def _dilate_columns(observed: Bool, reach: int) -> Bool:
    """Columns within `reach` of an observed one, so that a silhouette narrower than a coarse step is seen by its coarse nodes."""
    for _ in range(reach):
        grown = observed.copy()
        grown[1:] |= observed[:-1]
        grown[:-1] |= observed[1:]
        observed = grown.copy()
        observed[:, 1:] |= grown[:, :-1]
        observed[:, :-1] |= grown[:, 1:]
    return observed


def _refined(values: Float32) -> Float32:
    """The same field on a grid of half the step; new nodes copy a neighbour, in a cell that is not active one on their side."""
    fine = np.empty([2 * nodes - 1 for nodes in values.shape], np.float32)
    fine[::2, ::2, ::2] = values
    fine[::2, ::2, 1::2] = fine[::2, ::2, :-1:2]
    fine[::2, 1::2] = fine[::2, :-1:2]
    fine[1::2] = fine[:-1:2]
    return fine


def _nodes_of(cells: Bool) -> Bool:
    """Cells -> the nodes at half their step that lie in or on them."""
    nodes = np.zeros([2 * count + 1 for count in cells.shape], np.bool_)
    u, v, z = np.nonzero(cells)
    for du in range(3):
        for dv in range(3):
            for dz in range(3):
                nodes[2 * u + du, 2 * v + dv, 2 * z + dz] = True
    return nodes

"""The query grid, boxes of it, and the dense query."""

import numpy as np
import pytest

from model.field import QueryGrid, SampledBox, query_densely
from tests.reference import NodeField


@pytest.mark.parametrize("resolution", [2, 6, 32, 40, 72, 512])
def test_nodes_are_the_corners_of_cubic_cells_that_fill_the_volume(resolution):
    grid = QueryGrid(resolution)
    assert grid.shape == (resolution + 1, resolution + 1, resolution * 3 // 2 + 1)
    assert (grid.lateral.dtype, grid.depths.dtype) == (np.float32, np.float32)
    for axis, nodes in enumerate((grid.lateral, grid.lateral, grid.depths)):
        assert len(nodes) == grid.shape[axis]
        np.testing.assert_allclose(nodes, grid.origin[axis] + np.arange(len(nodes)) * grid.spacing, rtol=0, atol=1e-7)
        assert nodes[-1] == -nodes[0] == (0.5, 0.5, 0.75)[axis]


@pytest.mark.parametrize("resolution", [-2, 0, 1, 33])
def test_a_number_of_cells_that_cannot_be_is_refused(resolution):
    with pytest.raises(ValueError, match=f"expected an even number of cells, 2 or more, got {resolution}"):
        QueryGrid(resolution)


def test_a_box_lies_where_its_first_node_does(rng):
    grid = QueryGrid(8)
    values = rng.random((3, 2, 5), np.float32) + 1
    box = SampledBox(grid, (4, 7, 6), values)
    assert tuple(box.origin) == (grid.lateral[4], grid.lateral[7], grid.depths[6])
    whole = box.on_whole_grid()
    assert (whole.shape, whole.dtype) == (grid.shape, np.float32)
    for node in np.ndindex(grid.shape):
        in_box = tuple(index - first for index, first in zip(node, box.first, strict=True))
        expected = values[in_box] if all(0 <= i < n for i, n in zip(in_box, values.shape, strict=True)) else 0
        assert whole[node] == expected


def test_a_box_of_everything_is_the_grid_itself(rng):
    grid = QueryGrid(6)
    values = rng.random(grid.shape, np.float32)
    box = SampledBox(grid, (0, 0, 0), values)
    np.testing.assert_array_equal(box.on_whole_grid(), values)
    assert tuple(box.origin) == grid.origin


def test_the_dense_query_asks_each_node_of_the_observed_columns_once_and_leaves_the_others_empty(rng):
    grid = QueryGrid(10)
    observed = rng.random(grid.shape[:2]) < 0.4
    field = NodeField(10, rng.random(grid.shape, np.float32), observed)
    dense = query_densely(field)
    np.testing.assert_array_equal(field.times_asked, np.broadcast_to(observed[..., None], grid.shape))
    np.testing.assert_array_equal(dense, np.where(observed[..., None], field.values, 0))
    assert dense.dtype == np.float32


def test_a_picture_that_shows_nothing_is_a_dense_grid_of_zeros():
    grid = QueryGrid(4)
    field = NodeField(4, np.ones(grid.shape, np.float32), np.zeros((5, 5), np.bool_))
    np.testing.assert_array_equal(query_densely(field), np.zeros(grid.shape, np.float32))

"""A tiny prepared set: spheres and boxes, photographed small."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training import solids
from training.data.generate import DataIndex, ShapeEntry
from training.data.shapes import PreparedShape, view_arrays
from training.rendering.views import render_views
from training.sampling.pools import PoolConfig, draw_pool
from training.sampling.surface import sample_surface

IMAGE_SIZE, VIEWS = 64, 2
SPLITS = {"train": (solids.sphere(0.4, 48), solids.box(), solids.angle_bracket()), "val": (solids.box(0.3, 0.3, 0.6),)}
SPLITS["test"] = (solids.sphere(0.45, 48), solids.angle_bracket())


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def prepared_shape(solid: solids.Solid, seed: int) -> PreparedShape:
    rng = np.random.default_rng(seed)
    vertices, faces = solid
    pool = draw_pool(vertices, faces, PoolConfig(near_points=600, uniform_points=900), rng)
    views = render_views(vertices, faces, sample_surface(vertices, faces, 300, rng)[0], VIEWS, IMAGE_SIZE, rng)
    return PreparedShape(
        vertices=vertices,
        faces=faces,
        points=pool.points,
        distance=pool.distance,
        near_count=pool.near_count,
        **view_arrays([view.image for view in views], [view.camera for view in views]),
        origin={"image_size": IMAGE_SIZE},
    )


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory) -> DataIndex:
    """Three shapes to train on (sphere, box, angle bracket), one to validate, two to test."""
    directory = tmp_path_factory.mktemp("set")
    (directory / "shapes").mkdir()
    entries = []
    for split, parts in SPLITS.items():
        for number, solid in enumerate(parts):
            file = f"shapes/{split}-{number}.npz"
            prepared_shape(solid, seed=len(entries)).write(directory / file)
            sha256 = hashlib.sha256((directory / file).read_bytes()).hexdigest()
            named = {"file": file, "family": f"{split}-family-{number}", "kind": "solid", "seed": number, "split": split}
            entries.append(ShapeEntry(**named, parameters={}, sha256=sha256))
    index = DataIndex(directory=directory, arguments={}, entries=tuple(entries))
    index.write()
    return index


@pytest.fixture
def empty_split(tiny_set, tmp_path) -> Path:
    """The same set without its training shapes."""
    without = dataclasses.replace(tiny_set, directory=tmp_path, entries=())
    without.write()
    return tmp_path

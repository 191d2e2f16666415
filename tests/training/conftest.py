"""A tiny prepared set: spheres and boxes, photographed small."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
import torch

from tests.training import solids
from training.data.index import DataIndex, ShapeEntry
from training.data.preparation import photograph
from training.data.sets import SetConfig
from training.data.shapes import PreparedShape
from training.sampling.solids import ClosedMesh

IMAGE_SIZE, VIEWS = 64, 2
SPLITS = {"train": (solids.sphere(0.4, 48), solids.box(), solids.angle_bracket()), "val": (solids.box(0.3, 0.3, 0.6),)}
SPLITS["test"] = (solids.sphere(0.45, 48), solids.angle_bracket())


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def few_recorded_views(monkeypatch):
    """Exports calibrate the query on this much instead of minutes of dense grids."""
    monkeypatch.setattr("training.export.CULLING_VIEWS", {64: 4})
    monkeypatch.setattr("training.thin_parts.THICKNESSES", (1 / 25,))


def prepared_shape(solid: solids.Solid, seed: int) -> PreparedShape:
    config = SetConfig(views=VIEWS, image_size=IMAGE_SIZE, near_points=600, uniform_points=900)
    return photograph(ClosedMesh(*solid), config, seed, {"image_size": IMAGE_SIZE})


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
            named = {"name": f"{split}-{number}", "file": file, "family": f"{split}-family-{number}", "kind": "solid"}
            entries.append(ShapeEntry(**named, split=split, sha256=sha256))
    index = DataIndex(directory=directory, arguments={}, entries=tuple(entries))
    index.write()
    return index


@pytest.fixture
def empty_split(tiny_set, tmp_path) -> Path:
    """The same set without its training shapes."""
    without = dataclasses.replace(tiny_set, directory=tmp_path, entries=())
    without.write()
    return tmp_path

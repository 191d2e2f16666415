"""The STEP writer, read back by Open CASCADE."""

import cascadio
import numpy as np
import pytest
import trimesh

from tests.training import solids
from training.data.step import write_step


def test_open_cascade_reads_the_same_closed_solid_in_millimetres(tmp_path):
    vertices, faces = solids.angle_bracket()
    write_step(tmp_path / "bracket.step", vertices * 200, faces)
    assert cascadio.step_to_glb(str(tmp_path / "bracket.step"), str(tmp_path / "bracket.glb")) == 0
    found = trimesh.load(tmp_path / "bracket.glb", force="mesh", process=False)
    found.merge_vertices()
    wanted = trimesh.Trimesh(vertices * 0.2, faces)  # glTF is in metres
    assert found.is_watertight
    assert found.volume == pytest.approx(wanted.volume, rel=1e-6)
    np.testing.assert_allclose(found.extents, wanted.extents, rtol=1e-6)


def test_faces_without_area_are_left_out(tmp_path):
    vertices, faces = solids.box()
    write_step(tmp_path / "plain.step", vertices, faces)
    write_step(tmp_path / "folded.step", vertices, np.concatenate([faces, [[0, 0, 1]]]))
    plain, folded = (((tmp_path / name).read_text()).count("FACE_SURFACE") for name in ("plain.step", "folded.step"))
    assert plain == folded == len(faces)

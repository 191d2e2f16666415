"""Parts laid on their sides."""

import numpy as np
import trimesh

from tests.training import solids
from training.data.resting import HULL_DIRECTIONS, lay_down

PLATE = solids.box(0.4, 0.3, 0.05)


def laid(kind: str, seed: int) -> np.ndarray:
    return lay_down(*PLATE, kind, np.random.default_rng(seed))


def test_machines_and_structures_stay_as_they_stand():
    for kind in ("machine", "structure"):
        for seed in range(20):
            np.testing.assert_array_equal(laid(kind, seed), PLATE[0])


def test_about_half_of_the_other_parts_are_moved_and_all_keep_their_form():
    moved = 0
    for seed in range(60):
        vertices = laid("component", seed)
        moved += not np.array_equal(vertices, PLATE[0])
        distances = [np.linalg.norm(v[:, None] - v[None], axis=2) for v in (vertices, PLATE[0])]
        np.testing.assert_allclose(*distances, atol=1e-5)
    assert 18 <= moved <= 42


def test_a_plate_lies_flat_most_of_the_time_and_always_on_a_face():
    heights = [np.ptp(laid("component", seed)[:, 2]) for seed in range(200)]
    for height in heights:
        assert min(abs(height - side) for side in (0.4, 0.3, 0.05)) < 1e-4
    assert np.mean(np.isclose(heights, 0.05, atol=1e-4)) > 0.8


def test_a_mirrored_part_would_be_another_part():
    """Laying down only rotates: the volume keeps its sign."""
    for seed in range(10):
        vertices = laid("component", seed)
        corners = vertices[PLATE[1]].astype(float)
        assert np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) > 0


def test_a_part_with_a_hole_far_from_the_origin_comes_to_rest():
    """The sum over open faces puts its centre of mass outside of the part, where nothing would ever come to rest."""
    for seed in range(6):
        lay_down(PLATE[0] + np.float32(50), PLATE[1][2:], "component", np.random.default_rng(seed))


def test_a_ball_of_very_many_faces_is_laid_down_as_fast_as_any_part(monkeypatch):
    """Any of its faces is one to rest on; each costs a look at all others, so the hull that is asked has few."""
    asked = []
    compute = trimesh.poses.compute_stable_poses
    monkeypatch.setattr(trimesh.poses, "compute_stable_poses", lambda hull, **more: asked.append(hull) or compute(hull, **more))
    ball = solids.sphere(0.4, 256)
    for seed in range(6):
        laid_ball = lay_down(*ball, "component", np.random.default_rng(seed))
        np.testing.assert_allclose(np.linalg.norm(laid_ball, axis=1), 0.4, atol=1e-5)
    assert asked
    assert max(len(hull.faces) for hull in asked) <= 2 * HULL_DIRECTIONS


def test_where_a_part_stands_and_how_large_it_is_do_not_matter():
    for seed in range(10):
        here = laid("component", seed)
        elsewhere = lay_down(PLATE[0].astype(float) * 1e-6 + 3, PLATE[1], "component", np.random.default_rng(seed))
        np.testing.assert_allclose((elsewhere - elsewhere.mean(axis=0)) * 1e6, here - here.mean(axis=0), atol=1e-4)

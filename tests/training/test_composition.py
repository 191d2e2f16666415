"""Composed views: what stands behind the object, and what a cut lets through."""

import cv2
import numpy as np
import pytest
import torch

from training.configs import BackgroundConfig, PhotometryConfig
from training.data import composition
from training.data.composition import compose
from training.data.dataset import on_white

SIDE = 64
PAPER = BackgroundConfig()
KINDS = ("uniform", "gradient", "texture", "clutter")
CAMERA = PhotometryConfig(
    exposure=0.6, white_balance=0.25, defocus=1.0, motion=2.0, noise=0.03, tone=0.2, saturation=0.3, sharpening=0.8, jpeg=0.6
)
EVERYTHING = BackgroundConfig(white=2, uniform=1, gradient=1, texture=1, clutter=1, mask_error=2.5, shadow_taken=0.5)


def only(kind, **values):
    return BackgroundConfig(**{"white": 0, kind: 1, **values})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def views(count=6, side=SIDE):
    """Discs of random colours with soft edges, (count, side, side, 4) uint8; black and transparent elsewhere."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:side, :side] + 0.5
    rgba = np.zeros((count, side, side, 4), np.uint8)
    for view in rgba:
        distance = np.hypot(x - side / 2, y - side / 2 + 3)
        view[..., 3] = 255 * np.clip(side * rng.uniform(0.25, 0.35) - distance, 0, 1)
        view[..., :3] = rng.integers(0, 256, (side, side, 3)) * (view[..., 3:] > 0)
    return torch.from_numpy(rgba)


def shadows(count=6, side=SIDE):
    """A soft shadow to the lower right, (count, side, side) uint8; none in the leftmost quarter."""
    y, x = np.mgrid[:side, :side] / side
    dark = 200 * np.exp(-(((x - 0.65) / 0.2) ** 2) - ((y - 0.75) / 0.12) ** 2) * (x > 0.25)
    return torch.from_numpy((255 - dark).astype(np.uint8)).expand(count, -1, -1)


def share_of(condition):
    return float(condition.float().mean())


@pytest.mark.parametrize("image_size", [SIDE, 48, 96])
@pytest.mark.parametrize("shadow", [None, shadows()])
def test_with_everything_off_the_object_stands_on_white_to_the_bit_and_nothing_is_drawn(image_size, shadow):
    generator = seeded()
    before = generator.get_state()
    assert torch.equal(compose(views(), shadow, PAPER, image_size, generator), on_white(views(), image_size))
    assert torch.equal(generator.get_state(), before)


def test_white_stays_white_through_the_camera_when_the_cut_is_exact():
    images = compose(views(), shadows(), PAPER, SIDE, seeded(), CAMERA)
    alpha = views()[..., 3]
    assert (images.permute(0, 2, 3, 1)[alpha == 0] == 1.0).all()
    assert share_of((images != on_white(views(), SIDE)).any(1)[alpha == 255]) > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_the_object_covers_any_background_and_keeps_its_colours(kind):
    images, alpha = compose(views(), shadows(), only(kind), SIDE, seeded()).permute(0, 2, 3, 1), views()[..., 3]
    assert torch.equal(images[alpha == 255], on_white(views(), SIDE).permute(0, 2, 3, 1)[alpha == 255])
    assert share_of(images[alpha == 0] < 1) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_soft_edge_is_a_mixture_of_object_and_background(kind):
    rgba = views()
    behind = compose(torch.zeros_like(rgba), None, only(kind), SIDE, seeded())
    colour, alpha = rgba[..., :3].permute(0, 3, 1, 2) / 255, rgba[..., 3][:, None] / 255
    torch.testing.assert_close(compose(rgba, None, only(kind), SIDE, seeded()), alpha * colour + (1 - alpha) * behind)


def empty(count, side=32):
    return torch.zeros(count, side, side, 4, dtype=torch.uint8)


def steps_of(images):
    """The largest difference between neighbours of each picture."""
    rows, columns = (images.diff(dim=axis).abs().flatten(1).amax(1) for axis in (2, 3))
    return torch.maximum(rows, columns)


def test_kinds_are_what_they_are_called():
    found = {kind: compose(empty(60), None, only(kind), 32, seeded()) for kind in KINDS}
    assert (steps_of(found["uniform"]) == 0).all()
    assert (steps_of(found["gradient"]) > 0).all()
    assert (steps_of(found["gradient"]) < 0.06).all()
    for kind in ("texture", "clutter"):
        assert share_of(steps_of(found[kind]) > 0.06) > 0.6
    for kind in KINDS:
        means = found[kind].mean((2, 3))
        assert float(means.std(0).min()) > 0.05  # no two pictures alike
        assert len(torch.unique(means, dim=0)) == 60


def test_kinds_come_by_their_weights():
    images = compose(empty(600, 8), None, BackgroundConfig(white=3, uniform=2, texture=1), 8, seeded())
    even = steps_of(images) == 0
    white = (images == 1).flatten(1).all(1)
    assert share_of(white) == pytest.approx(3 / 6, abs=0.06)
    assert share_of(even & ~white) == pytest.approx(2 / 6, abs=0.06)
    assert share_of(~even) == pytest.approx(1 / 6, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shadow_darkens_the_background_alone(kind):
    lit = compose(views(), torch.full((6, SIDE, SIDE), 255, dtype=torch.uint8), only(kind), SIDE, seeded())
    shaded = compose(views(), shadows(), only(kind), SIDE, seeded())
    alpha, factor = views()[..., 3], shadows().float() / 255
    assert torch.equal(*(images.permute(0, 2, 3, 1)[(alpha == 255) | (factor == 1)] for images in (lit, shaded)))
    for one, other, behind, light in zip(lit, shaded, alpha == 0, factor, strict=True):
        dark = behind & (light < 0.9)
        strength = ((1 - other / one) / (1 - light))[:, dark]
        assert float(strength.max() - strength.min()) < 1e-3  # one strength a picture
        assert 0.4 <= float(strength.mean()) <= 1.0


@pytest.mark.parametrize("shadow", [None, shadows()])
def test_the_same_seed_gives_the_same_pictures_in_range(shadow):
    first, again, other = (compose(views(), shadow, EVERYTHING, 48, seeded(seed), CAMERA) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (6, 3, 48, 48)
    assert first.dtype == torch.float32
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1 + 1e-6  # the resize's rounding


def test_one_picture_alone_and_odd_sides_are_taken_as_well():
    for kind in (*KINDS, "white"):
        config = BackgroundConfig(**{"white": 0, kind: 1, "mask_error": 2, "shadow_taken": 1})
        images = compose(views(1, 37), shadows(1, 37), config, 37, seeded(), CAMERA)
        assert torch.isfinite(images).all()


def pixels_from_the_outline(alpha):
    """Chebyshev distance of each pixel to the nearest one of the other side, (S, S): by comparison with all of them."""
    found = np.zeros(alpha.shape)
    inside = alpha > 0
    places = np.argwhere(np.ones_like(inside))
    for row, column in places:
        others = np.argwhere(inside != inside[row, column])
        found[row, column] = np.abs(others - (row, column)).max(1).min()
    return found


def test_a_wrong_cut_errs_along_the_outline_and_no_further():
    count, limit = 24, 2
    rgba = views(1).expand(count, -1, -1, -1)
    images = compose(rgba, None, BackgroundConfig(mask_error=limit), SIDE, seeded())
    differs = (images != on_white(rgba, SIDE)).any(1).numpy()
    distance = pixels_from_the_outline(rgba[0, ..., 3].numpy())
    # Alpha's own soft pixel comes on top of the limit inside.
    assert not differs[:, (distance > limit + 1)].any()
    outside = rgba[..., 3].numpy() == 0
    fringe, rim = (differs & outside).any((1, 2)), (differs & ~outside & (distance > 1)).any((1, 2))
    assert fringe.mean() > 0.6
    assert rim.mean() > 0.6
    opaque = rgba[..., 3] == 255
    gain = (images - on_white(rgba, SIDE)).permute(0, 2, 3, 1)[opaque]
    assert float(gain.min()) > -1e-6  # what is lost of the object is white
    assert float(gain.max()) > 0.3


def test_larger_errors_move_more_of_the_outline():
    rgba, exact = views(), on_white(views(), SIDE)
    off = [
        float((compose(rgba, None, BackgroundConfig(mask_error=error), SIDE, seeded()) - exact).abs().mean())
        for error in (1, 2, 4)
    ]
    assert off == sorted(off)
    assert off[0] > 0


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_moved_outline_is_that_of_opencvs_morphology(steps):
    alpha = views(1)[..., 3][:, None].float() / 255
    wider, narrower = alpha[0, 0].numpy(), alpha[0, 0].numpy()
    for step in range(steps):
        element = cv2.getStructuringElement(cv2.MORPH_RECT if step % 2 else cv2.MORPH_CROSS, (3, 3))
        wider, narrower = cv2.dilate(wider, element), cv2.erode(narrower, element)
    for offset, expected in ((steps, wider), (-steps, narrower)):
        moved = composition._moved_outline(alpha, torch.full_like(alpha, offset), reach=5)
        np.testing.assert_allclose(moved[0, 0], expected, atol=1e-6)


def test_an_outline_that_does_not_move_stays_to_the_bit():
    alpha = views()[..., 3][:, None].float() / 255
    assert torch.equal(composition._moved_outline(alpha, torch.zeros_like(alpha), reach=3), alpha)


def test_a_shadow_is_taken_for_the_object_in_its_share_of_the_cuts_within_the_objects_box():
    count = 300
    rgba, shadow = views(1).expand(count, -1, -1, -1), shadows(1).expand(count, -1, -1)
    outside = rgba[0, ..., 3] == 0
    rows, columns = (torch.nonzero(~outside)[:, axis] for axis in (0, 1))
    in_box = torch.zeros_like(outside)
    in_box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True

    def taken(share):
        images = compose(rgba, shadow, BackgroundConfig(shadow_taken=share), SIDE, seeded())
        return (images < 1).any(1) & outside

    assert not taken(0.0).any()
    always, sometimes = taken(1.0), taken(0.25)
    assert not always[:, ~in_box].any()
    assert not always[:, shadow[0] > 0.9 * 255].any()
    drawn = share_of(always.flatten(1).any(1))  # where the patches miss the shadow, nothing is taken
    assert drawn > 0.5
    assert share_of(sometimes.flatten(1).any(1)) == pytest.approx(0.25 * drawn, abs=0.07)


def test_without_a_shadow_none_is_taken():
    images = compose(views(), None, BackgroundConfig(shadow_taken=1.0), SIDE, seeded())
    assert torch.equal(images, on_white(views(), SIDE))


@pytest.mark.gpu
def test_pictures_are_made_where_their_views_lie():
    device = torch.device("cuda")
    pictures = [
        compose(views().to(device), shadows().to(device), EVERYTHING, 48, torch.Generator(device).manual_seed(1), CAMERA)
        for _ in range(2)
    ]
    assert pictures[0].device.type == "cuda"
    torch.testing.assert_close(*pictures)
    plain = compose(views().to(device), shadows().to(device), PAPER, 48, torch.Generator(device).manual_seed(1))
    torch.testing.assert_close(plain.cpu(), on_white(views(), 48))

"""Which pixels are the object, by each of the sources."""

import cv2
import numpy as np
import pytest

from model import foreground
from model.errors import InvalidOption, NoForeground
from model.foreground import find_foreground
from model.image import Photo

HEIGHT, WIDTH = 240, 320
X, Y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
DISC = np.hypot(X - 160, Y - 120) < 70
RING = DISC & (np.hypot(X - 160, Y - 120) > 35)
LARGE_X, LARGE_Y = np.meshgrid(np.arange(3 * WIDTH), np.arange(3 * HEIGHT))
BARS = ((abs(LARGE_X - 480) < 240) & (abs(LARGE_Y - 510) < 8)) | ((abs(LARGE_X - 285) < 8) & (abs(LARGE_Y - 360) < 165))
BRACKET = BARS | (np.hypot(LARGE_X - 480, LARGE_Y - 300) < 100)


def picture(mask, colour, background, noise=2.0):
    """A photo of `mask` in one colour on `background`, with an edge one pixel soft and some sensor noise."""
    soft = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), 0.7)[..., None]
    rgb = soft * colour + (1 - soft) * background
    return np.clip(rgb + np.random.default_rng(0).normal(0, noise, rgb.shape), 0, 255).astype(np.uint8)


def iou(coverage, mask):
    found = coverage > 0.5
    return (found & mask).sum() / (found | mask).sum()


@pytest.mark.parametrize(
    ("colour", "background"),
    [
        ((90, 95, 100), (255, 255, 255)),
        ((215, 215, 215), (255, 255, 255)),
        ((60, 60, 60), (150, 150, 150)),
        ((240, 240, 240), (170, 170, 170)),
        ((150, 150, 150), (30, 80, 200)),
        ((150, 150, 160), (8, 8, 8)),
    ],
)
def test_an_object_on_one_colour_is_found_by_its_border(colour, background):
    coverage = find_foreground(Photo(picture(DISC, np.array(colour), np.array(background))))
    assert coverage.dtype == np.float32
    assert iou(coverage, DISC) > 0.95


def test_a_hole_shows_the_coloured_background_but_a_highlight_on_white_stays_the_objects():
    on_blue = find_foreground(Photo(picture(RING, np.array([150, 150, 150]), np.array([30, 80, 200]))))
    assert iou(on_blue, RING) > 0.95
    on_white = find_foreground(Photo(picture(RING, np.array([150, 150, 150]), np.array([255, 255, 255]))))
    assert iou(on_white, DISC) > 0.95


@pytest.mark.parametrize("background", [(255, 255, 255), (150, 150, 150), (30, 80, 200)])
def test_a_soft_shadow_is_not_the_object(background):
    shadow = cv2.GaussianBlur((np.hypot(X - 195, Y - 160) < 65).astype(np.float64), (0, 0), 12)[..., None]
    shaded = np.array(background) * (1 - 0.25 * shadow)
    coverage = find_foreground(Photo(picture(DISC, np.array([90, 60, 50]), shaded, noise=1.0)))
    assert iou(coverage, DISC) > 0.88


def test_an_object_on_a_mottled_background_is_found_by_grabcut():
    mottled = 0.4 * cv2.resize(np.random.default_rng(1).uniform(0, 255, (15, 20, 3)), (WIDTH, HEIGHT)) + np.array([60, 90, 40])
    rgb = picture(DISC, np.array([200, 60, 50]), mottled)
    coverage = find_foreground(Photo(rgb))
    assert iou(coverage, DISC) > 0.95
    np.testing.assert_array_equal(find_foreground(Photo(rgb)), coverage)  # its random start is fixed


@pytest.mark.parametrize("background", ["two tones", "wood"])
def test_grabcut_finds_on_a_coarse_copy_and_draws_the_outline_on_a_finer_one(monkeypatch, background):
    behind = {
        "two tones": np.where(LARGE_Y[..., None] < 300, [200, 190, 180], [120, 90, 70]),
        "wood": np.array([150, 110, 80]) + 40 * np.sin(LARGE_Y[..., None] / 9 + LARGE_X[..., None] / 130),
    }
    photo = Photo(picture(BRACKET, np.array([60, 60, 70]), behind[background], noise=4.0))
    fine = iou(find_foreground(photo), BRACKET)
    assert fine > 0.93
    monkeypatch.setattr(foreground, "GRABCUT_SIDES", (192, 192))
    assert fine > iou(find_foreground(photo), BRACKET) + 0.03


def test_a_fine_grain_of_the_background_is_lost_in_the_coarse_copy_and_not_taken_for_the_object(monkeypatch):
    grain = np.random.default_rng(1).normal(0, 25, (3 * HEIGHT // 2, 3 * WIDTH // 2, 3))
    behind = np.array([140, 120, 100]) + grain.repeat(2, axis=0).repeat(2, axis=1)
    photo = Photo(picture(BRACKET, np.array([80, 80, 95]), behind, noise=4.0))
    found = iou(find_foreground(photo), BRACKET)
    monkeypatch.setattr(foreground, "GRABCUT_SIDES", (384, 384))
    assert found > iou(find_foreground(photo), BRACKET) + 0.2


def test_what_the_coarse_copy_has_no_room_for_is_searched_on_the_finer_one():
    x, y = np.meshgrid(np.arange(1600), np.arange(40))  # of the coarse copy, five rows
    slat = (np.abs(x - 800) < 400) & (np.abs(y - 20) < 10)
    wood = np.array([150, 110, 80]) + 40 * np.sin(x[..., None] / 30)
    coverage = find_foreground(Photo(picture(slat, np.array([60, 60, 170]), wood, noise=4.0)))
    assert iou(coverage, slat) > 0.75  # the fine copy has ten rows


def test_a_large_photo_is_segmented_small_and_its_mask_enlarged_smoothly():
    large = cv2.resize(picture(DISC, np.array([90, 95, 100]), np.array([255, 255, 255])), (WIDTH * 8, HEIGHT * 8))
    truth = cv2.resize(DISC.astype(np.uint8), (WIDTH * 8, HEIGHT * 8)) > 0
    coverage = find_foreground(Photo(large))
    assert coverage.shape == truth.shape
    assert iou(coverage, truth) > 0.95


def test_alpha_is_taken_as_it_is_when_it_says_something():
    alpha = np.where(DISC, 200, 0).astype(np.uint8)
    rgb = picture(~DISC, np.array([10, 10, 10]), np.array([255, 255, 255]))
    np.testing.assert_allclose(find_foreground(Photo(rgb, alpha)), alpha / 255, atol=1e-6)


def test_opaque_alpha_says_nothing():
    rgb = picture(DISC, np.array([90, 95, 100]), np.array([255, 255, 255]))
    opaque = Photo(rgb, np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert iou(find_foreground(opaque), DISC) > 0.95
    assert find_foreground(opaque, background="alpha").min() == 1


def test_a_given_mask_comes_before_alpha_and_border():
    alpha = np.where(~DISC, 255, 0).astype(np.uint8)
    photo = Photo(picture(DISC, np.array([90, 95, 100]), np.array([255, 255, 255])), alpha)
    for background in ("auto", "mask"):
        np.testing.assert_array_equal(find_foreground(photo, RING, background), RING.astype(np.float32))
    np.testing.assert_array_equal(find_foreground(photo, RING, "alpha"), alpha / np.float32(255))


def test_none_takes_the_whole_image():
    photo = Photo(picture(DISC, np.array([90, 95, 100]), np.array([255, 255, 255])))
    assert (find_foreground(photo, background="none") == 1).all()


@pytest.mark.parametrize("source", ["mask", "alpha", "border"])
def test_specks_go_and_a_second_part_stays(source):
    mask = DISC.copy()
    mask[5:8, 5:8] = True  # 9 pixels of 15,000
    mask[200:230, 20:50] = True  # 900 pixels
    photo = Photo(picture(mask, np.array([90, 95, 100]), np.array([255, 255, 255])))
    if source == "alpha":
        photo = Photo(photo.rgb, mask.astype(np.uint8) * 255)
    found = find_foreground(photo, mask if source == "mask" else None) > 0.5
    assert not found[5:8, 5:8].any()
    assert found[200:230, 20:50].all()
    assert (found == mask)[DISC].all()


@pytest.mark.parametrize(
    "photo",
    [
        Photo(np.zeros((1, 1, 3), np.uint8)),
        Photo(np.full((50, 60, 3), 255, np.uint8)),
        Photo(np.zeros((50, 60, 3), np.uint8), np.zeros((50, 60), np.uint8)),
        Photo(np.random.default_rng(0).integers(0, 255, (3, 400, 3), dtype=np.uint8)),
    ],
    ids=["1x1", "plain white", "fully transparent", "too thin to segment"],
)
def test_nothing_to_see_is_no_foreground(photo):
    with pytest.raises(NoForeground, match="object: expected"):
        find_foreground(photo)


def test_a_1x1_image_is_no_object_even_as_a_whole():
    with pytest.raises(NoForeground, match="1x1"):
        find_foreground(Photo(np.zeros((1, 1, 3), np.uint8)), background="none")


@pytest.mark.parametrize(("side", "is_enough"), [(3, False), (4, True)])
def test_an_object_has_at_least_four_pixels_across(side, is_enough):
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[50, 50 : 50 + side] = True
    photo = Photo(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    if is_enough:
        assert find_foreground(photo, mask).sum() == side
    else:
        with pytest.raises(NoForeground, match="3x1"):
            find_foreground(photo, mask)


@pytest.mark.parametrize(("background", "message"), [("alpha", "alpha channel"), ("mask", "a mask"), ("green", "got 'green'")])
def test_a_source_that_is_not_there_is_an_invalid_option(background, message):
    with pytest.raises(InvalidOption, match=message):
        find_foreground(Photo(np.zeros((50, 50, 3), np.uint8)), background=background)


def test_an_empty_mask_is_no_foreground():
    with pytest.raises(NoForeground, match="found nothing"):
        find_foreground(Photo(np.zeros((50, 50, 3), np.uint8)), np.zeros((50, 50), np.bool_))

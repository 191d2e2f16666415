"""Camera effects: each beside what it says of itself, JPEG beside Pillow's."""

import io
import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from PIL import Image

from training.configs import PhotometryConfig
from training.data import photometry
from training.data.photometry import photographed

STRONG = {
    "exposure": 1.0,
    "white_balance": 0.4,
    "defocus": 2.0,
    "motion": 4.0,
    "noise": 0.1,
    "tone": 0.25,
    "saturation": 0.6,
    "sharpening": 2.0,
    "jpeg": 1.0,
}
EVERYTHING = PhotometryConfig(**STRONG, **{f"{name}_share": 1.0 for name in STRONG})


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=3, height=64, width=64):
    """Coloured slopes with a hard-edged box and some texture: what a photo of a part has."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width] / np.array([height, width]).reshape(2, 1, 1)
    found = []
    for _ in range(count):
        slope, base = rng.uniform(-0.4, 0.4, (2, 3)), rng.uniform(0.3, 0.7, 3)
        image = base[:, None, None] + slope[0][:, None, None] * (x - 0.5) + slope[1][:, None, None] * (y - 0.5)
        image[:, height // 4 : height // 2, width // 3 : -width // 4] = rng.uniform(0.1, 0.9, 3)[:, None, None]
        found.append(image + 0.03 * np.sin(50 * x + 30 * y))
    return torch.from_numpy(np.stack(found)).float().clamp(0, 1)


def each(value, count=3):
    return torch.full((count,), float(value))


def grey(value, count=1, side=64):
    return torch.full((count, 3, side, side), float(value))


def psnr(first, second):
    return -10 * math.log10(float((first - second).square().mean()))


def test_every_strength_has_its_share_and_is_tested_here():
    names = {field.name for field in fields(PhotometryConfig)}
    assert names == set(STRONG) | {f"{name}_share" for name in STRONG}


def test_without_strengths_the_pictures_and_the_generator_stay_as_they_are():
    generator = seeded()
    before, images = generator.get_state(), pictures()
    assert torch.equal(photographed(images, PhotometryConfig(), generator), images)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("name", STRONG)
def test_an_effect_changes_its_share_of_the_pictures_and_leaves_the_others_to_the_bit(name):
    images = pictures(1, 16, 16).expand(400, -1, -1, -1)

    def changed(share):
        found = photographed(images, PhotometryConfig(**{name: STRONG[name], f"{name}_share": share}), seeded())
        return float((found != images).flatten(1).any(1).float().mean())

    assert changed(0.0) == 0
    # A blur of less than half a pixel does nothing, which is a quarter of the radii up to 2.
    most = 0.75 if name == "defocus" else 1.0
    assert changed(1.0) == pytest.approx(most, abs=0.08)
    assert changed(0.3) == pytest.approx(0.3 * most, abs=0.08)


def test_pictures_stay_in_range_and_the_same_seed_gives_the_same():
    images = pictures(8)
    first, again, other = (photographed(images, EVERYTHING, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    assert first.shape == images.shape


def test_pictures_of_odd_sides_are_taken_as_well():
    assert photographed(pictures(2, 37, 51), EVERYTHING, seeded()).shape == (2, 3, 37, 51)


def test_a_stop_doubles_the_light():
    light = photometry.expose(grey(0.5), torch.tensor([1.0])) ** 2.2
    torch.testing.assert_close(light, 2 * grey(0.5) ** 2.2)
    assert torch.equal(photometry.expose(pictures(), each(0)), pictures())


def test_white_balance_parts_red_from_blue_and_keeps_the_luma_of_grey():
    warm = photometry.balance(grey(0.4, 2), torch.tensor([0.3, 0.0]), torch.tensor([0.0, 0.2]))
    red, green, blue = warm[:, :, 0, 0].T
    assert float(red[0] / blue[0]) == pytest.approx(math.exp(0.3), rel=1e-5)
    assert float(green[1] / red[1]) == pytest.approx(math.exp(0.2), rel=1e-5)
    torch.testing.assert_close(0.299 * red + 0.587 * green + 0.114 * blue, torch.tensor([0.4, 0.4]))


def point(count=1):
    image = torch.zeros(count, 3, 21, 21)
    image[..., 10, 10] = 1
    return image


def test_a_point_out_of_focus_becomes_a_disc_of_the_radius():
    spread = photometry.defocus(point(2), torch.tensor([3.0, 1.5]), reach=3)[:, 0]
    y, x = torch.meshgrid(torch.arange(21) - 10, torch.arange(21) - 10, indexing="ij")
    for disc, radius in zip(spread, (3.0, 1.5), strict=True):
        assert float(disc.sum()) == pytest.approx(1, rel=1e-5)
        assert (disc[torch.hypot(x.float(), y.float()) > radius + 0.5] == 0).all()
        # The mean squared distance within a disc is half the squared radius; the pixels' own size adds a little.
        assert float((disc * (x * x + y * y)).sum()) == pytest.approx(radius**2 / 2, rel=0.25)


def test_a_shaken_point_becomes_a_path_of_the_length_and_angle():
    spread = photometry.shake(point(3), torch.tensor([6.0, 6.0, 0.0]), torch.tensor([0.0, math.pi / 2, 0.0]), reach=3)[:, 0]
    offset = torch.arange(21.0) - 10
    for image, (rows, columns) in zip(spread, ((0, 3), (3, 0), (0, 0)), strict=True):
        assert float(image.sum()) == pytest.approx(1, rel=1e-5)
        assert float((image.sum(1) * offset**2).sum()) == pytest.approx(rows, abs=0.8)  # 6² / 12
        assert float((image.sum(0) * offset**2).sum()) == pytest.approx(columns, abs=0.8)
    torch.testing.assert_close(spread[2], point()[0, 0])


@pytest.mark.parametrize("effect", [photometry.defocus, lambda x, s, reach: photometry.shake(x, s, s, reach)])
def test_blur_keeps_an_even_picture_and_is_none_at_0(effect):
    torch.testing.assert_close(effect(grey(0.3, 3), each(2), reach=2), grey(0.3, 3))
    torch.testing.assert_close(effect(pictures(), each(0), reach=2), pictures())


def test_blur_takes_detail_away():
    detail = [float(photometry.defocus(pictures(), each(r), 3).diff(dim=-1).square().mean()) for r in (0, 1, 2, 3)]
    assert detail == sorted(detail, reverse=True)


@pytest.mark.parametrize(("value", "factor"), [(0.5, 1.0), (0.0, 2.0), (1.0, 1.02)])
def test_noise_has_its_level_at_middle_grey_and_twice_that_at_black(value, factor):
    noise = photometry.add_sensor_noise(grey(value, side=256), torch.tensor([0.02]), seeded()) - value
    assert float(noise.std()) == pytest.approx(0.02 * factor, rel=0.03)
    assert float(noise.mean()) == pytest.approx(0, abs=5e-4)


def test_a_third_of_the_noise_is_coloured_and_coarse():
    noise = photometry.add_sensor_noise(grey(0.5, side=256), torch.tensor([0.02]), seeded())[0] - 0.5
    common = float((noise[0] * noise[1]).mean() / noise[0].var())
    assert common == pytest.approx(2 / 3, abs=0.03)
    coloured = noise[0] - noise[1]
    assert torch.equal(coloured[::2, ::2].sign(), coloured[1::2, 1::2].sign())


def test_no_noise_at_level_0():
    torch.testing.assert_close(photometry.add_sensor_noise(pictures(), each(0), seeded()), pictures())


@pytest.mark.parametrize("lift", [-0.25, 0.0, 0.25])
@pytest.mark.parametrize("contrast", [-0.25, 0.0, 0.25])
def test_tone_curves_rise_from_black_to_white(lift, contrast):
    ramp = torch.linspace(0, 1, 257).expand(1, 3, 1, 257)
    curve = photometry.bend_tones(ramp, torch.tensor([lift]), torch.tensor([contrast]))[0, 0, 0]
    assert (float(curve[0]), float(curve[-1])) == (0, 1)
    assert float(curve.diff().min()) > -1e-6
    assert float(curve[128]) == pytest.approx(0.5 + lift / 2)
    slope = 256 * float(curve[129] - curve[127]) / 2
    assert slope == pytest.approx(1 + contrast, abs=1e-3)


def test_saturation_moves_colours_from_grey_at_the_same_luma():
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    images = pictures()
    for gain in (-1.0, -0.5, 0.0, 0.5):
        changed = photometry.saturate(images, each(gain))
        torch.testing.assert_close((changed * luma).sum(1), (images * luma).sum(1))
        torch.testing.assert_close(changed[:, 0] - changed[:, 2], (images[:, 0] - images[:, 2]) * (1 + gain))


def test_sharpening_draws_a_halo_along_edges_alone():
    edge = grey(0.3)
    edge[..., 32:] = 0.6
    row = photometry.sharpen(edge, torch.tensor([1.0]))[0, 0, 32]
    assert float(row[32]) == pytest.approx(0.6 + 0.25 * 0.3)
    assert float(row[31]) == pytest.approx(0.3 - 0.25 * 0.3)
    torch.testing.assert_close(row[:31], torch.full((31,), 0.3))
    assert torch.equal(photometry.sharpen(edge, torch.tensor([0.0])), edge)


def pillow_jpeg(images, quality):
    """The slow twin: each picture through a real file."""
    found = []
    for image in (images * 255).round().byte().permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        found.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("side", [(64, 64), (50, 75)])
@pytest.mark.parametrize("quality", [30, 49, 50, 75, 95])
def test_jpeg_is_pillows(quality, side):
    images = pictures(3, *side)
    ours, theirs = photometry.compress(images, each(quality)), pillow_jpeg(images, quality)
    assert psnr(ours, theirs) > 45
    assert psnr(ours, theirs) > psnr(ours, images) + 6


def test_stronger_compression_errs_more():
    images = pictures()
    errors = [-psnr(photometry.compress(images, each(quality)), images) for quality in (95, 80, 60, 40, 20, 5)]
    assert errors == sorted(errors)
    assert errors[0] < -35


def test_each_picture_has_its_own_quality():
    images = pictures(2)
    both = photometry.compress(images, torch.tensor([30.0, 90.0]))
    for number, quality in enumerate((30.0, 90.0)):
        torch.testing.assert_close(both[number : number + 1], photometry.compress(images[number : number + 1], each(quality, 1)))


def test_even_grey_survives_compression():
    image = grey(128 / 255)
    torch.testing.assert_close(photometry.compress(image, torch.tensor([90.0])), image)

"""From bytes to what the network sees; and bytes that are no photo."""

import contextlib
import io
import struct
import sys
import tracemalloc
import weakref
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.camera import FILL, OrthographicCamera, PinholeCamera
from model.errors import CameraTooClose, ImageTooLarge, InvalidMask, UnreadableImage, UnsupportedImage
from model.image import OUTLINE_SIZE, VISIBLE_COVERAGE, Photo, _resample, prepare, read_mask, read_photo

# Blocks of eight pixels, so that JPEG's blocks do not mix them: red, green, blue, white from left to right, darker below.
BLOCKS = np.kron(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]] * 3), np.ones((8, 8, 1))).astype(np.uint8)
BLOCKS[16:] //= 4
GREY = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (24, 1))


def encoded(image, file_format, **options):
    content = io.BytesIO()
    image.save(content, file_format, **options)
    return content.getvalue()


def png_header(width, height):
    """A PNG that announces its size and holds (almost) nothing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


COLOUR = Image.fromarray(BLOCKS)
PILLOW_MAY_WARN = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged EXIF, which it then leaves out


@pytest.mark.parametrize(
    ("content", "tolerance"),
    [
        (encoded(COLOUR, "PNG"), 0),
        (encoded(COLOUR, "BMP"), 0),
        (encoded(COLOUR, "TIFF", compression="tiff_lzw"), 0),
        (encoded(COLOUR, "WEBP", lossless=True), 0),
        (encoded(COLOUR, "JPEG", quality=95, subsampling=0), 6),
        (encoded(COLOUR.quantize(16), "PNG"), 0),
        (encoded(COLOUR.convert("CMYK"), "JPEG", quality=95), 8),
        (encoded(COLOUR, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", COLOUR.size)]), 0),
    ],
    ids=["png", "bmp", "tiff", "webp", "jpeg", "palette", "cmyk jpeg", "first frame of an animation"],
)
def test_each_kind_of_file_gives_the_same_colours(content, tolerance):
    photo = read_photo(content)
    assert photo.rgb.dtype == np.uint8
    assert photo.alpha is None
    assert photo.focal_length_px is None
    assert np.abs(photo.rgb.astype(int) - BLOCKS).max() <= tolerance


@pytest.mark.parametrize(
    "content",
    [
        encoded(Image.fromarray(GREY), "PNG"),
        encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
        encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
        encoded(Image.fromarray(GREY.astype(np.int32)), "TIFF"),
        encoded(Image.fromarray(GREY.astype(np.float32) / 255), "TIFF"),
    ],
    ids=["8 bits", "16 bits", "16-bit tiff", "32-bit tiff", "float tiff"],
)
def test_grey_of_any_depth_is_the_same_grey(content):
    photo = read_photo(content)
    np.testing.assert_array_equal(photo.rgb, np.repeat(GREY[..., None], 3, axis=2))


def test_alpha_is_kept_beside_the_colours_that_lie_under_it():
    rgba = np.dstack([BLOCKS, GREY])
    photo = read_photo(encoded(Image.fromarray(rgba), "PNG"))
    np.testing.assert_array_equal(photo.rgb, BLOCKS)
    np.testing.assert_array_equal(photo.alpha, GREY)


def test_a_transparent_palette_colour_becomes_alpha():
    palette = COLOUR.quantize(16)
    transparent = palette.getpixel((0, 0))
    photo = read_photo(encoded(palette, "PNG", transparency=transparent))
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha == 0, (BLOCKS == [255, 0, 0]).all(axis=2))


def exif(orientation, focal_length_35mm=None):
    tags = Image.Exif()
    tags[0x0112] = orientation
    if focal_length_35mm is not None:
        tags.get_ifd(0x8769)[0xA405] = focal_length_35mm
    return tags


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_each_exif_orientation_is_turned_upright(orientation, file_format):
    """Against the definition: which corner of the stored picture is shown at the top left, and which way it goes on."""
    stored_from_upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[::-1],
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    }
    stored = Image.fromarray(np.ascontiguousarray(stored_from_upright[orientation](BLOCKS)))
    photo = read_photo(encoded(stored, file_format, exif=exif(orientation), **({"quality": 95} if file_format != "TIFF" else {})))
    assert photo.rgb.shape == BLOCKS.shape
    assert np.abs(photo.rgb.astype(int) - BLOCKS).mean() < 20


def test_the_focal_length_is_that_of_the_upright_image_in_pixels():
    """36 mm full-frame width for 50 mm: on a 3:2 picture 50/36 of its longer side."""
    stored = Image.new("RGB", (200, 300))
    photo = read_photo(encoded(stored, "JPEG", exif=exif(6, focal_length_35mm=50)))
    assert photo.rgb.shape == (200, 300, 3)
    assert photo.focal_length_px == pytest.approx(50 / 36 * 300, rel=1e-3)


@pytest.mark.parametrize("focal_length", [0, None])
def test_an_unknown_focal_length_is_none(focal_length):
    assert read_photo(encoded(COLOUR, "JPEG", exif=exif(1, focal_length))).focal_length_px is None


@PILLOW_MAY_WARN
def test_damaged_exif_does_not_cost_the_photo():
    content = encoded(COLOUR, "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage")
    assert read_photo(content).rgb.shape == BLOCKS.shape


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"hello", "text"),
        (b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF"),
        (encoded(COLOUR, "GIF"), "GIF"),
        (b"%PDF-1.7", "PDF"),
        (bytes(range(200)), "00 01 02"),
        (b"\x89PN", "89 50 4e"),
    ],
)
def test_what_is_no_photo_is_named_beside_what_is_read(content, found):
    with pytest.raises(UnsupportedImage, match=f"expected a PNG, JPEG, WebP, BMP, TIFF or HEIC file, got .*{found}"):
        read_photo(content)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_a_file_cut_anywhere_is_unreadable_and_nothing_worse(file_format):
    content = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)), file_format)
    for length in range(0, len(content) * 3 // 4, 37):
        with pytest.raises(UnreadableImage):
            read_photo(content[:length])


@PILLOW_MAY_WARN
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_damaged_bytes_give_a_photo_or_an_unreadable_image(file_format):
    content = encoded(COLOUR, file_format, **({"exif": exif(6, 35)} if file_format != "BMP" else {}))
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(content)
        for position in rng.integers(4, len(content), 6):
            damaged[position] = rng.integers(256)
        with contextlib.suppress(UnreadableImage):
            assert read_photo(bytes(damaged), max_pixels=100_000).rgb.ndim == 3


HEIC = Path(__file__).parent / "heic"  # pi-heif only reads; README.md there says how they were made


@pytest.fixture
def heic_reader():
    return pytest.importorskip("pi_heif")


@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_a_heic_photo_is_turned_upright_once_and_tells_its_focal_length(heic_reader, orientation):
    """As phones write them: the container's rotation and EXIF's orientation both say how the picture is to be turned."""
    photo = read_photo((HEIC / f"blocks-{orientation}.heic").read_bytes())
    expected = np.kron(BLOCKS[::8, ::8], np.ones((32, 32, 1), int))
    assert photo.rgb.shape == expected.shape
    assert np.abs(photo.rgb.astype(int) - expected).mean() < 3
    assert photo.alpha is None
    assert photo.focal_length_px == pytest.approx(26 * np.hypot(128, 96) / 43.2666, rel=1e-3)


def test_alpha_of_a_heic_file_is_kept(heic_reader):
    photo = read_photo((HEIC / "alpha.heic").read_bytes())
    assert photo.alpha is not None
    np.testing.assert_allclose(photo.alpha.astype(int), np.tile(np.linspace(0, 255, 128), (96, 1)), atol=4)


def test_too_many_pixels_of_a_heic_file_are_refused_from_its_header(heic_reader, monkeypatch):
    content = (HEIC / "blocks-1.heic").read_bytes()
    assert read_photo(content, max_pixels=128 * 96).rgb.shape == (96, 128, 3)
    monkeypatch.setattr(heic_reader.HeifImageFile, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(ImageTooLarge, match="at most 12,287 pixels, got 128x96"):
        read_photo(content, max_pixels=128 * 96 - 1)
    size, huge = struct.pack(">II", 128, 96), struct.pack(">II", 10_000, 6_000)
    assert content.count(size) == 1
    with pytest.raises(ImageTooLarge, match="at most 50,000,000 pixels, got 10000x6000"):
        read_photo(content.replace(size, huge))


def test_a_picture_larger_than_its_heic_header_says_is_refused_too(heic_reader):
    content = (HEIC / "blocks-1.heic").read_bytes()
    with pytest.raises(UnreadableImage):
        read_photo(content.replace(struct.pack(">II", 128, 96), struct.pack(">II", 12, 9)), max_pixels=1000)


def test_a_heic_file_cut_or_damaged_gives_a_photo_or_an_unreadable_image(heic_reader):
    content = (HEIC / "blocks-6.heic").read_bytes()
    for length in range(12, len(content) * 3 // 4, 37):
        with pytest.raises(UnreadableImage):
            read_photo(content[:length])
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(content)
        for position in rng.integers(12, len(content), 6):
            damaged[position] = rng.integers(256)
        with contextlib.suppress(UnreadableImage):
            assert read_photo(bytes(damaged), max_pixels=100_000).rgb.ndim == 3


@pytest.mark.parametrize("what", ["image", "mask"])
def test_without_its_extra_a_heic_file_is_unsupported_and_the_extra_named(monkeypatch, what):
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # its import fails
    content = (HEIC / "blocks-1.heic").read_bytes()
    read = read_photo if what == "image" else lambda content: read_mask(content, Photo(BLOCKS))
    with pytest.raises(UnsupportedImage, match=rf"^{what}: expected .* got an HEIC.*pip install pi-heif"):
        read(content)


def test_colours_that_cannot_be_converted_are_unreadable(monkeypatch):
    def refuse(image, mode):
        raise ValueError(f"conversion from {image.mode} to {mode} not supported")

    monkeypatch.setattr(Image.Image, "convert", refuse)
    content = encoded(Image.new("LAB", (8, 8)), "TIFF")
    with pytest.raises(UnreadableImage, match="conversion from LAB to RGB"):
        read_photo(content)


def test_an_empty_file_is_unreadable_and_not_merely_unsupported():
    with pytest.raises(UnreadableImage, match="0 bytes") as caught:
        read_photo(b"")
    assert not isinstance(caught.value, UnsupportedImage)


@pytest.mark.parametrize(("width", "height"), [(10_000, 6_000), (12_000, 12_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_from_the_header_without_decoding(width, height):
    """Pillow's own limits lie at 89 and 179 megapixels: neither its warning nor its error may come first."""
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLarge, match=f"at most 50,000,000 pixels, got {width}x{height}"):
            read_photo(png_header(width, height))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_pixel_limit_itself_is_allowed():
    assert read_photo(encoded(COLOUR, "PNG"), max_pixels=24 * 32).rgb.shape == (24, 32, 3)
    with pytest.raises(ImageTooLarge):
        read_photo(encoded(COLOUR, "PNG"), max_pixels=24 * 32 - 1)


def test_a_mask_is_white_or_opaque_where_the_object_is():
    photo = read_photo(encoded(COLOUR, "PNG"))
    white = GREY > 127
    np.testing.assert_array_equal(read_mask(encoded(Image.fromarray(GREY), "PNG"), photo), white)
    np.testing.assert_array_equal(read_mask(encoded(Image.fromarray(white), "PNG"), photo), white)
    opaque = np.dstack([np.zeros_like(BLOCKS), GREY])
    np.testing.assert_array_equal(read_mask(encoded(Image.fromarray(opaque), "PNG"), photo), white)


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    photo = read_photo(encoded(COLOUR, "PNG"))
    with pytest.raises(InvalidMask, match=r"expected 32x24 .* got 24x32"):
        read_mask(encoded(COLOUR.rotate(90, expand=True), "PNG"), photo)


def test_a_mask_that_is_no_image_is_called_a_mask():
    with pytest.raises(UnsupportedImage, match="mask: expected"):
        read_mask(b"nothing", read_photo(encoded(COLOUR, "PNG")))


def square_photo(size, left, top, width, height, colour=(200, 50, 50)):
    """A photo of a rectangle on black, and its coverage."""
    rgb, coverage = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32)
    rgb[top : top + height, left : left + width] = colour
    coverage[top : top + height, left : left + width] = 1
    return Photo(rgb), coverage


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.7])
def test_the_silhouettes_longer_side_fills_its_share_of_the_crop(scale):
    photo, coverage = square_photo(1000, 100, 300, round(200 * scale), round(100 * scale))
    prepared = prepare(photo, coverage, 224, "orthographic", 2.0)
    rows, columns = prepared.silhouette.sum(axis=1), prepared.silhouette.sum(axis=0)
    assert prepared.silhouette.shape == (OUTLINE_SIZE, OUTLINE_SIZE)
    assert rows.max() == pytest.approx(FILL * OUTLINE_SIZE, rel=0.005)
    assert columns.max() == pytest.approx(FILL * OUTLINE_SIZE / 2, rel=0.01)
    np.testing.assert_allclose(prepared.silhouette, prepared.silhouette[::-1, ::-1], atol=2e-3)  # centred
    assert (prepared.crop.centre_x, prepared.crop.centre_y) == (100 + 100 * scale, 300 + 50 * scale)
    assert prepared.crop.side == pytest.approx(200 * scale / FILL)
    assert prepared.pixels.shape == (3, 224, 224)
    assert prepared.pixels.dtype == prepared.silhouette.dtype == np.float32


def test_the_object_keeps_its_colour_on_white_without_a_dark_fringe():
    """The black around the object is not mixed into its edge: every pixel lies between the object's colour and white."""
    photo, coverage = square_photo(400, 100, 120, 150, 90)
    prepared = prepare(photo, coverage, 100, "orthographic", 2.0)
    colour = np.array([200, 50, 50])[:, None, None] / 255
    opacity = (1 - prepared.pixels[2]) / (1 - colour[2])
    assert (opacity > -1e-3).all()
    assert (opacity < 1 + 1e-3).all()
    np.testing.assert_allclose(prepared.pixels, opacity * colour + (1 - opacity), atol=1e-3)
    assert opacity.mean() == pytest.approx(prepared.silhouette.mean(), rel=0.01)
    np.testing.assert_array_equal(prepared.pixels[:, 0], 1)


def test_colours_under_alpha_0_never_show_even_where_a_mask_says_object():
    photo, coverage = square_photo(200, 50, 50, 100, 100)
    alpha = np.full((200, 200), 255, np.uint8)
    alpha[50:100, 50:150] = 0
    prepared = prepare(Photo(photo.rgb, alpha), coverage, 100, "orthographic", 2.0)
    np.testing.assert_allclose(prepared.pixels[:, 10:45, 50], 1, atol=1e-5)
    np.testing.assert_allclose(prepared.silhouette[26:115, 128], 1, atol=1e-5)


def test_a_crop_at_scale_1_takes_the_pixels_as_they_are():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (120, 120, 3), dtype=np.uint8)
    coverage = np.zeros((120, 120), np.float32)
    coverage[15:105, 15:105] = 1  # 90 pixels: a crop of exactly 100
    prepared = prepare(Photo(rgb), coverage, 100, "orthographic", 2.0)
    np.testing.assert_allclose(prepared.pixels[:, 5:95, 5:95], rgb[15:105, 15:105].transpose(2, 0, 1) / 255, atol=1e-5)
    assert (prepared.pixels[:, :5] == 1).all()


def test_a_crop_may_reach_outside_the_image():
    photo, coverage = square_photo(90, 0, 0, 90, 20)
    prepared = prepare(photo, coverage, 224, "orthographic", 2.0)
    assert (prepared.pixels[:, :50] == 1).all()
    assert (prepared.silhouette[:, :5] == 0).all()
    assert prepared.silhouette.mean() == pytest.approx(0.9 * 0.2, rel=0.02)


def test_fine_stripes_become_grey_and_not_other_stripes():
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    prepared = prepare(Photo(stripes), np.ones((1000, 1000), np.float32), 64, "orthographic", 2.0)
    np.testing.assert_allclose(prepared.pixels[:, 8:56, 8:56], 0.5, atol=0.02)


@pytest.mark.parametrize("size", [16, 64, 300])
def test_what_is_far_from_the_crop_does_not_change_it(size, rng):
    """The slow twin: the whole photo resampled."""
    for _ in range(20):
        height, width = rng.integers(30, 200, 2)
        top, left = rng.integers(0, height), rng.integers(0, width)
        foreground = rng.uniform(0, VISIBLE_COVERAGE, (height, width)).astype(np.float32)  # too faint to count for the crop
        part = foreground[top : top + rng.integers(1, 100), left : left + rng.integers(1, 100)]
        part[...] = rng.uniform(0.5, 1, part.shape)
        photo = Photo(rng.integers(0, 256, (height, width, 3), np.uint8))
        prepared = prepare(photo, foreground, size, "orthographic", 3.0)
        white = 1 - _resample(foreground, prepared.crop, size)
        colours = [
            _resample(photo.rgb[..., channel] * np.float32(1 / 255) * foreground, prepared.crop, size) for channel in range(3)
        ]
        np.testing.assert_allclose(prepared.pixels, np.clip(np.stack(colours) + white, 0, 1), atol=1e-6)
        silhouette = _resample(foreground, prepared.crop, max(size, OUTLINE_SIZE))
        np.testing.assert_allclose(prepared.silhouette, np.clip(silhouette, 0, 1), atol=1e-6)


def test_a_very_long_image_costs_memory_by_its_pixels_and_not_by_its_square():
    rgb = np.zeros((8, 30_000, 3), np.uint8)
    tracemalloc.start()
    prepared = prepare(Photo(rgb), np.ones((8, 30_000), np.float32), 224, "orthographic", 2.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert prepared.silhouette.max() > 0
    assert peak < 60_000_000


def test_the_orthographic_camera_is_the_one_asked_for():
    photo, coverage = square_photo(100, 10, 10, 50, 50)
    assert isinstance(prepare(photo, coverage, 32, "orthographic", 2.0).camera, OrthographicCamera)


def test_the_pinhole_stands_at_focal_length_over_side_and_sees_off_axis():
    photo, coverage = square_photo(400, 250, 60, 90, 45)  # side 100, centre (295, 82.5): right of and above the axis
    camera = prepare(Photo(photo.rgb, None, 350.0), coverage, 32, "pinhole", 2.0).camera
    assert isinstance(camera, PinholeCamera)
    np.testing.assert_allclose([camera.distance, camera.offset_x, camera.offset_y], [3.5, 0.95, 1.175])
    centred = prepare(Photo(photo.rgb, None, 350.0, (295.0, 82.5)), coverage, 32, "pinhole", 2.0).camera
    assert centred == PinholeCamera(3.5, 0.0, 0.0)


def test_the_default_distance_holds_without_a_focal_length():
    photo, coverage = square_photo(100, 5, 5, 90, 90)
    assert prepare(photo, coverage, 32, "pinhole", 2.25).camera == PinholeCamera(2.25, 0.0, 0.0)


def test_a_focal_length_shorter_than_the_object_belongs_to_another_picture_and_is_not_used():
    """A photo that was cropped after it was taken keeps the focal length of the whole one."""
    photo, coverage = square_photo(100, 5, 5, 90, 90)
    prepared = prepare(Photo(photo.rgb, None, 50.0), coverage, 32, "pinhole", 2.0)
    assert prepared.camera == PinholeCamera(2.0, 0.0, 0.0)
    assert prepared.camera_source == "bundle"
    assert prepare(Photo(photo.rgb, None, 150.0), coverage, 32, "pinhole", 2.0).camera_source == "photo"


@pytest.mark.parametrize("of_photo", [None, 50.0, 400.0])
def test_a_requests_focal_length_goes_before_the_photos(of_photo):
    photo, coverage = square_photo(100, 5, 5, 90, 90)
    prepared = prepare(Photo(photo.rgb, None, of_photo), coverage, 32, "pinhole", 2.0, focal_length_px=150.0)
    assert (prepared.camera, prepared.camera_source) == (PinholeCamera(1.5), "request")


def test_a_requests_focal_length_may_be_any_that_leaves_the_camera_outside_the_volume():
    """Unlike a photo's own, it cannot be of another picture: what is too short is refused, not left out."""
    photo, coverage = square_photo(100, 5, 5, 90, 90)
    assert prepare(photo, coverage, 32, "pinhole", 2.0, focal_length_px=81.0).camera == PinholeCamera(0.81)
    with pytest.raises(CameraTooClose, match=r"focal_length_px: expected more than 80 pixels .* got 79"):
        prepare(photo, coverage, 32, "pinhole", 2.0, focal_length_px=79.0)


def test_the_coverage_of_the_whole_photo_is_kept_and_its_colours_are_not():
    photo, coverage = square_photo(100, 10, 20, 50, 30)
    coverage[20:50, 10] = np.linspace(0.1, 0.9, 30)
    colours = weakref.ref(photo.rgb)
    prepared = prepare(photo, coverage, 32, "orthographic", 2.0)
    assert prepared.foreground.dtype == np.uint8
    np.testing.assert_array_equal(prepared.foreground, np.rint(coverage * 255))
    del photo, coverage
    assert colours() is None


def test_preparing_nothing_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="object"):
        prepare(Photo(BLOCKS), np.zeros((24, 32), np.float32), 32, "pinhole", 2.0)

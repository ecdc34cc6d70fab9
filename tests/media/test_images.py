import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from jaxanim.errors import InputError
from jaxanim.media.images import (
    contact_sheet,
    read_image,
    resize,
    resize_and_crop,
    to_float,
    to_uint8,
    write_png,
)
from tests.media.profiles import display_p3, p3_to_srgb


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_png_keeps_every_value(tmp_path, picture):
    write_png(tmp_path / "folder" / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "folder" / "a.png"), picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "folder" / "a.png"))[..., ::-1], picture)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.png"]


def test_images_of_other_kinds(tmp_path, picture):
    grey = picture[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), grey[..., None].repeat(3, -1))

    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), grey[..., None].repeat(3, -1))

    clear = np.dstack([picture, np.zeros((20, 30), np.uint8)])
    clear[:10, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    read = read_image(tmp_path / "clear.png")
    np.testing.assert_array_equal(read[:10], picture[:10])
    assert (read[10:] == 255).all()

    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(picture, -1))


def test_transparency_is_laid_over_a_background_of_choice(tmp_path, picture):
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[10:15], alpha[15:] = 51, 0
    Image.fromarray(np.dstack([picture, alpha])).save(tmp_path / "a.png")
    black = read_image(tmp_path / "a.png", (0, 0, 0))
    np.testing.assert_array_equal(black[:10], picture[:10])
    np.testing.assert_allclose(black[10:15], 0.2 * picture[10:15], atol=1)
    assert not black[15:].any()
    Image.fromarray(np.dstack([picture[..., 0], alpha]), "LA").save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", (0, 0, 0))[:10, :, 1], picture[:10, :, 0])
    drawn = Image.fromarray(picture[..., 0] // 64).convert("P")
    drawn.info["transparency"] = 3
    drawn.save(tmp_path / "palette.png")
    assert not read_image(tmp_path / "palette.png", (0, 0, 0))[picture[..., 0] // 64 == 3].any()


def test_colour_profiles_are_converted_from(tmp_path):
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8), (30, 20))
    for name, mode in (("p3.png", "RGB"), ("p3.tiff", "RGB"), ("clear.png", "RGBA")):
        Image.fromarray(picture).convert(mode).save(tmp_path / name, icc_profile=display_p3())
        read = read_image(tmp_path / name).astype(float)
        assert np.abs(read - p3_to_srgb(picture)).max() < 1.6
        assert np.abs(read - picture).max() > 20
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("srgb.png", srgb), ("broken.png", b"no profile"), ("cut.png", display_p3()[:200])):
        Image.fromarray(picture).save(tmp_path / name, icc_profile=profile)
        assert np.abs(read_image(tmp_path / name).astype(int) - picture).max() <= 1


def test_cmyk_bitmaps_animations_and_modern_formats(tmp_path, picture):
    ink = np.dstack([255 - picture, np.zeros((20, 30), np.uint8)])
    Image.fromarray(ink, "CMYK").save(tmp_path / "ink.tiff")
    np.testing.assert_array_equal(read_image(tmp_path / "ink.tiff"), picture)
    Image.fromarray(picture[..., 0] > 99).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 1], 255 * (picture[..., 0] > 99))
    first, second = (Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (40, 200))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert read_image(tmp_path / "moving.gif").mean() == 40
    smooth = cv2.resize(picture[:3, :4], (40, 30))
    for name in ("a.avif", "a.webp"):
        Image.fromarray(smooth).save(tmp_path / name, quality=95)
        assert np.abs(read_image(tmp_path / name).astype(int) - smooth).mean() < 6


@pytest.mark.parametrize("full", [1, 255, 65535])
def test_floating_point_is_scaled(tmp_path, picture, full):
    values = (picture[..., 0] * (full / 255)).astype(np.float32)
    values[0, 0] = full
    Image.fromarray(values).save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tiff")[1:, :, 2], picture[1:, :, 0])


@pytest.mark.parametrize("value", [np.nan, -3.0, 1e6, np.inf])
def test_floating_point_that_is_no_grey_level_is_refused(tmp_path, value):
    Image.fromarray(np.array([[0, 0.5, value]], np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match=r"image .*a\.tiff cannot be read.* are no grey levels"):
        read_image(tmp_path / "a.tiff")


def test_bad_images_are_named(tmp_path, picture):
    write_png(tmp_path / "good.png", picture)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:500])
    for name, reason in {"none.png": "does not exist", "empty.png": "empty", "text.png": "cannot be read",
                         "cut.png": "cannot be read", ".": "is a folder"}.items():  # fmt: skip
        with pytest.raises(InputError, match=reason) as raised:
            read_image(tmp_path / name)
        assert str(tmp_path) in str(raised.value)


def test_float_and_back_is_exact():
    values = np.arange(256, dtype=np.uint8)
    assert to_float(values).min() == -1
    assert to_float(values).max() == 1
    np.testing.assert_array_equal(to_uint8(to_float(values)), values)
    np.testing.assert_array_equal(to_uint8(np.array([-3.0, 3.0], np.float32)), [0, 255])


def test_resize_averages_areas(picture):
    video = np.stack([picture, picture[::-1]])
    expected = video.reshape(2, 10, 2, 15, 2, 3).mean((2, 4))
    np.testing.assert_allclose(resize(video, (10, 15)), expected, atol=0.51)
    assert resize(video, (40, 45)).shape == (2, 40, 45, 3)
    assert resize(picture[..., :1], (10, 15)).shape == (10, 15, 1)
    with pytest.raises(InputError, match="0x4"):
        resize(picture, (0, 4))


def test_resize_and_crop_keeps_the_aspect():
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    np.testing.assert_array_equal(resize_and_crop(wide, (10, 10)), np.full((10, 10, 3), 255))
    assert resize_and_crop(wide, (13, 7)).shape == (13, 7, 3)
    assert resize_and_crop(wide.transpose(1, 0, 2), (31, 47)).shape == (31, 47, 3)


def test_contact_sheet(picture):
    sheet = contact_sheet([("result", [picture, picture[:10]]), ("truth", picture[None])], ["one", "two"], gap=3)
    places = [
        (y, x)
        for y in range(sheet.shape[0] - 19)
        for x in range(sheet.shape[1] - 29)
        if np.array_equal(sheet[y : y + 20, x : x + 30], picture)
    ]
    assert len(places) == 2
    assert places[1] == (places[0][0] + 23, places[0][1])
    above = sheet[: places[0][0], places[0][1] :]
    left = sheet[places[0][0] :, : places[0][1]]
    assert above.min() < 100, "no column titles"
    assert left.min() < 100, "no row labels"
    for empty in ([], [("a", [])]):
        with pytest.raises(InputError, match="at least one"):
            contact_sheet(empty)

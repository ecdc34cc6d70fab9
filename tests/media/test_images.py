import cv2
import numpy as np
import pytest
from PIL import Image

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

import chex
import cv2
import numpy as np
import pytest

from jaxanim.cues.densepose import colored
from jaxanim.cues.part_maps import parts_of
from jaxanim.media.video import read_video, write_video


@pytest.fixture(scope="module")
def parts():
    """Every part as a square, on a ground of nobody that is three fifths of the picture."""
    out = np.zeros((3, 64, 160), np.uint8)
    for k in range(25):
        y, x = 8 + 24 * (k // 13), 2 + 12 * (k % 13)
        out[:, y : y + 16, x : x + 10] = k
    return out


def scaled(parts, factor):
    return (parts * factor).astype(np.uint8)


def three(grey):
    return np.repeat(grey[..., None], 3, -1)


def parula(parts):
    levels = scaled(parts.astype(np.float32), 255 / 24)
    return np.stack([cv2.applyColorMap(frame, cv2.COLORMAP_PARULA)[..., ::-1] for frame in levels])


def over(pictures, parts, color):
    return np.where(parts[..., None] > 0, pictures, np.uint8(color))


def iuv(parts):
    rng = np.random.default_rng(0)
    uv = rng.integers(0, 256, (*parts.shape, 2), np.uint8) * (parts[..., None] > 0)
    return np.concatenate([uv, parts[..., None]], -1).astype(np.uint8)


FORMS = {
    "plain": three,
    "scaled": lambda parts: three(scaled(parts.astype(np.float32), 255 / 24)),
    "tens": lambda parts: three(scaled(parts, 10)),
    "iuv": iuv,
    "viridis": colored,
    "viridis over black": lambda parts: over(colored(parts), parts, 0),
    "viridis over white": lambda parts: over(colored(parts), parts, 255),
    "parula": parula,
    "parula over black": lambda parts: over(parula(parts), parts, 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_parts_back(form, parts):
    chex.assert_trees_all_equal(parts_of(FORMS[form](parts)), parts)


@pytest.mark.parametrize("form", ["viridis over black", "parula", "scaled"])
def test_compressed_video_does_too_but_for_edges(form, parts, tmp_path):
    write_video(tmp_path / "parts.mp4", FORMS[form](parts), pixel_format="yuv444p", crf=8)
    found = parts_of(read_video(tmp_path / "parts.mp4")[0])
    inside = np.stack([cv2.erode((parts[0] == k).astype(np.uint8), np.ones((5, 5))) for k in range(25)]).any(0)
    assert (found == parts)[:, inside].mean() > 0.98


def test_other_videos_are_none():
    rng = np.random.default_rng(1)
    smooth = np.stack([cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (160, 64)) for _ in range(3)])
    assert parts_of(smooth) is None
    assert parts_of(three(smooth[..., 0])) is None
    assert parts_of(np.zeros((2, 32, 32, 3), np.uint8)) is None
    mask = np.zeros((2, 32, 32, 3), np.uint8)
    mask[:, 8:20] = 255
    assert parts_of(mask) is None

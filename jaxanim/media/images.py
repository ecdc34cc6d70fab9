"""Reading, writing, resizing and tabulating images."""

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps

from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path, check_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm")


def read_image(
    path: str | os.PathLike, background: tuple[int, int, int] = (255, 255, 255)
) -> UInt8[np.ndarray, "height width 3"]:
    """An image file as sRGB, upright (EXIF rotation applied), transparency laid over `background`.

    A colour profile is converted from; 16 bits are brought to 8; floating point is taken in [0, 1], or, where there
    is more, in [0, 255] or [0, 65535].

    Raises InputError if the file is missing, empty, or not a readable image.
    """
    path = Path(path)
    check_file(path, "image")
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                # Pillow clips 16-bit grey to 8 bits on conversion; the high byte is the picture.
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            elif image.mode == "F":
                image = Image.fromarray(_to_bytes(np.asarray(image)))
            alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
            image = _to_srgb(image, opened.info.get("icc_profile"))
            if alpha is not None:
                image = Image.composite(image, Image.new("RGB", image.size, background), alpha)
            return np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"image {path} cannot be read, it is corrupt or not an image: {error}") from error


def _to_bytes(values: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(values).all() and low >= 0 and high <= 65535):
        raise ValueError(f"its values, {low:g} to {high:g}, are no grey levels")
    full = 1 if high <= 1 else 255 if high <= 255 else 65535
    return np.rint(values * (255 / full)).astype(np.uint8)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB; by the picture's own colour profile where it has one that can be used."""
    if image.mode in ("P", "PA", "LA", "RGBA", "RGBa"):
        image = image.convert("L" if image.mode == "LA" else "RGBA").convert("L" if image.mode == "LA" else "RGB")
    if profile is not None:
        # One that is damaged, or for another kind of picture, is passed over, as viewers do.
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")


def write_png(path: str | os.PathLike, image: UInt8[np.ndarray, "height width *channels"]) -> None:
    """Writes grey, RGB or RGBA pixels without loss; the file appears whole or not at all."""
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def to_float(pixels: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """0..255 to float32 in [-1, 1]."""
    return pixels.astype(np.float32) / 127.5 - 1.0


def to_uint8(pixels: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """[-1, 1] to 0..255, rounded to the nearest; values outside are clipped. Videos are taken frame by frame."""
    if pixels.ndim > 3:
        out = np.empty(pixels.shape, np.uint8)
        for i, part in enumerate(pixels):
            out[i] = to_uint8(part)
        return out
    return np.clip(np.rint((np.asarray(pixels, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def finished(result: Float[np.ndarray, "frames height width 3"]) -> UInt8[np.ndarray, "frames height width 3"]:
    """A system's frames in [-1, 1] as pictures; InputError where one has a number that is not finite."""
    for i, frame in enumerate(result):
        if not np.isfinite(frame).all():
            raise InputError(
                f"the result is not finite in frame {i} of {len(result)}, so nothing is written: the weights may "
                "be damaged, or the dtype too narrow for them (bfloat16 and float32 reach further than float16)"
            )
    return to_uint8(result)


def resize(
    pixels: UInt8[np.ndarray, "*leading height width channels"], size: tuple[int, int]
) -> UInt8[np.ndarray, "*leading new_height new_width channels"]:
    """Resizes every image to `size` = (height, width): area averaging to shrink, Lanczos to enlarge."""
    height, width = size
    if min(size) < 1:
        raise InputError(f"size must be at least 1x1, not {height}x{width}")
    if pixels.shape[-3:-1] == (height, width):
        return pixels
    shrinks = height <= pixels.shape[-3] and width <= pixels.shape[-2]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    flat = pixels.reshape(-1, *pixels.shape[-3:])
    resized = [cv2.resize(image, (width, height), interpolation=method) for image in flat]
    return np.stack(resized).reshape(*pixels.shape[:-3], height, width, pixels.shape[-1])


def resize_and_crop(
    pixels: UInt8[np.ndarray, "*leading height width channels"], size: tuple[int, int]
) -> UInt8[np.ndarray, "*leading new_height new_width channels"]:
    """Resizes to cover `size` = (height, width) keeping the aspect ratio, and cuts the centre out."""
    height, width = size
    old_height, old_width = pixels.shape[-3:-1]
    scale = max(height / old_height, width / old_width)
    covering = (max(height, round(old_height * scale)), max(width, round(old_width * scale)))
    pixels = resize(pixels, covering)
    top, left = (covering[0] - height) // 2, (covering[1] - width) // 2
    return pixels[..., top : top + height, left : left + width, :]


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[UInt8[np.ndarray, "_ _ _"]] | UInt8[np.ndarray, "_ _ _ _"]]],
    columns: Sequence[str] = (),
    gap: int = 2,
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """A table of pictures on white: one row per (label, images), labels at the left, column titles above.

    Rows may differ in length and in picture size; a row is as tall as its tallest picture and a column as
    wide as its widest. Raises InputError when there is no picture at all.
    """
    rows = [(label, list(images)) for label, images in rows]
    count = max((len(images) for _, images in rows), default=0)
    if count == 0:
        raise InputError("a contact sheet needs at least one row with at least one picture")
    font = ImageFont.load_default(size=12)
    text_width = max(round(font.getlength(label)) for label, _ in rows)
    left = text_width + 8 if text_width else gap
    top = 20 if columns else gap
    widths = [
        max([images[i].shape[1] for _, images in rows if i < len(images)]
            + [round(font.getlength(columns[i])) if i < len(columns) else 0])
        for i in range(count)
    ]  # fmt: skip
    heights = [max([image.shape[0] for image in images] + [14]) for _, images in rows]
    lefts = left + np.concatenate([[0], np.cumsum([width + gap for width in widths])])
    tops = top + np.concatenate([[0], np.cumsum([height + gap for height in heights])])

    sheet = Image.new("RGB", (int(lefts[-1]), int(tops[-1])), "white")
    draw = ImageDraw.Draw(sheet)
    for title, x in zip(columns, lefts, strict=False):
        draw.text((int(x), 3), title, fill="black", font=font)
    for (label, images), y, height in zip(rows, tops, heights, strict=False):
        draw.text((4, int(y) + height // 2), label, fill="black", font=font, anchor="lm")
        for image, x in zip(images, lefts, strict=False):
            image = image[..., 0] if image.shape[-1] == 1 else image
            sheet.paste(Image.fromarray(image).convert("RGB"), (int(x), int(y)))
    return np.array(sheet)

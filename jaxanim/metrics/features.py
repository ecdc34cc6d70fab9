"""Videos as rows of features, for Fréchet distances: FID, FID-VID and FVD, each by its usual network.

What is done to the pixels first changes the number, so it is in the name.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxanim.errors import InputError
from jaxanim.media.images import resize_and_crop
from jaxanim.metrics import inception, resnet3d

Video = UInt8[np.ndarray, "frames height width 3"]
CLIP = 16
"""Frames of a clip, as FVD and FID-VID are mostly given."""


_pictures = jax.jit(inception.pictures)


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of a video's pictures, or of its clips, one after another and none overlapping.

    Attributes:
      name: of the metric that is made of them.
      run: pictures, or a clip, in levels of 0 to 255, to rows.
      clip: frames of a clip; 0 for pictures.
      side: pictures are cut to a square of this side first; 0 for as they are.
    """

    name: str
    run: Callable[[Float[Array, "frames height width 3"]], Float[Array, "rows features"]]
    clip: int = 0
    side: int = 0

    def __call__(self, video: Video) -> Float[np.ndarray, "rows features"]:
        """Rows of a video; InputError where it is shorter than a clip."""
        if self.side:
            video = resize_and_crop(video, (self.side, self.side))
        length = self.clip or 1
        if len(video) < length:
            raise InputError(f"{self.name} looks at clips of {length} frames; the video has {len(video)}")
        starts = range(0, len(video) - length + 1, length)
        parts = [self.run(jnp.asarray(video[k : k + length], jnp.float32)) for k in starts]
        return np.concatenate([np.asarray(part) for part in parts])


def fid(params: inception.Params, like: Literal["pytorch-fid", "torch-fidelity"] = "pytorch-fid") -> Features:
    """FID's features (2048), of pictures brought to 299 x 299 as one of the two well-known programs does.

    pytorch-fid interpolates between the centres of pixels and takes 255 to 1; torch-fidelity, and torchmetrics with
    it, interpolates between corners as TensorFlow 1 did and takes 128 to 0.
    """

    def run(frames: Float[Array, "frames height width 3"]) -> Float[Array, "frames features"]:
        if like == "pytorch-fid":
            return _pictures(params, _resized(frames, 299) / 127.5 - 1)
        return _pictures(params, (_resized_from_corners(frames, 299) - 128) / 128)

    return Features(f"fid_{like.replace('-', '_')}", run)


def fvd(params: inception.Params, clip: int = CLIP) -> Features:
    """FVD's features (400), of clips whose pictures are brought to 224 x 224, bilinear and uncut."""

    def run(params: inception.Params, frames: Float[Array, "frames height width 3"]) -> Float[Array, "1 classes"]:
        return inception.clips(params, _resized(frames, 224)[None] / 127.5 - 1)

    return Features(f"fvd_i3d_resize224_clips{clip}", partial(jax.jit(run), params), clip)


def fid_vid(params: inception.Params, clip: int = CLIP) -> Features:
    """FID-VID's features (2048), of clips whose pictures are brought to a side of 112 and cut to squares."""

    def run(params: inception.Params, frames: Float[Array, "frames height width 3"]) -> Float[Array, "1 features"]:
        return resnet3d.clips(params, frames[None])

    return Features(f"fid_vid_resnet50_crop112_clips{clip}", partial(jax.jit(run), params), clip, 112)


def _resized(x: Float[Array, "frames height width 3"], side: int) -> Float[Array, "frames _side _side 3"]:
    return jax.image.resize(x, (len(x), side, side, 3), "linear", antialias=False)


def _resized_from_corners(
    x: Float[Array, "frames height width 3"], side: int
) -> Float[Array, "frames _side _side 3"]:
    for axis in (1, 2):
        length = x.shape[axis]
        place = jnp.arange(side) * (length / side)
        low = jnp.floor(place).astype(int)
        share = (place - low).reshape(-1, *[1] * (3 - axis))
        x = (1 - share) * x.take(low, axis) + share * x.take(jnp.minimum(low + 1, length - 1), axis)
    return x

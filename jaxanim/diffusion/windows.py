"""Videos longer than a network's window: overlapping windows, denoised apart and averaged at every step.

MagicAnimate (Xu et al. 2023), Sec. 3.3 "Long video animation"; the layout of the windows is that of
AnimateDiff's uniform context scheduler, which the released MagicAnimate uses. Window layouts are plain numpy
arrays of frame indices, known before anything is compiled.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Int, Key

from jaxanim.chunks import map_chunks
from jaxanim.errors import InputError

Frames = TypeVar("Frames")


def closed_loop_windows(
    num_frames: int, length: int = 16, overlap: int = 4, stride: int = 1
) -> Int[np.ndarray, "windows length"]:
    """Windows every `length - overlap` frames until the whole loop is covered: indices run modulo
    `num_frames`, so the last windows end with the first frames.

    `stride` counts levels of dilation: level l has windows of every 2^l-th frame, placed every 2^l length -
    overlap frames, and there are no more levels than ceil(log2(num_frames / length)) + 1. Stride 1 is
    consecutive frames only. A video no longer than a window is one window of its own length. Raises
    InputError for impossible numbers.
    """
    _check(num_frames, length, overlap)
    if stride < 1:
        raise InputError(f"stride is {stride}: it must be 1 (consecutive frames) or more")
    if num_frames <= length:
        return np.arange(num_frames, dtype=np.int32)[None]
    levels = min(stride, int(np.ceil(np.log2(num_frames / length))) + 1)
    windows = [
        start + dilation * np.arange(length)
        for dilation in 2 ** np.arange(levels)
        for start in range(0, num_frames, dilation * length - overlap)
    ]
    return np.stack(windows).astype(np.int32) % num_frames


def padded_windows(num_frames: int, length: int = 16, overlap: int = 4) -> Int[np.ndarray, "windows length"]:
    """The paper's layout: ceil((N - K) / (K - s)) + 1 segments of K frames that overlap by s, the last one
    filled up with the first few frames. What is predicted for the fill counts in the mean of those frames
    like any overlap.

    It differs from `closed_loop_windows` where segments end exactly at, or shortly before, the last frame:
    the closed loop then goes on with windows that begin with the last frames. Raises InputError for
    impossible numbers.
    """
    _check(num_frames, length, overlap)
    if num_frames <= length:
        return np.arange(num_frames, dtype=np.int32)[None]
    step = length - overlap
    segments = -(-(num_frames - length) // step) + 1
    starts = step * np.arange(segments)
    return (starts[:, None] + np.arange(length)).astype(np.int32) % num_frames


def fuse(
    per_window: Float[Array, "windows length *rest"],
    indices: Int[np.ndarray, "windows length"],
    num_frames: int,
) -> Float[Array, "{num_frames} *rest"]:
    """The mean, for each frame, of what the windows holding it say. Raises InputError where a frame is in no
    window."""
    flat = indices.reshape(-1)
    counts = np.bincount(flat, minlength=num_frames)
    if len(counts) > num_frames or counts.min() == 0:
        raise InputError(f"indices must hold every frame from 0 to {num_frames - 1} and no other")
    # Every frame gathers its few sources: unlike a scatter, the sum then has one order on every backend.
    order = np.argsort(flat, kind="stable")
    first = np.cumsum(counts) - counts
    rank = np.arange(counts.max())
    sources = order[np.minimum(first[:, None] + rank, len(flat) - 1)]
    weights = jnp.asarray((rank < counts[:, None]) / counts[:, None], per_window.dtype)
    gathered = rearrange(per_window, "windows length ... -> (windows length) ...")[sources]
    return jnp.einsum("nm,nm...->n...", weights, gathered)


def predict_windows(
    fn: Callable[[Frames], Float[Array, "some length *rest"]],
    x: Frames,
    indices: Int[np.ndarray, "windows length"],
    *,
    windows_at_once: int | None = None,
) -> Float[Array, "num_frames *rest"]:
    """`fn` in every window, fused: [num_frames, ...].

    `x` is an array or a tree of arrays [num_frames, ...] (latents, pose features, ...); `fn` gets them cut
    into windows, [windows, length, ...], and returns [windows, length, ...]. `windows_at_once` bounds memory:
    None computes all windows as one batch, 1 one after another, with the same result.
    """
    num_frames = jax.tree.leaves(x)[0].shape[0]
    windows = jax.tree.map(lambda frames: frames[indices], x)
    return fuse(map_chunks(fn, windows, windows_at_once), indices, num_frames)


def predict_shifted_windows(
    fn: Callable[[Frames], Float[Array, "some length *rest"]],
    x: Frames,
    indices: Int[np.ndarray, "windows length"],
    offset: int | Int[Array, ""],
    *,
    windows_at_once: int | None = None,
) -> Float[Array, "num_frames *rest"]:
    """`predict_windows` with every window moved on by `offset` frames around the loop of all frames.

    With another random offset at each step no frame is always at a window's edge (MagicPose, App. C, as
    released: windows of 16 with stride 12). One window that holds all frames is not moved: it would only tear
    the video apart.
    """
    num_frames = jax.tree.leaves(x)[0].shape[0]
    if len(indices) == 1:
        return predict_windows(fn, x, indices, windows_at_once=windows_at_once)
    frames = jnp.arange(num_frames)
    moved = jax.tree.map(lambda values: values[(frames + offset) % num_frames], x)
    out = predict_windows(fn, moved, indices, windows_at_once=windows_at_once)
    return out[(frames - offset) % num_frames]


def shared_noise(
    key: Key[Array, ""], num_frames: int, length: int, shape: tuple[int, ...], dtype=jnp.float32
) -> Float[Array, "num_frames *shape"]:
    """Noise of `length` frames of this shape, repeated until it fills `num_frames`: every window starts from
    the same frames of noise, which the paper found to help."""
    return jax.random.normal(key, (length, *shape), dtype)[np.arange(num_frames) % length]


def pad_motion(motion: Frames, multiple: int = 16) -> Frames:
    """A motion (an array or a tree of arrays [frames, ...]) with its last frame repeated until the number of
    frames is a multiple of `multiple`. Raises InputError for a motion of no frames."""
    frames = jax.tree.leaves(motion)[0].shape[0]
    if frames == 0:
        raise InputError("motion has 0 frames: it needs at least one")
    index = np.minimum(np.arange(-(-frames // multiple) * multiple), frames - 1)
    return jax.tree.map(lambda values: values[index], motion)


def _check(num_frames: int, length: int, overlap: int) -> None:
    if num_frames < 1:
        raise InputError(f"num_frames is {num_frames}: it must be 1 or more")
    if not 0 <= overlap < length:
        raise InputError(f"overlap is {overlap} with windows of {length} frames: use 0 to {length - 1}")

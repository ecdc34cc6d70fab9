"""Long-video windows against slow, literal transcriptions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.diffusion.betas import Betas
from jaxanim.diffusion.sample import sample
from jaxanim.diffusion.windows import (
    closed_loop_windows,
    fuse,
    pad_motion,
    padded_windows,
    predict_shifted_windows,
    predict_windows,
    shared_noise,
)
from jaxanim.errors import InputError


def slow_closed_loop(num_frames, length, overlap, stride):
    """AnimateDiff's uniform contexts at step 0, frame by frame."""
    if num_frames <= length:
        return [list(range(num_frames))]
    windows = []
    for level in range(min(stride, math.ceil(math.log2(num_frames / length)) + 1)):
        dilation = 2**level
        start = 0
        while start < num_frames:
            window = []
            frame = start
            while len(window) < length:
                window.append(frame % num_frames)
                frame += dilation
            windows.append(window)
            start += length * dilation - overlap
    return windows


def slow_segments(num_frames, length, overlap):
    """The paper's partition {z^{1:K}, z^{K-s+1:2K-s}, ...}: frames counted from 1, the last segment filled up."""
    segments = []
    count = math.ceil((num_frames - length) / (length - overlap))
    for n in range(count + 1):
        segment = list(range(n * (length - overlap) + 1, n * (length - overlap) + length + 1))
        present = [frame for frame in segment if frame <= num_frames]
        fill = list(range(1, length - len(present) + 1))
        segments.append(present + fill)
    return np.array(segments) - 1


def slow_fuse(per_window, indices, num_frames):
    total = np.zeros((num_frames, *per_window.shape[2:]))
    count = np.zeros(num_frames)
    for window, frames in zip(per_window, indices, strict=True):
        for values, frame in zip(window, frames, strict=True):
            total[frame] += values
            count[frame] += 1
    return total / count.reshape(-1, *[1] * (total.ndim - 1))


@pytest.mark.parametrize(("length", "overlap"), [(16, 4), (8, 0), (5, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_closed_loop_layout(length, overlap, stride):
    for num_frames in range(1, 70):
        ours = closed_loop_windows(num_frames, length, overlap, stride)
        np.testing.assert_array_equal(ours, slow_closed_loop(num_frames, length, overlap, stride))
        assert set(ours.flat) == set(range(num_frames))


def test_magic_animate_s_windows():
    windows = closed_loop_windows(48)
    np.testing.assert_array_equal(windows[:, 0], [0, 12, 24, 36])
    np.testing.assert_array_equal(windows[-1], [*range(36, 48), 0, 1, 2, 3])


@pytest.mark.parametrize(("length", "overlap"), [(16, 4), (8, 0), (5, 4)])
def test_the_paper_s_layout(length, overlap):
    for num_frames in range(length, 70):
        ours = padded_windows(num_frames, length, overlap)
        np.testing.assert_array_equal(ours, slow_segments(num_frames, length, overlap))
        assert set(ours.flat) == set(range(num_frames))


def test_a_video_shorter_than_a_window_is_one_window():
    for layout in (closed_loop_windows, padded_windows):
        np.testing.assert_array_equal(layout(5), [[0, 1, 2, 3, 4]])
        np.testing.assert_array_equal(layout(16), [np.arange(16)])
        np.testing.assert_array_equal(layout(1), [[0]])


@pytest.mark.parametrize(
    "indices",
    [closed_loop_windows(37), closed_loop_windows(40, stride=3), padded_windows(37), closed_loop_windows(9)],
    ids=["closed loop", "dilated", "padded", "one window"],
)
def test_fusion_is_the_mean_over_windows(indices):
    num_frames = indices.max() + 1
    per_window = jax.random.normal(jax.random.key(0), (*indices.shape, 3, 2))
    np.testing.assert_allclose(
        fuse(per_window, indices, int(num_frames)), slow_fuse(per_window, indices, num_frames), atol=1e-6
    )


def test_fusion_of_agreeing_windows_is_exact():
    x = jax.random.normal(jax.random.key(0), (40, 2))
    indices = closed_loop_windows(40)
    np.testing.assert_allclose(fuse(x[indices], indices, 40), x, rtol=1e-6)


@pytest.mark.parametrize("indices", [[[0, 1], [3, 0]], [[0, 1], [2, 3]]], ids=["one missing", "one too many"])
def test_fusion_needs_exactly_the_frames_there_are(indices):
    indices = np.array(indices, np.int32)
    with pytest.raises(InputError, match="every frame from 0 to"):
        fuse(jnp.zeros((2, 2, 1)), indices, 4 if 2 not in indices else 3)


@pytest.mark.parametrize("windows_at_once", [None, 1, 2, 3, 10])
def test_batched_windows_equal_one_by_one(windows_at_once):
    indices = closed_loop_windows(50)
    mixing = jax.random.normal(jax.random.key(0), (16, 16))
    x = {"latents": jax.random.normal(jax.random.key(1), (50, 3, 4)), "pose": jnp.arange(50.0)}

    def fn(windows):
        mixed = jnp.einsum("lm,wm...->wl...", mixing, windows["latents"])
        return mixed + windows["pose"][..., None, None]

    one_by_one = np.stack(
        [
            np.array(mixing) @ np.array(x["latents"])[w].reshape(16, 12) + np.array(x["pose"])[w][:, None]
            for w in indices
        ]
    )
    expected = slow_fuse(one_by_one.reshape(*indices.shape, 3, 4), indices, 50)
    ours = jax.jit(lambda x: predict_windows(fn, x, indices, windows_at_once=windows_at_once))(x)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize("offset", [0, 5, 49])
def test_shifted_windows_are_windows_that_start_elsewhere_on_the_loop(offset):
    """MagicPose's: windows of 16 with stride 12 from a random frame on, modulo the number of frames."""
    mixing = jax.random.normal(jax.random.key(0), (16, 16))
    x = jax.random.normal(jax.random.key(1), (50, 3))
    moved = np.array([[(start + offset + i) % 50 for i in range(16)] for start in range(0, 50, 12)])
    one_by_one = np.stack([np.array(mixing) @ np.array(x)[w] for w in moved])

    def fn(windows):
        return jnp.einsum("lm,wmc->wlc", mixing, windows)

    ours = jax.jit(lambda x, o: predict_shifted_windows(fn, x, closed_loop_windows(50), o))(x, jnp.int32(offset))
    np.testing.assert_allclose(ours, slow_fuse(one_by_one, moved, 50), atol=1e-5)


def test_windows_inside_the_sampler_equal_a_loop_over_steps_and_windows():
    num_frames, length, overlap = 11, 4, 1
    indices = closed_loop_windows(num_frames, length, overlap)
    process = Betas("linear")
    x_T = jax.random.normal(jax.random.key(0), (num_frames, 2))

    def network(window, t):
        return 0.5 * window + 0.2 * window.mean(axis=-2, keepdims=True) * (t / 1000)

    ours = sample(lambda x, step: predict_windows(lambda w: network(w, step.t), x, indices), process, x_T, steps=5)
    x = np.array(x_T, np.float64)
    for t in (801, 601, 401, 201, 1):
        eps = slow_fuse(np.stack([network(x[w], t) for w in indices]), indices, num_frames)
        alpha = process.alphas_cumprod[t]
        alpha_next = process.alphas_cumprod[t - 200] if t > 200 else 1.0
        x0 = (x - np.sqrt(1 - alpha) * eps) / np.sqrt(alpha)
        x = np.sqrt(alpha_next) * x0 + np.sqrt(1 - alpha_next) * eps
    np.testing.assert_allclose(ours, x, atol=1e-5)


def test_noise_is_shared_by_all_stretches_of_a_window_s_length():
    noise = shared_noise(jax.random.key(0), 40, 16, (2, 3))
    assert noise.shape == (40, 2, 3)
    np.testing.assert_array_equal(noise[:16], jax.random.normal(jax.random.key(0), (16, 2, 3)))
    np.testing.assert_array_equal(noise[16:32], noise[:16])
    np.testing.assert_array_equal(noise[32:], noise[:8])


@pytest.mark.parametrize(("frames", "padded"), [(1, 16), (16, 16), (17, 32), (47, 48)])
def test_motion_is_padded_with_its_last_frame(frames, padded):
    motion = np.random.default_rng(0).integers(0, 255, (frames, 2, 2, 3), np.uint8)
    ours = pad_motion({"pose": motion})["pose"]
    np.testing.assert_array_equal(ours, np.pad(motion, ((0, padded - frames), (0, 0), (0, 0), (0, 0)), mode="edge"))
    assert ours.dtype == np.uint8


def test_impossible_windows_are_refused():
    with pytest.raises(InputError, match="overlap is 16 with windows of 16"):
        closed_loop_windows(40, 16, 16)
    with pytest.raises(InputError, match="num_frames is 0"):
        padded_windows(0)
    with pytest.raises(InputError, match="stride is 0"):
        closed_loop_windows(40, stride=0)
    with pytest.raises(InputError, match="motion has 0 frames"):
        pad_motion(np.zeros((0, 3)))

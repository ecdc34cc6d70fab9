"""MagicAnimate's sampler: a video of any length from one image (Sec. 3.3, "Long video animation").

Nothing that the released pipeline repeats is computed twice: the pose embedding once per video, the appearance
encoder once per step for all windows, its keys and values once per image, the ControlNet and the UNet's down
blocks once for both guidance branches.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.preview import previewed
from jaxanim.diffusion.sample import sample
from jaxanim.diffusion.windows import (
    closed_loop_windows,
    pad_motion,
    padded_windows,
    predict_windows,
    shared_noise,
)
from jaxanim.systems.base import Memory, Report, Sampling
from jaxanim.systems.conditions import decode, encode_inputs, per_entry
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.systems.magicanimate.denoise import predict, read_reference


@dataclasses.dataclass(frozen=True)
class Options:
    """The ablations of the paper's Table 2, and how windows lie.

    Attributes:
      layout: "closed_loop" as released, or "padded", the paper's text.
      average: average overlapping windows at every step (Table 2d); without it windows do not overlap.
      share_noise: every window starts from the same noise (Table 2e).
      temporal: use the temporal layers (Table 2a); without them every frame is denoised by itself.
    """

    layout: Literal["closed_loop", "padded"] = "closed_loop"
    average: bool = True
    share_noise: bool = True
    temporal: bool = True

    def windows(self, frames: int, window: int, overlap: int) -> Int[np.ndarray, "windows length"]:
        """The frame indices of every window of a video of `frames` frames: of K = `window` frames, of which
        neighbours share s = `overlap`."""
        overlap = overlap if self.average else 0
        if self.layout == "padded":
            return padded_windows(frames, window, overlap)
        return closed_loop_windows(frames, window, overlap)


def animate(
    params: PyTree,
    config: MagicAnimateConfig,
    reference: Float[Array, "height width 3"],
    motion: Float[Array, "frames height width 3"],
    *,
    key: jax.Array,
    sampling: Sampling,
    options: Options = Options(),
    memory: Memory = Memory(),
    report: Report | None = None,
) -> Float[Array, "frames height width 3"]:
    """Moves a reference image by a DensePose video.

    Args:
      reference: in [-1, 1].
      motion: DensePose frames in [0, 1].
      key: random key of the initial noise.
      sampling: DDIM's steps; windows; the scale of classifier-free guidance on the reference (prompts are empty,
        the pose stays in both branches), which at 1 does without the unconditional branch.
      memory: guidance in turn computes the UNet's down blocks for each of its branches.
      report: called as `Report` says.

    Returns:
      Frames in [-1, 1], as many as `motion` has.
    """
    latents = animate_latents(
        params,
        config,
        reference,
        motion,
        key=key,
        sampling=sampling,
        options=options,
        memory=memory,
        report=report,
    )
    frames = decode(config, memory.frames_at_once, memory.vae_tile, params["vae"], latents)
    return frames[: motion.shape[0]]


def animate_latents(
    params: PyTree,
    config: MagicAnimateConfig,
    reference: Float[Array, "height width 3"],
    motion: Float[Array, "frames height width 3"],
    *,
    key: jax.Array,
    sampling: Sampling,
    options: Options = Options(),
    memory: Memory = Memory(),
    report: Report | None = None,
) -> Float[Array, "padded_frames h w channels"]:
    """`animate` before its frames are decoded: scaled latents, those that filled the last window too."""
    length = min(sampling.window, motion.shape[0])
    if motion.shape[0] > length:
        motion = pad_motion(motion, length)
    z_ref, pose = encode_inputs(config, params, reference, motion)
    report = previewed(report, z_ref, reference)
    if options.share_noise:
        noise = shared_noise(key, motion.shape[0], length, z_ref.shape)
    else:
        noise = jax.random.normal(key, (motion.shape[0], *z_ref.shape))
    estimate = _Denoise(config, options, memory, sampling.window, sampling.overlap, sampling.guidance != 1)
    denoise = Partial(estimate, params, z_ref, pose, jnp.asarray(sampling.guidance, jnp.float32))
    return sample(denoise, config.diffusion, noise, steps=sampling.steps, report=report)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The noise estimate of a whole video; hashable, so that equal calls share one compiled program."""

    config: MagicAnimateConfig
    options: Options
    memory: Memory
    window: int
    overlap: int
    guided: bool

    def __call__(self, params, z_ref, pose, guidance, x, step):
        config, options, t = self.config, self.options, step.t
        if not options.temporal:
            config = dataclasses.replace(config, unet=image_form(config.unet))
        prompt = params["empty_prompt"]
        told, features = read_reference(params, config, z_ref[None], t[None], per_entry(prompt, 1))
        # The branches share the down blocks only where both are given the same text.
        in_turn = self.memory.guidance_in_turn or features is None

        def window(batch):
            x, pose = batch
            count = x.shape[0]
            ts = jnp.broadcast_to(t, (count,))
            text = repeat(told, "1 tokens c -> count tokens c", count=count)
            stored = features and tuple(repeat(f, "1 tokens c -> count tokens c", count=count) for f in features)

            def estimates(reads: tuple[bool, ...]):
                told = text if any(reads) else per_entry(prompt, count)
                return predict(params, config, x, ts, told, stored if any(reads) else None, pose, reads=reads)

            if not self.guided:
                return estimates((True,))
            return guided(estimates, False, True, guidance, in_turn=in_turn)

        indices = options.windows(x.shape[0], self.window, self.overlap)
        return predict_windows(window, (x, pose), indices, windows_at_once=self.memory.windows_at_once)

"""MagicAnimate's sampler: a video of any length from one image (Sec. 3.3, "Long video animation").

Nothing that the released pipeline repeats is computed twice: the pose embedding once per video, the appearance
encoder once per step for all windows, its keys and values once per image, the ControlNet and the UNet's down
blocks once for both guidance branches.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.sample import sample
from jaxanim.diffusion.windows import (
    closed_loop_windows,
    pad_motion,
    padded_windows,
    predict_windows,
    shared_noise,
)
from jaxanim.errors import InputError
from jaxanim.systems.conditions import decode, encode_inputs, per_entry
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.systems.magicanimate.denoise import predict, read_reference


@dataclasses.dataclass(frozen=True)
class Options:
    """Choices at sampling time, the ablations of the paper's Table 2 among them.

    Attributes:
      window: frames the network sees at once, K.
      overlap: frames that neighbouring windows share, s.
      layout: "closed_loop" as released, or "padded", the paper's text.
      average: average overlapping windows at every step (Table 2d); without it windows do not overlap.
      share_noise: every window starts from the same noise (Table 2e).
      temporal: use the temporal layers (Table 2a); without them every frame is denoised by itself.
      windows_at_once: windows computed as one batch; None is all. Fewer need less memory, the result is the same.
      frames_at_once: frames that the VAE decodes together; None is all.
      vae_tile: side in pixels of the tiles in which the VAE decodes one frame at a time, exactly, for large
        pictures; None decodes whole frames.
      guidance_in_turn: compute the two branches of guidance one after the other: less memory, but the UNet's down
        blocks are then computed for each of them; the result is the same.
    """

    window: int = 16
    overlap: int = 4
    layout: str = "closed_loop"
    average: bool = True
    share_noise: bool = True
    temporal: bool = True
    windows_at_once: int | None = None
    frames_at_once: int | None = 8
    vae_tile: int | None = None
    guidance_in_turn: bool = False

    def __post_init__(self):
        if self.layout not in ("closed_loop", "padded"):
            raise InputError(f"layout is {self.layout!r}: choose 'closed_loop' or 'padded'")

    def windows(self, frames: int) -> Int[np.ndarray, "windows length"]:
        """The frame indices of every window of a video of `frames` frames."""
        overlap = self.overlap if self.average else 0
        if self.layout == "padded":
            return padded_windows(frames, self.window, overlap)
        return closed_loop_windows(frames, self.window, overlap)


def animate(
    params: PyTree,
    config: MagicAnimateConfig,
    reference: Float[Array, "height width 3"],
    motion: Float[Array, "frames height width 3"],
    *,
    key: jax.Array,
    steps: int,
    guidance: float,
    options: Options = Options(),
    report: Callable[[int, int], None] | None = None,
) -> Float[Array, "frames height width 3"]:
    """Moves a reference image by a DensePose video.

    Args:
      reference: in [-1, 1].
      motion: DensePose frames in [0, 1].
      key: random key of the initial noise.
      steps: DDIM steps.
      guidance: scale of classifier-free guidance on the reference (prompts are empty, the pose stays in both
        branches); at 1 the unconditional branch is not computed.
      report: called as report(steps done, steps in all).

    Returns:
      Frames in [-1, 1], as many as `motion` has.
    """
    latents = animate_latents(
        params, config, reference, motion, key=key, steps=steps, guidance=guidance, options=options, report=report
    )
    frames = decode(config, options.frames_at_once, options.vae_tile, params["vae"], latents)
    return frames[: motion.shape[0]]


def animate_latents(
    params: PyTree,
    config: MagicAnimateConfig,
    reference: Float[Array, "height width 3"],
    motion: Float[Array, "frames height width 3"],
    *,
    key: jax.Array,
    steps: int,
    guidance: float,
    options: Options = Options(),
    report: Callable[[int, int], None] | None = None,
) -> Float[Array, "padded_frames h w channels"]:
    """`animate` before its frames are decoded: scaled latents, those that filled the last window too."""
    length = min(options.window, motion.shape[0])
    if motion.shape[0] > length:
        motion = pad_motion(motion, length)
    z_ref, pose = encode_inputs(config, params, reference, motion)
    if options.share_noise:
        noise = shared_noise(key, motion.shape[0], length, z_ref.shape)
    else:
        noise = jax.random.normal(key, (motion.shape[0], *z_ref.shape))
    denoise = Partial(
        _Denoise(config, options, guidance != 1), params, z_ref, pose, jnp.asarray(guidance, jnp.float32)
    )
    return sample(denoise, config.diffusion, noise, steps=steps, report=report)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The noise estimate of a whole video; hashable, so that equal calls share one compiled program."""

    config: MagicAnimateConfig
    options: Options
    guided: bool

    def __call__(self, params, z_ref, pose, guidance, x, step):
        config, options, t = self.config, self.options, step.t
        if not options.temporal:
            config = dataclasses.replace(config, unet=image_form(config.unet))
        prompt = params["empty_prompt"]
        told, features = read_reference(params, config, z_ref[None], t[None], per_entry(prompt, 1))
        # The branches share the down blocks only where both are given the same text.
        in_turn = options.guidance_in_turn or features is None

        def window(batch):
            x, pose = batch
            count = x.shape[0]
            ts = jnp.broadcast_to(t, (count,))
            text = repeat(told, "1 tokens c -> count tokens c", count=count)
            stored = features and tuple(repeat(f, "1 tokens c -> count tokens c", count=count) for f in features)

            def estimates(reads: tuple[bool, ...]):
                if len(reads) > 1:
                    return predict(params, config, x, ts, text, stored, pose, with_plain=True)
                told = (text, stored) if reads[0] else (per_entry(prompt, count), None)
                return predict(params, config, x, ts, *told, pose)

            if not self.guided:
                return estimates((True,))
            return guided(estimates, False, True, guidance, in_turn=in_turn)

        indices = options.windows(x.shape[0])
        return predict_windows(window, (x, pose), indices, windows_at_once=options.windows_at_once)

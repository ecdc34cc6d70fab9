"""MagicPose's sampler: image guidance as released, and windows that move at every step (App. C)."""

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
from jaxanim.diffusion.windows import closed_loop_windows, predict_shifted_windows
from jaxanim.errors import InputError
from jaxanim.systems.conditions import decode, encode_inputs, per_entry
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.systems.magicpose.denoise import appearance, predict, predict_both


@dataclasses.dataclass(frozen=True)
class Options:
    """Choices at sampling time.

    Attributes:
      window: frames the network sees at once.
      overlap: frames that neighbouring windows share; 16 and 4 make the released stride of 12. Without a motion
        module frames do not see each other, and windows serve memory alone: they then do not overlap.
      move_windows: a random circular offset of all windows at each step, as released.
      pose: drive by the pose; without it the result is stage 1's, appearance alone (Eq. 4).
      share_noise: every frame starts from the same noise. None: where there is no motion module, for nothing
        else then keeps neighbouring frames alike; motion modules were trained with noise of each frame's own.
      guidance_in_turn: guidance's two branches one after the other, in less memory, rather than as one batch.
      windows_at_once: windows computed as one batch; None is all.
      frames_at_once: frames that the VAE decodes together; None is all.
      vae_tile: side in pixels of the tiles in which the VAE decodes one frame at a time, exactly, for large
        pictures; None decodes whole frames.
    """

    window: int = 16
    overlap: int = 4
    move_windows: bool = True
    pose: bool = True
    share_noise: bool | None = None
    guidance_in_turn: bool = False
    windows_at_once: int | None = None
    frames_at_once: int | None = 8
    vae_tile: int | None = None

    def __post_init__(self):
        if not 0 <= self.overlap < self.window:
            raise InputError(
                f"overlap is {self.overlap}: with a window of {self.window} it is 0 to {self.window - 1}"
            )

    def windows(self, frames: int, temporal: bool) -> Int[np.ndarray, "windows length"]:
        """The frame indices of every window of a video of `frames` frames."""
        return closed_loop_windows(frames, self.window, self.overlap if temporal else 0)


def animate(
    params: PyTree,
    config: MagicPoseConfig,
    reference: Float[Array, "height width 3"],
    motion: Float[Array, "frames height width 3"],
    *,
    key: jax.Array,
    steps: int,
    guidance: float,
    options: Options = Options(),
    report: Callable[[int, int], None] | None = None,
) -> Float[Array, "frames height width 3"]:
    """Re-poses a reference image by a video of drawn poses.

    Args:
      reference: in [-1, 1].
      motion: OpenPose drawings {P, F} in [0, 1].
      key: random key of the noise and of the windows' offsets.
      steps: DDIM steps.
      guidance: scale of image guidance; at 1 the unconditional branch is not computed.
      report: called as report(steps done, steps in all).

    Returns:
      Frames in [-1, 1], as many as `motion` has.
    """
    key_noise, key_offset = jax.random.split(key)
    z_ref, pose = encode_inputs(config, params, reference, motion)
    share = config.unet.motion is None if options.share_noise is None else options.share_noise
    noise = jax.random.normal(key_noise, (1 if share else len(motion), *z_ref.shape))
    noise = jnp.broadcast_to(noise, (len(motion), *z_ref.shape))
    scale = jnp.asarray(guidance, jnp.float32)
    denoise = Partial(_Denoise(config, options, guidance != 1), params, z_ref, pose, scale, key_offset)
    latents = sample(denoise, config.diffusion, noise, steps=steps, report=report)
    return decode(config, options.frames_at_once, options.vae_tile, params["vae"], latents)


def window_offset(key: jax.Array, t: Int[Array, ""], frames: int) -> Int[Array, ""]:
    """How far all windows are moved at timestep `t`: uniform over the frames, another at each step."""
    return jax.random.randint(jax.random.fold_in(key, t), (), 0, frames)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The noise estimate of a whole video; hashable, so that equal calls share one compiled program."""

    config: MagicPoseConfig
    options: Options
    guided: bool

    def __call__(self, params, z_ref, pose, guidance, key, x, step):
        config, options, t = self.config, self.options, step.t
        prompt = params["empty_prompt"]
        features = appearance(params, config, z_ref[None], t[None], per_entry(prompt, 1))

        def window(batch):
            x, pose = batch
            count = x.shape[0]
            ts, text = jnp.broadcast_to(t, (count,)), per_entry(prompt, count)
            stored = jax.tree.map(lambda f: repeat(f, "1 tokens c -> count tokens c", count=count), features)
            pose = pose if options.pose else None

            def estimates(reads: tuple[bool, ...]):
                if len(reads) > 1:
                    return jnp.concatenate(predict_both(params, config, x, ts, text, stored, pose))
                return predict(params, config, x, ts, text, *((stored, pose) if reads[0] else (None, None)))

            if not self.guided:
                return estimates((True,))
            return guided(estimates, False, True, guidance, in_turn=options.guidance_in_turn)

        frames, temporal = x.shape[0], config.unet.motion is not None
        offset = window_offset(key, t, frames) if options.move_windows and temporal else 0
        return predict_shifted_windows(
            window,
            (x, pose),
            options.windows(frames, temporal),
            offset,
            windows_at_once=options.windows_at_once,
        )

"""MagicPose's sampler: image guidance as released, and windows that move at every step (App. C)."""

import dataclasses

import jax
import jax.numpy as jnp
from einops import repeat
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.preview import previewed
from jaxanim.diffusion.sample import sample
from jaxanim.diffusion.windows import closed_loop_windows, predict_shifted_windows
from jaxanim.systems.base import Memory, Report, Sampling
from jaxanim.systems.conditions import decode, encode_inputs, per_entry
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.systems.magicpose.denoise import appearance, predict


@dataclasses.dataclass(frozen=True)
class Options:
    """What can be left out of sampling or done otherwise than as released.

    Attributes:
      move_windows: a random circular offset of all windows at each step, as released.
      pose: drive by the pose; without it the result is stage 1's, appearance alone (Eq. 4).
      share_noise: every frame starts from the same noise. None: where there is no motion module, for nothing
        else then keeps neighbouring frames alike; motion modules were trained with noise of each frame's own.
    """

    move_windows: bool = True
    pose: bool = True
    share_noise: bool | None = None


def animate(
    params: PyTree,
    config: MagicPoseConfig,
    reference: Float[Array, "height width 3"],
    motion: Float[Array, "frames height width 3"],
    *,
    key: jax.Array,
    sampling: Sampling,
    options: Options = Options(),
    memory: Memory = Memory(),
    report: Report | None = None,
) -> Float[Array, "frames height width 3"]:
    """Re-poses a reference image by a video of drawn poses.

    Args:
      reference: in [-1, 1].
      motion: OpenPose drawings {P, F} in [0, 1].
      key: random key of the noise and of the windows' offsets.
      sampling: DDIM's steps; the scale of image guidance, which at 1 does without the unconditional branch; and
        windows, whose 16 frames and overlap of 4 make the released stride of 12. Without a motion module frames do
        not see each other, and windows serve memory alone: they then do not overlap.
      report: called as `Report` says.

    Returns:
      Frames in [-1, 1], as many as `motion` has.
    """
    key_noise, key_offset = jax.random.split(key)
    z_ref, pose = encode_inputs(config, params, reference, motion)
    report = previewed(report, z_ref, reference)
    share = config.unet.motion is None if options.share_noise is None else options.share_noise
    noise = jax.random.normal(key_noise, (1 if share else len(motion), *z_ref.shape))
    noise = jnp.broadcast_to(noise, (len(motion), *z_ref.shape))
    scale = jnp.asarray(sampling.guidance, jnp.float32)
    estimate = _Denoise(config, options, memory, sampling.window, sampling.overlap, sampling.guidance != 1)
    denoise = Partial(estimate, params, z_ref, pose, scale, key_offset)
    latents = sample(denoise, config.diffusion, noise, steps=sampling.steps, report=report)
    return decode(config, memory.frames_at_once, memory.vae_tile, params["vae"], latents)


def window_offset(key: jax.Array, t: Int[Array, ""], frames: int) -> Int[Array, ""]:
    """How far all windows are moved at timestep `t`: uniform over the frames, another at each step."""
    return jax.random.randint(jax.random.fold_in(key, t), (), 0, frames)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The noise estimate of a whole video; hashable, so that equal calls share one compiled program."""

    config: MagicPoseConfig
    options: Options
    memory: Memory
    window: int
    overlap: int
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
                given = (stored, pose) if any(reads) else (None, None)
                return predict(params, config, x, ts, text, *given, reads=reads)

            if not self.guided:
                return estimates((True,))
            return guided(estimates, False, True, guidance, in_turn=self.memory.guidance_in_turn)

        frames, temporal = x.shape[0], config.unet.motion is not None
        offset = window_offset(key, t, frames) if options.move_windows and temporal else 0
        return predict_shifted_windows(
            window,
            (x, pose),
            closed_loop_windows(frames, self.window, self.overlap if temporal else 0),
            offset,
            windows_at_once=self.memory.windows_at_once,
        )

"""Prompts to pictures or videos: embedded text, guided DDIM, decoded pixels (Rombach et al. 2022; ControlNet,
Zhang et al. 2023; AnimateDiff, Guo et al. 2023)."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, repeat
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.sample import sample
from jaxanim.diffusion.windows import closed_loop_windows, predict_windows
from jaxanim.errors import InputError
from jaxanim.models.clip_text import CLIPText
from jaxanim.models.controlnet import ControlNet
from jaxanim.models.unet import UNet
from jaxanim.models.vae import to_pixels
from jaxanim.systems.base import Memory, Report, Sampling
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig

Text = Float[Array, "batch length dim"]


def encode_prompts(
    params: PyTree, config: StableDiffusionConfig, tokens: Int[Array, "prompts length"]
) -> Float[Array, "prompts length width"]:
    """The text encoder's last hidden states of tokenised prompts, which is what the UNet attends to."""
    return _encode(config.text_encoder, params["text_encoder"], tokens)


def sample_latents(
    params: PyTree,
    config: StableDiffusionConfig,
    text: Text,
    plain: Text,
    noise: Float[Array, "batch frames height width channels"],
    *,
    sampling: Sampling,
    control: Float[Array, "batch control_frames pixel_height pixel_width channels_in"] | None = None,
    control_scale: float = 1.0,
    memory: Memory = Memory(),
    report: Report | None = None,
) -> Float[Array, "batch frames height width channels"]:
    """Scaled latents of embedded prompts from noise, by DDIM with classifier-free guidance.

    Args:
      params: trees "unet" and, where `control` is given, "controlnet".
      text: of the prompts; `plain`: of the negative prompts, the empty text where there is none.
      noise: of one frame for pictures, of several for AnimateDiff.
      sampling: DDIM's steps; the scale of guidance, where 1 leaves out the branch of `plain`; and the frames of a
        video that the motion modules see together, in windows that are averaged at every step.
      control: the ControlNet's condition in [0, 1], one picture for all frames or one for each.
      control_scale: factor of the ControlNet's residuals.
      report: called as report(steps done, steps in all).

    Raises:
      InputError: several frames without motion modules, a control without ControlNet, or one that has neither
        one frame nor as many as the noise.
    """
    frames = noise.shape[1]
    if frames > 1 and config.unet.motion is None:
        raise InputError(f"frames is {frames}: these weights have no motion modules, so it has to be 1")
    embedding = None
    if control is not None:
        if config.controlnet is None:
            raise InputError("control is given, but these weights have no network 'controlnet'")
        if control.shape[1] not in (1, frames):
            raise InputError(f"control has {control.shape[1]} frames; it should have 1 or {frames}")
        embedding = _embed_control(config.controlnet, params["controlnet"], control)
        embedding = jnp.broadcast_to(embedding, (noise.shape[0], frames, *embedding.shape[2:]))
    networks = {name: params[name] for name in ("unet", "controlnet") if name in params}
    scales = jnp.float32(sampling.guidance), jnp.float32(control_scale)
    estimate = _Denoise(config, memory, sampling.window, sampling.overlap, sampling.guidance != 1)
    denoise = Partial(estimate, networks, text, plain, embedding, *scales)
    return sample(denoise, config.diffusion, noise, steps=sampling.steps, report=report)


def decode(
    params: PyTree,
    config: StableDiffusionConfig,
    latents: Float[Array, "batch frames h w channels"],
    memory: Memory = Memory(),
) -> Float[Array, "batch frames height width 3"]:
    """Pixels in [-1, 1] of scaled latents."""
    pixels = to_pixels(
        params["vae"], config.vae, latents, frames_at_once=memory.frames_at_once, tile=memory.vae_tile
    )
    return jnp.clip(pixels.astype(jnp.float32), -1, 1)


@dataclasses.dataclass(frozen=True)
class _Denoise:
    """The guided noise estimate; hashable, so that equal calls share one compiled program."""

    config: StableDiffusionConfig
    memory: Memory
    window: int
    overlap: int
    guided: bool

    def __call__(self, networks, text, plain, embedding, guidance, control_scale, x, step):
        frames = x.shape[1]

        def window(parts):
            count = parts[0].shape[0]
            entries = jax.tree.map(lambda a: rearrange(a, "n f b ... -> (n b) f ..."), parts)

            def estimates(prompts: tuple[Text, ...]):
                branches = [(*entries, repeat(p, "b ... -> (n b) ...", n=count)) for p in prompts]
                stacked = jax.tree.map(lambda *a: jnp.concatenate(a), *branches)
                return self._predict(networks, control_scale, step.t, stacked)

            if self.guided:
                eps = guided(estimates, plain, text, guidance, in_turn=self.memory.guidance_in_turn)
            else:
                eps = estimates((text,)).astype(jnp.float32)
            return rearrange(eps, "(n b) f ... -> n f b ...", n=count)

        # The windows are cut along the first axis.
        by_frame = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), (x, embedding))
        indices = self._windows(frames)
        fused = predict_windows(window, by_frame, indices, windows_at_once=self.memory.windows_at_once)
        return jnp.moveaxis(fused, 0, 1)

    def _predict(self, networks, control_scale, t, parts):
        x, embedding, text = parts
        ts = jnp.broadcast_to(t, (x.shape[0],))
        down = mid = None
        if embedding is not None:
            down, mid = ControlNet(self.config.controlnet).apply(
                {"params": networks["controlnet"]},
                x,
                ts,
                text,
                cond_embedding=embedding,
                scale=control_scale.astype(embedding.dtype),
            )
        unet = UNet(self.config.unet)
        return unet.apply({"params": networks["unet"]}, x, ts, text, down_residuals=down, mid_residual=mid)

    def _windows(self, frames: int) -> Int[np.ndarray, "windows length"]:
        if self.config.unet.motion is None:
            return np.arange(frames, dtype=np.int32)[None]
        return closed_loop_windows(frames, self.window, self.overlap)


@partial(jax.jit, static_argnums=0)
def _encode(config, params, tokens):
    return CLIPText(config).apply({"params": params}, tokens)


@partial(jax.jit, static_argnums=0)
def _embed_control(config, params, control):
    return ControlNet(config).apply({"params": params}, control, method="embed")

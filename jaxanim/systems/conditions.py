"""What systems with a reference image and a pose ControlNet on Stable Diffusion have in common."""

from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from einops import repeat
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.models.clip_text import CLIPTextConfig, embed_prompts
from jaxanim.models.controlnet import ControlNet, ControlNetConfig
from jaxanim.models.unet_config import UNetConfig
from jaxanim.models.vae import VAEConfig, to_latents, to_pixels


@runtime_checkable
class Conditioned(Protocol):
    """A system's config, as far as the functions here look at it."""

    vae: VAEConfig
    text_encoder: CLIPTextConfig
    unet: UNetConfig
    controlnet: ControlNetConfig


def pose_residuals(
    params: PyTree,
    config: Conditioned,
    x: Float[Array, "batch frames height width channels"],
    t: Int[Array, " batch"],
    text: Float[Array, "text_batch *text_frames length width_text"],
    pose: Float[Array, "batch frames height width features"],
) -> tuple[tuple[Array, ...], Array]:
    """A pose ControlNet's residuals for the skips and the middle block (MagicAnimate Eq. 3, MagicPose's
    P_theta(I_C)).

    Args:
      text: of each entry, or of each of its frames; of several conditions one after another (`jaxanim.nn.rows`).
      pose: the conditioning embedding of the driving frames (`embed_pose`): it does not depend on t, so a
        sampler computes it once per video.
    """
    return ControlNet(config.controlnet).apply({"params": params["controlnet"]}, x, t, text, cond_embedding=pose)


def embed_pose(
    params: PyTree, config: Conditioned, pose: Float[Array, "batch frames height width 3"]
) -> Float[Array, "batch frames latent_height latent_width features"]:
    """The ControlNet's embedding of driving frames in [0, 1]."""
    return ControlNet(config.controlnet).apply({"params": params["controlnet"]}, pose, method="embed")


def per_entry(text: Float[Array, "length width"], batch: int) -> Float[Array, "batch length width"]:
    """One prompt's embedding for every entry of a batch."""
    return repeat(jnp.asarray(text), "length width -> batch length width", batch=batch)


def prepare(params: PyTree, config: Conditioned, tokenizer: Any) -> PyTree:
    """`params` on the device, with the empty prompt embedded as "empty_prompt" [length, width]."""
    params = jax.tree.map(jnp.asarray, params)
    empty = embed_prompts(params["text_encoder"], config.text_encoder, tokenizer, [""])[0]
    return params | {"empty_prompt": empty}


@partial(jax.jit, static_argnums=0)
def encode_inputs(
    config: Conditioned,
    params: PyTree,
    reference: Float[Array, "height width 3"],
    motion: Float[Array, "frames height width 3"],
) -> tuple[Float[Array, "h w channels"], Float[Array, "frames h w features"]]:
    """The reference's scaled latent and the pose embedding of every driving frame."""
    z_ref = to_latents(params["vae"], config.vae, reference[None, None])[0, 0]
    return z_ref, embed_pose(params, config, motion[None])[0]


@partial(jax.jit, static_argnums=(0, 1, 2))
def decode(
    config: Conditioned,
    frames_at_once: int | None,
    tile: int | None,
    vae: PyTree,
    latents: Float[Array, "frames h w channels"],
) -> Float[Array, "frames height width 3"]:
    """Pixels in [-1, 1] of a video's scaled latents; `frames_at_once` and `tile` as in `to_pixels`."""
    pixels = to_pixels(vae, config.vae, latents[None], frames_at_once=frames_at_once, tile=tile)[0]
    return jnp.clip(pixels.astype(jnp.float32), -1, 1)

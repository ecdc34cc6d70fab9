"""Text-to-image with a Stable Diffusion 1.5 model: the base that MagicAnimate, MagicPose and PoseAnimate share."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PyTree

from jaxanim.diffusion.config import DiffusionConfig
from jaxanim.diffusion.ddim import sample
from jaxanim.diffusion.guidance import classifier_free
from jaxanim.models.clip_text import CLIPText, CLIPTextConfig
from jaxanim.models.unet import UNet, UNetConfig


def generate(
    params: PyTree,
    unet: UNetConfig,
    text_encoder: CLIPTextConfig,
    diffusion: DiffusionConfig,
    tokens: Int[Array, "prompts length"],
    empty: Int[Array, "1 length"],
    noise: Float[Array, "prompts 1 height width channels"],
    *,
    steps: int,
    guidance: float,
) -> Float[Array, "prompts 1 height width channels"]:
    """Scaled latents of prompts from noise, by DDIM with classifier-free guidance.

    Args:
      params: trees "unet" and "text_encoder".
      tokens: the prompts' token ids; `empty`: those of the unconditional prompt.
    """
    encode = jax.jit(CLIPText(text_encoder).apply)
    text = encode({"params": params["text_encoder"]}, tokens)
    plain = jnp.broadcast_to(encode({"params": params["text_encoder"]}, empty), text.shape)
    denoise = Partial(partial(_guided, unet), params["unet"], text, plain, jnp.float32(guidance))
    return sample(
        denoise,
        diffusion.schedule(),
        noise,
        steps=steps,
        spacing=diffusion.spacing,
        steps_offset=diffusion.steps_offset,
        set_alpha_to_one=diffusion.set_alpha_to_one,
        prediction_type=diffusion.prediction_type,
    )


def _guided(unet, params, text, plain, guidance, x, t):
    both = UNet(unet).apply(
        {"params": params},
        jnp.concatenate([x, x]),
        jnp.broadcast_to(t, (2 * len(x),)),
        jnp.concatenate([plain, text]),
    )
    return classifier_free(*jnp.split(both, 2), guidance)

"""PoseAnything's training objective: rectified flow on the latent frames after the first, which stays clean."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxanim.mesh import whole
from jaxanim.models.t5 import T5Encoder
from jaxanim.models.wan.video import to_latents
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.systems.poseanything.network import velocity
from jaxanim.training.losses import denoising_loss
from jaxanim.training.objective import PLAIN, Objective


def loss(
    params: PyTree,
    config: PoseAnythingConfig,
    batch: dict[str, Array],
    key: jax.Array,
    objective: Objective = PLAIN,
) -> Float[Array, ""]:
    """E ||v - (eps - z)||^2 over the latent frames that are noised; the first is given to the network as it is,
    told time 0, and is left out.

    Args:
      batch: "latents" [batch, f, h, w, c] of unit variance; "poses", skeleton videos, uint8
        [batch, frames, height, width, 3], black where a frame has no pose; "tokens" and "words" (what is no
        padding) [batch, length], or "text" [batch, length, channels] embedded before; with "parts" the part module
        runs.
    """
    z0 = jnp.asarray(batch["latents"], jnp.float32)
    # What is frozen in every stage passes no gradient, and is not differentiated.
    frozen = whole(jax.lax.stop_gradient(params["vae"]))
    poses = batch["poses"].astype(jnp.float32) / 127.5 - 1
    z_p = jax.lax.stop_gradient(to_latents(frozen, config.vae, poses))
    text = embedded(params, config, batch)

    def predict(x, t):
        z = jnp.concatenate([z0[:, :1], x], axis=1)
        return velocity(params, config, z, t, text, z_p, batch.get("parts"))[:, 1:]

    return denoising_loss(predict, config.diffusion, z0[:, 1:], key, objective)


def embedded(
    params: PyTree, config: PoseAnythingConfig, batch: dict[str, Array]
) -> Float[Array, "batch length channels"]:
    """The text of a batch as Wan reads it: masked, and zero beyond its end."""
    if "text" in batch:
        return batch["text"]
    out = T5Encoder(config.text_encoder).apply({"params": params["text_encoder"]}, batch["tokens"], batch["words"])
    return jnp.where(batch["words"][..., None], out, 0)

"""The denoising loss that every diffusion stage trains by, and PSNR while training."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from jaxanim.diffusion.process import Process, add_noise, target
from jaxanim.training.objective import PLAIN, Objective

Latents = Float[Array, "batch frames height width channels"]


def denoising_loss(
    predict: Callable[[Latents, Num[Array, " batch"]], Latents],
    process: Process,
    z0: Latents,
    key: jax.Array,
    objective: Objective = PLAIN,
) -> Float[Array, ""]:
    """E ||eps - eps_theta(z_t, t)||^2 over uniform t and Gaussian eps (Ho et al. 2020, Eq. 14).

    One t is drawn per entry and shared by its frames; the noise is drawn per frame. With another prediction type
    than epsilon the mean square is taken on that target.
    """
    key_t, key_noise = jax.random.split(key)
    t = draw_timesteps(process, key_t, z0.shape[0], objective.timestep_power)
    noise = jax.random.normal(key_noise, z0.shape, z0.dtype)
    output = predict(add_noise(process, z0, noise, t), t)
    goal = target(process, z0, noise, t)
    error = jnp.square(output.astype(jnp.float32) - goal.astype(jnp.float32))
    weights = objective.channel_weights
    return jnp.mean(error if weights is None else error * jnp.asarray(weights))


def draw_timesteps(process: Process, key: jax.Array, count: int, power: float = 1.0) -> Num[Array, " {count}"]:
    """`count` training times as the process draws them, or for another power than 1 timesteps below its
    `num_train_timesteps` with a density that grows as t^(power - 1)."""
    if power == 1.0:
        return process.draw(key, count)
    u, timesteps = jax.random.uniform(key, (count,)), process.num_train_timesteps
    return jnp.minimum(timesteps * u ** (1.0 / power), timesteps - 1).astype(jnp.int32)


def decibels(error: Float[Array, "n height width"], where: Bool[Array, "n #height #width"]) -> Float[Array, ""]:
    """PSNR of pixels in [-1, 1] with this square error, over those chosen."""
    chosen = jnp.broadcast_to(where, error.shape)
    mean = jnp.sum(error, where=chosen) / jnp.maximum(jnp.sum(chosen), 1)
    return 10 * jnp.log10(4 / jnp.maximum(mean, 1e-12))

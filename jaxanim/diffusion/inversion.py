"""DDIM inversion: the walk of the sampler backwards, from a clean latent to the noise it would have come
from."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxanim.diffusion.ddim import DDIMSteps, Denoise, alpha_below, ddim_step, make_steps, timesteps
from jaxanim.diffusion.schedule import Schedule, check_prediction_type
from jaxanim.errors import InputError


def inversion_steps(
    schedule: Schedule,
    steps: int,
    *,
    spacing: str = "leading",
    steps_offset: int = 1,
    set_alpha_to_one: bool = True,
) -> DDIMSteps:
    """The sampling walk reversed: step k ends at the noise level where the sampler's step k from its end
    begins. The network is asked at the level a step ends on, the one where the sampler asked it (as diffusers
    does)."""
    ts = timesteps(schedule, steps, spacing, steps_offset)[::-1]
    alpha = alpha_below(schedule, ts - schedule.num_train_timesteps // steps, set_alpha_to_one)
    return make_steps(ts, alpha, schedule.alphas_cumprod[ts], np.zeros(steps))


def invert(
    denoise: Denoise,
    schedule: Schedule,
    x_0: Float[Array, "*shape"],
    *,
    steps: int = 50,
    spacing: str = "leading",
    steps_offset: int = 1,
    set_alpha_to_one: bool = True,
    prediction_type: str = "epsilon",
) -> Float[Array, "{steps+1} *shape"]:
    """The latents of DDIM inversion, from x_0 itself (first) to x_T (last): `sample` with the same arguments,
    started at the last, retraces them as far as the network's answer changes little between neighbouring
    steps.

    `denoise` is as in `sample`. Raises InputError where the network predicts the sample itself and
    `set_alpha_to_one` lets the walk start where x_0 and x_t are the same, so that no noise can be told.
    """
    check_prediction_type(prediction_type)
    if prediction_type == "sample" and set_alpha_to_one:
        raise InputError(
            "prediction_type is 'sample' with set_alpha_to_one: inversion needs set_alpha_to_one=False"
        )
    table = inversion_steps(
        schedule, steps, spacing=spacing, steps_offset=steps_offset, set_alpha_to_one=set_alpha_to_one
    )
    denoise = denoise if isinstance(denoise, Partial) else Partial(denoise)
    return _run(denoise, table, x_0, prediction_type=prediction_type)


@partial(jax.jit, static_argnames="prediction_type")
def _run(denoise, table, x_0, *, prediction_type):
    def body(x, step):
        x_next = ddim_step(step, denoise(x, step.t), x, prediction_type=prediction_type).astype(x.dtype)
        return x_next, x_next

    latents = jax.lax.scan(body, x_0, table)[1]
    return jnp.concatenate([x_0[None], latents])

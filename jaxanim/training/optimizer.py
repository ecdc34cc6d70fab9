"""The optimizer and the average of the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree
from optax.contrib import MuonDimensionNumbers, muon

from jaxanim.nn.stack import matrix_axes
from jaxanim.training.experiment import Experiment


def learning_rate(experiment: Experiment) -> optax.Schedule:
    """Linear warm-up from 0, then constant, or half a cosine down to 0 at `steps`."""
    if experiment.schedule == "cosine":
        after = optax.cosine_decay_schedule(experiment.learning_rate, max(1, experiment.steps - experiment.warmup))
    else:
        after = optax.constant_schedule(experiment.learning_rate)
    if not experiment.warmup:
        return after
    # Update 0 would otherwise have a learning rate of zero and be lost.
    rise = optax.linear_schedule(
        experiment.learning_rate / experiment.warmup, experiment.learning_rate, max(1, experiment.warmup - 1)
    )
    return optax.join_schedules([rise, after], [experiment.warmup])


def make_optimizer(experiment: Experiment) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter, 2019) or Muon after clipping by global norm; vectors do not decay."""
    if experiment.optimizer == "muon":
        update = _muon(experiment)
    else:
        update = optax.adamw(
            learning_rate(experiment),
            b2=experiment.beta2,
            weight_decay=experiment.weight_decay,
            mask=_matrices,
        )
    if not experiment.clip_norm:
        return update
    return optax.chain(optax.clip_by_global_norm(experiment.clip_norm), update)


def _muon(experiment: Experiment) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024): the momentum of every linear map is orthogonalised, the rest goes by Adam.

    A convolution is the linear map from its patches to its output channels, and each of stacked blocks has its
    own. Updates are scaled to the root mean square that Adam's have (Liu et al. 2025), so that one learning rate
    serves both.
    """

    def linear_map(path, leaf: Array) -> MuonDimensionNumbers | None:
        axes = _axes(path, leaf)
        return MuonDimensionNumbers(axes[:-1], axes[-1]) if axes else None

    return muon(
        learning_rate(experiment),
        weight_decay=experiment.weight_decay,
        weight_decay_mask=_matrices,
        adam_b2=experiment.beta2,
        consistent_rms=0.2,
        muon_weight_dimension_numbers=lambda params: jax.tree.map_with_path(linear_map, params),
    )


def _matrices(params: PyTree) -> PyTree[bool]:
    return jax.tree.map_with_path(lambda path, leaf: bool(_axes(path, leaf)), params)


def _axes(path: tuple[Any, ...], leaf: Array) -> tuple[int, ...]:
    return matrix_axes(jax.tree_util.keystr(path, simple=True, separator="/"), leaf.ndim)


def ema_decay_at(updates: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """min(decay, (1 + n) / (10 + n)) after n updates, so that the random start is soon forgotten."""
    n = updates.astype(jnp.float32)
    return jnp.minimum(decay, (1.0 + n) / (10.0 + n))


def update_ema(
    ema: PyTree[Float[Array, "..."]],
    params: PyTree[Float[Array, "..."]],
    updates: Int[Array, ""],
    decay: float,
) -> PyTree[Float[Array, "..."]]:
    """decay * ema + (1 - decay) * params, with the decay of `ema_decay_at`."""
    return optax.incremental_update(params, ema, 1.0 - ema_decay_at(updates, decay))

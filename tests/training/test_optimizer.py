"""The optimizers: Muon against PyTorch's, on a linear map, a convolution and a vector."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxanim.training.experiment import Experiment
from jaxanim.training.optimizer import make_optimizer
from tests.training.toy import Toy

RATE = 1e-2


def experiment(**changes) -> Experiment:
    return Experiment(name="x", task=Toy(), learning_rate=RATE, weight_decay=0.0, clip_norm=0.0, **changes)


def first_update(params, gradients, **changes):
    optimizer = make_optimizer(experiment(**changes))
    return jax.jit(optimizer.update)(gradients, optimizer.init(params), params)[0]


def test_muon_equals_pytorch_on_linear_maps_and_convolutions():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(24, 40)).astype(np.float32)
    conv = rng.normal(size=(3, 3, 8, 16)).astype(np.float32)
    gradients = {"kernel": jnp.asarray(kernel), "conv": jnp.asarray(conv)}
    updates = first_update(jax.tree.map(jnp.zeros_like, gradients), gradients, optimizer="muon")

    for name, matrix in {"kernel": kernel.T, "conv": conv.reshape(-1, 16).T}.items():
        leaf = torch.nn.Parameter(torch.zeros(matrix.shape))
        leaf.grad = torch.from_numpy(matrix.copy())
        torch.optim.Muon([leaf], lr=RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw").step()
        expected = leaf.detach().numpy()
        ours = np.asarray(updates[name]).reshape(-1, matrix.shape[0]).T
        # PyTorch orthogonalises in bfloat16.
        assert np.linalg.norm(ours - expected) < 0.02 * np.linalg.norm(expected), name


def test_muon_leaves_vectors_to_adam():
    gradients = {"bias": jnp.asarray([3.0, -0.5])}
    params = {"bias": jnp.zeros(2)}
    adam = optax.nadam(RATE)
    expected, _ = adam.update(gradients, adam.init(params), params)
    chex.assert_trees_all_close(first_update(params, gradients, optimizer="muon"), expected, rtol=1e-4)


def test_matrices_decay_and_vectors_do_not():
    params = {"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4)}
    for name in ("adamw", "muon"):
        config = Experiment(name="x", task=Toy(), learning_rate=RATE, weight_decay=0.5, optimizer=name)
        optimizer = make_optimizer(config)
        still = jax.tree.map(jnp.zeros_like, params)
        updates, _ = jax.jit(optimizer.update)(still, optimizer.init(params), params)
        moved = optax.apply_updates(params, updates)
        chex.assert_trees_all_close(moved, {"kernel": jnp.full((4, 4), 1 - 0.5 * RATE), "bias": jnp.ones(4)})


def test_each_of_stacked_blocks_is_a_linear_map_of_its_own():
    one = {f"kernel_{i}": jax.random.normal(jax.random.key(i), (4, 6)) for i in range(3)}
    stacked = {"blocks/kernel": jnp.stack(list(one.values())), "blocks/bias": jnp.ones((3, 6))}
    alone = first_update(jax.tree.map(jnp.zeros_like, one), one, optimizer="muon")
    together = first_update(jax.tree.map(jnp.zeros_like, stacked), stacked, optimizer="muon")
    chex.assert_trees_all_close(together["blocks/kernel"], jnp.stack(list(alone.values())), rtol=1e-4, atol=1e-7)

    still = jax.tree.map(jnp.zeros_like, stacked)
    config = Experiment(name="x", task=Toy(), learning_rate=RATE, weight_decay=0.5, optimizer="muon")
    optimizer = make_optimizer(config)
    updates, _ = jax.jit(optimizer.update)(still, optimizer.init(stacked), stacked)
    chex.assert_trees_all_close(updates["blocks/bias"], still["blocks/bias"])

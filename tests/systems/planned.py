"""What a recipe's plan promises without weights and data, beside what there really is."""

import chex
import jax


def assert_planned(plan, batch=None, params=None):
    if batch is not None:
        chex.assert_trees_all_equal(*({k: tuple(v.shape) for k, v in b.items()} for b in (plan.batch, batch)))
    if params is not None:
        chex.assert_trees_all_equal(*(jax.tree.map(lambda leaf: str(leaf.shape), p) for p in (plan.params, params)))

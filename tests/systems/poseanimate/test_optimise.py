"""What the optimisation of embeddings may be asked for beside the algorithm, on a network of two matrices."""

import os
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxanim.diffusion.betas import Betas
from jaxanim.errors import InputError
from jaxanim.systems.poseanimate.pacm import Optimisation, invert, optimise

STEPS, HIDDEN = 3, 4096
DIFFUSION = Betas(set_alpha_to_one=False)
BATCHES = []
"""How many frames each trace of the network was given."""


def network(weights, x, t, text, pose):
    """Latents of 4 channels, each frame's own hidden layer far larger than all else."""
    BATCHES.append(len(x))
    inner, outer, words = weights
    told = (text.mean(1) @ words)[:, None, None, None]
    hidden = jnp.tanh(x.astype(inner.dtype) @ inner + told.astype(inner.dtype) + pose.astype(inner.dtype))
    return hidden @ outer, told[:, 0, 0, 0, :2].astype(jnp.float32)


def inputs(frames, dtype=jnp.float32):
    """(predict, trajectory, constant, start, poses)."""
    rng = np.random.default_rng(0)
    sizes = (4, HIDDEN), (HIDDEN, 4), (6, HIDDEN), (8, 8, 4), (2, 5, 6), (frames, 8, 8, 1)
    inner, outer, words, z0, text, poses = (jnp.asarray(rng.standard_normal(s), jnp.float32) for s in sizes)
    weights = tuple(w.astype(dtype) for w in (inner, outer / HIDDEN, words))
    predict = Partial(network, weights)
    return predict, invert(predict, DIFFUSION, z0, text[0], poses[0], STEPS), text[1], text[:1], poses


def optimised(frames, given=None, learning_rate=1e-2, **options):
    predict, *rest = given or inputs(frames)
    settings = Optimisation(inner_steps=2, learning_rate=learning_rate)
    return optimise(predict, DIFFUSION, *rest, guidance=7.5, optimisation=settings, **options)


def test_a_few_frames_at_once_are_the_same_in_less_memory():
    told, whole = [], optimised(5)
    few = optimised(5, frames_at_once=2, report=lambda done, steps, _: told.append((done, steps)))
    chex.assert_trees_all_close(few, whole, atol=1e-5)
    assert told == [(1, 3), (2, 3), (3, 3)]
    memory = {}
    for at_once in (None, 2, 1):
        predict, *rest = inputs(16)
        fn = jax.jit(lambda predict, rest, n=at_once: optimised(16, (predict, *rest), frames_at_once=n))
        memory[at_once] = fn.lower(predict, rest).compile().memory_analysis().temp_size_in_bytes
    assert memory[1] < 0.7 * memory[2] < 0.7 * 0.3 * memory[None], memory


def test_whatever_the_network_computes_in_the_loss_and_the_embedding_are_float32():
    """Steps far below what bfloat16 tells from 1, towards latents that differ by less than it resolves."""
    half, full = (optimised(2, inputs(2, dtype), learning_rate=1e-5) for dtype in (jnp.bfloat16, jnp.float32))
    assert half.embeddings.dtype == half.latents.dtype == jnp.float32
    start = inputs(2)[3][0]
    moves = [np.asarray(result.embeddings - start) for result in (half, full)]
    assert np.abs(moves[1]).min() > 1e-6
    assert (np.sign(moves[0]) == np.sign(moves[1])).mean() > 0.9


def spread():
    """In a program with eight devices: 11 frames, in turn on each, and then 3, which need no more than three."""
    assert jax.device_count() == 8
    for frames, each in ((11, 2), (3, 1)):
        expected = optimised(frames)
        BATCHES.clear()
        result = optimised(frames, devices=jax.devices())
        assert set(BATCHES[-2:]) == {each}, BATCHES
        chex.assert_trees_all_close(result, expected, atol=1e-5)
        assert result.embeddings.devices() == expected.embeddings.devices()
    chex.assert_trees_all_close(optimised(11, devices=jax.devices(), frames_at_once=1), optimised(11), atol=1e-5)


def test_frames_spread_over_eight_devices_as_on_one():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import spread; spread()"], cwd=Path(__file__).parents[3],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_numbers_that_cannot_be():
    with pytest.raises(InputError, match="inner_steps is -1"):
        Optimisation(inner_steps=-1)

"""DirectAnimator's blocks and losses: equations against literal transcriptions, the start against the base model."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.image_to_video import PROCESS, beside_image
from jaxanim.models.cogvideox.transformer import CogVideoXTransformer
from jaxanim.models.shapes import parameter_shapes
from jaxanim.systems.directanimator.fusion import CueFusion
from jaxanim.systems.directanimator.losses import Same2X, alignment_loss, directanimator_loss
from jaxanim.systems.directanimator.network import (
    CueLatents,
    CueTransformer,
    CueTransformerConfig,
    in_front,
    with_mask,
)

BASE = CogVideoXConfig(
    num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=4, time_embed_dim=12, ofs_embed_dim=12,
    text_embed_dim=10, num_layers=3,
)  # fmt: skip
TINY = CueTransformerConfig(BASE, cue_channels=5)
KINDS = ("cuefusion", "concatenation", "cross_attention")
SAME2X = Same2X(depth=2, weight=0.5)


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def cue_latents(seed):
    return CueLatents(draw(seed, 2, 2, 4, 6, 5), draw(seed + 1, 2, 2, 4, 6, 5))


INPUTS = draw(0, 2, 2, 4, 6, 8), draw(1, 2, 5, 10), jnp.array([999, 417])


@pytest.fixture(scope="module")
def base():
    """Random parameters of the base model, none where it starts."""
    shapes = parameter_shapes("transformer", BASE)
    keys = iter(jax.random.split(jax.random.key(0), 999))
    return jax.tree.map(lambda leaf: 0.3 * jax.random.normal(next(keys), leaf.shape), shapes)


def fresh(kind, base):
    config = CueTransformerConfig(BASE, injection=kind, cue_channels=5)
    params = jax.jit(CueTransformer(config).init)(jax.random.key(1), *INPUTS, cue_latents(5))["params"]
    chex.assert_trees_all_equal_shapes(params, parameter_shapes("transformer", config))
    return config, params | {"transformer": {**params["transformer"], **base}}


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_as_the_base_model_bit_for_bit(kind, base):
    config, params = fresh(kind, base)
    expected = jax.jit(CogVideoXTransformer(BASE).apply)({"params": base}, *INPUTS).sample
    ours = jax.jit(CueTransformer(config).apply)({"params": params}, *INPUTS, cue_latents(5)).sample
    np.testing.assert_array_equal(ours, expected)
    assert expected.std() > 1e-3

    # And it learns from there: what meets the cues first has a gradient.
    def loss(p):
        return jnp.mean(CueTransformer(config).apply({"params": p}, *INPUTS, cue_latents(5)).sample ** 2)

    slope = jax.jit(jax.grad(loss))(params)
    first = slope["pose_embed"] if kind == "concatenation" else slope["transformer"]["fusion_blocks"]
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(first)) > 1e-6


def test_cuefusion_is_equations_1_to_3():
    """One token and one channel at a time."""
    video, cues, time = draw(2, 2, 3, 32), (draw(3, 2, 3, 32), draw(4, 2, 3, 32)), draw(5, 2, 12)
    block = CueFusion(BASE, parent=None)
    params = {"linear": {"kernel": 0.3 * draw(6, 12, 192), "bias": 0.3 * draw(7, 192)}}
    fused, on = block.apply({"params": params}, video, cues, time)
    kernel, bias = np.asarray(params["linear"]["kernel"], float), np.asarray(params["linear"]["bias"], float)
    for b in range(2):
        e_t = np.asarray(time[b], float)
        mlp = (e_t / (1 + np.exp(-e_t))) @ kernel + bias  # MLP(SiLU(e_t)), Eq. 1
        start, beta_p, gamma_p, start_f, beta_f, gamma_f = np.split(mlp, 6)
        alpha_p, alpha_f = start - 1, start_f - 1  # the bias of alpha begins at -1
        for n in range(3):
            total = np.asarray(video[b, n], float)
            factors = ((alpha_p, beta_p, gamma_p), (alpha_f, beta_f, gamma_f))
            for cue, out, (alpha, beta, gamma) in zip(cues, on, factors, strict=True):
                e = np.asarray(cue[b, n], float)
                normed = (e - e.mean()) / np.sqrt(e.var() + 1e-5)
                e_m = normed * (1 + alpha) + beta  # Eq. 2
                total = total + e_m
                np.testing.assert_allclose(out[b, n], e + gamma * e_m, atol=1e-5)  # Eq. 3
            np.testing.assert_allclose(fused[b, n], total, atol=1e-5)


def test_alignment_loss_is_equation_4():
    h_s, h_x = draw(8, 2, 3, 7), draw(9, 2, 3, 7)
    total = 0.0
    for b in range(2):
        for n in range(3):
            a, c = np.asarray(h_s[b, n], float), np.asarray(h_x[b, n], float)
            total += a @ c / (np.sqrt(a @ a) * np.sqrt(c @ c)) / 3
    np.testing.assert_allclose(alignment_loss(h_s, h_x), -total / 2, rtol=1e-5)
    np.testing.assert_allclose(alignment_loss(h_s, 5 * h_s), -1, rtol=1e-5)


def test_masks_on_the_latent_grid():
    latents, mask = (
        draw(10, 1, 3, 2, 3, 4),
        jnp.asarray(np.random.default_rng(0).uniform(size=(1, 9, 16, 24)), jnp.float32),
    )
    both = with_mask(latents, mask)
    np.testing.assert_array_equal(both[..., :4], latents)
    for f, frames in enumerate((slice(0, 1), slice(1, 5), slice(5, 9))):
        for y in range(2):
            for x in range(3):
                cell = mask[0, frames, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
                np.testing.assert_allclose(both[0, f, y, x, 4], cell.mean(), rtol=1e-5)
    padded = in_front(both, 1)
    assert padded.shape[1] == 4
    np.testing.assert_array_equal(padded[:, 0], padded[:, 1])
    np.testing.assert_array_equal(in_front(both, 0), both)


@pytest.fixture(scope="module")
def trained(base):
    """A student and a teacher that both feel their cues."""
    config, params = fresh("cuefusion", base)
    moved = [
        jax.tree.map(lambda p, s=seed: p + 0.1 * jax.random.normal(jax.random.key(s), p.shape), params)
        for seed in (1, 2)
    ]
    return config, *moved


def same2x(config, student, teacher, key=3):
    return directanimator_loss(
        student, config, PROCESS, draw(11, 2, 2, 4, 6, 4), draw(12, 2, 1, 4, 6, 4), INPUTS[1], cue_latents(20),
        jax.random.key(key), teacher=teacher, same_id_cues=cue_latents(30), same2x=SAME2X,
    )  # fmt: skip


def test_a_same2x_step_is_one_program_and_leaves_the_teacher_alone(trained):
    config, student, teacher = trained
    grads = jax.jit(jax.grad(lambda s, t: same2x(config, s, t)[0], argnums=(0, 1)))(student, teacher)
    assert all(not leaf.any() for leaf in jax.tree.leaves(grads[1]))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads[0]))
    # The teacher runs its first D blocks alone: what comes after is never read.
    blocks = teacher["transformer"]["transformer_blocks"]
    spoiled = jax.tree.map(lambda p: p.at[2].set(jnp.nan), blocks)
    spoiled = teacher | {"transformer": teacher["transformer"] | {"transformer_blocks": spoiled}}
    program = jax.jit(lambda s, t: same2x(config, s, t))
    (total, parts), again = program(student, teacher), program(student, spoiled)
    np.testing.assert_allclose(again[0], total, rtol=1e-5)
    np.testing.assert_allclose(total, parts["denoising"] + 0.5 * parts["alignment"], rtol=1e-5)
    # Each part by itself, on the same noisy latents.
    at, noise = jax.random.split(jax.random.key(3))
    t, eps, z0 = PROCESS.draw(at, 2), jax.random.normal(noise, (2, 2, 4, 6, 4)), draw(11, 2, 2, 4, 6, 4)
    signal, level = (np.asarray(part)[:, None, None, None, None] for part in PROCESS.levels(t))
    x = beside_image(jnp.asarray(signal * z0 + level * eps), draw(12, 2, 1, 4, 6, 4))
    model = CueTransformer(config)
    out = jax.jit(lambda p, c: model.apply({"params": p}, x, INPUTS[1], t, c, keep=2))
    mine, theirs = out(student, cue_latents(20)), out(teacher, cue_latents(30))
    np.testing.assert_allclose(
        parts["denoising"], np.mean((mine.sample - (signal * eps - level * z0)) ** 2), rtol=1e-4
    )
    np.testing.assert_allclose(parts["alignment"], alignment_loss(theirs.hidden, mine.hidden), rtol=1e-4)


def test_impossible_losses_are_refused(trained):
    config, student, teacher = trained
    with pytest.raises(InputError, match="give both or neither"):
        directanimator_loss(
            student, config, PROCESS, draw(11, 2, 2, 4, 6, 4), draw(12, 2, 1, 4, 6, 4), INPUTS[1], cue_latents(20),
            jax.random.key(0), teacher=teacher,
        )  # fmt: skip
    with pytest.raises(InputError, match="depth is 0"):
        Same2X(depth=0)

"""PACM against a plain loop: PyTorch's Adam on diffusers' UNet, ControlNet and schedulers."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxanim.diffusion.betas import Betas
from jaxanim.models.controlnet import controlnet_config
from jaxanim.systems.poseanimate.denoise import Predict
from jaxanim.systems.poseanimate.pacm import Optimisation, invert, optimise, towards
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.weights import config_in_dtype
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import TINY, diffusers, torch

STEPS, FRAMES, GUIDANCE, SETTINGS = 2, 2, 7.5, Optimisation(inner_steps=2)
# One ControlNet embedding is convolved from nothing here: drawn poses are tested with the system.
CONFIG = StableDiffusionConfig(
    unet=dataclasses.replace(TINY, block_out_channels=(16,), down_block_types=("CrossAttnDownBlock2D",),
                             up_block_types=("CrossAttnUpBlock2D",)),
    diffusion=Betas(set_alpha_to_one=False),
)  # fmt: skip
CONFIG = dataclasses.replace(
    CONFIG, controlnet=controlnet_config(CONFIG.unet, conditioning_embedding_out_channels=(4, 4))
)


@dataclasses.dataclass
class Setting:
    unet: object
    controlnet: object
    predict: Partial
    z0: jax.Array
    text: jax.Array
    empty: jax.Array
    pixels: jax.Array  # drawn poses, the source's first
    poses: jax.Array  # their embeddings
    trajectory: jax.Array


@pytest.fixture(scope="module")
def setting():
    unet, controlnet = oracle.make_unet(CONFIG.unet, 1), oracle.make_controlnet(CONFIG.controlnet, 2)
    params = {"unet": oracle.params_of(unet), "controlnet": oracle.params_of(controlnet)}
    z0, text, empty, pixels = oracle.draws(3, (8, 8, 4), (5, 24), (5, 24), (1 + FRAMES, 16, 16, 3))
    predict = Partial(Predict(CONFIG), params, jnp.ones(5))
    with torch.no_grad():
        embedded = controlnet.controlnet_cond_embedding(oracle.images_to_torch(pixels[None]))
    poses = jnp.asarray(oracle.images_from_torch(embedded, 1)[:, 0])
    trajectory = invert(predict, CONFIG.diffusion, z0, text, poses[0], STEPS)
    return Setting(unet, controlnet, predict, z0, text, empty, pixels, poses, trajectory)


def ask(setting, z, t, text, frame):
    """diffusers' UNet under its ControlNet: z [1, c, h, w], text [1, length, width]."""
    pixels = oracle.images_to_torch(setting.pixels[None, frame : frame + 1])
    down, mid = setting.controlnet(z, t, text, pixels, return_dict=False)
    return setting.unet(
        z, t, text, down_block_additional_residuals=down, mid_block_additional_residual=mid, return_dict=False
    )[0]


def schedule(kind):
    scheduler = kind(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False,
    )  # fmt: skip
    scheduler.set_timesteps(STEPS)
    return scheduler


def algorithm(setting, frame, start, settings=SETTINGS):
    """Eq. 6 for frame 0 (`start` one embedding) and lines 4 to 8 of Algorithm 1 for others (one per timestep)."""
    scheduler = schedule(diffusers.DDIMScheduler)
    targets = [oracle.images_to_torch(z[None, None]) for z in setting.trajectory]
    prompt, empty = (oracle.to_torch(x)[None] for x in (setting.text, setting.empty))
    z, found, embedding = targets[-1], [], oracle.to_torch(start[0])[None]
    for i, t in enumerate(scheduler.timesteps):
        if len(start) > 1:
            embedding = oracle.to_torch(start[i])[None]

        def step(e, z=z, t=t):
            plain, cond = (e, prompt) if settings.enters == "unconditional" else (empty, e)
            plain, cond = ask(setting, z, t, plain, frame), ask(setting, z, t, cond, frame)
            return scheduler.step(plain + GUIDANCE * (cond - plain), t, z, return_dict=False)[0]

        embedding = embedding.clone().detach().requires_grad_()
        adam = torch.optim.Adam([embedding], lr=settings.learning_rate * (1 - i / (2 * STEPS)))
        for _ in range(settings.inner_steps):
            loss = torch.nn.functional.mse_loss(step(embedding), targets[STEPS - 1 - i])
            adam.zero_grad()
            loss.backward()
            adam.step()
            if settings.early_stop is not None and loss.item() < settings.early_stop * (1 + 2 * i):
                break
        embedding = embedding.detach()
        found.append(embedding.numpy()[0])
        with torch.no_grad():
            z = step(embedding)
    return np.stack(found), oracle.images_from_torch(z, 1)[0]


def ours(setting, start, poses, settings=SETTINGS, **more):
    constant = setting.text if settings.enters == "unconditional" else setting.empty
    return optimise(
        setting.predict, CONFIG.diffusion, setting.trajectory, constant, start, poses,
        guidance=GUIDANCE, optimisation=settings, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def source(setting):
    return ours(setting, setting.text[None], setting.poses[:1])


@pytest.fixture(scope="module")
def frames(setting, source):
    return ours(setting, source.embeddings[:, 0], setting.poses[1:])


def test_inversion_is_diffusers_at_scale_1_under_the_source_pose(setting):
    scheduler = schedule(diffusers.DDIMInverseScheduler)
    z, prompt = oracle.images_to_torch(setting.z0[None, None]), oracle.to_torch(setting.text)[None]
    with torch.no_grad():
        for k, t in enumerate(scheduler.timesteps):
            z = scheduler.step(ask(setting, z, t, prompt, 0), t, z, return_dict=False)[0]
            chex.assert_trees_all_close(setting.trajectory[k + 1], oracle.images_from_torch(z, 1)[0, 0], atol=1e-4)


def test_pose_aware_inversion_is_equation_6(setting, source):
    embeddings, z = algorithm(setting, 0, setting.text[None])
    assert np.abs(embeddings - np.asarray(setting.text)).max() > 1e-3
    chex.assert_trees_all_close(source.embeddings[:, 0], embeddings, atol=2e-4)
    chex.assert_trees_all_close(source.latents[0], z, atol=2e-3)


def test_algorithm_1_frame_by_frame(setting, source, frames):
    for frame in range(FRAMES):
        embeddings, z = algorithm(setting, 1 + frame, np.array(source.embeddings[:, 0]))
        chex.assert_trees_all_close(frames.embeddings[:, frame], embeddings, atol=4e-4)
        chex.assert_trees_all_close(frames.latents[frame], z, atol=4e-3)


def test_the_other_reading_of_figure_2(setting):
    settings = dataclasses.replace(SETTINGS, enters="conditional", inner_steps=1)
    embeddings, z = algorithm(setting, 0, setting.text[None], settings)
    found = ours(setting, setting.text[None], setting.poses[:1], settings)
    chex.assert_trees_all_close(found.embeddings[:, 0], embeddings, atol=2e-4)
    chex.assert_trees_all_close(found.latents[0], z, atol=2e-3)


def test_an_embedding_that_is_the_prompt_s_guides_at_scale_1():
    """And either reading is plain + scale (cond - plain)."""
    embedded, constant = 2.0, -3.0
    assert constant + towards("unconditional", 7.5) * (constant - constant) == constant
    assert embedded + towards("unconditional", 7.5) * (constant - embedded) == embedded + 7.5 * (
        constant - embedded
    )
    assert embedded + towards("conditional", 7.5) * (constant - embedded) == constant + 7.5 * (embedded - constant)


def test_side_by_side_equals_one_at_a_time(setting, source, frames):
    for frame in range(FRAMES):
        alone = ours(setting, source.embeddings[:, 0], setting.poses[1 + frame : 2 + frame])
        chex.assert_trees_all_close(alone.embeddings[:, 0], frames.embeddings[:, frame], atol=5e-5)
        chex.assert_trees_all_close(alone.seen[0], frames.seen[frame], atol=1e-5)


def test_early_stopping_is_each_frame_s_own(setting, source):
    """The threshold lies between the two frames' first losses, so that one goes on where the other stops."""
    start = source.embeddings[:, 0]
    losses = [first_loss(setting, start[0], 1 + frame) for frame in range(FRAMES)]
    between = float(np.mean(losses))
    settings = dataclasses.replace(SETTINGS, inner_steps=4, early_stop=between)
    mixed = ours(setting, start, setting.poses[1:], settings)
    for frame in range(FRAMES):
        embeddings, _ = algorithm(setting, 1 + frame, start, settings)
        chex.assert_trees_all_close(mixed.embeddings[0, frame], embeddings[0], atol=2e-4)
    moved = np.abs(np.array(mixed.embeddings[0] - start[0])).max((1, 2))
    assert (moved[np.argmax(losses)]) > 1.2 * moved[np.argmin(losses)]


def first_loss(setting, embedding, frame):
    scheduler = schedule(diffusers.DDIMScheduler)
    t, target = scheduler.timesteps[0], oracle.images_to_torch(setting.trajectory[-2][None, None])
    z = oracle.images_to_torch(setting.trajectory[-1][None, None])
    with torch.no_grad():
        plain, cond = (ask(setting, z, t, oracle.to_torch(e)[None], frame) for e in (embedding, setting.text))
        z = scheduler.step(plain + GUIDANCE * (cond - plain), t, z, return_dict=False)[0]
    return float(torch.nn.functional.mse_loss(z, target))


def test_the_gradient_is_the_embedding_s_alone(setting, source):
    """No array of the size of a network's parameters is computed in the program's differentiated part."""
    program = jax.make_jaxpr(lambda s: ours(setting, s, setting.poses[1:]))(source.embeddings[:, 0])
    kernel = setting.predict.args[0]["unet"]["conv_in"]["kernel"]
    made = [
        sorted(var.aval.shape)
        for eqn in _equations(program.jaxpr)
        for var in eqn.outvars
        if eqn.primitive.name in ("conv_general_dilated", "dot_general")
    ]
    assert made
    assert sorted(kernel.shape) not in made
    chex.assert_shape(ours(setting, source.embeddings[:, 0], setting.poses[1:]).embeddings, (STEPS, FRAMES, 5, 24))


@pytest.mark.slow
def test_what_the_gradient_keeps_is_a_choice(setting):
    """And the gradient is the same; in bfloat16 too it is of a float32 embedding."""
    x, text = (jnp.broadcast_to(a, (1, *a.shape)) for a in (setting.z0[None], setting.text))

    def predict(remat, config=CONFIG):
        call = Partial(Predict(config, remat), *setting.predict.args)
        return lambda embedding: call(x, jnp.int32(1), embedding, setting.poses[:1, None])[0]

    def kept(remat):
        fn = predict(remat)
        return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda e: jax.vjp(fn, e)[1], text)))

    def gradient(remat):
        fn = predict(remat)
        return jax.jit(jax.grad(lambda e: jnp.square(fn(e)).sum()))(text)

    assert kept("blocks") < kept("products") < kept("none")
    chex.assert_trees_all_close(gradient("blocks"), gradient("none"), rtol=1e-4, atol=1e-5)
    half = {name: config_in_dtype(getattr(CONFIG, name), "bfloat16") for name in ("unet", "controlnet")}
    out, vjp = jax.eval_shape(lambda e: jax.vjp(predict("none", dataclasses.replace(CONFIG, **half)), e), text)
    assert out.dtype == jnp.bfloat16
    assert jax.eval_shape(lambda v, o: v(o)[0], vjp, out).dtype == jnp.float32


def _equations(jaxpr):
    for eqn in jaxpr.eqns:
        yield eqn
        for value in jax.tree.leaves(eqn.params, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _equations(inner)

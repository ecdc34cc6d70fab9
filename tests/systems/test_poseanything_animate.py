"""PoseAnything's sampler against a literal loop over steps and branches, as the paper and the released code tell it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.errors import InputError
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.wan.transformer import WanTransformer
from jaxanim.models.wan.video import to_latents, to_pixels
from jaxanim.systems.base import Memory
from jaxanim.systems.poseanything import matching, network, parts
from jaxanim.systems.poseanything.animate import Motion, Options, animate
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.systems.poseanything.network import Part, PoseMLP, PoseMLPConfig, velocity
from tests.systems.tiny_poseanything import CONFIG, injected, tiny

FRAMES, SIDE, STEPS = 5, 32, 12


def inputs():
    rng = np.random.default_rng(0)
    reference = jnp.asarray(rng.uniform(-1, 1, (SIDE, SIDE, 3)), jnp.float32)
    poses, camera = rng.integers(0, 256, (2, FRAMES, SIDE, SIDE, 3)).astype(np.uint8)
    poses[2] = 0
    masks = np.zeros((FRAMES, 2, SIDE, SIDE), np.uint8)
    masks[:, 0, :16, :20], masks[:, 1, 12:, 10:] = 1, 1
    masks[3:, 0, :, :4] = 1
    text = jnp.asarray(rng.normal(size=(2, 16, 8)), jnp.float32)
    return reference, poses, camera, masks, text


def run(config=CONFIG, *, with_camera=False, guidance=1.0, **changes):
    reference, poses, camera, masks, text = inputs()
    options = Options(**{name: changes.pop(name) for name in list(changes) if hasattr(Options, name)})
    sampling = dataclasses.replace(config.defaults, steps=STEPS, guidance=guidance)
    motion = Motion(poses, masks, camera if with_camera else None)
    arguments = {"key": jax.random.key(1), "sampling": sampling, "options": options} | changes
    return animate(tiny(config).params, config, reference, motion, text, **arguments)


@pytest.fixture(scope="module")
def compiled():
    """The velocity of one row, compiled once for all literal loops."""
    return {form: jax.jit(velocity, static_argnums=(1, 7)) for form in ("released", "exclusive")}


def literal(compiled, *, form="released", guided=None, which="matched", with_parts=True):
    """Every step and every branch by itself, in float64 between them."""
    config = dataclasses.replace(CONFIG, rules=dataclasses.replace(CONFIG.rules, part_form=form))
    params = tiny().params
    reference, poses, camera, masks, text = inputs()

    def encode(pixels):
        return to_latents(params["vae"], config.vae, jnp.asarray(pixels, jnp.float32)[None])[0]

    z_i, z_p = encode(reference[None]), encode(poses / 127.5 - 1)
    z_c, z_empty = encode(camera / 127.5 - 1), encode(np.zeros_like(poses) / 127.5 - 1)
    still = np.stack([poses[0] if frame.any() else frame for frame in poses])
    z_still = encode(still / 127.5 - 1)
    start = np.array(jax.random.normal(jax.random.key(1), z_p.shape), np.float64)
    start[0] = z_i[0]
    sigmas = np.linspace(1, 0, STEPS + 1)
    sigmas = 5 * sigmas / (1 + 4 * sigmas)

    def v(x, t, pose, row, part=None, hand_out=None):
        arrays = (jnp.asarray(x, jnp.float32)[None], jnp.full((1,), t, jnp.float32), text[row][None], pose[None])
        return compiled[form](params, config, *arrays, part, hand_out)

    def estimate(x, t, part):
        subject = np.asarray(v(x, t, z_p, 0, part)[0], np.float64)
        if guided is None:
            return subject
        kind, s, s_c = guided
        if kind == "still":
            plain = np.asarray(v(x, t, z_still, 1, part)[0], np.float64)
            return plain + s * (subject - plain)
        e_camera = np.asarray(v(x, t, z_c, 0, part)[0], np.float64)
        if kind == "anchors":
            return e_camera + (1 + s_c) * (subject - e_camera)
        empty = np.asarray(v(x, t, z_empty, 0, part)[0], np.float64)
        return empty + s * (subject - empty) - s_c * (e_camera - empty)

    def walk(x, first, last, part):
        for k in range(first, last):
            x = x + (sigmas[k + 1] - sigmas[k]) * estimate(x, 1000 * sigmas[k], part)
            x[0] = z_i[0]
        return x

    high = int((1000 * sigmas[:-1] > 975).sum())
    assert high == 2
    part = None
    if with_parts:
        shares = parts.grid_shares(masks, (z_p.shape[0], 4, 4), 2)
        weight = None
        if which == "matched":
            x = walk(start, 0, high - 1, None)
            _, (q, k) = v(x, 1000 * sigmas[high - 1], z_p, 0, None, 1)
            on_tokens = jnp.asarray(shares > 0).reshape(*shares.shape[:2], -1)
            weight = np.asarray(matching.attention_weight(q[0], k[0], on_tokens[0], on_tokens))
        on = shares > 0
        if form == "released":
            if weight is not None:
                on = matching.matched_masks(on, matching.match(weight))
            if which == "whole":
                on = on.any(1, keepdims=True)
            part = jnp.asarray(on.swapaxes(0, 1))[None]
        else:
            ids = parts.exclusive_ids(shares)
            if weight is not None:
                ids = matching.matched_ids(ids, weight, matching.match(weight))
            if which == "whole":
                ids = np.where(ids < 0, ids, 0)
            part = jnp.asarray(ids)[None]
        start = walk(start, 0, high, part)
    x = walk(start, high if with_parts else 0, STEPS, None)
    return np.asarray(to_pixels(params["vae"], config.vae, jnp.asarray(x, jnp.float32)[None])[0])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, {}),
        ({"parts": "none"}, {"with_parts": False}),
        ({"parts": "whole", "guidance": 3.0}, {"which": "whole", "guided": ("still", 3.0, None)}),
        ({"with_camera": True, "guidance": 1.5, "camera_scale": 0.7}, {"guided": ("superposed", 1.5, 0.7)}),
        (
            {"with_camera": True, "camera_scale": 0.7, "decoupling": "anchors", "parts": "named"},
            {"guided": ("anchors", None, 0.7), "which": "named"},
        ),
    ],
)
def test_the_sampler_is_the_literal_loop(compiled, changes, told):
    np.testing.assert_allclose(run(**changes), literal(compiled, **told), atol=2e-4)


def test_the_papers_form_of_part_attention_runs_by_the_config(compiled):
    config = dataclasses.replace(CONFIG, rules=dataclasses.replace(CONFIG.rules, part_form="exclusive"))
    out = run(config)
    np.testing.assert_allclose(out, literal(compiled, form="exclusive"), atol=2e-4)
    assert np.abs(out - run()).max() > 1e-3


def test_guidance_in_turn_gives_the_same_and_steps_are_reported():
    told = []
    once = run(with_camera=True)
    in_turn = run(with_camera=True, memory=Memory(guidance_in_turn=True), report=lambda *at: told.append(at))
    np.testing.assert_allclose(once, in_turn, atol=1e-4)
    # One step before the matching, and all of them again.
    assert [at[:2] for at in told] == [(k + 1, STEPS + 1) for k in range(STEPS + 1)]
    assert all(pictures.shape[-1] == 3 and np.abs(pictures).max() <= 1 for _, _, pictures in told)


def test_eqs_3_to_5_put_the_pose_where_they_say():
    rng = np.random.default_rng(1)
    z, pose = (jnp.asarray(rng.normal(size=(1, 3, 8, 8, 4)), jnp.float32) for _ in range(2))
    t, text = jnp.full((1,), 500.0), jnp.asarray(rng.normal(size=(1, 16, 8)), jnp.float32)
    clean = jnp.array([[True, False, False]])
    for how in ("channels", "mlp", "width"):
        config = injected(how)
        params = tiny(config).params
        if how == "channels":
            x = np.zeros((1, 3, 8, 8, 8), np.float32)
            x[..., :4], x[..., 4:] = z, pose
        elif how == "mlp":
            p = params["pose_mlp"]
            hidden = np.asarray(pose) @ p["linear_1"]["kernel"] + p["linear_1"]["bias"]
            hidden = hidden / (1 + np.exp(-hidden))
            x = np.asarray(z) + hidden @ p["linear_2"]["kernel"] + p["linear_2"]["bias"]
        else:
            x = np.zeros((1, 3, 8, 16, 4), np.float32)
            x[:, :, :, :8], x[:, :, :, 8:] = z, pose
        plain = WanTransformer(config.transformer).apply(
            {"params": params["transformer"]}, jnp.asarray(x), t, text, clean=clean
        )
        out = velocity(params, config, z, t, text, pose)
        np.testing.assert_allclose(out, plain[:, :, :, :8], atol=1e-5)


def test_a_fresh_mlp_changes_nothing():
    params = PoseMLP(PoseMLPConfig(4)).init(jax.random.key(0), jnp.ones((1, 1, 2, 2, 4)))["params"]
    z, pose = jax.random.normal(jax.random.key(1), (2, 1, 1, 2, 2, 4))
    np.testing.assert_array_equal(network.add_by_mlp(params, z, pose), z)


def test_parts_are_one_set_for_all_branches_and_hashable():
    assert hash(Part("released", "auto")) == hash(Part("released", "auto"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": dataclasses.replace(CONFIG.rules, injection="mlp")}, "poses injected by 'mlp' it should take 4"),
        ({"rules": dataclasses.replace(CONFIG.rules, match_block=2)}, "match_block is 2: .* blocks 0 to 1"),
        ({"transformer": dataclasses.replace(CONFIG.transformer, out_channels=8)}, "gives 8"),
    ],
)
def test_configs_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **change).check()


def test_width_has_no_parts():
    narrow = dataclasses.replace(CONFIG.transformer, in_channels=4)
    with pytest.raises(InputError, match="parts have no place"):
        dataclasses.replace(
            CONFIG, transformer=narrow, rules=dataclasses.replace(CONFIG.rules, injection="width")
        ).check()
    with pytest.raises(InputError, match="injection is 'depth'"):
        dataclasses.replace(CONFIG.rules, injection="depth")


def test_the_released_sizes_have_1_13_billion_parameters_of_part_modules():
    sizes = parameter_shapes("transformer", PoseAnythingConfig().transformer)
    part = {name: sizes["blocks"][name] for name in ("cross_attn_instance", "norm4")}
    count = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(part))
    assert count == 30 * (4 * (3072**2 + 3072) + 2 * 3072 + 2 * 3072)
    assert sizes["patch_embedding"]["kernel"].shape == (1, 2, 2, 96, 3072)

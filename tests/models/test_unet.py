"""The UNet family's sizes, gradients, compilation and errors, without another library."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxanim.errors import InputError
from jaxanim.models.appearance import AppearanceEncoder
from jaxanim.models.controlnet import (
    ControlNet,
    ControlNetConfig,
    controlnet_config,
    controlnet_params_from_unet,
)
from jaxanim.models.motion import ANIMATEDIFF_V2, MAGICANIMATE, add_motion
from jaxanim.models.parameters import shapes_of
from jaxanim.models.readers import reader_sites, transformer_sites
from jaxanim.models.unet import MotionConfig, UNet, UNetConfig

TINY = UNetConfig(
    block_out_channels=(8, 16),
    layers_per_block=1,
    cross_attention_dim=6,
    num_attention_heads=2,
    norm_num_groups=4,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)
# One resolution: the compilation of gradients is what costs time here.
FLAT = dataclasses.replace(
    TINY,
    block_out_channels=(8,),
    down_block_types=("CrossAttnDownBlock2D",),
    up_block_types=("CrossAttnUpBlock2D",),
)
VIDEO = dataclasses.replace(TINY, motion=MotionConfig(heads=2, max_frames=4, norm_num_groups=4), pool_frames=True)
FLAT_VIDEO = dataclasses.replace(FLAT, motion=VIDEO.motion, pool_frames=True)
UNET_PARAMETERS, CONTROLNET_PARAMETERS = 859_520_964, 361_279_120


def spec(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def count(module, *arguments):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes_of(module, *arguments)))


def random_params(module, seed, *arguments):
    """Random everywhere, so that zero initialisation hides nothing."""
    params = shapes_of(module, *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arguments))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.standard_normal(leaf.shape), leaf.dtype), params)


def inputs(frames=2, seed=0, batch=2):
    rng = np.random.default_rng(seed)
    sample, text = rng.standard_normal((batch, frames, 4, 4, 4)), rng.standard_normal((batch, 3, 6))
    t = jnp.asarray([5, 800, 41, 3][:batch])
    return jnp.asarray(sample, jnp.float32), t, jnp.asarray(text, jnp.float32)


SD15_INPUTS = spec(1, 2, 64, 64, 4), spec(1), spec(1, 77, 768)


def test_stable_diffusion_sizes():
    assert count(UNet(UNetConfig()), *SD15_INPUTS) == UNET_PARAMETERS
    assert count(ControlNet(ControlNetConfig()), *SD15_INPUTS, spec(1, 2, 512, 512, 3)) == CONTROLNET_PARAMETERS


@pytest.mark.parametrize(
    ("motion", "parameters"),
    # diffusers' MotionAdapter counts the same, without and with a mid module.
    [(MAGICANIMATE, 417_137_600), (ANIMATEDIFF_V2, 453_209_280)],
)
def test_motion_module_sizes(motion, parameters):
    assert count(UNet(UNetConfig(motion=motion)), *SD15_INPUTS) - UNET_PARAMETERS == parameters


def test_reader_order_of_stable_diffusion():
    expected = [("mid_block", 0)] + [(f"up_blocks_{b}", i) for b in (1, 2, 3) for i in range(3)]
    assert [(site.block, site.index) for site in reader_sites(UNetConfig())] == expected
    assert len(transformer_sites(UNetConfig())) == 16
    everywhere = reader_sites(UNetConfig(readers="all"))
    assert [site.block for site in everywhere[:3]] == ["down_blocks_2", "down_blocks_2", "mid_block"]
    assert [site.width for site in everywhere] == [1280] * 6 + [640] * 5 + [320] * 5


def test_truncated_encoder_lacks_exactly_the_released_checkpoint_s_gaps():
    whole = shapes_of(UNet(UNetConfig()), *SD15_INPUTS)
    encoder = shapes_of(AppearanceEncoder(UNetConfig()), spec(1, 1, 64, 64, 4), *SD15_INPUTS[1:])
    kept = encoder["up_blocks_3"]["attentions_2"]
    assert kept.keys() == {"norm", "proj_in", "transformer_blocks_0"}
    assert kept["transformer_blocks_0"].keys() == {"norm1"}
    assert whole.keys() - encoder.keys() == {"conv_norm_out", "conv_out"}
    theirs, ours = (flatten_dict({name: tree[name] for name in encoder}, sep="/") for tree in (whole, encoder))
    last = "up_blocks_3/attentions_2/"
    assert {path for path in theirs if not path.startswith(last)} <= ours.keys() <= theirs.keys()
    chex.assert_trees_all_equal_shapes({path: theirs[path] for path in ours}, ours)


def test_fresh_motion_modules_leave_the_image_unet_s_output():
    image = dataclasses.replace(TINY, pool_frames=True)
    arguments = inputs(frames=3)
    params = random_params(UNet(image), 1, *arguments)
    in_mid = dataclasses.replace(VIDEO, motion=dataclasses.replace(VIDEO.motion, in_mid=True))
    with_motion = add_motion(jax.random.key(1), params, in_mid)
    own = jax.eval_shape(UNet(in_mid).init, jax.random.key(0), *arguments)["params"]
    chex.assert_trees_all_equal_shapes_and_dtypes(with_motion, own)
    chex.assert_trees_all_close(
        jax.jit(UNet(in_mid).apply)({"params": with_motion}, *arguments),
        jax.jit(UNet(image).apply)({"params": params}, *arguments),
        atol=2e-6,
    )


def test_fresh_controlnet_gives_zero_residuals_and_copies_the_encoder():
    config = controlnet_config(VIDEO, conditioning_embedding_out_channels=(4, 8))
    sample, t, text = inputs()
    cond = jnp.ones((2, 2, 8, 8, 3))
    unet_params = random_params(UNet(VIDEO), 1, sample, t, text)
    params = controlnet_params_from_unet(jax.random.key(2), unet_params, config)
    own = jax.eval_shape(ControlNet(config).init, jax.random.key(0), sample, t, text, cond)["params"]
    chex.assert_trees_all_equal_shapes_and_dtypes(params, own)
    chex.assert_trees_all_equal(params["down_blocks_0"]["resnets_0"], unet_params["down_blocks_0"]["resnets_0"])
    down, mid = jax.jit(ControlNet(config).apply)({"params": params}, sample, t, text, cond)
    assert all(not residual.any() for residual in (*down, mid))


def test_condition_embedded_once_gives_the_same_residuals():
    control = ControlNet(controlnet_config(TINY, conditioning_embedding_out_channels=(4, 8)))
    sample, t, text = inputs()
    cond = jax.random.uniform(jax.random.key(3), (2, 2, 8, 8, 3))
    params = {"params": random_params(control, 4, sample, t, text, cond)}
    embedding = control.apply(params, cond, method="embed")
    run = jax.jit(control.apply)
    chex.assert_trees_all_close(
        run(params, sample, t, text, cond),
        run(params, sample, t, text, cond_embedding=embedding),
        rtol=1e-4,
        atol=1e-5,
    )


def magicanimate_loss(params, sample, t, text, reference, cond):
    """Encoder, ControlNet and video UNet together, the batch being [uncond, cond] of one entry."""
    control = ControlNet(controlnet_config(FLAT_VIDEO, conditioning_embedding_out_channels=(4, 8)))
    stored = AppearanceEncoder(FLAT).apply({"params": params["encoder"]}, reference, t[:1], text[:1])
    down, mid = control.apply({"params": params["control"]}, sample[:1], t[:1], text[:1], cond)
    out = UNet(FLAT_VIDEO).apply(
        {"params": params["unet"]},
        sample,
        t,
        text,
        down_residuals=down,
        mid_residual=mid,
        reference=stored,
        reads=(False, True),
    )
    return jnp.mean(jnp.square(out)), out


def magicanimate_arguments():
    sample, t, text = inputs()
    reference, cond = sample[:1, :1] + 1, jnp.ones((1, 2, 8, 8, 3))
    control = ControlNet(controlnet_config(FLAT_VIDEO, conditioning_embedding_out_channels=(4, 8)))
    params = {
        "unet": random_params(UNet(FLAT_VIDEO), 1, sample, t, text),
        "encoder": random_params(AppearanceEncoder(FLAT), 2, reference, t[:1], text[:1]),
        "control": random_params(control, 3, sample[:1], t[:1], text[:1], cond),
    }
    return params, sample, t, text, reference, cond


def test_every_parameter_has_a_gradient_and_the_program_is_traced_once():
    params, *arguments = magicanimate_arguments()
    chex.clear_trace_counter()
    step = jax.jit(jax.grad(chex.assert_max_traces(magicanimate_loss, n=1), has_aux=True))
    for shift in (0.0, 1.0):
        gradients, _ = step(params, arguments[0] + shift, *arguments[1:])
    without = [jax.tree_util.keystr(path) for path, g in jax.tree.leaves_with_path(gradients) if not jnp.any(g)]
    assert without == []


def test_reference_reaches_the_last_entries_alone_and_residuals_every_branch():
    params, *arguments = magicanimate_arguments()
    run = jax.jit(magicanimate_loss)
    out = run(params, *arguments)[1]
    sample, t, text, reference, cond = arguments
    other = run(params, sample, t, text, -reference, cond)[1]
    chex.assert_trees_all_equal(other[0], out[0])
    assert jnp.abs(other[1] - out[1]).max() > 1e-4
    other = run(params, sample, t, text, reference, -cond)[1]
    assert jnp.abs(other - out).max(axis=(1, 2, 3, 4)).min() > 1e-3


def test_recomputed_activations_give_the_same_gradients():
    arguments = inputs()
    params = random_params(UNet(FLAT), 1, *arguments)

    def gradients(config):
        def loss(params):
            return jnp.mean(jnp.square(UNet(config).apply({"params": params}, *arguments)))

        return jax.jit(jax.grad(loss))(params)

    chex.assert_trees_all_close(
        gradients(dataclasses.replace(FLAT, remat="dots")), gradients(FLAT), rtol=1e-4, atol=1e-6
    )


def test_half_precision_keeps_parameters_and_follows_the_full_one():
    arguments = inputs()
    params = random_params(UNet(TINY), 1, *arguments)
    full = jax.jit(UNet(TINY).apply)({"params": params}, *arguments)
    half = jax.jit(UNet(dataclasses.replace(TINY, dtype="bfloat16")).apply)({"params": params}, *arguments)
    assert half.dtype == jnp.bfloat16
    assert jnp.abs(half.astype(jnp.float32) - full).max() < 0.1 * jnp.abs(full).max()


def test_too_many_frames_are_refused():
    with pytest.raises(InputError, match=r"5 frames.*max_frames = 4"):
        jax.eval_shape(UNet(VIDEO).init, jax.random.key(0), *inputs(frames=5))


def test_what_does_not_fit_is_refused():
    sample, t, text = inputs()

    def call(**extra):
        return jax.eval_shape(lambda: UNet(TINY).init(jax.random.key(0), sample, t, text, **extra))

    with pytest.raises(InputError, match=r"reference has widths \(8,\).*\(16, 8, 8\)"):
        call(reference=(jnp.zeros((1, 16, 8)),))
    with pytest.raises(InputError, match="down_residuals has 1 entries; it should have 4"):
        call(down_residuals=(sample,))
    with pytest.raises(InputError, match="mid_residual"):
        call(mid_residual=sample)
    control = ControlNet(controlnet_config(TINY, conditioning_embedding_out_channels=(4, 8)))
    with pytest.raises(InputError, match="cond or cond_embedding"):
        jax.eval_shape(lambda: control.init(jax.random.key(0), sample, t, text))
    with pytest.raises(InputError, match="embedding has shape"):
        jax.eval_shape(lambda: control.init(jax.random.key(0), sample, t, text, jnp.zeros((2, 2, 16, 16, 3))))
    with pytest.raises(InputError, match="motion is None"):
        add_motion(jax.random.key(0), {}, TINY)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"down_block_types": ("DownBlock2D",)}, "down_block_types"),
        ({"up_block_types": ("UpBlock2D", "UpBlock")}, "up_block_types"),
        ({"readers": "up"}, "readers is 'up'"),
        ({"norm_num_groups": 3}, "norm_num_groups is 3"),
        ({"num_attention_heads": 3}, "num_attention_heads is 3"),
    ],
)
def test_configs_that_cannot_be_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(TINY, **fields)

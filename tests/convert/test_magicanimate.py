"""MagicAnimate's release, AnimateDiff's motion modules and MagicPose's files, at reduced width."""

import dataclasses

import chex
import jax
import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim import systems
from jaxanim.convert.__main__ import main
from jaxanim.models.unet_config import ANIMATEDIFF_V1, ANIMATEDIFF_V2, ANIMATEDIFF_V3
from jaxanim.weights import load_settings, load_weights
from tests.convert import layouts
from tests.convert.layouts import CONTROLNET, UNET, oracle, torch

LAST = "up_blocks.2.attentions.1"


def video_unet(motion=ANIMATEDIFF_V1, seed=9):
    return oracle.make_video_unet(dataclasses.replace(UNET, motion=motion), seed)


def truncated(net, last=LAST):
    """What the release keeps of the appearance encoder, whose last attention goes as far as norm1."""
    unused = [f"{last}.transformer_blocks.0.{name}." for name in ("attn1", "attn2", "norm2", "norm3", "ff")]
    tail = (f"{last}.proj_out.", "conv_norm_out.", "conv_out.", *unused)
    return {key: value for key, value in net.state_dict().items() if not key.startswith(tail)}


def motion_state(net):
    return {k: v for k, v in net.state_dict().items() if "motion_modules" in k and not k.endswith(".pe")}


def write_magicanimate(folder, prefix, wrap):
    """The three folders; returns the states they were written from, in diffusers' names."""
    control, encoder, video = oracle.make_controlnet(CONTROLNET, 7), oracle.make_unet(UNET, 8), video_unet()
    control.save_pretrained(folder / "densepose_controlnet")
    encoder.save_config(folder / "appearance_encoder")
    layouts.save(truncated(encoder), folder / "appearance_encoder" / "diffusion_pytorch_model.safetensors")
    (folder / "temporal_attention").mkdir()
    state = layouts.animatediff(video, prefix)
    torch.save(
        {"state_dict": state, "epoch": 1} if wrap else state,
        folder / "temporal_attention" / "temporal_attention.ckpt",
    )
    return {
        "controlnet": control.state_dict(),
        "appearance_encoder": truncated(encoder),
        "motion": motion_state(video),
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "sd15"
    return folder, layouts.write_pipeline(folder)


@pytest.mark.parametrize(("prefix", "wrap"), [("module.", True), ("module.unet.", False)])
def test_magicanimate_becomes_a_system_that_loads(tmp_path, capsys, base, prefix, wrap):
    states = write_magicanimate(tmp_path / "MagicAnimate", prefix, wrap)
    vae = layouts.make_vae(seed=20)
    vae.save_pretrained(tmp_path / "vae")
    arguments = [tmp_path / "MagicAnimate", tmp_path / "out", "--base", base[0], "--vae", tmp_path / "vae"]
    assert main([str(argument) for argument in arguments]) == 0
    printed = capsys.readouterr().out
    assert "is MagicAnimate:" in printed
    assert "attention_blocks.N.pos_encoder.pe" in printed
    system = systems.load("magicanimate", tmp_path / "out")
    assert system.config.diffusion.beta_schedule == "linear"
    assert system.config.unet.motion == ANIMATEDIFF_V1
    assert system.config.unet.pool_frames
    expected = {
        "vae": vae.state_dict(),
        "text_encoder": layouts.text_state(base[1]["text_encoder"]),
        "unet": base[1]["unet"].state_dict() | states["motion"],
        "appearance_encoder": states["appearance_encoder"],
        "controlnet": states["controlnet"],
    }
    for name, state in expected.items():
        chex.assert_trees_all_equal(layouts.flat(system.params[name]), layouts.state_flat(state))
    assert system.params["empty_prompt"].shape == (layouts.TOKENS, 64)
    assert np.isfinite(np.asarray(system.params["empty_prompt"])).all()


def test_magicanimate_in_bfloat16_on_a_mesh(tmp_path, base):
    """The parameters keep the dtype they are stored in and lie where the table says."""
    from jaxanim.training.sharding import MeshShape, make_mesh, parameter_sharding

    write_magicanimate(tmp_path / "MagicAnimate", "", False)
    arguments = [tmp_path / "MagicAnimate", tmp_path / "out", "--base", base[0], "--dtype", "bfloat16"]
    assert main([str(argument) for argument in arguments]) == 0
    system = systems.load(
        "magicanimate", tmp_path / "out", dtype=None, sharding=parameter_sharding(make_mesh(MeshShape()))
    )
    leaves = jax.tree.leaves({name: tree for name, tree in system.params.items() if name != "empty_prompt"})
    assert {leaf.dtype.name for leaf in leaves} == {"bfloat16"}
    assert all(isinstance(leaf.sharding, jax.sharding.NamedSharding) for leaf in leaves)
    plain = systems.load("magicanimate", tmp_path / "out")
    chex.assert_trees_all_equal(
        jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), system.params["unet"]),
        jax.tree.map(np.asarray, plain.params["unet"]),
    )


def test_magicanimate_without_its_base_or_with_another_is_refused(tmp_path, capsys, base):
    src, dst = tmp_path / "MagicAnimate", tmp_path / "out"
    write_magicanimate(src, "", False)
    assert main([str(src), str(dst)]) == 2
    assert "without vae, text_encoder, unet; name Stable Diffusion 1.5 with --base" in capsys.readouterr().err
    wider = dataclasses.replace(UNET, block_out_channels=(32, 64, 96))
    layouts.write_pipeline(tmp_path / "other", unet=oracle.make_unet(wider))
    assert main([str(src), str(dst), "--base", str(tmp_path / "other")]) == 2
    assert "(32, 64, 64); that of --base has (32, 64, 96)" in capsys.readouterr().err
    assert not dst.exists()


@pytest.mark.parametrize(
    ("motion", "pooled"),
    [(ANIMATEDIFF_V1, True), (ANIMATEDIFF_V2, False), (ANIMATEDIFF_V3, False)],
    ids=["v1", "v2", "v3"],
)
def test_animatediff_alone_and_in_its_unet(tmp_path, base, motion, pooled):
    video = video_unet(motion)
    src = layouts.save(layouts.animatediff(video), tmp_path / "mm.ckpt")
    assert main([str(src), str(tmp_path / "alone")]) == 0
    config, params = load_weights(tmp_path / "alone", system="motion")["motion"]
    assert (config.motion, config.pool_frames, config.block_out_channels) == (motion, pooled, (32, 64, 64))
    chex.assert_trees_all_equal(layouts.flat(params), layouts.state_flat(motion_state(video)))
    assert main([str(src), str(tmp_path / "in"), "--base", str(base[0])]) == 0
    config, params = load_weights(tmp_path / "in", system="animatediff")["unet"]
    assert config == dataclasses.replace(UNET, motion=motion, pool_frames=pooled)
    expected = base[1]["unet"].state_dict() | motion_state(video)
    chex.assert_trees_all_equal(layouts.flat(params), layouts.state_flat(expected))


def test_diffusers_motion_adapter(tmp_path):
    from diffusers import MotionAdapter

    net = oracle.randomise(MotionAdapter(block_out_channels=(32, 64), motion_layers_per_block=1), 3)
    net.save_pretrained(tmp_path / "adapter")
    assert main([str(tmp_path / "adapter"), str(tmp_path / "out")]) == 0
    config, params = load_weights(tmp_path / "out")["motion"]
    assert config.motion == ANIMATEDIFF_V2
    chex.assert_trees_all_equal(layouts.flat(params), layouts.state_flat(motion_state(net)))


def test_learned_positions_are_not_thrown_away(tmp_path, capsys):
    state = layouts.animatediff(video_unet())
    key = next(key for key in state if key.endswith(".pe"))
    src = layouts.save(state | {key: state[key] + 0.1}, tmp_path / "mm.ckpt")
    assert main([str(src), str(tmp_path / "out")]) == 2
    assert "only sinusoidal positions" in capsys.readouterr().err


def magicpose_states():
    unet, appearance, control = (
        oracle.make_unet(UNET, 0),
        oracle.make_unet(UNET, 8),
        oracle.make_controlnet(CONTROLNET, 7),
    )
    return unet, appearance, control


def test_magicpose_s_final_file(tmp_path, capsys, base):
    unet, appearance, control = magicpose_states()
    state = layouts.compvis_model(unet, layouts.make_vae(), layouts.make_text())
    # A full copy of the UNet without its output layers.
    copy = {
        key: value
        for key, value in appearance.state_dict().items()
        if not key.startswith(("conv_norm_out.", "conv_out."))
    }
    state |= {f"appearance_control_model.{key}": value for key, value in layouts.compvis_unet(copy).items()}
    state |= {
        f"pose_control_model.{key}": value for key, value in layouts.compvis_unet(control.state_dict()).items()
    }
    src = layouts.save(state, tmp_path / "model_state-110000.th")
    assert main([str(src), str(tmp_path / "out"), "--tokenizer", str(base[0])]) == 0
    loaded = load_weights(tmp_path / "out", system="magicpose")
    expected = {
        "unet": unet.state_dict(),
        "appearance_encoder": truncated(appearance),
        "controlnet": control.state_dict(),
        "vae": layouts.make_vae().state_dict(),
        "text_encoder": layouts.text_state(layouts.make_text()),
    }
    assert loaded.keys() == expected.keys()
    for name, (_, params) in loaded.items():
        chex.assert_trees_all_equal(layouts.flat(params), layouts.state_flat(expected[name]))
    assert loaded["unet"][0].readers == loaded["appearance_encoder"][0].readers == "all"
    assert load_settings(tmp_path / "out")["defaults"].guidance == 7.0
    printed = capsys.readouterr().out
    assert "is MagicPose:" in printed
    assert "appearance_control_model.output_blocks.N.N.transformer_blocks.N.attn1.to_q.weight" in printed
    # Every source name is either in a leaf or listed: nothing went unseen.
    kept = sum(len(layouts.flat(params)) for _, params in loaded.values())
    dropped = len(copy) - len(truncated(appearance)) + 6
    assert kept + dropped == len(state)


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_magicpose_s_first_stage_on_its_base(tmp_path, base, wrapper):
    appearance = magicpose_states()[1]
    state = {
        f"{wrapper}control_model.{key}": value
        for key, value in layouts.compvis_unet(appearance.state_dict()).items()
    }
    src = layouts.save(state, tmp_path / "model_state-10000.th")
    assert main([str(src), str(tmp_path / "out"), "--base", str(base[0])]) == 0
    loaded = load_weights(tmp_path / "out", system="magicpose")
    assert loaded.keys() == {"unet", "vae", "text_encoder", "appearance_encoder"}
    params = layouts.flat(loaded["appearance_encoder"][1])
    chex.assert_trees_all_equal(params, layouts.state_flat(truncated(appearance)))
    assert loaded["unet"][0].readers == "all"

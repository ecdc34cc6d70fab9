"""Single files in CompVis' names: diffusers' own conversion functions say what each name means."""

from pathlib import Path

import chex
import numpy as np
import pytest

pytest.importorskip("torch")

import diffusers
from diffusers.loaders import single_file_utils

from jaxanim.convert.__main__ import main
from jaxanim.convert.families.controlnet import original
from jaxanim.convert.families.unet import compvis as compvis_unet
from jaxanim.convert.families.vae import compvis as compvis_vae
from jaxanim.convert.rules import rename
from jaxanim.models.unet_config import UNetConfig
from jaxanim.tensor_file import LazyTensor
from jaxanim.weights import load_settings, load_weights, read_description
from tests.convert import layouts
from tests.convert.layouts import CONTROLNET, UNET, oracle, torch


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key


@pytest.fixture(scope="module")
def nets():
    return oracle.make_unet(UNET), layouts.make_vae(), layouts.make_text()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    layouts.write_tokenizer(folder)
    return folder


def test_the_names_written_here_are_those_that_diffusers_reads(nets):
    """So that the conversions below are held to diffusers' understanding, not to this folder's."""
    unet, vae, text = nets
    single = layouts.compvis_model(unet, vae, text)
    config = {**unet.config, "layers_per_block": UNET.layers_per_block}
    same(single_file_utils.convert_ldm_unet_checkpoint(dict(single), config), unet.state_dict())
    same(single_file_utils.convert_ldm_vae_checkpoint(dict(single), vae.config), vae.state_dict())
    clip = single_file_utils.convert_ldm_clip_checkpoint(dict(single))
    clip.pop("text_model.embeddings.position_ids", None)
    same(clip, layouts.text_state(text))
    control = oracle.make_controlnet(CONTROLNET)
    original = {f"control_model.{k}": v for k, v in layouts.compvis_unet(control.state_dict()).items()}
    same(single_file_utils.convert_controlnet_checkpoint(original, control.config), control.state_dict())


def meta_states():
    """Stable Diffusion 1.5's networks at their full size, as shapes alone."""
    depth = {"cross_attention_dim": 768, "attention_head_dim": 8}
    with torch.device("meta"):
        return {
            "unet": diffusers.UNet2DConditionModel(**depth),
            "controlnet": diffusers.ControlNetModel(**depth),
            "vae": diffusers.AutoencoderKL(
                block_out_channels=(128, 256, 512, 512), layers_per_block=2,
                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            ),
        }  # fmt: skip


def test_every_name_of_the_full_depth():
    """All 686 names of the UNet, 248 of the autoencoder and 340 of ControlNet, each against diffusers' reading."""
    meta = meta_states()
    unet = layouts.compvis_unet(meta["unet"].state_dict(), UNetConfig())
    control = layouts.compvis_unet(meta["controlnet"].state_dict(), UNetConfig())
    vae = layouts.compvis_vae(meta["vae"].state_dict(), levels=4)
    config = {**meta["unet"].config}
    cases = [
        (686, unet, compvis_unet(unet),
         single_file_utils.convert_ldm_unet_checkpoint({f"model.diffusion_model.{k}": v for k, v in unet.items()}, config)),
        (340, control, original(control),
         single_file_utils.convert_controlnet_checkpoint(dict(control), meta["controlnet"].config)),
        (248, vae, compvis_vae(vae),
         single_file_utils.convert_ldm_vae_checkpoint({f"first_stage_model.{k}": v for k, v in vae.items()}, meta["vae"].config)),
    ]  # fmt: skip
    for count, state, rules, theirs in cases:
        lazy = {key: LazyTensor(key, tuple(value.shape), np.dtype("f4"), None) for key, value in state.items()}
        ours = rename(Path("file"), "network", lazy, rules)
        assert len(ours.tensors) == count
        assert ours.dropped == {}
        assert ours.tensors.keys() == theirs.keys()
        for name, tensor in ours.tensors.items():
            if "mid_block.attentions.0.to_" in name and len(tensor.shape) == 4:  # made linear, so another object
                assert tuple(theirs[name].shape) == tensor.shape[:2]
            else:
                assert theirs[name] is state[tensor.name], name


@pytest.mark.parametrize("form", ["safetensors", "ckpt with state_dict and averages"])
def test_stable_diffusion_from_one_file(tmp_path, capsys, nets, tokenizer, form):
    unet, vae, text = nets
    state = layouts.compvis_model(*nets)
    if form == "safetensors":
        src = layouts.save(state, tmp_path / "model.safetensors")
    else:
        src = tmp_path / "model.ckpt"
        torch.save({"state_dict": state | layouts.averages(unet), "epoch": 3, "global_step": 470000}, src)
    assert main([str(src), str(tmp_path / "out"), "--tokenizer", str(tokenizer), "--names"]) == 0
    loaded = load_weights(tmp_path / "out", system="stable_diffusion")
    expected = {"unet": unet.state_dict(), "vae": vae.state_dict(), "text_encoder": layouts.text_state(text)}
    assert loaded.keys() == expected.keys()
    for name, (_, params) in loaded.items():
        chex.assert_trees_all_equal(layouts.flat(params), layouts.state_flat(expected[name]))
    assert loaded["unet"][0] == UNET
    assert (tmp_path / "out" / "tokenizer" / "merges.txt").read_text() == (tokenizer / "merges.txt").read_text()
    assert load_settings(tmp_path / "out")["diffusion"].beta_schedule == "scaled_linear"
    printed = capsys.readouterr().out
    assert "is Stable Diffusion 1.5:" in printed
    assert "unet.safetensors: " in printed
    assert f"{sum(p.numel() for p in unet.parameters()):,} parameters" in printed
    assert "model.diffusion_model.out.2.weight -> unet.safetensors conv_out/kernel (3, 3, 32, 4)" in printed
    left_out = read_description(tmp_path / "out")["metadata"]["left_out"]
    names = {name for names in left_out.values() for name in names}
    assert {"betas", "posterior_variance"} <= names
    assert "cond_stage_model.transformer.text_model.embeddings.position_ids" in names
    if form != "safetensors":
        count = len(unet.state_dict()) + 2
        assert {"epoch", "global_step", f"model_ema.* ({count})"} <= names


def test_the_autoencoder_s_and_controlnet_s_own_files(tmp_path, nets):
    vae = nets[1]
    state = layouts.compvis_vae(vae.state_dict()) | {"loss.discriminator.main.0.weight": torch.ones(2, 2)}
    src = layouts.save(state, tmp_path / "vae.ckpt")
    assert main([str(src), str(tmp_path / "vae")]) == 0
    params = load_weights(tmp_path / "vae", system="vae")["vae"][1]
    chex.assert_trees_all_equal(layouts.flat(params), layouts.state_flat(vae.state_dict()))

    control = oracle.make_controlnet(CONTROLNET)
    original = {f"control_model.{k}": v for k, v in layouts.compvis_unet(control.state_dict()).items()}
    for name, prefix in (("with", "control_model."), ("without", "")):
        renamed = {key.replace("control_model.", prefix): value for key, value in original.items()}
        src = layouts.save(renamed, tmp_path / f"{name}.safetensors")
        assert main([str(src), str(tmp_path / name)]) == 0
        config, params = load_weights(tmp_path / name, system="controlnet")["controlnet"]
        assert config == CONTROLNET
        chex.assert_trees_all_equal(layouts.flat(params), layouts.state_flat(control.state_dict()))


def test_dtype_on_request(tmp_path, nets):
    vae = nets[1]
    src = layouts.save(layouts.compvis_vae(vae.state_dict()), tmp_path / "vae.safetensors")
    assert main([str(src), str(tmp_path / "out"), "--dtype", "bfloat16"]) == 0
    params = load_weights(tmp_path / "out", dtype=None)["vae"][1]
    bias = vae.state_dict()["quant_conv.bias"].bfloat16().float().numpy()
    assert params["quant_conv"]["bias"].dtype.name == "bfloat16"
    np.testing.assert_array_equal(params["quant_conv"]["bias"].astype(np.float32), bias)

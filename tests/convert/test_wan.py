"""Wan's transformer and autoencoder from every layout that people have, and PoseAnything's shards."""

import dataclasses
import json
import re

import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.convert.__main__ import main
from jaxanim.tensor_file import read_tensors
from jaxanim.weights import load_weights
from tests.convert import layouts
from tests.models import wan_oracle
from tests.models.sd_oracle import torch

# Heads of 128 channels, which a file alone cannot tell, and 2.2's way of patches.
CONFIG = wan_oracle.WanConfig(
    num_layers=2, num_attention_heads=1, ffn_dim=24, in_channels=5, out_channels=5, text_dim=12, freq_dim=16
)
# With statistics of 48 channels, Wan2.2's own.
VAE = wan_oracle.WanVAEConfig(
    base_dim=2, decoder_base_dim=2, z_dim=48, dim_mult=(1, 2, 2), temporal_downsample=(False, True)
)

# The official names, written down from the structure of Wan's modules.
PLACES = {
    "condition_embedder.text_embedder.linear_1": "text_embedding.0", "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0", "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1", "proj_out": "head.head",
}  # fmt: skip
INNER = {"attn1": "self_attn", "attn2": "cross_attn", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o",
         "norm2": "norm3", "ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2", "scale_shift_table": "modulation"}  # fmt: skip


def official(state):
    """A transformer's state in the official names."""
    renamed = {}
    for key, value in state.items():
        if key == "scale_shift_table":
            key = "head.modulation"
        for old, new in PLACES.items():
            key = re.sub(rf"^{re.escape(old)}\.", f"{new}.", key)
        if key.startswith("blocks."):
            for old, new in INNER.items():
                key = re.sub(rf"(?<=\.){re.escape(old)}(?=\.|$)", new, key)
        renamed[key] = value
    return renamed


def official_vae(state, config):
    """An autoencoder's state in the names of Wan2.2_VAE.pth."""
    inner = {
        "norm1.gamma": "residual.0.gamma",
        "conv1": "residual.2",
        "norm2.gamma": "residual.3.gamma",
        "conv2": "residual.6",
        "conv_shortcut": "shortcut",
    }
    renamed = {}
    for key, value in state.items():
        for old, new in inner.items():
            key = re.sub(rf"(resnets\.\d+)\.{re.escape(old)}(?=\.|$)", rf"\1.{new}", key)
        key = re.sub(r"^quant_conv", "conv1", re.sub(r"^post_quant_conv", "conv2", key))
        key = (
            key.replace("mid_block.resnets.0", "middle.0")
            .replace("mid_block.attentions.0", "middle.1")
            .replace("mid_block.resnets.1", "middle.2")
        )
        key = (
            key.replace("coder.conv_in", "coder.conv1")
            .replace("norm_out.gamma", "head.0.gamma")
            .replace("coder.conv_out", "coder.head.2")
        )
        key = re.sub(r"down_blocks\.(\d+)\.resnets", r"downsamples.\1.downsamples", key)
        key = re.sub(r"up_blocks\.(\d+)\.resnets", r"upsamples.\1.upsamples", key)
        key = re.sub(
            r"down_blocks\.(\d+)\.downsampler", rf"downsamples.\1.downsamples.{config.num_res_blocks}", key
        )
        key = re.sub(r"up_blocks\.(\d+)\.upsampler", rf"upsamples.\1.upsamples.{config.num_res_blocks + 1}", key)
        renamed[key] = value
    return renamed


@pytest.fixture(scope="module")
def net():
    return wan_oracle.make_transformer(CONFIG)


@pytest.fixture(scope="module")
def state(net):
    return {key: value.clone() for key, value in net.state_dict().items()}


def converted(src, out):
    assert main([str(src), str(out)]) == 0
    ((config, params),) = load_weights(out).values()
    return config, params


def shards(folder, state, at_once=20, stem="diffusion_pytorch_model"):
    """The state as safetensors shards with their index."""
    folder.mkdir()
    names = list(state)
    groups = [names[i : i + at_once] for i in range(0, len(names), at_once)]
    places = {}
    for i, group in enumerate(groups):
        file = f"{stem}-{i + 1:05d}-of-{len(groups):05d}.safetensors"
        layouts.save({name: state[name] for name in group}, folder / file)
        places |= dict.fromkeys(group, file)
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def check(params, state):
    expected = layouts.flat(wan_oracle.stacked({key: value.numpy() for key, value in state.items()}))
    params = layouts.flat(params)
    assert params.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(params[path], value, path)


def test_official_transformer_in_shards(tmp_path, state):
    theirs = official(state)
    assert {
        "head.modulation",
        "blocks.1.modulation",
        "blocks.0.norm3.bias",
        "blocks.1.self_attn.norm_q.weight",
    } <= theirs.keys()
    src = shards(tmp_path / "wan", theirs)
    (src / "config.json").write_text(
        json.dumps({"model_type": "ti2v", "dim": 128, "num_heads": 1, "num_layers": 2, "eps": 1e-6})
    )
    config, params = converted(src, tmp_path / "out")
    assert config == CONFIG
    check(params, state)
    tensors = read_tensors(next((tmp_path / "out").glob("*.safetensors")))
    assert tensors["blocks/attn1/to_q/kernel"].shape == (2, 128, 128)


def test_diffusers_transformer(tmp_path, net, state):
    net.save_pretrained(tmp_path / "transformer")
    config, params = converted(tmp_path / "transformer", tmp_path / "out")
    assert config == CONFIG
    check(params, state)


def test_pose_anything_s_shards(tmp_path, state):
    """Twice the channels, and in each block a second cross-attention behind its own norm; no config file."""
    rng = torch.Generator().manual_seed(5)
    extra = {"patch_embedding.weight": torch.randn(128, 10, 1, 2, 2, generator=rng)}
    for i in range(2):
        for name in "qkvo":
            extra[f"blocks.{i}.cross_attn_instance.{name}.weight"] = torch.randn(128, 128, generator=rng)
            extra[f"blocks.{i}.cross_attn_instance.{name}.bias"] = torch.randn(128, generator=rng)
        for name in (
            "cross_attn_instance.norm_q.weight",
            "cross_attn_instance.norm_k.weight",
            "norm4.weight",
            "norm4.bias",
        ):
            extra[f"blocks.{i}.{name}"] = torch.randn(128, generator=rng)
    theirs = official(state) | extra
    # As released: the shards have no index.
    src = shards(tmp_path / "shards", theirs, stem="model")
    (src / "model.safetensors.index.json").unlink()
    config, params = converted(src, tmp_path / "out")
    assert config == dataclasses.replace(CONFIG, in_channels=10, part_attention=True)
    ours = layouts.flat(params)
    assert len(ours) == len(layouts.flat(wan_oracle.stacked({k: v.numpy() for k, v in state.items()}))) + 12
    for i in range(2):
        block = {path: value[i] for path, value in ours.items() if path.startswith("blocks/")}
        for name, place in (("q", "to_q"), ("o", "to_out_0")):
            np.testing.assert_array_equal(
                block[f"blocks/cross_attn_instance/{place}/kernel"],
                extra[f"blocks.{i}.cross_attn_instance.{name}.weight"].numpy().T,
            )
        np.testing.assert_array_equal(block["blocks/norm4/scale"], extra[f"blocks.{i}.norm4.weight"])
        np.testing.assert_array_equal(
            block["blocks/cross_attn_instance/norm_k/scale"], extra[f"blocks.{i}.cross_attn_instance.norm_k.weight"]
        )


@pytest.mark.parametrize("form", ["official", "diffusers"])
def test_autoencoder(tmp_path, form):
    net = wan_oracle.make_vae(VAE)
    if form == "official":
        theirs = official_vae(net.state_dict(), VAE)
        assert {
            "conv1.weight",
            "encoder.downsamples.1.downsamples.2.time_conv.weight",
            "decoder.upsamples.0.upsamples.3.resample.1.bias",
            "decoder.head.0.gamma",
        } <= theirs.keys()
        src = tmp_path / "Wan2.2_VAE.pth"
        torch.save(theirs, src)
    else:
        src = tmp_path / "vae"
        net.save_pretrained(src)
    config, params = converted(src, tmp_path / "out")
    assert config == VAE
    expected = layouts.state_flat(net.state_dict())
    params = layouts.flat(params)
    assert params.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(params[path], value, path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"img_emb.proj.0.weight": (4,)}, r"img_emb\.proj\.0\.weight.*Wan's transformer"),
        ({"blocks.1.self_attn.q.weight": (64, 128)}, r"blocks\.1\.self_attn\.q\.weight has shape \(64, 128\)"),
        ({"blocks.1.ffn.2.bias": None}, r"lacks 1 of"),
        ({"blocks.1.cross_attn_instance.q.weight": (128, 128)}, r"cross_attn_instance"),
    ],
)
def test_shards_of_another_model(tmp_path, state, capsys, change, sentence):
    """Wan2.1's image-to-video model, a layer of another width, one tensor less, half of PoseAnything."""
    theirs = official(state)
    for key, shape in change.items():
        if shape is None:
            del theirs[key]
        else:
            theirs[key] = torch.zeros(shape)
    assert main([str(shards(tmp_path / "shards", theirs)), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.search(sentence, error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_shards_without_an_index_have_to_be_all_there(tmp_path, state, capsys):
    src = shards(tmp_path / "shards", official(state), stem="model")
    (src / "model.safetensors.index.json").unlink()
    files = sorted(src.iterdir())

    def refused(sentence):
        assert main([str(src), str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert re.search(sentence, error), error
        assert not (tmp_path / "out").exists()

    second = files[1].read_bytes()
    files[1].unlink()
    refused(rf"shard .*{files[1].name} is missing; {files[0].name} is one of {len(files)}")
    files[1].write_bytes(files[0].read_bytes())
    refused("which a shard before it holds too")
    files[1].write_bytes(second)
    (src / "other.safetensors").write_bytes(second)
    refused("several weights files")

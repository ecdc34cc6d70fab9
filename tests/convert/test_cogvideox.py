"""CogVideoX 1.5 in SAT's layout: the names and joined tensors that diffusers' conversion script and SAT's modules say
such a file has, made of diffusers' networks."""

import re

import numpy as np
import pytest

from jaxanim.convert.__main__ import main
from jaxanim.weights import load_weights
from tests.convert import layouts
from tests.convert.converted import convert
from tests.models import cogvideox_oracle as oracle
from tests.models.cogvideox_oracle import torch

PREFIX = "model.diffusion_model."
PLACES = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "ofs_embedding.linear_1": "ofs_embed.0", "ofs_embedding.linear_2": "ofs_embed.2",
    "patch_embed.proj": "mixins.patch_embed.proj", "patch_embed.text_proj": "mixins.patch_embed.text_proj",
    "norm_final": "transformer.final_layernorm", "norm_out.norm": "mixins.final_layer.norm_final",
    "norm_out.linear": "mixins.final_layer.adaLN_modulation.1", "proj_out": "mixins.final_layer.linear",
}  # fmt: skip


def sat_transformer(net):
    """A transformer's state as SAT holds it, with its tables and an embedding that nothing reads."""
    state, leaves = net.state_dict(), ("weight", "bias")
    made = {f"{new}.{leaf}": state.pop(f"{old}.{leaf}") for old, new in PLACES.items() for leaf in leaves}
    for i in range(net.config.num_layers):
        for leaf in leaves:

            def take(name, i=i, leaf=leaf):
                return state.pop(f"transformer_blocks.{i}.{name}.{leaf}")

            layer, mixin = f"transformer.layers.{i}", "mixins.adaln_layer"
            made[f"{layer}.input_layernorm.{leaf}"] = take("norm1.norm")
            made[f"{layer}.post_attention_layernorm.{leaf}"] = take("norm2.norm")
            made[f"{layer}.attention.query_key_value.{leaf}"] = torch.cat([take(f"attn1.to_{n}") for n in "qkv"])
            made[f"{layer}.attention.dense.{leaf}"] = take("attn1.to_out.0")
            made[f"{layer}.mlp.dense_h_to_4h.{leaf}"] = take("ff.net.0.proj")
            made[f"{layer}.mlp.dense_4h_to_h.{leaf}"] = take("ff.net.2")
            made[f"{mixin}.query_layernorm_list.{i}.{leaf}"] = take("attn1.norm_q")
            made[f"{mixin}.key_layernorm_list.{i}.{leaf}"] = take("attn1.norm_k")
            # SAT's block takes twelve in a row apart: shift, scale, gate before the attention, the same before the
            # MLP, both for the video; then all six for the text. diffusers' norms have the video's and the text's.
            video1, text1 = take("norm1.linear").chunk(2)
            video2, text2 = take("norm2.linear").chunk(2)
            made[f"{mixin}.adaLN_modulations.{i}.1.{leaf}"] = torch.cat([video1, video2, text1, text2])
    assert not state
    made |= {"mixins.pos_embed.freqs_sin": torch.ones(4, 2), "mixins.pos_embed.freqs_cos": torch.ones(4, 2)}
    return {PREFIX + key: value for key, value in made.items()}


def sat_vae(state, levels=4):
    """An autoencoder's state as in 3d-vae.pt, with something of the loss that trained it."""
    made = {}
    for key, value in state.items():
        new = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", key)
        new = re.sub(r"up_blocks\.(\d)", lambda match: f"up.{levels - 1 - int(match[1])}", new)
        new = (
            new.replace("down_blocks", "down").replace("resnets", "block").replace("conv_shortcut", "nin_shortcut")
        )
        made[re.sub(r"(down|up)samplers\.0", r"\1sample", new)] = value
    return made | {"loss.discriminator.weight": torch.ones(2)}


def converted(src, out, *options):
    assert main([str(src), str(out), *options]) == 0
    ((config, params),) = load_weights(out).values()
    return config, layouts.flat(params)


def test_transformer(tmp_path, capsys):
    net = oracle.make_transformer()
    state, json = net.state_dict(), dict(net.config)
    _, config, expected = convert(state, json)
    theirs = sat_transformer(net)
    assert theirs[f"{PREFIX}transformer.layers.2.attention.query_key_value.weight"].shape == (96, 32)
    folder = tmp_path / "transformer" / "1000"
    folder.mkdir(parents=True)
    torch.save({"module": theirs}, folder / "mp_rank_00_model_states.pt")
    found, params = converted(folder, tmp_path / "out")
    # A PyTorch file alone does not say how much text there may be.
    assert (found.num_layers, found.num_attention_heads, found.ofs_embed_dim) == (3, 2, 12)
    assert (found.in_channels, found.out_channels, found.patch) == (
        config.in_channels,
        config.out_channels,
        (2, 2, 2),
    )
    expected = layouts.flat(expected)
    assert params.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(params[path], value, path)
    assert "rotary table" in capsys.readouterr().out


def test_autoencoder(tmp_path):
    net = oracle.make_vae(block_out_channels=(32, 32, 64, 64), norm_num_groups=32)
    _, config, expected = convert(net.state_dict())
    theirs = sat_vae(net.state_dict())
    assert {"decoder.up.3.upsample.conv.bias", "encoder.mid.block_2.conv1.conv.weight"} <= theirs.keys()
    assert "decoder.up.1.block.0.nin_shortcut.weight" in theirs
    torch.save({"state_dict": theirs}, tmp_path / "3d-vae.pt")
    found, params = converted(tmp_path / "3d-vae.pt", tmp_path / "out")
    assert found.block_out_channels == config.block_out_channels
    expected = layouts.flat(expected)
    assert params.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(params[path], value, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop(f"{PREFIX}transformer.layers.1.mlp.dense_4h_to_h.bias"), "lacks 1"),
        (
            lambda state: state.update({f"{PREFIX}mixins.other.weight": torch.ones(2)}),
            "another network than CogVideoX's",
        ),
        (
            lambda state: state.update({f"{PREFIX}mixins.patch_embed.proj.weight": torch.ones(32, 8, 2, 2)}),
            "CogVideoX 1.0",
        ),
    ],
)
def test_what_is_no_whole_transformer_is_told(tmp_path, capsys, change, message):
    state = sat_transformer(oracle.make_transformer(num_layers=2))
    change(state)
    torch.save({"module": state}, tmp_path / "mp_rank_00_model_states.pt")
    assert main([str(tmp_path / "mp_rank_00_model_states.pt"), str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

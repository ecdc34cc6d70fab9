"""Folders that diffusers and transformers write: our network's output equals theirs, through convert and load."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from jaxanim.convert.__main__ import main
from jaxanim.convert.systems import _diffusion
from jaxanim.diffusion.betas import Betas
from jaxanim.errors import InputError
from jaxanim.models.clip_text import CLIPText
from jaxanim.models.clip_vision import CLIPVision
from jaxanim.models.controlnet import ControlNet, controlnet_config
from jaxanim.models.tokenizer import encode, load_tokenizer
from jaxanim.models.unet import UNet
from jaxanim.models.vae import VAE
from jaxanim.weights import load_settings, load_weights
from tests.convert import layouts
from tests.convert.layouts import diffusers, oracle, torch, transformers
from tests.models.sd_oracle import TINY, assert_close

CONTROLNET = controlnet_config(TINY, conditioning_embedding_out_channels=(4, 8))


def tiny_vae():
    net = diffusers.AutoencoderKL(
        block_out_channels=(16, 24), latent_channels=4, layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.3,
    )  # fmt: skip
    return oracle.randomise(net, 4)


def tiny_text(cls=None, hidden_act="gelu"):
    config = transformers.CLIPTextConfig(
        vocab_size=600, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=layouts.TOKENS, hidden_act=hidden_act, projection_dim=8,
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return oracle.randomise((cls or transformers.CLIPTextModel)(config), 5)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """(networks, converted folder) of a Stable Diffusion in a diffusers folder."""
    folder = tmp_path_factory.mktemp("sd")
    nets = layouts.write_pipeline(folder / "sd15", oracle.make_unet(TINY), tiny_vae(), tiny_text())
    for name in ("v1-5-pruned.safetensors", "v1-5-pruned-emaonly.ckpt"):  # as in the released folder
        (folder / "sd15" / name).touch()
    assert main([str(folder / "sd15"), str(folder / "out")]) == 0
    return nets, folder / "out"


def test_the_unet_s_output_survives(pipeline):
    nets, folder = pipeline
    config, params = load_weights(folder, system="stable_diffusion")["unet"]
    assert config == TINY
    sample, text = oracle.draws(1, (2, 1, 6, 8, 4), (2, 5, 24))
    t = np.array([7, 901])
    with torch.no_grad():
        expected = nets["unet"](oracle.images_to_torch(sample), torch.from_numpy(t), oracle.to_torch(text)).sample
    actual = jax.jit(UNet(config).apply)({"params": params}, sample, jnp.asarray(t), text)
    assert_close(actual, oracle.images_from_torch(expected, 1))


def test_the_autoencoder_s_output_survives(pipeline):
    nets, folder = pipeline
    config, params = load_weights(folder)["vae"]
    assert config.scaling_factor == 0.3
    (pixels,) = oracle.draws(2, (1, 1, 8, 12, 3))
    with torch.no_grad():
        expected = nets["vae"](oracle.images_to_torch(pixels)).sample
    assert_close(jax.jit(VAE(config).apply)({"params": params}, pixels), oracle.images_from_torch(expected, 1))


def test_prompts_through_the_tokenizer_and_text_encoder_survive(pipeline):
    nets, folder = pipeline
    config, params = load_weights(folder)["text_encoder"]
    assert (config.num_attention_heads, config.hidden_act) == (4, "gelu")
    ids = encode(load_tokenizer(folder / "tokenizer"), ["a red bird"])
    assert len(set(ids[0])) == 5
    with torch.no_grad():
        expected = nets["text_encoder"](input_ids=torch.from_numpy(ids).long()).last_hidden_state
    assert_close(jax.jit(CLIPText(config).apply)({"params": params}, jnp.asarray(ids)), expected)


def test_the_scheduler_s_numbers_are_kept(pipeline):
    diffusion = load_settings(pipeline[1])["diffusion"]
    assert (diffusion.beta_schedule, diffusion.set_alpha_to_one) == ("scaled_linear", False)


def test_every_key_of_a_scheduler_is_mapped_known_to_be_harmless_or_refused(tmp_path):
    file = tmp_path / "scheduler" / "scheduler_config.json"
    file.parent.mkdir()

    def read(**keys):
        file.write_text(json.dumps({"_class_name": "DDIMScheduler"} | keys))
        return _diffusion(tmp_path)

    # As Stable Diffusion 1.5 comes, and with what a zero terminal SNR model says.
    released = {"skip_prk_steps": True, "trained_betas": None, "clip_sample": False, "steps_offset": 1}
    assert read(**released, set_alpha_to_one=False) == Betas(set_alpha_to_one=False)
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    asked = read(**zero_snr)
    assert (asked.rescale_betas_zero_snr, asked.spacing) == (True, "trailing")
    assert asked.alphas_cumprod[-1] == 0
    for key, value in (("use_karras_sigmas", True), ("clip_sample", True), ("trained_betas", [0.1]), ("rho", 7.0)):
        with pytest.raises(InputError, match=f"has {key} {re.escape(repr(value))}"):
            read(**{key: value})
    with pytest.raises(InputError, match="beta_schedule is 'exp'"):
        read(beta_schedule="exp")


@pytest.mark.parametrize("form", ["bin", "shards", "fp16 beside nothing else"])
def test_other_files_hold_the_same(tmp_path, pipeline, form):
    unet = pipeline[0]["unet"]
    if form == "shards":
        unet.save_pretrained(tmp_path / "unet", max_shard_size="100KB")
        assert len(list((tmp_path / "unet").glob("*.safetensors"))) > 1
    else:
        unet.save_pretrained(
            tmp_path / "unet", safe_serialization=form != "bin", variant="fp16" if "fp16" in form else None
        )
    assert main([str(tmp_path / "unet"), str(tmp_path / "out")]) == 0
    params = load_weights(tmp_path / "out", system="unet")["unet"][1]
    assert layouts.flat(params).keys() == layouts.state_flat(unet.state_dict()).keys()
    for path, value in layouts.state_flat(unet.state_dict()).items():
        np.testing.assert_array_equal(layouts.flat(params)[path], value, path)


@pytest.mark.parametrize("form", ["old names, linear", "old names, convolutions", "new names, convolutions"])
def test_autoencoders_with_every_attention_naming(tmp_path, form):
    net = tiny_vae()
    net.save_pretrained(tmp_path / "vae")
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for key in [key for key in state if "attentions.0.to_" in key]:
        value = state.pop(key)
        if "convolutions" in form and value.ndim == 2:
            value = value[:, :, None, None]
        for new, name in old.items() if "old" in form else ():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{name}.")
        state[key] = value.contiguous()
    assert any("attentions.0.query.weight" in key for key in state) == ("old" in form)
    save_file(state, file)
    assert main([str(tmp_path / "vae"), str(tmp_path / "out")]) == 0
    params = layouts.flat(load_weights(tmp_path / "out", system="vae")["vae"][1])
    expected = layouts.state_flat(net.state_dict())
    assert params.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(params[path], value, path)


def test_controlnet_s_residuals_survive(tmp_path):
    net = oracle.make_controlnet(CONTROLNET)
    net.save_pretrained(tmp_path / "controlnet")
    assert main([str(tmp_path / "controlnet"), str(tmp_path / "out")]) == 0
    config, params = load_weights(tmp_path / "out", system="controlnet")["controlnet"]
    assert config == CONTROLNET
    sample, text, cond = oracle.draws(6, (1, 1, 8, 8, 4), (1, 5, 24), (1, 1, 16, 16, 3))
    with torch.no_grad():
        down, mid = net(
            oracle.images_to_torch(sample), torch.tensor([640]), oracle.to_torch(text), oracle.images_to_torch(cond),
            return_dict=False,
        )  # fmt: skip
    ours = jax.jit(ControlNet(config).apply)({"params": params}, sample, jnp.array([640]), text, cond)
    for a, b in zip((*ours[0], ours[1]), (*down, mid), strict=True):
        assert_close(a, oracle.images_from_torch(b, 1))


def test_image_variations_and_its_image_encoder(tmp_path):
    """CLIP's image encoder in the place of the text encoder."""
    net = layouts.make_vision()
    net.save_pretrained(tmp_path / "iv" / "image_encoder")
    oracle.make_unet(TINY).save_pretrained(tmp_path / "iv" / "unet")
    tiny_vae().save_pretrained(tmp_path / "iv" / "vae")
    assert main([str(tmp_path / "iv"), str(tmp_path / "out")]) == 0
    loaded = load_weights(tmp_path / "out", system="image_variations")
    assert loaded.keys() == {"image_encoder", "unet", "vae"}
    config, params = loaded["image_encoder"]
    (pixels,) = oracle.draws(3, (2, 24, 24, 3))
    with torch.no_grad():
        expected = net(pixel_values=oracle.to_torch(np.moveaxis(np.asarray(pixels), -1, 1)))
    hidden, _, embedding = jax.jit(CLIPVision(config).apply)({"params": params}, pixels)
    assert_close(hidden, expected.last_hidden_state)
    assert_close(embedding, expected.image_embeds)


def test_clip_s_other_files(tmp_path, capsys):
    """The text encoder with its projection, and a whole CLIP: what Stable Diffusion does not read is left out."""
    projected = tiny_text(transformers.CLIPTextModelWithProjection)
    projected.save_pretrained(tmp_path / "text")
    assert main([str(tmp_path / "text"), str(tmp_path / "out")]) == 0
    assert "text_projection.weight" in capsys.readouterr().out
    params = layouts.flat(load_weights(tmp_path / "out", system="text_encoder")["text_encoder"][1])
    expected = layouts.state_flat({k: v for k, v in projected.state_dict().items() if k.startswith("text_model.")})
    np.testing.assert_equal(params, expected)

    whole = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=tiny_text().config.to_dict(),
            vision_config=layouts.make_vision().config.to_dict(),
            projection_dim=16,
        )
    )
    whole.save_pretrained(tmp_path / "clip")
    assert main([str(tmp_path / "clip"), str(tmp_path / "both")]) == 0
    assert "logit_scale" in capsys.readouterr().out
    loaded = load_weights(tmp_path / "both", system="clip")
    assert loaded["text_encoder"][0].num_attention_heads == 4
    assert loaded["image_encoder"][0].projection_dim == 16
    state = whole.state_dict()
    for name, prefixes in (("text_encoder", ("text_model.",)), ("image_encoder", ("vision_model.", "visual_"))):
        kept = {
            key: value for key, value in state.items() if key.startswith(prefixes) and "position_ids" not in key
        }
        np.testing.assert_equal(layouts.flat(loaded[name][1]), layouts.state_flat(kept))

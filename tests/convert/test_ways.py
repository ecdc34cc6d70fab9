"""Checkpoints as people have them: what today's packages write, variants, what lacks a part, what has too much."""

import json
import re
import shutil

import numpy as np
import pytest

pytest.importorskip("torch")

from jaxanim.convert.__main__ import main
from jaxanim.convert.source import find_weights
from jaxanim.errors import InputError
from jaxanim.models.tokenizer import build_word_tokenizer, encode, load_tokenizer
from jaxanim.weights import load_weights, read_description
from tests.convert import layouts
from tests.convert.layouts import diffusers, oracle, torch, transformers


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    """A Stable Diffusion pipeline of diffusers' own, small."""
    folder = tmp_path_factory.mktemp("words")
    text = layouts.make_text()
    build_word_tokenizer(["red", "bird", "a"], folder, length=text.config.max_position_embeddings)
    return diffusers.StableDiffusionPipeline(
        vae=layouts.make_vae(), unet=oracle.make_unet(layouts.UNET), text_encoder=text,
        tokenizer=transformers.CLIPTokenizer.from_pretrained(folder), scheduler=diffusers.PNDMScheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(pipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "pipe"
    pipe.save_pretrained(path)
    return path


def same_unet(weights, pipe):
    params = layouts.flat(load_weights(weights)["unet"][1])
    for path, value in layouts.state_flat(pipe.unet.state_dict()).items():
        np.testing.assert_array_equal(params[path], value, path)


def refused(capsys, *arguments):
    assert main([*map(str, arguments)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_what_save_pretrained_writes_converts_as_it_is(pipe, folder, tmp_path):
    assert not (folder / "tokenizer" / "vocab.json").exists()
    assert main([str(folder), str(tmp_path / "out")]) == 0
    assert read_description(tmp_path / "out")["system"] == "stable_diffusion"
    same_unet(tmp_path / "out", pipe)
    ours = encode(load_tokenizer(tmp_path / "out" / "tokenizer"), ["a red bird", "blue"])
    theirs = pipe.tokenizer(["a red bird", "blue"], padding="max_length", truncation=True).input_ids
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("network", ["unet", "vae", "text_encoder"])
def test_a_network_alone_converts_too(pipe, tmp_path, network):
    getattr(pipe, network).save_pretrained(tmp_path / "net")
    assert main([str(tmp_path / "net"), str(tmp_path / "out")]) == 0
    assert list(read_description(tmp_path / "out")["networks"]) == [network]


def test_a_motion_adapter_and_a_controlnet_of_today_convert(pipe, folder, tmp_path):
    diffusers.ControlNetModel.from_unet(pipe.unet).save_pretrained(tmp_path / "control")
    assert main([str(tmp_path / "control"), str(tmp_path / "controlled"), "--base", str(folder)]) == 0
    assert set(read_description(tmp_path / "controlled")["networks"]) == {
        "vae",
        "text_encoder",
        "unet",
        "controlnet",
    }


def test_shards_of_a_variant(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "pipe", variant="fp16", max_shard_size="300KB")
    assert (tmp_path / "pipe" / "unet" / "diffusion_pytorch_model.safetensors.index.fp16.json").exists()
    for name, more in (("a", []), ("b", ["--variant", "fp16"])):
        assert main([str(tmp_path / "pipe"), str(tmp_path / name), *more]) == 0
        same_unet(tmp_path / name, pipe)


def test_the_variant_named_is_taken_and_the_plain_one_by_default(pipe, tmp_path, capsys):
    halved = oracle.make_unet(layouts.UNET)
    halved.load_state_dict({name: value / 2 for name, value in pipe.unet.state_dict().items()})
    pipe.unet.save_pretrained(tmp_path / "unet")
    halved.save_pretrained(tmp_path / "unet", variant="ema")
    assert main([str(tmp_path / "unet"), str(tmp_path / "plain")]) == 0
    same_unet(tmp_path / "plain", pipe)
    assert main([str(tmp_path / "unet"), str(tmp_path / "ema"), "--variant", "ema"]) == 0
    ours, theirs = (layouts.flat(load_weights(tmp_path / name)["unet"][1]) for name in ("ema", "plain"))
    np.testing.assert_array_equal(ours["conv_in/kernel"] * 2, theirs["conv_in/kernel"])
    err = refused(capsys, tmp_path / "unet", tmp_path / "none", "--variant", "fp32")
    assert "--variant is 'fp32', of which folder" in err
    assert "its variants: ema" in err


@pytest.mark.parametrize(("names", "variant", "expected"), [
    (["model.safetensors", "model.fp16.safetensors"], None, "model.safetensors"),
    (["model.fp16.safetensors", "model.non_ema.safetensors"], None, "model.fp16.safetensors"),
    (["model.non_ema.safetensors"], None, "model.non_ema.safetensors"),
    (["model.non_ema.safetensors", "model.ema.safetensors"], None, "name the one meant with --variant"),
    (["model.non_ema.safetensors", "model.ema.safetensors"], "ema", "model.ema.safetensors"),
    (["model.safetensors.index.fp16.json", "model.fp16-00001-of-00002.safetensors"], None, "model.safetensors.index.fp16.json"),
    (["model.fp16.safetensors.index.json"], None, "model.fp16.safetensors.index.json"),
    (["pytorch_model.bin", "pytorch_model.fp16.bin"], "fp16", "pytorch_model.fp16.bin"),
    (["pytorch_model.bin", "model.fp16.safetensors"], None, "model.fp16.safetensors"),
    (["pytorch_model.bin.index.json", "pytorch_model-00001-of-00002.bin"], None, "pytorch_model.bin.index.json"),
    (["other.safetensors"], None, "other.safetensors"),
    (["other.safetensors"], "fp16", "--variant is 'fp16'"),
    (["a.safetensors", "b.safetensors"], None, "holds several weights files"),
])  # fmt: skip
def test_names_of_weights_files(tmp_path, names, variant, expected):
    for name in names:
        (tmp_path / name).touch()
    try:
        found = find_weights(tmp_path, variant).name
    except InputError as error:
        found = str(error)
    assert expected in found


def without(folder, tmp_path, *names):
    rest = tmp_path / "rest"
    shutil.copytree(folder, rest)
    for name in names:
        shutil.rmtree(rest / name)
    return rest


def test_what_lacks_a_part_is_completed_or_says_the_way(pipe, folder, tmp_path, capsys):
    rest = without(folder, tmp_path, "vae")
    err = refused(capsys, rest, tmp_path / "none")
    assert (
        "comes without Stable Diffusion's autoencoder, which Stable Diffusion 1.5 needs; complete it with --vae or"
        in err
    )
    assert main([str(rest), str(tmp_path / "a"), "--vae", str(folder / "vae")]) == 0
    assert main([str(rest), str(tmp_path / "b"), "--base", str(folder)]) == 0
    unet = folder / "unet"
    assert main([str(unet), str(tmp_path / "c"), "--base", str(folder)]) == 0
    for name in "abc":
        description = read_description(tmp_path / name)
        assert description["system"] == "stable_diffusion"
        assert set(description["networks"]) == {"vae", "text_encoder", "unet"}
        assert load_tokenizer(tmp_path / name / "tokenizer")
        same_unet(tmp_path / name, pipe)
    err = refused(capsys, unet, tmp_path / "none", "--vae", folder / "vae")
    assert "comes without CLIP's text encoder" in err
    assert "complete it with --base" in err


def test_a_whole_model_keeps_its_own_parts_beside_a_base(pipe, folder, tmp_path):
    other = oracle.make_unet(layouts.UNET)
    layouts.write_pipeline(tmp_path / "base", unet=other)
    assert main([str(folder), str(tmp_path / "out"), "--base", str(tmp_path / "base")]) == 0
    same_unet(tmp_path / "out", pipe)


@pytest.mark.parametrize(("channels", "what"), [
    (9, "9 channels, its latents and a masked picture \\(inpainting\\)"), (8, "a picture to edit"), (5, "depth"), (6, "6 channels"),
])  # fmt: skip
def test_other_channel_counts_are_refused_at_conversion(tmp_path, capsys, channels, what):
    state = dict(oracle.make_unet(layouts.UNET).state_dict())
    weight = state["conv_in.weight"]
    state["conv_in.weight"] = torch.zeros(weight.shape[0], channels, 3, 3)
    layouts.save(state, tmp_path / "x.safetensors")
    err = refused(capsys, tmp_path / "x.safetensors", tmp_path / "out")
    assert re.search(f"conv_in.weight takes .*{what}; the UNet that can be converted has 4", err), err


def test_channels_of_other_networks(tmp_path, capsys):
    vae = dict(layouts.make_vae().state_dict())
    vae["encoder.conv_in.weight"] = torch.zeros(vae["encoder.conv_in.weight"].shape[0], 4, 3, 3)
    layouts.save(vae, tmp_path / "vae.safetensors")
    err = refused(capsys, tmp_path / "vae.safetensors", tmp_path / "out")
    assert "encoder.conv_in.weight takes 4 channels; the autoencoder that can be converted has 3" in err


def test_extra_tensors_are_listed_and_left_out_knowingly(pipe, tmp_path, capsys):
    extra = {f"adapter.{i}.weight": torch.ones(2) for i in range(3)} | {"mid_block.resnets.0.extra": torch.ones(2)}
    layouts.save(dict(pipe.unet.state_dict()) | extra, tmp_path / "x.safetensors")
    err = refused(capsys, tmp_path / "x.safetensors", tmp_path / "out")
    assert all(f"'adapter.{i}.weight'" in err for i in range(3))
    assert "--skip" in err
    err = refused(capsys, tmp_path / "x.safetensors", tmp_path / "out", "--skip", "adapter.*")
    assert "'mid_block.resnets.0.extra' with no place in the unet; --skip" in err
    skips = ["--skip", "adapter.*", "--skip", "*.extra"]
    assert main([str(tmp_path / "x.safetensors"), str(tmp_path / "out"), *skips]) == 0
    same_unet(tmp_path / "out", pipe)
    left_out = json.loads((tmp_path / "out" / "config.json").read_text())["metadata"]["left_out"]
    assert left_out == {
        "as --skip 'adapter.*' says": ["adapter.N.weight (3)"],
        "as --skip '*.extra' says": ["mid_block.resnets.N.extra"],
    }
    assert "which matches no tensor's name" in refused(
        capsys, tmp_path / "x.safetensors", tmp_path / "b", *skips, "--skip", "lora*"
    )
    assert "leaves nothing of" in refused(capsys, tmp_path / "x.safetensors", tmp_path / "b", "--skip", "*")
    assert "lacks" in refused(capsys, tmp_path / "x.safetensors", tmp_path / "b", *skips, "--skip", "conv_in.*")

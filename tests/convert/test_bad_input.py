"""Checkpoints that cannot be converted: one sentence, exit code 2, nothing written."""

import json
import os
import pickle
import re
import zipfile

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file

from jaxanim.convert.__main__ import main
from tests.convert import layouts
from tests.convert.layouts import CONTROLNET, UNET, oracle, torch


@pytest.fixture(scope="module")
def states():
    return {
        "unet": oracle.make_unet(UNET).state_dict(),
        "vae": layouts.compvis_vae(layouts.make_vae().state_dict()),
        "controlnet": oracle.make_controlnet(CONTROLNET).state_dict(),
    }


def changed(state, **changes):
    """`state` with tensors replaced, added, or (None) taken away; `__` stands for a dot."""
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in (state | changes).items() if value is not None}


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def dangerous(path, states):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch '{path.parent / 'ran'}'",)

    torch.save(states["vae"], path)
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, pickle.dumps({"x": Evil()}) if name.endswith("data.pkl") else data)
    return path


def one_shard_missing(folder, states):
    oracle.make_unet(UNET).save_pretrained(folder, max_shard_size="300KB")
    sorted(folder.glob("*-of-*.safetensors"))[1].unlink()
    return folder


def a_tensor_too_many_in_a_shard(folder, states):
    oracle.make_unet(UNET).save_pretrained(folder, max_shard_size="300KB")
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    places = json.loads(index.read_text())
    places["weight_map"].pop("conv_in.bias")
    index.write_text(json.dumps(places))
    return folder


def header(path, change):
    """Rewrites a safetensors file's header."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    change(entries)
    encoded = json.dumps(entries).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data[8 + length :])
    return path


def unet_folder(folder, states, **config):
    net = oracle.make_unet(UNET)
    net.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def saved(key, name="x.safetensors", **changes):
    return lambda tmp, states: layouts.save(changed(states[key], **changes), tmp / name)


def beyond(tmp, states):
    return layouts.save(changed(states["vae"], quant_conv__bias=torch.full((8,), 1e6)), tmp / "x.ckpt")


NAN = torch.full((8,), float("nan"))
CASES = {
    "no file": (lambda tmp, s: tmp / "x.safetensors", "x.safetensors does not exist"),
    "dangerous pickle": (lambda tmp, s: dangerous(tmp / "x.ckpt", s), "which could run code; nothing of it was run"),
    "safetensors cut in the data": (
        lambda tmp, s: cut(saved("vae")(tmp, s), 0.7), "x.safetensors is cut short or damaged: its tensors should"),
    "safetensors cut in the header": (
        lambda tmp, s: cut(saved("vae")(tmp, s), 0.002), "x.safetensors is cut short or damaged: it ends within"),
    "ckpt cut": (lambda tmp, s: cut(saved("vae", "x.ckpt")(tmp, s), 0.7), "x.ckpt is cut short or damaged"),
    "empty": (lambda tmp, s: cut(saved("vae", "x.ckpt")(tmp, s), 0), "x.ckpt is empty"),
    "text": (lambda tmp, s: (tmp / "x.ckpt").write_text("<html>not found</html>") and tmp / "x.ckpt",
             "neither a safetensors file nor one of PyTorch's"),
    "html named safetensors": (
        lambda tmp, s: (tmp / "x.safetensors").write_text("<html>not found</html>") and tmp / "x.safetensors",
        "x.safetensors is cut short or damaged"),
    "overlong tensor": (
        lambda tmp, s: header(saved("vae")(tmp, s), lambda h: h["quant_conv.bias"].update(shape=[9])),
        r"bytes are not a float32 tensor of shape \(9,\)"),
    "negative offset": (
        lambda tmp, s: header(saved("vae")(tmp, s), lambda h: h["quant_conv.bias"].update(data_offsets=[-32, 0])),
        "whole numbers, none negative"),
    "unknown dtype": (
        lambda tmp, s: header(saved("vae")(tmp, s), lambda h: h["quant_conv.bias"].update(dtype="F4")),
        "cut short or damaged"),
    "unknown names": (saved("vae", encoder__down__0__block__0__conv1__weight=None), "is of no kind known here"),
    "Stable Diffusion XL": (
        lambda tmp, s: layouts.save({"conditioner.embedders.0.x": torch.ones(2)}, tmp / "x.ckpt"),
        "is Stable Diffusion XL; it should be"),
    "a LoRA": (lambda tmp, s: layouts.save({"lora_unet_down_x.alpha": torch.ones(2)}, tmp / "x.safetensors"), "is a LoRA"),
    "missing shard": (lambda tmp, s: one_shard_missing(tmp / "unet", s), "shard .* is missing; .*index.json says"),
    "shard with more than its index says": (
        lambda tmp, s: a_tensor_too_many_in_a_shard(tmp / "unet", s), "hold 'conv_in.bias', of which .*index.json says"),
    "mixed dtypes": (
        saved("vae", quant_conv__bias=torch.ones(8).half()),
        "mixes dtypes, float(32|16) in .* and float(32|16) in .*; say with --dtype"),
    "doubles": (
        lambda tmp, s: layouts.save({k: v.double() for k, v in s["vae"].items()}, tmp / "x.ckpt"),
        "is float64; say with --dtype"),
    "whole numbers": (saved("vae", quant_conv__bias=torch.arange(8)), "quant_conv.bias is int64; it should be"),
    "wrong shape": (
        saved("vae", decoder__mid__block_1__conv1__weight=torch.ones(64, 64, 3, 1)),
        r"decoder.mid.block_1.conv1.weight has shape \(64, 64, 3, 1\); the vae .* has \(64, 64, 3, 3\)"),
    "wrong number of axes": (
        saved("vae", encoder__conv_in__weight=torch.ones(32, 3)), r"has shape \(32, 3\); it should have 4 axes"),
    "missing tensor": (saved("unet", mid_block__resnets__1__conv2__bias=None), "lacks 1 of the unet's .* tensors, such as"),
    "unexplained tensor": (saved("unet", mid_block__resnets__0__extra=torch.ones(2)), "extra' with no place in the unet"),
    "unexplained module": (saved("controlnet", adapter__weight=torch.ones(2)), "'adapter.weight' that belong"),
    "not finite": (saved("vae", quant_conv__bias=NAN), "quant_conv.bias has values that are no numbers"),
    "another network's config": (
        lambda tmp, s: unet_folder(tmp / "unet", s, use_linear_projection=True), "use_linear_projection True; the UNet"),
    "heads per block": (
        lambda tmp, s: unet_folder(tmp / "unet", s, attention_head_dim=[5, 10, 20]), r"\[5, 10, 20\] attention heads"),
    "heads that do not divide": (
        lambda tmp, s: unet_folder(tmp / "unet", s, attention_head_dim=7), "num_attention_heads is 7"),
    "broken config.json": (
        lambda tmp, s: cut(unet_folder(tmp / "unet", s) / "config.json", 0.5).parent, "config.json cannot be read"),
    "empty folder": (lambda tmp, s: (tmp / "x").mkdir() or tmp / "x", "holds no weights file"),
    "image encoder without projection": (
        lambda tmp, s: layouts.save(
            {k: v for k, v in layouts.make_vision().state_dict().items() if "projection" not in k}, tmp / "x.safetensors"),
        "lacks visual_projection.weight"),
    "no tokenizer": (
        lambda tmp, s: layouts.save(
            layouts.compvis_model(oracle.make_unet(UNET), layouts.make_vae(), layouts.make_text()), tmp / "x.safetensors"),
        "comes without its tokenizer, .* with --tokenizer"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_exit_code_2_and_nothing_written(tmp_path, capsys, states, case):
    make, message = CASES[case]
    src = make(tmp_path, states)
    before = sorted(tmp_path.rglob("*"))
    assert main([str(src), str(tmp_path / "out" / "weights")]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("jaxanim.convert: ")
    assert printed.err.count("\n") == 1
    assert re.search(message, printed.err), printed.err
    left = [path for path in sorted(tmp_path.rglob("*")) if path not in before and path != tmp_path / "out"]
    assert left == []


def test_values_beyond_float16_need_another_dtype(tmp_path, capsys, states):
    src = beyond(tmp_path, states)
    assert main([str(src), str(tmp_path / "out"), "--dtype", "float16"]) == 2
    assert "quant_conv.bias has values beyond float16; use --dtype bfloat16" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([str(src), str(tmp_path / "out"), "--dtype", "bfloat16"]) == 0


def test_options_are_checked(tmp_path, capsys, states):
    src, dst = str(saved("vae")(tmp_path, states)), tmp_path / "out"
    for options, message in {
        ("--dtype", "int8"): "dtype is 'int8'; it should be one of float16, bfloat16, float32",
        ("--base", src): "autoencoder, which is not built on another model",
        ("--vae", src): "no model that works with one",
        ("--tokenizer", str(tmp_path)): "lacks vocab.json or merges.txt",
        ("--nonsense",): "unrecognized arguments: --nonsense",
    }.items():
        assert main([src, str(dst), *options]) == 2
        assert message in capsys.readouterr().err
        assert not dst.exists()
    dst.mkdir()
    (dst / "something").touch()
    assert main([src, str(dst)]) == 2
    assert "holds something already" in capsys.readouterr().err


def test_a_mixed_file_converts_once_the_dtype_is_said(tmp_path, states):
    state = changed(states["vae"], quant_conv__bias=torch.ones(8).half())
    src = layouts.save(state, tmp_path / "x.safetensors")
    assert main([str(src), str(tmp_path / "out"), "--dtype", "float32"]) == 0
    tensors = load_file(tmp_path / "out" / "vae.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    np.testing.assert_array_equal(tensors["quant_conv/bias"], np.ones(8))


def test_a_converted_folder_needs_no_converting(tmp_path, capsys, states):
    src = saved("vae")(tmp_path, states)
    assert main([str(src), str(tmp_path / "out")]) == 0
    assert main([str(tmp_path / "out"), str(tmp_path / "again")]) == 2
    assert "is a weights folder of jaxanim's already" in capsys.readouterr().err


def test_check_writes_nothing_and_says_all(tmp_path, capsys, states):
    src = saved("vae")(tmp_path, states)
    assert main([str(src), str(tmp_path / "out"), "--check"]) == 0
    assert "is Stable Diffusion's autoencoder:" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for word in ("MagicAnimate", "AnimateDiff", "ControlNet", "--base", "--tokenizer", "examples:", "bfloat16"):
        assert word in text

"""`sample.evaluate --real A --fake B`, with networks made here."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from transformers import CLIPVisionModelWithProjection

from jaxanim.convert.layout import from_torch
from jaxanim.media.video import read_video, write_video
from jaxanim.metrics.frechet import frechet_distance
from jaxanim.metrics.onnx_features import OnnxFeatures
from jaxanim.models.clip_vision import CLIPVisionConfig, normalise
from jaxanim.weights import save_weights
from sample.evaluate import main
from tests.cues import detectors

FINE = {"crf": 0, "pixel_format": "rgb24"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Folders of two true videos and two made ones, in which the figure stands 3 pixels to the right."""
    folder = tmp_path_factory.mktemp("videos")
    for name, centre in (("a", 80), ("b", 100)):
        for kind, shift in (("real", 0), ("fake", 3)):
            (folder / kind).mkdir(exist_ok=True)
            write_video(folder / kind / f"{name}.mkv", detectors.video(3, centre=centre + shift)[0], **FINE)
    return folder


def features(path, clip=None):
    """A network of 4 features: 2 x 2 means of the red channel, by a convolution."""
    kernel = np.zeros((4, 3, *([clip] if clip else []), 16, 16), np.float32)
    for k in range(4):
        kernel[k, 0, ..., 8 * (k // 2) : 8 * (k // 2) + 8, 8 * (k % 2) : 8 * (k % 2) + 8] = 1 / 64
    node = helper.make_node("Conv", ["x", "kernel"], ["y"])
    inputs = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *([clip] if clip else []), 16, 16])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, *([1] if clip else []), 1, 1])
    graph = helper.make_graph([node], "features", [inputs], [out], [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def last(capsys):
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_pixels_poses_and_features_of_folders(videos, tmp_path, capsys):
    models = detectors.models(tmp_path / "models")
    words = ["--real", videos / "real", "--fake", videos / "fake", "--poses", "--models", models]
    words += ["--features", features(tmp_path / "means.onnx"), "--out", tmp_path / "numbers.json"]
    assert main(list(map(str, words))) == 0
    line = last(capsys)
    real, fake = (
        np.stack([read_video(videos / kind / f"{name}.mkv")[0] for name in "ab"]) for kind in ("real", "fake")
    )
    frames = [(x, y) for a, b in zip(real, fake, strict=True) for x, y in zip(a, b, strict=True)]
    assert line["psnr"] == pytest.approx(np.mean([peak_signal_noise_ratio(x, y) for x, y in frames]), abs=1e-4)
    expected = [
        structural_similarity(x, y, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for x, y in frames
    ]
    assert line["ssim"] == pytest.approx(np.mean(expected), abs=0.01)
    assert line["l1"] == pytest.approx(np.abs(real / 255 - fake / 255).mean(), abs=1e-6)
    assert line["akd_body"] == pytest.approx(3, abs=0.7)
    assert line["mkr_body"] == 0
    look = OnnxFeatures(tmp_path / "means.onnx")
    both = [np.concatenate([look(video) for video in part]) for part in (real, fake)]
    assert line["frechet_means"] == pytest.approx(frechet_distance(*both), abs=1e-5)
    kept = json.loads((tmp_path / "numbers.json").read_text())
    assert set(kept["videos"]) == {"a", "b"}
    assert kept["mean"]["psnr"] == line["psnr"]


def test_the_same_video_is_perfect_and_a_clip_is_one_row(videos, tmp_path, capsys):
    one = videos / "real" / "a.mkv"
    shutil.copy(one, tmp_path / "copy.mkv")
    assert main(["--real", str(one), "--fake", str(tmp_path / "copy.mkv")]) == 0
    line = last(capsys)
    assert (line["l1"], line["ssim"], line["psnr"]) == (0, 1, None)
    look = OnnxFeatures(features(tmp_path / "clip.onnx", clip=2))
    assert look(read_video(one)[0]).shape == (1, 4)


def test_clips_embeddings_are_transformers(videos, tmp_path, capsys):
    """CLIP-I and frame consistency, from a folder of weights, against transformers' model on the same pixels."""
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
             "projection_dim": 20, "image_size": 24, "patch_size": 8}  # fmt: skip
    theirs = CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**small)).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    params = from_torch({name: value.numpy() for name, value in theirs.state_dict().items()})
    save_weights(
        tmp_path / "clip", {"image_encoder": (CLIPVisionConfig(**small), params)}, system="stable_diffusion"
    )
    one, other = videos / "real" / "a.mkv", videos / "fake" / "a.mkv"
    assert main(["--real", str(one), "--fake", str(other), "--clip", str(tmp_path / "clip")]) == 0
    line = last(capsys)

    def embed(path):
        pixels = np.asarray(normalise(jnp.asarray(read_video(path)[0] / 127.5 - 1, jnp.float32), 24))
        with torch.no_grad():
            return theirs(pixel_values=torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).image_embeds

    a, b = embed(one), embed(other)
    # Weights are stored in float16.
    assert line["clip_i"] == pytest.approx(float(torch.cosine_similarity(a, b).mean()), abs=1e-4)
    assert line["frame_consistency"] == pytest.approx(
        float(torch.cosine_similarity(b[:-1], b[1:]).mean()), abs=1e-4
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: {"fake": f / "fake" / "a.mkv"}, "two videos, or two folders"),
        (lambda f: {"fake": f / "none.mkv", "real": f / "real" / "a.mkv"}, "does not exist"),
        (lambda f: {"features": f / "real" / "a.mkv"}, "cannot be read as ONNX"),
        (lambda f: {"lpips-network": f / "x.pth"}, "only together"),
        (lambda f: {"out": f / "real" / "a.mkv"}, "a file in the folder that --real"),
    ],
)
def test_bad_input_is_one_sentence(change, sentence, videos, capsys):
    given = {"real": videos / "real", "fake": videos / "fake"} | change(videos)
    assert main([f"--{name}={value}" for name, value in given.items()]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert sentence in lines[-1]

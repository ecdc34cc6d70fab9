"""`sample.evaluate --real A --fake B`, with networks made here."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from transformers import CLIPVisionModelWithProjection

from jaxanim.convert.layout import from_torch
from jaxanim.cues.faces import aligned
from jaxanim.cues.prepare import Shot
from jaxanim.media.keypoints import BODY, FACE
from jaxanim.media.video import read_video, write_video
from jaxanim.metrics.features import Features
from jaxanim.metrics.frechet import frechet_distance
from jaxanim.metrics.onnx_features import OnnxFeatures
from jaxanim.models.clip_vision import CLIPVisionConfig, normalise
from jaxanim.weights import save_weights
from sample.compare import people
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


class Blocks:
    """A face network: the means of the 4 x 4 blocks of a face's red channel."""

    side = 16

    def embed(self, faces):
        return faces[..., 0].reshape(-1, 4, 4, 4, 4).mean((2, 4)).reshape(-1, 16).astype(np.float32)


def test_faces_are_compared_where_they_are_seen(monkeypatch):
    """Face-Cos, AED, FIS, FTS, PLC and FLC, one frame after another, of landmarks that are known."""
    rng = np.random.default_rng(0)
    real, fake, picture = (rng.integers(0, 256, (4 if k else 1, 80, 80, 3), np.uint8) for k in (1, 1, 0))

    def shot(frames):
        points = np.concatenate(
            [rng.uniform(10, 70, (len(frames), 1, 68, 2)), np.ones((len(frames), 1, 68, 1))], -1
        )
        body = np.concatenate([rng.uniform(5, 75, (len(frames), 1, 18, 2)), np.ones((len(frames), 1, 18, 1))], -1)
        return Shot(frames, {FACE: points.astype(np.float32), BODY: body.astype(np.float32)})

    shots = {"real": shot(real), "fake": shot(fake), "reference": shot(picture)}
    shots["fake"].fields[FACE][1, 0, 30, 2] = 0
    shots["real"].fields[BODY][2, 0, 3:, 2] = 0
    monkeypatch.setattr("sample.compare.observe", lambda frames, source, *rest, **more: shots[str(source)])
    monkeypatch.setattr("sample.compare.read_image", lambda path: picture[0])
    face = Blocks()
    row = people(real, fake, Path("real"), Path("fake"), None, face, Path("reference"))
    vectors = {
        name: [
            face.embed(aligned(one.frames[k : k + 1], one.fields[FACE][k : k + 1, 0], 16))[0].astype(float)
            for k in range(len(one.frames))
        ]
        for name, one in shots.items()
    }

    def cos(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    a, b, (own,) = vectors["real"], vectors["fake"], vectors["reference"]
    seen = (0, 2, 3)
    assert row["face_cos"] == pytest.approx(np.mean([cos(a[k], b[k]) for k in seen]), rel=1e-5)
    assert row["aed_face"] == pytest.approx(np.mean([np.linalg.norm(a[k] - b[k]) for k in seen]), rel=1e-5)
    assert row["fis"] == pytest.approx(np.mean([cos(own, b[k]) for k in seen]), rel=1e-5)
    assert row["fts"] == pytest.approx(cos(b[2], b[3]), rel=1e-5)

    expected = {"plc": [], "flc": []}
    for k in range(4):
        for name, field, count in (("plc", BODY, 18), ("flc", FACE, 68)):
            goal, found = (shots[which].fields[field][k, 0].astype(float) for which in ("real", "fake"))
            away = [
                np.hypot(*(goal[p, :2] - found[p, :2])) for p in range(count) if goal[p, 2] > 0 and found[p, 2] > 0
            ]
            there = goal[goal[:, 2] > 0]
            box = max(there[:, 0].max() - there[:, 0].min(), there[:, 1].max() - there[:, 1].min())
            unit = box if name == "plc" else np.hypot(*(goal[36, :2] - goal[45, :2]))
            expected[name].append(sum(away) / len(away) / unit)
    assert row["plc"] == pytest.approx(np.mean(expected["plc"]), rel=1e-5)
    assert row["flc"] == pytest.approx(np.mean(expected["flc"]), rel=1e-5)
    for one in shots.values():
        one.fields[FACE][..., 2] = 0
    row = people(real, fake, Path("real"), Path("fake"), None, face, Path("reference"))
    assert np.isnan([row[name] for name in ("face_cos", "aed_face", "fis", "fts", "flc")]).all()


def test_networks_of_features_are_told_by_their_files(videos, tmp_path, monkeypatch, capsys):
    """Each named file gives one number over all videos; here the networks behind them are the frames' mean colours."""

    def colours(frames):
        return np.asarray(frames).mean((1, 2))

    monkeypatch.setattr("sample.compare.read_inception", Path)
    monkeypatch.setattr("sample.compare.read_i3d", Path)
    monkeypatch.setattr("sample.compare.fid", lambda path, like: Features(f"{path.stem}_{like}", colours))
    monkeypatch.setattr("sample.compare.fvd", lambda path: Features(path.stem, colours, clip=2))
    words = ["--real", videos / "real", "--fake", videos / "fake", "--fid", "a.pth", "--fvd", "b.pt"]
    assert main([*map(str, words), "--fid-like", "torch-fidelity"]) == 0
    line = last(capsys)
    real, fake = (
        [read_video(videos / kind / f"{name}.mkv")[0].astype(np.float32) for name in "ab"]
        for kind in ("real", "fake")
    )
    every = [np.concatenate([colours(video) for video in part]) for part in (real, fake)]
    clips = [np.concatenate([colours(video[:2]) for video in part]) for part in (real, fake)]  # of three frames
    assert line["a_torch-fidelity"] == pytest.approx(frechet_distance(*every), abs=1e-5)
    assert line["b"] == pytest.approx(frechet_distance(*clips), abs=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: {"fake": f / "fake" / "a.mkv"}, "two videos, or two folders"),
        (lambda f: {"fake": f / "none.mkv", "real": f / "real" / "a.mkv"}, "does not exist"),
        (lambda f: {"features": f / "real" / "a.mkv"}, "cannot be read as ONNX"),
        (lambda f: {"fid": f / "none.pth"}, "Inception-v3 as FID uses it {f}/none.pth does not exist"),
        (lambda f: {"fvd": f / "none.pth"}, "I3D {f}/none.pth does not exist"),
        (lambda f: {"fid-vid": f / "none.pth"}, "a 3D ResNet-50 {f}/none.pth does not exist"),
        (lambda f: {"reference": f / "x.png"}, "name --face too"),
        (lambda f: {"lpips-network": f / "x.pth"}, "only together"),
        (lambda f: {"out": f / "real" / "a.mkv"}, "a file in the folder that --real"),
    ],
)
def test_bad_input_is_one_sentence(change, sentence, videos, capsys):
    given = {"real": videos / "real", "fake": videos / "fake"} | change(videos)
    assert main([f"--{name}={value}" for name, value in given.items()]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert sentence.format(f=videos) in lines[-1]

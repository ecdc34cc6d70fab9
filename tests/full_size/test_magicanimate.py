"""MagicAnimate at its real size from the release's own layout to a video of 512x512 by the two programs."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from jaxanim.convert.__main__ import main as convert
from jaxanim.media.video import read_video
from jaxanim.models.clip_text import CLIPTextConfig
from jaxanim.models.controlnet import ControlNetConfig
from jaxanim.models.unet import UNetConfig
from jaxanim.models.unet_config import ANIMATEDIFF_V1
from jaxanim.models.vae import VAEConfig
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.export import write_clip
from sample.animate import main as animate
from tests.convert import layouts
from tests.convert.layouts import oracle, torch
from tests.convert.test_magicanimate import truncated
from tests.systems import sd_pipelines

pytestmark = pytest.mark.full_size


def write_release(folder):
    """Random weights as huggingface.co/zcxu-eric/MagicAnimate and the two models that it builds on, float32."""
    oracle.make_controlnet(ControlNetConfig(), 1).save_pretrained(folder / "MagicAnimate" / "densepose_controlnet")
    encoder = oracle.make_unet(UNetConfig(), 2)
    encoder.save_config(folder / "MagicAnimate" / "appearance_encoder")
    kept = truncated(encoder, "up_blocks.3.attentions.2")
    layouts.save(kept, folder / "MagicAnimate" / "appearance_encoder" / "diffusion_pytorch_model.safetensors")
    del encoder, kept
    motion = layouts.animatediff(oracle.make_video_unet(UNetConfig(motion=ANIMATEDIFF_V1), 3), "module.")
    (folder / "MagicAnimate" / "temporal_attention").mkdir()
    torch.save({"state_dict": motion}, folder / "MagicAnimate" / "temporal_attention" / "temporal_attention.ckpt")
    del motion
    text = sd_pipelines.make_text_encoder(CLIPTextConfig())
    layouts.write_pipeline(
        folder / "sd15", oracle.make_unet(UNetConfig(), 4), sd_pipelines.make_vae(VAEConfig()), text
    )


def test_the_release_is_converted_and_animates_512x512(tmp_path, capsys):
    write_release(tmp_path / "released")
    puppet = tmp_path / "puppet"
    write_clip(puppet, puppet_clip(950_001, 2, (512, 512)))
    released = [tmp_path / "released" / "MagicAnimate", tmp_path / "own", "--base", tmp_path / "released" / "sd15"]
    assert convert([str(argument) for argument in [*released, "--dtype", "bfloat16"]]) == 0
    out = tmp_path / "out.mp4"
    options = ["--weights", tmp_path / "own", "--reference", puppet / "reference.png", "--out", out]
    options += ["--motion", puppet / "densepose.mp4", "--truth", puppet / "truth.mp4", "--size", "512x512"]
    options += ["--frames", "2", "--steps", "1", "--dtype", "bfloat16", "--guidance-in-turn", "--vae-tile", "256"]
    assert animate([str(option) for option in options]) == 0
    print(capsys.readouterr().out)
    video, _ = read_video(out)
    assert video.shape == (2, 512, 512, 3)
    assert np.ptp(video) > 0

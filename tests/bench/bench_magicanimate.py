"""One guided MagicAnimate step of 16 frames at 256x256 beside the same step done as in the released pipeline.

    python -m tests.bench.bench_magicanimate [--rounds 3] [--small] [--keep-memory]

prints one JSON object. Both sides are at Stable Diffusion 1.5's width, in float32, with the same weights and inputs;
PyTorch runs `tests.bench.released_magicanimate` on diffusers' modules. GroupNorm pools its statistics as diffusers
does, so that the results can be compared. The weights are 10 GB and move from PyTorch to JAX between the two.
"""

import argparse
import dataclasses
import json

import jax
import jax.numpy as jnp

from jaxanim.cpu import use_wide_vectors
from jaxanim.models.appearance import encoder_params_from_unet
from jaxanim.models.controlnet import ControlNetConfig, controlnet_config
from jaxanim.models.motion import MAGICANIMATE
from jaxanim.models.unet import UNetConfig
from jaxanim.systems.base import Memory
from jaxanim.systems.magicanimate.animate import Options, _Denoise
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.systems.magicanimate.denoise import embed_pose
from tests.bench.measure import KEEP_MEMORY, Candidate, compare, compiled
from tests.bench.released_magicanimate import ReleasedStep
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import TINY, torch

GUIDANCE, TIMESTEP = 7.5, 501


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="reduced width and size, to try the program")
    parser.add_argument("--keep-memory", action="store_true", help=KEEP_MEMORY)
    args = parser.parse_args()
    theirs, ours = sides(args.small)
    measured = compare(theirs, ours, args.rounds, args.keep_memory)
    print(json.dumps({"case": "MagicAnimate step", "small": args.small} | measured))


def sides(small: bool):
    """PyTorch's step as a candidate, and what makes ours of its weights."""
    image = TINY if small else UNetConfig()
    motion = dataclasses.replace(MAGICANIMATE, pool_frames=True, norm_num_groups=image.norm_num_groups)
    widths = (4, 8, 12, 16) if small else ControlNetConfig().conditioning_embedding_out_channels
    config = MagicAnimateConfig(
        unet=dataclasses.replace(image, motion=motion),
        controlnet=controlnet_config(image, conditioning_embedding_out_channels=widths),
    )
    frames, side, length = (4, 8, 7) if small else (16, 32, 77)
    shapes = (frames, side, side, 4), (side, side, 4), (length, image.cross_attention_dim)
    x, reference, text, pose = oracle.draws(0, *shapes, (frames, 8 * side, 8 * side, 3))

    unet, encoder = oracle.make_video_unet(config.unet, 1), oracle.make_unet(image, 2)
    controlnet = oracle.make_controlnet(config.controlnet, 3)
    step = ReleasedStep(unet, encoder, controlnet)
    theirs = oracle.video_to_torch(x[None]), torch.tensor([TIMESTEP]), oracle.images_to_torch(reference[None, None])
    theirs += oracle.to_torch(text[None]), oracle.images_to_torch(pose[None]), GUIDANCE

    def ours():
        params = {"unet": oracle.take_params(unet), "controlnet": oracle.take_params(controlnet)}
        params["appearance_encoder"] = encoder_params_from_unet(
            oracle.take_params(encoder), image_form(config.unet)
        )
        params["empty_prompt"] = text
        embedded = embed_pose(params, config, pose[None])[0]  # once a video
        denoise = _Denoise(config, Options(), Memory(), window=frames, overlap=0, guided=True)
        step = jax.tree.map(lambda column: column[0], config.diffusion.walk(2))
        return compiled(denoise, params, reference, embedded, jnp.float32(GUIDANCE), x, step)

    return {"released way": Candidate(lambda: oracle.video_from_torch(step(*theirs))[0])}, ours


if __name__ == "__main__":
    use_wide_vectors()  # as the programs do; what they do with freed memory, `compare` sees to
    main()

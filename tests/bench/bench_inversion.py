"""How well, and how fast, each inversion holds an image under its own pose: puppets that no training saw.

    python -m tests.bench.bench_inversion [--seeds 950000:950008] [--weights weights/magicpose] [--steps 50]

prints one JSON object: for each of PoseAnimate's `inversion` options the mean PSNR in dB of frame 0 sampled at the
weights' guidance, beside the autoencoder's own reconstruction, and the seconds for one image, compiled before.
"""

import argparse
import dataclasses
import json
import time
import typing
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim import systems
from jaxanim.cpu import prepare_cpu
from jaxanim.cues import openpose
from jaxanim.media.images import to_float, to_uint8
from jaxanim.metrics.image import psnr
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.driving import driving_of
from jaxanim.systems.base import Memory, unit
from jaxanim.systems.conditions import decode, encode_inputs
from jaxanim.systems.poseanimate.animate import Options, hold, sample_latents
from jaxanim.systems.poseanimate.system import embed
from sample.arguments import seeds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds, default=range(950_000, 950_008))
    parser.add_argument("--weights", default="weights/magicpose")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--side", type=int, default=128)
    args = parser.parse_args()
    system = systems.load("poseanimate", args.weights)
    sampling = dataclasses.replace(system.defaults, steps=args.steps or system.defaults.steps)
    methods = typing.get_args(typing.get_type_hints(Options)["inversion"])
    scores, seconds = defaultdict(list), defaultdict(list)
    for seed in args.seeds:
        clip = puppet_clip(seed, 1, (args.side, args.side))
        driving = driving_of(clip)
        prompts = embed(system.run.args[0], system.params, system.config, driving)
        drawn = unit(openpose.draw(driving.still.keypoints, clip.reference.shape[:2]))
        reference = jnp.asarray(to_float(clip.reference))
        z0, pose = encode_inputs(system.config, system.params, reference, drawn)

        def show(latents, reference=clip.reference):
            pixels = decode(system.config, 8, None, system.params["vae"], latents)
            return float(psnr(to_uint8(np.asarray(pixels[0])), reference))

        scores["autoencoder"].append(show(z0[None]))
        for method in methods:
            options = Options(inversion=method, mgdm=False)
            for _ in range(2 if seed == args.seeds[0] else 1):
                start = time.perf_counter()
                given = (system.params, system.config, prompts)
                held = hold(*given, z0, pose, None, sampling, options)
                latents = sample_latents(*given, pose, held, sampling, options, Memory())
                jax.block_until_ready(latents)
                last = time.perf_counter() - start
            seconds[method].append(last)
            scores[method].append(show(latents))
    rows = {name: {"psnr": round(float(np.mean(values)), 2)} for name, values in scores.items()}
    for name, values in seconds.items():
        rows[name]["seconds"] = round(float(np.median(values)), 2)
    print(json.dumps({"images": len(args.seeds), "steps": sampling.steps, "guidance": sampling.guidance} | rows))


if __name__ == "__main__":
    prepare_cpu()
    main()

"""PoseAnimate's inversion: how well it holds an image under its own pose, and what it costs.

    python -m tests.bench.bench_inversion [--only PART] [--weights weights/poseanimate] [--steps 20] [--seeds A:B]

prints a JSON object for each part:
  reconstruction: for each of PoseAnimate's `inversion` options the mean PSNR in dB of frame 0 of puppets that no
    training saw, sampled at the weights' guidance, beside the autoencoder's own reconstruction, and the median seconds
    for one image, compiled before.
  frames: seconds of Algorithm 1 for 4, 8, 16 and 32 frames side by side, and for 8 one at a time.
  pytorch: the same for 4 frames against a batched PyTorch loop over diffusers' modules with the same weights, whose
    embeddings are compared.
The last two take two timesteps of five inner steps each, in turns.
"""

import argparse
import dataclasses
import json
import os
import statistics
import time
import typing
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from jaxanim import systems
from jaxanim.cpu import prepare_cpu
from jaxanim.cues import openpose
from jaxanim.diffusion.betas import Betas
from jaxanim.media.images import to_float, to_uint8
from jaxanim.metrics.image import psnr
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.driving import driving_of
from jaxanim.systems.base import Memory, unit
from jaxanim.systems.conditions import decode, encode_inputs
from jaxanim.systems.poseanimate.animate import Options, hold, sample_latents
from jaxanim.systems.poseanimate.denoise import Predict
from jaxanim.systems.poseanimate.pacm import Optimisation, optimise
from jaxanim.systems.poseanimate.system import embed
from sample.arguments import seeds
from tests.bench.measure import Candidate

TIMESTEPS, AT_ONCE, BESIDE_PYTORCH = 2, 8, 4
COUNTS = (4, AT_ONCE, 16, 32)
GUIDANCE, OPTIMISATION = 7.5, Optimisation()
PROCESS = Betas(set_alpha_to_one=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"reconstruction": reconstruction, "frames": frames, "pytorch": pytorch}
    parser.add_argument("--only", choices=parts)
    parser.add_argument("--seeds", type=seeds, default=range(950_000, 950_008))
    parser.add_argument("--weights", default="weights/poseanimate")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--inner-steps", type=int, default=OPTIMISATION.inner_steps)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    system = systems.load("poseanimate", args.weights)
    for name in [args.only] if args.only else parts:
        print(
            json.dumps({"part": name, "cores": len(os.sched_getaffinity(0))} | parts[name](args, system)),
            flush=True,
        )


def reconstruction(args, system):
    sampling = dataclasses.replace(system.defaults, steps=args.steps)
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
            options = Options(inversion=method, mgdm=False, inner_steps=args.inner_steps)
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
    for name, values in rows.items():
        below = np.subtract(scores["autoencoder"], scores[name])
        values["below_autoencoder"] = {"mean": round(below.mean(), 2), "most": round(below.max(), 2)}
    for name, values in seconds.items():
        rows[name]["seconds"] = round(statistics.median(values), 2)
    settings = {"images": len(args.seeds), "steps": sampling.steps, "guidance": sampling.guidance}
    return settings | {"inner_steps": args.inner_steps} | rows


def drawn_inputs(config, side, count):
    """(trajectory, prompt, begin, poses) of no picture: what is computed does not depend on their values."""
    unet, side = config.unet, side // config.vae.downscale
    shapes = [(side, side, unet.in_channels), (2, 77, unet.cross_attention_dim), (count, side, side,
              unet.block_out_channels[0])]  # fmt: skip
    rng = np.random.default_rng(0)
    z, text, poses = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)
    trajectory = z + 0.1 * jnp.arange(TIMESTEPS + 1)[:, None, None, None]
    return trajectory, text[0], jnp.stack([text[1]] * TIMESTEPS), poses


def candidate(predict, inputs, at_once=None):
    """Algorithm 1, lines 3 to 9, as a user's call runs it."""

    def run():
        settings = {"guidance": GUIDANCE, "optimisation": OPTIMISATION, "frames_at_once": at_once}
        return jax.block_until_ready(optimise(predict, PROCESS, *inputs, **settings).embeddings)

    return Candidate(run)


def in_turns(candidates, rounds):
    for one in candidates.values():
        one.start()
    for _ in range(rounds):
        for one in candidates.values():
            one.turn()
    return {name: one.report() for name, one in candidates.items()}


def frames(args, system):
    networks = {name: system.params[name] for name in ("unet", "controlnet")}
    predict = Partial(Predict(system.config), networks, jnp.ones(77))
    chosen = {f"{n} frames": candidate(predict, drawn_inputs(system.config, args.side, n)) for n in COUNTS}
    alone = candidate(predict, drawn_inputs(system.config, args.side, AT_ONCE), at_once=1)
    report = in_turns(chosen | {f"{AT_ONCE} frames, one at a time": alone}, args.rounds)
    best = {n: report[f"{n} frames"]["best_s"] for n in COUNTS}
    each = {f"{n} frames": round(best[n] / n, 3) for n in COUNTS}
    gain = report[f"{AT_ONCE} frames, one at a time"]["best_s"] / best[AT_ONCE]
    return report | {"seconds per frame": each, "one at a time over side by side": round(gain, 2)}


def pytorch(args, system):
    from tests.models import sd_oracle as oracle

    torch = oracle.torch
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    config = system.config
    unet, controlnet = oracle.make_unet(config.unet), oracle.make_controlnet(config.controlnet)
    params = {"unet": oracle.params_of(unet), "controlnet": oracle.params_of(controlnet)}
    for module in (unet, controlnet):
        module.requires_grad_(requires_grad=False)
    trajectory, prompt, begin, _ = drawn_inputs(config, args.side, BESIDE_PYTORCH)
    pixels = np.random.default_rng(1).random((BESIDE_PYTORCH, args.side, args.side, 3), np.float32)
    with torch.no_grad():
        embedded = controlnet.controlnet_cond_embedding(oracle.images_to_torch(pixels[None]))
    poses = jnp.asarray(oracle.images_from_torch(embedded, 1)[:, 0])
    predict = Partial(Predict(config), params, jnp.ones(77))
    ours = candidate(predict, (trajectory, prompt, begin, poses))
    controlnet.controlnet_cond_embedding = torch.nn.Identity()  # as ours, computed once
    theirs = Candidate(lambda: torch_loop(oracle, unet, controlnet, trajectory, prompt, begin, embedded))
    report = in_turns({"jaxanim": ours, "diffusers": theirs}, args.rounds)
    moved = np.asarray(ours.result) - np.asarray(begin)[:, None]
    difference = np.abs(theirs.result - np.asarray(ours.result)).mean() / np.abs(moved).mean()
    ratio = report["diffusers"]["best_s"] / report["jaxanim"]["best_s"]
    told = {"frames": BESIDE_PYTORCH, "difference over movement": float(f"{difference:.1e}")}
    return told | report | {"diffusers over jaxanim": round(ratio, 2)}


def torch_loop(oracle, unet, controlnet, trajectory, prompt, begin, poses):
    """Lines 3 to 9 of Algorithm 1 with PyTorch's Adam, all frames in one batch, guidance's constant branch computed
    once for a timestep, as we do."""
    torch = oracle.torch
    scheduler = oracle.diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        set_alpha_to_one=False,
    )  # fmt: skip
    scheduler.set_timesteps(TIMESTEPS)
    count = len(poses)

    def ask(z, t, text):
        down, mid = controlnet(z, t, text, poses, return_dict=False)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        return unet(z, t, text, return_dict=False, **residuals)[0]

    def repeated(x):
        return oracle.to_torch(x)[None].repeat_interleave(count, 0)

    targets = [oracle.images_to_torch(z[None, None]).repeat_interleave(count, 0) for z in trajectory]
    z, text, found = targets[-1], repeated(prompt), []
    for i, t in enumerate(scheduler.timesteps):
        with torch.no_grad():
            cond = ask(z, t, text)

        def step(embedding, z=z, t=t, cond=cond):
            plain = ask(z, t, embedding)
            return scheduler.step(plain + GUIDANCE * (cond - plain), t, z, return_dict=False)[0]

        embedding = repeated(begin[i]).requires_grad_()
        adam = torch.optim.Adam([embedding], lr=OPTIMISATION.learning_rate * (1 - i / (2 * TIMESTEPS)))
        for _ in range(OPTIMISATION.inner_steps):
            # The mean of each frame, and the sum over frames, whose embeddings do not meet.
            loss = (step(embedding) - targets[TIMESTEPS - 1 - i]).square().mean((1, 2, 3)).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.no_grad():
            z = step(embedding)
        found.append(embedding.detach().numpy())
    return np.stack(found)


if __name__ == "__main__":
    prepare_cpu()
    main()

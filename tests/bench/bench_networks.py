"""Stable Diffusion's networks on this machine beside diffusers, eager and under torch.compile, in one process.

    python -m tests.bench.bench_networks [--only CASE] [--rounds 5] [--small] [--no-compile] [--keep-memory]

prints one JSON object for each case: a UNet step at 512x512 with batch 1 and 2, decoding one picture of 512x512, and
an AnimateDiff step of 16 frames at 256x256. Weights and inputs are the same on both sides and the results are compared.
PyTorch's candidates take turns; then the weights move over to JAX, so that they are in memory once. See
`tests.bench.measure.compare` for what each side does with freed memory.
"""

import argparse
import dataclasses
import json
import subprocess
import sys

import jax.numpy as jnp

from jaxanim.cpu import use_wide_vectors
from jaxanim.models.motion import ANIMATEDIFF_V3
from jaxanim.models.unet import UNet, UNetConfig
from jaxanim.models.vae import VAE, VAEConfig
from tests.bench.measure import KEEP_MEMORY, Candidate, compare, compiled
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import TINY, torch
from tests.systems import sd_pipelines

FULL = {
    "unet": UNetConfig(),
    "vae": VAEConfig(),
    "motion": ANIMATEDIFF_V3,
    "text": 77,
    "side": 64,
    "video": (16, 32),
}
SMALL = {
    "unet": TINY,
    "vae": VAEConfig(block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4),
    "motion": dataclasses.replace(ANIMATEDIFF_V3, norm_num_groups=8),
    "text": 7,
    "side": 16,
    "video": (4, 8),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = {"unet batch 1": (unet, 1), "unet batch 2": (unet, 2), "vae decode": (vae,), "animatediff": (video,)}
    parser.add_argument("--only", choices=cases, help="one case; without it, each in a process of its own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="reduced width and size, to try the program")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--keep-memory", action="store_true", help=KEEP_MEMORY)
    args = parser.parse_args()
    if args.only is None:
        for name in cases:
            subprocess.run([sys.executable, *sys.orig_argv[1:], "--only", name], check=True)
        return
    case, *rest = cases[args.only]
    theirs, ours = case(SMALL if args.small else FULL, not args.no_compile, *rest)
    measured = compare(theirs, ours, args.rounds, args.keep_memory)
    print(json.dumps({"case": args.only, "small": args.small} | measured))


def unet(sizes, with_compile, batch):
    config, side = sizes["unet"], sizes["side"]
    net = oracle.make_unet(config)
    x, text = oracle.draws(1, (batch, 1, side, side, 4), (batch, sizes["text"], config.cross_attention_dim))
    t = jnp.full(batch, 501)
    theirs = [oracle.images_to_torch(x), torch.full((batch,), 501), oracle.to_torch(text)]
    return sides(
        with_compile,
        net,
        lambda net: oracle.images_from_torch(net(*theirs).sample, 1),
        lambda p: UNet(config).apply({"params": p}, x, t, text),
    )


def vae(sizes, with_compile):
    config, side = sizes["vae"], sizes["side"]
    net = sd_pipelines.make_vae(config)
    (latents,) = oracle.draws(2, (1, 1, side, side, 4))
    theirs = oracle.images_to_torch(latents)
    return sides(
        with_compile,
        net,
        lambda net: oracle.images_from_torch(net(theirs).sample, 1),
        lambda p: VAE(config).apply({"params": p}, latents, method="decode"),
        module=Decode,
    )


def video(sizes, with_compile):
    frames, side = sizes["video"]
    config = dataclasses.replace(sizes["unet"], motion=dataclasses.replace(sizes["motion"], pool_frames=True))
    net = oracle.make_video_unet(config)
    x, text = oracle.draws(3, (1, frames, side, side, 4), (1, sizes["text"], config.cross_attention_dim))
    repeated = oracle.to_torch(text.repeat(frames, axis=0))
    theirs = [oracle.video_to_torch(x), torch.tensor([501]), repeated]
    return sides(
        with_compile,
        net,
        lambda net: oracle.video_from_torch(net(*theirs).sample),
        lambda p: UNet(config).apply({"params": p}, x, jnp.array([501]), text),
    )


class Decode(torch.nn.Module):
    """An autoencoder whose call is its `decode`, which torch.compile needs."""

    def __init__(self, autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents):
        return self.autoencoder.decode(latents)


def sides(with_compile, net, call, ours, module=lambda net: net):
    """PyTorch's candidates, `call(net)` eager and under torch.compile; and what makes ours, `ours(params)`."""
    called = module(net)

    def run(net):
        with torch.inference_mode():
            return call(net)

    theirs = {"diffusers eager": Candidate(lambda: run(called))}
    if with_compile:
        optimised = torch.compile(called)
        theirs["diffusers torch.compile"] = Candidate(lambda: run(optimised))
    return theirs, lambda: compiled(ours, oracle.take_params(net))


if __name__ == "__main__":
    use_wide_vectors()  # as the programs do; what they do with freed memory, `compare` sees to
    main()

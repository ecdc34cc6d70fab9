"""Wan2.2-TI2V-5B's networks on this machine: beside diffusers, and how long 30 blocks take to compile.

    python -m tests.bench.bench_wan [--only CASE] [--rounds 5] [--small] [--no-compile] [--keep-memory]

prints one JSON object for each case: one block of the transformer at full width on 1,280 tokens of 5 latent frames, the
first of them clean, with 512 words; the VAE's decoding of 9 frames of 64x64; and the compilation of the transformer with
2 and with 30 blocks for the shapes of that call, which needs no parameters. See `tests.bench.bench_networks`.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.cpu import use_wide_vectors
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.transformer import WanTransformer
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.models.wan.video import to_pixels
from tests.bench.measure import GIB, KEEP_MEMORY, Candidate, compare, compiled
from tests.models import sd_oracle as oracle
from tests.models import wan_oracle
from tests.models.sd_oracle import torch

FULL = {
    "transformer": WanConfig(),
    "vae": WanVAEConfig(),
    "latents": (5, 32, 32),
    "words": 512,
    "decoded": (3, 4, 4),
}
SMALL = {
    "transformer": wan_oracle.TINY,
    "vae": wan_oracle.TINY_VAE,
    "latents": (2, 4, 4),
    "words": 7,
    "decoded": (2, 2, 2),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = {"block": block, "vae decode": vae, "compile": compilation}
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
    sizes = SMALL if args.small else FULL
    if args.only == "compile":
        measured = compilation(sizes)
    else:
        theirs, ours = cases[args.only](sizes, not args.no_compile)
        measured = compare(theirs, ours, args.rounds, args.keep_memory)
    print(json.dumps({"case": args.only, "small": args.small} | measured))


def block(sizes, with_compile):
    config = dataclasses.replace(sizes["transformer"], num_layers=1)
    net = wan_oracle.make_transformer(config)
    frames, height, width = sizes["latents"]
    x, text = oracle.draws(1, (1, *sizes["latents"], config.in_channels), (1, sizes["words"], config.text_dim))
    t, clean = np.array([637.5], np.float32), np.arange(frames)[None] == 0
    theirs = (
        oracle.video_to_torch(x),
        wan_oracle.per_token(config, t, clean, height, width),
        oracle.to_torch(text),
    )
    network = WanTransformer(config)
    return sides(
        with_compile,
        net,
        lambda net: oracle.video_from_torch(net(*theirs).sample),
        lambda: compiled(
            lambda p, x, text: network.apply({"params": p}, x, jnp.array(t), text, clean=jnp.array(clean)),
            wan_oracle.take_params(net), x, text,
        ),
    )  # fmt: skip


def vae(sizes, with_compile):
    config = sizes["vae"]
    net = wan_oracle.make_vae(config)
    (latents,) = oracle.draws(2, (1, *sizes["decoded"], config.z_dim))
    theirs = oracle.video_to_torch(latents * np.array(config.latents_std) + np.array(config.latents_mean)).float()
    # its cache is Python's, which torch.compile does not follow
    return sides(
        False,
        net,
        lambda net: oracle.video_from_torch(net.decode(theirs).sample),
        lambda: compiled(lambda p, z: to_pixels(p, config, z), oracle.take_params(net), latents),
    )


def sides(with_compile, net, call, ours):
    """PyTorch's candidates, eager and under torch.compile; and what makes ours."""

    def run(net):
        with torch.inference_mode():
            return call(net)

    theirs = {"diffusers eager": Candidate(lambda: run(net))}
    if with_compile:
        optimised = torch.compile(net)
        theirs["diffusers torch.compile"] = Candidate(lambda: run(optimised))
    return theirs, ours


def compilation(sizes):
    """Seconds to trace and to compile, and what the compiler says of memory, by the number of blocks."""
    report = {}
    for layers in (2, 30):
        config = dataclasses.replace(sizes["transformer"], num_layers=layers)
        network, inputs, _ = config.network("transformer")
        params = jax.eval_shape(network.init, jax.random.key(0), *inputs)["params"]
        shapes = [(1, *sizes["latents"], config.in_channels), (1,), (1, sizes["words"], config.text_dim)]
        begin = time.perf_counter()
        lowered = jax.jit(lambda p, x, t, text, network=network: network.apply({"params": p}, x, t, text)).lower(
            params, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
        )
        traced = time.perf_counter() - begin
        program = lowered.compile()
        report[f"{layers} blocks"] = {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
            "trace_s": round(traced, 2),
            "compile_s": round(time.perf_counter() - begin - traced, 2),
            "xla_temporary_gib": round(program.memory_analysis().temp_size_in_bytes / GIB, 3),
        }
    return report


if __name__ == "__main__":
    use_wide_vectors()  # as the programs do; what they do with freed memory, `compare` sees to
    main()

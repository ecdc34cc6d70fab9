"""CogVideoX1.5-5B on this machine beside diffusers: one block, the autoencoder's decoder, a Same2X step beside a
plain one.

    python -m tests.bench.bench_cogvideox [--only CASE] [--rounds 5] [--small] [--keep-memory]

prints one JSON object for each case. "block": of the real width, 226 text tokens and 1536 of video. "vae decode": 3
latent frames, 9 frames of 128x192. "same2x": a training step's gradient with and without teacher, on a narrow network
of 21 blocks with the teacher's first 5, about as 42 are to 10. Weights and inputs of the first two are the same on
both sides and the results are compared; see `tests.bench.measure.compare`.
"""

import argparse
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.cpu import use_wide_vectors
from jaxanim.models.cogvideox.block import CogVideoXBlock
from jaxanim.models.cogvideox.chunks import decode
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.image_to_video import PROCESS
from jaxanim.nn.rotary import rotary
from jaxanim.systems.directanimator.losses import Same2X, directanimator_loss
from jaxanim.systems.directanimator.network import CueLatents, CueTransformer, CueTransformerConfig
from tests.bench.measure import KEEP_MEMORY, Candidate, compare, compiled
from tests.convert.converted import convert
from tests.models import cogvideox_oracle as oracle
from tests.models.cogvideox_oracle import diffusers, torch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = {"block": block, "vae decode": vae}
    parser.add_argument("--only", choices=[*cases, "same2x"], help="one case; else each in a process of its own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="reduced width and size, to try the program")
    parser.add_argument("--keep-memory", action="store_true", help=KEEP_MEMORY)
    args = parser.parse_args()
    if args.only is None:
        for name in (*cases, "same2x"):
            subprocess.run([sys.executable, *sys.orig_argv[1:], "--only", name], check=True)
        return
    if args.only == "same2x":
        measured = same2x(args.small, args.rounds)
    else:
        measured = compare(*cases[args.only](args.small), args.rounds, args.keep_memory)
    print(json.dumps({"case": args.only, "small": args.small} | measured))


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def block(small):
    """One block of the transformer, its video tokens as result."""
    sizes = {"num_layers": 1} if small else {
        "num_layers": 1, "num_attention_heads": 48, "attention_head_dim": 64, "time_embed_dim": 512,
        "ofs_embed_dim": 512, "text_embed_dim": 64,
    }  # fmt: skip
    net = oracle.make_transformer(**sizes)
    _, config, params = convert(net.state_dict(), dict(net.config))
    grid = (2, 4, 6) if small else (4, 16, 24)
    tokens = int(np.prod(grid))
    words = 7 if small else 226
    video, text, time = draw(1, tokens, config.width), draw(1, words, config.width), draw(1, config.time_embed_dim)
    table = rotary(grid, config.rotary_channels)
    theirs = [torch.from_numpy(x) for x in (video, text, time)]
    positions = tuple(torch.from_numpy(np.repeat(part, 2, axis=1)) for part in table)

    def run():
        with torch.inference_mode():
            return net.transformer_blocks[0](*theirs, image_rotary_emb=positions)[0]

    def ours(params, *inputs):
        one = jax.tree.map(lambda p: p[0], params["transformer_blocks"])
        return CogVideoXBlock(config).apply({"params": one}, *inputs, table)[0]

    inputs = [jnp.asarray(x) for x in (video, text, time)]
    return {"diffusers eager": Candidate(run)}, lambda: compiled(ours, params, *inputs)


def vae(small):
    """Three latent frames decoded in one chunk."""
    net = oracle.make_vae() if small else diffusers.AutoencoderKLCogVideoX().eval()
    _, config, params = convert(net.state_dict(), dict(net.config))
    z = draw(1, 3, *((2, 3) if small else (16, 24)), config.latent_channels)
    theirs = torch.from_numpy(np.moveaxis(z, -1, 1).copy())

    def run():
        with torch.inference_mode():
            return np.moveaxis(net.decode(theirs).sample.numpy(), 1, -1)

    def ours(params, z):
        return decode(params, config, z)

    return {"diffusers eager": Candidate(run)}, lambda: compiled(ours, params, jnp.asarray(z))


def same2x(small, rounds):
    """Seconds of the gradient with a teacher over those without, in turns."""
    layers, depth = (3, 1) if small else (21, 5)
    base = CogVideoXConfig(
        num_attention_heads=2 if small else 4, attention_head_dim=16 if small else 64, in_channels=8, out_channels=4,
        time_embed_dim=12, ofs_embed_dim=12, text_embed_dim=10, num_layers=layers,
    )  # fmt: skip
    config = CueTransformerConfig(base, cue_channels=5)
    side = 4 if small else 32
    z0, image, text = (jnp.asarray(draw(1, *shape)) for shape in ((4, side, side, 4), (1, side, side, 4), (5, 10)))
    cues = CueLatents(*(jnp.asarray(draw(1, 4, side, side, 5)) for _ in range(2)))
    x = jnp.concatenate([z0, z0], axis=-1)
    params = jax.jit(CueTransformer(config).init)(jax.random.key(0), x, text, jnp.ones(1), cues)["params"]

    def loss(params, teacher):
        taught = {} if teacher is None else {"teacher": teacher, "same_id_cues": cues}
        aligned = Same2X(depth=depth)
        key = jax.random.key(1)
        return directanimator_loss(params, config, PROCESS, z0, image, text, cues, key, same2x=aligned, **taught)[0]

    sides = {"plain": compiled(jax.grad(loss), params, None), "same2x": compiled(jax.grad(loss), params, params)}
    for candidate in sides.values():
        candidate.start()
    for _ in range(rounds):
        for candidate in sides.values():
            candidate.turn()
    report = {name: candidate.report() for name, candidate in sides.items()}
    return report | {"same2x over plain": round(report["same2x"]["median_s"] / report["plain"]["median_s"], 3)}


if __name__ == "__main__":
    use_wide_vectors()  # as the programs do; what they do with freed memory, `compare` sees to
    main()

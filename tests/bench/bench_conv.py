"""The ways of jaxanim.nn.conv beside XLA's own convolution, on the layers of Stable Diffusion 1.5, and those of
CogVideoX's autoencoder over space and time, on layers of the puppets'.

    python -m tests.bench.bench_conv [--rounds 5] [--gradients] [--only CASE]

prints one JSON object for each layer: the best seconds of each way, XLA's time over it, and the largest difference
from XLA's result over its largest value. float32, in turns.
"""

import argparse
import json

import jax
import jax.numpy as jnp
from einops import repeat

from jaxanim.cpu import prepare_cpu
from jaxanim.nn.conv import by_patches, conv1x1, conv_by_taps, doubled_conv3x3
from jaxanim.nn.winograd import winograd
from tests.bench.measure import compiled

OPTIONS = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
# (batch, side, channels, features)
LAYERS = [(1, 8, 1280, 1280), (1, 16, 1280, 1280), (16, 4, 1280, 1280), (16, 8, 1280, 1280), (16, 16, 640, 640),
          (32, 16, 1280, 640), (16, 32, 320, 320), (32, 32, 640, 320), (1, 64, 640, 320), (1, 64, 320, 320),
          (32, 16, 96, 96), (32, 8, 192, 96)]  # fmt: skip
POINTWISE = [(1, 32, 640, 640), (1, 64, 320, 320), (16, 16, 640, 640), (16, 32, 320, 320), (32, 32, 960, 320),
             (32, 32, 320, 2560), (32, 32, 1280, 320), (32, 16, 1920, 640)]  # fmt: skip
VOLUMES, FRAMES = [(4, 32, 16, 16), (4, 32, 32, 16), (4, 16, 32, 32), (4, 8, 48, 48)], 9
DOUBLED = [(1, 16, 1280, 1280), (32, 8, 1280, 1280), (32, 16, 640, 640), (1, 256, 256, 256)]


def plain(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", **OPTIONS)


def volume(x, kernel):
    around = ((0, 0), (1, 1), (1, 1))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1, 1), around, dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))


WAYS = {
    "3x3": (LAYERS, {
        "xla": plain,
        "patches": by_patches,
        "F(2x2)": lambda x, kernel: winograd(x, kernel, 2),
        "F(4x4)": lambda x, kernel: winograd(x, kernel, 4),
    }),
    "1x1": (POINTWISE, {
        "xla": plain,
        "jax's product": lambda x, kernel: x.reshape(-1, x.shape[-1]) @ kernel[0, 0],
        "our product": lambda x, kernel: conv1x1(x, kernel, (1, 1), "SAME"),
    }),
    "3x3x3": (VOLUMES, {
        "xla": volume,
        "three of 3x3": conv_by_taps,
    }),
    "doubled 3x3": (DOUBLED, {
        "xla": lambda x, kernel: plain(repeat(x, "b h w c -> b (h 2) (w 2) c"), kernel),
        "nine products": lambda x, kernel: doubled_conv3x3(x, kernel, (1, 1), ((1, 1), (1, 1)), **OPTIONS),
    }),
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--gradients", action="store_true", help="result and both gradients, rather than the result"
    )
    parser.add_argument("--only", choices=WAYS, help="one case")
    args = parser.parse_args()
    for case, (layers, ways) in WAYS.items():
        if args.only not in (None, case):
            continue
        for layer in layers:
            print(json.dumps(measure(case, layer, ways, args.rounds, args.gradients)), flush=True)


def measure(case, layer, ways, rounds, gradients):
    batch, side, channels, features = layer
    frames, taps = ((FRAMES + 2,), (3, 3, 3)) if case == "3x3x3" else ((), (1, 1) if case == "1x1" else (3, 3))
    x = jax.random.normal(jax.random.key(0), (batch, *frames, side, side, channels))
    kernel = jax.random.normal(jax.random.key(1), (*taps, channels, features))

    def program(way):
        if not gradients:
            return way
        return jax.value_and_grad(lambda x, kernel: jnp.mean(way(x, kernel) ** 2), (0, 1))

    programs = {name: compiled(program(way), x, kernel) for name, way in ways.items()}
    for candidate in programs.values():
        candidate.start()
    for _ in range(rounds):
        for candidate in programs.values():
            candidate.turn()
    errors = {}
    for name, candidate in programs.items():
        pairs = zip(jax.tree.leaves(candidate.result), jax.tree.leaves(programs["xla"].result), strict=True)
        error = max(float(jnp.abs(a.reshape(b.shape) - b).max() / jnp.abs(b).max()) for a, b in pairs)
        errors[name] = float(f"{error:.1e}")
        if not error < 1e-5:
            raise SystemExit(f"{name} computes something else than XLA: relative difference {error:.1e}")
    best = {name: round(min(candidate.seconds), 4) for name, candidate in programs.items()}
    ratios = {f"xla over {name}": round(best["xla"] / best[name], 2) for name in ways if name != "xla"}
    return {
        "case": case,
        "layer": layer,
        "gradients": gradients,
        "seconds": best,
        "relative_difference": errors,
    } | ratios


if __name__ == "__main__":
    prepare_cpu()  # as the programs do; PyTorch gains from the kept memory too
    main()

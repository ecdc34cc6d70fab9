"""The ways of jaxanim.nn.conv beside XLA's own convolution, on the layers of Stable Diffusion 1.5.

    python -m tests.bench.bench_conv [--rounds 5]

prints one JSON object for each layer: the best seconds of each way and XLA's time over it. float32, in turns.
"""

import argparse
import json

import jax
import jax.numpy as jnp
from einops import repeat

from jaxanim.nn.conv import by_patches, by_winograd, doubled_conv3x3
from tests.bench.measure import compiled

OPTIONS = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
# (batch, side, channels, features)
LAYERS = [(1, 8, 1280, 1280), (1, 16, 1280, 1280), (16, 4, 1280, 1280), (16, 16, 640, 640), (1, 64, 640, 640),
          (1, 64, 320, 320)]  # fmt: skip
DOUBLED = [(1, 16, 1280, 1280), (1, 32, 640, 640), (1, 256, 256, 256)]


def plain(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", **OPTIONS)


def plain_doubled(x, kernel):
    return plain(repeat(x, "b h w c -> b (h 2) (w 2) c"), kernel)


def doubled(x, kernel):
    return doubled_conv3x3(x, kernel, (1, 1), ((1, 1), (1, 1)), **OPTIONS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    same = {"xla": plain, "patches": by_patches, "winograd": by_winograd}
    for layer in LAYERS:
        print(json.dumps(measure("3x3", layer, same, rounds)), flush=True)
    for layer in DOUBLED:
        print(
            json.dumps(measure("doubled 3x3", layer, {"xla": plain_doubled, "phases": doubled}, rounds)), flush=True
        )


def measure(case, layer, ways, rounds):
    batch, side, channels, features = layer
    x = jax.random.normal(jax.random.key(0), (batch, side, side, channels))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, channels, features))
    programs = {name: compiled(way, x, kernel) for name, way in ways.items()}
    for program in programs.values():
        program.start()
    for _ in range(rounds):
        for program in programs.values():
            program.turn()
    expected = programs["xla"].result
    for name, program in programs.items():
        error = float(jnp.abs(program.result - expected).max() / jnp.abs(expected).max())
        if not error < 1e-5:
            raise SystemExit(f"{name} computes something else than XLA: relative difference {error:.1e}")
    best = {name: round(min(program.seconds), 4) for name, program in programs.items()}
    ratios = {f"xla over {name}": round(best["xla"] / best[name], 2) for name in ways if name != "xla"}
    return {"case": case, "layer": layer, "seconds": best} | ratios


if __name__ == "__main__":
    main()

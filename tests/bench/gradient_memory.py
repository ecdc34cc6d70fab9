"""What the gradient of PoseAnimate's optimisation keeps for a frame of 512x512 on SD1.5, under each `--remat`.

    python -m tests.bench.gradient_memory [--small]

traces UNet and ControlNet and their derivative by the text embedding, allocates and compiles nothing, and prints JSON
and then a Markdown table: the arrays that wait for the backward pass, in bfloat16, for 1, 4 and 16 frames at once. The
parameters stand beside them, and so does what a block or a layer works in: these are what no program can do with less
than, not a program's peak, which `tests.bench.memory_table --only PoseAnimate` compiles for.
"""

import argparse
import json
from collections import Counter

import jax
import jax.numpy as jnp

from jaxanim.models.shapes import parameter_shapes
from jaxanim.systems.poseanimate.denoise import Predict
from tests.bench.measure import GIB
from tests.bench.memory_table import cast, f32, system_config

FRAMES = (1, 4, 16)
POLICIES = {"none": "nothing", "products": "all but products", "blocks": "all but the blocks' inputs"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="reduced width and size, to try the program")
    args = parser.parse_args()
    config = system_config("PoseAnimate", "bfloat16", args.small)
    networks = {n: cast(parameter_shapes(n, getattr(config, n)), "bfloat16") for n in ("unet", "controlnet")}
    weights = total(jax.tree.leaves(networks))
    kept = {policy: kept_for_a_frame(config, networks, policy, 16 if args.small else 64) for policy in POLICIES}
    print(json.dumps({"weights_gib": round(weights, 3), "kept_gib": {k: round(v, 3) for k, v in kept.items()}}))
    print(f"| `--remat` | computed again | {' | '.join(f'{n} at once, GiB' for n in FRAMES)} |")
    print("|---" * (2 + len(FRAMES)) + "|")
    for policy, words in POLICIES.items():
        print(f"| `{policy}` | {words} | {' | '.join(f'{n * kept[policy]:.1f}' for n in FRAMES)} |")


def kept_for_a_frame(config, networks, policy, side):
    """GiB of the arrays that `jax.vjp` hands from the forward to the backward pass, the parameters left out."""
    unet = config.unet
    pose = jax.ShapeDtypeStruct((1, 1, side, side, unet.block_out_channels[0]), unet.dtype)

    def residuals(networks, words, x, pose, embedding):
        predict = Predict(config, policy)
        return jax.vjp(lambda e: predict(networks, words, x, jnp.int32(1), e, pose)[0], embedding)[1]

    text = f32(1, 77, unet.cross_attention_dim)
    found = jax.tree.leaves(jax.eval_shape(residuals, networks, f32(77), f32(1, 1, side, side, 4), pose, text))
    parameters = Counter((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(networks))
    own = []
    for leaf in found:
        if parameters[leaf.shape, leaf.dtype] > 0:
            parameters[leaf.shape, leaf.dtype] -= 1
        else:
            own.append(leaf)
    return total(own)


def total(leaves):
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) / GIB


if __name__ == "__main__":
    main()

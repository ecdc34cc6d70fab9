"""PoseAnything's part-aware attention (Eq. 9) in one call against a loop over parts.

    python -m tests.bench.bench_parts [--rounds 5] [--small]

prints one JSON object: milliseconds of the block's part module at the released width (24 heads of 128), 4 latent frames
of 12x20 tokens, 5 parts. The ways take turns. "one call" is the paper's form as jaxanim computes it, "loop" the same sum
part by part, "released" the released code's form, which is a loop by nature.
"""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.attention import attention
from jaxanim.cpu import prepare_cpu
from jaxanim.models.wan.block import WanAttention
from jaxanim.models.wan.config import WanConfig
from jaxanim.systems.poseanything.part_attention import exclusive, released
from tests.bench.measure import compiled

PARTS = 5


def looped(layer, x, ids, grid):
    """Eq. 9 part by part: every part attends among all tokens, of which those of other parts are masked."""
    first = grid[1] * grid[2]
    of = ids.reshape(1, -1)
    total = jnp.zeros_like(x[:, first:])
    for j in range(PARTS):
        q_ids = jnp.where(of[:, first:] == j, 0, -1)
        kv_ids = jnp.where(of[:, :first] == j, 0, -2)
        q, k, v = layer.query(x[:, first:]), layer.key(x[:, :first]), layer.value(x[:, :first])
        out = layer.output(attention(q, k, v, q_segment_ids=q_ids, kv_segment_ids=kv_ids))
        total += jnp.where((q_ids == 0)[..., None], out, 0)
    return jnp.concatenate([jnp.zeros_like(x[:, :first]), total], axis=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a fraction of the width, for the tests")
    args = parser.parse_args()
    prepare_cpu()
    grid = (3, 4, 4) if args.small else (4, 12, 20)
    config = WanConfig(num_attention_heads=2, attention_head_dim=12) if args.small else WanConfig()
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((1, int(np.prod(grid)), config.width)), jnp.float32)
    ids = rng.integers(-1, PARTS, (1, *grid)).astype(np.int32)
    ids[0, 0].flat[:PARTS] = range(PARTS)
    masks = jnp.asarray(ids[:, None] == np.arange(PARTS)[:, None, None, None])
    module = WanAttention(config)
    params = module.init(jax.random.key(0), x, x)

    def way(fn, parts):
        return compiled(lambda params, x, parts: fn(module.bind(params), x, parts, grid), params, x, parts)

    ways = {"one call": way(exclusive, jnp.asarray(ids)), "loop": way(looped, jnp.asarray(ids))}
    ways["released"] = way(released, masks)
    for candidate in ways.values():
        candidate.start()
    for _ in range(args.rounds):
        for candidate in ways.values():
            candidate.turn()
    report = {name: candidate.report() for name, candidate in ways.items()}
    one, loop = ways["one call"].result, ways["loop"].result
    report["relative difference"] = float(jnp.linalg.norm(one - loop) / jnp.linalg.norm(loop))
    for name in ("loop", "released"):
        report[f"{name} over one call"] = round(report[name]["median_s"] / report["one call"]["median_s"], 2)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

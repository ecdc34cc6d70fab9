"""Attention on this machine: our kernels beside `jax.nn.dot_product_attention` and PyTorch's SDPA, in one run.

    python -m tests.bench.bench_attention [--rounds 5] [--only SHAPE]

prints one JSON object. The candidates of a shape take turns, round by round, and each reports its best round, so
that a busy machine is unfair to nobody; "cpu" counts the processor time of all threads and "wall" the clock, both in
milliseconds. "hybrid" compares MagicAnimate's Eq. 2 done by `hybrid_merged` and by `hybrid_concatenated`.
"""

from __future__ import annotations

import argparse
import functools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch

from jaxanim.attention import attention, choose_kernel
from jaxanim.attention.patterns import hybrid_concatenated, hybrid_merged
from jaxanim.cpu import prepare_cpu

# name: (batch, q_tokens, kv_tokens, heads, head_dim)
SHAPES = {
    "64 tokens": (16, 64, 64, 4, 24),
    "128 tokens": (16, 128, 128, 4, 24),
    "256 tokens": (16, 256, 256, 4, 16),
    "512 tokens": (8, 512, 512, 4, 24),
    "4096 tokens": (1, 4096, 4096, 8, 40),
    "text": (2, 2048, 77, 4, 24),
    "temporal": (512, 16, 16, 4, 24),
}
# name: (batch, frames, tokens, heads, head_dim)
HYBRID_SHAPES = {
    "tiny image": (16, 1, 256, 4, 16),
    "tiny video": (1, 16, 256, 4, 24),
    "SD1.5 32x32": (1, 16, 1024, 2, 80),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="one of " + ", ".join([*SHAPES, *HYBRID_SHAPES]))
    args = parser.parse_args()

    def chosen(shapes):
        return {name: shape for name, shape in shapes.items() if args.only in (None, name)}

    report = {
        "attention": {name: measure(*shape, args.rounds) for name, shape in chosen(SHAPES).items()},
        "hybrid": {name: measure_hybrid(*shape, args.rounds) for name, shape in chosen(HYBRID_SHAPES).items()},
    }
    print(json.dumps(report, indent=1))


def measure(batch, q_tokens, kv_tokens, heads, head_dim, rounds):
    rng = np.random.default_rng(0)
    shapes = [(batch, tokens, heads, head_dim) for tokens in (q_tokens, kv_tokens, kv_tokens)]
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    ours = {name: functools.partial(attention, kernel=name) for name in ("xla", "blocked")}
    candidates = jax_candidates(ours | {"jax.nn": jax.nn.dot_product_attention}, arrays) | torch_candidates(arrays)
    table = take_turns(candidates, rounds)
    auto = choose_kernel(*map(jnp.asarray, arrays[:2]))
    ratios = {
        f"{what} {clock}, auto over {other}": round(
            table[f"{auto} {what}"][clock] / table[f"{other} {what}"][clock], 2
        )
        for what in ("forward", "forward+backward")
        for clock in ("wall", "cpu")
        for other in ("jax.nn", "torch")
    }
    return {"shape": shapes[0], "kv_tokens": kv_tokens, "auto": auto, "ms": table, "ratios": ratios}


def measure_hybrid(batch, frames, tokens, heads, head_dim, rounds):
    rng = np.random.default_rng(0)
    video, image = (batch, frames, tokens, heads, head_dim), (batch, tokens, heads, head_dim)
    arrays = [rng.standard_normal(shape, np.float32) for shape in (video, video, video, image, image)]
    forms = {
        f"{form} {kernel}": functools.partial(fn, kernel=kernel)
        for form, fn in (("merged", hybrid_merged), ("concatenated", hybrid_concatenated))
        for kernel in ("xla", "blocked")
    }
    return {"shape": video, "ms": take_turns(jax_candidates(forms, arrays), rounds)}


def jax_candidates(functions, arrays):
    arrays = [jnp.asarray(x) for x in arrays]
    candidates = {}
    for name, fn in functions.items():
        forward = jax.jit(fn)
        both = jax.jit(lambda *args, fn=fn: jax.vjp(fn, *args)[1](jnp.cos(args[0])))
        candidates[f"{name} forward"] = lambda run=forward: jax.block_until_ready(run(*arrays))
        candidates[f"{name} forward+backward"] = lambda run=both: jax.block_until_ready(run(*arrays))
    return candidates


def torch_candidates(arrays):
    q, k, v = (torch.tensor(x).transpose(1, 2).contiguous() for x in arrays)
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    cotangent = torch.cos(q)
    attend = torch.nn.functional.scaled_dot_product_attention

    def forward():
        with torch.no_grad():
            attend(q, k, v)

    def both():
        torch.autograd.grad(attend(*leaves), leaves, cotangent)

    return {"torch forward": forward, "torch forward+backward": both}


def take_turns(candidates, rounds):
    """{name: {"wall": ms, "cpu": ms}}, the best of `rounds` turns each, after one turn to compile."""
    best = {name: {"wall": float("inf"), "cpu": float("inf")} for name in candidates}
    for run in candidates.values():
        run()
    for _ in range(rounds):
        for name, run in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            taken = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            best[name] = {clock: min(best[name][clock], taken[clock] * 1e3) for clock in taken}
    return {name: {clock: round(ms, 2) for clock, ms in times.items()} for name, times in best.items()}


if __name__ == "__main__":
    prepare_cpu()  # as the programs do; PyTorch gains from the kept memory too
    main()

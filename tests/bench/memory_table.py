"""How much memory 16 frames of 512x512 need under each option, by the compiler's own account.

    python -m tests.bench.memory_table [--tpu v5p:2x2x1] [--only WORDS] [--small]

compiles one guided denoising step, and the decoding, of AnimateDiff (SD1.5 and motion modules v3) and of MagicAnimate,
and a timestep of PoseAnimate's optimisation of 16 frames' embeddings, some of them at once,
without allocating a parameter, and prints JSON and then a Markdown table. "Working" is what the program needs beside
its arguments (`memory_analysis().temp_size_in_bytes`), "weights" are all networks of the system, which stay; the peak is
the two together. With `--tpu` one chip of that topology is compiled for (package libtpu; no TPU needed), otherwise
the CPU, which computes bfloat16 partly in float32.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import time

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from tqdm import tqdm

from jaxanim.attention import compiling_for
from jaxanim.models.controlnet import controlnet_config
from jaxanim.models.motion import ANIMATEDIFF_V3
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.unet import UNetConfig
from jaxanim.models.vae import to_pixels
from jaxanim.systems.base import Memory
from jaxanim.systems.magicanimate import animate
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.systems.poseanimate.denoise import Predict
from jaxanim.systems.poseanimate.pacm import optimise
from jaxanim.systems.stable_diffusion import generate
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.weights import config_in_dtype
from tests.bench.measure import GIB

NARROW = UNetConfig(block_out_channels=(16, 32, 64, 64), cross_attention_dim=24, norm_num_groups=8)


HALF = {"dtype": "bfloat16"}
TURN = HALF | {"guidance_in_turn": True}
# what: rows of (option in words, options)
STEPS = [("float32", {}), ("bfloat16", HALF), ("bfloat16, guidance in turn", TURN)]
LONG = [("bfloat16, all 4 windows at once", HALF), ("bfloat16, windows in turn", HALF | {"windows_at_once": 1}),
        ("bfloat16, windows and guidance in turn", TURN | {"windows_at_once": 1})]  # fmt: skip
DECODE = [
    ("float32, 16 frames at once", {"frames_at_once": None}),
    ("float32, 8 frames at once (default)", {"frames_at_once": 8}),
    ("float32, 1 frame at once", {"frames_at_once": 1}),
    ("bfloat16, 1 frame at once", HALF | {"frames_at_once": 1}),
    ("bfloat16, in tiles of 256", HALF | {"tile": 256}),
]
OPTIMISE = [(f"{dtype}, {'nothing' if remat == 'none' else remat} computed again",
             {"dtype": dtype, "remat": remat})
            for dtype, remat in (("float32", "none"), ("bfloat16", "none"), ("bfloat16", "products"), ("bfloat16", "blocks"))]
ROWS = [("AnimateDiff step, 16 frames", words, options) for words, options in STEPS]
ROWS += [("MagicAnimate step, 16 frames", words, options) for words, options in STEPS]
ROWS += [("AnimateDiff step, 48 frames", words, options) for words, options in LONG]
ROWS += [("decoding, 16 frames of 512x512", words, options) for words, options in DECODE]
ROWS += [("decoding, 1 frame of 2048x2048", words, options) for words, options in DECODE[3:]]
ROWS += [(f"PoseAnimate, 16 frames, {at_once} at once", words, options | {"at_once": at_once})
         for words, options in OPTIMISE for at_once in (1, 2, 4, 16)]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tpu", metavar="TOPOLOGY", help="compile for one chip of, say, v5p:2x2x1")
    parser.add_argument("--only", default="", help="rows whose description has these words in it")
    parser.add_argument("--small", action="store_true", help="reduced width and size, to try the program")
    args = parser.parse_args()
    sharding, target = None, contextlib.nullcontext()
    if args.tpu:
        sharding, target = one_chip(args.tpu), compiling_for("tpu")
    with target:
        chosen = [row for row in ROWS if args.only in f"{row[0]}: {row[1]}"]
        rows = [measure(*row, sharding, args.small) for row in tqdm(chosen, unit="program")]
    print(json.dumps({"target": args.tpu or "cpu", "small": args.small, "rows": rows}))
    print("| what | options | weights, GiB | working, GiB | peak, GiB |\n|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(f"{row[name]:.2f}" for name in ("weights_gib", "working_gib", "peak_gib"))
        print(f"| {row['what']} | {row['options']} | {figures} |")


def measure(what: str, words: str, options: dict, sharding, small: bool) -> dict:
    """One row: compiles the program and asks for its memory."""
    options = dict(options)
    dtype = options.pop("dtype", "float32")
    config, name = system_config(what, dtype, small), what.replace(",", " ").split()[0]
    networks = {n: getattr(config, n) for n in ("vae", "text_encoder", "unet", "controlnet") if getattr(config, n)}
    if name == "MagicAnimate":
        networks["appearance_encoder"] = image_form(config.unet)
    params = {n: cast(parameter_shapes(n, c), dtype) for n, c in networks.items()}
    # Smaller ones still, one block of attention would be most of the memory.
    side = (16 if small else 64) * (4 if "2048" in what and not small else 1)
    frames = next(int(word) for word in what.replace(",", " ").split() if word.isdigit())
    make = {"AnimateDiff": animatediff, "MagicAnimate": magicanimate, "decoding": decoding,
            "PoseAnimate": poseanimate}[name]
    fn, args = make(config, options, params, frames, side)
    if sharding is not None:
        args = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), args)
    begin = time.perf_counter()
    analysis = fn.lower(*args).compile().memory_analysis()
    weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params)) / GIB
    working = (analysis.temp_size_in_bytes + analysis.output_size_in_bytes) / GIB
    row = {"what": what, "options": words, "weights_gib": weights, "working_gib": working}
    row = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
    return row | {"peak_gib": round(weights + working, 4), "compile_s": round(time.perf_counter() - begin, 1)}


def system_config(what: str, dtype: str, small: bool):
    """The system's config with every network in `dtype`; decoding is counted with AnimateDiff's weights."""
    unet = NARROW if small else UNetConfig()
    motion = dataclasses.replace(ANIMATEDIFF_V3, norm_num_groups=unet.norm_num_groups)
    unet = config_in_dtype(dataclasses.replace(unet, motion=motion), dtype)
    if what.startswith("MagicAnimate"):
        pooled = dataclasses.replace(unet, pool_frames=True)
        base = MagicAnimateConfig(unet=pooled, controlnet=controlnet_config(unet))
    elif what.startswith("PoseAnimate"):
        plain = dataclasses.replace(unet, motion=None)
        base = StableDiffusionConfig(unet=plain, controlnet=controlnet_config(plain))
    else:
        base = StableDiffusionConfig(unet=unet)
    half = {name: config_in_dtype(getattr(base, name), dtype) for name in ("vae", "text_encoder")}
    return dataclasses.replace(base, **half)


def animatediff(config, options, params, frames, side):
    denoise = generate._Denoise(config, Memory(**options), window=16, overlap=4, guided=True)
    text, x = f32(1, 77, config.unet.cross_attention_dim), f32(1, frames, side, side, 4)
    networks = {"unet": params["unet"]}
    return jax.jit(denoise), (networks, text, text, None, f32(), f32(), x, first_step(config))


def magicanimate(config, options, params, frames, side):
    denoise = animate._Denoise(config, animate.Options(), Memory(**options), window=16, overlap=4, guided=True)
    params = params | {"empty_prompt": f32(77, config.unet.cross_attention_dim)}
    pose = jax.ShapeDtypeStruct((frames, side, side, config.unet.block_out_channels[0]), config.unet.dtype)
    args = params, f32(side, side, 4), pose, f32(), f32(frames, side, side, 4), first_step(config)
    return jax.jit(denoise), args


def poseanimate(config, options, params, frames, side):
    width, length = config.unet.cross_attention_dim, 77
    networks = {name: params[name] for name in ("unet", "controlnet")}

    def optimised(networks, words, trajectory, text, start, poses):
        predict = Partial(Predict(config, options["remat"]), networks, words)
        settings = {"guidance": 7.5, "frames_at_once": options["at_once"]}
        return optimise(predict, config.diffusion, trajectory, text, start, poses, **settings)

    pose = jax.ShapeDtypeStruct((frames, side, side, config.unet.block_out_channels[0]), config.unet.dtype)
    args = networks, f32(length), f32(2, side, side, 4), f32(length, width), f32(1, length, width), pose
    return jax.jit(optimised), args


def decoding(config, options, params, frames, side):
    args = params["vae"], f32(1, frames, side, side, 4)
    return jax.jit(lambda p, x: to_pixels(p, config.vae, x, **options)), args


def cast(tree, dtype: str):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), tree)


def f32(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def first_step(config):
    return jax.tree.map(lambda column: column[0], config.diffusion.walk(1))


def one_chip(topology: str):
    """Placement on the first chip of a described TPU topology."""
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    described = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    return NamedSharding(Mesh(np.array(described.devices)[:1], ("x",)), PartitionSpec())


if __name__ == "__main__":
    main()

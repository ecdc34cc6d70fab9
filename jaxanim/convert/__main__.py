"""Converts a PyTorch checkpoint: `python -m jaxanim.convert SRC DST`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from jaxanim.convert.program import check_free, describe, names_table, plan_conversion, write_conversion
from jaxanim.convert.source import Reading
from jaxanim.ending import ends_well, stop_at_once
from jaxanim.errors import InputError

_ABOUT = """\
Converts a PyTorch checkpoint into a weights folder of jaxanim: one safetensors file per network, a config.json
and, where prompts are read, the tokenizer.

SRC is recognised by the names and shapes in it. It may be
  Stable Diffusion 1.5    a diffusers folder (.safetensors or .bin, whole or in shards), or a single file
                          (.safetensors or .ckpt, with or without averaged parameters)
  an autoencoder          such as sd-vae-ft-mse, with the old or the new attention names
  CLIP                    text encoder, image encoder with projection, or both, in transformers' layout
  ControlNet              diffusers' folder, or the original file
  AnimateDiff             motion modules v1, v2, v3, alone or (with --base) in their UNet
  MagicAnimate            the folder with densepose_controlnet, appearance_encoder and temporal_attention;
                          needs --base
  MagicPose               MagicDance's model_state-*.th; --base adds what the file lacks
  SD Image Variations     the diffusers folder
  Wan2.2-TI2V-5B          its transformer (shards, PoseAnything's too) or autoencoder (Wan2.2_VAE.pth), official or
                          diffusers' names, each by itself

Every tensor has to find its place and every place its tensor, in its exact shape; what is left out on purpose is
listed with the reason. PyTorch's pickles are read without running anything in them. One tensor is in memory at a
time, whatever the model's size. DST appears when it is whole, or not at all."""

_EXAMPLES = """\
examples:
  python -m jaxanim.convert stable-diffusion-v1-5 weights/sd15 --dtype bfloat16
  python -m jaxanim.convert v1-5-pruned.safetensors weights/sd15 --tokenizer clip-vit-large-patch14
  python -m jaxanim.convert MagicAnimate weights/magicanimate --base stable-diffusion-v1-5 --vae sd-vae-ft-mse
  python -m jaxanim.convert mm_sd_v15_v2.ckpt weights/motion --check --names

then, in Python:
  system = jaxanim.systems.load("magicanimate", "weights/magicanimate")"""


class _Parser(argparse.ArgumentParser):
    """Answers a wrong option in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m jaxanim.convert", description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("src", metavar="SRC", type=Path, help="the checkpoint: a file or a folder")
    parser.add_argument("dst", metavar="DST", type=Path, help="the weights folder to write: new or empty")
    parser.add_argument(
        "--dtype", help="float16, bfloat16 or float32 for every tensor (what the checkpoint has, if that is one)"
    )
    parser.add_argument("--base", metavar="PATH", type=Path, help="Stable Diffusion 1.5, in any of its forms")
    parser.add_argument(
        "--vae", metavar="PATH", type=Path, help="an autoencoder for the checkpoint's own, or for lack of one"
    )
    parser.add_argument(
        "--tokenizer", metavar="DIR", type=Path,
        help="folder with vocab.json and merges.txt, or tokenizer.json (the checkpoint's or its base's own)",
    )  # fmt: skip
    parser.add_argument(
        "--variant", metavar="NAME", help="which files of SRC, as fp16 (the plain ones, or fp16, or the only ones)"
    )
    parser.add_argument(
        "--skip", metavar="PATTERN", action="append", default=[],
        help="leave out the tensors of these names, as 'model_ema.*'; may be given again",
    )  # fmt: skip
    parser.add_argument("--names", action="store_true", help="also print every tensor's old and new name")
    parser.add_argument("--check", action="store_true", help="only recognise and check names and shapes")
    return parser


def run(arguments: Sequence[str]) -> None:
    """The program; raises InputError for anything it cannot do."""
    args = _parser().parse_args(arguments)
    check_free(args.dst)
    conversion = plan_conversion(
        args.src,
        base=args.base,
        vae=args.vae,
        tokenizer=args.tokenizer,
        dtype=args.dtype,
        reading=Reading(args.variant, tuple(args.skip)),
    )
    print(f"{args.src} is {describe(conversion)}", flush=True)
    if args.names:
        print(names_table(conversion), flush=True)
    if args.check:
        return
    with tqdm(total=conversion.bytes, unit="B", unit_scale=True, desc="converting", disable=None) as bar:
        write_conversion(conversion, args.dst, lambda name, size: bar.update(size))
    print(
        f"wrote {args.dst}: {conversion.bytes / 1e6:,.1f} MB, for jaxanim.systems and jaxanim.weights.load_weights"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, and answers bad input with one sentence and exit code 2."""
    return ends_well("jaxanim.convert", lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    stop_at_once("jaxanim.convert")
    sys.exit(main())

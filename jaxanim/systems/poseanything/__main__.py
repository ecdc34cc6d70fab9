"""Puts the released parts, each converted by `python -m jaxanim.convert`, into one folder, and embeds prompts.

  python -m jaxanim.systems.poseanything --transformer TRANSFORMER --vae VAE \\
      --text-encoder UMT5 --tokenizer UMT5_TOKENIZER --prompt "a dog runs" --out weights/released

Without --transformer and --vae the prompts replace those of a folder that is there.
"""

import argparse
import sys
from pathlib import Path

from jaxanim.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxanim.systems.poseanything",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--transformer", help="folder of PoseAnything's converted shards")
    parser.add_argument("--vae", help="folder of Wan2.2's converted autoencoder")
    parser.add_argument("--text-encoder", help="folder of the converted umT5-XXL encoder")
    parser.add_argument("--tokenizer", help="its tokenizer (default: in the same folder)")
    parser.add_argument("--prompt", action="append", default=[], help="to embed; may be given several times")
    parser.add_argument("--out", required=True, help="weights folder to write")
    options = parser.parse_args(arguments)
    try:
        put(options)
    except InputError as error:
        print(f"jaxanim.systems.poseanything: {error}", file=sys.stderr)
        return 2
    return 0


def put(options: argparse.Namespace) -> None:
    """Checks that the arguments say something whole, and does it."""
    from jaxanim.media.outputs import check_outputs
    from jaxanim.systems.poseanything.together import add_prompts, put_together

    if (options.transformer is None) != (options.vae is None):
        raise InputError("--transformer and --vae go together: give both, or neither to embed prompts alone")
    if options.prompt and options.text_encoder is None:
        raise InputError("--prompt has to be embedded: name the converted encoder with --text-encoder")
    if options.transformer is None and not (Path(options.out) / "config.json").is_file():
        raise InputError(f"--out {options.out} is no weights folder yet: give --transformer and --vae")
    names = ("transformer", "vae", "text_encoder", "tokenizer")
    check_outputs({"--out": options.out}, {f"--{name.replace('_', '-')}": getattr(options, name) for name in names})
    if options.transformer is not None:
        put_together(options.transformer, options.vae, options.out)
    if options.text_encoder is not None:
        add_prompts(options.text_encoder, options.tokenizer or options.text_encoder, options.prompt, options.out)


if __name__ == "__main__":
    sys.exit(main())

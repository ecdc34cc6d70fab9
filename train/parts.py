"""Puts trained parts of a system into one weights folder, on a base that is referred to and not copied.

  python -m train.parts weights/NAME --base weights/base --appearance runs/NAME_stage2/weights

Weights leave a run this way: the new folder remembers the base by its path from there. The appearance model and the
ControlNet may come from different runs, which is how Table 3's "Disentangle" is left out.
"""

import argparse
import sys

import numpy as np
from flax.traverse_util import flatten_dict

from jaxanim.ending import ends_well
from jaxanim.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """The program; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m train.parts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="weights folder to write")
    parser.add_argument("--base", required=True, help="weights folder of the base model, to be referred to")
    parser.add_argument(
        "--appearance", required=True, help="weights of the system, to take the appearance model from"
    )
    parser.add_argument("--controlnet", help="weights to take the pose ControlNet from (default: --appearance)")
    parser.add_argument("--motion", help="weights to take motion modules from (default: --appearance, if there)")
    options = parser.parse_args(arguments)
    return ends_well("train.parts", lambda: put_together(options))


def put_together(options: argparse.Namespace) -> None:
    """Reads the parts, checks that they fit the base, and writes them."""
    from jaxanim.media.outputs import check_outputs
    from jaxanim.systems.base import entries
    from jaxanim.systems.base_model import check_fits, load_base
    from jaxanim.weights import base_folder, read_description

    read = ("base", "appearance", "controlnet", "motion")
    check_outputs({"OUT": options.out}, {f"--{name}": getattr(options, name) for name in read})
    name = read_description(options.appearance)["system"]
    system = entries()[name].module if name in entries() else None
    if not hasattr(system, "load_parts"):
        raise InputError(f"--appearance {options.appearance} holds {name!r}, which has no trained parts on a base")
    parts, settings = system.load_parts(options.appearance)
    if options.controlnet:
        parts["controlnet"] = system.load_parts(options.controlnet)[0]["controlnet"]
    if options.motion:
        moving = system.load_parts(options.motion)[0]
        if "motion" not in moving:
            raise InputError(f"--motion {options.motion} has no motion modules; name weights of stage 3")
        parts["motion"] = moving["motion"]
    base = load_base(options.base)
    check_fits(base.unet, parts["appearance_model"][0], options.appearance, options.base)
    system.write(parts, settings, options.base, options.out)
    trained_on = base_folder(options.appearance)
    same = trained_on is not None and trained_on.is_dir() and _equal(load_base(trained_on).params, base.params)
    note = "the base that they were trained on" if same else "another base than they were trained on"
    print(f"{options.out}: {', '.join(parts)} on {options.base}, {note}")


def _equal(a: dict, b: dict) -> bool:
    """Whether two bases' UNets hold the same numbers."""
    a, b = (flatten_dict(tree["unet"], sep="/") for tree in (a, b))
    return a.keys() == b.keys() and all(np.array_equal(a[path], b[path]) for path in a)


if __name__ == "__main__":
    sys.exit(main())

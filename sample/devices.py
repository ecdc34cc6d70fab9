"""The devices that one video is sampled on: `--mesh data=4,context=2`."""

import argparse
import dataclasses
import math
import re
from collections.abc import Callable

import jax
from jax.sharding import Mesh

from jaxanim.errors import InputError
from jaxanim.mesh import AXES
from jaxanim.systems.base import Entry
from jaxanim.training.sharding import MeshShape, make_mesh, parameter_sharding
from sample.arguments import Parser

HELP = (
    "devices of this machine, by what they share: data (windows, guidance's branches, frames), tensor (heads and "
    "widths), context (a video transformer's tokens), fsdp (as data, and the weights), such as data=4,tensor=2 "
    "(default: one device)"
)


def add_mesh(options: Parser) -> None:
    """Adds --mesh."""
    options.add_argument("--mesh", type=mesh_shape, metavar="AXIS=N,...", help=HELP)


def mesh_shape(text: str) -> MeshShape:
    """AXIS=N of one axis or more, each once, those not named being 1."""
    parts = [re.fullmatch(r"(\w+)=(\d+)", part) for part in text.split(",")]
    sizes = {part[1]: int(part[2]) for part in parts if part}
    if len(sizes) != len(parts) or not set(sizes) <= set(AXES) or min(sizes.values()) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no mesh such as data=4,tensor=2: axes are {', '.join(AXES)}, each of 1 or more devices"
        )
    return MeshShape(**{"data": 1} | sizes)


def spread(shape: MeshShape | None, entry: Entry) -> tuple[Mesh | None, dict[str, Callable]]:
    """The mesh, and how weights are laid out on it, as options of `jaxanim.systems.base.load`.

    Raises InputError for more devices than there are, and for a system that spreads its work itself.
    """
    if shape is None:
        return None, {}
    if "devices" in {field.name for field in dataclasses.fields(entry.module.Options)}:
        raise InputError(f"--mesh is of no use to {entry.title}, which spreads frames over --devices; leave it out")
    asked, there = math.prod(dataclasses.astuple(shape)), jax.local_devices()
    if asked > len(there):
        raise InputError(
            f"--mesh asks for {asked} devices, and this machine has {len(there)}: give {len(there)} or fewer"
        )
    mesh = make_mesh(shape, there[:asked])
    return mesh, {"sharding": parameter_sharding(mesh)}

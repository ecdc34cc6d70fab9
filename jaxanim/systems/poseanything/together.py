"""One weights folder out of what the converter makes of the released parts: PoseAnything's shards, Wan2.2's
autoencoder, and prompts embedded once by umT5, which is then never in memory beside the transformer."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from jaxanim.errors import InputError
from jaxanim.models.prompt_file import save_prompts
from jaxanim.models.sentencepiece import load_sentencepiece
from jaxanim.models.shapes import parameter_shapes
from jaxanim.models.t5 import WAN, embed_prompts
from jaxanim.systems.poseanything import SYSTEM
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.tensor_file import read_tensors
from jaxanim.weights import load_weights, read_description, read_network_config, write_weights

PROMPTS = "prompts.safetensors"
"""Embedded prompts in a weights folder without a text encoder."""
# What the converter calls a network that it finds by itself.
CONVERTED = {"transformer": "wan_transformer", "vae": "wan_vae"}


def held_as(folder: str | os.PathLike, network: str) -> str:
    """What a folder calls the transformer or the autoencoder; InputError where it has none."""
    held = read_description(folder)["networks"]
    for name in (network, CONVERTED[network]):
        if name in held:
            return name
    raise InputError(f"weights folder {folder} holds no {network}; it holds {', '.join(held)}")


def load_network(folder: str | os.PathLike, network: str, **options: Any) -> tuple[Any, PyTree]:
    """(config, parameters) of the transformer or the autoencoder in a folder, of the system or converted by
    itself."""
    name = held_as(folder, network)
    return load_weights(folder, networks=(name,), **options)[name]


def put_together(transformer: str | os.PathLike, vae: str | os.PathLike, out: str | os.PathLike) -> None:
    """Writes a folder that the system loads, tensor by tensor as they are stored; it still has no prompts.

    Raises InputError for folders without these networks, or of networks that do not fit each other.
    """
    networks, configs = {}, {}
    for network, folder in (("transformer", transformer), ("vae", vae)):
        name = held_as(folder, network)
        configs[network] = read_network_config(folder, name)
        networks[network] = (configs[network], read_tensors(Path(folder) / f"{name}.safetensors"))
    config = PoseAnythingConfig(**configs)
    config.check()
    settings = {name: getattr(config, name) for name in ("rules", "diffusion", "defaults")}
    write_weights(out, networks, system=SYSTEM.name, settings=settings)


def add_prompts(
    encoder: str | os.PathLike, tokenizer: str | os.PathLike, prompts: Sequence[str], out: str | os.PathLike
) -> None:
    """Embeds prompts, and the empty one, by a converted text encoder and puts them into a folder in place of
    others."""
    config, params = load_weights(encoder, networks=("t5_encoder",), shapes=parameter_shapes)["t5_encoder"]
    wanted = list(dict.fromkeys(["", *prompts]))
    embedded = embed_prompts(params, config, load_sentencepiece(tokenizer), wanted, WAN)
    save_prompts(Path(out) / PROMPTS, dict(zip(wanted, embedded, strict=True)))

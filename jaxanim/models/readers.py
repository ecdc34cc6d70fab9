"""Where reference features are stored and read: the reader blocks of a UNet, and their order."""

from typing import NamedTuple

from jaxtyping import Array, Float

from jaxanim.errors import InputError
from jaxanim.models.unet_config import EncoderConfig, UNetConfig
from jaxanim.nn.attention import Stored

Features = Float[Array, "..."] | tuple[Float[Array, "..."], Float[Array, "..."]]
"""One reader's reference: hidden states [batch, tokens, channels], or keys and values of that shape."""


class Reader(NamedTuple):
    """One transformer block: the name of its UNet block, its place in it, and the width of its norm1."""

    block: str
    index: int
    width: int


def transformer_sites(config: UNetConfig) -> list[Reader]:
    """Every transformer block of the UNet, in the order in which the network runs them."""
    down = zip(config.down_block_types, config.block_out_channels, strict=True)
    up = zip(config.up_block_types, config.block_out_channels[::-1], strict=True)
    sites = [
        Reader(f"down_blocks_{b}", i, width)
        for b, (kind, width) in enumerate(down)
        if kind == "CrossAttnDownBlock2D"
        for i in range(config.layers_per_block)
    ]
    sites.append(Reader("mid_block", 0, config.block_out_channels[-1]))
    return sites + [
        Reader(f"up_blocks_{b}", i, width)
        for b, (kind, width) in enumerate(up)
        if kind == "CrossAttnUpBlock2D"
        for i in range(config.layers_per_block + 1)
    ]


def reader_sites(config: UNetConfig) -> list[Reader]:
    """The blocks that store (in an appearance encoder) or read (in a UNet) reference features, in the order
    of the reference tuple: network order, then a stable sort by descending norm1 width.

    MagicAnimate's ("mid_up") are the mid block and the up blocks. For SD1.5 the widths already fall in that
    order, so it is: mid (1280), up_blocks_1 (3 x 1280), up_blocks_2 (3 x 640), up_blocks_3 (3 x 320). With
    "all" the down blocks sort in between: down_2 (2 x 1280), mid, up_1, down_1 (2 x 640), up_2, down_0
    (2 x 320), up_3. Both networks sort alike, so each block reads what the block at its own place stored.
    """
    sites = transformer_sites(config)
    if config.readers == "mid_up":
        sites = [site for site in sites if not site.block.startswith("down_blocks_")]
    return sorted(sites, key=lambda site: -site.width)


def stored_by_block(
    config: UNetConfig, reference: tuple[Features, ...] | None, reads: tuple[bool, ...] = (True,)
) -> dict[str, tuple[Stored | None, ...]]:
    """For every block of the UNet, what each of its layers is given to read (None: nothing).

    Raises InputError when `reference` has not one feature per reader, of the reader's width.
    """
    stored = no_reference(config)
    for b in range(len(config.up_block_types)):
        stored[f"up_blocks_{b}"] = (None,) * (config.layers_per_block + 1)
    if reference is None:
        return stored
    readers = reader_sites(config)
    widths = tuple((part[0] if isinstance(part, tuple) else part).shape[-1] for part in reference)
    if widths != tuple(site.width for site in readers):
        raise InputError(f"reference has widths {widths}; it should have {tuple(site.width for site in readers)}")
    for site, feature in zip(readers, reference, strict=True):
        layers = list(stored[site.block])
        layers[site.index] = Stored(feature, reads)
        stored[site.block] = tuple(layers)
    return stored


def no_reference(config: EncoderConfig) -> dict[str, tuple[None, ...]]:
    """Nothing to read for every down block and the mid block."""
    stored = {f"down_blocks_{b}": (None,) * config.layers_per_block for b in range(len(config.down_block_types))}
    return stored | {"mid_block": (None,)}

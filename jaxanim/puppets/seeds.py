"""Seed ranges of the three splits, and how one seed becomes many independent random streams."""

import zlib

import numpy as np

from jaxanim.errors import InputError

TRAIN_SEEDS = range(0, 900_000)
VALIDATION_SEEDS = range(900_000, 950_000)
TEST_SEEDS = range(950_000, 2**31)


def stream(seed: int, *names: str) -> np.random.Generator:
    """An independent generator for `seed` and a purpose, e.g. `stream(7, "background")`.

    Raises:
        InputError: `seed` is negative.
    """
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be 0 or more")
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def split_of(seed: int) -> str:
    """The split a seed belongs to: "train", "validation" or "test"."""
    if seed in TRAIN_SEEDS:
        return "train"
    return "validation" if seed in VALIDATION_SEEDS else "test"

"""Batched functions applied a few entries at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.chunks import map_chunks
from jaxanim.errors import InputError


@pytest.mark.parametrize(
    ("entries", "at_once", "sizes"), [(7, 2, 2), (9, 4, 3), (6, 3, 3), (5, 9, 5), (5, 1, 1), (5, None, 5)]
)
def test_chunks_equal_the_whole(entries, at_once, sizes):
    seen = []

    def fn(batch):
        seen.append(batch["x"].shape[0])
        return batch["x"] * 2, batch["y"].sum(axis=1)

    x = jax.random.normal(jax.random.key(0), (entries, 3))
    y = jax.random.normal(jax.random.key(1), (entries, 4, 2))
    doubled, summed = map_chunks(fn, {"x": x, "y": y}, at_once)
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_allclose(summed, y.sum(axis=1), rtol=1e-6)
    assert set(seen) == {sizes}  # never more than at_once, and one size only: one compilation


def test_no_entries_at_once_is_refused():
    with pytest.raises(InputError, match="at_once is 0"):
        map_chunks(lambda x: x, jnp.zeros((3, 1)), 0)

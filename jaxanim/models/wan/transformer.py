"""Wan's video transformer (Wan Team 2025, Sec. 4.2), which predicts the velocity of rectified flow.

Wan2.2-TI2V-5B animates an image by leaving the first latent frame clean: its tokens are told time 0, the others t.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Num, PyTree

from jaxanim.errors import InputError
from jaxanim.mesh import constrain_tokens, even_tokens
from jaxanim.models.wan.block import PartAttention, WanBlock, plain_norm
from jaxanim.models.wan.config import WanConfig
from jaxanim.nn.embedding import TimestepEmbedding, timestep_embedding
from jaxanim.nn.layers import Dense, Module
from jaxanim.nn.rotary import rotary
from jaxanim.nn.rows import same_rows
from jaxanim.nn.stack import run_blocks, stacked_params

Latents = Float[Array, "batch frames height width in_channels"]


class PatchEmbedding(Module):
    """A token of each patch: a convolution as wide as its stride, done as one matrix product."""

    config: WanConfig

    @nn.compact
    def __call__(self, x: Latents) -> Float[Array, "batch frames tokens channels"]:
        c = self.config
        _, rows, columns = c.patch_size
        shape = (*c.patch_size, x.shape[-1], c.width)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, c.param_dtype).astype(c.dtype)
        bias = self.param("bias", nn.initializers.zeros, (c.width,), c.param_dtype).astype(c.dtype)
        patches = rearrange(x, "b f (h p) (w q) c -> b f (h w) (p q c)", p=rows, q=columns).astype(c.dtype)
        return patches @ kernel.reshape(-1, c.width) + bias


class TextProjection(nn.Module):
    """Two linear layers with GELU (tanh) between them."""

    config: WanConfig

    @nn.compact
    def __call__(self, text: Float[Array, "batch tokens text"]) -> Float[Array, "batch tokens channels"]:
        c = self.config
        layers = (Dense(c.width, dtype=c.dtype, param_dtype=c.param_dtype, name=f"linear_{i}") for i in (1, 2))
        first, second = layers
        return second(nn.gelu(first(text), approximate=True))


class ConditionEmbedder(nn.Module):
    """Times to (embedding, six modulations), in float32 whatever the dtype, and the text to tokens."""

    config: WanConfig

    @nn.compact
    def __call__(
        self, t: Num[Array, " times"], text: Float[Array, "batch tokens text"]
    ) -> tuple[
        Float[Array, "times channels"], Float[Array, "times 6 channels"], Float[Array, "batch tokens channels"]
    ]:
        c = self.config
        exact = {"dtype": jnp.float32, "param_dtype": c.param_dtype}
        time = TimestepEmbedding(c.width, **exact, name="time_embedder")(timestep_embedding(t, c.freq_dim))
        modulation = Dense(6 * c.width, **exact, name="time_proj")(nn.silu(time))
        text = TextProjection(c, name="text_embedder")(text.astype(c.dtype))
        return time, rearrange(modulation, "n (six c) -> n six c", six=6), text


class WanTransformer(Module):
    """The velocity at noisy latents.

    Attributes:
      part: what `cross_attn_instance` computes where `parts` are given (`PartAttention`); without them the network
        is plain Wan.
    """

    config: WanConfig
    part: PartAttention | None = None

    @nn.compact
    def __call__(
        self,
        x: Latents,
        t: Num[Array, " batch"],
        text: Float[Array, "rows tokens text"],
        clean: Bool[Array, "#batch frames"] | None = None,
        parts: PyTree = None,
        hand_out: int | None = None,
    ) -> (
        Float[Array, "rows frames height width out"]
        | tuple[
            Float[Array, "rows frames height width out"],
            tuple[Float[Array, "rows first heads head_dim"], Float[Array, "rows all heads head_dim"]],
        ]
    ):
        """The velocity, and what is asked for of one block.

        Args:
          x: latents, with whatever is concatenated to them on the channels.
          t: time in [0, 1000].
          text: embedding, zero beyond the prompt's end. Its rows may be several times x's (`jaxanim.nn.rows`).
          clean: latent frames whose tokens are told time 0.
          parts: for every block's `part`; without them no block runs it.
          hand_out: the number of a block, from 0, whose self-attention is looked at: the result is then
            (velocity, (q, k)) with the queries of the first latent frame's tokens [rows, tokens of a frame, heads,
            head_dim] and all keys [rows, tokens, heads, head_dim], after norms and rotary embedding.

        Raises InputError where sizes do not fit the config or each other.
        """
        c = self.config
        grid = _grid(c, x)
        if parts is not None and (self.part is None or not c.part_attention):
            raise InputError("parts are given to a transformer without part_attention, or without a part")
        if hand_out is not None and not 0 <= hand_out < c.num_layers:
            raise InputError(f"hand_out is {hand_out}: the network has blocks 0 to {c.num_layers - 1}")

        times = t if clean is None else jnp.concatenate([t, jnp.zeros((1,), t.dtype)])
        time, modulation, text = ConditionEmbedder(c, name="condition_embedder")(times, text)
        # [batch, frames or 1, ...]: the two times' modulations are computed once and chosen from
        time, modulation = _of_frames(time, clean), _of_frames(modulation, clean)
        h = PatchEmbedding(c, name="patch_embedding")(x)
        h, time, modulation, text = same_rows(h, time, modulation, text)
        h = constrain_tokens(even_tokens(h))

        table = rotary(grid, c.rotary_channels)
        block = WanBlock(c, self.part, grid, parent=None)
        params = stacked_params(self, "blocks", block, c.num_layers, h, modulation, text, table)

        def apply(params: PyTree, state: tuple) -> tuple:
            h, index, taken = state
            h, (q, k) = block.apply({"params": params}, h, modulation, text, table, parts)
            if taken is not None:
                new = q[:, : grid[1] * grid[2]], k
                taken = jax.tree.map(lambda new, old: jnp.where(index == hand_out, new, old), new, taken)
            return h, index + 1, taken

        taken = None
        if hand_out is not None:
            empty = jnp.zeros((h.shape[0], math.prod(grid), c.num_attention_heads, c.attention_head_dim))
            empty = empty.astype(c.dtype)
            taken = empty[:, : grid[1] * grid[2]], empty
        (h, _, taken), _ = run_blocks(apply, params, (h, jnp.int32(0), taken), remat=c.remat)

        own = self.param("scale_shift_table", nn.initializers.normal(c.width**-0.5), (1, 2, c.width), c.param_dtype)
        shift, scale = jnp.split(own.astype(jnp.float32)[:, None] + time[:, :, None], 2, axis=2)
        h = h[:, :, : grid[1] * grid[2]]
        h = (plain_norm(c, "norm_out")(h) * (1 + scale) + shift).astype(c.dtype)
        features = c.out_channels * c.patch_size[1] * c.patch_size[2]
        h = Dense(features, dtype=c.dtype, param_dtype=c.param_dtype, name="proj_out")(h)
        _, rows, columns = c.patch_size
        velocity = rearrange(h, "b f (h w) (p q c) -> b f (h p) (w q) c", h=grid[1], p=rows, q=columns)
        return velocity if hand_out is None else (velocity, taken)


def _grid(c: WanConfig, x: Latents) -> tuple[int, int, int]:
    """Tokens along frames, height and width; InputError where they do not come out even."""
    _, frames, height, width, channels = x.shape
    _, rows, columns = c.patch_size
    if channels != c.in_channels:
        raise InputError(f"x has {channels} channels; the transformer takes {c.in_channels}")
    if height % rows or width % columns:
        raise InputError(
            f"latents are {width}x{height} (width x height); they should divide into patches of {columns}x{rows}"
        )
    return frames, height // rows, width // columns


def _of_frames(
    values: Float[Array, "times *rest"], clean: Bool[Array, "#batch frames"] | None
) -> Float[Array, "batch #frames *rest"]:
    """Each frame's own of the values at t, one for each entry, and at time 0, the last."""
    if clean is None:
        return values[:, None]
    at_t, at_zero = values[:-1, None], values[-1:, None]
    return jnp.where(clean.reshape(*clean.shape, *(1,) * (values.ndim - 1)), at_zero, at_t)

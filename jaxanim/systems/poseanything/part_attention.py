"""Part-aware cross-attention (PoseAnything, Eq. 9): later frames' tokens of a part attend to the first frame's of
it.

Two forms. The paper computes it "exclusively among matched parts": one attention call whose segment ids are the
parts, equal to the sum over parts. The released code multiplies the inputs by masks in front of biased projections,
attends densely, and sums over parts, so that tokens outside a part are given something too; released weights are
trained so.
"""

from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxanim.attention.contract import attention

Heads = Float[Array, "rows tokens heads head_dim"]
Tokens = Float[Array, "rows tokens channels"]


@runtime_checkable
class Layer(Protocol):
    """The projections W_q, W_k, W_v of Eq. 9 with their norms, and that back from the heads."""

    def query(self, x: Tokens) -> Heads: ...
    def key(self, x: Tokens) -> Heads: ...
    def value(self, x: Tokens) -> Heads: ...
    def output(self, o: Heads) -> Tokens: ...


def exclusive(
    layer: Layer,
    x: Float[Array, "rows tokens channels"],
    parts: Int[Array, "#rows frames height width"],
    grid: tuple[int, int, int],
    *,
    kernel: str = "auto",
) -> Float[Array, "rows tokens channels"]:
    """sum_j Cross-Atten(Q_j, K_j, V_j) of Eq. 9 as the paper has it, in one call.

    Q_j comes from the tokens of part j in later frames, K_j and V_j from those in the first. A token that is of no
    part, or of the first frame, is given nothing.

    Args:
      x: all frames' tokens, the first frame's in front.
      parts: of each token, negative for none; a later frame's token has a part only if the first frame has it too.
      grid: (frames, height, width) of the tokens.
    """
    first = grid[1] * grid[2]
    of = jnp.broadcast_to(parts.reshape(parts.shape[0], -1), x.shape[:2])
    later = of[:, first:]
    out = attention(
        layer.query(x[:, first:]),
        layer.key(x[:, :first]),
        layer.value(x[:, :first]),
        q_segment_ids=jnp.where(later < 0, -1, later),
        kv_segment_ids=jnp.where(of[:, :first] < 0, -2, of[:, :first]),
        kernel=kernel,
    )
    # The projection's bias belongs to tokens that attended to something.
    given = jnp.where((later >= 0)[..., None], layer.output(out), 0)
    return jnp.concatenate([jnp.zeros_like(x[:, :first]), given], axis=1)


def released(
    layer: Layer,
    x: Float[Array, "rows tokens channels"],
    parts: Bool[Array, "#rows parts frames height width"],
    grid: tuple[int, int, int],
    *,
    kernel: str = "auto",
) -> Float[Array, "rows tokens channels"]:
    """Eq. 9 as the released code computes it: inputs times masks, biased projections, attention of all later tokens
    to all of the first frame's, summed over parts, which may overlap. The first frame is given nothing, and a part
    that it has not, which is there to fill up a batch, adds nothing.

    Args:
      parts: m_ij on the tokens.
    """
    first = grid[1] * grid[2]
    masks = jnp.broadcast_to(parts.reshape(*parts.shape[:2], -1), (x.shape[0], parts.shape[1], x.shape[1]))

    def one(total, mask):
        masked = x * mask[..., None].astype(x.dtype)
        q, x0 = layer.query(masked[:, first:]), masked[:, :first]
        out = layer.output(attention(q, layer.key(x0), layer.value(x0), kernel=kernel))
        return total + jnp.where(mask[:, :first].any(1)[:, None, None], out, 0), None

    given, _ = jax.lax.scan(one, jnp.zeros_like(x[:, first:]), masks.swapaxes(0, 1))
    return jnp.concatenate([jnp.zeros_like(x[:, :first]), given], axis=1)


FORMS = {"exclusive": exclusive, "released": released}

"""What a kernel is: one way to compute softmax(Q K^T) V, and an honest list of what it can do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
from jaxtyping import Array, Float, Int

Shaped = Array | jax.ShapeDtypeStruct
FEATURES = ("bias", "segment_ids", "kv_lengths", "return_lse")


@dataclass(frozen=True)
class Request:
    """One attention call: the arguments of `jaxanim.attention.attention` with `scale` already a number.

    `backend` ("cpu", "gpu", "tpu") is where it will run. Where only shapes and dtypes are looked at
    (`Kernel.objection`), the arrays may be `jax.ShapeDtypeStruct`s.
    """

    q: Float[Shaped, "batch q_tokens heads head_dim"]
    k: Float[Shaped, "batch kv_tokens heads head_dim"]
    v: Float[Shaped, "batch kv_tokens heads head_dim"]
    scale: float
    backend: str = "cpu"
    bias: Float[Shaped, "#batch #heads #q_tokens #kv_tokens"] | None = None
    q_segment_ids: Int[Shaped, "batch q_tokens"] | None = None
    kv_segment_ids: Int[Shaped, "batch kv_tokens"] | None = None
    kv_lengths: Int[Shaped, " batch"] | None = None
    return_lse: bool = False

    @property
    def features(self) -> frozenset[str]:
        """Which of FEATURES this call uses."""
        used = {
            "bias": self.bias is not None,
            "segment_ids": self.q_segment_ids is not None,
            "kv_lengths": self.kv_lengths is not None,
            "return_lse": self.return_lse,
        }
        return frozenset(name for name in FEATURES if used[name])

    @property
    def q_tokens(self) -> int:
        return self.q.shape[1]

    @property
    def kv_tokens(self) -> int:
        return self.k.shape[1]

    @property
    def scores(self) -> int:
        """How many attention scores the call has: batch * heads * q_tokens * kv_tokens."""
        batch, q_tokens, heads, _ = self.q.shape
        return math.prod((batch, heads, q_tokens, self.kv_tokens))


@dataclass(frozen=True)
class Kernel:
    """`run(request)` returns (out, lse), lse None unless the request asks for it.

    `supports` lists the FEATURES it has. `limits(request)` is one clause that says which argument it cannot
    take, the value it had and what would be right, or None. `cuts_itself`: it is plain array operations, which the
    compiler cuts over devices; the others run in `jax.shard_map` (`jaxanim.attention.sharded`).
    """

    name: str
    run: Callable[[Request], tuple[Array, Array | None]]
    supports: frozenset[str]
    limits: Callable[[Request], str | None] = lambda request: None
    cuts_itself: bool = False

    def objection(self, request: Request) -> str | None:
        """Why this kernel cannot do the request, or None if it can."""
        missing = [name for name in FEATURES if name in request.features - self.supports]
        if missing:
            can = ", ".join(name for name in FEATURES if name in self.supports) or "none of these"
            return f"it has no {' and no '.join(missing)} (it has: {can})"
        return self.limits(request)

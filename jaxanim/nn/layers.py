"""Linen's layers, quicker to trace and, where it matters, to compute; parameters are as theirs."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.errors import ScopeParamShapeError
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.mesh import constrain_batch, current_mesh
from jaxanim.nn.matmul import matmul


class Module(nn.Module):
    """A module that compares the shape of a parameter it is given with the one it asks for.

    Linen traces the parameter's initialiser to know that shape, each time the module is applied.
    """

    def param(self, name: str, init_fn: Any, shape: Sequence[int], *args: Any, **options: Any) -> Any:
        """`nn.Module.param` for an initialiser whose first argument is the shape.

        Raises ScopeParamShapeError if the parameter given has another one, as Linen does.
        """
        if not self.has_variable("params", name):
            return super().param(name, init_fn, shape, *args, **options)
        value = self.get_variable("params", name)
        if jnp.shape(value) != tuple(shape):
            raise ScopeParamShapeError(name, self.scope.path_text, jnp.shape(value), tuple(shape))
        return value


# Linen's type for `promote_dtype` cannot be checked while a program runs, which the tests do with every type here.
class Conv(Module, nn.Conv):
    """`nn.Conv`; over devices its input's channels are whole.

    XLA's partitioner (jaxlib 0.10) gets the input's gradient wrong where kernel and input are cut along the same
    channels and a picture has fewer than four rows and columns.
    """

    promote_dtype: Any = nn.dtypes.promote_dtype

    def __call__(self, x: Float[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        return super().__call__(constrain_batch(jnp.asarray(x), frames=x.ndim - 2 > len(self.kernel_size)))


class Embed(Module, nn.Embed):
    """`nn.Embed`."""

    promote_dtype: Any = nn.dtypes.promote_dtype


class LayerNorm(Module, nn.LayerNorm):
    """`nn.LayerNorm`."""


class RMSNorm(Module, nn.RMSNorm):
    """`nn.RMSNorm`."""


class Dense(Module):
    """Linear layer over the last axis, on one device computed on [tokens, channels].

    Over several batch axes XLA's CPU backend transposes the activations to form the kernel's gradient; over one
    it is a plain matrix product (a feed-forward layer's gradients take 12 ms instead of 19 on two cores).
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch features"]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), self.param_dtype)
        # Over devices the axes stay apart: what both are cut cannot be one axis that is cut.
        tokens = (x if current_mesh() else x.reshape(-1, x.shape[-1])).astype(self.dtype)
        y = matmul(tokens, kernel.astype(self.dtype))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype).astype(self.dtype)
        return y.reshape(*x.shape[:-1], self.features)

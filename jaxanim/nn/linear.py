"""A linear layer that flattens its batch axes."""

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxanim.nn.matmul import matmul


class Dense(nn.Module):
    """Linear layer over the last axis, computed on [tokens, channels]; parameters as nn.Dense's.

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
        tokens = x.reshape(-1, x.shape[-1]).astype(self.dtype)
        y = matmul(tokens, kernel.astype(self.dtype))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype).astype(self.dtype)
        return y.reshape(*x.shape[:-1], self.features)

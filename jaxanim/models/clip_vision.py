"""CLIP's image encoder (Radford et al. 2021): transformers' CLIPVisionModelWithProjection."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from flax import linen as nn
from jaxtyping import Array, Float

from jaxanim.errors import InputError
from jaxanim.mesh import constrain_batch
from jaxanim.models.clip_encoder import CLIPEncoderConfig, CLIPLayer, Encoder, embedding_init
from jaxanim.models.network import Network, example
from jaxanim.nn.layers import Conv
from jaxanim.stored import register_config

# Of CLIP's training images, in [0, 1].
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


@register_config
@dataclass(frozen=True, kw_only=True)
class CLIPVisionConfig(CLIPEncoderConfig):
    """Sizes of the image encoder; the defaults are those of ViT-L/14 at 224 pixels."""

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    projection_dim: int = 768
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 14

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        return Network(CLIPVision(self), (example(1, self.image_size, self.image_size, self.num_channels),))


class VisionEmbeddings(CLIPLayer):
    """A class token before the patches, row by row, plus position embeddings."""

    @nn.compact
    def __call__(self, pixels: Float[Array, "batch height width 3"]) -> Float[Array, "batch tokens dim"]:
        c = self.config
        patch = (c.patch_size, c.patch_size)
        patches = Conv(
            c.hidden_size,
            patch,
            strides=patch,
            padding="VALID",
            use_bias=False,
            name="patch_embedding",
            **self.dtypes,
        )(pixels)
        class_token = self.param("class_embedding", embedding_init, (c.hidden_size,), c.param_dtype)
        x = jnp.concatenate(
            [
                repeat(class_token.astype(c.dtype), "dim -> batch 1 dim", batch=pixels.shape[0]),
                rearrange(patches, "batch h w dim -> batch (h w) dim"),
            ],
            axis=1,
        )
        return x + self.positions(x.shape[1], x.shape[1])


class VisionModel(CLIPLayer):
    """Embeddings, transformer, and the norm of the class token."""

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "batch height width 3"]
    ) -> tuple[Float[Array, "batch tokens dim"], Float[Array, "batch dim"]]:
        x = self.norm("pre_layrnorm")(VisionEmbeddings(self.config, name="embeddings")(pixels))
        x = Encoder(self.config, name="encoder")(x)
        return x, self.norm("post_layernorm")(x[:, 0])


class CLIPVision(CLIPLayer):
    """(last hidden state [batch, 1 + patches, hidden_size], pooled [batch, hidden_size], image embedding
    [batch, projection_dim]) of normalised images (see `normalise`).

    The pooled state is the class token's, after the last norm; the embedding is its projection into the space
    that CLIP shares with text. Raises InputError for images of another size than the config's.
    """

    @nn.compact
    def __call__(
        self, pixels: Float[Array, "batch height width 3"]
    ) -> tuple[Float[Array, "batch tokens dim"], Float[Array, "batch dim"], Float[Array, "batch projection_dim"]]:
        size = self.config.image_size
        if pixels.shape[1:3] != (size, size):
            height, width = pixels.shape[1:3]
            raise InputError(f"pixels are {width}x{height} (width x height): this encoder takes {size}x{size}")
        hidden, pooled = VisionModel(self.config, name="vision_model")(pixels)
        embedding = self.dense(self.config.projection_dim, "visual_projection", use_bias=False)(pooled)
        # Left to choose, the compiler may lay out the gradient that comes back here with its rows in another order.
        return hidden, pooled, constrain_batch(embedding)


def normalise(
    pixels: Float[Array, "batch height width 3"], image_size: int = 224
) -> Float[Array, "batch {image_size} {image_size} 3"]:
    """What CLIP is given for pixels in [-1, 1]: the shorter side resized to `image_size` (cubic,
    antialiased), the middle square cut out, and each channel brought to CLIP's mean and deviation."""
    batch, height, width, channels = pixels.shape
    scale = image_size / min(height, width)
    shape = (batch, max(image_size, int(height * scale)), max(image_size, int(width * scale)), channels)
    resized = jnp.clip(jax.image.resize(pixels, shape, "cubic", antialias=True), -1.0, 1.0)
    top, left = (shape[1] - image_size) // 2, (shape[2] - image_size) // 2
    square = resized[:, top : top + image_size, left : left + image_size]
    return (square * 0.5 + 0.5 - jnp.array(IMAGE_MEAN)) / jnp.array(IMAGE_STD)

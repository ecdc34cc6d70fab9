"""DirectAnimator's transformer: CogVideoX 1.5 whose blocks are driven by cue latents and their masks."""

import dataclasses
from typing import Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from einops import reduce
from jaxtyping import Array, Float, Num

from jaxanim.models.cogvideox.config import COGVIDEOX_1_5_5B_I2V, CogVideoXConfig
from jaxanim.models.cogvideox.patches import Latents, to_patches
from jaxanim.models.cogvideox.transformer import CogVideoXTransformer, Predicted
from jaxanim.models.network import Network, example
from jaxanim.nn.layers import Dense
from jaxanim.stored import register_config
from jaxanim.systems.directanimator.fusion import CueCrossAttention, CueFusion

FUSE = {"cuefusion": CueFusion, "cross_attention": CueCrossAttention}


@register_config
@dataclasses.dataclass(frozen=True)
class CueTransformerConfig:
    """The transformer and how cues enter it.

    Attributes:
      injection: "cuefusion" (the paper's, CF in Table 5), "concatenation" (DC: beside the noisy latents) or
        "cross_attention" (CA).
      cue_channels: of each cue: the latent's 16, and 1 for its mask.
    """

    transformer: CogVideoXConfig = COGVIDEOX_1_5_5B_I2V
    injection: Literal["cuefusion", "concatenation", "cross_attention"] = "cuefusion"
    cue_channels: int = 17

    def network(self, role: str) -> Network:
        """See `jaxanim.models.network.NetworkConfig`."""
        c = self.transformer
        inputs = example(1, *c.patch, c.in_channels), example(1, 1, c.text_embed_dim), example(1)
        cue = example(1, *c.patch, self.cue_channels)
        return Network(CueTransformer(self), (*inputs, CueLatents(cue, cue)))


class CueLatents(NamedTuple):
    """Pose and face cue latents, each with its mask as a last channel, on the video's latent grid."""

    pose: Latents
    face: Latents


def with_mask(
    latents: Latents, mask: Float[Array, "batch video_frames rows columns"]
) -> Float[Array, "b f h w channels"]:
    """Cue latents with the mask's mean over each latent cell as a channel more.

    The first latent frame is the first frame, and every other one four frames: a mask at pixels becomes 8 x 8 x 4
    means, one number a cell, which the paper leaves open.
    """
    frames, height, width = latents.shape[1:4]
    first, rest = mask[:, :1], mask[:, 1:]
    cell = {"p": mask.shape[2] // height, "q": mask.shape[3] // width}
    parts = [reduce(first, "b f (h p) (w q) -> b f h w", "mean", **cell)]
    if frames > 1:
        times = rest.shape[1] // (frames - 1)
        parts.append(reduce(rest, "b (f t) (h p) (w q) -> b f h w", "mean", t=times, **cell))
    return jnp.concatenate([latents, jnp.concatenate(parts, axis=1)[..., None].astype(latents.dtype)], axis=-1)


def in_front(latents: Latents, extra: int) -> Float[Array, "b f h w channels"]:
    """`extra` copies of the first latent frame before it, as the transformer takes an odd number of them."""
    return jnp.concatenate([jnp.repeat(latents[:, :1], extra, axis=1), latents], axis=1)


class CueTransformer(nn.Module):
    """`CogVideoXTransformer` (its parameters under "transformer") with cues; calls and returns as that does."""

    config: CueTransformerConfig

    @nn.compact
    def __call__(
        self,
        x: Latents,
        text: Float[Array, "batch text_tokens text_channels"],
        t: Num[Array, " batch"],
        cues: CueLatents,
        keep: int | None = None,
        stop: int | None = None,
    ) -> Predicted:
        c = self.config.transformer
        concatenated = self.config.injection == "concatenation"
        # Channels beside the noisy latents' would begin at zero too, so that the base model comes first.
        init = nn.initializers.zeros if concatenated else nn.initializers.lecun_normal()
        tokens = tuple(
            Dense(c.width, kernel_init=init, name=name, dtype=c.dtype, param_dtype=c.param_dtype)(
                to_patches(cue, c.patch)
            )
            for name, cue in (("pose_embed", cues.pose), ("face_embed", cues.face))
        )
        if concatenated:
            model = CogVideoXTransformer(c, name="transformer")
            return model(x, text, t, keep=keep, stop=stop, added=sum(tokens))
        model = CogVideoXTransformer(c, FUSE[self.config.injection](c, parent=None), name="transformer")
        return model(x, text, t, tokens, keep=keep, stop=stop)

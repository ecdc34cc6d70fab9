"""CogVideoX 1.5's transformer: diffusers' CogVideoXTransformer3DModel with temporal patches."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PyTree

from jaxanim.errors import InputError
from jaxanim.mesh import constrain_tokens, context_ways, even_tokens
from jaxanim.models.cogvideox.block import CogVideoXBlock, CogVideoXLayer, Embedding, Text, Video
from jaxanim.models.cogvideox.patches import Latents, from_patches, to_patches, token_grid
from jaxanim.nn.embedding import TimestepEmbedding, timestep_embedding
from jaxanim.nn.rotary import rotary
from jaxanim.nn.stack import run_blocks, stacked_params

# What the released pipeline gives as "ofs".
OFS = 2.0


class Predicted(NamedTuple):
    """What the transformer returns.

    Attributes:
      sample: the prediction [batch, frames, height, width, out_channels]; None where it stopped before the end.
      hidden: the video's tokens [batch, tokens, channels] after the block asked for; None where none was.
    """

    sample: Latents | None
    hidden: Video | None


class PatchEmbed(CogVideoXLayer):
    """Projections of latent patches and of text embeddings to tokens."""

    @nn.compact
    def __call__(self, x: Latents, text: Float[Array, "batch text_tokens text_channels"]) -> tuple[Video, Text]:
        patches = to_patches(x, self.config.patch)
        return self.dense(self.config.width, "proj")(patches), self.dense(self.config.width, "text_proj")(text)


class AdaLayerNorm(CogVideoXLayer):
    """Norm, scale and shift by the time embedding."""

    @nn.compact
    def __call__(self, x: Video, time: Embedding) -> Video:
        shift, scale = jnp.split(self.dense(2 * self.config.width, "linear")(nn.silu(time))[:, None], 2, axis=-1)
        return self.norm("norm")(x) * (1 + scale) + shift


class CogVideoXTransformer(CogVideoXLayer):
    """The prediction at noisy latents x, for text and timestep t.

    Args of a call:
      x: [batch, frames, height, width, in_channels]; for an image model the noisy latents, then the image's.
      text: [batch, text_tokens, text_embed_dim].
      t: timesteps [batch].
      added: added to the video's tokens before the first block.
      cues: what `fuse` reads and hands on from block to block, any tree.
      keep: hand out the video's tokens after this block, counted from 1.
      stop: run no block after this one: there is no prediction then.

    Attributes:
      fuse: a module (unbound) that is applied before each block: (video tokens, cues, time embedding) -> (tokens,
        cues). Its parameters are "fusion_blocks", stacked as "transformer_blocks" are; None: there are none. Its
        `along_tokens`, if it has that, says whether the cues' tokens are the video's, one for one.
    """

    fuse: nn.Module | None = None

    @nn.compact
    def __call__(
        self,
        x: Latents,
        text: Float[Array, "batch text_tokens text_channels"],
        t: Num[Array, " batch"],
        cues: PyTree = None,
        keep: int | None = None,
        stop: int | None = None,
        added: Video | None = None,
    ) -> Predicted:
        c = self.config
        if x.shape[-1] != c.in_channels:
            raise InputError(f"latents have {x.shape[-1]} channels: this model takes {c.in_channels}")
        grid = token_grid(x, c.patch)
        time = self._time(t)
        video, text = PatchEmbed(c, name="patch_embed")(x, text)
        if added is not None:
            video = video + added
        tokens = video.shape[1]
        video = constrain_tokens(even_tokens(video))
        if context_ways() > 1 and getattr(self.fuse, "along_tokens", False):
            cues = jax.tree.map(lambda cue: constrain_tokens(even_tokens(cue)), cues)
        positions = rotary(grid, c.rotary_channels)
        block = CogVideoXBlock(c, parent=None)
        params: Any = stacked_params(self, "transformer_blocks", block, c.num_layers, video, text, time, positions)
        if self.fuse is not None:
            params = params, stacked_params(self, "fusion_blocks", self.fuse, c.num_layers, video, cues, time)

        def apply(params, state):
            video, text, cues = state
            if self.fuse is not None:
                params, fusion = params
                video, cues = self.fuse.apply({"params": fusion}, video, cues, time)
            return *block.apply({"params": params}, video, text, time, positions), cues

        state, kept = run_blocks(apply, params, (video, text, cues), remat=c.remat, keep=keep, stop=stop)
        hidden = None if kept is None else kept[0][:, :tokens]
        if stop is not None:
            return Predicted(None, hidden)
        video = self.norm("norm_final")(state[0][:, :tokens])
        video = AdaLayerNorm(c, name="norm_out")(video, time)
        video = self.dense(c.patch_size_t * c.patch_size**2 * c.out_channels, "proj_out")(video)
        return Predicted(from_patches(video, grid, c.patch), hidden)

    def _time(self, t: Num[Array, " batch"]) -> Embedding:
        """Embedding of the timestep and of the constant "ofs", in float32 until it is embedded."""
        c = self.config
        time = TimestepEmbedding(c.time_embed_dim, **self.dtypes, name="time_embedding")(
            timestep_embedding(t, c.width)
        )
        if c.ofs_embed_dim is None:
            return time
        ofs = timestep_embedding(jnp.full((1,), OFS), c.ofs_embed_dim)
        return time + TimestepEmbedding(c.ofs_embed_dim, **self.dtypes, name="ofs_embedding")(ofs)

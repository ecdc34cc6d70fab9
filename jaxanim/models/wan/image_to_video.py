"""Wan2.2's way from an image to a video: the first latent frame is the image's own, at every step, at time 0."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Num, PyTree

from jaxanim.diffusion.flow import Flow
from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.process import Walk
from jaxanim.diffusion.sample import Solver, sample
from jaxanim.diffusion.unipc import UniPC
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.transformer import WanTransformer

Latents = Float[Array, "batch frames height width channels"]
FirstFrame = Float[Array, "batch 1 height width channels"]
Text = Float[Array, "batch tokens text"]


def with_first(x: Latents, first: FirstFrame) -> Latents:
    """x with this first frame."""
    return jnp.concatenate([first.astype(x.dtype), x[:, 1:]], axis=1)


def velocity(
    config: WanConfig, params: PyTree, x: Latents, t: Num[Array, ""], text: Float[Array, "rows tokens text"]
) -> Float[Array, "rows frames height width out"]:
    """The network's output where the first latent frame is clean and the others are at time t."""
    clean = (jnp.arange(x.shape[1]) == 0)[None]
    times = jnp.full((x.shape[0],), t, jnp.float32)
    return WanTransformer(config).apply({"params": params}, x, times, text, clean=clean)


def sample_latents(
    config: WanConfig,
    params: PyTree,
    first: FirstFrame,
    noise: Latents,
    text: Text,
    negative: Text,
    *,
    steps: int = 50,
    guidance: float = 5.0,
    process: Flow = Flow(rule="diffusers"),
    solver: Solver = UniPC(),
    in_turn: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> Latents:
    """Latents of a video that begins with the image.

    Args:
      first: the image's latent (`jaxanim.models.wan.video.to_latents` of one frame).
      noise: standard normal; its first frame is not used.
      text, negative: embeddings of what to show and what not, as long as each other.
      guidance: scale (`jaxanim.diffusion.guidance.guided`).
      in_turn: the two texts one after the other rather than as one batch, for half the memory.
      report: see `jaxanim.diffusion.sample.sample`.
    """
    denoise = Partial(_Denoise(config, guidance, in_turn), params, text, negative)
    return sample(
        denoise, process, with_first(noise, first), steps=steps, solver=solver,
        between=Partial(_keep_first, first), report=report,
    )  # fmt: skip


@dataclass(frozen=True)
class _Denoise:
    """The guided velocity at a step; equal values are one compiled program."""

    config: WanConfig
    guidance: float
    in_turn: bool

    def __call__(self, params: PyTree, text: Text, negative: Text, x: Latents, step: Walk) -> Latents:
        def predict(texts: tuple[Text, ...]) -> Float[Array, "rows frames height width out"]:
            return velocity(self.config, params, x, step.t, jnp.concatenate(texts))

        if self.guidance == 1:
            return predict((text,))
        return guided(predict, negative, text, self.guidance, in_turn=self.in_turn)


def _keep_first(first: FirstFrame, x: Latents, step: Walk) -> Latents:
    return with_first(x, first)

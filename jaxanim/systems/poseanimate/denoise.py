"""PoseAnimate's two calls of the UNet: each frame by itself, to invert and optimise; all together, to sample."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from jaxanim.attention.patterns import Patterns
from jaxanim.diffusion.guidance import guided
from jaxanim.models.unet import UNet
from jaxanim.systems.conditions import pose_residuals
from jaxanim.systems.poseanimate.dcam import word_map
from jaxanim.systems.poseanimate.masks import subject_map
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig


@dataclasses.dataclass(frozen=True)
class Predict:
    """`pacm.Predict` of frames that do not see each other, with the subject's maps."""

    config: StableDiffusionConfig
    remat: str = "none"

    def __call__(self, networks, words, x, t, text, pose):
        config, predict = self.config, _predict
        if self.remat == "blocks":
            own = {name: dataclasses.replace(getattr(config, name), remat=True) for name in networks}
            config = dataclasses.replace(config, **own)
        if self.remat == "products":
            predict = jax.checkpoint(_predict, static_argnums=0, policy=_products)
        return predict(config, networks, words, x, t, text, pose)


def _predict(config, networks, words, x, t, text, pose):
    ts = jnp.broadcast_to(t, (len(x),))
    down, mid = pose_residuals(networks, config, x, ts, text, pose)
    out, taken = UNet(config.unet).apply(
        {"params": networks["unet"]}, x, ts, text, down_residuals=down, mid_residual=mid,
        patterns=Patterns(cross_attention=Partial(word_map, words)), hand_out=True,
    )  # fmt: skip
    return out, subject_map(taken)[:, 0]


def _products(primitive, *args, **params) -> bool:
    """Whether `jax.checkpoint` keeps a result: of convolutions and of products with parameters, attention's not."""
    products = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return primitive.name == "conv_general_dilated" or products(primitive, *args, **params)


@dataclasses.dataclass(frozen=True)
class Denoise:
    """The guided estimate of all frames, each with its own embedding; hashable, so that equal calls share one
    compiled program."""

    config: StableDiffusionConfig
    enters: str
    in_turn: bool

    def __call__(self, networks, patterns, embeddings, constant, pose, scale, x, step):
        own = embeddings[step.index]
        other = jnp.broadcast_to(constant, own.shape)

        def estimates(texts):
            text, ts = jnp.stack(texts), step.t[None]
            down, mid = pose_residuals(networks, self.config, x, ts, text, pose[None])
            return UNet(self.config.unet).apply(
                {"params": networks["unet"]}, x, ts, text, down_residuals=down, mid_residual=mid, patterns=patterns
            )

        pair = (own, other) if self.enters == "unconditional" else (other, own)
        return guided(estimates, *pair, scale, in_turn=self.in_turn)

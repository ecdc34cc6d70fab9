"""MagicAnimate as `jaxanim.training.finishing` takes it: frame by frame, without the temporal layers."""

import dataclasses
import os
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.cues.densepose import colour_parts
from jaxanim.diffusion.guidance import guided
from jaxanim.diffusion.sample import sample
from jaxanim.models.tokenizer import Tokenizer
from jaxanim.models.unet_config import image_form
from jaxanim.models.vae import VAEConfig
from jaxanim.systems.conditions import embed_pose, per_entry, prepare
from jaxanim.systems.magicanimate.animate import animate
from jaxanim.systems.magicanimate.config import MagicAnimateConfig
from jaxanim.systems.magicanimate.denoise import predict, read_reference
from jaxanim.systems.magicanimate.system import read, save
from jaxanim.systems.sheet import puppet_sheet
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place


@dataclasses.dataclass(frozen=True)
class MagicAnimateWeights:
    """A folder of MagicAnimate weights, to be finished."""

    folder: str

    def open(self) -> "OpenedWeights":
        """Reads them; raises InputError for anything else than whole weights."""
        return OpenedWeights(*read(self.folder, mapped=True))


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedWeights:
    """See `jaxanim.training.finishing.weights.Weights`."""

    whole: MagicAnimateConfig
    params: PyTree
    tokenizer: Tokenizer
    labels: tuple[str, ...] = ("parts",)
    generator: tuple[str, ...] = (
        r"^(appearance_encoder|image_encoder|controlnet)/",
        r"^unet/(?!.*motion_modules)",
    )

    @property
    def config(self) -> MagicAnimateConfig:
        """The sizes without the temporal layers."""
        return dataclasses.replace(self.whole, unet=image_form(self.whole.unet))

    @property
    def vae(self) -> VAEConfig:
        """Sizes of the autoencoder."""
        return self.whole.vae

    @property
    def settings(self) -> tuple:
        """The noise schedule, and the steps and the guidance that the weights ask for."""
        return self.whole.diffusion, self.whole.defaults

    @property
    def guided(self) -> bool:
        """Whether samples are guided."""
        return self.whole.defaults.guidance != 1

    def init(self, place: Place | None = None) -> PyTree:
        """All parameters, and the embedded empty prompt."""
        return prepare(placed(self.params, place), self.whole, self.tokenizer)

    def sample_latents(
        self,
        params: PyTree,
        reference: Float[Array, "batch h w channels"],
        labels: Mapping[str, Array],
        key: jax.Array,
    ) -> Float[Array, "batch frames h w channels"]:
        """Single frames, driven by "parts", DensePose part ids [batch, frames, height, width]."""
        config, parts, defaults = self.config, labels["parts"], self.whole.defaults
        reference = jnp.asarray(reference, jnp.float32)
        count, frames = parts.shape[:2]
        pose = embed_pose(params, config, colour_parts(parts))
        text = per_entry(params["empty_prompt"], count)

        def denoise(x, step):
            ts = jnp.broadcast_to(step.t, (count,))
            read = read_reference(params, config, reference, ts, text)
            if not self.guided:
                return predict(params, config, x, ts, *read, pose)

            def estimate(conditions):
                each = [predict(params, config, x, ts, *condition, pose) for condition in conditions]
                return jnp.concatenate(each)

            return guided(estimate, (text, None), read, defaults.guidance)

        noise = jax.random.normal(key, (count, frames, *reference.shape[1:]))
        return sample(denoise, config.diffusion, noise, steps=defaults.steps, unroll=True)

    def sheet(self, params: PyTree, size: tuple[int, int], key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation puppets, see `puppet_sheet`."""

        def run(reference, motion):
            return animate(params, self.config, reference, motion, key=key, sampling=self.whole.defaults)

        return puppet_sheet(run, lambda clip: clip.densepose, size)

    def save(self, params: PyTree, vae: VAEConfig, folder: str | os.PathLike) -> None:
        """Weights that `jaxanim.systems.load` reads, with the temporal layers that there were."""
        save(params, dataclasses.replace(self.whole, vae=vae), self.tokenizer, folder)

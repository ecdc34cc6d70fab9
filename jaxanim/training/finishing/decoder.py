"""Training the autoencoder's decoder on what a system samples."""

import dataclasses
import os

import grain
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.data.batches import check_targets
from jaxanim.data.clips import Clips
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, to_uint8
from jaxanim.metrics import psnr
from jaxanim.models.shapes import fresh_params
from jaxanim.models.vae import VAEConfig, to_pixels
from jaxanim.training.feed import Feed
from jaxanim.training.finishing.adversarial import adversarial_loss
from jaxanim.training.finishing.discriminator import DISCRIMINATOR, fresh_discriminator, judge
from jaxanim.training.finishing.estimates import estimates
from jaxanim.training.finishing.weights import Start, Weights
from jaxanim.training.losses import decibels
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place

SHOWN = 8


@dataclasses.dataclass(frozen=True)
class DecoderRecipe:
    """The decoder learns to show the true frames from latents that a trained system sampled.

    A decoder knows true latents only; sampled ones err in their own ways, and where the
    autoencoder packs fine detail into many channels the errors show as a grid. The encoder and all that works on
    latents stay as they are, so other weights over the same latents stay valid.

    Attributes:
      start: the weights to begin with.
      clips: whose frames are sampled and shown, see `Estimates`.
      held_out: clips of the sample sheet.
      count: how many of the clips are taken.
      targets: frames of each.
      layers: `VAEConfig.layers_per_block` of the result, if it shall be deeper than the autoencoder of `start`. The
        further layers begin as the identity; the encoder's stay so.
      true_share: how often the true latents are decoded in training in place of the sampled ones, so that the
        decoder stays the autoencoder's as well.
      adversarial: how much a patch discriminator's opinion counts beside the mean square error, see
        `adversarial_loss`; 0 trains without one. The best answer to the square error is the mean of what may be in
        a frame, which looks blurred; the discriminator asks for one of them.
    """

    start: Start
    clips: Clips
    held_out: Clips
    count: int
    targets: int = 4
    layers: int | None = None
    true_share: float = 0.25
    adversarial: float = 0.0

    def __post_init__(self):
        if not 0 <= self.true_share <= 1:
            raise InputError(f"true_share is {self.true_share}: it must be between 0 and 1")
        if not 0 <= self.adversarial < float("inf"):
            raise InputError(f"adversarial is {self.adversarial}: it must be 0 or more")
        if not 1 <= self.count <= len(self.clips):
            raise InputError(f"count is {self.count}: there are {len(self.clips)} clips")
        check_targets(self.targets, self.clips.frames)

    def open(self) -> "DecoderTask":
        """Reads the weights to begin with.

        Raises InputError for a folder without them, and for fewer layers than their autoencoder has.
        """
        weights = self.start.open()
        layers = weights.vae.layers_per_block if self.layers is None else self.layers
        if layers < weights.vae.layers_per_block:
            raise InputError(
                f"layers is {layers}: the autoencoder to begin with has {weights.vae.layers_per_block}"
            )
        return DecoderTask(self, weights, dataclasses.replace(weights.vae, layers_per_block=layers))


@dataclasses.dataclass(frozen=True, eq=False)
class DecoderTask:
    """The task of a `DecoderRecipe`: `vae` has the sizes of the autoencoder that is trained."""

    recipe: DecoderRecipe
    weights: Weights
    vae: VAEConfig

    @property
    def trainable(self) -> tuple[str, ...]:
        """The decoder, and the discriminator if there is one."""
        return (r"^(decoder|post_quant_conv)/", *([rf"^{DISCRIMINATOR}/"] if self.recipe.adversarial else []))

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """The autoencoder of `start`, with as many layers as were asked for, and a discriminator if one is."""
        params = placed(self.weights.params["vae"], place)
        if self.vae != self.weights.vae:
            params = deepen(key, params, self.vae)
        if not self.recipe.adversarial:
            return params
        return params | {DISCRIMINATOR: fresh_discriminator(jax.random.fold_in(key, 1))}

    def batches(self, feed: Feed) -> grain.MapDataset:
        """{"latents" [batch, h, w, c], "sampled" bool [batch], "pixels" uint8 [batch, height, width, 3]}."""
        recipe = self.recipe

        def pick(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            sampled = rng.random() >= recipe.true_share
            frame = rng.integers(recipe.targets)
            latents = clip["estimates" if sampled else "latents"][frame]
            return {"latents": latents, "sampled": np.array(sampled), "pixels": clip["frames"][frame]}

        clips = grain.MapDataset.source(estimates(recipe.clips, recipe.count, recipe.targets, self.weights))
        return feed.shuffled(clips.seed(feed.seed).shuffle().random_map(pick))

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Mean square error of the pixels, and what `adversarial` adds; metric: the PSNR of the sampled frames."""
        pixels = batch["pixels"].astype(jnp.float32) / 127.5 - 1
        decoded = to_pixels(params, self.vae, batch["latents"][:, None].astype(jnp.float32))[:, 0]

        def square(decoded):
            return jnp.mean(jnp.square(decoded - pixels))

        error = jnp.mean(jnp.square(decoded - pixels), -1)
        metrics = {"psnr": decibels(error, batch["sampled"][:, None, None])}
        if not self.recipe.adversarial:
            return square(decoded), metrics
        total, judged = adversarial_loss(
            judge, params[DISCRIMINATOR], decoded, pixels, square, self.recipe.adversarial
        )
        return total, metrics | judged

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Held-out frames: sampled, decoded as before and as learned; the true latents decoded; the truth."""
        recipe = self.recipe
        clips = estimates(recipe.held_out, len(recipe.held_out), recipe.targets, self.weights)
        shown = [clips[i] for i in range(min(SHOWN, len(clips)))]
        true = np.stack([clip["frames"][0] for clip in shown])
        before, learned = (self.weights.vae, placed(self.weights.params["vae"])), (self.vae, params)
        rows = []
        for name, (config, decoder), field in (
            ("before", before, "estimates"),
            ("learned", learned, "estimates"),
            ("true latents", learned, "latents"),
        ):
            latents = jnp.asarray(np.stack([clip[field][0] for clip in shown]), jnp.float32)
            decoded = to_uint8(np.asarray(jnp.clip(to_pixels(decoder, config, latents[:, None]), -1, 1)))[:, 0]
            rows.append((f"{name}, {psnr(decoded, true).mean():.1f} dB", decoded))
        return contact_sheet([*rows, ("truth", true)])

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """The weights of `start` with the new decoder."""
        vae = {name: part for name, part in params.items() if name != DISCRIMINATOR}
        self.weights.save(self.weights.params | {"vae": vae}, self.vae, folder)


def deepen(key: jax.Array, params: PyTree, config: VAEConfig) -> PyTree:
    """An autoencoder with the layers of `config` that does what the shallower one of `params` does.

    A residual block whose second convolution is zero passes on what it is given, and blocks are added where the
    number of channels stays.
    """
    deeper = flatten_dict(fresh_params("vae", config, key))
    known = flatten_dict(params)
    return unflatten_dict(
        {
            path: known[path] if path in known else (jnp.zeros_like(leaf) if "conv2" in path else leaf)
            for path, leaf in deeper.items()
        }
    )

"""Training the autoencoder's decoder on what MagicAnimate samples."""

import dataclasses
import os
from pathlib import Path

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
from jaxanim.models.discriminator import DISCRIMINATOR, fresh_discriminator, judge
from jaxanim.models.shapes import fresh_params
from jaxanim.models.tokenizer import load_tokenizer
from jaxanim.models.vae import VAEConfig, to_pixels
from jaxanim.systems.magicanimate.estimates import estimates
from jaxanim.systems.magicanimate.system import load, save
from jaxanim.training.adversarial import adversarial_loss
from jaxanim.training.losses import decibels
from jaxanim.weights import load_config, load_weights

SHOWN = 8


@dataclasses.dataclass(frozen=True)
class DecoderTask:
    """The decoder learns to show the true frames from latents that a trained system sampled.

    Not in the paper. A decoder knows true latents only; sampled ones err in their own ways, and where the
    autoencoder packs fine detail into many channels the errors show as a grid. The encoder and all that works on
    latents stay as they are, so other weights over the same latents stay valid.

    Attributes:
      start: folder of MagicAnimate weights.
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

    start: str
    clips: Clips
    held_out: Clips
    count: int
    targets: int = 4
    layers: int | None = None
    true_share: float = 0.25
    adversarial: float = 0.0
    trainable: tuple[str, ...] = (r"^(decoder|post_quant_conv|discriminator)/",)

    def __post_init__(self):
        if not 0 <= self.true_share <= 1:
            raise InputError(f"true_share is {self.true_share}: it must be between 0 and 1")
        if not 0 <= self.adversarial < float("inf"):
            raise InputError(f"adversarial is {self.adversarial}: it must be 0 or more")
        if not 1 <= self.count <= len(self.clips):
            raise InputError(f"count is {self.count}: there are {len(self.clips)} clips")
        check_targets(self.targets, self.clips.frames)

    def init(self, key: jax.Array) -> PyTree:
        """The autoencoder of `start`, with as many layers as were asked for, and a discriminator if one is."""
        config, params = self.autoencoder()
        params = jax.tree.map(jnp.asarray, params)
        if self.model() != config:
            params = deepen(key, params, self.model())
        if not self.adversarial:
            return params
        return params | {DISCRIMINATOR: fresh_discriminator(jax.random.fold_in(key, 1))}

    def autoencoder(self):
        """(config, parameters) of the autoencoder to begin with."""
        return load_weights(self.start, networks=("vae",))["vae"]

    def model(self) -> VAEConfig:
        """The sizes of the autoencoder that is trained."""
        config = load_config(self.start, "vae")
        layers = config.layers_per_block if self.layers is None else self.layers
        if layers < config.layers_per_block:
            raise InputError(f"layers is {layers}: the autoencoder to begin with has {config.layers_per_block}")
        return dataclasses.replace(config, layers_per_block=layers)

    def source(self, seed: int) -> grain.MapDataset:
        """{"latents" [h, w, c], "sampled" bool, "pixels" uint8 [height, width, 3]}: one frame per element."""

        def pick(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            sampled = rng.random() >= self.true_share
            frame = rng.integers(self.targets)
            latents = clip["estimates" if sampled else "latents"][frame]
            return {"latents": latents, "sampled": np.array(sampled), "pixels": clip["frames"][frame]}

        clips = estimates(self.clips, self.count, self.targets, self.start)
        return grain.MapDataset.source(clips).seed(seed).shuffle().random_map(pick)

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Mean square error of the pixels, and what `adversarial` adds; metric: the PSNR of the sampled frames."""
        pixels = batch["pixels"].astype(jnp.float32) / 127.5 - 1
        decoded = to_pixels(params, self.model(), batch["latents"][:, None].astype(jnp.float32))[:, 0]

        def square(decoded):
            return jnp.mean(jnp.square(decoded - pixels))

        error = jnp.mean(jnp.square(decoded - pixels), -1)
        metrics = {"psnr": decibels(error, batch["sampled"][:, None, None])}
        if not self.adversarial:
            return square(decoded), metrics
        total, judged = adversarial_loss(
            judge,
            params[DISCRIMINATOR],
            decoded,
            pixels,
            square,
            self.adversarial,
        )
        return total, metrics | judged

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Held-out frames: sampled, decoded as before and as learned; the true latents decoded; the truth."""
        clips = estimates(self.held_out, len(self.held_out), self.targets, self.start)
        shown = [clips[i] for i in range(min(SHOWN, len(clips)))]
        true = np.stack([clip["frames"][0] for clip in shown])
        rows = []
        for name, (config, decoder), field in (
            ("before", self.autoencoder(), "estimates"),
            ("learned", (self.model(), params), "estimates"),
            ("true latents", (self.model(), params), "latents"),
        ):
            latents = jnp.asarray(np.stack([clip[field][0] for clip in shown]), jnp.float32)
            decoded = to_uint8(np.asarray(jnp.clip(to_pixels(decoder, config, latents[:, None]), -1, 1)))[:, 0]
            rows.append((f"{name}, {psnr(decoded, true).mean():.1f} dB", decoded))
        return contact_sheet([*rows, ("truth", true)])

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """The weights of `start` with the new decoder."""
        system = load(self.start)
        tokenizer = load_tokenizer(Path(self.start) / "tokenizer")
        config = dataclasses.replace(system.config, vae=self.model())
        vae = {name: part for name, part in params.items() if name != DISCRIMINATOR}
        save(system.params | {"vae": vae}, config, tokenizer, folder)


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

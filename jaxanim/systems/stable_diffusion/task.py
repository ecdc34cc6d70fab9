"""Training the text-conditioned base model: Stable Diffusion's objective (Rombach et al. 2022, Eq. 3)."""

import dataclasses
import os
import re
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.data.clips import Clips
from jaxanim.data.latents import latent_clips
from jaxanim.data.pipeline import Cached
from jaxanim.diffusion.betas import Betas
from jaxanim.media.images import contact_sheet, to_uint8
from jaxanim.models.clip_text import CLIPText, CLIPTextConfig
from jaxanim.models.shapes import fresh_params, parameter_shapes
from jaxanim.models.tokenizer import Tokenizer, build_word_tokenizer, encode, load_tokenizer
from jaxanim.models.unet import UNet, UNetConfig
from jaxanim.models.vae import to_pixels
from jaxanim.puppets import vocabulary
from jaxanim.systems.base import Sampling
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.generate import encode_prompts, sample_latents
from jaxanim.systems.stable_diffusion.system import save
from jaxanim.training.feed import Feed
from jaxanim.training.losses import denoising_loss
from jaxanim.training.objective import Objective
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place
from jaxanim.weights import load_weights

SHEET_PROMPTS = 6
NETWORKS = ("unet", "text_encoder")


@dataclasses.dataclass(frozen=True)
class TextToImageRecipe:
    """A UNet and its text encoder learn to denoise frames given their prompt.

    Attributes:
      vae: weights folder of the trained autoencoder.
      clips: where frames and prompts come from.
      unet, text_encoder, diffusion: sizes of the networks and the noise schedule.
      start: weights folder whose UNet, text encoder and tokenizer to begin with; None begins with fresh ones.
      drop_prompt: how often the prompt is replaced by "": every MagicAnimate branch uses that prompt.
      objective: which errors count how much.
    """

    vae: str
    clips: Clips
    unet: UNetConfig
    text_encoder: CLIPTextConfig
    diffusion: Betas
    start: str | None = None
    drop_prompt: float = 0.3
    objective: Objective = Objective()

    def open(self) -> "TextToImageTask":
        """Reads the autoencoder, and the networks to begin with.

        Raises InputError for a folder that does not hold them, in the sizes that the recipe has.
        """
        vae, params = load_weights(self.vae, networks=("vae",))["vae"]
        sizes = StableDiffusionConfig(
            vae, self.text_encoder, self.unet, diffusion=self.diffusion,
            defaults=Sampling(size=self.clips.size, steps=20, guidance=3.0),
        )  # fmt: skip
        known = {"vae": jax.tree.map(jnp.asarray, params)}
        if self.start is None:
            tokenizer = _word_tokenizer(self.text_encoder.max_position_embeddings)
        else:
            tokenizer = load_tokenizer(Path(self.start) / "tokenizer")
            loaded = load_weights(
                self.start,
                networks=NETWORKS,
                shapes=lambda name, _: parameter_shapes(name, getattr(sizes, name)),
                mapped=True,
            )
            known |= {name: tree for name, (_, tree) in loaded.items()}
        objective = self.objective.measured(vae, known["vae"], self.clips)
        return TextToImageTask(self, sizes, known, tokenizer, objective)


@dataclasses.dataclass(frozen=True, eq=False)
class TextToImageTask:
    """The task of a `TextToImageRecipe`.

    Half of each image is another moment of the same character: such character sheets are common among pictures of
    characters, and teach self-attention to find the same thing in another pose, which reference features rely on.
    """

    recipe: TextToImageRecipe
    config: StableDiffusionConfig
    known: PyTree
    tokenizer: Tokenizer
    objective: Objective
    trainable: tuple[str, ...] = (r"^unet/", r"^text_encoder/")

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """The trained autoencoder, and the UNet and text encoder to begin with."""
        keys = dict(zip(NETWORKS, jax.random.split(key), strict=True))
        fresh = {
            name: fresh_params(name, getattr(self.config, name), keys[name], place)
            for name in NETWORKS
            if name not in self.known
        }
        return placed(self.known, place) | fresh

    def clips(self) -> Cached:
        """The latents and prompts that are learnt from."""
        return latent_clips(self.recipe.clips, self.config.vae, self.known["vae"])

    def batches(self, feed: Feed) -> grain.MapDataset:
        """{"latents": [batch, 1, h, 2 w, c], "tokens": int32 [batch, length]}."""
        empty = encode(self.tokenizer, [""])[0]

        def draw(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            first, second = rng.choice(len(clip["latents"]), 2, replace=False)
            image = np.concatenate([clip["latents"][first], clip["latents"][second]], axis=1)
            prompt = clip["prompt"].item().decode()
            tokens = empty if rng.random() < self.recipe.drop_prompt else encode(self.tokenizer, [prompt])[0]
            return {"latents": image[None], "tokens": tokens}

        clips = grain.MapDataset.source(self.clips())
        return feed.shuffled(clips.seed(feed.seed).shuffle().random_map(draw))

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """||eps - eps_theta(z_t, t, text)||^2."""
        z0 = batch["latents"].astype(jnp.float32)
        text = CLIPText(self.config.text_encoder).apply({"params": params["text_encoder"]}, batch["tokens"])

        def denoise(x, t):
            return UNet(self.config.unet).apply({"params": params["unet"]}, x, t, text)

        return denoising_loss(denoise, self.config.diffusion, z0, key, self.objective), {}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Images of the first training prompts, with the config's defaults."""
        clips = self.clips()
        shown = [clips[i] for i in range(min(SHEET_PROMPTS, len(clips)))]
        tokens = jnp.asarray(encode(self.tokenizer, [*(clip["prompt"].item().decode() for clip in shown), ""]))
        text = encode_prompts(params, self.config, tokens)
        plain = jnp.broadcast_to(text[-1:], text[:-1].shape)
        true = jnp.asarray(np.stack([clip["latents"][:1] for clip in shown]), jnp.float32)
        noise = jax.random.normal(key, true.shape)
        made = sample_latents(params, self.config, text[:-1], plain, noise, sampling=self.config.defaults)
        rows = []
        for name, latents in (("prompted", made), ("true", true)):
            pixels = to_pixels(params["vae"], self.config.vae, latents)
            rows.append((name, to_uint8(np.asarray(jnp.clip(pixels[:, 0], -1, 1)))))
        return contact_sheet(rows)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports autoencoder, UNet, text encoder and tokenizer as system "stable_diffusion"."""
        save(params, self.config, self.tokenizer, folder)


def _word_tokenizer(length: int) -> Tokenizer:
    """The puppet world's, written down once."""
    folder = Path("runs", "cache", f"tokenizer-{length}")
    if not (folder / "vocab.json").exists():
        # CLIP's tokenizer cuts "chin-length" at the hyphen before it looks words up.
        words = sorted(set(re.findall("[a-z]+", " ".join(vocabulary()).lower())))
        build_word_tokenizer(words, folder, length)
    return load_tokenizer(folder)

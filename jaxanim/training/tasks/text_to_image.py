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
from jaxanim.diffusion.betas import Betas
from jaxanim.media.images import contact_sheet, to_uint8
from jaxanim.models.clip_text import CLIPText, CLIPTextConfig
from jaxanim.models.shapes import fresh_params
from jaxanim.models.tokenizer import build_word_tokenizer, encode, load_tokenizer
from jaxanim.models.unet import UNet, UNetConfig
from jaxanim.models.vae import to_pixels
from jaxanim.puppets import vocabulary
from jaxanim.systems.base import Sampling
from jaxanim.systems.stable_diffusion.config import StableDiffusionConfig
from jaxanim.systems.stable_diffusion.generate import encode_prompts, sample_latents
from jaxanim.systems.stable_diffusion.system import save
from jaxanim.training.losses import denoising_loss
from jaxanim.training.pixel_weights import pixel_weights
from jaxanim.weights import load_config, load_weights

SHEET_PROMPTS = 6


@dataclasses.dataclass(frozen=True)
class TextToImageTask:
    """A UNet and its text encoder learn to denoise frames given their prompt.

    Attributes:
      vae: weights folder of the trained autoencoder.
      clips: where frames and prompts come from.
      unet, text_encoder, diffusion: sizes of the networks and the noise schedule.
      drop_prompt: how often the prompt is replaced by "": every MagicAnimate branch uses that prompt.
      pairs: how often an image is a character sheet, two moments of one character side by side. Such images are
        common among pictures of characters; they teach self-attention to find the same thing in another pose,
        which reference features later rely on.
    """

    vae: str
    clips: Clips
    unet: UNetConfig
    text_encoder: CLIPTextConfig
    diffusion: Betas
    drop_prompt: float = 0.3
    pairs: bool = True
    weigh_pixels: bool = False
    trainable: tuple[str, ...] = (r"^unet/", r"^text_encoder/")

    def init(self, key: jax.Array) -> PyTree:
        """Fresh UNet and text encoder beside the trained autoencoder."""
        key_unet, key_text = jax.random.split(key)
        return {
            "vae": jax.tree.map(jnp.asarray, load_weights(self.vae, networks=("vae",))["vae"][1]),
            "unet": fresh_params("unet", self.unet, key_unet),
            "text_encoder": fresh_params("text_encoder", self.text_encoder, key_text),
        }

    def tokenizer(self):
        """The puppet world's word tokenizer."""
        folder = Path("runs", "cache", f"tokenizer-{self.text_encoder.max_position_embeddings}")
        if not (folder / "vocab.json").exists():
            # CLIP's tokenizer cuts "chin-length" at the hyphen before it looks words up.
            words = sorted(set(re.findall("[a-z]+", " ".join(vocabulary()).lower())))
            build_word_tokenizer(words, folder, self.text_encoder.max_position_embeddings)
        return load_tokenizer(folder)

    def source(self, seed: int) -> grain.MapDataset:
        """{"latents": [1, h, w, c] (w doubled for sheets), "tokens": int32 [length]}."""
        clips = latent_clips(self.clips, self.vae)
        tokenizer = self.tokenizer()
        empty = encode(tokenizer, [""])[0]

        def draw(clip: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
            first, second = rng.choice(len(clip["latents"]), 2, replace=False)
            image = clip["latents"][first]
            if self.pairs:
                image = np.concatenate([image, clip["latents"][second]], axis=1)
            prompt = clip["prompt"].item().decode()
            tokens = empty if rng.random() < self.drop_prompt else encode(tokenizer, [prompt])[0]
            return {"latents": image[None], "tokens": tokens}

        return grain.MapDataset.source(clips).seed(seed).shuffle().random_map(draw)

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """||eps - eps_theta(z_t, t, text)||^2."""
        z0 = batch["latents"].astype(jnp.float32)
        text = CLIPText(self.text_encoder).apply({"params": params["text_encoder"]}, batch["tokens"])

        def denoise(x, t):
            return UNet(self.unet).apply({"params": params["unet"]}, x, t, text)

        weights = pixel_weights(self.vae, self.clips) if self.weigh_pixels else None
        return denoising_loss(denoise, self.diffusion, z0, key, channel_weights=weights), {}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Images of the first training prompts, guidance 3."""
        clips = latent_clips(self.clips, self.vae)
        rows = []
        shown = range(min(SHEET_PROMPTS, len(clips)))
        prompts = [clips[i]["prompt"].item().decode() for i in shown]
        config = load_config(self.vae, "vae")
        shape = (len(shown), 1, *clips[0]["latents"].shape[1:])
        pixels = to_pixels(params["vae"], config, self.generate(params, key, prompts, shape, 3.0))
        rows.append(("prompted", to_uint8(np.asarray(jnp.clip(pixels[:, 0], -1, 1)))))
        truth = jnp.asarray(np.stack([clips[i]["latents"][:1] for i in shown]), jnp.float32)
        rows.append(("true", to_uint8(np.asarray(jnp.clip(to_pixels(params["vae"], config, truth)[:, 0], -1, 1)))))
        return contact_sheet(rows)

    def generate(self, params, key, prompts, shape, guidance: float):
        """Latents [prompts, 1, h, w, c] of prompts by 20 DDIM steps."""
        config = self.config()
        tokens = jnp.asarray(encode(self.tokenizer(), [*prompts, ""]))
        text = encode_prompts(params, config, tokens)
        plain = jnp.broadcast_to(text[-1:], text[:-1].shape)
        noise = jax.random.normal(key, shape)
        sampling = Sampling(steps=20, guidance=guidance)
        return sample_latents(params, config, text[:-1], plain, noise, sampling=sampling)

    def config(self) -> StableDiffusionConfig:
        """The networks as a system; its defaults are those of the sample sheet."""
        defaults = Sampling(size=self.clips.size, steps=20, guidance=3.0)
        return StableDiffusionConfig(
            load_config(self.vae, "vae"), self.text_encoder, self.unet, diffusion=self.diffusion, defaults=defaults
        )

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports autoencoder, UNet, text encoder and tokenizer as system "stable_diffusion"."""
        save(params, self.config(), self.tokenizer(), folder)

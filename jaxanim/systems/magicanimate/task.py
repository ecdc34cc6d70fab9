"""MagicAnimate's two training stages as tasks of the training loop (Sec. 3.4)."""

import dataclasses
import os
from pathlib import Path

import grain
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.data.batches import Batch, check_targets, draw_pairs, draw_stills, draw_windows
from jaxanim.data.clips import Clips
from jaxanim.data.latents import latent_clips
from jaxanim.errors import InputError
from jaxanim.models.appearance import encoder_params_from_unet
from jaxanim.models.controlnet import controlnet_params_from_unet
from jaxanim.models.motion import add_motion, split_motion
from jaxanim.models.shapes import fresh_params
from jaxanim.models.tokenizer import load_tokenizer
from jaxanim.systems.magicanimate.config import MagicAnimateConfig, image_form
from jaxanim.systems.magicanimate.losses import TRAINABLE, TRAINABLE_CLIP, draw_kind, loss
from jaxanim.systems.magicanimate.sheet import animation_sheet
from jaxanim.systems.magicanimate.system import NAME, load, prepare, save
from jaxanim.training.partition import check_hold, without
from jaxanim.training.pixel_weights import pixel_weights
from jaxanim.weights import load_config, load_weights, read_description

LABELS = ("parts",)


@dataclasses.dataclass(frozen=True)
class MagicAnimateTask:
    """One stage of MagicAnimate.

    Attributes:
      stage: 1 trains the appearance encoder and the ControlNet on single frames, 2 the temporal layers on clips.
      start: weights folder to begin with: a "stable_diffusion" base for stage 1, stage 1's result for stage 2; or
        whole MagicAnimate weights, to train them further in either stage.
      vae: weights folder of the autoencoder. Its decoder may have learned more than the one in `start`.
      model: the sizes of everything; what `start` holds has to agree.
      videos: clips of which pairs (and in stage 2 windows) are taken.
      images: the image dataset of image-video joint training: of each clip one frame serves as a still.
      tau1, tau2: thresholds of Eq. 7; stage 1 uses tau1 as its tau0, and no videos whatever tau2 is.
      targets: target frames for one reference in a stage-1 pair; the encoder then runs once for all of them.
      timestep_power: 1 draws timesteps uniformly, as the paper; more favours high noise.
      weigh_pixels: whether a latent channel's error counts by what it changes in the picture, see `pixel_weights`.
      hold: a regular expression; parameters in whose path it is found do not learn, though the stage trains them.
      thaw: a regular expression; parameters in whose path it is found learn too, though the paper freezes them.
      sheet_seed: validation puppet of the sample sheet.
    """

    stage: int
    start: str
    vae: str
    model: MagicAnimateConfig
    videos: Clips
    images: Clips
    tau1: float = 0.2
    tau2: float = 1.0
    targets: int = 4
    timestep_power: float = 1.0
    weigh_pixels: bool = False
    hold: str | None = None
    thaw: str | None = None
    sheet_seed: int = 900_000

    def __post_init__(self):
        if self.stage not in TRAINABLE:
            raise InputError(f"stage is {self.stage}: choose 1 or 2")
        without((), self.hold)  # refuses what is no regular expression
        check_targets(self.targets, self.videos.frames)

    @property
    def trainable(self) -> tuple[str, ...]:
        """The parameters that learn: not the base model's, in either stage (but see TRAINABLE_CLIP and `thaw`)."""
        learn = TRAINABLE_CLIP if self.stage == 1 and self.model.image_encoder else TRAINABLE[self.stage]
        if self.thaw is not None:
            learn = (*learn, self.thaw)
        return without(learn, self.hold)

    @property
    def config(self) -> MagicAnimateConfig:
        """The model of this stage: without temporal layers in the first."""
        model = dataclasses.replace(self.model, vae=load_config(self.vae, "vae"))
        return model if self.stage == 2 else dataclasses.replace(model, unet=image_form(model.unet))

    def autoencoder(self) -> PyTree:
        """The parameters of the frozen autoencoder."""
        return load_weights(self.vae, networks=("vae",))["vae"][1]

    def tokenizer(self):
        """The tokenizer that came with the starting weights."""
        return load_tokenizer(Path(self.start) / "tokenizer")

    def init(self, key: jax.Array) -> PyTree:
        """Stage 1: copies of the base's UNet as encoder and ControlNet. Stage 2: fresh temporal layers.

        What `start` has of them already is taken from there.
        """
        further = self.stage == 2 or read_description(self.start)["system"] == NAME
        params = self._further(key) if further else self._from_base(key)
        check_hold(params, self.hold)
        return params

    def _from_base(self, key: jax.Array) -> PyTree:
        """The base's parameters, and copies of its UNet."""
        loaded = load_weights(self.start, system="stable_diffusion", networks=("unet", "text_encoder"))
        params = {"vae": self.autoencoder()} | {name: tree for name, (_, tree) in loaded.items()}
        image = image_form(self.model.unet)
        if clip := self.model.image_encoder:
            params["image_encoder"] = fresh_params("image_encoder", clip, key)
        else:
            params["appearance_encoder"] = encoder_params_from_unet(params["unet"], image)
        params["controlnet"] = controlnet_params_from_unet(key, params["unet"], self.model.controlnet)
        return prepare(params, self.config, self.tokenizer())

    def _further(self, key: jax.Array) -> PyTree:
        """The parameters of MagicAnimate weights; stage 1 keeps their temporal layers without using them."""
        system = load(self.start)
        unet = system.params["unet"]
        if self.stage == 2 and system.config.unet.motion != self.model.unet.motion:
            unet = add_motion(key, split_motion(unet)[0], self.model.unet)
        return dict(system.params) | {"unet": unet, "vae": self.autoencoder()}

    def source(self, seed: int) -> grain.MapDataset:
        """The latents that batches are composed of."""
        return grain.MapDataset.source(latent_clips(self.videos, self.vae))

    def batches(self, seed: int, batch_size: int, part: int, parts: int) -> grain.MapDataset:
        """Whole batches, each of one kind (Eq. 7), which `draw_kind` chooses from r ~ U(0, 1).

        "image" and "pair" batches hold as many frames as a "video" batch, so that all kinds cost about the same.
        """
        videos = latent_clips(self.videos, self.vae).arrays()
        images = latent_clips(self.images, self.vae).arrays()
        tau2 = 1.0 if self.stage == 1 else self.tau2

        def draw(step: int) -> Batch:
            # The kind is every host's, the contents are each host's own.
            kind = draw_kind(np.random.default_rng([seed, step]).random(), self.tau1, tau2)
            rng = np.random.default_rng([seed, step, part])
            if kind == "image":
                return draw_stills(images, rng, batch_size, LABELS)
            if kind == "video":
                return draw_windows(videos, rng, max(1, batch_size // self.videos.frames), LABELS)
            return draw_pairs(videos, rng, max(1, batch_size // self.targets), self.targets, LABELS)

        return grain.MapDataset.range(2**31).map(draw)

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Eqs. 5 and 6."""
        weights = pixel_weights(self.vae, self.videos) if self.weigh_pixels else None
        return loss(params, self.config, batch, key, self.timestep_power, weights), {}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation puppets, see `animation_sheet`."""
        sampling = self.model.defaults
        if self.stage == 1:
            sampling = dataclasses.replace(sampling, window=8, overlap=4)
        return animation_sheet(params, self.config, self.sheet_seed, self.videos.size, key, sampling)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports weights that `jaxanim.systems.load` reads, with the temporal layers that came with `start`."""
        config = self.config
        if self.stage == 1 and split_motion(params["unet"])[1]:
            config = dataclasses.replace(config, unet=load(self.start).config.unet)
        save(params, config, self.tokenizer(), folder)

"""MagicAnimate's two training stages as tasks of the training loop (Sec. 3.4)."""

import dataclasses
import os

import grain
import jax
import jax.numpy as jnp
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
from jaxanim.models.tokenizer import Tokenizer
from jaxanim.models.unet_config import image_form
from jaxanim.systems.base_model import load_base
from jaxanim.systems.conditions import prepare
from jaxanim.systems.magicanimate.animate import animate
from jaxanim.systems.magicanimate.config import MagicAnimateConfig
from jaxanim.systems.magicanimate.losses import TRAINABLE, TRAINABLE_CLIP, draw_kind, loss
from jaxanim.systems.magicanimate.system import NAME, read, save
from jaxanim.systems.sheet import FIRST, puppet_sheet
from jaxanim.training.feed import Feed
from jaxanim.training.objective import Objective
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place, Plan
from jaxanim.weights import load_weights, read_description

LABELS = ("parts",)


@dataclasses.dataclass(frozen=True)
class MagicAnimateRecipe:
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
      objective: which errors count how much.
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
    objective: Objective = Objective()
    sheet_seed: int = FIRST

    def __post_init__(self):
        if self.stage not in TRAINABLE:
            raise InputError(f"stage is {self.stage}: choose 1 or 2")
        check_targets(self.targets, self.videos.frames)

    def plan(self, batch_size: int) -> Plan:
        """See `jaxanim.training.task.Planned`."""
        from jaxanim.systems.magicanimate.plan import plan

        video = self.stage == 2
        config = self.model if video else dataclasses.replace(self.model, unet=image_form(self.model.unet))
        return plan(MagicAnimateTask(self, config, config, {}, {}, None, self.objective), batch_size)

    def open(self) -> "MagicAnimateTask":
        """Reads the autoencoder and the weights to begin with; raises InputError for folders without them."""
        vae, decoder = load_weights(self.vae, networks=("vae",))["vae"]
        autoencoder = jax.tree.map(jnp.asarray, decoder)
        model = dataclasses.replace(self.model, vae=vae)
        config = whole = model if self.stage == 2 else dataclasses.replace(model, unet=image_form(model.unet))
        if self.stage == 2 or read_description(self.start)["system"] == NAME:
            before, params, tokenizer = read(self.start, mapped=True)
            if self.stage == 1 and split_motion(params["unet"])[1]:
                whole = dataclasses.replace(config, unet=before.unet)
            elif before.unet.motion != self.model.unet.motion:
                params["unet"] = split_motion(params["unet"])[0]
        else:
            base = load_base(self.start, system="stable_diffusion", mapped=True)
            params, tokenizer = base.params, base.tokenizer
        objective = self.objective.measured(vae, autoencoder, self.videos)
        return MagicAnimateTask(self, config, whole, params, autoencoder, tokenizer, objective)


@dataclasses.dataclass(frozen=True, eq=False)
class MagicAnimateTask:
    """The task of a `MagicAnimateRecipe`.

    Attributes:
      config: of this stage: without temporal layers in the first.
      whole: of the weights that are saved, with the temporal layers that came with `start`.
      start: parameters to begin with, as stored. autoencoder: the frozen one in their place.
    """

    recipe: MagicAnimateRecipe
    config: MagicAnimateConfig
    whole: MagicAnimateConfig
    start: PyTree
    autoencoder: PyTree
    tokenizer: Tokenizer | None
    objective: Objective

    @property
    def trainable(self) -> tuple[str, ...]:
        """The parameters that learn: not the base model's, in either stage (but see TRAINABLE_CLIP)."""
        stage = self.recipe.stage
        return TRAINABLE_CLIP if stage == 1 and self.config.image_encoder else TRAINABLE[stage]

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """What there is to begin with; else copies of the base's UNet as encoder and ControlNet in stage 1, fresh
        temporal layers in stage 2."""
        config = self.config
        params = placed(self.start | {"vae": self.autoencoder}, place)
        if "controlnet" not in params:
            if config.image_encoder:
                params["image_encoder"] = fresh_params("image_encoder", config.image_encoder, key, place)
            else:
                params["appearance_encoder"] = encoder_params_from_unet(params["unet"], config.unet)
            params["controlnet"] = controlnet_params_from_unet(key, params["unet"], config.controlnet)
        if config.unet.motion and not split_motion(params["unet"])[1]:
            params["unet"] = add_motion(key, params["unet"], config.unet)
        return prepare(params, config, self.tokenizer)

    def batches(self, feed: Feed) -> grain.MapDataset:
        """Whole batches, each of one kind (Eq. 7), which `draw_kind` chooses from r ~ U(0, 1).

        "image" and "pair" batches hold as many frames as a "video" batch, so that all kinds cost about the same.
        """
        recipe, count = self.recipe, feed.batch_size
        videos, images = (
            latent_clips(clips, self.config.vae, self.autoencoder).arrays()
            for clips in (recipe.videos, recipe.images)
        )
        tau2 = 1.0 if recipe.stage == 1 else recipe.tau2

        def draw(shared: np.random.Generator, own: np.random.Generator) -> Batch:
            kind = draw_kind(shared.random(), recipe.tau1, tau2)
            if kind == "image":
                return draw_stills(images, own, count, LABELS)
            if kind == "video":
                return draw_windows(videos, own, max(1, count // recipe.videos.frames), LABELS)
            return draw_pairs(videos, own, max(1, count // recipe.targets), recipe.targets, LABELS)

        return feed.drawn(draw)

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Eqs. 5 and 6."""
        return loss(params, self.config, batch, key, self.objective), {}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation puppets, see `puppet_sheet`."""
        sampling = self.config.defaults
        if self.recipe.stage == 1:
            sampling = dataclasses.replace(sampling, window=8, overlap=4)

        def run(reference, motion):
            return animate(params, self.config, reference, motion, key=key, sampling=sampling)

        return puppet_sheet(run, lambda clip: clip.densepose, self.recipe.videos.size, self.recipe.sheet_seed)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports weights that `jaxanim.systems.load` reads."""
        save(params, self.whole, self.tokenizer, folder)

"""MagicPose's training stages as tasks of the training loop (Secs. 4.2, 4.3, 5.2 and App. C)."""

import dataclasses
import os
from pathlib import Path

import grain
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.cues import openpose
from jaxanim.data.batches import Batch, check_targets, draw_pairs, draw_windows
from jaxanim.data.latents import latent_clips
from jaxanim.data.posed_folders import PosedFolders
from jaxanim.data.poses import PosedClips, draw_poses
from jaxanim.data.records import PosedRecords
from jaxanim.errors import InputError
from jaxanim.models.appearance import encoder_params_from_unet
from jaxanim.models.controlnet import controlnet_params_from_unet
from jaxanim.models.motion import add_motion, merge_motion
from jaxanim.models.tokenizer import encode
from jaxanim.models.unet_config import image_form
from jaxanim.systems.base_model import BaseModel, check_fits, load_base, same_base, save_base
from jaxanim.systems.conditions import prepare
from jaxanim.systems.magicpose.animate import Options, animate
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.systems.magicpose.losses import TRAINABLE, loss
from jaxanim.systems.magicpose.system import load_parts, save
from jaxanim.systems.sheet import FIRST, puppet_sheet
from jaxanim.training.feed import Feed
from jaxanim.training.objective import Objective
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place, Plan

LABELS = ("poses",)


@dataclasses.dataclass(frozen=True)
class MagicPoseRecipe:
    """One stage of MagicPose; see `losses` for what each trains.

    Attributes:
      stage: 0 a pose ControlNet on the base with its prompts, 1 appearance control pre-training (Eq. 4), 2
        appearance-disentangled pose control (Eq. 5), 3 the motion module on clips.
      base: weights folder of the frozen base model.
      model: the sizes of everything; what `base` holds has to agree. Its motion counts in stage 3 alone.
      clips: of which pairs (in stage 3 windows) are taken: puppets, or a user's own videos.
      start: weights folder of the stage before; None begins with a copy of the base, which in stage 2 leaves the
        pre-training out.
      controlnet: weights folder of stage 0, for stage 2 to begin with; None takes the one in `start`, or a fresh
        one.
      targets: target frames for one reference: 1 in the paper. With more, the appearance model runs once for
        all of them.
      mask_face, mask_hands: how often the facial landmarks and the hands are left out of a drawing (Sec. 5.4);
        0 and 0 train without this augmentation.
      drop_prompt: how often stage 0's prompt is "", which the later stages use.
      objective: which errors count how much.
      sheet_seed: validation puppet of the sample sheet.
    """

    stage: int
    base: str
    model: MagicPoseConfig
    clips: PosedClips | PosedFolders | PosedRecords
    start: str | None = None
    controlnet: str | None = None
    targets: int = 1
    mask_face: float = 0.2
    mask_hands: float = 0.5
    drop_prompt: float = 0.5
    objective: Objective = Objective()
    sheet_seed: int = FIRST

    def __post_init__(self):
        if self.stage not in TRAINABLE:
            raise InputError(f"stage is {self.stage}: choose 0, 1, 2 or 3")
        if self.stage == 3 and (self.start is None or self.model.unet.motion is None):
            raise InputError("stage 3 needs `start`, the weights of stage 2, and a model with motion modules")
        if self.stage == 3 and self.clips.spacing != "consecutive":
            raise InputError("stage 3 learns from consecutive frames: give clips with spacing 'consecutive'")
        check_targets(self.targets, self.clips.frames)
        for name in ("mask_face", "mask_hands", "drop_prompt"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: it is a probability, 0 to 1")

    def plan(self, batch_size: int) -> Plan:
        """See `jaxanim.training.task.Planned`."""
        from jaxanim.systems.magicpose.plan import plan

        unet = self.model.unet if self.stage == 3 else image_form(self.model.unet)
        config = dataclasses.replace(self.model, unet=unet)
        return plan(MagicPoseTask(self, config, None, {}, {}, self.objective), batch_size)

    def open(self) -> "MagicPoseTask":
        """Reads the base and the parts to begin with.

        Raises InputError for folders without them, and for a base of another architecture than the model's.
        """
        base = load_base(self.base, mapped=True)
        check_fits(base.unet, image_form(self.model.unet), "the config", self.base)
        unet = self.model.unet if self.stage == 3 else image_form(self.model.unet)
        config = dataclasses.replace(self.model, vae=base.vae, text_encoder=base.text_encoder, unet=unet)
        parts = {}
        if self.start is not None:
            parts = {name: tree for name, (_, tree) in load_parts(self.start, mapped=True)[0].items()}
        if self.controlnet is not None:
            parts["controlnet"] = load_parts(self.controlnet, mapped=True)[0]["controlnet"][1]
        autoencoder = placed(base.params["vae"])
        objective = self.objective.measured(base.vae, autoencoder, self.clips)
        return MagicPoseTask(self, config, base, parts, autoencoder, objective)


@dataclasses.dataclass(frozen=True, eq=False)
class MagicPoseTask:
    """The task of a `MagicPoseRecipe`.

    Attributes:
      config: of this stage: with motion modules in the third alone.
      base: the base model, its parameters as stored. parts: what there is of the stages before, likewise.
    """

    recipe: MagicPoseRecipe
    config: MagicPoseConfig
    base: BaseModel | None
    parts: PyTree
    autoencoder: PyTree
    objective: Objective

    @property
    def trainable(self) -> tuple[str, ...]:
        """The parameters that learn: the base model stays as it is in every stage."""
        return TRAINABLE[self.recipe.stage]

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """The base, and on it the parts of the stages before or else copies of its UNet."""
        config = self.config
        params = placed(self.base.params | self.parts, place)
        unet, modules = params["unet"], params.pop("motion", None)
        if "appearance_model" not in params:
            params["appearance_model"] = encoder_params_from_unet(unet, image_form(config.unet), truncated=False)
        if "controlnet" not in params:
            params["controlnet"] = controlnet_params_from_unet(key, unet, config.controlnet)
        if self.recipe.stage == 3:
            params["unet"] = merge_motion(unet, modules) if modules else add_motion(key, unet, config.unet)
        return prepare(params, config, self.base.tokenizer)

    def batches(self, feed: Feed) -> grain.MapDataset:
        """Whole batches of target frames; drawings are made, and masked, as they are needed."""
        recipe, count = self.recipe, feed.batch_size
        clips = latent_clips(recipe.clips, self.config.vae, self.autoencoder).arrays()

        def draw(_: np.random.Generator, rng: np.random.Generator) -> Batch:
            if recipe.stage == 0:
                batch = self._prompted(clips, rng, count)
            elif recipe.stage == 3:
                batch = draw_windows(clips, rng, max(1, count // recipe.clips.frames), LABELS)
            else:
                batch = draw_pairs(clips, rng, max(1, count // recipe.targets), recipe.targets, LABELS)
            poses = batch.pop("poses")
            return batch if recipe.stage == 1 else batch | {"pose": self._drawn(poses, rng)}

        return feed.drawn(draw)

    def _prompted(self, clips: Batch, rng: np.random.Generator, count: int) -> Batch:
        """Single frames with their prompts, some of them dropped."""
        chosen = rng.integers(len(clips["latents"]), size=count)
        frame = rng.integers(clips["latents"].shape[1], size=count)
        prompts = ["" if rng.random() < self.recipe.drop_prompt else clips["prompt"][c].decode() for c in chosen]
        pick = [(clips["latents"][c, f], clips["poses"][c, f]) for c, f in zip(chosen, frame, strict=True)]
        latents, poses = (np.stack(values)[:, None] for values in zip(*pick, strict=True))
        return {"target": latents, "poses": poses, "tokens": encode(self.base.tokenizer, prompts)}

    def _drawn(self, poses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Drawings; masks hold for a whole window, and for each of the targets of a pair by itself."""
        side = self.recipe.clips.side
        shape = poses.shape[:2]
        if self.recipe.stage != 3:
            poses = poses.reshape(-1, 1, *poses.shape[2:])
        masks = {"mask_face": self.recipe.mask_face, "mask_hands": self.recipe.mask_hands}
        drawn = draw_poses(poses, (side, side), rng, **masks)
        return drawn.reshape(*shape, *drawn.shape[2:])

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Eqs. 4 and 5."""
        return loss(params, self.config, batch, key, self.objective), {}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation puppets, see `puppet_sheet`."""
        size = (self.recipe.clips.side,) * 2
        sampling = dataclasses.replace(self.config.defaults, window=8, overlap=4)
        options = Options(pose=self.recipe.stage != 1)
        # The text encoder may have learnt.
        params = prepare(params, self.config, self.base.tokenizer)

        def run(reference, motion):
            return animate(params, self.config, reference, motion, key=key, sampling=sampling, options=options)

        return puppet_sheet(run, lambda clip: openpose.draw(clip.keypoints, size), size, self.recipe.sheet_seed)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the trained parts, which `jaxanim.systems.load` puts on the base again.

        A base that learnt too is exported beside them, as `folder`/base.
        """
        base = self.recipe.base
        if not same_base(params, self.base):
            base = Path(folder) / "base"
            save_base(params, self.base, self.config.diffusion, self.config.defaults, base)
        save(params, self.config, base, folder)

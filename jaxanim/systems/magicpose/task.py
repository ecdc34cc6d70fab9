"""MagicPose's training stages as tasks of the training loop (Secs. 4.2, 4.3, 5.2 and App. C)."""

import dataclasses
import functools
import os

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxanim.cues import openpose
from jaxanim.data.batches import Batch, check_targets, draw_pairs, draw_windows
from jaxanim.data.latents import latent_clips
from jaxanim.data.posed_folders import PosedFolders
from jaxanim.data.poses import PosedClips, draw_poses
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, to_float, to_uint8
from jaxanim.metrics import psnr
from jaxanim.models.appearance import encoder_params_from_unet
from jaxanim.models.controlnet import controlnet_params_from_unet
from jaxanim.models.motion import add_motion, merge_motion
from jaxanim.models.tokenizer import Tokenizer, encode
from jaxanim.models.unet_config import image_form
from jaxanim.puppets import puppet_clip
from jaxanim.systems.base_model import BaseModel, check_fits, load_base
from jaxanim.systems.conditions import prepare
from jaxanim.systems.magicpose.animate import Options, animate
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.systems.magicpose.losses import TRAINABLE, loss
from jaxanim.systems.magicpose.system import load_parts, save
from jaxanim.training.partition import check_hold, without
from jaxanim.training.pixel_weights import pixel_weights

LABELS = ("poses",)


@dataclasses.dataclass(frozen=True)
class MagicPoseTask:
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
      timestep_power: 1 draws timesteps uniformly, as the paper; more favours high noise.
      weigh_pixels: whether a latent channel's error counts by what it changes in the picture, see `pixel_weights`.
      hold: a regular expression; parameters in whose path it is found do not learn, though the stage trains them.
      sheet_seed: validation puppet of the sample sheet.
    """

    stage: int
    base: str
    model: MagicPoseConfig
    clips: PosedClips | PosedFolders
    start: str | None = None
    controlnet: str | None = None
    targets: int = 1
    mask_face: float = 0.2
    mask_hands: float = 0.5
    drop_prompt: float = 0.5
    timestep_power: float = 1.0
    weigh_pixels: bool = False
    hold: str | None = None
    sheet_seed: int = 900_000

    def __post_init__(self):
        without((), self.hold)  # refuses what is no regular expression
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

    @property
    def trainable(self) -> tuple[str, ...]:
        """The parameters that learn: the base model stays as it is in every stage."""
        return without(TRAINABLE[self.stage], self.hold)

    def foundation(self) -> BaseModel:
        """The frozen base model."""
        base = _base(self.base)
        check_fits(base.unet, image_form(self.model.unet), "the config", self.base)
        return base

    @property
    def config(self) -> MagicPoseConfig:
        """The model of this stage: with motion modules in the third alone."""
        base = self.foundation()
        unet = self.model.unet if self.stage == 3 else image_form(self.model.unet)
        return dataclasses.replace(self.model, vae=base.vae, text_encoder=base.text_encoder, unet=unet)

    def init(self, key: jax.Array) -> PyTree:
        """The base, and on it the parts of the stages before or else copies of its UNet."""
        base, config = self.foundation(), self.config
        params, unet = dict(base.params), base.params["unet"]
        parts = {} if self.start is None else {name: tree for name, (_, tree) in load_parts(self.start)[0].items()}
        if self.controlnet is not None:
            parts["controlnet"] = load_parts(self.controlnet)[0]["controlnet"][1]
        if "appearance_model" not in parts:
            parts["appearance_model"] = encoder_params_from_unet(unet, image_form(config.unet), truncated=False)
        if "controlnet" not in parts:
            parts["controlnet"] = controlnet_params_from_unet(key, unet, config.controlnet)
        modules = parts.pop("motion", None)
        if self.stage == 3:
            params["unet"] = merge_motion(unet, modules) if modules else add_motion(key, unet, config.unet)
        params |= parts
        check_hold(params, self.hold)
        return prepare(params, config, base.tokenizer)

    def source(self, seed: int) -> grain.MapDataset:
        """The latents and keypoints that batches are composed of."""
        return grain.MapDataset.source(latent_clips(self.clips, self.base))

    def batches(self, seed: int, batch_size: int, part: int, parts: int) -> grain.MapDataset:
        """Whole batches of `batch_size` target frames; drawings are made, and masked, as they are needed."""
        clips = latent_clips(self.clips, self.base).arrays()
        tokenizer = self.foundation().tokenizer

        def draw(step: int) -> Batch:
            rng = np.random.default_rng([seed, step, part])
            if self.stage == 0:
                batch = self._prompted(clips, tokenizer, rng, batch_size)
            elif self.stage == 3:
                batch = draw_windows(clips, rng, max(1, batch_size // self.clips.frames), LABELS)
            else:
                batch = draw_pairs(clips, rng, max(1, batch_size // self.targets), self.targets, LABELS)
            poses = batch.pop("poses")
            if self.stage == 1:
                return batch
            return batch | {"pose": self._drawn(poses, rng)}

        return grain.MapDataset.range(2**31).map(draw)

    def _prompted(self, clips: Batch, tokenizer: Tokenizer, rng: np.random.Generator, count: int) -> Batch:
        """Single frames with their prompts, some of them dropped."""
        chosen = rng.integers(len(clips["latents"]), size=count)
        frame = rng.integers(clips["latents"].shape[1], size=count)
        prompts = ["" if rng.random() < self.drop_prompt else clips["prompt"][c].decode() for c in chosen]
        pick = [(clips["latents"][c, f], clips["poses"][c, f]) for c, f in zip(chosen, frame, strict=True)]
        latents, poses = (np.stack(values)[:, None] for values in zip(*pick, strict=True))
        return {"target": latents, "poses": poses, "tokens": encode(tokenizer, prompts)}

    def _drawn(self, poses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Drawings; masks hold for a whole window, and for each of the targets of a pair by itself."""
        side = self.clips.side
        shape = poses.shape[:2]
        if self.stage != 3:
            poses = poses.reshape(-1, 1, *poses.shape[2:])
        drawn = draw_poses(poses, (side, side), rng, mask_face=self.mask_face, mask_hands=self.mask_hands)
        return drawn.reshape(*shape, *drawn.shape[2:])

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Eqs. 4 and 5."""
        weights = pixel_weights(self.base, self.clips) if self.weigh_pixels else None
        return loss(params, self.config, batch, key, self.timestep_power, weights), {}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation puppets: reference, pose, result, truth."""
        rows, side = [], self.clips.side
        sampling = dataclasses.replace(self.model.defaults, window=8, overlap=4)
        for seed in range(self.sheet_seed, self.sheet_seed + 3):
            clip = puppet_clip(seed, 24, (side, side))
            drawn = openpose.draw(clip.keypoints, (side, side))[::3]
            result = animate(
                params,
                self.config,
                jnp.asarray(to_float(clip.reference)),
                jnp.asarray(drawn, jnp.float32) / 255,
                key=key,
                sampling=sampling,
                options=Options(pose=self.stage != 1),
            )
            pictures = to_uint8(np.asarray(result))
            rows += [
                ("reference", np.repeat(clip.reference[None], len(pictures), 0)),
                ("pose", drawn),
                (f"{psnr(pictures, clip.frames[::3]).mean():.1f} dB", pictures),
                ("truth", clip.frames[::3]),
            ]
        return contact_sheet(rows)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the trained parts, which `jaxanim.systems.load` puts on the base again."""
        save(params, self.config, self.base, folder)


@functools.cache
def _base(folder: str) -> BaseModel:
    return load_base(folder)

"""PoseAnything's three training stages as tasks of the training loop (Sec. 5.1 and App. F)."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree, UInt8
from tokenizers import Tokenizer

from jaxanim.cues.skeleton_drawing import draw_segments
from jaxanim.data.batches import Batch
from jaxanim.data.latents import latent_clips
from jaxanim.data.pipeline import cached
from jaxanim.data.skeletons import SkeletonClips
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, to_float, to_uint8
from jaxanim.metrics import psnr
from jaxanim.models.sentencepiece import load_sentencepiece, tokenize
from jaxanim.models.shapes import fresh_params, parameter_shapes
from jaxanim.models.words import word_tokenizer
from jaxanim.puppets import puppet_clip, vocabulary
from jaxanim.puppets.driving import driving_of
from jaxanim.systems.base import Sampling
from jaxanim.systems.poseanything.animate import Options, token_parts
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.systems.poseanything.drawn import DrawnSkeletons
from jaxanim.systems.poseanything.losses import loss
from jaxanim.systems.poseanything.network import PoseMLPConfig
from jaxanim.systems.poseanything.parts import latent_shares
from jaxanim.systems.poseanything.sparse import draw_kept
from jaxanim.systems.poseanything.stages import HUMANS_ALONE, TRAINABLE
from jaxanim.systems.poseanything.system import embedded, run, save
from jaxanim.systems.poseanything.together import load_network
from jaxanim.training.feed import Feed
from jaxanim.training.objective import Objective
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place, Plan
from jaxanim.weights import load_weights, read_description

FIRST = 900_000
"""Seed of the first validation puppet."""


@dataclasses.dataclass(frozen=True)
class PoseAnythingRecipe:
    """One stage of PoseAnything; see `stages` for what each trains.

    Attributes:
      stage: 1 without the part module on humans alone, 2 on all kinds, 3 the part module alone.
      vae: weights folder of the frozen autoencoder.
      model: the sizes of everything; what `vae` and `start` hold has to agree.
      clips: puppets that it learns from.
      start: weights folder of the stage before, or of a base whose transformer has no pose channels: they begin at
        zero. None begins afresh.
      parts: in stage 3, which tokens attend to which: by the parts' names, or the "whole" subject (Table 3's EC).
      drop_pose: how often a video has no pose at all, which decoupled guidance leads away from.
      objective: which errors count how much.
      sheet_seed: first validation puppet of the sample sheet.
    """

    stage: int
    vae: str
    model: PoseAnythingConfig
    clips: SkeletonClips
    start: str | None = None
    parts: str = "named"
    drop_pose: float = 0.0
    objective: Objective = Objective()
    sheet_seed: int = FIRST

    def __post_init__(self):
        if self.stage not in TRAINABLE:
            raise InputError(f"stage is {self.stage}: choose 1, 2 or 3")
        if HUMANS_ALONE[self.stage] and set(self.clips.kinds) != {"human"}:
            raise InputError(f"stage 1 learns from humans alone: kinds is {self.clips.kinds}")
        if self.stage == 3 and (self.start is None or not self.model.transformer.part_attention):
            raise InputError("stage 3 needs `start`, the weights of stage 2, and a model with part_attention")
        if self.parts not in ("named", "whole"):
            raise InputError(f"parts is {self.parts!r}: choose 'named' or 'whole'")
        if not 0 <= self.drop_pose <= 1:
            raise InputError(f"drop_pose is {self.drop_pose}: it is a probability, 0 to 1")
        every = self.model.vae.frames_per_latent
        if (self.clips.frames - 1) % every:
            raise InputError(f"clips have {self.clips.frames} frames: give 1 more than a multiple of {every}")

    def plan(self, batch_size: int) -> Plan:
        """See `jaxanim.training.task.Planned`."""
        from jaxanim.systems.poseanything.plan import plan

        return plan(PoseAnythingTask(self, self.model, {}, None), batch_size)

    def open(self) -> "PoseAnythingTask":
        """Reads the autoencoder and the weights to begin with; InputError for folders without them."""
        vae_config, vae = load_network(self.vae, "vae", shapes=parameter_shapes, mapped=True)
        config, held = dataclasses.replace(self.model, vae=vae_config), {}
        config.check()
        tokenizer = word_tokenizer(vocabulary()) if config.text_encoder is not None else None
        if self.start is not None:
            held["transformer"] = load_network(self.start, "transformer", mapped=True)[1]
            others = {"text_encoder", "pose_mlp"} & set(read_description(self.start)["networks"])
            if others:
                loaded = load_weights(self.start, networks=tuple(sorted(others)), mapped=True)
                held |= {name: tree for name, (_, tree) in loaded.items()}
            if "text_encoder" in held:
                tokenizer = load_sentencepiece(Path(self.start) / "tokenizer")
        if config.text_encoder is not None and tokenizer.get_vocab_size() > config.text_encoder.vocab_size:
            raise InputError(
                f"text_encoder has {config.text_encoder.vocab_size} words; the tokenizer has "
                f"{tokenizer.get_vocab_size()}"
            )
        return PoseAnythingTask(self, config, held | {"vae": vae}, tokenizer)


@dataclasses.dataclass(frozen=True, eq=False)
class PoseAnythingTask:
    """The task of a `PoseAnythingRecipe`; `held` has the parameters that there are, as stored."""

    recipe: PoseAnythingRecipe
    config: PoseAnythingConfig
    held: PyTree
    tokenizer: Tokenizer | None

    @property
    def trainable(self) -> tuple[str, ...]:
        """The parameters that learn; autoencoder and text encoder stay as they are in every stage."""
        return TRAINABLE[self.recipe.stage]

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """What there is of the stages before, and the rest fresh: a fresh part module adds nothing at first."""
        configs: dict[str, Any] = {"vae": self.config.vae, "transformer": self.config.transformer}
        if self.config.text_encoder is not None:
            configs["text_encoder"] = self.config.text_encoder
        if self.config.rules.injection == "mlp":
            configs["pose_mlp"] = PoseMLPConfig(self.config.vae.z_dim)
        params = placed({name: self.held[name] for name in configs if name in self.held}, place)
        for name, one in zip(configs, jax.random.split(key, len(configs)), strict=True):
            if name == "transformer":
                params[name] = with_poses(params.get(name), self.config, one, place)
            elif name not in params:
                params[name] = fresh_params(name, configs[name], one, place)
        return params

    def batches(self, feed: Feed) -> grain.MapDataset:
        """Whole batches of clips encoded and drawn once; poses are left out (App. F) as they are taken."""
        recipe, config = self.recipe, self.config
        clips = latent_clips(recipe.clips, config.vae, placed(self.held["vae"])).arrays()
        # The autoencoder's pixels of one token.
        cell = tuple(config.vae.downscale * side for side in config.transformer.patch_size[1:])
        drawn = cached(
            DrawnSkeletons(
                recipe.clips, cell, config.rules.most_parts, config.rules.fewest_pixels, cached(recipe.clips),
            )
        ).arrays()  # fmt: skip
        prompts = [prompt.decode() for prompt in clips["prompt"]]
        words = None if self.tokenizer is None else tokenize(self.tokenizer, prompts, config.rules.prompt_length)

        def draw(_: np.random.Generator, rng: np.random.Generator) -> Batch:
            chosen = rng.integers(len(prompts), size=feed.batch_size)
            kept = np.stack(
                [draw_kept(rng, recipe.clips.frames) & (rng.random() >= recipe.drop_pose) for _ in chosen]
            )
            poses = drawn["poses"][chosen]
            poses[~kept] = 0
            batch = {"latents": clips["latents"][chosen], "poses": poses}
            if words is not None:
                batch |= {"tokens": words[0][chosen], "words": words[1][chosen]}
            if recipe.stage == 3:
                batch["parts"] = self._parts(drawn["parts"][chosen], kept)
            return batch

        return feed.drawn(draw)

    def _parts(
        self, shares: Float[np.ndarray, "b f parts rows columns"], kept: Bool[np.ndarray, "b f"]
    ) -> np.ndarray:
        """The parts of every token, from the shares of single frames of which some are kept."""
        shown, every = shares * kept[:, :, None, None, None], self.config.vae.frames_per_latent
        form, which = self.config.rules.part_form, self.recipe.parts
        return np.stack([token_parts(form, which, latent_shares(clip, every)) for clip in shown])

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Rectified flow on the frames after the first."""
        return loss(params, self.config, batch, key, self.recipe.objective), {}

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Validation puppets, each of another kind: poses, result and truth."""
        size, frames = self.recipe.clips.size, self.recipe.clips.frames
        sampling = dataclasses.replace(self.config.defaults, size=size)
        options = Options(parts=self.recipe.parts if self.recipe.stage == 3 else "none")
        kinds, rows = self.recipe.clips.kinds, []
        for n in range(3):
            kind = kinds[(2 * n) % len(kinds)]
            clip = puppet_clip(self.recipe.sheet_seed + n, frames, size, kind, reference=False)
            result = self.animated(params, clip, key, sampling, options)
            rows += [
                ("poses", draw_segments(driving_of(clip).graph, size)[::2]),
                (f"{psnr(result, clip.frames).mean():.1f} dB", result[::2]),
                ("truth", clip.frames[::2]),
            ]
        return contact_sheet(rows)

    def animated(self, params, clip, key, sampling: Sampling, options: Options) -> UInt8[np.ndarray, "f h w 3"]:
        """A clip's first frame moved as the clip moves."""

        def embed(prompts):
            if self.tokenizer is None:
                return jnp.zeros((len(prompts), 1, self.config.transformer.text_dim))
            return embedded(params["text_encoder"], self.config, self.tokenizer, prompts)

        reference = jnp.asarray(to_float(clip.frames[0]))
        chosen = {"key": key, "sampling": sampling, "options": options}
        return to_uint8(np.asarray(run(params, self.config, reference, driving_of(clip), embed=embed, **chosen)))

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the system whole, as `jaxanim.systems.load` reads it."""
        save(params, self.config, self.tokenizer, folder)


def with_poses(
    held: PyTree | None, config: PoseAnythingConfig, key: jax.Array, place: Place | None = None
) -> PyTree:
    """A transformer's parameters with what PoseAnything adds: channels for the pose that begin at zero, so that it
    starts as the base, and part modules that add nothing yet."""
    fresh = fresh_params("transformer", config.transformer, key, place)
    if config.transformer.part_attention:
        output = fresh["blocks"]["cross_attn_instance"]["to_out_0"]
        output["kernel"] = jnp.zeros_like(output["kernel"])
    if held is None:
        return fresh
    blocks = fresh["blocks"] | held["blocks"]
    if not config.transformer.part_attention:
        blocks = {name: tree for name, tree in blocks.items() if name in fresh["blocks"]}
    kernel = held["patch_embedding"]["kernel"]
    if (more := config.transformer.in_channels - kernel.shape[-2]) > 0:
        kernel = jnp.pad(kernel, ((0, 0),) * 3 + ((0, more), (0, 0)))
    params = fresh | held | {"blocks": blocks, "patch_embedding": held["patch_embedding"] | {"kernel": kernel}}
    if (shapes := jax.tree.map(jnp.shape, params)) != jax.tree.map(jnp.shape, fresh):
        raise InputError(f"start holds another transformer than the model describes: {_first(shapes, fresh)}")
    return params


def _first(shapes: PyTree, fresh: PyTree) -> str:
    """Where two trees differ first."""
    flat = dict(jax.tree_util.tree_leaves_with_path(shapes, is_leaf=lambda s: isinstance(s, tuple)))
    for path, leaf in jax.tree_util.tree_leaves_with_path(fresh):
        if flat.get(path) != leaf.shape:
            return f"{jax.tree_util.keystr(path, simple=True, separator='/')} {flat.get(path)}, not {leaf.shape}"
    return "it has more parameters"

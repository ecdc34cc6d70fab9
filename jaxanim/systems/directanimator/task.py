"""DirectAnimator's two training stages as tasks of the training loop (Sec. 3.2)."""

import dataclasses
import os
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree, UInt8

from jaxanim.data.buckets import Bucket, draw_batch
from jaxanim.data.pipeline import Cached
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, to_float, to_uint8
from jaxanim.metrics import psnr
from jaxanim.models.cogvideox.config import CogVideoXConfig
from jaxanim.models.cogvideox.image_to_video import length
from jaxanim.models.cogvideox.vae import CogVideoXVAEConfig
from jaxanim.models.shapes import fresh_params
from jaxanim.systems.directanimator.animate import animate
from jaxanim.systems.directanimator.config import DirectAnimatorConfig
from jaxanim.systems.directanimator.cues import CueTriplet
from jaxanim.systems.directanimator.latents import pair_latents
from jaxanim.systems.directanimator.losses import Same2X, directanimator_loss
from jaxanim.systems.directanimator.network import CueLatents, in_front
from jaxanim.systems.directanimator.pairs import FIELDS, PSEUDO, SAME, Pairs
from jaxanim.systems.directanimator.system import read, save, with_prompt
from jaxanim.training.feed import Feed
from jaxanim.training.sharding import placed
from jaxanim.training.task import Place, Plan
from jaxanim.weights import load_weights


@dataclasses.dataclass(frozen=True)
class DirectAnimatorRecipe:
    """One stage of DirectAnimator.

    Attributes:
      stage: 1 learns from cues of the same identity, 2 from pseudo cues of another.
      model: the sizes of everything, but for the cues, which are those of `pairs`; in stage 2 those of `start`.
      start: weights folder of stage 1, which stage 2 begins with and has as its teacher; empty in stage 1.
      vae: weights folder of CogVideoX's autoencoder alone, frozen; empty where `start` is given.
      base: weights folder of CogVideoX's transformer alone, which stage 1 begins with; empty for a fresh one.
      pairs: what is learnt from.
      same2x: the alignment with the teacher; None trains stage 2 without (Table 3, S8).
      afresh: stage 2 trains "a new model" (Fig. 4) from random parameters; False goes on with stage 1's, for
        Sec. 4.1 reads "followed by 30K iterations on cross-ID setting".
      drop_cues: how often all cues are zeros in training, which guidance needs; the paper says nothing of guidance.
    """

    stage: int
    model: DirectAnimatorConfig
    pairs: Pairs
    start: str = ""
    vae: str = ""
    base: str = ""
    same2x: Same2X | None = Same2X()
    afresh: bool = False
    drop_cues: float = 0.1

    def __post_init__(self) -> None:
        if self.stage not in (1, 2):
            raise InputError(f"stage is {self.stage}: choose 1 or 2")
        if (self.stage == 2) != bool(self.start) or bool(self.start) == bool(self.vae or self.base):
            raise InputError(
                "stage 1 needs `vae`, and `base` if any; stage 2 `start` alone, the weights of stage 1"
            )
        if not 0 <= self.drop_cues < 1:
            raise InputError(f"drop_cues is {self.drop_cues}: it is a probability below 1")

    def plan(self, batch_size: int) -> Plan:
        """See `jaxanim.training.task.Planned`."""
        from jaxanim.systems.directanimator.plan import plan

        return plan(DirectAnimatorTask(self, self.model, {}), batch_size)

    def open(self) -> "DirectAnimatorTask":
        """Reads the autoencoder or stage 1's weights."""
        if self.start:
            config, params = read(self.start, mapped=True)
            if config.cues != self.pairs.cues:
                raise InputError(f"pairs have {self.pairs.cues}, but {self.start} learnt from {config.cues}")
            return DirectAnimatorTask(self, config, params)
        vae, autoencoder = _only_network(self.vae, CogVideoXVAEConfig)
        config = dataclasses.replace(self.model, vae=vae, cues=self.pairs.cues)
        params = {"vae": autoencoder}
        if self.base:
            base, params["base"] = _only_network(self.base, CogVideoXConfig)
            transformer = dataclasses.replace(config.transformer, transformer=base)
            config = dataclasses.replace(config, transformer=transformer)
        return DirectAnimatorTask(self, config, params)


def _only_network(folder: str, kind: type) -> tuple[Any, PyTree]:
    """(config, parameters) of a folder with one network; InputError where its config is of another kind."""
    networks = load_weights(folder, mapped=True)
    (config, params), *others = networks.values()
    if others or not isinstance(config, kind):
        raise InputError(f"weights folder {folder} holds {', '.join(networks)}; it should hold a {kind.__name__}'s")
    return config, params


@dataclasses.dataclass(frozen=True, eq=False)
class DirectAnimatorTask:
    """The task of a `DirectAnimatorRecipe`; parameters are "transformer", "vae" and, with Same2X, "teacher"."""

    recipe: DirectAnimatorRecipe
    config: DirectAnimatorConfig
    start: PyTree

    @property
    def trainable(self) -> tuple[str, ...]:
        """All of the transformer (Sec. 4.1)."""
        return (r"^transformer/",)

    @property
    def taught(self) -> bool:
        """Whether there is a teacher."""
        return self.recipe.stage == 2 and self.recipe.same2x is not None

    def init(self, key: Key[Array, ""], place: Place | None = None) -> PyTree:
        """What `start` holds, or a fresh transformer; the teacher is a copy of the transformer."""
        kept = {"vae"} if self.recipe.afresh else {"vae", "transformer"}
        params = placed({name: tree for name, tree in self.start.items() if name in kept}, place)
        if "transformer" not in params:
            fresh = fresh_params("transformer", self.config.transformer, key, place)
            if "base" in self.start:
                base = placed({"transformer": {"transformer": self.start["base"]}}, place)
                fresh["transformer"] |= base["transformer"]["transformer"]
            params["transformer"] = fresh
        if self.taught:
            params |= placed({"teacher": self.start["transformer"]}, place)
        return params

    def batches(self, feed: Feed) -> grain.MapDataset:
        """Encoded pairs, see `PairLatents`; a batch is of one size and length, if there are several (Sec. 4.1)."""
        encoded = self._encoded(self.recipe.pairs)
        if len(encoded) == 1:
            return feed.shuffled(grain.MapDataset.source(encoded[0]))
        sources = {Bucket(*part.arrays()["latents"].shape[1:4]): part for part in encoded}
        members = {bucket: list(range(len(part))) for bucket, part in sources.items()}

        def draw(shared: np.random.Generator, own: np.random.Generator) -> dict[str, np.ndarray]:
            bucket, chosen = draw_batch(members, feed.batch_size, shared, own)
            return {name: values[chosen] for name, values in sources[bucket].arrays().items()}

        return feed.drawn(draw)

    def held_out(self, batch_size: int) -> list[dict[str, np.ndarray]]:
        """Batches of pairs that nothing learns from: about 64 pairs, or as many as there are to learn from."""
        have = sum(map(len, self.recipe.pairs.shapes()))
        pairs = self.recipe.pairs.held_out(max(min(64, have) // batch_size * batch_size, batch_size))
        batches = [
            {name: values[start : start + batch_size] for name, values in part.arrays().items()}
            for part in self._encoded(pairs)
            for start in range(0, len(part) - batch_size + 1, batch_size)
        ]
        if not batches:
            raise InputError(
                f"batch_size is {batch_size}: fewer pairs of each size are held out; give a smaller one"
            )
        return batches

    def _encoded(self, pairs: Pairs) -> list[Cached]:
        vae = placed(self.start["vae"])
        return [pair_latents(part, self.config.vae, vae) for part in pairs.shapes()]

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The denoising loss, and Same2X in the second stage (Eq. 4)."""
        config, recipe = self.config, self.recipe
        transformer = config.transformer.transformer
        batch = {name: value.astype(jnp.float32) for name, value in batch.items()}
        frames = config.vae.temporal_compression_ratio * (batch["latents"].shape[1] - 1) + 1
        extra = length(frames, transformer, config.vae).extra
        drop, loss_key = jax.random.split(key)
        z0 = in_front(batch["latents"], extra)
        kept = jax.random.bernoulli(drop, 1 - recipe.drop_cues, (len(z0), 1, 1, 1, 1))

        def cues(prefix: str) -> CueLatents:
            return CueLatents(*(in_front(batch[prefix + name], extra) * kept for name in CueLatents._fields))

        text = jnp.zeros((len(z0), 1, transformer.text_embed_dim))
        taught = {}
        if self.taught:
            taught = {"teacher": params["teacher"], "same_id_cues": cues(SAME), "same2x": recipe.same2x}
        return directanimator_loss(
            params["transformer"], config.transformer, config.diffusion, z0, batch["image"], text,
            cues(SAME if recipe.stage == 1 else PSEUDO), loss_key, **taught,
        )  # fmt: skip

    def sheet(self, params: PyTree, key: Key[Array, ""]) -> UInt8[np.ndarray, "height width 3"]:
        """Two validation pairs: the reference, the pseudo driver's cue (where there is none, that of the video
        itself), the result and the truth."""
        pairs, rows = self.recipe.pairs.examples(), []
        params = with_prompt(params, self.config)
        for i in range(min(2, len(pairs))):
            pair = pairs[i]
            cues = CueTriplet(*(pair[pairs.prefixes[-1] + name] for name in FIELDS))
            reference = jnp.asarray(to_float(pair["reference"]))
            made = animate(params, self.config, reference, cues, key=key, sampling=self.config.defaults)
            pictures, truth = to_uint8(np.asarray(made))[::4], pair["frames"][::4]
            rows += [
                ("reference", np.repeat(pair["reference"][None], len(truth), 0)),
                ("driven by", cues.pose[::4]),
                (f"{psnr(pictures, truth).mean():.1f} dB", pictures),
                ("truth", truth),
            ]
        return contact_sheet(rows)

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports weights that `jaxanim.systems.load` reads."""
        save(params, self.config, folder)

"""What MagicAnimate makes of clips whose true frames are known, as a data source."""

import dataclasses
import functools
import hashlib
import os

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from jaxanim.cues.densepose import colour_parts
from jaxanim.data.clips import Clips
from jaxanim.data.pipeline import Cached, Element, cached
from jaxanim.media.images import to_float
from jaxanim.models.vae import to_latents
from jaxanim.systems.base import System
from jaxanim.systems.magicanimate.animate import Options, animate_latents
from jaxanim.systems.magicanimate.system import load

DECODER = ("decoder/", "post_quant_conv/")


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Other frames of the first `count` clips, animated from one frame of each with the weights' own defaults.

    Every frame is denoised by itself, for the frames of a clip need not follow each other.

    Attributes:
      clips: what is animated; "frames" and "parts" are read.
      count: how many of them.
      targets: frames animated in each clip.
      weights: folder of MagicAnimate weights.
      digest: of them, see `digest`: the decoder may change.

    Elements: "estimates" and "latents" float16 [targets, h, w, c], the scaled latents that were sampled and the
    true ones, and "frames" uint8 [targets, height, width, 3].
    """

    clips: Clips
    count: int
    targets: int
    weights: str = dataclasses.field(repr=False)
    digest: str = ""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Element:
        clip = _clips(self.clips)[index]
        system = _system(self.weights)
        rng = np.random.default_rng(index)
        first, *others = rng.choice(len(clip["frames"]), self.targets + 1, replace=False)
        frames = clip["frames"][others]
        estimates = animate_latents(
            system.params,
            system.config,
            jnp.asarray(to_float(clip["frames"][first])),
            colour_parts(clip["parts"][others]),
            key=jax.random.key(index),
            sampling=dataclasses.replace(system.defaults, window=self.targets, overlap=0),
            options=Options(temporal=False),
        )
        latents = to_latents(system.params["vae"], system.config.vae, jnp.asarray(to_float(frames))[None])[0]
        return {
            "estimates": np.asarray(estimates, np.float16),
            "latents": np.asarray(latents, np.float16),
            "frames": frames,
        }


def estimates(clips: Clips, count: int, targets: int, weights: str | os.PathLike) -> Cached:
    """Cached `Estimates` by the weights that lie in folder `weights` now."""
    cached(clips)  # rendered by a pool of processes before one process animates
    weights = os.fspath(weights)
    return cached(Estimates(clips, count, targets, weights, digest(_system(weights))), processes=1)


def digest(system: System) -> str:
    """12 hexadecimal digits of everything that decides sampled latents: all parameters but the autoencoder's
    decoder, the noise schedule, and the steps and guidance that the weights ask for."""
    found = hashlib.sha256(repr((system.config.diffusion, system.defaults)).encode())
    for path, leaf in sorted(flatten_dict(system.params, sep="/").items()):
        if not path.removeprefix("vae/").startswith(DECODER):
            found.update(path.encode() + np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:12]


@functools.cache
def _clips(clips: Clips) -> Cached:
    return cached(clips)


@functools.cache
def _system(weights: str) -> System:
    return load(weights)

"""What trained weights make of clips whose true frames are known, as a data source."""

import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import PyTree

from jaxanim.data.clips import Clips
from jaxanim.data.pipeline import Cached, Element, Source, cached
from jaxanim.media.images import to_float
from jaxanim.models.vae import to_latents
from jaxanim.training.finishing.weights import Weights

DECODER = ("decoder/", "post_quant_conv/")


@dataclasses.dataclass(frozen=True, eq=False)
class Estimates:
    """Other frames of the first `count` clips, sampled from one frame of each as the weights ask for.

    Every frame is denoised by itself, for the frames of a clip need not follow each other.

    Attributes:
      clips: what is sampled: a source of "frames" and the weights' labels.
      count: how many of them.
      targets: frames sampled in each clip.
      digest: of the weights, see `digest`: the decoder may change.
      weights, params: what samples, and its parameters.
      rendered: where `clips`' elements are read from.

    Elements: "estimates" and "latents" float16 [targets, h, w, c], the scaled latents that were sampled and the
    true ones, and "frames" uint8 [targets, height, width, 3].
    """

    clips: Clips
    count: int
    targets: int
    digest: str
    weights: Weights = dataclasses.field(repr=False)
    params: PyTree = dataclasses.field(repr=False)
    rendered: Source = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Element:
        clip = self.rendered[index]
        rng = np.random.default_rng(index)
        first, *others = rng.choice(len(clip["frames"]), self.targets + 1, replace=False)
        reference, true = (self._latents(clip["frames"][chosen]) for chosen in ([first], others))
        labels = {name: jnp.asarray(clip[name][others])[None] for name in self.weights.labels}
        estimates = self._sample(self.params, reference, labels, jax.random.key(index))[0]
        return {
            "estimates": np.asarray(estimates, np.float16),
            "latents": np.asarray(true, np.float16),
            "frames": clip["frames"][others],
        }

    def _latents(self, frames: np.ndarray) -> jax.Array:
        return to_latents(self.params["vae"], self.weights.vae, jnp.asarray(to_float(frames))[None])[0]

    @functools.cached_property
    def _sample(self):
        return jax.jit(self.weights.sample_latents)


def estimates(clips: Clips, count: int, targets: int, weights: Weights) -> Cached:
    """Cached `Estimates` of the first `count` clips."""
    params = weights.init()
    # Rendered by a pool of processes before one process samples.
    source = Estimates(clips, count, targets, digest(weights), weights, params, cached(clips))
    return cached(source, processes=1)


def digest(weights: Weights) -> str:
    """12 hexadecimal digits of everything that decides sampled latents: all parameters but the autoencoder's
    decoder, and the settings."""
    found = hashlib.sha256(repr(weights.settings).encode())
    for path, leaf in sorted(flatten_dict(weights.params, sep="/").items()):
        if not path.removeprefix("vae/").startswith(DECODER):
            found.update(path.encode() + np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:12]

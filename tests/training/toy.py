"""Linear regression, for testing the training loop."""

import dataclasses
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np

from jaxanim.training.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Toy:
    """Fits weights to noisy linear data; `noise` perturbs the input at each step."""

    features: int = 8
    noise: float = 0.1
    explode_at: int | None = None
    trainable: tuple[str, ...] = ("^fit/",)

    def open(self):
        return self

    def init(self, key, place=None):
        kernel = jax.random.normal(key, (self.features, 4)) * 0.1
        return {
            "fit": {"dense": {"kernel": kernel, "bias": jnp.zeros(4)}},
            "frozen": {"scale": jnp.full(4, 2.0)},
        }

    def batches(self, feed):
        return feed.shuffled(self.elements(feed.seed))

    def held_out(self, batch_size):
        elements = self.elements(1000)
        return [
            jax.tree.map(lambda *x: np.stack(x), *(elements[i] for i in range(n, n + batch_size))) for n in (0, 20)
        ]

    def elements(self, seed):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(50, self.features)).astype(np.float32)
        y = (x @ rng.normal(size=(self.features, 4))).astype(np.float32)
        return grain.MapDataset.source([{"x": a, "y": b} for a, b in zip(x, y, strict=True)])

    def loss(self, params, batch, key):
        x = batch["x"] + self.noise * jax.random.normal(key, batch["x"].shape)
        dense = params["fit"]["dense"]
        error = (x @ dense["kernel"] + dense["bias"]) * params["frozen"]["scale"] - batch["y"]
        loss = jnp.mean(error**2)
        if self.explode_at is not None:
            loss = jnp.where(jnp.sum(jnp.abs(dense["bias"])) > self.explode_at / 1000, jnp.nan, loss)
        return loss, {"largest": jnp.max(jnp.abs(error))}

    def sheet(self, params, key):
        kernel = params["fit"]["dense"]["kernel"]
        return np.asarray(jnp.clip(kernel * 64 + 128, 0, 255), np.uint8)[..., None].repeat(3, -1)

    def save(self, params, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "kernel.npy", np.asarray(params["fit"]["dense"]["kernel"]))


config = Experiment(
    name="toy", task=Toy(), steps=60, learning_rate=0.01, warmup=5, schedule="cosine", log_every=7, save_every=10,
    sheet_every=60, validate_every=20, ema_decay=0.99,
)  # fmt: skip

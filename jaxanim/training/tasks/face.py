"""Training the face network: identities by an additive angular margin (Deng et al. 2019), states by regression."""

import dataclasses
import os

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt8

from jaxanim.data.faces import FaceCrops
from jaxanim.data.pipeline import cached
from jaxanim.media.images import contact_sheet
from jaxanim.models.face import FaceConfig, FaceNet
from jaxanim.training.feed import Feed
from jaxanim.training.task import Place
from jaxanim.weights import save_weights


@dataclasses.dataclass(frozen=True)
class FaceTask:
    """Tell the identities of `crops` apart, and read what each face does.

    Attributes:
      model: sizes of the network; `crops` have its side.
      crops: faces to learn from; each element is a class.
      held_out: faces of other identities, for the sample sheet and the result that `save` notes.
      margin: m of ArcFace's Eq. 3 in radians. scale: s there.
      state_weight: of the state's squared error, in units of each state's variance, beside the cross-entropy.
      noise: largest deviation of the noise added to pictures in [-1, 1]; blur: largest share of a 3x3 mean mixed
        in. Both are drawn for every picture: generated faces are noisier and softer than rendered ones.
    """

    model: FaceConfig
    crops: FaceCrops
    held_out: FaceCrops
    margin: float = 0.3
    scale: float = 16.0
    state_weight: float = 0.3
    noise: float = 0.15
    blur: float = 1.0
    trainable: tuple[str, ...] = (r"^face/", r"^classes$")

    def open(self) -> "FaceTask":
        """The task itself, for there are no weights to begin with."""
        return self

    def init(self, key: jax.Array, place: Place | None = None) -> PyTree:
        """Fresh network, and one direction for every identity."""
        key_net, key_classes = jax.random.split(key)
        x = jax.ShapeDtypeStruct((1, self.model.side, self.model.side, 3), jnp.float32)
        return {
            "face": FaceNet(self.model).lazy_init(key_net, x)["params"],
            "classes": jax.random.normal(key_classes, (len(self.crops), self.model.embedding)),
        }

    def batches(self, feed: Feed) -> grain.MapDataset:
        """Batches of `elements`."""
        return feed.shuffled(self.elements())

    def elements(self) -> grain.MapDataset:
        """{"face": uint8 [side, side, 3], "state": [4], "identity": int32}: every face that is seen, by itself."""
        arrays = cached(self.crops).arrays()
        where = np.argwhere(arrays["seen"])

        def pick(index: int) -> dict[str, np.ndarray]:
            i, f = where[index]
            return {
                "face": np.array(arrays["faces"][i, f]),
                "state": np.array(arrays["state"][i, f]),
                "identity": np.int32(i),
            }

        return grain.MapDataset.range(len(where)).map(pick)

    def loss(
        self, params: PyTree, batch: dict[str, Array], key: jax.Array
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Cross-entropy with the margin + the states' error; metrics: how often the identity is right."""
        faces = self.worsened(batch["face"].astype(jnp.float32) / 127.5 - 1, key)
        embedding, state = FaceNet(self.model).apply({"params": params["face"]}, faces)
        cosines = embedding @ _unit(params["classes"]).T
        logits = arcface_logits(cosines, batch["identity"], self.margin, self.scale)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch["identity"][:, None], -1)
        error = jnp.mean(jnp.square((state - batch["state"]) / jnp.array(STATE_DEVIATIONS)))
        right = jnp.mean(jnp.argmax(cosines, -1) == batch["identity"])
        return self.state_weight * error - jnp.mean(chosen), {"accuracy": right, "state_error": error}

    def worsened(self, faces: Float[Array, "n side side 3"], key: jax.Array) -> Float[Array, "n side side 3"]:
        """Faces with noise and blur, of another strength each."""
        key_blur, key_level, key_noise = jax.random.split(key, 3)
        shares = self.blur * jax.random.uniform(key_blur, (len(faces), 1, 1, 1))
        padded = jnp.pad(faces, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        side = faces.shape[1]
        soft = sum(padded[:, y : y + side, x : x + side] for y in range(3) for x in range(3)) / 9
        level = self.noise * jax.random.uniform(key_level, (len(faces), 1, 1, 1))
        return faces + shares * (soft - faces) + level * jax.random.normal(key_noise, faces.shape)

    def sheet(self, params: PyTree, key: jax.Array) -> UInt8[np.ndarray, "height width 3"]:
        """Held-out faces: a frame of each identity above another frame of the one that is nearest to it."""
        first, second = self.held_out_pairs()
        nearest = np.argmax(self.embed(params, first) @ self.embed(params, second).T, -1)
        return contact_sheet([("face", first), ("nearest", second[nearest]), ("same", second)])

    def held_out_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Two faces of every held-out identity that is seen twice, uint8 [identities, side, side, 3] each."""
        elements = [self.held_out[i] for i in range(len(self.held_out))]
        pairs = [e["faces"][np.flatnonzero(e["seen"])[[0, -1]]] for e in elements if e["seen"].sum() > 1]
        return tuple(np.stack(faces) for faces in zip(*pairs, strict=True))

    def embed(self, params: PyTree, faces: UInt8[np.ndarray, "n side side 3"]) -> Float[np.ndarray, "n length"]:
        """Unit embeddings."""
        inputs = jnp.asarray(faces, jnp.float32) / 127.5 - 1
        return np.asarray(jax.jit(FaceNet(self.model).apply)({"params": params["face"]}, inputs)[0])

    def save(self, params: PyTree, folder: str | os.PathLike) -> None:
        """Exports the network as system "face", with how often it finds a held-out identity among all of them."""
        first, second = self.held_out_pairs()
        similar = self.embed(params, first) @ self.embed(params, second).T
        others = similar[~np.eye(len(similar), dtype=bool)]
        result = {
            "held_out_identities": len(similar),
            "found": round(float(np.mean(np.argmax(similar, -1) == np.arange(len(similar)))), 4),
            "cosine_same": round(float(np.mean(np.diag(similar))), 4),
            "cosine_other": round(float(np.mean(others)) if len(others) else 0.0, 4),
        }
        save_weights(folder, {"face": (self.model, params["face"])}, system="face", metadata=result)


# Of the states over puppets' faces, roughly: they bring the four errors to one scale.
STATE_DEVIATIONS = (0.15, 0.15, 0.2, 0.15)


def arcface_logits(
    cosines: Float[Array, "n identities"], identity: Int[Array, " n"], margin: float, scale: float
) -> Float[Array, "n identities"]:
    """s cos(theta + m) for the true identity, s cos(theta) for the others (ArcFace, Eq. 3).

    Past theta = pi - m, where the cosine would rise again, the true identity's goes on falling in a line, as in
    the authors' implementation: cos(theta) - m sin(m).
    """
    cosines = jnp.clip(cosines, -1 + 1e-6, 1 - 1e-6)
    moved = jnp.cos(jnp.arccos(cosines) + margin)
    moved = jnp.where(cosines > jnp.cos(jnp.pi - margin), moved, cosines - margin * jnp.sin(margin))
    own = jax.nn.one_hot(identity, cosines.shape[1], dtype=bool)
    return scale * jnp.where(own, moved, cosines)


def _unit(x: Float[Array, "n length"]) -> Float[Array, "n length"]:
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)

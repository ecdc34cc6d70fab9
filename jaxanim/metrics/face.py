"""Face-Cos (MagicPose Sec. 5.3) and how well a generated face does what it should, by an injectable face network.

Face-Cos is the cosine similarity between the embeddings of the face in a generated frame and in the true one,
the mean over frames. The paper embeds by AdaFace; here any of these does:
  PuppetFaceNetwork   trained on puppets (configs/face.py); also reads the face's state from its picture
  OnnxFaceNetwork     an ArcFace or AdaFace file that a user has; needs the extra `face` (onnxruntime)
"""

import os
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues.faces import STATES, aligned, seen, state
from jaxanim.errors import InputError
from jaxanim.metrics.evaluate import Case, Measure
from jaxanim.models.face import FaceNet
from jaxanim.weights import load_weights

Faces = UInt8[np.ndarray, "faces side side 3"]


@runtime_checkable
class FaceNetwork(Protocol):
    """What embeds faces that are aligned to `jaxanim.cues.faces.TEMPLATE` in pictures of `side` pixels."""

    side: int

    def embed(self, faces: Faces) -> Float[np.ndarray, "faces length"]:
        """Embeddings, of any length but zero."""
        ...


class PuppetFaceNetwork:
    """The network of `jaxanim.models.face`, from its weights folder."""

    def __init__(self, folder: str | os.PathLike):
        config, params = load_weights(folder, system="face", networks=("face",))["face"]
        self.side = config.side
        self._run = jax.jit(partial(FaceNet(config).apply, {"params": jax.tree.map(jnp.asarray, params)}))

    def embed(self, faces: Faces) -> Float[np.ndarray, "faces length"]:
        """Unit embeddings of the identity."""
        return np.asarray(self._run(jnp.asarray(faces, jnp.float32) / 127.5 - 1)[0])

    def read_state(self, faces: Faces) -> Float[np.ndarray, "faces 4"]:
        """The state of `jaxanim.cues.faces.state`, read from pictures alone."""
        return np.asarray(self._run(jnp.asarray(faces, jnp.float32) / 127.5 - 1)[1])


class OnnxFaceNetwork:
    """An ArcFace or AdaFace network in an ONNX file: pictures of 112 x 112, channels first, in [-1, 1].

    Args:
      channels: order of the colours, "rgb" for ArcFace and "bgr" for AdaFace.

    Raises:
      InputError: onnxruntime is not installed, or the file is not such a network.
    """

    side = 112

    def __init__(self, path: str | os.PathLike, channels: str = "rgb"):
        if channels not in ("rgb", "bgr"):
            raise InputError(f"channels is {channels!r}: choose 'rgb' (ArcFace) or 'bgr' (AdaFace)")
        try:
            import onnxruntime
        except ImportError:
            raise InputError("face networks in ONNX files need onnxruntime: install jaxanim[face]") from None
        if not Path(path).is_file():
            raise InputError(f"face network {path} does not exist")
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no public base
            raise InputError(f"face network {path} cannot be read as ONNX: {error}") from None
        shape = self._session.get_inputs()[0].shape
        if list(shape[1:]) != [3, self.side, self.side]:
            raise InputError(f"face network {path} takes inputs of shape {shape}, not [faces, 3, 112, 112]")
        self._reverse = channels == "bgr"

    def embed(self, faces: Faces) -> Float[np.ndarray, "faces length"]:
        """The network's first output, one face at a time, for many files have a batch of one."""
        pixels = faces[..., ::-1] if self._reverse else faces
        inputs = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / 127.5 - 1
        name = self._session.get_inputs()[0].name
        return np.concatenate([self._session.run(None, {name: face[None]})[0] for face in inputs])


def load_face_network(path: str | os.PathLike) -> FaceNetwork:
    """A puppet network from a folder, or an ONNX file: AdaFace if its name says so, else ArcFace."""
    if Path(path).suffix.lower() == ".onnx":
        return OnnxFaceNetwork(path, "bgr" if "adaface" in Path(path).name.lower() else "rgb")
    return PuppetFaceNetwork(path)


def cosine(a: Float[np.ndarray, "faces length"], b: Float[np.ndarray, "faces length"]) -> np.ndarray:
    """Cosine similarity, row by row, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def face_cos(
    network: FaceNetwork,
    result: UInt8[np.ndarray, "frames height width 3"],
    truth: UInt8[np.ndarray, "frames height width 3"],
    landmarks: Float[np.ndarray, "frames 68 3"],
) -> Float[np.ndarray, " frames"]:
    """Face-Cos of every frame; nan where no face is seen.

    Args:
      landmarks: the true face's; the generated one is looked for in the same place, where it should be.
    """
    cut = partial(aligned, landmarks=landmarks, side=network.side)
    values = cosine(network.embed(cut(result)), network.embed(cut(truth)))
    return np.where(seen(landmarks), values, np.nan)


def measure_faces(network: FaceNetwork) -> Measure:
    """Metrics for `jaxanim.metrics.evaluate.evaluate_cases`, each per frame, nan where no face is seen.

    `face_cos`; FIS and FTS (DirectAnimator, App. A.4), the cosine of each frame's face with the reference's (`fis`)
    and with the next frame's (`fts`); and where the network reads states, `mouth_error`, `eyes_error` and
    `head_error` (yaw and pitch together): how far the state read from the generated face is from the true
    landmarks' (units of `jaxanim.cues.faces.state`). The same with `_truth` is read from the true frames, the least
    that this measuring can tell, and with `_static` from the reference's own face, which stays as it is. `flc` is
    the mean error of the state's four numbers, which are lengths over that between the eyes: FLC in its puppet
    form, for at these sizes no estimator finds 68 landmarks.
    """

    def measure(result: UInt8[np.ndarray, "frames height width 3"], case: Case) -> dict[str, np.ndarray]:
        if case.face is None:
            return {}
        there, cut = seen(case.face), partial(aligned, side=network.side)
        scores = {"face_cos": face_cos(network, result, case.truth, case.face)}
        embedded = network.embed(cut(result, case.face))
        scores["fts"] = np.where(there[1:] & there[:-1], cosine(embedded[1:], embedded[:-1]), np.nan)
        faces = {"": cut(result, case.face), "_truth": cut(case.truth, case.face)}
        if case.reference_face is not None and seen(case.reference_face[None])[0]:
            still = cut(case.reference[None], case.reference_face[None])
            faces["_static"] = np.repeat(still, len(case.face), 0)
            own = network.embed(faces["_static"])
            scores["fis"] = np.where(there, cosine(embedded, own), np.nan)
            similar = cosine(own, network.embed(faces["_truth"]))
            scores["face_cos_static"] = np.where(there, similar, np.nan)
        if not isinstance(network, PuppetFaceNetwork):
            return scores
        true = state(case.face)
        for suffix, crops in faces.items():
            error = np.where(there[:, None], np.abs(network.read_state(crops) - true), np.nan)
            by_name = dict(zip(STATES, error.T, strict=True))
            scores[f"mouth_error{suffix}"], scores[f"eyes_error{suffix}"] = by_name["mouth"], by_name["eyes"]
            scores[f"flc{suffix}"] = error.mean(-1)
            scores[f"head_error{suffix}"] = np.hypot(by_name["yaw"], by_name["pitch"])
        return scores

    return measure

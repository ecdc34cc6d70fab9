"""Face-Cos by a network that can be injected, and what a report shows of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.cues.driving import OPENPOSE, Needs
from jaxanim.cues.faces import aligned, seen, state
from jaxanim.errors import InputError
from jaxanim.metrics.evaluate import score
from jaxanim.metrics.face import (
    OnnxFaceNetwork,
    PuppetFaceNetwork,
    cosine,
    face_cos,
    load_face_network,
    measure_faces,
)
from jaxanim.metrics.puppet_cases import puppet_case
from jaxanim.metrics.report import results_table
from jaxanim.models.face import FaceConfig, FaceNet
from jaxanim.weights import save_weights


class MeanColour:
    """Embeds a face as its mean colour."""

    side = 16

    def embed(self, faces):
        assert faces.dtype == np.uint8
        assert faces.shape[1:] == (16, 16, 3)
        return faces.astype(np.float64).mean((1, 2))


@pytest.fixture(scope="module")
def case():
    return puppet_case(950_001, frames=6, size=(96, 96), needs=Needs((OPENPOSE,)))


def test_cosine_row_by_row():
    a, b = np.array([[3.0, 0.0], [1.0, 1.0]]), np.array([[5.0, 0.0], [1.0, -1.0]])
    np.testing.assert_allclose(cosine(a, b), [1.0, 0.0], atol=1e-12)


def test_face_cos_looks_at_the_face_alone_and_skips_hidden_ones(case):
    there = seen(case.face)
    assert there.any()
    hidden = case.face.copy()
    hidden[0, 30, 2] = 0
    equal = face_cos(MeanColour(), case.truth, case.truth, hidden)
    np.testing.assert_allclose(equal[1:][there[1:]], 1.0)
    assert np.isnan(equal[0])
    elsewhere = case.truth.copy()
    elsewhere[:, -10:] = 0
    np.testing.assert_allclose(face_cos(MeanColour(), elsewhere, case.truth, case.face)[there], 1.0)
    red = np.zeros_like(case.truth) + np.array([255, 0, 0], np.uint8)
    assert np.nanmax(face_cos(MeanColour(), red, case.truth, case.face)) < 0.9


def test_scores_and_columns_of_an_evaluation(case):
    row, _ = score(
        lambda reference, driving: np.broadcast_to(reference, case.truth.shape), case, measure_faces(MeanColour())
    )
    assert -1 <= row["face_cos"] <= 1
    lines = results_table({"a": row}, "case").splitlines()
    static = "(static)"
    assert lines[0].split()[-8:] == ["face-cos", static, "mouth", static, "eyes", static, "head", static]
    assert lines[1].split()[-6:] == ["-"] * 6  # a network of identities alone reads no state
    without, _ = score(lambda reference, driving: np.broadcast_to(reference, case.truth.shape), case)
    assert "face-cos" not in results_table({"a": without}, "case")


@pytest.fixture
def network(tmp_path):
    """An untrained puppet network; its outputs are well defined all the same."""
    config = FaceConfig(side=16, widths=(8, 8), embedding=8)
    params = jax.jit(FaceNet(config).init)(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    save_weights(tmp_path / "face", {"face": (config, params)}, system="face")
    return load_face_network(tmp_path / "face")


def test_a_puppet_network_reads_states_from_pictures(network, case):
    assert isinstance(network, PuppetFaceNetwork)
    faces = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    np.testing.assert_allclose(np.linalg.norm(network.embed(faces), axis=-1), 1.0, atol=1e-3)
    scores = measure_faces(network)(case.truth, case)
    # Of the true frames, the result's error is the measuring's own; a reference among the frames would have theirs.
    np.testing.assert_array_equal(scores["mouth_error"], scores["mouth_error_truth"])
    there = seen(case.face)
    true = state(case.face)[there]
    first = np.flatnonzero(there)[0]
    still = dataclasses.replace(case, reference=case.truth[first], reference_face=case.face[first])
    static = measure_faces(network)(case.truth, still)
    np.testing.assert_allclose(static["face_cos_static"][first], 1.0, atol=1e-6)
    eyes = network.read_state(aligned(case.truth[first][None], case.face[first][None], 16))[0, 1]
    np.testing.assert_allclose(static["eyes_error_static"][there], np.abs(eyes - true[:, 1]), atol=1e-5)
    assert set(static) == {"face_cos", "face_cos_static", "fis", "fts"} | {
        f"{name}{suffix}"
        for name in ("mouth_error", "eyes_error", "head_error", "flc")
        for suffix in ("", "_truth", "_static")
    }
    # The true frames' own faces beside the reference, which is the first of them, and beside each other.
    embedded = network.embed(aligned(case.truth, case.face, 16)).astype(np.float64)
    np.testing.assert_allclose(static["fis"][there], embedded[there] @ embedded[first], atol=1e-5)
    assert len(static["fts"]) == len(case.truth) - 1
    pairs = there[1:] & there[:-1]
    np.testing.assert_allclose(static["fts"][pairs], (embedded[1:] * embedded[:-1]).sum(-1)[pairs], atol=1e-5)
    read = network.read_state(aligned(case.truth, case.face, 16))[there]
    np.testing.assert_allclose(static["flc"][there], np.abs(read - true).mean(-1), atol=1e-5)
    hidden = dataclasses.replace(still, reference_face=np.zeros((68, 3)))
    assert not any(name.endswith("_static") for name in measure_faces(network)(case.truth, hidden))
    assert measure_faces(network)(case.truth, dataclasses.replace(case, face=None)) == {}


def test_onnx_files_are_embedded_in_their_channel_order(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("GlobalMaxPool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])],
        "mean", [helper.make_tensor_value_info("x", float32, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("y", float32, [1, 3])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    faces = np.zeros((2, 112, 112, 3), np.uint8)
    faces[0, ..., 0], faces[1, ..., 2] = 255, 51
    means = {"arcface": [[1, -1, -1], [-1, -1, -0.6]], "adaface": [[-1, -1, 1], [-0.6, -1, -1]]}
    for name, expected in means.items():
        onnx.save(model, tmp_path / f"{name}_r18.onnx")
        np.testing.assert_allclose(
            load_face_network(tmp_path / f"{name}_r18.onnx").embed(faces), expected, atol=1e-5
        )
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"bad\.onnx cannot be read as ONNX"):
        OnnxFaceNetwork(tmp_path / "bad.onnx")


def test_networks_that_cannot_be_had_are_named(tmp_path):
    with pytest.raises(InputError, match="channels is 'grey'"):
        OnnxFaceNetwork(tmp_path / "a.onnx", "grey")
    with pytest.raises(InputError, match=r"a\.onnx does not exist|onnxruntime: install jaxanim\[face\]"):
        OnnxFaceNetwork(tmp_path / "a.onnx")
    with pytest.raises(InputError, match=r"weights folder .*none does not exist"):
        load_face_network(tmp_path / "none")

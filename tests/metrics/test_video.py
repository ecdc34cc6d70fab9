import chex
import numpy as np
import pytest

from jaxanim.metrics.image import psnr
from jaxanim.metrics.video import compare, static_video, summary, table, temporal_error


@pytest.fixture
def videos():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (5, 16, 12, 3), dtype=np.uint8)
    result = rng.integers(0, 256, (5, 16, 12, 3), dtype=np.uint8)
    return result, truth


def test_temporal_error_equals_its_transcription(videos):
    result, truth = videos
    expected = []
    for i in range(1, 5):
        ours = result[i].astype(int) - result[i - 1].astype(int)
        theirs = truth[i].astype(int) - truth[i - 1].astype(int)
        expected.append(np.abs(ours - theirs).mean())
    chex.assert_trees_all_close(temporal_error(result, truth), np.array(expected), rtol=1e-12)


def test_a_constant_offset_has_no_temporal_error():
    truth = np.random.default_rng(0).integers(0, 100, (4, 16, 12, 3), dtype=np.uint8)
    assert temporal_error(truth + np.uint8(50), truth).max() == 0


def test_compare_holds_the_result_and_the_static_baseline(videos):
    result, truth = videos
    mask = np.random.default_rng(1).random(truth.shape[:3]) > 0.5
    scores = compare(result, truth, truth[0], mask)
    chex.assert_trees_all_equal(scores["psnr_subject"], psnr(result, truth, mask))
    error = np.square(result.astype(float) - truth).mean(-1)
    outside = [frame[~at].mean() for frame, at in zip(error, mask, strict=True)]
    chex.assert_trees_all_close(scores["psnr_background"], 10 * np.log10(255**2 / np.array(outside)))
    chex.assert_trees_all_equal(scores["psnr_static"], psnr(static_video(truth[0], 5), truth))
    assert np.isposinf(scores["psnr_static"][0])
    assert np.isfinite(scores["psnr_static"][1:]).all()
    chex.assert_shape([scores["temporal_error"], scores["temporal_error_static"]], (4,))
    assert "psnr_subject" not in compare(result, truth, truth[0])


def test_summary_leaves_out_frames_without_a_subject_and_writes_no_infinity():
    scores = {"a": np.array([1.0, np.nan, 3.0]), "b": np.array([np.inf, 1.0]), "c": np.array([])}
    assert summary(scores) == {"a": 2.0, "b": None, "c": None}


def test_table_has_a_row_per_frame_and_puts_changes_at_the_later_frame():
    text = table({"psnr": np.array([10.0, 20.0, 30.0]), "temporal_error": np.array([1.0, 3.0])})
    rows = [line.split() for line in text.splitlines()]
    assert rows == [
        ["frame", "psnr", "temporal_error"],
        ["0", "10.000", "-"],
        ["1", "20.000", "1.000"],
        ["2", "30.000", "3.000"],
        ["mean", "20.000", "2.000"],
    ]
    assert len({len(line) for line in text.splitlines()}) == 1

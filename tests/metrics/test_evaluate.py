import dataclasses
import json

import chex
import numpy as np
import pytest

from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.media.images import read_image
from jaxanim.metrics.evaluate import Case, evaluate_cases, mean, score
from jaxanim.metrics.image import psnr
from jaxanim.metrics.report import COLUMNS, results_table, write_sheet


def make_case(seed, frames=5):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (frames, 16, 12, 3), dtype=np.uint8)
    mask = np.where(rng.random((frames, 16, 12)) > 0.6, 255, 0).astype(np.uint8)
    return Case(truth[0] // 4 * 3, Driving({"video": truth}), truth, truth, mask, wrong_reference=truth[0] // 4)


def halfway(reference, driving):
    """Between the reference and what drives it, which in these cases is the truth."""
    return 0.5 * (reference + 2 * (driving.pictures["video"] / np.float32(255)) - 1)


def test_score_measures_the_result_the_baseline_and_the_wrong_identity():
    case = make_case(0)
    row, videos = score(halfway, case)
    result = dict(videos)["result"]
    assert row["psnr_subject"] == pytest.approx(psnr(result, case.truth, case.mask).mean(), abs=1e-3)
    assert row["psnr_subject"] > row["psnr_subject_wrong"]
    assert row["seconds"] >= 0
    assert [name for name, _ in videos] == ["motion", "result", "truth", "other identity"]
    alone, videos = score(halfway, dataclasses.replace(case, wrong_reference=None))
    assert "psnr_subject_wrong" not in alone
    assert len(videos) == 3


def test_a_first_frame_that_is_the_reference_is_not_measured():
    case = make_case(0)
    case = dataclasses.replace(case, reference=case.truth[0], wrong_reference=None)
    row, videos = score(halfway, case)
    result, still = dict(videos)["result"], np.broadcast_to(case.truth[0], case.truth.shape)
    for name, video in (("", result), ("_static", still)):
        assert row[f"psnr{name}"] == pytest.approx(psnr(video[1:], case.truth[1:]).mean(), abs=1e-3)
        within = psnr(video[1:], case.truth[1:], case.mask[1:]).mean()
        assert row[f"psnr_subject{name}"] == pytest.approx(within, abs=1e-3)
        change = np.abs(np.diff(video.astype(float), axis=0) - np.diff(case.truth.astype(float), axis=0)).mean()
        assert row[f"temporal_error{name}"] == pytest.approx(change, abs=1e-3)


def test_finished_cases_are_kept_and_not_run_again(tmp_path):
    made = []

    def make(seed):
        return lambda: made.append(seed) or make_case(seed)

    def stop_after(limit):
        def animate(reference, driving):
            if len(made) > limit:
                raise KeyboardInterrupt
            return halfway(reference, driving)

        return animate

    cases = {str(seed): make(seed) for seed in range(4)}
    with pytest.raises(KeyboardInterrupt):
        evaluate_cases(stop_after(2), cases, tmp_path, {"size": (16, 12)})
    kept = json.loads((tmp_path / "results.json").read_text())
    assert list(kept["cases"]) == ["0", "1"]
    assert made == [0, 1, 2]

    seen = []
    results = evaluate_cases(stop_after(9), cases, tmp_path, {"size": (16, 12)}, report=seen.append)
    assert made == [0, 1, 2, 2, 3]
    assert seen == list(results) == ["0", "1", "2", "3"]
    straight = evaluate_cases(halfway, cases, tmp_path / "straight", {"size": (16, 12)})
    for row in (*results.values(), *straight.values()):
        row.pop("seconds")
    assert results == straight


def test_nothing_starts_after_the_deadline(tmp_path):
    assert evaluate_cases(halfway, {"0": lambda: make_case(0)}, tmp_path, {}, deadline=0.0) == {}
    assert list(tmp_path.iterdir()) == []


def test_results_of_other_settings_are_not_mixed(tmp_path):
    cases = {"0": lambda: make_case(0)}
    evaluate_cases(halfway, cases, tmp_path, {"weights": "a", "size": (16, 12)})
    with pytest.raises(InputError, match="made with another weights"):
        evaluate_cases(halfway, cases, tmp_path, {"weights": "b", "size": (16, 12)})
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        evaluate_cases(halfway, cases, tmp_path, {"weights": "a", "size": (16, 12)})


def test_mean_takes_the_numbers_there_are():
    rows = [{"a": 1.0, "b": None}, {"a": 3.0, "b": None, "c": 5.0}]
    assert mean(rows) == {"a": 2.0, "b": None, "c": 5.0}
    assert mean([]) == {}


def test_table_and_sheet(tmp_path):
    results = evaluate_cases(halfway, {f"walk/{i}": lambda i=i: make_case(i) for i in range(5)}, tmp_path, {})
    lines = results_table(results | {"mean": mean(results.values())}, "case").splitlines()
    titles = [*COLUMNS, "L1", "(static)", "background", "(static)"]
    assert lines[0].split() == ["case", *titles]
    assert [line.split()[0] for line in lines[1:]] == [*results, "mean"]
    cells = dict(zip(titles, map(float, lines[1].split()[1:]), strict=True))
    assert cells["gain"] == pytest.approx(cells["subject"] - cells["static"], abs=2e-3)
    assert cells["margin"] == pytest.approx(cells["subject"] - cells["wrong"], abs=2e-3)
    sheet = read_image(write_sheet(tmp_path, results))
    chex.assert_axis_dimension_gt(sheet, 0, 2 * 5 * 16)
    chex.assert_axis_dimension_gt(sheet, 1, 4 * 4 * 12)

"""A system measured over many puppets: one case after another, each result kept as soon as it is there."""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues.driving import Driving
from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path
from jaxanim.media.images import finished, to_float
from jaxanim.metrics.image import psnr
from jaxanim.metrics.landmarks import pose_landmark_distance
from jaxanim.metrics.report import write_strip
from jaxanim.metrics.video import compare, static_video, summary


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of an ablation: what it changes against the evaluation it belongs to.

    Attributes:
      name: of the row.
      weights: another weights folder, for what needs its own training; None for the evaluation's.
      options: fields of `Sampling`, of the system's `Options` and of `Memory`, by name.
      budget: the training that its weights had, in words, for the table.
    """

    name: str
    weights: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    budget: str = ""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a config of `python -m sample.evaluate` holds in `config`.

    Attributes:
      name: of the folder that results are kept in.
      system: the method, as `jaxanim.systems.names` lists them.
      weights: its weights folder, from the repository's root.
      size: (height, width) of the puppets' videos.
      frames: of each video.
      steps, guidance: None for the system's defaults.
      kind: of character.
      driver: added to a case's seed, the identity that performs the motion in the driving video in place of the
        reference's own; None for that. The truth stays the reference's, so that a copied driver is found out.
      styles: of motion, such as "turn", each performed by every seed; none for the seeds' own.
      shape: of their bodies, see `jaxanim.metrics.puppet_cases.SHAPES`; None for those that trainings know.
      face: weights folder of a face network (`jaxanim.metrics.face`); None measures no faces.
      options: further fields, as a variant's.
      variants: the rows of the ablation table.
    """

    name: str
    system: str
    weights: str
    size: tuple[int, int] = (128, 128)
    frames: int = 48
    steps: int | None = None
    guidance: float | None = None
    kind: str = "human"
    driver: int | None = None
    styles: Sequence[str] = ()
    shape: str | None = None
    face: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    variants: Sequence[Variant] = ()


@dataclasses.dataclass(frozen=True)
class Case:
    """One video to be made, and the truth about it; pixels uint8.

    `driver` is the driving video where that shows another identity. `shown` are pictures of the driving.
    `wrong_reference` shows another identity, to measure how much of the result comes from the reference, and
    `wrong_driving` is the same motion beside it; `face` and `reference_face` hold the 68 true landmarks of each
    frame and of the reference, `body` those of the body.
    """

    reference: UInt8[np.ndarray, "height width 3"]
    driving: Driving
    shown: UInt8[np.ndarray, "frames height width 3"]
    truth: UInt8[np.ndarray, "frames height width 3"]
    mask: UInt8[np.ndarray, "frames height width"]
    driver: UInt8[np.ndarray, "frames height width 3"] | None = None
    wrong_reference: UInt8[np.ndarray, "height width 3"] | None = None
    wrong_driving: Driving | None = None
    face: Float[np.ndarray, "frames 68 3"] | None = None
    body: Float[np.ndarray, "frames points 3"] | None = None
    reference_face: Float[np.ndarray, "68 3"] | None = None


# Metrics by name; None where there is no finite number.
Row = dict[str, float | None]

# reference in [-1, 1], driving -> frames in [-1, 1]
Animate = Callable[
    [Float[np.ndarray, "height width 3"], Driving],
    Float[np.ndarray, "frames height width 3"],
]

# (result, case) -> further metrics per frame
Measure = Callable[[UInt8[np.ndarray, "frames height width 3"], Case], Mapping[str, np.ndarray]]


def score(animate: Animate, case: Case, measure: Measure | None = None) -> tuple[Row, list[tuple[str, np.ndarray]]]:
    """The metrics of one case (means over its frames, see `compare`), and its videos by name.

    Where the truth begins with the reference, that frame is no result and counts in no PSNR and no SSIM.
    With a wrong reference also `psnr_subject_wrong`, the subject's PSNR when animated from that, against the
    same truth; where another identity drives also `psnr_subject_driver`, the same pixels' PSNR against the driver:
    a result that copies its driver is nearer to that than to the truth. `measure` adds metrics of its own.
    `seconds` is the time that animating took, in the first case with compilation.
    """
    started = time.perf_counter()
    result = finished(np.asarray(animate(to_float(case.reference), case.driving)))
    seconds = time.perf_counter() - started
    scores = compare(result, case.truth, case.reference, case.mask)
    if len(case.truth) > 1 and np.array_equal(case.reference, case.truth[0]):
        scores |= {name: values[1:] for name, values in scores.items() if not name.startswith("temporal")}
    if measure is not None:
        scores |= measure(result, case)
    if case.body is not None:
        still = static_video(case.reference, len(case.truth))
        scores["plc"], scores["plc_static"] = (
            pose_landmark_distance(video, case.truth, case.body) for video in (result, still)
        )
    if case.driver is not None:
        scores["psnr_subject_driver"] = psnr(result, case.driver, case.mask)
    videos = [("motion", case.shown), ("result", result), ("truth", case.truth)]
    if case.wrong_reference is not None:
        wrong = finished(np.asarray(animate(to_float(case.wrong_reference), case.wrong_driving or case.driving)))
        scores["psnr_subject_wrong"] = psnr(wrong, case.truth, case.mask)
        videos.append(("other identity", wrong))
    return summary(scores) | {"seconds": round(seconds, 2)}, videos


def evaluate_cases(
    animate: Animate,
    cases: Mapping[str, Callable[[], Case]],
    folder: str | os.PathLike,
    settings: Mapping[str, Any],
    *,
    measure: Measure | None = None,
    deadline: float = float("inf"),
    report: Callable[[str], None] = lambda name: None,
) -> dict[str, Row]:
    """Scores cases by name, each made when its turn comes, and returns the metrics of all that are there.

    `folder` receives results.json and a strip of pictures per case after every case, so that a stopped
    evaluation goes on where it was; cases with a result are not run again.

    Args:
      settings: what the results depend on, kept with them.
      measure: further metrics, such as `jaxanim.metrics.face.measure_faces` gives.
      deadline: no case is started after this time (of `time.monotonic`).
      report: called with the name of each case that is done.

    Raises:
      InputError: `folder` holds results of other settings.
    """
    folder = Path(folder)
    path = folder / "results.json"
    results = read_results(path, settings)
    for name, make in cases.items():
        if name not in results:
            if time.monotonic() > deadline:
                break
            case = make()
            results[name], videos = score(animate, case, measure)
            write_strip(folder, name, case.reference, videos)
            kept = {"settings": dict(settings), "mean": mean(results.values()), "cases": results}
            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(kept, indent=1) + "\n")
        report(name)
    return {name: results[name] for name in cases if name in results}


def read_results(path: Path, settings: Mapping[str, Any]) -> dict[str, Row]:
    """The cases that results.json already holds; InputError if it is damaged or made with other settings."""
    if not path.exists():
        return {}
    try:
        kept = json.loads(path.read_text())
        cases, made_with = kept["cases"], kept["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"results {path} cannot be read ({error}); remove it or name another --out") from None
    # What JSON makes of the settings is compared: tuples become lists.
    if other := [k for k, v in json.loads(json.dumps(dict(settings))).items() if made_with.get(k) != v]:
        raise InputError(f"results {path} were made with another {', '.join(other)}; name another --out")
    return cases


def mean(rows: Iterable[Row]) -> Row:
    """The mean of every metric over cases; None where no case has a number."""
    rows = list(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: [row[name] for row in rows if row.get(name) is not None] for name in names}
    return {name: float(np.mean(column)) if column else None for name, column in values.items()}

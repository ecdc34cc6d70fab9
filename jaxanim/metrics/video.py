"""How a video compares with the truth, frame by frame and in time, and with a baseline that does not move.

Pixels are uint8, or float in [-1, 1], as in `jaxanim.metrics.image`.
"""

from collections.abc import Mapping

import numpy as np
from einops import repeat
from jaxtyping import Float64, Num, Shaped

from jaxanim.metrics.image import l1, levels, marked, psnr, ssim


def temporal_error(
    result: Num[np.ndarray, "frames height width channels"],
    truth: Num[np.ndarray, "frames height width channels"],
) -> Float64[np.ndarray, " changes"]:
    """How far the change from each frame to the next differs from the truth's: mean |d result - d truth|.

    In levels of 0 to 255, one value per pair of consecutive frames. A still video scores the truth's own
    motion, and flicker adds to it.
    """
    difference = np.diff(levels(result), axis=0) - np.diff(levels(truth), axis=0)
    return np.abs(difference).mean((1, 2, 3))


def static_video(reference: Num[np.ndarray, "height width channels"], frames: int) -> np.ndarray:
    """The baseline that any animation has to beat: the reference image repeated for all frames."""
    return repeat(np.asarray(reference), "h w c -> frames h w c", frames=frames)


def compare(
    result: Num[np.ndarray, "frames height width channels"],
    truth: Num[np.ndarray, "frames height width channels"],
    reference: Num[np.ndarray, "height width channels"],
    mask: Shaped[np.ndarray, "frames height width"] | None = None,
) -> dict[str, np.ndarray]:
    """Every metric of a result and of the static baseline, per frame.

    Args:
      mask: the true body mask; without it neither the subject nor the background is measured by itself.

    Returns:
      `psnr`, `ssim`, `l1` and, with a mask, `psnr_subject` inside and `psnr_background` outside it, each [frames];
      `temporal_error` [frames - 1]; and each with `_static` behind its name, of the reference repeated.
    """
    static = static_video(reference, len(truth))
    scores = {}
    for suffix, video in (("", result), ("_static", static)):
        scores[f"psnr{suffix}"] = psnr(video, truth)
        scores[f"ssim{suffix}"] = ssim(video, truth)
        scores[f"l1{suffix}"] = l1(video, truth)
        if mask is not None:
            scores[f"psnr_subject{suffix}"] = psnr(video, truth, mask)
            scores[f"psnr_background{suffix}"] = psnr(video, truth, ~marked(mask))
        scores[f"temporal_error{suffix}"] = temporal_error(video, truth)
    return scores


def summary(scores: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """The mean of each metric over its frames; frames without a subject are left out.

    None where there is no finite number to give (a single frame has no temporal error, equal videos have an
    infinite PSNR), so that the result can be written as JSON.
    """
    means = {}
    for name, values in scores.items():
        values = values[~np.isnan(values)]
        mean = float(values.mean()) if values.size else np.nan
        means[name] = round(mean, 4) if np.isfinite(mean) else None
    return means


def table(scores: Mapping[str, np.ndarray]) -> str:
    """The metrics as text: one row per frame (a change stands at the frame it leads to), then the means."""
    frames = max(len(values) for values in scores.values())
    rows = [["frame", *scores]]
    for frame in range(frames):
        late = [frame - (frames - len(values)) for values in scores.values()]
        row = [values[i] if i >= 0 else None for i, values in zip(late, scores.values(), strict=True)]
        rows.append([str(frame), *map(number, row)])
    rows.append(["mean", *map(number, summary(scores).values())])
    return align(rows)


def number(value: float | None) -> str:
    """A metric as it stands in a table: three decimals, a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def align(rows: list[list[str]]) -> str:
    """Rows of cells as lines of text with right-aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (map(str.rjust, row, widths) for row in rows)
    return "\n".join("  ".join(line) for line in lines)

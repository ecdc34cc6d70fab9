"""When the frames of a video are shown: a constant rate told by time stamps, or another made of variable ones."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Int


def timing(
    times: Sequence[float | None],
    last: float | None,
    declared: Fraction | None,
    wanted: float | None = None,
    precision: float = 0.0,
) -> tuple[float, Int[np.ndarray, "shown"]]:
    """(frames a second, which frame is shown at each of them).

    A declared rate that the time stamps agree with, to half a frame, is the rate; so is their mean, rounded to a
    usual one within their precision. Else the rate is variable: the video is then shown at `wanted` frames a
    second, or at the mean, each time with the frame that is on the screen.

    Args:
      times: of the frames, in seconds; None where the file has none, and then the declared rate is believed.
      last: how long the last frame is shown; None for as long as the others in the mean.
      precision: of the times, in seconds.
    """
    count = len(times)
    everyone = np.arange(count)
    usual = float(declared or 25)
    if count < 2 or any(time is None for time in times):
        return usual, everyone
    stamps = np.array(times, np.float64) - times[0]
    span = float(stamps[-1])
    if (np.diff(stamps) < 0).any() or span <= 0:
        return usual, everyone
    mean = (count - 1) / span
    for rate in (declared and float(declared), usual_rate(mean, 2 * precision / span)):
        if rate and np.abs(stamps - everyone / rate).max() <= 0.5 / rate + precision:
            return rate, everyone
    shown = span + (last or 1 / mean)
    rate = wanted or usual_rate(count / shown, 2 * precision / shown)
    moments = np.arange(max(int(span * rate) + 1, round(shown * rate))) / rate
    return rate, np.searchsorted(stamps, moments + precision + 1e-6, side="right") - 1


def usual_rate(rate: float, error: float) -> float:
    """The whole number, or the thousand-and-first part less (29.97), that `rate` is within a relative error."""
    whole = max(1, round(rate))
    nearest = min((whole, whole * 1000 / 1001), key=lambda usual: abs(usual - rate))
    return float(nearest) if abs(nearest / rate - 1) <= max(error, 1e-4) else rate

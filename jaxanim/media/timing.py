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

    A declared rate that the time stamps agree with, to half a frame, is the rate; or else a usual one near their
    mean, or the mean itself. Else the rate is variable: the video is then shown at `wanted` frames a second, or at
    the mean, each time with the frame that is on the screen.

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
    for rate in (declared and float(declared), *usual_rates(mean, 0.03), mean):
        if rate and np.abs(stamps - everyone / rate).max() <= 0.5 / rate + precision:
            return rate, everyone
    shown = span + (last or 1 / mean)
    rate = wanted or next(iter(usual_rates(count / shown, 0.005)), count / shown)
    moments = np.arange(max(int(span * rate) + 1, round(shown * rate))) / rate
    return rate, np.searchsorted(stamps, moments + precision + 1e-6, side="right") - 1


def usual_rates(rate: float, apart: float) -> list[float]:
    """Rates that videos have, the nearest first, no further than a share of `rate`; a television's (29.97) only if
    nearly met, since it is near to a whole one."""
    television = [usual * 1000 / 1001 for usual in (24, 30, 60, 120)]
    exact = [usual for usual in television if abs(usual / rate - 1) < 5e-4]
    near = sorted((abs(usual / rate - 1), float(usual)) for usual in USUAL)
    return exact + [usual for distance, usual in near if distance <= apart]


USUAL = (5, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120)

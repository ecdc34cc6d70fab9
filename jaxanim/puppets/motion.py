"""A motion: named channels over time that any character of its kind can perform."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Motion:
    """Channels of one motion, first axis the frame; their meaning is the kind's."""

    kind: str
    name: str
    fps: float
    channels: Mapping[str, np.ndarray]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(next(iter(self.channels.values())))

    def __getitem__(self, channel: str) -> np.ndarray:
        return self.channels[channel]

    def take(self, indices: Int[np.ndarray, "taken"]) -> "Motion":
        """The same motion at the given frames only."""
        return replace(self, channels={name: values[indices] for name, values in self.channels.items()})


def wave(t: np.ndarray, frequency: float | int, phase: float | int = 0.0) -> np.ndarray:
    """A sine of `frequency` hertz; `phase` in turns."""
    return np.sin(2 * np.pi * (frequency * t + phase))


def drift(rng: np.random.Generator, t: np.ndarray, frequency: float | int = 0.3) -> np.ndarray:
    """Slow wandering in about [-1, 1]: three sines of unrelated speed."""
    phases, rates = rng.uniform(0, 1, 3), frequency * rng.uniform(0.6, 1.5, 3) * np.array([1, 0.55, 1.7])
    return sum(weight * wave(t, r, p) for weight, r, p in zip((0.5, 0.35, 0.15), rates, phases, strict=True))


def ease(x: np.ndarray) -> np.ndarray:
    """Minimum-jerk easing from 0 to 1."""
    x = np.clip(x, 0, 1)
    return x**3 * (10 - 15 * x + 6 * x**2)


def pose_to_pose(
    t: np.ndarray,
    interval: float | int,
    values: Float[np.ndarray, "poses channels"],
    hold: float | int = 0.25,
    start: float | int = 0.0,
) -> Float[np.ndarray, "frames channels"]:
    """Moves from pose to pose, one every `interval` seconds, holding each for the fraction `hold`; cyclic."""
    beat = np.maximum(t - start, 0) / interval
    index = np.floor(beat).astype(int)
    blend = ease((beat - index) / (1 - hold))[:, None]
    now, then = values[index % len(values)], values[(index + 1) % len(values)]
    return now + (then - now) * blend


def blinks(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """0 open, 1 closed: a short blink every two to four seconds."""
    period, phase = rng.uniform(2.0, 4.0), rng.uniform(0, 1)
    distance = np.abs((t / period + phase + 0.5) % 1 - 0.5) * period
    return ease(1.6 - distance / 0.12)


def glances(rng: np.random.Generator, t: np.ndarray) -> Float[np.ndarray, "frames 2"]:
    """Gaze in [-1, 1]: quick moves between resting points."""
    targets = rng.uniform(-1, 1, (12, 2)) * (rng.uniform(size=(12, 1)) < 0.6)
    return pose_to_pose(t, rng.uniform(0.9, 1.5), targets, hold=0.8)

"""Human motions from a seed or a name: every style is a smooth function of time."""

from collections.abc import Callable

import numpy as np

from jaxanim.puppets.motion import Motion, blinks, drift, ease, glances, pose_to_pose, wave
from jaxanim.puppets.seeds import stream
from jaxanim.puppets.skeleton import bones_from_angles

Angles = dict[str, np.ndarray]

# Arm poses: abduction, flexion, elbow bend, plane of the bend (0 forwards, 90 outwards/up, 180 inwards),
# degrees.
ARMS = {
    "rest": (13, 4, 14, 30),
    "hip": (48, -12, 98, 178),
    "side": (88, 0, 8, 90),
    "high": (160, 5, 12, 90),
    "vee": (130, 0, 10, 90),
    "flag": (86, 5, 92, 90),
    "muscle": (80, 0, 118, 88),
    "head": (135, 0, 128, 92),
    "down_flag": (80, 0, 82, 268),
    "belly": (24, 14, 92, 165),
    "chest": (55, 35, 115, 140),
    "reach": (18, 78, 12, 30),
    "point": (118, 15, 6, 60),
    "low_vee": (42, 0, 8, 90),
    "cross": (70, 30, 120, 190),
    "back": (24, -28, 30, 20),
}
_SAFE = (
    "rest",
    "hip",
    "side",
    "high",
    "vee",
    "flag",
    "muscle",
    "head",
    "down_flag",
    "belly",
    "point",
    "low_vee",
)


def neutral(t: np.ndarray) -> Angles:
    """Standing at ease: every joint angle (degrees), the root and the hands, before a style moves them."""
    zero = np.zeros_like(t)
    angles = {
        name: zero.copy()
        for name in (
            "yaw",
            "twist",
            "lean",
            "tilt",
            "sway",
            "lift",
            "x",
            "head_yaw",
            "head_pitch",
            "head_roll",
            "mouth",
            "smile",
        )
    }
    for side in "rl":
        set_arm(angles, side, np.broadcast_to(np.array(ARMS["rest"], float), (len(t), 4)))
        for name in ("wrist", "leg_flex", "knee", "toe"):
            angles[f"{name}_{side}"] = zero.copy()
        angles[f"leg_out_{side}"] = zero + 5.0
        angles[f"curl_{side}"] = zero + 0.25
    return angles


def set_arm(angles: Angles, side: str, values: np.ndarray) -> None:
    """Writes one arm's four angles [frames, 4]."""
    for k, name in enumerate(("abduct", "flex", "elbow", "plane")):
        angles[f"{name}_{side}"] = values[:, k].copy()


def bend_knees(angles: Angles, degrees: np.ndarray, turnout: float | int = 0.35) -> None:
    """Bends both knees with the feet staying below the hips."""
    for side in "rl":
        angles[f"leg_flex_{side}"] = angles[f"leg_flex_{side}"] + degrees / 2
        angles[f"knee_{side}"] = angles[f"knee_{side}"] + degrees
        angles[f"leg_out_{side}"] = angles[f"leg_out_{side}"] + degrees * turnout * 0.5


def _walk(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    cadence, stride = rng.uniform(0.75, 1.15), rng.uniform(17, 28)
    period, reach = rng.uniform(5, 8), rng.uniform(0.02, 0.13)
    heading = wave(t, 1 / period, rng.uniform(0, 1))
    a["x"] = reach * wave(t, 1 / period, rng.uniform(0, 1))
    a["yaw"] = a["yaw"] * 0.5 + rng.uniform(25, 60) * np.tanh(2 * heading)
    phase, arm = rng.uniform(0, 1), rng.uniform(16, 34)
    for side, half in (("r", 0.0), ("l", 0.5)):
        step = wave(t, cadence, phase + half)
        a[f"leg_flex_{side}"] = stride * step + 4
        a[f"knee_{side}"] = 8 + 44 * np.clip(wave(t, cadence, phase + half + 0.2), 0, 1) ** 2
        a[f"toe_{side}"] = -12 * np.clip(step, 0, 1) + 22 * np.clip(wave(t, cadence, phase + half + 0.5), 0, 1) ** 2
        a[f"flex_{side}"] = -arm * wave(t, cadence, phase + half - 0.03)
        a[f"elbow_{side}"] = 22 + 12 * wave(t, cadence, phase + half + 0.45)
    a["twist"] = 7 * wave(t, cadence, phase + 0.5)
    a["tilt"] = 2.0 * wave(t, cadence, phase + 0.25)
    a["lean"] = a["lean"] + 4 + wave(t, 2 * cadence, phase)
    a["head_roll"] = a["head_roll"] - 2 * wave(t, cadence, phase + 0.2)


def _wave(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    side, other = ("r", "l") if rng.uniform() < 0.5 else ("l", "r")
    rate, height = rng.uniform(1.1, 1.9), rng.uniform(70, 120)
    raise_ = ease((np.sin(2 * np.pi * (t / rng.uniform(4, 6) + rng.uniform(0, 0.5))) + 0.9) / 0.9)
    up = np.stack([height + 6 * wave(t, rate, 0.1), 8 + 0 * t, 85 - 28 * wave(t, rate), 88 + 0 * t], -1)
    rest = np.array(ARMS["rest"], float)
    set_arm(a, side, rest + (up - rest) * raise_[:, None])
    a[f"wrist_{side}"] = 16 * wave(t, rate, -0.12) * raise_
    a[f"curl_{side}"] = 0.25 - 0.2 * raise_
    pose = ARMS[("rest", "hip", "rest", "belly")[rng.integers(4)]]
    set_arm(a, other, np.array(pose, float) + 3 * np.stack([drift(rng, t)] * 4, -1))
    a["tilt"] = a["tilt"] + (4 if side == "r" else -4) * raise_ * (0.7 + 0.3 * wave(t, rate / 2))
    a["head_roll"] = a["head_roll"] + (7 if side == "l" else -7) * raise_
    a["smile"] = a["smile"] + 0.5 * raise_


def _dance(rng: np.random.Generator, t: np.ndarray, a: Angles, pool: tuple[str, ...] = _SAFE) -> None:
    beat = rng.uniform(0.45, 0.62)
    interval = beat * (1 if rng.uniform() < 0.35 else 2)
    count = 8
    picks = rng.integers(len(pool), size=(2, count))
    mirrored = rng.uniform() < 0.4
    for k, side in enumerate("rl"):
        row = picks[0] if mirrored else picks[k]
        values = np.array([ARMS[pool[i]] for i in row], float) + rng.normal(0, 5, (count, 4))
        set_arm(a, side, pose_to_pose(t, interval, values, hold=0.15, start=0.05 * k))
        a[f"elbow_{side}"] = a[f"elbow_{side}"] + 5 * wave(t, 1 / beat, 0.2 * k)
        a[f"wrist_{side}"] = 12 * wave(t, 0.5 / beat, rng.uniform(0, 1))
        a[f"curl_{side}"] = 0.3 + 0.25 * wave(t, 0.5 / interval, rng.uniform(0, 1))
    sway = rng.uniform(0.01, 0.035)
    a["sway"] = sway * wave(t, 0.5 / beat, 0.1)
    a["tilt"] = -rng.uniform(3, 8) * wave(t, 0.5 / beat, 0.1)
    a["twist"] = rng.uniform(4, 14) * wave(t, 0.5 / interval, rng.uniform(0, 1))
    bend_knees(a, rng.uniform(8, 22) * (1 + wave(t, 1 / beat, 0.25)))
    steps = rng.uniform(6, 24, (count, 2)) * rng.integers(0, 2, (count, 2))
    out = pose_to_pose(t, 2 * beat, steps, hold=0.3)
    lifted = rng.uniform(0, 40) * np.stack([np.clip(wave(t, 0.25 / beat, 0.5 * k), 0, 1) ** 2 for k in (0, 1)])
    for k, side in enumerate("rl"):
        a[f"leg_out_{side}"] = a[f"leg_out_{side}"] + out[:, k]
        a[f"leg_flex_{side}"] = a[f"leg_flex_{side}"] + lifted[k]
        a[f"knee_{side}"] = a[f"knee_{side}"] + 1.6 * lifted[k]
    a["head_pitch"] = a["head_pitch"] + 5 * wave(t, 1 / beat, 0.35)
    a["head_roll"] = a["head_roll"] + 6 * wave(t, 0.5 / beat, 0.3)
    turns = rng.uniform(-35, 35, (count, 1)) * (rng.uniform(size=(count, 1)) < 0.5)
    a["yaw"] = a["yaw"] * 0.6 + pose_to_pose(t, 4 * beat, turns, hold=0.2)[:, 0]
    a["smile"] = a["smile"] + 0.35
    a["mouth"] = a["mouth"] + 0.3 * np.clip(wave(t, 0.25 / beat, rng.uniform(0, 1)), 0, 1)


def _jump(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    period, phase = rng.uniform(1.1, 1.7), rng.uniform(0, 1)
    u = (t / period + phase) % 1
    air = np.clip((u - 0.45) / 0.35, 0, 1)
    height = rng.uniform(0.05, 0.11)
    a["lift"] = height * 4 * air * (1 - air)
    crouch = (
        np.sin(np.pi * np.clip(u / 0.47, 0, 1)) ** 2 + 0.7 * np.sin(np.pi * np.clip((u - 0.77) / 0.23, 0, 1)) ** 2
    )
    bend_knees(a, 10 + 62 * crouch)
    flight = np.sin(np.pi * np.clip((u - 0.3) / 0.62, 0, 1)) ** 2
    spread = rng.uniform(0, 26)
    top = np.array(ARMS[("high", "vee", "side", "muscle", "reach")[rng.integers(5)]], float)
    low = np.array(ARMS[("back", "rest", "low_vee")[rng.integers(3)]], float)
    for side in "rl":
        set_arm(a, side, low + (top - low) * flight[:, None])
        a[f"leg_out_{side}"] = a[f"leg_out_{side}"] + spread * flight
        a[f"toe_{side}"] = 45 * np.sin(np.pi * air)
        a[f"curl_{side}"] = 0.4 - 0.3 * flight
    a["lean"] = a["lean"] + 16 * crouch
    a["head_pitch"] = a["head_pitch"] - 8 * crouch
    a["mouth"] = a["mouth"] + 0.6 * flight
    a["smile"] = a["smile"] + 0.4


def _crouch(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    period = rng.uniform(2.2, 3.4)
    down = ease(0.5 - 0.62 * np.cos(2 * np.pi * (t / period + rng.uniform(0, 1))))
    bend_knees(a, 6 + rng.uniform(60, 100) * down, turnout=rng.uniform(0.3, 0.6))
    goal = np.array(ARMS[("reach", "belly", "chest", "side", "hip", "back")[rng.integers(6)]], float)
    rest = np.array(ARMS["rest"], float)
    for side in "rl":
        set_arm(a, side, rest + (goal - rest) * down[:, None])
        a[f"curl_{side}"] = 0.35 + 0.35 * down
    a["lean"] = a["lean"] + rng.uniform(8, 24) * down
    a["head_pitch"] = a["head_pitch"] + 8 * down


def _turn(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    period, direction = rng.uniform(3.6, 5.5), rng.choice([-1, 1])
    if rng.uniform() < 0.5:
        turns = t / period + rng.uniform(0, 1)
        a["yaw"] = direction * 360 * (np.floor(turns) + ease((turns % 1) / 0.85))
        speed = np.sin(np.pi * np.clip((turns % 1) / 0.85, 0, 1)) ** 2
    else:
        a["yaw"] = direction * rng.uniform(55, 110) * np.sin(2 * np.pi * (t / period + rng.uniform(0, 1)))
        speed = 0.5 + 0 * t
    pick = np.array(ARMS[("rest", "low_vee", "side", "hip", "vee")[rng.integers(5)]], float)
    rate = 1.1
    for k, side in enumerate("rl"):
        set_arm(a, side, pick + 4 * np.stack([wave(t, 0.5, 0.3 * k)] * 4, -1))
        step = np.clip(wave(t, rate, 0.5 * k), 0, 1) ** 2 * speed
        a[f"leg_flex_{side}"] = a[f"leg_flex_{side}"] + 16 * step
        a[f"knee_{side}"] = a[f"knee_{side}"] + 32 * step
    a["head_yaw"] = a["head_yaw"] + direction * 12 * speed


def _idle(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    for side in "rl":
        pick = np.array(ARMS[("rest", "rest", "hip", "belly", "back", "cross")[rng.integers(6)]], float)
        set_arm(a, side, pick + np.array([3, 4, 6, 0]) * np.stack([drift(rng, t, 0.35) for _ in range(4)], -1))
    a["sway"] = a["sway"] + 0.02 * drift(rng, t, 0.3)
    a["tilt"] = a["tilt"] + 3 * drift(rng, t, 0.25)
    a["head_yaw"] = a["head_yaw"] + 22 * drift(rng, t, 0.4)
    a["mouth"] = a["mouth"] + 0.5 * np.clip(wave(t, rng.uniform(1.5, 2.5)), 0, 1) * np.clip(
        drift(rng, t, 0.3) * 2, 0, 1
    )


def _stretch(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    for k, side in enumerate("rl"):
        names = rng.choice(list(_SAFE), 6)
        values = np.array([ARMS[name] for name in names], float) + rng.normal(0, 8, (6, 4))
        set_arm(a, side, pose_to_pose(t, rng.uniform(1.0, 1.6), values, hold=0.1, start=0.1 * k))
        a[f"leg_out_{side}"] = a[f"leg_out_{side}"] + 9 * (1 + drift(rng, t, 0.4))
        a[f"curl_{side}"] = 0.3 + 0.25 * drift(rng, t, 0.5)
    a["tilt"] = a["tilt"] + 12 * drift(rng, t, 0.35)
    a["lean"] = a["lean"] + 6 * drift(rng, t, 0.35)
    a["twist"] = a["twist"] + 12 * drift(rng, t, 0.35)
    bend_knees(a, 12 * (1 + drift(rng, t, 0.4)))


def _disco(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    _dance(rng, t, a, ("point", "hip", "high", "down_flag", "low_vee", "flag"))


def _robot(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    _dance(rng, t, a, ("flag", "down_flag", "side", "belly", "rest"))


def _jacks(rng: np.random.Generator, t: np.ndarray, a: Angles) -> None:
    rate = rng.uniform(0.8, 1.1)
    spread = 0.5 - 0.5 * np.cos(2 * np.pi * rate * t)
    low, high = np.array(ARMS["rest"], float), np.array(ARMS["high"], float)
    for side in "rl":
        set_arm(a, side, low + (high - low) * spread[:, None])
        a[f"leg_out_{side}"] = 4 + 20 * spread
    a["lift"] = 0.035 * np.abs(wave(t, rate)) ** 1.5
    bend_knees(a, 7 + 7 * np.cos(4 * np.pi * rate * t))
    a["smile"] = a["smile"] + 0.3


STYLES: dict[str, Callable[[np.random.Generator, np.ndarray, Angles], None]] = {
    "walk": _walk, "wave": _wave, "dance": _dance, "disco": _disco, "robot": _robot, "jump": _jump,
    "jacks": _jacks, "crouch": _crouch, "turn": _turn, "idle": _idle, "stretch": _stretch,
}  # fmt: skip
_CHANCES = (0.16, 0.12, 0.17, 0.06, 0.05, 0.09, 0.04, 0.06, 0.07, 0.06, 0.12)


def human_motion(seed: int, name: str | None, frames: int, fps: float | int = 25.0) -> Motion:
    """A human motion of the given style, or of a style that the seed chooses."""
    rng = stream(seed, "human motion")
    style = name or list(STYLES)[rng.choice(len(STYLES), p=_CHANCES)]
    t = np.arange(frames) / fps
    a = neutral(t)
    a["yaw"] = a["yaw"] + np.clip(rng.normal(0, 20), -50, 50) + 5 * drift(rng, t, 0.2)
    a["head_yaw"] = 14 * drift(rng, t, 0.35)
    a["head_pitch"] = 6 * drift(rng, t, 0.3)
    a["head_roll"] = 5 * drift(rng, t, 0.3)
    a["lean"] = a["lean"] + 1.2 * wave(t, 0.3)
    a["mouth"] = 0.5 * np.clip(drift(rng, t, 0.5) - 0.25, 0, 1)
    a["smile"] = 0.35 + 0.35 * drift(rng, t, 0.25)
    STYLES[style](rng, t, a)
    sway = np.rad2deg(a["sway"] / 0.36)  # legs lean against the hips' sway, so the feet stay where they are
    a["leg_out_l"], a["leg_out_r"] = a["leg_out_l"] - sway, a["leg_out_r"] + sway
    return assemble(rng, t, a, style, fps)


def assemble(rng: np.random.Generator, t: np.ndarray, a: Angles, name: str, fps: float | int) -> Motion:
    """Joint angles to a Motion: bone directions, root, head, face and fingers."""
    gaze = glances(rng, t)
    face = [blinks(rng, t), gaze[:, 0], gaze[:, 1], np.clip(a["mouth"], 0, 1), np.clip(a["smile"], -0.3, 1)]
    face.append(0.5 * drift(rng, t, 0.4) + 0.5 * np.clip(a["mouth"], 0, 1))
    fingers = np.stack([[a[f"curl_{side}"] + 0.12 * drift(rng, t, 0.6) for _ in range(5)] for side in "rl"])
    channels = bones_from_angles(a)
    channels["root"] = np.stack([a["x"] + a["sway"], a["lift"]], -1)
    channels["head_turn"] = np.deg2rad(np.stack([
        a["yaw"] + 0.8 * a["twist"] + a["head_yaw"], -a["head_pitch"], -a["head_roll"] - 0.5 * a["tilt"],
    ], -1))  # fmt: skip
    channels["face"] = np.stack(face, -1)
    channels["fingers"] = np.clip(fingers.transpose(2, 0, 1), 0, 1)
    return Motion("human", name, fps, channels)

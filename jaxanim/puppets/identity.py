"""Who a puppet is: proportions, colours, garments and hair drawn from a seed."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jaxanim.puppets.seeds import stream
from jaxanim.puppets.textures import COLORS, PATTERNS, jittered

Color = Float[np.ndarray, "3"]

SKINS = (
    (250, 220, 196),
    (240, 200, 168),
    (226, 180, 142),
    (204, 152, 110),
    (176, 122, 84),
    (142, 94, 64),
    (112, 74, 52),
)
HAIR_COLORS = {
    "black": (48, 42, 44), "brown": (104, 68, 44), "blond": (226, 188, 106), "red": (186, 84, 42),
    "gray": (168, 168, 172), "white": (228, 226, 222), "blue": (70, 110, 190), "pink": (222, 110, 160),
}  # fmt: skip
HAIR_STYLES = ("short", "bob", "long", "bun", "ponytail", "curly", "spiky", "bald")
TOPS = ("shirt", "sweater", "vest", "dress", "jacket")
BOTTOMS = ("trousers", "shorts", "skirt")
HATS = ("none", "cap", "beanie")
LOGOS = ("disc", "ring", "heart", "star", "band", "diamond")


@dataclass(frozen=True)
class Proportions:
    """Lengths and widths as fractions of the standing height; `height` itself in frame units."""

    height: float
    head: float  # head radius, vertical
    head_width: float
    torso: float
    shoulders: float
    hips: float
    depth: float  # front-to-back thickness of the torso over its width
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    arm_radius: float
    leg_radius: float


@dataclass(frozen=True)
class Garment:
    """A garment's name, cloth and colours."""

    name: str
    pattern: str
    color_name: str
    first: Color
    second: Color
    period: float
    logo: str


@dataclass(frozen=True)
class Look:
    """Colours and styles of a human."""

    person: str
    skin: Color
    hair_style: str
    hair_name: str
    hair: Color
    hairline: Float[
        np.ndarray, "5"
    ]  # front height, side height, back height, fringe amplitude, fringe phase (radians)
    hat: str
    hat_color: Color
    top: Garment
    bottom: Garment
    shoe_name: str
    shoe: Color
    sole: Color
    eye: Color
    lip: Color
    glasses: bool
    beard: bool
    eye_size: float
    mouth_width: float


@dataclass(frozen=True)
class Human:
    """A human puppet."""

    seed: int
    body: Proportions
    look: Look
    kind: str = "human"


def make_human(seed: int) -> Human:
    """The human that a seed stands for."""
    rng = stream(seed, "human")
    return Human(seed, _proportions(rng), _look(rng))


def _proportions(rng: np.random.Generator) -> Proportions:
    head = rng.uniform(0.132, 0.152)
    build = rng.uniform(-1, 1)
    legs = rng.uniform(0.335, 0.385)
    torso = 1 - 2 * head - legs - 0.03
    return Proportions(
        height=rng.uniform(0.75, 0.82),
        head=head,
        head_width=head * rng.uniform(0.86, 1.0),
        torso=torso,
        shoulders=0.215 + 0.025 * build + rng.uniform(-0.015, 0.02),
        hips=0.105 + 0.012 * build,
        depth=rng.uniform(0.66, 0.8),
        upper_arm=rng.uniform(0.145, 0.165),
        forearm=rng.uniform(0.135, 0.155),
        hand=rng.uniform(0.112, 0.126),
        thigh=legs * 0.51,
        shin=legs * 0.49 - 0.025,
        foot=rng.uniform(0.095, 0.115),
        arm_radius=0.041 + 0.005 * build + rng.uniform(-0.002, 0.003),
        leg_radius=0.053 + 0.007 * build + rng.uniform(-0.002, 0.003),
    )


def _garment(rng: np.random.Generator, name: str, patterns: tuple[str, ...], weights: list[float]) -> Garment:
    names = list(COLORS)
    first, second = rng.choice(len(names), 2, replace=False)
    one, two = jittered(rng, COLORS[names[first]]), jittered(rng, COLORS[names[second]])
    if np.abs(one - two).sum() < 150:  # keep a pattern legible
        two = np.where(one.mean() > 128, one * 0.5, one * 0.4 + 150).astype(np.float32)
    pattern = patterns[rng.choice(len(patterns), p=np.array(weights) / sum(weights))]
    return Garment(
        name,
        pattern,
        names[first],
        one,
        two,
        float(rng.uniform(0.075, 0.12)),
        LOGOS[rng.integers(len(LOGOS))],
    )


def _look(rng: np.random.Generator) -> Look:
    person = ("woman", "man", "girl", "boy")[rng.integers(4)]
    feminine = person in ("woman", "girl")
    skin = jittered(rng, SKINS[rng.integers(len(SKINS))], 5)
    style = HAIR_STYLES[
        rng.choice(len(HAIR_STYLES), p=[0.08, 0.2, 0.24, 0.16, 0.16, 0.1, 0.06, 0.0] if feminine
                   else [0.36, 0.06, 0.06, 0.04, 0.04, 0.16, 0.18, 0.1])
    ]  # fmt: skip
    hair_name = list(HAIR_COLORS)[rng.choice(8, p=[0.2, 0.22, 0.18, 0.14, 0.07, 0.05, 0.07, 0.07])]
    top_name = TOPS[rng.choice(5, p=[0.34, 0.2, 0.12, 0.2 if feminine else 0.0, 0.14 if feminine else 0.34])]
    top = _garment(rng, top_name, PATTERNS, [0.14, 0.24, 0.1, 0.12, 0.12, 0.08, 0.2])
    bottom = _garment(
        rng, BOTTOMS[rng.choice(3, p=[0.4, 0.25, 0.35] if feminine else [0.66, 0.34, 0])],
        ("plain", "pinstriped", "checked", "gradient"), [0.6, 0.12, 0.16, 0.12],
    )  # fmt: skip
    if bottom.color_name == top.color_name:
        contrast = "navy" if top.color_name != "navy" else "orange"
        bottom = Garment(
            bottom.name,
            "plain",
            contrast,
            jittered(rng, COLORS[contrast]),
            bottom.second,
            bottom.period,
            "disc",
        )
    shoe_name = list(COLORS)[rng.integers(len(COLORS))]
    hat = HATS[rng.choice(3, p=[0.78, 0.12, 0.1])]
    return Look(
        person=person,
        skin=skin,
        hair_style=style,
        hair_name=hair_name,
        hair=jittered(rng, HAIR_COLORS[hair_name], 8),
        hairline=np.array(
            [
                rng.uniform(26, 42),
                rng.uniform(-8, 8),
                rng.uniform(-45, -25),
                rng.uniform(0, 9),
                rng.uniform(0, 6.28),
            ]
        ),
        hat=hat,
        hat_color=jittered(rng, COLORS[list(COLORS)[rng.integers(len(COLORS))]]),
        top=top,
        bottom=bottom,
        shoe_name=shoe_name,
        shoe=jittered(rng, COLORS[shoe_name]),
        sole=np.array((240, 238, 230) if shoe_name != "white" else (120, 120, 128), np.float32),
        eye=np.array(((70, 110, 170), (80, 130, 80), (96, 64, 40), (40, 34, 34))[rng.integers(4)], np.float32),
        lip=np.clip(skin * np.array([0.86, 0.5, 0.5]) + (30 if feminine else 0) * np.array([1, 0, 0.3]), 0, 255),
        glasses=bool(rng.uniform() < 0.14),
        beard=bool(person == "man" and rng.uniform() < 0.3),
        eye_size=rng.uniform(0.9, 1.15),
        mouth_width=rng.uniform(0.85, 1.15),
    )

"""Rooms with windows, furniture and floors, and a stage."""

import numpy as np

from jaxanim.puppets.easel import LEFT, RIGHT, Easel, tone


def _wall(e: Easel, floor: float | int) -> np.ndarray:
    rng = e.rng
    wall = tone(
        rng,
        *((214, 204, 188), (190, 204, 206), (208, 196, 204), (196, 206, 186), (222, 208, 172))[rng.integers(5)],
    )
    e.image[:] = wall.astype(np.uint8)
    style = rng.integers(4)
    if style == 0:
        for x in np.arange(LEFT, RIGHT, 0.11):
            e.box(x, floor, x + 0.055, 9, wall * 0.955)
    elif style == 1:
        for row, y in enumerate(np.arange(floor, 1.3, 0.085)):
            for x in np.arange(LEFT, RIGHT, 0.2) + 0.1 * (row % 2):
                e.box(x, y, x + 0.19, y + 0.076, tone(rng, 190, 146, 126, spread=7))
    elif style == 2:
        for row, y in enumerate(np.arange(floor + 0.1, 1.3, 0.13)):
            for x in np.arange(LEFT, RIGHT, 0.16) + 0.08 * (row % 2):
                e.blob(x, y, 0.016, 0.016, wall * 0.9)
    else:
        e.box(LEFT, floor, RIGHT, floor + 0.2, wall * 0.9)
        e.line([(LEFT, floor + 0.2), (RIGHT, floor + 0.2)], 0.012, wall * 0.8)
    return wall


def _planks(e: Easel, floor: float | int) -> None:
    rng = e.rng
    wood = tone(rng, *((190, 156, 120), (164, 134, 110), (196, 178, 150), (170, 168, 170))[rng.integers(4)])
    e.ramp(wood, wood * 0.9, -9.0, floor)
    for y in floor - np.array([0.0, 0.03, 0.075, 0.135, 0.21, 0.3]):
        e.line([(LEFT, y), (RIGHT, y)], 0.005, wood * 0.8)
    for x in np.arange(-2.4, 2.5, 0.24):
        e.line([(x * 0.8, floor), (x * 1.5, -0.3)], 0.004, wood * 0.82)
    e.box(LEFT, floor, RIGHT, floor + 0.028, np.array([232, 228, 220.0]))


def _window(e: Easel, x: float | int, y: float | int, w: float | int, h: float | int) -> None:
    rng = e.rng
    e.box(x - 0.02, y - 0.02, x + w + 0.02, y + h + 0.02, np.array([236, 234, 228]))
    e.box(x, y, x + w, y + h, tone(rng, 172, 208, 230))
    hill = tone(rng, 146, 184, 142)
    t = np.linspace(0, 1, 12)
    hills = np.stack([x + w * t, y + h * (0.3 + 0.12 * np.sin(5 * t + rng.uniform(0, 6)))], -1)
    e.polygon(np.concatenate([hills, [(x + w, y), (x, y)]]), hill)
    e.box(x + w / 2 - 0.008, y, x + w / 2 + 0.008, y + h, np.array([236, 234, 228]))
    e.box(x, y + h / 2 - 0.008, x + w, y + h / 2 + 0.008, np.array([236, 234, 228]))
    curtain = tone(rng, 204, 168, 150, spread=26)
    e.box(x - 0.07, y - 0.1, x + 0.03, y + h + 0.04, curtain)
    e.box(x + w - 0.03, y - 0.1, x + w + 0.07, y + h + 0.04, curtain)


def _picture(e: Easel, x: float | int, y: float | int, w: float | int, h: float | int) -> None:
    rng = e.rng
    e.box(x, y, x + w, y + h, tone(rng, 134, 108, 84))
    e.box(x + 0.018, y + 0.018, x + w - 0.018, y + h - 0.018, tone(rng, 220, 214, 200))
    for _ in range(3):
        e.blob(
            x + w * rng.uniform(0.3, 0.7),
            y + h * rng.uniform(0.3, 0.7),
            w * 0.2,
            h * 0.16,
            tone(rng, 170, 160, 160, spread=40),
        )


def _sofa(e: Easel, x: float | int, floor: float | int) -> None:
    color = tone(e.rng, 146, 150, 168, spread=36)
    e.box(x, floor - 0.06, x + 0.6, floor + 0.24, color)
    for k in range(2):
        e.box(x + 0.06 + 0.245 * k, floor + 0.01, x + 0.295 + 0.245 * k, floor + 0.2, color * 1.08)
    e.box(x - 0.05, floor - 0.07, x + 0.06, floor + 0.15, color * 0.9)
    e.box(x + 0.54, floor - 0.07, x + 0.65, floor + 0.15, color * 0.9)


def _lamp(e: Easel, x: float | int, floor: float | int) -> None:
    e.line([(x, floor - 0.04), (x, floor + 0.42)], 0.014, (110, 104, 100))
    e.box(x - 0.06, floor - 0.05, x + 0.06, floor - 0.03, np.array([110, 104, 100]))
    shade_ = tone(e.rng, 236, 214, 168)
    e.polygon(
        [(x - 0.1, floor + 0.4), (x + 0.1, floor + 0.4), (x + 0.06, floor + 0.56), (x - 0.06, floor + 0.56)],
        shade_,
    )


def _shelf(e: Easel, x: float | int, floor: float | int) -> None:
    rng = e.rng
    wood = tone(rng, 150, 118, 90)
    e.box(x, floor - 0.03, x + 0.5, floor + 0.72, wood)
    for y in np.arange(floor + 0.0, floor + 0.66, 0.17):
        e.box(x + 0.025, y, x + 0.475, y + 0.145, wood * 0.72)
        book = x + 0.035
        while book < x + 0.43:
            w = rng.uniform(0.022, 0.045)
            e.box(book, y, book + w, y + rng.uniform(0.09, 0.13), tone(rng, 166, 150, 140, spread=44))
            book += w + 0.004


def _plant(e: Easel, x: float | int, floor: float | int) -> None:
    leaf = tone(e.rng, 112, 154, 106)
    for a in np.linspace(0.3, 2.84, 7):
        e.line(
            [(x, floor + 0.1), (x + 0.16 * np.cos(a), floor + 0.12 + 0.26 * np.sin(a))],
            0.034,
            leaf * (0.9 + 0.04 * (a % 1)),
        )
    pot = tone(e.rng, 196, 132, 100)
    e.polygon(
        [
            (x - 0.06, floor - 0.05),
            (x + 0.06, floor - 0.05),
            (x + 0.08, floor + 0.1),
            (x - 0.08, floor + 0.1),
        ],
        pot,
    )


def room(e: Easel) -> None:
    """A living room: wall, windows, pictures, furniture and a rug."""
    rng, floor = e.rng, e.rng.uniform(0.16, 0.22)
    _wall(e, floor)
    _planks(e, floor)
    for x in np.arange(-1.9, 1.9, 0.66) + rng.uniform(-0.08, 0.08, 6):
        high = rng.integers(3)
        if high == 0:
            _window(e, x, 0.48, rng.uniform(0.26, 0.34), rng.uniform(0.3, 0.38))
        elif high == 1:
            _picture(e, x, 0.62, rng.uniform(0.18, 0.26), rng.uniform(0.16, 0.24))
        (_sofa, _lamp, _shelf, _plant)[rng.integers(4)](e, x + rng.uniform(0, 0.1), floor)
    c = rng.uniform(-0.2, 0.2)
    rug = tone(rng, 178, 140, 140, spread=30)
    e.blob(c, 0.01, 0.55, 0.085, rug)
    e.blob(c, 0.01, 0.47, 0.065, rug * 1.1)


def stage(e: Easel) -> None:
    """A stage: curtains, boards and a pool of light."""
    rng, floor = e.rng, e.rng.uniform(0.16, 0.22)
    curtain = tone(rng, *((164, 96, 100), (104, 112, 156), (112, 144, 128))[rng.integers(3)])
    e.image[:] = curtain.astype(np.uint8)
    for k, x in enumerate(np.arange(LEFT, RIGHT, 0.075)):
        e.box(x, floor, x + 0.04, 9, curtain * (0.88 if k % 2 else 1.08))
    for x in np.arange(LEFT, RIGHT, 0.4):
        t = np.linspace(np.pi, 2 * np.pi, 16)
        e.polygon(np.stack([x + 0.2 + 0.22 * np.cos(t), 1.0 + 0.12 * np.sin(t)], -1), curtain * 1.15)
        e.line(np.stack([x + 0.2 + 0.2 * np.cos(t), 1.0 + 0.12 * np.sin(t)], -1), 0.014, (222, 196, 132))
    _planks(e, floor)
    c = rng.uniform(-0.15, 0.15)
    e.blob(c, 0.0, 0.5, 0.09, tone(rng, 226, 208, 172))

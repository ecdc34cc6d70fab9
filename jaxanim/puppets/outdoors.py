"""Places under the sky, and under the sea."""

import numpy as np

from jaxanim.puppets.easel import LEFT, RIGHT, Color, Easel, tone


def sky(e: Easel, horizon: float | int) -> None:
    """A sky with clouds, perhaps a sun, above the horizon."""
    rng = e.rng
    skies = (
        ((206, 226, 240), (130, 178, 222)),
        ((250, 222, 196), (150, 170, 214)),
        ((222, 230, 232), (170, 190, 206)),
    )
    low, high = skies[rng.choice(3, p=[0.55, 0.25, 0.2])]
    e.ramp(tone(rng, *low), tone(rng, *high), horizon, 1.3)
    e.ramp(tone(rng, *high), tone(rng, *high), 1.3, 9.0)
    if rng.uniform() < 0.5:
        x, y, r = rng.uniform(-0.45, 0.45), rng.uniform(0.7, 0.9), rng.uniform(0.05, 0.08)
        e.blob(x, y, r * 1.5, r * 1.5, tone(rng, 244, 232, 206, spread=4))
        e.blob(x, y, r, r, tone(rng, 252, 240, 190, spread=4))
    cloud = tone(rng, 244, 246, 248, spread=4)
    for x in np.arange(-1.8, 1.9, 0.55) + rng.uniform(-0.2, 0.2, 7):
        y, s = rng.uniform(0.62, 1.0), rng.uniform(0.05, 0.1)
        for dx, dy, r in ((-1.1, 0, 0.6), (0, 0.25, 0.9), (1.0, 0.05, 0.7), (1.7, -0.1, 0.4)):
            e.blob(x + dx * s, y + dy * s, r * s * 1.25, r * s * 0.8, cloud)


def ridge(e: Easel, base: float | int, height: float | int, color: Color, sharp: float | int) -> None:
    """Hills (or, sharp, peaks) whose feet lie at `base`."""
    x = np.linspace(LEFT, RIGHT, 160)
    rng = e.rng
    waves = sum(
        a * np.abs(np.sin(f * x + p)) if rng.uniform() < sharp else a * (0.5 + 0.5 * np.sin(f * x + p))
        for a, f, p in zip((0.6, 0.3, 0.1), rng.uniform([2, 5, 11], [4, 8, 15]), rng.uniform(0, 7, 3), strict=True)
    )
    e.polygon(np.concatenate([np.stack([x, base + height * waves], -1), [[RIGHT, -1], [LEFT, -1]]]), color)


def ground(e: Easel, horizon: float | int, near: Color, far: Color) -> None:
    """Ground from the horizon to below the frame, with soft patches."""
    e.ramp(near, far, -9.0, -0.3)
    e.ramp(near, far, -0.3, horizon)
    for _ in range(46):
        x, y = e.rng.uniform(LEFT, RIGHT), e.rng.uniform(-0.12, horizon - 0.02)
        depth = (horizon - y) / (horizon + 0.12)
        color = (near * depth + far * (1 - depth)) * e.rng.choice([0.92, 1.06])
        e.blob(x, y, (0.05 + 0.1 * depth), 0.006 + 0.014 * depth, color)


def _tree(e: Easel, x: float | int, y: float | int, s: float | int) -> None:
    rng = e.rng
    trunk, leaf = tone(rng, 128, 104, 84), tone(rng, 112, 152, 104, spread=16)
    e.polygon(
        [(x - 0.05 * s, y), (x + 0.05 * s, y), (x + 0.03 * s, y + 0.6 * s), (x - 0.03 * s, y + 0.6 * s)],
        trunk,
    )
    if rng.uniform() < 0.35:
        for k in range(3):
            w, b = 0.3 - 0.07 * k, 0.3 + 0.25 * k
            e.polygon(
                [(x - w * s, y + b * s), (x + w * s, y + b * s), (x, y + (b + 0.42) * s)],
                leaf * (0.9 + 0.07 * k),
            )
        return
    for dx, dy, r, light in (
        (0.0, 0.75, 0.34, 0.9),
        (-0.22, 0.62, 0.22, 0.95),
        (0.22, 0.66, 0.22, 1.0),
        (-0.07, 0.86, 0.2, 1.1),
    ):
        e.blob(x + dx * s, y + dy * s, r * s, r * s * 0.9, leaf * light)


def park(e: Easel) -> None:
    """A park: hills, trees, bushes, perhaps a path."""
    rng, horizon = e.rng, e.rng.uniform(0.2, 0.3)
    sky(e, horizon)
    ridge(e, horizon, 0.22, tone(rng, 160, 184, 190), 0.2)
    ridge(e, horizon - 0.02, 0.13, tone(rng, 148, 182, 146), 0.0)
    ground(e, horizon, tone(rng, 138, 176, 112), tone(rng, 168, 196, 138))
    if rng.uniform() < 0.6:
        c = rng.uniform(-0.4, 0.4)
        path = tone(rng, 214, 200, 172)
        e.polygon([(c - 0.04, horizon), (c + 0.04, horizon), (c + 0.5, -0.3), (c - 0.35, -0.3)], path)
    for x in np.arange(-1.8, 1.9, 0.42) + rng.uniform(-0.14, 0.14, 9):
        _tree(e, x, horizon + rng.uniform(-0.06, 0.02), rng.uniform(0.3, 0.62))
    for x in rng.uniform(LEFT, RIGHT, 12):
        e.blob(x, horizon - 0.02, rng.uniform(0.06, 0.12), rng.uniform(0.03, 0.06), tone(rng, 126, 164, 112))


def mountains(e: Easel) -> None:
    """Mountains behind a meadow with a few trees."""
    rng, horizon = e.rng, e.rng.uniform(0.2, 0.3)
    sky(e, horizon)
    for base, height, color in (
        (0.16, 0.5, (176, 186, 206)),
        (0.08, 0.36, (152, 164, 184)),
        (0.0, 0.2, (140, 168, 150)),
    ):
        ridge(e, horizon + base * 0.5, height, tone(rng, *color), 1.0 if height > 0.3 else 0.1)
    ground(e, horizon, tone(rng, 154, 170, 122), tone(rng, 176, 190, 148))
    for x in rng.uniform(LEFT, RIGHT, 12):
        _tree(e, x, horizon - 0.01, rng.uniform(0.16, 0.34))


def beach(e: Easel) -> None:
    """A beach: sea, shore, parasols and palms."""
    rng, horizon = e.rng, e.rng.uniform(0.34, 0.42)
    sky(e, horizon)
    shore = rng.uniform(0.14, 0.2)
    e.ramp(tone(rng, 130, 192, 202), tone(rng, 96, 158, 190), shore, horizon)
    for _ in range(16):
        x, y = rng.uniform(LEFT, RIGHT), rng.uniform(shore + 0.02, horizon - 0.01)
        e.line([(x, y), (x + 0.12, y + 0.004)], 0.006, (176, 214, 222))
    ground(e, shore, tone(rng, 226, 204, 160), tone(rng, 236, 220, 184))
    x = np.linspace(LEFT, RIGHT, 60)
    e.line(np.stack([x, shore + 0.008 * np.sin(9 * x)], -1), 0.014, (240, 244, 240))
    for x in np.arange(-1.6, 1.7, 0.8) + rng.uniform(-0.25, 0.25, 5):
        if rng.uniform() < 0.5:
            top, color = rng.uniform(0.42, 0.5), tone(rng, 196, 130, 120, spread=28)
            e.line([(x, shore - 0.02), (x + 0.02, top)], 0.012, (180, 160, 140))
            t = np.linspace(0, np.pi, 14)
            e.polygon(np.stack([x + 0.02 + 0.16 * np.cos(t), top + 0.09 * np.sin(t)], -1), color)
        else:
            e.line([(x, shore - 0.02), (x + 0.05, 0.5), (x + 0.1, 0.62)], 0.026, (168, 140, 112))
            for a in np.linspace(-0.3, 3.4, 6):
                tip = (x + 0.1 + 0.18 * np.cos(a), 0.62 + 0.1 * np.sin(a))
                e.line(
                    [(x + 0.1, 0.62), (x + 0.1 + 0.1 * np.cos(a), 0.66 + 0.06 * np.sin(a)), tip],
                    0.03,
                    (124, 160, 112),
                )


def street(e: Easel) -> None:
    """A city street: houses, pavement and road."""
    rng, horizon = e.rng, e.rng.uniform(0.17, 0.23)
    sky(e, horizon)
    x = LEFT
    while x < RIGHT:
        width, height = rng.uniform(0.26, 0.44), rng.uniform(0.5, 1.1)
        wall = tone(rng, *((204, 186, 172), (178, 186, 196), (210, 200, 176), (190, 170, 164))[rng.integers(4)])
        e.box(x, horizon, x + width, horizon + height, wall)
        e.box(x, horizon + height - 0.02, x + width, horizon + height, wall * 0.86)
        pane = wall * 0.66 + np.array([10, 24, 40])
        for wx in np.arange(x + 0.05, x + width - 0.06, 0.1):
            for wy in np.arange(horizon + 0.14, horizon + height - 0.1, 0.13):
                e.box(wx, wy, wx + 0.055, wy + 0.075, pane * rng.choice([1.0, 1.2], p=[0.75, 0.25]))
        e.box(x + width * 0.4, horizon, x + width * 0.4 + 0.07, horizon + 0.12, wall * 0.6)
        x += width
    e.ramp(tone(rng, 150, 152, 158), tone(rng, 168, 170, 174), -9.0, 0.1)
    e.ramp(tone(rng, 196, 194, 190), tone(rng, 204, 202, 198), 0.1, horizon)
    for x in np.arange(LEFT, RIGHT, 0.2):
        e.line([(x, 0.1), (x + 0.02, horizon)], 0.005, (176, 174, 172))
    for x in np.arange(LEFT, RIGHT, 0.34):
        e.box(x, 0.015, x + 0.18, 0.03, np.array([222, 216, 186]))


def sea(e: Easel) -> None:
    """Under the sea: rays of light, weeds, bubbles."""
    rng = e.rng
    e.ramp(tone(rng, 96, 150, 178), tone(rng, 164, 214, 222), -0.1, 1.2)
    e.ramp(tone(rng, 164, 214, 222), tone(rng, 164, 214, 222), 1.2, 9)
    for x in np.arange(-1.8, 1.9, 0.5) + rng.uniform(-0.1, 0.1, 8):
        e.polygon([(x, 1.4), (x + 0.12, 1.4), (x + 0.3, 0.1), (x - 0.1, 0.1)], tone(rng, 158, 206, 216, spread=3))
    ridge(e, 0.1, 0.22, tone(rng, 112, 152, 164), 0.4)
    ground(e, 0.14, tone(rng, 214, 198, 160), tone(rng, 200, 194, 166))
    for x in np.arange(-1.8, 1.9, 0.28) + rng.uniform(-0.1, 0.1, 14):
        weed, tall = (
            tone(rng, *((110, 158, 116), (196, 132, 128), (170, 130, 170))[rng.integers(3)]),
            rng.uniform(0.15, 0.4),
        )
        y = np.linspace(0, 1, 8)
        for k in range(3):
            bend = 0.03 * np.sin(6 * y + rng.uniform(0, 6)) + (k - 1) * 0.05 * y
            e.line(np.stack([x + bend, 0.06 + tall * y * (1 - 0.15 * k)], -1), 0.022, weed * (0.9 + 0.08 * k))
    for x, y in rng.uniform([LEFT, 0.2], [RIGHT, 1.0], (26, 2)):
        e.blob(x, y, 0.012, 0.012, (206, 232, 236))

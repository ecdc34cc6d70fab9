"""Sampling written out in float64 numpy, a step at a time: slow and plain, to compare with."""

import numpy as np


def ddim(x, predict, betas, steps):
    """DDIM (Song et al. 2021, Eq. 12, eta 0) at Stable Diffusion's timesteps; `predict(x, t)` is the noise."""
    alphas = np.cumprod(1 - betas)
    for t in [1000 // steps * i + 1 for i in reversed(range(steps))]:
        eps = predict(x, t)
        before, after = alphas[t], alphas[t - 1000 // steps] if t >= 1000 // steps else 1.0
        x0 = (x - np.sqrt(1 - before) * eps) / np.sqrt(before)
        x = np.sqrt(after) * x0 + np.sqrt(1 - after) * eps
    return x

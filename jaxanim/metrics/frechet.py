"""The Fréchet distance between two sets of features: FID with Inception's of pictures, FID-VID and FVD with a video
network's of clips. Which network it is decides which number it is, so its name belongs to the result."""

import numpy as np
from jaxtyping import Float, Float64
from scipy import linalg

from jaxanim.errors import InputError


def frechet_distance(a: Float[np.ndarray, "n features"], b: Float[np.ndarray, "m features"]) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), covariances unbiased (Heusel et al. 2017, Eq. 6).

    The trace of the root is the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric:
    no imaginary part to be dropped, and nothing to be added to singular covariances.

    Raises:
      InputError: fewer than two elements on a side.
    """
    if min(len(a), len(b)) < 2:
        raise InputError(f"there are {len(a)} and {len(b)} features: a Fréchet distance needs two on either side")
    (mean_a, cov_a), (mean_b, cov_b) = _moments(a), _moments(b)
    values, vectors = linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    between = np.sqrt(np.maximum(linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * between)


def _moments(
    features: Float[np.ndarray, "n features"],
) -> tuple[Float64[np.ndarray, " features"], Float64[np.ndarray, "features features"]]:
    features = features.astype(np.float64)
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))

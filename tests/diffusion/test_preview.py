"""Previews have the colours that latents stand for, where those are linear."""

import cv2
import numpy as np

from jaxanim.diffusion.preview import previewed


def test_colours_are_told_by_one_picture_and_its_latents():
    """Latents made of shrunk pictures by a random linear map: what is reported is the pictures again."""
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-0.9, 0.9, (4, 32, 48, 3)).astype(np.float32)
    small = np.stack([cv2.resize(picture, (12, 8), interpolation=cv2.INTER_AREA) for picture in pictures])
    latents = small @ rng.normal(size=(3, 5)) + rng.normal(size=5)
    seen = []
    report = previewed(lambda *told: seen.append(told), latents[0], pictures[0])
    report(1, 3, latents[None])
    report(2, 3, 10 * latents)
    report(3, 3, None)
    assert [told[:2] for told in seen] == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_allclose(seen[0][2], small, atol=1e-4)
    assert np.abs(seen[1][2]).max() == 1
    assert seen[2][2] is None
    previewed(lambda *told: seen.append(told), latents[0], pictures[0], before=3)(1, 3, latents[None])
    np.testing.assert_array_equal(seen[3][2], seen[0][2][3:])
    assert previewed(None, latents[0], pictures[0]) is None

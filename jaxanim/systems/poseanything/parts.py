"""Part masks: each segment of a pose dilated until the skeleton covers the subject (PoseAnything, Eqs. 6 and 7),
and the same on the transformer's grid of tokens."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from jaxanim.errors import InputError

MOST_DILATIONS = 100  # Eq. 7
MOST_PARTS = 5  # of the released code
FEWEST_PIXELS = 20  # of a part in the first frame, in the released code
NO_PART = -1
_ELLIPSE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))

Segments = UInt8[np.ndarray, "frames segments height width"]


def dilate(
    segments: UInt8[np.ndarray, "*axes height width"], alpha: int
) -> UInt8[np.ndarray, "*axes height width"]:
    """Eq. 6: m = Dilate(s, alpha), alpha iterations of a 3 x 3 ellipse, of masks 1 or 0."""
    flat = segments.reshape(-1, *segments.shape[-2:])
    return np.stack([cv2.dilate(s, _ELLIPSE, iterations=alpha) for s in flat]).reshape(segments.shape)


def dilations(skeleton: UInt8[np.ndarray, "height width"], body: Bool[np.ndarray, "height width"]) -> int:
    """Eq. 7: the fewest iterations of `dilate` after which the first frame's skeleton covers the body, at most 100.

    The 3 x 3 ellipse has a pixel and the four beside it: so many iterations reach every pixel whose city-block
    distance is so large, and no other. A skeleton that is nowhere covers nothing.
    """
    if not body.any():
        return 0
    if not skeleton.any():
        return MOST_DILATIONS
    distance = cv2.distanceTransform((skeleton == 0).astype(np.uint8), cv2.DIST_L1, 3)
    return min(round(float(distance[body].max())), MOST_DILATIONS)


def merge_segments(
    segments: Segments, most: int = MOST_PARTS, fewest: int = FEWEST_PIXELS
) -> UInt8[np.ndarray, "frames parts height width"]:
    """Segments joined until there are at most `most`, none of which has fewer than `fewest` pixels in the first
    frame.

    The smallest is joined with that which comes nearest to it in the first frame, in every frame.
    """
    groups = [segments[:, k] for k in range(segments.shape[1])]
    while len(groups) > 1:
        sizes = [int(group[0].sum()) for group in groups]
        smallest = int(np.argmin(sizes))
        if len(groups) <= most and sizes[smallest] >= fewest:
            break
        small = groups.pop(smallest)
        near = min(range(len(groups)), key=lambda k: _gap(small[0], groups[k][0]))
        groups[near] = np.maximum(groups[near], small)
    return np.stack(groups, 1)


def _gap(a: UInt8[np.ndarray, "height width"], b: UInt8[np.ndarray, "height width"]) -> float:
    """The distance between two masks, infinite where one is empty."""
    if not a.any() or not b.any():
        return float("inf")
    return float(cv2.distanceTransform((a == 0).astype(np.uint8), cv2.DIST_L2, 3)[b > 0].min())


def part_masks(
    segments: Segments, body: Bool[np.ndarray, "height width"] | None = None, alpha: int | None = None
) -> Segments:
    """m_ij of Eq. 6 for a whole motion, alpha by Eq. 7.

    Args:
      segments: s_ij, where each segment of the pose is drawn.
      body: the subject's mask in the reference image. Without it, and without `alpha`, alpha is a sixteenth of the
        shorter side.
    """
    if alpha is None:
        skeleton = segments[0].max(0)
        alpha = min(segments.shape[-2:]) // 16 if body is None else dilations(skeleton, body)
    return dilate(segments, alpha)


def grid_shares(
    masks: Segments, grid: tuple[int, int, int], stride: int = 4
) -> Float[np.ndarray, "latents segments rows columns"]:
    """The share of each token's pixels that lie in each part.

    A latent frame stands for the first picture, or for `stride` pictures after it; a token of it for a rectangle of
    pixels.

    Args:
      grid: (latent frames, rows, columns) of tokens.

    Raises InputError where the masks do not fit it.
    """
    frames, _, height, width = masks.shape
    latents, rows, columns = grid
    if frames != 1 + stride * (latents - 1) or height % rows or width % columns:
        raise InputError(
            f"masks are {frames} of {width}x{height}: tokens in a grid of {grid} stand for "
            f"{1 + stride * (latents - 1)} frames whose sides are multiples of {columns} and {rows}"
        )
    return latent_shares(frame_shares(masks, (height // rows, width // columns)), stride)


def frame_shares(masks: Segments, cell: tuple[int, int]) -> Float[np.ndarray, "frames segments rows columns"]:
    """The share of each cell's pixels, `cell` = (height, width) of them, that lie in each part."""
    frames, segments, height, width = masks.shape
    rows, columns = height // cell[0], width // cell[1]
    cells = masks.reshape(frames, segments, rows, cell[0], columns, cell[1])
    return (cells.sum((3, 5), dtype=np.int32) / (cell[0] * cell[1])).astype(np.float32)


def latent_shares(
    shares: Float[np.ndarray, "frames segments rows columns"], stride: int
) -> Float[np.ndarray, "latents segments rows columns"]:
    """Shares of single frames as those of latent frames: the first, and means over `stride` frames after it."""
    later = shares[1:].reshape(-1, stride, *shares.shape[1:]).mean(1)
    return np.concatenate([shares[:1], later])


def exclusive_ids(
    shares: Float[np.ndarray, "latents segments rows columns"],
) -> Int[np.ndarray, "latents rows columns"]:
    """The one part that each token belongs to, that which has most of it; NO_PART where there is none."""
    return np.where(shares.max(1) > 0, shares.argmax(1), NO_PART).astype(np.int32)

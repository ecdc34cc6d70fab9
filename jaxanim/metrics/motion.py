"""How a video moves and whom it shows, beside the true one: keypoints, embeddings, and consistency over time."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

Points = Float[np.ndarray, "frames points 3"]
Embeddings = Float[np.ndarray, "frames length"]
Video = UInt8[np.ndarray, "frames height width 3"]


def akd(result: Points, truth: Points) -> float:
    """Average keypoint distance in pixels, over the points seen in both videos (Siarohin et al. 2019); nan where
    there are none."""
    seen = (result[..., 2] > 0) & (truth[..., 2] > 0)
    apart = np.linalg.norm(result[..., :2].astype(np.float64) - truth[..., :2], axis=-1)
    return float(apart[seen].mean()) if seen.any() else float("nan")


def mkr(result: Points, truth: Points) -> float:
    """Missing keypoint rate: the share of the points seen in the true video that are not in the result (Siarohin et
    al. 2019); nan where none are."""
    there = truth[..., 2] > 0
    return float((result[..., 2] <= 0)[there].mean()) if there.any() else float("nan")


def plc(result: Points, driving: Points) -> Float[np.ndarray, " frames"]:
    """Pose landmark consistency (DirectAnimator, App. A.4): the mean distance of the body points seen in both, over
    the longer side of the driving body's box, since the paper does not say by what it is normalized; nan where
    fewer than two are."""
    values = np.full(len(driving), np.nan)
    for f, (a, b) in enumerate(zip(result.astype(np.float64), driving.astype(np.float64), strict=True)):
        seen = (a[:, 2] > 0) & (b[:, 2] > 0)
        if seen.sum() > 1:
            apart = np.linalg.norm(a[seen, :2] - b[seen, :2], axis=-1)
            values[f] = apart.mean() / max(np.ptp(b[b[:, 2] > 0, :2], axis=0).max(), 1.0)
    return values


def flc(
    result: Float[np.ndarray, "frames 68 3"], driving: Float[np.ndarray, "frames 68 3"]
) -> Float[np.ndarray, " frames"]:
    """Facial landmark consistency (DirectAnimator, App. A.4): as `plc`, over that of the outer corners of the
    driving face's eyes; nan where those are not seen."""
    seen = (result[..., 2] > 0) & (driving[..., 2] > 0)
    apart = np.linalg.norm(result[..., :2].astype(np.float64) - driving[..., :2], axis=-1)
    eyes = np.linalg.norm(driving[:, 36, :2].astype(np.float64) - driving[:, 45, :2], axis=-1)
    known = seen.any(1) & (driving[:, (36, 45), 2] > 0).all(1)
    mean = (apart * seen).sum(1) / np.maximum(seen.sum(1), 1)
    return np.where(known, mean / np.maximum(eyes, 1e-6), np.nan)


def aed(result: Embeddings, truth: Embeddings) -> float:
    """Average Euclidean distance of the embeddings of the same frames (Siarohin et al. 2019)."""
    return float(np.linalg.norm(result.astype(np.float64) - truth, axis=-1).mean())


def similarity(a: Embeddings, b: Embeddings) -> Float[np.ndarray, " frames"]:
    """Cosines of the embeddings of the same frames; of CLIP's image embeddings it is CLIP-I."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def frame_consistency(embeddings: Embeddings) -> float:
    """The mean cosine of neighbouring frames' embeddings; nan for a single frame."""
    return float(similarity(embeddings[:-1], embeddings[1:]).mean()) if len(embeddings) > 1 else float("nan")


def warping_error(video: Video, guide: Video | None = None) -> Float[np.ndarray, " changes"]:
    """Mean squared difference between each frame and the next one, brought back by optical flow, in [0, 1]; of the
    places that both frames show (Lai et al. 2018).

    The flow is DIS (OpenCV, medium preset), of `guide` where that is given (the true video: a result that moves
    otherwise then errs), or else of the video itself.
    """
    flows = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (video if guide is None else guide)]
    height, width = grey[0].shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    errors = []
    for k in range(len(video) - 1):
        forward, backward = flows.calc(grey[k], grey[k + 1], None), flows.calc(grey[k + 1], grey[k], None)
        warped = cv2.remap(video[k + 1].astype(np.float32), grid + forward, None, cv2.INTER_LINEAR)
        there = visible(forward, backward)
        squared = ((warped - video[k]) / 255) ** 2
        errors.append(float(squared[there].mean()) if there.any() else float("nan"))
    return np.array(errors)


def visible(
    forward: Float[np.ndarray, "height width 2"], backward: Float[np.ndarray, "height width 2"]
) -> Bool[np.ndarray, "height width"]:
    """Where a flow and the one back agree (Ruder et al. 2016, Eq. 5) and do not leave the picture."""
    height, width = forward.shape[:2]
    goal = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32) + forward
    back = cv2.remap(backward, goal, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart = ((forward + back) ** 2).sum(-1)
    inside = ((goal >= 0) & (goal <= (width - 1, height - 1))).all(-1)
    return (apart <= 0.01 * ((forward**2).sum(-1) + (back**2).sum(-1)) + 0.5) & inside

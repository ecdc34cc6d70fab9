"""Where the character is in each frame: M_{x_i} of the Mask-Guided Decoupling Module (Sec. 3.4), out of
cross-attention maps as in the paper, or drawn around the pose."""

from collections.abc import Mapping
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from tokenizers import Tokenizer

from jaxanim.cues.openpose import LIMBS, Keypoints
from jaxanim.errors import InputError

LEVEL = 16
"""Rows and columns of the cross-attention maps that are read, where the network has such a level."""
NECK, SHOULDERS, HIPS, HEAD = 1, (2, 5), (8, 11), (0, 14, 15, 16, 17)
LIMB_WIDTH = 0.35
"""Of a limb with what clothes it, over the trunk's length from neck to hips."""
HEAD_RADIUS = 1.3
"""Of the head with its hair, over the radius of the points in it."""


def subject_tokens(tokenizer: Tokenizer, prompt: str, subject: str) -> Float[np.ndarray, " length"]:
    """1 for the tokens of the prompt that belong to the subject's words, 0 for all others.

    Raises InputError where a word of `subject` is none of the prompt's, or was cut off with the prompt's end.
    """
    encoding = tokenizer.encode(prompt)
    words = np.zeros(len(encoding.ids), np.float32)
    for word in subject.lower().split():
        own = [i for i in tokenizer.encode(word).ids if i not in _special(tokenizer)]
        places = [
            k for k in range(len(encoding.ids) - len(own) + 1) if own and encoding.ids[k : k + len(own)] == own
        ]
        if not places:
            raise InputError(f"subject is {subject!r}: its word {word!r} is not in the prompt {prompt!r}")
        for k in places:
            words[k : k + len(own)] = 1
    if not words.any():
        raise InputError(f"subject is {subject!r}: name the words of the prompt for who moves")
    return words


def _special(tokenizer: Tokenizer) -> set[int]:
    return set(tokenizer.encode("").ids)


def subject_map(taken: Mapping[str, Any]) -> Float[Array, "batch frames height width"]:
    """The mean of the subject's cross-attention maps at one level where down and up blocks both attend: the
    coarsest of at least 16x16, which is 16x16 for Stable Diffusion at 512 pixels, where they follow objects best
    (Prompt-to-Prompt, Sec. 3), or the finest where all are smaller.

    Args:
      taken: what a UNet hands out, with `jaxanim.systems.poseanimate.dcam.word_map` as its cross-attention.
    """
    maps: dict[str, list[Any]] = {"down": [], "up": []}
    for name, block in taken.items():
        part = name.split("_")[0]
        if part in maps:
            maps[part] += [layer["attn2"] for layer in block.values() if layer.get("attn2") is not None]
    sizes = {m.shape[-2:] for m in maps["down"]} & {m.shape[-2:] for m in maps["up"]}
    fine = [size for size in sizes if min(size) >= LEVEL]
    level = min(fine) if fine else max(sizes)
    chosen = [m for m in (*maps["down"], *maps["up"]) if m.shape[-2:] == level]
    return sum(chosen) / len(chosen)


def character_masks(
    maps: Float[Array, "frames height width"], size: tuple[int, int], threshold: float
) -> Float[Array, "frames out_height out_width"]:
    """1 where a frame's map, brought to `size`, exceeds `threshold` of its own range, else 0."""
    large = jax.image.resize(maps, (len(maps), *size), "linear")
    low, high = (f(large, axis=(1, 2), keepdims=True) for f in (jnp.min, jnp.max))
    return ((large - low) > threshold * (high - low)).astype(jnp.float32)


def silhouettes(keypoints: Keypoints, size: tuple[int, int]) -> Bool[np.ndarray, "frames height width"]:
    """A body of flesh around each frame's first skeleton: limbs as wide strokes, the trunk, a disc for the head.

    Rough, but it goes with the pose that is asked for and needs no network that knows the subject's word.
    """
    pictures = np.zeros((len(keypoints.body), *size), np.uint8)
    for picture, body, face, hands in zip(
        pictures, keypoints.body[:, 0], keypoints.face[:, 0], keypoints.hands[:, :2], strict=True
    ):
        _fill(picture, body, face, hands)
    return pictures > 0


def _fill(
    picture: np.ndarray,
    body: Float[np.ndarray, "18 3"],
    face: Float[np.ndarray, "68 3"],
    hands: Float[np.ndarray, "2 21 3"],
) -> None:
    there = body[:, 2] > 0
    if not there.any():
        return
    at = np.round(body[:, :2]).astype(int)
    hips = [i for i in HIPS if there[i]]
    trunk = np.ptp(body[there, 1]) / 3
    if there[NECK] and hips:
        trunk = np.linalg.norm(body[NECK, :2] - body[hips, :2].mean(0))
    width = max(1, round(LIMB_WIDTH * trunk))
    corners = [i for i in (SHOULDERS[0], SHOULDERS[1], HIPS[1], HIPS[0]) if there[i]]
    cv2.fillPoly(picture, [at[corners].astype(np.int32)], 1)
    sides = (HIPS, *zip(SHOULDERS, HIPS, strict=True))
    for a, b in (*LIMBS, *sides):
        if there[a] and there[b]:
            cv2.line(picture, at[a].tolist(), at[b].tolist(), 1, width)
    for hand in hands:
        if (hand[:, 2] > 0).any():
            middle = hand[hand[:, 2] > 0, :2].mean(0)
            cv2.circle(picture, np.round(middle).astype(int).tolist(), max(1, width // 2), 1, -1)
    points = np.concatenate([body[[i for i in HEAD if there[i]], :2], face[face[:, 2] > 0, :2]])
    if len(points):
        middle = (points.max(0) + points.min(0)) / 2
        radius = np.linalg.norm(points - middle, axis=1).max()
        if there[NECK]:
            radius = max(radius, np.linalg.norm(middle - body[NECK, :2]) / 2)
        cv2.circle(picture, np.round(middle).astype(int).tolist(), max(1, round(HEAD_RADIUS * radius)), 1, -1)

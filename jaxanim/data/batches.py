"""Drawing training batches for reference-guided animation out of clips of latents and their labels.

`clips` holds "latents" [clips, frames, ...], the named labels [clips, frames, ...] and, for windows, "reference"
[clips, ...]. Batches hold "target" [count, frames, ...], "reference" [count, ...] and the labels of the target
frames.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxanim.errors import InputError

Batch = dict[str, np.ndarray]
Clips = Mapping[str, np.ndarray]


def check_targets(targets: int, frames: int) -> None:
    """Raises InputError unless clips of `frames` frames have `targets` beside the reference."""
    if not 1 <= targets < frames:
        raise InputError(
            f"targets is {targets}: clips of {frames} frames have 1 to {frames - 1} beside the reference"
        )


def draw_stills(clips: Clips, rng: np.random.Generator, count: int, labels: Sequence[str]) -> Batch:
    """A still is its own reference."""
    chosen = rng.integers(len(clips["latents"]), size=count)
    frame = rng.integers(clips["latents"].shape[1], size=count)
    pick = {
        name: np.stack([clips[name][c, f] for c, f in zip(chosen, frame, strict=True)])
        for name in ("latents", *labels)
    }
    batch = {"target": pick["latents"][:, None], "reference": pick["latents"]}
    return batch | {name: pick[name][:, None] for name in labels}


def draw_pairs(clips: Clips, rng: np.random.Generator, count: int, targets: int, labels: Sequence[str]) -> Batch:
    """Two random frames of one video as reference and target; with more `targets`, that many frames beside the
    reference, each by itself."""
    rows = []
    for c in rng.integers(len(clips["latents"]), size=count):
        frames = rng.choice(clips["latents"].shape[1], targets + 1, replace=False)
        row = {"target": clips["latents"][c][frames[1:]], "reference": clips["latents"][c, frames[0]]}
        rows.append(row | {name: clips[name][c][frames[1:]] for name in labels})
    return _stack(rows)


def draw_windows(clips: Clips, rng: np.random.Generator, count: int, labels: Sequence[str]) -> Batch:
    """Consecutive frames and a reference from another moment."""
    chosen = rng.integers(len(clips["latents"]), size=count)
    fields = {"target": "latents", "reference": "reference"} | {name: name for name in labels}
    return _stack({name: clips[field][c] for name, field in fields.items()} for c in chosen)


def _stack(rows) -> Batch:
    rows = list(rows)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

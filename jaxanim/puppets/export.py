"""Writing a clip as the folder of files that the sampling programs read."""

import json
import os
from pathlib import Path

import numpy as np

from jaxanim.cues import openpose, skeleton, skeleton_drawing
from jaxanim.cues.skeleton import Graph
from jaxanim.media.files import atomic_folder, check_folder
from jaxanim.media.images import write_png
from jaxanim.media.video import write_video
from jaxanim.puppets.clip import Clip

# Full colour resolution and no loss but rounding: above 50 dB, and part colours within one grey level.
_FINE = {"crf": 0, "pixel_format": "yuv444p"}
FILES = (
    "reference.png",
    "reference_mask.png",
    "reference_openpose",
    "truth.mp4",
    "densepose.mp4",
    "openpose.mp4",
    "openpose",
    "skeleton.json",
    "mask.mp4",
    "prompt.txt",
)


def write_clip(folder: str | os.PathLike, clip: Clip) -> None:
    """Writes `FILES` into a folder, which appears whole or not at all; an older clip there is replaced.

    Raises:
        InputError: the folder holds anything else, or cannot be written.
    """
    check_folder(Path(folder), FILES)
    with atomic_folder(folder) as temporary:
        _write_files(temporary, clip)


def _write_files(folder: Path, clip: Clip) -> None:
    size = clip.frames.shape[1:3]
    write_png(folder / "reference.png", clip.reference)
    write_video(folder / "truth.mp4", clip.frames, clip.fps, **_FINE)
    write_video(folder / "densepose.mp4", clip.densepose, clip.fps, **_FINE)
    write_video(folder / "mask.mp4", np.repeat(clip.mask[..., None], 3, axis=-1), clip.fps, **_FINE)
    human = bool((clip.keypoints.body[..., 2] > 0).any())
    if human:
        drawn = openpose.draw(clip.keypoints, size)
    else:
        drawn = skeleton_drawing.draw(clip.points, clip.skeleton.edges, size)
    write_video(folder / "openpose.mp4", drawn, clip.fps, **_FINE)
    still = clip.reference_clip
    write_png(folder / "reference_mask.png", np.repeat(still.mask[0, ..., None], 3, axis=-1))
    for name, keypoints in (("openpose", clip.keypoints), ("reference_openpose", still.keypoints)):
        (folder / name).mkdir()
        openpose.write(folder / name, keypoints)
    graph = skeleton.encode(Graph(clip.skeleton, clip.points), size, clip.fps) | {
        "face_box": np.round(clip.face_box, 3).tolist(),
        "camera": np.round(clip.camera, 5).tolist(),
    }
    (folder / "skeleton.json").write_text(json.dumps(graph), encoding="utf-8")
    (folder / "prompt.txt").write_text(clip.prompt + "\n", encoding="utf-8")

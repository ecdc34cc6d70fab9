"""A system small enough to run in a test, standing in for a real one behind `jaxanim.systems.load`."""

import dataclasses

import jax
import numpy as np
import pytest


@pytest.fixture(scope="session")
def puppet(tmp_path_factory):
    """A folder as `python -m jaxanim.puppets` writes it, of 10 frames at 48x64 (width x height),"""
    from jaxanim.media.images import write_png
    from jaxanim.media.video import write_video
    from jaxanim.puppets import puppet_clip

    clip, folder = puppet_clip(950001, 10, (64, 48)), tmp_path_factory.mktemp("puppet")
    write_png(folder / "reference.png", clip.reference)
    write_video(folder / "truth.mp4", clip.frames, crf=1, pixel_format="yuv444p")
    write_video(folder / "densepose.mp4", clip.densepose, crf=1, pixel_format="yuv444p")
    write_video(folder / "mask.mp4", np.repeat(clip.mask[..., None], 3, -1), crf=1, pixel_format="yuv444p")
    for i, frame in enumerate(clip.densepose):
        write_png(folder / "images" / f"{i:03}.png", frame)
    write_openpose(folder / "openpose", clip.keypoints.body)
    return folder


def write_openpose(folder, body):
    """OpenPose's JSON files of [frames, people, 18, 3] points."""
    import json

    folder.mkdir()
    for i, people in enumerate(body):
        content = {"version": 1.3, "people": [{"pose_keypoints_2d": person.ravel().tolist()} for person in people]}
        (folder / f"{i:03}_keypoints.json").write_text(json.dumps(content))


@dataclasses.dataclass(frozen=True)
class TinySystem:
    """Shows the reference with the part map mixed in, by a weight from its file, and some noise."""

    share: float
    defaults: object
    calls: list
    name: str = "magicanimate"
    frame_multiple: int = 8
    cue: str = "densepose"

    def animate(self, reference, motion, *, key, steps=None, guidance=None, report=None, **options):
        self.calls.append({"steps": steps, "guidance": guidance, "shape": motion.shape} | options)
        for step in range(0 if report is None else steps):
            report(step + 1, steps)
        noise = 0.1 * jax.random.normal(key, motion.shape)
        return np.clip((1 - self.share) * reference + self.share * (2 * motion - 1) + noise, -1, 1)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """(weights folder, list of the calls made to `animate`): the tiny system in the place of magicanimate."""
    from jaxanim import systems, weights
    from jaxanim.systems.base import Defaults

    defaults, calls = Defaults(size=(64, 64), steps=3, guidance=2.0, fps=12, window=4, overlap=1), []
    weights.save_weights(
        tmp_path / "weights",
        {"mix": (defaults, {"share": np.full((4,), 0.25, np.float32)})},
        system="magicanimate",
    )

    def load(name, folder, base=None, dtype=None):
        networks = weights.load_weights(folder, system=name, networks=("mix",))
        config, params = networks["mix"]
        return TinySystem(float(params["share"][0]), config, calls)

    monkeypatch.setattr(systems, "load", load)
    return tmp_path / "weights", calls

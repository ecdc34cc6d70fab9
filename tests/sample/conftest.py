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
class TinyConfig:
    """Of a system that shows the reference with the part map mixed in, by a weight from its file, and some noise."""

    defaults: object
    calls: list

    def run(self, share, config, reference, driving, *, key, sampling, options, memory, report=None):
        motion = driving.pictures["densepose"].astype(np.float32) / 255
        said = {name: getattr(sampling, name) for name in ("steps", "guidance")} | {"shape": motion.shape}
        for now, before in ((sampling, self.defaults), (options, type(options)()), (memory, type(memory)())):
            said |= {k: v for k, v in vars(now).items() if v != vars(before)[k]}
        self.calls.append(said)
        for step in range(0 if report is None else sampling.steps):
            report(step + 1, sampling.steps, motion[:, ::8, ::8] * 2 - 1)
        noise = 0.1 * jax.random.normal(key, motion.shape)
        return jax.numpy.clip((1 - share) * reference + share * (2 * motion - 1) + noise, -1, 1)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """(weights folder, list of the calls made to `animate`): the tiny system in the place of magicanimate."""
    from jaxanim import systems, weights
    from jaxanim.systems.base import Grid, Sampling, System

    defaults, calls = Sampling(size=(64, 64), steps=3, guidance=2.0, fps=12, window=4, overlap=1), []
    weights.save_weights(
        tmp_path / "weights",
        {"mix": (defaults, {"share": np.full((4,), 0.25, np.float32)})},
        system="magicanimate",
    )

    def load(name, folder, base=None, dtype=None):
        networks = weights.load_weights(folder, system=name, networks=("mix",))
        config, params = networks["mix"]
        made = TinyConfig(config, calls)
        return System(systems.entry(name), made, float(params["share"][0]), Grid(8), made.run)

    monkeypatch.setattr(systems, "load", load)
    return tmp_path / "weights", calls

"""A person of a picture in the motion of a video, by any system: a pseudo driving video, measured and filtered."""

import argparse
import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from jaxanim import systems
from jaxanim.cues.driving import Cue
from jaxanim.cues.prepare import Tools
from jaxanim.data.layouts import Entry
from jaxanim.media.files import atomic_folder
from jaxanim.media.video import write_video
from jaxanim.metrics.pseudo import Filter, Seen, measure
from sample import animate, inputs, people
from sample.asked import prepared

KEPT, DROPPED, ABOUT = "pseudo", "dropped", "pseudo.json"


@dataclasses.dataclass(frozen=True)
class Maker:
    """A system that makes pseudo driving videos.

    Attributes:
      system: its name.
      arguments: further ones of `sample.animate`.
      masks: "found" where the made person is looked for, "driver" where it is taken to be where the driver is.
      tools: what looks.
      keeps: what is kept.
    """

    system: str
    arguments: Sequence[str]
    masks: str
    tools: Tools
    keeps: Filter

    @functools.cached_property
    def loaded(self) -> systems.System:
        """The system."""
        given = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
        for option in ("--weights", "--base", "--dtype"):
            given.add_argument(option)
        known, _ = given.parse_known_args(self.arguments)
        weights = known.weights or animate.REPOSITORY / "weights" / self.system
        return systems.load(self.system, weights, known.base, dtype=known.dtype or "float32")

    def check(self) -> None:
        """Ends the program for arguments that `sample.animate` has not, and loads the weights.

        Raises InputError for a folder that does not hold them.
        """
        entry = systems.entry(self.system)
        needed = [f"--{name.replace('_', '-')}" for name in ("reference", "motion", "out", *entry.needs.required)]
        words = [word for option in needed for word in (option, "x")]
        animate.parser(entry).parse_args([*words, "--system", self.system, *self.arguments])
        _ = self.loaded

    def places(self, entry: Entry, picture: Path) -> tuple[Path, Path]:
        """The folders beside a video where the picture's goes: if it is kept, and if not."""
        return tuple(entry.video.parent / part / f"{self.system}-{picture.stem}" for part in (KEPT, DROPPED))

    def make(self, entry: Entry, picture: Path, seed: int) -> list[str]:
        """Makes one into the first of its `places`, or the second if it has faults; returns these.

        Raises InputError for a picture or a motion that cannot be used.
        """
        places = self.places(entry, picture)
        staged = entry.video.parent / f".{places[0].name}"
        with atomic_folder(staged) as folder:
            of_system, out = systems.entry(self.system), folder / "video.mp4"
            options = animate.parser(of_system).parse_args(self._words(entry, picture, out, seed))
            asked = prepared(options, of_system, lambda: self.loaded, out)
            with tqdm(desc=places[0].name, unit="step", total=asked.sampling.steps, leave=False) as bar:
                frames = asked.animate(lambda done, *_: bar.update(done - bar.n))
            video = people.seen(entry.video, len(frames), frames.shape[1:3])
            pseudo = Seen(frames, video.masks, video.boxes)
            if self.masks == "found":
                pseudo = people.look(frames, places[0].name, self.tools)
            measured = measure(video, pseudo)
            faults = self.keeps.faults(measured)
            write_video(out, frames, asked.fps, crf=12, pixel_format="yuv444p")
            people.write(folder, pseudo, asked.fps)
            about = {"reference": str(picture), "system": self.system, "arguments": [*self.arguments], "seed": seed}
            told = {name: None if math.isnan(value) else round(value, 4) for name, value in measured.items()}
            about |= {"masks": self.masks, "measured": told, "faults": faults}
            (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        chosen = places[bool(faults)]
        chosen.parent.mkdir(exist_ok=True)
        staged.rename(chosen)
        return faults

    def _words(self, entry: Entry, picture: Path, out: Path, seed: int) -> list[str]:
        """What `sample.animate` is told."""
        needs, system = systems.entry(self.system).needs, self.loaded
        motion = motion_of(entry, needs.cues[0]) or entry.video
        height, width = inputs.choose_size(None, people.form(entry.video)[1:], system.grid.side, system.defaults)
        words = ["--system", self.system, "--reference", str(picture), "--motion", str(motion), "--out", str(out)]
        # The person stays where the driver is (App. A.2).
        words += ["--align", "none", "--size", f"{width}x{height}", "--seed", str(seed)]
        if entry.prompt is not None and "prompt" in (*needs.required, *needs.optional):
            words += ["--prompt", entry.prompt.read_text(encoding="utf-8").strip()]
        return [*words, *self.arguments]


def motion_of(entry: Entry, cue: Cue) -> Path | None:
    """What lies beside a video as the cue that a system takes."""
    form = {"keypoints": "openpose", "graph": "skeleton"}.get(cue.key, cue.key)
    return getattr(entry, form, None)

"""What a job of the page does: the call of `sample.animate`, in the job's folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxanim import systems
from jaxanim.errors import InputError
from jaxanim.media.images import contact_sheet, resize, to_uint8, write_png
from jaxanim.media.video import write_video
from sample.animate import Watch, animate
from sample.page.jobs import Job
from sample.prepare import over_reference


class Prepared(Exception):
    """Raised to leave the program once the cue is known."""


def words(
    system: str, weights: Path, files: Mapping[str, Path], said: Mapping[str, str], out: Path, models: str | None
) -> list[str]:
    """The program's arguments; what is said and empty is left out."""
    given = {"system": system, "weights": weights, "out": out, "models": models} | dict(files)
    given |= {name: value for name, value in said.items() if str(value).strip()}
    missing = [name for name in systems.entry(system).needs.required if name not in given]
    if missing:
        raise InputError(f"{' and '.join(missing)}: {systems.entry(system).title} needs it; write something there")
    pairs = [(name, value) for name, value in given.items() if value is not None]
    return [f"--{name.replace('_', '-')}={value}" for name, value in pairs]


def prepare(job: Job, arguments: list[str]) -> None:
    """Reads and checks everything, and leaves cue.mp4 (over the reference) and cue.png in the job's folder."""

    def ready(reference: np.ndarray, shown: np.ndarray, fps: float) -> None:
        over = over_reference(shown, reference)
        write_video(job.folder / "cue.mp4", over, fps)
        chosen = np.linspace(0, len(over) - 1, min(len(over), 6)).round().astype(int)
        rows = [("motion", shown[chosen]), ("over image", over[chosen])]
        write_png(job.folder / "cue.png", contact_sheet(rows, [f"frame {i}" for i in chosen]))
        raise Prepared

    try:
        _call(arguments, Watch(ready, job.report))
    except Prepared:
        job.report(1, 1)


def sample(job: Job, arguments: list[str]) -> None:
    """Animates: result.mp4 and result.png in the job's folder."""
    _call(arguments, Watch(lambda *_: job.report(0, 0), job.report))


def so_far(job: Job, previews: int = 10, across: int = 4) -> np.ndarray | None:
    """A strip of pictures of what a job has made so far; None where there is none. About every step in
    `total / previews` has one."""
    done, total, pictures = job.done, job.total, job.pictures
    if pictures is None or done % max(1, total // previews):
        return None
    chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), across)).round().astype(int)
    small = to_uint8(pictures[chosen])
    larger = max(1, 256 // small.shape[1])
    shown = [resize(picture, (picture.shape[0] * larger, picture.shape[1] * larger)) for picture in small]
    return np.concatenate(shown, axis=1)


def _call(arguments: list[str], watch: Watch) -> None:
    try:
        animate(arguments, watch)
    except SystemExit:  # the parser's, which has printed why
        raise InputError(f"settings cannot be used: {' '.join(a for a in arguments if '=/' not in a)}") from None

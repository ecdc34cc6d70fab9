"""The page: a system, an image and a motion; the cue over the image; progress; the result beside the motion."""

import functools
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from jaxanim import systems
from jaxanim.cues.driving import SAID
from jaxanim.errors import InputError
from sample.page import work
from sample.page.jobs import Job, Jobs

POLL = 0.25
_HIDDEN = gr.update(value=None, visible=False)
_WORDS = ("prompt", "negative", "subject", "camera")
INTRO = """# jaxanim
An image moves as a motion says. Choose both, look at the cue over your image, then animate. One job runs at a time.
What you give is kept in a folder of its own and removed when you reset, leave or give something new."""


def available(weights: Path) -> list[str]:
    """The systems whose weights are there."""
    return [name for name in systems.names() if (weights / name / "config.json").is_file()]


def build(jobs: Jobs, weights: Path, models: str | None = None) -> gr.Blocks:
    """The page.

    Args:
      weights: folder with one weights folder for each system.
      models: folder of detectors, for ordinary videos.

    Raises:
      InputError: there are no weights of any system.
    """
    names = available(weights)
    if not names:
        raise InputError(f"--weights {weights} holds no folder of weights that is named as a system")
    visitors: dict[str, dict] = {}

    def mine(request: gr.Request) -> dict:
        return visitors.setdefault(request.session_hash, {})

    with gr.Blocks(title="jaxanim", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(INTRO)
        with gr.Row():
            with gr.Column(scale=1):
                system = gr.Radio(names, value=names[0], label="System", elem_id="system")
                takes = gr.Markdown(_takes(names[0]))
                image = gr.File(label="Image", elem_id="image")
                motion = gr.File(label="Motion: a video, or keypoints as one JSON file", elem_id="motion")
                said = [gr.Textbox(label=SAID[name].capitalize(), visible=False, elem_id=name) for name in _WORDS]
                with gr.Accordion("Settings", open=False):
                    numbers = {
                        "frames": gr.Textbox(label="Frames (empty: all)", elem_id="frames"),
                        "size": gr.Textbox(label="Width x height, as 512x512 (empty: the image's)", elem_id="size"),
                        "steps": gr.Textbox(label="Steps (empty: the system's)", elem_id="steps"),
                        "guidance": gr.Textbox(label="Guidance (empty: the system's)", elem_id="guidance"),
                        "seed": gr.Textbox(value="0", label="Seed", elem_id="seed"),
                    }
                with gr.Row():
                    look = gr.Button("1. Prepare the cue", variant="primary", elem_id="prepare")
                    go = gr.Button("2. Animate", variant="primary", elem_id="animate")
                with gr.Row():
                    stop = gr.Button("Cancel", variant="stop", elem_id="cancel")
                    reset = gr.Button("Reset", elem_id="reset")
            with gr.Column(scale=2):
                status = gr.Markdown("Choose an image and a motion.", elem_id="status")
                rough = gr.Image(label="So far, roughly", elem_id="so-far", interactive=False, visible=False)
                sheet = gr.Image(label="The cue over your image", elem_id="cue-sheet", interactive=False)
                with gr.Row():
                    cue = gr.Video(label="Motion, over your image", elem_id="cue", interactive=False, autoplay=True)
                    result = gr.Video(label="Result", elem_id="result", interactive=False, autoplay=True)
                files = gr.File(label="Download: video and settings", elem_id="files", interactive=False)

        fields = [system, image, motion, *said, *numbers.values()]
        names_of = [*_WORDS, *numbers]
        outputs = [status, rough, sheet, cue, result, files]
        act = functools.partial(_act, jobs, weights, models, names_of)

        def prepare(request: gr.Request, *values: Any) -> Iterator[tuple]:
            yield from act("prepare", mine(request), *values)

        def animate(request: gr.Request, *values: Any) -> Iterator[tuple]:
            yield from act("animate", mine(request), *values)

        def cancel(request: gr.Request) -> None:
            if (job := mine(request).get("job")) is not None:
                job.cancel()

        def start_over(request: gr.Request) -> tuple:
            _forget(mine(request))
            return ("Choose an image and a motion.", _HIDDEN, None, None, None, None, None, None)

        def leave(request: gr.Request) -> None:
            _forget(visitors.pop(request.session_hash, {}))

        shown = {"show_progress": "hidden", "concurrency_limit": None, "trigger_mode": "once"}
        look.click(prepare, fields, outputs, **shown)
        go.click(animate, fields, outputs, **shown)
        stop.click(cancel, None, None, queue=False)
        reset.click(start_over, None, [*outputs, image, motion], queue=False)
        system.change(lambda name: [_takes(name), *_visible(name)], [system], [takes, *said], queue=False)
        page.unload(leave)
        page.load(lambda name: _visible(name), [system], said, queue=False)
    return page


def _takes(name: str) -> str:
    needs = systems.entry(name).needs
    cues = " and ".join(f"**{cue.name}** ({cue.form})" for cue in needs.cues)
    return f"{systems.entry(name).title} takes {cues}. An ordinary video is prepared, where detectors are set up."


def _visible(name: str) -> list[Any]:
    needs = systems.entry(name).needs
    return [gr.update(visible=word in (*needs.required, *needs.optional)) for word in _WORDS]


def _act(
    jobs: Jobs, weights: Path, models: str | None, names: list[str], what: str, mine: dict, *values: Any
) -> Iterator[tuple]:
    """Puts a job into the line and tells how it is getting on until it is over."""
    system, image, motion, *said = values
    nothing = (gr.skip(),) * 5
    if (job := mine.get("job")) is not None and not job.over:
        yield ("A job of yours is waiting or running: cancel it first.", *nothing)
        return
    try:
        _upload(jobs, mine, image, motion)
        files = {"reference": mine["files"]["image"], "motion": mine["files"]["motion"]}
        out = mine["folder"] / "result.mp4"
        arguments = work.words(system, weights / system, files, dict(zip(names, said, strict=True)), out, models)
    except InputError as error:
        yield (f"**Not possible.** {error}", *nothing)
        return
    run = functools.partial(getattr(work, {"prepare": "prepare", "animate": "sample"}[what]), arguments=arguments)
    job = mine["job"] = jobs.submit(run, mine["folder"])
    told = None
    while not job.over:
        if (telling := _telling(jobs, job, what)) != told:
            told = telling
            seen = work.so_far(job) if what == "animate" else None
            rough = gr.skip() if seen is None else gr.update(value=seen, visible=True)
            yield (telling, rough, *nothing[1:])
        time.sleep(POLL)
    yield _result(job, what, dict(zip(names, said, strict=True)) | {"system": system}, nothing)


def _upload(jobs: Jobs, mine: dict, image: str | None, motion: str | None) -> None:
    """Moves what was uploaded into a folder of its own, unless that is there already."""
    if not image or not motion:
        raise InputError(f"the {'image' if not image else 'motion'} is missing: choose a file")
    if mine.get("given") == (image, motion):
        return
    mine["given"] = tuple(set(mine.get("given", ())) - {image, motion})
    _forget(mine)
    for path in (image, motion):
        if not Path(path).is_file():
            raise InputError("an uploaded file is gone: choose it again")
    folder, kept = jobs.folder(), {}
    for name, path in (("image", image), ("motion", motion)):
        kept[name] = folder / f"{name}{Path(path).suffix.lower()}"
        shutil.copy(path, kept[name])
    mine |= {"given": (image, motion), "folder": folder, "files": kept}


def _telling(jobs: Jobs, job: Job, what: str) -> str:
    before = jobs.place(job)
    if job.state == "waiting" and before:
        return f"Waiting: {before} {'job comes' if before == 1 else 'jobs come'} before yours."
    if what == "animate" and job.done:
        return f"Animating: step {job.done} of {job.total}."
    return "Reading and preparing ..." if what == "prepare" else "Animating: reading, and compiling if it is new."


def _result(job: Job, what: str, settings: dict, nothing: tuple) -> tuple:
    if job.state == "cancelled":
        return ("Cancelled.", _HIDDEN, *nothing[1:])
    if job.state == "failed":
        return (f"**Not possible.** {job.message}", _HIDDEN, *nothing[1:])
    if what == "prepare":
        told = "This is what will drive your image. If it is what you mean, animate."
        return (told, _HIDDEN, str(job.folder / "cue.png"), str(job.folder / "cue.mp4"), None, None)
    kept = job.folder / "settings.json"
    chosen = {name: value for name, value in settings.items() if value}
    kept.write_text(json.dumps(chosen, indent=1), encoding="utf-8")
    video = str(job.folder / "result.mp4")
    return ("Done.", _HIDDEN, gr.skip(), gr.skip(), video, [video, str(kept)])


def _forget(mine: dict) -> None:
    """Removes the folder of a visitor, and cancels what still works in it."""
    job, folder = mine.pop("job", None), mine.pop("folder", None)
    if job is not None:
        job.remove()
    elif folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    for path in mine.get("given", ()):
        Path(path).unlink(missing_ok=True)
    mine.clear()

"""XPose's dataset builder (PoseAnything, Sec. 3) as an Apache Beam pipeline: from videos with any segmenter's masks
to skeleton files of those that pass the filters.

  videos/NAME.mp4           .mp4, .mov or .mkv
  masks/NAME/*.png          a picture for each frame, in number order: 0 is nothing, n the segmenter's object n
  masks/NAME/labels.json    {"n": label}; without it every object is of a label of its own
  out/NAME.json             skeleton file of a video that was kept (`jaxanim.cues.skeleton.read`)
  out/verdicts/NAME.json    why a video was kept or not; what has one under the same settings is not done again
  out/manifest.json         all verdicts, when all videos are done

Needs the extra `xpose`. A cluster's workers see the folders under the same paths. Choosing videos with one subject
that is not human (stage 1) and segmenting them (stage 2) are other programs' work.
"""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxanim.cues import masks, skeleton
from jaxanim.cues.masks import Segmented
from jaxanim.cues.skeleton_extraction import MOST_SEGMENTS, extract, join
from jaxanim.errors import InputError
from jaxanim.media.files import atomic_path, in_order
from jaxanim.media.video import read_video

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")


@dataclasses.dataclass(frozen=True)
class XPose:
    """What to build, from what, and what is kept.

    Attributes:
      videos, masks, out: folders, see above.
      smallest, largest: the subject's share of every frame lies between these.
      with_skeleton: at least this share of the frames has a skeleton.
      most_segments: of a frame's skeleton.
    """

    videos: str
    masks: str
    out: str
    smallest: float = masks.AREA[0]
    largest: float = masks.AREA[1]
    with_skeleton: float = masks.WITH_SKELETON
    most_segments: int = MOST_SEGMENTS

    def names(self) -> list[str]:
        """Files of the videos. Raises InputError for a folder without any, or two that share a name."""
        folder = Path(self.videos)
        found = sorted(path.name for path in folder.glob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
        if not found:
            raise InputError(f"videos {folder} holds no video ({', '.join(VIDEO_SUFFIXES)})")
        stems = [Path(name).stem for name in found]
        if twice := {stem for stem in stems if stems.count(stem) > 1} | ({"manifest"} & set(stems)):
            raise InputError(f"videos {folder}: the name {min(twice)!r} is taken twice, or is the manifest's")
        return found


def build(settings: XPose, runner: list[str] | None = None) -> list[dict[str, Any]]:
    """Runs the pipeline over all videos and returns their verdicts, which `out/manifest.json` holds too.

    A run that was cut off goes on where it was when called again. A video that cannot be read is not kept, and its
    verdict says why; the others are done.

    Args:
      runner: Beam's own arguments, such as ["--runner", "SparkRunner"]; by default everything runs here.

    Raises InputError where Beam is not installed, or there are no videos.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise InputError("Apache Beam is not installed: pip install 'jaxanim[xpose]'") from None
    names = settings.names()
    with beam.Pipeline(options=PipelineOptions(runner or ["--runner", "DirectRunner"])) as pipeline:
        (
            pipeline
            | "videos" >> beam.Create(names)
            # So that a cluster shares them out.
            | beam.Reshuffle()
            | "judge" >> beam.Map(partial(judge, settings))
            | beam.combiners.ToList()
            | "manifest" >> beam.Map(partial(_write_manifest, settings.out))
        )
    return json.loads((Path(settings.out) / "manifest.json").read_text())


def judge(settings: XPose, name: str) -> dict[str, Any]:
    """The verdict on one video, and its skeleton file if it is kept; what was done before is read."""
    stem, made_with = Path(name).stem, _made_with(settings)
    done = Path(settings.out) / "verdicts" / f"{stem}.json"
    if done.exists():
        verdict = json.loads(done.read_text())
        if verdict["settings"] == made_with:
            return verdict
    out = Path(settings.out) / f"{stem}.json"
    verdict = {"video": name, "settings": made_with, "kept": False, "why": None}
    try:
        verdict |= _judge(settings, name, out)
    except InputError as error:
        verdict["why"] = str(error)
    if not verdict["kept"]:
        out.unlink(missing_ok=True)
    # Last, so that what has a verdict has its skeleton too.
    _write_json(done, verdict)
    return verdict


def _judge(settings: XPose, name: str, out: Path) -> dict[str, Any]:
    video, fps = read_video(Path(settings.videos) / name)
    size = video.shape[1:3]
    frames = read_segmented(Path(settings.masks) / Path(name).stem, len(video), size)
    tracked = masks.track(frames)
    found = [mask for mask in tracked if mask is not None]
    verdict = {"frames": len(video), "with_mask": len(found)}
    if not found:
        return verdict | {"why": "its first frame has no mask"}
    if not masks.area_within(found, (settings.smallest, settings.largest)):
        areas = [round(masks.area_ratio(mask), 3) for mask in found]
        bounds = f"{settings.smallest} and {settings.largest}"
        return verdict | {"why": f"the subject fills {min(areas)} to {max(areas)} of a frame, not between {bounds}"}
    graphs = [None if mask is None else extract(mask, settings.most_segments) for mask in tracked]
    verdict["with_skeleton"] = sum(graph is not None for graph in graphs)
    if not masks.enough_skeletons([graph is not None for graph in graphs], settings.with_skeleton):
        return verdict | {"why": f"{verdict['with_skeleton']} of its {len(video)} frames have a skeleton"}
    graph = join(graphs)
    _write_json(out, skeleton.encode(graph, size, fps))
    segments = [len(graph.skeleton.segments) for graph in graphs if graph is not None]
    return verdict | {"kept": True, "segments": round(float(np.median(segments)))}


def read_segmented(folder: Path, frames: int, size: tuple[int, int]) -> list[list[Segmented]]:
    """A segmenter's masks of every frame of a video.

    Raises InputError unless there is one picture for each frame, of the video's (height, width).
    """
    pictures = in_order(folder.glob("*.png"))
    if len(pictures) != frames:
        raise InputError(f"masks {folder} has {len(pictures)} pictures for a video of {frames} frames")
    labels = {}
    if (named := folder / "labels.json").exists():
        try:
            labels = {int(n): str(label) for n, label in json.loads(named.read_text(encoding="utf-8")).items()}
        except (ValueError, AttributeError) as error:
            raise InputError(f"{named} is not a table of object numbers to labels: {error}") from None
    return [_objects(path, size, labels) for path in pictures]


def _objects(path: Path, size: tuple[int, int], labels: dict[int, str]) -> list[Segmented]:
    try:
        with Image.open(path) as opened:
            numbers = np.asarray(opened)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"mask {path} cannot be read: {error}") from error
    if numbers.shape != size:
        raise InputError(f"mask {path} has shape {numbers.shape}; it should be {size}: a number for each pixel")
    return [Segmented(numbers == n, labels.get(int(n), f"object {n}")) for n in np.unique(numbers) if n]


def _made_with(settings: XPose) -> dict[str, Any]:
    """Those settings that change a verdict."""
    return {k: v for k, v in dataclasses.asdict(settings).items() if k not in ("videos", "masks", "out")}


def _write_manifest(out: str, verdicts: list[dict[str, Any]]) -> None:
    _write_json(Path(out) / "manifest.json", sorted(verdicts, key=lambda verdict: verdict["video"]))


def _write_json(path: Path, value: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value), encoding="utf-8")

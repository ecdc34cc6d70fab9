"""Videos and their conditioning as one tensorflow-datasets dataset of array_record files, built and read without
TensorFlow.

A record holds encoded bytes, as they were where that is possible: the video and its DensePose as files of video,
points of bodies, hands and faces packed, the skeleton file, the prompt. What is read of it is decoded by the
threads or processes that ask for elements (`RecordClips`, `PosedRecords`). Both need the extra `tfds`.
"""

import dataclasses
import functools
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxanim.cues import openpose
from jaxanim.data.folders import labelled
from jaxanim.data.layouts import Entry, Splits
from jaxanim.data.pipeline import Element
from jaxanim.data.posed_folders import posed
from jaxanim.errors import InputError
from jaxanim.media.video import read_motion, read_video, write_video
from jaxanim.puppets import Clip, puppet_clip

NAME, VERSION = "videos", "1.0.0"
FIELDS = ("key", "video", "densepose", "openpose", "skeleton", "prompt")
"""Of a record, all bytes; empty where there is none."""

Record = dict[str, bytes]
Frames = UInt8[np.ndarray, "frames height width 3"]


def build(
    out: Path,
    splits: Mapping[str, tuple[Callable[[Any], Record], Sequence[Any]]],
    described: str,
    beam: Sequence[str] | None = None,
) -> Path:
    """Writes the dataset into a folder, and returns the folder of its files; a finished one there stays as it is.

    Args:
      splits: for each split a function, and the arguments whose records it makes.
      described: in words, for the dataset's own account of itself.
      beam: Apache Beam's arguments, such as ["--runner", "SparkRunner"]: its workers make and write the records,
        and see all files under the same paths. None makes one after another in this process.

    Raises InputError where a package is missing.
    """
    tfds = _tfds()
    config = None if beam is None else tfds.download.DownloadConfig(beam_options=_beam_options(beam))

    class Videos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """The dataset."""

        name = NAME
        VERSION = tfds.core.Version(VERSION)

        def _info(self) -> Any:
            text = tfds.features.Text()
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(dict.fromkeys(FIELDS, text)), description=described
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {split: self._generate_examples(split) for split in splits}

        def _generate_examples(self, split: str) -> Any:
            make, arguments = splits[split]
            keyed = functools.partial(_keyed, make)
            return map(keyed, arguments) if beam is None else _on_beam(keyed, arguments)

    builder = Videos(data_dir=str(out), file_format="array_record")
    builder.download_and_prepare(download_config=config)
    return Path(builder.data_dir)


def _keyed(make: Callable[[Any], Record], argument: Any) -> tuple[str, Record]:
    record = make(argument)
    return record["key"].decode(), record


def _on_beam(keyed: Callable[[Any], tuple[str, Record]], arguments: Sequence[Any]) -> Any:
    """The same as a transform; reshuffled, so that a runner does not make all records where they are listed."""
    import apache_beam

    return apache_beam.Create(list(arguments)) | apache_beam.Reshuffle() | apache_beam.Map(keyed)


def _beam_options(arguments: Sequence[str]) -> Any:
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError("generation on Apache Beam needs `pip install 'jaxanim[xpose]'`") from error
    return PipelineOptions([*arguments] or ["--runner", "DirectRunner"])


def of_layout(splits: Splits) -> Mapping[str, tuple[Callable[[Entry], Record], Sequence[Entry]]]:
    """What `build` takes, of videos in folders."""
    return {split: (record_of, entries) for split, entries in splits.items()}


def of_puppets(
    splits: Mapping[str, tuple[int, int]], frames: int, size: tuple[int, int]
) -> Mapping[str, tuple[Callable[[int], Record], Sequence[int]]]:
    """The same of the puppet world: for each split (first seed, how many)."""
    make = functools.partial(puppet_record, frames=frames, size=size)
    return {split: (make, range(first, first + count)) for split, (first, count) in splits.items()}


def record_of(entry: Entry) -> Record:
    """A video's record. Raises InputError for files that cannot be read."""
    record = dict.fromkeys(FIELDS, b"") | {"key": entry.key.encode(), "video": video_bytes(entry.video, crf=12)}
    if entry.densepose is not None:
        record["densepose"] = video_bytes(entry.densepose, crf=0)
    if entry.openpose is not None:
        size = read_video(entry.video, 1)[0].shape[1:3] if entry.video.is_file() else None
        record["openpose"] = _packed(openpose.pack(openpose.read(entry.openpose, size)))
    for name in ("skeleton", "prompt"):
        path = getattr(entry, name)
        if path is not None:
            record[name] = path.read_bytes()
    return record


def puppet_record(seed: int, frames: int, size: tuple[int, int]) -> Record:
    """A puppet's record."""
    clip: Clip = puppet_clip(seed, frames, size, reference=False)
    return dict.fromkeys(FIELDS, b"") | {
        "key": f"{seed:06d}".encode(),
        "video": encoded(clip.frames, clip.fps, crf=12),
        "densepose": encoded(clip.densepose, clip.fps, crf=0),
        "openpose": _packed(openpose.pack(clip.keypoints)),
        "prompt": clip.prompt.encode(),
    }


def video_bytes(path: Path, crf: int) -> bytes:
    """A file of video as it is, a folder of pictures encoded."""
    if path.is_file():
        return path.read_bytes()
    motion = read_motion(path)
    return encoded(motion.frames, motion.fps or 25, crf)


def encoded(frames: Frames, fps: float, crf: int) -> bytes:
    """Frames as a file of video in full colour resolution."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_video(path, frames, fps, crf=crf, pixel_format="yuv444p")
        return path.read_bytes()


def decoded(data: bytes) -> Frames:
    """The frames of such a file."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        return read_video(file.name)[0]


def _packed(points: Float[np.ndarray, "frames points 3"]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, points=points)
    return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class _Records:
    """Clips of a dataset that `build` has written.

    Attributes:
      folder: of the dataset's files, with dataset_info.json in it.
      split: "train" or "test".
      frames, clips, spacing: as `jaxanim.data.folders.FolderClips` has them.
    """

    folder: str
    split: str = "train"
    frames: int = 16
    clips: int = 1
    spacing: str = "spread"

    def __post_init__(self):
        if self.spacing not in ("consecutive", "spread"):
            raise InputError(f"spacing is {self.spacing!r}: choose 'consecutive' or 'spread'")
        for name in ("frames", "clips"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give at least 1")

    @functools.cached_property
    def records(self) -> Any:
        """The split's records, by number."""
        if not (Path(self.folder) / "dataset_info.json").is_file():
            raise InputError(f"folder {self.folder} holds no dataset: build one with `python -m train.records`")
        builder = _tfds().builder_from_directory(self.folder)
        if self.split not in builder.info.splits:
            raise InputError(f"split is {self.split!r}: {self.folder} has {', '.join(builder.info.splits)}")
        return builder.as_data_source(self.split)

    def __len__(self) -> int:
        return len(self.records) * self.clips

    def record(self, index: int, needed: str) -> tuple[Record, str]:
        """The record that element `index` is taken of, and its name in sentences."""
        record = self.records[index // self.clips]
        name = f"video {record['key'].decode()} of {self.folder}"
        if not record[needed]:
            raise InputError(f"{name} has no {needed}: build the dataset again from folders that have it")
        return record, name

    def __getstate__(self) -> dict:
        # Files that are open stay with the process that opened them.
        return {name: value for name, value in self.__dict__.items() if name != "records"}


@dataclasses.dataclass(frozen=True)
class RecordClips(_Records):
    """The same elements as `FolderClips` has; `size` is (height, width) in pixels."""

    size: tuple[int, int] = (128, 128)

    def __getitem__(self, index: int) -> Element:
        record, name = self.record(index, "densepose")
        video, densepose = decoded(record["video"]), decoded(record["densepose"])
        return labelled(self, index, video, densepose, record["prompt"].decode().strip(), name)


@dataclasses.dataclass(frozen=True)
class PosedRecords(_Records):
    """The same elements as `PosedFolders` has; `side` of the square pictures in pixels."""

    side: int = 128

    def __getitem__(self, index: int) -> Element:
        record, name = self.record(index, "openpose")
        video = decoded(record["video"])
        with np.load(io.BytesIO(record["openpose"])) as held:
            poses = held["points"]
        if len(poses) != len(video):
            raise InputError(f"{name} has {len(video)} frames, and keypoints of {len(poses)}")
        return posed(self, index, video, poses, record["prompt"].decode().strip(), name)


def _tfds() -> Any:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise InputError("datasets of records need `pip install 'jaxanim[tfds]'`") from error
    return tensorflow_datasets

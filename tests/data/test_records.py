"""Datasets of array_record files: what is read is what lay in the folders, and a training on them goes on exactly."""

import dataclasses
import json
import subprocess
import sys

import chex
import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")

from jaxanim.cues.densepose import part_ids
from jaxanim.data import layouts, records
from jaxanim.data.folders import FolderClips
from jaxanim.data.posed_folders import PosedFolders
from jaxanim.errors import InputError
from jaxanim.puppets import puppet_clip
from jaxanim.puppets.export import write_clip
from jaxanim.training import log
from jaxanim.training.experiment import Experiment
from jaxanim.training.loop import train
from tests.bench import bench_records
from train import records as program

FRAMES, SIZE = 6, (48, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's own: two videos with everything beside them."""
    folder = tmp_path_factory.mktemp("own") / "mine"
    for seed in (3, 4):
        write_clip(folder / f"video{seed}", puppet_clip(seed, FRAMES, SIZE))
    return folder


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("records")
    assert program.main(["own", str(folder), "--out", str(out), "--needs", "densepose", "openpose"]) == 0
    return str(out / "videos" / "1.0.0")


@pytest.mark.parametrize("spacing", ["spread", "consecutive"])
def test_records_give_what_their_folders_do(folder, built, spacing):
    common = {"frames": 5 if spacing == "spread" else 3, "spacing": spacing}
    pairs = (
        (FolderClips(str(folder), size=(32, 32), **common), records.RecordClips(built, size=(32, 32), **common)),
        (PosedFolders(str(folder), side=24, **common), records.PosedRecords(built, side=24, **common)),
    )
    for files, stored in pairs:
        assert len(stored) == len(files) == 2
        # A dataset has an order of its own, and which moments are taken goes by the number in it.
        videos = {video.name: video for video in files.videos}
        files.__dict__["videos"] = tuple(videos[stored.records[i]["key"].decode()] for i in range(2))
        for index in range(2):
            chex.assert_trees_all_equal(stored[index], files[index])
    assert "tensorflow" not in sys.modules


def test_apache_beam_makes_the_same_dataset(folder, built, tmp_path):
    pytest.importorskip("apache_beam")
    words = ["own", str(folder), "--out", str(tmp_path), "--beam", "--runner", "DirectRunner"]
    # In a process of its own, for Beam's workers pickle what they do.
    done = subprocess.run([sys.executable, "-m", "train.records", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = (records.RecordClips(where, frames=3) for where in (built, str(tmp_path / "videos" / "1.0.0")))
    assert len(other) == len(one) == 2
    for index in range(2):
        chex.assert_trees_all_equal(dict(other.records[index]), dict(one.records[index]))
    with pytest.raises(InputError, match="split is 'test'"):
        len(dataclasses.replace(other, split="test"))


def test_beam_is_asked_for_by_name(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    assert program.main(["own", str(folder), "--out", str(tmp_path / "out"), "--beam"]) == 2
    assert "needs `pip install 'jaxanim[xpose]'`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@dataclasses.dataclass(frozen=True)
class Brightness:
    """A task that learns to tell the brightness of three corners from the fourth, straight from records."""

    clips: records.RecordClips
    trainable: tuple[str, ...] = (".*",)

    def open(self):
        return self

    def init(self, key, place=None):
        return {"kernel": jax.random.normal(key, (3, 3))}

    def batches(self, feed):
        def corners(element):
            frames = element["frames"].astype(np.float32) / 255
            return {"x": frames[0, 0, 0], "y": frames[-1, -1, -1]}

        return feed.shuffled(grain.MapDataset.source(self.clips).map(corners))

    def loss(self, params, batch, key):
        return jnp.mean(jnp.square(batch["x"] @ params["kernel"] - batch["y"])), {}

    def sheet(self, params, key):
        raise AssertionError

    def save(self, params, folder):
        folder.mkdir(parents=True, exist_ok=True)


def test_puppets_as_records_are_trained_on_and_gone_on_with_in_the_middle(tmp_path):
    command = ["puppets", "--out", str(tmp_path / "data"), "--seeds", "0:5", "--test", "950000:950001"]
    assert program.main([*command, "--frames", "4", "--size", "32x32"]) == 0
    clips = records.RecordClips(str(tmp_path / "data" / "videos" / "1.0.0"), frames=2, size=(32, 32))
    assert (len(clips), len(dataclasses.replace(clips, split="test"))) == (5, 1)
    truth = puppet_clip(0, 4, (32, 32), reference=False)
    stored = next(r for r in (clips.records[i] for i in range(5)) if r["key"] == b"000000")
    assert np.abs(records.decoded(stored["video"]).astype(int) - truth.frames).mean() < 3
    np.testing.assert_array_equal(part_ids(records.decoded(stored["densepose"])), truth.parts)

    whole = Experiment("bright", Brightness(clips), steps=7, batch_size=2, sheet_every=0, log_every=1, threads=2)
    train(whole, tmp_path / "whole")
    train(dataclasses.replace(whole, steps=3), tmp_path / "stopped")  # in the middle of an epoch
    train(whole, tmp_path / "stopped")
    rows = [log.learnt(log.read(tmp_path / name / "metrics.jsonl")) for name in ("whole", "stopped")]
    assert rows[0] == rows[1]
    assert len({row["loss"] for row in rows[0]}) == 7


def touched(folder, *paths):
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def test_layouts_of_published_datasets(tmp_path):
    touched(
        tmp_path / "tiktok", "00001/images/0001.png", "00001/densepose/0001.png", "00337/images/0001.png",
        "00337/densepose/0001.png", "00338/nothing.txt",
    )  # fmt: skip
    touched(tmp_path / "ted", "train/a.mp4", "test/b.mp4", "densepose/train/a.mp4", "openpose/test/b/1.json")
    touched(
        tmp_path / "edn", "subject1/train/train_img/1.png", "subject1/train/densepose/1.png",
        "subject1/val/test_img/2.png", "subject1/val/openpose/2.json",
    )  # fmt: skip
    touched(tmp_path / "xpose", "videos/cat.mp4", "videos/dog.mov", "out/dog.json", "out/manifest.json")

    def keys(layout, name):
        splits = layouts.find(layout, tmp_path / name)
        return {split: [entry.key for entry in entries] for split, entries in splits.items()}, splits

    assert keys("tiktok", "tiktok")[0] == {"train": ["00001"], "test": ["00337"]}
    found, splits = keys("ted_talks", "ted")
    assert found == {"train": ["a"], "test": ["b"]}
    assert splits["train"][0].densepose == tmp_path / "ted" / "densepose" / "train" / "a.mp4"
    assert splits["test"][0].openpose == tmp_path / "ted" / "openpose" / "test" / "b"
    found, splits = keys("everybody_dance_now", "edn")
    assert found == {"train": ["subject1"], "test": ["subject1"]}
    assert splits["test"][0].video == tmp_path / "edn" / "subject1" / "val" / "test_img"
    found, splits = keys("xpose", "xpose")
    assert found == {"train": ["dog"]}
    assert splits["train"][0].skeleton == tmp_path / "xpose" / "out" / "dog.json"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["own", "bare"], "has no conditioning beside it: `video.mp4`"),
        (["own", "half", "--needs", "openpose"], "has no openpose beside it"),
        (["own", "empty"], "has no videos as own has them"),
        (["own", "nowhere"], "which is none"),
        (["own"], "folder is missing"),
        (["puppets", "bare"], "puppets come from none"),
        (["puppets", "--seeds", "5"], "give FIRST:END"),
        (["puppets", "--size", "0x5"], "give WIDTHxHEIGHT"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    touched(tmp_path, "bare/one/video.mp4", "half/one/video.mp4", "half/one/densepose.mp4", "empty/one/other.txt")
    assert program.main([*words, "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_what_a_dataset_lacks_is_named(built, tmp_path):
    with pytest.raises(InputError, match="holds no dataset: build one"):
        len(records.RecordClips(str(tmp_path)))
    with pytest.raises(InputError, match=r"split is 'test': .* has train"):
        len(records.RecordClips(built, split="test"))
    with pytest.raises(InputError, match="spacing is 'dense'"):
        records.RecordClips(built, spacing="dense")


def test_throughput_is_told_by_the_number_of_threads(built, monkeypatch, capsys):
    options = ["--threads", "0", "2", "--frames", "2", "--size", "16", "--batch", "1", "--rounds", "1"]
    monkeypatch.setattr("sys.argv", ["bench", "--folder", built, *options])
    bench_records.main()
    report = json.loads(capsys.readouterr().out)
    assert report["elements"] == 2
    assert min(report["elements a second by threads"].values()) > 0
    assert report["over no thread"].keys() == {"0", "2"}

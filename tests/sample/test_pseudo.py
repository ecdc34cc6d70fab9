"""Other people in the motion of one's own videos: `train.pseudo`, by a system that was not trained."""

import json

import numpy as np
import pytest

from jaxanim.cues import beside, openpose
from jaxanim.cues.model_files import MissingModel
from jaxanim.cues.prepare import Tools
from jaxanim.media.images import read_image, write_png
from jaxanim.media.keypoints import BODY, FACE, LEFT_HAND, RIGHT_HAND
from jaxanim.media.video import read_video, write_video
from jaxanim.puppets import puppet_clip
from sample import preparing
from tests.systems.test_directanimator_program import write_world
from train.pseudo import main as pseudo

FINE = {"crf": 0, "pixel_format": "yuv444p"}
SYSTEM, FRAMES, SIZE = "directanimator", 10, (32, 32)


class Knows:
    """Detectors that have seen the puppets; what they have not seen is empty."""

    identity = "knows"

    def __init__(self, *clips):
        self.clips, self.asked = clips, 0

    def _clip(self, frames):
        self.asked += 1
        return next(
            (one for one in self.clips if len(one.frames) == len(frames) and _near(one.frames, frames)), None
        )

    def people(self, frames, report=None):
        clip = self._clip(frames)
        nobody = openpose.unpack(np.zeros((len(frames), 128, 3), np.float32))
        points = clip.keypoints if clip else nobody
        hands = {LEFT_HAND: points.hands[:, :1], RIGHT_HAND: points.hands[:, 1:]}
        return {BODY: points.body, FACE: points.face, **hands}

    def masks(self, frames, frame, box, report=None):
        return self._clip(frames).mask

    def faces(self, frames, report=None):
        return [box[None] for box in self._clip(frames).face_box]


def _near(a, b):
    return a.shape == b.shape and np.abs(a.astype(int) - b).mean() < 3


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("weights")) / "weights"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A folder with one video and nothing beside it, a folder of two pictures, and what detectors know."""
    clip = puppet_clip(31, FRAMES, SIZE)
    (tmp_path / "own" / "a").mkdir(parents=True)
    write_video(tmp_path / "own" / "a" / "video.mp4", clip.frames, **FINE)
    knows = Knows(clip)
    for seed in (41, 42):
        still = puppet_clip(seed, 1, SIZE, reference=False)
        write_png(tmp_path / "people" / f"p{seed}.png", still.frames[0])
        write_png(tmp_path / "people" / f"p{seed}_mask.png", np.repeat(still.mask[0, ..., None], 3, -1))
    monkeypatch.setattr(preparing, "tools", lambda *_: Tools(lambda: knows, lambda: knows, lambda: knows))
    return tmp_path, clip, knows


def words(root, weights, *more):
    folders = [root / "own", "--references", root / "people", "--weights", weights, "--masks", "driver"]
    return [str(word) for word in (*folders, "--system", SYSTEM, "--least", 2, *more)]


def test_masks_and_faces_are_put_beside_videos(world, capsys):
    root, clip, knows = world
    folder = root / "own" / "a"
    assert pseudo([str(root / "own")]) == 0
    assert "1 videos with mask.mp4 and faces.json" in capsys.readouterr().out
    np.testing.assert_array_equal(beside.read_masks(folder / "mask.mp4", FRAMES, SIZE) > 127, clip.mask > 127)
    np.testing.assert_allclose(beside.read_boxes(folder / "faces.json", FRAMES, SIZE), clip.face_box, atol=0.01)
    # What is there stays, and is not looked for.
    write_video(folder / "mask.mp4", np.full((FRAMES, *SIZE, 3), 255, np.uint8), **FINE)
    before, asked = {path: path.read_bytes() for path in folder.iterdir()}, knows.asked
    assert pseudo([str(root / "own")]) == 0
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert knows.asked == asked


def test_without_detectors_nothing_is_made_up(world, monkeypatch, capsys):
    root, clip, knows = world

    def missing():
        raise MissingModel("no face detector")

    monkeypatch.setattr(preparing, "tools", lambda *_: Tools(lambda: knows, lambda: knows, missing))
    beside.write_masks(root / "own" / "a" / "mask.mp4", clip.mask, 25)
    assert pseudo([str(root / "own")]) == 2
    assert "no face detector" in capsys.readouterr().err
    assert not (root / "own" / "a" / "faces.json").exists()


def test_what_passes_is_kept_and_what_does_not_is_put_aside(world, weights, capsys):
    root, _, _ = world
    folder = root / "own" / "a"
    # Noise, as weights make it that were not trained, follows nothing.
    assert pseudo(words(root, weights)) == 0
    said = capsys.readouterr().out
    assert said.count("dropped") == 2
    assert "follows" in said
    assert "0 of 2 made now are kept" in said
    assert not (folder / "pseudo").exists()
    made = folder / "dropped" / f"{SYSTEM}-p41"
    about = json.loads((made / "pseudo.json").read_text())
    assert about["faults"]
    assert about["measured"]["follows"] < 0.3
    assert about["measured"]["iou"] == 1
    video = read_video(made / "video.mp4")[0]
    assert video.shape == (9, *SIZE, 3)
    assert beside.form_of(made / "faces.json") == (9, *SIZE)
    np.testing.assert_array_equal(
        beside.read_masks(made / "mask.mp4", 9, SIZE), beside.read_masks(folder / "mask.mp4", 9, SIZE)
    )
    assert read_image(folder / "pseudo.png").shape[0] > 3 * SIZE[0]
    # What is there is not made again, wherever somebody has moved it.
    (folder / "pseudo").mkdir()
    made.rename(folder / "pseudo" / made.name)
    assert pseudo(words(root, weights)) == 0
    assert "0 of 0 made now are kept" in capsys.readouterr().out
    lenient = ["--follows=-1", "--flicker", "10000"]
    other = root / "people" / "p41.png"
    other.rename(other.with_name("p43.png"))
    assert pseudo(words(root, weights, *lenient, "--steps", "2")) == 0
    assert "1 of 1 made now are kept" in capsys.readouterr().out
    assert {one.name for one in folder.iterdir()} == {
        "video.mp4", "mask.mp4", "faces.json", "pseudo", "dropped", "pseudo.png", "video.mp4.detections.npz",
    }  # fmt: skip


def test_the_made_person_is_looked_for(world, weights, capsys):
    root, _, _ = world
    assert pseudo([*words(root, weights, "--most", "2"), "--masks", "found"]) == 0
    assert "iou 0.00, below 0.5" in capsys.readouterr().out  # nobody is seen in noise


def test_pictures_are_drawn_whose_people_are_near(world):
    from sample import people

    root, clip, knows = world
    assert pseudo([str(root / "own")]) == 0
    picture = np.zeros((*SIZE, 3), np.uint8)
    for name, shift in (("same", 0), ("aside", 9)):
        write_png(root / "people" / f"{name}.png", picture)
        mask = np.roll(clip.mask[4], shift, axis=1)
        write_png(root / "people" / f"{name}_mask.png", np.repeat(mask[..., None], 3, -1))
    pictures = [root / "people" / f"{name}.png" for name in ("aside", "same")]
    tools = Tools(lambda: knows, lambda: knows, lambda: knows)
    assert [one.stem for one in people.nearest(root / "own" / "a" / "video.mp4", pictures, tools)] == [
        "same",
        "aside",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--motion", "x.mp4"], "--motion is chosen for each video"),
        (["--least", "5"], "--least is 5 and --most 3"),
        (["--references", "nowhere"], "--references nowhere holds no pictures"),
        (["--iou", "2"], "iou and faces are 0 to 1"),
        (["--weights", "nowhere"], "nowhere"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_bad_input_is_one_sentence(world, weights, capsys, change, message):
    root, _, _ = world
    try:
        code = pseudo([*words(root, weights), *change])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2
    assert message in said
    assert not (root / "own" / "a" / "dropped").exists()
    assert pseudo([str(root / "people")]) == 2
    assert "has no videos: put each into a folder of its own" in capsys.readouterr().err

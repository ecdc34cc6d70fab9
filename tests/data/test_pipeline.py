import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxanim.data.pipeline import Cached, cache_name, cached
from jaxanim.errors import InputError

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Squares:
    """Elements are noted in a file as they are computed."""

    count: int = 20
    notes: str = ""
    seconds: float = 0.0
    ragged: bool = False

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        time.sleep(self.seconds)
        if self.notes:
            with open(self.notes, "a") as file:
                file.write(f"{index}\n")
        shape = (2, 3 if self.ragged and index == 7 else 4)
        return {"square": np.full(shape, index**2, np.float32), "name": np.array(f"{index}".encode(), "S8")}


def noted(path):
    return [int(line) for line in path.read_text().split()]


@pytest.mark.parametrize("processes", [1, 2])
def test_elements_come_back_and_are_computed_once(tmp_path, processes):
    source = Squares(notes=str(tmp_path / "notes"))
    cache = Cached(source, tmp_path, processes, chunk=3)
    assert len(cache) == 20
    for index in (0, 7, 19):
        element, expected = cache[index], source[index]
        assert element.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(element[name], expected[name])
            assert element[name].dtype == expected[name].dtype
    (tmp_path / "notes").unlink()
    again = Cached(source, tmp_path, processes)
    assert again[5]["square"][0, 0] == 25
    assert not (tmp_path / "notes").exists()


def test_elements_are_copies_and_pickles_are_small(tmp_path):
    cache = Cached(Squares(count=500), tmp_path, processes=1)
    cache[3]["square"][:] = -1
    assert cache[3]["square"][0, 0] == 9
    with pytest.raises(ValueError, match="read-only"):
        cache.arrays()["square"][0] = 0
    assert len(pickle.dumps(cache)) < 1000
    assert pickle.loads(pickle.dumps(cache))[3]["square"][0, 0] == 9


def test_another_config_is_another_cache(tmp_path):
    assert cache_name(Squares()) == cache_name(Squares())
    assert cache_name(Squares()) != cache_name(Squares(count=21))
    folders = {Cached(Squares(count=count), tmp_path, processes=1).folder for count in (2, 3)}
    assert len(folders) == 2

    class Newer(Squares):
        version = 1

    Newer.__qualname__ = "Squares"
    assert cache_name(Newer()) != cache_name(Squares())


def test_the_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXANIM_CACHE", str(tmp_path / "there"))
    assert cached(Squares(count=1)).folder.parent == tmp_path / "there"


def test_a_killed_filling_goes_on_where_it_was(tmp_path):
    notes = tmp_path / "notes"
    program = (
        "import sys\nfrom tests.data.test_pipeline import Squares\nfrom jaxanim.data.pipeline import Cached\n"
        "Cached(Squares(40, sys.argv[1], 0.05), sys.argv[2], processes=1, chunk=4)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(notes), str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not notes.exists() or len(noted(notes)) < 14:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = noted(notes)
    assert len(before) < 40
    source = Squares(40, str(notes), 0.05)
    cache = Cached(source, tmp_path, processes=1)
    np.testing.assert_array_equal(cache.arrays()["square"][:, 0, 0], np.arange(40.0) ** 2)
    after = noted(notes)[len(before) :]
    assert after[-1] == 39
    # What was finished stayed; at most the pieces not yet told finished were computed again.
    assert len(after) <= 40 - len(before) + 4 + 1
    assert not set(after) & set(before[1:9])


def test_elements_of_another_form_are_refused(tmp_path):
    for processes in (1, 2):
        with pytest.raises(InputError, match="element 7 of"):
            Cached(Squares(ragged=True, count=10), tmp_path, processes, chunk=2)
    with pytest.raises(InputError, match="no elements"):
        Cached(Squares(count=0), tmp_path)


def test_what_does_not_fit_on_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(InputError, match=r"needs 0\.0 GB"):
        Cached(Squares(), tmp_path)

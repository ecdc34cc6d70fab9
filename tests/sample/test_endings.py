"""How a program ends: a full disk, a sheet that cannot be written, Ctrl-C, a result that is no picture."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

from jaxanim.ending import ends_well
from jaxanim.errors import InputError
from jaxanim.media import files
from jaxanim.media.files import atomic_folder, atomic_path, check_space
from jaxanim.media.tell import tell
from jaxanim.media.video import read_video, write_video
from sample.animate import main


@pytest.fixture
def command(puppet, tiny, tmp_path):
    out = tmp_path / "made" / "out.mp4"
    arguments = [
        "--reference",
        puppet / "reference.png",
        "--motion",
        puppet / "densepose.mp4",
        "--weights",
        tiny[0],
    ]
    return [*map(str, arguments), "--out", str(out)], out


@pytest.fixture
def small_files():
    """A function that lets no file grow beyond some bytes, as a full disk would."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def one_sentence(capsys):
    err = [line for line in capsys.readouterr().err.split("\n") if line and "step/s]" not in line]
    assert len(err) == 1, err
    return err[0]


def test_a_full_disk_is_one_sentence_and_nothing_is_left(command, small_files, capsys):
    arguments, out = command
    small_files(1000)
    assert main(arguments) == 2
    assert "out.mp4 cannot be written: File too large" in one_sentence(capsys)
    assert list(out.parent.iterdir()) == []


def test_what_was_there_stays_when_the_disk_is_full(command, small_files, capsys):
    arguments, out = command
    out.parent.mkdir()
    out.write_bytes(b"an older video")
    small_files(1000)
    assert main(arguments) == 2
    assert out.read_bytes() == b"an older video"


def test_the_sheets_failure_does_not_cost_the_video(command, small_files, capsys):
    arguments, out = command
    assert main(arguments) == 0
    video, sheet = (out.with_suffix(suffix).stat().st_size for suffix in (".mp4", ".png"))
    assert sheet > 1.5 * video
    for path in out.parent.iterdir():
        path.unlink()
    capsys.readouterr()
    small_files((video + sheet) // 2)
    assert main(arguments) == 2
    assert "out.mp4 is written, but its contact sheet is not: " in one_sentence(capsys)
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]
    assert len(read_video(out)[0]) == 10


def test_a_disk_without_room_is_seen_before_the_work(command, tiny, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: files.shutil._ntuple_diskusage(10, 10, 0))
    assert main(command[0]) == 2
    assert "MB, and the disk of" in one_sentence(capsys)
    assert tiny[1] == []
    with pytest.raises(InputError, match=r"DST needs 3\.0 MB, and the disk of .* has 0\.0 MB left"):
        check_space(tmp_path / "a" / "b", 3_000_000, "DST")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_result_that_is_not_finite_is_an_error(command, value, monkeypatch, capsys):
    from jaxanim import systems

    load = systems.load

    def spoiled(*arguments, **options):
        system = load(*arguments, **options)

        def broken(*arguments, **options):
            frames = np.array(system.run(*arguments, **options))
            frames[3, 5, 5, 0] = value
            return frames

        return dataclasses.replace(system, run=lambda *a, **o: jnp.asarray(broken(*a, **o)))

    monkeypatch.setattr(systems, "load", spoiled)
    assert main(command[0]) == 2
    assert "the result is not finite in frame 3 of 10, so nothing is written" in one_sentence(capsys)
    assert not command[1].parent.exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--guidance", "1e38"), ("--guidance", "101"), ("--fps", "1001"), ("--fps", "1e9")]
)
def test_absurd_numbers_are_refused(command, tiny, option, value, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command[0], option, value])
    assert stop.value.code == 2
    assert f"{option}: '{value}' is not a number" in one_sentence(capsys)
    assert tiny[1] == []


def test_the_slowest_and_fastest_videos_can_be_written(tmp_path):
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    for fps in (1e-9, 0.01, 1000):
        write_video(tmp_path / "a.mp4", frames, fps)
        assert len(read_video(tmp_path / "a.mp4")[0]) == 2


@pytest.mark.parametrize(("error", "code", "sentence"), [
    (InputError("one\n two"), 2, "p: one two\n"), (KeyboardInterrupt(), 130, "\np: stopped\n"),
    (PermissionError(13, "Permission denied", "x.png"), 2, "p: x.png cannot be read or written: Permission denied\n"),
])  # fmt: skip
def test_an_ending_is_one_line(error, code, sentence, capsys):
    def body():
        raise error

    assert ends_well("p", body) == code
    assert capsys.readouterr().err == sentence


def test_each_run_in_one_process_says_what_is_to_be_known_once(capsys):
    def body():
        tell("known")
        tell("known")

    for _ in range(2):
        assert ends_well("program", body) == 0
        assert capsys.readouterr().err == "known\n"


def test_folders_appear_whole_or_not_at_all(tmp_path):
    def write(text, error=None):
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "a").write_text(text)
            if error:
                raise error

    write("one")
    write("two")
    with pytest.raises(ValueError, match="no"):
        write("three", ValueError("no"))
    assert (tmp_path / "folder" / "a").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


# Holds the interpreter as a compilation does, or runs Python, while a file is half written.
BUSY = """
import sys, time, pathlib
from jaxanim.ending import stop_at_once
from jaxanim.media.files import atomic_path, atomic_folder
stop_at_once("program")
with atomic_folder(sys.argv[1] + "/folder") as folder, atomic_path(sys.argv[1] + "/file.png") as path:
    path.write_text("half"); (folder / "half").write_text("half")
    print("busy", flush=True)
    if sys.argv[2] == "python":
        while True: pass
    import ctypes
    while True: ctypes.CDLL(None).sleep(60)
"""


@pytest.mark.parametrize("kind", ["python", "compiler"])
def test_ctrl_c_ends_at_once_in_one_line_with_nothing_left(tmp_path, kind):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, str(tmp_path), kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "busy\n"
    assert len(list(tmp_path.iterdir())) == 2
    time.sleep(0.1)
    asked = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - asked < 2
    assert (process.returncode, err) == (130, "\nprogram: stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "a.png").write_text("a file")
    with (
        pytest.raises(InputError, match=r"a\.png/b\.png cannot be written"),
        atomic_path(tmp_path / "a.png" / "b.png"),
    ):
        pass

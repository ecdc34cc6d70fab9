"""Compiled programs are kept between processes, unless told otherwise."""

import os
import subprocess
import sys

from jaxanim.compiled import FOLDER, default_folder, keep_compiled

PROGRAM = """
import sys
from jaxanim.compiled import keep_compiled
keep_compiled(sys.argv)
import jax
jax.jit(lambda x: x @ x)(jax.numpy.ones((4, 4))).block_until_ready()
"""


def run(home, *arguments):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment = kept | {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def test_what_is_compiled_is_kept_in_a_folder_that_is_told_once(tmp_path):
    assert run(tmp_path, "--no-cache") == []
    assert list(tmp_path.rglob("*")) == []
    (told,) = run(tmp_path)
    (folder,) = (tmp_path / "jaxanim" / "compiled").iterdir()
    assert str(folder) in told
    assert "--no-cache" in told
    written = {path.name for path in folder.iterdir()}
    assert any("lambda" in name for name in written)
    assert run(tmp_path) == []
    assert {path.name for path in folder.iterdir() if path.name.endswith("-cache")} <= written


def test_the_users_own_folder_stays(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(FOLDER, str(tmp_path / "own"))
    assert keep_compiled(["--seed", "1"]) == tmp_path / "own"
    assert keep_compiled(["--no-cache"]) is None
    assert FOLDER not in os.environ
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    default_folder().parent.parent.mkdir()
    default_folder().parent.write_text("in the way")
    assert keep_compiled([]) is None
    assert capsys.readouterr().err == ""



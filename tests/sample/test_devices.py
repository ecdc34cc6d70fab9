"""A video sampled on several devices is that of one; eight are simulated, in a process of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sample.animate import main

# The program twice, on one device and on a mesh: by how much of 255 the sheets differ, and how many bytes of the
# parameters the first device of the mesh holds.
TWICE = """
import json, sys
import jax, numpy as np
from jaxanim import systems
from jaxanim.media.images import read_image
from sample.animate import main
out, mesh, *words = sys.argv[1:]
load, loaded = systems.load, []
systems.load = lambda *a, **k: loaded.append(load(*a, **k)) or loaded[-1]
codes = [main([*words, "--out", f"{out}/{n}.mp4", *more]) for n, more in enumerate(([], ["--mesh", mesh]))]
one, several = (read_image(f"{out}/{n}.png").astype(int) for n in (0, 1))
leaves = [x for x in jax.tree.leaves(loaded[1].params) if isinstance(x, jax.Array)]
held = sum(x.addressable_shards[0].data.nbytes for x in leaves)
print(json.dumps({"codes": codes, "off": int(abs(one - several).max()), "spread": float(one.std()),
                  "share": held / sum(x.nbytes for x in leaves), "on": max(len(x.sharding.device_set) for x in leaves)}))
"""


def twice(tmp_path, mesh, *words):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, "-c", TWICE, tmp_path, mesh, *map(str, words)],
        cwd=Path(__file__).parents[2], env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def moved(system, folder, motion):
    files = ("--weights", folder / "weights", "--reference", folder / "puppet/reference.png")
    return "--system", system, *files, "--motion", folder / "puppet" / motion


@pytest.mark.slow
def test_tokens_and_branches_over_devices(tmp_path):
    from tests.systems.test_directanimator_program import write_world

    words = moved("directanimator", write_world(tmp_path, guidance=2.0), "truth.mp4")
    found = twice(tmp_path, "data=2,context=4", *words)
    assert found["codes"] == [0, 0]
    assert found["off"] <= 1, found
    assert found["spread"] > 5, found
    assert found["on"] == 8, found


@pytest.mark.slow
def test_parameters_over_devices(tmp_path):
    from tests.systems.test_poseanything_program import write_world

    words = moved("poseanything", write_world(tmp_path), "skeleton.json")
    found = twice(tmp_path, "data=2,fsdp=2,tensor=2", *words, "--prompt", "a dog", "--camera", "pan-left 0.5")
    assert found["codes"] == [0, 0]
    assert found["off"] <= 1, found
    assert found["spread"] > 5, found
    assert found["share"] < 0.5, found


@pytest.mark.slow
def test_windows_and_frames_over_devices(tmp_path):
    from jaxanim.puppets import puppet_clip
    from jaxanim.puppets.export import write_clip

    write_clip(tmp_path / "puppet", puppet_clip(950_001, 26, (64, 64)))
    weights = Path(__file__).parents[2] / "weights"
    (tmp_path / "weights").symlink_to(weights / "magicanimate")
    found = twice(tmp_path, "data=2,tensor=2", *moved("magicanimate", tmp_path, "densepose.mp4"), "--guidance", "2")
    assert found["codes"] == [0, 0]
    assert found["off"] <= 1, found
    assert found["spread"] > 5, found
    assert found["share"] < 0.8, found
    assert found["on"] == 4, found  # of the eight that there are


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ("data", "'data' is no mesh such as data=4,tensor=2"),
        ("data=2,data=2", "is no mesh such as"),
        ("rows=2", "axes are data, fsdp, tensor, context"),
        ("data=0", "each of 1 or more devices"),
        ("data=64,tensor=2", "--mesh asks for 128 devices, and this machine has"),
    ],
)
def test_a_mesh_that_is_none_is_refused(tmp_path, capsys, mesh, message):
    words = moved("directanimator", tmp_path, "truth.mp4")
    try:
        code = main([str(word) for word in (*words, "--out", tmp_path / "a.mp4", "--mesh", mesh)])
    except SystemExit as stop:
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error, error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_system_that_spreads_its_frames_itself_takes_no_mesh(tmp_path, capsys):
    words = (*moved("poseanimate", tmp_path, "densepose.mp4"), "--prompt", "a person", "--subject", "person")
    assert main([str(word) for word in (*words, "--out", tmp_path / "a.mp4", "--mesh", "data=2")]) == 2
    assert "--mesh is of no use to PoseAnimate, which spreads frames over --devices" in capsys.readouterr().err

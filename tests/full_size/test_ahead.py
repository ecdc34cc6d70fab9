"""A step of sampling of CogVideoX1.5-5B with DirectAnimator's cues, compiled by the TPU's own compiler for eight chips."""

import importlib.util

import pytest

from jaxanim.config_file import load_config
from jaxanim.training.ahead import compile_step
from jaxanim.training.experiment import Experiment, override

pytestmark = [
    pytest.mark.full_size,
    pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu"),
]


def test_a_full_size_step_compiles_and_fits():
    experiment = load_config("configs/full_directanimator.py", Experiment)
    report = compile_step(override(experiment, ["batch_size=8", "mesh.fsdp=8"]), "v6e-8", "sample")
    assert report["fits"]
    # 5.6 B parameters and more in bfloat16, an eighth of them on each chip.
    assert 1.2 < report["state_gib"] < 1.8
    assert report["needs_gib"] < 4
    # Splash, in the block that the scan repeats.
    assert report["pallas_kernels"] >= 1
    assert sum(report["received"].values()) > 0

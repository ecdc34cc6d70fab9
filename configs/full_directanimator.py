"""DirectAnimator at full size on CogVideoX1.5-5B-I2V, stage 2 with Same2X: 49 frames of 512x512, for TPU slices.

  python -m train.compile configs/full_directanimator.py --topology v5p-64

Puppets stand where a dataset would: `task.pairs`. `task.base` and `task.vae` of a stage 1 (`task.stage=1`) are the
released networks, converted. What each slice makes of it: docs/scaling.md.
"""

import dataclasses

from jaxanim.models.cogvideox.config import COGVIDEOX_1_5_5B_I2V
from jaxanim.systems.directanimator.config import DirectAnimatorConfig
from jaxanim.systems.directanimator.network import CueTransformerConfig
from jaxanim.systems.directanimator.pairs import PuppetPairs
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.sharding import MeshShape

TRANSFORMER = dataclasses.replace(COGVIDEOX_1_5_5B_I2V, dtype="bfloat16", remat="full")
config = Experiment(
    name="full_directanimator",
    task=DirectAnimatorRecipe(
        stage=2,
        model=DirectAnimatorConfig(transformer=CueTransformerConfig(TRANSFORMER)),
        pairs=PuppetPairs(seeds=(0, 20_000), frames=49, span=75, size=(512, 512)),
        start="runs/full_directanimator_stage1/weights",
    ),
    steps=30_000,
    batch_size=64,
    learning_rate=1e-5,
    warmup=100,
    frozen_dtype="bfloat16",
    mesh=MeshShape(data=-1, fsdp=32),
)

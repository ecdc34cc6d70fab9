"""MagicPose on the puppet world, stage 1: appearance control pre-training (Eq. 4).

  python -m train.run configs/magicpose_stage1.py

250 steps of 32 target frames, 6 minutes on two shared cores, loss 0.61: a very short training.
"""

from configs.puppet_models import MAGICPOSE, POSED
from jaxanim.systems.magicpose.task import MagicPoseRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.objective import Objective

config = Experiment(
    name="magicpose_stage1",
    task=MagicPoseRecipe(
        stage=1,
        base="runs/base/weights",
        model=MAGICPOSE,
        clips=POSED,
        targets=4,
        objective=Objective(timestep_power=4.0, weigh_pixels=True),
    ),
    steps=250,
    batch_size=32,
    optimizer="muon",
    learning_rate=1.5e-3,
    warmup=30,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=250,
    sheet_every=250,
)

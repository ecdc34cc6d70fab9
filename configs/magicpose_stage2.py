"""MagicPose on the puppet world, stage 2: appearance-disentangled pose control (Eq. 5).

  python -m train.run configs/magicpose_stage2.py

450 steps of 32 target frames, 18 minutes on two shared cores, loss 0.39 and still falling; the pose ControlNet
began from nothing. What the system then reaches stands in the README.

Table 3's "App-Pretrain" and "Data Aug" are this config with the field in question changed, in a folder of its
own, and as many steps in all:

  python -m train.run configs/magicpose_stage2.py name=magicpose_no_pretrain task.start=none steps=700
  python -m train.run configs/magicpose_stage2.py name=magicpose_no_masks task.mask_face=0 task.mask_hands=0
"""

from configs.puppet_models import MAGICPOSE, POSED
from jaxanim.systems.magicpose.task import MagicPoseRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.objective import Objective

config = Experiment(
    name="magicpose_stage2",
    task=MagicPoseRecipe(
        stage=2,
        base="runs/base/weights",
        model=MAGICPOSE,
        clips=POSED,
        start="runs/magicpose_stage1/weights",
        targets=4,
        objective=Objective(timestep_power=4.0, weigh_pixels=True),
    ),
    steps=450,
    batch_size=32,
    optimizer="muon",
    learning_rate=1.5e-3,
    warmup=30,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=250,
    sheet_every=375,
)

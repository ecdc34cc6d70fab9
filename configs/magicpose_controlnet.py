"""The puppet world's pose ControlNet on the base with its prompts: where stage 2 of MagicPose begins.

  python -m train.run configs/magicpose_controlnet.py

It stands for the published OpenPose ControlNet (Zhang et al. 2023) that the paper starts from. 450 steps, 25
minutes beside other work, loss 1.25: prompts alone tell it little of a picture. With
`thaw='^(unet|text_encoder)/'` the base learns beside it, and is written as weights/base next to the parts.
"""

from configs.puppet_models import MAGICPOSE, POSED
from jaxanim.systems.magicpose.task import MagicPoseRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.objective import Objective

config = Experiment(
    name="magicpose_controlnet",
    task=MagicPoseRecipe(
        stage=0,
        base="runs/base/weights",
        model=MAGICPOSE,
        clips=POSED,
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
    sheet_every=450,
)

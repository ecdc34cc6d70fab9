"""PoseAnimate's base on the puppet world: the base model and a pose ControlNet that learn on together.

  python -m train.run configs/poseanimate_base.py

PoseAnimate itself trains nothing. Its inversion needs a base that samples well in 20 to 50 steps under guidance.
Stopped at step 471 of 2000, after 67 minutes on two shared cores, loss 0.66 and still falling. weights/poseanimate
is the `base` that the run leaves in its weights, with the ControlNet beside it.
"""

import dataclasses

from configs.magicpose_controlnet import config as controlnet
from jaxanim.training.objective import Objective

config = dataclasses.replace(
    controlnet,
    name="poseanimate_base",
    task=dataclasses.replace(
        controlnet.task,
        base="weights/base",
        controlnet="weights/magicpose",
        drop_prompt=0.2,
        mask_face=0.1,
        mask_hands=0.1,
        objective=Objective(timestep_power=1.0, weigh_pixels=True),
    ),
    thaw=r"^(unet|text_encoder)/",
    steps=2000,
    batch_size=32,
    learning_rate=1e-3,
    warmup=20,
    ema_decay=0.995,
    save_every=100,
    sheet_every=500,
)

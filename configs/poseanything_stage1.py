"""PoseAnything on the puppet world, stage 1: without the part module, on humans alone (Sec. 5.1).

  python -m train.run configs/poseanything_stage1.py

The text encoder, which the paper takes from Wan, is small here and learns as well.

Of what ships: `steps=100 batch_size=8 warmup=20 ema_decay=0.99`.
"""

import dataclasses

from configs.poseanything_models import CLIPS, MODEL
from jaxanim.systems.poseanything.task import PoseAnythingRecipe
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="poseanything_stage1",
    task=PoseAnythingRecipe(
        stage=1,
        vae="runs/poseanything_vae/weights",
        model=MODEL,
        clips=dataclasses.replace(CLIPS, kinds=("human",), seeds=(0, 200)),
        drop_pose=0.05,
    ),
    thaw=r"^text_encoder/",
    steps=1500,
    batch_size=16,
    optimizer="muon",
    learning_rate=1e-3,
    warmup=50,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=200,
    sheet_every=500,
)

"""PoseAnything's autoencoder on puppets of every kind and their skeletons.

  python -m train.run configs/poseanything_vae.py name=poseanything_vae_short task.start=None task.frames=9 \\
      batch_size=8 learning_rate=2e-3 steps=3000
  python -m train.run configs/poseanything_vae.py

Frames that are later than any it learnt from come out in other colours (18 dB, where the first 9 had 26), so the
second goes on with whole clips.
"""

import dataclasses

from configs.poseanything_models import CLIPS, HELD_OUT, VAE
from jaxanim.data.skeletons import WithSkeletons
from jaxanim.training.experiment import Experiment
from jaxanim.training.tasks.video_vae import VideoVAETask

config = Experiment(
    name="poseanything_vae",
    task=VideoVAETask(
        VAE,
        WithSkeletons(dataclasses.replace(CLIPS, seeds=(0, 2100))),
        HELD_OUT,
        frames=17,
        crop=64,
        start="runs/poseanything_vae_short/weights",
    ),
    steps=1500,
    batch_size=4,
    optimizer="muon",
    learning_rate=1e-3,
    warmup=50,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.99,
    save_every=200,
    sheet_every=500,
)

"""PoseAnything's autoencoder on puppets of every kind and their skeletons.

python -m train.run configs/poseanything_vae.py
"""

from configs.poseanything_models import CLIPS, HELD_OUT, VAE
from jaxanim.systems.poseanything.autoencoder_task import WanVAETask
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="poseanything_vae",
    task=WanVAETask(VAE, CLIPS, HELD_OUT, frames=9, crop=64),
    steps=4000,
    batch_size=8,
    optimizer="muon",
    learning_rate=2e-3,
    warmup=50,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.99,
    save_every=200,
    sheet_every=500,
)

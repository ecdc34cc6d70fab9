"""The puppet world's CogVideoX autoencoder.

  python -m train.run configs/directanimator_vae.py

1500 steps took 49 minutes beside other work: 24.9 dB on the crops that it learns from, not on held-out clips.
"""

from configs.directanimator_models import VIDEO_VAE
from jaxanim.data.puppets import PuppetClips
from jaxanim.training.experiment import Experiment
from jaxanim.training.tasks.video_vae import VideoVAETask

config = Experiment(
    name="directanimator_vae",
    task=VideoVAETask(
        model=VIDEO_VAE,
        clips=PuppetClips(seeds=(0, 500), frames=9, spacing="consecutive", span=50, size=(64, 64)),
        held_out=PuppetClips(seeds=(900_000, 16), frames=9, spacing="consecutive", span=50, size=(64, 64)),
        crop=32,
    ),
    steps=1500,
    batch_size=4,
    optimizer="muon",
    learning_rate=3e-3,
    warmup=50,
    schedule="constant",
    weight_decay=0.0,
    ema_decay=0.98,
    save_every=500,
    sheet_every=500,
)

"""The puppet world's autoencoder: 128x128 pixels to 16x16x32 latents.

  python -m train.run configs/vae.py

The encoder is the best linear code of 8x8 patches (29.4 dB by a linear decoder), only the decoder learns. 63
minutes on two shared cores bring it to step 2442, and to 29.6 dB on held-out frames.
"""

from jaxanim.data.puppets import PuppetClips
from jaxanim.models.vae import VAEConfig
from jaxanim.training.experiment import Experiment
from jaxanim.training.tasks.vae import VAETask

config = Experiment(
    name="vae",
    task=VAETask(
        model=VAEConfig(
            latent_channels=32, block_out_channels=(16, 32, 64, 96), layers_per_block=1, norm_num_groups=8
        ),
        clips=PuppetClips(seeds=(0, 1500), frames=8, span=75),
        held_out=PuppetClips(seeds=(900_000, 32), frames=8, span=75),
    ),
    steps=4000,
    batch_size=16,
    learning_rate=2e-3,
    warmup=100,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=400,
    sheet_every=400,
)

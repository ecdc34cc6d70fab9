"""The puppet world's text-conditioned base model: the frozen UNet under every Stable Diffusion 1.5 system.

  python -m train.run configs/base.py

700 steps, loss 0.72 (v-prediction), about 13 minutes on two shared cores. That is far from converged: the loss was
still falling, and what is frozen here bounds everything trained on top of it.
"""

from configs.puppet_models import DIFFUSION, TEXT_ENCODER, UNET
from jaxanim.data.puppets import PuppetClips
from jaxanim.training.experiment import Experiment
from jaxanim.training.tasks.text_to_image import TextToImageTask

config = Experiment(
    name="base",
    task=TextToImageTask(
        vae="runs/vae/weights",
        clips=PuppetClips(seeds=(0, 3000), frames=8, span=75),
        unet=UNET,
        text_encoder=TEXT_ENCODER,
        diffusion=DIFFUSION,
        weigh_pixels=True,
    ),
    steps=2500,
    batch_size=16,
    optimizer="muon",
    learning_rate=2e-3,
    warmup=30,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=500,
    sheet_every=500,
)

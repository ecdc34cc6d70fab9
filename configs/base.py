"""The puppet world's text-conditioned base model: the UNet under every Stable Diffusion 1.5 system.

  python -m train.run configs/base.py

2500 steps, 49 minutes on two cores, loss 0.70 and still falling. What stays frozen here bounds everything on top.
`task.start=FOLDER` trains a base further. UNet, text encoder and tokenizer of the result are weights/base, whose
autoencoder is a link to that of weights/magicanimate.
"""

from configs.puppet_models import DIFFUSION, TEXT_ENCODER, UNET
from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.stable_diffusion.task import TextToImageRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.objective import Objective

config = Experiment(
    name="base",
    task=TextToImageRecipe(
        vae="runs/vae/weights",
        clips=PuppetClips(seeds=(0, 3000), frames=8, span=75),
        unet=UNET,
        text_encoder=TEXT_ENCODER,
        diffusion=DIFFUSION,
        objective=Objective(weigh_pixels=True),
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

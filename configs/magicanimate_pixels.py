"""MagicAnimate on the puppet world, last of all: networks and decoder together, on the pixels of their samples.

  python -m train.run configs/magicanimate_pixels.py

See `PixelRecipe`; no paper asks for it. 680 steps, 76 minutes on two shared cores, begun with a discriminator
that knows its work (`init_from` the decoder's run): many stripes and checks come back. A second run, without one
and with more weight on the body and the head (configs/weights.py), takes 55 minutes and brings 0.3 dB of subject
and 0.2 of whole frame. A discriminator that begins fresh here learns nothing beside the networks.
"""

from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.finishing import MagicAnimateWeights
from jaxanim.training.experiment import Experiment
from jaxanim.training.finishing.pixels import PixelRecipe

config = Experiment(
    name="magicanimate_pixels",
    task=PixelRecipe(
        start=MagicAnimateWeights("runs/magicanimate_decoder/weights"),
        clips=PuppetClips(seeds=(0, 3000), frames=8, span=75),
        targets=2,
        subject_weight=2.0,
        head_weight=4.0,
        texture=1.5,
        adversarial=0.5,
    ),
    steps=680,
    batch_size=16,
    optimizer="muon",
    learning_rate=6e-4,
    warmup=20,
    schedule="cosine",
    weight_decay=0.0,
    clip_norm=0.0,
    ema_decay=0.99,
    save_every=170,
    sheet_every=170,
)

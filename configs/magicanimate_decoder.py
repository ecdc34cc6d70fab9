"""MagicAnimate on the puppet world, late: the autoencoder's decoder on what the system samples.

  python -m train.run configs/magicanimate_decoder.py

See `DecoderRecipe`; no paper asks for it. The 4800 frames are sampled in 6 minutes on two cores, a step takes 2
s. 1.0 dB of subject and 1.3 of whole frame on unseen puppets, and no more grid in plain backgrounds. With
`task.adversarial=0.5` a patch discriminator has its say: outlines, eyes and mouths are sharp, for 0.25 dB of
either; with 1.5 it puts a texture over plain skies. It has to learn alone first (configs/weights.py has all
runs).
"""

from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.finishing import MagicAnimateWeights
from jaxanim.training.experiment import Experiment
from jaxanim.training.finishing.decoder import DecoderRecipe

config = Experiment(
    name="magicanimate_decoder",
    task=DecoderRecipe(
        start=MagicAnimateWeights("runs/magicanimate_stage2/weights"),
        clips=PuppetClips(seeds=(0, 3000), frames=8, span=75),
        held_out=PuppetClips(seeds=(900_000, 16), frames=8, span=75),
        count=1200,
        layers=3,
    ),
    steps=1800,
    batch_size=8,
    optimizer="muon",
    learning_rate=1.5e-3,
    warmup=30,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.995,
    save_every=300,
    sheet_every=300,
)

"""MagicAnimate on the puppet world, last: the autoencoder's decoder on what the system samples.

python -m train.run configs/magicanimate_decoder.py
"""

from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.decoder_task import DecoderTask
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="magicanimate_decoder",
    task=DecoderTask(
        start="runs/magicanimate_stage1/weights",
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

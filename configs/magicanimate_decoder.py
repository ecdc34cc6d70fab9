"""MagicAnimate on the puppet world, last: the autoencoder's decoder on what the system samples.

  python -m train.run configs/magicanimate_decoder.py

Not in the paper, see `DecoderTask`. The 4800 frames are sampled in 6 minutes on two cores, a step takes 2 s. The
shipped decoder comes from five runs. Three of them, 80 minutes in all beside other work, came one after the other;
the second made it deeper, and its learning rate fell over 1250 steps up to step 471, from there over 900. The
fourth and the fifth (16 and 19 minutes beside other work) followed stage 1's fifth and sixth:

  python -m train.run configs/magicanimate_decoder.py --workdir runs/decoder task.layers=None learning_rate=1e-3 \
      warmup=20 ema_decay=0.99 steps=331
  python -m train.run configs/magicanimate_decoder.py --workdir runs/deeper init_from=runs/decoder steps=900
  python -m train.run configs/magicanimate_decoder.py init_from=runs/deeper learning_rate=1.2e-3 seed=1 steps=980 \
      task.true_share=0.15
  python -m train.run configs/magicanimate_decoder.py --workdir runs/fourth_decoder task.start=runs/fifth/weights \
      learning_rate=1e-3 seed=2 steps=360 task.true_share=0.15
  python -m train.run configs/magicanimate_decoder.py --workdir runs/fifth_decoder task.start=runs/sixth/weights \
      learning_rate=1e-3 seed=3 steps=420 task.true_share=0.15
"""

from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.decoder_task import DecoderTask
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="magicanimate_decoder",
    task=DecoderTask(
        start="runs/magicanimate_stage2/weights",
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

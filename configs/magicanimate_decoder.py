"""MagicAnimate on the puppet world, late: the autoencoder's decoder on what the system samples.

  python -m train.run configs/magicanimate_decoder.py

Not in the paper, see `DecoderTask`. The 4800 frames are sampled in 6 minutes on two cores, a step takes 2 s. The
shipped decoder comes from ten runs, and from `configs/magicanimate_pixels.py` after them. Three of the ten, 80
minutes in all beside other work, came one after the other; the second made it deeper, and its learning rate fell
over 1250 steps up to step 471, from there over 900. The fourth and the fifth (16 and 19 minutes beside other work)
followed stage 1's fifth and sixth. In the last five (70 minutes beside other work) a patch discriminator has its
say. It learns alone at first, for it has to know blur before it can ask for less; then it counts half as much as
the square error, then 1.5 times as much, which sharpened eyes and mouths but put a texture over plain skies, then
0.7 times, which took the texture away again. By then the subject's PSNR had gone from 20.36 to 19.97 dB; the last
run, with half again, ended at 20.11:

  python -m train.run configs/magicanimate_decoder.py --workdir runs/decoder task.layers=None learning_rate=1e-3 \
      warmup=20 ema_decay=0.99 steps=331
  python -m train.run configs/magicanimate_decoder.py --workdir runs/deeper init_from=runs/decoder steps=900
  python -m train.run configs/magicanimate_decoder.py init_from=runs/deeper learning_rate=1.2e-3 seed=1 steps=980 \
      task.true_share=0.15
  python -m train.run configs/magicanimate_decoder.py --workdir runs/fourth_decoder task.start=runs/fifth/weights \
      learning_rate=1e-3 seed=2 steps=360 task.true_share=0.15
  python -m train.run configs/magicanimate_decoder.py --workdir runs/fifth_decoder task.start=runs/sixth/weights \
      learning_rate=1e-3 seed=3 steps=420 task.true_share=0.15
  sharpen() { python -m train.run configs/magicanimate_decoder.py task.start=runs/fifth_decoder/weights \
      task.true_share=0.15 clip_norm=0 "$@"; }
  sharpen --workdir runs/judge task.adversarial=0.5 'task.trainable=^discriminator/' learning_rate=1e-3 \
      schedule=constant ema_decay=0.9 seed=4 steps=150
  sharpen --workdir runs/sharp_1 init_from=runs/judge task.adversarial=0.5 learning_rate=5e-4 ema_decay=0.98 \
      seed=5 steps=400
  sharpen --workdir runs/sharp_2 init_from=runs/sharp_1 task.adversarial=1.5 learning_rate=7e-4 ema_decay=0.98 \
      seed=6 steps=600
  sharpen --workdir runs/sharp_3 init_from=runs/sharp_2 task.adversarial=0.7 learning_rate=7e-4 ema_decay=0.98 \
      seed=7 steps=400
  sharpen --workdir runs/sharp_4 init_from=runs/sharp_3 task.adversarial=0.5 learning_rate=7e-4 ema_decay=0.98 \
      seed=8 steps=240
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

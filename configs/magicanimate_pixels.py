"""MagicAnimate on the puppet world, last of all: networks and decoder together, on the pixels of their samples.

  python -m train.run configs/magicanimate_pixels.py

Not in the paper, see `PixelTask`. The shipped weights come from two runs. The first had 680 steps, 76 minutes on
two shared cores, of which the compiler took 4. It began with the last weights of
`configs/magicanimate_decoder.py` and the discriminator of that run:

  python -m train.run configs/magicanimate_pixels.py task.start=runs/sharp_4/weights init_from=runs/sharp_4

In its log the local contrast, in parts of the truth's, rose from 0.92 to 0.96 within ten steps. The subject's PSNR
fell by 0.3 dB with it and was back at the end. The second, 55 minutes, had no discriminator and more weight on the
body and the head:

  python -m train.run configs/magicanimate_pixels.py --workdir runs/pixels_2 seed=1 steps=660 learning_rate=7e-4 \
      task.start=runs/magicanimate_pixels/weights task.head_weight=8 task.subject_weight=2.5 task.adversarial=0

The subject's PSNR fell by 0.3 dB again, was back by step 400, and on unseen puppets ended 0.3 dB higher. The first
run's discriminator was gone by then. Two tries with another, stopped after 80 and 70 steps with the PSNR more than
1 dB down, say why there is none: one that had seen nothing learnt nothing beside the networks (hinge loss 1.01),
and one that had learnt alone was fooled at once (0.31 before, over 1 after 20 steps). These were the command above
without its last argument, the first with `steps=1050 warmup=50`, the second with `steps=800 warmup=30` and with
`init_from=runs/judge` of

  python -m train.run configs/magicanimate_decoder.py --workdir runs/judge task.layers=None \
      task.start=runs/magicanimate_pixels/weights task.count=100 task.true_share=0.1 task.adversarial=0.5 \
      'task.trainable=^discriminator/' batch_size=16 clip_norm=0 learning_rate=1e-3 schedule=constant warmup=5 \
      ema_decay=0.9 seed=11 steps=240

What each of the weights below does by itself was not measured.
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

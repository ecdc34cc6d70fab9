"""MagicAnimate on the puppet world, last of all: networks and decoder together, on the pixels of their samples.

  python -m train.run configs/magicanimate_pixels.py

Not in the paper, see `PixelTask`. The shipped weights come from 680 steps, 76 minutes on two shared cores, of which
the compiler took 4. They began with the last weights of `configs/magicanimate_decoder.py` and the discriminator of
that run:

  python -m train.run configs/magicanimate_pixels.py task.start=runs/sharp_4/weights init_from=runs/sharp_4

In its log the local contrast, in parts of the truth's, rose from 0.92 to 0.96 within ten steps. The subject's PSNR
fell by 0.3 dB with it and was back at the end. What each of the weights below does by itself was not measured.
"""

from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.pixel_task import PixelTask
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="magicanimate_pixels",
    task=PixelTask(
        start="runs/magicanimate_decoder/weights",
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

"""MagicAnimate on the puppet world, stage 1: appearance encoder and pose ControlNet (Eq. 5).

  python -m train.run configs/magicanimate_stage1.py

1180 steps of 32 target frames, loss 0.60 (0.73 at the start), 34 minutes on two shared cores, still falling by
0.01 every 100 steps. The shipped run had its learning rate fall to zero over 1500 steps until step 826, and over
1180 from there.
"""

from configs.puppet_models import MAGICANIMATE
from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.task import MagicAnimateTask
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="magicanimate_stage1",
    task=MagicAnimateTask(
        stage=1,
        start="runs/base/weights",
        vae="runs/vae/weights",
        model=MAGICANIMATE,
        videos=PuppetClips(seeds=(0, 3000), frames=8, span=75),
        images=PuppetClips(seeds=(10_000, 6000), frames=1, span=75),
        tau1=0.2,
        targets=4,
        timestep_power=4.0,
        weigh_pixels=True,
    ),
    steps=1700,
    batch_size=32,
    optimizer="muon",
    learning_rate=1.5e-3,
    warmup=30,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=500,
    sheet_every=500,
)

"""MagicAnimate on the puppet world, stage 1: appearance encoder and pose ControlNet (Eq. 5).

  python -m train.run configs/magicanimate_stage1.py

1700 steps of 32 target frames, 48 minutes on two shared cores; the loss, 0.17 at the end, was still falling. The
shipped run began with the parts of an earlier one on the base's first 1700 steps: 1100 steps in 43 minutes with an
unweighted loss, `timestep_power` 2 and learning rate 1e-3.

  python -m train.run configs/magicanimate_stage1.py --workdir runs/earlier steps=1100 learning_rate=1e-3 \
      task.weigh_pixels=False task.timestep_power=2
  python -m train.run configs/magicanimate_stage1.py init_from=runs/earlier
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

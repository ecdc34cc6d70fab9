"""MagicAnimate on the puppet world, stage 1: appearance encoder and pose ControlNet (Eq. 5).

  python -m train.run configs/magicanimate_stage1.py

2200 steps of 32 target frames, 63 minutes on two shared cores; the loss, 0.14 at the end, was still falling. The
shipped parts come from six runs, each of which began with the parts of the one before, and from
`configs/magicanimate_pixels.py` after them. First came 1100 steps on the base's first 1700 steps (unweighted loss,
`timestep_power` 2, learning rate 1e-3), then 1700 (loss 0.18), then 2200, of which the first 390 had the learning
rate of their place in 3400. After that came stage 2, and then 700 steps more of stage 1 for what a single step of
sampling asks: nearly all of it noise, no stills, the pose's first layers held (44 minutes beside other work; the
loss, 0.176 at the beginning and 0.160 at the end, is on another scale).

The fifth run is not in the paper: after `configs/magicanimate_decoder.py` came 900 steps more in which the base's
UNet learns too (58 minutes, of which the compiler took 4; the loss, on yet another scale, fell from 0.15 to 0.12),
and then the decoder again. The sixth run, 116 minutes beside other work, and the decoder's fifth after it, are
the same once more from there (0.13 to 0.115). They serve a single step of sampling: with more, results are worse,
see docs/magicanimate.md. The base as it was is weights/base.

  python -m train.run configs/magicanimate_stage1.py --workdir runs/first steps=1100 learning_rate=1e-3 \
      task.weigh_pixels=False task.timestep_power=2
  python -m train.run configs/magicanimate_stage1.py --workdir runs/second init_from=runs/first steps=1700
  python -m train.run configs/magicanimate_stage1.py init_from=runs/second
  python -m train.run configs/magicanimate_stage2.py
  python -m train.run configs/magicanimate_stage1.py --workdir runs/fourth \
      task.start=runs/magicanimate_stage2/weights task.timestep_power=16 task.tau1=0 task.hold=cond_embedding \
      learning_rate=1.2e-3 warmup=20 ema_decay=0.995 steps=700
  python -m train.run configs/magicanimate_stage1.py --workdir runs/fifth \
      task.start=runs/magicanimate_decoder/weights task.vae=runs/magicanimate_decoder/weights \
      task.timestep_power=32 task.tau1=0 'task.thaw=^unet/(?!.*motion_modules)' \
      learning_rate=5e-4 ema_decay=0.995 steps=900
  python -m train.run configs/magicanimate_stage1.py --workdir runs/sixth \
      task.start=runs/fourth_decoder/weights task.vae=runs/fourth_decoder/weights \
      task.timestep_power=32 task.tau1=0 'task.thaw=^unet/(?!.*motion_modules)' \
      learning_rate=5e-4 ema_decay=0.995 steps=900 seed=12
"""

from configs.puppet_models import MAGICANIMATE
from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.task import MagicAnimateRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.objective import Objective

config = Experiment(
    name="magicanimate_stage1",
    task=MagicAnimateRecipe(
        stage=1,
        start="runs/base/weights",
        vae="runs/vae/weights",
        model=MAGICANIMATE,
        videos=PuppetClips(seeds=(0, 3000), frames=8, span=75),
        images=PuppetClips(seeds=(10_000, 6000), frames=1, span=75),
        tau1=0.2,
        targets=4,
        objective=Objective(timestep_power=4.0, weigh_pixels=True),
    ),
    steps=2200,
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

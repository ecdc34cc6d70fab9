"""MagicAnimate on the puppet world, stage 1: appearance encoder and pose ControlNet (Eq. 5).

  python -m train.run configs/magicanimate_stage1.py

2200 steps of 32 target frames, 63 minutes on two shared cores, loss 0.14 and still falling. The shipped weights
have six runs of it (configs/weights.py). In the last two the base's UNet learns too, which the paper freezes
(`thaw='^unet/(?!.*motion_modules)'`): with the decoder's training after them 0.5 dB of subject and 0.6 of whole
frame in one step of sampling; with more steps results are worse (docs/magicanimate.md). `task.start=weights/base
task.vae=weights/base` begins without training a base, `task.start=weights/magicanimate` goes on from whole
weights.
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

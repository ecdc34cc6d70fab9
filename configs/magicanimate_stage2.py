"""MagicAnimate on the puppet world, stage 2: the temporal layers (Eq. 6), image-video joint training (Eq. 7).

  python -m train.run configs/magicanimate_stage2.py

160 steps of 32 frames, 6 minutes on two shared cores.
"""

from configs.puppet_models import MAGICANIMATE
from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicanimate.task import MagicAnimateRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.objective import Objective

config = Experiment(
    name="magicanimate_stage2",
    task=MagicAnimateRecipe(
        stage=2,
        start="runs/magicanimate_stage1/weights",
        vae="runs/vae/weights",
        model=MAGICANIMATE,
        videos=PuppetClips(seeds=(200_000, 600), frames=16, spacing="consecutive", span=75),
        images=PuppetClips(seeds=(10_000, 6000), frames=1, span=75),
        tau1=0.15,
        tau2=0.3,
        targets=4,
        objective=Objective(timestep_power=3.0, weigh_pixels=True),
    ),
    steps=160,
    batch_size=32,
    optimizer="muon",
    learning_rate=5e-4,
    warmup=20,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=100,
    sheet_every=160,
)

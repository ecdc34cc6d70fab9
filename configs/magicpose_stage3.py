"""MagicPose on the puppet world, stage 3, optional: the motion module, all else frozen (App. C).

python -m train.run configs/magicpose_stage3.py
"""

from configs.puppet_models import MAGICPOSE
from jaxanim.data.poses import PosedClips
from jaxanim.data.puppets import PuppetClips
from jaxanim.systems.magicpose.task import MagicPoseRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.objective import Objective

config = Experiment(
    name="magicpose_stage3",
    task=MagicPoseRecipe(
        stage=3,
        base="runs/base/weights",
        model=MAGICPOSE,
        clips=PosedClips(PuppetClips(seeds=(200_000, 600), frames=16, spacing="consecutive", span=75)),
        start="runs/magicpose_stage2/weights",
        objective=Objective(timestep_power=2.0),
    ),
    steps=400,
    batch_size=32,
    optimizer="muon",
    learning_rate=5e-4,
    warmup=30,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=200,
    sheet_every=200,
)

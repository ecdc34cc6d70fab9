"""DirectAnimator on one's own videos, stage 2 with Same2X (Eq. 4), from pseudo driving videos that were kept.

  python -m train.run configs/directanimator_own_stage2.py task.pairs.folder=my_videos

Begins with what configs/directanimator_own_stage1.py wrote.
"""

import dataclasses

from configs import directanimator_own_stage1 as stage1
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe

config = dataclasses.replace(
    stage1.config,
    name="own_stage2",
    task=DirectAnimatorRecipe(
        stage=2,
        model=stage1.MODEL,
        pairs=dataclasses.replace(stage1.PAIRS, pseudo=True),
        start="runs/own_stage1/weights",
    ),
    steps=30_000,
)

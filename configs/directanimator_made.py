"""DirectAnimator on puppets' folders, stage 2 from pseudo driving videos that MagicAnimate has made: 40 steps.

  python -m train.run configs/directanimator_made.py

docs/directanimator.md has what makes the folder `data/made`, and the figures.
"""

import dataclasses

from configs import directanimator_stage2 as stage2
from configs.directanimator_models import CUES
from jaxanim.systems.directanimator.folder_pairs import FolderPairs

config = dataclasses.replace(
    stage2.config,
    name="directanimator_made",
    task=dataclasses.replace(
        stage2.config.task,
        pairs=FolderPairs("data/made", pseudo=True, buckets=((9, 64, 64),), clips=3, cues=CUES),
        start="weights/directanimator",
    ),
    steps=40,
    batch_size=6,
    warmup=5,
    learning_rate=2e-4,
    validate_every=20,
    save_every=40,
    sheet_every=40,
)

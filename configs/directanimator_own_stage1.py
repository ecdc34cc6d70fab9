"""DirectAnimator on one's own videos, stage 1, at full size on CogVideoX1.5-5B-I2V (Sec. 4.1), in buckets.

  python -m train.pseudo my_videos                        masks and faces
  python -m train.run configs/directanimator_own_stage1.py task.pairs.folder=my_videos task.vae=VAE task.base=BASE

VAE and BASE are the released networks, converted, see docs/directanimator.md. `python -m train.pseudo my_videos
--system NAME --references people` then makes what configs/directanimator_own_stage2.py learns from.
"""

import dataclasses

from jaxanim.models.cogvideox.config import COGVIDEOX_1_5_5B_I2V
from jaxanim.systems.directanimator.config import DirectAnimatorConfig
from jaxanim.systems.directanimator.folder_pairs import FolderPairs
from jaxanim.systems.directanimator.network import CueTransformerConfig
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.sharding import MeshShape

TRANSFORMER = dataclasses.replace(COGVIDEOX_1_5_5B_I2V, dtype="bfloat16", remat="full")
MODEL = DirectAnimatorConfig(transformer=CueTransformerConfig(TRANSFORMER))
PAIRS = FolderPairs("my_videos", buckets=((49, 512, 512), (49, 672, 384), (49, 384, 672)))
config = Experiment(
    name="own_stage1",
    task=DirectAnimatorRecipe(
        stage=1,
        model=MODEL,
        pairs=PAIRS,
        vae="weights/cogvideox1.5-vae",
        base="weights/cogvideox1.5-transformer",
    ),
    steps=10_000,
    batch_size=8,
    learning_rate=2e-5,
    warmup=100,
    frozen_dtype="bfloat16",
    mesh=MeshShape(data=-1, fsdp=8),
)

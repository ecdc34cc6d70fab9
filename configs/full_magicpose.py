"""MagicPose at full size on Stable Diffusion 1.5, stage 2: pairs of 512x512, for TPU slices.

  python -m train.compile configs/full_magicpose.py --topology v5e-256

Other stages by `task.stage`. Puppets stand where a dataset would: `task.clips`. What each slice makes of it:
docs/scaling.md.
"""

from jaxanim.data.poses import PosedClips
from jaxanim.data.puppets import PuppetClips
from jaxanim.models.controlnet import controlnet_config
from jaxanim.models.motion import ANIMATEDIFF_V2
from jaxanim.models.unet_config import UNetConfig
from jaxanim.systems.magicpose.config import MagicPoseConfig
from jaxanim.systems.magicpose.task import MagicPoseRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.sharding import MeshShape

UNET = UNetConfig(readers="all", motion=ANIMATEDIFF_V2, dtype="bfloat16", remat=True)
config = Experiment(
    name="full_magicpose",
    task=MagicPoseRecipe(
        stage=2,
        base="weights/stable-diffusion-v1-5",
        model=MagicPoseConfig(unet=UNET, controlnet=controlnet_config(UNET)),
        clips=PosedClips(PuppetClips(seeds=(0, 3000), frames=8, span=75, size=(512, 512))),
        start="runs/full_magicpose_stage1/weights",
    ),
    steps=20_000,
    batch_size=256,
    learning_rate=1e-5,
    frozen_dtype="bfloat16",
    mesh=MeshShape(data=-1),
)

"""MagicAnimate at full size on Stable Diffusion 1.5, stage 2: windows of 16 frames of 512x512, for TPU slices.

  python -m train.compile configs/full_magicanimate.py --topology v5e-256

`task.stage=1 batch_size=256` is the first stage, on pairs. Puppets stand where a dataset would: `task.videos`.
`batch_size` counts frames. What each slice makes of it: docs/scaling.md.
"""

from jaxanim.data.puppets import PuppetClips
from jaxanim.models.controlnet import controlnet_config
from jaxanim.models.motion import MAGICANIMATE
from jaxanim.models.unet_config import UNetConfig
from jaxanim.systems.magicanimate.config import MagicAnimateConfig
from jaxanim.systems.magicanimate.task import MagicAnimateRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.sharding import MeshShape

UNET = UNetConfig(motion=MAGICANIMATE, pool_frames=True, dtype="bfloat16", remat=True)
MODEL = MagicAnimateConfig(unet=UNET, controlnet=controlnet_config(UNET))
SIZE = (512, 512)
config = Experiment(
    name="full_magicanimate",
    task=MagicAnimateRecipe(
        stage=2,
        start="runs/full_magicanimate_stage1/weights",
        vae="weights/stable-diffusion-v1-5",
        model=MODEL,
        videos=PuppetClips(seeds=(200_000, 600), frames=16, spacing="consecutive", span=75, size=SIZE),
        images=PuppetClips(seeds=(10_000, 6000), frames=1, span=75, size=SIZE),
        tau1=0.2,
        tau2=0.5,
        targets=1,
    ),
    steps=10_000,
    batch_size=16 * 256,
    learning_rate=1e-4,
    frozen_dtype="bfloat16",
    mesh=MeshShape(data=-1),
)

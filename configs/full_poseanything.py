"""PoseAnything at full size on Wan2.2-TI2V-5B with the part module, stage 3: 81 frames of 480x832, for TPU slices.

  python -m train.compile configs/full_poseanything.py --topology v5p-64

Puppets stand where a dataset would: `task.clips`. `task.vae` and `task.start` are the released networks, converted;
prompts are embedded beforehand. What each slice makes of it: docs/scaling.md.
"""

from jaxanim.data.skeletons import SkeletonClips
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.vae_config import WanVAEConfig
from jaxanim.systems.poseanything.config import PoseAnythingConfig
from jaxanim.systems.poseanything.task import PoseAnythingRecipe
from jaxanim.training.experiment import Experiment
from jaxanim.training.sharding import MeshShape

MODEL = PoseAnythingConfig(
    vae=WanVAEConfig(dtype="bfloat16"),
    transformer=WanConfig(in_channels=96, part_attention=True, dtype="bfloat16", remat="full"),
)
CLIPS = SkeletonClips(seeds=(0, 20_000), frames=81, span=100, size=(480, 832))
config = Experiment(
    name="full_poseanything",
    task=PoseAnythingRecipe(
        stage=3,
        vae="weights/wan2.2-ti2v-5b",
        start="runs/full_poseanything_stage2/weights",
        model=MODEL,
        clips=CLIPS,
    ),
    steps=10_000,
    batch_size=64,
    learning_rate=1e-5,
    warmup=100,
    frozen_dtype="bfloat16",
    mesh=MeshShape(data=-1, fsdp=32),
)

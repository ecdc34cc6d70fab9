"""The puppet world's face network: who a face is and what it does, for Face-Cos and its like.

  python -m train.run configs/face.py

Learns from the faces of 1500 training identities; validation identities judge it (metadata in weights/config.json).
3000 steps in 12 minutes on two busy cores; by one picture it finds 67% of 98 validation identities among all.
The result is weights/face.
"""

from jaxanim.data.faces import FaceCrops
from jaxanim.data.puppets import PuppetClips
from jaxanim.models.face import FaceConfig
from jaxanim.training.experiment import Experiment
from jaxanim.training.tasks.face import FaceTask

config = Experiment(
    name="face",
    task=FaceTask(
        model=FaceConfig(),
        crops=FaceCrops(PuppetClips(seeds=(0, 1500), frames=8, span=75)),
        held_out=FaceCrops(PuppetClips(seeds=(900_000, 100), frames=8, span=75)),
    ),
    steps=3000,
    batch_size=64,
    learning_rate=2e-3,
    warmup=100,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.99,
    save_every=500,
    sheet_every=500,
)

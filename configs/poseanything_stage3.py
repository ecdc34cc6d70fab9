"""PoseAnything on the puppet world, stage 3: the part module alone, on all kinds (Sec. 5.1).

  python -m train.run configs/poseanything_stage3.py

Table 3's EC, attention over the whole subject, is trained likewise:

  python -m train.run configs/poseanything_stage3.py name=poseanything_whole task.parts=whole

Of what ships, and of EC: `steps=200 batch_size=8 warmup=20 ema_decay=0.98`, loss 0.53.
"""

from configs.poseanything_models import CLIPS, MODEL
from jaxanim.systems.poseanything.task import PoseAnythingRecipe
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="poseanything_stage3",
    task=PoseAnythingRecipe(
        stage=3,
        vae="runs/poseanything_vae/weights",
        model=MODEL,
        clips=CLIPS,
        start="runs/poseanything_stage2/weights",
        drop_pose=0.05,
    ),
    steps=1500,
    batch_size=16,
    optimizer="muon",
    learning_rate=5e-4,
    warmup=50,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=200,
    sheet_every=500,
)

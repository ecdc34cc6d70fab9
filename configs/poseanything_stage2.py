"""PoseAnything on the puppet world, stage 2: without the part module, on all kinds (Sec. 5.1).

  python -m train.run configs/poseanything_stage2.py

Table 4's other injections begin afresh, as the first of each did:

  python -m train.run configs/poseanything_stage2.py name=poseanything_mlp task.start=None \\
      task.model.rules.injection=mlp \\
      task.model.transformer.in_channels=16 task.model.transformer.part_attention=False
  python -m train.run configs/poseanything_stage2.py name=poseanything_width task.start=None \\
      task.model.rules.injection=width \\
      task.model.transformer.in_channels=16 task.model.transformer.part_attention=False
  python -m train.run configs/poseanything_stage2.py name=poseanything_channels task.start=None

Of what ships: `steps=3000 batch_size=8 warmup=30 ema_decay=0.99`, loss 0.55 (mean of the last 50 steps).
"""

from configs.poseanything_models import CLIPS, MODEL
from jaxanim.systems.poseanything.task import PoseAnythingRecipe
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="poseanything_stage2",
    task=PoseAnythingRecipe(
        stage=2,
        vae="runs/poseanything_vae/weights",
        model=MODEL,
        clips=CLIPS,
        start="runs/poseanything_stage1/weights",
        drop_pose=0.05,
    ),
    thaw=r"^text_encoder/",
    steps=4000,
    batch_size=16,
    optimizer="muon",
    learning_rate=1e-3,
    warmup=50,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=200,
    sheet_every=500,
)

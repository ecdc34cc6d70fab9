"""DirectAnimator on the puppet world, stage 1: same-ID (Sec. 3.2), cues of the target's own identity.

  python -m train.run configs/directanimator_stage1.py

What ships, 78 minutes: `steps=400 batch_size=8 ema_decay=0.98`, held-out loss 0.205, then `init_from` that with
`steps=2000 batch_size=16 warmup=20 ema_decay=0.99`, 0.047.
"""

from configs.directanimator_models import DIRECTANIMATOR, PAIRS
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="directanimator_stage1",
    task=DirectAnimatorRecipe(
        stage=1,
        model=DIRECTANIMATOR,
        pairs=PAIRS,
        vae="runs/directanimator_vae/weights",
    ),
    steps=3000,
    batch_size=16,
    optimizer="muon",
    learning_rate=1e-3,
    warmup=30,
    schedule="cosine",
    weight_decay=0.0,
    ema_decay=0.998,
    save_every=500,
    sheet_every=500,
)

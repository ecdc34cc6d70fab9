"""DirectAnimator on the puppet world, stage 2: cross-ID with Same2X (Sec. 3.2, Eq. 4), cues of another identity.

  python -m train.run configs/directanimator_stage2.py

What ships: 300 steps, held-out loss 0.066, then 1800 of 1500 pairs, 0.056; configs/weights.py has the settings.
"""

from configs.directanimator_models import DEPTH, DIRECTANIMATOR, PAIRS
from jaxanim.systems.directanimator.losses import Same2X
from jaxanim.systems.directanimator.task import DirectAnimatorRecipe
from jaxanim.training.experiment import Experiment

config = Experiment(
    name="directanimator_stage2",
    task=DirectAnimatorRecipe(
        stage=2,
        model=DIRECTANIMATOR,
        pairs=PAIRS,
        start="runs/directanimator_stage1/weights",
        same2x=Same2X(depth=DEPTH),
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

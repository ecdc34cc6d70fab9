r"""DirectAnimator's Table 6 on unseen puppets: pseudo cues of which 40 % do not follow, and filtered ones.

  python -m sample.evaluate configs/directanimator_table6.py --seeds 950000:950016 --ablations --skip-wrong

Another identity drives each puppet; the column "driver" says whether it is copied. Every row is 75 steps of
stage 2:

  B="steps=75 warmup=5 ema_decay=0.95 task.pairs.seeds=0,300"
  python -m train.run configs/directanimator_stage2.py name=directanimator_faulty $B \
    task.start=runs/directanimator_ours_stage1/weights task.pairs.faulty=0.4
  python -m train.run configs/directanimator_stage2.py name=directanimator_unfiltered $B \
    task.start=runs/directanimator_ours_stage1/weights task.pairs.faulty=0.4 task.pairs.seeds=0,900

The row "ours" and its stage 1 are those of configs/directanimator_table3.py.
docs/directanimator.md has the figures.
"""

import dataclasses

from configs.directanimator_eval import config as probe
from jaxanim.metrics.evaluate import Variant

config = dataclasses.replace(
    probe,
    name="directanimator_table6",
    variants=(
        Variant("unfiltered, three times as many pairs", weights="runs/directanimator_unfiltered/weights"),
        Variant("unfiltered, as many", weights="runs/directanimator_faulty/weights"),
        Variant("filtered (ours)", weights="runs/directanimator_ours/weights"),
    ),
)

r"""DirectAnimator's Table 4 on unseen puppets: D (of 12 blocks as 10, 20, 30 are of 42) and lambda.

  python -m sample.evaluate configs/directanimator_table4.py --seeds 950000:950016 --ablations --skip-wrong

Another identity drives each puppet; the column "driver" says whether it is copied. Every row is 75 steps of
stage 2:

  B="steps=75 warmup=5 ema_decay=0.95 task.pairs.seeds=0,300"
  python -m train.run configs/directanimator_stage2.py name=directanimator_depth6 $B \
    task.start=runs/directanimator_ours_stage1/weights task.same2x.depth=6
  python -m train.run configs/directanimator_stage2.py name=directanimator_depth9 $B \
    task.start=runs/directanimator_ours_stage1/weights task.same2x.depth=9
  python -m train.run configs/directanimator_stage2.py name=directanimator_lambda0.1 $B \
    task.start=runs/directanimator_ours_stage1/weights task.same2x.weight=0.1
  python -m train.run configs/directanimator_stage2.py name=directanimator_lambda1 $B \
    task.start=runs/directanimator_ours_stage1/weights task.same2x.weight=1

The row "ours" and its stage 1 are those of configs/directanimator_table3.py.
docs/directanimator.md has the figures.
"""

import dataclasses

from configs.directanimator_eval import config as probe
from jaxanim.metrics.evaluate import Variant

config = dataclasses.replace(
    probe,
    name="directanimator_table4",
    variants=(
        Variant("D=3, lambda=0.5 (ours)", weights="runs/directanimator_ours/weights"),
        Variant("D=6", weights="runs/directanimator_depth6/weights"),
        Variant("D=9", weights="runs/directanimator_depth9/weights"),
        Variant("lambda=0.1", weights="runs/directanimator_lambda0.1/weights"),
        Variant("lambda=1", weights="runs/directanimator_lambda1/weights"),
    ),
)

"""DirectAnimator's Table 4 on unseen puppets: D (of 12 blocks as 10, 20, 30 are of 42) and lambda.

  python -m sample.evaluate configs/directanimator_table4.py --seeds 950000:950016 --ablations

Another identity drives each puppet; the column "driver" says whether it is copied. Every row is trained for as many
steps as "ours" (configs/directanimator_stage1.py, then _stage2.py), in the folders named:

  python -m train.run configs/directanimator_stage2.py name=directanimator_depth6 task.same2x.depth=6
  python -m train.run configs/directanimator_stage2.py name=directanimator_depth9 task.same2x.depth=9
  python -m train.run configs/directanimator_stage2.py name=directanimator_lambda0.1 task.same2x.weight=0.1
  python -m train.run configs/directanimator_stage2.py name=directanimator_lambda1 task.same2x.weight=1

Not trained yet: no figure stands here before it is.
"""

import dataclasses

from configs.directanimator_eval import config as probe
from jaxanim.metrics.evaluate import Variant

config = dataclasses.replace(
    probe,
    name="directanimator_table4",
    variants=(
        Variant("D=3, lambda=0.5 (ours)", weights="runs/directanimator_stage2/weights"),
        Variant("D=6", weights="runs/directanimator_depth6/weights"),
        Variant("D=9", weights="runs/directanimator_depth9/weights"),
        Variant("lambda=0.1", weights="runs/directanimator_lambda0.1/weights"),
        Variant("lambda=1", weights="runs/directanimator_lambda1/weights"),
    ),
)

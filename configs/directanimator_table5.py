r"""DirectAnimator's Table 5 on unseen puppets: how cues are injected.

  python -m sample.evaluate configs/directanimator_table5.py --seeds 950000:950016 --ablations --skip-wrong

Another identity drives each puppet; the column "driver" says whether it is copied. Every row begins with random
parameters and has 200 steps of stage 1 and 75 of stage 2:

  A="steps=200 warmup=5 ema_decay=0.95 task.pairs.seeds=0,300"
  B="steps=75 warmup=5 ema_decay=0.95 task.pairs.seeds=0,300"
  python -m train.run configs/directanimator_stage1.py name=directanimator_cf_stage1 $A
  python -m train.run configs/directanimator_stage2.py name=directanimator_cf $B \
    task.start=runs/directanimator_cf_stage1/weights
  python -m train.run configs/directanimator_stage1.py name=directanimator_dc_stage1 $A \
    task.model.transformer.injection=concatenation
  python -m train.run configs/directanimator_stage2.py name=directanimator_dc $B \
    task.start=runs/directanimator_dc_stage1/weights
  python -m train.run configs/directanimator_stage1.py name=directanimator_ca_stage1 $A \
    task.model.transformer.injection=cross_attention
  python -m train.run configs/directanimator_stage2.py name=directanimator_ca $B \
    task.start=runs/directanimator_ca_stage1/weights

docs/directanimator.md has the figures.
"""

import dataclasses

from configs.directanimator_eval import config as probe
from jaxanim.metrics.evaluate import Variant

config = dataclasses.replace(
    probe,
    name="directanimator_table5",
    variants=(
        Variant("DC concatenation", weights="runs/directanimator_dc/weights"),
        Variant("CA cross-attention", weights="runs/directanimator_ca/weights"),
        Variant("CF (ours)", weights="runs/directanimator_cf/weights"),
    ),
)

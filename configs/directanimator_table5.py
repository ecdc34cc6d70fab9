r"""DirectAnimator's Table 5 on unseen puppets: how cues are injected.

  python -m sample.evaluate configs/directanimator_table5.py --seeds 950000:950016 --ablations

Another identity drives each puppet; the column "driver" says whether it is copied. Every row is trained for as many
steps as "ours" (configs/directanimator_stage1.py, then _stage2.py), in the folders named:

  python -m train.run configs/directanimator_stage1.py name=directanimator_dc_stage1 \
    task.model.transformer.injection=concatenation
  python -m train.run configs/directanimator_stage2.py name=directanimator_dc \
    task.start=runs/directanimator_dc_stage1/weights
  python -m train.run configs/directanimator_stage1.py name=directanimator_ca_stage1 \
    task.model.transformer.injection=cross_attention
  python -m train.run configs/directanimator_stage2.py name=directanimator_ca \
    task.start=runs/directanimator_ca_stage1/weights

Not trained yet: no figure stands here before it is.
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
        Variant("CF (ours)", weights="runs/directanimator_stage2/weights"),
    ),
)

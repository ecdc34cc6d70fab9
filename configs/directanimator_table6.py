r"""DirectAnimator's Table 6 on unseen puppets: pseudo cues of which 40 % do not follow, and filtered ones.

  python -m sample.evaluate configs/directanimator_table6.py --seeds 950000:950016 --ablations

Another identity drives each puppet; the column "driver" says whether it is copied. Every row is trained for as many
steps as "ours" (configs/directanimator_stage1.py, then _stage2.py), in the folders named:

  python -m train.run configs/directanimator_stage2.py name=directanimator_unfiltered task.pairs.faulty=0.4 \
    task.pairs.seeds=0,1500
  python -m train.run configs/directanimator_stage2.py name=directanimator_faulty task.pairs.faulty=0.4

Not trained yet: no figure stands here before it is.
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
        Variant("filtered (ours)", weights="runs/directanimator_stage2/weights"),
    ),
)

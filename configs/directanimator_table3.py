r"""DirectAnimator's Table 3 on unseen puppets: the driving cues and Same2X.

  python -m sample.evaluate configs/directanimator_table3.py --seeds 950000:950016 --ablations --skip-wrong

Another identity drives each puppet; the column "driver" says whether it is copied. Every row goes on from the long
stage 1, with 50 steps of stage 1 and 75 of stage 2:

  A="init_from=runs/directanimator_stage1 steps=50 warmup=5 ema_decay=0.95 task.pairs.seeds=0,300"
  B="steps=75 warmup=5 ema_decay=0.95 task.pairs.seeds=0,300"
  python -m train.run configs/directanimator_stage1.py name=directanimator_ours_stage1 $A
  python -m train.run configs/directanimator_stage2.py name=directanimator_ours $B \
    task.start=runs/directanimator_ours_stage1/weights
  python -m train.run configs/directanimator_stage1.py name=directanimator_s1_stage1 $A \
    task.pairs.cues.face=false
  python -m train.run configs/directanimator_stage2.py name=directanimator_s1 $B \
    task.start=runs/directanimator_s1_stage1/weights task.pairs.cues.face=false
  python -m train.run configs/directanimator_stage1.py name=directanimator_s2_stage1 $A \
    task.pairs.cues.enlarge=false
  python -m train.run configs/directanimator_stage2.py name=directanimator_s2 $B \
    task.start=runs/directanimator_s2_stage1/weights task.pairs.cues.enlarge=false
  python -m train.run configs/directanimator_stage1.py name=directanimator_s3_stage1 $A \
    task.pairs.cues.grey=false task.pairs.cues.cut_off=none
  python -m train.run configs/directanimator_stage2.py name=directanimator_s3 $B \
    task.start=runs/directanimator_s3_stage1/weights task.pairs.cues.grey=false task.pairs.cues.cut_off=none
  python -m train.run configs/directanimator_stage1.py name=directanimator_s4_stage1 $A \
    task.pairs.cues.cut_off=none
  python -m train.run configs/directanimator_stage2.py name=directanimator_s4 $B \
    task.start=runs/directanimator_s4_stage1/weights task.pairs.cues.cut_off=none
  python -m train.run configs/directanimator_stage1.py name=directanimator_s5_stage1 $A \
    task.pairs.cues.pose=skeleton
  python -m train.run configs/directanimator_stage2.py name=directanimator_s5 $B \
    task.start=runs/directanimator_s5_stage1/weights task.pairs.cues.pose=skeleton
  python -m train.run configs/directanimator_stage1.py name=directanimator_s6_stage1 $A \
    task.pairs.cues.location=false
  python -m train.run configs/directanimator_stage2.py name=directanimator_s6 $B \
    task.start=runs/directanimator_s6_stage1/weights task.pairs.cues.location=false
  python -m train.run configs/directanimator_stage1.py name=directanimator_s7_stage1 $A \
    task.pairs.cues.grid=1
  python -m train.run configs/directanimator_stage2.py name=directanimator_s7 $B \
    task.start=runs/directanimator_s7_stage1/weights task.pairs.cues.grid=1
  python -m train.run configs/directanimator_stage2.py name=directanimator_plain $B \
    task.start=runs/directanimator_ours_stage1/weights task.same2x=none

docs/directanimator.md has the figures.
"""

import dataclasses

from configs.directanimator_eval import config as probe
from jaxanim.metrics.evaluate import Variant

config = dataclasses.replace(
    probe,
    name="directanimator_table3",
    variants=(
        Variant("S1 without face cue", weights="runs/directanimator_s1/weights"),
        Variant("S2 face neither enlarged nor centred", weights="runs/directanimator_s2/weights"),
        Variant("S3 pose cue in colour", weights="runs/directanimator_s3/weights"),
        Variant("S4 grey, no low pass", weights="runs/directanimator_s4/weights"),
        Variant("S5 skeleton map", weights="runs/directanimator_s5/weights"),
        Variant("S6 without location cue", weights="runs/directanimator_s6/weights"),
        Variant("S7 hard masks", weights="runs/directanimator_s7/weights"),
        Variant("S8 without Same2X", weights="runs/directanimator_plain/weights"),
        Variant("ours", weights="runs/directanimator_ours/weights"),
    ),
)

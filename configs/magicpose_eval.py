"""MagicPose on unseen puppets, and the ablations of the paper's Table 3.

  python -m sample.evaluate configs/magicpose_eval.py --seeds 950000:950016
  python -m sample.evaluate configs/magicpose_eval.py --seeds 950000:950008 --ablations

docs/magicpose.md has what they printed, beside the paper's. Each row of the table has one thing off, after 700
steps of 32 target frames in all; two rows' weights have to be trained first as configs/magicpose_stage2.py says,
and two more are the ControlNet alone, and it beside an appearance model that was trained apart:

  python -m train.run configs/magicpose_controlnet.py
  python -m train.run configs/magicpose_controlnet.py name=magicpose_controlnet_700 steps=700
  python -m train.parts runs/magicpose_apart --base runs/base/weights \\
      --appearance runs/magicpose_stage1/weights --controlnet runs/magicpose_controlnet/weights
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

APART = "250 steps of stage 1, 450 of the ControlNet"
IN_TURN = "250 steps of stage 1, 450 of stage 2"

config = Evaluation(
    name="magicpose",
    system="magicpose",
    weights="weights/magicpose",
    size=(128, 128),
    frames=48,
    face="weights/face",
    variants=(
        Variant("all", weights="runs/magicpose_stage2/weights", budget=IN_TURN),
        Variant("without App-Pretrain", weights="runs/magicpose_no_pretrain/weights", budget="700 of stage 2"),
        Variant("without Disentangle", weights="runs/magicpose_apart", budget=APART),
        Variant("without both", weights="runs/magicpose_controlnet_700/weights", budget="700 of the ControlNet"),
        Variant(
            "without Image-CFG", weights="runs/magicpose_stage2/weights", options={"guidance": 1.0}, budget=IN_TURN
        ),
        Variant("without Data Aug", weights="runs/magicpose_no_masks/weights", budget=IN_TURN),
    ),
)

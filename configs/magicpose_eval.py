"""MagicPose on unseen puppets, and the ablations of the paper's Table 3.

  python -m sample.evaluate configs/magicpose_eval.py --seeds 950000:950032
  python -m sample.evaluate configs/magicpose_eval.py --seeds 950000:950016 --ablations

Each row of the table has one thing off. "Disentangle" off is the plain ControlNet beside the pre-trained appearance
model, put together without training; that and the two trainings of configs/magicpose_stage2.py's docstring have to
be there first:

  python -m train.run configs/magicpose_controlnet.py
  python -m train.parts runs/magicpose_apart --base runs/base/weights \
      --appearance runs/magicpose_stage1/weights --controlnet runs/magicpose_controlnet/weights
Faces are measured too where a face network is given: train configs/face.py and set `face="runs/face/weights"`.
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="magicpose",
    system="magicpose",
    weights="weights/magicpose",
    size=(128, 128),
    frames=48,
    variants=(
        Variant("all", weights="runs/magicpose_stage2/weights"),
        Variant("without App-Pretrain", weights="runs/magicpose_no_pretrain/weights"),
        Variant("without Disentangle", weights="runs/magicpose_apart"),
        Variant("without both", weights="runs/magicpose_controlnet/weights"),
        Variant("without Image-CFG", weights="runs/magicpose_stage2/weights", options={"guidance": 1.0}),
        Variant("without Data Aug", weights="runs/magicpose_no_masks/weights"),
    ),
)

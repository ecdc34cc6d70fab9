"""PoseAnything's Table 3 on unseen puppets: no part module, one over the whole subject, one over its parts.

  python -m sample.evaluate configs/poseanything_table3.py --seeds 950000:950028 --ablations

Concat is stage 2 alone; the others are stage 3 on it, for as many steps each.
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="poseanything_table3",
    system="poseanything",
    weights="weights/poseanything",
    size=(64, 64),
    frames=17,
    kind="any",
    variants=(
        Variant("Concat", weights="runs/poseanything_stage2/weights", options={"parts": "none"}, budget="stage 2"),
        Variant("EC", weights="runs/poseanything_whole/weights", options={"parts": "whole"}, budget="stages 2, 3"),
        Variant("PTCM", weights="runs/poseanything_stage3/weights", budget="stages 2, 3"),
    ),
)

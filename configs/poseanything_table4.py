"""PoseAnything's Table 4 on unseen puppets: how the pose enters, each trained afresh for as many steps.

  python -m sample.evaluate configs/poseanything_table4.py --seeds 950000:950028 --ablations

configs/poseanything_stage2.py says how these weights are trained.
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="poseanything_table4",
    system="poseanything",
    weights="weights/poseanything",
    size=(64, 64),
    frames=17,
    kind="any",
    options={"parts": "none"},
    variants=(
        Variant("width", weights="runs/poseanything_width/weights", budget="stage 2 alone"),
        Variant("MLP", weights="runs/poseanything_mlp/weights", budget="stage 2 alone"),
        Variant("channels", weights="runs/poseanything_channels/weights", budget="stage 2 alone"),
    ),
)

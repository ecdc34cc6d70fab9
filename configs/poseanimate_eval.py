"""PoseAnimate on unseen puppets with nothing trained on them, and the ablations of the paper's Fig. 5.

  python -m sample.evaluate configs/poseanimate_eval.py --seeds 950000:950008 --skip-wrong
  python -m sample.evaluate configs/poseanimate_eval.py --seeds 950000:950008 --ablations

A few frames of 10 steps each, since every frame has an optimisation of its own.
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="poseanimate",
    system="poseanimate",
    weights="weights/poseanimate",
    size=(128, 128),
    frames=4,
    steps=10,
    options={"transition": 1},
    variants=(
        Variant("all"),
        Variant("without PACM", options={"inversion": "none"}),
        Variant("without DCAM", options={"dcam": False, "mgdm": False}),
        Variant("without MGDM", options={"mgdm": False}),
        Variant("without PATA", options={"pata": False}),
        Variant("null-text inversion", options={"inversion": "null_text"}),
        Variant("negative-prompt inversion", options={"inversion": "negative_prompt"}),
        Variant("direct inversion", options={"inversion": "direct"}),
        Variant("the other reading of Fig. 2", options={"enters": "conditional"}),
        Variant("masked keys left out", options={"outside": "left_out"}),
        Variant("masks by the pose", options={"masks": "pose"}),
        Variant("masks by the pose and keys left out", options={"masks": "pose", "outside": "left_out"}),
    ),
)

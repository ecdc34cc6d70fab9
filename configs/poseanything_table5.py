"""PoseAnything's Table 5 on unseen puppets: the share of frames whose poses are given.

python -m sample.evaluate configs/poseanything_table5.py --seeds 950000:950028 --ablations
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="poseanything_table5",
    system="poseanything",
    weights="weights/poseanything",
    size=(64, 64),
    frames=17,
    kind="any",
    variants=(
        *(Variant(f"{share:.1%}", options={"pose_share": share}) for share in (1.0, 0.5, 0.2, 0.1, 0.05, 0.025)),
    ),
)

"""PoseAnything's Table 6 on unseen puppets: guidance away from the first pose, poses dense and sparse.

python -m sample.evaluate configs/poseanything_table6.py --seeds 950000:950028 --ablations
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="poseanything_table6",
    system="poseanything",
    weights="weights/poseanything",
    size=(64, 64),
    frames=17,
    kind="any",
    variants=(
        *(
            Variant(f"{scale} {setting}", options={"guidance": scale, "pose_share": share})
            for setting, share in (("dense", 1.0), ("sparse", 0.1))
            for scale in (5.0, 3.0, 1.5, 1.2)
        ),
    ),
)

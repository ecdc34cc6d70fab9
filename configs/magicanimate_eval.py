"""MagicAnimate on unseen puppets, and those ablations of the paper's Table 2 that need no training of their own.

What they printed stands in README.md and docs/magicanimate.md.
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

config = Evaluation(
    name="magicanimate",
    system="magicanimate",
    weights="weights/magicanimate",
    size=(128, 128),
    frames=48,
    face="weights/face",
    variants=(
        Variant("without temporal attention", options={"temporal": False}),
        Variant("without window averaging", options={"average": False}),
        Variant("without shared noise", options={"share_noise": False}),
    ),
)

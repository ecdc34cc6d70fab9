"""DirectAnimator on unseen puppets that other identities drive: does it follow, and does it copy?

  python -m sample.evaluate configs/directanimator_eval.py --seeds 950000:950032

A copy of the driver has more dB in the column "driver" than in "subject", the truth. Passed
is 3 dB more in "subject".

docs/directanimator.md has the figures.
"""

from jaxanim.metrics.evaluate import Evaluation

config = Evaluation(
    name="directanimator",
    system="directanimator",
    weights="weights/directanimator",
    size=(64, 64),
    frames=9,
    driver=20_000,
    face="weights/face",
)

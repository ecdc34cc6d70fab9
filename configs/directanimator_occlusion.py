"""Full turns, and arms behind the body, where a drawn pose is ambiguous: a sheet of DirectAnimator.

  python -m sample.evaluate configs/directanimator_occlusion.py --seeds 950000:950004 --skip-wrong

The same puppets as in configs/magicanimate_occlusion.py, whose sheet lies in out/magicanimate_occlusion.
"""

from jaxanim.metrics.evaluate import Evaluation

config = Evaluation(
    name="directanimator_occlusion",
    system="directanimator",
    weights="weights/directanimator",
    size=(64, 64),
    frames=9,
    styles=("turn", "crouch", "jump"),
)

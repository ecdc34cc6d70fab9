"""Full turns, and arms behind the body, where a drawn pose is ambiguous: a sheet of MagicAnimate.

  python -m sample.evaluate configs/magicanimate_occlusion.py --seeds 950000:950004 --skip-wrong

The same puppets as in configs/directanimator_occlusion.py, whose sheet lies in out/directanimator_occlusion.
"""

from jaxanim.metrics.evaluate import Evaluation

config = Evaluation(
    name="magicanimate_occlusion",
    system="magicanimate",
    weights="weights/magicanimate",
    size=(128, 128),
    frames=9,
    styles=("turn", "crouch", "jump"),
)

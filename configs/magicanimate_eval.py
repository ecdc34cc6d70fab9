"""MagicAnimate on unseen puppets, and the ablations of the paper's Table 2.

  python -m sample.evaluate configs/magicanimate_eval.py --seeds 950000:950032
  python -m sample.evaluate configs/magicanimate_eval.py --seeds 950000:950008 --ablations

What they printed stands in README.md and docs/magicanimate.md. Four rows' weights have to be trained first, three
of them for 120 steps of stage 1 each:

  python -m train.run configs/magicanimate_stage1.py --workdir runs/magicanimate_short steps=120
  python -m train.run configs/magicanimate_clip.py steps=120
  python -m train.run configs/magicanimate_stage1.py --workdir runs/magicanimate_no_stills task.tau1=0 steps=120
  python -m train.run configs/magicanimate_stage2.py --workdir runs/magicanimate_video_only task.tau1=0 task.tau2=0
"""

from jaxanim.metrics.evaluate import Evaluation, Variant

SHORT = "120 steps of stage 1"

config = Evaluation(
    name="magicanimate",
    system="magicanimate",
    weights="weights/magicanimate",
    size=(128, 128),
    frames=48,
    face="weights/face",
    variants=(
        Variant("full"),
        Variant("without temporal attention", options={"temporal": False}),
        Variant("without window averaging", options={"average": False}),
        Variant("without shared noise", options={"share_noise": False}),
        Variant("in 2 steps", options={"steps": 2}),
        Variant("in 4 steps", options={"steps": 4}),
        Variant("without stills in stage 2", weights="runs/magicanimate_video_only/weights", budget="as shipped"),
        Variant("short", weights="runs/magicanimate_short/weights", budget=SHORT),
        Variant("CLIP in place of the appearance encoder", weights="runs/magicanimate_clip/weights", budget=SHORT),
        Variant("without stills in stage 1", weights="runs/magicanimate_no_stills/weights", budget=SHORT),
    ),
)

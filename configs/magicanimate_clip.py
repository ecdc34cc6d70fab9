"""A baseline of MagicAnimate's Table 2b: a CLIP image embedding in place of the appearance encoder, stage 1.

  python -m train.run configs/magicanimate_clip.py

There is no CLIP of the puppet world, so its image encoder learns with the rest: more than the paper's, which came
trained and stayed as it was, could adapt itself. What 120 steps of it reach stands in docs/magicanimate.md.
"""

import dataclasses

from configs import magicanimate_stage1
from configs.puppet_models import MAGICANIMATE, TEXT_WIDTH
from jaxanim.models.clip_vision import CLIPVisionConfig

CLIP = CLIPVisionConfig(
    hidden_size=192,
    intermediate_size=768,
    num_hidden_layers=4,
    num_attention_heads=4,
    projection_dim=TEXT_WIDTH,
    image_size=128,
    patch_size=16,
)
stage1 = magicanimate_stage1.config
config = dataclasses.replace(
    stage1,
    name="magicanimate_clip",
    task=dataclasses.replace(stage1.task, model=dataclasses.replace(MAGICANIMATE, image_encoder=CLIP)),
)

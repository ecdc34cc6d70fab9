"""PoseAnything's three training stages (Sec. 5.1): what learns in which.

Stage 1 trains the model without its part module on videos of humans, stage 2 the same on humans and others
together, stage 3 the part module alone, all else frozen, on the same mixture.
"""

PART_MODULE = r"/(cross_attn_instance|norm4)/"
"""The part module's parameters, 30 x 37.8 M of them in the released model."""

# Regular expressions over parameter paths.
TRAINABLE = {
    1: (rf"^(transformer(?!.*{PART_MODULE})|pose_mlp)/",),
    2: (rf"^(transformer(?!.*{PART_MODULE})|pose_mlp)/",),
    3: (rf"^transformer/.*{PART_MODULE}",),
}
HUMANS_ALONE = {1: True, 2: False, 3: False}

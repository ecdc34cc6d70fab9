"""CLIP's encoders, in transformers' names: with the prefix that version 5 leaves out, and without it."""

from jaxanim.convert import infer
from jaxanim.convert.rules import Drops, Kind, Naming, Rules

TEXT: Rules = [(r"(?:text_model\.)?((?:embeddings|encoder|final_layer_norm)\..+)", r"text_model.\1")]
TEXT_DROPS: Drops = [
    (r"(?:text_model\.)?embeddings\.position_ids", "the positions 0, 1, 2, ..., which need no storing"),
    (r"text_projection\.weight", "the pooled embedding's projection; prompts are read from the hidden states"),
]
VISION: Rules = [
    (r"(?:vision_model\.)?((?:embeddings|encoder|pre_layrnorm|post_layernorm)\..+)", r"vision_model.\1"),
    (r"(visual_projection\.weight)", r"\1"),
]
VISION_DROPS: Drops = [
    (r"(?:vision_model\.)?embeddings\.position_ids", "the positions 0, 1, 2, ..., which need no storing"),
]
# What a whole CLIPModel holds beside its two encoders.
BOTH_DROPS: Drops = [(r"logit_scale", "the temperature of CLIP's contrastive loss")]


KINDS = (
    Kind("text_encoder", "CLIP's text encoder", infer.text, drops=TEXT_DROPS, namings=(
        Naming(r"(text_model\.)?embeddings\.token_embedding\.weight", "transformers' names", TEXT),
    )),
    Kind("image_encoder", "CLIP's image encoder", infer.vision, drops=VISION_DROPS, namings=(
        Naming(r"(vision_model\.)?embeddings\.class_embedding", "transformers' names", VISION),
    )),
)  # fmt: skip

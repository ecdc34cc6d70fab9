"""Encoders of the T5 family: transformers' names, and those of Wan's models_t5_umt5-xxl-enc-bf16.pth."""

from collections.abc import Collection

from jaxanim.convert import infer
from jaxanim.convert.rules import Drops, Kind, Naming, Rules

BIAS = r"encoder\.block\.(\d+)\.layer\.0\.SelfAttention\.relative_attention_bias\.weight"
DROPS: Drops = [
    (r"encoder\.embed_tokens\.weight", "the same table as shared.weight"),
    (r"decoder\..+|lm_head\.weight", "the decoder, which no pipeline here uses"),
]


def transformers(keys: Collection[str]) -> Rules:
    """Where the first block alone has relative positions, they are all blocks'."""
    own = BIAS.replace(r"(\d+)", "1").replace("\\", "") in keys
    home = r"encoder.block.\1.layer.0.SelfAttention" if own else "encoder.positions"
    return [
        (BIAS, rf"{home}.relative_attention_bias.weight"),
        (r"(shared\.weight|encoder\.final_layer_norm\.weight)", r"\1"),
        (r"(encoder\.block\.\d+\.layer\.0\.(?:SelfAttention\.[qkvo]|layer_norm)\.weight)", r"\1"),
        (r"(encoder\.block\.\d+\.layer\.1\.(?:DenseReluDense\.(?:wi_0|wi_1|wo)|layer_norm)\.weight)", r"\1"),
    ]


def wan(keys: Collection[str]) -> Rules:
    """Wan's own encoder, umT5: every block has relative positions."""
    attention, feed_forward = (rf"encoder.block.\1.layer.{i}" for i in (0, 1))
    return [
        (r"token_embedding\.weight", "shared.weight"),
        (r"norm\.weight", "encoder.final_layer_norm.weight"),
        (r"blocks\.(\d+)\.norm1\.weight", f"{attention}.layer_norm.weight"),
        (r"blocks\.(\d+)\.attn\.([qkvo])\.weight", rf"{attention}.SelfAttention.\2.weight"),
        (
            r"blocks\.(\d+)\.pos_embedding\.embedding\.weight",
            f"{attention}.SelfAttention.relative_attention_bias.weight",
        ),
        (r"blocks\.(\d+)\.norm2\.weight", f"{feed_forward}.layer_norm.weight"),
        (r"blocks\.(\d+)\.ffn\.gate\.0\.weight", f"{feed_forward}.DenseReluDense.wi_0.weight"),
        (r"blocks\.(\d+)\.ffn\.fc1\.weight", f"{feed_forward}.DenseReluDense.wi_1.weight"),
        (r"blocks\.(\d+)\.ffn\.fc2\.weight", f"{feed_forward}.DenseReluDense.wo.weight"),
    ]


KINDS = (
    Kind("t5_encoder", "a text encoder of the T5 family", infer.t5, drops=DROPS, namings=(
        Naming(r"encoder\.block\.0\.layer\.0\.SelfAttention\.q\.weight", "transformers' names", transformers),
        Naming(r"blocks\.0\.pos_embedding\.embedding\.weight", "Wan's names", wan),
    )),
)  # fmt: skip

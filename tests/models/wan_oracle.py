"""diffusers' Wan networks with random weights, and their weights as parameter trees with the blocks stacked."""

import re

import jax.numpy as jnp
import numpy as np

from jaxanim.convert.layout import from_torch
from jaxanim.models.wan.config import WanConfig
from tests.models import sd_oracle as oracle
from tests.models.sd_oracle import diffusers, torch

TINY = WanConfig(
    num_layers=3, num_attention_heads=2, attention_head_dim=16, ffn_dim=48, in_channels=6, out_channels=6,
    text_dim=20, freq_dim=32,
)  # fmt: skip


def make_transformer(config, seed=0):
    names = [
        "num_layers", "num_attention_heads", "attention_head_dim", "ffn_dim", "in_channels", "out_channels",
        "patch_size", "text_dim", "freq_dim", "eps",
    ]  # fmt: skip
    fields = {name: getattr(config, name) for name in names}
    return oracle.randomise(diffusers.WanTransformer3DModel(**fields), seed)


def stacked(state):
    """A state dict as a parameter tree, `blocks.N.*` as one leaf each; NumPy's."""
    blocks, rest = {}, {}
    for key, value in state.items():
        if match := re.fullmatch(r"blocks\.(\d+)\.(.+)", key):
            blocks.setdefault(match[2], {})[int(match[1])] = value
        else:
            rest[key] = value
    tree = from_torch(rest)
    each = [
        from_torch({key: values[i] for key, values in blocks.items()})
        for i in range(len(next(iter(blocks.values()))))
    ]
    return tree | {"blocks": _stack(each)}


def _stack(trees):
    if not isinstance(trees[0], dict):
        return np.stack(trees)
    return {name: _stack([tree[name] for tree in trees]) for name in trees[0]}


def params_of(net):
    import jax

    return jax.tree.map(jnp.asarray, stacked({k: v.numpy() for k, v in net.state_dict().items()}))


def per_token(config, t, clean, height, width):
    """Times as diffusers takes them, one for each token: t, and 0 in clean frames."""
    tokens = (height // config.patch_size[1]) * (width // config.patch_size[2])
    times = np.where(clean, 0.0, np.asarray(t)[:, None]).astype(np.float32)
    return torch.from_numpy(np.repeat(times, tokens, axis=1))

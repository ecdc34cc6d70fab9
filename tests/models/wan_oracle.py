"""diffusers' Wan networks with random weights, and their weights as parameter trees with the blocks stacked."""

import re

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxanim.convert.layout import from_torch
from jaxanim.models.wan.config import WanConfig
from jaxanim.models.wan.vae_config import WanVAEConfig
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


TINY_VAE = WanVAEConfig(
    base_dim=4, decoder_base_dim=6, z_dim=5, dim_mult=(1, 2, 2), temporal_downsample=(True, True), num_res_blocks=1,
    latents_mean=(0.1, -0.2, 0.3, 0.0, -0.5), latents_std=(0.5, 1.5, 1.0, 2.0, 0.7),
)  # fmt: skip


def make_vae(config, seed=0):
    net = diffusers.AutoencoderKLWan(
        base_dim=config.base_dim, decoder_base_dim=config.decoder_base_dim, z_dim=config.z_dim,
        dim_mult=list(config.dim_mult), num_res_blocks=config.num_res_blocks,
        temperal_downsample=list(config.temporal_downsample), is_residual=True,
        in_channels=config.in_channels * config.patch_size**2, out_channels=config.in_channels * config.patch_size**2,
        patch_size=config.patch_size if config.patch_size > 1 else None,
        latents_mean=list(config.latents_mean), latents_std=list(config.latents_std),
        scale_factor_spatial=config.downscale, scale_factor_temporal=config.frames_per_latent,
    )  # fmt: skip
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        for name, p in net.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if name.endswith("gamma"):
                p.copy_(1 + 0.2 * noise)
            elif p.ndim == 1:
                p.copy_(0.2 * noise)
            else:
                p.copy_(noise / p[0].numel() ** 0.5)
    return net.eval()


def take_params(net):
    """`sd_oracle.take_params` for a transformer: its blocks stacked."""
    leaves = flatten_dict(oracle.take_params(net), sep="/")
    names = {re.sub(r"^blocks_\d+/", "", path) for path in leaves if path.startswith("blocks_")}
    for name in names:
        each = [leaves.pop(f"blocks_{i}/{name}") for i in range(net.config.num_layers)]
        leaves[f"blocks/{name}"] = jnp.stack(each)
    return unflatten_dict(leaves, sep="/")

"""An autoencoder's encoder, started as the best linear code of its patches.

Trained from noise, a small convolutional encoder needs tens of thousands of steps to pass principal components.
The layers of AutoencoderKL can hold that code exactly: strided convolutions gather patches, residual branches are
silent, and the last normalisation and SiLU become linear when every component a stands beside -a (since
silu(a) - silu(-a) = a) and a large constant fixes each group's deviation. With such a start the encoder may also
stay frozen: latents then do not change while the decoder is still learning.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Float, PyTree

from jaxanim.errors import InputError
from jaxanim.models.vae import VAEConfig

# How far each component is brought to unit deviation: 0 keeps pixel scale, 1 whitens.
WHITENING = 0.5
# Deviation of the constant beside a group's components, in units of theirs.
ANCHOR = 20.0
POSTERIOR_LOGVAR = -7.0


def linear_code(params: PyTree, config: VAEConfig, images: Float[np.ndarray, "n height width 3"]) -> PyTree:
    """`params` with the encoder set to the principal components of `images`' patches (in [-1, 1]).

    The mean of the posterior is the projection of each patch (downscale x downscale pixels) on its first
    `latent_channels` components, as far as the widths in between keep them; its deviation is small and constant.

    Raises:
      InputError: the last width cannot hold every component twice, and a constant twice in each group.
    """
    groups, width = config.norm_num_groups, config.block_out_channels[-1]
    per_group = -(-config.latent_channels // groups)
    if width // groups < 2 * per_group + 2:
        raise InputError(
            f"block_out_channels ends with {width} in {groups} groups; {config.latent_channels} latent channels "
            f"need at least {groups * (2 * per_group + 2)}"
        )
    encoder = jax.tree.map(np.array, params["encoder"])
    _silence(encoder)
    last = len(config.block_out_channels) - 1

    encoder["conv_in"] = _pointwise(encoder["conv_in"], np.eye(3))
    code = np.asarray(images, np.float64)
    for i, channels in enumerate(config.block_out_channels):
        block = encoder[f"down_blocks_{i}"]
        used = code.shape[-1]
        if "conv_shortcut" in block["resnets_0"]:
            matrix, bias = np.eye(used), None
            if i == last:
                matrix, bias = _anchored_pairs(code, config)
            block["resnets_0"]["conv_shortcut"] = _pointwise(block["resnets_0"]["conv_shortcut"], matrix, bias)
        if i < last:
            patches = rearrange(code, "n (h p) (w q) c -> n h w (p q c)", p=2, q=2)
            flat = patches.reshape(-1, patches.shape[-1])
            mean, basis = np.zeros(flat.shape[1]), np.eye(flat.shape[1])
            # Where all fits, patches pass as they are; the last gathering puts components in order.
            if flat.shape[1] > channels or i == last - 1:
                mean, basis = flat.mean(0), _components(flat, channels)
            conv = jax.tree.map(np.zeros_like, block["downsamplers_0"]["conv"])
            taps = rearrange(basis, "(p q c) k -> p q c k", p=2, q=2)
            conv["kernel"][:2, :2, :used, : taps.shape[-1]] = taps
            conv["bias"][: taps.shape[-1]] = -mean @ basis
            block["downsamplers_0"]["conv"] = conv
            code = (patches - mean) @ basis
    encoder["conv_out"], quant = _read_out(encoder["conv_out"], params["quant_conv"], code, config)
    return dict(params, encoder=jax.tree.map(jnp.asarray, encoder), quant_conv=jax.tree.map(jnp.asarray, quant))


def _silence(tree: PyTree) -> None:
    """Residual branches and the middle attention add nothing."""
    for name, node in tree.items():
        if name in ("conv2", "to_out_0"):
            tree[name] = jax.tree.map(np.zeros_like, node)
        elif isinstance(node, dict):
            _silence(node)


def _components(flat: np.ndarray, count: int) -> np.ndarray:
    """[dims, min(count, dims)]: principal axes, the widest first."""
    _, vectors = np.linalg.eigh(np.cov((flat - flat.mean(0)).T))
    return vectors[:, ::-1][:, :count]


def _pointwise(conv: PyTree, matrix: np.ndarray, bias: np.ndarray | None = None) -> PyTree:
    """A convolution of the same shape that applies [in, out] `matrix` at each position."""
    conv = jax.tree.map(np.zeros_like, conv)
    centre = conv["kernel"].shape[0] // 2
    conv["kernel"][centre, centre, : matrix.shape[0], : matrix.shape[1]] = matrix
    if bias is not None:
        conv["bias"][: len(bias)] = bias
    return conv


def _layout(config: VAEConfig):
    """Yields (component, channel of +a, channel of -a), then (None, +c, -c) for every group's constant."""
    groups = config.norm_num_groups
    span = config.block_out_channels[-1] // groups
    for k in range(config.latent_channels):
        place = (k % groups) * span + 2 * (k // groups)
        yield k, place, place + 1
    for g in range(groups):
        yield None, (g + 1) * span - 2, (g + 1) * span - 1


def _anchors(code: np.ndarray, config: VAEConfig) -> np.ndarray:
    """Every group's constant."""
    groups = config.norm_num_groups
    energy = [np.mean(np.sum(code[..., g : config.latent_channels : groups] ** 2, -1)) for g in range(groups)]
    return ANCHOR * np.sqrt(np.array(energy))


def _anchored_pairs(code: np.ndarray, config: VAEConfig) -> tuple[np.ndarray, np.ndarray]:
    """[components in, channels out] and bias: each component as +a and -a, and a constant +c, -c in each group."""
    width = config.block_out_channels[-1]
    matrix, bias = np.zeros((code.shape[-1], width)), np.zeros(width)
    anchors = _anchors(code, config)
    span = width // config.norm_num_groups
    for k, plus, minus in _layout(config):
        if k is None:
            bias[plus], bias[minus] = anchors[plus // span], -anchors[plus // span]
        else:
            matrix[k, plus], matrix[k, minus] = 1, -1
    return matrix, bias


def _read_out(conv_out: PyTree, quant_conv: PyTree, code: np.ndarray, config: VAEConfig) -> tuple[PyTree, PyTree]:
    """conv_out undoes the normalisation and the pairs and scales the components; quant_conv passes them on."""
    groups, latents = config.norm_num_groups, config.latent_channels
    span = config.block_out_channels[-1] // groups
    anchors = _anchors(code, config)
    energy = np.array([np.mean(np.sum(code[..., g:latents:groups] ** 2, -1)) for g in range(groups)])
    deviation = np.sqrt(2 * (energy + anchors**2) / span)
    std = code[..., :latents].std((0, 1, 2))
    matrix = np.zeros((config.block_out_channels[-1], 2 * latents))
    for k, plus, minus in _layout(config):
        if k is not None:
            scale = deviation[plus // span] * std[k] ** -WHITENING
            matrix[plus, k], matrix[minus, k] = scale, -scale
    bias = np.concatenate([np.zeros(latents), np.full(latents, POSTERIOR_LOGVAR)])
    conv_out = _pointwise(jax.tree.map(np.array, conv_out), matrix, bias)
    return conv_out, _pointwise(jax.tree.map(np.array, quant_conv), np.eye(2 * latents))
